//! Programs of known length on the emulated board: the plugin must count exactly, and the harness must judge.
//!
//! The programs are written as instruction words, so that it is certain what is executed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // All of this is a test.

use std::path::PathBuf;
use std::time::Duration;

use harness::board::{Board, Outcome, Plugin};
use harness::emulator_log::AllowList;
use harness::judge::{Pattern, Rules, Verdict};
use harness::measure::{Count, Interval};

const RAM: u32 = 0x8000;
/// On-chip memory: at an address that the plugin takes for the kernel's window.
const OCM: u32 = 0xFFFC_0000;
const UART1: u32 = 0xE000_1000;

const NOP: u32 = 0xE320_F000;
const BX_LR: u32 = 0xE12F_FF1E;
const BLX_R5: u32 = 0xE12F_FF35;
const LOOP_FOREVER: u32 = 0xEAFF_FFFE;

fn begin(op: u8) -> u32 {
    0xF55F_F100 | u32::from(op)
}

fn end(op: u8) -> u32 {
    0xF55F_F200 | u32::from(op)
}

/// `movw` and `movt`: two instructions.
fn load(register: u32, value: u32) -> [u32; 2] {
    let half = |opcode: u32, half: u32| opcode | (half >> 12) << 16 | register << 12 | half & 0xFFF;
    [half(0xE300_0000, value & 0xFFFF), half(0xE340_0000, value >> 16)]
}

/// `str register, [r4, #offset]`
fn store(register: u32, offset: u32) -> u32 {
    0xE584_0000 | register << 12 | offset
}

/// Switches UART1's transmitter on and sends `text`.
fn print(text: &str) -> Vec<u32> {
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
fn spin(loops: u32) -> Vec<u32> {
    let mut code = load(2, loops).to_vec();
    code.extend([0xE252_2001, 0x1AFF_FFFD]);
    code
}

/// An ELF file that is loaded at `segments`' physical addresses and starts with the first one.
fn elf(segments: &[(u32, &[u32])]) -> Vec<u8> {
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
fn library() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().unwrap();
    let library = folder.join("libzelkova_plugin.so");
    assert!(library.exists(), "{} is missing", library.display());
    library
}

fn run(segments: &[(u32, &[u32])], icount: Option<&str>, deadline: u64) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("program.elf");
    std::fs::write(&program, elf(segments)).unwrap();
    let board = Board {
        qemu: "qemu-system-arm".into(),
        program,
        card: None,
        plugin: Some(Plugin { library: library(), report: folder.path().join("report.json") }),
        icount: icount.map(str::to_owned),
        debugger: false,
        log: folder.path().join("log"),
    };
    let rules = Rules {
        success: Pattern::new("^OK$"),
        failure: vec![Pattern::new("^BAD")],
        expect: Vec::new(),
        deadline: Some(Duration::from_secs(deadline)),
    };
    let allow = AllowList::parse(include_str!("../../harness/allow.toml")).unwrap();
    board.run(rules, &allow, |_| Vec::new(), |_| {}).unwrap()
}

fn counted() -> (Vec<u32>, Vec<u32>) {
    let mut main = vec![NOP];
    for length in [10, 30] {
        main.push(begin(7));
        main.extend(vec![NOP; length]);
        main.push(end(7));
    }
    main.push(begin(8));
    main.extend(spin(100_000));
    main.push(end(8));
    main.push(begin(9));
    main.extend(load(5, OCM));
    main.push(BLX_R5);
    main.push(end(9));
    main.extend(print("OK\n"));
    main.push(LOOP_FOREVER);
    (main, vec![NOP, NOP, NOP, BX_LR])
}

#[test]
fn every_instruction_between_marks_is_counted() {
    let (main, kernel) = counted();
    for icount in [None, Some("shift=0,sleep=off")] {
        let outcome = run(&[(RAM, &main), (OCM, &kernel)], icount, 30);
        assert_eq!(outcome.verdict, Verdict::Success, "{outcome:?}");
        let report = outcome.report.unwrap();
        let interval = |op, user, kernel, min, max, first: &[u64]| Interval {
            op,
            times: first.len() as u64,
            sum: Count { user, kernel },
            min,
            median: min,
            max,
            first: first.to_vec(),
        };
        assert_eq!(
            report.intervals,
            [
                interval(7, 40, 0, 10, 30, &[10, 30]),
                interval(8, 200_002, 0, 200_002, 200_002, &[200_002]),
                interval(9, 3, 4, 7, 7, &[7])
            ]
        );
        assert_eq!(report.total.kernel, 4);
        assert!(report.total.user > 200_000);
    }
}

#[test]
fn a_failure_line_ends_the_run() {
    let mut code = print("hello\nBAD\n");
    code.push(LOOP_FOREVER);
    let outcome = run(&[(RAM, &code)], None, 30);
    assert_eq!(outcome.verdict, Verdict::Failure { line: "BAD".into() });
    assert_eq!(outcome.console, ["hello", "BAD"]);
}

#[test]
fn a_board_that_hangs_is_ended_at_the_deadline() {
    let mut code = print("hello\nno end of line");
    code.push(LOOP_FOREVER);
    let outcome = run(&[(RAM, &code)], None, 2);
    assert_eq!(outcome.verdict, Verdict::Deadline { after: Duration::from_secs(2) });
    assert_eq!(outcome.console, ["hello", "no end of line"]);
}

#[test]
fn an_access_that_goes_nowhere_spoils_a_success() {
    // Bank 0 of the GPIO controller, which the machine lacks.
    let mut code = load(4, 0xE000_A000).to_vec();
    code.push(store(0, 0));
    code.extend(print("OK\n"));
    code.push(LOOP_FOREVER);
    let outcome = run(&[(RAM, &code)], None, 30);
    let Verdict::Wrong { problems } = &outcome.verdict else { panic!("{outcome:?}") };
    assert!(problems[0].contains("unexplained in the emulator's log"), "{problems:?}");
    assert_eq!(outcome.unexplained.len(), 1);
}
