//! Everything that can go wrong, with its number of flashes.

use thiserror::Error;

use crate::card::CardError;
use crate::image::ImageError;
use crate::{clocks, memory, pcap};

/// Why the boot loader gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Failure {
    /// Loops, clocks, pins.
    #[error(transparent)]
    Clocks(#[from] clocks::Fault),
    /// The memory.
    #[error(transparent)]
    Memory(#[from] memory::Fault),
    /// There is no card.
    #[error("there is no card in the slot")]
    NoCard,
    /// The card does not work, or was taken out.
    #[error("cannot read the card: {0}")]
    Card(CardError),
    /// The card has no file system that can be read.
    #[error("no FAT file system in the first partition of the card: {0}")]
    NoFileSystem(&'static str),
    /// The file is not there.
    #[error("there is no {0} in the root directory of the card")]
    NoFile(&'static str),
    /// The file is too large for the memory that is there to read it into.
    #[error("{name} has {size} bytes; there is room for {room}")]
    TooLarge {
        /// The file.
        name: &'static str,
        /// Its size.
        size: u32,
        /// Bytes that it may have.
        room: u32,
    },
    /// The image does not verify.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The programmable logic cannot be configured.
    #[error("partition {0}: {1}")]
    Logic(u32, pcap::Fault),
    /// A fault of this program.
    #[error("a fault of the boot loader itself")]
    Internal,
}

impl Failure {
    /// How often the LED flashes: 1 to 12. See `docs/zedboard.md`.
    pub const fn code(&self) -> u8 {
        match self {
            Self::Clocks(_) => 1,
            Self::Memory(_) => 2,
            Self::NoCard | Self::Card(CardError::NoCard) => 3,
            Self::Card(_) => 4,
            Self::NoFileSystem(_) => 5,
            Self::NoFile(_) => 6,
            Self::Image(error) => match error {
                ImageError::Md5(_) => 8,
                ImageError::Headers(_)
                | ImageError::Partition(..)
                | ImageError::Unsigned(_)
                | ImageError::NotSigned => 9,
                ImageError::Place { .. } | ImageError::NoEntry | ImageError::Entry(_) => 10,
                _ => 7,
            },
            Self::TooLarge { .. } => 10,
            Self::Logic(..) => 11,
            Self::Internal => 12,
        }
    }

    /// Whether another image on the same card may fare better.
    pub const fn is_of_image(&self) -> bool {
        matches!(self, Self::NoFile(_) | Self::Image(_) | Self::TooLarge { .. } | Self::Logic(..))
    }
}
