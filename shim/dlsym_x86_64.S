/* SPDX-License-Identifier: Apache-2.0 */
/* dlsym, dlvsym, dlopen and dlmopen: ask our resolver; what is not hooked continues in the real function by a jump,
   with the arguments and the return address as the caller left them, so RTLD_NEXT and RTLD_DEFAULT stay relative to the
   caller. The resolver returns two words: an answer and 1, or where to continue and 0. */
    .macro ROUTE name
    .globl \name
    .type \name, @function
\name:
    .cfi_startproc
    endbr64
    push %rdi
    .cfi_adjust_cfa_offset 8
    push %rsi
    .cfi_adjust_cfa_offset 8
    push %rdx
    .cfi_adjust_cfa_offset 8
    mov 24(%rsp), %rcx /* the return address identifies the caller */
    call route_\name
    mov %rdx, %rcx
    pop %rdx
    .cfi_adjust_cfa_offset -8
    pop %rsi
    .cfi_adjust_cfa_offset -8
    pop %rdi
    .cfi_adjust_cfa_offset -8
    test %rcx, %rcx
    jz 1f
    ret
1:  jmp *%rax
    .cfi_endproc
    .size \name, . - \name
    .endm

    .text
    ROUTE dlsym
    ROUTE dlvsym
    ROUTE dlopen
    ROUTE dlmopen

    .section .note.gnu.property, "a"
    .p2align 3
    .long 4, 16, 5
    .asciz "GNU"
    .long 0xc0000002, 4, 3, 0 /* x86 features: IBT and SHSTK */
    .section .note.GNU-stack, "", @progbits
