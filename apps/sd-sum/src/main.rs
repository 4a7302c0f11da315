//! Prints the checksum of every file on the SD card.
//!
//! The file system is walked by the library; here it gets its blocks from a Block session, with four requests of 64 KiB under way while
//! the data of an earlier one is hashed where the card has put it.
#![cfg_attr(target_os = "none", no_std, no_main)]

use component::block::Device;
use component::{Env, Error, log};
use zelkova_sd_sum::{BLOCK, Buffers, IN_FLIGHT, MAX_REQUEST, Source, sum};

/// Bytes of one part of the buffer.
const PART: u32 = MAX_REQUEST * BLOCK as u32;
/// One part for each announced read, and one for the others; the session's buffer is a power of two.
const BUFFER: u32 = (PART * (IN_FLIGHT as u32 + 1)).next_power_of_two();
/// The part for reads that were not announced, and their tag.
const OTHER: u32 = IN_FLIGHT as u32;

component::entry!(run);

fn run(_: Env) -> Result<(), Error> {
    let device = Device::open(BUFFER)?;
    let mut source = Blocks { device, announced: [None; IN_FLIGHT], done: [None; IN_FLIGHT + 1], first: 0 };
    let mut buffers = Buffers::new();
    match sum(&mut source, &mut buffers, |file| log!("{file}")) {
        Ok(totals) => {
            log!("{totals}");
            Ok(())
        }
        Err(failure) => {
            log!("sd-sum: error: {failure}");
            Err(Error::Device)
        }
    }
}

/// The card as a source of blocks.
struct Blocks {
    device: Device,
    /// Announced reads that have not been read, by part.
    announced: [Option<(u32, u32)>; IN_FLIGHT],
    /// Completions that nobody has asked for yet, by part.
    done: [Option<Result<(), Error>>; IN_FLIGHT + 1],
    /// The part of the oldest announced read.
    first: usize,
}

impl Blocks {
    /// Waits until the request of a part has completed.
    fn finish(&mut self, part: usize) -> Result<(), Error> {
        loop {
            if let Some(result) = self.done.get_mut(part).and_then(Option::take) {
                return result;
            }
            let completion = self.device.wait()?;
            if let Some(done) = self.done.get_mut(completion.tag as usize) {
                *done = Some(completion.result);
            }
        }
    }
}

impl Source for Blocks {
    type Error = Error;

    fn blocks(&self) -> u32 {
        self.device.info().blocks
    }

    fn prefetch(&mut self, first: u32, count: u32) -> Result<(), Error> {
        let used = self.announced.iter().flatten().count();
        let part = (self.first + used) % IN_FLIGHT;
        let place = self.announced.get_mut(part).filter(|place| place.is_none()).ok_or(Error::Busy)?;
        self.device.read(first, count, part as u32 * PART, part as u32)?;
        self.device.start()?;
        *place = Some((first, count));
        Ok(())
    }

    fn read(&mut self, first: u32, count: u32) -> Result<&[u8], Error> {
        let oldest = self.announced.get(self.first).copied().flatten();
        let part = if oldest == Some((first, count)) {
            let part = self.first;
            if let Some(place) = self.announced.get_mut(part) {
                *place = None;
            }
            self.first = (part + 1) % IN_FLIGHT;
            part as u32
        } else {
            self.device.read(first, count, OTHER * PART, OTHER)?;
            OTHER
        };
        self.finish(part as usize)?;
        self.device.view(part * PART, count * BLOCK as u32)
    }
}
