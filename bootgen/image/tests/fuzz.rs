//! The parser against damaged images: it never panics, and what it calls sound can be read to the end.
//!
//! A seeded generator damages a sound image in a few places, and often mends the sums of words afterwards, so that the
//! damage reaches what lies behind them. The number of images is `FUZZ_EXECUTIONS`, by default few enough for every run of
//! the tests; `FUZZ_SEED` starts elsewhere.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, reason = "a test that panics has failed")]

mod common;

use std::env;

use common::{image, walk};
use zelkova_bootimage::{BootHeader, PartitionHeader};
use zerocopy::{FromBytes as _, IntoBytes as _};

/// SplitMix64, whose whole state is a counter.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

fn setting(name: &str, default: u64) -> u64 {
    env::var(name).ok().map_or(default, |value| value.replace('_', "").parse().expect("a number"))
}

/// Ranges in which damage tells the parser something.
const HEADERS: [(usize, usize); 6] =
    [(0x20, 0x4c), (0x98, 0xa8), (0x8c0, 0x900), (0x900, 0x980), (0xc80, 0xd80), (0x18c0, 0x18c8)];

/// Values that are wrong in interesting ways.
const WORDS: [u32; 12] =
    [0, 1, 3, 0x40, 0x240, 0x320, 0x7ff, 0x800, 0x3fff_ffff, 0x4000_0000, 0x7fff_ffff, 0xffff_ffff];

fn damage(random: &mut Random, bytes: &mut Vec<u8>) {
    for _ in 0..=random.below(4) {
        let (start, end) = HEADERS[random.below(HEADERS.len())];
        let offset = start + random.below((end - start) / 4) * 4;
        let Some(word) = bytes.get_mut(offset..offset + 4) else { continue };
        match random.below(4) {
            0 => word.copy_from_slice(&WORDS[random.below(WORDS.len())].to_le_bytes()),
            1 => word.copy_from_slice(&(random.next() as u32).to_le_bytes()),
            2 => word[random.below(4)] ^= 1 << random.below(8),
            _ => word.copy_from_slice(&(random.below(0x900) as u32).to_le_bytes()),
        }
    }
    if random.below(4) != 0 {
        mend(bytes);
    }
    if random.below(8) == 0 {
        bytes.truncate(random.below(bytes.len() + 1));
    }
}

/// Makes the sums of words right.
fn mend(bytes: &mut [u8]) {
    if let Ok((mut boot, _)) = BootHeader::read_from_prefix(bytes) {
        boot.checksum.set(boot.computed_checksum());
        bytes[..0xa0].copy_from_slice(boot.as_bytes());
    }
    for offset in [0xc80, 0xcc0, 0xd00] {
        if let Some(Ok((mut header, _))) = bytes.get(offset..).map(PartitionHeader::read_from_prefix) {
            header.checksum.set(header.computed_checksum());
            bytes[offset..offset + 0x40].copy_from_slice(header.as_bytes());
        }
    }
}

#[test]
fn damaged_images_are_errors_and_never_panic() {
    let mut random = Random(setting("FUZZ_SEED", 1));
    let sound = image();
    let (mut refused, executions) = (0_u64, setting("FUZZ_EXECUTIONS", 20_000));
    let mut bytes = Vec::new();
    for _ in 0..executions {
        bytes.clear();
        bytes.extend_from_slice(&sound);
        damage(&mut random, &mut bytes);
        refused += u64::from(!walk(&bytes).is_empty());
    }
    // Some damage is to words that mean nothing to the parser, and some restores what was there.
    assert!(refused > executions / 2, "{refused} of {executions} images were refused");
    assert!(refused < executions, "all images were refused");
}
