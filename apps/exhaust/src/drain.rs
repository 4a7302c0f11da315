//! The drain, road by road.

use component::cap::call;
use component::{
    Account, Attach, Attached, Capability, Dataspace, Domain, Error, NewThread, Open, Session, gate, log, open,
};
use heapless::Vec;
use session::core::{AccountInfo, SMALL_PAGES, ThreadRequest, WRITE};
use session::{Service, Transport, devices, echo};

const PAGE: u32 = 4096;
/// Most things of a kind that are held: more than the account can pay.
const MANY: usize = 1024;
/// Times that all roads are gone down.
const ROUNDS: u32 = 3;
/// Left in the account when purses are made from it, for their bookkeeping.
const RESERVE: [u32; 2] = [16 * PAGE, 6];
/// A device that nobody else has.
const DEVICE: &str = "timer1";
/// First address of the road of chosen addresses, above the program; one page a megabyte from here on.
const CHOSEN: u32 = 0x0400_0000;
const MEGABYTE: u32 = 1 << 20;

/// Where a road ends: how much there was, and the refusal.
type End = (u32, Error);

/// A road and the refusals that it may end with.
type Road = (&'static str, fn() -> Result<End, Error>, &'static [Error]);

const ROADS: [Road; 13] = [
    ("RAM dataspaces", dataspaces, &[Error::OutOfRam]),
    ("small dataspaces", small_dataspaces, &[Error::OutOfCaps, Error::OutOfRam]),
    ("mappings all over the address space", mappings, &[Error::OutOfRam]),
    ("mappings at chosen addresses", chosen_mappings, &[Error::OutOfRam]),
    ("threads", threads, &[Error::OutOfCaps, Error::OutOfRam]),
    ("sessions", sessions, &[Error::Busy, Error::OutOfCaps, Error::OutOfRam]),
    ("notifications", notifications, &[Error::OutOfCaps]),
    ("endpoints", endpoints, &[Error::OutOfCaps]),
    ("registers and interrupts of a device", devices, &[Error::Busy]),
    ("DMA buffers", dma_buffers, &[Error::InsufficientRam, Error::InsufficientCaps]),
    ("received capabilities", received, &[Error::OutOfCaps]),
    ("accounts in accounts", accounts, &[Error::OutOfCaps, Error::OutOfRam]),
    ("domains", domains, &[Error::OutOfCaps, Error::OutOfRam]),
];

/// Waits for the reader, goes down all roads, and lets the reader know.
pub(crate) fn run() -> Result<(), Error> {
    // The reader's service has no name of its own; any call of it does.
    let start = open(&Open::new(Service::Block))?;
    echo::Client::new(start.capability.as_ref().ok_or(Error::Invalid)?).echo([0; 4])?;
    // After the first round, which leaves page tables at chosen addresses and bookkeeping behind, nothing changes any more.
    let mut second = [0; ROADS.len()];
    for round in 1..=ROUNDS {
        for ((name, road, refusals), second) in ROADS.iter().zip(&mut second) {
            let before = balance()?;
            let (count, refusal) = road()?;
            log!("{name}: {count}, then {refusal:?}");
            if !refusals.contains(&refusal) {
                log!("wrong: {name} may not end so");
                return Err(refusal);
            }
            if balance()? != before {
                log!("wrong: {name} left something behind");
                return Err(Error::Invalid);
            }
            if round <= 2 {
                *second = count;
            } else if *second != count {
                log!("wrong: {name} gave {second} the second time");
                return Err(Error::Invalid);
            }
        }
    }
    log!("{} roads, {ROUNDS} rounds, every refusal as it should be", ROADS.len());
    start.close()
}

/// What a road must leave as it was.
fn balance() -> Result<[u32; 3], Error> {
    let AccountInfo { ram_lent, caps_lent, caps_used, .. } = Account::own().info()?;
    Ok([ram_lent, caps_lent, caps_used])
}

/// An account with nearly all that there is, so that closing it gives everything back.
fn purse() -> Result<Account, Error> {
    let AccountInfo { ram, ram_used, ram_lent, caps, caps_used, caps_lent, .. } = Account::own().info()?;
    let free = [ram - ram_used - ram_lent, caps - caps_used - caps_lent];
    Account::own().create_account(free[0].saturating_sub(RESERVE[0]), free[1].saturating_sub(RESERVE[1]))
}

/// Repeats until it is refused, and says how often it was not.
fn until_refused<T>(held: &mut Vec<T, MANY>, mut step: impl FnMut(u32) -> Result<T, Error>) -> End {
    loop {
        let count = held.len() as u32;
        match step(count) {
            Ok(thing) => {
                if held.push(thing).is_err() {
                    return (count, Error::Invalid);
                }
            }
            Err(refusal) => return (count, refusal),
        }
    }
}

fn dataspaces() -> Result<End, Error> {
    let (mut held, mut bytes, mut size) = (Vec::<Dataspace, 64>::new(), 0, 1 << 20);
    let refusal = loop {
        match Account::own().create_dataspace(size, 0) {
            Ok(dataspace) => {
                bytes += dataspace.bytes();
                if held.push(dataspace).is_err() {
                    break Error::Invalid;
                }
            }
            Err(Error::OutOfRam) if size > PAGE => size /= 2,
            Err(refusal) => break refusal,
        }
    };
    held.into_iter().try_for_each(|dataspace| Account::own().free_dataspace(dataspace))?;
    Ok((bytes, refusal))
}

fn small_dataspaces() -> Result<End, Error> {
    let mut held = Vec::new();
    let end = until_refused(&mut held, |_| Account::own().create_dataspace(PAGE, 0));
    held.into_iter().try_for_each(|dataspace| Account::own().free_dataspace(dataspace))?;
    Ok(end)
}

fn mappings() -> Result<End, Error> {
    let page = Account::own().create_dataspace(PAGE, SMALL_PAGES)?;
    let mut held = Vec::new();
    let end = until_refused(&mut held, |_| Attached::new(&page, WRITE, None));
    drop(held);
    Account::own().free_dataspace(page)?;
    Ok(end)
}

fn chosen_mappings() -> Result<End, Error> {
    let page = Account::own().create_dataspace(PAGE, SMALL_PAGES)?;
    // Page tables at chosen addresses stay with the domain, so this road is made short, and gone down with what is left.
    let AccountInfo { ram, ram_used, ram_lent, .. } = Account::own().info()?;
    let rest =
        Account::own().create_dataspace((ram - ram_used - ram_lent) / (64 << 10) * (64 << 10) - (64 << 10), 0)?;
    let mut held = Vec::new();
    let end = until_refused(&mut held, |count| {
        let at =
            Attach { address: CHOSEN + count % 64 * MEGABYTE + count / 64 * PAGE, flags: WRITE, ..Attach::default() };
        Domain::own().attach_at(&page, at, None)
    });
    held.into_iter().try_for_each(|(_, region)| Domain::own().detach(region))?;
    Account::own().free_dataspace(rest)?;
    Account::own().free_dataspace(page)?;
    // How far it gets depends on how many page tables are there already.
    Ok((0, end.1))
}

/// What the threads do.
extern "C" fn idle(never: u32) -> ! {
    loop {
        gate::wait(never);
    }
}

fn threads() -> Result<End, Error> {
    // Nobody signals it, and it lives in an account of its own so that it can be given back.
    let never_account = Account::own().create_account(4 * PAGE, 2)?;
    let never = never_account.create_notification()?;
    let memory = Account::own().create_dataspace(2 * PAGE, SMALL_PAGES)?;
    let attached = Attached::new(&memory, WRITE, None)?;
    let mut held = Vec::new();
    let end = until_refused(&mut held, |count| {
        Domain::own().create_thread(NewThread {
            entry: (idle as *const ()).addr() as u32,
            stack: attached.address() as u32 + 2 * PAGE - count % 16 * 256,
            argument: never.slot(),
            ipc_buffer: attached.address() as u32 + count % 8 * 512,
            priority: 1,
            fault_slot: 0,
        })
    });
    held.into_iter().try_for_each(|thread| call(thread.slot(), &ThreadRequest::Destroy.encode(), &[]).map(drop))?;
    drop(attached);
    Account::own().free_dataspace(memory)?;
    drop(never);
    Account::own().close(never_account)?;
    Ok(end)
}

fn sessions() -> Result<End, Error> {
    let mut held = Vec::<Session, MANY>::new();
    let end = until_refused(&mut held, |_| open(&Open::new(Service::Echo)));
    held.into_iter().try_for_each(Session::close)?;
    Ok(end)
}

fn notifications() -> Result<End, Error> {
    let purse = purse()?;
    let end = until_refused(&mut Vec::new(), |_| purse.create_notification());
    Account::own().close(purse)?;
    Ok(end)
}

fn endpoints() -> Result<End, Error> {
    let purse = purse()?;
    let end = until_refused(&mut Vec::new(), |_| purse.create_endpoint());
    Account::own().close(purse)?;
    Ok(end)
}

fn open_devices() -> Result<Session, Error> {
    let AccountInfo { ram, ram_used, ram_lent, caps, caps_used, caps_lent, .. } = Account::own().info()?;
    let [ram, caps] = [ram - ram_used - ram_lent, caps - caps_used - caps_lent];
    let (ram, caps) = (ram.saturating_sub(RESERVE[0]), caps.saturating_sub(RESERVE[1]));
    open(&Open { ram, caps, ..Open::new(Service::Devices) })
}

fn devices() -> Result<End, Error> {
    let session = open_devices()?;
    let manager = devices::Client::new(session.capability.as_ref().ok_or(Error::Invalid)?);
    let device = manager.find(DEVICE)?;
    let end = until_refused(&mut Vec::new(), |count| match count {
        0 => manager.io_memory(device.device, 0),
        _ => manager.interrupt(device.device, count - 1),
    });
    // An interrupt that the device does not have, or one that is taken.
    let refusals = [manager.io_memory(device.device, 0).err(), manager.interrupt(device.device, 0).err()];
    session.close()?;
    match (end, refusals) {
        ((count, Error::Invalid | Error::NotFound), [Some(Error::Busy), Some(Error::Busy)]) => Ok((count, Error::Busy)),
        ((count, refusal), others) => {
            log!("wrong: {count} parts of the device, then {refusal:?} and {others:?}");
            Err(refusal)
        }
    }
}

fn dma_buffers() -> Result<End, Error> {
    let session = open_devices()?;
    let manager = devices::Client::new(session.capability.as_ref().ok_or(Error::Invalid)?);
    let end = until_refused(&mut Vec::new(), |_| manager.dma_buffer(4 * PAGE, None).map(|buffer| buffer.dataspace));
    session.close()?;
    Ok(end)
}

fn received() -> Result<End, Error> {
    let session = open_devices()?;
    let manager = session.capability.as_ref().ok_or(Error::Invalid)?;
    let device = devices::Client::new(manager).find(DEVICE)?;
    let registers = devices::DevicesRequest::IoMem { device: device.device, index: 0 };
    // The slots of the capability space are paid for; when they are full, nothing more is received.
    let mut held = Vec::<Capability, MANY>::new();
    let (count, refusal) = until_refused(&mut held, |_| Capability::copy(abi::slot::NOTIFICATION));
    let received = manager.call_for_cap(&registers.encode(), &[]).err();
    drop(held);
    session.close()?;
    if received == Some(refusal) { Ok((count, refusal)) } else { Err(received.unwrap_or(Error::Invalid)) }
}

fn accounts() -> Result<End, Error> {
    let outer = purse()?;
    let mut held = Vec::<Account, MANY>::new();
    // Each is made from the one before, with nearly all that it has.
    let mut made = 0;
    let refusal = loop {
        let lender = held.last().unwrap_or(&outer);
        let AccountInfo { ram, ram_used, caps, caps_used, .. } = lender.info()?;
        let next =
            lender.create_account((ram - ram_used).saturating_sub(8 * PAGE), (caps - caps_used).saturating_sub(1));
        match next.map(|next| held.push(next)) {
            Ok(Ok(())) => made += 1,
            Ok(Err(_)) => break Error::Invalid,
            Err(refusal) => break refusal,
        }
    };
    drop(held);
    Account::own().close(outer)?;
    Ok((made, refusal))
}

fn domains() -> Result<End, Error> {
    let purse = purse()?;
    let end = until_refused(&mut Vec::new(), |_| purse.create_domain("child", 6));
    Account::own().close(purse)?;
    Ok(end)
}
