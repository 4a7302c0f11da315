//! A ring of fixed-size messages in memory that two components share.
//!
//! # Theory of operation
//!
//! One side only produces, the other only consumes. Both count without end: `head` is how many entries the producer has
//! published, `tail` how many the consumer has taken. The producer writes an entry and then stores `head` with *release*; the consumer loads
//! `head` with *acquire* and so sees what was written before. The other way round for `tail`.
//!
//! Neither side trusts the other: counts that make no sense are treated as an empty or a full ring, and entries are copied out before
//! anybody looks at them.
//!
//! A ring tells nobody that it has changed; how the other side comes to look is the business of the session that the ring belongs to.
//!
//! Layout: word 0 `head`, word 1 `tail`, then the entries.

use core::sync::atomic::{AtomicU32, Ordering};

/// Words before the entries.
const HEADER: usize = 2;

/// Words that a ring of `slots` entries of `width` words takes.
pub const fn words(slots: usize, width: usize) -> usize {
    HEADER + slots * width
}

/// The words of a ring of `SLOTS` entries (a power of two) of `WIDTH` words that starts at word `BASE` of shared memory.
struct Ring<'a, const WIDTH: usize> {
    head: &'a AtomicU32,
    tail: &'a AtomicU32,
    entries: &'a [[AtomicU32; WIDTH]],
}

impl<'a, const WIDTH: usize> Ring<'a, WIDTH> {
    #[inline(always)]
    fn at<const BASE: usize, const SLOTS: usize>(memory: &'a [AtomicU32]) -> Option<Self> {
        const { assert!(SLOTS.is_power_of_two()) };
        let [head, tail, entries @ ..] = memory.get(BASE..)? else { return None };
        Some(Self { head, tail, entries: entries.as_chunks().0.get(..SLOTS)? })
    }

    /// Entries published behind `tail`; may be more than there is room for, if the producer lies.
    #[inline(always)]
    fn published(&self, tail: u32) -> u32 {
        self.head.load(Ordering::Acquire).wrapping_sub(tail)
    }

    #[inline(always)]
    fn entry<const SLOTS: usize>(&self, count: u32) -> Option<&'a [AtomicU32; WIDTH]> {
        self.entries.get(count as usize % SLOTS)
    }
}

/// The producing side. It keeps its own count where the other side cannot change it; the memory is passed to each
/// call, because whoever owns the attachment also owns this.
#[derive(Debug, Default)]
pub struct Producer<const BASE: usize, const SLOTS: usize, const WIDTH: usize> {
    head: u32,
}

impl<const BASE: usize, const SLOTS: usize, const WIDTH: usize> Producer<BASE, SLOTS, WIDTH> {
    /// The producing side of a ring in zero-filled memory.
    pub const fn new() -> Self {
        Self { head: 0 }
    }

    /// Publishes an entry; `false` if the ring is full, or the memory too small for it.
    #[must_use]
    #[inline]
    pub fn push(&mut self, memory: &[AtomicU32], entry: [u32; WIDTH]) -> bool {
        let Some(ring) = Ring::<WIDTH>::at::<BASE, SLOTS>(memory) else { return false };
        let used = self.head.wrapping_sub(ring.tail.load(Ordering::Acquire));
        if used >= SLOTS as u32 {
            return false;
        }
        let Some(place) = ring.entry::<SLOTS>(self.head) else { return false };
        for (to, from) in place.iter().zip(entry) {
            to.store(from, Ordering::Relaxed);
        }
        self.head = self.head.wrapping_add(1);
        ring.head.store(self.head, Ordering::Release);
        true
    }

    /// Whether entries lie in the ring that the consumer has not taken.
    #[inline]
    pub fn has_unread(&self, memory: &[AtomicU32]) -> bool {
        Ring::<WIDTH>::at::<BASE, SLOTS>(memory).is_some_and(|ring| ring.tail.load(Ordering::Acquire) != self.head)
    }
}

/// The consuming side.
#[derive(Debug, Default)]
pub struct Consumer<const BASE: usize, const SLOTS: usize, const WIDTH: usize> {
    tail: u32,
}

impl<const BASE: usize, const SLOTS: usize, const WIDTH: usize> Consumer<BASE, SLOTS, WIDTH> {
    /// The consuming side of a ring in zero-filled memory.
    pub const fn new() -> Self {
        Self { tail: 0 }
    }

    /// Takes the oldest entry.
    #[inline]
    pub fn pop(&mut self, memory: &[AtomicU32]) -> Option<[u32; WIDTH]> {
        let ring = Ring::<WIDTH>::at::<BASE, SLOTS>(memory)?;
        if !(1..=SLOTS as u32).contains(&ring.published(self.tail)) {
            return None;
        }
        let place = ring.entry::<SLOTS>(self.tail)?;
        let mut entry = [0; WIDTH];
        for (to, from) in entry.iter_mut().zip(place) {
            *to = from.load(Ordering::Relaxed);
        }
        self.tail = self.tail.wrapping_add(1);
        ring.tail.store(self.tail, Ordering::Release);
        Some(entry)
    }

    /// Whether [`pop`](Self::pop) would find nothing.
    #[inline]
    pub fn is_empty(&self, memory: &[AtomicU32]) -> bool {
        Ring::<WIDTH>::at::<BASE, SLOTS>(memory)
            .is_none_or(|ring| !(1..=SLOTS as u32).contains(&ring.published(self.tail)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::vec::Vec;

    fn memory() -> Vec<AtomicU32> {
        (0..words(8, 2)).map(|_| AtomicU32::new(0)).collect()
    }

    #[test]
    fn entries_come_out_in_order_and_a_full_ring_refuses() {
        let memory = memory();
        let mut producer = Producer::<0, 8, 2>::new();
        let mut consumer = Consumer::<0, 8, 2>::new();
        for round in 0..5 {
            for entry in 0..8 {
                assert!(producer.push(&memory, [round, entry]));
            }
            assert!(!producer.push(&memory, [9, 9]));
            for entry in 0..8 {
                assert_eq!(consumer.pop(&memory), Some([round, entry]));
            }
            assert_eq!(consumer.pop(&memory), None);
        }
    }

    #[test]
    fn a_lying_peer_is_an_empty_or_full_ring() {
        let memory = memory();
        let mut producer = Producer::<0, 8, 2>::new();
        let mut consumer = Consumer::<0, 8, 2>::new();
        memory[0].store(1000, Ordering::Relaxed);
        assert_eq!(consumer.pop(&memory), None);
        assert!(consumer.is_empty(&memory));
        memory[1].store(77, Ordering::Relaxed);
        assert!(!producer.push(&memory, [1, 2]));
        assert!(!Producer::<0, 8, 2>::new().push(&memory[..10], [1, 2]));
    }

    #[test]
    fn both_sides_see_what_is_unread() {
        let memory = memory();
        let mut producer = Producer::<0, 8, 2>::new();
        let mut consumer = Consumer::<0, 8, 2>::new();
        assert!(!producer.has_unread(&memory) && consumer.is_empty(&memory));
        assert!(producer.push(&memory, [1, 2]));
        assert!(producer.has_unread(&memory) && !consumer.is_empty(&memory));
        assert_eq!(consumer.pop(&memory), Some([1, 2]));
        assert!(!producer.has_unread(&memory) && consumer.is_empty(&memory));
    }

    #[test]
    fn entries_cross_between_threads() {
        let memory: Arc<Vec<AtomicU32>> = Arc::new(memory());
        let theirs = memory.clone();
        let thread = std::thread::spawn(move || {
            let mut producer = Producer::<0, 8, 2>::new();
            for entry in 0..20_000 {
                while !producer.push(&theirs, [entry, !entry]) {
                    std::thread::yield_now();
                }
            }
        });
        let mut consumer = Consumer::<0, 8, 2>::new();
        for expected in 0..20_000 {
            let entry = loop {
                match consumer.pop(&memory) {
                    Some(entry) => break entry,
                    None => std::thread::yield_now(),
                }
            };
            assert_eq!(entry, [expected, !expected]);
        }
        thread.join().unwrap();
    }
}
