//! Does one thing that a component may not do, by its configuration: the parent is told, and the host tool says where it happened.
//!
//! Each fault is provoked a few calls deep and in a known register state, so that the report can be compared with what it must be.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod provoke;

use component::{Env, Error, log};
use serde::Deserialize;

component::entry!(run);

/// What to do wrong.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    /// Read where nothing is.
    Read,
    /// Write where nothing is.
    Write,
    /// Jump to where nothing is.
    Fetch,
    /// Execute an undefined instruction.
    Undefined,
    /// Load two words at once from an address that is not a multiple of 4.
    Unaligned,
    /// Call without end.
    Overflow,
    /// Write to a constant.
    ReadOnly,
    /// Jump into a variable.
    Execute,
    /// Read in another thread than the main thread.
    Thread,
    /// Call without end in another thread.
    ThreadOverflow,
    /// Make a system call that does not exist.
    SystemCall,
    /// Read the kernel's memory.
    Kernel,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    kind: Kind,
}

fn run(env: Env) -> Result<(), Error> {
    let config: Config = env.config()?;
    log!("provokes {:?}", config.kind);
    begin(config.kind)?;
    log!("wrong: nothing has happened");
    Err(Error::Invalid)
}

#[cfg(target_os = "none")]
#[inline(never)]
fn begin(kind: Kind) -> Result<(), Error> {
    // Something is done with the answer, so that this frame is still there.
    let result = provoke::fault(kind);
    log!("back: {result:?}");
    result
}

/// On the host there is nothing to provoke.
#[cfg(not(target_os = "none"))]
fn begin(_: Kind) -> Result<(), Error> {
    Err(Error::Invalid)
}
