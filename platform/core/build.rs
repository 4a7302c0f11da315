//! Links core at its fixed address.

fn main() {
    println!("cargo:rerun-if-changed=link.x");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        println!("cargo:rustc-link-arg-bins=-T{}/link.x", env!("CARGO_MANIFEST_DIR"));
    }
}
