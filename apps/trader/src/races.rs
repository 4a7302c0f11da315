//! Two things at once.
//!
//! What can happen between init, a client and a server is tried in every order on the host (`exchange` of init). Here the same meets the real kernel:
//! a second thread of the client does something to a session while the first one closes it, a server dies while it opens a session, and a client
//! ends while a session is being opened for it.

use core::sync::atomic::{AtomicU32, Ordering};

use component::cap::{call, call_for_cap};
use component::thread::{self, JoinHandle, Options};
use component::{Capability, Error, exit, log};
use session::Service;
use session::parent::ParentRequest;

use crate::vault::VaultRequest;
use crate::{PAGE, balance};

/// Rounds of each race.
const ROUNDS: u32 = 40;
/// Donation to a vault.
const DONATION: [u32; 2] = [24 * PAGE, 6];
/// Upgrades that are tried while the session is closed.
const UPGRADES: u32 = 8;
/// Like the component's own threads.
const OPTIONS: Options = Options { stack: 2 * PAGE, priority: 100 };

/// Number of the session and slot of its capability, for the second thread.
static SESSION: AtomicU32 = AtomicU32::new(0);
static SLOT: AtomicU32 = AtomicU32::new(0);

/// A race: what the second thread does, and which results it may get.
type Race = (&'static str, fn() -> Result<(), Error>, &'static [Error]);

const RACES: [Race; 4] = [
    ("closed from both ends", end, &[Error::Gone, Error::Invalid]),
    ("closed twice by the client", close, &[Error::Invalid]),
    ("upgraded while it is closed", upgrade, &[Error::Gone, Error::Invalid]),
    ("called while it is closed", keep, &[Error::Gone, Error::InsufficientRam, Error::InsufficientCaps]),
];

fn parent(request: ParentRequest) -> Result<(), Error> {
    call(abi::slot::PARENT, &request.encode(), &[]).map(drop)
}

fn vault(request: VaultRequest) -> Result<(), Error> {
    call(SLOT.load(Ordering::Relaxed), &request.encode(), &[]).map(drop)
}

fn end() -> Result<(), Error> {
    vault(VaultRequest::End)
}

fn close() -> Result<(), Error> {
    parent(ParentRequest::Close { session: SESSION.load(Ordering::Relaxed) })
}

fn upgrade() -> Result<(), Error> {
    let session = SESSION.load(Ordering::Relaxed);
    (0..UPGRADES).try_for_each(|_| parent(ParentRequest::Upgrade { session, ram: PAGE, caps: 1 }))
}

fn keep() -> Result<(), Error> {
    (0..UPGRADES).try_for_each(|_| vault(VaultRequest::Keep { bytes: PAGE }))
}

/// Opens a session with a server that may die meanwhile; returns its capability and how often it died.
fn open() -> Result<(Capability, u32), Error> {
    let [ram, caps] = DONATION;
    let mut message = ParentRequest::Open { service: Service::Echo as u32, ram, caps, argument: 0 }.encode();
    message.push_text("");
    for deaths in 0..ROUNDS {
        match call_for_cap(abi::slot::PARENT, &message, &[]) {
            Ok((answer, Some(capability))) => {
                SESSION.store(answer.word(0).ok_or(Error::Invalid)?, Ordering::Relaxed);
                SLOT.store(capability.slot(), Ordering::Relaxed);
                return Ok((capability, deaths));
            }
            Err(Error::Gone) => {}
            Ok(_) => return Err(Error::Invalid),
            Err(error) => return Err(error),
        }
    }
    Err(Error::Gone)
}

/// Races with itself.
pub(crate) fn race() -> Result<(), Error> {
    // The first thread leaves bookkeeping behind that later ones use again.
    thread::spawn(OPTIONS, || ())?.join()?;
    let before = balance()?;
    let mut deaths = 0;
    for (what, rival, allowed) in RACES {
        let mut lost = 0;
        for round in 0..ROUNDS {
            let (capability, died) = open()?;
            deaths += died;
            let rival: JoinHandle<Result<(), Error>> = thread::spawn(OPTIONS, rival)?;
            // Sometimes the one is first, and sometimes the other.
            for _ in 0..round % 4 {
                component::gate::yield_now();
            }
            let closed = close();
            let result = rival.join()?;
            drop(capability);
            lost += u32::from(result.is_err());
            let twice = what == "closed twice by the client";
            let right = match (closed, result) {
                (Ok(()), Ok(())) => !twice,
                (Ok(()), Err(error)) => allowed.contains(&error),
                (Err(Error::Invalid), Ok(())) => twice,
                (Err(_), _) => false,
            };
            if !right || balance()? != before {
                log!(
                    "wrong: {what}: {closed:?} and {result:?} in round {round}, {:?} instead of {before:?}",
                    balance()?
                );
                return Err(Error::Invalid);
            }
        }
        log!("ok: {what}: {ROUNDS} rounds, the second thread was refused in {lost}");
    }
    log!("the server died {deaths} times while it opened a session");
    log!("all races are conserved");
    Ok(())
}

/// Ends while a session is being opened for it.
pub(crate) fn mayfly() -> Result<(), Error> {
    thread::spawn(OPTIONS, || open().map(drop))?;
    // The other thread is about to call the parent, or waits for it already.
    component::gate::yield_now();
    exit(0, "")
}
