//! From the boot ROM's jump to Rust, and from Rust to what was loaded.
//!
//! The boot ROM enters with three quarters of the on-chip memory at address 0 and one at 0xFFFF0000 (UG585 chapter 6.3.3). What is to be loaded may lie at
//! address 0, too: memory shows there once the on-chip memory has moved up and the snoop control unit lets the lowest MiB through (chapter 4.1, 29.4.1).
//! The code that moves it cannot stay in what it moves, so it runs from the last quarter, which stays where it is.

use core::arch::{asm, global_asm};

/// SLCR, and the offsets of `SLCR_UNLOCK` and `OCM_CFG`.
const SLCR: u32 = 0xf800_0000;
/// The snoop control unit: control at 0, start of the filtered addresses at 0x40 (Cortex-A9 MPCore TRM, 2.2).
const SCU: u32 = 0xf8f0_0000;
/// The last quarter of the on-chip memory.
const LAST_QUARTER: u32 = 0xffff_0000;

// The first word is a preload that does nothing; it marks the beginning of interval 16, which instruction counting sees.
global_asm!(
    ".section .start, \"ax\"",
    ".global _start",
    ".arm",
    "_start:",
    ".word 0xf55ff110",
    "cpsid aif, #0x13",
    // The second processor waits in the boot ROM's loop and is not expected here.
    "mrc p15, 0, r0, c0, c0, 5",
    "tst r0, #0xff",
    "beq 2f",
    "1: wfe",
    "b 1b",
    // MMU, caches, branch prediction off, vectors low; whatever caches hold is invalid.
    "2: mrc p15, 0, r0, c1, c0, 0",
    "bic r0, r0, #0x3800",
    "bic r0, r0, #0x7",
    "mcr p15, 0, r0, c1, c0, 0",
    "mov r0, #0",
    "mcr p15, 0, r0, c7, c5, 0",
    "mcr p15, 0, r0, c7, c5, 6",
    "mcr p15, 0, r0, c8, c7, 0",
    "dsb",
    "isb",
    "adr r0, 4f",
    "adr r1, 5f",
    "movw r2, #{last_low}",
    "movt r2, #{last_high}",
    "mov r4, r2",
    "3: ldr r3, [r0], #4",
    "str r3, [r2], #4",
    "cmp r0, r1",
    "blo 3b",
    "dsb",
    "isb",
    "bx r4",
    // From here on at the copy's address.
    "4: movw r0, #{slcr_low}",
    "movt r0, #{slcr_high}",
    "movw r1, #0xdf0d",
    "str r1, [r0, #0x8]",
    "movw r1, #{scu_low}",
    "movt r1, #{scu_high}",
    "mov r2, #0",
    "str r2, [r1, #0x40]",
    "ldr r2, [r1]",
    "orr r2, r2, #2",
    "str r2, [r1]",
    "ldr r2, [r0, #0x910]",
    "orr r2, r2, #0xf",
    "str r2, [r0, #0x910]",
    "dsb",
    "isb",
    "movw r2, #:lower16:{high}",
    "movt r2, #:upper16:{high}",
    "bx r2",
    "5:",
    slcr_low = const SLCR & 0xffff,
    slcr_high = const SLCR >> 16,
    scu_low = const SCU & 0xffff,
    scu_high = const SCU >> 16,
    last_low = const LAST_QUARTER & 0xffff,
    last_high = const LAST_QUARTER >> 16,
    high = sym high,
);

// Exceptions: what came, and where from. No way leads back.
global_asm!(
    ".section .vectors, \"ax\"",
    ".arm",
    ".balign 32",
    ".global __vectors",
    "__vectors:",
    "b .",
    "b 1f",
    "b 2f",
    "b 3f",
    "b 4f",
    "b .",
    "b .",
    "b .",
    "1: mov r0, #1",
    "b 5f",
    "2: mov r0, #2",
    "b 5f",
    "3: mov r0, #3",
    "b 5f",
    "4: mov r0, #4",
    "5: mov r1, lr",
    "cpsid aif, #0x13",
    "ldr sp, =__stack_top",
    "b {exception}",
    ".ltorg",
    exception = sym crate::run::exception,
);

/// Everything up to the first Rust function: stack, cleared memory, vectors, instruction cache.
///
/// # Safety
/// To be jumped to once, from the code above.
#[unsafe(naked)]
unsafe extern "C" fn high() -> ! {
    core::arch::naked_asm!(
        "ldr sp, =__stack_top",
        "ldr r0, =__bss_start",
        "ldr r1, =__bss_end",
        "mov r2, #0",
        "1: cmp r0, r1",
        "strlo r2, [r0], #4",
        "blo 1b",
        "ldr r0, =__vectors",
        "mcr p15, 0, r0, c12, c0, 0",
        "mrc p15, 0, r0, c1, c0, 0",
        "orr r0, r0, #0x1800",
        "mcr p15, 0, r0, c1, c0, 0",
        "isb",
        "b {run}",
        ".ltorg",
        run = sym crate::run::run,
    )
}

/// Leaves the boot loader for `entry`, in SVC mode, with interrupts masked and MMU and caches off.
///
/// # Safety
/// There must be a program at `entry` that expects that.
pub(crate) unsafe fn leave(entry: u32) -> ! {
    // SAFETY: the caller vouches for the jump; nothing here is returned to.
    unsafe {
        asm!(
            "dsb",
            "mrc p15, 0, r1, c1, c0, 0",
            "bic r1, r1, #0x1800",
            "mcr p15, 0, r1, c1, c0, 0",
            "mov r1, #0",
            "mcr p15, 0, r1, c12, c0, 0",
            "mcr p15, 0, r1, c7, c5, 0",
            "mcr p15, 0, r1, c7, c5, 6",
            "dsb",
            "isb",
            // The end of interval 16.
            ".word 0xf55ff210",
            "bx r0",
            in("r0") entry,
            options(noreturn),
        )
    }
}
