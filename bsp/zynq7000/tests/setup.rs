//! Data that no board can have are refused, and sound data of other kinds than the boards' give what the manuals say.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use zedboard::BOARD;
use zelkova_zynq7000::board::{Board, PinGroup};
use zelkova_zynq7000::clocks::{ClockRegisters, Pll};
use zelkova_zynq7000::setup::{self, SetupError, Write};

fn with(change: impl FnOnce(&mut Board)) -> Board {
    let mut board = BOARD;
    change(&mut board);
    board
}

/// The value written to a register.
fn value(writes: &[Write], address: u32) -> u32 {
    writes.iter().filter(|write| write.address == address).fold(0, |value, write| write.apply(value))
}

#[test]
fn every_pin_is_in_one_group() {
    for board in [BOARD, zybo_z7::BOARD] {
        let mut pins: Vec<u8> =
            board.pins.groups.iter().flat_map(|group: &PinGroup| group.first..=group.last).collect();
        pins.sort_unstable();
        assert_eq!(pins, (0..54).collect::<Vec<u8>>(), "{}", board.name);
        assert!(board.led.is_none_or(|led| setup::is_gpio(&board, led)), "{}", board.name);
        assert!(setup::is_gpio(&board, board.card.detect));
    }
}

#[test]
fn the_rates_that_follow_from_the_registers_are_those_asked_for() {
    for board in [BOARD, zybo_z7::BOARD] {
        let mut writes: Vec<Write> = setup::clocks(&board).unwrap().collect();
        writes.extend(setup::cpu_clock(&board).unwrap());
        for pll in [Pll::Arm, Pll::Ddr, Pll::Io] {
            writes.push(setup::pll(&board, pll).unwrap().feedback);
        }
        let registers = ClockRegisters::read(|offset| value(&writes, 0xf800_0000 + offset as u32));
        let near = |rate: u32, wanted: u32| rate.abs_diff(wanted) < wanted / 1000;
        assert!(near(registers.cpu_6x4x(board.ps_clk).unwrap(), 666_666_667));
        assert!(near(registers.cpu_1x(board.ps_clk).unwrap(), 111_111_111));
        assert!(near(registers.sdio_ref(board.ps_clk).unwrap(), board.clocks.sd));
        assert!(near(registers.uart_ref(board.ps_clk).unwrap(), board.clocks.uart));
        assert!(setup::memory_rate(&board).abs_diff(533_333_333) < 100);
    }
}

#[test]
fn loops_that_cannot_lock_are_refused() {
    for divisor in [0, 12, 23, 49, 67, 255] {
        let board = with(|board| board.clocks.io_pll = divisor);
        assert_eq!(setup::pll(&board, Pll::Io), Err(SetupError::Pll(Pll::Io, divisor)), "{divisor}");
    }
    // A crystal of 60 MHz asks for the other end of the table: UG585 table 25-6, divisor 20.
    let board = with(|board| (board.ps_clk, board.clocks.ddr_pll) = (60_000_000, 20));
    let pll = setup::pll(&board, Pll::Ddr).unwrap();
    assert_eq!((pll.config.address, pll.config.value), (0xf800_0114, 500 << 12 | 2 << 8 | 12 << 4));
    assert_eq!((pll.feedback.address, pll.feedback.value), (0xf800_0104, 20 << 12));
}

#[test]
fn divisors_that_the_manual_excludes_are_refused() {
    for divisor in [0, 1, 3] {
        assert!(setup::cpu_clock(&with(|board| board.clocks.cpu = divisor)).is_err());
    }
    assert!(setup::cpu_clock(&with(|board| board.clocks.cpu = 64)).is_err());
    for divisor in [0, 1, 3, 64] {
        assert!(setup::memory_clocks(&with(|board| board.clocks.ddr_3x = divisor)).is_err());
    }
    assert!(setup::memory_clocks(&with(|board| board.clocks.ddr_2x = 0)).is_err());
    for rate in [0, 1_000, 15_000_000] {
        // 1 GHz / 63 is the least that one divisor can make.
        assert!(setup::clocks(&with(|board| board.clocks.sd = rate)).is_err(), "{rate}");
    }
    // Two can make less: 1 GHz / (63 * 63).
    let board = with(|board| board.clocks.logic[0] = Some(252_000));
    let writes: Vec<Write> = setup::clocks(&board).unwrap().collect();
    assert_eq!(value(&writes, 0xf800_0170), 63 << 8 | 63 << 20);
    // 1 GHz / 67 is not possible, 67 being a prime number; / 68 is 34 * 2.
    let board = with(|board| board.clocks.logic[0] = Some(14_925_373));
    let writes: Vec<Write> = setup::clocks(&board).unwrap().collect();
    assert_eq!(value(&writes, 0xf800_0170), 34 << 8 | 2 << 20);
    assert!(setup::clocks(&with(|board| board.clocks.logic[0] = Some(1000))).is_err());
}

#[test]
fn memory_that_the_controller_cannot_drive_is_refused() {
    type Change = fn(&mut Board);
    let changes: [Change; 9] = [
        |board| board.memory.timing.cas_latency = 4,
        |board| board.memory.timing.cas_latency = 12,
        |board| board.memory.timing.cas_write_latency = 4,
        |board| board.memory.timing.row_cycle = 200_000,
        |board| board.memory.timing.refresh_cycle = 600_000,
        |board| board.memory.timing.row_to_column = 16,
        |board| board.memory.rows = 11,
        |board| board.memory.columns = 11,
        |board| board.memory.lanes[2].strobe_to_clock = -2_000,
    ];
    for (index, change) in changes.into_iter().enumerate() {
        assert!(setup::memory_controller(&with(change)).is_err(), "change {index}");
    }
}

#[test]
fn slower_memory_needs_fewer_clocks() {
    // 400 MHz, DDR3-800: 2.5 ns a clock.
    let board = with(|board| (board.clocks.ddr_pll, board.clocks.ddr_3x) = (24, 2));
    let writes = setup::memory_controller(&board).unwrap();
    let at = |offset: u32| value(&writes, 0xf800_6000 + offset);
    assert_eq!(at(0x14) & 0x3f, 20, "tRC of 49.5 ns");
    assert_eq!(at(0x14) >> 6 & 0xff, 64, "tRFC of 160 ns");
    assert_eq!(at(0x04) & 0xfff, 97, "tREFI of 7.8 us, in 32 clocks");
    assert_eq!(at(0x30) & 0xffff, 0x30 | 1 << 8 | 2 << 9, "write recovery of 15 ns is 6 clocks");
    assert_eq!(at(0xa8) >> 20 & 0xff, 79, "reset of 200 us, in 1024 clocks");
}

#[test]
fn writes_keep_what_they_do_not_name() {
    let write = setup::pll(&BOARD, Pll::Arm).unwrap().feedback;
    assert_eq!(write.apply(0xffff_ffff), !0x0007_f000 | 40 << 12);
}
