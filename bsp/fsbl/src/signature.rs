//! Signatures and the chain of keys behind them (UG585 chapter 32, UG1283 "Using Authentication").
//!
//! A certificate holds two public RSA-2048 keys. The primary key signs the secondary one, the secondary key signs data. Signatures are
//! RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017), stored with their lowest byte first. That a key signed something is computed by raising the signature to the key's
//! exponent; nothing secret is involved, so nothing here has to take the same time whatever it is given.

use bootimage::Certificate;
use bootimage::certificate::PublicKey;
use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
use crypto_bigint::{Odd, U64, U2048};
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use zerocopy::{FromBytes as _, IntoBytes as _};

/// A SHA-256 digest.
pub type Digest = [u8; 32];

/// Why something is not to be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Distrust {
    /// The number cannot be the modulus of an RSA-2048 key.
    #[error("the {0} key is no RSA-2048 key")]
    Key(&'static str),
    /// The primary key is another one than that of the boot loader, or of the headers.
    #[error("the primary key is not the one that the boot loader, or the headers, came with")]
    Primary,
    /// The secondary key is not signed by the primary.
    #[error("the secondary key is not signed by the primary key")]
    Secondary,
    /// The data are not signed by the secondary key.
    #[error("the data are not signed by the secondary key")]
    Data,
}

/// The digest of a certificate's primary key, which stands for the whole chain: the eFUSEs of a chip hold it.
pub fn primary(certificate: &Certificate) -> Digest {
    Sha256::digest(certificate.primary.as_bytes()).into()
}

/// The digest of the primary key of the certificate in `bytes`, which is where the boot ROM leaves the one that it has checked: of its size, and behind the boot
/// loader. `None` if there is none.
pub fn anchor(bytes: &[u8]) -> Option<Digest> {
    let certificate = Certificate::read_from_bytes(bytes).ok()?;
    let mut is_one = true;
    certificate.examine(bootimage::Structure::HeaderCertificate, 0, &mut |_| is_one = false);
    is_one.then(|| primary(&certificate))
}

/// Checks that the secondary key of `certificate` signed `data` and the certificate itself, and that its primary key signed the
/// secondary. `anchor` is the digest that the primary key must have; without one, any will do.
///
/// # Errors
/// [`Distrust`]
pub fn verify(certificate: &Certificate, data: &[&[u8]], anchor: Option<&Digest>) -> Result<(), Distrust> {
    if anchor.is_some_and(|anchor| *anchor != primary(certificate)) {
        return Err(Distrust::Primary);
    }
    let secondary = Sha256::digest(certificate.secondary.as_bytes()).into();
    if !signed("primary", &certificate.primary, &secondary, &certificate.secondary_signature)? {
        return Err(Distrust::Secondary);
    }
    let mut digest = Sha256::new();
    for part in data {
        digest.update(part);
    }
    let unsigned = bootimage::certificate::SIGNED_SIZE as usize;
    digest.update(certificate.as_bytes().get(..unsigned).unwrap_or_default());
    if !signed("secondary", &certificate.secondary, &digest.finalize().into(), &certificate.signature)? {
        return Err(Distrust::Data);
    }
    Ok(())
}

/// Whether `signature`, lowest byte first, is `key`'s of `digest`.
fn signed(name: &'static str, key: &PublicKey, digest: &Digest, signature: &[u8; 256]) -> Result<bool, Distrust> {
    let modulus = U2048::from_le_slice(&key.modulus);
    let exponent = key.exponent.get();
    // A key of 2048 bits has its highest set; an exponent of 1 would make everything a signature of itself.
    let is_key = modulus.bit_width_vartime() == 2048 && exponent >= 3 && !exponent.is_multiple_of(2);
    let Some(modulus) = Option::<Odd<U2048>>::from(Odd::new(modulus)).filter(|_| is_key) else {
        return Err(Distrust::Key(name));
    };
    let signature = U2048::from_le_slice(signature);
    if signature >= *modulus.as_ref() {
        return Ok(false);
    }
    let parameters = FixedMontyParams::new_vartime(modulus);
    let power = FixedMontyForm::new(&signature, &parameters).pow_vartime(&U64::from_u32(exponent)).retrieve();
    Ok(power == U2048::from_be_slice(&padded(digest)))
}

/// What a signature of `digest` is the power of, highest byte first (RFC 8017, section 9.2, EMSA-PKCS1-v1_5).
fn padded(digest: &Digest) -> [u8; 256] {
    /// DER of a DigestInfo for SHA-256, up to the digest.
    const PREFIX: [u8; 19] = [
        0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04,
        0x20,
    ];
    let mut number = [0xff; 256];
    let tail = digest.iter().rev().chain(PREFIX.iter().rev()).chain(&[0]);
    number.iter_mut().rev().zip(tail).for_each(|(to, from)| *to = *from);
    let [first, second, ..] = &mut number;
    (*first, *second) = (0, 1);
    number
}
