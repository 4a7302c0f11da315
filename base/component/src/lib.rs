//! What a component is written against.
//!
//! # Theory of operation
//!
//! A component is a program in an address space of its own. It starts with a few capabilities in known slots ([`abi::slot`]):
//! its account, its domain, its parent. From the account it makes memory; through its parent it opens sessions to services. It
//! knows nothing else: no global names, no physical addresses, no kernel.
//!
//! A minimal component:
//!
//! ```ignore
//! #![cfg_attr(target_os = "none", no_std, no_main)]
//!
//! component::entry!(run);
//!
//! fn run(_env: component::Env) -> Result<(), component::Error> {
//!     component::log!("hello");
//!     Ok(())
//! }
//! ```
//!
//! - [`env`](mod@env): start, configuration, sessions, exit;
//! - [`platform`]: accounts, dataspaces, domains;
//! - [`server`]: the loop of a server;
//! - [`signal`]: waiting for events; [`log`](mod@log): output; [`heap`]: dynamic memory for those who want it;
//! - [`thread`]: several threads; [`sync`]: locks that do not spin;
//! - [`block`], [`gpio`], [`i2c`], [`timer`], [`delay`]: sessions as a client uses them; [`device`]: a device as its driver has it;
//! - [`task`]: waiting for futures; [`report`]: reports, and ROMs that change;
//! - [`screen`]: a Framebuffer session, with the drawing traits of `embedded-graphics`; [`camera`]: a Capture session;
//! - [`mark`]: marks for measuring;
//! - [`gate`], [`cap`]: the way into the kernel, and capabilities.
#![no_std]

pub mod block;
pub mod camera;
pub mod cap;
pub mod check;
pub mod delay;
pub mod device;
pub mod env;
pub mod gate;
pub mod gpio;
pub mod heap;
pub mod i2c;
pub mod log;
pub mod mark;
mod memory;
pub mod platform;
pub mod report;
pub mod screen;
pub mod server;
pub mod signal;
pub mod sync;
pub mod task;
pub mod thread;
pub mod timeouts;
pub mod timer;

pub use cap::Capability;
pub use env::{Env, Open, Session, ask, exit, next_event, open, yielded};
pub use platform::{
    Account, Attach, Attached, Dataspace, Domain, Figures, Hardware, Managed, NewThread, PageFault, Parcel, Rom,
};
pub use session::Error;

#[cfg(target_os = "none")]
pub use env::start;

/// Names the function that a component starts with: `fn(Env) -> Result<(), Error>`.
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        #[cfg(target_os = "none")]
        #[unsafe(no_mangle)]
        extern "C" fn _start() -> ! {
            $crate::start($main)
        }

        #[cfg(not(target_os = "none"))]
        fn main() {
            let _: fn($crate::Env) -> Result<(), $crate::Error> = $main;
            eprintln!("This is a component: it runs on the target. Start a scenario with `cargo xtask run`.");
        }
    };
}
