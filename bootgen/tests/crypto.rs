//! Signatures, encryption and key files against themselves; `golden.rs` compares them with the reference tool's.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test ends there")]

use bootgen::crypto::aes::{self, KeySource, OpenError, Opener, Sealer, Secrets};
use bootgen::crypto::rsa::{InvalidKey, PublicKey, SecretKey};
use bootgen::keys::{self, Nky, Reason};
use proptest::prelude::*;

fn seal(source: KeySource, secrets: &Secrets, data: &[u8]) -> Vec<u8> {
    let (mut sealer, mut out) = Sealer::begin(source, secrets, data.len() as u64);
    for piece in data.chunks(3 * aes::BLOCK) {
        let mut piece = piece.to_vec();
        sealer.update(&mut piece);
        out.extend(piece);
    }
    out.extend(sealer.finish());
    out
}

fn open(source: KeySource, secrets: &Secrets, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
    let start = sealed[..aes::HEADER_SIZE + aes::BLOCK].try_into().unwrap();
    let mut opener = Opener::begin(source, secrets, start, sealed.len() as u64)?;
    let (data, rest) = sealed[start.len()..].split_at(opener.length() as usize);
    let mut data = data.to_vec();
    opener.update(&mut data)?;
    opener.finish(rest)?;
    Ok(data)
}

fn secrets() -> impl Strategy<Value = Secrets> {
    (any::<[u8; 32]>(), any::<[u8; 32]>(), any::<[u8; 16]>()).prop_map(|(key, hmac, iv)| Secrets { key, hmac, iv })
}

proptest! {
    #[test]
    fn what_is_sealed_opens(
        secrets in secrets(), efuse: bool, blocks in 0_usize..20, fill: u8, place: prop::sample::Index, bit in 0..8_u8,
    ) {
        let source = if efuse { KeySource::Efuse } else { KeySource::Bbram };
        let data: Vec<u8> = (0..blocks * aes::BLOCK).map(|index| (index as u8).wrapping_mul(fill)).collect();
        let mut sealed = seal(source, &secrets, &data);
        prop_assert_eq!(sealed.len() as u64, aes::sealed_size(data.len() as u64));
        prop_assert_eq!(open(source, &secrets, &sealed), Ok(data));
        // No bit of it can change unnoticed but those of the initialisation vector, which the HMAC does notice.
        let place = place.index(sealed.len());
        sealed[place] ^= 1 << bit;
        prop_assert!(open(source, &secrets, &sealed).is_err());
    }

    #[test]
    fn key_files_read_what_they_write(secrets in secrets()) {
        let nky = Nky { device: "xc7z020clg484".to_owned(), secrets };
        let again = keys::parse_nky(&nky.text()).unwrap();
        prop_assert!(again == nky);
    }

    #[test]
    fn no_text_upsets_the_readers(text in "([NED=] ?[0-9A-F]{0,9}|Key 0 |Key HMAC|-----BEGIN |;|\r?\n|.){0,12}") {
        // Errors are fine, panics are not.
        let _ = (keys::parse_nky(&text).is_ok(), keys::parse_secret(&text).is_ok(), keys::parse_public(&text).is_ok());
    }
}

#[test]
fn signatures_verify() {
    let key = SecretKey::generate().unwrap();
    let public = key.public();
    let digest = [7; 32];
    let mut signature = key.sign(&digest).unwrap();
    assert!(public.verifies(&digest, &signature));
    assert!(!public.verifies(&[8; 32], &signature));
    signature[0] ^= 1;
    assert!(!public.verifies(&digest, &signature));

    let mut blob = public.blob();
    assert_eq!(PublicKey::from_blob(&blob).unwrap(), public);
    blob[0x1ff] ^= 1;
    assert_eq!(PublicKey::from_blob(&blob), Err(InvalidKey::MontgomeryConstant));

    let pem = keys::secret_to_pem(&key).unwrap();
    assert_eq!(keys::parse_secret(&pem).unwrap(), key);
    let text = keys::secret_to_text(&key);
    assert_eq!(keys::parse_secret(&text).unwrap().public(), public);
    let text = text.lines().filter(|line| !line.starts_with('D')).collect::<Vec<_>>().join("\n");
    assert_eq!(keys::parse_public(&text).unwrap(), public);
    assert!(matches!(keys::parse_secret(&text), Err(Reason::Public)));
}

#[test]
fn damaged_key_files_are_named() {
    let text = "Device x;\nKey 0 00;\n";
    let error = keys::parse_nky(text).err().unwrap().to_string();
    assert_eq!(error, "line 2: `Key 0` has to be 64 hexadecimal digits");
    let error = keys::parse_nky("Device x").err().unwrap().to_string();
    assert_eq!(error, "line 1: the statement has no `;` at its end");
    let error = keys::parse_secret("N = 0\n").unwrap_err().to_string();
    assert_eq!(error, "line 1: `N` has to be an even number of hexadecimal digits");
}

#[test]
fn a_secret_key_of_zeros_is_an_error() {
    for text in ["N = 8888\nE = 0405\nD = 0000\n", "N = 8888\nE = 0000\nD = 0405\n", "N = 0000\nE = 0405\nD = 0405\n"] {
        assert!(bootgen::keys::parse_secret(text).is_err(), "{text}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    /// What finds the primes of a key from its exponents must not stumble over numbers that have none in common.
    #[test]
    fn a_secret_key_of_any_numbers_is_an_error(
        mut modulus in proptest::collection::vec(proptest::num::u8::ANY, 256),
        exponent in 0x1_0001..u32::MAX,
        secret in proptest::collection::vec(proptest::num::u8::ANY, 1..300),
    ) {
        modulus[0] |= 0x80;
        modulus[255] |= 1;
        proptest::prop_assert!(SecretKey::from_parts(&modulus, &(exponent | 1).to_be_bytes(), &secret).is_err());
    }
}
