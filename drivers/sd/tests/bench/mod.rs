//! A slot, its controller, a card and memory, in simulated time.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

use std::cell::{Cell, RefCell};

use mmio::Registers;
use models::memory::Ram;
use models::sdcard::{BLOCK_SIZE, Card, Fault, Features, Media, SparseMedia};
use models::sdhci::{Options, Sdhci};
use models::{Device, Width};
use zelkova_sd::registers::INTERRUPT_STATUS;
use zelkova_sd::{
    Card as CardInfo, DescriptorTable, Direction, Driver, Error, Event, Segment, State, SubmitError, Transfer,
};

/// Where memory begins on the bus.
pub const RAM: u32 = 0x1000_0000;
/// Bytes of memory.
pub const RAM_LENGTH: u32 = 1 << 20;
/// Descriptors in the table at the start of memory.
pub const DESCRIPTORS: usize = 16;
/// Where buffers may begin.
pub const BUFFER: u32 = RAM + 0x1000;

/// More interrupts than this without an event, or without time passing, are a storm.
const STORM: u32 = 1_000;

pub struct Board {
    pub host: RefCell<Sdhci>,
    pub ram: Ram,
    /// In nanoseconds.
    pub now: Cell<u64>,
    pub loads: Cell<u32>,
    pub stores: Cell<u32>,
    pub interrupts: Cell<u32>,
    /// Take the card out just before the next store to the interrupt status.
    pub remove_before_clear: Cell<bool>,
    /// Bits to add to what the next load of the interrupt status gives, if it gives any.
    pub extra_status: Cell<u32>,
}

impl Registers for Board {
    fn read(&self, offset: usize) -> u32 {
        self.loads.set(self.loads.get() + 1);
        let value = self.host.borrow_mut().read(offset as u32, Width::Word, self.now.get());
        if offset == INTERRUPT_STATUS && value != 0 { value | self.extra_status.take() } else { value }
    }

    fn write(&self, offset: usize, value: u32) {
        self.stores.set(self.stores.get() + 1);
        let mut host = self.host.borrow_mut();
        if offset == INTERRUPT_STATUS && self.remove_before_clear.take() {
            host.remove(self.now.get()).unwrap();
        }
        host.write(offset as u32, Width::Word, value, self.now.get());
    }
}

pub type BoardDriver<'a> = Driver<'a, &'a Board>;

/// The byte at `position` of a card filled by [`filled`].
pub fn pattern(position: u64) -> u8 {
    // A different value in every block and place: neither a shifted nor a repeated block looks right.
    (position.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8
}

/// `count` blocks of the pattern.
pub fn expected(block: u64, count: u64) -> Vec<u8> {
    (block * 512..(block + count) * 512).map(pattern).collect()
}

/// Media with the pattern in the first and last `filled` blocks.
pub fn filled(blocks: u64, filled: u64) -> SparseMedia {
    let mut media = SparseMedia::new(blocks);
    let tail = blocks.saturating_sub(filled);
    for block in (0..filled.min(blocks)).chain(tail..blocks) {
        let bytes = expected(block, 1);
        media.write(block, bytes.as_slice().try_into().unwrap());
    }
    media
}

/// The size of a card for tests: enough for every request, small enough to be quick.
pub fn blocks(features: &Features) -> u64 {
    if features.high_capacity { 8 << 20 } else { 8192 }
}

pub fn card(features: Features) -> Card {
    let media = filled(blocks(&features), 600);
    Card::new(features, Box::new(media)).unwrap()
}

impl Board {
    pub fn empty(options: Options) -> Self {
        Self {
            host: RefCell::new(Sdhci::new(options)),
            ram: Ram::new(RAM, RAM_LENGTH),
            now: Cell::new(1_000_000),
            loads: Cell::new(0),
            stores: Cell::new(0),
            interrupts: Cell::new(0),
            remove_before_clear: Cell::new(false),
            extra_status: Cell::new(0),
        }
    }

    pub fn new(features: Features) -> Self {
        Self::with_options(features, Options::ZYNQ7000)
    }

    pub fn with_options(features: Features, options: Options) -> Self {
        let board = Self::empty(options);
        board.host.borrow_mut().insert(card(features), true);
        board
    }

    pub fn driver(&self) -> BoardDriver<'_> {
        self.driver_with(DESCRIPTORS)
    }

    pub fn driver_with(&self, descriptors: usize) -> BoardDriver<'_> {
        let table = DescriptorTable::new(&self.ram.cells()[..2 * descriptors], RAM);
        Driver::new(self, table, Options::ZYNQ7000.base_clock)
    }

    pub fn micros(&self) -> u64 {
        self.now.get() / 1_000
    }

    pub fn inject(&self, fault: Fault, times: u32) {
        self.host.borrow_mut().card().unwrap().inject(fault, times);
    }

    pub fn heal(&self) {
        self.host.borrow_mut().card().unwrap().heal();
    }

    pub fn media(&self, block: u64, count: u64) -> Vec<u8> {
        let mut host = self.host.borrow_mut();
        let media = host.card().unwrap().media();
        (block..block + count).flat_map(|block| media.read(block)).collect()
    }

    /// Runs the board up to `until` (ns) or up to the first event of the driver.
    pub fn run_until(&self, driver: &mut BoardDriver<'_>, until: u64) -> Option<Event> {
        let mut calls = 0;
        loop {
            calls += 1;
            assert!(calls < 100 * STORM, "too many steps in {:?}", driver.state());
            let mut storm = 0;
            while self.host.borrow().interrupts() != 0 {
                self.interrupts.set(self.interrupts.get() + 1);
                if let Some(event) = driver.on_interrupt(self.micros()) {
                    return Some(event);
                }
                storm += 1;
                assert!(storm < STORM, "interrupt storm in {:?}", driver.state());
            }
            if driver.deadline().is_some_and(|deadline| deadline <= self.micros()) {
                if let Some(event) = driver.on_time(self.micros()) {
                    return Some(event);
                }
                assert!(
                    driver.deadline().is_none_or(|deadline| deadline > self.micros()),
                    "a deadline that does not move in {:?}",
                    driver.state()
                );
                continue;
            }
            let hardware = self.host.borrow().next_event();
            let software = driver.deadline().map(|deadline| deadline * 1_000);
            let next = hardware.into_iter().chain(software).min().unwrap_or(u64::MAX);
            if next > until {
                self.now.set(self.now.get().max(until));
                self.host.borrow_mut().advance(until, &mut &self.ram);
                return None;
            }
            self.now.set(self.now.get().max(next));
            self.host.borrow_mut().advance(self.now.get(), &mut &self.ram);
        }
    }

    /// The next event. Panics if there will be none within a simulated hour.
    pub fn event(&self, driver: &mut BoardDriver<'_>) -> Event {
        self.run_until(driver, self.now.get() + 3_600_000_000_000)
            .unwrap_or_else(|| panic!("no event for an hour, driver {:?}, {:?}", driver.state(), driver.deadline()))
    }

    /// Starts the driver and runs up to its first event.
    pub fn start(&self, driver: &mut BoardDriver<'_>) -> Event {
        driver.start(self.micros()).unwrap_or_else(|| self.event(driver))
    }

    /// A driver with its card up.
    pub fn ready(&self) -> (BoardDriver<'_>, CardInfo) {
        let mut driver = self.driver();
        match self.start(&mut driver) {
            Event::Ready(card) => (driver, card),
            other => panic!("{other:?}"),
        }
    }

    pub fn submit(
        &self,
        driver: &mut BoardDriver<'_>,
        direction: Direction,
        block: u32,
        count: u32,
        segments: &[Segment],
    ) -> Result<(), SubmitError> {
        driver.submit(&Transfer { block, count, direction, segments }, self.micros())
    }

    /// Runs a request into or out of [`BUFFER`] to its end.
    pub fn transfer(
        &self,
        driver: &mut BoardDriver<'_>,
        direction: Direction,
        block: u32,
        count: u32,
    ) -> Result<(), Error> {
        let segments = [Segment { address: BUFFER, length: count * 512 }];
        self.submit(driver, direction, block, count, &segments).unwrap();
        self.done(driver)
    }

    /// The end of the request in flight.
    pub fn done(&self, driver: &mut BoardDriver<'_>) -> Result<(), Error> {
        match self.event(driver) {
            Event::Done(result) => result,
            other => panic!("{other:?}"),
        }
    }

    pub fn read(&self, driver: &mut BoardDriver<'_>, block: u32, count: u32) -> Result<Vec<u8>, Error> {
        self.ram.load(BUFFER, &vec![0xEE; count as usize * BLOCK_SIZE]).unwrap();
        self.transfer(driver, Direction::Read, block, count)?;
        Ok(self.ram.dump(BUFFER, count * 512).unwrap())
    }

    pub fn write(&self, driver: &mut BoardDriver<'_>, block: u32, data: &[u8]) -> Result<(), Error> {
        self.ram.load(BUFFER, data).unwrap();
        self.transfer(driver, Direction::Write, block, (data.len() / BLOCK_SIZE) as u32)
    }

    /// The driver works: reads and writes are right.
    pub fn check(&self, driver: &mut BoardDriver<'_>) {
        assert_eq!(driver.state(), State::Ready);
        assert_eq!(self.read(driver, 3, 5).unwrap(), self.media(3, 5));
        let data = vec![0xA5; 3 * BLOCK_SIZE];
        self.write(driver, 700, &data).unwrap();
        assert_eq!(self.media(700, 3), data);
    }

    /// Software did nothing that the model complains about.
    pub fn assert_clean(&self) {
        let complaints = self.host.borrow_mut().complaints();
        assert!(complaints.is_empty(), "{complaints:#?}");
    }
}
