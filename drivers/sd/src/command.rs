//! The words for the command register: transfer mode, response, index (PHY 4.7.4).

use crate::registers::{COMMAND, bits};

const CHECKED: u32 = bits(&COMMAND::CHECK_CRC::SET) | bits(&COMMAND::CHECK_INDEX::SET);
const R1: u32 = bits(&COMMAND::RESPONSE::Short) | CHECKED;
const R1_BUSY: u32 = bits(&COMMAND::RESPONSE::ShortBusy) | CHECKED;
/// The CID or CSD fills the index field, so only the CRC can be checked.
const R2: u32 = bits(&COMMAND::RESPONSE::Long) | bits(&COMMAND::CHECK_CRC::SET);
/// The OCR comes without CRC and index.
const R3: u32 = bits(&COMMAND::RESPONSE::Short);
pub(crate) const DATA: u32 = bits(&COMMAND::DATA::SET);
const READ: u32 = DATA | bits(&COMMAND::READ::SET);
const DMA: u32 = bits(&COMMAND::DMA::SET);
const MULTIPLE: u32 =
    bits(&COMMAND::MULTIPLE::SET) | bits(&COMMAND::BLOCK_COUNT::SET) | bits(&COMMAND::AUTO_CMD12::SET);

const fn index(value: u32) -> u32 {
    value << 24
}

pub(crate) const GO_IDLE_STATE: u32 = index(0);
pub(crate) const ALL_SEND_CID: u32 = index(2) | R2;
pub(crate) const SEND_RELATIVE_ADDR: u32 = index(3) | R1;
pub(crate) const SWITCH_FUNC: u32 = index(6) | R1 | READ;
pub(crate) const SELECT_CARD: u32 = index(7) | R1_BUSY;
pub(crate) const SEND_IF_COND: u32 = index(8) | R1;
pub(crate) const SEND_CSD: u32 = index(9) | R2;
pub(crate) const STOP_TRANSMISSION: u32 = index(12) | R1_BUSY | bits(&COMMAND::TYPE::Abort);
pub(crate) const SEND_STATUS: u32 = index(13) | R1;
pub(crate) const SET_BLOCKLEN: u32 = index(16) | R1;
pub(crate) const READ_SINGLE_BLOCK: u32 = index(17) | R1 | READ | DMA;
pub(crate) const READ_MULTIPLE_BLOCK: u32 = index(18) | R1 | READ | DMA | MULTIPLE;
pub(crate) const WRITE_BLOCK: u32 = index(24) | R1 | DATA | DMA;
pub(crate) const WRITE_MULTIPLE_BLOCK: u32 = index(25) | R1 | DATA | DMA | MULTIPLE;
pub(crate) const APP_CMD: u32 = index(55) | R1;
/// ACMD6.
pub(crate) const SET_BUS_WIDTH: u32 = index(6) | R1;
/// ACMD41.
pub(crate) const SD_SEND_OP_COND: u32 = index(41) | R3;
/// ACMD51.
pub(crate) const SEND_SCR: u32 = index(51) | R1 | READ;
