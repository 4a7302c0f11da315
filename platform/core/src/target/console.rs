//! Core's console: UART1, polled.
//!
//! The loader has set the UART up (UG585 chapter 19); core only writes to its FIFO. A write waits a bounded number of reads for room and
//! then gives the byte up: a console must not stop the system.

use core::fmt::{Display, Write};
use core::sync::atomic::{AtomicUsize, Ordering};

use zelkova_core::log::Console;

const CONTROL: usize = 0x00;
const MODE: usize = 0x04;
const STATUS: usize = 0x2c;
const FIFO: usize = 0x30;
const STATUS_TX_FULL: u32 = 1 << 4;
const CONTROL_RESET_AND_ENABLE: u32 = 0x17;
const CONTROL_ENABLE: u32 = 0x14;
const MODE_8N1: u32 = 0x20;
/// Reads before a byte is given up: 64 bytes of FIFO drain in 5.6 ms at 115200 baud.
const PATIENCE: u32 = 1_000_000;

/// Address of the mapped registers, 0 before there are any.
static REGISTERS: AtomicUsize = AtomicUsize::new(0);

/// The UART, once its registers are mapped.
pub(super) struct Uart;

impl Uart {
    /// The UART whose registers are mapped at `address`, as device memory.
    ///
    /// # Safety
    /// `address` is such a mapping of one page, and stays it until [`lose`](Self::lose).
    pub(super) unsafe fn at(address: usize) -> Self {
        REGISTERS.store(address, Ordering::Relaxed);
        Self
    }

    /// Forgets the registers before they are unmapped. What is written from then on is lost.
    pub(super) fn lose() {
        REGISTERS.store(0, Ordering::Relaxed);
    }

    fn register(offset: usize) -> Option<*mut u32> {
        let address = REGISTERS.load(Ordering::Relaxed);
        (address != 0).then(|| core::ptr::with_exposed_provenance_mut::<u32>(address + offset))
    }

    fn write_register(offset: usize, value: u32) {
        if let Some(register) = Self::register(offset) {
            // SAFETY: by the contract of `at`, the page is mapped; the offset is one of the constants above, within the page.
            unsafe { register.write_volatile(value) };
        }
    }

    fn read_register(offset: usize) -> u32 {
        // SAFETY: as in `write_register`.
        Self::register(offset).map_or(0, |register| unsafe { register.read_volatile() })
    }
}

impl Console for Uart {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if (0..PATIENCE).any(|_| Self::read_register(STATUS) & STATUS_TX_FULL == 0) {
                Self::write_register(FIFO, u32::from(*byte));
            }
        }
    }

    fn reclaim(&mut self) {
        Self::write_register(CONTROL, CONTROL_RESET_AND_ENABLE);
        Self::write_register(MODE, MODE_8N1);
        Self::write_register(CONTROL, CONTROL_ENABLE);
    }
}

struct Emergency;

impl Write for Emergency {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        Uart.write(text.as_bytes());
        Ok(())
    }
}

/// Says why core cannot go on, and stops. Only reached before init runs, or by a defect.
pub(super) fn emergency(reason: impl Display) -> ! {
    let _ = write!(Emergency, "[core] stopped: {reason}\r\n");
    loop {
        sel4::syscalls::recv(0);
    }
}
