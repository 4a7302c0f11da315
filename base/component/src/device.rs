//! A device as its driver has it, through a Devices session.

use core::ops::Deref;

use session::core::WRITE;
use session::devices::{Client, Found};
use session::{Error, Service};

use crate::cap::Capability;
use crate::env::{Open, open};
use crate::platform::{Attached, Dataspace};
use crate::signal::Signal;

/// A device, and the session that it comes from: see [`session::devices::Client`]. The session stays open until the component ends.
#[derive(Debug)]
pub struct Device {
    manager: Client<Capability>,
    found: Found,
}

impl Device {
    /// Opens a session with a donation of `ram` bytes and `caps` capabilities, and finds the device called `name` in the devicetree.
    ///
    /// # Errors
    /// Those of [`open`](fn@crate::open) and [`Client::find`].
    pub fn open(name: &str, ram: u32, caps: u32) -> Result<Self, Error> {
        let session = open(&Open { ram, caps, ..Open::new(Service::Devices) })?;
        let manager = Client::new(session.capability.ok_or(Error::Invalid)?);
        let found = manager.find(name)?;
        Ok(Self { manager, found })
    }

    /// What was found.
    pub fn found(&self) -> Found {
        self.found
    }

    /// Register range `index`, attached as device memory.
    pub fn registers(&self, index: u32) -> Result<Attached, Error> {
        let memory = Dataspace::from_capability(self.manager.io_memory(self.found.device, index)?)?;
        Attached::new(&memory, WRITE, None)
    }

    /// Interrupt `index`, which raises `signal`.
    pub fn interrupt(&self, index: u32, signal: Signal) -> Result<Capability, Error> {
        let interrupt = self.manager.interrupt(self.found.device, index)?;
        signal.bind(&interrupt)?;
        Ok(interrupt)
    }
}

impl Deref for Device {
    type Target = Client<Capability>;

    fn deref(&self) -> &Self::Target {
        &self.manager
    }
}
