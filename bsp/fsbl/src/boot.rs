//! The order of things.

use core::fmt::Write;
use core::ops::Range;

use embedded_sdmmc::{BlockDevice, Mode, RawFile, TimeSource, Timestamp, VolumeIdx, VolumeManager};
use mmio::Registers;

use crate::card::{Card, CardError};
use crate::image::{self, Target, Verified};
use crate::memory::Ram;
use crate::signature::Digest;
use crate::time::Time;
use crate::{Failure, pcap};

/// The image, and the one for when it does not verify.
pub const IMAGES: [&str; 2] = ["BOOT.BIN", "BOOT.ALT"];

/// Where images are read to: the upper half of the memory, up to the last MiB of its first 512.
pub fn staging(ram: &Range<u32>) -> Range<u32> {
    let end = ram.end.min(0x2000_0000);
    ram.start + (end - ram.start) / 2..end.saturating_sub(1 << 20)
}

/// What the image is loaded with.
#[derive(Debug)]
pub struct Devices<'a, B> {
    /// System level control registers, unlocked.
    pub slcr: &'a B,
    /// Device configuration interface.
    pub devcfg: &'a B,
}

/// A file system does not need to know the time to be read.
#[derive(Debug)]
struct NoClock;

impl TimeSource for NoClock {
    fn get_timestamp(&self) -> Timestamp {
        Timestamp::from_fat(0, 0)
    }
}

type Files<'f, 'a, B, T> = VolumeManager<Shared<'f, Card<'a, B, T>>, NoClock, 1, 1, 1>;

/// A block device that somebody else looks at, too.
#[derive(Debug)]
struct Shared<'a, D>(&'a D);

impl<D: BlockDevice> BlockDevice for Shared<'_, D> {
    type Error = D::Error;

    fn read(&self, blocks: &mut [embedded_sdmmc::Block], start: embedded_sdmmc::BlockIdx) -> Result<(), Self::Error> {
        self.0.read(blocks, start)
    }

    fn write(&self, blocks: &[embedded_sdmmc::Block], start: embedded_sdmmc::BlockIdx) -> Result<(), Self::Error> {
        self.0.write(blocks, start)
    }

    fn num_blocks(&self) -> Result<embedded_sdmmc::BlockCount, Self::Error> {
        self.0.num_blocks()
    }
}

/// Loads the first image on the card that verifies, and configures the programmable logic. Returns the address to go on at. `anchor` is the digest
/// of the key that this boot loader is signed with, if it is.
///
/// # Errors
/// What is wrong with the last image that was tried, or with the card.
pub fn load<B: Registers, R: Registers, T: Time>(
    card: &Card<'_, B, T>,
    devices: &Devices<'_, R>,
    ram: &mut impl Ram,
    anchor: Option<&Digest>,
    time: &T,
    log: &mut impl Write,
) -> Result<u32, Failure> {
    let mut reason = None;
    for name in IMAGES {
        match attempt(card, devices, ram, anchor, time, log, name) {
            Ok(entry) => return Ok(entry),
            Err(failure) if failure.is_of_image() => {
                // The console never fails.
                let _ = writeln!(log, "[fsbl] {name} is not used: {failure}");
                // That there is no second image is not the reason why there is nothing to start.
                let is_absent = matches!(failure, Failure::NoFile(_));
                reason = reason.filter(|_| is_absent).or(Some(failure));
            }
            Err(failure) => return Err(failure),
        }
    }
    Err(reason.unwrap_or(Failure::Internal))
}

fn attempt<B: Registers, R: Registers, T: Time>(
    card: &Card<'_, B, T>,
    devices: &Devices<'_, R>,
    ram: &mut impl Ram,
    anchor: Option<&Digest>,
    time: &T,
    log: &mut impl Write,
    name: &'static str,
) -> Result<u32, Failure> {
    let memory = ram.range();
    let room = staging(&memory);
    let size = read(card, ram, name, &room)?;
    let bytes = ram.bytes(room.start..room.start + size).ok_or(Failure::Internal)?;
    let verified = image::verify(bytes, room.start, &memory, anchor)?;
    describe(log, name, size, &verified);
    image::place(&verified, room.start, ram)?;
    for piece in &verified.pieces {
        if piece.target == Target::Logic {
            let length = piece.bytes.end - piece.bytes.start;
            pcap::configure(devices.slcr, devices.devcfg, room.start + piece.bytes.start, length, time)
                .map_err(|fault| Failure::Logic(piece.index, fault))?;
        }
    }
    Ok(verified.entry)
}

/// Reads the file `name` to the start of `room`, and returns its size.
fn read<B: Registers, T: Time>(
    card: &Card<'_, B, T>,
    ram: &mut impl Ram,
    name: &'static str,
    room: &Range<u32>,
) -> Result<u32, Failure> {
    let files: Files<'_, '_, B, T> = VolumeManager::new_with_limits(Shared(card), NoClock, 1);
    let result = read_with(&files, ram, name, room);
    // Not every error of the card comes through the file system as such.
    match card.failure() {
        Some(CardError::NoCard) => Err(Failure::NoCard),
        Some(error) => Err(Failure::Card(error)),
        None => result,
    }
}

fn read_with<B: Registers, T: Time>(
    files: &Files<'_, '_, B, T>,
    ram: &mut impl Ram,
    name: &'static str,
    room: &Range<u32>,
) -> Result<u32, Failure> {
    let volume = files.open_raw_volume(VolumeIdx(0)).map_err(no_file_system)?;
    let root = files.open_root_dir(volume).map_err(no_file_system)?;
    let file: RawFile = files.open_file_in_dir(root, name, Mode::ReadOnly).map_err(|error| match error {
        embedded_sdmmc::Error::NotFound | embedded_sdmmc::Error::OpenedDirAsFile => Failure::NoFile(name),
        other => no_file_system(other),
    })?;
    let size = files.file_length(file).map_err(no_file_system)?;
    let space = room.end - room.start;
    if size > space {
        return Err(Failure::TooLarge { name, size, room: space });
    }
    let bytes = ram.bytes(room.start..room.start + size).ok_or(Failure::Internal)?;
    let mut done = 0;
    while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match files.read(file, rest).map_err(no_file_system)? {
            0 => return Err(Failure::NoFileSystem("a file ends before its size")),
            count => done += count,
        }
    }
    Ok(size)
}

fn no_file_system(error: embedded_sdmmc::Error<CardError>) -> Failure {
    match error {
        embedded_sdmmc::Error::DeviceError(CardError::NoCard) => Failure::NoCard,
        embedded_sdmmc::Error::DeviceError(error) => Failure::Card(error),
        embedded_sdmmc::Error::FormatError(what) => Failure::NoFileSystem(what),
        embedded_sdmmc::Error::BadCluster | embedded_sdmmc::Error::UnterminatedFatChain => {
            Failure::NoFileSystem("a chain of clusters is damaged")
        }
        _ => Failure::NoFileSystem("it is damaged"),
    }
}

fn describe(log: &mut impl Write, name: &str, size: u32, verified: &Verified) {
    let how = if verified.signer.is_some() { "signed, verified" } else { "not signed, verified" };
    // The console never fails.
    let _ = writeln!(
        log,
        "[fsbl] {name}: {size} bytes, {how}; {} partitions, entry {:#010x}",
        verified.pieces.len(),
        verified.entry
    );
}
