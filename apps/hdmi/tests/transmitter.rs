//! The driver against the model of the chip, and against what the chip demands before a picture comes out.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use embedded_hal::i2c::{ErrorKind, ErrorType, I2c, NoAcknowledgeSource, Operation};
use models::i2c::Adv7511 as Chip;
use models::i2c::{Address, Direction, Slave};
use models::video::adv7511::{Dark, check};
use zelkova_hdmi::{ADDRESS, Adv7511, Error, Monitor};

/// A bus with nothing but the chip on it.
struct Bus {
    chip: Chip,
    now: u64,
    /// The monitor is unplugged at this message.
    unplugged_at: Option<u32>,
    messages: u32,
}

impl Bus {
    fn new(plugged: bool) -> Self {
        let mut chip = Chip::new();
        chip.set_hot_plug(plugged, 0);
        Self { chip, now: 0, unplugged_at: None, messages: 0 }
    }

    fn registers(&self) -> [u8; 256] {
        self.chip.dump().try_into().unwrap()
    }
}

impl ErrorType for Bus {
    type Error = ErrorKind;
}

impl I2c for Bus {
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), ErrorKind> {
        if address != ADDRESS {
            return Err(ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address));
        }
        self.messages += 1;
        if self.unplugged_at == Some(self.messages) {
            self.chip.set_hot_plug(false, self.now);
        }
        for operation in operations {
            self.now += 1_000_000;
            let direction = if matches!(operation, Operation::Read(_)) { Direction::Read } else { Direction::Write };
            self.chip.start(Address::Seven(address), direction, self.now);
            match operation {
                Operation::Write(bytes) => bytes.iter().for_each(|byte| {
                    self.chip.write(*byte, self.now);
                }),
                Operation::Read(bytes) => bytes.iter_mut().for_each(|byte| *byte = self.chip.read(self.now).byte),
            }
        }
        Ok(())
    }
}

#[test]
fn a_monitor_gets_a_picture_and_again_after_it_was_unplugged() {
    let mut bus = Bus::new(true);
    assert_eq!(check(&bus.registers()), Err(Dark::PoweredDown));
    assert_eq!(Adv7511::new(&mut bus).monitor(), Ok(Monitor::New { listens: true }));
    for _ in 0..2 {
        let mut transmitter = Adv7511::new(&mut bus);
        assert_eq!(transmitter.revision(), Ok(0x12));
        assert_eq!(transmitter.switch_on(), Ok(()));
        assert_eq!(transmitter.monitor(), Ok(Monitor::Served));
        assert_eq!(check(&bus.registers()), Ok(()));
        assert_eq!(bus.chip.complaints(), Vec::<String>::new());
        bus.chip.set_hot_plug(false, bus.now);
        assert_eq!(Adv7511::new(&mut bus).monitor(), Ok(Monitor::None));
        bus.chip.set_hot_plug(true, bus.now);
        assert_eq!(Adv7511::new(&mut bus).monitor(), Ok(Monitor::New { listens: true }));
        assert!(check(&bus.registers()).is_err());
    }
}

#[test]
fn nothing_is_written_without_a_monitor() {
    let mut bus = Bus::new(false);
    assert_eq!(Adv7511::new(&mut bus).switch_on(), Err(Error::NoMonitor));
    assert_eq!(bus.chip.complaints(), Vec::<String>::new());
}

#[test]
fn a_monitor_that_goes_away_meanwhile_is_noticed() {
    let mut counted = Bus::new(true);
    Adv7511::new(&mut counted).switch_on().unwrap();
    // Message 1 reads whether a monitor is there. Those that concern no register that is lost do not tell.
    let mut noticed = 0;
    for message in 2..=counted.messages {
        let mut bus = Bus::new(true);
        bus.unplugged_at = Some(message);
        match Adv7511::new(&mut bus).switch_on() {
            Err(Error::Lost { found, written, .. }) => {
                assert_ne!(found, written);
                noticed += 1;
            }
            result => assert_eq!(result, Ok(()), "message {message}"),
        }
        // Whatever was told, the next look finds that the transmitter does not send.
        assert_eq!(Adv7511::new(&mut bus).monitor(), Ok(Monitor::None));
        assert!(check(&bus.registers()).is_err());
    }
    assert!(noticed > 0);
}
