//! Damaged images against everything that looks into images: no panic, and no file outside of its folder.
//!
//! A seeded generator damages images of the reference tool. The number of images is `FUZZ_EXECUTIONS`, by default few enough
//! for every run of the tests; `FUZZ_SEED` starts elsewhere.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic, reason = "a test that panics has failed")]

mod images;

use std::env;
use std::path::Path;

use bootgen::check::diff::diff;
use bootgen::check::extract::{Options, plan};
use bootgen::check::verify::{Known, compare, verify};
use bootgen::check::{Contents, describe, inspect};
use bootimage::{BootHeader, PartitionHeader};
use images::{AES, ALL, Folder, MD5, PLAIN, RSA, secrets};
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
    env::var(name).ok().map_or(default, |value| value.replace('_', "").parse().unwrap())
}

/// Damages a few words of the headers, and mends the sums of words in most cases, so that the damage gets past them.
fn damage(random: &mut Random, bytes: &mut Vec<u8>) {
    const RANGES: [(usize, usize); 4] = [(0x20, 0xb0), (0x8c0, 0xa00), (0xc80, 0xdc0), (0x1040, 0x1700)];
    for _ in 0..=random.below(3) {
        let (start, end) = RANGES[random.below(RANGES.len())];
        let offset = start + 4 * random.below((end - start) / 4);
        let value = match random.below(4) {
            0 => random.next() as u32,
            1 => [0, 1, 0x40, 0x7fff_ffff, 0x8000_0000, u32::MAX][random.below(6)],
            2 => random.below(bytes.len()) as u32 / 4,
            _ => u32::from_le_bytes(bytes[offset..][..4].try_into().unwrap()) ^ 1 << random.below(32),
        };
        bytes[offset..][..4].copy_from_slice(&value.to_le_bytes());
    }
    if random.below(4) != 0 {
        let (mut boot, _) = BootHeader::read_from_prefix(bytes).unwrap();
        boot.checksum.set(boot.computed_checksum());
        bytes[..0xa0].copy_from_slice(boot.as_bytes());
        for offset in [0xc80, 0xcc0, 0xd00, 0xd40] {
            let (mut header, _) = PartitionHeader::read_from_prefix(&bytes[offset..]).unwrap();
            header.checksum.set(header.computed_checksum());
            bytes[offset..][..0x40].copy_from_slice(header.as_bytes());
        }
    }
    if random.below(8) == 0 {
        bytes.truncate(random.below(bytes.len()));
    }
}

/// Does all that can be done with an image, but for writing files.
fn look(bytes: &[u8], sound: &[u8], known: &Known) {
    if let Ok(verdict) = verify(&mut &bytes[..], known) {
        for finding in &verdict.findings {
            let text = finding.to_string();
            assert!(text.contains(" at 0x"), "{text}");
        }
    }
    if let Ok(contents) = Contents::read(&mut &bytes[..]) {
        let description = describe::describe(&contents, &mut &bytes[..]).unwrap();
        let _ = inspect::render("BOOT.BIN", &description, &contents);
        for raw in [false, true] {
            for output in plan(&contents, &Options { raw, ..Options::default() }) {
                assert_eq!(Path::new(&output.name).file_name().unwrap(), output.name.as_str());
            }
        }
        diff(&mut &bytes[..], &mut &sound[..]).unwrap();
        compare(&mut &bytes[..], &mut &sound[..]).unwrap();
    }
}

#[test]
fn damaged_images_never_panic() {
    let mut random = Random(setting("FUZZ_SEED", 1));
    let folder = Folder::new();
    let sound = [PLAIN, MD5, RSA, AES, ALL].map(|lines| folder.image(lines, &[]));
    let known = Known { primary: Some([0; 32]), secrets: Some(secrets()) };
    for _ in 0..setting("FUZZ_EXECUTIONS", 1000) {
        let sound = &sound[random.below(sound.len())];
        let mut bytes = sound.clone();
        damage(&mut random, &mut bytes);
        look(&bytes, sound, &known);
    }
}
