//! Bitstreams of the 7 series, as the configuration logic understands them.
//!
//! # How the hardware works
//!
//! A bitstream (UG470 chapter 5) is a sequence of words. Everything before the synchronization word is skipped. Then come packets: type 1 names a register
//! and how many words are written to it, type 2 carries a long write to the register of the packet before it. Two registers
//! matter for whether the logic starts: `IDCODE` holds the chip that the bitstream is for, and a write to `CRC` compares a sum
//! over all words written and the registers they went to, a CRC-32C over 32 bits of data and 5 of address each. A wrong
//! code or a wrong sum stops the configuration and pulls INIT low. The command `START` begins the start-up, and `DESYNC` ends the
//! synchronized state, after which a good logic has its DONE high.
//!
//! # What this module does
//!
//! [`Configuration`] takes words and tells whether the logic starts. [`minimal`] makes a bitstream that does: it writes some frames of nothing.
//!
//! # What it does not do
//!
//! Frames are counted, not kept: there is no logic. No encryption, no compression (`MFWR` is a write like any other), no reading back.

/// Marks the beginning of the packets.
pub const SYNC: u32 = 0xaa99_5566;
/// A packet that does nothing.
pub const NOP: u32 = 0x2000_0000;

/// Device code of the 7Z020, with any revision (UG585 table 6-24: `PSS_IDCODE` without the revision).
pub const IDCODE_7Z020: u32 = 0x0372_7093;
/// Bits of a device code that are not the revision.
const IDCODE_MASK: u32 = 0x0fff_ffff;

/// Configuration registers (UG470 table 5-23).
mod register {
    pub(super) const CRC: u32 = 0;
    pub(super) const FDRI: u32 = 2;
    pub(super) const COMMAND: u32 = 4;
    pub(super) const IDCODE: u32 = 12;
}

/// Commands (UG470 table 5-25).
mod command {
    pub(super) const WRITE: u32 = 1;
    pub(super) const START: u32 = 5;
    pub(super) const RESET_CRC: u32 = 7;
    pub(super) const DESYNC: u32 = 13;
}

/// What became of the words so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Progress {
    /// More is to come.
    #[default]
    Loading,
    /// The logic has started: DONE is high.
    Done,
    /// The sum is wrong: INIT is low.
    WrongSum,
    /// The bitstream is for another chip: INIT is low.
    WrongChip,
}

/// The configuration logic.
#[derive(Clone, Debug)]
pub struct Configuration {
    idcode: u32,
    is_synchronized: bool,
    /// The register of the present packet, and how many words are still to come.
    packet: (u32, u32),
    crc: u32,
    is_starting: bool,
    frames: u64,
    progress: Progress,
}

impl Configuration {
    /// The cleared logic of a chip.
    pub const fn new(idcode: u32) -> Self {
        Self {
            idcode,
            is_synchronized: false,
            packet: (0, 0),
            crc: 0,
            is_starting: false,
            frames: 0,
            progress: Progress::Loading,
        }
    }

    /// What became of the words so far.
    pub const fn progress(&self) -> Progress {
        self.progress
    }

    /// Words that were written to the frame data register.
    pub const fn frame_words(&self) -> u64 {
        self.frames
    }

    /// Takes the next word.
    pub fn take(&mut self, word: u32) {
        if self.progress != Progress::Loading {
            return;
        }
        if !self.is_synchronized {
            self.is_synchronized = word == SYNC;
            return;
        }
        let (register, left) = self.packet;
        if left > 0 {
            self.packet = (register, left - 1);
            self.write(register, word);
            return;
        }
        // Type in the upper three bits, operation in the next two: 2 is a write.
        match (word >> 29, word >> 27 & 3) {
            (1, 2) => self.packet = (word >> 13 & 0x1f, word & 0x7ff),
            (2, 2) => self.packet = (register, word & 0x07ff_ffff),
            _ => {}
        }
    }

    fn write(&mut self, register: u32, word: u32) {
        if register == register::CRC {
            if word != self.crc {
                self.progress = Progress::WrongSum;
            }
            self.crc = 0;
            return;
        }
        self.crc = crc(self.crc, register, word);
        match register {
            register::FDRI => self.frames += 1,
            register::IDCODE if (word ^ self.idcode) & IDCODE_MASK != 0 => self.progress = Progress::WrongChip,
            register::COMMAND => match word {
                command::RESET_CRC => self.crc = 0,
                command::START => self.is_starting = true,
                command::DESYNC => {
                    self.is_synchronized = false;
                    if self.is_starting {
                        self.progress = Progress::Done;
                    }
                }
                _ => {}
            },
            _ => {}
        }
    }
}

/// The sum after one more word: its bits from the lowest on, then those of the register's number (CRC-32C, reflected).
fn crc(before: u32, register: u32, word: u32) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let bits = u64::from(register & 0x1f) << 32 | u64::from(word);
    (0..37).fold(before, |sum, bit| {
        let is_set = (bits >> bit & 1) as u32 ^ sum & 1 != 0;
        sum >> 1 ^ if is_set { POLYNOMIAL } else { 0 }
    })
}

/// A bitstream file in the vendor's format (`.bit`) with these words, for `part`.
pub fn file(part: &str, words: &[u32]) -> Vec<u8> {
    let mut bytes = vec![0, 9, 0x0f, 0xf0, 0x0f, 0xf0, 0x0f, 0xf0, 0x0f, 0xf0, 0, 0, 1];
    for (key, text) in [(b'a', "top"), (b'b', part), (b'c', "2026/01/01"), (b'd', "12:00:00")] {
        bytes.push(key);
        bytes.extend((text.len() as u16 + 1).to_be_bytes());
        bytes.extend(text.bytes().chain([0]));
    }
    bytes.push(b'e');
    bytes.extend((4 * words.len() as u32).to_be_bytes());
    bytes.extend(words.iter().flat_map(|word| word.to_be_bytes()));
    bytes
}

/// A bitstream for a chip that writes `frames` words of frame data and starts the logic.
pub fn minimal(idcode: u32, frames: u32) -> Vec<u32> {
    let mut words = vec![u32::MAX; 8];
    words.extend([0x0000_00bb, 0x1122_0044, u32::MAX, u32::MAX, SYNC, NOP]);
    let mut sum = 0;
    let mut write = |register: u32, values: &[u32]| {
        if values.len() < 0x800 {
            words.push(0x3000_0000 | register << 13 | values.len() as u32);
        } else {
            words.push(0x3000_0000 | register << 13);
            words.push(0x5000_0000 | values.len() as u32);
        }
        if register == register::CRC {
            words.push(sum);
            sum = 0;
            return;
        }
        for &value in values {
            words.push(value);
            sum = crc(sum, register, value);
        }
        if (register, values) == (register::COMMAND, &[command::RESET_CRC]) {
            sum = 0;
        }
    };
    write(register::COMMAND, &[command::RESET_CRC]);
    write(register::IDCODE, &[idcode]);
    write(register::COMMAND, &[command::WRITE]);
    write(register::FDRI, &vec![0; frames as usize]);
    write(register::CRC, &[0]);
    write(register::COMMAND, &[command::START]);
    write(register::CRC, &[0]);
    write(register::COMMAND, &[command::DESYNC]);
    words.extend([NOP; 16]);
    words
}
