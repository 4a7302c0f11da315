//! An engine with a display, a camera and memory, in simulated time.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

use std::cell::{Cell, RefCell};
use std::sync::atomic::Ordering;

use mmio::Registers;
use models::memory::Ram;
use models::vdma::{Options, Vdma};
use models::video::{Format, Mode, Record, Sink, Source};
use models::{Device, Width};
use zelkova_vdma::{Channel, Direction, Hardware, Outcome, Picture};

/// Where memory begins on the bus.
pub const RAM: u32 = 0x1000_0000;
/// A small picture at 60 Hz.
pub const MODE: Mode =
    Mode { width: 32, height: 24, total_width: 40, total_height: 30, blanking_before: 4, pixel_clock: 72_000 };
/// Its form in memory.
pub const PICTURE: Picture = Picture { line_bytes: 128, lines: 24, stride: 128 };
/// Bytes of a picture.
pub const BYTES: u32 = 128 * 24;
/// A frame's time in ns, rounded up.
pub const FRAME: u64 = 16_666_667;

pub struct Board {
    pub vdma: RefCell<Vdma>,
    pub ram: Ram,
    /// In ns.
    pub now: Cell<u64>,
    pub accesses: Cell<u32>,
}

impl Registers for Board {
    fn read(&self, offset: usize) -> u32 {
        self.pass(100);
        self.vdma.borrow_mut().read(offset as u32, Width::Word, self.now.get())
    }

    fn write(&self, offset: usize, value: u32) {
        self.pass(100);
        self.vdma.borrow_mut().write(offset as u32, Width::Word, value, self.now.get());
    }
}

pub type BoardChannel<'a> = Channel<&'a Board>;

impl Board {
    pub fn new(options: Options) -> Self {
        let sink = Sink::new(MODE, Format::Xrgb8888, 0);
        let source = Source::new(MODE, Format::Xrgb8888, 0);
        Self::with(options, Some(sink), Some(source))
    }

    pub fn with(options: Options, sink: Option<Sink>, source: Option<Source>) -> Self {
        Self {
            vdma: RefCell::new(Vdma::new(options, sink, source)),
            ram: Ram::new(RAM, 33 * BYTES),
            now: Cell::new(1),
            accesses: Cell::new(0),
        }
    }

    pub fn stores(stores: u8) -> Self {
        Self::new(Options { stores, ..Options::TRIPLE_BUFFER })
    }

    pub fn channel(&self, direction: Direction, stores: u8) -> BoardChannel<'_> {
        Channel::new(self, direction, Hardware { stores, alignment: 8, realignment: false })
    }

    fn pass(&self, time: u64) {
        self.now.set(self.now.get() + time);
        self.accesses.set(self.accesses.get() + 1);
        self.vdma.borrow_mut().advance(self.now.get(), &mut &self.ram);
    }

    /// In µs.
    pub fn time(&self) -> u64 {
        self.now.get() / 1000
    }

    /// Lets time pass until the interrupt of a channel, its deadline, or `end` in ns, and tells the channel.
    pub fn step(&self, channel: &mut BoardChannel<'_>, end: u64) -> Outcome {
        let line = match channel.block().direction() {
            Direction::Read => 1,
            Direction::Write => 2,
        };
        loop {
            if self.vdma.borrow().interrupts() & line != 0 {
                return channel.on_interrupt(self.time());
            }
            let deadline = channel.deadline().map_or(u64::MAX, |deadline| deadline * 1000);
            let event = self.vdma.borrow().next_event().unwrap_or(u64::MAX);
            let next = event.min(deadline).min(end).max(self.now.get());
            self.now.set(next);
            self.vdma.borrow_mut().advance(next, &mut &self.ram);
            if self.vdma.borrow().interrupts() & line != 0 {
                continue;
            }
            if next >= deadline {
                return channel.on_time(self.time());
            }
            if next >= end {
                return Outcome::default();
            }
        }
    }

    /// Runs a channel until `end` in ns. Returns all that has come out of it.
    pub fn run(&self, channel: &mut BoardChannel<'_>, end: u64) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        while self.now.get() < end {
            outcomes.push(self.step(channel, end));
        }
        outcomes.retain(|outcome| *outcome != Outcome::default());
        outcomes
    }

    /// Address of a picture.
    pub fn address(picture: u32) -> u32 {
        RAM + picture * BYTES
    }

    pub fn addresses(pictures: u32) -> Vec<u32> {
        (0..pictures).map(Self::address).collect()
    }

    /// Fills a picture with one colour, as a client would.
    pub fn fill(&self, picture: u32, colour: u32) {
        for cell in &self.ram.cells()[(picture * BYTES / 4) as usize..((picture + 1) * BYTES / 4) as usize] {
            cell.store(colour, Ordering::Relaxed);
        }
    }

    pub fn records(&self) -> Vec<Record> {
        self.vdma.borrow().sink().unwrap().records().cloned().collect()
    }

    pub fn tags(&self) -> Vec<Option<u32>> {
        self.records().iter().map(Record::tag).collect()
    }

    pub fn is_touching(&self, picture: u32) -> bool {
        self.vdma.borrow().is_touching(Self::address(picture), BYTES)
    }

    /// The model has nothing to complain about.
    pub fn silent(&self) {
        assert_eq!(self.vdma.borrow_mut().complaints(), Vec::<String>::new());
    }
}
