//! Transactions of every length and kind against the model of the controller.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

mod bench;

use bench::{Board, DEVICE, TEN, pattern};
use proptest::prelude::*;
use session::i2c::{Address, Failure, Kind};
use zelkova_i2c::Speed;

/// What was on the bus: for each transaction its messages, as direction, address and data. Each was acknowledged as it must be and ended with STOP.
fn seen(board: &Board) -> Vec<Vec<(bool, Vec<u8>)>> {
    let mut all = vec![];
    for transaction in board.seen() {
        assert!(transaction.ended.is_some(), "{transaction}");
        let mut messages = vec![];
        for message in &transaction.messages {
            let read = message.bytes[0].value & 1 == 1;
            for (index, byte) in message.bytes.iter().enumerate() {
                let last = read && index > 0 && index + 1 == message.bytes.len();
                assert_eq!(byte.ack, !last, "{transaction}");
            }
            messages.push((read, message.data()));
        }
        all.push(messages);
    }
    all
}

#[test]
fn every_length_in_both_directions() {
    for (speed, step) in [(Speed::Fast, 1), (Speed::Standard, 61)] {
        let board = Board::new();
        let mut driver = board.driver();
        for length in (0..=1024).step_by(step) {
            let sent = pattern(length);
            board.transact(&mut driver, DEVICE, speed, &[(false, length)], &sent).unwrap();
            assert_eq!(board.received(), sent);
            board.pass(1_000_000);
            assert_eq!(seen(&board), [vec![(false, sent.clone())]], "{length}");
            if length == 0 {
                continue;
            }
            let received = board.transact(&mut driver, DEVICE, speed, &[(true, length)], &[]).unwrap();
            assert_eq!(received, sent);
            board.pass(1_000_000);
            assert_eq!(seen(&board), [vec![(true, sent)]], "{length}");
        }
        assert_eq!(board.recoveries.get(), 0);
        board.assert_clean();
    }
}

#[test]
fn every_length_behind_a_repeated_start() {
    let board = Board::new();
    let mut driver = board.driver();
    for length in 1..=1024 {
        let sent = [1, 2, 16, 17, 40][length % 5];
        let plan = [(false, sent), (true, length)];
        let received = board.transact(&mut driver, DEVICE, Speed::Fast, &plan, &pattern(sent)).unwrap();
        assert_eq!(received, pattern(length));
        assert_eq!(board.received(), pattern(sent));
        board.pass(1_000_000);
        // One transaction: there was no STOP in between.
        assert_eq!(seen(&board), [vec![(false, pattern(sent)), (true, pattern(length))]], "{sent} {length}");
    }
    board.assert_clean();
}

#[test]
fn addresses_of_ten_bits() {
    let board = Board::new();
    let mut driver = board.driver();
    for length in [1, 15, 16, 17, 40, 300] {
        let sent = pattern(length);
        board.transact(&mut driver, TEN, Speed::Standard, &[(false, length)], &sent).unwrap();
        assert_eq!(board.received(), sent);
        assert_eq!(board.transact(&mut driver, TEN, Speed::Standard, &[(true, length)], &[]), Ok(sent.clone()));
        let plan = [(false, 2), (true, length)];
        assert_eq!(board.transact(&mut driver, TEN, Speed::Standard, &plan, &[5, 6]), Ok(sent));
        assert_eq!(board.received(), [5, 6]);
    }
    let nobody = board.transact(&mut driver, Address::Ten(0x2a4), Speed::Standard, &[(false, 1)], &[0]);
    assert_eq!(nobody, Err(Failure { kind: Kind::NoDevice, message: 0, byte: 0 }));
    board.check(&mut driver);
    board.assert_clean();
}

#[test]
fn what_the_controller_cannot_do_is_refused_before_anything_is_sent() {
    let board = Board::new();
    let mut driver = board.driver();
    for (plan, message) in [
        (&[(true, 1), (false, 1)][..], 1),
        (&[(true, 1), (true, 1)], 1),
        (&[(false, 1), (false, 1)], 1),
        (&[(false, 1), (true, 1), (false, 1)], 2),
        (&[(true, 0)], 0),
        (&[(false, 3), (true, 0)], 1),
        (&[], 0),
    ] {
        let failure = Failure { kind: Kind::Unsupported, message, byte: 0 };
        assert_eq!(board.transact(&mut driver, DEVICE, Speed::Fast, plan, &[0; 9]), Err(failure), "{plan:?}");
    }
    assert_eq!(seen(&board), Vec::<Vec<_>>::new());
    board.check(&mut driver);
}

#[test]
fn an_empty_message_asks_whether_a_device_is_there() {
    let board = Board::new();
    let mut driver = board.driver();
    let mut present = vec![];
    for address in 0x08..0x78 {
        match board.transact(&mut driver, Address::Seven(address), Speed::Standard, &[(false, 0)], &[]) {
            Ok(_) => present.push(address),
            Err(Failure { kind: Kind::NoDevice, message: 0, byte: 0 }) => {}
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(present, [0x42]);
    board.check(&mut driver);
    board.assert_clean();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// However slow registers and interrupts are, and however much the device stretches the clock.
    #[test]
    fn any_timing(
        cost in 10..2_000_u64,
        latency in 0..3_000_000_u64,
        stretch in 0..40_000_u64,
        fast in any::<bool>(),
        transactions in prop::collection::vec((0..600_usize, 0..600_usize), 1..6),
    ) {
        let board = Board::new();
        board.cost.set(cost);
        board.latency.set(latency);
        let value = models::i2c::Value::Integer(i64::try_from(stretch / 1_000).unwrap());
        board.controller.borrow_mut().bus_mut().set(bench::LABEL, "stretch-us", &value, 0).unwrap();
        let mut driver = board.driver();
        let speed = if fast { Speed::Fast } else { Speed::Standard };
        for (written, read) in transactions {
            let plan: Vec<_> = [(false, written), (true, read)].into_iter().filter(|(read, length)| *length > 0 || !read).collect();
            let received = board.transact(&mut driver, DEVICE, speed, &plan, &pattern(written)).unwrap();
            prop_assert_eq!(received, pattern(read));
            prop_assert_eq!(board.received(), pattern(written));
            board.pass(1_000_000);
            prop_assert_eq!(board.seen().len(), 1);
        }
        board.assert_clean();
    }
}
