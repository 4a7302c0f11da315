//! A Gpio session as a client uses it.

use core::ops::Deref;

use session::gpio::Client;
use session::{Error, Service};

use crate::cap::Capability;
use crate::env::{Open, Session, open};
use crate::signal::Signal;

/// Capabilities of a session.
const CAPS: u32 = 4;

/// An open session: see [`session::gpio::Client`].
#[derive(Debug)]
pub struct Pins {
    client: Client<Capability>,
    session: Session,
}

impl Pins {
    /// Opens a session. Events of its pins raise `signal`.
    ///
    /// # Errors
    /// Those of [`open`]: among them [`Error::Denied`] without a policy for this component, and [`Error::Busy`] while one of its pins is in another session.
    pub fn open(signal: Option<Signal>) -> Result<Self, Error> {
        let mut session = open(&Open { caps: CAPS, ..Open::new(Service::Gpio) })?;
        let client = Client::new(session.capability.take().ok_or(Error::Invalid)?);
        let connected = match signal {
            Some(signal) => signal.capability().and_then(|notification| client.connect(notification.slot())),
            None => Ok(()),
        };
        let pins = Self { client, session };
        match connected {
            Ok(()) => Ok(pins),
            Err(error) => {
                pins.close()?;
                Err(error)
            }
        }
    }

    /// Closes the session: its pins are inputs when this returns. Without it, the session stays open until the component ends.
    pub fn close(self) -> Result<(), Error> {
        drop(self.client);
        self.session.close()
    }
}

impl Deref for Pins {
    type Target = Client<Capability>;

    fn deref(&self) -> &Self::Target {
        &self.client
    }
}
