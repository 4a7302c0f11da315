//! A server that keeps memory for its clients, and does not always behave.

use component::server::{Answer, OpenRequest, Server, Sessions, serve};
use component::signal::{self, Signal};
use component::{Account, Capability, Dataspace, Error, Open, log, open};
use session::core::SMALL_PAGES;
use session::{Message, Service, protocol, timer};

/// Clients at a time.
const SESSIONS: usize = 8;
const TIME: u32 = 1;
/// Microseconds of a nap.
const NAP: u64 = 1000;

protocol! {
    /// Requests to a vault.
    pub enum VaultRequest {
        /// Keeps memory until the session is closed. Answer: bytes kept so far.
        Keep = 1 {
            /// How much more, in bytes.
            bytes,
        },
        /// Answer: RAM and capabilities that upgrades have added.
        Upgrades = 2,
        /// Ends the session. Answer: nothing.
        End = 3,
        /// Kills the server; never answered.
        Die = 4,
    }
}

/// How a vault behaves.
pub(crate) enum Manners {
    /// As it should.
    Honest,
    /// It never lets go of a session.
    Hoarding,
    /// It naps before it opens a session, and dies of every fifth.
    Frail(Nap),
}

/// A way to sleep.
pub(crate) struct Nap(timer::Client<Capability>);

impl Nap {
    /// With a timer session of its own.
    pub(crate) fn new() -> Result<Self, Error> {
        let session = open(&Open::new(Service::Timer))?;
        let timer = timer::Client::new(session.capability.ok_or(Error::Invalid)?);
        timer.connect(Signal::new(TIME).ok_or(Error::Invalid)?.capability()?.slot())?;
        Ok(Self(timer))
    }

    fn sleep(&self) -> Result<(), Error> {
        self.0.set(self.0.now()? + NAP)?;
        // The parent's signals that are taken here are not lost: its events are fetched until there are none.
        while signal::wait() & 1 << TIME == 0 {}
        Ok(())
    }
}

struct Vault {
    manners: Manners,
    opened: u32,
}

struct Client {
    account: Account,
    kept: u32,
    upgrades: [u32; 2],
}

/// Serves.
pub(crate) fn run(manners: Manners) -> Result<(), Error> {
    serve::<_, SESSIONS>(&mut Vault { manners, opened: 0 })
}

fn die() {
    // A call to nobody is a fault.
    component::gate::call(component::gate::Registers { slot: u32::MAX, ..Default::default() });
}

impl Server for Vault {
    type Session = Client;

    fn open(&mut self, _: &OpenRequest, account: Account) -> Result<Client, Error> {
        self.opened += 1;
        if let Manners::Frail(nap) = &self.manners {
            nap.sleep()?;
            if self.opened.is_multiple_of(5) {
                die();
            }
        }
        Ok(Client { account, kept: 0, upgrades: [0; 2] })
    }

    fn close(&mut self, _: Client) {
        if let Manners::Hoarding = self.manners {
            log!("keeps what the client has paid for");
            loop {
                signal::wait();
            }
        }
    }

    fn request(&mut self, client: &mut Client, message: &Message, _: Option<Capability>) -> Result<Answer, Error> {
        match VaultRequest::decode(message).ok_or(Error::Invalid)?.0 {
            VaultRequest::Keep { bytes } => {
                let kept: Dataspace = client.account.create_dataspace(bytes, SMALL_PAGES)?;
                client.kept += kept.bytes();
                // It lives as long as the account, without a name.
                Ok(Answer::words(&[client.kept]))
            }
            VaultRequest::Upgrades => Ok(Answer::words(&client.upgrades)),
            VaultRequest::End => Ok(Answer::End(Message::new(0))),
            VaultRequest::Die => {
                die();
                Err(Error::Invalid)
            }
        }
    }

    fn upgraded(&mut self, client: &mut Client, ram: u32, caps: u32) {
        let [had_ram, had_caps] = client.upgrades;
        client.upgrades = [had_ram + ram, had_caps + caps];
    }

    fn signal(&mut self, _: u32, _: Sessions<'_, Client>) {}
}
