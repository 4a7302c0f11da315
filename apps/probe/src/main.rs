//! Provokes every kind of refusal, and shows after each that it goes on.
//!
//! Two kinds of poverty: *insufficient* is what a server says when a session's donation is too small for it; *out of* is what one's own
//! account says. *Denied* is the answer without a route, or when the server's policy does not allow it.
#![cfg_attr(target_os = "none", no_std, no_main)]

use component::block::Device;
use component::signal::Signal;
use component::{Account, Attached, Env, Error, Open, log, open};
use session::Service;
use session::core::{AccountInfo, WRITE};

const BUFFER: u32 = 64 * 1024;
const ENOUGH_RAM: u32 = BUFFER + 24 * 1024;
const ENOUGH_CAPS: u32 = 8;
const COMPLETED: u32 = 1;
const PAGE: u32 = 4096;

component::entry!(run);

fn run(_: Env) -> Result<(), Error> {
    let block = Open { ram: ENOUGH_RAM, caps: ENOUGH_CAPS, argument: BUFFER, ..Open::new(Service::Block) };
    // The first line opens the log session, which stays.
    log!("asking for what it should not get");
    let before = Account::own().info()?;
    refused("too little RAM for the server", Error::InsufficientRam, open(&Open { ram: 2 * PAGE, ..block }).map(drop))?;
    refused(
        "too few capabilities for the server",
        Error::InsufficientCaps,
        open(&Open { caps: 1, ..block }).map(drop),
    )?;
    refused("more RAM than the account has", Error::OutOfRam, open(&Open { ram: 1 << 30, ..block }).map(drop))?;
    refused(
        "more capabilities than the account has",
        Error::OutOfCaps,
        open(&Open { caps: 1 << 20, ..block }).map(drop),
    )?;
    refused(
        "a dataspace larger than the account",
        Error::OutOfRam,
        Account::own().create_dataspace(1 << 29, 0).map(drop),
    )?;
    refused("a service without a route", Error::Denied, open(&Open::new(Service::Devices)).map(drop))?;
    refused("a session that is not there", Error::Invalid, session_of_nobody())?;
    same(&before, "after the refusals")?;
    open(&block)?.close()?;
    same(&before, "after a session was closed")?;
    read_only()?;
    log!("8 refusals, all as they should be");
    Ok(())
}

/// Checks that something was refused for the right reason, and that this component can still work.
fn refused(what: &str, expected: Error, result: Result<(), Error>) -> Result<(), Error> {
    match result {
        Err(error) if error == expected => log!("refused: {what}: {error}"),
        other => {
            log!("wrong: {what} gave {other:?}");
            return Err(Error::Invalid);
        }
    }
    let memory = Account::own().create_dataspace(PAGE, 0)?;
    let attached = Attached::new(&memory, WRITE, None)?;
    attached.write(0, b"still running")?;
    drop(attached);
    Account::own().free_dataspace(memory)
}

fn session_of_nobody() -> Result<(), Error> {
    let message = session::parent::ParentRequest::Close { session: 77 }.encode();
    component::cap::call(component::cap::PARENT, &message, &[]).map(drop)
}

/// Checks that what was lent has come back.
fn same(before: &AccountInfo, when: &str) -> Result<(), Error> {
    let now = Account::own().info()?;
    if now.ram_lent == before.ram_lent && now.caps_lent == before.caps_lent {
        return Ok(());
    }
    log!("wrong: {when} {} bytes and {} capabilities are still lent", now.ram_lent, now.caps_lent);
    Err(Error::Invalid)
}

/// The policy for this component's label lets it read, and not write.
fn read_only() -> Result<(), Error> {
    let mut device = Device::open(BUFFER, Signal::new(COMPLETED).ok_or(Error::Invalid)?)?;
    device.read(0, 1, 0, 1)?;
    device.wait().result?;
    device.write(0, 1, 0, 2)?;
    refused("a write where the policy allows reading", Error::Denied, device.wait().result)?;
    device.read(0, 1, 0, 3)?;
    device.wait().result
}
