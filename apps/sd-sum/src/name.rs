//! Names of files and directories.
//!
//! Every entry has a short name: 8 + 3 bytes in upper case, in the code page of the system that made it. If the real
//! name is another, entries of a kind that old systems skip stand in front, the last part first, each with 13 UTF-16
//! units, a sequence number and a check sum over the short name (Microsoft, "FAT File System Specification", section
//! 7). A name that differs only in that its base or extension is all lower case has no such entries but a bit for each
//! at offset 12 of the short entry, as Windows NT, Linux and mtools write it.
//!
//! embedded-sdmmc 0.10 can put long names together, but it does not tell the two bits, it gives an entry without a long
//! name that of an earlier entry if their check sums happen to be equal, and it panics on a lone surrogate at the end
//! of a part. So this is done here, from the directory's blocks; taking single entries apart is left to the crate.
//!
//! The card does not say what its code page is. 850 is assumed, the default of mtools; among letters it agrees with
//! 437, that of Linux, wherever both have a letter of Western European languages.

use embedded_sdmmc::fat::OnDiskDirEntry;
use heapless::{String, Vec};

/// Bytes in a directory entry.
pub(crate) const ENTRY: usize = 32;

/// The most entries that a long name takes.
pub(crate) const MAX_LONG_ENTRIES: usize = 20;

/// UTF-16 units in each of them.
const UNITS: usize = 13;

/// The attributes that together mark an entry of a long name, and those that are looked at.
const LONG_NAME: u8 = 0x0F;
const LONG_NAME_MASK: u8 = 0x3F;

const DELETED: u8 = 0xE5;

/// Code page 850 from 0x80 on.
const CODE_PAGE: &str = "\
     ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜø£Ø×ƒ\
     áíóúñÑªº¿®¬½¼¡«»░▒▓│┤ÁÂÀ©╣║╗╝¢¥┐\
     └┴┬├─┼ãÃ╚╔╩╦╠═╬¤ðÐÊËÈıÍÎÏ┘┌█▄¦Ì▀\
     ÓßÔÒõÕµþÞÚÛÙýÝ¯´\u{ad}±‗¾¶§÷¸°¨·¹³²■\u{a0}";

/// The most bytes in a path.
pub(crate) const MAX_PATH: usize = 4096;

/// The path does not fit in [`MAX_PATH`] bytes.
pub(crate) struct PathTooLong;

/// Appends `/` and the name of `entry` to `path`, where `before` are the [`MAX_LONG_ENTRIES`] entries in front of it.
///
/// Control characters and slashes, which no name may have, become U+FFFD, so that a path never breaks a line and has as
/// many slashes as levels.
pub(crate) fn push(path: &mut String<MAX_PATH>, before: &[u8], entry: &[u8; ENTRY]) -> Result<(), PathTooLong> {
    path.push('/').map_err(|_| PathTooLong)?;
    let mut put = |c: char| {
        let c = if c.is_control() || c == '/' { char::REPLACEMENT_CHARACTER } else { c };
        path.push(c).map_err(|_| PathTooLong)
    };
    if let Some(units) = long_name(before, entry) {
        char::decode_utf16(units).try_for_each(|c| put(c.unwrap_or(char::REPLACEMENT_CHARACTER)))
    } else {
        short_name(entry).try_for_each(put)
    }
}

/// The check sum over a short name that the entries of its long name carry.
fn check_sum(entry: &[u8; ENTRY]) -> u8 {
    entry.iter().take(11).fold(0, |sum: u8, &byte| sum.rotate_right(1).wrapping_add(byte))
}

/// The long name, if the entries in front of `entry` are a complete one.
fn long_name(before: &[u8], entry: &[u8; ENTRY]) -> Option<Vec<u16, { MAX_LONG_ENTRIES * UNITS }>> {
    let wanted = check_sum(entry);
    let mut name = Vec::new();
    for (sequence, part) in (1u8..).zip(before.as_rchunks::<ENTRY>().1.iter().rev()) {
        let part = part.as_slice();
        if part.first() == Some(&DELETED) || OnDiskDirEntry::new(part).raw_attr() & LONG_NAME_MASK != LONG_NAME {
            return None;
        }
        let (is_last, number, sum, units) = OnDiskDirEntry::new(part).lfn_contents()?;
        if number != sequence || sum != wanted {
            return None;
        }
        name.extend_from_slice(units.split(|&unit| unit == 0).next()?).ok()?;
        if is_last {
            return (!name.is_empty()).then_some(name);
        }
    }
    None
}

/// The short name, in the case that the entry asks for.
fn short_name(entry: &[u8; ENTRY]) -> impl Iterator<Item = char> {
    let (name, rest) = entry.split_at(11);
    let (base, extension) = name.split_at(8);
    let case = rest.get(1).copied().unwrap_or_default();
    let part = |bytes: &'_ [u8], lower: bool| {
        let length = bytes.iter().rposition(|&byte| byte != b' ').map_or(0, |last| last + 1);
        let mut chars: Vec<char, 8> = bytes.iter().take(length).map(|&byte| decode(byte, lower)).collect();
        // A first byte that would mean "deleted" is stored as 05.
        if let (Some(first), Some(5)) = (chars.first_mut(), bytes.first()) {
            *first = decode(DELETED, lower);
        }
        chars
    };
    let base = part(base, case & 0x08 != 0);
    let extension = part(extension, case & 0x10 != 0);
    let dot = (!extension.is_empty()).then_some('.');
    base.into_iter().chain(dot).chain(extension)
}

/// A byte of a short name.
fn decode(byte: u8, lower: bool) -> char {
    let c = match byte.checked_sub(0x80) {
        None => char::from(byte),
        Some(index) => CODE_PAGE.chars().nth(usize::from(index)).unwrap_or(char::REPLACEMENT_CHARACTER),
    };
    let mut lowered = c.to_lowercase();
    match (lower, lowered.next(), lowered.next()) {
        (true, Some(lowered), None) => lowered,
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    extern crate std;
    use std::vec;
    use std::vec::Vec as StdVec;

    fn entry(name: &[u8; 11], case: u8) -> [u8; ENTRY] {
        let mut entry = [0; ENTRY];
        entry[..11].copy_from_slice(name);
        entry[12] = case;
        entry
    }

    /// The entries of a long name as they stand on the card, padded in front.
    fn parts(units: &[u16], short: &[u8; ENTRY]) -> StdVec<u8> {
        let mut slots = vec![];
        let chunks: StdVec<_> = units.chunks(UNITS).collect();
        for (index, chunk) in chunks.iter().enumerate().rev() {
            let mut padded = [0xFFFF; UNITS];
            padded[..chunk.len()].copy_from_slice(chunk);
            if let Some(end) = padded.get_mut(chunk.len()) {
                *end = 0;
            }
            let last = if index + 1 == chunks.len() { 0x40 } else { 0 };
            let mut slot = [0; ENTRY];
            slot[0] = last | (index as u8 + 1);
            slot[11] = LONG_NAME;
            slot[13] = check_sum(short);
            let places = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];
            for (place, unit) in places.into_iter().zip(padded) {
                slot[place..place + 2].copy_from_slice(&unit.to_le_bytes());
            }
            slots.extend(slot);
        }
        let mut before = vec![0; MAX_LONG_ENTRIES * ENTRY - slots.len()];
        before.extend(slots);
        before
    }

    fn name(before: &[u8], entry: &[u8; ENTRY]) -> std::string::String {
        let mut path = String::new();
        assert!(push(&mut path, before, entry).is_ok());
        path.as_str().into()
    }

    #[test]
    fn short_names_have_their_case() {
        let none = [0; MAX_LONG_ENTRIES * ENTRY];
        assert_eq!(name(&none, &entry(b"README  MD ", 0)), "/README.MD");
        assert_eq!(name(&none, &entry(b"README  MD ", 0x08)), "/readme.MD");
        assert_eq!(name(&none, &entry(b"README  MD ", 0x10)), "/README.md");
        assert_eq!(name(&none, &entry(b"A B        ", 0x18)), "/a b");
        assert_eq!(name(&none, &entry(b"\x8E       TXT", 0)), "/Ä.TXT");
        assert_eq!(name(&none, &entry(b"\x8E       TXT", 0x18)), "/ä.txt");
        assert_eq!(name(&none, &entry(b"\x05       TXT", 0)), "/Õ.TXT");
        assert_eq!(name(&none, &entry(b"A/\nB       ", 0)), "/A\u{FFFD}\u{FFFD}B");
    }

    #[test]
    fn long_names_of_every_length() {
        let short = entry(b"LONGNA~1   ", 0);
        for length in 1..=255 {
            let text: std::string::String = ('a'..='z').cycle().take(length).collect();
            let units: StdVec<u16> = text.encode_utf16().collect();
            assert_eq!(name(&parts(&units, &short), &short), std::format!("/{text}"));
        }
    }

    #[test]
    fn surrogates_across_parts_and_alone() {
        let short = entry(b"LONGNA~1   ", 0);
        let text = "123456789012😀 and after";
        let units: StdVec<u16> = text.encode_utf16().collect();
        assert_eq!(name(&parts(&units, &short), &short), std::format!("/{text}"));

        // A part that starts with half a pair, behind thirteen units that leave it alone.
        let mut units = vec![u16::from(b'x'); UNITS];
        units.extend([0xDE00, u16::from(b'y')]);
        assert_eq!(name(&parts(&units, &short), &short), "/xxxxxxxxxxxxx\u{FFFD}y");
    }

    #[test]
    fn an_incomplete_long_name_is_none() {
        let short = entry(b"LONGNA~1   ", 0);
        let units: StdVec<u16> = "a name in three parts, that is long".encode_utf16().collect();
        let whole = parts(&units, &short);
        let at = whole.len() - 3 * ENTRY;
        for (offset, byte) in [(at, 3), (at, DELETED), (at + 13, !whole[at + 13]), (at + 11, 0x20), (at + ENTRY, 3)] {
            let mut broken = whole.clone();
            broken[offset] = byte;
            assert_eq!(name(&broken, &short), "/LONGNA~1", "with {byte:#x} at {}", offset - at);
        }
        let other = entry(b"OTHER      ", 0);
        assert_eq!(name(&whole, &other), "/OTHER");
    }

    #[test]
    fn a_path_has_an_end() {
        let none = [0; MAX_LONG_ENTRIES * ENTRY];
        let mut path = String::new();
        let mut pushes = 0;
        while push(&mut path, &none, &entry(b"12345678ABC", 0)).is_ok() {
            pushes += 1;
        }
        assert_eq!(pushes, MAX_PATH / 13);
    }
}
