//! The registers of the controller (UG585 appendix B.22).

#![allow(missing_docs, reason = "the bit field macro makes items of its own; each field is described")]

use mmio::{ReadOnly, ReadWrite, Registers, Status, WriteOnly};
use tock_registers::register_bitfields;

register_bitfields![u32,
    pub(crate) CONTROL [
        /// The master receives.
        READ OFFSET(0) NUMBITS(1) [],
        /// The controller is a master.
        MASTER OFFSET(1) NUMBITS(1) [],
        /// Addresses of 7 bits instead of 10.
        SEVEN_BIT OFFSET(2) NUMBITS(1) [],
        /// Received bytes are acknowledged.
        ACKNOWLEDGE OFFSET(3) NUMBITS(1) [],
        /// No STOP at the end of a message: the clock is held low instead.
        HOLD OFFSET(4) NUMBITS(1) [],
        /// Asks for a slave until it answers.
        MONITOR OFFSET(5) NUMBITS(1) [],
        /// Empties the FIFO; clears itself.
        CLEAR_FIFO OFFSET(6) NUMBITS(1) [],
        /// Second divisor, less one.
        DIVISOR_B OFFSET(8) NUMBITS(6) [],
        /// First divisor, less one.
        DIVISOR_A OFFSET(14) NUMBITS(2) []
    ],
    pub(crate) STATUS [
        /// A byte was received that has not been read.
        RECEIVE_VALID OFFSET(5) NUMBITS(1) [],
        /// A byte is to be sent.
        TRANSMIT_VALID OFFSET(6) NUMBITS(1) [],
        /// A byte was received and lost.
        RECEIVE_OVERFLOW OFFSET(7) NUMBITS(1) [],
        /// The bus is not free.
        BUS_ACTIVE OFFSET(8) NUMBITS(1) []
    ],
    pub(crate) INTERRUPT [
        /// All bytes are transferred.
        COMPLETE OFFSET(0) NUMBITS(1) [],
        /// The FIFO wants attention: 14 bytes received, or 2 left to send.
        DATA OFFSET(1) NUMBITS(1) [],
        /// A byte was not acknowledged.
        NACK OFFSET(2) NUMBITS(1) [],
        /// The clock was low for longer than the time-out register says.
        TIME_OUT OFFSET(3) NUMBITS(1) [],
        /// The slave that is asked for has answered.
        SLAVE_READY OFFSET(4) NUMBITS(1) [],
        /// A byte was received into a full FIFO.
        RECEIVE_OVERFLOW OFFSET(5) NUMBITS(1) [],
        /// A byte was written into a full FIFO.
        TRANSMIT_OVERFLOW OFFSET(6) NUMBITS(1) [],
        /// A byte was read from an empty FIFO.
        RECEIVE_UNDERFLOW OFFSET(7) NUMBITS(1) [],
        /// Another master has won the bus.
        ARBITRATION_LOST OFFSET(9) NUMBITS(1) []
    ]
];

/// The register block.
#[derive(Debug)]
pub(crate) struct Block<B>(B);

impl<B: Registers> Block<B> {
    pub(crate) const fn new(block: B) -> Self {
        Self(block)
    }

    pub(crate) const fn control(&self) -> ReadWrite<'_, B, CONTROL::Register> {
        ReadWrite::new(&self.0, 0x00)
    }

    pub(crate) const fn status(&self) -> ReadOnly<'_, B, STATUS::Register> {
        ReadOnly::new(&self.0, 0x04)
    }

    /// Writing it begins a message.
    pub(crate) const fn address(&self) -> WriteOnly<'_, B> {
        WriteOnly::new(&self.0, 0x08)
    }

    pub(crate) const fn data(&self) -> ReadWrite<'_, B> {
        ReadWrite::new(&self.0, 0x0c)
    }

    pub(crate) const fn interrupt_status(&self) -> Status<'_, B, INTERRUPT::Register> {
        Status::new(&self.0, 0x10)
    }

    /// Receiving: bytes that are still expected. Sending: bytes in the FIFO.
    pub(crate) const fn transfer_size(&self) -> ReadWrite<'_, B> {
        ReadWrite::new(&self.0, 0x14)
    }

    /// In periods of the clock line.
    pub(crate) const fn time_out(&self) -> WriteOnly<'_, B> {
        WriteOnly::new(&self.0, 0x1c)
    }

    pub(crate) const fn interrupt_enable(&self) -> WriteOnly<'_, B, INTERRUPT::Register> {
        WriteOnly::new(&self.0, 0x24)
    }

    pub(crate) const fn interrupt_disable(&self) -> WriteOnly<'_, B, INTERRUPT::Register> {
        WriteOnly::new(&self.0, 0x28)
    }
}
