//! A board that starts from its card: where memory is, what the boot ROM leaves, what can go wrong.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // All of this is a test.

use zelkova_models::Width;
use zelkova_models::bitstream;
use zelkova_models::board::description::{BitstreamName, Start};
use zelkova_models::board::{Bitstream, Board, Description, MemoryMap, Pattern};
use zelkova_models::memory::{NoMemory, Ram};
use zelkova_models::sdcard::SparseMedia;

fn board() -> Board {
    Board::new(&Description { start: Start::Card, ..Description::default() }).unwrap()
}

fn write(board: &mut Board, region: &str, offset: u32, value: u32, now: u64) {
    let region = board.region(region).unwrap();
    board.write(region, offset, Width::Word, value, now);
}

fn read(board: &mut Board, region: &str, offset: u32) -> u32 {
    let region = board.region(region).unwrap();
    board.read(region, offset, Width::Word, 0)
}

#[test]
fn a_board_that_starts_behind_the_boot_loader_has_all_memory() {
    let board = Board::new(&Description::default()).unwrap();
    assert_eq!(board.memory_map(), MemoryMap::BOOTED);
    for region in ["sd0", "ddrc", "devcfg", "scu"] {
        assert_eq!(board.region(region), None, "the emulator's own, or none");
    }
}

#[test]
fn memory_comes_as_software_asks_for_it() {
    let mut board = board();
    let nothing = MemoryMap { high: [false; 4], lowest: false, answers: false };
    assert_eq!(board.memory_map(), nothing);
    // The SLCR is locked.
    write(&mut board, "slcr", 0x910, 0xF, 0);
    assert_eq!(board.memory_map(), nothing);
    write(&mut board, "slcr", 0x008, 0xDF0D, 0);
    write(&mut board, "slcr", 0x910, 0x1A, 0);
    assert_eq!(board.memory_map().high, [false, true, false, true]);
    write(&mut board, "slcr", 0x910, 0x1F, 0);
    write(&mut board, "scu", 0x40, 0, 0);
    assert_eq!(board.memory_map(), MemoryMap { answers: false, ..MemoryMap::BOOTED });
    // The controller with its reset values, but out of reset, and no training.
    write(&mut board, "ddrc", 0x000, 0x81, 0);
    assert!(!board.memory_map().answers, "it takes its time");
    let at = board.next_event().unwrap();
    board.advance(at, &mut NoMemory);
    board.advance(at + 100_000_000, &mut NoMemory);
    assert_eq!(board.memory_map(), MemoryMap::BOOTED);
    board.reset(at + 100_000_000);
    assert_eq!(board.memory_map(), nothing);
}

#[test]
fn the_boot_rom_says_why_it_stops() {
    let mut board = board();
    assert_eq!(board.boot_rom(0), None);
    let said = "boot ROM: there is no card in the slot (REBOOT_STATUS 0x200a)";
    assert_eq!(board.stopped(), Some(said));
    assert_eq!(board.report(0).stopped.as_deref(), Some(said));
    assert_eq!(read(&mut board, "slcr", 0x258) & 0xFFFF, 0x200A);
    board.insert(Box::new(SparseMedia::new(1 << 16))).unwrap();
    assert_eq!(board.boot_rom(0), None);
    assert!(board.stopped().unwrap().contains("no partition table"));
    // After a power-on reset the status is new.
    board.reset(0);
    assert_eq!(read(&mut board, "slcr", 0x258) & 0xFFFF, 0);
}

#[test]
fn cards_can_be_pulled_out_and_put_back() {
    let mut board = board();
    board.insert(Box::new(SparseMedia::new(1 << 16))).unwrap();
    let present = |board: &mut Board| read(board, "sd0", 0x24) >> 16 & 1;
    assert_eq!(present(&mut board), 1);
    for (command, expected) in [("card remove", 0), ("card remove", 0), ("card insert", 1), ("card insert", 1)] {
        board.command(&command.parse().unwrap(), 10).unwrap();
        assert_eq!(present(&mut board), expected, "{command}");
    }
    // It stays through a reset, and none has a size that no card has.
    board.reset(20);
    assert_eq!(present(&mut board), 1);
    assert!(board.insert(Box::new(SparseMedia::new(1))).is_err());
}

#[test]
fn commands_for_a_board_that_starts_from_its_card_are_refused_by_others() {
    let mut other = Board::new(&Description::default()).unwrap();
    let mut board = board();
    for command in ["card remove", "ddr break read-gate", "pcap fail stall"] {
        let command = command.parse().unwrap();
        let refusal = other.command(&command, 0).unwrap_err().to_string();
        assert!(refusal.contains("one that starts from its card has"), "{refusal}");
        board.command(&command, 0).unwrap();
    }
    assert!(!other.is_off());
    other.command(&"off".parse().unwrap(), 0).unwrap();
    assert!(other.is_off());
}

#[test]
fn using_memory_that_is_not_there_is_complained_about() {
    let mut board = board();
    board.nothing_at(0x0010_0000, "write");
    assert_eq!(board.complaints(), ["memory: a write at 0x00100000, where there is none now"]);
}

#[test]
fn what_is_in_the_logic_is_there_once_that_is_configured() {
    let bitstream = Bitstream::Named(BitstreamName::Axi);
    let mut board = Board::new(&Description { start: Start::Card, bitstream, ..Description::default() }).unwrap();
    board.command(&"pin SW0 = high".parse().unwrap(), 0).unwrap();
    let switches = "axi-gpio@41210000";
    assert_eq!(read(&mut board, switches, 0), 0);
    assert_eq!(board.complaints(), [format!("{switches}: a read at 0x000 while the PL is not configured")]);
    let words = bitstream::minimal(bitstream::IDCODE_7Z020, 100);
    let memory = Ram::new(0, words.len() as u32 * 4);
    memory.load(0, &words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>()).unwrap();
    // PROG_B low and high again, then the bitstream.
    for (now, value) in [(0, 0x4C00_607F), (1, 0x0C00_607F), (100_000, 0x4C00_607F)] {
        board.advance(now, &mut &memory);
        write(&mut board, "devcfg", 0x00, value, now);
    }
    board.advance(1_000_000, &mut &memory);
    write(&mut board, "devcfg", 0x80, 0, 1_000_000);
    for (offset, value) in [(0x18, 1), (0x1C, u32::MAX), (0x20, words.len() as u32), (0x24, 0)] {
        write(&mut board, "devcfg", offset, value, 1_000_000);
    }
    board.advance(10_000_000, &mut &memory);
    assert_eq!(read(&mut board, switches, 0), 1);
    assert!(board.complaints().is_empty());
}

#[test]
fn histories_can_begin_at_a_line() {
    let since = Some(Pattern::new("^starting"));
    let mut board = Board::new(&Description { since, ..Description::default() }).unwrap();
    let mut press = |line: &str, at: u64| {
        for level in ["high", "low"] {
            board.command(&format!("pin PB1 = {level}").parse().unwrap(), at).unwrap();
        }
        line.bytes().for_each(|byte| board.console(byte, at));
        board.report(at).nets["PB1"].clone()
    };
    assert_eq!(press("hello\n", 10).count, 2);
    assert_eq!(press("starting\n", 20).count, 0);
    let history = press("hello\n", 30);
    assert_eq!((history.count, history.edges[0].time), (2, 30));
}
