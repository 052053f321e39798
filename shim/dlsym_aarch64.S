/* dlsym and dlvsym for arm64: see dlsym_x86_64.S. */
    .text
    .globl dlsym
    .type dlsym, %function
dlsym:
    .cfi_startproc
    hint 34 /* bti c */
    stp x29, x30, [sp, #-32]!
    .cfi_adjust_cfa_offset 32
    .cfi_rel_offset x29, 0
    .cfi_rel_offset x30, 8
    stp x0, x1, [sp, #16]
    mov x29, sp
    bl resolve_dlsym
    cbnz x1, 1f
    mov x16, x0
    ldp x0, x1, [sp, #16]
    ldp x29, x30, [sp], #32
    br x16
1:  ldp x29, x30, [sp], #32
    ret
    .cfi_endproc
    .size dlsym, . - dlsym

    .globl dlvsym
    .type dlvsym, %function
dlvsym:
    .cfi_startproc
    hint 34
    stp x29, x30, [sp, #-48]!
    .cfi_adjust_cfa_offset 48
    .cfi_rel_offset x29, 0
    .cfi_rel_offset x30, 8
    stp x0, x1, [sp, #16]
    str x2, [sp, #32]
    mov x29, sp
    mov x3, x30
    bl resolve_dlvsym
    cbnz x1, 1f
    mov x16, x0
    ldr x2, [sp, #32]
    ldp x0, x1, [sp, #16]
    ldp x29, x30, [sp], #48
    br x16
1:  ldp x29, x30, [sp], #48
    ret
    .cfi_endproc
    .size dlvsym, . - dlvsym

    .section .note.GNU-stack, "", %progbits
