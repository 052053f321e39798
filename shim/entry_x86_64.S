/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of drivers beyond the first of their library, as resolve.c gives them to the program: 16 bytes each,
   for each number from LIBRARIES (real.h) on one for each row HOOK of hooks.def. They note in real_chosen whose call
   it is, go into the hook, and note what was there before. Arguments on the stack are copied: six at most (resolve.c
   asserts it). */
    .set LIBRARY_cuda, 0
    .set LIBRARY_nvml, 1
    .set number, 2

    .macro entry library
    .p2align 4, 0xcc
    endbr64
    mov $(LIBRARY_\library << 24 | number << 16 | index), %eax
    jmp enter
    .set index, index + 1
    .endm
#define HOOK(library, name, ...) entry library
#define CALL(...)

    .text
    .p2align 4
    .globl entries
    .hidden entries
    .type entries, @function
entries:
    .rept 14
    .set index, 0
#include "hooks.def"
    .set number, number + 1
    .endr
    .p2align 4, 0xcc
    .size entries, . - entries

    .type enter, @function
enter:
    .cfi_startproc
    sub $72, %rsp
    .cfi_adjust_cfa_offset 72
    .set at, 0
    .rept 6
    mov 80+at(%rsp), %r10
    mov %r10, at(%rsp)
    .set at, at + 8
    .endr
    mov real_chosen@gottpoff(%rip), %r11
    add %fs:0, %r11
    mov %eax, %r10d
    shr $24, %r10d
    add %r10, %r11
    movzbl (%r11), %r10d
    mov %r11, 56(%rsp)
    mov %r10, 48(%rsp)
    mov %eax, %r10d
    shr $16, %r10d
    mov %r10b, (%r11)
    movzwl %ax, %eax
    shl $5, %eax
    lea resolve_hooks(%rip), %r10
    call *8(%r10, %rax)
    mov 56(%rsp), %r11
    mov 48(%rsp), %r10
    mov %r10b, (%r11)
    add $72, %rsp
    .cfi_adjust_cfa_offset -72
    ret
    .cfi_endproc
    .size enter, . - enter

    .section .note.gnu.property, "a"
    .p2align 3
    .long 4, 16, 5
    .asciz "GNU"
    .long 0xc0000002, 4, 3, 0 /* x86 features: IBT and SHSTK */
    .section .note.GNU-stack, "", @progbits
