//! Calls, signals, sessions and reads, between marks that the emulator's plugin counts instructions by.
//!
//! A call is measured from before the client loads its registers until it has the answer's words in them. A read is measured from before
//! the request goes into the ring until its completion has been taken out: one request at a time, so nothing is shared with a
//! neighbour, and the buffer is not looked at, so no cache maintenance is in it. The counts are of the whole processor: this component has to
//! run at the priority of its servers, so that nobody below can come in between and no reply leaves the kernel's fast path. For signals it is the other
//! way round: a server above its client is switched to at once.
#![cfg_attr(target_os = "none", no_std, no_main)]

use component::block::Device;
use component::mark::{begin, end, interval};
use component::signal::{self, Signal};
use component::{Env, Error, Open, gate, log, open};
use serde::Deserialize;
use session::block::BLOCK;
use session::{Service, echo};

const CALLS: u32 = 1000;
const SIGNALS: u32 = 1000;
const OPENED: u32 = 100;
const DONATION: u32 = 4096;
const READS: u32 = 64;
/// Signal of the echo server's answers.
const PONG: u32 = 1;
/// Bytes of a read, and of the session's buffer.
const BYTES: u32 = 64 << 10;
const BLOCKS: u32 = BYTES / BLOCK;

component::entry!(run);

/// What to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Part {
    Calls,
    Signals,
    Sessions,
    Reads,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    parts: heapless::Vec<Part, 4>,
}

fn run(env: Env) -> Result<(), Error> {
    let config: Config = env.config()?;
    for part in config.parts {
        match part {
            Part::Calls => calls()?,
            Part::Signals => signals()?,
            Part::Sessions => sessions()?,
            Part::Reads => reads()?,
        }
    }
    Ok(())
}

/// Signals to the server, each answered by one.
fn signals() -> Result<(), Error> {
    let session = open(&Open::new(Service::Echo))?;
    let pong = Signal::new(PONG).ok_or(Error::Invalid)?;
    let server = echo::Client::new(session.capability.as_ref().ok_or(Error::Invalid)?);
    let ping = server.connect(pong.capability()?.slot())?;
    for _ in 0..SIGNALS {
        begin::<{ interval::SIGNAL }>();
        gate::signal(ping.slot());
        let raised = signal::wait();
        end::<{ interval::SIGNAL }>();
        if raised != pong.bit() {
            log!("signals {raised:#x} were raised, not the one of the answer");
            return Err(Error::Invalid);
        }
    }
    log!("{SIGNALS} signals, each answered");
    drop(ping);
    session.close()
}

/// Sessions with a donation, as they are opened for use.
fn sessions() -> Result<(), Error> {
    for _ in 0..OPENED {
        begin::<{ interval::SESSION }>();
        let closed =
            open(&Open { ram: DONATION, caps: 4, ..Open::new(Service::Echo) }).and_then(component::Session::close);
        end::<{ interval::SESSION }>();
        closed?;
    }
    log!("{OPENED} sessions opened and closed");
    Ok(())
}

fn calls() -> Result<(), Error> {
    let session = open(&Open::new(Service::Echo))?;
    let server = echo::Client::new(session.capability.ok_or(Error::Invalid)?);
    for number in 0..CALLS {
        let words = [number, !number, number << 16, number ^ CALLS];
        begin::<{ interval::RPC }>();
        let answer = server.echo(words);
        end::<{ interval::RPC }>();
        if answer? != words {
            log!("call {number} brought a wrong answer");
            return Err(Error::Invalid);
        }
    }
    log!("{CALLS} calls, every answer right");
    Ok(())
}

/// Reads all over the card.
fn reads() -> Result<(), Error> {
    let mut device = Device::open(BYTES)?;
    let Some(last) = device.info().blocks.checked_sub(BLOCKS) else {
        log!("the card holds less than one request");
        return Err(Error::Invalid);
    };
    let step = last / READS;
    for number in 0..READS {
        let block = number * step;
        begin::<{ interval::SD_READ }>();
        let started = device.read(block, BLOCKS, 0, number);
        let completion = started.and_then(|()| device.wait());
        end::<{ interval::SD_READ }>();
        let completion = completion?;
        completion.result?;
        if completion.tag != number {
            log!("read {number} was completed as {}", completion.tag);
            return Err(Error::Invalid);
        }
    }
    log!("{READS} reads of {BYTES} bytes");
    Ok(())
}
