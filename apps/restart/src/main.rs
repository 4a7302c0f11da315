//! Kills the SD driver in the middle of transfers, and reads the card all the same.
//!
//! This component does two things. It sums up all files of the card, like `sd-sum`; and it manages the system. Before each read it asks the driver for
//! some blocks, lets it begin, and submits a description with another version of the driver, upon which init kills the driver and starts
//! another one. The transfer that was under way ends with [`Error::Gone`], whatever it was; the session is closed, opened again with the next
//! instance, and the read is made.
//!
//! The checksums of the files show that no byte was lost, and each fresh buffer is looked at, because a transfer of the dead driver might hit it. How it is
//! ensured that none does, say the device manager's `quiesce` and init's `retire`.
#![cfg_attr(target_os = "none", no_std, no_main)]

use component::block::Device;
use component::{Account, Env, Error, Rom, log};
use init::manage::Plan;
use sd_sum::{BLOCK, Buffers, MAX_REQUEST, Source, sum};
use serde::Deserialize;
use session::core::AccountInfo;

/// Bytes of one request.
const PART: u32 = MAX_REQUEST * BLOCK as u32;
/// Requests that are under way when the driver is killed; one buffer part each, and one for the read that counts.
const DOOMED: u32 = 3;
const BUFFER: u32 = (DOOMED + 1) * PART;
/// Components of the system.
const COMPONENTS: usize = 8;

/// init's library wants one; nothing here allocates, so it stays empty.
#[cfg(target_os = "none")]
#[global_allocator]
static MEMORY: component::heap::ComponentHeap = component::heap::ComponentHeap::empty();

component::entry!(run);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The component to kill.
    driver: heapless::String<24>,
    /// How often.
    times: u32,
}

fn run(env: Env) -> Result<(), Error> {
    let config: Config = env.config()?;
    let rom = Rom::open("system")?;
    let device = Device::open(BUFFER)?;
    let blocks = device.info().blocks;
    let plan = Plan::new(&rom)?;
    let mut card = Card { device: Some(device), blocks, plan, config, killed: 0, gone: 0, used: 0 };
    // The first time there are things to be made that stay.
    card.kill()?;
    card.reopen()?;
    card.used = used()?;
    let mut buffers = Buffers::new();
    match sum(&mut card, &mut buffers, |file| log!("{file}")) {
        Ok(totals) => log!("{totals}"),
        Err(failure) => {
            log!("sd-sum: error: {failure}");
            return Err(Error::Device);
        }
    }
    while card.killed < card.config.times {
        card.read(0, 1)?;
    }
    let Card { killed, gone, used: before, .. } = card;
    if used()? != before {
        log!("wrong: the account is not as it was");
        return Err(Error::Invalid);
    }
    log!("{killed} times the driver was killed, {gone} times the error was Gone");
    if killed == gone { Ok(()) } else { Err(Error::Invalid) }
}

/// RAM and capabilities in use by this component.
fn used() -> Result<u32, Error> {
    let AccountInfo { ram_used, ram_lent, .. } = Account::own().info()?;
    Ok(ram_used + ram_lent)
}

/// The card behind a driver that dies all the time.
struct Card<'a> {
    device: Option<Device>,
    blocks: u32,
    plan: Plan<'a, COMPONENTS>,
    config: Config,
    killed: u32,
    /// Deaths that were noticed by the right error.
    gone: u32,
    /// What this component used at the start.
    used: u32,
}

impl Card<'_> {
    fn device(&mut self) -> Result<&mut Device, Error> {
        self.device.as_mut().ok_or(Error::Invalid)
    }

    /// Kills the driver while it moves data to this component's buffer.
    fn kill(&mut self) -> Result<(), Error> {
        let last = self.blocks.saturating_sub(MAX_REQUEST);
        let number = self.killed;
        let device = self.device()?;
        for part in 0..DOOMED {
            let block = number.wrapping_mul(7919).wrapping_add(part * MAX_REQUEST) % last.max(1);
            device.read(block, MAX_REQUEST, part * PART, part)?;
        }
        device.start()?;
        self.plan.restart(&self.config.driver)?;
        self.killed += 1;
        let device = self.device()?;
        // A request may have been completed before the driver died; the last one cannot have been.
        let outcome = (0..DOOMED).find_map(|_| device.wait().err());
        match outcome {
            Some(Error::Gone) => self.gone += 1,
            Some(error) => log!("wrong: the driver was killed, and the error is: {error}"),
            None => log!("wrong: the driver was killed after it had done everything"),
        }
        Ok(())
    }

    /// A session with the driver's next instance.
    fn reopen(&mut self) -> Result<(), Error> {
        if let Some(device) = self.device.take() {
            device.close()?;
        }
        let device = Device::open(BUFFER)?;
        // Fresh memory, most likely that of the session before: the dead driver's transfer must not end here.
        let untouched = device.view(0, BUFFER)?.iter().all(|byte| *byte == 0);
        self.device = Some(device);
        if !untouched {
            log!("wrong: something has been written to a fresh buffer");
            return Err(Error::Kernel);
        }
        Ok(())
    }
}

impl Source for Card<'_> {
    type Error = Error;

    fn blocks(&self) -> u32 {
        self.blocks
    }

    fn read(&mut self, first: u32, count: u32) -> Result<&[u8], Error> {
        if self.killed < self.config.times {
            self.kill()?;
            self.reopen()?;
        }
        let device = self.device()?;
        device.read(first, count, DOOMED * PART, DOOMED)?;
        device.wait()?.result?;
        device.view(DOOMED * PART, count * BLOCK as u32)
    }
}
