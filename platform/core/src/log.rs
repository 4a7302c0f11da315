//! Core's log.
//!
//! # Theory of operation
//!
//! Core writes its own lines, and those of components that have no better place, to a console: the board's UART, which it drives
//! itself. When a driver takes the UART over, it cannot; so every line also goes to a ring in a few pages
//! of memory that the driver can attach as the boot module `core-log`. Core is the only writer: word 0 counts all bytes ever
//! written. The reader keeps its own count in word 1, so that core can print the rest when the driver is gone.

use core::fmt::Write;
use core::sync::atomic::{AtomicU32, Ordering};

use session::Label;

/// Name of the boot module that is the log.
pub const MODULE: &str = "core-log";
/// Words of the ring before its text.
pub const HEADER_WORDS: usize = 2;
/// Bytes of the ring: room for what is said about several faults before the driver gets to run.
pub const RING_BYTES: u32 = 16 * 1024;
/// Bytes of text in the ring.
pub const TEXT_BYTES: u32 = RING_BYTES - HEADER_WORDS as u32 * 4;

/// Where lines go when no driver has taken over.
pub trait Console {
    /// Writes bytes, in bounded time, losing them if the device does not take them.
    fn write(&mut self, bytes: &[u8]);
    /// Sets the device up again after a driver had it.
    fn reclaim(&mut self);
}

/// The log.
pub struct Log<'a, C> {
    console: C,
    ring: Option<&'a [AtomicU32]>,
    /// A driver has the console.
    pub released: bool,
}

impl<'a, C: Console> Log<'a, C> {
    /// A log that only goes to the console.
    pub fn new(console: C) -> Self {
        Self { console, ring: None, released: false }
    }

    /// Also writes to a ring of [`RING_BYTES`].
    pub fn set_ring(&mut self, ring: &'a [AtomicU32]) {
        self.ring = Some(ring);
    }

    /// Writes a line with a label.
    pub fn line(&mut self, label: &Label, text: core::fmt::Arguments<'_>) {
        // Formatting into the log cannot fail: `write_str` always succeeds.
        let _ = write!(self, "[{}] {text}\r\n", label.as_str());
    }

    /// Takes the console back, and prints what the driver did not get to.
    pub fn reclaim(&mut self) {
        self.released = false;
        self.console.reclaim();
        let Some(ring) = self.ring else { return };
        let [written, read, text @ ..] = ring else { return };
        let written = written.load(Ordering::Relaxed);
        let unread = written.wrapping_sub(read.load(Ordering::Relaxed));
        if unread > TEXT_BYTES {
            return;
        }
        for at in (0..unread).map(|index| written.wrapping_sub(unread - index)) {
            let position = (at % TEXT_BYTES) as usize;
            if let Some(word) = text.get(position / 4) {
                self.console.write(&[(word.load(Ordering::Relaxed) >> (position % 4 * 8)) as u8]);
            }
        }
        read.store(written, Ordering::Relaxed);
    }
}

impl<C: Console> Write for Log<'_, C> {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        if !self.released {
            self.console.write(text.as_bytes());
        }
        if let Some([written, read, words @ ..]) = self.ring {
            let start = written.load(Ordering::Relaxed);
            let mut at = start;
            for byte in text.bytes() {
                let position = (at % TEXT_BYTES) as usize;
                if let Some(word) = words.get(position / 4) {
                    let shift = position % 4 * 8;
                    let value = word.load(Ordering::Relaxed) & !(0xff << shift) | u32::from(byte) << shift;
                    word.store(value, Ordering::Relaxed);
                }
                at = at.wrapping_add(1);
            }
            // Release: a reader that sees the count sees the text.
            written.store(at, Ordering::Release);
            if !self.released {
                read.store(at, Ordering::Relaxed);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[derive(Default)]
    struct Screen(Vec<u8>);

    impl Console for Screen {
        fn write(&mut self, bytes: &[u8]) {
            self.0.extend_from_slice(bytes);
        }
        fn reclaim(&mut self) {
            self.0.extend_from_slice(b"<reclaimed>");
        }
    }

    #[test]
    fn what_the_driver_missed_is_printed_when_it_is_gone() {
        let ring: Vec<AtomicU32> = (0..RING_BYTES / 4).map(|_| AtomicU32::new(0)).collect();
        let mut log = Log::new(Screen::default());
        log.set_ring(&ring);
        let label = Label::new("core").unwrap();
        log.line(&label, format_args!("one"));
        log.released = true;
        log.line(&label, format_args!("two"));
        ring[1].fetch_add(5, Ordering::Relaxed);
        log.reclaim();
        log.line(&label, format_args!("three"));
        assert_eq!(std::str::from_utf8(&log.console.0).unwrap(), "[core] one\r\n<reclaimed>] two\r\n[core] three\r\n");
    }

    #[test]
    fn a_reader_that_lies_gets_nothing_printed() {
        let ring: Vec<AtomicU32> = (0..RING_BYTES / 4).map(|_| AtomicU32::new(0)).collect();
        let mut log = Log::new(Screen::default());
        log.set_ring(&ring);
        log.released = true;
        ring[1].store(77, Ordering::Relaxed);
        log.reclaim();
        assert_eq!(log.console.0, b"<reclaimed>");
    }
}
