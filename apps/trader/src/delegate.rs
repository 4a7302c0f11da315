//! Several capabilities are passed on in one message.
//!
//! The *giver* is a server that makes memory, a notification and an endpoint out of a session's donation and hands all three out in one parcel. The *taker* uses
//! them, tries what only their owner may, has no slots left for more, and loses them with the session.

use component::server::{Answer, OpenRequest, Server, Sessions, serve};
use component::{Account, Attached, Capability, Dataspace, Error, Open, Parcel, log, open};
use session::core::{AccountInfo, SMALL_PAGES, WRITE};
use session::{Message, Service, Transport};

use crate::{PAGE, balance, check, check_refused};

/// What the memory begins with.
const SEAL: [u8; 8] = *b"zelkova!";
/// What is in a parcel.
const CONTENTS: usize = 3;
/// Most slots that can be filled.
const SLOTS: usize = 256;

struct Giver;

struct Client {
    parcel: Parcel,
    /// Keeps what is in the parcel.
    _contents: (Dataspace, Capability, Capability),
}

/// Serves.
pub(crate) fn give() -> Result<(), Error> {
    serve::<_, 4>(&mut Giver)
}

impl Server for Giver {
    type Session = Client;

    fn open(&mut self, _: &OpenRequest, account: Account) -> Result<Client, Error> {
        let memory = account.create_dataspace(PAGE, SMALL_PAGES)?;
        Attached::new(&memory, WRITE, Some(&account))?.write(0, &SEAL)?;
        let contents = (memory, account.create_notification()?, account.create_endpoint()?);
        let slots = [contents.0.slot(), contents.1.slot(), contents.2.slot()];
        Ok(Client { parcel: Parcel::pack(&account, &slots)?, _contents: contents })
    }

    fn close(&mut self, _: Client) {}

    fn request(&mut self, client: &mut Client, _: &Message, _: Option<Capability>) -> Result<Answer, Error> {
        Ok(Answer::capability(client.parcel.slot(), &[]))
    }

    fn signal(&mut self, _: u32, _: Sessions<'_, Client>) {}
}

/// Takes.
pub(crate) fn take() -> Result<(), Error> {
    let before = balance()?;
    let session = open(&Open { ram: 16 * PAGE, caps: 10, ..Open::new(Service::Echo) })?;
    let giver = session.capability.as_ref().ok_or(Error::Invalid)?;
    let with_session = Account::own().info()?;
    let (_, parcel) = giver.call_for_cap(&Message::new(1), &[])?;
    let parcel = Parcel::from_capability(parcel.ok_or(Error::Invalid)?);
    check_refused("too few slots for all of it", parcel.unpack::<2>(), Error::Invalid)?;
    let contents = parcel.unpack::<4>()?;
    check("three capabilities came in one message", contents.len() == CONTENTS)?;
    let [memory, notification, endpoint] = contents.into_array::<CONTENTS>().map_err(|_| Error::Invalid)?;

    let memory = Dataspace::from_capability(memory)?;
    let attached = Attached::new(&memory, 0, None)?;
    // SAFETY: the giver has written before it handed the memory out, and does not any more.
    let content = unsafe { attached.content() };
    check("the memory is the giver's", content.starts_with(&SEAL))?;
    drop(attached);
    let badged = Capability::mint(notification.slot(), 8)?;
    component::gate::signal(badged.slot());
    check("the notification has been signalled", component::gate::poll(notification.slot()) == 8)?;
    drop(badged);
    check("the endpoint is one", Capability::mint(endpoint.slot(), 1).is_ok())?;
    let AccountInfo { caps_used, ram_lent, .. } = Account::own().info()?;
    check("nothing of it is the taker's", caps_used == with_session.caps_used && ram_lent == with_session.ram_lent)?;

    let slot = memory.slot();
    let copy = Dataspace::from_capability(Capability::copy(slot)?)?;
    check_refused("memory freed by somebody else", Account::own().free_dataspace(copy), Error::Denied)?;
    check("it is still there", Dataspace::from_capability(Capability::copy(slot)?)?.bytes() == PAGE)?;

    // The slots of the capability space are paid for; when they are full, nothing more is taken, and nothing is lost.
    let mut held = heapless::Vec::<Capability, SLOTS>::new();
    let refusal = loop {
        match Capability::copy(slot) {
            Ok(copy) => {
                if held.push(copy).is_err() {
                    break Error::Invalid;
                }
            }
            Err(refusal) => break refusal,
        }
    };
    check("the slots are full", refusal == Error::OutOfCaps)?;
    check_refused("a parcel without slots for it", parcel.unpack::<CONTENTS>(), Error::OutOfCaps)?;
    held.truncate(held.len().saturating_sub(CONTENTS));
    let again = parcel.unpack::<CONTENTS>()?;
    check("with slots it is there again", again.len() == CONTENTS)?;
    drop((held, again));

    session.close()?;
    check_refused(
        "memory of a session that is over",
        Dataspace::from_capability(memory.into_capability()),
        Error::Gone,
    )?;
    drop((notification, endpoint, parcel));
    check("everything is back", balance()? == before)?;
    log!("delegation is done");
    Ok(())
}
