//! What a board that starts from its card needs of the machine: where memory shows, and the card's contents.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use models::board::MemoryMap;
use models::sdcard::{BLOCK_SIZE, Media};

use crate::ffi::{Machine, Overlay};

/// On-chip memory: where the machine has it, its quarters.
const OCM: u32 = 0xFFFC_0000;
const QUARTER: u32 = 0x1_0000;
const QUARTERS: [u32; 4] = [0, QUARTER, 2 * QUARTER, 3 * QUARTER];
/// What the snoop control unit may take from the main memory.
const LOWEST: u32 = 0x10_0000;
/// Behind the main memory's window.
const MAIN_END: u32 = 0x4000_0000;

/// Where memory shows in the machine.
pub(crate) struct Places {
    machine: Machine,
    /// The on-chip memory's quarters at their low addresses.
    low: [Overlay; 4],
    /// What hides them at their high addresses.
    high: [Overlay; 4],
    /// What hides the main memory's lowest MiB, and the rest of it.
    lowest: Overlay,
    main: Overlay,
    /// What is shown.
    map: Option<MemoryMap>,
}

impl Places {
    /// All that is needed, laid over the machine.
    ///
    /// # Errors
    /// The machine has no on-chip memory.
    pub(crate) fn new(machine: Machine) -> Result<Self, String> {
        let low = |offset| machine.show_at("zelkova.ocm-low", OCM + offset, offset, QUARTER);
        let [first, second, third, fourth] = QUARTERS.map(low);
        Ok(Self {
            machine,
            low: [first?, second?, third?, fourth?],
            high: QUARTERS.map(|offset| machine.cover("zelkova.no-ocm", OCM + offset, QUARTER)),
            lowest: machine.cover("zelkova.no-lowest", 0, LOWEST),
            main: machine.cover("zelkova.no-memory", LOWEST, MAIN_END - LOWEST),
            map: None,
        })
    }

    /// Shows memory as `map` says.
    pub(crate) fn follow(&mut self, map: MemoryMap) {
        if self.map == Some(map) {
            return;
        }
        self.map = Some(map);
        for ((low, high), is_high) in self.low.iter().zip(&self.high).zip(map.high) {
            self.machine.enable(low, !is_high && !map.lowest);
            self.machine.enable(high, !is_high);
        }
        self.machine.enable(&self.lowest, !map.lowest || !map.answers);
        self.machine.enable(&self.main, !map.answers);
    }

    /// Fills the on-chip memory.
    ///
    /// # Errors
    /// The machine does not take it.
    pub(crate) fn load(&mut self, contents: &[u8]) -> Result<(), String> {
        self.follow(MemoryMap::BOOTED);
        let done = self.machine.transfer(OCM, &mut contents.to_vec(), true);
        if done { Ok(()) } else { Err("this machine's on-chip memory cannot be written".to_owned()) }
    }
}

/// A card's contents in a file.
pub(crate) struct CardFile {
    path: PathBuf,
    file: File,
    blocks: u64,
}

impl CardFile {
    /// # Errors
    /// A message for the user.
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        let wrong = |error: std::io::Error| format!("card={}: {error}", path.display());
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(wrong)?;
        let blocks = file.metadata().map_err(wrong)?.len() / BLOCK_SIZE as u64;
        Ok(Self { path: path.to_owned(), file, blocks })
    }

    /// The board cannot be told, but the user.
    fn check(&self, result: std::io::Result<()>) {
        if let Err(error) = result {
            eprintln!("zelkova-plugin: {}: {error}", self.path.display());
        }
    }
}

impl Media for CardFile {
    fn blocks(&self) -> u64 {
        self.blocks
    }

    fn read(&mut self, block: u64) -> [u8; BLOCK_SIZE] {
        let mut data = [0; BLOCK_SIZE];
        self.check(self.file.read_exact_at(&mut data, block * BLOCK_SIZE as u64));
        data
    }

    fn write(&mut self, block: u64, data: &[u8; BLOCK_SIZE]) {
        self.check(self.file.write_all_at(data, block * BLOCK_SIZE as u64));
    }
}
