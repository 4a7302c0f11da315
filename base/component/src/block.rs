//! A Block session as a client uses it.
//!
//! # Theory of operation
//!
//! Reads go into parts of the session's buffer that the caller chooses; the device puts the data there itself. The buffer is
//! attached cached, because whoever reads it reads it more than once: so after a read, and before the CPU looks, the cache
//! lines of that part are dropped ([`Device::view`]). The Cortex-A9 fetches lines on its own, so dropping them before the transfer would
//! not do. Once, at the start, the lines are also written back, so that none of them is later written over what the device has put there.

use session::block::{Client, ClientRings, Completion, Info, Operation, Request};
use session::core::{CACHE_CLEAN, CACHE_INVALIDATE, WRITE};
use session::{Error, Service, block};

use crate::cap::Capability;
use crate::env::{Open, open};
use crate::gate;
use crate::platform::{Attached, Dataspace, Domain};
use crate::signal::{self, Signal};

/// What a session costs beyond its buffer: rings, page tables and the bookkeeping of both.
const OVERHEAD: u32 = 24 * 1024;
/// Capabilities of a session: rings, buffer, signals and what belongs to them.
const CAPS: u32 = 8;

/// An open session.
#[derive(Debug)]
pub struct Device {
    info: Info,
    rings: ClientRings,
    ring_memory: Attached,
    buffer: Attached,
    signal: Signal,
    server: Capability,
    _session: Capability,
}

impl Device {
    /// Opens a session with a buffer of `buffer` bytes, a power of two; `signal` is what completions raise.
    pub fn open(buffer: u32, signal: Signal) -> Result<Self, Error> {
        let request = Open { ram: buffer + OVERHEAD, caps: CAPS, argument: buffer, ..Open::new(Service::Block) };
        let session = open(&request)?.capability.ok_or(Error::Invalid)?;
        let client = Client::new(&session);
        let info = client.info()?;
        let rings = Dataspace::from_capability(client.rings()?)?;
        let memory = Dataspace::from_capability(client.buffer()?)?;
        let notification = signal.capability()?;
        let server = client.connect(notification.slot())?;
        let ring_memory = Attached::new(&rings, WRITE, None)?;
        let buffer = Attached::new(&memory, WRITE, None)?;
        let bytes = buffer.bytes() as u32;
        Domain::own().maintain_cache(buffer.region(), 0, bytes, CACHE_CLEAN | CACHE_INVALIDATE)?;
        // The attachments keep the memory mapped; the server keeps it alive.
        Ok(Self { info, rings: ClientRings::new(), ring_memory, buffer, signal, server, _session: session })
    }

    /// What the session offers.
    pub fn info(&self) -> Info {
        self.info
    }

    /// Starts reading `count` blocks from `block` to `offset` of the buffer.
    ///
    /// # Errors
    /// [`Error::Busy`]: too many requests are under way.
    #[inline]
    pub fn read(&mut self, block: u32, count: u32, offset: u32, tag: u32) -> Result<(), Error> {
        self.submit(Request { operation: Some(Operation::Read), block, count, offset, tag })
    }

    /// Starts writing `count` blocks to `block` from `offset` of the buffer.
    ///
    /// # Errors
    /// [`Error::Busy`]: too many requests are under way.
    pub fn write(&mut self, block: u32, count: u32, offset: u32, tag: u32) -> Result<(), Error> {
        Domain::own().maintain_cache(self.buffer.region(), offset, count * block::BLOCK, CACHE_CLEAN)?;
        self.submit(Request { operation: Some(Operation::Write), block, count, offset, tag })
    }

    #[inline]
    fn submit(&mut self, request: Request) -> Result<(), Error> {
        match self.rings.submit(self.ring_memory.words(), request) {
            Some(must_signal) => {
                if must_signal {
                    gate::signal(self.server.slot());
                }
                Ok(())
            }
            None => Err(Error::Busy),
        }
    }

    /// Waits for the next completion. Other signals that come meanwhile are taken and lost.
    ///
    /// There is no time limit here: the server has deadlines of its own and completes every request.
    #[inline]
    pub fn wait(&mut self) -> Completion {
        loop {
            if let Some(completion) = self.rings.completion(self.ring_memory.words()) {
                return completion;
            }
            if self.rings.prepare_wait(self.ring_memory.words()) {
                while signal::wait() & self.signal.bit() == 0 {}
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
