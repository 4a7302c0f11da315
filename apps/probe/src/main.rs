//! Provokes every refusal that a component can get, and goes on after each.
//!
//! # Theory of operation
//!
//! There are three ways to be refused. The own account is short (*out of*); a donation is too small for the server (*insufficient*);
//! there is no route, or a policy forbids it (*denied*). None of them may harm the one who asked: after each, a block is read and
//! memory is taken and given back. Misuse of capabilities and numbers that belong to others is refused likewise, and harms nobody.
//!
//! What is refused must not cost anything either: the quota lent and the capabilities used are compared before and after.
//!
//! The same program plays three parts, by its configuration: the one who asks for everything, an *outsider* that the Block server's
//! policy does not know, and one that *crashes* with a session open and a request under way. What this does not do: exhaust
//! the whole system; that is the greedy neighbour's part.
#![cfg_attr(target_os = "none", no_std, no_main)]

mod threads;

use component::block::Device;
use component::cap::call;
use component::check::{check, check_refused};
use component::{Account, Attach, Attached, Dataspace, Domain, Env, Error, Open, Session, log, open};
use serde::Deserialize;
use session::block::{BLOCK, Client, Operation};
use session::core::{AccountInfo, CACHE_CLEAN, EXECUTE, WRITE};
use session::parent::ParentRequest;
use session::{Service, timer};

const PAGE: u32 = 4096;
/// Buffer of a session; the smallest is a page.
const BUFFER: u32 = 2 * PAGE;
/// A donation that is enough for a session with such a buffer.
const ENOUGH_RAM: u32 = BUFFER + 24 * 1024;
const ENOUGH_CAPS: u32 = 8;
/// The last two bytes of a boot record.
const SIGNATURE: [u8; 2] = [0x55, 0xaa];
const PROGRAM: &str = "probe";

component::entry!(run);

/// The part to play.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Role {
    /// Provokes every refusal.
    Probe,
    /// Is forbidden to use the Block server.
    Outsider,
    /// Faults in the middle of its work.
    Crash,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    role: Role,
}

fn run(env: Env) -> Result<(), Error> {
    let config: Config = env.config()?;
    // The first line opens the log session, which stays: only then the books can be compared.
    log!("plays the {:?}", config.role);
    match config.role {
        Role::Probe => {
            let mut probe = Probe { device: open_device()?, refusals: 0 };
            probe.donations()?;
            probe.account()?;
            probe.routes()?;
            probe.requests()?;
            probe.memory()?;
            probe.others()?;
            threads::run(&mut probe)?;
            let Probe { device, refusals } = probe;
            device.close()?;
            log!("probe: {refusals} refusals, all as they should be");
            Ok(())
        }
        Role::Outsider => outsider(),
        Role::Crash => crash(),
    }
}

fn open_device() -> Result<Device, Error> {
    Device::open(BUFFER)
}

/// A Block session with that donation.
fn donate(ram: u32, caps: u32) -> Result<Session, Error> {
    open(&Open { ram, caps, argument: BUFFER, ..Open::new(Service::Block) })
}

/// Takes memory, uses it and gives it back.
fn use_memory() -> Result<(), Error> {
    let dataspace = Account::own().create_dataspace(2 * PAGE, 0)?;
    let attached = Attached::new(&dataspace, WRITE, None)?;
    attached.write(PAGE as usize, &SIGNATURE)?;
    drop(attached);
    Account::own().free_dataspace(dataspace)
}

/// What a refusal must leave as it was.
fn balance() -> Result<[u32; 3], Error> {
    let AccountInfo { ram_lent, caps_lent, caps_used, .. } = Account::own().info()?;
    Ok([ram_lent, caps_lent, caps_used])
}

struct Probe {
    /// What it works with after each refusal.
    device: Device,
    refusals: u32,
}

impl Probe {
    fn refused<T>(&mut self, what: &str, result: Result<T, Error>, reason: Error) -> Result<(), Error> {
        check_refused(what, result, reason)?;
        self.refusals += 1;
        self.go_on()
    }

    /// Does something useful, with the Block server and with core.
    fn go_on(&mut self) -> Result<(), Error> {
        self.transfer(Operation::Read, 0, 0)?;
        let block = self.device.view(0, BLOCK)?;
        if !block.ends_with(&SIGNATURE) {
            log!("wrong: the boot record could not be read afterwards");
            return Err(Error::Device);
        }
        use_memory()
    }

    /// Moves one block and waits for the completion.
    fn transfer(&mut self, operation: Operation, block: u32, offset: u32) -> Result<(), Error> {
        let tag = self.refusals;
        match operation {
            Operation::Read => self.device.read(block, 1, offset, tag)?,
            Operation::Write => self.device.write(block, 1, offset, tag)?,
        }
        let completion = self.device.wait()?;
        if completion.tag == tag { completion.result } else { Err(Error::Kernel) }
    }

    /// Donations from nothing to enough: each one but the last is refused, and all of them come back.
    fn donations(&mut self) -> Result<(), Error> {
        let before = balance()?;
        let mut used = None;
        for round in ["first round", "second round"] {
            let mut ram = 0;
            let session = loop {
                match donate(ram, ENOUGH_CAPS) {
                    Ok(session) => break session,
                    refused => self.refused("donation of too little RAM", refused, Error::InsufficientRam)?,
                }
                check("the donated RAM is back", balance()? == before)?;
                ram += PAGE;
            };
            check("enough RAM opens the session", ram > BUFFER && ram <= ENOUGH_RAM)?;
            session.close()?;
            let mut caps = 0;
            let session = loop {
                match donate(ENOUGH_RAM, caps) {
                    Ok(session) => break session,
                    refused => self.refused("donation of too few capabilities", refused, Error::InsufficientCaps)?,
                }
                check("the donated capabilities are back", balance()? == before)?;
                caps += 1;
            };
            check("enough capabilities open the session", caps > 0 && caps <= ENOUGH_CAPS)?;
            let AccountInfo { ram_lent, caps_lent, .. } = Account::own().info()?;
            let [lent_before, caps_before, _] = before;
            check(
                "the open session holds the donation",
                ram_lent == lent_before + ENOUGH_RAM && caps_lent == caps_before + caps,
            )?;
            session.close()?;
            check("closing the session brings the donation back", balance()? == before)?;
            // Bookkeeping may have grown in the first round; it must not grow for ever.
            let now = Account::own().info()?.ram_used;
            check(round, *used.get_or_insert(now) == now)?;
        }
        Ok(())
    }

    /// More than the own account has.
    fn account(&mut self) -> Result<(), Error> {
        let before = balance()?;
        let own = Account::own();
        let AccountInfo { ram, caps, .. } = own.info()?;
        self.refused("donation of more RAM than there is", donate(ram + PAGE, ENOUGH_CAPS), Error::OutOfRam)?;
        self.refused("donation of all RAM in the world", donate(u32::MAX, ENOUGH_CAPS), Error::OutOfRam)?;
        self.refused("donation of more capabilities than there are", donate(ENOUGH_RAM, caps + 1), Error::OutOfCaps)?;
        self.refused("donation of all capabilities in the world", donate(ENOUGH_RAM, u32::MAX), Error::OutOfCaps)?;
        self.refused("account larger than its lender", own.create_account(ram + PAGE, 1), Error::OutOfRam)?;
        self.refused(
            "account with more capabilities than its lender",
            own.create_account(PAGE, caps),
            Error::OutOfCaps,
        )?;
        self.refused("dataspace larger than the account", own.create_dataspace(ram + PAGE, 0), Error::OutOfRam)?;
        self.refused("dataspace of 2 GiB", own.create_dataspace(1 << 31, 0), Error::OutOfRam)?;
        self.refused("dataspace without a byte", own.create_dataspace(0, 0), Error::Invalid)?;
        // Most of it is there: core has to undo what it has done already.
        let AccountInfo { ram_used, ram_lent, .. } = own.info()?;
        let free = (ram - ram_used - ram_lent).next_multiple_of(PAGE);
        self.refused("dataspace slightly too large", own.create_dataspace(free + PAGE, 0), Error::OutOfRam)?;
        check("the account is as before", balance()? == before)
    }

    /// What there is no route to, or what only others may ask core for.
    fn routes(&mut self) -> Result<(), Error> {
        let before = balance()?;
        let request = Open { ram: ENOUGH_RAM, caps: ENOUGH_CAPS, ..Open::new(Service::Devices) };
        self.refused("service without a route", open(&request), Error::Denied)?;
        self.refused("service of core without a route", open(&Open::new(Service::Hardware)), Error::Denied)?;
        let missing = Open { name: "no such module", ..Open::new(Service::Rom) };
        self.refused("unknown boot module", open(&missing), Error::NotFound)?;
        let own = Domain::own();
        self.refused("boot module from core itself", own.rom(PROGRAM), Error::Denied)?;
        self.refused("hardware from core itself", own.hardware(), Error::Denied)?;
        self.refused("figures of the whole system", own.free_memory(), Error::Denied)?;
        self.refused("rights of the parent", own.status(), Error::Denied)?;
        check("the account is as before", balance()? == before)
    }

    /// Requests for blocks that the policy or the session does not allow.
    fn requests(&mut self) -> Result<(), Error> {
        let info = self.device.info();
        check("the session is read-only", !info.writeable)?;
        let written = self.transfer(Operation::Write, 0, 0);
        self.refused("write with a read-only policy", written, Error::Denied)?;
        let read = self.transfer(Operation::Read, info.blocks, 0);
        self.refused("read beyond the last block", read, Error::Denied)?;
        let read = self.transfer(Operation::Read, 0, info.buffer);
        self.refused("read to beyond the buffer", read, Error::Invalid)?;
        let viewed = self.device.view(info.buffer, BLOCK).map(drop);
        self.refused("view beyond the buffer", viewed, Error::Invalid)
    }

    /// Memory that may be read but not written, or that ends earlier.
    fn memory(&mut self) -> Result<(), Error> {
        let rom = open_program()?;
        self.refused("boot module attached writeable", Attached::new(&rom, WRITE, None), Error::Invalid)?;
        let own = Domain::own();
        let beyond = Attach { bytes: rom.bytes() + PAGE, ..Attach::default() };
        self.refused("more than the dataspace attached", own.attach_at(&rom, beyond, None), Error::Invalid)?;
        let gate = Attach { address: abi::GATE_BASE as u32, bytes: PAGE, ..Attach::default() };
        self.refused("attached where something is", own.attach_at(&rom, gate, None), Error::Busy)?;
        self.refused("boot module freed", Account::own().free_dataspace(rom), Error::Denied)?;
        let attached = Attached::new(&open_program()?, 0, None)?;
        // SAFETY: programs are boot modules.
        let content = unsafe { attached.content() };
        check("the boot module can be read", content.starts_with(b"\x7fELF"))?;
        let memory = Account::own().create_dataspace(PAGE, 0)?;
        let both = Attached::new(&memory, WRITE | EXECUTE, None);
        self.refused("memory writeable and executable", both, Error::Invalid)?;
        Account::own().free_dataspace(memory)
    }

    /// What belongs to others.
    fn others(&mut self) -> Result<(), Error> {
        let before = balance()?;
        let (own, account) = (Domain::own(), Account::own());
        // The first session of the system is that of a driver with the device manager.
        for number in [0, 127, 128, u32::MAX - 1] {
            let closed = call(abi::slot::PARENT, &ParentRequest::Close { session: number }.encode(), &[]);
            self.refused("session of somebody else closed", closed, Error::Invalid)?;
            let answer = ParentRequest::Answer { request: number, status: 0 };
            let answered = call(abi::slot::PARENT, &answer.encode(), &[]);
            self.refused("request to somebody else answered", answered, Error::Invalid)?;
        }
        let session = donate(ENOUGH_RAM, ENOUGH_CAPS)?;
        let client = Client::new(session.capability.as_ref().ok_or(Error::Invalid)?);
        let buffer = Dataspace::from_capability(client.buffer()?)?;
        self.refused("dataspace of somebody else freed", account.free_dataspace(buffer), Error::Denied)?;
        let buffer = Dataspace::from_capability(client.buffer()?)?;
        check("it is still there", buffer.bytes() == BUFFER)?;
        drop(buffer);
        session.close()?;

        let purse = account.create_account(96 * 1024, 12)?;
        let child = purse.create_domain("child", 5)?;
        let memory = purse.create_dataspace(PAGE, 0)?;
        let (_, region) = child.attach_at(&memory, Attach { flags: WRITE, ..Attach::default() }, None)?;
        self.refused("region of somebody else detached", own.detach(region), Error::Invalid)?;
        let cleaned = own.maintain_cache(region, 0, PAGE, CACHE_CLEAN);
        self.refused("cache of somebody else's region", cleaned, Error::Invalid)?;
        child.detach(region)?;
        self.refused("region detached twice", child.detach(region), Error::Invalid)?;
        self.refused("region that never was", own.detach(u32::MAX), Error::Invalid)?;
        self.refused("freed from another account", account.free_dataspace(memory), Error::Denied)?;
        self.refused("account lends to itself", account.lend(&account, PAGE, 1), Error::Invalid)?;
        self.refused("account closed from below", purse.close(Account::own()), Error::Invalid)?;
        account.close(purse)?;
        check("the account is as before", balance()? == before)
    }
}

/// The component's own program, to read.
fn open_program() -> Result<Dataspace, Error> {
    let session = open(&Open { name: PROGRAM, ..Open::new(Service::Rom) })?;
    Dataspace::from_capability(session.capability.ok_or(Error::Invalid)?)
}

/// Is not allowed to read the card, and does other things.
fn outsider() -> Result<(), Error> {
    let before = balance()?;
    check_refused("session that the policy forbids", donate(ENOUGH_RAM, ENOUGH_CAPS), Error::Denied)?;
    check("the donation is back", balance()? == before)?;
    use_memory()?;
    let session = open(&Open { caps: 4, ..Open::new(Service::Timer) })?;
    let clock = timer::Client::new(session.capability.as_ref().ok_or(Error::Invalid)?);
    let (earlier, later) = (clock.now()?, clock.now()?);
    check("the time goes on", earlier <= later)?;
    session.close()?;
    check("the account is as before", balance()? == before)
}

/// Faults with a session open and a request under way.
fn crash() -> Result<(), Error> {
    let mut device = open_device()?;
    let program = Attached::new(&open_program()?, 0, None)?;
    device.read(0, BUFFER / BLOCK, 0, 0)?;
    device.start()?;
    log!("ok: a request is under way; now storing to read-only memory");
    if let Some(word) = program.words().first() {
        word.store(0, core::sync::atomic::Ordering::Relaxed);
    }
    check("the store was stopped", false)
}
