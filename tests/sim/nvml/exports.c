/* SPDX-License-Identifier: Apache-2.0 */
/* The exported names: each row of nvml.def is a jump to its function, the others answer NVML_ERROR_NOT_SUPPORTED. */

#if defined(__x86_64__)
#define JUMP(function) "\tjmp " function "\n"
#define ANSWER_3 "\tmovl $3, %eax\n\tret\n"
#elif defined(__aarch64__)
#define JUMP(function) "\tb " function "\n"
#define ANSWER_3 "\tmov w0, #3\n\tret\n"
#endif

#define EXPORT(name, body)                                                                                             \
    __asm__(".text\n.p2align 4\n.globl " #name "\n.type " #name ", %function\n" #name ":\n" body ".size " #name        \
            ", .-" #name "\n");

#define EXPORTED(name, function) EXPORT(name, JUMP("nvml_" #function))
#define UNSUPPORTED(name) EXPORT(name, ANSWER_3)
#include "nvml-unsupported.def"
#include "nvml.def"
