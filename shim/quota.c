/* SPDX-License-Identifier: Apache-2.0 */
/* The grammar and arithmetic of gpu-memory, and the quota file's format. Integers only: the plugin computes the same
   bytes in C#, and tests/vectors/gpu-memory.tsv holds both to it. */
#include "quota.h"

#include <string.h>

typedef unsigned __int128 u128;

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static char lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* floor(x * 0.d1d2...dn), exact: by Horner from the last digit, where the floor of a floor loses nothing. */
static uint64_t times_fraction(uint64_t x, const char *digits, size_t n) {
    u128 rest = 0;
    while (n-- > 0)
        rest = (rest + (u128)(unsigned)(digits[n] - '0') * x) / 10;
    return (uint64_t)rest;
}

/* The power of 1024 that a unit stands for, or -1. */
static int unit_power(const char *text, size_t length) {
    static const char units[] = "bkmgtp";
    char first = lower(text[0]);
    const char *found = first ? strchr(units, first) : NULL;
    if (!found)
        return -1;
    int power = (int)(found - units);
    if (length == 1)
        return power;
    if (power == 0)
        return -1;
    if (length == 2 && (lower(text[1]) == 'b' || lower(text[1]) == 'i'))
        return power;
    if (length == 3 && lower(text[1]) == 'i' && lower(text[2]) == 'b')
        return power;
    return -1;
}

static bool any_nonzero(const char *digits, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (digits[i] != '0')
            return true;
    return false;
}

static bool parse_size(struct quota_value *value, const char *whole, size_t wholes, const char *digits, size_t n,
                       int power) {
    u128 sum = 0;
    for (size_t i = 0; i < wholes; i++) {
        sum = sum * 10 + (unsigned)(whole[i] - '0');
        if (sum > INT64_MAX)
            return false;
    }
    uint64_t unit = (uint64_t)1 << (10 * power);
    sum = sum * unit + times_fraction(unit, digits, n);
    if (sum < 1 || sum > INT64_MAX)
        return false;
    value->is_size = true;
    value->size = (uint64_t)sum;
    return true;
}

static bool parse_fraction(struct quota_value *value, const char *whole, size_t wholes, const char *digits, size_t n) {
    bool nonzero = any_nonzero(digits, n);
    if (wholes && any_nonzero(whole, wholes)) {
        value->whole = true;
        return !any_nonzero(whole, wholes - 1) && whole[wholes - 1] == '1' && !nonzero;
    }
    memcpy(value->fraction, digits, n);
    value->digits = (unsigned char)n;
    return nonzero;
}

bool quota_value_parse(struct quota_value *value, const char *text, size_t length) {
    memset(value, 0, sizeof *value);
    if (length == 0 || length > QUOTA_TEXT_MAX)
        return false;
    size_t wholes = 0;
    while (wholes < length && is_digit(text[wholes]))
        wholes++;
    size_t at = wholes, n = 0;
    if (at < length && text[at] == '.') {
        at++;
        while (at + n < length && is_digit(text[at + n]))
            n++;
        if (n == 0)
            return false;
    }
    if (wholes + n == 0)
        return false;
    const char *digits = text + at;
    at += n;
    if (at == length)
        return parse_fraction(value, text, wholes, digits, n);
    int power = unit_power(text + at, length - at);
    return power >= 0 && parse_size(value, text, wholes, digits, n, power);
}

uint64_t quota_value_bytes(const struct quota_value *value, uint64_t total) {
    if (value->is_size)
        return value->size;
    return value->whole ? total : times_fraction(total, value->fraction, value->digits);
}

static int hex_digit(char c) {
    c = lower(c);
    return is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool uuid_parse(unsigned char uuid[16], const char *text, size_t length) {
    if (length < 4 || (memcmp(text, "GPU-", 4) != 0 && memcmp(text, "MIG-", 4) != 0))
        return false;
    memset(uuid, 0, 16);
    unsigned digits = 0;
    for (size_t i = 4; i < length; i++) {
        if (text[i] == '-')
            continue;
        int d = hex_digit(text[i]);
        if (d < 0 || digits == 32)
            return false;
        uuid[digits / 2] = (unsigned char)(uuid[digits / 2] << 4 | d);
        digits++;
    }
    return digits == 32;
}

enum { SEEN_VERSION = 1, SEEN_CONTAINER = 2, SEEN_LIMIT = 4, SEEN_ERROR = 8 };

static bool is(const char *key, size_t length, const char *name) {
    return strlen(name) == length && memcmp(key, name, length) == 0;
}

static const char *once(unsigned *seen, unsigned which) {
    if (*seen & which)
        return "a key appears twice";
    *seen |= which;
    return NULL;
}

static const char *parse_device_limit(struct quota_file *file, const char *name, size_t names, const char *value,
                                      size_t length) {
    unsigned char uuid[16];
    if (!uuid_parse(uuid, name, names))
        return "a device limit has no valid UUID";
    for (unsigned i = 0; i < file->limits; i++)
        if (memcmp(file->by_device[i].uuid, uuid, 16) == 0)
            return "a key appears twice";
    if (file->limits == QUOTA_LIMITS_MAX)
        return "it has limits for too many devices";
    memcpy(file->by_device[file->limits].uuid, uuid, 16);
    if (!quota_value_parse(&file->by_device[file->limits].limit, value, length))
        return "a limit is not a valid gpu-memory value";
    file->limits++;
    return NULL;
}

static const char *line_parse(struct quota_file *file, unsigned *seen, const char *line, size_t length) {
    const char *equals = memchr(line, '=', length);
    if (!equals)
        return "a line has no =";
    size_t keys = (size_t)(equals - line), values = length - keys - 1;
    const char *value = equals + 1;
    if (*seen == 0 && !is(line, keys, "version"))
        return "its first line is not its version";
    if (is(line, keys, "version")) {
        if (!is(value, values, "1"))
            return "its version is not 1";
        return once(seen, SEEN_VERSION);
    }
    if (is(line, keys, "container"))
        return once(seen, SEEN_CONTAINER);
    if (is(line, keys, "limit")) {
        if (!quota_value_parse(&file->limit, value, values))
            return "a limit is not a valid gpu-memory value";
        return once(seen, SEEN_LIMIT);
    }
    if (is(line, keys, "error")) {
        size_t n = values < QUOTA_ERROR_MAX - 1 ? values : QUOTA_ERROR_MAX - 1;
        memcpy(file->error, value, n);
        for (size_t i = 0; i < n; i++)
            if ((unsigned char)file->error[i] < ' ')
                file->error[i] = ' ';
        file->refused = true;
        return once(seen, SEEN_ERROR);
    }
    if (keys > 6 && memcmp(line, "limit.", 6) == 0)
        return parse_device_limit(file, line + 6, keys - 6, value, values);
    return NULL;
}

const char *quota_file_parse(struct quota_file *file, const char *text, size_t length) {
    memset(file, 0, sizeof *file);
    if (length > QUOTA_FILE_MAX)
        return "it is longer than 4096 bytes";
    unsigned seen = 0;
    while (length > 0) {
        const char *end = memchr(text, '\n', length);
        if (!end)
            return "its last line is incomplete";
        const char *wrong = line_parse(file, &seen, text, (size_t)(end - text));
        if (wrong)
            return wrong;
        length -= (size_t)(end + 1 - text);
        text = end + 1;
    }
    if (!(seen & SEEN_VERSION))
        return "it is empty";
    return seen & (SEEN_LIMIT | SEEN_ERROR) ? NULL : "it has no limit";
}

const struct quota_value *quota_file_limit(const struct quota_file *file, const unsigned char uuid[16],
                                           const unsigned char gpu[16]) {
    const struct quota_value *limit = &file->limit;
    for (unsigned i = 0; i < file->limits; i++) {
        if (memcmp(file->by_device[i].uuid, uuid, 16) == 0)
            return &file->by_device[i].limit;
        if (memcmp(file->by_device[i].uuid, gpu, 16) == 0)
            limit = &file->by_device[i].limit;
    }
    return limit;
}
