//! The registers of counter 1 (UG585 appendix B.32).

use mmio::{ReadOnly, ReadWrite, Registers};
use tock_registers::register_bitfields;

register_bitfields![u32,
    /// Clock source and prescaler.
    pub(crate) CLOCK_CONTROL [
        /// Divides the clock by two to the power of `PRESCALE_VALUE + 1`.
        PRESCALE_ENABLE OFFSET(0) NUMBITS(1) [],
        /// The exponent, less one.
        PRESCALE_VALUE OFFSET(1) NUMBITS(4) []
    ],
    /// Mode.
    pub(crate) COUNTER_CONTROL [
        /// Stops the counter.
        DISABLE OFFSET(0) NUMBITS(1) [],
        /// Counts to the interval register instead of to the largest count.
        INTERVAL OFFSET(1) NUMBITS(1) [],
        /// Starts over from zero; clears itself.
        RESET OFFSET(4) NUMBITS(1) [],
        /// Switches the wave output off.
        WAVE_DISABLE OFFSET(5) NUMBITS(1) []
    ],
    /// A count.
    pub(crate) COUNT [
        /// The count.
        VALUE OFFSET(0) NUMBITS(16) []
    ],
    /// What the counter interrupts for.
    pub(crate) INTERRUPT [
        /// The interval has passed.
        INTERVAL OFFSET(0) NUMBITS(1) []
    ]
];

/// The register page.
#[derive(Debug)]
pub(crate) struct Page<B>(B);

impl<B: Registers> Page<B> {
    /// The registers behind `block`.
    pub(crate) const fn new(block: B) -> Self {
        Self(block)
    }

    /// `Clock_Control_1`
    pub(crate) fn clock_control(&self) -> ReadWrite<'_, B, CLOCK_CONTROL::Register> {
        ReadWrite::new(&self.0, 0x00)
    }

    /// `Counter_Control_1`
    pub(crate) fn counter_control(&self) -> ReadWrite<'_, B, COUNTER_CONTROL::Register> {
        ReadWrite::new(&self.0, 0x0c)
    }

    /// `Interval_Counter_1`
    pub(crate) fn interval(&self) -> ReadWrite<'_, B, COUNT::Register> {
        ReadWrite::new(&self.0, 0x24)
    }

    /// `Interrupt_Register_1`: the read clears it.
    pub(crate) fn take_interrupts(&self) -> ReadOnly<'_, B, INTERRUPT::Register> {
        ReadOnly::new(&self.0, 0x54)
    }

    /// `Interrupt_Enable_1`
    pub(crate) fn interrupt_enable(&self) -> ReadWrite<'_, B, INTERRUPT::Register> {
        ReadWrite::new(&self.0, 0x60)
    }
}
