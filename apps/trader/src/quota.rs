//! Components that need more than they have, and such that have more than they need.

use component::{Account, Dataspace, Error, ask as ask_parent, log, next_event, signal, yielded};
use session::core::AccountInfo;
use session::parent::ServerEvent;

use crate::{PAGE, check};

/// Most pieces that are held.
const PIECES: usize = 64;
/// Largest piece.
const LARGEST: u32 = 16 << 20;

type Held = heapless::Vec<Dataspace, PIECES>;

fn quota() -> Result<[u32; 2], Error> {
    let AccountInfo { ram, caps, .. } = Account::own().info()?;
    Ok([ram, caps])
}

/// Asks for quota and waits until it is there.
fn want([ram, caps]: [u32; 2]) -> Result<(), Error> {
    let before = quota()?;
    if !ask_parent(ram, caps)? {
        log!("the parent has noted the wish");
        let mut missing = [ram, caps];
        while missing != [0; 2] {
            signal::wait();
            while let Some(event) = next_event()? {
                if let ServerEvent::Granted { ram, caps } = event {
                    log!("was granted {ram} bytes and {caps} capabilities");
                    missing = [missing[0].saturating_sub(ram), missing[1].saturating_sub(caps)];
                }
            }
        }
    }
    check("what was asked for is there", quota()? == [before[0] + ram, before[1] + caps])
}

/// Takes RAM until there is none.
fn fill() -> Result<Held, Error> {
    let mut held = Held::new();
    let mut size = LARGEST;
    while size >= PAGE && !held.is_full() {
        match Account::own().create_dataspace(size, 0) {
            // There is room for it.
            Ok(piece) => drop(held.push(piece)),
            Err(Error::OutOfRam) => size /= 2,
            Err(error) => return Err(error),
        }
    }
    Ok(held)
}

/// Asks its parent for more, and spends it.
pub(crate) fn ask(wanted: [u32; 2]) -> Result<(), Error> {
    let poor = fill()?.iter().map(Dataspace::bytes).sum::<u32>();
    want(wanted)?;
    let more = fill()?.iter().map(Dataspace::bytes).sum::<u32>();
    check("it can be spent", more + 64 * PAGE >= wanted[0])?;
    log!("had {poor} bytes to spend, and {more} more");
    Ok(())
}

/// Holds what it was granted until it is asked to yield.
pub(crate) fn hold(wanted: [u32; 2]) -> Result<(), Error> {
    want(wanted)?;
    let mut held = fill()?;
    log!("holds {} pieces", held.len());
    loop {
        signal::wait();
        while let Some(event) = next_event()? {
            if let ServerEvent::Yield { ram, caps } = event {
                log!("is asked for {ram} bytes and {caps} capabilities");
                let mut freed = 0;
                while freed < ram
                    && let Some(piece) = held.pop()
                {
                    freed += piece.bytes();
                    Account::own().free_dataspace(piece)?;
                }
                yielded()?;
                log!("has freed {freed} bytes");
            }
        }
    }
}

/// Holds what it was granted, whatever it is asked.
pub(crate) fn deaf(wanted: [u32; 2]) -> Result<(), Error> {
    want(wanted)?;
    let held = fill()?;
    log!("holds {} pieces and hears nothing", held.len());
    loop {
        signal::wait();
    }
}
