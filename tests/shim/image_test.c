/* SPDX-License-Identifier: Apache-2.0 */
/* What is read of images that programs load (shim/image.c). */
#include "../../shim/image.h"
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TEST(Globals_of_PTX_are_added_up) {
    static const struct {
        const char *text;
        uint64_t bytes;
    } cases[] = {
        {".version 6.0\n.visible .global .align 16 .b8 big[1073741824];\n", GIB},
        {"// a comment\n.version 8.0\n.global .u32 one;\n.global .align 8 .f64 table[4][ 16 ];\n", 4 + 8 * 64},
        {".version 6.0 .global .v4 .f32 v[2]; .global .align 4 .b8 text[5] = {72, 97, 108, 108, 111};", 32 + 5},
        {"\n.version 6.0\n.weak .global .attribute(.managed) .align 4 .s32 m[10];", 40},
        {".version 6.0\n.extern .global .align 4 .b8 another[4096];\n", 0},
        {".version 6.0\n.entry f(\n.param .u64 .ptr .global .align 16 f_0,\n.param .u64 .ptr .global .align 4 f_1)\n{ "
         "ld.global.u32 %r1, [%rd1+4096]; cvta.to.global.u64 %rd2, %rd1; st.global.u32 [%rd2], %r1; }",
         0},
        {".version 6.0\n.global .b8 wrong[99999999999999999999999];", 0},
        {".version 6.0\n.global", 0},
        {".version 6.0\n.global .b8 unended[12", 12},
        {"", 0},
        {"x", 0},
        {"linked", 0},
        {"//", 0},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++)
        if (image_globals(cases[i].text) != cases[i].bytes)
            fail(__FILE__, __LINE__, "%llu bytes, not %llu, in: %s", (unsigned long long)image_globals(cases[i].text),
                 (unsigned long long)cases[i].bytes, cases[i].text);
    EXPECT_EQUAL(image_globals(NULL), 0);
}

/* A fat binary of two entries, of which the larger counts; and the wrapper that points to it. */
TEST(Of_a_fat_binary_the_largest_entry_counts) {
    static const char small[] = ".version 6.0\n.global .b8 a[100];", large[] = ".version 6.0\n.global .b8 a[5000];";
    struct entry {
        uint16_t kind, unknown;
        uint32_t header;
        uint64_t size;
        uint32_t compressed, more[3], name[2];
        uint64_t flags, rest[2];
        char body[64];
    };
    static struct {
        uint32_t magic;
        uint16_t version, size;
        uint64_t entries;
        struct entry entry[2];
    } fat = {.magic = 0xba55ed50u, .version = 1, .size = 16};
    struct {
        uint32_t magic, version;
        const void *data, *unused;
    } wrapper = {.magic = 0x466243b1, .version = 1, .data = &fat};
    fat.entries = sizeof fat.entry;
    for (unsigned i = 0; i < 2; i++) {
        fat.entry[i].kind = 1;
        fat.entry[i].header = offsetof(struct entry, body);
        fat.entry[i].size = sizeof fat.entry[i].body;
        strcpy(fat.entry[i].body, i ? large : small);
    }
    EXPECT_EQUAL(image_globals(&fat), 5000);
    EXPECT_EQUAL(image_globals(&wrapper), 5000);
    fat.entry[1].compressed = 7; /* cannot be read */
    EXPECT_EQUAL(image_globals(&fat), 100);
    fat.entry[0].size = 1 << 30; /* beyond its end */
    EXPECT_EQUAL(image_globals(&fat), 0);
}

TEST(An_image_may_be_in_a_file) {
    char path[] = "/tmp/runai-image.XXXXXX";
    int fd = mkstemp(path);
    EXPECT(fd >= 0);
    char text[4096]; /* a whole page, so that nothing ends it but what is behind */
    memset(text, ' ', sizeof text);
    memcpy(text, ".version 6.0\n.global .b8 big[777];", 34);
    EXPECT(write(fd, text, sizeof text) == sizeof text);
    close(fd);
    EXPECT_EQUAL(image_globals_of_file(path), 777);
    unlink(path);
    EXPECT_EQUAL(image_globals_of_file(path), 0);
    EXPECT_EQUAL(image_globals_of_file(NULL), 0);
}
