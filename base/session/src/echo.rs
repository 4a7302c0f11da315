//! The Echo session: four words there and back.
//!
//! It does nothing, so a call costs what any call costs: four words are the most that both ways fit in registers, which is what
//! keeps a call on the kernel's fast path.

use crate::{Error, Transport, protocol};

protocol! {
    /// Requests to an echo server.
    pub enum EchoRequest {
        /// Answer: the same four words.
        Echo = 1 {
            /// First word.
            first,
            /// Second word.
            second,
            /// Third word.
            third,
            /// Fourth word.
            fourth,
        },
        /// Exchanges signals: each of the session's is answered with one. Caps: the notification that is raised. Answer: the notification
        /// to raise.
        Connect = 2,
    }
}

/// Label of [`EchoRequest::Echo`], for servers that answer it in registers.
pub const ECHO: u32 = 1;

/// The client's side.
#[derive(Debug)]
pub struct Client<T>(T);

impl<T: Transport> Client<T> {
    /// A client of a session.
    pub const fn new(session: T) -> Self {
        Self(session)
    }

    /// Names the notification for answers, and gets that for signals.
    pub fn connect(&self, notification: u32) -> Result<T::Capability, Error> {
        self.0.call_for_cap(&EchoRequest::Connect.encode(), &[notification])?.1.ok_or(Error::Invalid)
    }

    /// Sends `words` and returns what came back.
    #[inline]
    pub fn echo(&self, words: [u32; 4]) -> Result<[u32; 4], Error> {
        self.0.call_fast(ECHO, words, 4)
    }
}
