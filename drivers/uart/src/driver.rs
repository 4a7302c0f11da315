//! Non-blocking output and input.

use bitflags::bitflags;
use mmio::Registers;
use thiserror::Error;
use tock_registers::interfaces::{Readable, Writeable};

use crate::baud::{Divisors, NoSuchRate};
use crate::registers::{CONTROL, EVENT, MODE, Page, STATE};

/// Reads of the control register after which a reset should long be over: each takes
/// several bus cycles, the reset a few cycles of the reference clock.
const RESET_READS: usize = 10_000;

/// Why the UART cannot be taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SetUpError {
    /// The baud rate cannot be made.
    #[error(transparent)]
    Rate(#[from] NoSuchRate),
    /// The line settings have to change, but a previous owner's output is still being sent. Try
    /// again later: at most after the time for 65 bytes.
    #[error("the transmitter is still sending at other line settings; try again when it is done")]
    StillSending,
    /// The controller does not come out of its reset: its reference clock is off.
    #[error("the UART does not finish its reset; is its reference clock on?")]
    ResetStuck,
}

bitflags! {
    /// What an interrupt was about.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Events: u8 {
        /// There is room for more output: call [`Driver::write`].
        const WRITABLE = 1;
        /// Input has come: call [`Driver::read`] until it returns less than it could.
        const READABLE = 1 << 1;
        /// Input was lost, because the receive FIFO was full.
        const OVERRUN = 1 << 2;
        /// Input was damaged: a stop bit was missing or a parity bit wrong. The two ends disagree
        /// on the line settings.
        const DAMAGED = 1 << 3;
    }
}

/// The driver of one UART.
#[derive(Debug)]
pub struct Driver<B> {
    page: Page<B>,
}

impl<B: Registers> Driver<B> {
    /// Takes the UART over, at `baud` bits a second made of the reference `clock` in hertz.
    ///
    /// Output that is still in the FIFO is sent. Interrupts for input are on afterwards.
    ///
    /// # Errors
    /// [`SetUpError`]; nothing has been changed then, except after [`SetUpError::ResetStuck`].
    pub fn new(block: B, clock: u32, baud: u32) -> Result<Self, SetUpError> {
        let page = Page::new(block);
        let divisors = Divisors::new(clock, baud)?;
        let driver = Self { page };
        if !driver.speaks(divisors) {
            if driver.transmits() && !driver.is_idle() {
                return Err(SetUpError::StillSending);
            }
            driver.set_line(divisors)?;
        }
        let page = &driver.page;
        page.control().write(CONTROL::TRANSMIT_ENABLE::SET + CONTROL::RECEIVE_ENABLE::SET);
        page.interrupt_disable().set(u32::MAX);
        // With a level of one byte the event comes for whatever arrives at an empty FIFO.
        page.receive_trigger().set(1);
        page.interrupt_enable()
            .write(EVENT::RECEIVE_TRIGGER::SET + EVENT::OVERRUN::SET + EVENT::FRAMING::SET + EVENT::PARITY::SET);
        Ok(driver)
    }

    /// Whether the line settings are those wanted.
    fn speaks(&self, divisors: Divisors) -> bool {
        self.page.mode().get() == mode()
            && self.page.clock_divisor().get() == u32::from(divisors.clock)
            && self.page.sample_divisor().get() == u32::from(divisors.samples)
    }

    fn transmits(&self) -> bool {
        let control = self.page.control().extract();
        control.is_set(CONTROL::TRANSMIT_ENABLE) && !control.is_set(CONTROL::TRANSMIT_DISABLE)
    }

    /// The order is that of UG585 chapter 19.3.1: the divisors only change while both directions
    /// are disabled, and both are reset afterwards.
    fn set_line(&self, divisors: Divisors) -> Result<(), SetUpError> {
        let disabled = CONTROL::TRANSMIT_DISABLE::SET + CONTROL::RECEIVE_DISABLE::SET;
        let page = &self.page;
        page.control().set(disabled.value);
        page.mode().set(mode());
        page.clock_divisor().set(u32::from(divisors.clock));
        page.sample_divisor().set(u32::from(divisors.samples));
        let resets = CONTROL::TRANSMIT_RESET::SET + CONTROL::RECEIVE_RESET::SET;
        page.control().set(disabled.value | resets.value | CONTROL::STOP_BREAK::SET.value);
        for _ in 0..RESET_READS {
            if page.control().get() & resets.value == 0 {
                return Ok(());
            }
        }
        Err(SetUpError::ResetStuck)
    }

    /// Sends as much of `bytes` as there is room for, and returns how many bytes that were. If it
    /// is less than all, an interrupt comes when there is room again.
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        let page = &self.page;
        page.interrupt_disable().write(EVENT::TRANSMIT_EMPTY::SET);
        let mut sent = 0;
        while let Some(&byte) = bytes.get(sent) {
            if page.state().is_set(STATE::TRANSMIT_FULL) {
                // The first byte of a burst goes straight to the line, which already counts as
                // running empty.
                page.events().clear(EVENT::TRANSMIT_EMPTY::SET.value);
                // Full after the event was cleared: it will come again.
                if page.state().is_set(STATE::TRANSMIT_FULL) {
                    page.interrupt_enable().write(EVENT::TRANSMIT_EMPTY::SET);
                    break;
                }
            }
            page.transmit_fifo().set(u32::from(byte));
            sent += 1;
        }
        sent
    }

    /// Whether everything written has left the UART.
    pub fn is_idle(&self) -> bool {
        let state = self.page.state().extract();
        state.is_set(STATE::TRANSMIT_EMPTY) && !state.is_set(STATE::TRANSMIT_ACTIVE)
    }

    /// Fetches input that has come, and returns how many bytes that are. If `buffer` was filled,
    /// there may be more, for which no further interrupt comes.
    pub fn read(&mut self, buffer: &mut [u8]) -> usize {
        let mut received = 0;
        for byte in buffer.iter_mut() {
            if self.page.state().is_set(STATE::RECEIVE_EMPTY) {
                break;
            }
            *byte = self.page.receive_fifo().get() as u8;
            received += 1;
        }
        received
    }

    /// Handles an interrupt: clears the events that are reported and no others.
    pub fn handle_interrupt(&mut self) -> Events {
        let page = &self.page;
        let pending = page.events().get() & page.interrupt_mask().get();
        page.events().clear(pending);
        if EVENT::TRANSMIT_EMPTY.is_set(pending) {
            page.interrupt_disable().write(EVENT::TRANSMIT_EMPTY::SET);
        }
        let mut events = Events::empty();
        events.set(Events::WRITABLE, EVENT::TRANSMIT_EMPTY.is_set(pending));
        events.set(Events::READABLE, EVENT::RECEIVE_TRIGGER.is_set(pending));
        events.set(Events::OVERRUN, EVENT::OVERRUN.is_set(pending));
        events.set(Events::DAMAGED, EVENT::FRAMING.is_set(pending) || EVENT::PARITY.is_set(pending));
        events
    }
}

/// The mode register for 8 data bits, no parity, one stop bit, undivided clock.
fn mode() -> u32 {
    (MODE::LENGTH::Eight + MODE::PARITY::None + MODE::STOP::One + MODE::CHANNEL::Normal).value
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;
    use crate::model::Uart;

    const CLOCK: u32 = 50_000_000;

    fn driver(uart: &Uart) -> Driver<&Uart> {
        Driver::new(uart, CLOCK, 115_200).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// A component that sleeps until the interrupt gets everything out, in order, however the
        /// line's progress falls between the driver's register accesses.
        #[test]
        fn output_is_complete_and_in_order(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..8),
            pace in prop::collection::vec(prop_oneof![30 => Just(0), 1 => 0..100_usize], 1..200),
        ) {
            let uart = Uart::new();
            let mut driver = driver(&uart);
            uart.set_pace(pace);
            for message in &messages {
                let mut rest = message.as_slice();
                loop {
                    let sent = driver.write(rest);
                    rest = &rest[sent..];
                    if rest.is_empty() {
                        break;
                    }
                    // Asleep: only the line moves on.
                    let mut patience = 1000;
                    while !uart.interrupts() {
                        uart.shift_out(1);
                        patience -= 1;
                        prop_assert!(patience > 0, "the interrupt never comes");
                    }
                    prop_assert!(driver.handle_interrupt().contains(Events::WRITABLE));
                    prop_assert!(!uart.interrupts());
                }
            }
            uart.shift_out(1000);
            prop_assert!(driver.is_idle());
            prop_assert_eq!(uart.sent(), messages.concat());
            prop_assert_eq!(uart.lost(), 0);
        }

        #[test]
        fn input_is_complete_and_in_order(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..60), 1..10),
            size in 1..70_usize,
        ) {
            let uart = Uart::new();
            let mut driver = driver(&uart);
            let mut received = Vec::new();
            for chunk in &chunks {
                uart.receive(chunk);
                prop_assert!(uart.interrupts(), "the interrupt never comes");
                prop_assert!(driver.handle_interrupt().contains(Events::READABLE));
                let mut buffer = std::vec![0; size];
                loop {
                    let count = driver.read(&mut buffer);
                    received.extend_from_slice(&buffer[..count]);
                    if count < size {
                        break;
                    }
                }
            }
            prop_assert_eq!(received, chunks.concat());
        }
    }

    /// The driver is stopped before each of its accesses in turn, for long enough to empty the
    /// FIFO.
    #[test]
    fn room_that_comes_at_any_moment_is_noticed() {
        for access in 0..400 {
            let uart = Uart::new();
            let mut driver = driver(&uart);
            let mut pace = std::vec![0; 1000];
            pace[access] = 65;
            uart.set_pace(pace);
            let sent = driver.write(&[b'x'; 150]);
            uart.shift_out(65);
            assert!(sent == 150 || uart.interrupts(), "stuck when stopped at access {access}");
        }
    }

    #[test]
    fn writing_without_room_takes_nothing_and_interrupts_later() {
        let uart = Uart::new();
        let mut driver = driver(&uart);
        // 64 in the FIFO and one on the line.
        assert_eq!(driver.write(&[b'x'; 100]), 65);
        assert_eq!(driver.write(b"y"), 0);
        assert!(!uart.interrupts());
        uart.shift_out(64);
        assert!(uart.interrupts());
        assert_eq!(driver.handle_interrupt(), Events::WRITABLE);
        assert_eq!(driver.write(b"y"), 1);
        uart.shift_out(1);
        assert!(!uart.interrupts(), "nobody waits for room");
        assert_eq!(driver.handle_interrupt(), Events::empty());
    }

    #[test]
    fn a_running_uart_is_taken_over_without_a_break() {
        let uart = Uart::new();
        driver(&uart).write(b"from the previous owner");
        let mut driver = driver(&uart);
        driver.write(b", and on");
        uart.shift_out(100);
        assert_eq!(uart.sent(), b"from the previous owner, and on");
        assert_eq!(uart.resets(), 1);
    }

    #[test]
    fn line_settings_change_only_when_all_is_sent() {
        let uart = Uart::new();
        Driver::new(&uart, CLOCK, 9600).unwrap().write(b"slow");
        assert_eq!(Driver::new(&uart, CLOCK, 115_200).unwrap_err(), SetUpError::StillSending);
        uart.shift_out(3);
        assert_eq!(Driver::new(&uart, CLOCK, 115_200).unwrap_err(), SetUpError::StillSending);
        uart.shift_out(2);
        assert!(Driver::new(&uart, CLOCK, 115_200).is_ok());
        assert_eq!(uart.sent(), b"slow");
        assert_eq!(uart.baud(CLOCK), 115_207);
    }

    #[test]
    fn the_controller_without_a_clock_is_an_error() {
        let uart = Uart::without_clock();
        assert_eq!(Driver::new(&uart, CLOCK, 115_200).unwrap_err(), SetUpError::ResetStuck);
    }

    #[test]
    fn a_full_receive_fifo_is_reported() {
        let uart = Uart::new();
        let mut driver = driver(&uart);
        uart.receive(&[b'x'; 65]);
        let events = driver.handle_interrupt();
        assert_eq!(events, Events::OVERRUN | Events::READABLE);
        assert_eq!(driver.read(&mut [0; 100]), 64);
    }

    #[test]
    fn an_event_that_comes_during_handling_is_not_lost() {
        let uart = Uart::new();
        let mut driver = driver(&uart);
        driver.write(&[b'x'; 66]);
        uart.receive(b"a");
        // The FIFO runs empty after the events were read and before they are cleared.
        uart.shift_out_after_events_read(64);
        assert_eq!(driver.handle_interrupt(), Events::READABLE);
        assert!(uart.interrupts());
        assert!(driver.handle_interrupt().contains(Events::WRITABLE));
    }
}
