//! Reports to the parent, and ROMs that change.
//!
//! A component [publishes](Reporter) what others should know; they [read](Reader) it as a ROM that changes only when they ask for that.

use session::core::WRITE;
use session::parent::ParentRequest;
use session::{Error, Service};

use crate::cap::call;
use crate::env::{Open, Session, open_with};
use crate::platform::{Attached, Dataspace};
use crate::signal::Signal;

/// What a session costs beyond its dataspaces: page tables and bookkeeping on the parent's side.
const OVERHEAD: u32 = 24 * 1024;
const CAPS: u32 = 4;

fn exchange(request: &Open<'_>) -> Result<(Attached, Session), Error> {
    open_with(request, |capability| Attached::new(&Dataspace::from_capability(capability)?, WRITE, None))
}

/// Publishes a report.
#[derive(Debug)]
pub struct Reporter {
    memory: Attached,
    session: Session,
}

impl Reporter {
    /// A report called `name`, of at most `capacity` bytes. Others know it as `COMPONENT/NAME`.
    pub fn open(name: &str, capacity: u32) -> Result<Self, Error> {
        let ram = 2 * capacity.next_multiple_of(4096) + OVERHEAD;
        let request = Open { name, ram, caps: CAPS, argument: capacity, ..Open::new(Service::Report) };
        let (memory, session) = exchange(&request)?;
        Ok(Self { memory, session })
    }

    /// Publishes `content`.
    ///
    /// # Errors
    /// [`Error::Invalid`]: it is longer than the capacity.
    pub fn submit(&mut self, content: &[u8]) -> Result<(), Error> {
        self.memory.write(0, content)?;
        let request = ParentRequest::Submit { session: self.session.id(), bytes: content.len() as u32 };
        call(abi::slot::PARENT, &request.encode(), &[]).map(drop)
    }

    /// Ends the session; the report is gone with it.
    pub fn close(self) -> Result<(), Error> {
        drop(self.memory);
        self.session.close()
    }
}

/// Reads a ROM that changes.
#[derive(Debug)]
pub struct Reader {
    memory: Attached,
    bytes: usize,
    session: Session,
}

impl Reader {
    /// The ROM called `name` (`COMPONENT/REPORT`, or `config` or `state`), of at most `capacity` bytes; `signal` is raised when there is
    /// something new.
    pub fn open(name: &str, capacity: u32, signal: Option<Signal>) -> Result<Self, Error> {
        let notification = signal.map(Signal::capability).transpose()?;
        let ram = capacity.next_multiple_of(4096) + OVERHEAD;
        let notification = notification.as_ref().map(crate::Capability::slot);
        let request = Open { name, ram, caps: CAPS, argument: capacity, notification, ..Open::new(Service::Rom) };
        let (memory, session) = exchange(&request)?;
        Ok(Self { memory, bytes: 0, session })
    }

    /// Brings the content up to date and returns it; it is empty if there is none.
    ///
    /// # Errors
    /// [`Error::InsufficientRam`]: it is longer than the capacity.
    pub fn update(&mut self) -> Result<&[u8], Error> {
        let request = ParentRequest::Update { session: self.session.id() };
        let answer = call(abi::slot::PARENT, &request.encode(), &[])?;
        self.bytes = answer.word(0).ok_or(Error::Invalid)? as usize;
        Ok(self.content())
    }

    /// The content as of the last update.
    pub fn content(&self) -> &[u8] {
        // SAFETY: only the parent writes there, and only in `update`, which nobody can call while the reference lives.
        let content = unsafe { self.memory.content() };
        content.get(..self.bytes).unwrap_or_default()
    }

    /// Ends the session.
    pub fn close(self) -> Result<(), Error> {
        drop(self.memory);
        self.session.close()
    }
}
