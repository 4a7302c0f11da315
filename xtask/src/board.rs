//! The state in which start-up code leaves the ZedBoard.
//!
//! The emulator starts a scenario's program itself, without boot ROM and first-stage loader. So the SLCR is
//! preset with what these would have written: clocks, pins, and level shifters once the PL is configured.

use models::board::description::Preset;
use zynq7000::clocks::Pll;
use zynq7000::memory::SLCR;
use zynq7000::setup::{self, SetupError};
use zynq7000::slcr;

/// What is preset. `configured` says whether the PL has its bitstream.
pub(crate) fn start_up(configured: bool) -> Result<Vec<Preset>, SetupError> {
    let board = &zedboard::BOARD;
    let mut writes = Vec::new();
    for pll in [Pll::Arm, Pll::Ddr, Pll::Io] {
        let pll = setup::pll(board, pll)?;
        writes.extend([pll.config, pll.feedback]);
    }
    writes.extend(setup::cpu_clock(board)?);
    writes.extend(setup::memory_clocks(board)?);
    writes.extend(setup::clocks(board)?);
    writes.extend(setup::pins(board));
    let preset = |write: setup::Write| Preset {
        offset: write.address.wrapping_sub(SLCR.registers.base),
        mask: write.mask,
        value: write.value,
    };
    let mut presets: Vec<Preset> = writes.into_iter().map(preset).collect();
    if configured {
        presets.push(Preset { offset: slcr::LVL_SHFTR_EN as u32, mask: 0xF, value: 0xF });
        presets.push(Preset { offset: slcr::FPGA_RST_CTRL as u32, mask: 0xF, value: 0 });
    }
    Ok(presets)
}

#[cfg(test)]
mod tests {
    use models::Width;
    use models::board::{Board, Description};
    use models::memory::NoMemory;

    use super::*;

    #[test]
    fn the_board_runs_at_its_rates_and_drives_its_led() {
        let description = Description { preset: start_up(true).unwrap(), ..Description::default() };
        let mut board = Board::new(&description).unwrap();
        let gpio = board.region("gpio").unwrap();
        for (offset, value) in [(0x204, 1 << 7), (0x208, 1 << 7), (0x0, 0xFF7F_0080)] {
            board.write(gpio, offset, Width::Word, value, 0);
        }
        // 111 MHz: a counter in interval mode wraps after 1000 cycles.
        let ttc = board.region("ttc0").unwrap();
        for (offset, value) in [(0x24, 1000), (0x60, 1), (0xC, 0b10)] {
            board.write(ttc, offset, Width::Word, value, 0);
        }
        board.advance(8_999, &mut NoMemory);
        assert_eq!(board.interrupts(ttc), 0);
        board.advance(9_020, &mut NoMemory);
        assert_eq!(board.interrupts(ttc), 1);
        let report = board.report(10_000);
        assert!(report.nets["LD9"].level);
        assert!(report.complaints.is_empty(), "{:?}", report.complaints);
    }
}
