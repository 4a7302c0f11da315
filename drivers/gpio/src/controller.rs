//! What a GPIO controller can do.

use session::gpio::Trigger;

/// Most banks of a controller.
pub const BANKS: usize = 4;
/// Pins of a bank.
pub const BITS: u32 = 32;

/// A set of pins, a word for each bank.
pub type Sets = [u32; BANKS];

/// Where a pin is in its controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which bank, below [`BANKS`].
    pub bank: usize,
    /// Which bit of it, below [`BITS`].
    pub bit: u32,
}

impl Place {
    /// The pin alone, as a set in its bank.
    pub const fn mask(self) -> u32 {
        1 << (self.bit % BITS)
    }

    /// Its number if all banks had [`BITS`] pins.
    pub const fn index(self) -> usize {
        self.bank * BITS as usize + self.bit as usize
    }
}

/// A GPIO controller, of which the caller is the only owner.
///
/// Masks are sets of pins of one bank; bits without a pin have no effect.
pub trait Controller {
    /// Where pin `number` is, in the numbers that people use.
    fn place(&self, number: u32) -> Option<Place>;

    /// The pins that can be inputs.
    fn inputs(&self) -> Sets;

    /// The pins that can be outputs.
    fn outputs(&self) -> Sets;

    /// The levels at the pins of a bank.
    fn levels(&self, bank: usize) -> u32;

    /// What the outputs of a bank are set to.
    fn set(&self, bank: usize) -> u32;

    /// The outputs of a bank.
    fn directions(&self, bank: usize) -> u32;

    /// Sets outputs, others stay as they are.
    fn write(&mut self, bank: usize, mask: u32, levels: u32);

    /// Makes the pins in `mask` outputs if they are in `outputs`, else inputs.
    fn direct(&mut self, bank: usize, mask: u32, outputs: u32);

    /// Makes pins notice a trigger from now on; what they noticed before is forgotten. Returns those that notice it at once without an interrupt.
    fn arm(&mut self, bank: usize, mask: u32, trigger: Trigger) -> u32;

    /// Lets pins with a level `trigger` notice it again that have rested since they did. Returns as [`arm`](Self::arm).
    fn resume(&mut self, bank: usize, mask: u32, trigger: Trigger) -> u32;

    /// After an interrupt: the pins that have noticed their trigger since the last call. Those with a level trigger rest.
    fn take(&mut self) -> Sets;
}
