//! Boot ROM of the Zynq-7000, for the SD card.
//!
//! # How the hardware works
//!
//! After a power-on reset the processors run a ROM (UG585 chapter 6.3). It samples the boot mode pins, and in SD boot mode reads a card on SD controller 0: a partition
//! table in the first block, a FAT16 or FAT32 in the first primary partition, in its root directory the file `BOOT.BIN`. The file begins
//! with the boot header. The ROM checks the width detection and identification words and the header's checksum, performs up to 256 register
//! writes, which may go to some registers only, copies the boot loader to the on-chip memory, three quarters of which lie at address 0 and
//! one at 0xFFFF0000, and jumps to it: MMU and caches off, supervisor mode, interrupts masked. Where that is not possible, it leaves a code in
//! `REBOOT_STATUS` and stops. There is no search for another image on a card.
//!
//! If the RSA eFUSE is blown, the boot loader needs a certificate behind it, whose primary key has the digest in the eFUSEs; header
//! and boot loader are verified (chapter 32), and the certificate is left in memory behind the boot loader.
//!
//! # What this module does
//!
//! [`boot`] does all of that at once, and returns what the memory holds, which registers were written, and how the processor starts,
//! or why it does not.
//!
//! # What it does not
//!
//! Other boot modes than SD and JTAG, encrypted boot loaders, and boot loaders that run in place, which a card cannot have. How
//! the ROM drives the SD controller is not modelled: its registers are as after a reset.

use rsa::{BoxedUint, Pkcs1v15Sign, PublicKey};
use sha2_host::{Digest as _, Sha256};

use crate::sdcard::{BLOCK_SIZE, Media};

mod fat;

/// Most bytes of a boot loader: three quarters of the on-chip memory.
pub const MOST: u32 = 192 << 10;
/// What memory holds that the ROM does not write: nothing that a boot loader could rely on.
pub const FILL: u8 = 0xa5;
/// `OCM_CFG` when the boot loader starts: the ROM is hidden, the last quarter is high.
pub const OCM_CFG: u32 = 0x18;

/// Bytes of the boot header with its register writes, and the fields that the ROM reads (UG585 table 6-5).
const HEADER: usize = 0x8a0;
const WIDTH_DETECTION: (usize, u32) = (0x20, 0xaa99_5566);
const IDENTIFICATION: (usize, u32) = (0x24, 0x584c_4e58);
const ENCRYPTION: usize = 0x28;
const SOURCE: usize = 0x30;
const LENGTH: usize = 0x34;
const LOAD: usize = 0x38;
const EXECUTION: usize = 0x3c;
const TOTAL: usize = 0x40;
const CHECKSUM: usize = 0x48;
const REGISTERS: usize = 0xa0;
/// First offset that a boot loader may have: behind the header.
const FIRST_SOURCE: u32 = 0x8c0;
/// Encryption with a key in battery-backed RAM, in eFUSEs.
const ENCRYPTED: [u32; 2] = [0x3a5c_3c5a, 0xa5c3_c5a3];
/// Address of a register write that is none.
const UNUSED: u32 = 0xffff_ffff;

/// Bytes of a certificate, of what its last signature covers, of a key; where things are in it (UG1283).
const CERTIFICATE: usize = 0x6c0;
const SIGNED: usize = 0x5c0;
const KEY: usize = 0x240;
const PRIMARY: usize = 0x40;
const SECONDARY: usize = 0x280;
const SECONDARY_SIGNATURE: usize = 0x4c0;

/// Registers that may be written by a boot header: first and last address (UG585 chapter 6.3.3, "Register Initialization"). All else of the system
/// level control, its lock, resets of the whole system, the boot mode, level shifters and the on-chip memory's place among it, is not for it.
const WRITABLE: &[(u32, u32)] = &[
    (0xe000_1000, 0xe000_1fff),
    (0xe000_d000, 0xe000_efff),
    (0xe010_0004, 0xe010_0057),
    (0xe010_0059, 0xe010_0fff),
    (0xf800_0100, 0xf800_01b0),
    (0xf800_01b4, 0xf800_01ff),
    (0xf800_0204, 0xf800_0234),
    (0xf800_024c, 0xf800_024c),
    (0xf800_0304, 0xf800_0834),
    (0xf800_0a00, 0xf800_0a8c),
    (0xf800_0ab0, 0xf800_0b74),
    (0xf800_6000, 0xf800_6fff),
];

/// Why the ROM stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RomError {
    /// The mode pins ask for JTAG: the ROM waits for a debugger.
    #[error("the boot mode is JTAG: the processor waits for a debugger")]
    Jtag,
    /// The mode pins ask for a device that this model does not have, or for none.
    #[error("boot mode {0:#x} is none that starts from a card (5 is)")]
    Mode(u32),
    /// There is no card in slot 0.
    #[error("there is no card in the slot")]
    NoCard,
    /// The first block is no partition table, or its first partition is none.
    #[error("the card has no partition table, or no first partition")]
    NoPartition,
    /// The first partition has no FAT16 or FAT32.
    #[error("the first partition has neither a FAT16 nor a FAT32")]
    NoFileSystem,
    /// The file is not in the root directory.
    #[error("there is no BOOT.BIN in the root directory")]
    NoImage,
    /// The file ends where the header or the boot loader does not.
    #[error("BOOT.BIN ends at {0:#x}, before the header or the boot loader does")]
    Short(u64),
    /// A word by which the ROM knows a header.
    #[error("the boot header's word at {offset:#x} is {found:#010x}, not {expected:#010x}")]
    Word {
        /// Its place.
        offset: usize,
        /// What is there.
        found: u32,
        /// What should be.
        expected: u32,
    },
    /// The sum of the header's words.
    #[error("the boot header's checksum is {found:#010x}, not {computed:#010x}")]
    Checksum {
        /// What the header says.
        found: u32,
        /// What it should.
        computed: u32,
    },
    /// The boot loader is encrypted, which this model cannot do.
    #[error("the boot loader is encrypted; this model has no keys")]
    Encrypted,
    /// A register write that is not permitted.
    #[error("the boot header writes to {0:#010x}, which it may not")]
    Register(u32),
    /// The boot loader does not lie behind the header, or not at a multiple of 64.
    #[error("the boot loader is said to be at {0:#x} of the image: not behind the header, or no multiple of 64")]
    Source(u32),
    /// A length of zero: to be run in place.
    #[error("the boot loader has no length, so that it would run in place, which a card cannot have")]
    InPlace,
    /// More than fits.
    #[error("the boot loader has {0} bytes, more than the 196,608 of the on-chip memory that are for it")]
    TooLarge(u32),
    /// Not in the on-chip memory.
    #[error("the boot loader goes to {0:#010x}, not within the lowest 192 KiB")]
    Load(u32),
    /// The entry point is not in the boot loader.
    #[error("the boot loader is entered at {0:#010x}, which is not in it")]
    Execution(u32),
    /// The RSA eFUSE is blown, and the boot loader is not authentic.
    #[error("the boot loader is not authentic: {0}")]
    NotAuthentic(&'static str),
}

impl RomError {
    /// The code that the ROM leaves in `REBOOT_STATUS`, bits 15 to 0, where it is known: SD boot finds no valid image. The manual has
    /// further codes (table 6-20), of which some stand for several causes.
    pub const fn code(self) -> Option<u16> {
        match self {
            Self::NoCard
            | Self::NoPartition
            | Self::NoFileSystem
            | Self::NoImage
            | Self::Short(_)
            | Self::Word { .. }
            | Self::Checksum { .. } => Some(0x200a),
            _ => None,
        }
    }
}

/// What the ROM has to go by besides the card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The boot mode register: source in bits 2 to 0 (0 is JTAG, 5 is SD).
    pub boot_mode: u32,
    /// The digest in the eFUSEs, if the RSA eFUSE is blown.
    pub rsa: Option<[u8; 32]>,
}

impl Options {
    /// SD boot on a chip without blown eFUSEs.
    pub const SD: Self = Self { boot_mode: 5, rsa: None };
}

/// How the boot loader starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// The on-chip memory: 192 KiB that are at address 0, then 64 KiB that are at 0xFFFF0000.
    pub ocm: Vec<u8>,
    /// Register writes of the header, in order: address and value.
    pub writes: Vec<(u32, u32)>,
    /// Bytes of the boot loader.
    pub length: u32,
    /// Where the processor starts, in supervisor mode, with IRQ, FIQ and asynchronous aborts masked, in ARM state, MMU and caches off.
    pub entry: u32,
}

/// Boots from a card.
///
/// # Errors
/// [`RomError`]: the ROM stops.
pub fn boot(card: Option<&mut dyn Media>, options: &Options) -> Result<Start, RomError> {
    match options.boot_mode & 7 {
        0 => return Err(RomError::Jtag),
        5 => {}
        mode => return Err(RomError::Mode(mode)),
    }
    let mut file = fat::find(card.ok_or(RomError::NoCard)?)?;
    let header = file.read(0, HEADER)?;
    check_header(&header)?;
    let writes = register_writes(&header)?;
    let word = |offset| word(&header, offset);
    if ENCRYPTED.contains(&word(ENCRYPTION)) {
        return Err(RomError::Encrypted);
    }
    let (source, length, load) = (word(SOURCE), word(LENGTH), word(LOAD));
    if source < FIRST_SOURCE || !source.is_multiple_of(64) {
        return Err(RomError::Source(source));
    }
    if length == 0 {
        return Err(RomError::InPlace);
    }
    if length > MOST {
        return Err(RomError::TooLarge(length));
    }
    if load.checked_add(length).is_none_or(|end| end > MOST) {
        return Err(RomError::Load(load));
    }
    let entry = word(EXECUTION);
    if !(load..load + length).contains(&entry) {
        return Err(RomError::Execution(entry));
    }
    let loader = file.read(source.into(), length as usize)?;
    let mut ocm = vec![FILL; 256 << 10];
    copy(&mut ocm, load as usize, &loader);
    if let Some(digest) = &options.rsa {
        let stored = word(TOTAL).max(length).next_multiple_of(64);
        let data = file.read(source.into(), stored as usize)?;
        let certificate = file.read(u64::from(source) + u64::from(stored), CERTIFICATE)?;
        authenticate(&header, &data, &certificate, digest)?;
        // Behind the boot loader, as far as there is room.
        if load + stored + CERTIFICATE as u32 <= MOST {
            copy(&mut ocm, (load + stored) as usize, &certificate);
        }
    }
    Ok(Start { ocm, writes, length, entry })
}

fn copy(to: &mut [u8], at: usize, from: &[u8]) {
    to.iter_mut().skip(at).zip(from).for_each(|(to, from)| *to = *from);
}

fn word(bytes: &[u8], offset: usize) -> u32 {
    bytes.get(offset..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

fn check_header(header: &[u8]) -> Result<(), RomError> {
    for (offset, expected) in [WIDTH_DETECTION, IDENTIFICATION] {
        let found = word(header, offset);
        if found != expected {
            return Err(RomError::Word { offset, found, expected });
        }
    }
    let sum =
        (WIDTH_DETECTION.0..CHECKSUM).step_by(4).fold(0_u32, |sum, offset| sum.wrapping_add(word(header, offset)));
    let (found, computed) = (word(header, CHECKSUM), !sum);
    if found != computed {
        return Err(RomError::Checksum { found, computed });
    }
    Ok(())
}

fn register_writes(header: &[u8]) -> Result<Vec<(u32, u32)>, RomError> {
    let mut writes = Vec::new();
    for offset in (REGISTERS..HEADER).step_by(8) {
        let (address, value) = (word(header, offset), word(header, offset + 4));
        if address == UNUSED {
            continue;
        }
        if !address.is_multiple_of(4) || !WRITABLE.iter().any(|(first, last)| (*first..=*last).contains(&address)) {
            return Err(RomError::Register(address));
        }
        writes.push((address, value));
    }
    Ok(writes)
}

/// Checks the chain from the eFUSEs to header and boot loader.
fn authenticate(header: &[u8], data: &[u8], certificate: &[u8], digest: &[u8; 32]) -> Result<(), RomError> {
    let part = |start: usize, length: usize| certificate.get(start..start + length).unwrap_or_default();
    if word(certificate, 0) != 0x101 || word(certificate, 4) != CERTIFICATE as u32 {
        return Err(RomError::NotAuthentic("there is no certificate behind it"));
    }
    let (primary, secondary) = (part(PRIMARY, KEY), part(SECONDARY, KEY));
    if Sha256::digest(primary).as_slice() != digest {
        return Err(RomError::NotAuthentic("the primary key is not the one that the eFUSEs hold the digest of"));
    }
    if !signed(primary, &Sha256::digest(secondary), part(SECONDARY_SIGNATURE, 256)) {
        return Err(RomError::NotAuthentic("the secondary key is not signed by the primary key"));
    }
    let mut sum = Sha256::new();
    for bytes in [header, data, part(0, SIGNED)] {
        sum.update(bytes);
    }
    if !signed(secondary, &sum.finalize(), part(SIGNED, 256)) {
        return Err(RomError::NotAuthentic("header or boot loader are not signed by the secondary key"));
    }
    Ok(())
}

/// Whether `signature` is the key's of `digest` (PKCS#1 version 1.5); numbers are stored with their lowest byte first.
fn signed(key: &[u8], digest: &[u8], signature: &[u8]) -> bool {
    let reversed = |bytes: &[u8]| bytes.iter().rev().copied().collect::<Vec<u8>>();
    let number = |bytes: &[u8]| {
        let bytes = reversed(bytes);
        let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
        BoxedUint::from_be_slice_vartime(bytes.get(start..).unwrap_or_default())
    };
    let modulus = key.get(..256).map(number);
    let exponent = key.get(512..516).map(number);
    let (Some(modulus), Some(exponent)) = (modulus, exponent) else { return false };
    PublicKey::new(modulus, exponent)
        .is_ok_and(|key| key.verify(Pkcs1v15Sign::new::<Sha256>(), digest, &reversed(signature)).is_ok())
}

/// A file on the card.
struct File<'m> {
    media: &'m mut dyn Media,
    /// Its clusters, as first blocks.
    clusters: Vec<u64>,
    blocks_per_cluster: u64,
    length: u64,
}

impl File<'_> {
    /// Reads `length` bytes from `offset` on.
    fn read(&mut self, offset: u64, length: usize) -> Result<Vec<u8>, RomError> {
        let end = offset + length as u64;
        if end > self.length {
            return Err(RomError::Short(self.length));
        }
        let mut bytes = Vec::with_capacity(length);
        let size = BLOCK_SIZE as u64;
        for block in offset / size..end.div_ceil(size) {
            let cluster = self.clusters.get((block / self.blocks_per_cluster) as usize);
            let place = *cluster.ok_or(RomError::NoFileSystem)? + block % self.blocks_per_cluster;
            if place >= self.media.blocks() {
                return Err(RomError::NoFileSystem);
            }
            let from = offset.saturating_sub(block * size).min(size) as usize;
            let to = (end - block * size).min(size) as usize;
            bytes.extend(self.media.read(place).get(from..to).unwrap_or_default());
        }
        Ok(bytes)
    }
}
