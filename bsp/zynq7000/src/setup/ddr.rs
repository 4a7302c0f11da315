//! The memory controller, its PHY and its pads (UG585 chapter 10, appendix B.7 and B.28).
//!
//! # How the hardware works
//!
//! The controller holds all times of the chips in clocks of `ddr_3x`. Taken out of reset, it runs the power-up sequence of DDR3 by
//! itself: reset of the chips, CKE, mode registers, calibration of their output impedance. Then its PHY trains three delays of each byte of
//! the bus: *write leveling* finds out when a strobe has to leave to meet the clock at the chip, *gate training* when a
//! strobe of a read comes back, *data eye training* where in the strobe's period data is stable. Training begins at ratios
//! that follow from the delays on the board, in 256ths of a clock. All of it shows as the operating mode in `mode_sts_reg`, which
//! leaves 0 in the end, and as error bits in `reg_2c` where training took too long.
//!
//! # What this does
//!
//! [`memory_controller`] computes all registers from the chips' times. Formulas are those of the registers' descriptions in
//! appendix B.7; times that all DDR3 chips share are from JESD79-3. Fields that the manual reserves have the values of the
//! vendor's start-up code, which are the same on all boards with DDR3.
//!
//! # What it does not
//!
//! DDR2, LPDDR2, the narrow bus of 16 bits, error correction, and dual ranks.

use super::{SetupError, Write, field};
use crate::board::{Board, Lane, Reference};
use crate::memory::DDRC;
use crate::slcr;

/// Number of writes of [`memory_controller`].
pub const DDRC_WRITES: usize = 80;

/// Times of all DDR3 chips: picoseconds, and where there are two, clocks at least (JESD79-3, tables of timing parameters).
mod ddr3 {
    /// tWR: write recovery.
    pub(super) const WRITE_RECOVERY: u32 = 15_000;
    /// tWTR: write to read.
    pub(super) const WRITE_TO_READ: (u32, u32) = (7_500, 4);
    /// tRTP: read to precharge.
    pub(super) const READ_TO_PRECHARGE: (u32, u32) = (7_500, 4);
    /// tXP: exit from power-down.
    pub(super) const POWER_DOWN_EXIT: (u32, u32) = (7_500, 3);
    /// tCKE: shortest pulse of CKE.
    pub(super) const CKE: (u32, u32) = (5_625, 3);
    /// tCKSRE and tCKSRX: clocks around self-refresh.
    pub(super) const SELF_REFRESH_CLOCKS: (u32, u32) = (10_000, 5);
    /// tREFI: mean time between refreshes, up to 85 degrees Celsius.
    pub(super) const REFRESH: u32 = 7_800_000;
    /// Longest time that a row is open, in refreshes.
    pub(super) const ROW_ACTIVE_REFRESHES: u32 = 9;
    /// tXSDLL = tDLLK, in clocks.
    pub(super) const DLL_LOCK: u32 = 512;
    /// tCCD, in clocks.
    pub(super) const COLUMN_TO_COLUMN: u32 = 4;
    /// tMRD, in clocks.
    pub(super) const MODE_REGISTER: u32 = 4;
    /// tWLMRD, in clocks.
    pub(super) const WRITE_LEVELING: u32 = 40;
    /// tZQCS and tZQinit, in clocks.
    pub(super) const CALIBRATION: (u32, u32) = (64, 512);
    /// Time between two short calibrations.
    pub(super) const CALIBRATION_INTERVAL: u64 = 100_000_000_000;
    /// Reset of the chips.
    pub(super) const RESET: u32 = 200_000_000;
    /// From the end of the reset to CKE.
    pub(super) const CKE_AFTER_RESET: u32 = 500_000_000;
    /// From CKE to the first command.
    pub(super) const COMMAND_AFTER_CKE: u32 = 400_000;
    /// Half a burst of 8, in clocks.
    pub(super) const HALF_BURST: u32 = 4;
}

/// The rate of `ddr_3x` in hertz.
pub fn rate(board: &Board) -> u64 {
    (u64::from(board.ps_clk) * u64::from(board.clocks.ddr_pll))
        .checked_div(u64::from(board.clocks.ddr_3x))
        .unwrap_or_default()
}

/// Clocks at a rate.
#[derive(Clone, Copy)]
struct Clock(u64);

impl Clock {
    const PICOSECONDS: u64 = 1_000_000_000_000;

    /// Clocks in a time, rounded up to whole `unit`s of clocks.
    fn at_least(self, picoseconds: u32, unit: u64) -> u32 {
        (u64::from(picoseconds) * self.0).div_ceil(Self::PICOSECONDS * unit) as u32
    }

    /// The same, but no fewer than the chip wants in any case.
    fn at_least_both(self, (picoseconds, clocks): (u32, u32)) -> u32 {
        self.at_least(picoseconds, 1).max(clocks)
    }

    /// Clocks in a time, rounded down to whole `unit`s of clocks.
    fn at_most(self, picoseconds: u64, unit: u64) -> u32 {
        (u128::from(picoseconds) * u128::from(self.0) / u128::from(Self::PICOSECONDS * unit)) as u32
    }

    /// A time in 256ths of a clock, rounded towards zero.
    fn ratio(self, picoseconds: i32) -> i32 {
        (i128::from(picoseconds) * 256 * i128::from(self.0) / i128::from(Self::PICOSECONDS)) as i32
    }
}

/// The pads of the memory: written once the DDR PLL is locked, with the SLCR unlocked. The last three begin their calibration, one after the
/// other, which must be over (bit 13 of `DDRIOB_DCI_STATUS`) before the controller leaves its reset.
pub fn memory_pads(board: &Board) -> [Write; 15] {
    let pads = board.memory.pads;
    let pad = |index: usize, value| Write::slcr(slcr::DDRIOB_ADDR0 + 4 * index, 0xfff, value);
    let slew = |index: usize, value| Write::slcr(slcr::DDRIOB_ADDR0 + 4 * index, u32::MAX, value);
    // Address and clock: outputs. Data: inputs against the reference, terminated. Strobes: differential inputs, terminated.
    let (output, data, strobe) = (0x600, 0x672, 0x674);
    let reference = match board.memory.reference {
        Reference::Internal => 0xe09,
        Reference::External => 0x260,
    };
    [
        pad(0, output),
        pad(1, output),
        pad(2, data),
        pad(3, data),
        pad(4, strobe),
        pad(5, strobe),
        pad(6, output),
        slew(7, pads.address),
        slew(8, pads.others),
        slew(9, pads.others),
        slew(10, pads.others),
        Write::slcr(slcr::DDRIOB_DDR_CTRL, 0x7fff, reference),
        Write::slcr(slcr::DDRIOB_DCI_CTRL, 0x01, 0x01),
        Write::slcr(slcr::DDRIOB_DCI_CTRL, 0x21, 0x20),
        Write::slcr(slcr::DDRIOB_DCI_CTRL, 0x07fe_ffff, 0x823),
    ]
}

/// The registers of the memory controller. The first write puts it into reset, where all of them are written; setting bit 0
/// of the first register afterwards starts it.
///
/// # Errors
/// If a time does not fit its field, or the chips are none that the controller can drive.
#[expect(clippy::too_many_lines, reason = "a table of all registers")]
pub fn memory_controller(board: &Board) -> Result<[Write; DDRC_WRITES], SetupError> {
    let memory = &board.memory;
    let timing = &memory.timing;
    let clock = Clock(rate(board));
    let (read, write) = (u32::from(timing.cas_latency), u32::from(timing.cas_write_latency));
    let recovery = clock.at_least(ddr3::WRITE_RECOVERY, 1);
    let f = |name, value: u32, low, width| field(name, i64::from(value), low, width);
    let reg = |offset: u32, mask, value| Write::new(DDRC.registers.base + offset, mask, value);
    if write < 5 {
        return Err(SetupError::Memory("cas_write_latency"));
    }

    let param0 = f("t_rc", clock.at_least(timing.row_cycle, 1), 0, 6)?
        | f("t_rfc_min", clock.at_least(timing.refresh_cycle, 1), 6, 8)?
        | f("post_selfref_gap_x32", ddr3::DLL_LOCK / 32, 14, 7)?;
    let open = clock.at_most(u64::from(ddr3::REFRESH) * u64::from(ddr3::ROW_ACTIVE_REFRESHES), 1024);
    let cke = clock.at_least_both(ddr3::CKE) + 1;
    let param1 = f("wr2pre", write + ddr3::HALF_BURST + recovery, 0, 5)?
        | f("powerdown_to_x32", 6, 5, 5)?
        | f("t_faw", clock.at_least(timing.four_activates, 1), 10, 6)?
        | f("t_ras_max", open, 16, 6)?
        | f("t_ras_min", clock.at_least(timing.row_active, 1), 22, 5)?
        | f("t_cke", cke, 28, 4)?;
    let to_read = write + clock.at_least_both(ddr3::WRITE_TO_READ) + ddr3::HALF_BURST;
    let to_write = i64::from(read + ddr3::HALF_BURST + 2) - i64::from(write);
    let param2 = f("write_latency", write - 1, 0, 5)?
        | field("rd2wr", to_write, 5, 5)?
        | f("wr2rd", to_read, 10, 5)?
        | f("t_xp", clock.at_least_both(ddr3::POWER_DOWN_EXIT), 15, 5)?
        | f("rd2pre", clock.at_least_both(ddr3::READ_TO_PRECHARGE), 23, 5)?
        | f("t_rcd", u32::from(timing.row_to_column), 28, 4)?;
    let param3 = f("t_ccd", ddr3::COLUMN_TO_COLUMN, 2, 3)?
        | f("t_rrd", clock.at_least(timing.row_to_row, 1), 5, 3)?
        | f("refresh_margin", 2, 8, 4)?
        | f("t_rp", u32::from(timing.precharge), 12, 4)?
        | f("refresh_to_x32", 8, 16, 5)?
        | f("read_latency", read, 24, 5)?
        | 1 << 29;
    let cke_high = clock.at_least(ddr3::RESET + ddr3::CKE_AFTER_RESET, 1024);
    let burst = f("burst_rdwr", ddr3::HALF_BURST, 0, 4)?
        | f("pre_cke_x1024", cke_high, 4, 10)?
        | f("post_cke_x1024", clock.at_least(ddr3::COMMAND_AFTER_CKE, 1024), 16, 10)?;
    let between_levelings = read + READ_ENABLE_DELAY + 50;
    let ctrl3 = f("wrlvl_ww", between_levelings, 0, 8)?
        | f("rdlvl_rr", between_levelings, 8, 8)?
        | f("dfi_t_wlmrd", ddr3::WRITE_LEVELING, 16, 10)?;
    let around = clock.at_least_both(ddr3::SELF_REFRESH_CLOCKS);
    let ctrl5 = 0x111 | f("t_cksre", around, 12, 4)? | f("t_cksrx", around, 16, 4)? | f("t_ckesr", cke, 20, 6)?;
    let (short, long) = ddr3::CALIBRATION;
    let calibration = f("t_zq_short_nop", short, 22, 10)? | f("t_zq_long_nop", long, 12, 10)? | 0x200 << 2 | 1 << 1;
    let interval = f("t_zq_short_interval_x1024", clock.at_most(ddr3::CALIBRATION_INTERVAL, 1024), 0, 20)?
        | f("dram_rstn_x1024", clock.at_least(ddr3::RESET, 1024), 20, 8)?;
    let map = address_map(memory.rows, memory.columns)?;
    let modes = f("mr", mode_register_0(read, recovery)?, 0, 16)? | MODE_REGISTER_1 << 16;
    let delays = f("phy_wr_rl_delay", write.saturating_sub(4).max(1), 0, 5)?
        | f("phy_rd_rl_delay", read.saturating_sub(3).max(1), 5, 5)?
        // Lock within 15 taps, and the results of all three trainings.
        | 0xf << 10
        | 7 << 14;
    let [lane0, lane1, lane2, lane3] = memory.lanes;
    let [lane0, lane1, lane2, lane3] =
        [ratios(clock, lane0)?, ratios(clock, lane1)?, ratios(clock, lane2)?, ratios(clock, lane3)?];

    Ok([
        // Out of reset later; 32 bits wide; write transactions after a gap of one clock.
        reg(0x000, 0x0001_ffff, 0x80),
        reg(0x004, 0x0007_ffff, 0x1000 | f("t_rfc_nom_x32", clock.at_most(u64::from(ddr3::REFRESH), 32), 0, 12)?),
        // Queues: high and low priority reads, writes.
        reg(0x008, 0x03ff_ffff, 0x03c0_780f),
        reg(0x00c, 0x03ff_ffff, 0x0200_1001),
        reg(0x010, 0x03ff_ffff, 0x0001_4001),
        reg(0x014, 0x001f_ffff, param0),
        reg(0x018, 0xf7ff_ffff, param1),
        reg(0x01c, 0xffff_ffff, param2),
        reg(0x020, 0x7fdf_fffc, param3),
        reg(0x024, 0x0fff_ffc3, 0),
        reg(0x028, 0x0000_3fff, f("t_mrd", ddr3::MODE_REGISTER, 11, 3)? | 7),
        reg(0x02c, 0xffff_ffff, (write - 5) << 3),
        reg(0x030, 0xffff_ffff, modes),
        reg(0x034, 0x13ff_3fff, burst),
        reg(0x038, 0x0000_0003, 0),
        reg(0x03c, 0x000f_ffff, map.banks),
        reg(0x040, 0xffff_ffff, map.columns),
        reg(0x044, 0x0fff_ffff, map.rows),
        // Termination: at the chips while writing, at the controller while reading.
        reg(0x048, 0x0003_f03f, 0x0003_c008),
        reg(0x050, 0xff0f_8fff, 0x7701_0000 | READ_ENABLE_DELAY << 8),
        reg(0x058, 0x0001_0000, 0),
        reg(0x05c, 0x0000_ffff, 0x5003),
        reg(0x060, 0x0000_17ff, 0x3e),
        reg(0x064, 0x0002_1fe0, 0x0002_0000),
        reg(0x068, 0x03ff_ffff, ctrl3),
        reg(0x06c, 0x0000_ffff, 0x1610),
        reg(0x078, 0x03ff_ffff, ctrl5),
        reg(0x07c, 0x000f_ffff, 0x0003_2222),
        reg(0x0a4, 0xffff_ffff, calibration),
        reg(0x0a8, 0x0fff_ffff, interval),
        reg(0x0ac, 0x0000_01ff, 0x1fe),
        // All three trainings, each for at most 4095 times 1024 clocks; their errors are cleared.
        reg(0x0b0, 0x1fff_ffff, 0x1cff_ffff),
        reg(0x0b4, 0x0000_0200, 0x200),
        reg(0x0b8, 0x01ff_ffff, 0x0020_0060 | f("dfi_t_rddata_en", read.saturating_sub(1), 0, 5)?),
        // No error correction, and nothing in its logs.
        reg(0x0c4, 0x0000_0003, 3),
        reg(0x0c4, 0x0000_0003, 0),
        reg(0x0c8, 0x0000_00ff, 0),
        reg(0x0dc, 0x0000_0001, 0),
        reg(0x0f0, 0x0000_ffff, 0),
        reg(0x0f4, 0x0000_000f, 8),
        reg(0x114, 0x0000_00ff, 0),
        reg(0x118, 0x7fff_ffcf, 0x4000_0001),
        reg(0x11c, 0x7fff_ffcf, 0x4000_0001),
        reg(0x120, 0x7fff_ffcf, 0x4000_0001),
        reg(0x124, 0x7fff_ffcf, 0x4000_0001),
        reg(0x12c, 0x000f_ffff, lane0.start),
        reg(0x130, 0x000f_ffff, lane1.start),
        reg(0x134, 0x000f_ffff, lane2.start),
        reg(0x138, 0x000f_ffff, lane3.start),
        reg(0x140, 0x000f_ffff, 0x35),
        reg(0x144, 0x000f_ffff, 0x35),
        reg(0x148, 0x000f_ffff, 0x35),
        reg(0x14c, 0x000f_ffff, 0x35),
        reg(0x154, 0x000f_ffff, lane0.write_strobe),
        reg(0x158, 0x000f_ffff, lane1.write_strobe),
        reg(0x15c, 0x000f_ffff, lane2.write_strobe),
        reg(0x160, 0x000f_ffff, lane3.write_strobe),
        reg(0x168, 0x001f_ffff, lane0.gate),
        reg(0x16c, 0x001f_ffff, lane1.gate),
        reg(0x170, 0x001f_ffff, lane2.gate),
        reg(0x174, 0x001f_ffff, lane3.gate),
        reg(0x17c, 0x000f_ffff, lane0.write_data),
        reg(0x180, 0x000f_ffff, lane1.write_data),
        reg(0x184, 0x000f_ffff, lane2.write_data),
        reg(0x188, 0x000f_ffff, lane3.write_data),
        // Commands half a clock after the clock.
        reg(0x190, 0x6fff_fefe, 0x0004_0080),
        reg(0x194, 0x000f_ffff, delays),
        reg(0x204, 0xffff_ffff, 0),
        // All ports alike: a wait of 1023 clocks makes a request urgent.
        reg(0x208, 0x0007_03ff, 0x3ff),
        reg(0x20c, 0x0007_03ff, 0x3ff),
        reg(0x210, 0x0007_03ff, 0x3ff),
        reg(0x214, 0x0007_03ff, 0x3ff),
        reg(0x218, 0x000f_03ff, 0x3ff),
        reg(0x21c, 0x000f_03ff, 0x3ff),
        reg(0x220, 0x000f_03ff, 0x3ff),
        reg(0x224, 0x000f_03ff, 0x3ff),
        // No LPDDR2.
        reg(0x2a8, 0x0000_0ff5, 0),
        reg(0x2ac, 0xffff_ffff, 0),
        reg(0x2b0, 0x003f_ffff, 0x5125),
        reg(0x2b4, 0x0003_ffff, 0x12a8),
    ])
}

/// Clocks less one from writing to reading the FIFO that captures read data, at a fixed delay (`phy_rdc_we_to_re_delay`).
const READ_ENABLE_DELAY: u32 = 8;

/// MR1: DLL on, output impedance RZQ/6, termination RZQ/4 = 60 ohms, no additive latency (JESD79-3, 3.4.3).
const MODE_REGISTER_1: u32 = 1 << 2;

/// MR0: burst of 8, sequential, DLL reset, with this CAS latency and write recovery in clocks (JESD79-3, 3.4.2).
fn mode_register_0(cas_latency: u32, recovery: u32) -> Result<u32, SetupError> {
    let latency = match cas_latency {
        5..=11 => (cas_latency - 4) << 4,
        _ => return Err(SetupError::Memory("cas_latency")),
    };
    let recovery = match recovery {
        0..=5 => 1,
        6..=8 => recovery - 4,
        9 | 10 => 5,
        11 | 12 => 6,
        _ => return Err(SetupError::Memory("write recovery")),
    };
    Ok(latency | 1 << 8 | recovery << 9)
}

/// Where the bits of an address go.
struct AddressMap {
    banks: u32,
    columns: u32,
    rows: u32,
}

/// Columns lowest, then banks, then rows: each row is contiguous, and consecutive rows are in different banks. A field holds the place
/// of an address bit less the lowest place that it can have; 15 switches the bit off.
fn address_map(rows: u8, columns: u8) -> Result<AddressMap, SetupError> {
    // A transfer of the bus has four bytes.
    let bank = 2 + u32::from(columns);
    let row = bank + 3;
    // Columns 2 to 9 lie at their lowest places, and there are no others.
    if columns != 10 {
        return Err(SetupError::Memory("columns"));
    }
    if !(12..=16).contains(&rows) {
        return Err(SetupError::Memory("rows"));
    }
    let bank = bank - 5;
    let row = row - 9;
    let upper = |index: u8, low: u32| if rows > index { row << low } else { 0xf << low };
    Ok(AddressMap {
        banks: bank | bank << 4 | bank << 8,
        columns: 0xfff0_0000,
        rows: row | row << 4 | row << 8 | upper(12, 12) | upper(13, 16) | upper(14, 20) | upper(15, 24),
    })
}

/// Where training of a byte of the bus begins.
struct Ratios {
    start: u32,
    write_strobe: u32,
    write_data: u32,
    gate: u32,
}

/// Strobes leave half a clock after commands, so that their own way to the chip may be longer or shorter than that of the clock. Data leaves
/// a quarter before its strobe. A read comes back after the way there and back.
fn ratios(clock: Clock, lane: Lane) -> Result<Ratios, SetupError> {
    let skew = clock.ratio(lane.strobe_to_clock.into());
    let gate = 0x60 + clock.ratio(2 * i32::from(lane.board));
    let strobe = 0x80 + skew;
    Ok(Ratios {
        start: field("phy_wrlvl_init_ratio", skew.max(0).into(), 0, 10)?
            | field("phy_gatelvl_init_ratio", gate.into(), 10, 10)?,
        write_strobe: field("phy_wr_dqs_slave_ratio", strobe.into(), 0, 10)?,
        write_data: field("phy_wr_data_slave_ratio", (strobe + 0x40).into(), 0, 10)?,
        gate: field("phy_fifo_we_slave_ratio", (gate + 0x55).into(), 0, 11)?,
    })
}
