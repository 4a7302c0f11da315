//! Marks for measuring.
//!
//! A mark is an instruction that does nothing and needs no privilege: a preload hint whose immediate names an interval. The emulator's
//! plugin counts instructions between the marks that begin and end an interval, exactly; on the board they cost a cycle.

/// Intervals.
pub mod interval {
    /// From the loader's first instruction to init's first line; the loader has the beginning.
    pub const BOOT: u32 = 1;
    /// A call to a server and its answer, four words each way.
    pub const RPC: u32 = 2;
    /// A read of 64 KiB from an SD card, without cache maintenance.
    pub const SD_READ: u32 = 3;
    /// Starting one more component.
    pub const COMPONENT: u32 = 5;
    /// Opening a session through init, and closing it.
    pub const SESSION: u32 = 6;
    /// A signal to another component, and its signal back.
    pub const SIGNAL: u32 = 7;
    /// An access to a page that core maps at that moment.
    pub const PAGE_FAULT: u32 = 24;
    /// An access to a page that another component supplies.
    pub const PAGER: u32 = 25;
    /// Drawing a picture.
    pub const DRAW: u32 = 40;
    /// Writing it back to memory.
    pub const WRITE_BACK: u32 = 41;
    /// Showing it, up to the end of the frame in which it was waited for.
    pub const SHOW: u32 = 42;
    /// Passing a picture on: from asking for it up to the end of the frame that was shown before it.
    pub const PASS: u32 = 43;
}

/// Begins interval `INTERVAL` (0 to 255).
#[inline(always)]
pub fn begin<const INTERVAL: u32>() {
    #[cfg(target_os = "none")]
    // SAFETY: `PLD [pc, #-imm]` is a hint: it changes no register, no flag and no memory (ARM ARM A8.8.127).
    unsafe {
        core::arch::asm!(".word 0xf55ff100 | {}", const INTERVAL, options(nomem, nostack, preserves_flags));
    }
}

/// Ends interval `INTERVAL`.
#[inline(always)]
pub fn end<const INTERVAL: u32>() {
    #[cfg(target_os = "none")]
    // SAFETY: as in `begin`.
    unsafe {
        core::arch::asm!(".word 0xf55ff200 | {}", const INTERVAL, options(nomem, nostack, preserves_flags));
    }
}
