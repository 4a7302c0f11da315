//! The Block session: block storage through a shared ring.
//!
//! # Theory of operation
//!
//! A session has a buffer and two rings. The buffer is memory that the *server* has made out of the client's donation, physically
//! contiguous, so that a device moves data to and from it directly; the client attaches it and never learns where it
//! lies. Requests name blocks and a place in the buffer; completions come back in any order with the tag of the request.
//!
//! Laying a request into its ring costs no system call. [`Enter`](BlockRequest::Enter) lets the server look at the ring, and, if the
//! client wants to wait, is answered when a completion is there: one call for any number of requests, on the kernel's fast path both
//! ways. A server that is busy looks at the rings by itself whenever a request ends. As waiting is a call, a client
//! whose server dies gets an error and does not wait for ever.
//!
//! What a client may read or write is decided by the server's policy for its label; block numbers count from the
//! start of what it may see.

use core::sync::atomic::AtomicU32;

use crate::ring::{self, Consumer, Producer};
use crate::{Error, Transport, protocol};

protocol! {
    /// Requests to a block server.
    pub enum BlockRequest {
        /// Answer: number of blocks, 1 if they may be written, size of the buffer in bytes.
        Info = 1,
        /// Answer: the dataspace of the rings.
        Rings = 2,
        /// Answer: the dataspace of the buffer.
        Buffer = 3,
        /// Lets the server look for requests. Answer: 1 if completions lie in the ring that the client has not taken, else 0. With `wait`,
        /// 0 means that no request is under way.
        Enter = 4 {
            /// 1: to be answered only when there is a completion, or nothing to wait for.
            wait,
        },
    }
}

/// Label of [`BlockRequest::Enter`], for the fast path.
pub const ENTER: u32 = 4;

/// Bytes of a block.
pub const BLOCK: u32 = 512;
/// Requests that can be under way.
pub const SLOTS: usize = 32;
const REQUEST_WORDS: usize = 4;
const COMPLETION_WORDS: usize = 2;
/// Word of the ring dataspace at which the completions start.
const COMPLETIONS: usize = ring::words(SLOTS, REQUEST_WORDS);

/// Words of both rings.
pub const RING_WORDS: usize = COMPLETIONS + ring::words(SLOTS, COMPLETION_WORDS);

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Operation {
    /// From the device to the buffer.
    Read = 0,
    /// From the buffer to the device.
    Write = 1,
}

/// A request, as it lies in the ring; nothing about it is checked yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// What to do; `None`: unknown.
    pub operation: Option<Operation>,
    /// First block.
    pub block: u32,
    /// Number of blocks, below 2^24.
    pub count: u32,
    /// First byte in the buffer.
    pub offset: u32,
    /// Comes back with the completion.
    pub tag: u32,
}

impl Request {
    fn to_words(self) -> [u32; REQUEST_WORDS] {
        let operation = self.operation.map_or(0xff, |operation| operation as u32);
        [operation | self.count << 8, self.block, self.offset, self.tag]
    }

    fn from_words([operation, block, offset, tag]: [u32; REQUEST_WORDS]) -> Self {
        let kind = match operation & 0xff {
            0 => Some(Operation::Read),
            1 => Some(Operation::Write),
            _ => None,
        };
        Self { operation: kind, block, count: operation >> 8, offset, tag }
    }
}

/// The end of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completion {
    /// Of the request.
    pub tag: u32,
    /// How it went.
    pub result: Result<(), Error>,
}

/// What a session offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    /// Number of blocks.
    pub blocks: u32,
    /// They may be written.
    pub writeable: bool,
    /// Size of the buffer in bytes.
    pub buffer: u32,
}

/// The server's side of the rings. `memory` is always the attached dataspace of the rings.
#[derive(Debug, Default)]
pub struct ServerRings {
    requests: Consumer<0, SLOTS, REQUEST_WORDS>,
    completions: Producer<COMPLETIONS, SLOTS, COMPLETION_WORDS>,
}

impl ServerRings {
    /// The server's side of rings in zero-filled memory of at least [`RING_WORDS`].
    pub const fn new() -> Self {
        Self { requests: Consumer::new(), completions: Producer::new() }
    }

    /// Takes the next request.
    #[inline]
    pub fn next(&mut self, memory: &[AtomicU32]) -> Option<Request> {
        self.requests.pop(memory).map(Request::from_words)
    }

    /// Whether there is no next request.
    #[inline]
    pub fn is_idle(&self, memory: &[AtomicU32]) -> bool {
        self.requests.is_empty(memory)
    }

    /// Reports the end of a request. A client that has no room for its completions loses them.
    #[inline]
    pub fn complete(&mut self, memory: &[AtomicU32], completion: Completion) {
        let status = Error::label(&completion.result);
        // A full ring is the client's own doing, and its loss.
        let _ = self.completions.push(memory, [completion.tag, status]);
    }

    /// Whether the client has completions to take.
    #[inline]
    pub fn has_completions(&self, memory: &[AtomicU32]) -> bool {
        self.completions.has_unread(memory)
    }
}

/// The client's side of the rings.
#[derive(Debug, Default)]
pub struct ClientRings {
    requests: Producer<0, SLOTS, REQUEST_WORDS>,
    completions: Consumer<COMPLETIONS, SLOTS, COMPLETION_WORDS>,
}

impl ClientRings {
    /// The client's side of rings in memory of at least [`RING_WORDS`] that the server made.
    pub const fn new() -> Self {
        Self { requests: Producer::new(), completions: Consumer::new() }
    }

    /// Lays a request into the ring; `false` if it is full.
    #[must_use]
    #[inline]
    pub fn submit(&mut self, memory: &[AtomicU32], request: Request) -> bool {
        self.requests.push(memory, request.to_words())
    }

    /// Takes the next completion.
    #[inline]
    pub fn completion(&mut self, memory: &[AtomicU32]) -> Option<Completion> {
        self.completions.pop(memory).map(|[tag, status]| Completion { tag, result: Error::check(status) })
    }
}

/// The client's side of the calls.
#[derive(Debug)]
pub struct Client<T>(T);

impl<T: Transport> Client<T> {
    /// A client of a session.
    pub const fn new(session: T) -> Self {
        Self(session)
    }

    /// What the session offers.
    pub fn info(&self) -> Result<Info, Error> {
        match self.0.call(&BlockRequest::Info.encode(), &[])?.words() {
            [blocks, writeable, buffer] => Ok(Info { blocks: *blocks, writeable: *writeable != 0, buffer: *buffer }),
            _ => Err(Error::Invalid),
        }
    }

    /// The dataspace of the rings.
    pub fn rings(&self) -> Result<T::Capability, Error> {
        self.0.call_for_cap(&BlockRequest::Rings.encode(), &[])?.1.ok_or(Error::Invalid)
    }

    /// The dataspace of the buffer.
    pub fn buffer(&self) -> Result<T::Capability, Error> {
        self.0.call_for_cap(&BlockRequest::Buffer.encode(), &[])?.1.ok_or(Error::Invalid)
    }

    /// Lets the server look for requests, and waits for a completion if `wait`. `false`: none is there, and with `wait`
    /// none will come, because no request is under way.
    #[inline]
    pub fn enter(&self, wait: bool) -> Result<bool, Error> {
        let [completions, ..] = self.0.call_fast(ENTER, [wait.into(), 0, 0, 0], 1)?;
        Ok(completions != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn requests_and_completions_cross_the_rings() {
        let memory: Vec<AtomicU32> = (0..RING_WORDS).map(|_| AtomicU32::new(0)).collect();
        let mut server = ServerRings::new();
        let mut client = ClientRings::new();
        let request =
            Request { operation: Some(Operation::Write), block: 77, count: 0x00ff_ffff, offset: 4096, tag: 3 };
        assert!(server.is_idle(&memory));
        assert!(client.submit(&memory, request));
        assert!(client.submit(&memory, Request { operation: None, ..request }));
        assert!(!server.is_idle(&memory));
        assert_eq!(server.next(&memory), Some(request));
        assert_eq!(server.next(&memory).unwrap().operation, None);
        assert_eq!(server.next(&memory), None);
        assert!(!server.has_completions(&memory));
        server.complete(&memory, Completion { tag: 3, result: Err(Error::Device) });
        assert!(server.has_completions(&memory));
        assert_eq!(client.completion(&memory), Some(Completion { tag: 3, result: Err(Error::Device) }));
        assert_eq!(client.completion(&memory), None);
        assert!(!server.has_completions(&memory));
    }
}
