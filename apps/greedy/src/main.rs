//! A neighbour that eats whatever it can get until it is refused, and then goes on.
//!
//! It takes capabilities, then RAM in ever smaller pieces, then tries again: each time its account says no, and nobody else
//! notices. At the end it gives everything back and shows that it can start over.
#![cfg_attr(target_os = "none", no_std, no_main)]

use component::{Account, Capability, Dataspace, Env, Error, log};
use heapless::Vec;

/// Dataspaces that it can hold at a time.
const PIECES: usize = 128;
/// Rounds of eating and giving back.
const ROUNDS: u32 = 3;
const PAGE: u32 = 4096;

component::entry!(run);

fn run(_: Env) -> Result<(), Error> {
    let account = Account::own();
    let mut first = None;
    for round in 1..=ROUNDS {
        let notifications = eat_caps(&account)?;
        let (ram, pieces) = eat_ram(&account)?;
        log!("round {round}: {ram} bytes and {notifications} notifications, then refused");
        for piece in pieces {
            account.free_dataspace(piece)?;
        }
        if *first.get_or_insert(ram) != ram {
            log!("the first round got {first:?} bytes: something was not given back");
            return Err(Error::Invalid);
        }
    }
    log!("refused {} times and still running", 2 * ROUNDS);
    Ok(())
}

/// Takes RAM until there is none, and says how much it was.
fn eat_ram(account: &Account) -> Result<(u32, Vec<Dataspace, PIECES>), Error> {
    let mut pieces = Vec::new();
    let mut bytes = 0;
    let mut size = 1 << 20;
    while size >= PAGE && !pieces.is_full() {
        match account.create_dataspace(size, 0) {
            Ok(piece) => {
                bytes += piece.bytes();
                // There was room a moment ago.
                let _ = pieces.push(piece);
            }
            Err(Error::OutOfRam) => size /= 2,
            Err(error) => return Err(error),
        }
    }
    Ok((bytes, pieces))
}

/// Takes notifications until the account has no capability left for one, and gives them back.
fn eat_caps(account: &Account) -> Result<u32, Error> {
    // In an account of its own, so that closing it gives them all back at once.
    let purse = account.create_account(3 * PAGE, 8)?;
    let mut held = Vec::<Capability, PIECES>::new();
    let refusal = loop {
        match purse.create_notification() {
            Ok(notification) => {
                if held.push(notification).is_err() {
                    break Error::Invalid;
                }
            }
            Err(error) => break error,
        }
    };
    account.close(purse)?;
    if refusal == Error::OutOfCaps { Ok(held.len() as u32) } else { Err(refusal) }
}
