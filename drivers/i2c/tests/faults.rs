//! Whatever goes wrong on the bus ends with the right error in time, and the next transaction works.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

mod bench;

use bench::{Board, BoardDriver, DEVICE, Plan, pattern};
use models::i2c::Kind as Fault;
use session::i2c::{Failure, Kind};
use zelkova_i2c::Speed;

/// The longest that a failing transaction may take, in microseconds: two waits for a free bus and a stretched message.
const PATIENCE: u64 = 700_000;

const PLANS: [&Plan; 7] = [
    &[(false, 1)],
    &[(false, 40)],
    &[(true, 1)],
    &[(true, 40)],
    &[(true, 300)],
    &[(false, 2), (true, 20)],
    &[(false, 20), (true, 3)],
];

fn sent(plan: &Plan) -> Vec<u8> {
    plan.iter().filter(|(read, _)| !read).flat_map(|(_, length)| pattern(*length)).collect()
}

fn run(board: &Board, driver: &mut BoardDriver<'_>, plan: &Plan) -> Result<Vec<u8>, Failure> {
    let begun = board.micros();
    let result = board.transact(driver, DEVICE, Speed::Fast, plan, &sent(plan));
    let took = board.micros() - begun;
    assert!(took < PATIENCE, "{plan:?} took {took} us");
    result
}

/// Every byte of every message of every plan: the message, the byte (0 is the address) and whether the device sends it.
fn places() -> impl Iterator<Item = (&'static Plan, usize, usize, bool)> {
    PLANS.into_iter().flat_map(|plan| {
        plan.iter().enumerate().flat_map(move |(message, (read, length))| {
            (0..=*length).map(move |byte| (plan, message, byte, *read && byte > 0))
        })
    })
}

/// Puts a fault on byte `byte` of message `message`.
fn inject(board: &Board, kind: Fault, message: usize, byte: usize) {
    let fault = models::i2c::Fault::new(kind, byte as u32);
    // The byte of that number also exists in the messages before, if they are long enough: count those.
    let fault = fault.occurring(models::i2c::Occurrence::Nth(message as u32 + 1));
    board.controller.borrow_mut().bus_mut().inject(fault).unwrap();
}

/// Whether a fault can be put on that byte alone.
fn is_countable(plan: &Plan, message: usize, byte: usize) -> bool {
    plan.iter().take(message).all(|(_, length)| byte <= *length)
}

#[test]
fn a_missing_acknowledgement_is_told_where_it_is() {
    for (plan, message, byte, _) in places().filter(|(.., sends)| !sends) {
        if !is_countable(plan, message, byte) {
            continue;
        }
        let board = Board::new();
        let mut driver = board.driver();
        inject(&board, Fault::Nack, message, byte);
        let (kind, at) = if byte == 0 { (Kind::NoDevice, 0) } else { (Kind::NoAcknowledge, byte as u16 - 1) };
        let failure = Failure { kind, message: message as u8, byte: at };
        assert_eq!(run(&board, &mut driver, plan), Err(failure), "{plan:?} {message} {byte}");
        assert_eq!(board.recoveries.get(), 0);
        board.check(&mut driver);
        assert_eq!(board.recoveries.get(), 0);
        board.assert_clean();
    }
}

#[test]
fn a_clock_that_is_held_for_ever_is_a_timeout() {
    for (plan, message, byte, _) in places() {
        if !is_countable(plan, message, byte) {
            continue;
        }
        let board = Board::new();
        let mut driver = board.driver();
        inject(&board, Fault::Hang, message, byte);
        let failure = Failure { kind: Kind::Timeout, message: message as u8, byte: byte.saturating_sub(1) as u16 };
        assert_eq!(run(&board, &mut driver, plan), Err(failure), "{plan:?} {message} {byte}");
        // It still holds the clock: nothing can be done, and that is said as well.
        let held = Failure { kind: Kind::Wedged, message: 0, byte: 0 };
        assert_eq!(run(&board, &mut driver, plan), Err(held));
        board.heal();
        board.check(&mut driver);
    }
}

#[test]
fn a_clock_that_is_held_for_a_while_is_none() {
    for (plan, message, byte, _) in places() {
        if !is_countable(plan, message, byte) {
            continue;
        }
        let board = Board::new();
        let mut driver = board.driver();
        inject(&board, Fault::Stretch { ns: 25_000_000 }, message, byte);
        let read: usize = plan.iter().filter(|(read, _)| *read).map(|(_, length)| *length).sum();
        assert_eq!(run(&board, &mut driver, plan), Ok(pattern(read)), "{plan:?} {message} {byte}");
        board.check(&mut driver);
        board.assert_clean();
    }
}

#[test]
fn a_device_that_has_lost_count_is_clocked_free() {
    let mut failed = 0;
    for (plan, message, byte, _) in places() {
        for clocks in [1, 5, 9] {
            if !is_countable(plan, message, byte) {
                continue;
            }
            let board = Board::new();
            let mut driver = board.driver();
            inject(&board, Fault::Wedge { clocks }, message, byte);
            // What becomes of this one depends on what the device's zeros are taken for, but it ends.
            failed += u32::from(run(&board, &mut driver, plan).is_err());
            // A device is told apart from a transaction that it spoils by the one afterwards.
            if board.write(&mut driver, &[0]).is_err() {
                board.pass(1_000_000);
            }
            board.check(&mut driver);
        }
    }
    assert!(failed > 50, "{failed}");
}

#[test]
fn a_bus_that_is_held_before_is_freed_first() {
    for clocks in 1..=9 {
        let board = Board::new();
        let mut driver = board.driver();
        board.controller.borrow_mut().bus_mut().wedge(clocks, board.now.get());
        assert_eq!(board.write(&mut driver, &[1]), Ok(()), "{clocks}");
        assert_eq!(board.recoveries.get(), 1);
        board.check(&mut driver);
    }
    // Without pins there is nothing to free it with.
    let board = Board::new();
    board.has_pins.set(false);
    let mut driver = board.driver();
    board.controller.borrow_mut().bus_mut().wedge(20, board.now.get());
    let held = Failure { kind: Kind::Wedged, message: 0, byte: 0 };
    assert_eq!(run(&board, &mut driver, &[(false, 1)]), Err(held));
    board.heal();
    board.check(&mut driver);
}

#[test]
fn another_master_may_win_sometimes_and_not_always() {
    for (plan, message, byte, sends) in places() {
        // In what it receives a master sends only the last acknowledgement.
        let length = plan[message].1;
        if !is_countable(plan, message, byte) || sends && byte < length {
            continue;
        }
        let board = Board::new();
        let mut driver = board.driver();
        inject(&board, Fault::LoseArbitration, message, byte);
        let result = run(&board, &mut driver, plan);
        // Of a single byte the controller does not say whether it or the address was lost.
        if message == 0 && (!sends || length == 1) {
            let read: usize = plan.iter().filter(|(read, _)| *read).map(|(_, length)| *length).sum();
            assert_eq!(result, Ok(pattern(read)), "{plan:?} {message} {byte}");
        } else {
            let failure = result.unwrap_err();
            assert_eq!(
                (failure.kind, failure.message),
                (Kind::ArbitrationLost, message as u8),
                "{plan:?} {message} {byte}"
            );
            assert_eq!(failure.byte, byte.saturating_sub(1) as u16);
        }
        board.pass(5_000_000);
        board.check(&mut driver);
        board.assert_clean();
    }
    let board = Board::new();
    let mut driver = board.driver();
    let always = models::i2c::Fault::new(Fault::LoseArbitration, 0).occurring(models::i2c::Occurrence::Always);
    board.controller.borrow_mut().bus_mut().inject(always).unwrap();
    let failure = Failure { kind: Kind::ArbitrationLost, message: 0, byte: 0 };
    assert_eq!(run(&board, &mut driver, &[(false, 3)]), Err(failure));
    board.heal();
    board.pass(5_000_000);
    board.check(&mut driver);
}
