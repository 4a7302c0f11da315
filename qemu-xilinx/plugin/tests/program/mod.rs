//! Programs for the board, written as instruction words, and how they are run.

#![allow(dead_code)] // Each test uses a part.

use std::path::{Path, PathBuf};
use std::time::Duration;

use harness::board::{Board, Devices, Outcome, Plugin, Start, Watch};
use harness::emulator_log::AllowList;
use harness::judge::{Pattern, Rules};
use models::board::Description;

pub(crate) const RAM: u32 = 0x8000;
/// On-chip memory: at an address that the plugin takes for the kernel's window.
pub(crate) const OCM: u32 = 0xFFFC_0000;
pub(crate) const UART1: u32 = 0xE000_1000;

pub(crate) const NOP: u32 = 0xE320_F000;
pub(crate) const BX_LR: u32 = 0xE12F_FF1E;
pub(crate) const BLX_R5: u32 = 0xE12F_FF35;
pub(crate) const LOOP_FOREVER: u32 = 0xEAFF_FFFE;

pub(crate) fn begin(op: u8) -> u32 {
    0xF55F_F100 | u32::from(op)
}

pub(crate) fn end(op: u8) -> u32 {
    0xF55F_F200 | u32::from(op)
}

/// `movw` and `movt`: two instructions.
pub(crate) fn load(register: u32, value: u32) -> [u32; 2] {
    let half = |opcode: u32, half: u32| opcode | (half >> 12) << 16 | register << 12 | half & 0xFFF;
    [half(0xE300_0000, value & 0xFFFF), half(0xE340_0000, value >> 16)]
}

/// `str register, [r4, #offset]`
pub(crate) fn store(register: u32, offset: u32) -> u32 {
    0xE584_0000 | register << 12 | offset
}

/// Switches UART1's transmitter on and sends `text`.
pub(crate) fn print(text: &str) -> Vec<u32> {
    let mut code = Vec::new();
    code.extend(load(4, UART1));
    for value in [0x17, 0x14] {
        code.extend(load(0, value));
        code.push(store(0, 0));
    }
    for byte in text.bytes() {
        code.extend(load(0, u32::from(byte)));
        code.push(store(0, 0x30));
    }
    code
}

/// `loops` times two instructions, and two before.
pub(crate) fn spin(loops: u32) -> Vec<u32> {
    let mut code = load(2, loops).to_vec();
    code.extend([0xE252_2001, 0x1AFF_FFFD]);
    code
}

/// An ELF file that is loaded at `segments`' physical addresses and starts with the first one.
pub(crate) fn elf(segments: &[(u32, &[u32])]) -> Vec<u8> {
    const HEADER: u32 = 52;
    const ENTRY: u32 = 32;
    let half = |value: u16| value.to_le_bytes().to_vec();
    let word = |value: u32| value.to_le_bytes().to_vec();
    let count = segments.len() as u32;
    let mut file = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    // Executable for ARM, version 1.
    file.extend([half(2), half(40), word(1), word(segments[0].0), word(HEADER), word(0), word(0x0500_0000)].concat());
    file.extend([half(52), half(32), half(count as u16), half(0), half(0), half(0)].concat());
    let mut offset = HEADER + count * ENTRY;
    for (address, code) in segments {
        let size = code.len() as u32 * 4;
        for field in [1, offset, *address, *address, size, size, 5, 4] {
            file.extend(word(field));
        }
        offset += size;
    }
    for (_, code) in segments {
        for &instruction in *code {
            file.extend(word(instruction));
        }
    }
    file
}

/// The plugin, as Cargo built it for this test.
pub(crate) fn library() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().unwrap();
    let library = folder.join("libzelkova_plugin.so");
    assert!(library.exists(), "{} is missing", library.display());
    library
}

/// `ldr register, [r4, #offset]`
pub(crate) fn fetch(register: u32, offset: u32) -> u32 {
    0xE594_0000 | register << 12 | offset
}

/// Writes `value` to `address`.
pub(crate) fn poke(address: u32, value: u32) -> Vec<u32> {
    let mut code = load(4, address).to_vec();
    code.extend(load(0, value));
    code.push(store(0, 0));
    code
}

/// Counts in r7 if the word at `address` is not `value`.
pub(crate) fn expect(address: u32, value: u32) -> Vec<u32> {
    let mut code = load(4, address).to_vec();
    code.push(fetch(1, 0));
    code.extend(load(2, value));
    // cmp r1, r2; addne r7, r7, #1
    code.extend([0xE151_0002, 0x1287_7001]);
    code
}

/// Nothing was wrong so far.
pub(crate) fn begin_expecting() -> u32 {
    0xE3A0_7000
}

/// Prints `OK`, or `BK` if something was not as expected.
pub(crate) fn conclude() -> Vec<u32> {
    let mut code = print("");
    // cmp r7, #0; moveq r0, #'O'; movne r0, #'B'
    code.extend([0xE357_0000, 0x03A0_004F, 0x13A0_0042, store(0, 0x30)]);
    code.extend(print("K\n"));
    code.push(LOOP_FOREVER);
    code
}

/// What a run is made of.
pub(crate) struct Setup<'a> {
    pub(crate) segments: &'a [(u32, &'a [u32])],
    pub(crate) icount: Option<&'a str>,
    pub(crate) deadline: u64,
    pub(crate) qemu: &'a Path,
    /// Count instructions.
    pub(crate) counts: bool,
    /// The emulated part of the board.
    pub(crate) devices: Option<Description>,
    /// Where its display can be watched.
    pub(crate) watch: Option<Watch>,
    /// Where it takes commands.
    pub(crate) control: Option<PathBuf>,
}

impl<'a> Setup<'a> {
    pub(crate) fn new(segments: &'a [(u32, &'a [u32])]) -> Self {
        let qemu = Path::new("qemu-system-arm");
        Self { segments, icount: None, deadline: 30, qemu, counts: false, devices: None, watch: None, control: None }
    }

    pub(crate) fn run(&self) -> Outcome {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        std::fs::write(file("program.elf"), elf(self.segments)).unwrap();
        let devices = self.devices.clone().map(|description| Devices {
            description,
            file: file("board.json"),
            report: file("devices.json"),
            screenshot: None,
            control: Some(self.control.clone().unwrap_or_else(|| file("control"))),
            watch: self.watch.clone(),
        });
        let counts = self.counts.then(|| file("report.json"));
        let board = Board {
            qemu: self.qemu.to_owned(),
            start: Start::Program(file("program.elf")),
            card: None,
            plugin: Some(Plugin { library: library(), counts, devices }),
            icount: self.icount.map(str::to_owned),
            debugger: false,
            log: file("log"),
        };
        let rules = Rules {
            success: Pattern::new("^OK$"),
            failure: vec![Pattern::new("^B")],
            expect: Vec::new(),
            deadline: Some(Duration::from_secs(self.deadline)),
        };
        let allow = AllowList::parse(include_str!("../../../harness/allow.toml")).unwrap();
        board.run(rules, &allow, |_| Vec::new(), |_| {}).unwrap()
    }
}

pub(crate) fn run(segments: &[(u32, &[u32])], icount: Option<&str>, deadline: u64) -> Outcome {
    Setup { icount, deadline, counts: true, ..Setup::new(segments) }.run()
}
