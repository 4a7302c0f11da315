//! The registers of the GPIO controller of the processing system (UG585 appendix B.19) and of AXI GPIO (PG144, register space).

use mmio::{ReadOnly, ReadWrite, Registers, Status, WriteOnly};
use tock_registers::register_bitfields;

register_bitfields![u32,
    /// Writes some of 16 pins.
    pub(crate) MASK_DATA [
        /// The levels.
        DATA OFFSET(0) NUMBITS(16) [],
        /// Set: the pin stays as it is.
        MASK OFFSET(16) NUMBITS(16) []
    ],
    /// Interrupt switch of an AXI GPIO.
    pub(crate) GLOBAL_ENABLE [
        /// The interrupt line is driven.
        ENABLE OFFSET(31) NUMBITS(1) []
    ]
];

/// The controller of the processing system: four banks, a bit for each pin in all registers but `MASK_DATA`.
#[derive(Debug)]
pub(crate) struct PsBlock<B>(B);

impl<B: Registers> PsBlock<B> {
    pub(crate) const fn new(block: B) -> Self {
        Self(block)
    }

    /// Pins of one half of a bank: 0 the lower 16, 1 the upper ones.
    pub(crate) const fn mask_data(&self, bank: usize, half: usize) -> WriteOnly<'_, B, MASK_DATA::Register> {
        WriteOnly::new(&self.0, 8 * bank + 4 * half)
    }

    /// What outputs are set to.
    pub(crate) const fn data(&self, bank: usize) -> ReadOnly<'_, B> {
        ReadOnly::new(&self.0, 0x040 + 4 * bank)
    }

    /// Levels at the pins.
    pub(crate) const fn levels(&self, bank: usize) -> ReadOnly<'_, B> {
        ReadOnly::new(&self.0, 0x060 + 4 * bank)
    }

    /// Set: the pin is an output.
    pub(crate) const fn direction(&self, bank: usize) -> ReadWrite<'_, B> {
        ReadWrite::new(&self.0, 0x204 + 0x40 * bank)
    }

    /// Set: the output drives.
    pub(crate) const fn output_enable(&self, bank: usize) -> ReadWrite<'_, B> {
        ReadWrite::new(&self.0, 0x208 + 0x40 * bank)
    }

    /// Ones let pins interrupt.
    pub(crate) const fn interrupt_enable(&self, bank: usize) -> WriteOnly<'_, B> {
        WriteOnly::new(&self.0, 0x210 + 0x40 * bank)
    }

    /// Ones keep pins from interrupting.
    pub(crate) const fn interrupt_disable(&self, bank: usize) -> WriteOnly<'_, B> {
        WriteOnly::new(&self.0, 0x214 + 0x40 * bank)
    }

    /// Pins whose condition has come, whether they interrupt or not.
    pub(crate) const fn interrupt_status(&self, bank: usize) -> Status<'_, B, ()> {
        Status::new(&self.0, 0x218 + 0x40 * bank)
    }

    /// Set: an edge, clear: a level.
    pub(crate) const fn interrupt_type(&self, bank: usize) -> ReadWrite<'_, B> {
        ReadWrite::new(&self.0, 0x21c + 0x40 * bank)
    }

    /// Set: rising or high.
    pub(crate) const fn interrupt_polarity(&self, bank: usize) -> ReadWrite<'_, B> {
        ReadWrite::new(&self.0, 0x220 + 0x40 * bank)
    }

    /// Set: both edges, whatever the polarity.
    pub(crate) const fn interrupt_any(&self, bank: usize) -> ReadWrite<'_, B> {
        ReadWrite::new(&self.0, 0x224 + 0x40 * bank)
    }
}

/// An AXI GPIO: one or two channels.
#[derive(Debug)]
pub(crate) struct AxiBlock<B>(B);

impl<B: Registers> AxiBlock<B> {
    pub(crate) const fn new(block: B) -> Self {
        Self(block)
    }

    /// Reads levels at inputs, writes outputs.
    pub(crate) const fn data(&self, channel: usize) -> ReadWrite<'_, B> {
        ReadWrite::new(&self.0, 8 * channel)
    }

    /// Set: the pin is an input.
    pub(crate) const fn three_state(&self, channel: usize) -> WriteOnly<'_, B> {
        WriteOnly::new(&self.0, 4 + 8 * channel)
    }

    pub(crate) const fn global_enable(&self) -> WriteOnly<'_, B, GLOBAL_ENABLE::Register> {
        WriteOnly::new(&self.0, 0x11c)
    }

    /// Bit n: an input of channel n has changed. Ones toggle bits, so only those that are set may be written.
    pub(crate) const fn interrupt_status(&self) -> Status<'_, B, ()> {
        Status::new(&self.0, 0x120)
    }

    /// Bit n: channel n interrupts.
    pub(crate) const fn interrupt_enable(&self) -> WriteOnly<'_, B> {
        WriteOnly::new(&self.0, 0x128)
    }
}
