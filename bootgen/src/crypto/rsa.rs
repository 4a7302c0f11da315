//! RSA-2048 signatures with SHA-256, as stored in boot images.
//!
//! # Theory of operation
//!
//! A signature is RSASSA-PKCS1-v1_5 (RFC 8017, section 8.2) over a SHA-256 digest, hence deterministic. An image
//! holds the signature as a number with its least significant byte first: the reverse of what RFC 8017 prints.
//!
//! A public key is stored as a *key blob* of 0x240 bytes, all numbers least significant byte first: the modulus N
//! (256 bytes), R² mod N with R = 2^2048 (256 bytes; what a Montgomery multiplier needs to begin with, so that the
//! boot ROM need not compute it), the exponent E (4 bytes) and 60 zero bytes. The eFUSEs hold the SHA-256 of the
//! primary key's blob.

use std::fmt;

use rsa::pkcs8::{DecodePrivateKey as _, DecodePublicKey as _};
use rsa::traits::{PrivateKeyParts as _, PublicKeyParts as _};
use rsa::{BoxedUint, Pkcs1v15Sign, PrivateKey};
use rsa::{pkcs1::DecodeRsaPrivateKey as _, pkcs1::DecodeRsaPublicKey as _};
use sha2_host::{Digest as _, Sha256};

/// Bytes of a modulus and of a signature.
pub const MODULUS_SIZE: usize = 256;

/// Bytes of a stored public key.
pub const BLOB_SIZE: usize = 0x240;

/// A SHA-256 digest.
pub type Digest = [u8; 32];

/// A signature as an image holds it, least significant byte first.
pub type Signature = [u8; MODULUS_SIZE];

/// A public key as an image holds it: N, R² mod N, E, 60 zero bytes.
pub type Blob = [u8; BLOB_SIZE];

/// Why a number or a file is no key that the chip can use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// The chip computes with 2048 bits only.
    #[error("the modulus has {0} bits; the Zynq-7000 uses RSA-2048")]
    Size(u32),
    /// The blob has a field of four bytes for the exponent.
    #[error("the public exponent needs more than 32 bits")]
    Exponent,
    /// Not an RSA key: the numbers contradict each other, or the modulus or exponent is even.
    #[error("these numbers are no RSA key: {0}")]
    Inconsistent(String),
    /// The text between a PEM file's markers is damaged or of another kind.
    #[error("the PEM text is no RSA key in PKCS#1 or PKCS#8 form: {0}")]
    Pem(String),
    /// The 256 bytes at 0x100 of a key blob do not belong to its modulus.
    #[error("the blob's R² mod N does not belong to its modulus")]
    MontgomeryConstant,
    /// The last 60 bytes of a key blob have to be zero.
    #[error("the 60 bytes behind the blob's exponent are not all zero")]
    Padding,
}

/// A public key.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(rsa::PublicKey);

impl PublicKey {
    /// A key of modulus and exponent, both most significant byte first.
    ///
    /// # Errors
    ///
    /// When they are no RSA-2048 key with an exponent of at most 32 bits.
    pub fn from_parts(modulus: &[u8], exponent: &[u8]) -> Result<Self, InvalidKey> {
        Self::checked(rsa::PublicKey::new(number(modulus), number(exponent)))
    }

    /// The key in PEM form, `BEGIN RSA PUBLIC KEY` (PKCS#1) or `BEGIN PUBLIC KEY` (SubjectPublicKeyInfo).
    ///
    /// # Errors
    ///
    /// When `text` is not that, or not a key the chip can use.
    pub fn from_pem(text: &str) -> Result<Self, InvalidKey> {
        let key = match rsa::PublicKey::from_public_key_pem(text) {
            Ok(key) => key,
            Err(_) => rsa::PublicKey::from_pkcs1_pem(text).map_err(|error| InvalidKey::Pem(error.to_string()))?,
        };
        Self::checked(Ok(key))
    }

    /// The key that `blob` holds.
    ///
    /// # Errors
    ///
    /// When modulus and exponent are no key, and when the rest of the blob is not what belongs to them.
    pub fn from_blob(blob: &Blob) -> Result<Self, InvalidKey> {
        let (modulus, rest) = blob.split_at(MODULUS_SIZE);
        let (constant, rest) = rest.split_at(MODULUS_SIZE);
        let (exponent, padding) = rest.split_at(4);
        let key = Self::from_parts(&reversed(modulus), &reversed(exponent))?;
        if key.montgomery_constant() != constant {
            return Err(InvalidKey::MontgomeryConstant);
        }
        if padding.iter().any(|&byte| byte != 0) {
            return Err(InvalidKey::Padding);
        }
        Ok(key)
    }

    fn checked(key: rsa::Result<rsa::PublicKey>) -> Result<Self, InvalidKey> {
        let key = key.map_err(|error| InvalidKey::Inconsistent(error.to_string()))?;
        match key.n().bit_width() {
            2048 if key.e().bit_width() <= 32 => Ok(Self(key)),
            2048 => Err(InvalidKey::Exponent),
            bits => Err(InvalidKey::Size(bits)),
        }
    }

    /// The key as an image holds it.
    pub fn blob(&self) -> Blob {
        let mut blob = [0; BLOB_SIZE];
        let exponent = reversed(&self.exponent());
        let parts = reversed(&self.modulus()).into_iter().chain(self.montgomery_constant()).chain(exponent);
        blob.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
        blob
    }

    /// SHA-256 of the blob: what the eFUSEs hold for the primary key, and what the primary key signs of the
    /// secondary one.
    pub fn hash(&self) -> Digest {
        Sha256::digest(self.blob()).into()
    }

    /// N, most significant byte first.
    pub fn modulus(&self) -> Vec<u8> {
        self.0.n_bytes().into_vec()
    }

    /// E, most significant byte first, without leading zeros.
    pub fn exponent(&self) -> Vec<u8> {
        self.0.e_bytes().into_vec()
    }

    /// Whether `signature` is this key's for `digest`.
    pub fn verifies(&self, digest: &Digest, signature: &Signature) -> bool {
        self.0.verify(Pkcs1v15Sign::new::<Sha256>(), digest, &reversed(signature)).is_ok()
    }

    /// R² mod N, least significant byte first.
    fn montgomery_constant(&self) -> Vec<u8> {
        let mut square = [0; 2 * MODULUS_SIZE + 1];
        if let Some(top) = square.first_mut() {
            *top = 1;
        }
        let remainder = number(&square).rem_vartime(self.0.n());
        let mut bytes = reversed(&remainder.to_be_bytes());
        bytes.resize(MODULUS_SIZE, 0);
        bytes
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "PublicKey({:02x?}..)", self.modulus().get(..4).unwrap_or_default())
    }
}

/// A secret key, with its public half. Its numbers are erased from memory when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKey(PrivateKey);

impl SecretKey {
    /// A key of modulus, public exponent and secret exponent, all most significant byte first.
    ///
    /// # Errors
    ///
    /// When they contradict each other or are no RSA-2048 key.
    pub fn from_parts(modulus: &[u8], exponent: &[u8], secret: &[u8]) -> Result<Self, InvalidKey> {
        // What finds the primes of a key counts on numbers of the right size that are not zero.
        if [modulus, exponent, secret].into_iter().any(|number| number.iter().all(|&byte| byte == 0)) {
            return Err(InvalidKey::Inconsistent("one of them is zero".to_owned()));
        }
        PublicKey::from_parts(modulus, exponent)?;
        let digits = without_zeros(secret);
        let mut padded = zeroize::Zeroizing::new([0; MODULUS_SIZE]);
        let place = MODULUS_SIZE.checked_sub(digits.len()).and_then(|zeros| padded.get_mut(zeros..));
        let Some(place) = place else {
            return Err(InvalidKey::Inconsistent("the secret exponent is longer than the modulus".to_owned()));
        };
        place.copy_from_slice(digits);
        let secret = BoxedUint::from_be_slice(&*padded, 8 * MODULUS_SIZE as u32)
            .map_err(|error| InvalidKey::Inconsistent(error.to_string()))?;
        let key = PrivateKey::from_components(number(modulus), number(exponent), secret, Vec::new());
        Self::checked(key)
    }

    /// The key in PEM form, `BEGIN RSA PRIVATE KEY` (PKCS#1) or `BEGIN PRIVATE KEY` (PKCS#8).
    ///
    /// # Errors
    ///
    /// When `text` is not that, or not a key the chip can use.
    pub fn from_pem(text: &str) -> Result<Self, InvalidKey> {
        let key = match PrivateKey::from_pkcs8_pem(text) {
            Ok(key) => key,
            Err(_) => PrivateKey::from_pkcs1_pem(text).map_err(|error| InvalidKey::Pem(error.to_string()))?,
        };
        Self::checked(Ok(key))
    }

    /// A new key with exponent 65537, from the operating system's randomness.
    ///
    /// # Errors
    ///
    /// When the operating system gives none.
    pub fn generate() -> Result<Self, InvalidKey> {
        use rsa::rand_core::UnwrapErr;
        getrandom::fill(&mut [0]).map_err(|error| InvalidKey::Inconsistent(error.to_string()))?;
        Self::checked(PrivateKey::new(&mut UnwrapErr(getrandom::SysRng), 8 * MODULUS_SIZE))
    }

    fn checked(key: rsa::Result<PrivateKey>) -> Result<Self, InvalidKey> {
        let key = key.map_err(|error| InvalidKey::Inconsistent(error.to_string()))?;
        PublicKey::checked(Ok(key.to_public_key()))?;
        Ok(Self(key))
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.to_public_key())
    }

    /// D, most significant byte first.
    pub fn secret_exponent(&self) -> zeroize::Zeroizing<Vec<u8>> {
        self.0.d().to_be_bytes().into_vec().into()
    }

    /// This key's signature of `digest`.
    ///
    /// # Errors
    ///
    /// When the key's numbers do not fit together.
    pub fn sign(&self, digest: &Digest) -> Result<Signature, InvalidKey> {
        let signature = self.0.sign(Pkcs1v15Sign::new::<Sha256>(), digest);
        let signature = signature.map_err(|error| InvalidKey::Inconsistent(error.to_string()))?;
        let mut stored = [0; MODULUS_SIZE];
        stored.iter_mut().zip(signature.iter().rev()).for_each(|(to, from)| *to = *from);
        Ok(stored)
    }

    /// The key itself, for writing it to a file.
    pub(crate) fn inner(&self) -> &PrivateKey {
        &self.0
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "SecretKey of {:?}", self.public())
    }
}

/// The number that a signature of `digest` is the power of (RFC 8017, section 9.2, EMSA-PKCS1-v1_5), least
/// significant byte first: what is handed to a signing machine that only computes powers.
pub fn padded(digest: &Digest) -> Signature {
    /// DER of a DigestInfo for SHA-256, up to the digest.
    const PREFIX: [u8; 19] = [
        0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04,
        0x20,
    ];
    let mut number = [0xff; MODULUS_SIZE];
    let tail = digest.iter().rev().chain(PREFIX.iter().rev()).chain(&[0]);
    number.iter_mut().zip(tail).for_each(|(to, from)| *to = *from);
    let [.., before_last, last] = &mut number;
    (*before_last, *last) = (1, 0);
    number
}

fn reversed(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().rev().copied().collect()
}

fn number(bytes: &[u8]) -> BoxedUint {
    BoxedUint::from_be_slice_vartime(without_zeros(bytes))
}

/// A number's bytes from its first one that is not zero on.
fn without_zeros(bytes: &[u8]) -> &[u8] {
    bytes.iter().position(|&byte| byte != 0).and_then(|start| bytes.get(start..)).unwrap_or_default()
}
