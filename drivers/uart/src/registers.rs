//! The registers of the UART (UG585 appendix B.33).

use mmio::{ReadOnly, ReadWrite, Registers, Status, WriteOnly};
use tock_registers::register_bitfields;

register_bitfields![u32,
    /// Enables and resets.
    pub(crate) CONTROL [
        /// Resets the receiver and empties its FIFO; clears itself.
        RECEIVE_RESET OFFSET(0) NUMBITS(1) [],
        /// Resets the transmitter and empties its FIFO; clears itself.
        TRANSMIT_RESET OFFSET(1) NUMBITS(1) [],
        /// Receives, unless also disabled.
        RECEIVE_ENABLE OFFSET(2) NUMBITS(1) [],
        /// Does not receive.
        RECEIVE_DISABLE OFFSET(3) NUMBITS(1) [],
        /// Transmits, unless also disabled.
        TRANSMIT_ENABLE OFFSET(4) NUMBITS(1) [],
        /// Does not transmit.
        TRANSMIT_DISABLE OFFSET(5) NUMBITS(1) [],
        /// Starts the receiver's idle timer anew; clears itself.
        RESTART_TIMEOUT OFFSET(6) NUMBITS(1) [],
        /// Sends a break.
        START_BREAK OFFSET(7) NUMBITS(1) [],
        /// Ends a break.
        STOP_BREAK OFFSET(8) NUMBITS(1) []
    ],
    /// Frame format.
    pub(crate) MODE [
        /// Divides the reference clock by 8 first.
        CLOCK_DIVIDE OFFSET(0) NUMBITS(1) [],
        /// Data bits.
        LENGTH OFFSET(1) NUMBITS(2) [
            Eight = 0
        ],
        /// Parity.
        PARITY OFFSET(3) NUMBITS(3) [
            None = 4
        ],
        /// Stop bits.
        STOP OFFSET(6) NUMBITS(2) [
            One = 0
        ],
        /// Echo and loop-back.
        CHANNEL OFFSET(8) NUMBITS(2) [
            Normal = 0
        ]
    ],
    /// Events that can interrupt.
    pub(crate) EVENT [
        /// The receive FIFO has filled to the trigger level.
        RECEIVE_TRIGGER OFFSET(0) NUMBITS(1) [],
        /// The last byte has left the receive FIFO.
        RECEIVE_EMPTY OFFSET(1) NUMBITS(1) [],
        /// The receive FIFO has become full.
        RECEIVE_FULL OFFSET(2) NUMBITS(1) [],
        /// The last byte has left the transmit FIFO.
        TRANSMIT_EMPTY OFFSET(3) NUMBITS(1) [],
        /// The transmit FIFO has become full.
        TRANSMIT_FULL OFFSET(4) NUMBITS(1) [],
        /// A byte came while the receive FIFO was full.
        OVERRUN OFFSET(5) NUMBITS(1) [],
        /// A stop bit was missing.
        FRAMING OFFSET(6) NUMBITS(1) [],
        /// A parity bit was wrong.
        PARITY OFFSET(7) NUMBITS(1) []
    ],
    /// State of the FIFOs and the line.
    pub(crate) STATE [
        /// The receive FIFO is empty.
        RECEIVE_EMPTY OFFSET(1) NUMBITS(1) [],
        /// The transmit FIFO is empty.
        TRANSMIT_EMPTY OFFSET(3) NUMBITS(1) [],
        /// The transmit FIFO is full.
        TRANSMIT_FULL OFFSET(4) NUMBITS(1) [],
        /// A byte is on its way out.
        TRANSMIT_ACTIVE OFFSET(11) NUMBITS(1) []
    ]
];

/// The register page.
#[derive(Debug)]
pub(crate) struct Page<B>(B);

impl<B: Registers> Page<B> {
    pub(crate) const fn new(block: B) -> Self {
        Self(block)
    }

    /// `Control_reg0`
    pub(crate) fn control(&self) -> ReadWrite<'_, B, CONTROL::Register> {
        ReadWrite::new(&self.0, 0x00)
    }

    /// `mode_reg0`
    pub(crate) fn mode(&self) -> ReadWrite<'_, B, MODE::Register> {
        ReadWrite::new(&self.0, 0x04)
    }

    /// `Intrpt_en_reg0`
    pub(crate) fn interrupt_enable(&self) -> WriteOnly<'_, B, EVENT::Register> {
        WriteOnly::new(&self.0, 0x08)
    }

    /// `Intrpt_dis_reg0`
    pub(crate) fn interrupt_disable(&self) -> WriteOnly<'_, B, EVENT::Register> {
        WriteOnly::new(&self.0, 0x0c)
    }

    /// `Intrpt_mask_reg0`: the enabled interrupts.
    pub(crate) fn interrupt_mask(&self) -> ReadOnly<'_, B, EVENT::Register> {
        ReadOnly::new(&self.0, 0x10)
    }

    /// `Chnl_int_sts_reg0`
    pub(crate) fn events(&self) -> Status<'_, B, EVENT::Register> {
        Status::new(&self.0, 0x14)
    }

    /// `Baud_rate_gen_reg0`: CD in bits 15 to 0.
    pub(crate) fn clock_divisor(&self) -> ReadWrite<'_, B> {
        ReadWrite::new(&self.0, 0x18)
    }

    /// `Rcvr_FIFO_trigger_level0`: bytes, in bits 5 to 0.
    pub(crate) fn receive_trigger(&self) -> ReadWrite<'_, B> {
        ReadWrite::new(&self.0, 0x20)
    }

    /// `Channel_sts_reg0`
    pub(crate) fn state(&self) -> ReadOnly<'_, B, STATE::Register> {
        ReadOnly::new(&self.0, 0x2c)
    }

    /// `TX_RX_FIFO0`, written: a byte to send.
    pub(crate) fn transmit_fifo(&self) -> WriteOnly<'_, B> {
        WriteOnly::new(&self.0, 0x30)
    }

    /// `TX_RX_FIFO0`, read: a byte received.
    pub(crate) fn receive_fifo(&self) -> ReadOnly<'_, B> {
        ReadOnly::new(&self.0, 0x30)
    }

    /// `Baud_rate_divider_reg0`: BDIV in bits 7 to 0.
    pub(crate) fn sample_divisor(&self) -> ReadWrite<'_, B> {
        ReadWrite::new(&self.0, 0x34)
    }
}
