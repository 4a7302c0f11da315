//! A server that keeps memory for its clients, and does not always behave.

use component::server::{Answer, OpenRequest, Server, Sessions, serve};
use component::{Account, Capability, Dataspace, Error, log};
use session::core::SMALL_PAGES;
use session::{Message, protocol};

/// Clients at a time.
const SESSIONS: usize = 8;

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

struct Vault {
    hoards: bool,
}

struct Client {
    account: Account,
    kept: u32,
    upgrades: [u32; 2],
}

/// Serves; `hoards`: never lets go of a session.
pub(crate) fn run(hoards: bool) -> Result<(), Error> {
    serve::<_, SESSIONS>(&mut Vault { hoards })
}

impl Server for Vault {
    type Session = Client;

    fn open(&mut self, _: &OpenRequest, account: Account) -> Result<Client, Error> {
        Ok(Client { account, kept: 0, upgrades: [0; 2] })
    }

    fn close(&mut self, _: Client) {
        if self.hoards {
            log!("keeps what the client has paid for");
            loop {
                component::signal::wait();
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
                // A call to nobody is a fault.
                component::gate::call(component::gate::Registers { slot: u32::MAX, ..Default::default() });
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
