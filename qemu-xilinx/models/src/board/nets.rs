//! The nets outside of the devices: who drives them, what level they have, and when it changed.

use std::collections::BTreeMap;

use super::command::Net;
use super::description::{EMIO_PINS, MIO_PINS};
use super::report::History;
use crate::Drive;

/// A resistor to one of the supplies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Pull {
    /// None.
    #[default]
    None,
    /// Low, if nobody drives.
    Down,
    /// High, if nobody drives.
    Up,
}

/// A net.
#[derive(Clone, Debug)]
pub(super) struct State {
    /// What it is called in reports and complaints.
    pub(super) name: String,
    /// A resistor on the board, stronger than one in the chip.
    pub(super) pull: Pull,
    /// What is done to it from outside.
    pub(super) outside: Drive,
    pub(super) history: History,
    /// It is driven high and low at the same time, and that has been said.
    fighting: bool,
}

/// All nets: the MIO pins, the EMIO pins of the GPIO controller, and what else is on the PL's pads.
#[derive(Clone, Debug, Default)]
pub(super) struct Nets {
    pub(super) states: Vec<State>,
    /// Names besides the numbers.
    names: BTreeMap<String, usize>,
}

impl Nets {
    pub(super) fn new() -> Self {
        let mut nets = Self::default();
        let mio = (0..MIO_PINS).map(|pin| format!("MIO{pin}"));
        for name in mio.chain((0..EMIO_PINS).map(|pin| format!("EMIO{pin}"))) {
            nets.add(name, Pull::None);
        }
        nets
    }

    /// Forgets how the nets came to their levels.
    pub(super) fn begin_histories(&mut self) {
        for state in &mut self.states {
            state.history = History { initial: state.history.level, level: state.history.level, ..History::default() };
        }
    }

    /// Adds a net and returns its number.
    pub(super) fn add(&mut self, name: String, pull: Pull) -> usize {
        let number = self.states.len();
        self.names.insert(name.clone(), number);
        self.states.push(State { name, pull, outside: Drive::Floating, history: History::default(), fighting: false });
        number
    }

    /// Gives a net one more name, and a resistor.
    pub(super) fn name(&mut self, number: usize, name: &str, pull: Pull) {
        self.names.insert(name.to_owned(), number);
        if let Some(state) = self.states.get_mut(number) {
            name.clone_into(&mut state.name);
            state.pull = pull;
        }
    }

    /// Gives a net a pull-up resistor and returns its number.
    pub(super) fn pull_up(&mut self, number: usize) -> usize {
        if let Some(state) = self.states.get_mut(number) {
            state.pull = Pull::Up;
        }
        number
    }

    /// The number of a net.
    pub(super) fn find(&self, net: &Net) -> Option<usize> {
        match net {
            Net::Mio(pin) => Some(usize::from(*pin)),
            Net::Emio(pin) => Some(emio(*pin)),
            Net::Pad(name) => self.names.get(name).copied(),
        }
        .filter(|number| *number < self.states.len())
    }

    /// The level that the drivers and resistors of a net make; `chip_pull` is that inside the chip. Says whether the drivers
    /// have begun to work against each other.
    pub(super) fn resolve(&mut self, number: usize, drives: [Drive; 2], chip_pull: Pull) -> (bool, bool) {
        let Some(state) = self.states.get_mut(number) else { return (false, false) };
        let (mut low, mut high) = (false, false);
        for drive in drives.into_iter().chain([state.outside]) {
            low |= drive == Drive::Low;
            high |= drive == Drive::High;
        }
        let fights = low && high && !state.fighting;
        state.fighting = low && high;
        let pulls = if state.pull == Pull::None { chip_pull } else { state.pull };
        (!low && (high || pulls == Pull::Up), fights)
    }
}

/// The number of the net of an EMIO pin.
pub(super) fn emio(pin: u8) -> usize {
    usize::from(MIO_PINS) + usize::from(pin)
}
