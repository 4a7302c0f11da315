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
//! [`Block`] puts typed handles over a back end, the controller itself or a model of it, with the fields of `tock-registers`. The kind
//! of a handle says what may be done: a [`Status`] register has no `modify`, so a status bit that nobody looked at cannot be lost by
//! a read-modify-write.

use mmio::{ReadOnly, ReadWrite, Registers, Status};
use tock_registers::RegisterLongName;
use tock_registers::fields::FieldValue;

pub use fields::{
    ADMA_ERROR, AUTO_COMMAND, BLOCK, CAPABILITIES, CLOCK, COMMAND, HOST_CONTROL, INTERRUPT, PRESENT_STATE, VERSION,
};

/// Length of the register block in bytes.
pub const LENGTH: usize = 0x100;
/// Offset of the interrupt status.
pub const INTERRUPT_STATUS: usize = 0x30;

/// The registers of one controller.
#[derive(Clone, Debug)]
pub struct Block<B> {
    back_end: B,
}

macro_rules! handles {
    ($($(#[$doc:meta])* $name:ident: $kind:ident<$register:ty>, $offset:expr;)*) => {
        impl<B: Registers> Block<B> {
            $(
                $(#[$doc])*
                #[inline]
                pub fn $name(&self) -> $kind<'_, B, $register> {
                    const { assert!($offset + size_of::<u32>() <= LENGTH) };
                    $kind::new(&self.back_end, $offset)
                }
            )*
        }
    };
}

handles! {
    /// Block size and block count.
    block: ReadWrite<BLOCK::Register>, 0x04;
    /// Command argument.
    argument: ReadWrite<()>, 0x08;
    /// Transfer mode and command.
    command: ReadWrite<COMMAND::Register>, 0x0C;
    /// First word of the response.
    response0: ReadOnly<()>, 0x10;
    /// Second word of the response.
    response1: ReadOnly<()>, 0x14;
    /// Third word of the response.
    response2: ReadOnly<()>, 0x18;
    /// Fourth word of the response, or the response to Auto CMD12.
    response3: ReadOnly<()>, 0x1C;
    /// Data buffer.
    buffer_data: ReadWrite<()>, 0x20;
    /// Present state.
    present_state: ReadOnly<PRESENT_STATE::Register>, 0x24;
    /// Host, power, block gap and wake-up control.
    host_control: ReadWrite<HOST_CONTROL::Register>, 0x28;
    /// Clock control, time-out control, software reset.
    clock: ReadWrite<CLOCK::Register>, 0x2C;
    /// Normal and error interrupt status.
    interrupt_status: Status<INTERRUPT::Register>, INTERRUPT_STATUS;
    /// Status enable.
    status_enable: ReadWrite<INTERRUPT::Register>, 0x34;
    /// Signal enable.
    signal_enable: ReadWrite<INTERRUPT::Register>, 0x38;
    /// Auto CMD12 error status.
    auto_command_error: ReadOnly<AUTO_COMMAND::Register>, 0x3C;
    /// Capabilities.
    capabilities: ReadOnly<CAPABILITIES::Register>, 0x40;
    /// ADMA error status.
    adma_error: ReadOnly<ADMA_ERROR::Register>, 0x54;
    /// ADMA system address.
    adma_address: ReadWrite<()>, 0x58;
    /// Slot interrupt status and version.
    version: ReadOnly<VERSION::Register>, 0xFC;
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
