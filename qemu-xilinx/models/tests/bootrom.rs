//! The boot ROM against the manual: UG585 chapter 6.3, on cards made by `mkfs.fat` and mtools.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

use std::path::Path;
use std::process::Command;

use bootgen::crypto::rsa::SecretKey;
use bootgen::keys::parse_secret;
use sha2_host::{Digest as _, Sha256};
use zelkova_models::bootrom::{FILL, MOST, Options, RomError, Start, boot};
use zelkova_models::sdcard::{BLOCK_SIZE, Media};

/// A card in memory.
struct Card(Vec<u8>);

impl Media for Card {
    fn blocks(&self) -> u64 {
        (self.0.len() / BLOCK_SIZE) as u64
    }

    fn read(&mut self, block: u64) -> [u8; BLOCK_SIZE] {
        self.0[block as usize * BLOCK_SIZE..][..BLOCK_SIZE].try_into().unwrap()
    }

    fn write(&mut self, _: u64, _: &[u8; BLOCK_SIZE]) {
        panic!("the ROM does not write");
    }
}

/// Where the partition begins, in blocks.
const FIRST: usize = 2048;

fn run(tool: &str, arguments: &[&str], file: &Path) {
    let output =
        Command::new(tool).args(arguments).arg(file).output().unwrap_or_else(|error| panic!("{tool}: {error}"));
    assert!(output.status.success(), "{tool}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A card with a FAT of 12, 16 or 32 bits, of clusters of one block, and a file.
fn card(bits: u32, name: &str, contents: &[u8]) -> Card {
    let folder = tempfile::tempdir().unwrap();
    let volume = folder.path().join("volume");
    let size = match bits {
        12 => 1 << 20,
        16 => 4 << 20,
        _ => 36 << 20,
    };
    std::fs::File::create(&volume).unwrap().set_len(size).unwrap();
    run("mkfs.fat", &["-F", &bits.to_string(), "-s", "1"], &volume);
    // Another file in front, so that the first cluster and the first entry are not ours.
    for (name, contents) in [("README.TXT", &b"hello"[..]), (name, contents)] {
        let file = folder.path().join("file");
        std::fs::write(&file, contents).unwrap();
        let image = volume.to_str().unwrap().to_owned();
        let output = Command::new("mcopy").args(["-i", &image]).arg(&file).arg(format!("::{name}")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let mut bytes = vec![0; FIRST * BLOCK_SIZE];
    bytes[450] = if bits == 16 { 6 } else { 12 };
    bytes[454..458].copy_from_slice(&(FIRST as u32).to_le_bytes());
    let volume = std::fs::read(volume).unwrap();
    bytes[458..462].copy_from_slice(&((volume.len() / BLOCK_SIZE) as u32).to_le_bytes());
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    bytes.extend(volume);
    Card(bytes)
}

const SOURCE: u32 = 0x1700;

fn loader(length: u32) -> Vec<u8> {
    (0..length).map(|byte| (byte * 7 + byte / 253) as u8).collect()
}

fn set(image: &mut [u8], offset: usize, value: u32) {
    image[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
}

fn get(image: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(image[offset..offset + 4].try_into().unwrap())
}

/// Sets a word of the header, and the checksum of the words from 0x20 to 0x44.
fn header(image: &mut [u8], offset: usize, value: u32) {
    set(image, offset, value);
    let sum = (0x20..0x48).step_by(4).fold(0_u32, |sum, offset| sum.wrapping_add(get(image, offset)));
    set(image, 0x48, !sum);
}

/// An image with a boot loader of `length` bytes that goes to address 0.
fn image(length: u32) -> Vec<u8> {
    let mut image = vec![0xff; SOURCE as usize];
    let words = [0xaa99_5566, 0x584c_4e58, 0, 0x0101_0000, SOURCE, length, 0, 0, length, 1];
    for (index, word) in words.into_iter().enumerate() {
        header(&mut image, 0x20 + 4 * index, word);
    }
    for index in 0..256 {
        set(&mut image, 0xa0 + 8 * index, u32::MAX);
        set(&mut image, 0xa4 + 8 * index, 0);
    }
    image.extend(loader(length));
    image
}

fn boots(image: &[u8]) -> Result<Start, RomError> {
    boot(Some(&mut card(16, "BOOT.BIN", image)), &Options::SD)
}

/// What becomes of an image with one word of the header changed.
fn with(offset: usize, value: u32) -> Result<Start, RomError> {
    let mut image = image(1000);
    header(&mut image, offset, value);
    boots(&image)
}

#[test]
fn a_boot_loader_comes_from_fat16_and_fat32() {
    for bits in [16, 32] {
        let start = boot(Some(&mut card(bits, "BOOT.BIN", &image(100_001))), &Options::SD).unwrap();
        assert_eq!(start.ocm.len(), 256 << 10);
        assert_eq!(start.ocm[..100_001], loader(100_001), "FAT{bits}");
        assert!(start.ocm[100_001..].iter().all(|byte| *byte == FILL), "FAT{bits}");
        assert_eq!((start.entry, start.writes.len()), (0, 0));
    }
}

#[test]
fn the_mode_pins_decide() {
    let mut card = card(16, "BOOT.BIN", &image(64));
    let mut mode = |boot_mode| boot(Some(&mut card), &Options { boot_mode, rsa: None });
    assert!(mode(5).is_ok());
    // The chain mode and bypassed loops change nothing.
    assert!(mode(0x1d).is_ok());
    assert_eq!(mode(0), Err(RomError::Jtag));
    for other in [1, 2, 3, 4, 6, 7] {
        assert_eq!(mode(other), Err(RomError::Mode(other)));
    }
}

#[test]
fn without_a_file_there_is_one_code() {
    let error = |card: Option<&mut dyn Media>| boot(card, &Options::SD).unwrap_err();
    let errors = [
        (error(None), RomError::NoCard),
        (error(Some(&mut Card(vec![0; 1 << 20]))), RomError::NoPartition),
        (error(Some(&mut Card(Vec::new()))), RomError::NoPartition),
        (error(Some(&mut card(12, "BOOT.BIN", &image(64)))), RomError::NoFileSystem),
        (error(Some(&mut card(16, "BOOT2.BIN", &image(64)))), RomError::NoImage),
        (error(Some(&mut card(32, "BOOT.BI", &image(64)))), RomError::NoImage),
        (error(Some(&mut card(16, "BOOT.BIN", &image(64)[..0x800]))), RomError::Short(0x800)),
        (error(Some(&mut card(16, "BOOT.BIN", b""))), RomError::Short(0)),
    ];
    for (found, expected) in errors {
        assert_eq!(found, expected);
        assert_eq!(found.code(), Some(0x200a));
    }
    let mut blank = card(16, "BOOT.BIN", &image(64));
    blank.0[FIRST * BLOCK_SIZE..(FIRST + 1) * BLOCK_SIZE].fill(0);
    assert_eq!(error(Some(&mut blank)), RomError::NoFileSystem);
}

#[test]
fn each_damaged_word_of_the_header_is_noticed() {
    for offset in (0x20..0x4c).step_by(4) {
        for bit in [0, 9, 31] {
            let mut image = image(1000);
            image[offset + bit / 8] ^= 1 << (bit % 8);
            let error = boots(&image).unwrap_err();
            let is_header = matches!(error, RomError::Word { .. } | RomError::Checksum { .. });
            assert!(is_header && error.code() == Some(0x200a), "{offset:#x}, bit {bit}: {error}");
        }
    }
}

#[test]
fn what_the_sum_does_not_cover_does_not_matter() {
    let mut image = image(1000);
    image[..0x20].fill(0);
    image[0x4c..0xa0].fill(0x5a);
    assert!(boots(&image).is_ok());
}

#[test]
fn a_boot_loader_has_192_kib() {
    let start = boots(&image(MOST)).unwrap();
    assert_eq!(start.ocm[..MOST as usize], loader(MOST));
    assert_eq!(boots(&image(MOST + 1)), Err(RomError::TooLarge(MOST + 1)));
    // Placed higher, there is less room.
    assert!(with(0x38, MOST - 1024).is_err(), "the entry is not in it");
    let mut image = image(1024);
    header(&mut image, 0x38, MOST - 1024);
    header(&mut image, 0x3c, MOST - 4);
    let start = boots(&image).unwrap();
    assert_eq!(start.entry, MOST - 4);
    assert_eq!(start.ocm[MOST as usize - 1024..MOST as usize], loader(1024));
    header(&mut image, 0x38, MOST - 1023);
    assert_eq!(boots(&image), Err(RomError::Load(MOST - 1023)));
    header(&mut image, 0x38, 0xffff_0000);
    assert_eq!(boots(&image), Err(RomError::Load(0xffff_0000)));
}

#[test]
fn fields_that_make_no_sense_stop_the_rom() {
    assert_eq!(with(0x34, 0), Err(RomError::InPlace));
    assert_eq!(with(0x3c, 1000), Err(RomError::Execution(1000)));
    assert_eq!(with(0x3c, 0xfc00_0000), Err(RomError::Execution(0xfc00_0000)));
    assert_eq!(with(0x30, 0x880), Err(RomError::Source(0x880)));
    assert_eq!(with(0x30, 0x1720), Err(RomError::Source(0x1720)));
    assert_eq!(with(0x30, 0x10_0000), Err(RomError::Short(0x1700 + 1000)));
    for source in [0x3a5c_3c5a, 0xa5c3_c5a3] {
        assert_eq!(with(0x28, source), Err(RomError::Encrypted));
    }
    // "Anything else": not encrypted.
    assert!(with(0x28, 0x1234_5678).is_ok());
}

#[test]
fn register_writes_are_performed_in_order_and_only_where_permitted() {
    let mut image = image(64);
    set(&mut image, 0xa0, 0xf800_0154);
    set(&mut image, 0xa4, 0x0000_1402);
    // Unused entries are skipped.
    set(&mut image, 0xa0 + 8 * 255, 0xe010_0030);
    set(&mut image, 0xa4 + 8 * 255, 7);
    assert_eq!(boots(&image).unwrap().writes, [(0xf800_0154, 0x1402), (0xe010_0030, 7)]);
    let permitted = [
        0xe000_1000,
        0xe000_d000,
        0xe000_effc,
        0xe010_0054,
        0xe010_005c,
        0xf800_0100,
        0xf800_01b0,
        0xf800_01fc,
        0xf800_0204,
        0xf800_0234,
        0xf800_024c,
        0xf800_0700,
        0xf800_0834,
        0xf800_0b74,
        0xf800_6000,
        0xf800_6ffc,
    ];
    for address in permitted {
        set(&mut image, 0xa0, address);
        assert!(boots(&image).is_ok(), "{address:#x}");
    }
    // Lock, system reset, boot mode, level shifters, place of the on-chip memory, configuration interface, memory, odd addresses.
    let forbidden = [
        0xf800_0004,
        0xf800_0008,
        0xf800_0200,
        0xf800_0240,
        0xf800_0258,
        0xf800_025c,
        0xf800_0900,
        0xf800_0910,
        0xf800_7000,
        0xe000_0000,
        0xe010_0000,
        0xe010_0058,
        0xf800_0702,
        0,
        0x10_0000,
        0xffff_0000,
    ];
    for address in forbidden {
        set(&mut image, 0xa0, address);
        assert_eq!(boots(&image), Err(RomError::Register(address)), "{address:#x}");
    }
}

#[test]
fn a_chain_that_leads_back_is_not_followed_for_ever() {
    let mut card = card(16, "BOOT.BIN", &image(100_000));
    // The first FAT lies behind one reserved block (mkfs.fat: four with this size of clusters). Every link leads to cluster 5.
    let boot = FIRST * BLOCK_SIZE;
    let reserved = usize::from(u16::from_le_bytes([card.0[boot + 14], card.0[boot + 15]]));
    let fat = boot + reserved * BLOCK_SIZE;
    for link in 2..2000 {
        card.0[fat + 2 * link] = 5;
        card.0[fat + 2 * link + 1] = 0;
    }
    assert_eq!(boot_error(&mut card), RomError::NoFileSystem);
}

fn boot_error(card: &mut Card) -> RomError {
    boot(Some(card), &Options::SD).unwrap_err()
}

/// A signed image: certificate behind the boot loader, as UG1283 describes it.
fn signed(primary: &SecretKey, secondary: &SecretKey, length: u32) -> Vec<u8> {
    let mut image = image(length);
    image.resize(image.len().next_multiple_of(64), 0xff);
    let mut certificate = Vec::new();
    certificate.extend(0x101_u32.to_le_bytes());
    certificate.extend(0x6c0_u32.to_le_bytes());
    certificate.extend([0; 56]);
    certificate.extend(primary.public().blob());
    certificate.extend(secondary.public().blob());
    certificate.extend(primary.sign(&Sha256::digest(secondary.public().blob()).into()).unwrap());
    let mut digest = Sha256::new();
    digest.update(&image[..0x8a0]);
    digest.update(&image[SOURCE as usize..]);
    digest.update(&certificate);
    certificate.extend(secondary.sign(&digest.finalize().into()).unwrap());
    image.extend(certificate);
    image
}

#[test]
fn with_the_efuse_blown_only_authentic_boot_loaders_start() {
    let [primary, secondary, other] = [
        include_str!("../../../bootgen/tests/keys/primary.pem"),
        include_str!("../../../bootgen/tests/keys/secondary.pem"),
        include_str!("../../../bootgen/tests/keys/other.pem"),
    ]
    .map(|text| parse_secret(text).unwrap());
    let digest = Sha256::digest(primary.public().blob()).into();
    let options = Options { rsa: Some(digest), ..Options::SD };
    let boots = |image: &[u8]| boot(Some(&mut card(16, "BOOT.BIN", image)), &options);
    let good = signed(&primary, &secondary, 1001);
    let start = boots(&good).unwrap();
    assert_eq!(start.ocm[..1001], loader(1001));
    // The certificate lies behind the boot loader, at the next multiple of 64.
    assert_eq!(start.ocm[1024..1024 + 0x6c0], good[SOURCE as usize + 1024..]);
    // Without the eFUSE, nobody asks, and nothing is left.
    let unfused = boot(Some(&mut card(16, "BOOT.BIN", &good)), &Options::SD).unwrap();
    assert!(unfused.ocm[1001..].iter().all(|byte| *byte == FILL));

    let refused = |image: &[u8]| matches!(boots(image), Err(RomError::NotAuthentic(_)));
    assert!(refused(&signed(&other, &secondary, 1001)), "another primary key");
    let mut unsigned = image(1001);
    unsigned.resize(unsigned.len() + 4096, 0);
    assert!(refused(&unsigned));
    // Bytes of the header that no sum covers, of the boot loader, of its padding, of the certificate.
    let places = [0x60, 0x9c, 0xa4, SOURCE as usize, SOURCE as usize + 1000, SOURCE as usize + 1010]
        .into_iter()
        .chain((0..0x6c0).step_by(97).map(|offset| SOURCE as usize + 1024 + offset));
    for place in places {
        let mut image = good.clone();
        image[place] ^= 0x10;
        assert!(refused(&image), "{place:#x}");
    }
}
