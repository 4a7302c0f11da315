//! A server that never answers: whatever is asked of it, it keeps.
//!
//! It opens every session, and every call to one waits for ever. So it shows who depends on whom: only its own clients may notice it.
#![cfg_attr(target_os = "none", no_std, no_main)]

use component::server::{Answer, OpenRequest, Server, Sessions, serve};
use component::{Account, Capability, Env, Error};
use session::Message;

/// Clients at a time.
const SESSIONS: usize = 8;

component::entry!(run);

struct BlackHole;

/// The right to answer is kept with the session, and goes with it.
struct Client {
    swallowed: Option<Capability>,
}

fn run(_: Env) -> Result<(), Error> {
    serve::<_, SESSIONS>(&mut BlackHole)
}

impl Server for BlackHole {
    type Session = Client;

    fn open(&mut self, _: &OpenRequest, _: Account) -> Result<Client, Error> {
        Ok(Client { swallowed: None })
    }

    fn close(&mut self, _: Client) {}

    fn request(&mut self, client: &mut Client, _: &Message, _: Option<Capability>) -> Result<Answer, Error> {
        client.swallowed = Some(Capability::save_reply()?);
        Ok(Answer::Later)
    }

    fn signal(&mut self, _: u32, _: Sessions<'_, Client>) {}
}
