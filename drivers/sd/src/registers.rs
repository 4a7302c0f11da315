//! The register block of a standard SD host controller.
//!
//! # How the hardware works
//!
//! The controller of the Zynq-7000 (Arasan, host specification 2.00) shows 256 bytes of registers. The specification
//! names 8, 16 and 32 bit registers; UG585 appendix B.27 lists the very same bytes as 32 bit words, and every pair that
//! shares a word belongs together: block size and count, transfer mode and command, normal and error status. This
//! driver therefore uses aligned 32 bit accesses only, which SDHC allows for every register (table 1-4). One store starts a
//! command with its transfer mode, one load sees all interrupt causes.
//!
//! # What this module does
//!
//! [`Registers`] is a back end: something that can load and store a [`Word`]. [`Block`] puts typed handles over it,
//! with the fields of `tock-registers`. The kind of a handle says what may be done: a [`WriteOneToClear`] register has
//! no `modify`, so a status bit that nobody looked at cannot be lost by a read-modify-write.

use core::marker::PhantomData;
use core::sync::atomic::{Ordering, fence};

use tock_registers::RegisterLongName;
use tock_registers::fields::FieldValue;
use tock_registers::interfaces::{Readable, Writeable};

pub use fields::{
    ADMA_ERROR, AUTO_COMMAND, BLOCK, CAPABILITIES, CLOCK, COMMAND, HOST_CONTROL, INTERRUPT, PRESENT_STATE, VERSION,
};

/// A 32 bit word of the register block. The value is its byte offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Word {
    /// Block size and block count.
    Block = 0x04,
    /// Command argument.
    Argument = 0x08,
    /// Transfer mode and command; storing it starts the command.
    Command = 0x0C,
    /// Response bits 39:8 of a 48 bit response, 39:8 of a 136 bit one.
    Response0 = 0x10,
    /// Response bits 71:40 of a 136 bit response.
    Response1 = 0x14,
    /// Response bits 103:72 of a 136 bit response.
    Response2 = 0x18,
    /// Response bits 127:104 of a 136 bit response, or the response to Auto CMD12.
    Response3 = 0x1C,
    /// Port to the data buffer for transfers without DMA.
    BufferData = 0x20,
    /// Lines, pins and what is in progress.
    PresentState = 0x24,
    /// Host control, power control, block gap control and wake-up control.
    HostControl = 0x28,
    /// Clock control, time-out control and software reset.
    Clock = 0x2C,
    /// Normal and error interrupt status, write one to clear.
    InterruptStatus = 0x30,
    /// Which causes may set their status bit.
    StatusEnable = 0x34,
    /// Which status bits raise the interrupt line.
    SignalEnable = 0x38,
    /// Auto CMD12 error status.
    AutoCommandError = 0x3C,
    /// Capabilities.
    Capabilities = 0x40,
    /// ADMA error status.
    AdmaError = 0x54,
    /// Bus address of the descriptor that ADMA fetches next.
    AdmaAddress = 0x58,
    /// Slot interrupt status and host controller version.
    Version = 0xFC,
}

impl Word {
    /// The byte offset from the start of the register block, a multiple of 4 below [`LENGTH`].
    #[inline]
    pub const fn offset(self) -> usize {
        self as usize
    }
}

/// The length of the register block in bytes.
pub const LENGTH: usize = 0x100;

const _: () = assert!(Word::Version.offset() + size_of::<u32>() == LENGTH);

/// A back end: the controller itself, or a model of it.
pub trait Registers {
    /// Loads a word.
    fn read(&self, word: Word) -> u32;

    /// Stores a word.
    fn write(&self, word: Word, value: u32);

    /// Orders the processor's memory accesses before this call against register accesses and DMA after it.
    #[inline]
    fn synchronize(&self) {
        fence(Ordering::SeqCst);
    }
}

impl<T: Registers + ?Sized> Registers for &T {
    #[inline]
    fn read(&self, word: Word) -> u32 {
        (**self).read(word)
    }

    #[inline]
    fn write(&self, word: Word, value: u32) {
        (**self).write(word, value);
    }

    #[inline]
    fn synchronize(&self) {
        (**self).synchronize();
    }
}

/// A register that can only be read.
pub struct ReadOnly<'a, B, R> {
    back_end: &'a B,
    word: Word,
    register: PhantomData<R>,
}

impl<B: Registers, R: RegisterLongName> Readable for ReadOnly<'_, B, R> {
    type T = u32;
    type R = R;

    #[inline]
    fn get(&self) -> u32 {
        self.back_end.read(self.word)
    }
}

/// A register that reads back what was written.
pub struct ReadWrite<'a, B, R> {
    back_end: &'a B,
    word: Word,
    register: PhantomData<R>,
}

impl<B: Registers, R: RegisterLongName> Readable for ReadWrite<'_, B, R> {
    type T = u32;
    type R = R;

    #[inline]
    fn get(&self) -> u32 {
        self.back_end.read(self.word)
    }
}

impl<B: Registers, R: RegisterLongName> Writeable for ReadWrite<'_, B, R> {
    type T = u32;
    type R = R;

    #[inline]
    fn set(&self, value: u32) {
        self.back_end.write(self.word, value);
    }
}

/// A status register whose bits are cleared by writing ones.
pub struct WriteOneToClear<'a, B, R> {
    back_end: &'a B,
    word: Word,
    register: PhantomData<R>,
}

impl<B: Registers, R: RegisterLongName> Readable for WriteOneToClear<'_, B, R> {
    type T = u32;
    type R = R;

    #[inline]
    fn get(&self) -> u32 {
        self.back_end.read(self.word)
    }
}

impl<B: Registers, R> WriteOneToClear<'_, B, R> {
    /// Clears the bits that are set in `handled` and leaves all others alone.
    #[inline]
    pub fn clear(&self, handled: u32) {
        self.back_end.write(self.word, handled);
    }
}

/// The registers of one controller.
#[derive(Clone, Debug)]
pub struct Block<B> {
    back_end: B,
}

macro_rules! handles {
    ($($(#[$doc:meta])* $name:ident: $kind:ident<$register:ty>, $word:ident;)*) => {
        impl<B: Registers> Block<B> {
            $(
                $(#[$doc])*
                #[inline]
                pub fn $name(&self) -> $kind<'_, B, $register> {
                    $kind { back_end: &self.back_end, word: Word::$word, register: PhantomData }
                }
            )*
        }
    };
}

handles! {
    /// Block size and block count.
    block: ReadWrite<BLOCK::Register>, Block;
    /// Command argument.
    argument: ReadWrite<()>, Argument;
    /// Transfer mode and command.
    command: ReadWrite<COMMAND::Register>, Command;
    /// First word of the response.
    response0: ReadOnly<()>, Response0;
    /// Second word of the response.
    response1: ReadOnly<()>, Response1;
    /// Third word of the response.
    response2: ReadOnly<()>, Response2;
    /// Fourth word of the response, or the response to Auto CMD12.
    response3: ReadOnly<()>, Response3;
    /// Data buffer.
    buffer_data: ReadWrite<()>, BufferData;
    /// Present state.
    present_state: ReadOnly<PRESENT_STATE::Register>, PresentState;
    /// Host, power, block gap and wake-up control.
    host_control: ReadWrite<HOST_CONTROL::Register>, HostControl;
    /// Clock control, time-out control, software reset.
    clock: ReadWrite<CLOCK::Register>, Clock;
    /// Normal and error interrupt status.
    interrupt_status: WriteOneToClear<INTERRUPT::Register>, InterruptStatus;
    /// Status enable.
    status_enable: ReadWrite<INTERRUPT::Register>, StatusEnable;
    /// Signal enable.
    signal_enable: ReadWrite<INTERRUPT::Register>, SignalEnable;
    /// Auto CMD12 error status.
    auto_command_error: ReadOnly<AUTO_COMMAND::Register>, AutoCommandError;
    /// Capabilities.
    capabilities: ReadOnly<CAPABILITIES::Register>, Capabilities;
    /// ADMA error status.
    adma_error: ReadOnly<ADMA_ERROR::Register>, AdmaError;
    /// ADMA system address.
    adma_address: ReadWrite<()>, AdmaAddress;
    /// Slot interrupt status and version.
    version: ReadOnly<VERSION::Register>, Version;
}

impl<B: Registers> Block<B> {
    /// The registers behind `back_end`.
    pub const fn new(back_end: B) -> Self {
        Self { back_end }
    }

    /// See [`Registers::synchronize`].
    #[inline]
    pub fn synchronize(&self) {
        self.back_end.synchronize();
    }
}

/// The bits of `value`, to build register values from fields in constants.
pub(crate) const fn bits<R: RegisterLongName>(value: &FieldValue<u32, R>) -> u32 {
    value.value
}

#[allow(missing_docs, reason = "the macro generates items that cannot carry documentation")]
mod fields {
    use tock_registers::register_bitfields;

    register_bitfields![u32,
        /// Block size (15:0) and block count (31:16).
        pub BLOCK [
            /// Bytes in a block.
            SIZE OFFSET(0) NUMBITS(12) [],
            /// Blocks in the transfer; counts down.
            COUNT OFFSET(16) NUMBITS(16) []
        ],

        /// Transfer mode (15:0) and command (31:16).
        pub COMMAND [
            /// Move data by DMA.
            DMA OFFSET(0) NUMBITS(1) [],
            /// The block count is valid.
            BLOCK_COUNT OFFSET(1) NUMBITS(1) [],
            /// Send CMD12 after the last block.
            AUTO_CMD12 OFFSET(2) NUMBITS(1) [],
            /// Data flows from the card to the host.
            READ OFFSET(4) NUMBITS(1) [],
            /// More than one block.
            MULTIPLE OFFSET(5) NUMBITS(1) [],
            /// Length of the response, and whether the card may be busy after it.
            RESPONSE OFFSET(16) NUMBITS(2) [
                None = 0,
                Long = 1,
                Short = 2,
                ShortBusy = 3
            ],
            /// Check the CRC of the response.
            CHECK_CRC OFFSET(19) NUMBITS(1) [],
            /// Check that the response repeats the command's index.
            CHECK_INDEX OFFSET(20) NUMBITS(1) [],
            /// Data moves on the DAT lines.
            DATA OFFSET(21) NUMBITS(1) [],
            /// Kind of the command.
            TYPE OFFSET(22) NUMBITS(2) [
                Normal = 0,
                Abort = 3
            ],
            /// Index of the command, 0 to 63.
            INDEX OFFSET(24) NUMBITS(6) []
        ],

        /// Present state.
        pub PRESENT_STATE [
            /// The CMD line is in use.
            COMMAND_INHIBIT OFFSET(0) NUMBITS(1) [],
            /// The DAT lines are in use, or the card is busy.
            DATA_INHIBIT OFFSET(1) NUMBITS(1) [],
            /// A DAT line is in use.
            DATA_ACTIVE OFFSET(2) NUMBITS(1) [],
            /// Blocks are being written.
            WRITE_ACTIVE OFFSET(8) NUMBITS(1) [],
            /// Blocks are being read.
            READ_ACTIVE OFFSET(9) NUMBITS(1) [],
            /// Space for a block in the buffer.
            BUFFER_WRITE_ENABLE OFFSET(10) NUMBITS(1) [],
            /// A block waits in the buffer.
            BUFFER_READ_ENABLE OFFSET(11) NUMBITS(1) [],
            /// A card sits in the slot (debounced).
            CARD_INSERTED OFFSET(16) NUMBITS(1) [],
            /// The card detect pin has come to rest.
            CARD_STABLE OFFSET(17) NUMBITS(1) [],
            /// The card detect pin, not debounced.
            CARD_DETECT OFFSET(18) NUMBITS(1) [],
            /// The write protect switch allows writing.
            WRITE_ENABLED OFFSET(19) NUMBITS(1) [],
            /// Levels of DAT3 to DAT0; DAT0 low is busy.
            DATA_LEVEL OFFSET(20) NUMBITS(4) [],
            /// Level of CMD.
            COMMAND_LEVEL OFFSET(24) NUMBITS(1) []
        ],

        /// Host control (7:0), power control (15:8), block gap (23:16) and wake-up (31:24) control.
        pub HOST_CONTROL [
            /// Use four data lines.
            FOUR_BIT OFFSET(1) NUMBITS(1) [],
            /// Drive the outputs at the rising clock edge, for high-speed cards.
            HIGH_SPEED OFFSET(2) NUMBITS(1) [],
            /// DMA engine.
            DMA_SELECT OFFSET(3) NUMBITS(2) [
                Sdma = 0,
                Adma2 = 2
            ],
            /// Power to the card.
            POWER OFFSET(8) NUMBITS(1) [],
            /// Voltage of the card.
            VOLTAGE OFFSET(9) NUMBITS(3) [
                V33 = 7
            ]
        ],

        /// Clock control (15:0), time-out control (23:16) and software reset (31:24).
        pub CLOCK [
            /// Run the internal clock.
            INTERNAL_ENABLE OFFSET(0) NUMBITS(1) [],
            /// The internal clock is stable.
            INTERNAL_STABLE OFFSET(1) NUMBITS(1) [],
            /// Give the clock to the card.
            CARD_ENABLE OFFSET(2) NUMBITS(1) [],
            /// Base clock divided by twice this; a power of two, or 0 for undivided.
            DIVIDER OFFSET(8) NUMBITS(8) [],
            /// Data time-out: 2^(13 + this) periods of the time-out clock; at most 14.
            TIMEOUT OFFSET(16) NUMBITS(4) [],
            /// Reset everything except card detection.
            RESET_ALL OFFSET(24) NUMBITS(1) [],
            /// Reset the command circuit.
            RESET_COMMAND OFFSET(25) NUMBITS(1) [],
            /// Reset the data circuit and DMA.
            RESET_DATA OFFSET(26) NUMBITS(1) []
        ],

        /// Normal (15:0) and error (31:16) interrupts: status, status enable and signal enable.
        pub INTERRUPT [
            /// The response arrived.
            COMMAND_COMPLETE OFFSET(0) NUMBITS(1) [],
            /// All data moved, or the card is no longer busy.
            TRANSFER_COMPLETE OFFSET(1) NUMBITS(1) [],
            /// Transfer stopped at a block gap.
            BLOCK_GAP OFFSET(2) NUMBITS(1) [],
            /// A descriptor asked for an interrupt.
            DMA OFFSET(3) NUMBITS(1) [],
            /// The buffer can take a block.
            BUFFER_WRITE_READY OFFSET(4) NUMBITS(1) [],
            /// The buffer holds a block.
            BUFFER_READ_READY OFFSET(5) NUMBITS(1) [],
            /// A card was inserted.
            INSERTION OFFSET(6) NUMBITS(1) [],
            /// A card was removed.
            REMOVAL OFFSET(7) NUMBITS(1) [],
            /// The card asks for attention (SDIO).
            CARD OFFSET(8) NUMBITS(1) [],
            /// At least one error bit is set; read only.
            ERROR OFFSET(15) NUMBITS(1) [],
            /// No response within 64 clocks.
            COMMAND_TIMEOUT OFFSET(16) NUMBITS(1) [],
            /// Wrong CRC in the response.
            COMMAND_CRC OFFSET(17) NUMBITS(1) [],
            /// End bit of the response was 0.
            COMMAND_END_BIT OFFSET(18) NUMBITS(1) [],
            /// The response repeats another index.
            COMMAND_INDEX OFFSET(19) NUMBITS(1) [],
            /// Data or the end of busy came too late.
            DATA_TIMEOUT OFFSET(20) NUMBITS(1) [],
            /// Wrong CRC in the data, or the card's CRC status was negative.
            DATA_CRC OFFSET(21) NUMBITS(1) [],
            /// End bit of the data was 0.
            DATA_END_BIT OFFSET(22) NUMBITS(1) [],
            /// The card draws too much current.
            CURRENT_LIMIT OFFSET(23) NUMBITS(1) [],
            /// Auto CMD12 went wrong.
            AUTO_CMD12 OFFSET(24) NUMBITS(1) [],
            /// ADMA went wrong.
            ADMA OFFSET(25) NUMBITS(1) [],
            /// Vendor errors; the Arasan core reports failed bus accesses here.
            VENDOR OFFSET(28) NUMBITS(4) []
        ],

        /// Auto CMD12 error status.
        pub AUTO_COMMAND [
            /// CMD12 was not sent because of an earlier error.
            NOT_EXECUTED OFFSET(0) NUMBITS(1) [],
            /// No response.
            TIMEOUT OFFSET(1) NUMBITS(1) [],
            /// Wrong CRC.
            CRC OFFSET(2) NUMBITS(1) [],
            /// Wrong end bit.
            END_BIT OFFSET(3) NUMBITS(1) [],
            /// Wrong index.
            INDEX OFFSET(4) NUMBITS(1) []
        ],

        /// Capabilities.
        pub CAPABILITIES [
            /// Frequency of the time-out clock, in the unit below; 0 is unknown.
            TIMEOUT_FREQUENCY OFFSET(0) NUMBITS(6) [],
            /// Unit of the time-out clock: 0 kHz, 1 MHz.
            TIMEOUT_MEGAHERTZ OFFSET(7) NUMBITS(1) [],
            /// Frequency of the base clock in MHz; 0 is unknown.
            BASE_FREQUENCY OFFSET(8) NUMBITS(6) [],
            /// ADMA2 is there.
            ADMA2 OFFSET(19) NUMBITS(1) [],
            /// High speed is there.
            HIGH_SPEED OFFSET(21) NUMBITS(1) [],
            /// 3.3 V is there.
            V33 OFFSET(24) NUMBITS(1) []
        ],

        /// ADMA error status.
        pub ADMA_ERROR [
            /// What ADMA was doing.
            STATE OFFSET(0) NUMBITS(2) [
                Stop = 0,
                FetchDescriptor = 1,
                Transfer = 3
            ],
            /// Descriptors and block count disagree.
            LENGTH_MISMATCH OFFSET(2) NUMBITS(1) []
        ],

        /// Slot interrupt status (15:0) and version (31:16).
        pub VERSION [
            /// Specification: 0 is 1.00, 1 is 2.00, 2 is 3.00.
            SPECIFICATION OFFSET(16) NUMBITS(8) [],
            /// Version of the vendor.
            VENDOR OFFSET(24) NUMBITS(8) []
        ]
    ];
}
