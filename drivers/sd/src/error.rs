//! What can go wrong, with what is needed to find out why.

use core::fmt;

use crate::card::Status;
use crate::driver::{MAX_BLOCKS, State};

/// Why something failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// The hardware did not finish in time, and its own time-out did not fire.
    #[error("no answer from the host controller before the deadline; is its clock on and its interrupt routed?")]
    Deadline,
    /// No response to a command.
    #[error("the card did not respond; is it seated, and is it an SD card?")]
    NoResponse,
    /// A response with a wrong CRC, index or end bit.
    #[error("the card's response was corrupt; check the CMD line and the clock")]
    ResponseCorrupt,
    /// Data, or the end of busy, did not come in time.
    #[error("the card sent no data, or stayed busy, beyond the data time-out")]
    DataTimeout,
    /// Data with a wrong CRC or end bit, in either direction.
    #[error("data was corrupt on the way; check the DAT lines and the clock")]
    DataCorrupt,
    /// The host controller cut the supply.
    #[error("the card draws too much current")]
    CurrentLimit,
    /// The command that ends a multi-block transfer failed.
    #[error("Auto-CMD12 failed")]
    AutoStop,
    /// ADMA found a bad descriptor, or data and descriptors of different length.
    #[error("the DMA engine rejected the descriptor table")]
    Dma,
    /// The host controller got an error from the bus.
    #[error("the host controller got a bus error; check the bus addresses of the request")]
    HostBus,
    /// The card reports an error in its status.
    #[error("the card reports an error: {0:?} (bits as in PHY 4.10.1)")]
    Card(Status),
    /// The card did not finish powering up.
    #[error("the card did not finish powering up within 1 s; it may be damaged")]
    NeverReady,
    /// The card does not work at 3.3 V.
    #[error("the card does not accept 3.3 V")]
    Voltage,
    /// The card mirrors another check pattern.
    #[error("the card mirrored the wrong check pattern")]
    Echo,
    /// A CSD structure of a later standard (SDUC), or an impossible one.
    #[error("the card's CSD is of an unknown kind; only SDSC, SDHC and SDXC cards are supported")]
    UnknownCard,
    /// The host controller has no ADMA2.
    #[error("the host controller has no ADMA2")]
    NoAdma2,
    /// The base clock is not known.
    #[error("the base clock is unknown; give its frequency, the capabilities register has none")]
    BaseClockUnknown,
    /// The base clock cannot be divided down to 400 kHz.
    #[error("a base clock of {0} Hz is too fast; set it to 102.4 MHz at most")]
    BaseClockTooFast(u32),
    /// The card was removed.
    #[error("the card was removed")]
    Removed,
}

/// The registers at the time of an [`Error`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Interrupt status, before it was cleared.
    pub interrupt_status: u32,
    /// Present state.
    pub present_state: u32,
    /// Clock, time-out and reset.
    pub clock: u32,
    /// First word of the response.
    pub response: u32,
    /// Auto CMD12 error status.
    pub auto_command_error: u32,
    /// ADMA error status.
    pub adma_error: u32,
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { interrupt_status, present_state, clock, response, auto_command_error, adma_error } = self;
        write!(
            f,
            "interrupt status {interrupt_status:#010x}, present state {present_state:#010x}, clock {clock:#010x}, \
             response {response:#010x}, auto command error {auto_command_error:#x}, ADMA error {adma_error:#x}"
        )
    }
}

/// Something went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{cause} (CMD{command} with argument {argument:#010x}, {state:?}; {registers})")]
pub struct Error {
    /// Why.
    pub cause: Cause,
    /// What the driver was doing.
    pub state: State,
    /// The latest command, 0 to 63. Application commands carry their number without the "A".
    pub command: u8,
    /// Argument of the latest command.
    pub argument: u32,
    /// The registers.
    pub registers: Snapshot,
}

/// Why a request was refused. The driver's state is as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// There is no card, or it is not up yet.
    #[error("no card is ready")]
    NotReady,
    /// A request is in flight.
    #[error("a request is in flight; wait for its end")]
    Busy,
    /// No block, or more than [`MAX_BLOCKS`].
    #[error("a request moves 1 to {MAX_BLOCKS} blocks, not {count}; split it")]
    Count {
        /// The blocks of the request.
        count: u32,
    },
    /// Beyond the end of the card.
    #[error("blocks {block} to {block}+{count} reach beyond the card's {blocks} blocks")]
    OutOfRange {
        /// First block of the request.
        block: u32,
        /// Blocks of the request.
        count: u32,
        /// Blocks of the card.
        blocks: u64,
    },
    /// The card must not be written to.
    #[error("the card is write-protected")]
    ReadOnly,
    /// A segment is empty, or its address or length is no multiple of 4.
    #[error("segment {address:#010x}+{length:#x}: address and length must be multiples of 4, the length not 0")]
    Misaligned {
        /// Bus address of the segment.
        address: u32,
        /// Bytes of the segment.
        length: u32,
    },
    /// The segments do not hold exactly the blocks of the request, or wrap around the end of memory.
    #[error("the segments do not hold exactly {expected} bytes")]
    Length {
        /// Bytes of the request.
        expected: u32,
    },
    /// More descriptors than the table holds.
    #[error("the request needs {needed} descriptors, the table holds {capacity}; split it")]
    TooManySegments {
        /// Descriptors needed.
        needed: usize,
        /// Descriptors there.
        capacity: usize,
    },
}
