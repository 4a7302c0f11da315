//! Device configuration interface of the Zynq-7000, with the programmable logic's configuration behind it.
//!
//! # How the hardware works
//!
//! The interface (UG585 chapter 6.4, appendix B.16) holds the signals PROG_B and INIT of the programmable logic, a DMA engine with a queue of two
//! commands, and the port that feeds configuration words to the logic (PCAP). While PROG_B is low the logic is cleared and INIT is low; INIT rises when it is
//! ready. A DMA command is four registers, the last of which, the destination's length, starts it. With all bits set the destination is PCAP. The
//! lowest two bits of both addresses, 01, let DMA_DONE wait until PCAP has taken everything. DONE comes when the bitstream was good.
//!
//! The interface ignores writes until the key is written to UNLOCK; a wrong word locks it up to the next power-on.
//!
//! # What this module does
//!
//! All of that, with the configuration logic of [`bitstream`](crate::bitstream): a bitstream that is damaged or for another chip does not start. Bus errors of the DMA engine
//! show as AXI_RERR, and further errors can be made to happen ([`Devcfg::fail_next`]).
//!
//! # What it does not do
//!
//! Encryption, reading back through PCAP, loopback, multiboot, security lockdown by other causes than the key, and the FIFO levels.

use std::collections::VecDeque;

use crate::bitstream::{Configuration, Progress};
use crate::complaints::Complaints;
use crate::{Device, Memory, Width};

/// Offsets (UG585 appendix B.16).
mod offset {
    pub(super) const CTRL: u32 = 0x00;
    pub(super) const LOCK: u32 = 0x04;
    pub(super) const CFG: u32 = 0x08;
    pub(super) const INT_STS: u32 = 0x0c;
    pub(super) const INT_MASK: u32 = 0x10;
    pub(super) const STATUS: u32 = 0x14;
    pub(super) const DMA_SRC_ADDR: u32 = 0x18;
    pub(super) const DMA_DST_ADDR: u32 = 0x1c;
    pub(super) const DMA_SRC_LEN: u32 = 0x20;
    pub(super) const DMA_DEST_LEN: u32 = 0x24;
    pub(super) const MULTIBOOT_ADDR: u32 = 0x2c;
    pub(super) const UNLOCK: u32 = 0x34;
    pub(super) const MCTRL: u32 = 0x80;
}

const UNLOCK_KEY: u32 = 0x757b_df0d;

const PROG_B: u32 = 1 << 30;
const PCAP_PR: u32 = 1 << 27;
const PCAP_MODE: u32 = 1 << 26;
/// Bits of CTRL that software may change: AES key source and enable, and SEC_EN, are the boot ROM's.
const CTRL_WRITABLE: u32 = 0xff80_617f;

const INIT_FALLS: u32 = 1 << 0;
const INIT_RISES: u32 = 1 << 1;
const DONE: u32 = 1 << 2;
const ALL_DONE: u32 = 1 << 12;
const DMA_DONE: u32 = 1 << 13;
const QUEUE_OVERFLOW: u32 = 1 << 14;
const COMMAND_ERROR: u32 = 1 << 15;
const AXI_READ_ERROR: u32 = 1 << 20;
/// Bits of INT_STS that mean something.
const INTERRUPTS: u32 = 0xf8f7_f87f;

const STATUS_INIT: u32 = 1 << 4;
const STATUS_QUEUE_FULL: u32 = 1 << 31;
const STATUS_QUEUE_EMPTY: u32 = 1 << 30;
/// Signals that rest high: GTS_USR_B and CFG_RESET_B.
const STATUS_IDLE: u32 = 1 << 11 | 1 << 5;

/// The destination that is PCAP.
const PCAP: u32 = 0xffff_ffff;

/// Time from the rise of PROG_B until the logic is cleared, in ns. UG585 gives no figure; some hundred frames take this long.
const CLEAR_TIME: u64 = 50_000;
/// Time for a word: PCAP takes one at 100 MHz.
const WORD_TIME: u64 = 10;

/// Something to go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The next DMA command ends with an AXI read error.
    Read,
    /// The next DMA command never ends.
    Stall,
    /// INIT stays low when the logic is cleared.
    Init,
}

#[derive(Clone, Copy, Debug)]
struct Command {
    source: u32,
    destination: u32,
    words: u32,
}

/// The interface. Times are in nanoseconds.
#[derive(Debug)]
pub struct Devcfg {
    idcode: u32,
    control: u32,
    lock: u32,
    config: u32,
    status: u32,
    mask: u32,
    dma: [u32; 3],
    multiboot: u32,
    mctrl: u32,
    is_unlocked: bool,
    is_locked_up: bool,
    init: bool,
    init_at: Option<u64>,
    logic: Configuration,
    queue: VecDeque<Command>,
    /// When the command at the front of the queue is done.
    done_at: Option<u64>,
    failures: Vec<Failure>,
    complaints: Complaints,
}

impl Devcfg {
    /// The interface of a chip with this device code, as the boot ROM leaves it: unlocked, PCAP selected, logic ready.
    pub fn new(idcode: u32) -> Self {
        Self {
            idcode,
            control: 0x0c00_607f | PROG_B,
            lock: 0x18,
            config: 0x0000_0508,
            status: 0,
            mask: u32::MAX,
            dma: [0; 3],
            multiboot: 0,
            mctrl: 0x3080_0000,
            is_unlocked: true,
            is_locked_up: false,
            init: true,
            init_at: None,
            logic: Configuration::new(idcode),
            queue: VecDeque::new(),
            done_at: None,
            failures: Vec::new(),
            complaints: Complaints::new(),
        }
    }

    /// Resets it, as the system's reset does, after which the boot ROM has run. What was to go wrong still is.
    pub fn reset(&mut self) {
        *self = Self { failures: std::mem::take(&mut self.failures), ..Self::new(self.idcode) };
    }

    /// Lets something go wrong.
    pub fn fail_next(&mut self, failure: Failure) {
        self.failures.push(failure);
    }

    /// Whether the logic is configured and runs.
    pub fn is_configured(&self) -> bool {
        self.logic.progress() == Progress::Done
    }

    /// The configuration logic.
    pub fn logic(&self) -> &Configuration {
        &self.logic
    }

    /// Takes a failure, if it is to happen.
    fn fails(&mut self, failure: Failure) -> bool {
        let position = self.failures.iter().position(|other| *other == failure);
        position.map(|position| self.failures.remove(position)).is_some()
    }

    fn set_init(&mut self, level: bool) {
        if level != self.init {
            self.init = level;
            self.status |= if level { INIT_RISES } else { INIT_FALLS };
        }
    }

    fn write_control(&mut self, value: u32, now: u64) {
        let before = self.control;
        self.control = before & !CTRL_WRITABLE | value & CTRL_WRITABLE;
        match (before & PROG_B != 0, self.control & PROG_B != 0) {
            (true, false) => {
                self.logic = Configuration::new(self.idcode);
                self.init_at = None;
                self.set_init(false);
            }
            (false, true) if !self.fails(Failure::Init) => self.init_at = Some(now + CLEAR_TIME),
            _ => {}
        }
    }

    /// The last register of a command was written.
    fn command(&mut self, destination_words: u32, now: u64) {
        let [source, destination, words] = self.dma;
        let words = words & 0x07ff_ffff;
        if self.queue.len() >= 2 {
            self.status |= QUEUE_OVERFLOW;
            return;
        }
        let is_readback = source == PCAP;
        if words == 0 || is_readback || destination != PCAP && destination_words & 0x07ff_ffff != words {
            self.status |= COMMAND_ERROR;
            return;
        }
        self.queue.push_back(Command { source, destination, words });
        if self.done_at.is_none() {
            self.begin(now);
        }
    }

    fn begin(&mut self, now: u64) {
        self.done_at = self.queue.front().map(|command| now + u64::from(command.words) * WORD_TIME);
        if self.done_at.is_some() && self.fails(Failure::Stall) {
            self.done_at = Some(u64::MAX);
        }
    }

    fn carry_out(&mut self, command: Command, memory: &mut dyn Memory) {
        let mut bytes = vec![0; command.words as usize * 4];
        if self.fails(Failure::Read) || memory.read(command.source & !3, &mut bytes).is_err() {
            self.status |= AXI_READ_ERROR;
            return;
        }
        self.status |= DMA_DONE;
        if command.destination != PCAP {
            if memory.write(command.destination & !3, &bytes).is_err() {
                self.status |= 1 << 22;
            }
            return;
        }
        if self.control & (PCAP_PR | PCAP_MODE) != PCAP_PR | PCAP_MODE {
            self.complaints.add(|| "devcfg: words for PCAP while PCAP_PR or PCAP_MODE is off".to_owned());
            return;
        }
        if !self.init || self.control & PROG_B == 0 {
            self.complaints.add(|| "devcfg: words for PCAP before INIT is high".to_owned());
        }
        self.status |= ALL_DONE;
        for word in bytes.as_chunks().0 {
            self.logic.take(u32::from_le_bytes(*word));
        }
        match self.logic.progress() {
            Progress::Done => self.status |= DONE,
            Progress::WrongSum | Progress::WrongChip => self.set_init(false),
            Progress::Loading => {}
        }
    }

    fn value(&self, offset: u32) -> Option<u32> {
        Some(match offset {
            offset::CTRL => self.control,
            offset::LOCK => self.lock,
            offset::CFG => self.config,
            offset::INT_STS => self.status,
            offset::INT_MASK => self.mask,
            offset::STATUS => {
                STATUS_IDLE
                    | if self.init { STATUS_INIT } else { 0 }
                    | match self.queue.len() {
                        0 => STATUS_QUEUE_EMPTY,
                        1 => 0,
                        _ => STATUS_QUEUE_FULL,
                    }
            }
            offset::DMA_SRC_ADDR | offset::DMA_DST_ADDR | offset::DMA_SRC_LEN => {
                self.dma.get((offset - offset::DMA_SRC_ADDR) as usize / 4).copied().unwrap_or(0)
            }
            offset::DMA_DEST_LEN => 0,
            offset::MULTIBOOT_ADDR => self.multiboot,
            offset::UNLOCK => UNLOCK_KEY * u32::from(self.is_unlocked),
            offset::MCTRL => self.mctrl,
            _ => return None,
        })
    }
}

impl Device for Devcfg {
    /// The rest of the page is the XADC's.
    fn length(&self) -> u32 {
        0x100
    }

    fn read(&mut self, offset: u32, width: Width, _now: u64) -> u32 {
        let value = self.value(offset & !3).unwrap_or_else(|| {
            self.complaints.no_register("devcfg", "read", offset);
            0
        });
        width.lanes(offset, value)
    }

    fn write(&mut self, offset: u32, width: Width, value: u32, now: u64) {
        if width != Width::Word {
            self.complaints.narrow("devcfg", format_args!("{offset:#04x}"), width);
            return;
        }
        if offset == offset::UNLOCK {
            if value == UNLOCK_KEY && !self.is_locked_up {
                self.is_unlocked = true;
            } else {
                self.is_locked_up = true;
                self.is_unlocked = false;
                self.complaints.add(|| "devcfg: a wrong word in UNLOCK locks the interface up".to_owned());
            }
            return;
        }
        if !self.is_unlocked {
            self.complaints.add(|| format!("devcfg: write at {offset:#04x} while the interface is locked"));
            return;
        }
        match offset {
            offset::CTRL => self.write_control(value, now),
            offset::LOCK => self.lock |= value & 0x1f,
            offset::CFG => self.config = value & 0xff0 | self.config & 0xf,
            offset::INT_STS => self.status &= !(value & INTERRUPTS),
            offset::INT_MASK => self.mask = value | !INTERRUPTS,
            offset::DMA_SRC_ADDR | offset::DMA_DST_ADDR | offset::DMA_SRC_LEN => {
                if let Some(slot) = self.dma.get_mut((offset - offset::DMA_SRC_ADDR) as usize / 4) {
                    *slot = value;
                }
            }
            offset::DMA_DEST_LEN => self.command(value, now),
            offset::MULTIBOOT_ADDR => self.multiboot = value & 0x1fff,
            offset::MCTRL => self.mctrl = self.mctrl & !0x10 | value & 0x10,
            offset::STATUS => {}
            _ => self.complaints.no_register("devcfg", "write", offset),
        }
    }

    fn interrupts(&self) -> u32 {
        u32::from(self.status & !self.mask & INTERRUPTS != 0)
    }

    fn next_event(&self) -> Option<u64> {
        self.done_at.filter(|at| *at != u64::MAX).into_iter().chain(self.init_at).min()
    }

    fn advance(&mut self, now: u64, memory: &mut dyn Memory) {
        if self.init_at.is_some_and(|at| at <= now) {
            self.init_at = None;
            self.set_init(true);
        }
        while self.done_at.is_some_and(|at| at <= now) {
            if let Some(command) = self.queue.pop_front() {
                self.carry_out(command, memory);
            }
            self.begin(now);
        }
    }

    fn complaints(&mut self) -> Vec<String> {
        self.complaints.take()
    }
}
