//! Hands the linker script to the linker where the boot loader is linked for the bare machine.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=fsbl.ld");
    println!("cargo:rerun-if-changed=build.rs");
    if env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "none")
        && let Ok(folder) = env::var("CARGO_MANIFEST_DIR")
    {
        println!("cargo:rustc-link-arg-bins=-T{folder}/fsbl.ld");
    }
}
