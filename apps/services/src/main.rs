//! Uses the services that need no hardware, and checks them.
//!
//! One program plays two parts, by its name's configuration: `victim` calls a server that never answers, and is never heard of again; the other one
//! goes on meanwhile, writes blocks and reads them back through a session of its own, finds what it logs in a report, and a boot module behind the
//! first of two routes.
#![cfg_attr(target_os = "none", no_std, no_main)]

use component::block::Device;
use component::check::check;
use component::report::Reader;
use component::{Env, Error, Open, Rom, log, open};
use session::block::BLOCK;
use session::{Service, echo};

/// Blocks of the test, and bytes of a session's buffer.
const BLOCKS: u32 = 16;
const BUFFER: u32 = BLOCKS * BLOCK;
/// A line that nobody else writes.
const LINE: &str = "this line takes two ways";

component::entry!(run);

fn run(env: Env) -> Result<(), Error> {
    if env.config_text() == b"\"victim\"" {
        let session = open(&Open::new(Service::Echo))?;
        let server = echo::Client::new(session.capability.ok_or(Error::Invalid)?);
        let answer = server.echo([1, 2, 3, 4]);
        log!("wrong: a black hole has answered: {answer:?}");
        return Err(Error::Invalid);
    }
    log!("{LINE}");
    let mut tee = Reader::open("tee/log", 4096, None)?;
    check("a line is passed on and published", contains(tee.update()?, LINE.as_bytes()))?;
    tee.close()?;
    blocks()?;
    let rom = Rom::open("system")?;
    check("what the first route does not have comes from the second", !rom.content().is_empty())?;
    let missing = open(&Open { name: "no such module", ..Open::new(Service::Rom) });
    check("what none of the routes has is not found", missing.err() == Some(Error::NotFound))
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// A byte of the test's blocks.
fn pattern(index: usize) -> u8 {
    (index.wrapping_mul(31) ^ index >> 8) as u8
}

fn blocks() -> Result<(), Error> {
    let mut device = Device::open(BUFFER)?;
    let info = device.info();
    let mut block = [0; BLOCK as usize];
    for number in 0..BLOCKS {
        for (index, byte) in block.iter_mut().enumerate() {
            *byte = pattern(number as usize * BLOCK as usize + index);
        }
        device.fill(number * BLOCK, &block)?;
    }
    let last = info.blocks - BLOCKS;
    device.write(last, BLOCKS, 0, 1)?;
    device.wait()?.result?;
    device.write(last + 1, BLOCKS, 0, 2)?;
    check("no block behind the last one can be written", device.wait()?.result == Err(Error::Denied))?;
    device.close()?;
    let mut device = Device::open(BUFFER)?;
    device.read(last, BLOCKS, 0, 3)?;
    device.wait()?.result?;
    let right = device.view(0, BUFFER)?.iter().enumerate().all(|(index, byte)| *byte == pattern(index));
    check("blocks are read back as they were written", right)?;
    device.close()
}
