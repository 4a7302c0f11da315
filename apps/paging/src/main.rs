//! Touches memory that is not there yet, or must not be written to.
//!
//! By its configuration it plays one of several parts: the *client* checks that what it is owed is there, the others do what takes a fault.
#![cfg_attr(target_os = "none", no_std, no_main)]

mod own;

use core::sync::atomic::Ordering;

use component::check::check;
use component::mark::{begin, end, interval};
use component::{Account, Attach, Attached, Dataspace, Domain, Env, Error, Open, log, open};
use serde::Deserialize;
use session::core::{LAZY, SMALL_PAGES, WRITE};
use session::{Service, memory};

const PAGE: u32 = 4096;
/// Words of a page.
const WORDS: u32 = PAGE / 4;
/// Pages that core maps one by one.
const LAZY_PAGES: u32 = 200;
/// Pages of a pager's memory, far more than it has frames.
const PAGES: u32 = 64;
/// Donation to a pager.
const DONATION: u32 = 64 * 1024;
const CAPS: u32 = 8;

component::entry!(run);

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Role {
    /// Uses memory as it is meant to be used.
    Client,
    /// Writes to a pager's memory, which may only be read.
    WritePaged,
    /// Writes to memory that it has sealed.
    WriteSealed,
    /// Writes by way of a mapping that was there before the memory was sealed.
    WriteSealedBefore,
    /// Touches a page whose mapping it cannot pay for.
    Poor,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    role: Role,
    /// How often words of the pager's memory go through another pager.
    #[serde(default)]
    nested: bool,
}

fn run(env: Env) -> Result<(), Error> {
    let config: Config = env.config()?;
    log!("plays {:?}", config.role);
    match config.role {
        Role::Client => {
            lazy()?;
            paged(config.nested)?;
            own::run()?;
            read_only()?;
            sealed()?;
            return Ok(());
        }
        Role::WritePaged => {
            let memory = open_memory()?;
            // Looking is allowed.
            check("the pager's memory can be read", word(&memory, 1) == 1)?;
            store(&memory, 0);
        }
        Role::WriteSealed => {
            let dataspace = Account::own().create_dataspace(PAGE, 0)?;
            Account::own().seal(&dataspace)?;
            store(&Attached::new(&dataspace, 0, None)?, 0);
        }
        Role::WriteSealedBefore => {
            let dataspace = Account::own().create_dataspace(2 * PAGE, 0)?;
            let memory = Attached::new(&dataspace, WRITE, None)?;
            store(&memory, 0);
            store(&memory, WORDS);
            Account::own().seal(&dataspace)?;
            check("what was written is there", word(&memory, WORDS) == WORDS)?;
            store(&memory, WORDS);
        }
        Role::Poor => poor()?,
    }
    log!("wrong: nothing has happened");
    Err(Error::Invalid)
}

fn word(memory: &Attached, index: u32) -> u32 {
    memory.words().get(index as usize).map_or(0, |word| word.load(Ordering::Relaxed))
}

/// Writes the word's own number.
fn store(memory: &Attached, index: u32) {
    if let Some(word) = memory.words().get(index as usize) {
        word.store(index, Ordering::Relaxed);
    }
}

/// Memory of a pager.
fn open_memory() -> Result<Attached, Error> {
    let request = Open { ram: DONATION, caps: CAPS, argument: PAGES * PAGE, ..Open::new(Service::Memory) };
    let session = open(&request)?;
    let client = memory::Client::new(session.capability.ok_or(Error::Invalid)?);
    let dataspace = Dataspace::from_capability(client.dataspace()?)?;
    // The session lasts as long as the component.
    core::mem::forget(client);
    Attached::new(&dataspace, 0, None)
}

/// Pages that core maps when they are touched.
fn lazy() -> Result<(), Error> {
    let account = Account::own();
    let dataspace = account.create_dataspace(LAZY_PAGES * PAGE, SMALL_PAGES)?;
    let before = account.info()?.ram_used;
    let memory = Attached::new(&dataspace, WRITE | LAZY, None)?;
    let attached = account.info()?.ram_used;
    for page in 0..LAZY_PAGES {
        let place = memory.words().get((page * WORDS + page) as usize).ok_or(Error::Invalid)?;
        begin::<{ interval::PAGE_FAULT }>();
        place.store(page + 1, Ordering::Relaxed);
        end::<{ interval::PAGE_FAULT }>();
    }
    let touched = account.info()?.ram_used;
    log!("attaching {LAZY_PAGES} pages took {} bytes, touching them {}", attached - before, touched - attached);
    let eager = Attached::new(&dataspace, 0, None)?;
    let right = (0..LAZY_PAGES).all(|page| word(&eager, page * WORDS + page) == page + 1);
    check("what was written to pages as they came is in the dataspace", right)?;
    drop((memory, eager));
    account.free_dataspace(dataspace)?;
    let large = account.create_dataspace(64 * 1024, 0)?;
    let refused = Attached::new(&large, LAZY, None).err() == Some(Error::Invalid);
    check("large pages are mapped at once or not at all", refused)?;
    account.free_dataspace(large)
}

/// What a pager's page must contain.
fn seed(page: u32, nested: bool) -> u32 {
    let plain = page.wrapping_mul(0x9e37_79b9);
    // The other pager has read word `page` of page `page` of its own memory.
    if nested { (page % WORDS) ^ plain } else { plain }
}

/// More memory than the pager has.
fn paged(nested: bool) -> Result<(), Error> {
    let memory = open_memory()?;
    let mut wrong = 0;
    for round in 0..3 {
        for page in 0..PAGES {
            let index = (page * 7 + round * 5) % WORDS;
            begin::<{ interval::PAGER }>();
            let found = word(&memory, page * WORDS + index);
            end::<{ interval::PAGER }>();
            wrong += u32::from(found != (index ^ seed(page, nested)));
        }
        // Of the last ones some are still there.
        let last = PAGES - 2;
        wrong += u32::from(word(&memory, last * WORDS + 3) != (3 ^ seed(last, nested)));
    }
    check("every word of a pager's memory is right, three times over", wrong == 0)?;
    let refused = Domain::own().attach_at(&dataspace_again()?, Attach { flags: WRITE, ..Attach::default() }, None);
    check("it cannot be attached writeable", refused.err() == Some(Error::Denied))
}

/// Another session, for its dataspace.
fn dataspace_again() -> Result<Dataspace, Error> {
    let request = Open { ram: DONATION, caps: CAPS, argument: PAGE, ..Open::new(Service::Memory) };
    let client = memory::Client::new(open(&request)?.capability.ok_or(Error::Invalid)?);
    Dataspace::from_capability(client.dataspace()?)
}

/// A capability that allows less.
fn read_only() -> Result<(), Error> {
    let account = Account::own();
    let dataspace = account.create_dataspace(2 * PAGE, 0)?;
    let memory = Attached::new(&dataspace, WRITE, None)?;
    let less = dataspace.read_only()?;
    let refused = Attached::new(&less, WRITE, None).err() == Some(Error::Denied);
    check("what only allows reading cannot be attached writeable", refused)?;
    let view = Attached::new(&less, 0, None)?;
    store(&memory, 5);
    check("it shows what others write", word(&view, 5) == 5 && !less.is_constant()?)?;
    drop((memory, view));
    account.free_dataspace(dataspace)
}

/// Memory that nobody can write to any more.
fn sealed() -> Result<(), Error> {
    let account = Account::own();
    let dataspace = account.create_dataspace(2 * PAGE, 0)?;
    let memory = Attached::new(&dataspace, WRITE, None)?;
    store(&memory, 9);
    account.seal(&dataspace)?;
    check("a sealed dataspace never changes", dataspace.is_constant()?)?;
    let refused = Attached::new(&dataspace, WRITE, None).err() == Some(Error::Denied);
    check("it cannot be attached writeable", refused)?;
    let view = Attached::new(&dataspace, 0, None)?;
    check("it keeps what was in it", word(&view, 9) == 9 && word(&memory, 9) == 9)?;
    drop((memory, view));
    account.free_dataspace(dataspace)
}

/// Takes all memory of the account, then touches a page that costs some.
fn poor() -> Result<(), Error> {
    let account = Account::own();
    let dataspace = account.create_dataspace(PAGE, SMALL_PAGES)?;
    let memory = Attached::new(&dataspace, WRITE | LAZY, None)?;
    while account.create_dataspace(PAGE, 0).is_ok() {}
    // Smaller than a page there may be room for a page table still.
    while account.create_notification().is_ok() {}
    store(&memory, 1);
    Ok(())
}
