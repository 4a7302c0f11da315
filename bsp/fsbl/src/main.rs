//! The boot loader itself: entry, hardware, hand-over. See the library for what it does.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod entry;
#[cfg(target_os = "none")]
mod hardware;
#[cfg(target_os = "none")]
mod run;

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("The boot loader runs on the bare machine only: build it for armv7a-none-eabi.");
}
