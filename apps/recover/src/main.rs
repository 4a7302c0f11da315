//! Uses pins and an EEPROM while their drivers are killed again and again.
//!
//! This component manages the system, like `restart`: a description with another version of a driver makes init kill it and start another one. What was under way
//! ends with [`Error::Gone`]; the session is closed and opened again with the next instance, and everything works as before.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll, Waker};

use component::gpio::Pins;
use component::i2c::Bus;
use component::signal::Signal;
use component::task::block_on;
use component::{Account, Env, Error, Rom, log};
use embedded_hal::i2c::I2c;
use init::manage::Plan;
use serde::Deserialize;
use session::i2c::Error as I2cError;

/// Components of the system.
const COMPONENTS: usize = 8;
/// Bytes of a read.
const BYTES: usize = 64;
/// Signal of the bus.
const BUS: u32 = 1;

/// init's library wants one; nothing here allocates, so it stays empty.
#[cfg(target_os = "none")]
#[global_allocator]
static MEMORY: component::heap::ComponentHeap = component::heap::ComponentHeap::empty();

component::entry!(run);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The driver of the pins.
    gpio: heapless::String<24>,
    /// The driver of the bus.
    i2c: heapless::String<24>,
    /// Address of an EEPROM with two bytes of address.
    eeprom: u8,
    /// How often each driver is killed.
    times: u32,
}

fn run(env: Env) -> Result<(), Error> {
    let config: Config = env.config()?;
    let rom = Rom::open("system")?;
    let mut plan: Plan<'_, COMPONENTS> = Plan::new(&rom)?;
    let mut system = System { pins: open_pins()?, bus: open_bus()?, expected: [0; BYTES] };
    system.expected = read(&mut system.bus, config.eeprom).map_err(|error| log::failed("the first read", &error))?;
    let mut before = None;
    for _ in 0..config.times {
        system = system.lose_bus(&mut plan, &config)?.lose_pins(&mut plan, &config)?;
        // The first time there are things to be made that stay.
        let used = used()?;
        if *before.get_or_insert(used) != used {
            log!("wrong: the account is not as it was");
            return Err(Error::Invalid);
        }
    }
    log!("{} times each driver was killed and everything worked again", config.times);
    Ok(())
}

fn used() -> Result<u32, Error> {
    let info = Account::own().info()?;
    Ok(info.ram_used + info.ram_lent)
}

fn open_pins() -> Result<Pins, Error> {
    Pins::open(None)
}

fn open_bus() -> Result<Bus, Error> {
    Bus::open_async(BYTES as u32 + 2, Signal::new(BUS).ok_or(Error::Invalid)?)
}

fn read(bus: &mut Bus, address: u8) -> Result<[u8; BYTES], I2cError> {
    let mut bytes = [0; BYTES];
    I2c::write_read(&mut **bus, address, &[0, 0], &mut bytes)?;
    Ok(bytes)
}

struct System {
    pins: Pins,
    bus: Bus,
    expected: [u8; BYTES],
}

impl System {
    /// The driver of the bus is killed in the middle of a transfer.
    fn lose_bus(mut self, plan: &mut Plan<'_, COMPONENTS>, config: &Config) -> Result<Self, Error> {
        let mut bytes = [0; BYTES];
        let result = {
            let mut transfer = pin!(embedded_hal_async::i2c::I2c::read(&mut *self.bus, config.eeprom, &mut bytes));
            match transfer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Pending => {
                    plan.restart(&config.i2c)?;
                    block_on(transfer)
                }
                Poll::Ready(result) => result,
            }
        };
        if !matches!(result, Err(I2cError::Session(Error::Gone))) {
            log!("wrong: the driver was killed, and the transfer ended with {result:?}");
            return Err(Error::Invalid);
        }
        self.bus.close()?;
        self.bus = open_bus()?;
        match read(&mut self.bus, config.eeprom) {
            Ok(bytes) if bytes == self.expected => Ok(self),
            other => {
                log!("wrong: behind the new driver, the EEPROM has {other:?}");
                Err(Error::Invalid)
            }
        }
    }

    /// The driver of the pins is killed between two writes.
    fn lose_pins(mut self, plan: &mut Plan<'_, COMPONENTS>, config: &Config) -> Result<Self, Error> {
        let mask = self.pins.info()?.outputs;
        self.pins.direct(mask, mask, mask)?;
        plan.restart(&config.gpio)?;
        let result = self.pins.write(mask, 0);
        if result != Err(Error::Gone) {
            log!("wrong: the driver was killed, and the write ended with {result:?}");
            return Err(Error::Invalid);
        }
        self.pins.close()?;
        self.pins = open_pins()?;
        let levels = self.pins.read()?;
        if levels.outputs != 0 {
            log!("wrong: the dead client's pins are still outputs");
            return Err(Error::Invalid);
        }
        Ok(self)
    }
}
