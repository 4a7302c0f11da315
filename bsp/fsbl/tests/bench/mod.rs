//! A board in simulated time: the models of all that the boot loader touches, and a card.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

use bootgen::bif::{Input, KeyFiles, Kind, Spec};
use bootgen::build::{Image, Options as BuildOptions};
use bootgen::output::Format;
use mmio::Registers;
use models::bitstream::{self, IDCODE_7Z020, minimal};
use models::ddrc::Ddrc;
use models::devcfg::Devcfg;
use models::memory::Ram as Cells;
use models::sdcard::{BLOCK_SIZE, Card as ModelCard, Features, Media};
use models::sdhci::{Options as SdOptions, Sdhci};
use models::slcr::{Clock, Options as SlcrOptions, Slcr};
use models::{BusError, Device, Memory, Width};
use zedboard::BOARD;
use zelkova_fsbl::boot::{self, Devices};
use zelkova_fsbl::card::{Buffer, Card, CardError, WINDOW_WORDS};
use zelkova_fsbl::memory::Ram;
use zelkova_fsbl::signature::Digest;
use zelkova_fsbl::time::Time;
use zelkova_fsbl::{Failure, clocks, memory};

/// Bytes of the main memory: less than the board's, so that tests are quick.
pub const RAM: u32 = 16 << 20;
/// Where the buffers of the SD controller are.
const OCM: u32 = 0xffff_0000;
/// What an access to a register takes, in ns.
const ACCESS: u64 = 100;

/// The main memory as a DMA engine sees it: as it was after the last copy.
type Shadow = Rc<RefCell<Vec<u8>>>;

pub struct Board {
    pub slcr: RefCell<Slcr>,
    pub ddrc: RefCell<Ddrc>,
    pub devcfg: RefCell<Devcfg>,
    pub sd: RefCell<Sdhci>,
    ocm: Cells,
    ram: Shadow,
    /// In nanoseconds.
    pub now: Cell<u64>,
    /// When the card is taken out.
    pub remove_at: Cell<Option<u64>>,
}

#[derive(Clone, Copy, Debug)]
pub enum Part {
    Slcr,
    Ddrc,
    Devcfg,
    Sd,
}

/// A block of registers of the board.
#[derive(Clone, Copy)]
pub struct Block<'b> {
    board: &'b Board,
    part: Part,
}

impl Registers for Block<'_> {
    fn read(&self, offset: usize) -> u32 {
        self.board.pass();
        self.board.with(self.part, |device, now| device.read(offset as u32, Width::Word, now))
    }

    fn write(&self, offset: usize, value: u32) {
        self.board.pass();
        self.board.with(self.part, |device, now| device.write(offset as u32, Width::Word, value, now));
    }
}

/// The board's time, which passes when somebody looks.
#[derive(Clone, Copy)]
pub struct Watch<'b>(&'b Board);

impl Time for Watch<'_> {
    fn micros(&self) -> u64 {
        self.0.pass();
        self.0.now.get() / 1000
    }
}

struct Bus<'b>(&'b Board);

impl Memory for Bus<'_> {
    fn read(&mut self, address: u32, data: &mut [u8]) -> Result<(), BusError> {
        if address >= OCM {
            return (&self.0.ocm).read(address, data);
        }
        let ram = self.0.ram.borrow();
        let bytes = ram.get(address as usize..address as usize + data.len()).ok_or(BusError { address })?;
        data.copy_from_slice(bytes);
        Ok(())
    }

    fn write(&mut self, address: u32, data: &[u8]) -> Result<(), BusError> {
        (&self.0.ocm).write(address, data)
    }
}

impl Board {
    pub fn new() -> Self {
        Self {
            slcr: RefCell::new(Slcr::new(SlcrOptions::ZEDBOARD)),
            ddrc: RefCell::new(Ddrc::new()),
            devcfg: RefCell::new(Devcfg::new(SlcrOptions::ZEDBOARD.idcode)),
            sd: RefCell::new(Sdhci::new(SdOptions { base_clock: BOARD.clocks.sd, ..SdOptions::ZYNQ7000 })),
            ocm: Cells::new(OCM, 0x1_0000),
            ram: Rc::default(),
            now: Cell::new(1_000),
            remove_at: Cell::new(None),
        }
    }

    pub fn with_card(image: Vec<u8>) -> Self {
        let board = Self::new();
        let card = ModelCard::new(Features::SDHC, Box::new(Bytes(image))).unwrap();
        board.sd.borrow_mut().insert(card, true);
        board
    }

    pub fn block(&self, part: Part) -> Block<'_> {
        Block { board: self, part }
    }

    pub fn watch(&self) -> Watch<'_> {
        Watch(self)
    }

    fn with<R>(&self, part: Part, access: impl FnOnce(&mut dyn Device, u64) -> R) -> R {
        let now = self.now.get();
        match part {
            Part::Slcr => access(&mut *self.slcr.borrow_mut(), now),
            Part::Ddrc => {
                let clock = self.slcr.borrow().frequency(Clock::Ddr3x);
                let mut ddrc = self.ddrc.borrow_mut();
                ddrc.set_clock(clock);
                access(&mut *ddrc, now)
            }
            Part::Devcfg => access(&mut *self.devcfg.borrow_mut(), now),
            Part::Sd => access(&mut *self.sd.borrow_mut(), now),
        }
    }

    /// Lets a moment pass.
    fn pass(&self) {
        let now = self.now.get() + ACCESS;
        self.now.set(now);
        if self.remove_at.get().is_some_and(|at| at <= now) {
            self.remove_at.set(None);
            self.sd.borrow_mut().remove(now);
        }
        self.sd.borrow_mut().advance(now, &mut Bus(self));
        self.devcfg.borrow_mut().advance(now, &mut Bus(self));
    }

    /// All that the boot loader does before it loads.
    pub fn prepare(&self) -> Result<Main<'_>, Failure> {
        clocks::start(&self.block(Part::Slcr), &BOARD, &self.watch())?;
        memory::start(&self.block(Part::Slcr), &self.block(Part::Ddrc), &BOARD, &self.watch())?;
        let mut ram = Main { board: self, bytes: vec![0x5a; RAM as usize] };
        memory::test(&mut ram)?;
        Ok(ram)
    }

    /// Everything up to the jump: where it goes to, what the memory holds, and what was said.
    pub fn boot(&self, anchor: Option<&Digest>) -> (Result<(u32, Vec<u8>), Failure>, String) {
        let mut log = String::new();
        let outcome = self.boot_with(anchor, &mut log);
        (outcome, log)
    }

    fn boot_with(&self, anchor: Option<&Digest>, log: &mut String) -> Result<(u32, Vec<u8>), Failure> {
        let mut ram = self.prepare()?;
        let entry = self.load(&mut ram, anchor, log)?;
        Ok((entry, ram.bytes))
    }

    /// What the boot loader does once the memory works.
    pub fn load(&self, ram: &mut Main<'_>, anchor: Option<&Digest>, log: &mut String) -> Result<u32, Failure> {
        let cells = self.ocm.cells();
        let (blocks, rest) = cells.split_at(WINDOW_WORDS);
        let table = sd::DescriptorTable::new(&rest[..4], OCM + 4 * WINDOW_WORDS as u32);
        let driver = sd::Driver::new(self.block(Part::Sd), table, BOARD.clocks.sd);
        let card = Card::start(driver, Buffer::new(blocks, OCM), self.watch()).map_err(|error| match error {
            CardError::NoCard => Failure::NoCard,
            other => Failure::Card(other),
        })?;
        let devices = Devices { slcr: &self.block(Part::Slcr), devcfg: &self.block(Part::Devcfg) };
        boot::load(&card, &devices, ram, anchor, &self.watch(), log)
    }

    /// Software did nothing that a model complains about.
    pub fn assert_clean(&self) {
        for part in [Part::Slcr, Part::Ddrc, Part::Devcfg, Part::Sd] {
            let complaints = self.with(part, |device, _| device.complaints());
            assert!(complaints.is_empty(), "{part:?}: {complaints:#?}");
        }
    }
}

/// The main memory as the boot loader sees it.
pub struct Main<'b> {
    board: &'b Board,
    bytes: Vec<u8>,
}

impl Main<'_> {
    fn assert_answers(&self) {
        assert!(self.board.ddrc.borrow().answers(), "the memory is used before it answers");
    }
}

impl Ram for Main<'_> {
    fn range(&self) -> Range<u32> {
        0..RAM
    }

    fn load(&self, address: u32) -> u32 {
        self.assert_answers();
        u32::from_le_bytes(self.bytes[address as usize..][..4].try_into().unwrap())
    }

    fn store(&mut self, address: u32, value: u32) {
        self.assert_answers();
        self.bytes[address as usize..][..4].copy_from_slice(&value.to_le_bytes());
    }

    fn bytes(&mut self, range: Range<u32>) -> Option<&mut [u8]> {
        self.assert_answers();
        self.bytes.get_mut(range.start as usize..range.end as usize)
    }

    fn copy(&mut self, from: Range<u32>, to: u32) -> bool {
        self.assert_answers();
        let length = (from.end - from.start) as usize;
        if from.end > RAM || to as usize + length > RAM as usize {
            return false;
        }
        self.bytes.copy_within(from.start as usize..from.end as usize, to as usize);
        self.board.ram.borrow_mut().clone_from(&self.bytes);
        true
    }
}

/// A card's contents.
pub struct Bytes(pub Vec<u8>);

impl Media for Bytes {
    fn blocks(&self) -> u64 {
        (self.0.len() / BLOCK_SIZE) as u64
    }

    fn read(&mut self, block: u64) -> [u8; BLOCK_SIZE] {
        self.0[block as usize * BLOCK_SIZE..][..BLOCK_SIZE].try_into().unwrap()
    }

    fn write(&mut self, _: u64, _: &[u8; BLOCK_SIZE]) {
        panic!("the boot loader does not write");
    }
}

/// A card with a FAT16 in its first partition, made by `mkfs.fat` and mtools, and these files.
pub fn card(files: &[(&str, &[u8])]) -> Vec<u8> {
    const FIRST: u32 = 2048;
    const BLOCKS: u32 = (8 << 20) / 512 - FIRST;
    let folder = tempfile::tempdir().unwrap();
    let volume = folder.path().join("volume");
    std::fs::File::create(&volume).unwrap().set_len(u64::from(BLOCKS) * 512).unwrap();
    let run = |command: &mut Command| {
        let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    run(Command::new("mkfs.fat").args(["-F", "16", "-s", "1"]).arg(&volume));
    for (name, contents) in files {
        let file = folder.path().join("file");
        std::fs::write(&file, contents).unwrap();
        run(Command::new("mcopy").arg("-i").arg(&volume).arg(&file).arg(format!("::{name}")));
    }
    let mut bytes = vec![0; FIRST as usize * 512];
    bytes[450] = 6;
    bytes[454..458].copy_from_slice(&FIRST.to_le_bytes());
    bytes[458..462].copy_from_slice(&BLOCKS.to_le_bytes());
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    bytes.extend(std::fs::read(volume).unwrap());
    bytes
}

/// Where the program of the images goes, in two pieces, and where it is entered.
pub const PIECES: [(u32, u32); 2] = [(0, 20_001), (0x40_0000, 3_000)];
pub const ENTRY: u32 = 0x40_0010;

/// The bytes of a piece.
pub fn contents(length: u32) -> Vec<u8> {
    (0..length).map(|byte| (byte.wrapping_mul(0x9e37_79b1) >> 24) as u8).collect()
}

/// What an image is made of.
#[derive(Clone, Copy, Debug, Default)]
pub struct Recipe {
    pub md5: bool,
    pub signed: bool,
    pub bitstream: bool,
}

fn keys() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bootgen/tests/keys")
}

/// A boot image: a boot loader of some bytes, maybe a bitstream, the program.
pub fn image(recipe: Recipe) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let loader = file("fsbl.elf", &elf(0, &[(0, contents(5000))]));
    let words = minimal(IDCODE_7Z020, 2000);
    let bitstream = recipe.bitstream.then(|| file("top.bit", &bitstream::file("7z020clg484", &words)));
    let pieces = PIECES.map(|(address, length)| (address, contents(length)));
    let program = file("program.elf", &elf(ENTRY, &pieces));
    let input = |path: &Path, kind| Input {
        path: path.to_owned(),
        kind,
        md5: recipe.md5 && kind != Kind::Bootloader,
        authenticate: recipe.signed,
        ..Input::default()
    };
    let mut inputs = vec![input(&loader, Kind::Bootloader)];
    inputs.extend(bitstream.as_deref().map(|path| input(path, Kind::Data)));
    inputs.push(input(&program, Kind::Data));
    let keys = if recipe.signed {
        KeyFiles {
            primary_secret: Some(keys().join("primary.pem")),
            secondary_secret: Some(keys().join("secondary.pem")),
            ..KeyFiles::default()
        }
    } else {
        KeyFiles::default()
    };
    let spec = Spec { name: "test".to_owned(), keys, inputs, ..Spec::default() };
    let options = BuildOptions::default();
    let path = folder.path().join("BOOT.BIN");
    let mut sink = Format::Bin { fill: options.fill }.create(&path).unwrap();
    Image::plan(&spec, &options).unwrap().write(sink.as_mut(), &mut |_| ()).unwrap();
    drop(sink);
    std::fs::read(path).unwrap()
}

/// An executable for ARM.
fn elf(entry: u32, segments: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = b"\x7fELF\x01\x01\x01".to_vec();
    bytes.resize(16, 0);
    let word = |bytes: &mut Vec<u8>, value: u32| bytes.extend(value.to_le_bytes());
    bytes.extend([2, 0, 40, 0]);
    for value in [1, entry, 52, 0, 0x0500_0000, 0x0020_0034, 0x0028_0000 | segments.len() as u32, 0] {
        word(&mut bytes, value);
    }
    let mut offset = 52 + 32 * segments.len() as u32;
    for (address, data) in segments {
        for value in [1, offset, *address, *address, data.len() as u32, data.len() as u32, 5, 4] {
            word(&mut bytes, value);
        }
        offset += data.len() as u32;
    }
    for (_, data) in segments {
        bytes.extend(data);
    }
    bytes
}
