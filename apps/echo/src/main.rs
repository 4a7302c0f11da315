//! The echo server: what a call costs when the server does nothing.
#![cfg_attr(target_os = "none", no_std, no_main)]

use component::server::{Answer, Fast, OpenRequest, Server, Sessions, serve};
use component::signal::Signal;
use component::{Account, Capability, Env, Error, gate};
use session::Message;
use session::echo::{ECHO, EchoRequest};

/// Clients at a time.
const SESSIONS: usize = 64;
/// Signal of all clients.
const PING: u32 = 1;

component::entry!(run);

struct Echo {
    /// What clients raise, once one has asked for it.
    ping: Option<Capability>,
    /// Clients that have connected: a signal is answered without a look at the others.
    connected: usize,
}

/// What a session has connected to.
struct Client {
    pong: Option<Capability>,
}

fn run(_: Env) -> Result<(), Error> {
    serve::<_, SESSIONS>(&mut Echo { ping: None, connected: 0 })
}

impl Server for Echo {
    type Session = Client;

    fn open(&mut self, _: &OpenRequest, _: Account) -> Result<Client, Error> {
        Ok(Client { pong: None })
    }

    fn close(&mut self, client: Client) {
        self.connected -= usize::from(client.pong.is_some());
    }

    #[inline(always)]
    fn fast(&mut self, _: &mut Client, label: u32, words: [u32; 4]) -> Option<Fast> {
        (label == ECHO).then_some(Fast::Answer(words))
    }

    fn request(
        &mut self,
        client: &mut Client,
        message: &Message,
        received: Option<Capability>,
    ) -> Result<Answer, Error> {
        match EchoRequest::decode(message).ok_or(Error::Invalid)?.0 {
            EchoRequest::Echo { first, second, third, fourth } => Ok(Answer::words(&[first, second, third, fourth])),
            EchoRequest::Connect => {
                let before = client.pong.replace(received.ok_or(Error::Invalid)?);
                self.connected += usize::from(before.is_none());
                let ping = match self.ping.take() {
                    Some(ping) => ping,
                    None => Signal::new(PING).ok_or(Error::Invalid)?.capability()?,
                };
                Ok(Answer::capability(self.ping.insert(ping).slot(), &[]))
            }
        }
    }

    fn signal(&mut self, _: u32, mut sessions: Sessions<'_, Client>) {
        for pong in sessions.iter_mut().filter_map(|client| client.pong.as_ref()).take(self.connected) {
            gate::signal(pong.slot());
        }
    }
}
