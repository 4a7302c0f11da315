//! Programs of known length on the emulated board: the plugin must count exactly, and the harness must judge.
//!
//! The programs are written as instruction words, so that it is certain what is executed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // All of this is a test.

use std::time::Duration;

use harness::judge::Verdict;
use harness::measure::{Count, Interval};

mod program;

use program::*;

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
