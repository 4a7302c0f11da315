//! The readers of key files.

#![no_main]

use bootgen::keys::{hex, parse_nky, parse_public, parse_secret, to_hex};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(nky) = parse_nky(text) {
        assert!(parse_nky(&nky.text()).expect("what was written") == nky);
    }
    if let Ok(key) = parse_public(text) {
        assert_eq!(key.modulus().len(), 256);
    }
    let _ = parse_secret(text);
    if let Some(bytes) = hex(text) {
        assert!(to_hex(&bytes).eq_ignore_ascii_case(text));
    }
});
