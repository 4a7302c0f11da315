//! The I2C server: one bus for the clients that may talk to its devices.
//!
//! # Theory of operation
//!
//! The driver is a state machine that never waits ([`zelkova_i2c::driver`]); this component feeds it interrupts and time. One transaction at a time is on the bus;
//! the sessions take turns. A client that waits is [held](component::server::Fast::Hold) until its transaction has ended: meanwhile nobody else could have
//! the bus either. A transaction that is begun without waiting lies in its session until its turn comes, and its end raises the session's notification.
//!
//! A bus that is held by a device is freed through pins, see [`zelkova_i2c::recovery`]: the controller is reset, a Gpio session opened, whose server connects
//! the pins `scl` and `sda` of this component's policy there to GPIO, and after the pulses the session is closed and the pins are connected to the controller
//! again. That takes a route to the GPIO server and the `pins` of the configuration; without them the controller is only reset.
//!
//! Every transaction ends by the driver's own deadlines, so does the wait for it when a session is closed in its middle.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, Ordering};

use component::device::Device;
use component::gpio::Pins;
use component::server::{Answer, Fast, OpenRequest, Server, Sessions, serve};
use component::signal::Signal;
use component::timer::open_timer;
use component::{Account, Attached, Capability, Dataspace, Env, Error, gate, log};
use mmio::Mmio;
use session::core::{SMALL_PAGES, WRITE};
use session::devices::Function;
use session::gpio::{Pull, Slew};
use session::i2c::{
    Address, DATA, I2cRequest, Messages, POLL, Payload, SHORT, SHORT_TRANSFER, ShortRequest, Status, TRANSFER, load,
};
use session::{Message, timer};
use zelkova_i2c::config::Policy;
use zelkova_i2c::recovery::{self, Lines};
use zelkova_i2c::{Config, Driver, Event, Transaction};

/// Clients at a time.
const SESSIONS: usize = 16;
const INTERRUPT: u32 = 1;
const TIME: u32 = 2;
const DEVICES_RAM: u32 = 40 * 1024;
const DEVICES_CAPS: u32 = 8;
/// Largest buffer of a session: a message of the greatest length each way.
const MAX_BUFFER: u32 = 256 << 10;
const PAGE: u32 = 4096;
/// Words of a short transaction.
const SHORT_WORDS: usize = SHORT / 4;
/// Half a period of the clock line while the bus is freed, in microseconds.
const HALF_PERIOD: u64 = 5;
/// Looks at the clock for that time, each of which takes some.
const LOOKS: u32 = 10_000;

component::entry!(run);

struct Bus {
    driver: Driver<Mmio>,
    device: Device,
    timer: timer::Client<Capability>,
    interrupt: Capability,
    config: Config,
    /// The client whose transaction is on the bus.
    current: Option<u32>,
    clients: u32,
    /// The client whose turn it is.
    turn: u32,
    /// What the timeout is set to.
    armed: Option<u64>,
    /// Raises the signal of the timeout.
    wake: Capability,
}

struct Client {
    number: u32,
    policy: Policy,
    /// The data of a short transaction, there and back.
    words: [AtomicU32; 2 * SHORT_WORDS],
    buffer: Option<(Dataspace, Attached)>,
    /// The data are in `words`; those to be received from this word on.
    short: Option<usize>,
    waiting: Option<(Address, Messages)>,
    status: Status,
    /// The client's call is held.
    is_held: bool,
    notification: Option<Capability>,
    /// Keeps what the session owns until it is closed.
    _account: Account,
}

fn run(env: Env) -> Result<(), Error> {
    let config = configuration(&env)?;
    let time = Signal::new(TIME).ok_or(Error::Invalid)?;
    let timer = open_timer(time)?;
    let wake = time.capability()?;
    let device = Device::open(&config.device, DEVICES_RAM, DEVICES_CAPS)?;
    let clock = device.found().clock;
    // A driver before this one may have been stopped in the middle of a transfer.
    device.reset(device.found().device)?;
    let registers = device.registers(0)?;
    let base = NonNull::new(registers.pointer().cast()).ok_or(Error::Invalid)?;
    // SAFETY: the registers are attached as device memory for as long as this component lives, and the device is ours alone.
    let block = unsafe { Mmio::new(base) };
    let interrupt = device.interrupt(0, Signal::new(INTERRUPT).ok_or(Error::Invalid)?)?;
    let driver = Driver::new(block, clock).map_err(|error| {
        log!("{error}");
        Error::Device
    })?;
    let mut bus =
        Bus { driver, device, timer, interrupt, config, current: None, clients: 0, turn: 0, armed: None, wake };
    bus.connect(Pull::Up)?;
    log!("{} is ready, clock {} Hz", bus.config.device, clock);
    serve::<_, SESSIONS>(&mut bus)
}

/// A frame of its own, as large values move around while the text is read.
#[inline(never)]
fn configuration(env: &Env) -> Result<Config, Error> {
    env.checked_config(Config::check)
}

/// The lines of the bus through a Gpio session: low is driven, high is let go.
struct Wires<'a> {
    pins: &'a Pins,
    timer: &'a timer::Client<Capability>,
    scl: u32,
    sda: u32,
}

impl Lines for Wires<'_> {
    type Error = Error;

    fn drive(&mut self, scl: bool, sda: bool) -> Result<(), Error> {
        let low = if scl { 0 } else { self.scl } | if sda { 0 } else { self.sda };
        self.pins.direct(self.scl | self.sda, low, 0)?;
        let end = self.timer.now()? + HALF_PERIOD + 1;
        for _ in 0..LOOKS {
            if self.timer.now()? >= end {
                return Ok(());
            }
        }
        Err(Error::Device)
    }

    fn levels(&mut self) -> Result<(bool, bool), Error> {
        let levels = self.pins.read()?.pins;
        Ok((levels & self.scl != 0, levels & self.sda != 0))
    }
}

impl Bus {
    /// Connects the pins of the bus to the controller.
    fn connect(&self, pull: Pull) -> Result<(), Error> {
        let Some(pins) = &self.config.pins else { return Ok(()) };
        for pin in [pins.scl, pins.sda] {
            self.device.pin(self.device.found().device, pin, Function::Device, pull, Slew::Keep).inspect_err(
                |error| {
                    log!("MIO {pin}: the device manager refuses to connect it: {error}");
                },
            )?;
        }
        Ok(())
    }

    /// Resets the controller, and frees the bus as far as that can be done. `true`: it is free as far as one can see.
    fn recover(&self) -> bool {
        if let Err(error) = self.device.reset(self.device.found().device) {
            log!("the controller cannot be reset: {error}");
        }
        if self.config.pins.is_none() {
            return true;
        }
        let freed = self.free();
        if self.connect(Pull::Keep).is_err() {
            return false;
        }
        match freed {
            Ok(free) => {
                log!("the bus was held{}", if free { " and is free" } else { ", and could not be freed" });
                free
            }
            Err(error) => {
                log!("no pins to free the bus with: {error}");
                true
            }
        }
    }

    fn free(&self) -> Result<bool, Error> {
        let pins = Pins::open(None)?;
        let freed = pins.pin("scl").and_then(|scl| {
            let sda = pins.pin("sda")?;
            recovery::free(&mut Wires { pins: &pins, timer: &self.timer, scl: scl.mask(), sda: sda.mask() })
        });
        pins.close()?;
        freed
    }

    /// Sets the timeout to the driver's deadline, if it would come too late.
    #[inline]
    fn arm(&mut self) {
        if let Some(deadline) = self.driver.deadline()
            && self.armed.is_none_or(|armed| deadline < armed)
            && self.timer.set(deadline).is_ok()
        {
            self.armed = Some(deadline);
        }
    }

    /// Puts the transaction of `client` that waits onto the bus, if that is idle.
    #[inline]
    fn begin(&mut self, client: &mut Client) {
        if self.current.is_some() {
            return;
        }
        let Some((address, messages)) = client.waiting.take() else { return };
        let transaction = Transaction { address, speed: client.policy.speed, messages };
        let Ok(now) = self.timer.now() else {
            // Without time, nothing on the bus has a deadline.
            client.end(Status::Failed(driver_failure()));
            return;
        };
        self.current = Some(client.number);
        match self.driver.submit(transaction, client.data(), now) {
            Ok(event) => self.settle(event, client),
            Err(error) => {
                log!("{error}");
                self.current = None;
                client.end(Status::Failed(driver_failure()));
            }
        }
        self.arm();
    }

    /// Handles what the driver has to tell about the transaction of `client`.
    #[inline]
    fn settle(&mut self, mut event: Option<Event>, client: &mut Client) {
        while let Some(told) = event.take() {
            match told {
                Event::Done(result) => {
                    self.current = None;
                    client.end(match result {
                        Ok(()) => Status::Done,
                        Err(failure) => Status::Failed(failure),
                    });
                }
                Event::Recover => {
                    let free = self.recover();
                    let now = self.timer.now().unwrap_or(u64::MAX);
                    event = self.driver.recovered(free, client.data(), now);
                }
            }
        }
    }

    /// Handles signals for the transaction on the bus, which is that of `client`.
    #[inline]
    fn advance(&mut self, signals: u32, client: &mut Client) {
        // A timer that is gone has no more time for anything.
        let now = self.timer.now().unwrap_or(u64::MAX);
        if signals & 1 << INTERRUPT != 0 {
            let event = self.driver.on_interrupt(client.data(), now);
            self.settle(event, client);
        }
        if self.driver.deadline().is_some_and(|deadline| deadline <= now) {
            let event = self.driver.on_time(client.data(), now);
            self.settle(event, client);
        }
    }

    /// Acknowledges signals.
    #[inline]
    fn acknowledge(&mut self, signals: u32) {
        if signals & 1 << INTERRUPT != 0 {
            gate::irq_ack(self.interrupt.slot());
        }
        if signals & 1 << TIME != 0 {
            self.armed = None;
        }
    }

    /// Puts transactions that wait onto the bus, as long as it is idle.
    #[inline]
    fn pump(&mut self, sessions: &mut Sessions<'_, Client>) {
        while self.current.is_none() {
            // Those behind the turn first, so that nobody is forgotten.
            let turn = self.turn;
            let waits = |client: &&mut Client| client.waiting.is_some();
            let next = sessions.iter_mut().filter(waits).min_by_key(|client| (client.number <= turn, client.number));
            let Some(next) = next else { return };
            self.turn = next.number;
            self.begin(next);
        }
    }

    /// Whether the transaction of `client` has not ended.
    #[inline]
    fn is_busy_for(&self, client: &Client) -> bool {
        client.waiting.is_some() || self.current == Some(client.number)
    }

    /// Notes a transaction of `client`.
    #[inline]
    fn note(&mut self, client: &mut Client, address: Address, messages: Messages) {
        client.status = Status::UnderWay;
        client.waiting = Some((address, messages));
        self.begin(client);
    }

    /// Checks a transaction, and notes it if it is right.
    fn submit(&mut self, client: &mut Client, label: u32, words: [u32; 4]) -> Result<(), Error> {
        if self.is_busy_for(client) {
            return Err(Error::Busy);
        }
        let [first, rest @ ..] = words;
        if label == SHORT_TRANSFER {
            let request = ShortRequest::from_wire(first).ok_or(Error::Invalid)?;
            client.allow(request.address)?;
            client.words.iter().zip(rest).for_each(|(word, value)| word.store(value, Ordering::Relaxed));
            client.short = Some(request.write.unwrap_or(0).div_ceil(4));
            self.note(client, request.address, request.messages());
            return Ok(());
        }
        let [count, ..] = rest;
        let address = Address::from_wire(first).ok_or(Error::Invalid)?;
        client.allow(address)?;
        let (_, buffer) = client.buffer.as_ref().ok_or(Error::Invalid)?;
        let (messages, _) = load(buffer.words(), count)?;
        client.short = None;
        self.note(client, address, messages);
        Ok(())
    }
}

/// What a transaction is told for which there is no time.
const fn driver_failure() -> session::i2c::Failure {
    session::i2c::Failure { kind: session::i2c::Kind::Timeout, message: 0, byte: 0 }
}

impl Client {
    fn allow(&self, address: Address) -> Result<(), Error> {
        if self.policy.allows(address) { Ok(()) } else { Err(Error::Denied) }
    }

    /// The data of the transaction.
    #[inline]
    fn data(&self) -> Payload<'_> {
        match (&self.buffer, self.short) {
            (Some((_, buffer)), None) => Payload::new(buffer.words().get(DATA..).unwrap_or(&[])),
            _ => Payload::new(&self.words),
        }
    }

    #[inline]
    fn end(&mut self, status: Status) {
        self.status = status;
        if let Some(notification) = self.notification.as_ref().filter(|_| !self.is_held) {
            gate::signal(notification.slot());
        }
    }

    /// The answer to a call about the transaction that has ended.
    #[inline]
    fn answer(&mut self) -> [u32; 4] {
        self.is_held = false;
        let mut answer = [self.status.to_wire(), 0, 0, 0];
        if let Some(first) = self.short {
            let received = self.words.iter().skip(first);
            answer.iter_mut().skip(1).zip(received).for_each(|(to, from)| *to = from.load(Ordering::Relaxed));
        }
        answer
    }
}

impl Server for Bus {
    type Session = Client;

    fn open(&mut self, request: &OpenRequest, account: Account) -> Result<Client, Error> {
        let policy = self.config.policy(&request.label).ok_or(Error::Denied)?.clone();
        let buffer = match request.argument {
            0 => None,
            wanted if wanted > MAX_BUFFER || !wanted.is_multiple_of(PAGE) => return Err(Error::Invalid),
            wanted => {
                let dataspace = account.create_dataspace(wanted, SMALL_PAGES)?;
                let attached = Attached::new(&dataspace, WRITE, Some(&account))?;
                Some((dataspace, attached))
            }
        };
        self.clients = self.clients.wrapping_add(1).max(1);
        Ok(Client {
            number: self.clients,
            policy,
            words: [const { AtomicU32::new(0) }; 2 * SHORT_WORDS],
            buffer,
            short: None,
            waiting: None,
            status: Status::Done,
            is_held: false,
            notification: None,
            _account: account,
        })
    }

    fn close(&mut self, mut client: Client) {
        client.notification = None;
        // What is on the bus is waited for: cut off in its middle, it would leave the device there.
        while self.current == Some(client.number) {
            self.arm();
            let signals = component::signal::wait();
            self.advance(signals, &mut client);
            self.acknowledge(signals);
        }
        drop(client);
        // Others may have waited for that.
        gate::signal(self.wake.slot());
    }

    #[inline(always)]
    fn fast(&mut self, client: &mut Client, label: u32, words: [u32; 4]) -> Option<Fast> {
        let [first, _, third, _] = words;
        let wait = match label {
            SHORT_TRANSFER => true,
            TRANSFER => third != 0,
            POLL => first != 0,
            _ => return None,
        };
        client.is_held = wait;
        // What is refused here is refused once more by the slow way, which can say why.
        if label != POLL && self.submit(client, label, words).is_err() {
            client.is_held = false;
            return None;
        }
        Some(match self.held(client) {
            Some(words) => Fast::Answer(words),
            None if wait => Fast::Hold,
            None => Fast::Answer([Status::UnderWay.to_wire(), 0, 0, 0]),
        })
    }

    #[inline(always)]
    fn held(&mut self, client: &mut Client) -> Option<[u32; 4]> {
        (!self.is_busy_for(client)).then(|| client.answer())
    }

    fn request(
        &mut self,
        client: &mut Client,
        message: &Message,
        received: Option<Capability>,
    ) -> Result<Answer, Error> {
        match I2cRequest::decode(message).ok_or(Error::Invalid)?.0 {
            I2cRequest::Info => {
                let bytes = client.buffer.as_ref().map_or(0, |(dataspace, _)| dataspace.bytes());
                Ok(Answer::words(&[bytes, self.driver.rate(client.policy.speed)]))
            }
            I2cRequest::Buffer => {
                let (dataspace, _) = client.buffer.as_ref().ok_or(Error::NotFound)?;
                Ok(Answer::capability(dataspace.slot(), &[]))
            }
            I2cRequest::Connect => {
                client.notification = Some(received.ok_or(Error::Invalid)?);
                Ok(Answer::words(&[]))
            }
            // These come in registers, and only those that are refused get here.
            I2cRequest::Short { what, first, second, third } => {
                self.submit(client, SHORT_TRANSFER, [what, first, second, third])?;
                Err(Error::Invalid)
            }
            I2cRequest::Transfer { address, messages, wait } => {
                self.submit(client, TRANSFER, [address, messages, wait, 0])?;
                Err(Error::Invalid)
            }
            I2cRequest::Poll { .. } => Err(Error::Invalid),
        }
    }

    #[inline]
    fn signal(&mut self, signals: u32, mut sessions: Sessions<'_, Client>) {
        let current = self.current;
        match sessions.iter_mut().find(|client| Some(client.number) == current) {
            Some(client) => self.advance(signals, client),
            // Nobody's interrupt is taken, so that it does not come again.
            None => {
                let nothing = Payload::new(&[]);
                let _ = self.driver.on_interrupt(nothing, 0);
            }
        }
        self.acknowledge(signals);
        self.pump(&mut sessions);
        self.arm();
    }
}
