//! The address map (UG585 chapter 4) and the shared peripheral interrupts (chapter 7.2.3).

/// The smallest piece of the address space that can be handed to a component, in bytes.
pub const PAGE: u32 = 4096;

/// A range of physical addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// First address.
    pub base: u32,
    /// Length in bytes.
    pub size: u32,
}

impl Region {
    /// `size` bytes from `base`.
    pub const fn new(base: u32, size: u32) -> Self {
        Self { base, size }
    }

    /// Whether `address` is in the region.
    pub const fn contains(self, address: u32) -> bool {
        address >= self.base && address - self.base < self.size
    }

    /// Whether the two have an address in common.
    pub const fn overlaps(self, other: Self) -> bool {
        self.size > 0 && other.size > 0 && (self.contains(other.base) || other.contains(self.base))
    }
}

/// DDR memory, as far as the controller can address it. How much of it there is, is a matter of the
/// board.
pub const DDR: Region = Region::new(0x0000_0000, 0x4000_0000);
/// The programmable logic behind the first general purpose master port.
pub const PL_GP0: Region = Region::new(0x4000_0000, 0x4000_0000);
/// The programmable logic behind the second general purpose master port.
pub const PL_GP1: Region = Region::new(0x8000_0000, 0x4000_0000);
/// On-chip memory, when all four banks are mapped high.
pub const OCM_HIGH: Region = Region::new(0xfffc_0000, 0x4_0000);
/// The processors' private registers: snoop control unit, interrupt controller, global and private
/// timers and watchdogs. All of them are in two pages, which belong to the kernel.
pub const CPU_PRIVATE: Region = Region::new(0xf8f0_0000, 0x2000);
/// The level 2 cache controller.
pub const L2_CACHE: Region = Region::new(0xf8f0_2000, 0x1000);

/// Interrupt controller identifier of shared peripheral interrupt `number`, which is how
/// devicetrees count.
pub const fn spi(number: u32) -> u32 {
    number + 32
}

/// A peripheral of the processing system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peripheral {
    /// The manual's name.
    pub name: &'static str,
    /// The registers.
    pub registers: Region,
    /// Identifiers at the interrupt controller, in the order of the device's own outputs. All are
    /// active high and level triggered.
    pub interrupts: &'static [u32],
    /// Chapter of the manual.
    pub chapter: u8,
}

const fn peripheral(name: &'static str, base: u32, size: u32, interrupts: &'static [u32], chapter: u8) -> Peripheral {
    Peripheral { name, registers: Region::new(base, size), interrupts, chapter }
}

/// UART 0.
pub const UART0: Peripheral = peripheral("UART 0", 0xe000_0000, PAGE, &[59], 19);
/// UART 1, the console of most boards.
pub const UART1: Peripheral = peripheral("UART 1", 0xe000_1000, PAGE, &[82], 19);
/// I2C controller 0.
pub const I2C0: Peripheral = peripheral("I2C 0", 0xe000_4000, PAGE, &[57], 20);
/// I2C controller 1.
pub const I2C1: Peripheral = peripheral("I2C 1", 0xe000_5000, PAGE, &[80], 20);
/// GPIO, all four banks.
pub const GPIO: Peripheral = peripheral("GPIO", 0xe000_a000, PAGE, &[52], 14);
/// Gigabit Ethernet 0.
pub const GEM0: Peripheral = peripheral("GEM 0", 0xe000_b000, PAGE, &[54], 16);
/// Quad SPI.
pub const QSPI: Peripheral = peripheral("Quad SPI", 0xe000_d000, PAGE, &[51], 12);
/// SD/SDIO controller 0.
pub const SDIO0: Peripheral = peripheral("SDIO 0", 0xe010_0000, PAGE, &[56], 13);
/// SD/SDIO controller 1.
pub const SDIO1: Peripheral = peripheral("SDIO 1", 0xe010_1000, PAGE, &[79], 13);
/// System level control registers: clocks, resets, pins. One page, so one owner.
pub const SLCR: Peripheral = peripheral("SLCR", 0xf800_0000, PAGE, &[], 4);
/// Triple timer counter 0.
pub const TTC0: Peripheral = peripheral("TTC 0", 0xf800_1000, PAGE, &[42, 43, 44], 8);
/// Triple timer counter 1.
pub const TTC1: Peripheral = peripheral("TTC 1", 0xf800_2000, PAGE, &[69, 70, 71], 8);
/// System watchdog.
pub const SWDT: Peripheral = peripheral("SWDT", 0xf800_5000, PAGE, &[41], 8);
/// DDR memory controller.
pub const DDRC: Peripheral = peripheral("DDRC", 0xf800_6000, PAGE, &[], 10);
/// Device configuration interface. Its page is shared with the XADC interface.
pub const DEVCFG: Peripheral = peripheral("devcfg", 0xf800_7000, 0x100, &[40], 6);
/// XADC interface, in the page of the device configuration interface.
pub const XADC: Peripheral = peripheral("XADC", 0xf800_7100, 0x20, &[39], 30);

/// All of the above, by address.
pub const PERIPHERALS: [Peripheral; 16] =
    [UART0, UART1, I2C0, I2C1, GPIO, GEM0, QSPI, SDIO0, SDIO1, SLCR, TTC0, TTC1, SWDT, DDRC, DEVCFG, XADC];

/// Interrupt controller identifiers of the interrupts from the programmable logic, F2P 0 to 15.
pub const PL_INTERRUPTS: [u32; 16] = [61, 62, 63, 64, 65, 66, 67, 68, 84, 85, 86, 87, 88, 89, 90, 91];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_in_two_places() {
        for (index, one) in PERIPHERALS.iter().enumerate() {
            for other in &PERIPHERALS[index + 1..] {
                assert!(one.registers.base < other.registers.base, "{} is out of order", other.name);
                assert!(!one.registers.overlaps(other.registers), "{}, {}", one.name, other.name);
                assert!(one.interrupts.iter().all(|id| !other.interrupts.contains(id)));
            }
            for region in [DDR, PL_GP0, PL_GP1, OCM_HIGH, CPU_PRIVATE, L2_CACHE] {
                assert!(!one.registers.overlaps(region), "{}", one.name);
            }
            assert!(one.interrupts.iter().all(|id| !PL_INTERRUPTS.contains(id)));
        }
    }

    #[test]
    fn regions_at_the_end_of_the_address_space_do_not_overflow() {
        assert!(OCM_HIGH.contains(u32::MAX));
        assert!(!OCM_HIGH.contains(0));
        assert!(!OCM_HIGH.overlaps(DDR));
        assert!(!Region::new(5, 0).overlaps(Region::new(0, 10)));
    }
}
