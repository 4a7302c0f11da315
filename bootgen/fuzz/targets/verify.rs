//! Everything that looks into images on the host, with a key for what is encrypted.

#![no_main]

use bootgen::check::extract::{Options, plan};
use bootgen::check::verify::{Known, verify};
use bootgen::check::{Contents, describe, diff, inspect};
use bootgen::crypto::aes::Secrets;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let secrets = Secrets { key: [1; 32], hmac: [2; 32], iv: [3; 16] };
    let known = Known { primary: Some([0; 32]), secrets: Some(secrets) };
    let mut source = data;
    let _ = verify(&mut source, &known);
    if let Ok(contents) = Contents::read(&mut source) {
        let description = describe::describe(&contents, &mut source).expect("a slice can be read");
        let _ = inspect::render("image", &description, &contents);
        let _ = plan(&contents, &Options::default());
        assert_eq!(diff::diff(&mut source, &mut &data[..]).expect("a slice can be read"), []);
    }
});
