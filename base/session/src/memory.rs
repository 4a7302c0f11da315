//! The Memory session: a dataspace whose pages the server puts in when they are touched.
//!
//! The argument of the session is the size in bytes. What the dataspace contains is the server's affair; the client only attaches it. A client that
//! touches a page that the server does not want to put in takes a fault. The client's donation pays for the slots of the pages.

use crate::{Error, Transport, protocol};

protocol! {
    /// Requests to a server of memory.
    pub enum MemoryRequest {
        /// Answer: the dataspace.
        Dataspace = 1,
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

    /// The dataspace.
    pub fn dataspace(&self) -> Result<T::Capability, Error> {
        self.0.call_for_cap(&MemoryRequest::Dataspace.encode(), &[])?.1.ok_or(Error::Invalid)
    }
}
