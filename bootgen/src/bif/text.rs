//! The small text files that a BIF names: register initialisations and bytes in hexadecimal.

use std::path::Path;

use super::error::{BifError, Problem};
use super::scan::Scanner;

/// Addresses and values that the boot ROM writes before it loads the boot loader.
pub(crate) type RegisterInits = Vec<(u32, u32)>;

/// Pairs that a boot header has room for.
const MOST_INITS: usize = 256;

/// Parses register initialisations: statements `.set. ADDRESS = VALUE;` in the order in which they are written.
///
/// # Errors
///
/// When something else stands there, a number does not fit 32 bits, and when there are more than 256 of them.
pub(crate) fn register_inits(path: &Path, text: &str) -> Result<RegisterInits, BifError> {
    inits(text).map_err(|problem| problem.within(path, text))
}

fn inits(text: &str) -> Result<RegisterInits, Problem> {
    let mut scanner = Scanner::new(text);
    let mut inits = RegisterInits::new();
    while scanner.peek()?.is_some() {
        let start = scanner.at();
        scanner.expect(".set.", "before an address")?;
        let address = word(&mut scanner)?;
        scanner.expect("=", "behind the address")?;
        let value = word(&mut scanner)?;
        scanner.expect(";", "behind the value")?;
        if inits.len() == MOST_INITS {
            return Err(Problem::new(start..scanner.at(), "a boot header has room for 256 register initialisations"));
        }
        inits.push((address, value));
    }
    Ok(inits)
}

fn word(scanner: &mut Scanner<'_>) -> Result<u32, Problem> {
    scanner.skip()?;
    let start = scanner.at();
    let number = scanner.expression()?;
    let message = || Problem::new(start..scanner.at(), format!("{number:#x} does not fit 32 bits"));
    number.try_into().map_err(|_| message())
}

/// Parses at most `N` bytes in hexadecimal, blanks and line ends anywhere; the rest is zero.
///
/// # Errors
///
/// When something else stands there, half a byte, or more than `N` bytes.
pub(crate) fn hex_bytes<const N: usize>(path: &Path, text: &str) -> Result<[u8; N], BifError> {
    bytes(text).map_err(|problem| problem.within(path, text))
}

fn bytes<const N: usize>(text: &str) -> Result<[u8; N], Problem> {
    let mut bytes = [0; N];
    let mut free = bytes.iter_mut();
    let mut high = None;
    for (at, character) in text.char_indices().filter(|(_, character)| !character.is_whitespace()) {
        let span = at..at + character.len_utf8();
        let Some(digit) = character.to_digit(16) else {
            return Err(Problem::new(span, format!("`{character}` is no hexadecimal digit")));
        };
        match high.take() {
            None => high = Some(digit),
            Some(high) => match free.next() {
                Some(byte) => *byte = (high << 4 | digit) as u8,
                None => return Err(Problem::new(span, format!("there is room for {N} bytes"))),
            },
        }
    }
    if high.is_some() {
        return Err(Problem::new(text.len()..text.len(), "the last byte has one digit only"));
    }
    Ok(bytes)
}
