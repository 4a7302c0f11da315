//! The SLCR model against UG585 appendix B.28, by a host that knows only the manual.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

mod complaints;

use zelkova_models::slcr::{Block, Clock, Function, Gate, LevelShifters, Options, Reset, Slcr, Standard};
use zelkova_models::{Device, Width};

struct Host {
    slcr: Slcr,
    now: u64,
}

impl Host {
    fn new() -> Self {
        Self { slcr: Slcr::new(Options::ZEDBOARD), now: 0 }
    }

    /// With the write protection off.
    fn unlocked() -> Self {
        let mut host = Self::new();
        host.write(0x008, 0xDF0D);
        host
    }

    fn read(&mut self, offset: u32) -> u32 {
        self.slcr.read(offset, Width::Word, self.now)
    }

    fn write(&mut self, offset: u32, value: u32) {
        self.slcr.write(offset, Width::Word, value, self.now);
    }

    fn modify(&mut self, offset: u32, clear: u32, set: u32) {
        let value = self.read(offset);
        self.write(offset, value & !clear | set);
    }

    /// The only complaint.
    fn complaint(&mut self) -> String {
        complaints::only(&mut self.slcr)
    }

    fn quiet(&mut self) {
        complaints::none(&mut self.slcr);
    }
}

/// All registers but those of the pins: offset, reset value, and the fields that are not reserved and can be written.
const REGISTERS: &[(u32, u32, u32)] = &[
    (0x000, 0, 1),
    (0x004, 0, 0),
    (0x008, 0, 0),
    (0x00C, 1, 0),
    (0x100, 0x0001_A008, 0x0007_F01B),
    (0x104, 0x0001_A008, 0x0007_F01B),
    (0x108, 0x0001_A008, 0x0007_F01B),
    (0x10C, 0x3F, 0),
    (0x110, 0x0017_7EA0, 0x003F_FFF0),
    (0x114, 0x0017_7EA0, 0x003F_FFF0),
    (0x118, 0x0017_7EA0, 0x003F_FFF0),
    (0x120, 0x1F00_0400, 0x1F00_3F30),
    (0x124, 0x1840_0003, 0xFFF0_0003),
    (0x128, 0x01E0_3201, 0x03F0_3F01),
    (0x12C, 0x01FF_CCCD, 0x01FF_CCCD),
    (0x130, 0x0010_1941, 0x70),
    (0x134, 0x0010_1941, 0x70),
    (0x138, 1, 0x11),
    (0x13C, 1, 0x11),
    (0x140, 0x3C01, 0x03F0_3F71),
    (0x144, 0x3C01, 0x03F0_3F71),
    (0x148, 0x3C21, 0x3F31),
    (0x14C, 0x2821, 0x3F31),
    (0x150, 0x1E03, 0x3F33),
    (0x154, 0x3F03, 0x3F33),
    (0x158, 0x3F03, 0x3F33),
    (0x15C, 0x0050_1903, 0x03F0_3F33),
    (0x160, 0, 0x007F_007F),
    (0x164, 0xF03, 0x3F73),
    (0x168, 0xF01, 0x3F31),
    (0x16C, 0, 1),
    (0x170, 0x0010_1800, 0x03F0_3F30),
    (0x174, 0, 3),
    (0x178, 0, 0xFFFF),
    (0x17C, 0x0001_0000, 0),
    (0x180, 0x0010_1800, 0x03F0_3F30),
    (0x184, 0, 3),
    (0x188, 0, 0xFFFF),
    (0x18C, 0x0001_0000, 0),
    (0x190, 0x0010_1800, 0x03F0_3F30),
    (0x194, 0, 3),
    (0x198, 0, 0xFFFF),
    (0x19C, 0x0001_0000, 0),
    (0x1A0, 0x0010_1800, 0x03F0_3F30),
    (0x1A4, 0, 3),
    (0x1A8, 0, 0xFFFF),
    (0x1AC, 0x0001_0000, 0),
    (0x1C4, 1, 1),
    (0x200, 0, 1),
    (0x204, 0, 1),
    (0x208, 0, 1),
    (0x20C, 0, 1),
    (0x210, 0, 3),
    (0x214, 0, 0xF3),
    (0x218, 0, 0x33),
    (0x21C, 0, 0xF),
    (0x220, 0, 3),
    (0x224, 0, 3),
    (0x228, 0, 0xF),
    (0x22C, 0, 1),
    (0x230, 0, 3),
    (0x234, 0, 3),
    (0x238, 0, 1),
    (0x240, 0x01F3_3F0F, 0xF),
    (0x244, 0, 0x133),
    (0x24C, 0, 3),
    (0x258, 0x0040_0000, 0xFF7F_FFFF),
    (0x25C, 5, 0),
    (0x300, 0, 7),
    (0x304, 0, 1),
    (0x440, 0, 1),
    (0x444, 0, 0xFFFF),
    (0x448, 0, 0xF),
    (0x530, 0x2372_7093, 0),
    (0x600, 0, 0xFF),
    (0x60C, 0, 0),
    (0x614, 0, 0),
    (0x618, 0, 0),
    (0x61C, 0, 0xFFFF),
    (0x620, 0, 0),
    (0x804, 0, 0xF),
    (0x80C, 0xFFFF_FFFF, 0xFFFF_FFFF),
    (0x810, 0x003F_FFFF, 0x003F_FFFF),
    (0x830, 0, 0x003F_003F),
    (0x834, 0, 0x003F_003F),
    (0x900, 0, 0xF),
    (0x910, 0, 0x1F),
    (0xA1C, 0x0001_0101, 0),
    (0xB00, 0, 0x871),
    (0xB04, 0, 0),
    (0xB08, 0, 0),
    (0xB0C, 0, 0),
    (0xB14, 0, 0),
    (0xB18, 0, 0x7FFF_7FFF),
    (0xB40, 0x800, 0xFFE),
    (0xB44, 0x800, 0xFFE),
    (0xB48, 0x800, 0xFFE),
    (0xB4C, 0x800, 0xFFE),
    (0xB50, 0x800, 0xFFE),
    (0xB54, 0x800, 0xFFE),
    (0xB58, 0x800, 0xFFE),
    (0xB5C, 0, 0),
    (0xB60, 0, 0),
    (0xB64, 0, 0),
    (0xB68, 0, 0),
    (0xB6C, 0, 0x27F),
    (0xB70, 0x20, 0x001E_FFC3),
    (0xB74, 0, 0),
];

/// Register summary, column reset value.
#[test]
fn reset_values() {
    let mut host = Host::new();
    for &(offset, reset, _) in REGISTERS {
        assert_eq!(host.read(offset), reset, "{offset:#x}");
    }
    for pin in 0..54 {
        let reset = if (2..=8).contains(&pin) { 0x0601 } else { 0x1601 };
        assert_eq!(host.read(0x700 + 4 * pin), reset, "MIO_PIN_{pin:02}");
    }
    host.quiet();
}

/// Register details, column type: what can be written is kept, in each register on its own.
#[test]
fn fields_keep_what_is_written() {
    for &(offset, reset, fields) in REGISTERS {
        // Triggers, keys and locks have tests of their own.
        if matches!(offset, 0x000 | 0x004 | 0x008 | 0x200 | 0x300) || fields == 0 {
            continue;
        }
        for value in [reset ^ fields, reset & !fields, reset | fields] {
            let mut host = Host::unlocked();
            host.write(offset, value);
            assert_eq!(host.read(offset), value, "{offset:#x}");
            assert!(host.slcr.complaints().iter().all(|text| !text.contains("reserved bits")), "{offset:#x}");
            for &(other, reset, _) in REGISTERS {
                // The lock status, and what follows from the PLLs and the parallel access to the pins.
                if other != offset && !matches!(other, 0x00C | 0x10C) {
                    assert_eq!(host.read(other), reset, "{other:#x} after {offset:#x}");
                }
            }
        }
    }
}

/// `SLCR_LOCK`, `SLCR_UNLOCK`, `SLCR_LOCKSTA`.
#[test]
fn write_protection() {
    let mut host = Host::new();
    host.write(0x150, 0x1401);
    assert_eq!(host.read(0x150), 0x1E03);
    assert!(host.complaint().contains("SDIO_CLK_CTRL"));

    host.write(0x008, 0x767B);
    assert_eq!(host.read(0x00C), 1, "the wrong key");
    assert!(host.complaint().contains("SLCR_UNLOCK"));

    host.write(0x008, 0xDF0D);
    assert_eq!(host.read(0x00C), 0);
    host.write(0x150, 0x1401);
    assert_eq!(host.read(0x150), 0x1401);
    assert_eq!((host.read(0x004), host.read(0x008)), (0, 0), "keys do not read back");

    host.write(0x004, 0x767B);
    assert_eq!(host.read(0x00C), 1);
    host.quiet();
    host.write(0x150, 0x1E03);
    assert_eq!(host.read(0x150), 0x1401);
}

/// Every read/write register keeps what is written where the table names a field, and only there.
#[test]
fn reserved_bits_are_kept_and_complained_about() {
    let mut host = Host::unlocked();
    host.write(0x22C, 0xFFFF_FFFF);
    assert_eq!(host.read(0x22C), 1);
    assert!(host.complaint().contains("0xfffffffe"));
    host.write(0x12C, 0x01EC_044D);
    assert_eq!(host.read(0x12C), 0x01EC_044D);
    host.quiet();
}

/// There is no register there.
#[test]
fn holes() {
    let mut host = Host::unlocked();
    for offset in [0x010, 0x0FC, 0x11C, 0x1C0, 0x248, 0x6FC, 0x7D8, 0x808, 0xB10, 0xB78, 0xFFC] {
        assert_eq!(host.read(offset), 0);
        assert!(host.complaint().contains("no register"), "{offset:#x}");
        host.write(offset, 1);
        assert!(host.complaint().contains("no register"), "{offset:#x}");
    }
}

/// Registers are 32 bits wide: parts can be read, not written.
#[test]
fn widths() {
    let mut host = Host::unlocked();
    assert_eq!(host.slcr.read(0x12D, Width::Byte, 0), 0xCC);
    assert_eq!(host.slcr.read(0x12E, Width::Half, 0), 0x01FF);
    host.slcr.write(0x12E, Width::Half, 0, 0);
    assert_eq!(host.read(0x12C), 0x01FF_CCCD);
    assert!(host.complaint().contains("APER_CLK_CTRL"));
}

/// Read-only registers: `PSS_IDCODE`, `BOOT_MODE`, `PLL_STATUS`.
#[test]
fn read_only() {
    let mut host = Host::unlocked();
    for offset in [0x530, 0x25C, 0x10C, 0x17C, 0x00C] {
        let before = host.read(offset);
        host.write(offset, !before);
        assert_eq!(host.read(offset), before);
        assert!(host.complaint().contains("read-only"));
    }
}

/// `SCL`: locks itself, `PSS_RST_CTRL`, `APU_CTRL` and `WDT_CLK_SEL` until a power-on reset.
#[test]
fn secure_lock() {
    let mut host = Host::unlocked();
    host.write(0x300, 1);
    host.write(0x300, 2);
    assert_eq!(host.read(0x300), 3, "APU_CTRL bits can only be set");
    host.write(0x304, 1);
    host.write(0x000, 1);
    host.write(0x000, 0);
    assert_eq!(host.read(0x000), 1);
    host.slcr.complaints();
    for offset in [0x200, 0x300, 0x304] {
        host.write(offset, 0);
        assert!(host.complaint().contains("SCL"), "{offset:#x}");
    }
    assert_eq!(host.read(0x304), 1);
    host.slcr.reset(Reset::Software);
    assert_eq!((host.read(0x000), host.read(0x300)), (1, 3));
    host.slcr.reset(Reset::PowerOn);
    assert_eq!((host.read(0x000), host.read(0x300)), (0, 0));
}

/// `ARM_PLL_CTRL`, `ARM_PLL_CFG`, `PLL_STATUS`: bypass, reset, new factor, out of reset, wait, bypass off.
#[test]
fn pll() {
    for pll in 0..3 {
        let mut host = Host::unlocked();
        let control = 0x100 + 4 * pll;
        let (locked, stable) = (1 << pll, 1 << (3 + pll));
        let output = [Clock::ArmPll, Clock::DdrPll, Clock::IoPll][pll as usize];
        assert_eq!(host.slcr.frequency(output), 26 * 33_333_333);

        host.write(0x110 + 4 * pll, 0x000F_A220);
        host.modify(control, 0, 0x10);
        assert_eq!(host.slcr.frequency(output), 33_333_333);
        host.modify(control, 0, 0x01);
        assert_eq!(host.read(0x10C) & (locked | stable), stable, "bypassed is stable");
        host.modify(control, 0x7F << 12, 40 << 12);
        host.modify(control, 0x01, 0);
        assert_eq!(host.read(0x10C) & (locked | stable), stable);
        // LOCK_CNT is 250 cycles of 30 ns.
        host.now += 7_400;
        assert_eq!(host.read(0x10C) & locked, 0);
        host.now += 200;
        assert_eq!(host.read(0x10C) & locked, locked);
        host.modify(control, 0x10, 0);
        host.quiet();
        assert_eq!(host.read(0x10C), 0x3F);
        assert_eq!(host.slcr.frequency(output), 40 * 33_333_333);

        host.modify(control, 0x7F << 12, 30 << 12);
        assert!(host.complaint().contains("PLL_FDIV"));
        host.modify(control, 0, 0x12);
        host.modify(control, 0x02, 0);
        host.modify(control, 0x10, 0);
        assert!(host.complaint().contains("bypass"));
        assert_eq!(host.read(0x10C) & (locked | stable), 0);
    }
}

/// `BOOT_MODE` bit 4 bypasses the PLLs as long as `PLL_BYPASS_QUAL` is set.
#[test]
fn pll_bypass_by_strap() {
    let mut host = Host { slcr: Slcr::new(Options { boot_mode: 0x15, ..Options::ZEDBOARD }), now: 0 };
    assert_eq!(host.read(0x25C), 0x15);
    assert_eq!(host.read(0x10C), 0x38);
    assert_eq!(host.slcr.frequency(Clock::IoPll), 33_333_333);
    host.write(0x008, 0xDF0D);
    host.modify(0x108, 0x08, 0);
    assert_eq!(host.slcr.frequency(Clock::IoPll), 26 * 33_333_333);
}

/// What ran before has left a PLL off, or has had the time to let it lock.
#[test]
fn preset_plls() {
    let mut host = Host { slcr: Slcr::new(Options { boot_mode: 0x15, ..Options::ZEDBOARD }), now: 0 };
    host.slcr.preset(0x104, 0x0001_A000);
    assert_eq!(host.read(0x10C), 0x3A);
    host.slcr.preset(0x104, 0x0001_A002);
    assert_eq!(host.read(0x10C), 0x28);
    assert_eq!(host.slcr.frequency(Clock::DdrPll), 0);
    host.write(0x008, 0xDF0D);
    host.write(0x104, 0x0001_A000);
    assert_eq!(host.read(0x10C), 0x28);
    host.now += 1_000_000;
    assert_eq!(host.read(0x10C), 0x3A);
}

/// The clock tree that the board's first stage boot loader sets up (UG585 chapter 25).
fn board() -> Host {
    let mut host = Host::new();
    for (offset, value) in [
        (0x100, 40 << 12),
        (0x104, 32 << 12),
        (0x108, 30 << 12),
        (0x120, 0x1F00_0200),
        (0x124, 0x0C20_0003),
        (0x128, 0x0070_0F01),
        (0x150, 0x1401),
        (0x154, 0x0A02),
        (0x140, 0x0010_0801),
        (0x14C, 0x0501),
        (0x168, 0x0501),
        (0x170, 0x0010_0A00),
        (0x180, 0x0020_0510),
        (0x12C, 0x01EC_044D),
    ] {
        host.slcr.preset(offset, value);
    }
    host.slcr.preset(0x008, 0);
    assert_eq!(host.read(0x00C), 0);
    host
}

#[test]
fn frequencies() {
    let mut host = board();
    let slcr = &host.slcr;
    assert_eq!(slcr.frequency(Clock::ArmPll), 1_333_333_320);
    assert_eq!(slcr.frequency(Clock::Cpu6x4x), 666_666_660);
    assert_eq!(slcr.frequency(Clock::Cpu3x2x), 333_333_330);
    assert_eq!(slcr.frequency(Clock::Cpu2x), 222_222_220);
    assert_eq!(slcr.frequency(Clock::Cpu1x), 111_111_110);
    assert_eq!(slcr.frequency(Clock::Ddr3x), 533_333_328);
    assert_eq!(slcr.frequency(Clock::Ddr2x), 355_555_552);
    assert_eq!(slcr.frequency(Clock::Dci), 1_066_666_656 / 105);
    assert_eq!(slcr.frequency(Clock::Sdio), 999_999_990 / 20);
    assert_eq!(slcr.frequency(Clock::Uart), 99_999_999);
    assert_eq!(slcr.frequency(Clock::Gem0), 999_999_990 / 8);
    assert_eq!(slcr.frequency(Clock::Qspi), 199_999_998);
    assert_eq!(slcr.frequency(Clock::Pcap), 199_999_998);
    assert_eq!(slcr.frequency(Clock::Fclk(0)), 99_999_999);
    assert_eq!(slcr.frequency(Clock::Fclk(1)), 999_999_990 / 5 / 2);
    assert_eq!(slcr.frequency(Clock::Fclk(4)), 0);
    assert_eq!(slcr.reference(Block::Sdio0), 999_999_990 / 20);
    assert_eq!(slcr.reference(Block::Sdio1), 0, "CLKACT1 is clear");
    assert_eq!(slcr.reference(Block::Uart1), 99_999_999);
    assert_eq!(slcr.reference(Block::I2c0), 111_111_110);

    // CLK_621_TRUE: 4:2:2:1.
    host.write(0x1C4, 0);
    assert_eq!(host.slcr.frequency(Clock::Cpu3x2x), 333_333_330);
    assert_eq!(host.slcr.frequency(Clock::Cpu2x), 333_333_330);
    assert_eq!(host.slcr.frequency(Clock::Cpu1x), 166_666_665);
    // SRCSEL of the processors: 0x ARM, 10 DDR, 11 I/O. Of all others: 0x I/O, 10 ARM, 11 DDR.
    for (source, processor, sdio) in [
        (0, 1_333_333_320, 999_999_990),
        (1, 1_333_333_320, 999_999_990),
        (2, 1_066_666_656, 1_333_333_320),
        (3, 999_999_990, 1_066_666_656),
    ] {
        host.modify(0x120, 0x30, source << 4);
        host.modify(0x150, 0x30, source << 4);
        assert_eq!(host.slcr.frequency(Clock::Cpu6x4x), processor / 2);
        assert_eq!(host.slcr.frequency(Clock::Sdio), sdio / 20);
    }
    // Gates.
    host.modify(0x120, 1 << 24, 0);
    assert_eq!(host.slcr.frequency(Clock::Cpu6x4x), 0);
    host.modify(0x150, 3, 0);
    assert_eq!(host.slcr.frequency(Clock::Sdio), 0);
    // SRCSEL 1xx of Ethernet: a clock from outside.
    host.modify(0x140, 0, 0x40);
    assert_eq!(host.slcr.frequency(Clock::Gem0), 0);
    host.quiet();
}

/// `APER_CLK_CTRL` and the reset registers: each block has its own bits and minds no other.
#[test]
fn gates() {
    const TABLE: &[(Block, u32, u32, u32)] = &[
        (Block::Dmac, 0, 0x20C, 0),
        (Block::Usb0, 2, 0x210, 0),
        (Block::Usb1, 3, 0x210, 1),
        (Block::Gem0, 6, 0x214, 0),
        (Block::Gem1, 7, 0x214, 1),
        (Block::Sdio0, 10, 0x218, 0),
        (Block::Sdio1, 11, 0x218, 1),
        (Block::Spi0, 14, 0x21C, 0),
        (Block::Spi1, 15, 0x21C, 1),
        (Block::Can0, 16, 0x220, 0),
        (Block::Can1, 17, 0x220, 1),
        (Block::I2c0, 18, 0x224, 0),
        (Block::I2c1, 19, 0x224, 1),
        (Block::Uart0, 20, 0x228, 0),
        (Block::Uart1, 21, 0x228, 1),
        (Block::Gpio, 22, 0x22C, 0),
        (Block::Qspi, 23, 0x230, 0),
        (Block::Smc, 24, 0x234, 0),
    ];
    let mut host = Host::unlocked();
    for &(block, clock, register, reset) in TABLE {
        let others = |slcr: &Slcr| Block::ALL.iter().all(|other| *other == block || slcr.gate(*other) == Gate::Running);
        assert_eq!(host.slcr.gate(block), Gate::Running);
        host.modify(0x12C, 1 << clock, 0);
        assert_eq!(host.slcr.gate(block), Gate::ClockOff { register: "APER_CLK_CTRL", bit: clock });
        assert!(others(&host.slcr), "{block:?}");
        host.modify(0x12C, 0, 1 << clock);
        host.modify(register, 0, 1 << reset);
        assert!(matches!(host.slcr.gate(block), Gate::InReset { bit, .. } if bit == reset), "{block:?}");
        assert!(others(&host.slcr), "{block:?}");
        host.modify(register, 1 << reset, 0);
    }
    host.modify(0x120, 1 << 27, 0);
    for block in Block::ALL {
        assert_eq!(host.slcr.gate(block), Gate::ClockOff { register: "ARM_CLK_CTRL", bit: 27 });
    }
    assert_eq!(
        host.slcr.gate(Block::Ttc).to_string(),
        "its clock is off (slcr.ARM_CLK_CTRL bit 27 is 0)",
        "a complaint names the place"
    );
    host.quiet();
}

/// Resets of the side of the reference clock: `SDIO_RST_CTRL` bits 5 and 4, `UART_RST_CTRL` bits 3 and 2, and so on.
#[test]
fn reference_resets() {
    for (block, register, bit) in [
        (Block::Gem0, 0x214, 6),
        (Block::Gem1, 0x214, 7),
        (Block::Sdio0, 0x218, 4),
        (Block::Sdio1, 0x218, 5),
        (Block::Spi0, 0x21C, 2),
        (Block::Spi1, 0x21C, 3),
        (Block::Uart0, 0x228, 2),
        (Block::Uart1, 0x228, 3),
        (Block::Qspi, 0x230, 1),
        (Block::Smc, 0x234, 1),
    ] {
        let mut host = Host::unlocked();
        assert_ne!(host.slcr.reference(block), 0);
        host.write(register, 1 << bit);
        assert_eq!(host.slcr.reference(block), 0, "{block:?}");
        assert_eq!(host.slcr.gate(block), Gate::Running, "the registers answer");
        host.quiet();
    }
}

/// `PSS_RST_CTRL`: a pulse. `REBOOT_STATUS` survives and tells.
#[test]
fn software_reset() {
    let mut host = Host::unlocked();
    host.write(0x200, 0);
    assert!(!host.slcr.take_reset());
    host.write(0x258, 0x5A40_0000);
    host.write(0x100, 0x0001_A018);
    host.write(0x900, 0xF);
    host.write(0x200, 1);
    assert_eq!(host.read(0x200), 0);
    assert!(host.slcr.take_reset());
    assert!(!host.slcr.take_reset(), "told once");
    host.slcr.reset(Reset::Software);
    assert_eq!(host.read(0x258), 0x5A08_0000);
    assert_eq!(host.read(0x100), 0x0001_A018, "the clock generator is not reset");
    assert_eq!(host.read(0x900), 0);
    assert_eq!(host.read(0x00C), 1);
    for (reset, status) in [(Reset::Button, 0x5A20_0000), (Reset::Watchdog, 0x5A01_0000), (Reset::PowerOn, 0x0040_0000)]
    {
        host.slcr.reset(reset);
        assert_eq!(host.read(0x258), status);
    }
    assert_eq!(host.read(0x100), 0x0001_A008);
}

/// `MIO_PIN_nn`: buffer bits, the same for all pins.
#[test]
fn pin_buffers() {
    for pin in 0..54 {
        let mut host = Host::unlocked();
        let register = 0x700 + 4 * pin;
        let configured = host.slcr.pin(pin);
        assert_eq!(configured.function, Function::Gpio);
        assert!(configured.tristate && configured.receiver);
        assert_eq!(configured.pull_up, !(2..=8).contains(&pin));
        assert_eq!(configured.standard, Standard::Lvcmos33);
        for (value, standard) in [(1, Standard::Lvcmos18), (2, Standard::Lvcmos25), (4, Standard::Hstl)] {
            host.write(register, 0x3000 | value << 9);
            assert_eq!(host.slcr.pin(pin).standard, standard);
        }
        assert!(!host.slcr.pin(pin).tristate && host.slcr.pin(pin).pull_up && !host.slcr.pin(pin).receiver);
        host.quiet();
        host.write(register, 0);
        assert!(host.complaint().contains("IO_Type"));
        host.write(register, 0x4600);
        assert!(host.complaint().contains("reserved bits"));
    }
}

/// `MIO_MST_TRI0` and `MIO_MST_TRI1`: parallel access to the same bits.
#[test]
fn master_tristates() {
    let mut host = Host::unlocked();
    host.write(0x80C, 0x1234_5678);
    host.write(0x810, 0xFFEA_AAAA);
    assert_eq!((host.read(0x80C), host.read(0x810)), (0x1234_5678, 0x002A_AAAA));
    for pin in 0..54 {
        let expected = if pin < 32 { 0x1234_5678 >> pin & 1 } else { 0x002A_AAAA >> (pin - 32) & 1 };
        assert_eq!(host.read(0x700 + 4 * pin) & 1, expected);
        assert_eq!(host.slcr.pin(pin).tristate, expected == 1);
    }
    host.modify(0x700 + 4 * 49, 1, 0);
    assert_eq!(host.read(0x810), 0x0028_AAAA);
}

/// `MIO_PIN_nn`, all of them: what level 0 and level 1 select with a 1, level 2 with 1 to 3, level 3 with 0 to 7.
const FUNCTIONS: [&str; 54] = [
    "qspi - sram nand sd0.power gpio - - - - - - -",
    "qspi - sram sram sd1.power gpio - - - - - - -",
    "qspi trace - nand sd0.power gpio - - - - - - -",
    "qspi trace sram nand sd1.power gpio - - - - - - -",
    "qspi trace sram nand sd0.power gpio - - - - - - -",
    "qspi trace sram nand sd1.power gpio - - - - - - -",
    "qspi trace sram nand sd0.power gpio - - - - - - -",
    "- trace sram nand sd1.power gpio - - - - - - -",
    "qspi trace - nand sd0.power gpio can1.tx sram - - - - uart1.tx",
    "qspi trace sram nand sd1.power gpio can1.rx - - - - - uart1.rx",
    "qspi trace sram nand sd0.power gpio can0.rx i2c0.scl jtag.tdi sd1.d0 spi1.mosi - uart0.rx",
    "qspi trace sram nand sd1.power gpio can0.tx i2c0.sda jtag.tdo sd1.cmd spi1.miso - uart0.tx",
    "qspi trace - nand sd0.power gpio can1.tx i2c1.scl jtag.tck sd1.clk spi1.clk - uart1.tx",
    "qspi trace sram nand sd1.power gpio can1.rx i2c1.sda jtag.tms sd1.d1 spi1.ss0 - uart1.rx",
    "- trace - nand sd0.power gpio can0.rx i2c0.scl swdt.clk sd1.d2 spi1.ss1 - uart0.rx",
    "- trace sram - sd1.power gpio can0.tx i2c0.sda swdt.rst sd1.d3 spi1.ss2 - uart0.tx",
    "eth0 trace sram nand sd0.power gpio can1.tx i2c1.scl - sd0.clk spi0.clk ttc1.wave uart1.tx",
    "eth0 trace sram nand sd1.power gpio can1.rx i2c1.sda - sd0.cmd spi0.miso ttc1.clk uart1.rx",
    "eth0 trace sram nand sd0.power gpio can0.rx i2c0.scl - sd0.d0 spi0.ss0 ttc0.wave uart0.rx",
    "eth0 trace sram nand sd1.power gpio can0.tx i2c0.sda - sd0.d1 spi0.ss1 ttc0.clk uart0.tx",
    "eth0 - sram nand sd0.power gpio can1.tx i2c1.scl - sd0.d2 spi0.ss2 - uart1.tx",
    "eth0 - sram nand sd1.power gpio can1.rx i2c1.sda - sd0.d3 spi0.mosi - uart1.rx",
    "eth0 trace sram nand sd0.power gpio can0.rx i2c0.scl jtag.tdi sd1.d0 spi1.mosi - uart0.rx",
    "eth0 trace sram nand sd1.power gpio can0.tx i2c0.sda jtag.tdo sd1.cmd spi1.miso - uart0.tx",
    "eth0 trace sram - sd0.power gpio can1.tx i2c1.scl jtag.tck sd1.clk spi1.clk - uart1.tx",
    "eth0 trace sram - sd1.power gpio can1.rx i2c1.sda jtag.tms sd1.d1 spi1.ss0 - uart1.rx",
    "eth0 trace sram - sd0.power gpio can0.rx i2c0.scl swdt.clk sd1.d2 spi1.ss1 - uart0.rx",
    "eth0 trace sram - sd1.power gpio can0.tx i2c0.sda swdt.rst sd1.d3 spi1.ss2 - uart0.tx",
    "eth1 usb0 sram - sd0.power gpio can1.tx i2c1.scl - sd0.clk spi0.clk ttc1.wave uart1.tx",
    "eth1 usb0 sram - sd1.power gpio can1.rx i2c1.sda - sd0.cmd spi0.miso ttc1.clk uart1.rx",
    "eth1 usb0 sram - sd0.power gpio can0.rx i2c0.scl - sd0.d0 spi0.ss0 ttc0.wave uart0.rx",
    "eth1 usb0 sram - sd1.power gpio can0.tx i2c0.sda - sd0.d1 spi0.ss1 ttc0.clk uart0.tx",
    "eth1 usb0 sram - sd0.power gpio can1.tx i2c1.scl - sd0.d2 spi0.ss2 - uart1.tx",
    "eth1 usb0 sram - sd1.power gpio can1.rx i2c1.sda - sd0.d3 spi0.mosi - uart1.rx",
    "eth1 usb0 sram - sd0.power gpio can0.rx i2c0.scl jtag.tdi sd1.d0 spi1.mosi - uart0.rx",
    "eth1 usb0 sram - sd1.power gpio can0.tx i2c0.sda jtag.tdo sd1.cmd spi1.miso - uart0.tx",
    "eth1 usb0 sram - sd0.power gpio can1.tx i2c1.scl jtag.tck sd1.clk spi1.clk - uart1.tx",
    "eth1 usb0 sram - sd1.power gpio can1.rx i2c1.sda jtag.tms sd1.d1 spi1.ss0 - uart1.rx",
    "eth1 usb0 sram - sd0.power gpio can0.rx i2c0.scl swdt.clk sd1.d2 spi1.ss1 - uart0.rx",
    "eth1 usb0 sram - sd1.power gpio can0.tx i2c0.sda swdt.rst sd1.d3 spi1.ss2 - uart0.tx",
    "- usb1 - - sd0.power gpio can1.tx i2c1.scl - sd0.clk spi0.clk ttc1.wave uart1.tx",
    "- usb1 - - sd1.power gpio can1.rx i2c1.sda - sd0.cmd spi0.miso ttc1.clk uart1.rx",
    "- usb1 - - sd0.power gpio can0.rx i2c0.scl - sd0.d0 spi0.ss0 ttc0.wave uart0.rx",
    "- usb1 - - sd1.power gpio can0.tx i2c0.sda - sd0.d1 spi0.ss1 ttc0.clk uart0.tx",
    "- usb1 - - sd0.power gpio can1.tx i2c1.scl - sd0.d2 spi0.ss2 - uart1.tx",
    "- usb1 - - sd1.power gpio can1.rx i2c1.sda - sd0.d3 spi0.mosi - uart1.rx",
    "- usb1 - - sd0.power gpio can0.rx i2c0.scl jtag.tdi sd1.d0 spi1.mosi - uart0.rx",
    "- usb1 - - sd1.power gpio can0.tx i2c0.sda jtag.tdo sd1.cmd spi1.miso - uart0.tx",
    "- usb1 - - sd0.power gpio can1.tx i2c1.scl jtag.tck sd1.clk spi1.clk - uart1.tx",
    "- usb1 - - sd1.power gpio can1.rx i2c1.sda jtag.tms sd1.d1 spi1.ss0 - uart1.rx",
    "- usb1 - - sd0.power gpio can0.rx i2c0.scl swdt.clk sd1.d2 spi1.ss1 - uart0.rx",
    "- usb1 - - sd1.power gpio can0.tx i2c0.sda swdt.rst sd1.d3 spi1.ss2 - uart0.tx",
    "- - - - sd0.power gpio can1.tx i2c1.scl swdt.clk mdio0.clk mdio1.clk - uart1.tx",
    "- - - - sd1.power gpio can1.rx i2c1.sda swdt.rst mdio0.data mdio1.data - uart1.rx",
];

fn code(function: Function) -> String {
    match function {
        Function::Gpio => "gpio".into(),
        Function::I2cScl(n) => format!("i2c{n}.scl"),
        Function::I2cSda(n) => format!("i2c{n}.sda"),
        Function::UartTx(n) => format!("uart{n}.tx"),
        Function::UartRx(n) => format!("uart{n}.rx"),
        Function::CanTx(n) => format!("can{n}.tx"),
        Function::CanRx(n) => format!("can{n}.rx"),
        Function::SdClock(n) => format!("sd{n}.clk"),
        Function::SdCommand(n) => format!("sd{n}.cmd"),
        Function::SdData { controller, line } => format!("sd{controller}.d{line}"),
        Function::SdPower(n) => format!("sd{n}.power"),
        Function::SpiClock(n) => format!("spi{n}.clk"),
        Function::SpiMosi(n) => format!("spi{n}.mosi"),
        Function::SpiMiso(n) => format!("spi{n}.miso"),
        Function::SpiSelect { controller, line } => format!("spi{controller}.ss{line}"),
        Function::TtcWave(n) => format!("ttc{n}.wave"),
        Function::TtcClock(n) => format!("ttc{n}.clk"),
        Function::WatchdogClock => "swdt.clk".into(),
        Function::WatchdogReset => "swdt.rst".into(),
        Function::MdioClock(n) => format!("mdio{n}.clk"),
        Function::MdioData(n) => format!("mdio{n}.data"),
        Function::Jtag(line) => format!("jtag.{}", ["tdi", "tdo", "tck", "tms"][usize::from(line)]),
        Function::Ethernet(n) => format!("eth{n}"),
        Function::Usb(n) => format!("usb{n}"),
        Function::QuadSpi => "qspi".into(),
        Function::Sram => "sram".into(),
        Function::Nand => "nand".into(),
        Function::Trace => "trace".into(),
        Function::Reserved => "-".into(),
    }
}

#[test]
fn multiplexers() {
    let mut host = Host::unlocked();
    for (pin, row) in (0..).zip(FUNCTIONS) {
        let selects = [0x02, 0x04, 0x08, 0x10, 0x18].into_iter().chain((0..8).map(|value| value << 5));
        let expected: Vec<&str> = row.split(' ').collect();
        assert_eq!(expected.len(), 13);
        for (select, expected) in selects.zip(expected) {
            host.write(0x700 + 4 * pin, 0x1600 | select);
            assert_eq!(code(host.slcr.pin(pin).function), expected, "pin {pin}, {select:#x}");
            let complaints = host.slcr.complaints();
            assert_eq!(complaints.iter().any(|text| text.contains("reserved function")), expected == "-");
            assert_eq!(complaints.is_empty(), expected != "-");
        }
    }
}

/// Each level hides those behind it.
#[test]
fn multiplexers_in_a_row() {
    let mut host = Host::unlocked();
    for (select, expected) in [(0xEE, "eth0"), (0xEC, "trace"), (0xE8, "sram"), (0xE0, "uart1.tx")] {
        host.write(0x700 + 4 * 16, 0x1600 | select);
        assert_eq!(code(host.slcr.pin(16).function), expected);
    }
    host.quiet();
}

/// `LVL_SHFTR_EN` and `FPGA_RST_CTRL`.
#[test]
fn programmable_logic() {
    let mut host = Host::unlocked();
    assert_eq!(host.slcr.level_shifters(), LevelShifters { to_logic: false, from_logic: false });
    assert!((0..4).all(|number| host.slcr.logic_reset(number)));
    host.write(0x900, 0xA);
    assert_eq!(host.slcr.level_shifters(), LevelShifters { to_logic: true, from_logic: false });
    host.write(0x900, 0xF);
    assert_eq!(host.slcr.level_shifters(), LevelShifters { to_logic: true, from_logic: true });
    host.write(0x240, 0xD);
    assert!(!host.slcr.logic_reset(1) && host.slcr.logic_reset(0) && host.slcr.logic_reset(3));
    host.quiet();
    host.write(0x900, 0x3);
    assert!(host.complaint().contains("LVL_SHFTR_EN"));
}

/// `DDRIOB_DCI_CTRL` and `DDRIOB_DCI_STATUS`: reset toggled once, enabled, done after a while.
#[test]
fn impedance_calibration() {
    let mut host = Host::unlocked();
    host.modify(0xB70, 0, 1);
    host.modify(0xB70, 1, 0);
    host.modify(0xB70, 0x07FE_FFFF, 0x823);
    assert_eq!(host.read(0xB74), 0);
    host.now += 1_000_000;
    assert_eq!(host.read(0xB74) & 0x2000, 0x2000);
    host.modify(0xB70, 2, 0);
    assert_eq!(host.read(0xB74), 0);
    host.quiet();
}

/// Triggers read back as zero.
#[test]
fn memory_triggers() {
    let mut host = Host::unlocked();
    host.write(0x60C, 3);
    host.write(0x614, 1);
    assert_eq!((host.read(0x60C), host.read(0x614)), (0, 0));
    host.quiet();
}

/// Software that never stops doing wrong does not fill the memory.
#[test]
fn complaints_are_bounded() {
    let mut host = Host::new();
    for _ in 0..1_000_000 {
        host.write(0x150, 0);
    }
    let complaints = host.slcr.complaints();
    assert!(complaints.len() <= 101);
    assert_eq!(complaints.last().unwrap(), "and 999900 complaints more");
}
