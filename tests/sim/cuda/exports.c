/*
 * The exported names: each row of cuda.def is a jump to its function, each name of cuda-unsupported.def answers
 * CUDA_ERROR_NOT_SUPPORTED. Every name has an address of its own, as in the real driver. cuGetProcAddress chooses
 * among the rows of a base name the newest that the caller's version knows.
 */
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
#define UNSUPPORTED(name) EXPORT(name, ANSWER_801)
#include "cuda-unsupported.def"
#include "cuda.def"
#undef CUDA
#undef UNSUPPORTED

#define CUDA(name, function, since) extern char name[] __attribute__((visibility("default")));
#define UNSUPPORTED(name) extern char name[] __attribute__((visibility("default")));
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
#define UNSUPPORTED(name) {#name, name, -1},
#include "cuda-unsupported.def"
#include "cuda.def"
#undef CUDA
#undef UNSUPPORTED
};
#define ROWS (sizeof rows / sizeof *rows)

enum { FLAG_LEGACY_STREAM = 1, FLAG_PER_THREAD_STREAM = 2 };

/* Whether a row is a variant of the base name: the name, perhaps _vN, perhaps _ptsz or _ptds. */
static bool is_variant(const char *name, const char *base, bool *per_thread) {
    size_t length = strlen(base);
    if (strncmp(name, base, length) != 0)
        return false;
    const char *rest = name + length;
    if (rest[0] == '_' && rest[1] == 'v' && rest[2] >= '1' && rest[2] <= '9')
        rest += 3;
    *per_thread = strcmp(rest, "_ptsz") == 0 || strcmp(rest, "_ptds") == 0;
    return *rest == 0 || *per_thread;
}

API(GetProcAddress_v2, const char *symbol, void **out, int version, uint64_t flags, int *status) {
    if (!symbol || !*symbol || !out || flags > FLAG_PER_THREAD_STREAM)
        return CUDA_ERROR_INVALID_VALUE;
    const struct row *best = NULL;
    bool best_per_thread = false, known = false;
    for (size_t i = 0; i < ROWS; i++) {
        bool per_thread;
        if (!is_variant(rows[i].name, symbol, &per_thread))
            continue;
        known = true;
        if (per_thread && flags != FLAG_PER_THREAD_STREAM)
            continue;
        if (rows[i].since > version)
            continue;
        if (best && (best_per_thread > per_thread || (best_per_thread == per_thread && best->since > rows[i].since)))
            continue;
        best = &rows[i];
        best_per_thread = per_thread;
    }
    *out = best ? best->function : NULL;
    if (status)
        *status = best ? 0 : known ? 2 : 1;
    return best ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}

API(GetProcAddress, const char *symbol, void **out, int version, uint64_t flags) {
    return api_GetProcAddress_v2(symbol, out, version, flags, NULL);
}

/* The private tables are not modelled. */
API(GetExportTable, const void **table, const CUuuid *id) {
    if (!table || !id)
        return CUDA_ERROR_INVALID_VALUE;
    *table = NULL;
    return CUDA_ERROR_NOT_SUPPORTED;
}
