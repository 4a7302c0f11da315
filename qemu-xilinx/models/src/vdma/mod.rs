//! An AXI Video Direct Memory Access engine (AXI VDMA 6.3) in direct register mode.
//!
//! # How the hardware works
//!
//! The engine has two channels: MM2S reads frames from memory and sends them to a display, S2MM takes frames from a camera and writes them to
//! memory. Each knows up to 32 places for frames (frame stores), which it takes in turn or *parks* on one of them. Software sets the channel running, writes
//! addresses, stride and line length, and last the number of lines: that write commits them all, and they hold from the
//! next frame on. A frame begins at a frame sync, and at that moment the channel decides which frame store is next. Lines are moved
//! when they are needed. With genlock, one channel follows the other through the frame stores, or keeps out of its way.
//!
//! # What this module does
//!
//! [`Vdma`] follows *AXI Video Direct Memory Access v6.3 Product Guide* (PG020) in simulated time, with a [`Sink`] behind MM2S and a [`Source`] before
//! S2MM. Lines are read in groups as large as the line buffer, when the beam is there: software that writes into a frame store while it is
//! shown sees a torn picture. Every begin and end of a frame's transfer is in a log ([`Vdma::transfers`]), so that a test can tell
//! what the engine touched when. Where PG020 leaves behaviour open, the model takes this:
//!
//! - Without a realignment engine, the low bits of addresses, line length and stride that PG020 demands to be zero are ignored, with a
//!   complaint.
//! - Parked on a frame store that does not exist, it uses frame store 0, with a complaint.
//! - A write of VSIZE while the channel does not run commits nothing, with a complaint.
//! - After an error that halts the channel, setting RS does nothing until the channel has been reset, with a complaint.
//!
//! # What it does not do
//!
//! Scatter/gather (gone since version 6), addresses of more than 32 bits, vertical flip, the debug registers at 0x18 to 0x24 and 0xF0, 0xF4 except
//! the sizes at which a stream failed, external frame pointers.

mod channel;

use std::collections::VecDeque;

use channel::{Channel, Direction, Parameters};
pub use channel::{FrameSync, Genlock};

use crate::complaints::Complaints;
use crate::frames::Watch;
use crate::video::{Sink, Source};
use crate::{Device, Memory, Width};

/// Bytes of the register block that are decoded.
const LENGTH: u32 = 0x100;
/// Entries of the log that are kept.
const TRANSFERS: usize = 4096;
/// Frame stores that exist at most.
const STORES: usize = 32;

/// Registers of the engine as a whole; those of a channel are in [`channel`].
mod offset {
    pub(super) const PARK_PTR: u32 = 0x28;
    pub(super) const VERSION: u32 = 0x2C;
}

/// How the engine is built: the parameters of its instance in the bitstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Frame stores, 1 to 32.
    pub stores: u8,
    /// Bytes of the memory-mapped data path, which addresses, line lengths and strides are multiples of.
    pub alignment: u32,
    /// A data realignment engine: addresses and lengths may have any alignment.
    pub realignment: bool,
    /// Lines that the line buffers hold: how many are moved at a time.
    pub buffered_lines: u32,
    /// What begins a frame of the read channel.
    pub read_sync: FrameSync,
    /// Genlock mode of the read channel.
    pub read_genlock: Genlock,
    /// Genlock mode of the write channel.
    pub write_genlock: Genlock,
    /// From a reset request until its bit reads 0, in ns.
    pub reset_time: u64,
    /// Unit of the delay counters in ns: 125 periods of the stream's clock (C_DLYTMR_RESOLUTION).
    pub delay_resolution: u64,
}

impl Options {
    /// Both channels, three frame stores, 64 bit, as PG020's triple buffer example: the write channel is dynamic genlock master, the read channel its slave.
    /// Streams are clocked with 150 MHz.
    pub const TRIPLE_BUFFER: Self = Self {
        stores: 3,
        alignment: 8,
        realignment: false,
        buffered_lines: 8,
        read_sync: FrameSync::External,
        read_genlock: Genlock::DynamicSlave,
        write_genlock: Genlock::DynamicMaster,
        reset_time: 1_000,
        delay_resolution: 833,
    };
}

/// Which channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// MM2S: from memory to the display.
    Read,
    /// S2MM: from the camera to memory.
    Write,
}

/// A failure on demand, of the next group of lines that a channel moves or of its next reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Memory answers with a slave error.
    Slave,
    /// Nobody decodes the address.
    Decode,
    /// The data mover fails internally.
    Internal,
    /// The next reset does not end, until [`Vdma::clear_faults`].
    Reset,
}

/// A frame's transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// The channel.
    pub channel: Which,
    /// The frame store.
    pub store: u8,
    /// Address of its first line.
    pub address: u32,
    /// From its first byte to the byte behind its last.
    pub bytes: u32,
    /// When the first line was due, in ns.
    pub begun: u64,
    /// After that the engine touches the frame store no more; `None`: it still does.
    pub ended: Option<u64>,
}

/// The engine with what is connected to it.
#[derive(Debug)]
pub struct Vdma {
    options: Options,
    read: Channel,
    write: Channel,
    /// Frame store references for parking: read, write.
    park: [u8; 2],
    sink: Option<Sink>,
    source: Option<Source>,
    /// When the sink and the source have something to do.
    sink_due: Option<u64>,
    source_due: Option<u64>,
    transfers: VecDeque<Transfer>,
    complaints: Complaints,
    watch: Option<Watch>,
    /// The latest time that has been seen.
    seen: u64,
}

impl Vdma {
    /// An engine after reset. Without a sink or a source the stream on that side does not move.
    pub fn new(options: Options, sink: Option<Sink>, source: Option<Source>) -> Self {
        Self {
            options,
            read: Channel::new(Direction::Read, options),
            write: Channel::new(Direction::Write, options),
            park: [0; 2],
            sink,
            source,
            sink_due: None,
            source_due: None,
            transfers: VecDeque::new(),
            complaints: Complaints::new(),
            watch: None,
            seen: 0,
        }
    }

    /// Has `watch` told from now on where the channels are pointed and what they move.
    pub fn watch(&mut self, watch: Watch) {
        self.watch = Some(watch);
    }

    /// The display.
    pub fn sink(&self) -> Option<&Sink> {
        self.sink.as_ref()
    }

    /// The display.
    pub fn sink_mut(&mut self) -> Option<&mut Sink> {
        self.sink.as_mut()
    }

    /// Changes the pixel clock of the display; 0 stops it.
    pub fn set_pixel_clock(&mut self, pixel_clock: u32, now: u64) {
        if let Some(sink) = &mut self.sink {
            sink.set_pixel_clock(pixel_clock, now);
        }
        self.sink_due = None;
        self.schedule(now);
    }

    /// The camera.
    pub fn source(&self) -> Option<&Source> {
        self.source.as_ref()
    }

    /// The camera.
    pub fn source_mut(&mut self) -> Option<&mut Source> {
        self.source.as_mut()
    }

    /// Transfers of the last frames, oldest first.
    pub fn transfers(&self) -> impl Iterator<Item = &Transfer> {
        self.transfers.iter()
    }

    /// Whether the engine is in the middle of a transfer that touches one of `bytes` bytes from `address` on.
    pub fn is_touching(&self, address: u32, bytes: u32) -> bool {
        self.transfers.iter().any(|transfer| {
            transfer.ended.is_none()
                && u64::from(transfer.address) < u64::from(address) + u64::from(bytes)
                && u64::from(address) < u64::from(transfer.address) + u64::from(transfer.bytes)
        })
    }

    /// Lets something fail.
    pub fn inject(&mut self, channel: Which, fault: Fault) {
        match channel {
            Which::Read => self.read.inject(fault),
            Which::Write => self.write.inject(fault),
        }
    }

    /// Ends every fault of a channel. A reset that is stuck ends.
    pub fn clear_faults(&mut self, channel: Which, now: u64) {
        self.channel(channel).clear_faults(now);
    }

    /// A pulse at the reset input, now: all registers have their reset values.
    pub fn reset(&mut self) {
        let now = self.seen;
        for channel in [Which::Read, Which::Write] {
            self.end_transfer(channel, now);
        }
        self.read = Channel::new(Direction::Read, self.options);
        self.write = Channel::new(Direction::Write, self.options);
        self.park = [0; 2];
        self.schedule(now);
    }

    fn complain(&mut self, text: impl FnOnce() -> String) {
        self.complaints.add(text);
    }

    fn channel(&mut self, which: Which) -> &mut Channel {
        match which {
            Which::Read => &mut self.read,
            Which::Write => &mut self.write,
        }
    }

    fn park_pointer(&self) -> u32 {
        u32::from(self.park[0])
            | u32::from(self.park[1]) << 8
            | u32::from(self.read.store()) << 16
            | u32::from(self.write.store()) << 24
    }

    fn log_begin(&mut self, channel: Which, store: u8, parameters: &Parameters, now: u64) {
        if let Some(watch) = &self.watch {
            watch.begin(channel, now);
        }
        if self.transfers.len() == TRANSFERS {
            self.transfers.pop_front();
        }
        self.transfers.push_back(Transfer {
            channel,
            store,
            address: parameters.address(store),
            bytes: parameters.bytes(),
            begun: now,
            ended: None,
        });
    }

    fn end_transfer(&mut self, channel: Which, now: u64) {
        for transfer in self.transfers.iter_mut().rev() {
            if transfer.channel == channel {
                transfer.ended = transfer.ended.or(Some(now));
                break;
            }
        }
    }

    /// Something has changed that decides when the sink and the source are looked at next. Frames that begin before `now` have begun.
    fn schedule(&mut self, now: u64) {
        self.point(now);
        self.sink_due = match &self.sink {
            None => None,
            Some(sink) => match sink.next_line() {
                Some(line) => Some(line),
                // Nobody looks at a screen that stays blank.
                None if sink.runs() && (self.read.is_running() || sink.holds_picture()) => {
                    self.sink_due.or_else(|| Some(sink.next_sync(now)))
                }
                None => None,
            },
        };
        self.source_due = match &self.source {
            None => None,
            Some(source) => match source.next_line() {
                Some(line) => Some(line),
                None if self.write.is_running() => self.source_due.or_else(|| Some(source.next_start(now))),
                None => None,
            },
        };
    }

    /// Tells where the channels are pointed.
    fn point(&self, now: u64) {
        let Some(watch) = &self.watch else { return };
        for (which, channel) in [(Which::Read, &self.read), (Which::Write, &self.write)] {
            watch.point(which, channel.pointed(), now);
        }
    }

    /// The read channel begins a frame, if it has one.
    fn read_begin(&mut self, now: u64) {
        let other = self.write.pointers();
        let started = self.read.sync(self.park[0], other, now);
        if let Some(text) = self.read.take_complaint() {
            self.complain(|| text);
        }
        self.end_transfer(Which::Read, now);
        if let Some((store, parameters)) = started {
            self.log_begin(Which::Read, store, &parameters, now);
        }
    }

    /// A vertical sync of the display.
    fn sink_sync(&mut self, now: u64) {
        if self.options.read_sync == FrameSync::External || !self.read.is_in_frame() {
            self.read_begin(now);
        }
        let Some(sink) = &mut self.sink else { return };
        if self.read.is_in_frame() { sink.begin(now) } else { sink.blank(now) }
    }

    /// The beam has reached lines that have not been taken.
    fn sink_lines(&mut self, now: u64, memory: &mut dyn Memory) {
        let left = self.sink.as_ref().map_or(0, Sink::lines_left);
        let mut line = Vec::new();
        let watch = self.watch.clone();
        for _ in 0..left.min(self.options.buffered_lines.max(1)) {
            let moved = match &watch {
                Some(watch) => self.read.read_line(&mut watch.over(memory, now), &mut line, now),
                None => self.read.read_line(memory, &mut line, now),
            };
            if !self.read.is_in_frame() {
                self.end_transfer(Which::Read, now);
                if self.options.read_sync == FrameSync::FreeRun {
                    self.read_begin(now);
                }
            }
            let Some(sink) = &mut self.sink else { return };
            if sink.take(moved.then_some(line.as_slice()), now) {
                self.sink_sync(now);
                return;
            }
        }
    }

    fn source_begin(&mut self, now: u64) {
        let other = self.read.pointers();
        let park = self.park[1];
        let started = self.write.sync(park, other, now);
        if let Some(text) = self.write.take_complaint() {
            self.complain(|| text);
        }
        self.end_transfer(Which::Write, now);
        if let Some((store, parameters)) = started {
            self.log_begin(Which::Write, store, &parameters, now);
        }
        if let Some(source) = &mut self.source {
            source.begin(now);
        }
    }

    fn source_lines(&mut self, now: u64, memory: &mut dyn Memory) {
        let Some(source) = &mut self.source else { return };
        for _ in 0..self.options.buffered_lines.max(1) {
            let Some(line) = source.line() else { break };
            match &self.watch {
                Some(watch) => self.write.write_line(&mut watch.over(memory, now), &line, now),
                None => self.write.write_line(memory, &line, now),
            }
        }
        if !self.write.is_running() {
            source.stop();
        }
        if !self.write.is_in_frame() {
            self.end_transfer(Which::Write, now);
        }
    }
}

impl Device for Vdma {
    fn length(&self) -> u32 {
        LENGTH
    }

    fn read(&mut self, offset: u32, width: Width, now: u64) -> u32 {
        self.seen = self.seen.max(now);
        let word = offset & !3;
        let value = match word {
            offset::PARK_PTR => self.park_pointer(),
            // Major version 6, minor version 0x20 (PG020 table 2-10).
            offset::VERSION => 0x6200_0000,
            _ => match channel::locate(word) {
                Some((Direction::Read, register)) => self.read.register(register, now),
                Some((Direction::Write, register)) => self.write.register(register, now),
                None => {
                    self.complain(|| format!("VDMA: read of the reserved register {word:#04x}"));
                    0
                }
            },
        };
        match width {
            Width::Word => value,
            Width::Half => value >> (8 * (offset & 2)) & 0xFFFF,
            Width::Byte => value >> (8 * (offset & 3)) & 0xFF,
        }
    }

    fn write(&mut self, offset: u32, width: Width, value: u32, now: u64) {
        self.seen = self.seen.max(now);
        if width != Width::Word || !offset.is_multiple_of(4) {
            self.complain(|| {
                format!("VDMA: write of {} bytes at {offset:#04x}; its registers are words", width.bytes())
            });
            return;
        }
        match offset {
            offset::PARK_PTR => {
                self.park = [value as u8 & 0x1F, (value >> 8) as u8 & 0x1F];
            }
            offset::VERSION => self.complain(|| "VDMA: write of the version".into()),
            _ => {
                let Some((direction, register)) = channel::locate(offset) else {
                    self.complain(|| format!("VDMA: write of the reserved register {offset:#04x}"));
                    return;
                };
                let which = match direction {
                    Direction::Read => Which::Read,
                    Direction::Write => Which::Write,
                };
                let channel = self.channel(which);
                channel.set_register(register, value, now);
                let complaint = channel.take_complaint();
                let idle = !channel.is_in_frame();
                if let Some(text) = complaint {
                    self.complain(|| text);
                }
                if idle {
                    self.end_transfer(which, now);
                }
            }
        }
        self.schedule(now);
    }

    fn interrupts(&self) -> u32 {
        u32::from(self.read.interrupt()) | u32::from(self.write.interrupt()) << 1
    }

    fn next_event(&self) -> Option<u64> {
        [self.sink_due, self.source_due, self.read.due(), self.write.due()].into_iter().flatten().min()
    }

    fn advance(&mut self, now: u64, memory: &mut dyn Memory) {
        self.seen = self.seen.max(now);
        while let Some(due) = self.next_event().filter(|due| *due <= now) {
            let reset_or_delay = [self.read.due(), self.write.due()].contains(&Some(due));
            if reset_or_delay {
                for which in [Which::Read, Which::Write] {
                    if self.channel(which).tick(due) {
                        self.end_transfer(which, due);
                        match which {
                            Which::Read => self.park[0] = 0,
                            Which::Write => self.park[1] = 0,
                        }
                    }
                }
                self.schedule(due);
                continue;
            }
            if self.sink_due == Some(due) {
                self.sink_due = None;
                match self.sink.as_ref().and_then(Sink::next_line) {
                    Some(_) => self.sink_lines(due, memory),
                    None => self.sink_sync(due),
                }
            } else {
                self.source_due = None;
                match self.source.as_ref().and_then(Source::next_line) {
                    Some(_) => self.source_lines(due, memory),
                    None => self.source_begin(due),
                }
            }
            // What has just been done is not due again.
            self.schedule(due + 1);
        }
    }

    fn complaints(&mut self) -> Vec<String> {
        self.complaints.take()
    }
}
