//! A controller with its pins, in simulated time.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

use std::cell::{Cell, RefCell};

use mmio::Registers;
use models::axi_gpio::{AxiGpio, Channel};
use models::gpio::Gpio;
use models::{Device, Drive, Width};
use zelkova_gpio::controller::{BITS, Sets};
use zelkova_gpio::{Axi, BANKS, Controller, Group, Pins, Place, Ps};

/// First signal of each bank of the PS, in numbers of pins.
pub const FIRST: [u32; BANKS] = [0, 32, 54, 86];
/// Pins of each bank of the PS.
pub const WIDTHS: [u32; BANKS] = [32, 22, 32, 32];

/// Something that happens to a device.
pub type Meddling = Box<dyn Fn(&mut dyn Device)>;
type Change = Option<(usize, Meddling)>;

/// A device and what is done to it between register accesses.
pub struct Board<D> {
    pub device: RefCell<D>,
    pub stores: Cell<u32>,
    /// Done before the next store to an offset.
    pub before_store: RefCell<Change>,
    /// Done after the next load from an offset.
    pub after_load: RefCell<Change>,
}

impl<D: Device> Registers for Board<D> {
    fn read(&self, offset: usize) -> u32 {
        let value = self.device.borrow_mut().read(offset as u32, Width::Word, 0);
        self.meddle(&self.after_load, offset);
        value
    }

    fn write(&self, offset: usize, value: u32) {
        self.meddle(&self.before_store, offset);
        self.stores.set(self.stores.get() + 1);
        self.device.borrow_mut().write(offset as u32, Width::Word, value, 0);
    }
}

impl<D: Device> Board<D> {
    pub fn new(device: D) -> Self {
        Self {
            device: RefCell::new(device),
            stores: Cell::new(0),
            before_store: RefCell::new(None),
            after_load: RefCell::new(None),
        }
    }

    fn meddle(&self, change: &RefCell<Change>, offset: usize) {
        let due = change.borrow().as_ref().is_some_and(|(at, _)| *at == offset);
        if due && let Some((_, change)) = change.take() {
            change(&mut *self.device.borrow_mut());
        }
    }

    /// Somebody outside changes the level of a net.
    pub fn sense(&self, signal: u32, level: bool) {
        self.device.borrow_mut().sense(signal, level, 0);
    }

    pub fn drive(&self, signal: u32) -> Drive {
        self.device.borrow().drive(signal)
    }

    pub fn interrupts(&self) -> bool {
        self.device.borrow().interrupts() != 0
    }

    /// Handles interrupts until there is none.
    pub fn settle<C: Controller>(&self, pins: &mut Pins<C>, now: u64) {
        for _ in 0..10 {
            if !self.interrupts() {
                return;
            }
            pins.on_interrupt(now);
        }
        panic!("an interrupt that does not end");
    }

    pub fn assert_clean(&self) {
        let complaints = self.device.borrow_mut().complaints();
        assert!(complaints.is_empty(), "{complaints:#?}");
    }
}

pub type PsPins<'a> = Pins<Ps<&'a Board<Gpio>>>;
pub type AxiPins<'a> = Pins<Axi<&'a Board<AxiGpio>>>;

pub fn ps_board() -> Board<Gpio> {
    Board::new(Gpio::new())
}

impl Board<Gpio> {
    pub fn pins(&self) -> PsPins<'_> {
        Pins::new(Ps::new(self))
    }
}

/// Channels of 8 and 5 pins.
pub const AXI_WIDTHS: [u32; 2] = [8, 5];

pub fn axi_board() -> Board<AxiGpio> {
    Board::new(AxiGpio::new(Channel::inputs(AXI_WIDTHS[0]), Some(Channel::inputs(AXI_WIDTHS[1]))))
}

impl Board<AxiGpio> {
    pub fn pins(&self) -> AxiPins<'_> {
        Pins::new(Axi::new(self, AXI_WIDTHS))
    }
}

/// A claimed group of these pins, which may be anything that they can be.
pub fn claim<C: Controller>(pins: &mut Pins<C>, numbers: impl IntoIterator<Item = u32>) -> Group {
    let mut group = Group::new();
    for number in numbers {
        let place = pins.controller().place(number).unwrap();
        let input = pins.controller().inputs()[place.bank] & place.mask() != 0;
        group.add(place, input, true).unwrap();
    }
    pins.claim(&group).unwrap();
    group
}

/// The pins in sets, as places.
pub fn places(sets: Sets) -> Vec<Place> {
    let all = (0..BANKS).flat_map(|bank| (0..BITS).map(move |bit| Place { bank, bit }));
    all.filter(|place| sets[place.bank] & place.mask() != 0).collect()
}
