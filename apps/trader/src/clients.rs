//! Clients of vaults.

use component::{Account, Error, Open, Session, log, open};
use session::{Service, Transport};

use crate::vault::VaultRequest;
use crate::{PAGE, balance, check, check_refused};

/// Bytes that are kept in a vault.
const KEPT: u32 = 16 * PAGE;
/// Sessions that are given to a vault that does not let go.
const REFUNDS: u32 = 1;
/// Times that a vault is killed.
const DEATHS: u32 = 3;

fn open_vault(ram: u32, caps: u32) -> Result<Session, Error> {
    open(&Open { ram, caps, ..Open::new(Service::Echo) })
}

fn ask(session: &Session, request: VaultRequest) -> Result<[u32; 2], Error> {
    let vault = session.capability.as_ref().ok_or(Error::Invalid)?;
    let answer = vault.call(&request.encode(), &[])?;
    Ok([answer.word(0).unwrap_or(0), answer.word(1).unwrap_or(0)])
}

/// Donates too little, and more, and more.
pub(crate) fn upgrade() -> Result<(), Error> {
    let before = balance()?;
    let session = open_vault(0, 0)?;
    let keep = || ask(&session, VaultRequest::Keep { bytes: KEPT });
    check_refused("without a donation", keep(), Error::InsufficientCaps)?;
    session.upgrade(0, 1)?;
    check_refused("without RAM", keep(), Error::InsufficientRam)?;
    let mut rounds = 0;
    let [kept, _] = session.with_upgrades([PAGE, 1], 64, || {
        rounds += 1;
        keep()
    })?;
    check("a page at a time is enough in the end", kept == KEPT && rounds > KEPT / PAGE)?;
    let [ram, caps] = ask(&session, VaultRequest::Upgrades)?;
    check("the server has heard of every upgrade", ram == (rounds - 1) * PAGE && caps == 1)?;
    let [lent_ram, lent_caps, _] = balance()?;
    check("the session holds what was donated", [lent_ram - before[0], lent_caps - before[1]] == [ram, caps])?;
    let available = Account::own().info()?.ram;
    check_refused("more than there is", session.upgrade(available, 0), Error::OutOfRam)?;
    check_refused("more capabilities than there are", session.upgrade(0, u32::MAX), Error::OutOfCaps)?;
    session.close()?;
    check("closing brings everything back", balance()? == before)?;

    let session = open_vault(KEPT + 8 * PAGE, 4)?;
    ask(&session, VaultRequest::Keep { bytes: KEPT })?;
    ask(&session, VaultRequest::End)?;
    check_refused("a session that its server has ended", ask(&session, VaultRequest::Upgrades), Error::Gone)?;
    check_refused("an upgrade of it", session.upgrade(PAGE, 0), Error::Gone)?;
    session.close()?;
    check("closing it brings the money back", balance()? == before)?;
    log!("upgrades are done");
    Ok(())
}

/// Closes sessions with vaults that do not let go.
pub(crate) fn refund() -> Result<(), Error> {
    let before = balance()?;
    for _ in 0..REFUNDS {
        let session = open_vault(KEPT + 8 * PAGE, 4)?;
        ask(&session, VaultRequest::Keep { bytes: KEPT })?;
        session.close()?;
        check("the donation is back although the server keeps what it paid for", balance()? == before)?;
    }
    let all = Account::own().info()?;
    let rest = Account::own().create_dataspace(all.ram - all.ram_used - all.ram_lent - 4 * PAGE, 0)?;
    check("it can be spent", rest.bytes() > KEPT)?;
    Account::own().free_dataspace(rest)?;
    log!("refunds are done");
    Ok(())
}

/// Waits for a vault that dies.
pub(crate) fn orphan() -> Result<(), Error> {
    let before = balance()?;
    let mut deaths = 0;
    while deaths < DEATHS {
        let session = open_vault(KEPT + 8 * PAGE, 4)?;
        // Others kill it, too: it may be gone at any moment.
        let kept = ask(&session, VaultRequest::Keep { bytes: PAGE });
        let died = kept.and_then(|_| ask(&session, VaultRequest::Die));
        check_refused("a server that dies before it answers", died, Error::Gone)?;
        check_refused("a server that is dead", ask(&session, VaultRequest::Upgrades), Error::Gone)?;
        deaths += 1;
        session.close()?;
        check("the donation is back", balance()? == before)?;
    }
    log!("all deaths are survived");
    Ok(())
}

/// Is denied whatever it should not have, and goes on.
pub(crate) fn denied() -> Result<(), Error> {
    let before = balance()?;
    let wishes = [
        ("no route leads to it", Service::Hardware),
        ("no route leads to it either", Service::Block),
        ("the server's policy does not know this component", Service::Devices),
    ];
    for (why, service) in wishes {
        let request = Open { ram: 8 * PAGE, caps: 4, ..Open::new(service) };
        match open(&request).err() {
            Some(Error::Denied) => log!("ok: {service:?} is denied, because {why}: {}", Error::Denied),
            other => return check_refused(why, other.map_or(Ok(()), Err), Error::Denied),
        }
        check("the donation is back", balance()? == before)?;
        let session = open_vault(KEPT + 8 * PAGE, 4)?;
        ask(&session, VaultRequest::Keep { bytes: KEPT })?;
        session.close()?;
        check("it works as before", balance()? == before)?;
    }
    log!("was denied {} times and goes on", wishes.len());
    Ok(())
}
