//! Faults of threads: whose they are, what kind, and what is known about them.
//!
//! # Theory of operation
//!
//! When a thread does what it may not, the kernel stops it and sends a message in its name through a capability in the thread's own capability
//! space. The badge tells whose it is: the domain's for the main thread, the thread's own for threads that were made with a slot for
//! their faults. Threads without one share the domain's; which of them has faulted tells its program counter.
//!
//! The processor says in its fault status register why an access was refused (ARM ARM B3.13.3: short-descriptor format); from that follows the kind. An access
//! without a mapping just below a thread's stack is an overflow of that stack.
//!
//! A component holds the capability that its faults come through, so it can make faults up. That harms nobody: they are its own.

use session::Error;
use session::core::{DomainStatus, READ_WORDS, fault};

use crate::domains::FAULT_BADGE;
use crate::kernel::{Kernel, Slot};
use crate::objects::Memory;
use crate::store::Key;
use crate::system::{PAGE, Result, System};

/// Bytes below a stack in which an access without a mapping is taken for an overflow: a function may leave out more than a page.
const STACK_GUARD: u32 = 64 * 1024;

/// A fault as the kernel tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// One of [`session::core::fault`].
    pub kind: u32,
    /// Address of the instruction.
    pub instruction: u32,
    /// Address of the access; otherwise what the kind says.
    pub address: u32,
    /// It is a write.
    pub write: bool,
}

impl Fault {
    /// The fault of an access, from the fault status register (ARM ARM B4.1.52, B4.1.96).
    pub fn access(instruction: u32, address: u32, fetch: bool, status: u32) -> Self {
        const WRITE: u32 = 1 << 11;
        let write = status & WRITE != 0;
        // The status has five bits, the highest of them apart.
        let kind = match (status & 0xf | status >> 6 & 0x10, fetch) {
            (0b0_0001, _) => fault::ALIGNMENT,
            (0b0_0101 | 0b0_0111 | 0b0_0011 | 0b0_0110, true) => fault::FETCH,
            (0b0_0101 | 0b0_0111 | 0b0_0011 | 0b0_0110, false) => fault::DATA,
            (0b0_1101 | 0b0_1111 | 0b0_1001 | 0b0_1011, true) => fault::EXECUTE,
            (0b0_1101 | 0b0_1111 | 0b0_1001 | 0b0_1011, false) if write => fault::READ_ONLY,
            (0b0_1101 | 0b0_1111 | 0b0_1001 | 0b0_1011, false) => fault::PROTECTED,
            _ => fault::BUS,
        };
        Self { kind, instruction, address, write: write && !fetch }
    }
}

impl<K: Kernel> System<'_, K> {
    /// The domain, and the thread if it is still there, whose faults have this badge.
    pub fn faulter(&mut self, badge: u32, instruction: u32) -> Result<(Key, Option<Key>)> {
        let key = Key::from_badge(badge & !FAULT_BADGE).ok_or(Error::Invalid)?;
        if let Ok(thread) = self.thread(key) {
            return Ok((thread.domain, Some(key)));
        }
        let (mut at, mut candidates) = (self.domain(key)?.threads, 0);
        let mut found = None;
        while let Some(thread) = at {
            let object = self.thread(thread)?;
            at = object.links.next;
            if object.faults.is_none() {
                candidates += 1;
                // The main thread was made first and comes last.
                found = Some(thread);
            }
        }
        if candidates > 1 {
            let mut at = self.domain(key)?.threads;
            while let Some(thread) = at {
                let object = self.thread(thread)?;
                at = object.links.next;
                let [.., counter, _] = self.registers_of(thread)?;
                if self.thread(thread)?.faults.is_none() && counter == instruction {
                    found = Some(thread);
                    break;
                }
            }
        }
        Ok((key, found))
    }

    pub(crate) fn registers_of(&mut self, thread: Key) -> Result<[u32; session::core::REGISTERS]> {
        let tcb = self.tcb(thread)?;
        Ok(self.kernel.registers(tcb)?)
    }

    /// Notes a fault and lets the parent know. The thread stays stopped. Returns what was noted.
    pub fn fault(&mut self, domain: Key, thread: Option<Key>, fault: Fault) -> Result<DomainStatus> {
        let Fault { mut kind, instruction, address, .. } = fault;
        let mut status = DomainStatus { instruction, address, ..*self.faults(self.domain(domain)?.faults)? };
        status.faults = status.faults.saturating_add(1);
        if let Some(thread) = thread {
            if kind == fault::DATA && self.is_below_stack(domain, thread, address)? {
                kind = fault::STACK;
            }
            status.thread = self.thread(thread)?.number;
            // Whatever is known must get to the parent, even if the kernel should not say more.
            status.registers = self.registers_of(thread).unwrap_or_default();
        }
        status.fault = kind;
        let faults = self.domain(domain)?.faults;
        *self.faults_mut(faults)? = status;
        if let Some(notification) = self.domain(domain)?.on_change {
            self.kernel.signal(notification);
        }
        Ok(status)
    }

    /// What is known about a domain's faults.
    pub fn status(&self, domain: Key) -> Result<&DomainStatus> {
        self.faults(self.domain(domain)?.faults)
    }

    fn is_below_stack(&self, domain: Key, thread: Key, address: u32) -> Result<bool> {
        let top = self.thread(thread)?.stack.wrapping_sub(1);
        let mut at = self.domain(domain)?.regions;
        while let Some(key) = at {
            let region = self.region(key)?;
            if top.wrapping_sub(region.address) < region.bytes {
                return Ok(region.address.wrapping_sub(address).wrapping_sub(1) < STACK_GUARD);
            }
            at = region.in_domain.next;
        }
        Ok(false)
    }

    /// Reads words of a domain's memory from `address` on, as many as fit and as there are up to the end of the page.
    pub fn read(&mut self, domain: Key, address: u32, words: &mut [u32; READ_WORDS]) -> Result<usize> {
        if !address.is_multiple_of(4) {
            return Err(Error::Invalid);
        }
        let mut at = self.domain(domain)?.regions;
        while let Some(key) = at {
            let region = self.region(key)?;
            if address.wrapping_sub(region.address) < region.bytes {
                let offset = address - region.address + region.offset;
                let frame = self.readable_frame(region.dataspace, offset / PAGE)?;
                let count = words.len().min((PAGE - offset % PAGE) as usize / 4);
                let words = words.get_mut(..count).ok_or(Error::Kernel)?;
                // The frame's own capability may be mapping it already.
                let root = self.root()?;
                let copy = self.take_run(root, 1)?;
                let copied = self.kernel.copy(frame, copy);
                let read = copied.and_then(|()| self.kernel.read(copy, (offset % PAGE) as usize, words));
                self.empty_run(copy, 1);
                return Ok(read.map(|()| count)?);
            }
            at = region.in_domain.next;
        }
        Err(Error::Invalid)
    }

    fn readable_frame(&self, dataspace: Key, index: u32) -> Result<Slot> {
        // Reading device registers has effects, and boot modules are mapped into core already.
        match self.dataspace(dataspace)?.kind {
            Memory::Ram | Memory::Contiguous(_) => self.frame_of(dataspace, index),
            Memory::Rom | Memory::Device(_) | Memory::Managed => Err(Error::Invalid),
        }
    }
}
