//! Looks which addresses of an I2C bus are answered.
//!
//! Each address that is not reserved is read from, one byte, which every device acknowledges and few mind. What this component may not address shows as
//! such: the map is that of its session, not of the bus.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::fmt::Write as _;

use component::i2c::Bus;
use component::{Env, Error, log};
use embedded_hal::i2c::I2c;
use heapless::String;
use session::i2c::{Error as I2cError, Failure, Kind};

component::entry!(run);

/// Addresses of 7 bits that the I2C specification does not reserve (UM10204, table 4).
const ADDRESSES: core::ops::RangeInclusive<u8> = 0x08..=0x77;
const PER_LINE: u8 = 16;

fn run(_: Env) -> Result<(), Error> {
    let mut bus = Bus::open(0)?;
    let mut found = 0;
    for row in 0..0x80 / PER_LINE {
        let mut line: String<64> = String::new();
        for address in row * PER_LINE..(row + 1) * PER_LINE {
            let shown = if ADDRESSES.contains(&address) { Some(probe(&mut bus, address)?) } else { None };
            // The line has room for sixteen of them.
            let _ = match shown {
                None => line.write_str("   "),
                Some(Answer::Nobody) => line.write_str(" --"),
                Some(Answer::Denied) => line.write_str(" .."),
                Some(Answer::Device) => {
                    found += 1;
                    write!(line, " {address:02x}")
                }
            };
        }
        log!("{:02x}:{line}", row * PER_LINE);
    }
    log!("{found} devices");
    bus.close()
}

/// What is at an address.
enum Answer {
    Device,
    Nobody,
    /// The policy does not let this component look.
    Denied,
}

fn probe(bus: &mut Bus, address: u8) -> Result<Answer, Error> {
    match I2c::read(&mut **bus, address, &mut [0]) {
        Ok(()) => Ok(Answer::Device),
        Err(I2cError::Bus(Failure { kind: Kind::NoDevice, .. })) => Ok(Answer::Nobody),
        Err(I2cError::Session(Error::Denied)) => Ok(Answer::Denied),
        Err(error) => Err(log::failed("scan", &error)),
    }
}
