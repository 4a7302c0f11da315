//! System level control registers for clocks and resets (UG585 chapters 25 and 26, appendix B.28).
//!
//! Offsets from the start of the SLCR page, and the fields of those registers that are computed
//! with. After reset all registers are write protected: see [`UNLOCK`].

#![allow(missing_docs, reason = "the bit field macro makes items of its own; each field is described")]

use tock_registers::register_bitfields;

/// Written with [`LOCK_KEY`], ignores all further writes.
pub const LOCK: usize = 0x004;
/// Written with [`UNLOCK_KEY`], accepts writes.
pub const UNLOCK: usize = 0x008;
/// Reads 1 while writes are ignored.
pub const LOCK_STATUS: usize = 0x00c;
/// What [`LOCK`] wants.
pub const LOCK_KEY: u32 = 0x767b;
/// What [`UNLOCK`] wants.
pub const UNLOCK_KEY: u32 = 0xdf0d;

/// ARM PLL; fields [`PLL_CTRL`].
pub const ARM_PLL_CTRL: usize = 0x100;
/// DDR PLL; fields [`PLL_CTRL`].
pub const DDR_PLL_CTRL: usize = 0x104;
/// IO PLL; fields [`PLL_CTRL`].
pub const IO_PLL_CTRL: usize = 0x108;
/// Which loops are locked (bits 0 to 2: ARM, DDR, IO), and which are locked or bypassed (bits 3 to 5).
pub const PLL_STATUS: usize = 0x10c;
/// ARM PLL, what it needs to lock: charge pump, resistor, lock count. Those of the DDR and IO PLL follow.
pub const ARM_PLL_CFG: usize = 0x110;
/// The processors' clocks; fields [`CLK_CTRL`].
pub const ARM_CLK_CTRL: usize = 0x120;
/// The memory controller's clocks.
pub const DDR_CLK_CTRL: usize = 0x124;
/// Clock of the calibration of the memory's pads.
pub const DCI_CLK_CTRL: usize = 0x128;
/// Bus clocks of the peripherals, one gate each.
pub const APER_CLK_CTRL: usize = 0x12c;
/// Where Ethernet 0 gets its receive clock from.
pub const GEM0_RCLK_CTRL: usize = 0x138;
/// Reference clock of Ethernet 0.
pub const GEM0_CLK_CTRL: usize = 0x140;
/// Reference clock of Quad SPI; fields [`CLK_CTRL`].
pub const LQSPI_CLK_CTRL: usize = 0x14c;
/// Reference clock of both SD controllers; fields [`CLK_CTRL`].
pub const SDIO_CLK_CTRL: usize = 0x150;
/// Reference clock of both UARTs; fields [`CLK_CTRL`].
pub const UART_CLK_CTRL: usize = 0x154;
/// Clock of the port that configures the programmable logic; fields [`CLK_CTRL`].
pub const PCAP_CLK_CTRL: usize = 0x168;
/// First of the four clocks for the programmable logic, which are 16 bytes apart.
pub const FPGA0_CLK_CTRL: usize = 0x170;
/// Ratio of the processors' clocks; fields [`CLK_621`].
pub const CLK_621_TRUE: usize = 0x1c4;
/// First of the reset registers.
pub const RESETS: usize = 0x200;
/// Resets of the SD controllers.
pub const SDIO_RST_CTRL: usize = 0x218;
/// Resets of the I2C controllers.
pub const I2C_RST_CTRL: usize = 0x224;
/// Resets of the UARTs.
pub const UART_RST_CTRL: usize = 0x228;
/// Reset of the GPIO controller.
pub const GPIO_RST_CTRL: usize = 0x22c;
/// Resets that the programmable logic sees, bits 0 to 3.
pub const FPGA_RST_CTRL: usize = 0x240;
/// Why the system was reset, and the boot ROM's error code.
pub const REBOOT_STATUS: usize = 0x258;
/// Boot mode pins as they were at power-on; fields [`BOOT_MODE_PINS`].
pub const BOOT_MODE: usize = 0x25c;
/// First of the 54 multiplexed pins, a word each.
pub const MIO_PIN_00: usize = 0x700;
/// Which pins carry write protect and card detect of SD controller 0.
pub const SD0_WP_CD_SEL: usize = 0x830;
/// Level shifters between processing system and programmable logic.
pub const LVL_SHFTR_EN: usize = 0x900;
/// Which quarters of the on-chip memory are mapped high.
pub const OCM_CFG: usize = 0x910;
/// First of the registers of the memory's pads.
pub const DDRIOB_ADDR0: usize = 0xb40;
/// Pads of the memory's data, lower half. The upper half follows, then the strobes.
pub const DDRIOB_DATA0: usize = 0xb48;
/// Reference voltage of the memory's pads.
pub const DDRIOB_DDR_CTRL: usize = 0xb6c;
/// Calibration of the memory's pads.
pub const DDRIOB_DCI_CTRL: usize = 0xb70;
/// State of that calibration.
pub const DDRIOB_DCI_STATUS: usize = 0xb74;

register_bitfields![u32,
    /// A phase locked loop.
    pub PLL_CTRL [
        /// Held in reset.
        RESET OFFSET(0) NUMBITS(1) [],
        /// Powered down.
        POWER_DOWN OFFSET(1) NUMBITS(1) [],
        /// Bypassed if the pin says so, whatever `BYPASS_FORCE` says.
        BYPASS_QUAL OFFSET(3) NUMBITS(1) [],
        /// Bypassed.
        BYPASS_FORCE OFFSET(4) NUMBITS(1) [],
        /// Feedback divisor: the factor between input and output.
        FDIV OFFSET(12) NUMBITS(7) []
    ],
    /// A clock made from one of the loops.
    pub CLK_CTRL [
        /// Gate of the first of two controllers.
        CLKACT0 OFFSET(0) NUMBITS(1) [],
        /// Gate of the second of two controllers.
        CLKACT1 OFFSET(1) NUMBITS(1) [],
        /// Which loop; the code differs between registers.
        SRCSEL OFFSET(4) NUMBITS(2) [],
        /// By how much its output is divided.
        DIVISOR OFFSET(8) NUMBITS(6) []
    ],
    /// The ratio of the processors' clocks.
    pub CLK_621 [
        /// Set: 6:3:2:1. Clear: 4:2:2:1.
        RATIO OFFSET(0) NUMBITS(1) []
    ],
    /// Pins at power-on.
    pub BOOT_MODE_PINS [
        /// Where to boot from.
        SOURCE OFFSET(0) NUMBITS(4) [],
        /// All loops bypassed.
        PLL_BYPASS OFFSET(4) NUMBITS(1) []
    ]
];
