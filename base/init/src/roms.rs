//! What init serves itself: reports, and read-only memory that changes.
//!
//! # Theory of operation
//!
//! A component *reports* by writing into a dataspace and [submitting](ParentRequest::Submit) it. init copies what was submitted at once, so that
//! nobody ever sees half of a report. Another component reads a report as a ROM: it has a dataspace of its own, which changes only when it
//! [asks for that](ParentRequest::Update); that there is something new, a signal says. Both dataspaces, and init's copy, are made from the donation of the
//! session that needs them.
//!
//! The name of a ROM is `REPORTER/REPORT`, the name of the component that reports and of its report. Two names are init's own: `config` is the
//! configuration of whoever asks, and `state` is what all components are doing (see [`report`]). Any other name is not found here, so
//! that a route can go on to whoever has boot modules.
//!
//! [`report`]: crate::report

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use session::core::{SMALL_PAGES, WRITE};
use session::{Message, Service};

use crate::platform::{Account, Attached, Capability, Dataspace, Error, gate, log};
use crate::{Init, Reply, report};

#[cfg(doc)]
use session::parent::ParentRequest;

/// Session numbers of init's own sessions have this bit.
pub(crate) const OWN_SESSION: u32 = 1 << 30;
/// Most sessions with init itself.
const SESSIONS: usize = 256;
/// Most of them for one component, so that nobody keeps others out.
const SESSIONS_EACH: usize = 8;
/// Most bytes of a report.
const LARGEST: u32 = 1 << 20;
/// Most characters of a name.
const NAME: usize = 64;

type Name = heapless::String<NAME>;

/// A session with init itself.
pub(crate) struct Own {
    client: usize,
    kind: Kind,
    account: Account,
    /// What the client writes or reads.
    exchange: Attached,
    /// Keeps the capability that was handed out.
    _dataspace: Dataspace,
    notification: Option<Capability>,
}

enum Kind {
    Report {
        name: Name,
        /// What was submitted last, and how many bytes.
        copy: Attached,
        bytes: u32,
    },
    Rom(Rom),
}

/// What a ROM shows.
enum Rom {
    /// The client's configuration.
    Config,
    /// The state of the system.
    State,
    /// A report of another component.
    Report(Name),
}

impl Rom {
    fn named(name: &str) -> Result<Self, Error> {
        match name {
            "config" => Ok(Self::Config),
            "state" => Ok(Self::State),
            _ if name.contains('/') => Ok(Self::Report(Name::try_from(name).map_err(|_| Error::Invalid)?)),
            _ => Err(Error::NotFound),
        }
    }
}

/// All sessions with init itself, by number.
pub(crate) struct OwnSessions(Vec<Option<Own>>);

impl OwnSessions {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    /// A free number.
    fn place(&mut self) -> Result<usize, Error> {
        if let Some(index) = self.0.iter().position(Option::is_none) {
            return Ok(index);
        }
        if self.0.len() == SESSIONS {
            return Err(Error::Busy);
        }
        self.0.try_reserve(1).map_err(|_| Error::OutOfRam)?;
        self.0.push(None);
        Ok(self.0.len() - 1)
    }

    fn of(&self, client: usize, id: u32) -> Result<usize, Error> {
        let index = (id & !OWN_SESSION) as usize;
        match self.0.get(index) {
            Some(Some(own)) if own.client == client => Ok(index),
            _ => Err(Error::Invalid),
        }
    }

    /// Signals those who read what `wanted` fits.
    fn notify(&self, wanted: impl Fn(usize, &Rom) -> bool) {
        for own in self.0.iter().flatten() {
            if let (Kind::Rom(rom), Some(notification)) = (&own.kind, &own.notification)
                && wanted(own.client, rom)
            {
                gate::signal(notification.slot());
            }
        }
    }

    /// Says that the state of the system has changed.
    pub(crate) fn notify_state(&self) {
        self.notify(|_, rom| matches!(rom, Rom::State));
    }

    /// Says that a component's configuration has changed.
    pub(crate) fn notify_config(&self, child: usize) {
        self.notify(|client, rom| client == child && matches!(rom, Rom::Config));
    }
}

impl Init {
    /// Opens a session with init itself.
    pub(crate) fn open_own(
        &mut self,
        client: usize,
        service: Service,
        name: &str,
        [ram, caps, capacity]: [u32; 3],
        notification: Option<&Capability>,
    ) -> Result<Reply, Error> {
        let child = self.children.get(client).ok_or(Error::Invalid)?;
        let rom = match service {
            Service::Rom => Some(Rom::named(name)?),
            Service::Report => None,
            _ => return Err(Error::Denied),
        };
        if capacity == 0 || capacity > LARGEST {
            return Err(Error::Invalid);
        }
        if self.own.0.iter().flatten().filter(|own| own.client == client).count() >= SESSIONS_EACH {
            return Err(Error::Busy);
        }
        let index = self.own.place()?;
        let mut full = Name::new();
        if rom.is_none() {
            let parts = [child.component.name.as_str(), "/", name];
            parts.iter().try_for_each(|part| full.push_str(part)).map_err(|_| Error::Invalid)?;
        }
        let account = child.account()?.create_account(ram, caps)?;
        let made = make(&account, capacity).and_then(|(dataspace, exchange)| {
            let kind = match rom {
                Some(rom) => Kind::Rom(rom),
                None => Kind::Report { name: full, copy: make(&account, capacity)?.1, bytes: 0 },
            };
            let notification = notification.map(|notification| Capability::copy(notification.slot())).transpose()?;
            Ok((Capability::copy(dataspace.slot())?, dataspace, exchange, kind, notification))
        });
        let (capability, dataspace, exchange, kind, notification) = match made {
            Ok(made) => made,
            Err(error) => {
                child.account()?.close(account)?;
                return Err(match error {
                    Error::OutOfRam => Error::InsufficientRam,
                    Error::OutOfCaps => Error::InsufficientCaps,
                    error => error,
                });
            }
        };
        let words = [OWN_SESSION | index as u32, dataspace.bytes()];
        if let Some(place) = self.own.0.get_mut(index) {
            *place = Some(Own { client, kind, account, exchange, _dataspace: dataspace, notification });
        }
        Ok(Some((Message::from_words(0, &words), Some(capability))))
    }

    /// Closes a session with init itself.
    pub(crate) fn close_own(&mut self, client: usize, id: u32) -> Result<Reply, Error> {
        let index = self.own.of(client, id)?;
        self.drop_own(index);
        Ok(Some((Message::new(0), None)))
    }

    /// Closes all sessions that a component has with init itself.
    pub(crate) fn close_own_of(&mut self, client: usize) {
        for index in 0..self.own.0.len() {
            if self.own.of(client, index as u32).is_ok() {
                self.drop_own(index);
            }
        }
    }

    fn drop_own(&mut self, index: usize) {
        let Some(own) = self.own.0.get_mut(index).and_then(Option::take) else { return };
        let Own { client, account, exchange, kind, .. } = own;
        drop((exchange, kind));
        let closed = self.children.get(client).ok_or(Error::Gone).and_then(|child| child.account()?.close(account));
        if let Err(error) = closed {
            log!("a session of component {client} with init cannot be settled: {error}");
        }
    }

    /// Takes over a report.
    pub(crate) fn submit(&mut self, client: usize, id: u32, length: u32) -> Result<Reply, Error> {
        let index = self.own.of(client, id)?;
        let Some(Some(Own { kind: Kind::Report { name, copy, bytes }, exchange, .. })) = self.own.0.get_mut(index)
        else {
            return Err(Error::Invalid);
        };
        if length as usize > exchange.bytes() {
            return Err(Error::Invalid);
        }
        copy_words(exchange.words(), copy.words(), length);
        *bytes = length;
        let name = name.clone();
        self.own.notify(|_, rom| matches!(rom, Rom::Report(wanted) if *wanted == name));
        if self.is_description(&name) {
            let content = self.report(&name)?;
            self.apply(&content);
        }
        Ok(Some((Message::new(0), None)))
    }

    /// A copy of what was reported last under a name.
    fn report(&self, wanted: &str) -> Result<Vec<u8>, Error> {
        for own in self.own.0.iter().flatten() {
            if let Kind::Report { name, copy, bytes } = &own.kind
                && name == wanted
            {
                return read(copy.words(), *bytes);
            }
        }
        Ok(Vec::new())
    }

    /// Shows the newest content in a ROM. Answer: its bytes.
    pub(crate) fn update(&mut self, client: usize, id: u32) -> Result<Reply, Error> {
        let index = self.own.of(client, id)?;
        let Some(Some(Own { kind: Kind::Rom(rom), exchange, .. })) = self.own.0.get(index) else {
            return Err(Error::Invalid);
        };
        let state;
        let report;
        let content = match rom {
            Rom::Config => self.children.get(client).map_or(&[][..], |child| &child.config),
            Rom::State => {
                state = report::state(&self.children)?;
                &state
            }
            Rom::Report(name) => {
                report = self.report(name)?;
                &report
            }
        };
        if content.len() > exchange.bytes() {
            return Err(Error::InsufficientRam);
        }
        exchange.write(0, content)?;
        Ok(Some((Message::from_words(0, &[content.len() as u32]), None)))
    }
}

/// Memory of an account, attached.
fn make(account: &Account, bytes: u32) -> Result<(Dataspace, Attached), Error> {
    let dataspace = account.create_dataspace(bytes, SMALL_PAGES)?;
    let attached = Attached::new(&dataspace, WRITE, Some(account))?;
    Ok((dataspace, attached))
}

/// Copies bytes that others may be changing.
fn copy_words(from: &[AtomicU32], to: &[AtomicU32], bytes: u32) {
    for (from, to) in from.iter().zip(to).take(bytes.div_ceil(4) as usize) {
        to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

fn read(words: &[AtomicU32], bytes: u32) -> Result<Vec<u8>, Error> {
    let mut content = Vec::new();
    content.try_reserve_exact(bytes.next_multiple_of(4) as usize).map_err(|_| Error::OutOfRam)?;
    for word in words.iter().take(bytes.div_ceil(4) as usize) {
        content.extend_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
    }
    content.truncate(bytes as usize);
    Ok(content)
}
