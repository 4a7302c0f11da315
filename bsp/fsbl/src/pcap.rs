//! Configuration of the programmable logic through PCAP (UG585 chapter 6.4).
//!
//! # How the hardware works
//!
//! The device configuration interface (*devcfg*, appendix B.16) holds the logic's PROG_B and INIT signals and a DMA engine that reads memory and feeds the
//! processor configuration access port. A low PROG_B clears the logic; INIT goes low meanwhile and high when it is ready for a bitstream. The end
//! of the DMA says that all words went in; that they were a bitstream for this chip, and intact, says only DONE, after which the logic runs.
//! What is wrong on the way shows as error bits, or as a DONE that never comes.
//!
//! # What this does
//!
//! The resets of the logic are asserted and only the level shifters towards it are on while it is configured; afterwards all level shifters are turned
//! on, then the resets are released, in that order (chapter 2.4).
//!
//! # What it does not
//!
//! Encrypted bitstreams, reading back, and partial reconfiguration.

use mmio::{ReadOnly, ReadWrite, Registers, Status, WriteOnly};
use thiserror::Error;
use tock_registers::interfaces::{ReadWriteable as _, Readable as _, Writeable as _};
use tock_registers::register_bitfields;
use zynq7000::slcr;

use crate::time::{Time, wait};

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// The DMA engine cannot take it.
    #[error("a bitstream of {length} bytes at {address:#010x}: the DMA engine takes words, up to 2^27 of them")]
    Shape {
        /// Where it is.
        address: u32,
        /// Its length.
        length: u32,
    },
    /// INIT does not follow PROG_B.
    #[error("the programmable logic {} when it is cleared (INIT); is it powered?", if *.0 { "does not become ready" } else { "does not react" })]
    NoInit(bool),
    /// The interface reports an error.
    #[error("the configuration interface reports errors {0:#010x} (bits of INT_STS, UG585 appendix B.16)")]
    Interface(u32),
    /// The DMA does not come to an end.
    #[error("the transfer to the programmable logic does not end; interrupt status {0:#010x}")]
    Transfer(u32),
    /// All words went in, but they did not configure the logic.
    #[error(
        "the programmable logic does not start (DONE stays low): the bitstream is damaged, or made for another chip"
    )]
    NotDone,
}

register_bitfields![u32,
    CONTROL [
        PROG_B OFFSET(30) NUMBITS(1) [],
        PCAP_PR OFFSET(27) NUMBITS(1) [],
        PCAP_MODE OFFSET(26) NUMBITS(1) [],
        QUARTER_RATE OFFSET(25) NUMBITS(1) []
    ],
    INTERRUPT [
        AXI_WRITE_TIMEOUT OFFSET(23) NUMBITS(1) [],
        AXI_WRITE_ERROR OFFSET(22) NUMBITS(1) [],
        AXI_READ_TIMEOUT OFFSET(21) NUMBITS(1) [],
        AXI_READ_ERROR OFFSET(20) NUMBITS(1) [],
        RECEIVE_OVERFLOW OFFSET(18) NUMBITS(1) [],
        COMMAND_ERROR OFFSET(15) NUMBITS(1) [],
        QUEUE_OVERFLOW OFFSET(14) NUMBITS(1) [],
        DMA_DONE OFFSET(13) NUMBITS(1) [],
        ALL_DONE OFFSET(12) NUMBITS(1) [],
        LENGTH_ERROR OFFSET(11) NUMBITS(1) [],
        HMAC_ERROR OFFSET(6) NUMBITS(1) [],
        PL_DONE OFFSET(2) NUMBITS(1) []
    ],
    STATUS [
        INIT OFFSET(4) NUMBITS(1) []
    ],
    MISCELLANEOUS [
        LOOPBACK OFFSET(4) NUMBITS(1) []
    ]
];

/// What `UNLOCK` wants.
const UNLOCK_KEY: u32 = 0x757b_df0d;
/// The address that stands for the configuration port.
const PORT: u32 = 0xffff_ffff;
/// In the lowest bits of the source address: DMA_DONE comes only when the port has taken all words, too.
const LAST: u32 = 1;

/// How long the logic may take to be cleared, in microseconds.
const CLEAR_TIME: u64 = 100_000;
/// How long a bitstream may take: 4 MiB, the largest chip's is 17, take 30 ms.
const TRANSFER_TIME: u64 = 2_000_000;
/// How long the logic may take to start after the last word.
const DONE_TIME: u64 = 10_000;

struct Page<'b, B>(&'b B);

impl<B: Registers> Page<'_, B> {
    fn control(&self) -> ReadWrite<'_, B, CONTROL::Register> {
        ReadWrite::new(self.0, 0x00)
    }

    fn interrupts(&self) -> Status<'_, B, INTERRUPT::Register> {
        Status::new(self.0, 0x0c)
    }

    fn status(&self) -> ReadOnly<'_, B, STATUS::Register> {
        ReadOnly::new(self.0, 0x14)
    }

    fn word(&self, offset: usize) -> WriteOnly<'_, B> {
        WriteOnly::new(self.0, offset)
    }

    fn miscellaneous(&self) -> ReadWrite<'_, B, MISCELLANEOUS::Register> {
        ReadWrite::new(self.0, 0x80)
    }
}

const DMA_SOURCE: usize = 0x18;
const DMA_DESTINATION: usize = 0x1c;
const DMA_SOURCE_LENGTH: usize = 0x20;
const DMA_DESTINATION_LENGTH: usize = 0x24;
const UNLOCK: usize = 0x34;

fn errors() -> u32 {
    (INTERRUPT::AXI_WRITE_TIMEOUT::SET
        + INTERRUPT::AXI_WRITE_ERROR::SET
        + INTERRUPT::AXI_READ_TIMEOUT::SET
        + INTERRUPT::AXI_READ_ERROR::SET
        + INTERRUPT::RECEIVE_OVERFLOW::SET
        + INTERRUPT::COMMAND_ERROR::SET
        + INTERRUPT::QUEUE_OVERFLOW::SET
        + INTERRUPT::LENGTH_ERROR::SET
        + INTERRUPT::HMAC_ERROR::SET)
        .value
}

/// Level shifters: from the processing system to the logic, and all.
const TOWARDS_LOGIC: u32 = 0xa;
const BOTH_WAYS: u32 = 0xf;
/// All four resets of the logic.
const ALL_RESETS: u32 = 0xf;

/// Configures the logic with the bitstream of `length` bytes at `address`, as boot images hold it: words with their lowest byte first. The
/// SLCR must be unlocked, and the PCAP clock run.
///
/// # Errors
/// [`Fault`]. The logic is then in reset, or not configured.
pub fn configure(
    slcr: &impl Registers,
    devcfg: &impl Registers,
    address: u32,
    length: u32,
    time: &impl Time,
) -> Result<(), Fault> {
    let words = length / 4;
    if !address.is_multiple_of(4) || !length.is_multiple_of(4) || words == 0 || words >> 27 != 0 {
        return Err(Fault::Shape { address, length });
    }
    slcr.write(slcr::FPGA_RST_CTRL, ALL_RESETS);
    slcr.write(slcr::LVL_SHFTR_EN, TOWARDS_LOGIC);
    let page = Page(devcfg);
    page.word(UNLOCK).set(UNLOCK_KEY);
    clear(&page, time)?;
    transfer(&page, address, words, time)?;
    slcr.write(slcr::LVL_SHFTR_EN, BOTH_WAYS);
    slcr.write(slcr::FPGA_RST_CTRL, 0);
    Ok(())
}

fn clear<B: Registers>(page: &Page<'_, B>, time: &impl Time) -> Result<(), Fault> {
    page.control()
        .modify(CONTROL::PCAP_PR::SET + CONTROL::PCAP_MODE::SET + CONTROL::QUARTER_RATE::CLEAR + CONTROL::PROG_B::SET);
    page.miscellaneous().modify(MISCELLANEOUS::LOOPBACK::CLEAR);
    page.control().modify(CONTROL::PROG_B::CLEAR);
    if !wait(time, CLEAR_TIME, || !page.status().is_set(STATUS::INIT)) {
        return Err(Fault::NoInit(false));
    }
    page.control().modify(CONTROL::PROG_B::SET);
    if !wait(time, CLEAR_TIME, || page.status().is_set(STATUS::INIT)) {
        return Err(Fault::NoInit(true));
    }
    Ok(())
}

fn transfer<B: Registers>(page: &Page<'_, B>, address: u32, words: u32, time: &impl Time) -> Result<(), Fault> {
    page.interrupts().clear(u32::MAX);
    page.0.synchronize();
    page.word(DMA_SOURCE).set(address | LAST);
    page.word(DMA_DESTINATION).set(PORT);
    page.word(DMA_SOURCE_LENGTH).set(words);
    // The last write starts it.
    page.word(DMA_DESTINATION_LENGTH).set(0);
    let mut seen = 0;
    let ends = [
        (INTERRUPT::DMA_DONE::SET.value, TRANSFER_TIME),
        (INTERRUPT::ALL_DONE::SET.value, TRANSFER_TIME),
        (INTERRUPT::PL_DONE::SET.value, DONE_TIME),
    ];
    for (end, limit) in ends {
        let in_time = wait(time, limit, || {
            seen = page.interrupts().get();
            seen & (end | errors()) != 0
        });
        if seen & errors() != 0 {
            return Err(Fault::Interface(seen & errors()));
        }
        if !in_time {
            let is_transferred = seen & INTERRUPT::ALL_DONE::SET.value != 0;
            return Err(if is_transferred { Fault::NotDone } else { Fault::Transfer(seen) });
        }
    }
    page.interrupts().clear(seen);
    Ok(())
}
