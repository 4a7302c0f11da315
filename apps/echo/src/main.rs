//! The echo server: what a call costs when the server does nothing.
#![cfg_attr(target_os = "none", no_std, no_main)]

use component::server::{Answer, Fast, OpenRequest, Server, Sessions, serve};
use component::{Account, Capability, Env, Error};
use session::Message;
use session::echo::{ECHO, EchoRequest};

/// Clients at a time.
const SESSIONS: usize = 4;

component::entry!(run);

struct Echo;

fn run(_: Env) -> Result<(), Error> {
    serve::<_, SESSIONS>(&mut Echo)
}

impl Server for Echo {
    type Session = ();

    fn open(&mut self, _: &OpenRequest, _: Account) -> Result<(), Error> {
        Ok(())
    }

    fn close(&mut self, (): ()) {}

    #[inline(always)]
    fn fast(&mut self, (): &mut (), label: u32, words: [u32; 4]) -> Option<Fast> {
        (label == ECHO).then_some(Fast::Answer(words))
    }

    fn request(&mut self, (): &mut (), message: &Message, _: Option<Capability>) -> Result<Answer, Error> {
        let EchoRequest::Echo { first, second, third, fourth } = EchoRequest::decode(message).ok_or(Error::Invalid)?.0;
        Ok(Answer::words(&[first, second, third, fourth]))
    }

    fn signal(&mut self, _: u32, _: Sessions<'_, ()>) {}
}
