//! The reader of descriptions, which may refuse but not panic, and shows where.

#![no_main]

use std::path::Path;

use bootgen::bif::parse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err(error) = parse(Path::new("image.bif"), text) {
        assert!(!error.to_string().is_empty());
    }
});
