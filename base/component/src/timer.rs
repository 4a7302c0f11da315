//! A Timer session as a client uses it.

use session::timer::Client;
use session::{Error, Service};

use crate::cap::Capability;
use crate::env::{Open, open};
use crate::signal::Signal;

/// Capabilities of a session.
const CAPS: u32 = 4;

/// Opens a session whose timeouts raise `signal`. It stays open until the component ends.
///
/// # Errors
/// Those of [`open`](fn@crate::open).
pub fn open_timer(signal: Signal) -> Result<Client<Capability>, Error> {
    let session = open(&Open { caps: CAPS, ..Open::new(Service::Timer) })?;
    let timer = Client::new(session.capability.ok_or(Error::Invalid)?);
    timer.connect(signal.capability()?.slot())?;
    Ok(timer)
}
