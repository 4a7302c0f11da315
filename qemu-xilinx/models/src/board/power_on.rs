//! A board that starts from its card: memory that is where the chip shows it, the boot ROM, and a card that can be pulled out.
//!
//! After a reset the on-chip memory is at address 0 but for its last quarter, the lowest MiB is no main memory, and the main memory does not answer
//! until its controller is set up (UG585 chapters 6.3 and 29.4). [`Board::boot_rom`] does what the ROM does; the rest is software's business,
//! and [`Board::memory_map`] follows it. A board that starts behind the boot loader has all memory where a boot loader leaves it.

use super::{Block, Board, Chip, CommandError, description};
use crate::bootrom::{self, Options, Start};
use crate::ddrc::{Ddrc, Training};
use crate::devcfg::{Devcfg, Failure};
use crate::scu::Scu;
use crate::sdcard::{CapacityError, Card, Features, Media};
use crate::sdhci::{Options as SdOptions, Sdhci};
use crate::slcr::LevelShifters;
use crate::{Width, slcr};

/// Offsets in the SLCR.
const LOCK: u32 = 0x004;
const UNLOCK: u32 = 0x008;
const REBOOT_STATUS: u32 = 0x258;
const BOOT_MODE: u32 = 0x25C;
const OCM_CFG: u32 = 0x910;

/// Largest card without high capacity, in blocks.
const LARGEST_SDSC: u64 = (2 << 30) / 512;

/// Where the processors find memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryMap {
    /// For each 64 KiB of the on-chip memory, whether they are at their high address (from 0xFFFC0000 on) or at their low one (from 0
    /// on), where they only show if the lowest MiB is not main memory.
    pub high: [bool; 4],
    /// The lowest MiB is main memory.
    pub lowest: bool,
    /// The main memory answers.
    pub answers: bool,
}

impl MemoryMap {
    /// As boot loaders leave it.
    pub const BOOTED: Self = Self { high: [true; 4], lowest: true, answers: true };
}

/// What a board that starts from its card has besides its devices.
#[derive(Debug, Default)]
pub(super) struct PowerOn {
    /// The card, if it is not in the slot.
    out: Option<Card>,
    /// Why the ROM has stopped.
    pub(super) stopped: Option<String>,
    /// Bytes of the boot loader that it has started.
    pub(super) loader: Option<u32>,
}

impl Board {
    /// Puts a card with these contents into the slot. One of up to 2 GiB is an SDSC card, a larger one SDHC.
    ///
    /// # Errors
    /// No card has such a size.
    pub fn insert(&mut self, media: Box<dyn Media>) -> Result<(), CapacityError> {
        let features = if media.blocks() <= LARGEST_SDSC { Features::SDSC } else { Features::SDHC };
        let card = Card::new(features, media)?;
        for block in &mut self.blocks {
            if let Chip::Sd(sd) = &mut block.chip {
                sd.insert(card, true);
                break;
            }
        }
        Ok(())
    }

    /// Whether it starts from its card.
    pub fn starts_from_card(&self) -> bool {
        self.description.start == description::Start::Card
    }

    /// Whether the PL is configured. On a board that starts behind the boot loader, it is with what is described.
    pub(super) fn has_logic(&self) -> bool {
        !self.starts_from_card()
            || self.blocks.iter().any(|block| matches!(&block.chip, Chip::Devcfg(devcfg) if devcfg.is_configured()))
    }

    /// What passes between processing system and PL.
    pub(super) fn level_shifters(&self) -> LevelShifters {
        let shifters = self.slcr.level_shifters();
        if self.has_logic() { shifters } else { LevelShifters { to_logic: false, from_logic: false } }
    }

    /// Where memory is now.
    pub fn memory_map(&self) -> MemoryMap {
        if !self.starts_from_card() {
            return MemoryMap::BOOTED;
        }
        let configured = self.slcr.register(OCM_CFG);
        let mut map = MemoryMap { high: [0, 1, 2, 3].map(|bit| configured >> bit & 1 != 0), ..MemoryMap::BOOTED };
        for block in &self.blocks {
            match &block.chip {
                Chip::Scu(scu) => map.lowest = scu.lowest_is_memory(),
                Chip::Ddrc(ddrc) => map.answers = ddrc.answers(),
                _ => {}
            }
        }
        map
    }

    /// Does what the boot ROM does after a reset. What it leaves in the on-chip memory, where the processor starts, and those of the boot header's register
    /// writes that go to no device of this board are the owner's to perform; `None` if the ROM stops, of which the [report](super::Report) tells.
    pub fn boot_rom(&mut self, now: u64) -> Option<Start> {
        let options = Options { boot_mode: self.slcr.register(BOOT_MODE), rsa: self.description.efuse };
        let card = self.blocks.iter_mut().find_map(|block| match &mut block.chip {
            Chip::Sd(sd) => sd.card(),
            _ => None,
        });
        match bootrom::boot(card.map(Card::media), &options) {
            Ok(mut start) => {
                self.power_on.stopped = None;
                self.power_on.loader = Some(start.length);
                self.slcr.preset(OCM_CFG, bootrom::OCM_CFG);
                self.slcr.preset(UNLOCK, 0);
                start.writes.retain(|&(address, value)| !self.perform(address, value, now));
                self.slcr.preset(LOCK, 0);
                Some(start)
            }
            Err(error) => {
                let status = error.code().map(u32::from);
                if let Some(code) = status {
                    self.slcr.preset(REBOOT_STATUS, self.slcr.register(REBOOT_STATUS) | code);
                }
                let status = status.map(|code| format!(" (REBOOT_STATUS {code:#06x})")).unwrap_or_default();
                let said = format!("boot ROM: {error}{status}");
                self.complain(said.clone());
                self.power_on.stopped = Some(said);
                None
            }
        }
    }

    /// Somebody has used an address where there is no memory, or where it does not answer yet. On the chip that ends in a fault, or never.
    pub fn nothing_at(&mut self, address: u32, access: &str) {
        self.complain(format!("memory: a {access} at {address:#010x}, where there is none now"));
    }

    /// Writes to a register of this board. Whether there is one.
    fn perform(&mut self, address: u32, value: u32, now: u64) -> bool {
        let regions = self.regions();
        let found = regions.iter().position(|region| address.wrapping_sub(region.base) < region.length);
        if let (Some(number), Some(region)) = (found, found.and_then(|number| regions.get(number))) {
            self.write(number, address - region.base, Width::Word, value, now);
        }
        found.is_some()
    }

    /// Why there is no boot loader, if the ROM has stopped.
    pub fn stopped(&self) -> Option<&str> {
        self.power_on.stopped.as_deref()
    }

    /// Puts the card back into the slot, or takes it out.
    pub(super) fn move_card(&mut self, inserted: bool, now: u64) {
        let out = &mut self.power_on.out;
        for block in &mut self.blocks {
            if let Chip::Sd(sd) = &mut block.chip {
                if !inserted {
                    *out = sd.remove(now).or(out.take());
                } else if let Some(card) = out.take() {
                    sd.insert(card, true);
                }
            }
        }
    }

    /// Whether there is what the commands of this module need.
    ///
    /// # Errors
    /// The board does not start from its card.
    pub(super) fn check_start(&self, what: &'static str) -> Result<(), CommandError> {
        if self.starts_from_card() { Ok(()) } else { Err(CommandError::Start(what)) }
    }

    pub(super) fn break_training(&mut self, training: Training) {
        for block in &mut self.blocks {
            if let Chip::Ddrc(ddrc) = &mut block.chip {
                ddrc.break_training(training);
            }
        }
    }

    pub(super) fn fail_configuration(&mut self, failure: Failure) {
        for block in &mut self.blocks {
            if let Chip::Devcfg(devcfg) = &mut block.chip {
                devcfg.fail_next(failure);
            }
        }
    }
}

/// The devices that a board has only if it starts from its card. Those who start behind the boot loader do not need them: the emulator's
/// own SD controller does.
pub(super) fn devices(start: description::Start) -> Vec<Block> {
    if start == description::Start::Program {
        return Vec::new();
    }
    let sd = Sdhci::new(SdOptions::ZYNQ7000);
    [
        ("sd0", 0xE010_0000, &[56][..], Chip::Sd(Box::new(sd)), Some(slcr::Block::Sdio0)),
        ("ddrc", 0xF800_6000, &[], Chip::Ddrc(Ddrc::new()), None),
        ("devcfg", 0xF800_7000, &[40], Chip::Devcfg(Devcfg::new(slcr::Options::ZEDBOARD.idcode)), None),
        ("scu", 0xF8F0_0000, &[], Chip::Scu(Scu::new()), None),
    ]
    .into_iter()
    .map(|(name, base, interrupts, chip, gate)| {
        let region = super::region(name, base, chip.device().length(), interrupts);
        Block { region, chip, gate, pads: Vec::new() }
    })
    .collect()
}
