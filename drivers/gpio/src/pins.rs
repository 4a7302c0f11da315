//! Who has which pin, and what happens at it.
//!
//! # Theory of operation
//!
//! A session has a [`Group`] of pins, and speaks of them in sets of its own numbering; this translates them into sets of the controller's banks, of which the
//! session's pins are a part. Every operation checks first that all pins it names are the group's, and that they may be what they are asked to be; then
//! it does all of it.
//!
//! A pin that notices its trigger counts an event. [`Pins::raised`] tells which pins have got their first event since somebody took them: that is when a
//! signal is due.
//!
//! A pin with a debounce time is watched for both edges, whatever its trigger. Each edge starts the time anew; when it has passed without one, the level
//! is looked at, and if it is another than before, that is the change of which the trigger knows. Level triggers go by this level as well.
//!
//! Times are in microseconds since any fixed moment and never go back.

use component::timeouts::Timeouts;
use heapless::Vec;
use session::Error;
use session::gpio::{Events, Levels, MAX_DEBOUNCE, PINS, Pin, Trigger};

use crate::controller::{BANKS, BITS, Controller, Place, Sets};

/// Places for pins.
const PLACES: usize = BANKS * BITS as usize;

/// The pins of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    places: Vec<Place, PINS>,
    /// Those that may be inputs, in the session's numbering.
    inputs: u32,
    /// Those that may be outputs.
    outputs: u32,
}

impl Group {
    /// A group without pins.
    pub const fn new() -> Self {
        Self { places: Vec::new(), inputs: 0, outputs: 0 }
    }

    /// Adds the pin at `place`, which gets the next number, and may be an input, an output or both.
    ///
    /// # Errors
    /// [`Error::Invalid`]: the group is full, or has the pin already.
    pub fn add(&mut self, place: Place, input: bool, output: bool) -> Result<(), Error> {
        if self.places.contains(&place) {
            return Err(Error::Invalid);
        }
        let bit = 1_u32.checked_shl(self.places.len() as u32).ok_or(Error::Invalid)?;
        self.places.push(place).map_err(|_| Error::Invalid)?;
        self.inputs |= if input { bit } else { 0 };
        self.outputs |= if output { bit } else { 0 };
        Ok(())
    }

    /// Number of pins.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is no pin.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The pins that may be inputs.
    pub const fn inputs(&self) -> u32 {
        self.inputs
    }

    /// The pins that may be outputs.
    pub const fn outputs(&self) -> u32 {
        self.outputs
    }

    /// Where the pins are, in the order of their numbers.
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// Whether a pin of the group is in `sets`.
    pub fn touches(&self, sets: &Sets) -> bool {
        self.places.iter().any(|place| sets.get(place.bank).is_some_and(|set| set & place.mask() != 0))
    }

    /// The places of the pins in `mask`.
    #[inline]
    fn select(&self, mask: u32) -> impl Iterator<Item = (u32, Place)> {
        self.places
            .iter()
            .zip(0..)
            .filter(move |(_, number)| mask >> number & 1 != 0)
            .map(|(place, number)| (number, *place))
    }

    /// # Errors
    /// [`Error::Denied`] if the group does not have all pins in `mask`.
    #[inline]
    fn check(&self, mask: u32) -> Result<(), Error> {
        if u64::from(mask) >> self.places.len() == 0 { Ok(()) } else { Err(Error::Denied) }
    }

    /// The pins in `mask` in the controller's banks: for each bank those of them with a bit in `values`, and all of them.
    #[inline]
    fn scatter(&self, mask: u32, values: u32) -> [(u32, u32); BANKS] {
        let mut banks = [(0, 0); BANKS];
        for (number, place) in self.select(mask) {
            if let Some((set, all)) = banks.get_mut(place.bank) {
                *all |= place.mask();
                *set |= if values >> number & 1 != 0 { place.mask() } else { 0 };
            }
        }
        banks
    }

    /// The pins of the group that are in the controller's sets.
    fn gather(&self, sets: &Sets) -> u32 {
        self.places.iter().zip(0..).fold(0, |mask, (place, number)| {
            let bit = sets.get(place.bank).is_some_and(|set| set & place.mask() != 0);
            mask | u32::from(bit) << number
        })
    }

    /// The banks that the group has pins in.
    fn banks(&self) -> impl Iterator<Item = usize> {
        let mut used = [false; BANKS];
        for place in &self.places {
            if let Some(used) = used.get_mut(place.bank) {
                *used = true;
            }
        }
        used.into_iter().enumerate().filter(|(_, used)| *used).map(|(bank, _)| bank)
    }
}

/// What is known of a pin.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    trigger: Trigger,
    count: u32,
    /// In microseconds; 0: none.
    debounce: u32,
    /// The level that counts, of a pin with a debounce time.
    level: bool,
}

impl State {
    /// Whether a change to its level is what the trigger is about.
    const fn is_triggered(&self) -> bool {
        match self.trigger {
            Trigger::Off => false,
            Trigger::Both => true,
            Trigger::Rising | Trigger::High => self.level,
            Trigger::Falling | Trigger::Low => !self.level,
        }
    }

    const fn has_level_trigger(&self) -> bool {
        matches!(self.trigger, Trigger::High | Trigger::Low)
    }
}

/// The pins of a controller. See the [module documentation](self).
#[derive(Debug)]
pub struct Pins<C> {
    controller: C,
    owned: Sets,
    states: [State; PLACES],
    /// Pins that have got their first event.
    raised: Sets,
    /// When debounced pins are looked at; numbered by [`Place::index`].
    quiet: Timeouts<PLACES>,
}

impl<C: Controller> Pins<C> {
    /// The pins of a controller that has just been taken over.
    pub const fn new(controller: C) -> Self {
        Self {
            controller,
            owned: [0; BANKS],
            states: [const { State { trigger: Trigger::Off, count: 0, debounce: 0, level: false } }; PLACES],
            raised: [0; BANKS],
            quiet: Timeouts::new(),
        }
    }

    /// The controller.
    pub const fn controller(&self) -> &C {
        &self.controller
    }

    /// Gives the pins of a group to a session.
    ///
    /// # Errors
    /// [`Error::Busy`]: another session has one of them; none is given then.
    pub fn claim(&mut self, group: &Group) -> Result<(), Error> {
        if group.touches(&self.owned) {
            return Err(Error::Busy);
        }
        for (owned, (_, mask)) in self.owned.iter_mut().zip(group.scatter(u32::MAX, 0)) {
            *owned |= mask;
        }
        Ok(())
    }

    /// Takes the pins of a group back: inputs without trigger, and low if they become outputs.
    pub fn release(&mut self, group: &Group) {
        for (bank, (_, mask)) in group.scatter(u32::MAX, 0).into_iter().enumerate() {
            if mask == 0 {
                continue;
            }
            self.controller.arm(bank, mask, Trigger::Off);
            self.controller.direct(bank, mask, 0);
            self.controller.write(bank, mask, 0);
            for set in [self.owned.get_mut(bank), self.raised.get_mut(bank)].into_iter().flatten() {
                *set &= !mask;
            }
        }
        for place in group.places() {
            self.quiet.cancel(place.index());
            if let Some(state) = self.states.get_mut(place.index()) {
                *state = State::default();
            }
        }
    }

    /// All pins of a group.
    #[inline]
    pub fn read(&self, group: &Group) -> Levels {
        let (mut pins, mut set, mut outputs) = ([0; BANKS], [0; BANKS], [0; BANKS]);
        for bank in group.banks() {
            let words = (pins.get_mut(bank), set.get_mut(bank), outputs.get_mut(bank));
            if let (Some(pins), Some(set), Some(outputs)) = words {
                *pins = self.controller.levels(bank);
                *set = self.controller.set(bank);
                *outputs = self.controller.directions(bank);
            }
        }
        Levels { pins: group.gather(&pins), set: group.gather(&set), outputs: group.gather(&outputs) }
    }

    /// Sets pins.
    ///
    /// # Errors
    /// [`Error::Denied`] if one of them is not the group's or may not be an output.
    #[inline]
    pub fn write(&mut self, group: &Group, mask: u32, levels: u32) -> Result<(), Error> {
        group.check(mask)?;
        if mask & !group.outputs != 0 {
            return Err(Error::Denied);
        }
        for (bank, (levels, mask)) in group.scatter(mask, levels).into_iter().enumerate() {
            if mask != 0 {
                self.controller.write(bank, mask, levels);
            }
        }
        Ok(())
    }

    /// Makes pins outputs with these levels, or inputs.
    ///
    /// # Errors
    /// [`Error::Denied`] if one of them is not the group's or may not be what it should be.
    pub fn direct(&mut self, group: &Group, mask: u32, outputs: u32, levels: u32) -> Result<(), Error> {
        group.check(mask)?;
        let (outputs, inputs) = (mask & outputs, mask & !outputs);
        if outputs & !group.outputs != 0 || inputs & !group.inputs != 0 {
            return Err(Error::Denied);
        }
        self.write(group, outputs, levels)?;
        for (bank, (outputs, mask)) in group.scatter(mask, outputs).into_iter().enumerate() {
            if mask != 0 {
                self.controller.direct(bank, mask, outputs);
            }
        }
        Ok(())
    }

    /// Chooses what counts as an event, and forgets events until now.
    ///
    /// # Errors
    /// [`Error::Denied`] if a pin is not the group's, or may not be an input but has a trigger.
    pub fn trigger(&mut self, group: &Group, mask: u32, trigger: Trigger) -> Result<(), Error> {
        group.check(mask)?;
        if trigger != Trigger::Off && mask & !group.inputs != 0 {
            return Err(Error::Denied);
        }
        for (_, place) in group.select(mask) {
            if let Some(state) = self.states.get_mut(place.index()) {
                state.trigger = trigger;
            }
            self.watch(place);
        }
        Ok(())
    }

    /// Sets the debounce time, and forgets events until now.
    ///
    /// # Errors
    /// [`Error::Denied`] if a pin is not the group's or may not be an input; [`Error::Invalid`] if the time is too long.
    pub fn debounce(&mut self, group: &Group, mask: u32, microseconds: u32) -> Result<(), Error> {
        group.check(mask)?;
        if mask & !group.inputs != 0 {
            return Err(Error::Denied);
        }
        if microseconds > MAX_DEBOUNCE {
            return Err(Error::Invalid);
        }
        for (_, place) in group.select(mask) {
            if let Some(state) = self.states.get_mut(place.index()) {
                state.debounce = microseconds;
            }
            self.watch(place);
        }
        Ok(())
    }

    /// The pins of a group with events.
    #[inline]
    pub fn pending(&self, group: &Group) -> u32 {
        group.places.iter().zip(0..).fold(0, |mask, (place, number)| {
            let has = self.states.get(place.index()).is_some_and(|state| state.count > 0);
            mask | u32::from(has) << number
        })
    }

    /// Takes the events of a pin.
    ///
    /// # Errors
    /// [`Error::Denied`]: the group has no such pin.
    pub fn take(&mut self, group: &Group, pin: Pin) -> Result<Events, Error> {
        let place = *group.places.get(pin.number() as usize).ok_or(Error::Denied)?;
        let state = self.states.get_mut(place.index()).ok_or(Error::Denied)?;
        let count = core::mem::take(&mut state.count);
        let State { debounce, level, trigger, .. } = *state;
        let level = if debounce > 0 { level } else { self.controller.levels(place.bank) & place.mask() != 0 };
        if count > 0 && state.has_level_trigger() {
            let again = match debounce {
                0 => self.controller.resume(place.bank, place.mask(), trigger) != 0,
                _ => state.is_triggered(),
            };
            if again {
                self.note(place);
            }
        }
        Ok(Events { count, level, pending: self.pending(group) })
    }

    /// Handles an interrupt. There may be none pending.
    pub fn on_interrupt(&mut self, now: u64) {
        for (bank, noticed) in self.controller.take().into_iter().enumerate() {
            let mut left = noticed;
            while left != 0 {
                let place = Place { bank, bit: left.trailing_zeros() };
                left &= left - 1;
                match self.states.get(place.index()) {
                    Some(State { debounce: 0, .. }) => self.note(place),
                    Some(State { debounce, .. }) => {
                        // There is a timeout for every place.
                        let _ = self.quiet.set_once(place.index(), now.saturating_add((*debounce).into()));
                    }
                    None => {}
                }
            }
        }
    }

    /// When [`on_time`](Self::on_time) has something to do.
    pub fn deadline(&self) -> Option<u64> {
        self.quiet.earliest()
    }

    /// Looks at the pins whose debounce time has passed.
    pub fn on_time(&mut self, now: u64) {
        // An edge that has come meanwhile means that the pin is not quiet.
        self.on_interrupt(now);
        while let Some(quiet) = self.quiet.next_expired(now) {
            let place = Place { bank: quiet.number / BITS as usize, bit: quiet.number as u32 % BITS };
            let level = self.controller.levels(place.bank) & place.mask() != 0;
            if let Some(state) = self.states.get_mut(place.index())
                && core::mem::replace(&mut state.level, level) != level
                && state.is_triggered()
                && !(state.has_level_trigger() && state.count > 0)
            {
                self.note(place);
            }
        }
    }

    /// Whether a pin has got its first event since [`raised`](Self::raised) was called.
    #[inline]
    pub fn has_raised(&self) -> bool {
        self.raised != [0; BANKS]
    }

    /// The pins that have got their first event since this was called.
    pub fn raised(&mut self) -> Sets {
        core::mem::take(&mut self.raised)
    }

    /// Watches a pin for its trigger from now on.
    fn watch(&mut self, place: Place) {
        self.quiet.cancel(place.index());
        if let Some(raised) = self.raised.get_mut(place.bank) {
            *raised &= !place.mask();
        }
        let Some(state) = self.states.get_mut(place.index()) else { return };
        state.count = 0;
        let watched = if state.debounce > 0 && state.trigger != Trigger::Off { Trigger::Both } else { state.trigger };
        let noticed = self.controller.arm(place.bank, place.mask(), watched) != 0;
        state.level = self.controller.levels(place.bank) & place.mask() != 0;
        let is_there = state.debounce > 0 && state.has_level_trigger() && state.is_triggered();
        if noticed || is_there {
            self.note(place);
        }
    }

    fn note(&mut self, place: Place) {
        let Some(state) = self.states.get_mut(place.index()) else { return };
        let first = state.count == 0;
        state.count = state.count.saturating_add(1);
        if let Some(raised) = self.raised.get_mut(place.bank)
            && first
        {
            *raised |= place.mask();
        }
    }
}
