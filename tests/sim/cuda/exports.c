/* SPDX-License-Identifier: Apache-2.0 */
/* The exported names: each row of cuda.def is a jump to its function, each name of cuda-unsupported.def answers
   CUDA_ERROR_NOT_SUPPORTED. Every name has an address of its own, as in the real driver.

   cuGetProcAddress knows base names only. Among a base name's variants it chooses the newest that the caller's version
   knows; for per-thread default streams the _ptsz or _ptds ones alone, where a base name has such. */
#include "types.h"

#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#define JUMP(function) "\tjmp " function "\n"
#define ANSWER_801 "\tmovl $801, %eax\n\tret\n"
#elif defined(__aarch64__)
#define JUMP(function) "\tb " function "\n"
#define ANSWER_801 "\tmov w0, #801\n\tret\n"
#endif

#define EXPORT(name, body)                                                                                             \
    __asm__(".text\n.p2align 4\n.globl " #name "\n.type " #name ", %function\n" #name ":\n" body ".size " #name        \
            ", .-" #name "\n");

#define CUDA(name, function, since) EXPORT(name, JUMP("api_" #function))
#define UNSUPPORTED(name, since) EXPORT(name, ANSWER_801)
#include "cuda-unsupported.def"
#include "cuda.def"
#undef CUDA
#undef UNSUPPORTED

#define CUDA(name, function, since) extern char name[] __attribute__((visibility("default")));
#define UNSUPPORTED(name, since) extern char name[] __attribute__((visibility("default")));
#include "cuda-unsupported.def"
#include "cuda.def"
#undef CUDA
#undef UNSUPPORTED

static const struct row {
    const char *name;
    void *function;
    int since; /* CUDA version of this variant, 0 = not given out by cuGetProcAddress */
} rows[] = {
#define CUDA(name, function, since) {#name, name, since},
#define UNSUPPORTED(name, since) {#name, name, since},
#include "cuda-unsupported.def"
#include "cuda.def"
#undef CUDA
#undef UNSUPPORTED
};
#define ROWS (sizeof rows / sizeof *rows)

enum { FLAG_LEGACY_STREAM = 1, FLAG_PER_THREAD_STREAM = 2 };
enum { FOUND, UNKNOWN_SYMBOL, VERSION_NOT_SUFFICIENT };

/* Whether a row is a variant of the base name: the name, perhaps _vN, perhaps _ptsz or _ptds. */
static bool is_variant(const struct row *row, const char *base, bool *per_thread) {
    size_t length = strlen(base);
    if (row->since == 0 || strncmp(row->name, base, length) != 0)
        return false;
    const char *rest = row->name + length;
    if (rest[0] == '_' && rest[1] == 'v' && rest[2] >= '1' && rest[2] <= '9')
        rest += 3;
    *per_thread = strcmp(rest, "_ptsz") == 0 || strcmp(rest, "_ptds") == 0;
    return *rest == 0 || *per_thread;
}

static bool is_base(const char *symbol) {
    const char *end = strrchr(symbol, '_');
    return !end || (strcmp(end, "_ptsz") != 0 && strcmp(end, "_ptds") != 0 && end[1] != 'v');
}

static int find(const char *symbol, int version, bool want_per_thread, void **out) {
    const struct row *best = NULL;
    bool known = false, has_per_thread = false;
    for (size_t i = 0; i < ROWS && is_base(symbol); i++) {
        bool per_thread;
        if (!is_variant(&rows[i], symbol, &per_thread))
            continue;
        known = true;
        if (per_thread && !want_per_thread)
            continue;
        if (per_thread && !has_per_thread) {
            has_per_thread = true;
            best = NULL;
        }
        if (per_thread == has_per_thread && rows[i].since <= version && (!best || rows[i].since > best->since))
            best = &rows[i];
    }
    *out = best ? best->function : NULL;
    return best ? FOUND : known ? VERSION_NOT_SUFFICIENT : UNKNOWN_SYMBOL;
}

API(GetProcAddress_v2, const char *symbol, void **out, int version, uint64_t flags, int *status) {
    if (!symbol || !*symbol || !out)
        return CUDA_ERROR_INVALID_VALUE;
    int found = find(symbol, version, flags == FLAG_PER_THREAD_STREAM, out);
    if (status)
        *status = found;
    return CUDA_SUCCESS;
}

API(GetProcAddress, const char *symbol, void **out, int version, uint64_t flags) {
    if (!symbol || !*symbol || !out)
        return CUDA_ERROR_INVALID_VALUE;
    return find(symbol, version, flags == FLAG_PER_THREAD_STREAM, out) == FOUND ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}

/* The private tables are not modelled. */
API(GetExportTable, const void **table, const CUuuid *id) {
    if (!table || !id)
        return CUDA_ERROR_INVALID_VALUE;
    *table = NULL;
    return CUDA_ERROR_NOT_SUPPORTED;
}
