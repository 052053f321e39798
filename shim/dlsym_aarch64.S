/* SPDX-License-Identifier: Apache-2.0 */
/* dlsym and the others for arm64: see dlsym_x86_64.S. */
    .macro ROUTE name
    .globl \name
    .type \name, %function
\name:
    .cfi_startproc
    hint 34 /* bti c */
    stp x29, x30, [sp, #-48]!
    .cfi_adjust_cfa_offset 48
    .cfi_rel_offset x29, 0
    .cfi_rel_offset x30, 8
    stp x0, x1, [sp, #16]
    str x2, [sp, #32]
    mov x29, sp
    mov x3, x30
    bl route_\name
    cbnz x1, 1f
    mov x16, x0
    ldr x2, [sp, #32]
    ldp x0, x1, [sp, #16]
    ldp x29, x30, [sp], #48
    br x16
1:  ldp x29, x30, [sp], #48
    ret
    .cfi_endproc
    .size \name, . - \name
    .endm

    .text
    ROUTE dlsym
    ROUTE dlvsym
    ROUTE dlopen
    ROUTE dlmopen

    .section .note.GNU-stack, "", %progbits
