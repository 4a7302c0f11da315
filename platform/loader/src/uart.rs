//! UART1, as far as messages need it (UG585, chapter 19 and appendix B).
//!
//! The transmitter takes a byte from a FIFO of 64, at a rate of reference clock / (CD * (BDIV + 1)). Only sending is used
//! here, by polling, and every wait gives up after a bounded number of polls: a message that is lost is better than a
//! machine that hangs in its console.

use core::fmt;

/// Physical address of UART1.
const UART1: usize = 0xe000_1000;

/// Offsets of registers.
const CONTROL: usize = 0x00;
const MODE: usize = 0x04;
const BAUD_GENERATOR: usize = 0x18;
const CHANNEL_STATUS: usize = 0x2c;
const FIFO: usize = 0x30;
const BAUD_DIVIDER: usize = 0x34;

/// Control register: resets of both paths (which clear themselves), enables, disables.
const RESETS: u32 = 0x03;
const ENABLES: u32 = 0x14;
const DISABLES: u32 = 0x28;
/// Mode register: 8 data bits, no parity, 1 stop bit, undivided reference clock.
const MODE_8N1: u32 = 0x20;
/// Channel status register: transmitter FIFO empty, FIFO full, transmitter still shifting.
const TX_EMPTY: u32 = 1 << 3;
const TX_FULL: u32 = 1 << 4;
const TX_ACTIVE: u32 = 1 << 11;

/// 50 MHz / (62 * (6 + 1)) = 115 207 baud.
const CD: u32 = 62;
const BDIV: u32 = 6;

/// Most polls of a wait. A read of the UART takes at least 10 CPU cycles, a full FIFO at 115 200 baud 5.6 ms or 3.7 million
/// cycles at 667 MHz.
const POLLS: u32 = 1_000_000;

/// UART1. There is one user of it, the loader.
pub(crate) struct Uart {
    registers: *mut u32,
}

impl Uart {
    /// Sets UART1 up for 115 200 baud, 8N1, from a reference clock of 50 MHz, once what it was sending is out.
    ///
    /// # Safety
    /// The MMU must be off: the registers are at their physical address. Nobody else may use UART1 meanwhile.
    pub(crate) unsafe fn start() -> Self {
        let uart = Self { registers: core::ptr::with_exposed_provenance_mut(UART1) };
        uart.wait(CHANNEL_STATUS, TX_EMPTY | TX_ACTIVE, TX_EMPTY);
        uart.write(CONTROL, DISABLES);
        uart.write(MODE, MODE_8N1);
        uart.write(BAUD_GENERATOR, CD);
        uart.write(BAUD_DIVIDER, BDIV);
        uart.write(CONTROL, RESETS | ENABLES);
        uart.wait(CONTROL, RESETS, 0);
        uart.write(CONTROL, ENABLES);
        uart
    }

    /// Waits until what was written is on the line.
    pub(crate) fn flush(&self) {
        self.wait(CHANNEL_STATUS, TX_EMPTY | TX_ACTIVE, TX_EMPTY);
    }

    /// Waits until the bits `mask` of a register are `value`, but not for ever.
    fn wait(&self, register: usize, mask: u32, value: u32) {
        for _ in 0..POLLS {
            if self.read(register) & mask == value {
                break;
            }
        }
    }

    fn read(&self, register: usize) -> u32 {
        // SAFETY: the caller of `start` vouches that UART1's registers are at this address; all registers named here are
        // aligned words, and none of those read has a side effect.
        unsafe { self.registers.byte_add(register).read_volatile() }
    }

    fn write(&self, register: usize, value: u32) {
        // SAFETY: as in `read`; the UART does no DMA, so that no write to it can touch memory.
        unsafe { self.registers.byte_add(register).write_volatile(value) }
    }
}

impl fmt::Write for Uart {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if byte == b'\n' {
                self.wait(CHANNEL_STATUS, TX_FULL, 0);
                self.write(FIFO, u32::from(b'\r'));
            }
            self.wait(CHANNEL_STATUS, TX_FULL, 0);
            self.write(FIFO, u32::from(byte));
        }
        Ok(())
    }
}
