//! A Block server whose blocks are RAM.
//!
//! The blocks are the server's own memory, zero at the start, and the same for all clients; what a client may do says the policy for its label. A
//! request is done at once when the client enters, so nobody is ever held.
//!
//! ```json
//! { "blocks": 2048, "policies": [{ "selector": "default", "writeable": true }] }
//! ```
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::sync::atomic::{AtomicU32, Ordering};

use component::server::{Answer, Fast, OpenRequest, Server, Sessions, serve};
use component::{Account, Attached, Capability, Dataspace, Env, Error, log};
use serde::Deserialize;
use session::Message;
use session::block::{BLOCK, BlockRequest, Completion, ENTER, Operation, RING_WORDS, Request, SLOTS, ServerRings};
use session::core::{SMALL_PAGES, WRITE};
use session::label::{Selector, best_match, duplicate};

/// Clients at a time.
const SESSIONS: usize = 8;
/// Most policies.
const POLICIES: usize = 8;
/// Largest buffer of a session in bytes.
const MAX_BUFFER: u32 = 1 << 20;
/// Words of a block.
const WORDS: usize = BLOCK as usize / 4;

component::entry!(run);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// How many blocks there are.
    blocks: u32,
    policies: heapless::Vec<Policy, POLICIES>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Policy {
    selector: Selector,
    #[serde(default)]
    writeable: bool,
}

struct Disk {
    config: Config,
    store: Attached,
}

struct Client {
    writeable: bool,
    rings: ServerRings,
    ring_memory: Attached,
    ring_dataspace: Dataspace,
    buffer: Attached,
    buffer_dataspace: Dataspace,
    /// Keeps what the session owns until it is closed.
    _account: Account,
}

fn run(env: Env) -> Result<(), Error> {
    let config: Config = env.config()?;
    if let Some(selector) = duplicate(&config.policies, |policy| &policy.selector) {
        log!("configuration: two policies for {selector:?}");
        return Err(Error::Invalid);
    }
    let bytes = config.blocks.checked_mul(BLOCK).ok_or(Error::Invalid)?;
    let store = Attached::new(&Account::own().create_dataspace(bytes, 0)?, WRITE, None)?;
    serve::<_, SESSIONS>(&mut Disk { config, store })
}

/// Copies words that others may be changing.
fn copy(from: &[AtomicU32], to: &[AtomicU32]) {
    for (from, to) in from.iter().zip(to) {
        to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

impl Disk {
    /// Does what lies in a client's ring. Bounded, as the client may make more of it all the time.
    fn work(&self, client: &mut Client) {
        for _ in 0..SLOTS {
            let Some(request) = client.rings.next(client.ring_memory.words()) else { return };
            let result = self.transfer(client, request);
            client.rings.complete(client.ring_memory.words(), Completion { tag: request.tag, result });
        }
    }

    fn transfer(&self, client: &Client, request: Request) -> Result<(), Error> {
        let Request { operation, block, count, offset, .. } = request;
        let operation = operation.ok_or(Error::Invalid)?;
        if operation == Operation::Write && !client.writeable {
            return Err(Error::Denied);
        }
        let end = block.checked_add(count).filter(|end| *end <= self.config.blocks).ok_or(Error::Denied)?;
        if !offset.is_multiple_of(4) {
            return Err(Error::Invalid);
        }
        let words = count as usize * WORDS;
        let stored = self.store.words().get(block as usize * WORDS..end as usize * WORDS).ok_or(Error::Denied)?;
        let first = offset as usize / 4;
        let buffer = client.buffer.words().get(first..).and_then(|rest| rest.get(..words)).ok_or(Error::Invalid)?;
        match operation {
            Operation::Read => copy(stored, buffer),
            Operation::Write => copy(buffer, stored),
        }
        Ok(())
    }
}

impl Server for Disk {
    type Session = Client;

    fn open(&mut self, request: &OpenRequest, account: Account) -> Result<Client, Error> {
        let policy =
            best_match(&self.config.policies, |policy| &policy.selector, &request.label).ok_or(Error::Denied)?;
        let wanted = request.argument;
        if !wanted.is_power_of_two() || !(4096..=MAX_BUFFER).contains(&wanted) {
            return Err(Error::Invalid);
        }
        let make = |bytes| {
            let dataspace = account.create_dataspace(bytes, SMALL_PAGES)?;
            let attached = Attached::new(&dataspace, WRITE, Some(&account))?;
            Ok::<_, Error>((dataspace, attached))
        };
        let (buffer_dataspace, buffer) = make(wanted)?;
        let (ring_dataspace, ring_memory) = make(RING_WORDS as u32 * 4)?;
        let writeable = policy.writeable;
        let rings = ServerRings::new();
        Ok(Client { writeable, rings, ring_memory, ring_dataspace, buffer, buffer_dataspace, _account: account })
    }

    fn close(&mut self, _: Client) {}

    fn fast(&mut self, client: &mut Client, label: u32, _: [u32; 4]) -> Option<Fast> {
        if label != ENTER {
            return None;
        }
        self.work(client);
        Some(Fast::Answer([client.rings.has_completions(client.ring_memory.words()).into(), 0, 0, 0]))
    }

    fn request(&mut self, client: &mut Client, message: &Message, _: Option<Capability>) -> Result<Answer, Error> {
        match BlockRequest::decode(message).ok_or(Error::Invalid)?.0 {
            BlockRequest::Info => {
                Ok(Answer::words(&[self.config.blocks, client.writeable.into(), client.buffer.bytes() as u32]))
            }
            BlockRequest::Rings => Ok(Answer::capability(client.ring_dataspace.slot(), &[])),
            BlockRequest::Buffer => Ok(Answer::capability(client.buffer_dataspace.slot(), &[])),
            // A client of this protocol sends it in registers.
            BlockRequest::Enter { .. } => Err(Error::Invalid),
        }
    }

    fn signal(&mut self, _: u32, _: Sessions<'_, Client>) {}
}
