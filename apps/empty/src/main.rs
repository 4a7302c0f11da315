//! Does nothing: what a component costs at least.
//!
//! With a configuration, whatever it is, it stays; without one it ends at once.
#![cfg_attr(target_os = "none", no_std, no_main)]

use component::{Env, Error};

component::entry!(run);

fn run(env: Env) -> Result<(), Error> {
    if !env.config_text().is_empty() {
        loop {
            component::signal::wait();
        }
    }
    Ok(())
}
