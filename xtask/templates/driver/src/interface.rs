//! What clients can ask for: requests, and the client's side of them.

use session::{Error, Transport, protocol};

protocol! {
    /// Requests to the server.
    pub enum Request {
        /// Makes an event happen again and again, and counts from zero.
        Start = 1 {
            /// Microseconds between two events.
            period,
        },
        /// Makes no more events happen.
        Stop = 2,
        /// Answer: events since the start.
        Events = 3,
    }
}

/// The client's side.
#[derive(Debug)]
pub struct Client<T>(T);

impl<T: Transport> Client<T> {
    /// A client of a session.
    pub const fn new(session: T) -> Self {
        Self(session)
    }

    /// Makes an event happen every `period` microseconds.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the device cannot have that period.
    pub fn start(&self, period: u32) -> Result<(), Error> {
        self.0.call(&Request::Start { period }.encode(), &[]).map(drop)
    }

    /// Makes no more events happen.
    pub fn stop(&self) -> Result<(), Error> {
        self.0.call(&Request::Stop.encode(), &[]).map(drop)
    }

    /// Events since the start.
    pub fn events(&self) -> Result<u32, Error> {
        self.0.call(&Request::Events.encode(), &[])?.word(0).ok_or(Error::Invalid)
    }
}
