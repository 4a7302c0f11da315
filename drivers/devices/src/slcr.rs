//! Switches the clocks and resets of devices, and connects pins.
//!
//! The system level control registers (UG585 chapter 4.3, 25, 26) are write protected; this opens
//! them for each change and closes them again. Clocks and resets of all devices share registers, so
//! changing one is a read-modify-write; that is safe because the page has one owner, and what is
//! written is read back, because a write that the protection swallows leaves no other trace. The same
//! holds for the fields of a pin's register.
//!
//! [`Slcr::enable`] does not reset the device: it may be one that firmware or the core has been
//! using, such as the console.

use mmio::{ReadOnly, ReadWrite, Registers, WriteOnly};
use session::gpio::{Pull, Slew};
use thiserror::Error;
use tock_registers::fields::FieldValue;
use tock_registers::interfaces::{Readable, Writeable};
use zynq7000::clocks::{Clock, ClockError, ClockRegisters};
use zynq7000::mio::{self, MIO_PIN};
use zynq7000::slcr;

use crate::tree::Device;

/// A change that had no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "SLCR register {register:#x} does not take {wanted:#010x}, it reads {found:#010x}; is the page write protected for good?"
)]
pub struct SlcrError {
    /// Offset of the register.
    pub register: usize,
    /// What was written.
    pub wanted: u32,
    /// What was read back.
    pub found: u32,
}

/// What is to be changed about a pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PinSettings {
    /// Value of [`MIO_PIN::FUNCTION`](mod@MIO_PIN::FUNCTION); the pin may drive then. `None`: as before.
    pub function: Option<u32>,
    /// Resistor.
    pub pull: Pull,
    /// Edges.
    pub slew: Slew,
}

/// Bits of LVL_SHFTR_EN: signals pass to the PL and from it.
const BOTH_WAYS: u32 = 0xF;

/// The system level control registers.
#[derive(Debug)]
pub struct Slcr<B> {
    block: B,
}

impl<B: Registers> Slcr<B> {
    /// The registers behind `block`, a window of at least one page.
    pub const fn new(block: B) -> Self {
        Self { block }
    }

    /// The rate in hertz of `clock` while it runs, given `PS_CLK` in hertz.
    ///
    /// # Errors
    /// [`ClockError`] if what the clock is made from is off or not set up.
    pub fn rate(&self, clock: Clock, ps_clk: u32) -> Result<u32, ClockError> {
        let read = |offset| self.register(offset).get();
        clock.rate(&ClockRegisters::read(read), ps_clk)
    }

    /// Makes `device` ready for use: opens its clocks, then releases its resets.
    ///
    /// # Errors
    /// [`SlcrError`] at the first register that does not take the change.
    pub fn enable(&mut self, device: &Device<'_>) -> Result<(), SlcrError> {
        self.unlocked(|this| {
            this.gate(device, true)?;
            this.hold(device, false)
        })
    }

    /// Stops `device`, whatever it is doing: holds it in reset, then closes its clocks.
    ///
    /// # Errors
    /// [`SlcrError`] at the first register that does not take the change.
    pub fn disable(&mut self, device: &Device<'_>) -> Result<(), SlcrError> {
        self.unlocked(|this| {
            this.hold(device, true)?;
            this.gate(device, false)
        })
    }

    /// Puts `device` into its state after power-on, with its clocks running. A DMA engine in it is
    /// stopped. A device without a reset line stays as it is.
    ///
    /// # Errors
    /// [`SlcrError`] at the first register that does not take the change.
    pub fn reset(&mut self, device: &Device<'_>) -> Result<(), SlcrError> {
        self.unlocked(|this| {
            this.gate(device, true)?;
            this.hold(device, true)?;
            this.hold(device, false)
        })
    }

    /// Whether all clocks of `device` run and all its resets are released.
    pub fn is_enabled(&self, device: &Device<'_>) -> bool {
        let is_set = |(offset, bit)| self.register(offset).get() & bit != 0;
        device.clocks.iter().filter_map(|clock| clock.gate()).all(is_set)
            && !device.resets.iter().map(|reset| reset.bit()).any(is_set)
    }

    /// Whether the PL is configured and connected. Behind the configuration a boot loader switches the level shifters on, in both directions (LVL_SHFTR_EN, UG585 appendix B.28); an
    /// access to a PL that is not connected never ends.
    pub fn has_logic(&self) -> bool {
        self.register(slcr::LVL_SHFTR_EN).get() & BOTH_WAYS == BOTH_WAYS
    }

    /// The register of a pin; `None` if there is no such pin.
    pub fn pin(&self, pin: u32) -> Option<u32> {
        mio::register(pin).map(|offset| self.register(offset).get())
    }

    /// Sets the register of a pin to what [`pin`](Self::pin) has read before.
    ///
    /// # Errors
    /// [`SlcrError`] if it does not take that.
    pub fn restore_pin(&mut self, pin: u32, value: u32) -> Result<(), SlcrError> {
        let Some(offset) = mio::register(pin) else { return Ok(()) };
        self.unlocked(|this| this.write(offset, value))
    }

    /// Changes the register of a pin. A pin that is connected may drive; what drives it is ready before.
    ///
    /// # Errors
    /// [`SlcrError`] if the register does not take the change.
    pub fn configure_pin(&mut self, pin: u32, settings: PinSettings) -> Result<(), SlcrError> {
        let Some(offset) = mio::register(pin) else { return Ok(()) };
        let mut fields = FieldValue::<u32, MIO_PIN::Register>::new(0, 0, 0);
        if let Some(function) = settings.function {
            fields += MIO_PIN::FUNCTION.val(function) + MIO_PIN::TRI_ENABLE::CLEAR;
        }
        match settings.pull {
            Pull::Keep => {}
            Pull::Off => fields += MIO_PIN::PULLUP::CLEAR,
            Pull::Up => fields += MIO_PIN::PULLUP::SET,
        }
        match settings.slew {
            Slew::Keep => {}
            Slew::Slow => fields += MIO_PIN::SPEED::Slow,
            Slew::Fast => fields += MIO_PIN::SPEED::Fast,
        }
        self.unlocked(|this| {
            let before = this.register(offset).get();
            this.write(offset, fields.modify(before))
        })
    }

    fn gate(&self, device: &Device<'_>, open: bool) -> Result<(), SlcrError> {
        let mut gates = device.clocks.iter().filter_map(|clock| clock.gate());
        gates.try_for_each(|(offset, bit)| self.set(offset, bit, open))
    }

    fn hold(&self, device: &Device<'_>, held: bool) -> Result<(), SlcrError> {
        let mut resets = device.resets.iter().map(|reset| reset.bit());
        resets.try_for_each(|(offset, bit)| self.set(offset, bit, held))
    }

    fn set(&self, offset: usize, bit: u32, value: bool) -> Result<(), SlcrError> {
        let before = self.register(offset).get();
        self.write(offset, if value { before | bit } else { before & !bit })
    }

    fn write(&self, offset: usize, wanted: u32) -> Result<(), SlcrError> {
        let register = self.register(offset);
        register.set(wanted);
        match register.get() {
            found if found == wanted => Ok(()),
            found => Err(SlcrError { register: offset, wanted, found }),
        }
    }

    /// Does `change` with the write protection off, and turns it on again in any case.
    fn unlocked(&mut self, change: impl FnOnce(&Self) -> Result<(), SlcrError>) -> Result<(), SlcrError> {
        self.key(slcr::UNLOCK, slcr::UNLOCK_KEY);
        let changed = change(self);
        self.key(slcr::LOCK, slcr::LOCK_KEY);
        changed
    }

    fn key(&self, offset: usize, key: u32) {
        WriteOnly::<_, ()>::new(&self.block, offset).set(key);
    }

    fn register(&self, offset: usize) -> ReadWrite<'_, B> {
        ReadWrite::new(&self.block, offset)
    }

    /// Whether the registers are write protected, which they are between changes.
    pub fn is_locked(&self) -> bool {
        ReadOnly::<_, ()>::new(&self.block, slcr::LOCK_STATUS).get() & 1 != 0
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::cell::{Cell, RefCell};
    use std::collections::BTreeMap;
    use std::vec::Vec;

    use super::*;
    use crate::tree::DeviceTree;
    use crate::tree::tests::BOARD;

    /// Plain storage behind a lock (UG585 appendix B.28), with the reset values of the registers
    /// used here.
    struct Model {
        registers: RefCell<BTreeMap<usize, u32>>,
        locked: Cell<bool>,
        stuck: Option<usize>,
        writes: RefCell<Vec<(usize, u32)>>,
    }

    impl Model {
        fn new(stuck: Option<usize>) -> Self {
            let reset = ClockRegisters::RESET;
            let registers = BTreeMap::from([
                (slcr::ARM_PLL_CTRL, reset.arm_pll_ctrl),
                (slcr::DDR_PLL_CTRL, reset.ddr_pll_ctrl),
                (slcr::IO_PLL_CTRL, reset.io_pll_ctrl),
                (slcr::ARM_CLK_CTRL, reset.arm_clk_ctrl),
                (slcr::CLK_621_TRUE, reset.clk_621_true),
                (slcr::SDIO_CLK_CTRL, 0x1400),
                (slcr::UART_CLK_CTRL, reset.uart_clk_ctrl),
                (slcr::APER_CLK_CTRL, 0x01ff_c8cd),
                (slcr::SDIO_RST_CTRL, 0x33),
                (slcr::UART_RST_CTRL, 0),
                (slcr::BOOT_MODE, 5),
                (0x700 + 4 * 10, 0x1601),
            ]);
            Self { registers: RefCell::new(registers), locked: Cell::new(true), stuck, writes: RefCell::default() }
        }
    }

    impl Registers for Model {
        fn read(&self, offset: usize) -> u32 {
            match offset {
                slcr::LOCK_STATUS => u32::from(self.locked.get()),
                _ => self.registers.borrow()[&offset],
            }
        }

        fn write(&self, offset: usize, value: u32) {
            match (offset, value) {
                (slcr::LOCK, 0x767b) => self.locked.set(true),
                (slcr::UNLOCK, 0xdf0d) => self.locked.set(false),
                _ if self.locked.get() || self.stuck == Some(offset) => {}
                _ => {
                    assert!(self.registers.borrow().contains_key(&offset), "{offset:#x}");
                    self.registers.borrow_mut().insert(offset, value);
                    self.writes.borrow_mut().push((offset, value));
                }
            }
        }
    }

    fn sd() -> Device<'static> {
        DeviceTree::new(&BOARD).unwrap().device("mmc0").unwrap()
    }

    #[test]
    fn enabling_opens_clocks_before_it_releases_resets_and_touches_nothing_else() {
        let model = Model::new(None);
        let mut slcr = Slcr::new(&model);
        assert!(!slcr.is_enabled(&sd()));
        slcr.enable(&sd()).unwrap();
        assert!(slcr.is_enabled(&sd()));
        assert!(slcr.is_locked());
        let expected = [(0x150, 0x1401), (0x12c, 0x01ff_cccd), (0x218, 0x32), (0x218, 0x22)];
        assert_eq!(*model.writes.borrow(), expected);
    }

    #[test]
    fn disabling_is_the_reverse() {
        let model = Model::new(None);
        let mut slcr = Slcr::new(&model);
        slcr.enable(&sd()).unwrap();
        model.writes.borrow_mut().clear();
        slcr.disable(&sd()).unwrap();
        let expected = [(0x218, 0x23), (0x218, 0x33), (0x150, 0x1400), (0x12c, 0x01ff_c8cd)];
        assert_eq!(*model.writes.borrow(), expected);
        assert!(!slcr.is_enabled(&sd()));
    }

    #[test]
    fn a_reset_is_a_pulse() {
        let model = Model::new(None);
        let mut slcr = Slcr::new(&model);
        slcr.enable(&sd()).unwrap();
        model.writes.borrow_mut().clear();
        slcr.reset(&sd()).unwrap();
        let resets: Vec<_> = model.writes.borrow().iter().filter(|write| write.0 == 0x218).copied().collect();
        assert_eq!(resets, [(0x218, 0x23), (0x218, 0x33), (0x218, 0x32), (0x218, 0x22)]);
        assert!(slcr.is_enabled(&sd()));
    }

    #[test]
    fn logic_is_there_when_signals_pass_both_ways() {
        let model = Model::new(None);
        let slcr = Slcr::new(&model);
        for (shifters, expected) in [(0, false), (0xA, false), (0x5, false), (0xF, true), (0x1F, true)] {
            model.registers.borrow_mut().insert(slcr::LVL_SHFTR_EN, shifters);
            assert_eq!(slcr.has_logic(), expected, "{shifters:#x}");
        }
    }

    #[test]
    fn a_pin_changes_only_in_what_is_said() {
        let model = Model::new(None);
        let mut slcr = Slcr::new(&model);
        let settings = |function, pull, slew| PinSettings { function, pull, slew };
        for (change, expected) in [
            (settings(None, Pull::Keep, Slew::Keep), 0x1601),
            (settings(None, Pull::Off, Slew::Fast), 0x0701),
            (settings(mio::select(10, mio::Function::I2c0), Pull::Up, Slew::Keep), 0x1740),
            (settings(mio::select(10, mio::Function::Gpio), Pull::Keep, Slew::Slow), 0x1600),
        ] {
            slcr.configure_pin(10, change).unwrap();
            assert_eq!(slcr.pin(10), Some(expected));
            assert!(slcr.is_locked());
        }
        slcr.restore_pin(10, 0x1601).unwrap();
        assert_eq!((slcr.pin(10), slcr.pin(54)), (Some(0x1601), None));
        assert!(model.writes.borrow().iter().all(|(offset, _)| *offset == 0x728));
    }

    #[test]
    fn a_swallowed_write_is_an_error_and_the_lock_is_closed() {
        let model = Model::new(Some(0x12c));
        let mut slcr = Slcr::new(&model);
        let error = SlcrError { register: 0x12c, wanted: 0x01ff_cccd, found: 0x01ff_c8cd };
        assert_eq!(slcr.enable(&sd()), Err(error));
        assert!(slcr.is_locked());
    }

    #[test]
    fn a_device_without_clock_gates_needs_nothing() {
        let model = Model::new(None);
        let timer = DeviceTree::new(&BOARD).unwrap().device("timer0").unwrap();
        let mut slcr = Slcr::new(&model);
        assert!(slcr.is_enabled(&timer));
        slcr.enable(&timer).unwrap();
        slcr.disable(&timer).unwrap();
        assert!(model.writes.borrow().is_empty());
    }

    #[test]
    fn rates_come_from_the_registers() {
        let model = Model::new(None);
        let slcr = Slcr::new(&model);
        assert_eq!(slcr.rate(Clock::Sdio0, 33_333_333), Ok(43_333_332));
        assert_eq!(slcr.rate(Clock::Cpu1x, 33_333_333), Ok(36_111_110));
    }
}
