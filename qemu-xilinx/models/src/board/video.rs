//! The video part of what the PL is configured with.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::command::SlavePath;
use super::description::{DescriptionError, FABRIC, FABRIC_INTERRUPTS};
use crate::vdma::{Options, Vdma};
use crate::video::{Format, Mode, Record, Sink, Source};

/// Bytes of the engine's address window.
const WINDOW: u32 = 0x1_0000;

/// An AXI VDMA with a display behind its read channel and a camera before its write channel (PG020).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Video {
    /// Its address, a multiple of 64 KiB in the PL's windows.
    pub base: u32,
    /// The GIC's number of the read channel's interrupt.
    pub read_interrupt: u32,
    /// The GIC's number of the write channel's interrupt.
    pub write_interrupt: u32,
    /// Frame stores, 1 to 32.
    pub stores: u8,
    /// What the read channel leads to.
    pub display: Option<Stream>,
    /// Where the write channel comes from.
    pub camera: Option<Stream>,
    /// The I2C slave, an `adv7511`, that must be set up before the display shows anything: `i2c1/0x39`. Without it the display shows what arrives.
    pub transmitter: Option<String>,
}

/// A video stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Stream {
    /// Pixels of a line.
    pub width: u32,
    /// Lines. With the width it names a mode: 640 x 480, 800 x 600, 1024 x 768, 1280 x 720 or 1920 x 1080, each with 60 frames a second.
    pub height: u32,
    /// How a pixel lies in memory.
    pub format: Format,
}

impl Default for Video {
    fn default() -> Self {
        Self {
            base: 0x4300_0000,
            read_interrupt: 61,
            write_interrupt: 62,
            stores: 3,
            display: None,
            camera: None,
            transmitter: None,
        }
    }
}

impl Stream {
    fn mode(self) -> Result<Mode, DescriptionError> {
        let Self { width, height, .. } = self;
        Mode::of(width, height).ok_or(DescriptionError::Mode { width, height })
    }
}

impl Video {
    /// Checks what the types allow and hardware does not.
    ///
    /// # Errors
    /// The first mistake.
    pub fn check(&self) -> Result<(), DescriptionError> {
        let base = self.base;
        if !base.is_multiple_of(WINDOW) || !FABRIC.contains(&base) {
            return Err(DescriptionError::Base(base));
        }
        for interrupt in [self.read_interrupt, self.write_interrupt] {
            if !FABRIC_INTERRUPTS.iter().any(|range| range.contains(&interrupt)) {
                return Err(DescriptionError::Interrupt { base, interrupt });
            }
        }
        if !(1..=32).contains(&self.stores) {
            return Err(DescriptionError::Stores(self.stores));
        }
        for stream in [self.display, self.camera].into_iter().flatten() {
            stream.mode()?;
        }
        Ok(())
    }

    /// The path of the transmitter.
    ///
    /// # Errors
    /// It is none.
    pub fn transmitter(&self) -> Result<Option<SlavePath>, DescriptionError> {
        self.transmitter.as_ref().map(|path| path.parse()).transpose().map_err(DescriptionError::Transmitter)
    }

    /// The engine with what is connected to it.
    ///
    /// # Errors
    /// As for [`check`](Self::check).
    pub fn build(&self) -> Result<Vdma, DescriptionError> {
        self.check()?;
        let options = Options { stores: self.stores, ..Options::TRIPLE_BUFFER };
        let display = self.display.map(|stream| Ok(Sink::new(stream.mode()?, stream.format, 0))).transpose()?;
        let camera = self.camera.map(|stream| Ok(Source::new(stream.mode()?, stream.format, 0))).transpose()?;
        Ok(Vdma::new(options, display, camera))
    }
}

/// What is known of the display at the end of a run. Figures are those of the last few thousand frames.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DisplayReport {
    /// Nothing is on it.
    pub blank: bool,
    /// Frames that were scanned out.
    pub frames: u64,
    /// Frames of which lines were missing or of wrong length.
    pub incomplete: u64,
    /// Frames whose lines do not all begin with the same colour: of a picture whose first column holds a number, those that are torn.
    pub mixed: u64,
    /// The most frames in a row each of which was whole and one further than the frame before: of a picture whose first column counts, those without
    /// a torn, a repeated or a lost one.
    pub steady: u64,
    /// The colours 0xRRGGBB that lines began with, of frames that a person could see.
    pub tags: BTreeSet<u32>,
    /// Frames that a person could not see, because the transmitter was not set up.
    pub dark: u64,
}

/// Where the numbers in a picture's first column begin again.
const COUNT: u32 = 1 << 15;

/// The number that a colour 0xRRGGBB stands for: the upper five bits of each channel, blue lowest, as they are in every format.
fn counted(colour: u32) -> u32 {
    colour >> 19 << 10 | (colour >> 11 & 0x1F) << 5 | colour >> 3 & 0x1F
}

impl DisplayReport {
    /// The report of a display.
    pub fn new(sink: &Sink) -> Self {
        let mut report = Self { blank: sink.screen().is_none(), frames: sink.scanned(), ..Self::default() };
        let mut run = 0;
        let mut last: Option<&Record> = None;
        for record in sink.records() {
            if record.dark {
                report.dark += 1;
            } else {
                report.tags.extend(record.runs.iter().map(|run| run.tag));
            }
            if !record.is_complete() {
                report.incomplete += 1;
            } else if record.tag().is_none() {
                report.mixed += 1;
            }
            let follows = last.is_some_and(|last| {
                last.sequence + 1 == record.sequence
                    && last
                        .tag()
                        .zip(record.tag())
                        .is_some_and(|(last, tag)| (counted(last) + 1) % COUNT == counted(tag))
            });
            run = if follows { run + 1 } else { u64::from(record.tag().is_some()) };
            report.steady = report.steady.max(run);
            last = Some(record);
        }
        report
    }
}
