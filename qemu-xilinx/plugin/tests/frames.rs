//! A program that shows a picture, stores to it and loads from it, in user land and where the kernel is: every byte must be counted, at its physical address.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // All of this is a test.

use harness::judge::Verdict;
use models::board::{Description, Pattern};
use models::frames::{Report, Span};

mod program;

use program::*;

const VDMA: u32 = 0x4300_0000;
/// Of the first and second of three frame stores.
const PICTURE: u32 = 0x100_0000;
const SECOND: u32 = 0x180_0000;
const LINE: u32 = 640 * 4;
const LINES: u32 = 480;
const BYTES: u32 = LINE * LINES;
/// `strd r0, [r4]`, `ldrb r1, [r4]`, `ldm r4, {r0-r3}`
const STORE_8: u32 = 0xE1C4_00F0;
const LOAD_1: u32 = 0xE5D4_1000;
const LOAD_16: u32 = 0xE894_000F;

/// Sets the read channel running, parked on the first frame store.
fn show() -> Vec<u32> {
    let mut code = poke(VDMA, 1);
    for (number, address) in [PICTURE, SECOND, SECOND].into_iter().enumerate() {
        code.extend(poke(VDMA + 0x5C + 4 * number as u32, address));
    }
    for (offset, value) in [(0x58, LINE), (0x54, LINE), (0x50, LINES)] {
        code.extend(poke(VDMA + offset, value));
    }
    code
}

/// Executes `instruction` with `address` in r4.
fn at(address: u32, instruction: u32) -> Vec<u32> {
    [load(4, address).as_slice(), &[instruction]].concat()
}

/// Lets the kernel store a word at `address`.
fn clear(address: u32) -> Vec<u32> {
    [load(4, address), load(5, OCM)].concat().into_iter().chain([BLX_R5]).collect()
}

fn run(main: &[u32]) -> Report {
    let kernel = [store(0, 0), fetch(1, 0), BX_LR];
    let video = r#"{ "bitstream": { "video": { "display": { "width": 640, "height": 480, "format": "xrgb8888" } } } }"#;
    let pattern = |text: &str| Some(Pattern::new(text));
    let description = Description {
        preset: vec![],
        frames: vec![Span::default(), Span { from: pattern("go"), to: pattern("stop") }],
        until: pattern("^OK$"),
        ..serde_json::from_str(video).unwrap()
    };
    let mut reports = Vec::new();
    for counts in [false, true] {
        let segments: [(u32, &[u32]); 2] = [(RAM, main), (OCM, &kernel)];
        let icount = Some("shift=0,sleep=off");
        let outcome = Setup { devices: Some(description.clone()), icount, counts, ..Setup::new(&segments) }.run();
        assert_eq!(outcome.verdict, Verdict::Success, "{outcome:?}");
        reports.push(outcome.devices.unwrap().frames.unwrap());
    }
    assert_eq!(reports[0], reports[1], "instructions are counted or not, it is the same run");
    reports.swap_remove(0)
}

#[test]
fn each_byte_that_a_program_moves_is_counted() {
    let mut code = at(PICTURE, STORE_8);
    code.extend(show());
    code.extend(at(PICTURE, store(0, 0)));
    code.extend(at(PICTURE - 4, STORE_8));
    code.extend(at(PICTURE - 8, STORE_8));
    code.extend(print("go\n"));
    code.extend(at(SECOND + BYTES - 1, LOAD_1));
    code.extend(at(SECOND + BYTES, LOAD_1));
    code.extend(at(PICTURE + 64, LOAD_16));
    code.extend(print("stop\n"));
    code.extend(at(PICTURE, LOAD_1));
    code.extend(spin(20_000_000));
    code.extend(print("OK\n"));
    code.push(LOOP_FOREVER);
    let report = run(&code);
    let counts: Vec<_> = report.spans.iter().map(|counts| (counts.loads, counts.stores)).collect();
    assert_eq!(counts, [(18, 8), (17, 0)]);
    assert!(report.spans[0].shown >= 2, "{report:?}");
    assert_eq!((report.kernel_stores, report.late, report.given_back), (0, 0, 0));
    let read: Vec<_> = report.log.iter().map(|frame| (frame.address, frame.last.is_some())).collect();
    assert_eq!(read, [(PICTURE, true), (SECOND, false)]);
}

#[test]
fn memory_that_the_kernel_clears_under_the_engine_is_told_from_memory_that_it_clears_behind_it() {
    let mut code = show();
    // Let it be in the middle of a frame.
    code.extend(spin(20_000_000));
    code.extend(clear(PICTURE));
    code.extend(spin(10_000_000));
    code.extend(poke(VDMA, 4));
    code.extend(spin(1_000_000));
    code.extend(clear(SECOND));
    code.extend(at(SECOND, store(0, 0)));
    code.extend(print("OK\n"));
    code.push(LOOP_FOREVER);
    let report = run(&code);
    assert_eq!((report.kernel_stores, report.given_back), (4, 2));
    assert!(report.late >= u64::from(LINE) && report.late.is_multiple_of(u64::from(LINE)), "{report:?}");
    assert_eq!((report.spans[0].loads, report.spans[0].stores), (0, 0));
    let late: Vec<_> = report.log.iter().map(|frame| (frame.address, frame.late)).collect();
    assert_eq!(late, [(PICTURE, report.late), (SECOND, 0)]);
}
