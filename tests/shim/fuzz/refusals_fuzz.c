/* SPDX-License-Identifier: Apache-2.0 */
/* libFuzzer target: whatever a container writes into the file of refusals. A refusal is then counted, or the file has
   32 lines of other GPUs. */
#define _GNU_SOURCE
#include "../../../shim/refusals.c"

#include <stdlib.h>
#include <sys/mman.h>

const char *quota_directory(void) {
    return "/nonexistent";
}

_Atomic(struct process *) process_page; /* never used */

struct process *process_begin(void) {
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct device device = {.uuid = {1}, .gpu = {1}};
    char text[LINES * LINE + 1] = "", uuid[UUID_TEXT + 1];
    uint64_t before, after;
    int fd = memfd_create("refused", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size || pread(fd, text, sizeof text - 1, 0) < 0)
        abort();
    write_uuid(uuid, &device);
    int line = find_line(text, uuid, &before);
    bool written = add(fd, &device, 3, size);
    if (written != (line >= 0) || pread(fd, text, sizeof text - 1, 0) < 0)
        abort();
    if (written && (find_line(text, uuid, &after) != line || after != before + 3) && before < 999999999999999990)
        abort();
    close(fd);
    return 0;
}
