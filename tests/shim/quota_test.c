/* SPDX-License-Identifier: Apache-2.0 */
/* The value gpu-memory and the quota file. */
#include "../../shim/quota.h"
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t unescape(char *text) {
    char *to = text;
    for (char *from = text; *from; from++) {
        if (from[0] == '\\' && (from[1] == 't' || from[1] == '\\'))
            *to++ = *++from == 't' ? '\t' : '\\';
        else
            *to++ = *from;
    }
    *to = '\0';
    return (size_t)(to - text);
}

TEST(The_value_agrees_with_every_line_of_the_shared_vectors) {
    FILE *file = fopen(VECTORS, "r");
    char line[1000];
    unsigned lines = 0;
    EXPECT(file);
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        if (line[0] == '#')
            continue;
        char *total = strchr(line, '\t');
        EXPECT(total);
        *total++ = '\0';
        char *bytes = strchr(total, '\t');
        EXPECT(bytes);
        *bytes++ = '\0';
        size_t length = unescape(line);
        struct quota_value value;
        bool good = quota_value_parse(&value, line, length);
        if (good != (strcmp(bytes, "refused") != 0))
            fail(__FILE__, __LINE__, "'%s' is %s", line, good ? "accepted" : "refused");
        if (good && quota_value_bytes(&value, strtoull(total, NULL, 10)) != strtoull(bytes, NULL, 10))
            fail(__FILE__, __LINE__, "'%s' of %s is %llu, not %s", line, total,
                 (unsigned long long)quota_value_bytes(&value, strtoull(total, NULL, 10)), bytes);
        lines++;
    }
    fclose(file);
    EXPECT(lines > 100);
}

static const char *parse(struct quota_file *file, const char *text) {
    return quota_file_parse(file, text, strlen(text));
}

TEST(The_quota_file_gives_the_limit) {
    struct quota_file file;
    EXPECT(!parse(&file, "version=1\ncontainer=abc\nlimit=0.5\n"));
    EXPECT_EQUAL(quota_value_bytes(&file.limit, 1000), 500);
    EXPECT(!file.refused);
}

TEST(The_quota_file_gives_limits_by_device) {
    struct quota_file file;
    unsigned char one[16], other[16] = {9};
    EXPECT(uuid_parse(one, "GPU-00112233-4455-6677-8899-aabbccddeeff", 40));
    EXPECT(!parse(&file, "version=1\nlimit=0.5\nlimit.GPU-00112233-4455-6677-8899-AABBCCDDEEFF=3g\n"));
    EXPECT_EQUAL(quota_value_bytes(quota_file_limit(&file, one, one), 1000), 3 * GIB);
    EXPECT_EQUAL(quota_value_bytes(quota_file_limit(&file, other, other), 1000), 500);
    EXPECT_EQUAL(quota_value_bytes(quota_file_limit(&file, other, one), 1000), 3 * GIB);
    EXPECT(!parse(&file, "version=1\nlimit=0.5\nlimit.GPU-00112233-4455-6677-8899-AABBCCDDEEFF=3g\n"
                         "limit.MIG-09000000-0000-0000-0000-000000000000=2g\n"));
    EXPECT_EQUAL(quota_value_bytes(quota_file_limit(&file, other, one), 1000), 2 * GIB);
}

TEST(The_quota_file_can_refuse_with_a_reason) {
    struct quota_file file;
    EXPECT(!parse(&file, "version=1\nerror=gpu-memory=2 is no value\n"));
    EXPECT(file.refused && strcmp(file.error, "gpu-memory=2 is no value") == 0);
}

TEST(Unknown_keys_of_the_quota_file_are_ignored) {
    struct quota_file file;
    EXPECT(!parse(&file, "version=1\nfuture=1\nlimit=1\nfuture=2\n"));
}

TEST(A_malformed_quota_file_is_refused) {
    static const char *const wrong[] = {"",
                                        "limit=1\n",
                                        "version=2\nlimit=1\n",
                                        "version=1\nlimit=1",
                                        "version=1\nlimit=1\nlimit=1\n",
                                        "version=1\nversion=1\nlimit=1\n",
                                        "version=1\n",
                                        "version=1\nlimit=2\n",
                                        "version=1\nlimit\n",
                                        "version=1\nlimit=\n",
                                        "version=1\nlimit=1\nlimit.GPU-1=1\n",
                                        "version=1\nlimit=1\nlimit.GPU-00112233-4455-6677-8899-aabbccddeeff=1\nlimit."
                                        "GPU-00112233-4455-6677-8899-aabbccddeeff=1\n",
                                        "version=1\ncontainer=a\ncontainer=a\nlimit=1\n",
                                        "version=1\nerror=a\nerror=b\n",
                                        "\nversion=1\nlimit=1\n",
                                        "version=1 \nlimit=1\n"};
    struct quota_file file;
    for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++)
        if (!parse(&file, wrong[i]))
            fail(__FILE__, __LINE__, "accepted: %s", wrong[i]);
    static char large[QUOTA_FILE_MAX + 2];
    memset(large, 'x', sizeof large - 1);
    EXPECT(parse(&file, large));
}

/* The same function that the fuzzer runs, on random input, so that the target keeps working. */
TEST(The_quota_parser_survives_garbage) {
    struct quota_file file;
    char text[QUOTA_FILE_MAX];
    srand(1);
    for (int i = 0; i < 20000; i++) {
        size_t n = (size_t)rand() % 200;
        for (size_t k = 0; k < n; k++)
            text[k] = "version=1\nlimit.GPU-0123456789abcdefgkmt\0\xff"[rand() % 42];
        memcpy(text, "version=1\n", n > 10 ? 10 : 0);
        quota_file_parse(&file, text, n);
    }
}
