//! The server: one device, for one client at a time.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::num::NonZeroU32;
use core::ptr::NonNull;

use component::device::Device;
use component::server::{Answer, OpenRequest, Server, Sessions, serve};
use component::signal::Signal;
use component::{Account, Capability, Env, Error, log};
use mmio::Mmio;
use session::Message;
use zelkova_skeleton::Driver;
use zelkova_skeleton::interface::Request;

/// Name of the device in the devicetree.
const DEVICE: &str = "timer1";
/// Signal of its interrupt.
const INTERRUPT: u32 = 1;
/// Places for sessions; all but one client are told that the device is busy.
const SESSIONS: usize = 4;
/// What the session with the device manager costs.
const DEVICES_RAM: u32 = 40 * 1024;
const DEVICES_CAPS: u32 = 8;

component::entry!(run);

struct Skeleton {
    driver: Driver<Mmio>,
    interrupt: Capability,
    is_taken: bool,
}

fn run(_: Env) -> Result<(), Error> {
    let device = Device::open(DEVICE, DEVICES_RAM, DEVICES_CAPS)?;
    let Some(clock) = NonZeroU32::new(device.found().clock) else {
        log!("the device manager names no clock for `{DEVICE}`");
        return Err(Error::Invalid);
    };
    let registers = device.registers(0)?;
    let base = NonNull::new(registers.pointer().cast()).ok_or(Error::Invalid)?;
    // SAFETY: the registers are attached as device memory for as long as this component lives, and the device is ours alone.
    let block = unsafe { Mmio::new(base) };
    let interrupt = device.interrupt(0, Signal::new(INTERRUPT).ok_or(Error::Invalid)?)?;
    log!("ready, clock {clock} Hz");
    serve::<_, SESSIONS>(&mut Skeleton { driver: Driver::new(block, clock), interrupt, is_taken: false })
}

impl Server for Skeleton {
    type Session = ();

    fn open(&mut self, _: &OpenRequest, _: Account) -> Result<(), Error> {
        if self.is_taken {
            return Err(Error::Busy);
        }
        self.is_taken = true;
        Ok(())
    }

    fn close(&mut self, (): ()) {
        self.driver.stop();
        self.is_taken = false;
    }

    fn request(&mut self, (): &mut (), message: &Message, _: Option<Capability>) -> Result<Answer, Error> {
        match Request::decode(message).ok_or(Error::Invalid)?.0 {
            Request::Start { period } => {
                self.driver.start(period).map_err(|error| {
                    log!("{error}");
                    Error::Invalid
                })?;
                Ok(Answer::words(&[]))
            }
            Request::Stop => {
                self.driver.stop();
                Ok(Answer::words(&[]))
            }
            Request::Events => Ok(Answer::words(&[self.driver.events()])),
        }
    }

    fn signal(&mut self, signals: u32, _: Sessions<'_, ()>) {
        if signals & 1 << INTERRUPT != 0 {
            self.driver.handle_interrupt();
            component::gate::irq_ack(self.interrupt.slot());
        }
    }
}
