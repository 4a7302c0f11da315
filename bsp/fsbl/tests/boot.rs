//! From the first register write to the jump, on the models: what goes well, and each way to fail.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "a test may panic"
)]

mod bench;

use std::collections::BTreeMap;
use std::ops::Range;

use bench::{Board, Bytes, ENTRY, PIECES, Part, Recipe, card, contents, image};
use bootimage::certificate::{KEY_SIZE, SIZE as CERTIFICATE};
use bootimage::{Image, Problem, Structure};
use models::bootrom::{self, Options as RomOptions};
use models::ddrc::Training;
use models::devcfg::Failure as LogicFailure;
use models::sdcard::Fault;
use models::slcr::Clock;
use sha2::{Digest as _, Sha256};
use zelkova_fsbl::card::CardError;
use zelkova_fsbl::image::ImageError;
use zelkova_fsbl::memory::Ram as _;
use zelkova_fsbl::signature::{self, Distrust};
use zelkova_fsbl::{Failure, clocks, memory, pcap};

const PLAIN: Recipe = Recipe { md5: false, signed: false, bitstream: false };
const MD5: Recipe = Recipe { md5: true, ..PLAIN };
const SIGNED: Recipe = Recipe { signed: true, ..PLAIN };
const ALL: Recipe = Recipe { md5: true, signed: true, bitstream: true };

/// What becomes of a card with this `BOOT.BIN`.
fn boots(image: &[u8]) -> Result<u32, Failure> {
    let board = Board::with_card(card(&[("BOOT.BIN", image)]));
    board.boot(None).0.map(|(entry, _)| entry)
}

/// The offset of partition `index` in an image, and of its header.
fn places(image: &[u8], index: u32) -> (usize, usize) {
    let mut parsed = Image::open(image).unwrap();
    let partition = parsed.partition(index).unwrap();
    (partition.data().start as usize, partition.base as usize)
}

/// The digest of an image's primary key.
fn signer(image: &[u8]) -> [u8; 32] {
    let certificate = Image::open(image).unwrap().table().certificate().unwrap() as usize;
    Sha256::digest(&image[certificate + 0x40..][..KEY_SIZE as usize]).into()
}

#[test]
fn every_kind_of_image_is_loaded() {
    for recipe in [PLAIN, MD5, SIGNED, ALL] {
        let board = Board::with_card(card(&[("BOOT.BIN", &image(recipe))]));
        let (outcome, log) = board.boot(None);
        let (entry, memory) = outcome.unwrap_or_else(|failure| panic!("{recipe:?}: {failure}"));
        assert_eq!(entry, ENTRY);
        for (address, length) in PIECES {
            assert_eq!(memory[address as usize..][..length as usize], contents(length), "{recipe:?}, {address:#x}");
        }
        // The byte behind the first piece, which is not a multiple of a word, is what it was.
        assert_eq!(memory[PIECES[0].1 as usize], 0x5a);
        assert_eq!(log.contains("not signed"), !recipe.signed, "{log}");
        let slcr = board.slcr.borrow();
        assert_eq!(board.devcfg.borrow().is_configured(), recipe.bitstream);
        let (shifters, resets) = if recipe.bitstream { (0xf, 0) } else { (0, 0x01f3_3f0f) };
        assert_eq!((slcr.register(0x900), slcr.register(0x240)), (shifters, resets), "{recipe:?}");
        drop(slcr);
        board.assert_clean();
    }
}

#[test]
fn the_processors_run_as_fast_as_the_board_says() {
    let board = Board::new();
    board.prepare().unwrap();
    let slcr = board.slcr.borrow();
    for (clock, rate) in [(Clock::Cpu6x4x, 666_666_660), (Clock::Cpu1x, 111_111_110), (Clock::Ddr3x, 533_333_328)] {
        assert_eq!(slcr.frequency(clock), rate, "{clock:?}");
    }
    drop(slcr);
    board.assert_clean();
}

#[test]
fn a_damaged_image_gives_way_to_the_second() {
    let good = image(MD5);
    let mut bad = good.clone();
    let (data, _) = places(&bad, 1);
    bad[data + 100] ^= 1;
    let board = Board::with_card(card(&[("BOOT.BIN", &bad), ("BOOT.ALT", &good)]));
    let (outcome, log) = board.boot(None);
    assert_eq!(outcome.unwrap().0, ENTRY);
    assert!(log.contains("BOOT.BIN is not used: partition 1 is damaged"), "{log}");
    assert!(log.contains("BOOT.ALT: "), "{log}");
    // The same if there is no first one.
    let board = Board::with_card(card(&[("BOOT.ALT", &good)]));
    assert_eq!(board.boot(None).0.unwrap().0, ENTRY);
    // If neither is good, the second is the reason; if there is no second, the first.
    let board = Board::with_card(card(&[("BOOT.BIN", &good[..100]), ("BOOT.ALT", &bad)]));
    assert_eq!(board.boot(None).0.unwrap_err(), Failure::Image(ImageError::Md5(1)));
    assert_eq!(boots(&bad), Err(Failure::Image(ImageError::Md5(1))));
}

#[test]
fn nothing_is_copied_before_everything_is_verified() {
    // The last partition is damaged; the first must not be in its place.
    let mut bad = image(MD5);
    let (data, _) = places(&bad, 2);
    bad[data] ^= 1;
    let board = Board::with_card(card(&[("BOOT.BIN", &bad)]));
    let mut ram = board.prepare().unwrap();
    let room = zelkova_fsbl::boot::staging(&ram.range());
    let before = ram.bytes(0..room.start).unwrap().to_vec();
    let outcome = board.load(&mut ram, None, &mut String::new());
    assert_eq!(outcome, Err(Failure::Image(ImageError::Md5(2))));
    assert!(ram.bytes(0..room.start).unwrap() == before);
    assert!(!board.devcfg.borrow().is_configured());
}

#[test]
fn the_boot_rom_and_the_boot_loader_agree() {
    let bytes = card(&[("BOOT.BIN", &image(SIGNED))]);
    let digest = signer(&image(SIGNED));
    let start = |options: &RomOptions| bootrom::boot(Some(&mut Bytes(bytes.clone())), options).unwrap();
    let plain = start(&RomOptions::SD);
    assert_eq!((plain.entry, &plain.ocm[..5000]), (0, &contents(5000)[..]));
    // What lies behind the boot loader is no certificate unless the ROM has checked one.
    let found = |ocm: &[u8]| signature::anchor(&ocm[5000_usize.next_multiple_of(64)..][..CERTIFICATE as usize]);
    assert_eq!(found(&plain.ocm), None);
    let secure = start(&RomOptions { rsa: Some(digest), ..RomOptions::SD });
    let anchor = found(&secure.ocm);
    assert_eq!(anchor, Some(digest));
    // The boot loader goes on with the same card, and by that key only.
    let board = Board::with_card(bytes);
    assert_eq!(board.boot(anchor.as_ref()).0.unwrap().0, ENTRY);
    let board = Board::with_card(card(&[("BOOT.BIN", &image(PLAIN))]));
    assert_eq!(board.boot(anchor.as_ref()).0.unwrap_err(), Failure::Image(ImageError::NotSigned));
}

#[test]
fn without_a_card() {
    let board = Board::new();
    let failure = board.boot(None).0.unwrap_err();
    assert_eq!((failure, failure.code()), (Failure::NoCard, 3));
    board.assert_clean();
}

#[test]
fn a_card_without_a_file_system() {
    let error = |bytes| Board::with_card(bytes).boot(None).0.unwrap_err();
    let blank = error(vec![0; 8 << 20]);
    assert!(matches!(blank, Failure::NoFileSystem(_)), "{blank}");
    assert_eq!(blank.code(), 5);
    // A partition table, but nothing behind it.
    let mut bytes = card(&[]);
    bytes[2048 * 512..2100 * 512].fill(0);
    assert_eq!(error(bytes).code(), 5);
}

#[test]
fn a_card_without_the_file() {
    let board = Board::with_card(card(&[("README.TXT", b"hello")]));
    let failure = board.boot(None).0.unwrap_err();
    assert_eq!((failure, failure.code()), (Failure::NoFile("BOOT.BIN"), 6));
}

#[test]
fn a_card_that_is_pulled_out() {
    let bytes = card(&[("BOOT.BIN", &image(ALL))]);
    let whole = Board::with_card(bytes.clone());
    whole.boot(None).0.unwrap();
    let end = whole.now.get();
    let mut seen = 0;
    for part in 1..20 {
        let board = Board::with_card(bytes.clone());
        board.remove_at.set(Some(end * part / 20));
        match board.boot(None).0 {
            Ok((entry, _)) => assert_eq!(entry, ENTRY, "pulled out when all was read"),
            Err(failure) => {
                seen += 1;
                assert!(matches!(failure, Failure::NoCard | Failure::Card(_)), "{failure}");
                assert!(matches!(failure.code(), 3 | 4));
            }
        }
    }
    assert!(seen > 3, "{seen}");
}

#[test]
fn a_card_that_does_not_answer() {
    let board = Board::with_card(card(&[("BOOT.BIN", &image(PLAIN))]));
    board.sd.borrow_mut().card().unwrap().inject(Fault::CorruptData, u32::MAX);
    let failure = board.boot(None).0.unwrap_err();
    assert!(matches!(failure, Failure::Card(CardError::Failed(_))), "{failure}");
    assert_eq!(failure.code(), 4);
}

#[test]
fn headers_that_are_damaged() {
    for (offset, structure) in [
        (0x20, Structure::BootHeader),
        (0x24, Structure::BootHeader),
        (0x48, Structure::BootHeader),
        (0x8c0, Structure::ImageHeaderTable),
        (0xcc0 + 0x14, Structure::PartitionHeader(1)),
        (0xcc0 + 0x3c, Structure::PartitionHeader(1)),
    ] {
        let mut bad = image(PLAIN);
        bad[offset] ^= 0x40;
        let failure = boots(&bad).unwrap_err();
        assert!(
            matches!(failure, Failure::Image(ImageError::Invalid(invalid)) if invalid.structure == structure),
            "{failure}"
        );
        assert_eq!(failure.code(), 7);
    }
    // No image at all, one that is cut off, and one that is empty.
    let whole = image(PLAIN);
    for bytes in [&b"hello"[..], &whole[..0x900], &whole[..0x1800], b""] {
        let failure = boots(bytes).unwrap_err();
        assert!(
            matches!(failure, Failure::Image(ImageError::Invalid(invalid))
                if matches!(invalid.problem, Problem::Truncated { .. } | Problem::BeyondEnd { .. })),
            "{failure}"
        );
    }
}

#[test]
fn each_damaged_byte_of_a_partition_with_an_md5_sum() {
    let good = image(MD5);
    let (data, _) = places(&good, 2);
    for offset in (data..data + 3000).step_by(499) {
        let mut bad = good.clone();
        bad[offset] ^= 0x80;
        let failure = boots(&bad).unwrap_err();
        assert_eq!((failure, failure.code()), (Failure::Image(ImageError::Md5(2)), 8));
    }
}

#[test]
fn each_damaged_byte_of_a_signed_image_stops_it() {
    let good = image(SIGNED);
    assert_eq!(boots(&good), Ok(ENTRY));
    let (first, _) = places(&good, 1);
    // Headers, certificate, both partitions with theirs. The boot loader and its header are the boot ROM's to check.
    let table = 0x8c0;
    let headers = Image::open(&good[..]).unwrap().table().certificate().unwrap() as usize;
    // What no check covers: fill bytes behind the headers' certificate, in front of the boot loader.
    let covered = (table..headers + 0x6c0).chain(first..good.len());
    let mut tried = 0;
    for offset in covered {
        let mut bad = good.clone();
        bad[offset] ^= 1 << (offset % 8);
        let outcome = verify(&bad, None);
        assert!(outcome.is_err(), "byte {offset:#x}");
        tried += 1;
    }
    assert!(tried > 30_000, "{tried}");
}

/// The verification alone, which is what decides.
fn verify(image: &[u8], anchor: Option<&[u8; 32]>) -> Result<u32, ImageError> {
    zelkova_fsbl::image::verify(image, 0x80_0000, &(0..0x100_0000), anchor).map(|verified| verified.entry)
}

#[test]
fn signatures_are_of_the_right_key() {
    let good = image(SIGNED);
    let digest = signer(&good);
    assert_eq!(verify(&good, Some(&digest)), Ok(ENTRY));
    assert_eq!(verify(&good, Some(&[0; 32])), Err(ImageError::Headers(Distrust::Primary)));
    assert_eq!(verify(&image(PLAIN), Some(&digest)), Err(ImageError::NotSigned));
    let failure = Failure::Image(ImageError::NotSigned);
    assert_eq!(failure.code(), 9);
    // The signature of the data is the last thing in the certificate of the headers.
    let certificate = Image::open(&good[..]).unwrap().table().certificate().unwrap() as usize;
    for (offset, distrust) in [(0x5c0, Distrust::Data), (0x4c0, Distrust::Secondary), (0x280, Distrust::Secondary)] {
        let mut bad = good.clone();
        bad[certificate + offset] ^= 1;
        assert_eq!(verify(&bad, None), Err(ImageError::Headers(distrust)), "{offset:#x}");
    }
    let (data, _) = places(&good, 1);
    let mut bad = good;
    bad[data] ^= 1;
    assert_eq!(verify(&bad, None), Err(ImageError::Partition(1, Distrust::Data)));
}

#[test]
fn a_partition_that_is_not_signed_is_none_of_a_signed_image() {
    let mut bad = image(SIGNED);
    // Takes the certificate away: attribute, offset, and the sum of the header.
    let (_, header) = places(&bad, 2);
    let word = |bytes: &[u8], offset: usize| u32::from_le_bytes(bytes[offset..][..4].try_into().unwrap());
    let attributes = word(&bad, header + 0x18) & !(1 << 15);
    bad[header + 0x18..][..4].copy_from_slice(&attributes.to_le_bytes());
    bad[header + 0x28..][..4].fill(0);
    let sum = (0..15).fold(0_u32, |sum, index| sum.wrapping_add(word(&bad, header + 4 * index)));
    bad[header + 0x3c..][..4].copy_from_slice(&(!sum).to_le_bytes());
    // The headers are signed, so that this is noticed first.
    assert_eq!(verify(&bad, None), Err(ImageError::Headers(Distrust::Data)));
}

/// Changes a word of a partition header, and its sum with it.
fn patch(image: &mut [u8], index: u32, field: usize, value: u32) {
    let (_, header) = places(image, index);
    image[header + field..][..4].copy_from_slice(&value.to_le_bytes());
    let word = |offset: usize| u32::from_le_bytes(image[header + offset..][..4].try_into().unwrap());
    let sum = (0..15).fold(0_u32, |sum, index| sum.wrapping_add(word(4 * index)));
    image[header + 0x3c..][..4].copy_from_slice(&(!sum).to_le_bytes());
}

#[test]
fn partitions_that_go_where_they_cannot() {
    let good = image(PLAIN);
    for (address, why) in [
        (0x00ff_f800, "not within the memory"),
        (0xffff_f000, "not within the memory"),
        (0x0080_1000, "where the boot loader keeps the image"),
        (0x0000_1000, "taken by another partition"),
    ] {
        let mut bad = good.clone();
        patch(&mut bad, 2, 0x0c, address);
        let error = verify(&bad, None).unwrap_err();
        assert!(
            matches!(error, ImageError::Place { index: 2, why: found, .. } if found == why),
            "{address:#x}: {error}"
        );
        assert_eq!(Failure::Image(error).code(), 10);
    }
    for entry in [0, 0x10_0000, ENTRY + 1, PIECES[1].0 + PIECES[1].1] {
        let mut bad = good.clone();
        patch(&mut bad, 1, 0x10, entry);
        let error = verify(&bad, None).unwrap_err();
        assert!(matches!(error, ImageError::NoEntry | ImageError::Entry(_)), "{entry:#x}: {error}");
    }
    let mut bad = good.clone();
    patch(&mut bad, 1, 0x04, 1);
    assert_eq!(verify(&bad, None), Err(ImageError::Encrypted(1)));
    // U-Boot's partitions are not ours.
    let mut others = good;
    let attributes = 0x13 | 1 << 16;
    patch(&mut others, 1, 0x18, attributes);
    assert_eq!(verify(&others, None), Err(ImageError::NoEntry));
}

#[test]
fn an_image_that_is_too_large() {
    let board = Board::with_card(card(&[("BOOT.BIN", &vec![0; 6 << 20])]));
    // The upper half of 16 MiB, less the last.
    assert!(matches!(board.boot(None).0.unwrap_err(), Failure::Image(_)), "7 MiB fit");
    let room = zelkova_fsbl::boot::staging(&(0..0x2000_0000));
    assert_eq!(room, 0x1000_0000..0x1ff0_0000);
    assert_eq!(Failure::TooLarge { name: "BOOT.BIN", size: 1, room: 0 }.code(), 10);
}

#[test]
fn trainings_that_fail() {
    for (training, write, read) in
        [(Training::WriteLeveling, true, false), (Training::ReadGate, false, true), (Training::DataEye, false, true)]
    {
        let board = Board::with_card(card(&[("BOOT.BIN", &image(PLAIN))]));
        board.ddrc.borrow_mut().break_training(training);
        let failure = board.boot(None).0.unwrap_err();
        assert_eq!(failure, Failure::Memory(memory::Fault::Training { write, read }), "{training:?}");
        assert_eq!(failure.code(), 2);
    }
}

#[test]
fn logic_that_cannot_be_configured() {
    let image = image(Recipe { bitstream: true, ..PLAIN });
    let fails = |failure| {
        let board = Board::with_card(card(&[("BOOT.BIN", &image)]));
        board.devcfg.borrow_mut().fail_next(failure);
        let outcome = board.boot(None).0.unwrap_err();
        // Nothing passes between the two halves of the chip.
        assert_eq!((board.slcr.borrow().register(0x900), board.slcr.borrow().register(0x240) & 0xf), (0xa, 0xf));
        outcome
    };
    let failure = fails(LogicFailure::Read);
    assert_eq!(failure, Failure::Logic(1, pcap::Fault::Interface(1 << 20)));
    assert_eq!(failure.code(), 11);
    assert!(matches!(fails(LogicFailure::Stall), Failure::Logic(1, pcap::Fault::Transfer(_))));
    assert_eq!(fails(LogicFailure::Init), Failure::Logic(1, pcap::Fault::NoInit(true)));
    // Intact as far as the boot loader can tell, but no good bitstream.
    let mut bad = image.clone();
    let (data, _) = places(&bad, 1);
    bad[data + 1000] ^= 1;
    assert_eq!(boots(&bad), Err(Failure::Logic(1, pcap::Fault::NotDone)));
}

#[test]
fn a_machine_without_clocks() {
    struct Dead;
    impl mmio::Registers for Dead {
        fn read(&self, _: usize) -> u32 {
            0
        }
        fn write(&self, _: usize, _: u32) {}
    }
    let board = Board::new();
    let fault = clocks::start(&Dead, &zedboard::BOARD, &board.watch()).unwrap_err();
    assert_eq!(fault, clocks::Fault::NoLock(zynq7000::clocks::Pll::Arm));
    assert_eq!(Failure::from(fault).code(), 1);
    // Pads that are never calibrated, and a controller that never starts.
    let fault = memory::start(&Dead, &Dead, &zedboard::BOARD, &board.watch()).unwrap_err();
    assert_eq!(fault, memory::Fault::Calibration);
    board.prepare().unwrap();
    let fault = memory::start(&board.block(Part::Slcr), &Dead, &zedboard::BOARD, &board.watch()).unwrap_err();
    assert_eq!(fault, memory::Fault::Initialization);
}

#[test]
fn memory_with_a_broken_line_is_found() {
    /// Data line `data` stuck at 0, address line `address` not connected.
    struct Broken {
        words: BTreeMap<u32, u32>,
        data: u32,
        address: u32,
    }
    impl memory::Ram for Broken {
        fn range(&self) -> Range<u32> {
            0..0x2000_0000
        }
        fn load(&self, address: u32) -> u32 {
            self.words.get(&(address & !self.address)).copied().unwrap_or(0) & !self.data
        }
        fn store(&mut self, address: u32, value: u32) {
            self.words.insert(address & !self.address, value);
        }
        fn bytes(&mut self, _: Range<u32>) -> Option<&mut [u8]> {
            None
        }
        fn copy(&mut self, _: Range<u32>, _: u32) -> bool {
            false
        }
    }
    let test = |data, address| memory::test(&mut Broken { words: BTreeMap::new(), data, address });
    assert_eq!(test(0, 0), Ok(()));
    for bit in 0..32 {
        assert!(matches!(test(1 << bit, 0), Err(memory::Fault::Test { .. })), "data line {bit}");
    }
    for bit in 2..29 {
        assert!(matches!(test(0, 1 << bit), Err(memory::Fault::Test { .. })), "address line {bit}");
    }
}

#[test]
fn the_led_tells_codes_apart() {
    use zelkova_fsbl::led::round;
    for code in 1..=12 {
        let flashes = round(code).filter(|(on, _)| *on).count();
        assert_eq!(flashes, usize::from(code));
        let longest_pause = round(code).filter(|(on, _)| !on).map(|(_, time)| time).max().unwrap();
        let flash = round(code).find(|(on, _)| *on).unwrap().1;
        assert!(longest_pause > 4 * flash);
    }
}
