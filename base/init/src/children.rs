//! The components that init looks after.

use abi::{ENDPOINT_BADGE, slot};
use alloc::vec::Vec;
use session::Text;

use crate::description::Component;
use crate::lifecycle::{End, Next, State};
use crate::platform::{Account, Capability, Domain, Error, gate};
use crate::program::Programs;
use crate::quota::Trade;

/// What a running component consists of.
pub(crate) struct Instance {
    pub(crate) account: Account,
    pub(crate) domain: Domain,
    /// The right to send requests to init: all copies of it vanish with the instance.
    parent: Capability,
    /// Raises the component's parent signal; made when it is first needed.
    signal: Option<Capability>,
}

/// A component.
pub(crate) struct Child {
    pub(crate) component: Component,
    pub(crate) config: Vec<u8>,
    pub(crate) state: State,
    pub(crate) instance: Option<Instance>,
    /// How it ended last.
    pub(crate) end: Option<End>,
    /// The last fault of any of its instances: kind, instruction, address, thread.
    pub(crate) fault: Option<[u32; 4]>,
    /// What comes after that.
    pub(crate) next: Next,
    /// Restarts by its policy.
    pub(crate) restarts: u32,
    /// Place in the order of starts: servers before their clients.
    pub(crate) sequence: u32,
    /// The description that named it last.
    pub(crate) named: u32,
    /// It could not be started when so many instances had been destroyed.
    pub(crate) unstartable: Option<u32>,
    /// The highest priority at which it wanted the processor when that was last asked.
    pub(crate) wanted: u32,
    /// How often in a row it was found wanting the processor while others did not get it.
    pub(crate) busy: u32,
    /// Milliseconds until it is started again.
    pub(crate) delay: u32,
    /// Milliseconds since it last asked for anything; counted only if it has a heartbeat.
    pub(crate) silent: u32,
    /// RAM and capabilities that it has asked for and not got.
    pub(crate) requested: [u32; 2],
    /// What is between it and init about quota.
    pub(crate) trade: Trade,
}

impl Child {
    /// Its account, while it has one.
    pub(crate) fn account(&self) -> Result<&Account, Error> {
        self.instance.as_ref().map(|instance| &instance.account).ok_or(Error::Gone)
    }

    /// Whether an instance of it will answer requests that are made now.
    pub(crate) fn serves(&self) -> bool {
        match self.state {
            State::Running | State::Waiting => true,
            State::Ending => matches!(self.next, Next::Restart(_)),
            State::Ended => false,
        }
    }

    /// Starts an instance as number `index`, whose faults raise `faults`.
    pub(crate) fn start(&mut self, index: u32, faults: &Capability, programs: &mut Programs) -> Result<(), Error> {
        let Component { ram, caps, .. } = self.component;
        // All of it is lent on top of an empty donation, so that all of it can be taken back as far as it is unused.
        let account = Account::own().create_account(0, 0)?;
        let started =
            Account::own().lend(&account, ram, caps).and_then(|()| self.start_in(&account, index, faults, programs));
        match started {
            Ok((domain, parent)) => {
                self.instance = Some(Instance { account, domain, parent, signal: None });
                self.state = State::Running;
                self.silent = 0;
                self.trade = Trade::default();
                Ok(())
            }
            Err(error) => {
                Account::own().close(account)?;
                Err(error)
            }
        }
    }

    fn start_in(
        &self,
        account: &Account,
        index: u32,
        faults: &Capability,
        programs: &mut Programs,
    ) -> Result<(Domain, Capability), Error> {
        // Room for what it may hold, and as much again for copies and replies.
        let slots = self.component.caps.saturating_mul(2).saturating_add(slot::FIRST_FREE);
        let slot_bits = slots.checked_next_power_of_two().unwrap_or(1 << 12).ilog2().clamp(6, 12);
        let domain = account.create_domain(&self.component.name, slot_bits)?;
        let parent = Capability::mint(slot::ENDPOINT, ENDPOINT_BADGE | index)?;
        domain.grant(slot::PARENT, parent.slot())?;
        domain.on_change(faults.slot())?;
        programs.start(&self.component, &self.config, account, &domain, slot_bits)?;
        Ok((domain, parent))
    }

    /// Stops all threads of the component.
    pub(crate) fn stop(&mut self) {
        if let Some(instance) = &self.instance {
            // Threads that cannot be stopped are destroyed with their account all the same.
            let _ = instance.domain.stop();
        }
    }

    /// Destroys the instance: everything it had is init's again.
    pub(crate) fn destroy(&mut self) -> Result<(), Error> {
        let Some(Instance { account, parent, .. }) = self.instance.take() else { return Ok(()) };
        parent.revoke();
        Account::own().close(account)
    }

    /// Gives the instance the quota that the description promises beside what it has been granted, or takes back what it has not used of the
    /// rest. Returns what it gave.
    ///
    /// # Errors
    /// init itself is short of what it should give; what could be taken back is back.
    pub(crate) fn adjust_quota(&self) -> Result<[u32; 2], Error> {
        let account = self.account()?;
        let info = account.info()?;
        let Component { ram, caps, .. } = self.component;
        let [granted_ram, granted_caps] = self.trade.granted;
        let (ram, caps) = (ram.saturating_add(granted_ram), caps.saturating_add(granted_caps));
        let unused_ram = info.ram.saturating_sub(info.ram_used).saturating_sub(info.ram_lent);
        let unused_caps = info.caps.saturating_sub(info.caps_used).saturating_sub(info.caps_lent);
        let less = (info.ram.saturating_sub(ram).min(unused_ram), info.caps.saturating_sub(caps).min(unused_caps));
        let more = (ram.saturating_sub(info.ram), caps.saturating_sub(info.caps));
        if less != (0, 0) {
            Account::own().repay(account, less.0, less.1)?;
        }
        if more != (0, 0) {
            Account::own().lend(account, more.0, more.1)?;
        }
        Ok([more.0, more.1])
    }

    /// Raises its parent signal.
    pub(crate) fn wake(&mut self) {
        let Some(instance) = &mut self.instance else { return };
        if instance.signal.is_none() {
            instance.signal = instance.domain.notification().ok();
        }
        if let Some(signal) = &instance.signal {
            gate::signal(signal.slot());
        }
    }
}

/// All components, by number. Numbers stay the same while a component exists, and are used again afterwards.
pub(crate) struct Children {
    places: Vec<Option<Child>>,
    free: Vec<usize>,
    sequence: u32,
}

impl Children {
    pub(crate) const fn new() -> Self {
        Self { places: Vec::new(), free: Vec::new(), sequence: 0 }
    }

    /// Enters a component, not started yet.
    ///
    /// # Errors
    /// [`Error::OutOfRam`]: init has no memory left to remember it.
    pub(crate) fn add(&mut self, component: Component, config: &[u8], named: u32) -> Result<usize, Error> {
        let mut own = Vec::new();
        own.try_reserve_exact(config.len()).map_err(|_| Error::OutOfRam)?;
        own.extend_from_slice(config);
        let child = Child {
            component,
            config: own,
            state: State::Waiting,
            instance: None,
            end: None,
            fault: None,
            next: Next::Stay,
            restarts: 0,
            sequence: self.sequence,
            named,
            unstartable: None,
            delay: 0,
            silent: 0,
            requested: [0; 2],
            wanted: 0,
            busy: 0,
            trade: Trade::default(),
        };
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                self.places.try_reserve(1).map_err(|_| Error::OutOfRam)?;
                // So that taking it out again needs no memory.
                self.free.try_reserve(self.places.len() + 1).map_err(|_| Error::OutOfRam)?;
                self.places.push(None);
                self.places.len() - 1
            }
        };
        if let Some(place) = self.places.get_mut(index) {
            *place = Some(child);
        }
        self.sequence = self.sequence.wrapping_add(1);
        Ok(index)
    }

    /// Takes a component out.
    pub(crate) fn remove(&mut self, index: usize) {
        if self.places.get_mut(index).and_then(Option::take).is_some() {
            self.free.push(index);
        }
    }

    /// All numbers are below this one.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.places.len() == self.free.len()
    }

    pub(crate) fn get(&self, index: usize) -> Option<&Child> {
        self.places.get(index)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut Child> {
        self.places.get_mut(index)?.as_mut()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &Child)> {
        self.places.iter().enumerate().filter_map(|(index, place)| Some((index, place.as_ref()?)))
    }

    /// The number of the component of that name.
    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.position_from(0, name)
    }

    /// Like [`position`](Self::position), looking from `start` on first: descriptions keep their order.
    pub(crate) fn position_from(&self, start: usize, name: &str) -> Option<usize> {
        let start = start.min(self.places.len());
        let (before, behind) = self.places.split_at(start);
        let named = |place: &Option<Child>| place.as_ref().is_some_and(|child| child.component.name == name);
        behind.iter().position(named).map(|index| index + start).or_else(|| before.iter().position(named))
    }

    /// Raises the parent signal of a component.
    pub(crate) fn wake(&mut self, index: usize) {
        if let Some(child) = self.get_mut(index) {
            child.wake();
        }
    }

    /// The label of a component, as servers see it.
    pub(crate) fn label(&self, index: usize) -> Text {
        let name = self.get(index).map_or("", |child| child.component.name.as_str());
        let mut label = Text::new();
        // Both parts together are far shorter than a text.
        let _ = label.push_str("init -> ").and_then(|()| label.push_str(name));
        label
    }
}
