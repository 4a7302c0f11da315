//! Calls and reads, between marks that the emulator's plugin counts instructions by.
//!
//! A call is measured from before the client loads its registers until it has the answer's words in them. A read is measured from before
//! the request goes into the ring until its completion has been taken out: one request at a time, so nothing is shared with a
//! neighbour, and the buffer is not looked at, so no cache maintenance is in it. The counts are of the whole processor: this component has to
//! run at the priority of its servers, so that nobody below can come in between and no reply leaves the kernel's fast path.
#![cfg_attr(target_os = "none", no_std, no_main)]

use component::block::Device;
use component::mark::{begin, end, interval};
use component::{Env, Error, Open, log, open};
use session::block::BLOCK;
use session::{Service, echo};

const CALLS: u32 = 1000;
const READS: u32 = 64;
/// Bytes of a read, and of the session's buffer.
const BYTES: u32 = 64 << 10;
const BLOCKS: u32 = BYTES / BLOCK;

component::entry!(run);

fn run(_: Env) -> Result<(), Error> {
    calls()?;
    log!("{CALLS} calls, every answer right");
    reads()?;
    log!("{READS} reads of {BYTES} bytes");
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
    Ok(())
}
