//! Does nothing: what a component costs at least.
//!
//! With the configuration `true` it stays; without one it ends at once.
#![cfg_attr(target_os = "none", no_std, no_main)]

use component::{Env, Error};

component::entry!(run);

fn run(env: Env) -> Result<(), Error> {
    match env.config_text() {
        b"" => Ok(()),
        b"true" => loop {
            component::signal::wait();
        },
        _ => Err(Error::Invalid),
    }
}
