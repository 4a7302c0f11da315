//! Authentication certificates (UG1283, "Authentication Certificate").
//!
//! A certificate holds two public RSA-2048 keys and two signatures. The *primary* key, whose digest is burnt into the chip,
//! signs the *secondary* one; the secondary key signs the data, together with the certificate up to that last signature.
//! Numbers and signatures are stored with their lowest byte first.

use core::mem::offset_of;

use zerocopy::little_endian::U32;

use crate::error::{Invalid, Problem, Structure};
use crate::layout::layout;

/// Bytes of a certificate.
pub const SIZE: u64 = 0x6c0;

/// Bytes of a certificate that its last signature covers.
pub const SIGNED_SIZE: u64 = 0x5c0;

/// Bytes of a key, padding included; what the digest in the eFUSEs is made of.
pub const KEY_SIZE: u64 = 0x240;

/// First word: version 1 of certificates for RSA-2048 with SHA-256.
pub const HEADER: u32 = 0x101;

layout! {
    /// A public RSA-2048 key.
    pub struct PublicKey {
        /// The modulus n.
        pub modulus: [u8; 256] = "modulus",
        /// (2^2048)² mod n, which spares the boot ROM a division.
        pub modulus_extension: [u8; 256] = "modulus extension",
        /// The exponent.
        pub exponent: U32 = "exponent",
        /// Always 0.
        pub padding: [u8; 60] = "padding",
    }

    /// A certificate.
    pub struct Certificate {
        /// Always [`HEADER`].
        pub header: U32 = "certificate header",
        /// Always [`SIZE`].
        pub size: U32 = "certificate size",
        /// Whatever the user likes; it is signed.
        pub user_defined: [u8; 56] = "user defined",
        /// The primary key.
        pub primary: PublicKey = "primary public key",
        /// The secondary key.
        pub secondary: PublicKey = "secondary public key",
        /// The primary key's signature of the secondary key.
        pub secondary_signature: [u8; 256] = "signature of the secondary key",
        /// The secondary key's signature of the data and of all before it.
        pub signature: [u8; 256] = "signature of the data",
    }
}

const _: () = assert!(size_of::<Certificate>() as u64 == SIZE);
const _: () = assert!(size_of::<PublicKey>() as u64 == KEY_SIZE);
const _: () = assert!(offset_of!(Certificate, signature) as u64 == SIGNED_SIZE);

impl Certificate {
    /// Reports what is wrong with the certificate at byte `base`, as far as that can be seen without computing with keys.
    pub fn examine(&self, structure: Structure, base: u64, report: &mut dyn FnMut(Invalid)) {
        let mut wrong = |field, problem| report(Invalid::new::<Self>(structure, base, field, problem));
        let constants = [
            (offset_of!(Self, header), self.header.get(), HEADER),
            (offset_of!(Self, size), self.size.get(), SIZE as u32),
        ];
        for (field, found, expected) in constants {
            if found != expected {
                wrong(field, Problem::Unexpected { found, expected });
            }
        }
        for (field, key) in [(offset_of!(Self, primary), &self.primary), (offset_of!(Self, secondary), &self.secondary)]
        {
            let base = base.saturating_add(field as u64);
            let mut wrong = |field, problem| report(Invalid::new::<PublicKey>(structure, base, field, problem));
            if key.padding.iter().any(|byte| *byte != 0) {
                wrong(offset_of!(PublicKey, padding), Problem::NotFill(0));
            }
        }
    }
}
