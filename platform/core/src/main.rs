//! The root task on seL4: start-up, and the loop that answers requests.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod target;

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("Core is part of the target: start a scenario with `cargo xtask run`.");
}
