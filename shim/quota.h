/* SPDX-License-Identifier: Apache-2.0 */
/* The value gpu-memory and the quota file: text in, exact bytes out. Pure functions; quota_file.c does the waiting. */
#ifndef RUNAI_QUOTA_H
#define RUNAI_QUOTA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { QUOTA_TEXT_MAX = 32, QUOTA_FILE_MAX = 4096, QUOTA_LIMITS_MAX = 32, QUOTA_ERROR_MAX = 256 };

struct quota_value {
    bool is_size;
    uint64_t size;                 /* bytes, when is_size */
    bool whole;                    /* a fraction of exactly 1 */
    unsigned char digits;          /* of the fraction below 1 */
    char fraction[QUOTA_TEXT_MAX]; /* its decimal digits */
};

/* False when the text is not in the grammar. */
bool quota_value_parse(struct quota_value *value, const char *text, size_t length);
/* floor(total x fraction), or the size itself, whatever the total. */
uint64_t quota_value_bytes(const struct quota_value *value, uint64_t total);

struct quota_file {
    struct quota_value limit;
    unsigned limits; /* entries by device */
    struct {
        unsigned char uuid[16];
        struct quota_value limit;
    } by_device[QUOTA_LIMITS_MAX];
    bool refused;
    char error[QUOTA_ERROR_MAX]; /* why GPU use is refused, when refused */
};

/* NULL, or what is wrong with the file. */
const char *quota_file_parse(struct quota_file *file, const char *text, size_t length);
/* The device's own limit, or that of the GPU it is a part of (a MIG instance), or the one for all. */
const struct quota_value *quota_file_limit(const struct quota_file *file, const unsigned char uuid[16],
                                           const unsigned char gpu[16]);

/* "GPU-" or "MIG-", then 32 hexadecimal digits with hyphens between. */
bool uuid_parse(unsigned char uuid[16], const char *text, size_t length);

#endif
