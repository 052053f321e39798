/* SPDX-License-Identifier: Apache-2.0 */
/* For arm64: see entry_x86_64.S. */
    .set LIBRARY_cuda, 0
    .set LIBRARY_nvml, 1
    .set number, 2

    .macro entry library
    .p2align 4
    hint 34 /* bti c */
    movz w16, #index
    movk w16, #(LIBRARY_\library << 8 | number), lsl #16
    b enter
    .set index, index + 1
    .endm
#define HOOK(library, name, ...) entry library
#define CALL(...)

    .text
    .p2align 4
    .globl entries
    .hidden entries
    .type entries, %function
entries:
    .rept 14
    .set index, 0
#include "hooks.def"
    .set number, number + 1
    .endr
    .size entries, . - entries

    .type enter, %function
enter:
    .cfi_startproc
    stp x29, x30, [sp, #-32]!
    .cfi_adjust_cfa_offset 32
    .cfi_rel_offset x29, 0
    .cfi_rel_offset x30, 8
    mov x29, sp
    adrp x17, :gottprel:real_chosen
    ldr x17, [x17, #:gottprel_lo12:real_chosen]
    mrs x9, tpidr_el0
    add x17, x17, x9
    lsr w9, w16, #24
    add x17, x17, x9
    ldrb w9, [x17]
    stp x17, x9, [sp, #16]
    lsr w9, w16, #16
    strb w9, [x17]
    and w16, w16, #0xffff
    adrp x9, resolve_hooks
    add x9, x9, :lo12:resolve_hooks
    add x9, x9, x16, lsl #5
    ldr x9, [x9, #8]
    sub sp, sp, #32
    .cfi_adjust_cfa_offset 32
    ldp x10, x11, [x29, #32]
    stp x10, x11, [sp]
    ldp x10, x11, [x29, #48]
    stp x10, x11, [sp, #16]
    blr x9
    add sp, sp, #32
    .cfi_adjust_cfa_offset -32
    ldp x17, x9, [sp, #16]
    strb w9, [x17]
    ldp x29, x30, [sp], #32
    .cfi_restore x30
    .cfi_restore x29
    .cfi_adjust_cfa_offset -32
    ret
    .cfi_endproc
    .size enter, . - enter

    .section .note.GNU-stack, "", %progbits
