//! The register block of an AXI VDMA in direct register mode.
//!
//! # How the hardware works
//!
//! Each channel has a control and a status register, a size block whose last written register, VSIZE, commits all the others, and start addresses in two banks of
//! 16 (PG020 table 2-5). The park pointer register holds both channels' frame store references in fields of its own.
//!
//! # What this module does
//!
//! [`Block`] gives the registers of one channel, so that code that works on a channel cannot touch the other one's. The park
//! pointer, which they share, is written by [`Block::park`] alone.

use mmio::{ReadOnly, ReadWrite, Registers, Status};
use tock_registers::interfaces::{Readable, Writeable};

pub use fields::{CONTROL, PARK, STATUS, STRIDE, VERSION};

/// Length of the register block in bytes.
pub const LENGTH: usize = 0x100;
/// Start address registers in a bank.
pub const BANK: usize = 16;

/// Which channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// MM2S: from memory to a stream, such as a display.
    Read,
    /// S2MM: from a stream, such as a camera, to memory.
    Write,
}

impl Direction {
    /// Offset of the control registers.
    const fn control(self) -> usize {
        match self {
            Self::Read => 0x00,
            Self::Write => 0x30,
        }
    }

    /// Offset of the size registers.
    const fn sizes(self) -> usize {
        match self {
            Self::Read => 0x50,
            Self::Write => 0xA0,
        }
    }
}

/// The registers of one channel.
#[derive(Clone, Debug)]
pub struct Block<B> {
    back_end: B,
    direction: Direction,
}

impl<B: Registers> Block<B> {
    /// The registers of a channel of the engine behind `back_end`.
    pub const fn new(back_end: B, direction: Direction) -> Self {
        Self { back_end, direction }
    }

    /// Which channel.
    pub const fn direction(&self) -> Direction {
        self.direction
    }

    /// VDMACR.
    pub fn control(&self) -> ReadWrite<'_, B, CONTROL::Register> {
        ReadWrite::new(&self.back_end, self.direction.control())
    }

    /// VDMASR.
    pub fn status(&self) -> Status<'_, B, STATUS::Register> {
        Status::new(&self.back_end, self.direction.control() + 4)
    }

    /// REG_INDEX: the bank of start addresses.
    pub fn index(&self) -> ReadWrite<'_, B> {
        ReadWrite::new(&self.back_end, self.direction.control() + 0x14)
    }

    /// VDMA_VERSION.
    pub fn version(&self) -> ReadOnly<'_, B, VERSION::Register> {
        ReadOnly::new(&self.back_end, 0x2C)
    }

    /// VSIZE: lines. Writing it commits the other sizes and the addresses.
    pub fn lines(&self) -> ReadWrite<'_, B> {
        ReadWrite::new(&self.back_end, self.direction.sizes())
    }

    /// HSIZE: bytes of a line.
    pub fn line_bytes(&self) -> ReadWrite<'_, B> {
        ReadWrite::new(&self.back_end, self.direction.sizes() + 4)
    }

    /// FRMDLY_STRIDE.
    pub fn stride(&self) -> ReadWrite<'_, B, STRIDE::Register> {
        ReadWrite::new(&self.back_end, self.direction.sizes() + 8)
    }

    /// START_ADDRESS register `number` of the bank that [`index`](Self::index) says; `None` from 16 on.
    pub fn address(&self, number: usize) -> Option<ReadWrite<'_, B>> {
        (number < BANK).then(|| ReadWrite::new(&self.back_end, self.direction.sizes() + 0xC + 4 * number))
    }

    /// The frame store that the channel uses, or used last.
    pub fn store(&self) -> u8 {
        let pointers = self.pointers().get();
        let field = match self.direction {
            Direction::Read => PARK::READ_STORE,
            Direction::Write => PARK::WRITE_STORE,
        };
        field.read(pointers) as u8
    }

    /// Makes `store` the frame store that the channel parks on. The other channel's reference stays.
    pub fn park(&self, store: u8) {
        let value = u32::from(store);
        let before = self.pointers().get();
        let [read, write] = match self.direction {
            Direction::Read => [value, PARK::WRITE_REFERENCE.read(before)],
            Direction::Write => [PARK::READ_REFERENCE.read(before), value],
        };
        // The other fields are read-only.
        self.pointers().write(PARK::READ_REFERENCE.val(read) + PARK::WRITE_REFERENCE.val(write));
    }

    fn pointers(&self) -> ReadWrite<'_, B, PARK::Register> {
        ReadWrite::new(&self.back_end, 0x28)
    }

    /// See [`Registers::synchronize`].
    pub fn synchronize(&self) {
        self.back_end.synchronize();
    }
}

#[allow(missing_docs, reason = "the macro generates items that cannot carry documentation")]
mod fields {
    use tock_registers::register_bitfields;

    register_bitfields![u32,
        /// VDMACR (PG020 tables 2-6 and 2-11).
        pub CONTROL [
            /// Run.
            RUN OFFSET(0) NUMBITS(1) [],
            /// Take the frame stores in turn; else park on one.
            CIRCULAR OFFSET(1) NUMBITS(1) [],
            /// Reset the channel; reads 1 until that is done.
            RESET OFFSET(2) NUMBITS(1) [],
            /// Follow the other channel.
            GENLOCK OFFSET(3) NUMBITS(1) [],
            /// Halt after so many frames as FRAME_COUNT says.
            FRAME_COUNT_ENABLE OFFSET(4) NUMBITS(1) [],
            /// The other channel is the one in this engine.
            GENLOCK_INTERNAL OFFSET(7) NUMBITS(1) [],
            /// Interrupt after so many frames as FRAME_COUNT says.
            FRAME_INTERRUPT OFFSET(12) NUMBITS(1) [],
            /// Interrupt when the stream is silent for so long as DELAY says.
            DELAY_INTERRUPT OFFSET(13) NUMBITS(1) [],
            /// Interrupt on errors.
            ERROR_INTERRUPT OFFSET(14) NUMBITS(1) [],
            /// Use the same frame store again after an error.
            REPEAT OFFSET(15) NUMBITS(1) [],
            /// Frames, 1 to 255.
            FRAME_COUNT OFFSET(16) NUMBITS(8) [],
            /// Units of 125 clocks of the stream; 0 is off.
            DELAY OFFSET(24) NUMBITS(8) []
        ],

        /// VDMASR (PG020 tables 2-7 and 2-12).
        pub STATUS [
            /// The channel has halted.
            HALTED OFFSET(0) NUMBITS(1) [],
            /// The data mover failed, or a size is 0; halts.
            INTERNAL OFFSET(4) NUMBITS(1) [],
            /// Memory answered with an error; halts.
            SLAVE OFFSET(5) NUMBITS(1) [],
            /// Nobody decoded the address; halts.
            DECODE OFFSET(6) NUMBITS(1) [],
            /// A frame began before the last one had ended.
            SOF_EARLY OFFSET(7) NUMBITS(1) [],
            /// A line was too short; write channel only.
            EOL_EARLY OFFSET(8) NUMBITS(1) [],
            /// A frame had too many lines; write channel only.
            SOF_LATE OFFSET(11) NUMBITS(1) [],
            /// So many frames are done as were asked for.
            FRAME OFFSET(12) NUMBITS(1) [],
            /// The stream was silent.
            DELAY OFFSET(13) NUMBITS(1) [],
            /// One of the errors.
            ERROR OFFSET(14) NUMBITS(1) [],
            /// A line was too long; write channel only.
            EOL_LATE OFFSET(15) NUMBITS(1) []
        ],

        /// PARK_PTR_REG (PG020 table 2-9).
        pub PARK [
            /// Where the read channel parks.
            READ_REFERENCE OFFSET(0) NUMBITS(5) [],
            /// Where the write channel parks.
            WRITE_REFERENCE OFFSET(8) NUMBITS(5) [],
            /// Where the read channel is.
            READ_STORE OFFSET(16) NUMBITS(5) [],
            /// Where the write channel is.
            WRITE_STORE OFFSET(24) NUMBITS(5) []
        ],

        /// FRMDLY_STRIDE.
        pub STRIDE [
            /// Bytes from the start of a line to that of the next.
            BYTES OFFSET(0) NUMBITS(16) [],
            /// Frames that a genlock slave stays behind.
            DELAY OFFSET(24) NUMBITS(5) []
        ],

        /// VDMA_VERSION (PG020 table 2-10).
        pub VERSION [
            /// Minor version.
            MINOR OFFSET(20) NUMBITS(8) [],
            /// Major version.
            MAJOR OFFSET(28) NUMBITS(4) []
        ]
    ];
}
