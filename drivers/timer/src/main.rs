//! The timer server: one triple timer counter for any number of clients.
//!
//! Counter 1 of the device is the clock, counter 2 the next timeout of all. The timeouts of the clients wait in a queue.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::num::NonZeroU32;
use core::ptr::NonNull;

use component::device::Device;
use component::server::{Answer, Fast, OpenRequest, Server, Sessions, serve};
use component::signal::Signal;
use component::timeouts::Timeouts;
use component::{Account, Capability, Env, Error, log};
use mmio::Mmio;
use session::Message;
use session::timer::{MIN_PERIOD, NOW, SET, TimerRequest, from_words, to_words};
use zelkova_timer::{Driver, Prescaler};

/// Clients at a time.
const SESSIONS: usize = 24;
const CLOCK: u32 = 1;
const DEADLINE: u32 = 2;
/// Name of the device in the devicetree.
const DEVICE: &str = "timer0";
const DEVICES_RAM: u32 = 40 * 1024;
const DEVICES_CAPS: u32 = 8;

component::entry!(run);

struct Timers {
    driver: Driver<Mmio>,
    timeouts: Timeouts<SESSIONS>,
    clients: [Place; SESSIONS],
    interrupts: [Capability; 2],
}

/// A place for a client.
enum Place {
    Free,
    Silent,
    /// Timeouts raise this notification.
    Connected(Capability),
}

struct Client {
    number: usize,
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
    let interrupts = [
        device.interrupt(0, Signal::new(CLOCK).ok_or(Error::Invalid)?)?,
        device.interrupt(1, Signal::new(DEADLINE).ok_or(Error::Invalid)?)?,
    ];
    let driver = Driver::new(block, clock, Prescaler::DEFAULT);
    log!("time starts, clock {clock} Hz");
    let mut timers =
        Timers { driver, timeouts: Timeouts::new(), clients: [const { Place::Free }; SESSIONS], interrupts };
    serve::<_, SESSIONS>(&mut timers)
}

impl Timers {
    fn rearm(&mut self) {
        self.driver.arm(self.timeouts.earliest());
    }

    fn repeat(&mut self, client: usize, period: u32) -> Result<(), Error> {
        if period < MIN_PERIOD {
            return Err(Error::Invalid);
        }
        let first = self.driver.now() + u64::from(period);
        self.timeouts.set_periodic(client, first, period.into()).map_err(|_| Error::Invalid)?;
        self.rearm();
        Ok(())
    }

    fn set(&mut self, client: usize, time: u64) -> u64 {
        // The number is one of ours.
        let _ = self.timeouts.set_once(client, time);
        self.rearm();
        self.driver.now()
    }
}

impl Server for Timers {
    type Session = Client;

    fn open(&mut self, request: &OpenRequest, _: Account) -> Result<Client, Error> {
        let number = self.clients.iter().position(|place| matches!(place, Place::Free)).ok_or(Error::Busy)?;
        let connected = match &request.notification {
            Some(notification) => Place::Connected(Capability::copy(notification.slot())?),
            None => Place::Silent,
        };
        if request.argument != 0 {
            self.repeat(number, request.argument)?;
        }
        if let Some(place) = self.clients.get_mut(number) {
            *place = connected;
        }
        Ok(Client { number })
    }

    fn close(&mut self, client: Client) {
        self.timeouts.cancel(client.number);
        if let Some(place) = self.clients.get_mut(client.number) {
            *place = Place::Free;
        }
        self.rearm();
    }

    #[inline(always)]
    fn fast(&mut self, client: &mut Client, label: u32, [low, high, ..]: [u32; 4]) -> Option<Fast> {
        let now = match label {
            NOW => self.driver.now(),
            SET => self.set(client.number, from_words(low, high)),
            _ => return None,
        };
        let [low, high] = to_words(now);
        Some(Fast::Answer([low, high, 0, 0]))
    }

    fn request(
        &mut self,
        client: &mut Client,
        message: &Message,
        received: Option<Capability>,
    ) -> Result<Answer, Error> {
        match TimerRequest::decode(message).ok_or(Error::Invalid)?.0 {
            TimerRequest::Now => Ok(Answer::words(&to_words(self.driver.now()))),
            TimerRequest::Set { low, high } => {
                Ok(Answer::words(&to_words(self.set(client.number, from_words(low, high)))))
            }
            TimerRequest::Repeat { period } => {
                self.repeat(client.number, period)?;
                Ok(Answer::words(&[]))
            }
            TimerRequest::Cancel => {
                self.timeouts.cancel(client.number);
                self.rearm();
                Ok(Answer::words(&[]))
            }
            TimerRequest::Connect => {
                let notification = received.ok_or(Error::Invalid)?;
                if let Some(place) = self.clients.get_mut(client.number) {
                    *place = Place::Connected(notification);
                }
                Ok(Answer::words(&[]))
            }
        }
    }

    fn signal(&mut self, signals: u32, _: Sessions<'_, Client>) {
        let [clock, deadline] = &self.interrupts;
        if signals & 1 << CLOCK != 0 {
            self.driver.handle_clock_interrupt();
            component::gate::irq_ack(clock.slot());
        }
        if signals & 1 << DEADLINE != 0 {
            self.driver.handle_deadline_interrupt();
            component::gate::irq_ack(deadline.slot());
        }
        let now = self.driver.now();
        while let Some(expired) = self.timeouts.next_expired(now) {
            if let Some(Place::Connected(notification)) = self.clients.get(expired.number) {
                component::gate::signal(notification.slot());
            }
        }
        self.rearm();
    }
}
