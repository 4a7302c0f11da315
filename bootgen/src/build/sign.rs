//! Keys and signatures of an image.
//!
//! The primary key signs the secondary key, the secondary key signs everything else. Whoever keeps the secret keys
//! elsewhere gives public keys and finished signatures; these are checked against what they are about.

use std::path::{Path, PathBuf};

use super::partition::Partition;
use super::{BuildError, headers, read};
use crate::bif::KeyFiles;
use crate::crypto::rsa::{Digest, MODULUS_SIZE, PublicKey, SecretKey, Signature};
use crate::keys;

/// What signs an image.
pub(super) struct Signer {
    primary: PublicKey,
    secondary: PublicKey,
    secret: Option<SecretKey>,
    secondary_signature: Signature,
    /// Whether what has no signature gets [`PLACEHOLDER`].
    unsigned: bool,
}

/// Stands where a signature made elsewhere will be: the number one.
const PLACEHOLDER: Signature = {
    let mut one = [0; MODULUS_SIZE];
    one[0] = 1;
    one
};

/// A key's public half, and the secret one if it is known.
struct Pair {
    public: PublicKey,
    secret: Option<SecretKey>,
}

impl Signer {
    /// The keys in `files`.
    ///
    /// # Errors
    ///
    /// When keys are missing or contradict each other.
    pub(super) fn new(files: &KeyFiles, partitions: &[Partition], unsigned: bool) -> Result<Self, BuildError> {
        let what = partitions.iter().find(|partition| partition.signed).map(|partition| partition.name.clone());
        let missing = |key, attribute| BuildError::NoKey { what: what.clone().unwrap_or_default(), key, attribute };
        let primary = pair(files.primary_secret.as_ref(), files.primary_public.as_ref())?
            .ok_or_else(|| missing("primary key", "[pskfile]"))?;
        let secondary = pair(files.secondary_secret.as_ref(), files.secondary_public.as_ref())?
            .ok_or_else(|| missing("secondary key", "[sskfile]"))?;
        let digest = secondary.public.hash();
        let secondary_signature = match (&files.secondary_signature, &primary.secret) {
            (Some(path), _) => {
                let signature = read_signature(path)?;
                if !unsigned && !primary.public.verifies(&digest, &signature) {
                    let what = "the secondary key".to_owned();
                    return Err(BuildError::WrongSignature { path: path.clone(), what, key: "primary" });
                }
                signature
            }
            (None, Some(secret)) => secret.sign(&digest)?,
            (None, None) if unsigned => PLACEHOLDER,
            (None, None) => {
                return Err(missing("signature of the secondary key or primary secret key", "[spksignature]"));
            }
        };
        let (primary, Pair { public: secondary, secret }) = (primary.public, secondary);
        Ok(Self { primary, secondary, secret, secondary_signature, unsigned })
    }

    /// What the primary key signs.
    pub(super) fn secondary_digest(&self) -> Digest {
        self.secondary.hash()
    }

    /// A certificate up to its last signature.
    pub(super) fn certificate(&self, udf: &[u8; headers::UDF_CERTIFICATE]) -> Vec<u8> {
        headers::certificate(udf, &self.primary.blob(), &self.secondary.blob(), &self.secondary_signature)
    }

    /// The signature of `digest`: `given` if it is one, or a new one.
    ///
    /// # Errors
    ///
    /// When `given` is no signature of it, and when there is neither that nor a secret key.
    pub(super) fn sign(
        &self,
        what: &str,
        digest: &Digest,
        given: Option<(&Path, &Signature)>,
    ) -> Result<Signature, BuildError> {
        match (given, &self.secret) {
            (Some((_, signature)), _) if self.unsigned || self.secondary.verifies(digest, signature) => Ok(*signature),
            (Some((path, _)), _) => {
                Err(BuildError::WrongSignature { path: path.to_owned(), what: what.to_owned(), key: "secondary" })
            }
            (None, Some(secret)) => Ok(secret.sign(digest)?),
            (None, None) if self.unsigned => Ok(PLACEHOLDER),
            (None, None) => Err(BuildError::NoKey {
                what: what.to_owned(),
                key: "signature or secondary secret key",
                attribute: "[presign=...] or [sskfile]",
            }),
        }
    }
}

/// A key from its secret file, its public file, or both.
fn pair(secret: Option<&PathBuf>, public: Option<&PathBuf>) -> Result<Option<Pair>, BuildError> {
    let read_secret = secret.map(|path| keys::read_secret(path)).transpose()?;
    let read_public = public.map(|path| keys::read_public(path)).transpose()?;
    match (read_secret, read_public) {
        (None, None) => Ok(None),
        (None, Some(public)) => Ok(Some(Pair { public, secret: None })),
        (Some(secret), None) => Ok(Some(Pair { public: secret.public(), secret: Some(secret) })),
        (Some(key), Some(other)) => {
            if key.public() != other {
                let path = |path: Option<&PathBuf>| path.cloned().unwrap_or_default();
                return Err(BuildError::KeysDiffer { first: path(secret), second: path(public) });
            }
            Ok(Some(Pair { public: other, secret: Some(key) }))
        }
    }
}

/// A signature's file: 256 bytes as an image holds them, or their hexadecimal digits.
///
/// # Errors
///
/// When it is neither.
pub(super) fn read_signature(path: &Path) -> Result<Signature, BuildError> {
    let bytes = read(path)?;
    if let Ok(signature) = bytes.as_slice().try_into() {
        return Ok(signature);
    }
    let digits: Option<String> = str::from_utf8(&bytes).ok().map(|text| text.split_whitespace().collect());
    let bytes = digits.and_then(|digits| keys::hex(&digits));
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| BuildError::SignatureFile(path.to_owned()))
}
