//! Putting a system description into force, the first one and every later one.
//!
//! A description that is damaged changes nothing. Of one that is right, only what differs from the one before takes effect:
//!
//! - components that it does not name any more are removed, new ones are started;
//! - quota is changed in the running component. What is taken away is what the component has not used; what cannot be taken stays with it, and the
//!   state report tells;
//! - a changed configuration is delivered to the running component, which reads it as the ROM `config`;
//! - changed routes are for the sessions that will be opened; if a session is open that the new routes would not lead to, the component is restarted;
//! - another program, version, stack, priority or list of services: the component is restarted.
//!
//! Quota is taken before it is given, so that a description can move it from one component to another.

use session::Service;

use crate::Init;
use crate::description::{Description, Entry, REPORT};
use crate::lifecycle::{End, State, compare};
use crate::platform::{Error, log};

impl Init {
    /// Whether a report is the next description.
    pub(crate) fn is_description(&self, report: &str) -> bool {
        let manager = self.manager.as_deref();
        manager
            .is_some_and(|manager| report.strip_prefix(manager).and_then(|rest| rest.strip_prefix('/')) == Some(REPORT))
    }

    /// Puts a description into force; one that is wrong is reported and changes nothing.
    pub(crate) fn apply(&mut self, content: &[u8]) {
        if self.ending {
            return;
        }
        let description = match Description::parse(content) {
            Ok(description) => description,
            Err(error) => {
                log!("the system description is not used: {error}");
                return;
            }
        };
        self.description = self.description.wrapping_add(1);
        self.manager.clone_from(&description.header.manager);
        self.timer.clone_from(&description.header.timer);
        self.watchdog.clone_from(&description.header.watchdog);
        let mut at = 0;
        for entry in description.entries() {
            at = match self.children.position_from(at, &entry.component.name) {
                Some(index) => {
                    self.take(index, &entry);
                    index + 1
                }
                None => at,
            };
        }
        // Whoever is not named any more.
        for index in 0..self.children.len() {
            if self.children.get(index).is_some_and(|child| child.named != self.description) {
                self.end(index, End::Removed);
            }
        }
        let mut at = 0;
        for entry in description.entries() {
            at = match self.children.position_from(at, &entry.component.name) {
                Some(index) => {
                    self.give(index);
                    index + 1
                }
                None => {
                    self.add(&entry);
                    self.children.len()
                }
            };
        }
        self.own.notify_state();
    }

    /// Takes over the new description of a component, and takes away what it should not have any more.
    fn take(&mut self, index: usize, entry: &Entry<'_>) {
        let Entry { component: new, config } = entry;
        let Some(child) = self.children.get_mut(index) else { return };
        if child.named == self.description {
            log!("the description names {} twice; the first one counts", new.name);
            return;
        }
        child.named = self.description;
        let change = compare(&child.component, new);
        let mut restart = change.restart;
        if change.routes {
            let leads = |service, name: &str| {
                let first = new.routes.iter().find(|route| route.service == service);
                first.is_some_and(|route| matches!(&route.target, crate::description::Target::Child(to) if to == name))
            };
            let children = &self.children;
            restart |= self.sessions.iter().any(|(_, session)| {
                let server = children.get(session.server).map_or("", |server| server.component.name.as_str());
                let service = Service::from_wire(session.wish.service);
                session.client == Some(index) && !service.is_some_and(|service| leads(service, server))
            });
        }
        let Some(child) = self.children.get_mut(index) else { return };
        let lowered = new.ram < child.component.ram || new.caps < child.component.caps;
        child.component.clone_from(new);
        let reconfigured = child.config != *config;
        if reconfigured {
            let mut own = core::mem::take(&mut child.config);
            own.clear();
            if own.try_reserve(config.len()).is_ok() {
                own.extend_from_slice(config);
            } else {
                log!("{}: {}", new.name, Error::OutOfRam);
            }
            child.config = own;
        }
        if restart && child.state != State::Waiting {
            self.end(index, End::Changed);
            return;
        }
        if reconfigured {
            self.own.notify_config(index);
        }
        if lowered && child.state == State::Running {
            self.adjust(index);
        }
    }

    /// Gives a component what it should have.
    fn give(&mut self, index: usize) {
        match self.children.get(index).map(|child| (child.state, child.delay)) {
            Some((State::Running, _)) => self.adjust(index),
            Some((State::Waiting, 0)) => self.start(index),
            _ => {}
        }
    }

    fn adjust(&mut self, index: usize) {
        let Some(child) = self.children.get(index) else { return };
        match child.adjust_quota() {
            Ok(given) => self.note_given(index, given),
            Err(error) => log!("the quota of {} cannot be changed: {error}", child.component.name),
        }
    }

    fn add(&mut self, entry: &Entry<'_>) {
        match self.children.add(entry.component.clone(), entry.config, self.description) {
            Ok(index) => self.start(index),
            Err(error) => log!("{} cannot be added: {error}", entry.component.name),
        }
    }
}
