//! Checks what a client of an I2C bus is told when something goes wrong, and that everything works again afterwards.
//!
//! The scenario puts a fault on the bus behind each line that begins with `next:`. Then an EEPROM is read or written, which must fail for the right reason at the
//! right byte; after that, without fault, it must work.
#![cfg_attr(target_os = "none", no_std, no_main)]

use component::check::check;
use component::delay::Delay;
use component::i2c::Bus;
use component::signal::Signal;
use component::{Env, Error, log};
use embedded_hal::i2c::{I2c, Operation};
use serde::Deserialize;
use session::i2c::{Error as I2cError, Failure, Kind};

component::entry!(run);

/// Signal of the timer.
const TIMER: u32 = 1;
/// How long the scenario has for putting a fault on the bus.
const PAUSE: u64 = 50_000;
/// Time in which an EEPROM writes a page.
const WRITE: u64 = 10_000;
/// Longest transfer of the test.
const LONGEST: usize = 1024;
/// Bytes of a page.
const PAGE: usize = 64;

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Address of an EEPROM with two bytes of address and pages of 64 bytes.
    eeprom: u8,
    /// Address at which there is nothing.
    nobody: u8,
    /// Address that this component may not use.
    denied: u8,
}

fn run(env: Env) -> Result<(), Error> {
    let config: Config = env.config()?;
    let mut test = Test {
        bus: Bus::open(LONGEST as u32 + 2)?,
        delay: Delay::open(Signal::new(TIMER).ok_or(Error::Invalid)?)?,
        eeprom: config.eeprom,
    };
    let denied = I2c::write(&mut *test.bus, config.denied, &[0]);
    check("an address that the policy does not give is denied", denied == Err(I2cError::Session(Error::Denied)))?;
    let nobody = I2c::write(&mut *test.bus, config.nobody, &[0]);
    check("an address without a device is not acknowledged", nobody == failure(Kind::NoDevice, 0, 0))?;
    test.lengths()?;
    test.fault("address not acknowledged", failure(Kind::NoDevice, 0, 0))?;
    test.fault("second byte not acknowledged", failure(Kind::NoAcknowledge, 0, 1))?;
    test.fault("arbitration lost", failure(Kind::ArbitrationLost, 0, 0))?;
    test.fault("clock held", failure(Kind::Timeout, 0, 1))?;
    test.fault("data held in a transfer", failure(Kind::ArbitrationLost, 1, 0))?;
    test.fault("bus held by a slave that has lost count", Ok(()))?;
    test.fault("bus held for ever", failure(Kind::Wedged, 0, 0))?;
    log!("the bus is as it should be");
    test.bus.close()
}

const fn failure(kind: Kind, message: u8, byte: u16) -> Result<(), I2cError> {
    Err(I2cError::Bus(Failure { kind, message, byte }))
}

/// A byte of the test's contents.
const fn pattern(index: usize) -> u8 {
    (index.wrapping_mul(151) ^ index >> 8) as u8
}

struct Test {
    bus: Bus,
    delay: Delay,
    eeprom: u8,
}

impl Test {
    /// Fills the EEPROM page by page, and reads it back in pieces of many lengths.
    fn lengths(&mut self) -> Result<(), Error> {
        for page in 0..LONGEST / PAGE {
            let mut bytes = [0; PAGE];
            for (index, byte) in bytes.iter_mut().enumerate() {
                *byte = pattern(page * PAGE + index);
            }
            let address = ((page * PAGE) as u16).to_be_bytes();
            let written =
                self.bus.transaction(self.eeprom, &mut [Operation::Write(&address), Operation::Write(&bytes)]);
            written.map_err(|error| log::failed("a page cannot be written", &error))?;
            self.delay.wait(WRITE)?;
        }
        let mut bytes = [0; LONGEST];
        for length in (1..=LONGEST).step_by(31).chain([LONGEST - 1, LONGEST]) {
            let part = bytes.get_mut(..length).ok_or(Error::Invalid)?;
            part.fill(0);
            let read = I2c::write_read(&mut *self.bus, self.eeprom, &[0, 0], part);
            read.map_err(|error| log::failed("the EEPROM cannot be read", &error))?;
            if let Some(wrong) = part.iter().enumerate().position(|(index, byte)| *byte != pattern(index)) {
                log!("wrong: a read of {length} bytes differs at byte {wrong}");
                return Err(Error::Device);
            }
        }
        check("reads of up to 1024 bytes are what was written", true)
    }

    /// Reads under a fault, and then without.
    fn fault(&mut self, what: &str, expected: Result<(), I2cError>) -> Result<(), Error> {
        log!("next: {what}");
        self.delay.wait(PAUSE)?;
        let result = self.read();
        if result != expected {
            log!("wrong: {result:?} instead of {expected:?}");
            return Err(Error::Device);
        }
        log!("over: {what}");
        self.delay.wait(PAUSE)?;
        check(what, self.read().is_ok())
    }

    fn read(&mut self) -> Result<(), I2cError> {
        let mut bytes = [0; 4];
        I2c::write_read(&mut *self.bus, self.eeprom, &[0, 0], &mut bytes)?;
        let right = bytes.iter().enumerate().all(|(index, byte)| *byte == pattern(index));
        if right { Ok(()) } else { Err(I2cError::Session(Error::Device)) }
    }
}
