//! The state machine and both controllers against the models.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

mod bench;

use bench::{AXI_WIDTHS, Board, FIRST, Meddling, WIDTHS, axi_board, claim, places, ps_board};
use fastrand::Rng;
use models::{Device, Drive};
use proptest::prelude::*;
use session::Error;
use session::gpio::{Pin, Trigger};
use zelkova_gpio::{Controller, Group, Pins};

const KINDS: [Trigger; 5] = [Trigger::Rising, Trigger::Falling, Trigger::Both, Trigger::High, Trigger::Low];
const ONE: Pin = Pin::new(0).unwrap();

fn pin(number: u32) -> Pin {
    Pin::new(number).unwrap()
}

/// Takes the events of a group's first pin, and checks that a signal was due exactly if there are any.
fn take<C: Controller>(pins: &mut Pins<C>, group: &Group) -> u32 {
    let raised = pins.raised();
    let events = pins.take(group, ONE).unwrap();
    assert_eq!(group.touches(&raised), events.count > 0);
    events.count
}

/// One pin with one kind of trigger, through all that can happen to it.
fn check_kind<D: Device, C: Controller>(board: &Board<D>, pins: &mut Pins<C>, number: u32, signal: u32, kind: Trigger) {
    let group = claim(pins, [number]);
    board.sense(signal, false);
    board.settle(pins, 0);
    pins.trigger(&group, 1, kind).unwrap();
    board.settle(pins, 0);
    let what = format!("pin {number}, {kind:?}");
    let step = |pins: &mut Pins<C>, expected: u32| {
        board.settle(pins, 0);
        assert_eq!(take(pins, &group), expected, "{what}");
    };
    step(pins, u32::from(kind == Trigger::Low));
    board.sense(signal, true);
    if kind == Trigger::Low {
        // It was low when its event was taken, so it was noticed once more before it rose.
        board.settle(pins, 0);
        let late = take(pins, &group);
        assert!(late <= 1);
    } else {
        step(pins, u32::from(kind != Trigger::Falling));
    }
    board.sense(signal, false);
    if kind == Trigger::High {
        board.settle(pins, 0);
        assert!(take(pins, &group) <= 1);
        step(pins, 0);
    } else {
        step(pins, u32::from(kind != Trigger::Rising));
    }
    // Edges that are handled one by one are counted, levels only once until they are taken.
    if matches!(kind, Trigger::Rising | Trigger::Falling | Trigger::Both) {
        for _ in 0..7 {
            board.sense(signal, true);
            board.settle(pins, 0);
            board.sense(signal, false);
            board.settle(pins, 0);
        }
        step(pins, if kind == Trigger::Both { 14 } else { 7 });
    }
    pins.trigger(&group, 1, Trigger::Off).unwrap();
    for level in [true, false, true] {
        board.sense(signal, level);
        step(pins, 0);
    }
    pins.release(&group);
    assert!(!board.interrupts(), "{what}");
}

#[test]
fn every_kind_of_interrupt_of_every_pin() {
    let board = ps_board();
    let mut pins = board.pins();
    for number in (0..118).filter(|number| ![7, 8].contains(number)) {
        for kind in KINDS {
            check_kind(&board, &mut pins, number, number, kind);
        }
    }
    board.assert_clean();
    let board = axi_board();
    let mut pins = board.pins();
    for number in (0..AXI_WIDTHS[0]).chain(32..32 + AXI_WIDTHS[1]) {
        for kind in KINDS {
            check_kind(&board, &mut pins, number, number, kind);
        }
    }
    board.assert_clean();
}

#[test]
fn a_level_that_lasts_does_not_keep_the_server_busy() {
    let board = ps_board();
    let mut pins = board.pins();
    let group = claim(&mut pins, [33]);
    board.sense(33, true);
    pins.trigger(&group, 1, Trigger::High).unwrap();
    for _ in 0..5 {
        assert!(board.interrupts());
        pins.on_interrupt(0);
        assert!(!board.interrupts());
        pins.on_interrupt(0);
        assert_eq!(take(&mut pins, &group), 1);
    }
}

/// Two sessions with every second pin of each bank each, in the order in which a server would have their calls.
#[test]
fn two_clients_on_one_bank_do_not_lose_a_write() {
    let board = ps_board();
    let mut pins = board.pins();
    let mut random = Rng::with_seed(1);
    for (first, width) in FIRST.into_iter().zip(WIDTHS) {
        let groups = [0, 1].map(|odd| claim(&mut pins, (first..first + width).filter(move |pin| pin % 2 == odd)));
        let all = |group: &Group| u32::MAX >> (32 - group.len());
        for group in &groups {
            pins.direct(group, all(group), u32::MAX, 0).unwrap();
        }
        let mut expected = [0_u32; 2];
        for _ in 0..250_000 {
            let who = random.usize(0..2);
            let (group, expected) = (&groups[who], &mut expected[who]);
            let (mask, levels) = (random.u32(..) & all(group), random.u32(..));
            pins.write(group, mask, levels).unwrap();
            *expected = *expected & !mask | levels & mask;
        }
        for (odd, expected) in expected.into_iter().enumerate() {
            assert_eq!(pins.read(&groups[odd]).set, expected);
            for (number, signal) in (first..first + width).filter(|pin| *pin as usize % 2 == odd).enumerate() {
                let level = if expected >> number & 1 != 0 { Drive::High } else { Drive::Low };
                assert_eq!(board.drive(signal), level, "pin {signal}");
            }
        }
    }
    board.assert_clean();
}

#[test]
fn a_group_in_half_a_bank_changes_in_one_store() {
    let board = ps_board();
    let mut pins = board.pins();
    let group = claim(&mut pins, 0..32);
    pins.direct(&group, 0xffff_0000, u32::MAX, 0).unwrap();
    board.stores.set(0);
    pins.write(&group, 0x00ff_0000, 0x00a5_0000).unwrap();
    assert_eq!(board.stores.get(), 1);
    pins.write(&group, 0x0101_0202, u32::MAX).unwrap();
    assert_eq!(board.stores.get(), 3);
    let board = axi_board();
    let mut pins = board.pins();
    let group = claim(&mut pins, 0..8);
    board.stores.set(0);
    pins.write(&group, 0x7e, 0x55).unwrap();
    assert_eq!(board.stores.get(), 1);
}

/// Two edges at once, and a third wherever it can fall while they are handled.
#[test]
fn no_event_is_lost_when_pins_fire_at_once() {
    const STATUS: usize = 0x218;
    for (bank, (first, width)) in FIRST.into_iter().zip(WIDTHS).enumerate() {
        for third in [0, 1, 2] {
            let board = ps_board();
            let mut pins = board.pins();
            let group = claim(&mut pins, (first..first + width).filter(|pin| ![7, 8].contains(pin)));
            let all = u32::MAX >> (32 - group.len());
            pins.trigger(&group, all, Trigger::Rising).unwrap();
            let edge: Meddling = Box::new(move |device| device.sense(first + 2, true, 0));
            let offset = STATUS + 0x40 * bank;
            match third {
                0 => *board.before_store.borrow_mut() = Some((offset, edge)),
                1 => *board.after_load.borrow_mut() = Some((offset, edge)),
                _ => board.sense(first + 2, true),
            }
            board.sense(first, true);
            board.sense(first + 1, true);
            board.settle(&mut pins, 0);
            assert_eq!(pins.pending(&group), 0b111, "bank {bank}, {third}");
            for number in 0..3 {
                assert_eq!(pins.take(&group, pin(number)).unwrap().count, 1);
            }
            assert_eq!(places(pins.raised()).len(), 3);
        }
    }
    // The same for a core that only says that something has changed.
    let board = axi_board();
    let mut pins = board.pins();
    let group = claim(&mut pins, 0..8);
    pins.trigger(&group, 0xff, Trigger::Both).unwrap();
    *board.after_load.borrow_mut() = Some((0x120, Box::new(|device| device.sense(2, true, 0))));
    board.sense(0, true);
    board.sense(1, true);
    board.settle(&mut pins, 0);
    *board.after_load.borrow_mut() = Some((0x000, Box::new(|device| device.sense(2, false, 0))));
    board.sense(3, true);
    board.settle(&mut pins, 0);
    let counts = [0, 1, 2, 3].map(|number| pins.take(&group, pin(number)).unwrap().count);
    assert_eq!(counts, [1, 1, 2, 1]);
    board.assert_clean();
}

/// Runs the time of the debouncer on to `until`.
fn run<D: Device, C: Controller>(board: &Board<D>, pins: &mut Pins<C>, until: u64) {
    while let Some(deadline) = pins.deadline().filter(|deadline| *deadline <= until) {
        pins.on_time(deadline);
        board.settle(pins, deadline);
    }
}

#[test]
fn a_bouncing_button_is_pressed_once() {
    let board = ps_board();
    let mut pins = board.pins();
    let mut random = Rng::with_seed(2);
    for (kind, presses) in [(Trigger::Falling, 100), (Trigger::Rising, 100), (Trigger::Both, 200)] {
        let group = claim(&mut pins, [50]);
        board.sense(50, true);
        pins.debounce(&group, 1, 10_000).unwrap();
        pins.trigger(&group, 1, kind).unwrap();
        let (mut now, mut total) = (0, 0);
        for half in 0..200 {
            let level = half % 2 == 1;
            // An odd number of edges, never quiet for long enough.
            for bounce in 0..=2 * random.u64(0..20) {
                board.sense(50, level ^ (bounce % 2 == 1));
                board.settle(&mut pins, now);
                now += random.u64(1..9_999);
                run(&board, &mut pins, now);
            }
            now += 10_001;
            run(&board, &mut pins, now);
            let events = pins.take(&group, ONE).unwrap();
            assert_eq!(events.level, level);
            total += events.count;
            // A glitch that is over before the time has passed is nothing.
            board.sense(50, !level);
            board.settle(&mut pins, now);
            now += 5_000;
            board.sense(50, level);
            board.settle(&mut pins, now);
            now += 20_000;
            run(&board, &mut pins, now);
            assert_eq!(pins.take(&group, ONE).unwrap().count, 0);
        }
        assert_eq!(total, presses, "{kind:?}");
        assert_eq!(pins.deadline(), None);
        pins.release(&group);
    }
}

#[test]
fn a_debounced_level_is_a_level() {
    let board = ps_board();
    let mut pins = board.pins();
    let group = claim(&mut pins, [51]);
    pins.debounce(&group, 1, 1_000).unwrap();
    board.sense(51, true);
    pins.trigger(&group, 1, Trigger::High).unwrap();
    for _ in 0..3 {
        assert_eq!(take(&mut pins, &group), 1);
    }
    board.sense(51, false);
    board.settle(&mut pins, 5);
    run(&board, &mut pins, 2_000);
    assert_eq!(pins.take(&group, ONE).unwrap().count, 1);
    assert_eq!(pins.take(&group, ONE).unwrap().count, 0);
    board.sense(51, true);
    board.settle(&mut pins, 3_000);
    assert_eq!(pins.pending(&group), 0);
    run(&board, &mut pins, 4_000);
    assert_eq!(pins.pending(&group), 1);
}

#[test]
fn a_client_has_only_its_pins() {
    let board = ps_board();
    let mut pins = board.pins();
    let led = claim(&mut pins, [7]);
    let mut mixed = Group::new();
    for (number, input, output) in [(9, true, false), (10, false, true)] {
        mixed.add(pins.controller().place(number).unwrap(), input, output).unwrap();
    }
    pins.claim(&mixed).unwrap();
    assert_eq!(pins.claim(&led), Err(Error::Busy));
    for refused in [
        pins.write(&led, 0b10, 0),
        pins.write(&led, 0x8000_0000, 0),
        pins.direct(&led, 0b1, 0, 0),
        pins.trigger(&led, 0b1, Trigger::Both),
        pins.write(&mixed, 0b01, 1),
        pins.direct(&mixed, 0b11, 0b11, 0),
        pins.direct(&mixed, 0b11, 0b00, 0),
        pins.debounce(&mixed, 0b10, 5),
        pins.take(&mixed, pin(2)).map(drop),
    ] {
        assert_eq!(refused, Err(Error::Denied));
    }
    assert_eq!(pins.debounce(&mixed, 0b01, 20_000_000), Err(Error::Invalid));
    pins.direct(&mixed, 0b11, 0b10, 0b10).unwrap();
    assert_eq!(board.drive(10), Drive::High);
    assert!((0..118).all(|signal| signal == 10 || board.drive(signal) == Drive::Floating));
}

#[test]
fn what_is_given_back_is_an_input() {
    let board = ps_board();
    let mut pins = board.pins();
    let group = claim(&mut pins, [7, 20, 40]);
    pins.direct(&group, 0b011, 0b011, 0b111).unwrap();
    pins.trigger(&group, 0b100, Trigger::Both).unwrap();
    pins.debounce(&group, 0b100, 50).unwrap();
    board.sense(40, true);
    board.settle(&mut pins, 0);
    assert_eq!([7, 20].map(|pin| board.drive(pin)), [Drive::High; 2]);
    pins.release(&group);
    assert_eq!([7, 20].map(|pin| board.drive(pin)), [Drive::Floating; 2]);
    assert_eq!(pins.deadline(), None);
    board.sense(40, false);
    assert!(!board.interrupts());
    let group = claim(&mut pins, [7, 20, 40]);
    assert_eq!((pins.read(&group).set, pins.pending(&group)), (0, 0));
    // Nor does a pin stay driven when its driver is started anew.
    pins.direct(&group, 1, 1, 1).unwrap();
    drop(pins);
    let _again = board.pins();
    assert_eq!(board.drive(7), Drive::Floating);
    board.assert_clean();
}

#[test]
fn an_output_has_its_level_before_it_drives() {
    let board = ps_board();
    let mut pins = board.pins();
    let group = claim(&mut pins, [9]);
    *board.before_store.borrow_mut() = Some((0x208, Box::new(|device| assert_eq!(device.drive(9), Drive::Floating))));
    pins.direct(&group, 1, 1, 1).unwrap();
    assert_eq!(board.drive(9), Drive::High);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any sets, directions and triggers: what is counted and driven is what a table says.
    #[test]
    fn any_order_of_operations(
        seed in any::<u64>(),
        numbers in prop::sample::subsequence((0..118_u32).filter(|pin| ![7, 8].contains(pin)).collect::<Vec<_>>(), 1..=32),
    ) {
        let board = ps_board();
        let mut pins = board.pins();
        let mut random = Rng::with_seed(seed);
        let group = claim(&mut pins, numbers.clone());
        let count = numbers.len() as u32;
        let all = u32::MAX >> (32 - count);
        let (mut set, mut outputs, mut levels) = (0_u32, 0_u32, 0_u32);
        let mut triggers = vec![Trigger::Off; numbers.len()];
        let mut expected = vec![0; numbers.len()];
        for _ in 0..200 {
            let (mask, values) = (random.u32(..) & random.u32(..) & all, random.u32(..));
            match random.u32(0..5) {
                0 => {
                    pins.write(&group, mask, values).unwrap();
                    set = set & !mask | values & mask;
                }
                1 => {
                    let levels = random.u32(..);
                    pins.direct(&group, mask, values, levels).unwrap();
                    set = set & !(mask & values) | levels & mask & values;
                    outputs = outputs & !mask | values & mask;
                }
                2 => {
                    let kind = [Trigger::Off, Trigger::Rising, Trigger::Falling, Trigger::Both][random.usize(0..4)];
                    pins.trigger(&group, mask, kind).unwrap();
                    for number in (0..numbers.len()).filter(|number| mask >> number & 1 != 0) {
                        triggers[number] = kind;
                        expected[number] = 0;
                    }
                }
                3 => {
                    // Several pins change before the interrupt is handled.
                    for (number, signal) in numbers.iter().enumerate().filter(|(number, _)| mask >> number & 1 != 0) {
                        let level = values >> number & 1 != 0;
                        let changed = (levels >> number & 1 != 0) != level;
                        levels ^= u32::from(changed) << number;
                        board.sense(*signal, level);
                        expected[number] += u32::from(changed && match triggers[number] {
                            Trigger::Both => true,
                            Trigger::Rising => level,
                            Trigger::Falling => !level,
                            _ => false,
                        });
                    }
                    board.settle(&mut pins, 0);
                }
                _ => {
                    let number = random.usize(0..numbers.len());
                    let events = pins.take(&group, pin(number as u32)).unwrap();
                    prop_assert_eq!(events.count, std::mem::take(&mut expected[number]));
                    prop_assert_eq!(events.level, levels >> number & 1 != 0);
                }
            }
            let read = pins.read(&group);
            prop_assert_eq!((read.pins, read.set, read.outputs), (levels, set, outputs));
            for (number, signal) in numbers.iter().enumerate() {
                let drive = match (outputs >> number & 1, set >> number & 1) {
                    (0, _) => Drive::Floating,
                    (_, 0) => Drive::Low,
                    _ => Drive::High,
                };
                prop_assert_eq!(board.drive(*signal), drive);
            }
        }
        board.assert_clean();
    }
}
