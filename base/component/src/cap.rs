//! Capabilities that a component owns, and the slots they lie in.

use core::sync::atomic::{AtomicU32, Ordering};

use abi::{Info, slot::FIRST_FREE};
use session::{Error, Message};

use crate::gate::{self, Registers};

/// Slots that the allocator can describe; the component's capability space may have fewer.
const SLOTS: usize = 4096;

static USED: [AtomicU32; SLOTS / 32] = [const { AtomicU32::new(0) }; SLOTS / 32];
static LIMIT: AtomicU32 = AtomicU32::new(0);
/// No word before this one has a free slot, or only one that was freed a moment ago: where to look first.
static FIRST_FREE_WORD: AtomicU32 = AtomicU32::new(0);

#[cfg_attr(not(target_os = "none"), allow(dead_code, reason = "called at the start on the target"))]
pub(crate) fn set_slots(count: u32) {
    LIMIT.store(count, Ordering::Relaxed);
}

/// A capability in a slot of its own. Dropping it deletes it.
#[derive(Debug, PartialEq, Eq)]
pub struct Capability(u32);

impl Capability {
    /// Takes a free slot, for a capability to be put there.
    ///
    /// # Errors
    /// [`Error::OutOfCaps`]: the capability space is full.
    pub fn reserve() -> Result<Self, Error> {
        let first = FIRST_FREE_WORD.load(Ordering::Relaxed) as usize;
        match Self::reserve_from(first) {
            // Two threads at once may have left the hint too far behind a free slot.
            Err(Error::OutOfCaps) if first > 0 => Self::reserve_from(0),
            reserved => reserved,
        }
    }

    fn reserve_from(first: usize) -> Result<Self, Error> {
        let limit = LIMIT.load(Ordering::Relaxed);
        for (index, word) in USED.iter().enumerate().skip(first) {
            let taken = |used: u32| if index == 0 { used | ((1 << FIRST_FREE) - 1) } else { used };
            loop {
                let used = word.load(Ordering::Relaxed);
                let bit = taken(used).trailing_ones();
                let slot = index as u32 * 32 + bit;
                if bit == 32 {
                    break;
                }
                if slot >= limit {
                    return Err(Error::OutOfCaps);
                }
                if word.compare_exchange(used, used | 1 << bit, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                    FIRST_FREE_WORD.store(index as u32, Ordering::Relaxed);
                    return Ok(Self(slot));
                }
            }
        }
        Err(Error::OutOfCaps)
    }

    /// Takes what was received into this slot, and puts an empty slot in its place. `None` if there is no other slot: what
    /// was received is given up then.
    pub fn take_received(&mut self) -> Option<Self> {
        match Self::reserve() {
            Ok(next) => Some(core::mem::replace(self, next)),
            Err(_) => {
                gate::delete(self.0);
                None
            }
        }
    }

    /// The slot.
    pub fn slot(&self) -> u32 {
        self.0
    }

    /// A copy of an endpoint or notification in `source` with a badge.
    pub fn mint(source: u32, badge: u32) -> Result<Self, Error> {
        let capability = Self::reserve()?;
        match gate::mint(capability.0, source, badge) {
            0 => Ok(capability),
            _ => Err(Error::Kernel),
        }
    }

    /// A copy of the capability in `source`.
    pub fn copy(source: u32) -> Result<Self, Error> {
        let capability = Self::reserve()?;
        match gate::copy(capability.0, source) {
            0 => Ok(capability),
            _ => Err(Error::Kernel),
        }
    }

    /// Keeps the right to answer the caller of the last message.
    pub fn save_reply() -> Result<Self, Error> {
        let capability = Self::reserve()?;
        match gate::save_reply(capability.0) {
            0 => Ok(capability),
            _ => Err(Error::Kernel),
        }
    }

    /// Answers the caller whose right to be answered was [kept](Self::save_reply) here; never waits.
    pub fn reply(self, message: &Message, caps: &[u32]) {
        gate::send(load(self.0, message, caps));
    }

    /// Takes back all copies that were made of this capability, wherever they are. Of an endpoint with a badge, requests that were sent with that
    /// badge and not received yet are taken back as well, so that none of them is taken for one of whoever gets the badge next.
    pub fn revoke(&self) {
        gate::revoke(self.0);
        // Refused for anything but an endpoint, where there is nothing to be taken back.
        gate::cancel_sends(self.0);
    }
}

impl Drop for Capability {
    fn drop(&mut self) {
        gate::delete(self.0);
        if let Some(word) = USED.get(self.0 as usize / 32) {
            word.fetch_and(!(1 << (self.0 % 32)), Ordering::Relaxed);
            FIRST_FREE_WORD.fetch_min(self.0 / 32, Ordering::Relaxed);
        }
    }
}

/// Calls the object in `slot`: sends `message` with capabilities, waits, and returns the answer's words.
///
/// # Errors
/// The error that the answer carries.
pub fn call(slot: u32, message: &Message, caps: &[u32]) -> Result<Message, Error> {
    let registers = gate::call(load(slot, message, caps));
    let answer = store(registers);
    Error::check(answer.label)?;
    Ok(answer)
}

/// Like [`call`], for an answer that brings a capability. `None` if it brought none.
pub fn call_for_cap(slot: u32, message: &Message, caps: &[u32]) -> Result<(Message, Option<Capability>), Error> {
    let receiver = Capability::reserve()?;
    gate::set_receive(receiver.0);
    let registers = gate::call(load(slot, message, caps));
    let answer = store(registers);
    Error::check(answer.label)?;
    let brought = registers.info.caps() > 0 && registers.info.unwrapped() == 0;
    Ok((answer, brought.then_some(receiver)))
}

/// A call of at most four words, in registers only.
#[inline(always)]
pub fn call_words(slot: u32, label: u32, words: [u32; 4], count: u32) -> (u32, [u32; 4]) {
    let registers = gate::call(Registers { slot, info: Info::new(label, 0, count), words });
    (registers.info.label(), registers.words)
}

/// Puts a message where the kernel takes it from.
pub fn load(slot: u32, message: &Message, caps: &[u32]) -> Registers {
    let words = message.words();
    let mut registers = Registers { slot, ..Registers::default() };
    for (index, word) in words.iter().enumerate() {
        match registers.words.get_mut(index) {
            Some(register) => *register = *word,
            None => gate::set_word(index, *word),
        }
    }
    for (index, cap) in caps.iter().enumerate() {
        gate::set_cap(index, *cap);
    }
    registers.info = Info::new(message.label, caps.len().min(3) as u32, words.len() as u32);
    registers
}

/// Takes a message from where the kernel put it.
pub fn store(registers: Registers) -> Message {
    let count = registers.info.words();
    let mut message = Message::from_words(registers.info.label(), registers.words.get(..count.min(4)).unwrap_or(&[]));
    for index in 4..count {
        message.push(gate::word(index));
    }
    message
}
