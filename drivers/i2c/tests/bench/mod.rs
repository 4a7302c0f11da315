//! A controller, its bus and the devices on it, in simulated time.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::sync::atomic::AtomicU32;

use mmio::Registers;
use models::i2c::{Address as ModelAddress, Bus, Controller, Fault, Kind as FaultKind, Scripted, Transaction as Seen};
use models::memory::Ram;
use models::{Device, Width};
use session::i2c::{Address, Failure, Message, Messages, Payload};
use zelkova_i2c::recovery::{self, Lines};
use zelkova_i2c::{Driver, Event, Speed, Transaction};

/// The controller's input clock in Hz.
pub const CLOCK: u32 = 111_111_110;
/// An address with a [`Scripted`] device.
pub const DEVICE: Address = Address::Seven(0x42);
/// The same device at an address of 10 bits.
pub const TEN: Address = Address::Ten(0x2a5);
/// Label of the device.
pub const LABEL: &str = "device";

/// More interrupts than this without an event or time passing are a storm.
const STORM: u32 = 100;

pub struct Board {
    pub controller: RefCell<Controller>,
    /// In nanoseconds.
    pub now: Cell<u64>,
    /// How long each register access takes, in nanoseconds.
    pub cost: Cell<u64>,
    /// How late an interrupt is handled, in nanoseconds.
    pub latency: Cell<u64>,
    pub recoveries: Cell<u32>,
    /// There are pins to free the bus with.
    pub has_pins: Cell<bool>,
}

impl Registers for Board {
    fn read(&self, offset: usize) -> u32 {
        self.now.set(self.now.get() + self.cost.get());
        self.controller.borrow_mut().read(offset as u32, Width::Word, self.now.get())
    }

    fn write(&self, offset: usize, value: u32) {
        self.now.set(self.now.get() + self.cost.get());
        self.controller.borrow_mut().write(offset as u32, Width::Word, value, self.now.get());
    }
}

/// The lines through pins, as the board has them.
struct Pins<'a>(&'a Board);

impl Lines for Pins<'_> {
    type Error = Infallible;

    fn drive(&mut self, scl: bool, sda: bool) -> Result<(), Infallible> {
        let now = self.0.now.get();
        {
            let mut controller = self.0.controller.borrow_mut();
            controller.bus_mut().drive_scl(scl, now);
            controller.bus_mut().drive_sda(sda, now);
        }
        self.0.pass(5_000);
        Ok(())
    }

    fn levels(&mut self) -> Result<(bool, bool), Infallible> {
        let lines = self.0.controller.borrow().bus().lines();
        Ok((lines.scl, lines.sda))
    }
}

pub type BoardDriver<'a> = Driver<&'a Board>;

/// What a transaction is to do: direction and length of each message.
pub type Plan = [(bool, usize)];

impl Board {
    /// A board with a bus.
    pub fn with(bus: Bus) -> Self {
        Self {
            controller: RefCell::new(Controller::new(CLOCK, bus)),
            now: Cell::new(1_000_000),
            cost: Cell::new(100),
            latency: Cell::new(0),
            recoveries: Cell::new(0),
            has_pins: Cell::new(true),
        }
    }

    /// A board with a device that remembers what it gets, and sends a pattern.
    pub fn new() -> Self {
        let mut bus = Bus::new();
        let addresses = vec![ModelAddress::Seven(0x42), ModelAddress::Ten(0x2a5)];
        bus.attach(LABEL, addresses, Box::new(Scripted::new().replying(&pattern(4096)))).unwrap();
        Self::with(bus)
    }

    pub fn driver(&self) -> BoardDriver<'_> {
        Driver::new(self, CLOCK).unwrap()
    }

    pub fn micros(&self) -> u64 {
        self.now.get() / 1_000
    }

    /// Lets time pass.
    pub fn pass(&self, ns: u64) {
        self.now.set(self.now.get() + ns);
        self.controller.borrow_mut().advance(self.now.get(), &mut &Ram::new(0, 0));
    }

    pub fn inject(&self, kind: FaultKind, byte: u32) {
        self.controller.borrow_mut().bus_mut().inject(Fault::new(kind, byte)).unwrap();
    }

    pub fn heal(&self) {
        self.controller.borrow_mut().bus_mut().clear_faults(self.now.get());
    }

    /// Everything the device was sent since the last call.
    pub fn received(&self) -> Vec<u8> {
        let mut controller = self.controller.borrow_mut();
        let device = controller.bus_mut().slave_mut::<Scripted>(LABEL).unwrap();
        let received = device.received().to_vec();
        device.forget();
        received
    }

    /// The transactions since the last call.
    pub fn seen(&self) -> Vec<Seen> {
        let mut controller = self.controller.borrow_mut();
        let seen = controller.bus().history().iter().cloned().collect();
        controller.bus_mut().clear_history();
        seen
    }

    /// Runs up to the end of the transaction.
    fn run(&self, driver: &mut BoardDriver<'_>, data: Payload<'_>, first: Option<Event>) -> Result<(), Failure> {
        let mut event = first;
        let mut storm = 0;
        loop {
            match event {
                Some(Event::Done(result)) => return result,
                Some(Event::Recover) => {
                    self.recoveries.set(self.recoveries.get() + 1);
                    self.controller.borrow_mut().reset(self.now.get());
                    let Ok(free) = if self.has_pins.get() { recovery::free(&mut Pins(self)) } else { Ok(true) };
                    event = driver.recovered(free, data, self.micros());
                    continue;
                }
                None => {}
            }
            if self.controller.borrow().interrupts() != 0 {
                self.pass(self.latency.get());
                event = driver.on_interrupt(data, self.micros());
                storm += 1;
                assert!(storm < STORM, "interrupt storm in {:?}", driver.state());
                continue;
            }
            if driver.deadline().is_some_and(|deadline| deadline <= self.micros()) {
                event = driver.on_time(data, self.micros());
                storm += 1;
                assert!(storm < STORM, "a deadline that does not move in {:?}", driver.state());
                continue;
            }
            storm = 0;
            let hardware = self.controller.borrow().next_event();
            let software = driver.deadline().map(|deadline| deadline * 1_000);
            let next = hardware.into_iter().chain(software).min();
            let next = next.unwrap_or_else(|| panic!("nothing will happen in {:?}", driver.state()));
            self.pass(next.saturating_sub(self.now.get()));
        }
    }

    /// Does a transaction with `sent` as the data of all messages that are sent. Returns what was received.
    pub fn transact(
        &self,
        driver: &mut BoardDriver<'_>,
        address: Address,
        speed: Speed,
        plan: &Plan,
        sent: &[u8],
    ) -> Result<Vec<u8>, Failure> {
        let messages: Messages = plan.iter().map(|(read, length)| Message { read: *read, length: *length }).collect();
        let words: usize = messages.iter().map(|message| message.words()).sum();
        let words: Vec<AtomicU32> = (0..words).map(|_| AtomicU32::new(0)).collect();
        let data = Payload::new(&words);
        let (mut place, mut bytes) = (0, sent.iter());
        for message in &messages {
            for index in place..place + message.length {
                if !message.read {
                    data.set(index, *bytes.next().unwrap());
                }
            }
            place += message.words() * 4;
        }
        let transaction = Transaction { address, speed, messages: messages.clone() };
        let first = driver.submit(transaction, data, self.micros()).unwrap();
        self.run(driver, data, first)?;
        let (mut place, mut received) = (0, vec![]);
        for message in messages {
            if message.read {
                received.extend((place..place + message.length).map(|index| data.get(index)));
            }
            place += message.words() * 4;
        }
        Ok(received)
    }

    pub fn write(&self, driver: &mut BoardDriver<'_>, bytes: &[u8]) -> Result<(), Failure> {
        self.transact(driver, DEVICE, Speed::Standard, &[(false, bytes.len())], bytes).map(drop)
    }

    pub fn read(&self, driver: &mut BoardDriver<'_>, length: usize) -> Result<Vec<u8>, Failure> {
        self.transact(driver, DEVICE, Speed::Standard, &[(true, length)], &[])
    }

    /// The bus works: what is sent arrives, what is received is right.
    pub fn check(&self, driver: &mut BoardDriver<'_>) {
        // The STOP of what was before.
        self.pass(1_000_000);
        self.received();
        self.seen();
        let begun = self.now.get();
        assert_eq!(self.write(driver, &[1, 2, 3]), Ok(()));
        assert_eq!(self.received(), [1, 2, 3]);
        let received = self.transact(driver, DEVICE, Speed::Fast, &[(false, 1), (true, 20)], &[9]);
        assert_eq!(received, Ok(pattern(20)));
        assert_eq!(self.received(), [9]);
        // One that was left in its middle may have been ended by freeing the bus.
        assert_eq!(self.seen().iter().filter(|transaction| transaction.begun >= begun).count(), 2);
    }

    /// Software did nothing that the models complain about.
    pub fn assert_clean(&self) {
        let mut controller = self.controller.borrow_mut();
        let mut complaints = controller.complaints();
        complaints.extend(controller.bus_mut().complaints());
        assert!(complaints.is_empty(), "{complaints:#?}");
    }
}

/// What the device sends: different at every place.
pub fn pattern(length: usize) -> Vec<u8> {
    (0..length as u64).map(|index| ((index + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect()
}
