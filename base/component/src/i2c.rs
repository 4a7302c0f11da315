//! An I2c session as a client uses it.

use core::ops::{Deref, DerefMut};

use session::core::WRITE;
use session::i2c::{self, DATA, Info};
use session::{Error, Service};

use crate::cap::Capability;
use crate::env::{Open, Session, open_with};
use crate::platform::{Attached, Dataspace};
use crate::signal::Signal;

/// What a session with a buffer costs beyond it: page tables and bookkeeping.
const OVERHEAD: u32 = 16 * 1024;
/// Capabilities of a session.
const CAPS: u32 = 6;
const PAGE: u32 = 4096;

/// An open session: see [`session::i2c::Bus`].
#[derive(Debug)]
pub struct Bus {
    client: i2c::Bus<Capability, Attached>,
    info: Info,
    session: Session,
}

impl Bus {
    /// Opens a session for transactions of up to `bytes` bytes; 0: for [short](i2c::SHORT) ones only.
    ///
    /// # Errors
    /// Those of [`open`](fn@crate::open): among them [`Error::Denied`] without a policy for this component.
    pub fn open(bytes: u32) -> Result<Self, Error> {
        // Each message lies on a word of its own.
        let needed = bytes.saturating_add(2 * DATA as u32 * size_of::<u32>() as u32).next_multiple_of(PAGE);
        let argument = if bytes == 0 { 0 } else { needed };
        let ram = if bytes == 0 { 0 } else { needed.saturating_add(OVERHEAD) };
        let request = Open { ram, caps: CAPS, argument, ..Open::new(Service::I2c) };
        let make = |server| {
            let (info, buffer) = attach(&server)?;
            Ok((i2c::Bus::new(server, buffer), info))
        };
        let ((client, info), session) = open_with(&request, make)?;
        Ok(Self { client, info, session })
    }

    /// Like [`open`](Self::open), for asynchronous transactions too: their ends raise `signal`.
    pub fn open_async(bytes: u32, signal: Signal) -> Result<Self, Error> {
        let bus = Self::open(bytes.max(1))?;
        match signal.capability().and_then(|notification| bus.connect(notification.slot())) {
            Ok(()) => Ok(bus),
            Err(error) => {
                bus.close()?;
                Err(error)
            }
        }
    }

    /// What the server says about the session.
    pub fn info(&self) -> Info {
        self.info
    }

    /// Closes the session; the donation is back when this returns. Without it, the session stays open until the component ends.
    pub fn close(self) -> Result<(), Error> {
        drop(self.client);
        self.session.close()
    }
}

fn attach(server: &Capability) -> Result<(Info, Option<Attached>), Error> {
    let info = i2c::info(server)?;
    if info.buffer == 0 {
        return Ok((info, None));
    }
    let memory = Dataspace::from_capability(i2c::buffer(server)?)?;
    // The attachment keeps the memory mapped; the server keeps it alive.
    Ok((info, Some(Attached::new(&memory, WRITE, None)?)))
}

impl Deref for Bus {
    type Target = i2c::Bus<Capability, Attached>;

    fn deref(&self) -> &Self::Target {
        &self.client
    }
}

impl DerefMut for Bus {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.client
    }
}
