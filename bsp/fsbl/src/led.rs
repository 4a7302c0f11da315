//! The LED as a witness.
//!
//! It shines while the boot loader works and is dark when it has handed over. Where it gives up, it says why: as many flashes as the
//! failure's [code](crate::Failure::code), a pause, and again. It begins with the pause, so that the light from before is not taken for a flash.

use mmio::Registers;

/// Half a flash, in microseconds: so long it shines, and so long it is dark before the next.
pub const FLASH: u64 = 250_000;
/// Darkness between two rounds, in microseconds.
pub const PAUSE: u64 = 1_500_000;

/// Registers of the GPIO controller's bank 0, which has pins 0 to 31 (UG585 appendix B.19).
const MASKED_LOW: usize = 0x000;
const MASKED_HIGH: usize = 0x004;
const DIRECTION: usize = 0x204;
const OUTPUT_ENABLE: usize = 0x208;

/// An LED on a pin of bank 0.
#[derive(Debug)]
pub struct Led<B> {
    gpio: B,
    pin: u8,
}

impl<B: Registers> Led<B> {
    /// The LED at `pin`, dark. `None` if the pin is not in bank 0. The GPIO controller's clock must run.
    pub fn new(gpio: B, pin: u8) -> Option<Self> {
        if pin > 31 {
            return None;
        }
        let led = Self { gpio, pin };
        led.set(false);
        // Nobody else uses these yet.
        for register in [DIRECTION, OUTPUT_ENABLE] {
            led.gpio.write(register, led.gpio.read(register) | 1 << pin);
        }
        Some(led)
    }

    /// Makes it shine, or not.
    pub fn set(&self, on: bool) {
        let (register, bit) = if self.pin < 16 { (MASKED_LOW, self.pin) } else { (MASKED_HIGH, self.pin - 16) };
        // The upper half names the pins that are not to be touched.
        let mask = 0xffff_0000 & !(1 << (bit + 16));
        self.gpio.write(register, mask | u32::from(on) << bit);
    }
}

/// One round of a code: whether the LED shines, and for how long in microseconds.
pub fn round(code: u8) -> impl Iterator<Item = (bool, u64)> {
    [(false, PAUSE)].into_iter().chain((0..code).flat_map(|_| [(true, FLASH), (false, FLASH)]))
}
