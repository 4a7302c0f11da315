//! A Block session as a client uses it.
//!
//! # Theory of operation
//!
//! Reads go into parts of the session's buffer that the caller chooses; the device puts the data there itself. The buffer is
//! attached cached, because whoever reads it reads it more than once: so after a read, and before the CPU looks, the cache
//! lines of that part are dropped ([`Device::view`]). The Cortex-A9 fetches lines on its own, so dropping them before the transfer would
//! not do. Once, at the start, the lines are also written back, so that none of them is later written over what the device has put there.
//!
//! Requests are only noted until [`Device::start`] or [`Device::wait`] lets the server look at them, all at once.

use session::block::{Client, ClientRings, Completion, Info, Operation, Request};
use session::core::{CACHE_CLEAN, CACHE_INVALIDATE, WRITE};
use session::{Error, Service, block};

use crate::cap::Capability;
use crate::env::{Open, Session, open_with};
use crate::platform::{Attached, Dataspace, Domain};

/// What a session costs beyond its buffer: rings, page tables and the bookkeeping of both.
const OVERHEAD: u32 = 24 * 1024;
/// Capabilities of a session: rings, buffer and what belongs to them.
const CAPS: u32 = 8;

/// An open session.
#[derive(Debug)]
pub struct Device {
    info: Info,
    rings: ClientRings,
    ring_memory: Attached,
    buffer: Attached,
    server: Client<Capability>,
    session: Session,
}

/// What is made of a session that has just been opened.
struct Parts {
    info: Info,
    ring_memory: Attached,
    buffer: Attached,
}

impl Parts {
    fn new(server: &Client<Capability>) -> Result<Self, Error> {
        let info = server.info()?;
        let rings = Dataspace::from_capability(server.rings()?)?;
        let memory = Dataspace::from_capability(server.buffer()?)?;
        let ring_memory = Attached::new(&rings, WRITE, None)?;
        let buffer = Attached::new(&memory, WRITE, None)?;
        let bytes = buffer.bytes() as u32;
        Domain::own().maintain_cache(buffer.region(), 0, bytes, CACHE_CLEAN | CACHE_INVALIDATE)?;
        // The attachments keep the memory mapped; the server keeps it alive.
        Ok(Self { info, ring_memory, buffer })
    }
}

impl Device {
    /// Opens a session with a buffer of `buffer` bytes, a power of two.
    pub fn open(buffer: u32) -> Result<Self, Error> {
        let request = Open { ram: buffer + OVERHEAD, caps: CAPS, argument: buffer, ..Open::new(Service::Block) };
        let make = |capability| {
            let server = Client::new(capability);
            Ok((Parts::new(&server)?, server))
        };
        let ((Parts { info, ring_memory, buffer }, server), session) = open_with(&request, make)?;
        Ok(Self { info, rings: ClientRings::new(), ring_memory, buffer, server, session })
    }

    /// Closes the session; the donation is back when this returns. Requests that are under way are lost.
    ///
    /// Without it, the session stays open until the component ends.
    pub fn close(self) -> Result<(), Error> {
        let Self { ring_memory, buffer, server, session, .. } = self;
        drop((ring_memory, buffer, server));
        session.close()
    }

    /// What the session offers.
    pub fn info(&self) -> Info {
        self.info
    }

    /// Notes to read `count` blocks from `block` to `offset` of the buffer.
    ///
    /// # Errors
    /// [`Error::Busy`]: too many requests are under way.
    #[inline]
    pub fn read(&mut self, block: u32, count: u32, offset: u32, tag: u32) -> Result<(), Error> {
        self.submit(Request { operation: Some(Operation::Read), block, count, offset, tag })
    }

    /// Notes to write `count` blocks to `block` from `offset` of the buffer.
    ///
    /// # Errors
    /// [`Error::Busy`]: too many requests are under way.
    pub fn write(&mut self, block: u32, count: u32, offset: u32, tag: u32) -> Result<(), Error> {
        Domain::own().maintain_cache(self.buffer.region(), offset, count * block::BLOCK, CACHE_CLEAN)?;
        self.submit(Request { operation: Some(Operation::Write), block, count, offset, tag })
    }

    #[inline]
    fn submit(&mut self, request: Request) -> Result<(), Error> {
        if self.rings.submit(self.ring_memory.words(), request) { Ok(()) } else { Err(Error::Busy) }
    }

    /// Lets the server begin with what has been noted, without waiting for it.
    pub fn start(&self) -> Result<(), Error> {
        self.server.enter(false).map(drop)
    }

    /// Waits for the next completion.
    ///
    /// There is no time limit here: the server has deadlines of its own and completes every request.
    ///
    /// # Errors
    /// [`Error::Invalid`] if no request is under way.
    #[inline]
    pub fn wait(&mut self) -> Result<Completion, Error> {
        loop {
            if let Some(completion) = self.rings.completion(self.ring_memory.words()) {
                return Ok(completion);
            }
            if !self.server.enter(true)? {
                return Err(Error::Invalid);
            }
        }
    }

    /// What a completed read has put into the buffer.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the range is not within the buffer.
    pub fn view(&self, offset: u32, bytes: u32) -> Result<&[u8], Error> {
        Domain::own().maintain_cache(self.buffer.region(), offset, bytes, CACHE_INVALIDATE)?;
        // SAFETY: the device writes to the buffer only for requests of this session, the caller waits for them before it looks, and the server
        // has the buffer for this session alone.
        let content = unsafe { self.buffer.content() };
        content.get(offset as usize..(offset + bytes) as usize).ok_or(Error::Invalid)
    }

    /// Fills part of the buffer, for a write.
    pub fn fill(&self, offset: u32, bytes: &[u8]) -> Result<(), Error> {
        self.buffer.write(offset as usize, bytes)
    }
}
