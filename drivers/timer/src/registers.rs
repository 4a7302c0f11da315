//! The registers of a triple timer counter (UG585 appendix B.32).
//!
//! Each register exists three times, one word apart. The counters are named 1 to 3 as in the
//! manual.

use mmio::{ReadOnly, ReadWrite, Registers};
use tock_registers::register_bitfields;

register_bitfields![u32,
    /// Clock source and prescaler of a counter.
    pub(crate) CLOCK_CONTROL [
        /// Divides the clock by two to the power of `PRESCALE_VALUE + 1`.
        PRESCALE_ENABLE OFFSET(0) NUMBITS(1) [],
        /// The exponent, less one.
        PRESCALE_VALUE OFFSET(1) NUMBITS(4) [],
        /// Where the clock comes from.
        SOURCE OFFSET(5) NUMBITS(1) [
            /// `cpu_1x`
            Internal = 0,
            /// A pin
            External = 1
        ],
        /// With an external clock: count at the falling edge.
        FALLING_EDGE OFFSET(6) NUMBITS(1) []
    ],
    /// Mode of a counter.
    pub(crate) COUNTER_CONTROL [
        /// Stops the counter.
        DISABLE OFFSET(0) NUMBITS(1) [],
        /// Counts to the interval register instead of to the largest count.
        INTERVAL OFFSET(1) NUMBITS(1) [],
        /// Counts down.
        DECREMENT OFFSET(2) NUMBITS(1) [],
        /// Compares with the match registers.
        MATCH OFFSET(3) NUMBITS(1) [],
        /// Starts over from zero; clears itself.
        RESET OFFSET(4) NUMBITS(1) [],
        /// Switches the wave output off.
        WAVE_DISABLE OFFSET(5) NUMBITS(1) [],
        /// The wave output starts high.
        WAVE_POLARITY OFFSET(6) NUMBITS(1) []
    ],
    /// A count.
    pub(crate) COUNT [
        /// The count.
        VALUE OFFSET(0) NUMBITS(16) []
    ],
    /// What a counter interrupts for. In the status register, a read clears all bits.
    pub(crate) INTERRUPT [
        /// The interval has passed.
        INTERVAL OFFSET(0) NUMBITS(1) [],
        /// The count equals match register 1.
        MATCH_1 OFFSET(1) NUMBITS(1) [],
        /// The count equals match register 2.
        MATCH_2 OFFSET(2) NUMBITS(1) [],
        /// The count equals match register 3.
        MATCH_3 OFFSET(3) NUMBITS(1) [],
        /// The count went from the largest value to zero.
        OVERFLOW OFFSET(4) NUMBITS(1) [],
        /// The event timer has overflown.
        EVENT OFFSET(5) NUMBITS(1) []
    ]
];

/// One of the three counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counter {
    /// Counter 1.
    One,
    /// Counter 2.
    Two,
    /// Counter 3.
    Three,
}

impl Counter {
    /// All three.
    pub(crate) const ALL: [Self; 3] = [Self::One, Self::Two, Self::Three];

    const fn offset(self) -> usize {
        match self {
            Self::One => 0,
            Self::Two => 4,
            Self::Three => 8,
        }
    }
}

/// The register page.
#[derive(Debug)]
pub(crate) struct Page<B>(B);

impl<B: Registers> Page<B> {
    /// Bytes from the first to the end of the last register.
    pub(crate) const SIZE: usize = 0x84;

    /// The registers behind `block`.
    pub(crate) const fn new(block: B) -> Self {
        Self(block)
    }

    /// `Clock_Control_n`
    pub(crate) fn clock_control(&self, counter: Counter) -> ReadWrite<'_, B, CLOCK_CONTROL::Register> {
        ReadWrite::new(&self.0, counter.offset())
    }

    /// `Counter_Control_n`
    pub(crate) fn counter_control(&self, counter: Counter) -> ReadWrite<'_, B, COUNTER_CONTROL::Register> {
        ReadWrite::new(&self.0, 0x0c + counter.offset())
    }

    /// `Counter_Value_n`
    pub(crate) fn count(&self, counter: Counter) -> ReadOnly<'_, B, COUNT::Register> {
        ReadOnly::new(&self.0, 0x18 + counter.offset())
    }

    /// `Interval_Counter_n`
    pub(crate) fn interval(&self, counter: Counter) -> ReadWrite<'_, B, COUNT::Register> {
        ReadWrite::new(&self.0, 0x24 + counter.offset())
    }

    /// `Interrupt_Register_n`: the read clears it.
    pub(crate) fn take_interrupts(&self, counter: Counter) -> ReadOnly<'_, B, INTERRUPT::Register> {
        ReadOnly::new(&self.0, 0x54 + counter.offset())
    }

    /// `Interrupt_Enable_n`
    pub(crate) fn interrupt_enable(&self, counter: Counter) -> ReadWrite<'_, B, INTERRUPT::Register> {
        ReadWrite::new(&self.0, 0x60 + counter.offset())
    }
}

const _: () = assert!(Page::<mmio::Mmio>::SIZE == 0x78 + 3 * 4, "the last register is Event_Register_3");
