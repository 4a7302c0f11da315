//! The files that keys come in.
//!
//! RSA keys are PEM files or texts of hexadecimal numbers, as the vendor's tool writes them:
//!
//! ```text
//! N = 9b3f...
//! E = 00010001
//! D = 0251...      (secret keys only)
//! ```
//!
//! AES keys are `.nky` files: statements that end with a semicolon.
//!
//! ```text
//! Device       xc7z020clg484;
//! Key 0        <64 hexadecimal digits>;
//! Key StartCBC <32 hexadecimal digits>;
//! Key HMAC     <64 hexadecimal digits>;
//! ```

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use rsa::pkcs1::EncodeRsaPrivateKey as _;
use rsa::pkcs8::LineEnding;
use zeroize::Zeroizing;

use crate::crypto::aes::Secrets;
use crate::crypto::rsa::{InvalidKey, PublicKey, SecretKey};

/// Why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("key file {}: {reason}", path.display())]
pub struct KeyError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: Reason,
}

/// What is wrong with a key file's text.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// The operating system refuses.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The numbers are no key.
    #[error("{0}")]
    Key(#[from] InvalidKey),
    /// A statement is missing.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A statement occurs twice.
    #[error("line {line}: `{name}` occurs a second time")]
    Twice {
        /// Counted from 1.
        line: usize,
        /// The statement's name.
        name: &'static str,
    },
    /// A value has characters that are not hexadecimal digits, or too few or too many of them.
    #[error("line {line}: `{name}` has to be {digits} hexadecimal digits")]
    Digits {
        /// Counted from 1.
        line: usize,
        /// The statement's name.
        name: &'static str,
        /// How many digits it has.
        digits: &'static str,
    },
    /// A line that is no statement.
    #[error("line {line}: {expected} expected")]
    Statement {
        /// Counted from 1.
        line: usize,
        /// What could stand there.
        expected: &'static str,
    },
    /// A statement without its semicolon.
    #[error("line {line}: the statement has no `;` at its end")]
    Semicolon {
        /// Counted from 1.
        line: usize,
    },
    /// The file has only the public half.
    #[error("this is a public key; a secret one is needed for signing")]
    Public,
}

fn read(path: &Path) -> Result<Zeroizing<String>, KeyError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text.into()),
        Err(error) => Err(KeyError { path: path.to_owned(), reason: error.into() }),
    }
}

/// Reads a secret RSA key.
///
/// # Errors
///
/// When there is no such file or it holds no secret RSA-2048 key.
pub fn read_secret(path: &Path) -> Result<SecretKey, KeyError> {
    parse_secret(&read(path)?).map_err(|reason| KeyError { path: path.to_owned(), reason })
}

/// Reads a public RSA key; from a file with a secret one, its public half.
///
/// # Errors
///
/// When there is no such file or it holds no RSA-2048 key.
pub fn read_public(path: &Path) -> Result<PublicKey, KeyError> {
    parse_public(&read(path)?).map_err(|reason| KeyError { path: path.to_owned(), reason })
}

/// Reads AES and HMAC keys.
///
/// # Errors
///
/// When there is no such file or its text is no key file.
pub fn read_nky(path: &Path) -> Result<Nky, KeyError> {
    parse_nky(&read(path)?).map_err(|reason| KeyError { path: path.to_owned(), reason })
}

/// Parses a secret key's file.
///
/// # Errors
///
/// When `text` is none.
pub fn parse_secret(text: &str) -> Result<SecretKey, Reason> {
    if is_pem(text) {
        return if text.contains("PUBLIC KEY-----") { Err(Reason::Public) } else { Ok(SecretKey::from_pem(text)?) };
    }
    let numbers = Numbers::parse(text)?;
    let secret = numbers.secret.ok_or(Reason::Public)?;
    Ok(SecretKey::from_parts(&numbers.modulus, &numbers.exponent, &secret)?)
}

/// Parses a public or secret key's file.
///
/// # Errors
///
/// When `text` is none.
pub fn parse_public(text: &str) -> Result<PublicKey, Reason> {
    if is_pem(text) {
        let public = text.contains("PUBLIC KEY-----");
        return Ok(if public { PublicKey::from_pem(text)? } else { SecretKey::from_pem(text)?.public() });
    }
    let numbers = Numbers::parse(text)?;
    Ok(PublicKey::from_parts(&numbers.modulus, &numbers.exponent)?)
}

fn is_pem(text: &str) -> bool {
    text.contains("-----BEGIN ")
}

/// The numbers of a key's text, most significant byte first.
struct Numbers {
    modulus: Vec<u8>,
    exponent: Vec<u8>,
    secret: Option<Zeroizing<Vec<u8>>>,
}

impl Numbers {
    fn parse(text: &str) -> Result<Self, Reason> {
        let (mut modulus, mut exponent, mut secret) = (None, None, None);
        for (line, text) in (1..).zip(text.lines()) {
            if text.trim().is_empty() {
                continue;
            }
            let statement = Reason::Statement { line, expected: "`N = `, `E = ` or `D = ` and a hexadecimal number" };
            let Some((name, value)) = text.split_once('=') else {
                return Err(statement);
            };
            let (slot, name) = match name.trim() {
                "N" => (&mut modulus, "N"),
                "E" => (&mut exponent, "E"),
                "D" => (&mut secret, "D"),
                _ => return Err(statement),
            };
            let value = hex(value.trim()).ok_or(Reason::Digits { line, name, digits: "an even number of" })?;
            if slot.replace(value).is_some() {
                return Err(Reason::Twice { line, name });
            }
        }
        Ok(Self {
            modulus: modulus.ok_or(Reason::Missing("N = "))?,
            exponent: exponent.ok_or(Reason::Missing("E = "))?,
            secret: secret.map(Zeroizing::new),
        })
    }
}

/// The bytes that `digits` stands for: pairs of hexadecimal digits, nothing else.
pub fn hex(digits: &str) -> Option<Vec<u8>> {
    let (pairs, []) = digits.as_bytes().as_chunks::<2>() else {
        return None;
    };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    pairs.iter().map(|&[high, low]| Some((digit(high)? << 4 | digit(low)?) as u8)).collect()
}

/// Hexadecimal digits of `bytes`.
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A secret key in PEM form (PKCS#1).
///
/// # Errors
///
/// When the key's numbers do not fit together.
pub fn secret_to_pem(key: &SecretKey) -> Result<Zeroizing<String>, InvalidKey> {
    key.inner().to_pkcs1_pem(LineEnding::LF).map_err(|error| InvalidKey::Pem(error.to_string()))
}

/// A secret key as text: `N = `, `E = ` and `D = `, as the vendor's tool writes it.
pub fn secret_to_text(key: &SecretKey) -> Zeroizing<String> {
    let public = key.public();
    let mut text = Zeroizing::new(String::with_capacity(1100));
    let (modulus, secret) = (to_hex(&public.modulus()), Zeroizing::new(to_hex(&key.secret_exponent())));
    let exponent = to_hex(&public.exponent());
    // Writing to a string cannot fail.
    let _ = write!(text, "N = {modulus}\n\nE = {exponent:0>8}\n\nD = {}", *secret);
    text.make_ascii_uppercase();
    text
}

/// Writes a secret to a new file that only its owner may read.
///
/// # Errors
///
/// When there is such a file already or it cannot be written.
pub fn write_secret(path: &Path, text: &str) -> io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(text.as_bytes())
}

/// A key file for AES.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nky {
    /// The part that the keys are for; information only.
    pub device: String,
    /// The keys.
    pub secrets: Secrets,
}

impl Nky {
    /// The file's text.
    pub fn text(&self) -> Zeroizing<String> {
        let Secrets { key, hmac, iv } = &self.secrets;
        let mut text = Zeroizing::new(String::with_capacity(256));
        let (key, iv, hmac) = (Zeroizing::new(to_hex(key)), to_hex(iv), Zeroizing::new(to_hex(hmac)));
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "Device       {};\n\nKey 0        {};\nKey StartCBC {iv};\nKey HMAC     {};\n",
            self.device, *key, *hmac
        );
        text
    }

    /// New keys for `device`, from the operating system's randomness.
    ///
    /// # Errors
    ///
    /// When the operating system gives none.
    pub fn generate(device: &str) -> io::Result<Self> {
        let mut secrets = Secrets { key: [0; 32], hmac: [0; 32], iv: [0; 16] };
        for bytes in [secrets.key.as_mut_slice(), &mut secrets.hmac, &mut secrets.iv] {
            getrandom::fill(bytes).map_err(io::Error::other)?;
        }
        Ok(Self { device: device.to_owned(), secrets })
    }
}

/// Parses a key file for AES.
///
/// # Errors
///
/// When a statement is missing, occurs twice or is malformed.
pub fn parse_nky(text: &str) -> Result<Nky, Reason> {
    const EXPECTED: &str = "`Device PART;`, `Key 0 HEX;`, `Key StartCBC HEX;` or `Key HMAC HEX;`";
    let (mut device, mut key, mut iv, mut hmac) = (None, None, None, None);
    for (line, text) in (1..).zip(text.lines()) {
        let text = text.trim();
        if text.is_empty() {
            continue;
        }
        let text = text.strip_suffix(';').ok_or(Reason::Semicolon { line })?;
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let (name, twice) = match words.as_slice() {
            ["Device", part] => ("Device", device.replace((*part).to_owned()).is_some()),
            ["Key", "0", value] => ("Key 0", key.replace(digits(line, "Key 0", "64", value)?).is_some()),
            ["Key", "StartCBC", value] => {
                ("Key StartCBC", iv.replace(digits(line, "Key StartCBC", "32", value)?).is_some())
            }
            ["Key", "HMAC", value] => ("Key HMAC", hmac.replace(digits(line, "Key HMAC", "64", value)?).is_some()),
            _ => return Err(Reason::Statement { line, expected: EXPECTED }),
        };
        if twice {
            return Err(Reason::Twice { line, name });
        }
    }
    Ok(Nky {
        device: device.ok_or(Reason::Missing("Device"))?,
        secrets: Secrets {
            key: key.ok_or(Reason::Missing("Key 0"))?,
            iv: iv.ok_or(Reason::Missing("Key StartCBC"))?,
            hmac: hmac.ok_or(Reason::Missing("Key HMAC"))?,
        },
    })
}

fn digits<const N: usize>(
    line: usize,
    name: &'static str,
    digits: &'static str,
    value: &str,
) -> Result<[u8; N], Reason> {
    let bytes = hex(value).map(Zeroizing::new);
    bytes.and_then(|bytes| bytes.as_slice().try_into().ok()).ok_or(Reason::Digits { line, name, digits })
}
