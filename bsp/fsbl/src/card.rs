//! The SD card as a block device.
//!
//! The controller is driven by the state machine that the system's SD driver uses ([`sd::Driver`]), polled instead of woken by
//! interrupts. The file system reads block by block; a card gives many blocks as fast as one. So reads go through a few windows of
//! blocks each: one follows a file, another its chain in the FAT, and none throws the other out.

use core::cell::{Cell, RefCell};
use core::sync::atomic::{AtomicU32, Ordering};

use embedded_sdmmc::{Block, BlockCount, BlockDevice, BlockIdx};
use mmio::Registers;
use sd::{Direction, Driver, Event, Segment, Transfer};
use thiserror::Error;

use crate::time::Time;

/// Blocks in a window.
pub const WINDOW: u32 = 32;
/// Windows.
pub const WINDOWS: usize = 3;
/// Words of memory that the windows take.
pub const WINDOW_WORDS: usize = WINDOWS * WINDOW as usize * Block::LEN / 4;

/// How long the driver may take in all to bring a card up or to move a window, in microseconds. It has deadlines of its own for each step; this one is behind
/// them all.
const PATIENCE: u64 = 30_000_000;

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CardError {
    /// The slot is empty.
    #[error("there is no card in the slot")]
    NoCard,
    /// The card, or the controller, reports an error, or the card was taken out.
    #[error(transparent)]
    Failed(sd::Error),
    /// The driver refuses a request: it is beyond the end of the card.
    #[error(transparent)]
    Refused(sd::SubmitError),
    /// The driver is at a loss.
    #[error("the SD driver does not come to an end")]
    Stuck,
    /// Nothing is ever written.
    #[error("the boot loader does not write to the card")]
    ReadOnly,
}

/// Memory for the blocks, shared with the controller's DMA engine.
#[derive(Debug)]
pub struct Buffer<'a> {
    cells: &'a [AtomicU32],
    bus_address: u32,
}

impl<'a> Buffer<'a> {
    /// The first [`WINDOW_WORDS`] of `cells`, which the DMA engine sees at `bus_address`. With fewer, nothing can be read.
    pub const fn new(cells: &'a [AtomicU32], bus_address: u32) -> Self {
        Self { cells, bus_address }
    }
}

/// Blocks that are in memory.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    first: u32,
    count: u32,
    /// When it was used last, in reads.
    used: u32,
}

impl Window {
    fn holds(&self, block: u32) -> bool {
        block.wrapping_sub(self.first) < self.count
    }
}

/// A card that is up.
#[derive(Debug)]
pub struct Card<'a, B, T> {
    driver: RefCell<Driver<'a, B>>,
    blocks: u32,
    buffer: Buffer<'a>,
    windows: Cell<[Window; WINDOWS]>,
    reads: Cell<u32>,
    failure: Cell<Option<CardError>>,
    time: T,
}

impl<'a, B: Registers, T: Time> Card<'a, B, T> {
    /// Brings the card up.
    ///
    /// # Errors
    /// [`CardError`]
    pub fn start(mut driver: Driver<'a, B>, buffer: Buffer<'a>, time: T) -> Result<Self, CardError> {
        let first = driver.start(time.micros());
        let card = match event(&mut driver, first, &time)? {
            Event::Ready(card) => card,
            Event::NoCard => return Err(CardError::NoCard),
            Event::Failed(error) | Event::Done(Err(error)) => return Err(CardError::Failed(error)),
            Event::Done(Ok(())) => return Err(CardError::Stuck),
        };
        Ok(Self {
            driver: RefCell::new(driver),
            blocks: u32::try_from(card.blocks).unwrap_or(u32::MAX),
            buffer,
            windows: Cell::default(),
            reads: Cell::new(0),
            failure: Cell::new(None),
            time,
        })
    }

    /// The first error since the start. File systems do not pass all of them on.
    pub fn failure(&self) -> Option<CardError> {
        self.failure.get()
    }

    /// What the card says about itself.
    pub fn describe(&self) -> Option<sd::Card> {
        self.driver.borrow().card().copied()
    }

    /// The words of a block, from a window.
    fn block(&self, block: u32) -> Result<&[AtomicU32], CardError> {
        let mut windows = self.windows.get();
        let now = self.reads.get().wrapping_add(1);
        self.reads.set(now);
        let index = match windows.iter().position(|window| window.holds(block)) {
            Some(index) => index,
            None => {
                let oldest = windows.iter().enumerate().max_by_key(|(_, window)| now.wrapping_sub(window.used));
                let index = oldest.map_or(0, |(index, _)| index);
                let count = WINDOW.min(self.blocks.saturating_sub(block)).max(1);
                // Whatever becomes of the transfer, what was there is gone.
                if let Some(window) = windows.get_mut(index) {
                    *window = Window::default();
                    self.windows.set(windows);
                }
                self.fetch(index, block, count)?;
                if let Some(window) = windows.get_mut(index) {
                    *window = Window { first: block, count, used: now };
                }
                index
            }
        };
        let Some(window) = windows.get_mut(index) else { return Err(CardError::Stuck) };
        window.used = now;
        let place = index * WINDOW as usize + (block - window.first) as usize;
        self.windows.set(windows);
        let words = Block::LEN / 4;
        self.buffer.cells.get(place * words..(place + 1) * words).ok_or(CardError::Stuck)
    }

    /// Reads blocks into a window.
    fn fetch(&self, window: usize, block: u32, count: u32) -> Result<(), CardError> {
        let mut driver = self.driver.borrow_mut();
        let offset = window as u32 * WINDOW * Block::LEN_U32;
        let segments = [Segment { address: self.buffer.bus_address + offset, length: count * Block::LEN_U32 }];
        if self.buffer.cells.len() < WINDOW_WORDS {
            return Err(CardError::Stuck);
        }
        let transfer = Transfer { block, count, direction: Direction::Read, segments: &segments };
        if let Err(refusal) = driver.submit(&transfer, self.time.micros()) {
            // A card that went unnoticed between two requests is told apart from a request that is wrong.
            return Err(match event(&mut driver, None, &self.time) {
                Ok(Event::NoCard) => CardError::NoCard,
                Ok(Event::Failed(error)) => CardError::Failed(error),
                _ => CardError::Refused(refusal),
            });
        }
        match event(&mut driver, None, &self.time)? {
            Event::Done(Ok(())) => Ok(()),
            Event::Done(Err(error)) | Event::Failed(error) => Err(CardError::Failed(error)),
            Event::NoCard => Err(CardError::NoCard),
            Event::Ready(_) => Err(CardError::Stuck),
        }
    }
}

/// Lets the driver run up to its next event.
fn event<B: Registers>(driver: &mut Driver<'_, B>, first: Option<Event>, time: &impl Time) -> Result<Event, CardError> {
    if let Some(event) = first {
        return Ok(event);
    }
    let end = time.micros().saturating_add(PATIENCE);
    loop {
        let now = time.micros();
        let is_late = now >= end;
        if let Some(event) = driver.on_interrupt(now).or_else(|| driver.on_time(now)) {
            return Ok(event);
        }
        // Between requests there is nothing to come.
        if is_late || driver.state() == sd::State::Ready {
            return Err(CardError::Stuck);
        }
    }
}

impl<B: Registers, T: Time> BlockDevice for Card<'_, B, T> {
    type Error = CardError;

    fn read(&self, blocks: &mut [Block], start: BlockIdx) -> Result<(), CardError> {
        for (block, index) in blocks.iter_mut().zip(start.0..) {
            let words = self.block(index).inspect_err(|error| {
                if self.failure.get().is_none() {
                    self.failure.set(Some(*error));
                }
            })?;
            let (bytes, _) = block.contents.as_chunks_mut();
            for (bytes, word) in bytes.iter_mut().zip(words) {
                *bytes = word.load(Ordering::Relaxed).to_le_bytes();
            }
        }
        Ok(())
    }

    fn write(&self, _blocks: &[Block], _start: BlockIdx) -> Result<(), CardError> {
        Err(CardError::ReadOnly)
    }

    fn num_blocks(&self) -> Result<BlockCount, CardError> {
        Ok(BlockCount(self.blocks))
    }
}
