//! A Log server that passes on what it gets, and publishes it.
//!
//! Lines go to this component's own Log route, with the writer's label before them, and the last ones of them are the report `log`, which others
//! read as the ROM `NAME/log`.
#![cfg_attr(target_os = "none", no_std, no_main)]

use component::report::Reporter;
use component::server::{Answer, OpenRequest, Server, Sessions, serve};
use component::{Account, Capability, Env, Error, log};
use session::log::{LogRequest, Printable};
use session::message::TEXT;
use session::{Label, Message};

/// Clients at a time.
const SESSIONS: usize = 16;
/// Bytes of the report.
const KEPT: usize = 2048;

component::entry!(run);

struct Tee {
    kept: heapless::String<KEPT>,
    reporter: Reporter,
}

struct Client {
    label: Label,
    /// The line that has not ended yet.
    line: heapless::String<{ 2 * TEXT }>,
}

fn run(_: Env) -> Result<(), Error> {
    let reporter = Reporter::open("log", KEPT as u32)?;
    serve::<_, SESSIONS>(&mut Tee { kept: heapless::String::new(), reporter })
}

impl Tee {
    /// Passes a line on and keeps it; the oldest ones make room.
    fn put(&mut self, label: &Label, line: &str) -> Result<(), Error> {
        log!("[{label}] {}", Printable(line));
        let needed = label.as_str().len() + line.len() + 4;
        while KEPT - self.kept.len() < needed && !self.kept.is_empty() {
            let end = self.kept.find('\n').map_or(self.kept.len(), |end| end + 1);
            let rest = heapless::String::try_from(self.kept.get(end..).unwrap_or("")).map_err(|_| Error::Invalid)?;
            self.kept = rest;
        }
        for part in ["[", label.as_str(), "] ", line, "\n"] {
            self.kept.push_str(part).map_err(|_| Error::Invalid)?;
        }
        self.reporter.submit(self.kept.as_bytes())
    }
}

impl Server for Tee {
    type Session = Client;

    fn open(&mut self, request: &OpenRequest, _: Account) -> Result<Client, Error> {
        Ok(Client { label: request.label.clone(), line: heapless::String::new() })
    }

    fn close(&mut self, _: Client) {}

    fn request(&mut self, client: &mut Client, message: &Message, _: Option<Capability>) -> Result<Answer, Error> {
        let (LogRequest::Write { end }, text) = LogRequest::decode(message).ok_or(Error::Invalid)?;
        let text = message.text(text).ok_or(Error::Invalid)?;
        // A line that is too long goes on as several.
        if client.line.push_str(&text).is_err() {
            self.put(&client.label, &client.line)?;
            client.line.clear();
            client.line.push_str(&text).map_err(|_| Error::Invalid)?;
        }
        if end != 0 {
            self.put(&client.label, &client.line)?;
            client.line.clear();
        }
        Ok(Answer::words(&[]))
    }

    fn signal(&mut self, _: u32, _: Sessions<'_, Client>) {}
}
