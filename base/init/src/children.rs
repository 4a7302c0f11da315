//! The components that init has started.

use crate::description::{COMPONENTS, Component, OnExit};
use crate::platform::{Account, Capability, Domain, Error, call, gate};
use abi::{ENDPOINT_BADGE, slot};
use session::Text;

use crate::program;

/// What a component is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Running,
    /// It has ended with that code.
    Exited(u32),
    /// A thread of it has faulted.
    Faulted,
    /// init has stopped it.
    Stopped,
}

/// A component.
pub(crate) struct Child {
    pub(crate) component: Component,
    pub(crate) account: Account,
    pub(crate) domain: Domain,
    pub(crate) state: State,
    thread: Capability,
    signal: Capability,
}

impl Child {
    /// Starts a component as number `index`, whose faults raise `faults`.
    pub(crate) fn start(component: Component, index: u32, faults: &Capability) -> Result<Self, Error> {
        let account = Account::own().create_account(component.ram, component.caps)?;
        match Self::start_in(&component, &account, index, faults) {
            Ok((domain, thread, signal)) => {
                Ok(Self { component, account, domain, state: State::Running, thread, signal })
            }
            Err(error) => {
                Account::own().close(account)?;
                Err(error)
            }
        }
    }

    fn start_in(
        component: &Component,
        account: &Account,
        index: u32,
        faults: &Capability,
    ) -> Result<(Domain, Capability, Capability), Error> {
        // Room for what it may hold, and as much again for copies and replies.
        let slot_bits = (2 * component.caps + slot::FIRST_FREE).next_power_of_two().ilog2().clamp(6, 12);
        let domain = account.create_domain(&component.name, slot_bits)?;
        let parent = Capability::mint(slot::ENDPOINT, ENDPOINT_BADGE | index)?;
        domain.grant(slot::PARENT, parent.slot())?;
        domain.on_change(faults.slot())?;
        let signal = domain.notification()?;
        let thread = program::start(component, account, &domain, slot_bits)?;
        // The endpoint's copy with the badge lives on in the child.
        core::mem::forget(parent);
        Ok((domain, thread, signal))
    }

    /// Stops a component that has no reason to go on.
    pub(crate) fn stop(&mut self) {
        self.state = State::Stopped;
        let request = session::core::ThreadRequest::Suspend.encode();
        // A thread that cannot be stopped is destroyed with its account all the same.
        let _ = call(self.thread.slot(), &request, &[]);
    }

    /// Destroys the component: everything it had is init's again.
    pub(crate) fn destroy(self) -> Result<(), Error> {
        Account::own().close(self.account)
    }
}

/// All components in the order of their start.
pub(crate) struct Children(heapless::Vec<Child, COMPONENTS>);

impl Children {
    pub(crate) const fn new() -> Self {
        Self(heapless::Vec::new())
    }

    pub(crate) fn push(&mut self, child: Child) -> Result<(), Error> {
        self.0.push(child).map_err(|_| Error::Busy)
    }

    pub(crate) fn pop(&mut self) -> Option<Child> {
        self.0.pop()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn get(&self, index: usize) -> Option<&Child> {
        self.0.get(index)
    }

    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut Child> {
        self.0.get_mut(index)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Child> {
        self.0.iter()
    }

    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|child| child.component.name == name)
    }

    /// Raises the parent signal of a server.
    pub(crate) fn wake(&self, server: usize) {
        if let Some(child) = self.0.get(server) {
            gate::signal(child.signal.slot());
        }
    }

    /// The label of a component, as servers see it.
    pub(crate) fn label(&self, index: usize) -> Text {
        let name = self.0.get(index).map_or("", |child| child.component.name.as_str());
        let mut label = Text::new();
        // Both parts together are far shorter than a text.
        let _ = label.push_str("init -> ").and_then(|()| label.push_str(name));
        label
    }

    /// Whether every component whose end matters has ended, and there is one.
    pub(crate) fn all_finished(&self) -> bool {
        let mut wanted = self.0.iter().filter(|child| child.component.on_exit == OnExit::Finish).peekable();
        wanted.peek().is_some() && wanted.all(|child| child.state != State::Running)
    }
}
