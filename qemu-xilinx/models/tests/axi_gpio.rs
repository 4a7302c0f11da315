//! AXI GPIO against PG144 v2.0, by a host that knows only the product guide.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

mod complaints;

use proptest::prelude::*;

use zelkova_models::axi_gpio::{AxiGpio, CHANNEL_2, Channel};
use zelkova_models::{Device, Drive, Width};

const DATA: [u32; 2] = [0x00, 0x08];
const TRI: [u32; 2] = [0x04, 0x0C];
const GIER: u32 = 0x11C;
const ISR: u32 = 0x120;
const IER: u32 = 0x128;

const ENABLED: u32 = 0x8000_0000;

struct Host {
    gpio: AxiGpio,
}

impl Host {
    /// Eight switches and eight LEDs.
    fn board() -> Self {
        Self { gpio: AxiGpio::new(Channel::inputs(8), Some(Channel::outputs(8))) }
    }

    fn read(&mut self, offset: u32) -> u32 {
        self.gpio.read(offset, Width::Word, 0)
    }

    fn write(&mut self, offset: u32, value: u32) {
        self.gpio.write(offset, Width::Word, value, 0);
    }

    fn sense(&mut self, channel: u32, pin: u32, level: bool) {
        self.gpio.sense(CHANNEL_2 * channel + pin, level, 0);
    }

    fn line(&self) -> bool {
        self.gpio.interrupts() == 1
    }

    fn complaint(&mut self) -> String {
        complaints::only(&mut self.gpio)
    }

    fn quiet(&mut self) {
        complaints::none(&mut self.gpio);
    }
}

/// Table 2-4, register address map, and the parameters `C_DOUT_DEFAULT`, `C_TRI_DEFAULT` and widths.
#[test]
fn reset_values() {
    for width in 1..=32 {
        let built = Channel { width, data: 0xAAAA_AAAA, tri: 0x0F0F_0F0F };
        let pins = u32::MAX >> (32 - width);
        let mut host = Host { gpio: AxiGpio::new(built, Some(built)) };
        for channel in 0..2 {
            assert_eq!(host.read(TRI[channel]), 0x0F0F_0F0F & pins);
            assert_eq!(host.read(DATA[channel]), 0);
            for pin in 0..width {
                let expected = match (0x0F0F_0F0F_u32 >> pin & 1, 0xAAAA_AAAA_u32 >> pin & 1) {
                    (1, _) => Drive::Floating,
                    (_, 1) => Drive::High,
                    _ => Drive::Low,
                };
                assert_eq!(host.gpio.drive(CHANNEL_2 * channel as u32 + pin), expected);
            }
        }
        assert_eq!((host.read(GIER), host.read(ISR), host.read(IER)), (0, 0, 0));
        assert_eq!(host.gpio.signals(), 32 + width);
        assert_eq!((host.gpio.interrupts(), host.gpio.next_event()), (0, None));
        host.quiet();
    }
}

/// A core with one channel has no registers of a second one.
#[test]
fn one_channel() {
    let mut host = Host { gpio: AxiGpio::new(Channel::inputs(5), None) };
    assert_eq!(host.gpio.signals(), 5);
    for offset in [DATA[1], TRI[1], 0x10, 0x100, 0x124, 0x12C, 0xFFC] {
        assert_eq!(host.read(offset), 0);
        assert!(host.complaint().contains("no register"));
        host.write(offset, 1);
        assert!(host.complaint().contains("no register"));
    }
    host.write(IER, 3);
    assert_eq!(host.read(IER), 1);
    host.quiet();
}

#[test]
fn widths() {
    let mut host = Host::board();
    host.write(TRI[0], 0xA5);
    assert_eq!(host.gpio.read(TRI[0], Width::Byte, 0), 0xA5);
    host.quiet();
    host.gpio.write(TRI[0], Width::Byte, 0, 0);
    assert_eq!(host.read(TRI[0]), 0xA5);
    assert!(host.complaint().contains("words"));
}

/// `GPIOx_DATA` of outputs: writes drive, reads are 0. `GPIOx_TRI`: a 1 lets go.
#[test]
fn outputs() {
    for channel in 0..2_u32 {
        let mut host = Host { gpio: AxiGpio::new(Channel::outputs(32), Some(Channel::outputs(32))) };
        for pin in 0..32 {
            host.write(DATA[channel as usize], 1 << pin);
            for signal in 0..64 {
                let expected = if signal == CHANNEL_2 * channel + pin { Drive::High } else { Drive::Low };
                assert_eq!(host.gpio.drive(signal), expected);
            }
            host.sense(channel, pin, true);
            assert_eq!(host.read(DATA[channel as usize]), 0);
            host.sense(channel, pin, false);
            host.write(TRI[channel as usize], 1 << pin);
            assert_eq!(host.gpio.drive(CHANNEL_2 * channel + pin), Drive::Floating);
            assert_eq!((0..64).filter(|signal| host.gpio.drive(*signal) == Drive::Floating).count(), 1);
            host.write(TRI[channel as usize], 0);
        }
        assert_eq!(host.read(ISR), 0, "outputs do not interrupt");
        host.quiet();
    }
}

/// `GPIOx_DATA` of inputs: reads are what is on the pins, writes have no effect, not even later.
#[test]
fn inputs() {
    let mut host = Host::board();
    host.sense(0, 0, true);
    host.sense(0, 7, true);
    assert_eq!(host.read(DATA[0]), 0x81);
    host.write(DATA[0], 0xFF);
    assert_eq!(host.read(DATA[0]), 0x81);
    host.write(TRI[0], 0);
    assert!((0..8).all(|signal| host.gpio.drive(signal) == Drive::Low));
    // A pin that the channel does not have.
    host.sense(0, 8, true);
    host.write(TRI[0], 0xFF);
    assert_eq!(host.read(DATA[0]), 0x81);
    assert_eq!(host.read(ISR), 1);
    host.quiet();
}

/// `GIER`, `IP IER`, `IP ISR`: the line is up if all three agree.
#[test]
fn interrupts() {
    for channel in 0..2 {
        for pin in 0..32 {
            let mut host = Host { gpio: AxiGpio::new(Channel::inputs(32), Some(Channel::inputs(32))) };
            let bit = 1 << channel;
            for level in [true, false] {
                host.sense(channel, pin, level);
                assert_eq!(host.read(ISR), bit, "any change");
                assert!(!host.line());
                host.write(GIER, ENABLED);
                assert!(!host.line());
                host.write(IER, 3 & !bit);
                assert!(!host.line());
                host.write(IER, bit);
                assert!(host.line());
                host.write(GIER, !ENABLED);
                assert_eq!(host.read(GIER), 0, "one bit is all");
                assert!(!host.line());
                host.write(GIER, ENABLED);
                host.write(ISR, bit);
                assert_eq!(host.read(ISR), 0);
                assert!(!host.line());
                host.write(GIER, 0);
                host.write(IER, 0);
            }
            host.quiet();
        }
    }
}

/// `IP ISR` toggles: a bit that is not set is set by writing a one.
#[test]
fn status_toggles() {
    let mut host = Host { gpio: AxiGpio::new(Channel::inputs(1), Some(Channel::inputs(1))) };
    host.write(GIER, ENABLED);
    host.write(IER, 3);
    host.write(ISR, 2);
    assert_eq!(host.read(ISR), 2);
    assert!(host.line(), "software makes an interrupt");
    assert!(host.complaint().contains("toggles"));
    host.sense(0, 0, true);
    host.write(ISR, 3);
    assert_eq!(host.read(ISR), 0);
    host.quiet();
    host.write(ISR, !3);
    assert_eq!(host.read(ISR), 0);
    host.quiet();
}

/// A level that is told again is no change.
#[test]
fn no_change_no_interrupt() {
    let mut host = Host::board();
    host.sense(0, 3, false);
    assert_eq!(host.read(ISR), 0);
    host.sense(0, 3, true);
    host.write(ISR, 1);
    host.sense(0, 3, true);
    assert_eq!(host.read(ISR), 0);
}

#[test]
fn reset() {
    let mut host = Host::board();
    host.sense(0, 3, true);
    host.write(DATA[1], 0x55);
    host.write(TRI[0], 0);
    host.write(GIER, ENABLED);
    host.write(IER, 1);
    assert!(host.line());
    host.gpio.reset();
    assert!(!host.line());
    assert_eq!((host.read(GIER), host.read(IER), host.read(ISR), host.read(TRI[0])), (0, 0, 0, 0xFF));
    assert_eq!(host.gpio.drive(CHANNEL_2), Drive::Low);
    assert_eq!(host.read(DATA[0]), 1 << 3);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    /// Whatever changes while a driver reads and acknowledges: the last state is read after the last interrupt.
    #[test]
    fn no_change_is_missed(changes in prop::collection::vec(prop::collection::vec((0..8_u32, any::<bool>()), 0..4), 1..50)) {
        let mut host = Host::board();
        host.write(GIER, ENABLED);
        host.write(IER, 1);
        let mut levels = 0;
        let mut seen = 0;
        for group in changes {
            for (pin, level) in group {
                levels = levels & !(1 << pin) | u32::from(level) << pin;
                host.sense(0, pin, level);
            }
            if host.line() {
                let status = host.read(ISR);
                host.write(ISR, status);
                seen = host.read(DATA[0]);
            }
            prop_assert_eq!(seen, levels);
            prop_assert!(!host.line());
        }
        host.quiet();
    }
}
