//! Everything that can go wrong: it ends in time, with the right error, and the driver works afterwards.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

mod bench;

use bench::{BUFFER, Board, expected};
use models::sdcard::{Fault, Features};
use models::sdhci::Options;
use zelkova_sd::{Cause, Direction, Driver, Error, Event, Segment, State, SubmitError};

const ALWAYS: u32 = u32::MAX;
const SECOND: u64 = 1_000_000;

fn failure(event: Event) -> Error {
    match event {
        Event::Failed(error) => error,
        other => panic!("{other:?}"),
    }
}

/// Starts a driver that must give in, and returns its error and how long it took in microseconds.
fn fails(board: &Board) -> (Error, u64) {
    let mut driver = board.driver();
    let began = board.micros();
    let error = failure(board.start(&mut driver));
    assert_eq!(driver.state(), State::Stopped);
    assert_eq!(driver.deadline(), None);
    assert_eq!(driver.card(), None);
    let one = [Segment { address: BUFFER, length: 512 }];
    assert_eq!(board.submit(&mut driver, Direction::Read, 0, 1, &one), Err(SubmitError::NotReady));
    // The message names the command and the state.
    let text = error.to_string();
    assert!(text.contains(&format!("CMD{}", error.command)), "{text}");
    assert!(text.contains(&format!("{:?}", error.state)), "{text}");
    (error, board.micros() - began)
}

/// The commands of bringing up an SDSC card, as the model numbers them: ACMDs from 64 on.
const START_COMMANDS: [(u8, State); 11] = [
    (55, State::PrefixOperatingCondition),
    (64 + 41, State::OperatingCondition),
    (2, State::Identifying),
    (3, State::Addressing),
    (9, State::ReadingSpecificData),
    (7, State::Selecting),
    (16, State::SettingBlockLength),
    (64 + 51, State::ReadingConfiguration),
    (64 + 6, State::SettingBusWidth),
    (6, State::CheckingSwitch),
    (8, State::CheckingInterface),
];

#[test]
fn a_command_that_fails_once_is_survived() {
    for (command, _) in START_COMMANDS {
        for fault in [Fault::Mute(command), Fault::CorruptResponse(command)] {
            if fault == Fault::CorruptResponse(64 + 41) {
                // This response has no CRC.
                continue;
            }
            for features in [Features::SDSC, Features::SDHC] {
                let board = Board::new(features);
                board.inject(fault, 1);
                let (mut driver, card) = board.ready();
                assert!(card.four_bit && card.high_speed, "{fault:?}");
                board.check(&mut driver);
                board.assert_clean();
            }
        }
    }
}

#[test]
fn a_command_that_always_fails_is_named() {
    for (command, state) in START_COMMANDS {
        // The last attempt goes without these.
        let optional = matches!(command, 6 | 70);
        for (fault, cause) in
            [(Fault::Mute(command), Cause::NoResponse), (Fault::CorruptResponse(command), Cause::ResponseCorrupt)]
        {
            let survives = optional || fault == Fault::Mute(8) || fault == Fault::CorruptResponse(64 + 41);
            let board = Board::new(Features::SDSC);
            board.inject(fault, ALWAYS);
            if survives {
                let (mut driver, card) = board.ready();
                assert_eq!(card.four_bit && card.high_speed, !optional);
                board.check(&mut driver);
            } else {
                let (error, micros) = fails(&board);
                assert_eq!((error.cause, error.state), (cause, state));
                assert_eq!(error.command, command % 64);
                assert!(micros < 2 * SECOND, "{fault:?} took {micros} us");
            }
            board.assert_clean();
        }
    }
}

#[test]
fn a_silent_card_is_no_sd_card() {
    let board = Board::new(Features::SDSC);
    for command in 0..128 {
        board.inject(Fault::Mute(command), ALWAYS);
    }
    let (error, micros) = fails(&board);
    assert_eq!(error.cause, Cause::NoResponse);
    assert_eq!(error.command, 55);
    assert!(error.registers.interrupt_status & 1 << 16 != 0);
    assert!(micros < SECOND);
}

#[test]
fn a_card_that_never_powers_up_is_given_up() {
    for features in [Features::SDSC, Features::SDHC] {
        let board = Board::new(features);
        board.inject(Fault::NeverReady, ALWAYS);
        let (error, micros) = fails(&board);
        assert_eq!((error.cause, error.state), (Cause::NeverReady, State::OperatingCondition));
        // Three attempts of a second each.
        assert!((3 * SECOND..4 * SECOND).contains(&micros), "{micros} us");
        board.assert_clean();
    }
}

#[test]
fn a_card_that_needs_almost_a_second_to_power_up_is_awaited() {
    let board = Board::new(Features { power_up: 950_000_000, ..Features::SDHC });
    let (mut driver, _) = board.ready();
    board.check(&mut driver);
}

#[test]
fn a_card_for_another_voltage_is_refused() {
    let board = Board::new(Features { voltages: 1 << 15, ..Features::SDSC });
    let (error, _) = fails(&board);
    assert_eq!(error.cause, Cause::Voltage);
}

#[test]
fn broken_data_lines_leave_one() {
    for features in [Features::SDSC, Features::SDHC] {
        let board = Board::new(Features { broken_lines: true, ..features });
        let (mut driver, card) = board.ready();
        assert!(!card.four_bit);
        board.check(&mut driver);
        board.assert_clean();
    }
}

#[test]
fn a_bus_width_refused_by_the_card_is_not_used() {
    let board = Board::new(Features::SDHC);
    board.inject(Fault::StatusError(64 + 6, 1 << 19), ALWAYS);
    let (mut driver, card) = board.ready();
    assert!(!card.four_bit);
    board.check(&mut driver);
    board.assert_clean();
}

#[test]
fn short_data_that_fails_once_is_survived() {
    for fault in [Fault::CorruptData, Fault::SilentData] {
        for data_timeout in [true, false] {
            let options = Options { data_timeout, ..Options::ZYNQ7000 };
            let board = Board::with_options(Features::SDHC, options);
            board.inject(fault, 1);
            let (mut driver, _) = board.ready();
            board.check(&mut driver);
            board.assert_clean();
        }
    }
}

#[test]
fn a_card_without_data_is_given_up() {
    for (fault, data_timeout, cause) in
        [(Fault::CorruptData, true, Cause::DataCorrupt), (Fault::SilentData, false, Cause::Deadline)]
    {
        let options = Options { data_timeout, ..Options::ZYNQ7000 };
        let board = Board::with_options(Features::SDHC, options);
        board.inject(fault, ALWAYS);
        let (error, micros) = fails(&board);
        assert_eq!((error.cause, error.state), (cause, State::ReadingConfiguration));
        assert!(micros < 2 * SECOND);
    }
}

#[test]
fn hardware_that_does_not_move_is_noticed() {
    let hangs = |options| fails(&Board::with_options(Features::SDHC, options));
    let (error, micros) = hangs(Options { reset_time: u64::MAX / 2, ..Options::ZYNQ7000 });
    assert_eq!((error.cause, error.state), (Cause::Deadline, State::Resetting));
    assert!(micros < SECOND);
    let (error, micros) = hangs(Options { clock_time: u64::MAX / 2, ..Options::ZYNQ7000 });
    assert_eq!((error.cause, error.state), (Cause::Deadline, State::StartingClock));
    assert!(micros < SECOND);
    let without_adma2 = Options::ZYNQ7000.capabilities & !(1 << 19);
    let (error, _) = hangs(Options { capabilities: without_adma2, ..Options::ZYNQ7000 });
    assert_eq!(error.cause, Cause::NoAdma2);
}

#[test]
fn an_impossible_base_clock_is_noticed() {
    let board = Board::new(Features::SDHC);
    for (clock, cause) in [(0, Cause::BaseClockUnknown), (125_000_000, Cause::BaseClockTooFast(125_000_000))] {
        let table = zelkova_sd::DescriptorTable::new(&board.ram.cells()[..8], bench::RAM);
        let mut driver = Driver::new(&board, table, clock);
        assert_eq!(failure(board.start(&mut driver)).cause, cause);
    }
}

/// Faults of a read or a write and what they are reported as.
fn transfer_faults(direction: Direction) -> Vec<(Fault, Cause)> {
    let (single, multiple) = if direction == Direction::Read { (17, 18) } else { (24, 25) };
    vec![
        (Fault::Mute(single), Cause::NoResponse),
        (Fault::Mute(multiple), Cause::NoResponse),
        (Fault::CorruptResponse(single), Cause::ResponseCorrupt),
        (Fault::CorruptResponse(multiple), Cause::ResponseCorrupt),
        (Fault::CorruptData, Cause::DataCorrupt),
        (Fault::SilentData, Cause::DataTimeout),
        (Fault::Mute(12), Cause::AutoStop),
        (Fault::CorruptResponse(12), Cause::AutoStop),
    ]
}

fn applies(fault: Fault, count: u32) -> bool {
    match fault {
        Fault::Mute(12 | 18 | 25) | Fault::CorruptResponse(12 | 18 | 25) => count > 1,
        Fault::Mute(_) | Fault::CorruptResponse(_) => count == 1,
        _ => true,
    }
}

#[test]
fn a_request_that_fails_once_or_twice_is_repeated() {
    for features in [Features::SDSC, Features::SDHC] {
        for direction in [Direction::Read, Direction::Write] {
            for (fault, _) in transfer_faults(direction) {
                for (count, times) in [(1, 1), (1, 2), (20, 1), (20, 2)] {
                    if !applies(fault, count) {
                        continue;
                    }
                    let board = Board::new(features.clone());
                    let (mut driver, _) = board.ready();
                    board.inject(fault, times);
                    if direction == Direction::Read {
                        let data = board.read(&mut driver, 9, count).unwrap();
                        assert_eq!(data, expected(9, u64::from(count)), "{fault:?}");
                    } else {
                        let data = vec![0x3C; count as usize * 512];
                        board.write(&mut driver, 9, &data).unwrap();
                        assert_eq!(board.media(9, u64::from(count)), data, "{fault:?}");
                    }
                    board.check(&mut driver);
                    board.assert_clean();
                }
            }
        }
    }
}

#[test]
fn a_request_that_always_fails_ends_with_its_cause_and_the_next_one_works() {
    for data_timeout in [true, false] {
        for direction in [Direction::Read, Direction::Write] {
            for (fault, cause) in transfer_faults(direction) {
                for count in [1, 20] {
                    if !applies(fault, count) {
                        continue;
                    }
                    let options = Options { data_timeout, ..Options::ZYNQ7000 };
                    let board = Board::with_options(Features::SDHC, options);
                    let (mut driver, _) = board.ready();
                    board.inject(fault, ALWAYS);
                    let began = board.micros();
                    let error = board.transfer(&mut driver, direction, 9, count).unwrap_err();
                    let cause = if cause == Cause::DataTimeout && !data_timeout { Cause::Deadline } else { cause };
                    assert_eq!(error.cause, cause, "{fault:?} {direction:?} {count}: {error}");
                    let state = if direction == Direction::Read { State::Reading } else { State::Writing };
                    assert_eq!(error.state, state);
                    assert!(board.micros() - began < 15 * SECOND, "{fault:?}");
                    board.heal();
                    // A card that could not be stopped is lost, and a new start brings it back.
                    if driver.state() != State::Ready {
                        assert_eq!(fault, Fault::Mute(12), "{error}");
                        failure(board.event(&mut driver));
                        assert!(matches!(board.start(&mut driver), Event::Ready(_)));
                    }
                    board.check(&mut driver);
                    board.assert_clean();
                }
            }
        }
    }
}

#[test]
fn a_disturbed_auto_cmd12_is_survived() {
    for direction in [Direction::Read, Direction::Write] {
        let board = Board::new(Features::SDHC);
        let (mut driver, _) = board.ready();
        board.host.borrow_mut().disturb_auto_cmd12();
        board.transfer(&mut driver, direction, 9, 20).unwrap();
        board.check(&mut driver);
        board.assert_clean();
    }
}

#[test]
fn an_error_in_the_card_status_is_reported_at_once() {
    let board = Board::new(Features::SDHC);
    let (mut driver, _) = board.ready();
    for (command, bit, direction, count) in [
        (18, 31, Direction::Read, 4),
        (17, 21, Direction::Read, 1),
        (24, 26, Direction::Write, 1),
        (25, 19, Direction::Write, 4),
    ] {
        board.inject(Fault::StatusError(command, 1 << bit), 1);
        let error = board.transfer(&mut driver, direction, 0, count).unwrap_err();
        // Without data the controller times out; the status is what is known by then.
        assert!(matches!(error.cause, Cause::Card(status) if status.0 == 1 << bit), "{error}");
        board.check(&mut driver);
    }
    // In the response to CMD12 everything went well but for the error.
    board.inject(Fault::StatusError(12, 1 << 20), 1);
    let error = board.transfer(&mut driver, Direction::Read, 0, 4).unwrap_err();
    assert!(matches!(error.cause, Cause::Card(status) if status.0 == 1 << 20), "{error}");
    board.check(&mut driver);
}

#[test]
fn a_card_that_stays_busy_is_given_up_and_can_come_back() {
    for data_timeout in [true, false] {
        for count in [1, 20] {
            let options = Options { data_timeout, ..Options::ZYNQ7000 };
            let board = Board::with_options(Features::SDHC, options);
            let (mut driver, _) = board.ready();
            board.inject(Fault::StayBusy, 1);
            let began = board.micros();
            let error = board.transfer(&mut driver, Direction::Write, 0, count).unwrap_err();
            assert_eq!(error.cause, if data_timeout { Cause::DataTimeout } else { Cause::Deadline });
            assert_eq!(error.state, State::Writing);
            assert!(board.micros() - began < 6 * SECOND);
            assert_eq!(driver.state(), State::Stopped);
            assert_eq!(failure(board.event(&mut driver)), error);
            assert_eq!(driver.deadline(), None);
            board.heal();
            assert!(matches!(board.start(&mut driver), Event::Ready(_)));
            board.check(&mut driver);
            board.assert_clean();
        }
    }
}

#[test]
fn a_card_that_is_busy_for_long_but_not_too_long_is_awaited() {
    let board = Board::new(Features { program: 250_000_000, ..Features::SDHC });
    let (mut driver, _) = board.ready();
    board.write(&mut driver, 0, &[1; 4 * 512]).unwrap();
    assert_eq!(board.media(0, 4), [1; 4 * 512]);
    board.write(&mut driver, 0, &[2; 512]).unwrap();
    board.check(&mut driver);
}

#[test]
fn a_bad_bus_address_fails_and_the_next_request_works() {
    let board = Board::new(Features::SDHC);
    let (mut driver, _) = board.ready();
    for direction in [Direction::Read, Direction::Write] {
        for count in [1, 8] {
            let segments = [Segment { address: 0x4000, length: count * 512 }];
            board.submit(&mut driver, direction, 0, count, &segments).unwrap();
            let error = board.done(&mut driver).unwrap_err();
            assert_eq!(error.cause, Cause::HostBus);
            assert!(error.registers.interrupt_status & 1 << 25 != 0);
            board.check(&mut driver);
        }
    }
    board.assert_clean();
}

#[test]
fn an_empty_slot_waits_for_a_card() {
    let board = Board::empty(Options::ZYNQ7000);
    let mut driver = board.driver();
    assert_eq!(board.start(&mut driver), Event::NoCard);
    assert_eq!(driver.state(), State::Absent);
    assert_eq!(driver.deadline(), None);
    board.host.borrow_mut().insert(bench::card(Features::SDHC), true);
    assert!(matches!(board.event(&mut driver), Event::Ready(_)));
    board.check(&mut driver);
    board.assert_clean();
}

#[test]
fn removal_while_idle_and_another_card() {
    let board = Board::new(Features::SDHC);
    let (mut driver, first) = board.ready();
    assert_eq!(first.blocks, 8 << 20);
    board.host.borrow_mut().remove(board.now.get()).unwrap();
    assert_eq!(board.event(&mut driver), Event::NoCard);
    assert_eq!(driver.card(), None);
    let one = [Segment { address: BUFFER, length: 512 }];
    assert_eq!(board.submit(&mut driver, Direction::Read, 0, 1, &one), Err(SubmitError::NotReady));
    board.host.borrow_mut().insert(bench::card(Features::SDSC), true);
    let Event::Ready(second) = board.event(&mut driver) else { panic!("{:?}", driver.state()) };
    assert_eq!(second.blocks, 8192);
    board.check(&mut driver);
    board.assert_clean();
}

#[test]
fn a_quick_exchange_is_noticed() {
    let board = Board::new(Features::SDHC);
    let (mut driver, _) = board.ready();
    board.host.borrow_mut().remove(board.now.get()).unwrap();
    board.host.borrow_mut().insert(bench::card(Features::SDSC), true);
    assert_eq!(board.event(&mut driver), Event::NoCard);
    let Event::Ready(card) = board.event(&mut driver) else { panic!("{:?}", driver.state()) };
    assert_eq!(card.blocks, 8192);
    board.check(&mut driver);
    board.assert_clean();
}

#[test]
fn removal_in_the_middle_of_a_request_ends_it() {
    for direction in [Direction::Read, Direction::Write] {
        // From before the response to within the last block.
        for delay in [0, 1_000, 100_000, 150_000, 1_000_000, 2_500_000] {
            let board = Board::new(Features::SDHC);
            let (mut driver, _) = board.ready();
            let segments = [Segment { address: BUFFER, length: 300 * 512 }];
            board.submit(&mut driver, direction, 0, 300, &segments).unwrap();
            let event = board.run_until(&mut driver, board.now.get() + delay);
            assert_eq!(event, None, "{delay}");
            board.host.borrow_mut().remove(board.now.get()).unwrap();
            let error = board.done(&mut driver).unwrap_err();
            assert_eq!(error.cause, Cause::Removed);
            assert_eq!(board.event(&mut driver), Event::NoCard);
            // Nothing is written to memory any more.
            let before = board.ram.dump(BUFFER, 300 * 512).unwrap();
            assert_eq!(board.run_until(&mut driver, board.now.get() + 10_000_000_000), None);
            assert!(board.ram.dump(BUFFER, 300 * 512).unwrap() == before);
            board.host.borrow_mut().insert(bench::card(Features::SDSC), true);
            assert!(matches!(board.event(&mut driver), Event::Ready(_)));
            board.check(&mut driver);
            board.assert_clean();
        }
    }
}

#[test]
fn removal_during_start_at_any_moment() {
    for step in 0..60 {
        let board = Board::new(Features::SDHC);
        let mut driver = board.driver();
        let mut event = driver.start(board.micros());
        if event.is_none() {
            event = board.run_until(&mut driver, board.now.get() + step * 700_000);
        }
        board.host.borrow_mut().remove(board.now.get()).unwrap();
        if event.is_some() {
            assert!(matches!(event, Some(Event::Ready(_))));
        }
        assert_eq!(board.event(&mut driver), Event::NoCard, "step {step}");
        board.host.borrow_mut().insert(bench::card(Features::SDHC), true);
        assert!(matches!(board.event(&mut driver), Event::Ready(_)), "step {step}");
        board.check(&mut driver);
    }
}

#[test]
fn removal_during_recovery() {
    let mut seen = Vec::new();
    for delay in (0..40).map(|step| 670_900_000 + step * step * 200_000) {
        let board = Board::new(Features::SDHC);
        let (mut driver, _) = board.ready();
        board.inject(Fault::StayBusy, 1);
        let segments = [Segment { address: BUFFER, length: 512 }];
        board.submit(&mut driver, Direction::Write, 0, 1, &segments).unwrap();
        assert_eq!(board.run_until(&mut driver, board.now.get() + delay), None);
        seen.push(driver.state());
        board.host.borrow_mut().remove(board.now.get()).unwrap();
        assert_eq!(board.done(&mut driver).unwrap_err().cause, Cause::Removed);
        assert_eq!(board.event(&mut driver), Event::NoCard);
        board.assert_clean();
    }
    assert!(seen.contains(&State::Writing), "{seen:?}");
    assert!(seen.contains(&State::AwaitingProgramming), "{seen:?}");
}

#[test]
fn a_status_bit_that_comes_between_load_and_store_is_not_lost() {
    // At the end of a request.
    let board = Board::new(Features::SDHC);
    let (mut driver, _) = board.ready();
    board.remove_before_clear.set(true);
    board.transfer(&mut driver, Direction::Read, 0, 4).unwrap();
    assert_eq!(board.event(&mut driver), Event::NoCard);
    // At the end of a command: noticed at once, not when the next one fails.
    let board = Board::new(Features::SDHC);
    let mut driver = board.driver();
    board.remove_before_clear.set(true);
    let began = board.micros();
    assert_eq!(board.start(&mut driver), Event::NoCard);
    assert!(board.micros() - began < 50_000);
}

#[test]
fn data_that_arrives_with_the_time_out_has_arrived() {
    let board = Board::new(Features::SDHC);
    let (mut driver, _) = board.ready();
    board.extra_status.set(1 << 20 | 1 << 15);
    board.interrupts.set(0);
    assert_eq!(board.read(&mut driver, 3, 4).unwrap(), expected(3, 4));
    assert_eq!(board.interrupts.get(), 1, "not repeated");
    board.check(&mut driver);
}

#[test]
fn a_card_that_does_not_tell_its_state_is_lost() {
    let board = Board::new(Features::SDHC);
    let (mut driver, _) = board.ready();
    board.inject(Fault::Mute(13), ALWAYS);
    board.inject(Fault::CorruptData, 1);
    let error = board.transfer(&mut driver, Direction::Read, 0, 4).unwrap_err();
    // What went wrong first.
    assert_eq!((error.cause, error.command), (Cause::DataCorrupt, 18));
    assert_eq!(failure(board.event(&mut driver)), error);
    assert_eq!(driver.state(), State::Stopped);
    board.heal();
    assert!(matches!(board.start(&mut driver), Event::Ready(_)));
    board.check(&mut driver);
    board.assert_clean();
}

#[test]
fn after_recovery_a_request_costs_one_interrupt_again() {
    let board = Board::new(Features::SDHC);
    let (mut driver, _) = board.ready();
    board.inject(Fault::CorruptData, 1);
    board.transfer(&mut driver, Direction::Read, 0, 4).unwrap();
    board.interrupts.set(0);
    board.transfer(&mut driver, Direction::Read, 0, 4).unwrap();
    assert_eq!(board.interrupts.get(), 1);
}

#[test]
fn a_new_card_after_a_failure_starts_by_itself() {
    let board = Board::new(Features::SDHC);
    board.inject(Fault::Mute(2), ALWAYS);
    let mut driver = board.driver();
    failure(board.start(&mut driver));
    board.host.borrow_mut().remove(board.now.get()).unwrap();
    assert_eq!(board.event(&mut driver), Event::NoCard);
    board.host.borrow_mut().insert(bench::card(Features::SDHC), true);
    assert!(matches!(board.event(&mut driver), Event::Ready(_)));
    board.check(&mut driver);
}
