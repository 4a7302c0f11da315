//! Both ends of every trade, honest and not.
//!
//! # Theory of operation
//!
//! One program plays many parts, by its configuration. The *vault* is a server that keeps memory for its clients, out of their donations; it may also hoard
//! what a closed session has paid for, or die while somebody waits for it. Its clients check after each step that the money is where it belongs. Others
//! *ask* their parent for more quota, or hold what they were granted and are asked to *yield*.
//!
//! Every part logs `ok: ...` for what is as it should be, and fails with a line `wrong: ...` otherwise.
#![cfg_attr(target_os = "none", no_std, no_main)]

mod clients;
mod delegate;
mod quota;
mod races;
mod vault;

use component::check::{check, check_refused};
use component::{Account, Env, Error, log};
use serde::Deserialize;
use session::core::AccountInfo;

use crate::vault::Manners;

const PAGE: u32 = 4096;

component::entry!(run);

/// The part to play.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Role {
    /// A vault that lets go when its clients do.
    Vault,
    /// A vault that never lets go.
    Hoarder,
    /// A vault that takes its time to open a session, and dies of every fifth.
    Frail,
    /// Hands out several capabilities at once.
    Give,
    /// Takes them.
    Take,
    /// Does two things to a session at once.
    Race,
    /// Ends while a session is opened for it.
    Mayfly,
    /// Donates too little, and more, and more.
    Upgrade,
    /// Closes sessions with vaults that do not let go.
    Refund,
    /// Waits for a vault that dies.
    Orphan,
    /// Is denied whatever it should not have, and goes on.
    Denied,
    /// Asks its parent for more.
    Ask,
    /// Holds what it was granted until it is asked to yield.
    Hold,
    /// Holds what it was granted, whatever it is asked.
    Deaf,
}

#[derive(Debug, Deserialize)]
struct Config {
    role: Role,
    /// RAM that is wanted, in bytes.
    #[serde(default)]
    ram: u32,
    /// Capabilities that are wanted.
    #[serde(default)]
    caps: u32,
}

fn run(env: Env) -> Result<(), Error> {
    let config: Config = env.config()?;
    // The session with the log is opened by the first line, and stays.
    log!("plays {:?}", config.role);
    match config.role {
        Role::Vault => vault::run(Manners::Honest),
        Role::Hoarder => vault::run(Manners::Hoarding),
        Role::Frail => vault::run(Manners::Frail(vault::Nap::new()?)),
        Role::Give => delegate::give(),
        Role::Take => delegate::take(),
        Role::Race => races::race(),
        Role::Mayfly => races::mayfly(),
        Role::Upgrade => clients::upgrade(),
        Role::Refund => clients::refund(),
        Role::Orphan => clients::orphan(),
        Role::Denied => clients::denied(),
        Role::Ask => quota::ask([config.ram, config.caps]),
        Role::Hold => quota::hold([config.ram, config.caps]),
        Role::Deaf => quota::deaf([config.ram, config.caps]),
    }
}

/// What a failed or finished trade must leave as it was: RAM and capabilities lent, capabilities used.
fn balance() -> Result<[u32; 3], Error> {
    let AccountInfo { ram_lent, caps_lent, caps_used, .. } = Account::own().info()?;
    Ok([ram_lent, caps_lent, caps_used])
}
