/* SPDX-License-Identifier: Apache-2.0 */
/* Everything that the real drivers 535, 550 and 580 export is hooked, or listed in exports/not-hooked.txt with the
   reason. */
#include "harness.h"

#include <fnmatch.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char looks_like_memory[] = "Mem|Alloc|Array|Pool|Ctx|Module|Library|Free|Heap|External|Ipc|GraphInst|"
                                        "GraphExec|GraphLaunch|GraphUpload|Managed|Limit|Multicast|Green|"
                                        "Reserve|Attributes|FieldValues|F[bB]|Framebuffer|Processes";
static const char only_moves_it[] = "^cuMem(cpy|set)|^cudbg";

static const char *const hooked[] = {
#define HOOK(library, name, presence, since, area, returns, parameters) #name,
#define CALL(...)
#include "../../shim/hooks.def"
#undef HOOK
#undef CALL
    NULL};

static char reasons[2000][100];
static unsigned reason_count;
static regex_t memory, moves;

static void read_reasons(void) {
    FILE *file = fopen(EXPORTS "/not-hooked.txt", "r");
    char line[500];
    EXPECT(file);
    while (fgets(line, sizeof line, file)) {
        char *tab = strchr(line, '\t');
        if (line[0] == '#')
            continue;
        EXPECT(tab && strlen(tab) > 4 && reason_count < 2000);
        *tab = '\0';
        snprintf(reasons[reason_count++], sizeof *reasons, "%s", line);
    }
    fclose(file);
    EXPECT_EQUAL(regcomp(&memory, looks_like_memory, REG_EXTENDED | REG_NOSUB), 0);
    EXPECT_EQUAL(regcomp(&moves, only_moves_it, REG_EXTENDED | REG_NOSUB), 0);
}

static bool is_hooked(const char *name) {
    for (unsigned i = 0; hooked[i]; i++)
        if (strcmp(hooked[i], name) == 0)
            return true;
    return false;
}

static bool has_reason(const char *name) {
    bool exactly = regexec(&memory, name, 0, NULL, 0) == 0 && regexec(&moves, name, 0, NULL, 0) != 0;
    for (unsigned i = 0; i < reason_count; i++)
        if (exactly ? strcmp(reasons[i], name) == 0 : fnmatch(reasons[i], name, 0) == 0)
            return true;
    return false;
}

static void cover(const char *file_name) {
    char path[4300], name[200];
    snprintf(path, sizeof path, EXPORTS "/%s.txt", file_name);
    FILE *file = fopen(path, "r");
    unsigned count = 0;
    EXPECT(file);
    while (fscanf(file, "%199s", name) == 1) {
        count++;
        if (!is_hooked(name) && !has_reason(name))
            fail(__FILE__, __LINE__, "%s of %s is neither hooked nor listed with a reason", name, file_name);
    }
    fclose(file);
    EXPECT(count > 300);
}

TEST(Every_real_export_is_hooked_or_has_a_reason) {
    read_reasons();
    cover("libcuda-535");
    cover("libcuda-550");
    cover("libcuda-580");
    cover("libnvidia-ml-535");
    cover("libnvidia-ml-550");
    cover("libnvidia-ml-580");
}

TEST(A_new_name_that_looks_like_memory_would_be_noticed) {
    read_reasons();
    EXPECT(!has_reason("cuMemAllocFancy"));
    EXPECT(!has_reason("cuGraphicsAllocSomething"));
    EXPECT(has_reason("cuMemcpyFancy"));
    EXPECT(has_reason("cuStreamFancy"));
}

/* Each row exists in some driver: no misspelt name. */
TEST(Every_row_is_a_name_of_a_real_driver) {
    static const char *const files[] = {"libcuda-535",      "libcuda-550",      "libcuda-580",
                                        "libnvidia-ml-535", "libnvidia-ml-550", "libnvidia-ml-580"};
    for (unsigned i = 0; hooked[i]; i++) {
        bool found = false;
        for (unsigned f = 0; f < 6 && !found; f++) {
            char path[4300], name[200];
            snprintf(path, sizeof path, EXPORTS "/%s.txt", files[f]);
            FILE *file = fopen(path, "r");
            EXPECT(file);
            while (!found && fscanf(file, "%199s", name) == 1)
                found = strcmp(name, hooked[i]) == 0;
            fclose(file);
        }
        if (!found)
            fail(__FILE__, __LINE__, "no driver exports %s", hooked[i]);
    }
}

/* A driver that has the newest names: required rows are in the oldest available one. */
TEST(Required_rows_are_in_driver_535) {
    static const struct {
        const char *name, *presence, *library;
    } rows[] = {
#define HOOK(library, name, presence, since, area, returns, parameters) {#name, #presence, #library},
#define CALL(...)
#include "../../shim/hooks.def"
#undef HOOK
#undef CALL
    };
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        char name[200];
        bool found = strcmp(rows[i].presence, "optional") == 0;
        FILE *file = fopen(
            strcmp(rows[i].library, "cuda") == 0 ? EXPORTS "/libcuda-535.txt" : EXPORTS "/libnvidia-ml-535.txt", "r");
        EXPECT(file);
        while (!found && fscanf(file, "%199s", name) == 1)
            found = strcmp(name, rows[i].name) == 0;
        fclose(file);
        if (!found)
            fail(__FILE__, __LINE__, "driver 535 has no %s", rows[i].name);
    }
}
