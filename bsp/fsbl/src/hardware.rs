//! The machine behind the library's traits: register pages, the time, the memory.

use core::arch::asm;
use core::fmt;
use core::ops::Range;
use core::ptr::NonNull;
use core::slice;
use core::sync::atomic::AtomicU32;

use mmio::{Mmio, Registers};
use zelkova_fsbl::card::WINDOW_WORDS;
use zelkova_fsbl::memory::Ram;
use zelkova_fsbl::time::{Time, wait};
use zynq7000::board::Board;
use zynq7000::memory::CPU_PRIVATE;

/// Cells of the descriptor table: one descriptor for each 64 KiB of a request, and one more.
const DESCRIPTOR_CELLS: usize = 4;

/// Memory that the SD controller reads and writes. Not cleared, since everything in it is written before it is read.
#[unsafe(link_section = ".dma")]
pub(crate) static BLOCKS: [AtomicU32; WINDOW_WORDS] = [const { AtomicU32::new(0) }; WINDOW_WORDS];

/// What the SD controller's DMA engine goes by.
#[unsafe(link_section = ".dma")]
pub(crate) static DESCRIPTORS: [AtomicU32; DESCRIPTOR_CELLS] = [const { AtomicU32::new(0) }; DESCRIPTOR_CELLS];

/// The page of registers at `address`.
///
/// # Safety
/// There must be one, and as long as the value lives nobody else may use it.
pub(crate) unsafe fn page(address: u32) -> Mmio {
    let base = NonNull::new(core::ptr::with_exposed_provenance_mut(address as usize)).unwrap_or(NonNull::dangling());
    // SAFETY: the MMU is off, so that registers are at their physical addresses; the caller vouches for the rest.
    unsafe { Mmio::new(base) }
}

/// The processors' global timer (Cortex-A9 MPCore TRM, 4.4), which counts at half the processors' rate.
#[derive(Debug)]
pub(crate) struct Timer {
    private: Mmio,
    rate: u64,
}

/// Offsets in the private page.
const COUNT_LOW: usize = 0x200;
const COUNT_HIGH: usize = 0x204;
const COUNT_CONTROL: usize = 0x208;
/// The processor's private timer (4.1), which counts down at the same rate: load, control (enable, interrupt enable), status.
const PRIVATE_LOAD: usize = 0x600;
const PRIVATE_CONTROL: usize = 0x608;
const PRIVATE_STATUS: usize = 0x60c;
const PRIVATE_RUN: u32 = 0b101;
const PRIVATE_PRESCALER: u32 = 8;
/// The interrupt controller: its interface to the processor in the private page, and its distributor in the next (3.3).
const INTERFACE_CONTROL: usize = 0x100;
const INTERFACE_PRIORITY: usize = 0x104;
const INTERFACE_ACKNOWLEDGE: usize = 0x10c;
const INTERFACE_END: usize = 0x110;
const DISTRIBUTOR: u32 = CPU_PRIVATE.base + zynq7000::memory::PAGE;
const DISTRIBUTOR_CONTROL: usize = 0x000;
const DISTRIBUTOR_ENABLE: usize = 0x100;
/// The private timer's interrupt.
const PRIVATE_INTERRUPT: u32 = 29;
/// Divides the private timer's clock, so that a second fits its 32 bits many times.
const PRIVATE_DIVISOR: u64 = 100;

impl Timer {
    /// The timer, running. Before the clocks are set up it is slower than it thinks, so that deadlines are later.
    pub(crate) fn start(private: Mmio, board: &Board) -> Self {
        private.write(COUNT_CONTROL, 1);
        let clocks = &board.clocks;
        let rate = u64::from(board.ps_clk) * u64::from(clocks.arm_pll) / u64::from(clocks.cpu.max(1)) / 2;
        Self { private, rate: rate.max(1) }
    }

    /// Stops it: the next program finds it as it was.
    pub(crate) fn stop(&self) {
        self.private.write(COUNT_CONTROL, 0);
    }
}

impl Timer {
    /// Waits for `duration` microseconds, at most some minutes, with the processor asleep. For the end only: the interrupt controller and the private timer stay
    /// on.
    ///
    /// The private timer's interrupt wakes the processor. It is not taken, since interrupts are masked.
    pub(crate) fn sleep(&self, duration: u64) {
        let private = &self.private;
        // SAFETY: this is the distributor's page, used by nobody else.
        let distributor = unsafe { page(DISTRIBUTOR) };
        private.write(INTERFACE_PRIORITY, 0xff);
        private.write(INTERFACE_CONTROL, 1);
        distributor.write(DISTRIBUTOR_ENABLE, 1 << PRIVATE_INTERRUPT);
        distributor.write(DISTRIBUTOR_CONTROL, 1);
        let count = duration.saturating_mul(self.rate / PRIVATE_DIVISOR) / 1_000_000;
        private.write(PRIVATE_CONTROL, 0);
        private.write(PRIVATE_STATUS, 1);
        private.write(PRIVATE_LOAD, u32::try_from(count).unwrap_or(u32::MAX).max(1));
        private.write(PRIVATE_CONTROL, PRIVATE_RUN | (PRIVATE_DIVISOR as u32 - 1) << PRIVATE_PRESCALER);
        while private.read(PRIVATE_STATUS) & 1 == 0 {
            // SAFETY: the processor goes on at the next interrupt, which is pending by then or on its way.
            unsafe { asm!("dsb", "wfi", options(nostack, preserves_flags)) }
        }
        private.write(PRIVATE_CONTROL, 0);
        private.write(PRIVATE_STATUS, 1);
        // What is pending would wake the processor the next time.
        private.write(INTERFACE_END, private.read(INTERFACE_ACKNOWLEDGE));
    }
}

impl Time for Timer {
    fn micros(&self) -> u64 {
        let mut high = self.private.read(COUNT_HIGH);
        loop {
            let low = self.private.read(COUNT_LOW);
            let again = self.private.read(COUNT_HIGH);
            // The lower half takes 12 s to wrap: the second time at the latest, they fit.
            if again == high {
                return (u64::from(high) << 32 | u64::from(low)).wrapping_mul(1_000_000) / self.rate;
            }
            high = again;
        }
    }
}

/// The console.
pub(crate) struct Console<'t> {
    uart: uart::Driver<Mmio>,
    time: &'t Timer,
}

/// How long the UART may take to send what its FIFO holds: 65 characters of 10 bits at 9600 baud, in microseconds.
const SEND_TIME: u64 = 70_000;

impl<'t> Console<'t> {
    /// The console, or nothing if the UART does not start: then there is nobody to tell.
    pub(crate) fn start(board: &Board, time: &'t Timer) -> Option<Self> {
        let base = if board.console.uart == 0 { zynq7000::memory::UART0 } else { zynq7000::memory::UART1 };
        let mut uart = None;
        // What an earlier program left in the FIFO may still be on its way out.
        let _ = wait(time, SEND_TIME, || {
            // SAFETY: this is the UART's page, and an attempt that fails has given it back.
            let page = unsafe { page(base.registers.base) };
            uart = uart::Driver::new(page, board.clocks.uart, board.console.baud).ok();
            uart.is_some()
        });
        uart.map(|uart| Self { uart, time })
    }

    /// Waits until everything is on the line.
    pub(crate) fn flush(&self) {
        let _ = wait(self.time, SEND_TIME, || self.uart.is_idle());
    }

    fn send(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        // A message that is lost is better than a machine that hangs in its console.
        let _ = wait(self.time, SEND_TIME, || {
            let sent = self.uart.write(rest);
            rest = rest.get(sent..).unwrap_or_default();
            rest.is_empty()
        });
    }
}

impl fmt::Write for Console<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut lines = text.split('\n');
        if let Some(first) = lines.next() {
            self.send(first.as_bytes());
        }
        for line in lines {
            self.send(b"\r\n");
            self.send(line.as_bytes());
        }
        Ok(())
    }
}

/// The main memory, once it is started. Nothing of this program is in it.
#[derive(Debug)]
pub(crate) struct Ddr {
    size: u32,
}

impl Ddr {
    /// # Safety
    /// `size` bytes of memory must answer from address 0 on, and nothing else may use them.
    pub(crate) unsafe fn new(size: u32) -> Self {
        Self { size }
    }
}

impl Ram for Ddr {
    fn range(&self) -> Range<u32> {
        0..self.size
    }

    fn load(&self, address: u32) -> u32 {
        let value;
        // SAFETY: nothing of this program is in that memory. In assembly, since address 0 belongs to it.
        unsafe { asm!("ldr {}, [{}]", out(reg) value, in(reg) address, options(nostack, preserves_flags)) }
        value
    }

    fn store(&mut self, address: u32, value: u32) {
        // SAFETY: as for `load`.
        unsafe { asm!("str {}, [{}]", in(reg) value, in(reg) address, options(nostack, preserves_flags)) }
    }

    fn bytes(&mut self, range: Range<u32>) -> Option<&mut [u8]> {
        if range.start == 0 || range.start > range.end || range.end > self.size {
            return None;
        }
        // SAFETY: the range is within memory that answers, is not at the null pointer, and only this value hands it out.
        Some(unsafe {
            slice::from_raw_parts_mut(
                core::ptr::with_exposed_provenance_mut(range.start as usize),
                (range.end - range.start) as usize,
            )
        })
    }

    fn copy(&mut self, from: Range<u32>, to: u32) -> bool {
        let length = from.end.wrapping_sub(from.start);
        if from.start > from.end || from.end > self.size || to.checked_add(length).is_none_or(|end| end > self.size) {
            return false;
        }
        // SAFETY: both ranges are within memory that answers and that nothing else uses. In assembly, since `to` may be 0. Four words at a time where
        // both are aligned, then bytes.
        unsafe {
            asm!(
                "orr {a}, {from}, {to}",
                "tst {a}, #3",
                "bne 3f",
                "2: cmp {length}, #16",
                "blo 3f",
                "ldmia {from}!, {{r4, r5, r8, r12}}",
                "stmia {to}!, {{r4, r5, r8, r12}}",
                "sub {length}, {length}, #16",
                "b 2b",
                "3: cmp {length}, #0",
                "beq 4f",
                "ldrb {a}, [{from}], #1",
                "strb {a}, [{to}], #1",
                "sub {length}, {length}, #1",
                "b 3b",
                "4:",
                a = out(reg) _,
                from = inout(reg) from.start => _,
                to = inout(reg) to => _,
                length = inout(reg) length => _,
                out("r4") _,
                out("r5") _,
                out("r8") _,
                out("r12") _,
                options(nostack),
            );
        }
        true
    }
}
