//! The read channel against the models of the engine and a display.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

mod bench;

use bench::{Board, FRAME, MODE, PICTURE, RAM};
use models::vdma::{Fault, Options, Which};
use models::video::{Format, Sink};
use proptest::prelude::*;
use zelkova_vdma::{Change, Direction, Failure, FlipError, Mode, Outcome, Picture, SetupError, State};

#[test]
fn circular_shows_all_frame_stores_in_turn() {
    for stores in [1, 2, 3, 16, 17, 32] {
        let board = Board::stores(stores);
        let mut channel = board.channel(Direction::Read, stores);
        for picture in 0..u32::from(stores) {
            board.fill(picture, 0x100 + picture);
        }
        let started = channel.start(PICTURE, &Board::addresses(stores.into()), Mode::Circular, board.time()).unwrap();
        assert_eq!((started, channel.state()), (Outcome::default(), State::Running));
        board.run(&mut channel, MODE.time_of(2 * u64::from(stores) + 1, 0) - 1000);
        let wanted: Vec<_> = (0..2 * u32::from(stores)).map(|frame| Some(0x100 + frame % u32::from(stores))).collect();
        assert_eq!(board.tags(), wanted);
        assert_eq!(channel.counters().frames, 2 * u64::from(stores));
        board.silent();
    }
}

#[test]
fn fewer_pictures_than_frame_stores_are_taken_in_turn_if_that_comes_out_even() {
    let board = Board::stores(6);
    let mut channel = board.channel(Direction::Read, 6);
    for picture in 0..3 {
        board.fill(picture, 0x100 + picture);
    }
    let refused = channel.start(PICTURE, &Board::addresses(4), Mode::Circular, 0).unwrap_err();
    assert_eq!(refused, SetupError::Circular { wanted: 4, stores: 6 });
    channel.start(PICTURE, &Board::addresses(3), Mode::Circular, board.time()).unwrap();
    board.run(&mut channel, MODE.time_of(8, 0) - 1000);
    let wanted: Vec<_> = (0..7).map(|frame| Some(0x100 + frame % 3)).collect();
    assert_eq!(board.tags(), wanted);
}

#[test]
fn parked_shows_every_frame_store() {
    let board = Board::stores(32);
    let mut channel = board.channel(Direction::Read, 32);
    for picture in 0..32 {
        board.fill(picture, 0x100 + picture);
    }
    channel.start(PICTURE, &Board::addresses(32), Mode::Parked(0), board.time()).unwrap();
    for picture in 1..32 {
        channel.flip(picture).unwrap();
        assert_eq!(channel.flip(picture), Err(FlipError::Pending));
        let outcomes = board.run(&mut channel, MODE.time_of(2 * u64::from(picture), 0) - 1000);
        assert_eq!(outcomes.iter().filter_map(|outcome| outcome.flipped).collect::<Vec<_>>(), [picture]);
        assert_eq!(channel.current(), picture);
    }
    assert_eq!(channel.flip(32), Err(FlipError::NoPicture(32)));
    board.silent();
}

/// A client that draws a picture, flips, and waits until the old one is free, as fast as it may.
fn present(pictures: u32, frames: u32, draw_time: u64) -> Board {
    let board = Board::stores(3);
    let mut channel = board.channel(Direction::Read, 3);
    board.fill(0, 1);
    channel.start(PICTURE, &Board::addresses(pictures), Mode::Parked(0), board.time()).unwrap();
    let mut free: Vec<u32> = (1..pictures).collect();
    let mut shown = 0;
    let mut drawn = 1;
    while drawn < frames {
        let picture = free.pop().unwrap();
        // Drawing takes time, and meanwhile the beam goes on.
        assert!(!board.is_touching(picture), "picture {picture} is drawn while it is shown");
        board.run(&mut channel, board.now.get() + draw_time);
        drawn += 1;
        board.fill(picture, drawn);
        channel.flip(picture as u8).unwrap();
        loop {
            let outcome = board.step(&mut channel, u64::MAX);
            assert!(outcome.change.is_none() && !outcome.damaged);
            if outcome.flipped.is_some() {
                free.insert(0, shown);
                shown = picture;
                break;
            }
        }
    }
    board.run(&mut channel, board.now.get() + 2 * FRAME);
    assert!(channel.counters().frames >= u64::from(frames));
    board
}

#[test]
fn six_hundred_frames_without_a_torn_or_a_repeated_one() {
    for pictures in [2, 3] {
        for draw_time in [100_000, 8_000_000, 15_000_000] {
            let board = present(pictures, 602, draw_time);
            let tags: Vec<u32> = board.tags().into_iter().map(|tag| tag.expect("torn")).collect();
            // The first flip falls into any part of a frame; from then on the client is in step.
            let first = tags.iter().position(|tag| *tag == 3).unwrap();
            let wanted: Vec<u32> = (3..=602).collect();
            assert!(tags[first..first + 600] == wanted, "{pictures} pictures, {draw_time} ns a picture: {tags:?}");
            board.silent();
        }
    }
}

#[test]
fn a_client_that_is_too_slow_repeats_frames_but_tears_none() {
    let board = present(2, 100, 40_000_000);
    let tags: Vec<u32> = board.tags().into_iter().map(|tag| tag.expect("torn")).collect();
    assert!(tags.windows(2).all(|pair| pair[0] == pair[1] || pair[0] + 1 == pair[1]), "{tags:?}");
}

#[test]
fn a_frame_that_ended_before_the_flip_does_not_count() {
    let board = Board::stores(3);
    let mut channel = board.channel(Direction::Read, 3);
    board.fill(0, 1);
    board.fill(1, 2);
    channel.start(PICTURE, &Board::addresses(2), Mode::Parked(0), board.time()).unwrap();
    // The interrupt at the end of frame 1 is not handled before frame 2 has begun.
    let late = MODE.time_of(2, MODE.blanking_before + 4);
    board.now.set(late);
    models::Device::advance(&mut *board.vdma.borrow_mut(), late, &mut &board.ram);
    channel.flip(1).unwrap();
    let outcome = board.step(&mut channel, late);
    assert!(outcome.frame && outcome.flipped.is_none());
    assert!(board.is_touching(0));
    let outcome = board.step(&mut channel, u64::MAX);
    assert_eq!(outcome.flipped, Some(1));
    assert!(!board.is_touching(0));
}

#[test]
fn every_error_is_recovered_counted_and_told_and_the_next_frame_is_right() {
    for (fault, name) in [(Fault::Internal, 0), (Fault::Slave, 1), (Fault::Decode, 2)] {
        let board = Board::stores(3);
        let mut channel = board.channel(Direction::Read, 3);
        board.fill(0, 1);
        board.fill(2, 3);
        channel.start(PICTURE, &Board::addresses(3), Mode::Parked(2), board.time()).unwrap();
        board.run(&mut channel, MODE.time_of(3, 0));
        board.vdma.borrow_mut().inject(Which::Read, fault);
        let outcomes = board.run(&mut channel, MODE.time_of(4, 0) - 1000);
        assert_eq!(outcomes, [Outcome { damaged: true, ..Change::Recovered.into() }], "{fault:?}");
        let counters = channel.counters();
        let mut wanted = [0; 3];
        wanted[name] = 1;
        assert_eq!([counters.internal, counters.slave, counters.decode], wanted);
        assert_eq!(counters.recoveries, 1);
        let before = board.tags().len();
        board.run(&mut channel, MODE.time_of(7, 0) - 1000);
        assert_eq!(board.tags()[before..], [Some(3); 3], "parked where it was");
        board.silent();
    }
}

#[test]
fn a_sync_too_early_is_counted_and_does_not_stop_anything() {
    let board = Board::stores(3);
    let mut channel = board.channel(Direction::Read, 3);
    board.fill(0, 1);
    channel.start(PICTURE, &Board::addresses(1), Mode::Parked(0), board.time()).unwrap();
    board.run(&mut channel, 3 * FRAME);
    board.vdma.borrow_mut().sink_mut().unwrap().inject_early_sync();
    let outcomes = board.run(&mut channel, 8 * FRAME);
    assert!(outcomes.iter().any(|outcome| outcome.damaged && outcome.change.is_none()));
    assert_eq!((channel.counters().sof_early, channel.counters().recoveries), (1, 0));
    assert_eq!(board.tags().last(), Some(&Some(1)));
    board.silent();
}

#[test]
fn an_error_during_a_flip_does_not_lose_it() {
    let board = Board::stores(3);
    let mut channel = board.channel(Direction::Read, 3);
    board.fill(0, 1);
    board.fill(1, 2);
    channel.start(PICTURE, &Board::addresses(2), Mode::Parked(0), board.time()).unwrap();
    board.run(&mut channel, MODE.time_of(3, 0));
    channel.flip(1).unwrap();
    board.vdma.borrow_mut().inject(Which::Read, Fault::Slave);
    let outcomes = board.run(&mut channel, MODE.time_of(6, 0) - 1000);
    assert_eq!(outcomes.iter().filter_map(|outcome| outcome.flipped).collect::<Vec<_>>(), [1]);
    assert_eq!(board.tags().last(), Some(&Some(2)));
}

#[test]
fn errors_without_end_are_given_up_and_memory_is_not_touched_any_more() {
    let board = Board::stores(3);
    let mut channel = board.channel(Direction::Read, 3);
    let nowhere = [0x4000_0000];
    channel.start(PICTURE, &nowhere, Mode::Parked(0), board.time()).unwrap();
    let outcomes = board.run(&mut channel, 10 * FRAME);
    assert_eq!(outcomes.len(), 4);
    assert_eq!(outcomes[3], Outcome { damaged: true, ..Change::Failed(Failure::Errors).into() });
    assert_eq!(channel.state(), State::Failed(Failure::Errors));
    assert_eq!((channel.counters().decode, channel.counters().frames), (4, 0));
    // It can be started again.
    board.fill(0, 1);
    channel.start(PICTURE, &Board::addresses(1), Mode::Parked(0), board.time()).unwrap();
    board.run(&mut channel, board.now.get() + 3 * FRAME);
    assert_eq!(board.tags().last(), Some(&Some(1)));
    board.silent();
}

#[test]
fn a_stream_that_stands_still_is_told_in_time() {
    let board = Board::with(Options::TRIPLE_BUFFER, None, None);
    let mut channel = board.channel(Direction::Read, 3);
    channel.start(PICTURE, &Board::addresses(1), Mode::Parked(0), board.time()).unwrap();
    let outcomes = board.run(&mut channel, 1_000_000_000);
    assert_eq!(outcomes.last(), Some(&Change::Failed(Failure::Stalled).into()));
    assert_eq!(channel.counters().stalls, 4);
    assert!(channel.deadline().is_none());
}

#[test]
fn a_reset_that_does_not_end_is_told_in_time() {
    let board = Board::stores(3);
    let mut channel = board.channel(Direction::Read, 3);
    board.vdma.borrow_mut().inject(Which::Read, Fault::Reset);
    channel.start(PICTURE, &Board::addresses(1), Mode::Parked(0), board.time()).unwrap();
    assert_eq!(channel.state(), State::Resetting);
    let before = board.time();
    let outcomes = board.run(&mut channel, 100_000_000);
    assert_eq!(outcomes, [Change::Failed(Failure::Reset).into()]);
    assert!(board.accesses.get() < 200, "not by looking all the time");
    assert!(before < 1000);
}

#[test]
fn a_reset_that_ends_after_all_recovers_and_what_was_flipped_last_is_shown() {
    let board = Board::stores(3);
    let mut channel = board.channel(Direction::Read, 3);
    for picture in 0..3 {
        board.fill(picture, 0x100 + picture);
    }
    channel.start(PICTURE, &Board::addresses(3), Mode::Parked(0), board.time()).unwrap();
    board.run(&mut channel, MODE.time_of(3, 0));
    for fault in [Fault::Reset, Fault::Slave] {
        board.vdma.borrow_mut().inject(Which::Read, fault);
    }
    channel.flip(1).unwrap();
    let outcomes = board.run(&mut channel, board.now.get() + 20 * FRAME);
    assert_eq!(outcomes, [Outcome { damaged: true, ..Outcome::default() }, Change::Failed(Failure::Reset).into()]);
    assert_eq!((channel.counters().overdue, channel.counters().slave), (1, 1));
    channel.flip(0).unwrap();
    channel.flip(2).unwrap();
    board.vdma.borrow_mut().clear_faults(Which::Read, board.now.get());
    let outcome = board.step(&mut channel, u64::MAX);
    assert_eq!(outcome, Outcome { flipped: Some(2), ..Change::Recovered.into() });
    let before = board.tags().len();
    board.run(&mut channel, board.now.get() + 4 * FRAME);
    assert!(board.tags()[before..].ends_with(&[Some(0x102); 3]), "{:?}", board.tags());
    assert_eq!(channel.counters().recoveries, 1);
    board.silent();
}

#[test]
fn what_a_stuck_reset_was_for_can_still_be_changed() {
    for (wanted, change) in [(State::Running, Change::Recovered), (State::Stopped, Change::Stopped)] {
        let board = Board::stores(3);
        let mut channel = board.channel(Direction::Read, 3);
        board.fill(0, 1);
        board.vdma.borrow_mut().inject(Which::Read, Fault::Reset);
        channel.start(PICTURE, &Board::addresses(1), Mode::Parked(0), board.time()).unwrap();
        board.run(&mut channel, 10 * FRAME);
        assert_eq!(channel.state(), State::Failed(Failure::Reset));
        if wanted == State::Stopped {
            channel.stop(board.time());
        } else {
            channel.start(PICTURE, &Board::addresses(1), Mode::Parked(0), board.time()).unwrap();
        }
        assert_eq!(channel.state(), State::Resetting);
        let outcomes = board.run(&mut channel, 20 * FRAME);
        assert_eq!(outcomes, [Change::Failed(Failure::Reset).into()]);
        board.vdma.borrow_mut().clear_faults(Which::Read, board.now.get());
        assert_eq!(board.step(&mut channel, u64::MAX), change.into());
        assert_eq!(channel.state(), wanted);
        board.silent();
    }
}

#[test]
fn a_slow_reset_is_waited_for() {
    let board = Board::new(Options { reset_time: 3_000_000, ..Options::TRIPLE_BUFFER });
    let mut channel = board.channel(Direction::Read, 3);
    board.fill(0, 1);
    channel.start(PICTURE, &Board::addresses(1), Mode::Parked(0), board.time()).unwrap();
    assert_eq!(channel.state(), State::Resetting);
    board.run(&mut channel, 4 * FRAME);
    assert_eq!(channel.state(), State::Running);
    assert_eq!(board.tags().last(), Some(&Some(1)));
    assert_eq!(channel.stop(board.time()), Outcome::default());
    assert!(board.is_touching(0), "until the reset is over");
    let outcomes = board.run(&mut channel, 8 * FRAME);
    assert_eq!(outcomes, [Change::Stopped.into()]);
    assert!(!board.is_touching(0));
    board.silent();
}

#[test]
fn stopping_in_the_middle_of_a_frame_frees_the_memory_at_once() {
    let board = Board::stores(3);
    let mut channel = board.channel(Direction::Read, 3);
    board.fill(0, 1);
    channel.start(PICTURE, &Board::addresses(1), Mode::Parked(0), board.time()).unwrap();
    board.run(&mut channel, MODE.time_of(2, MODE.blanking_before + 12));
    assert!(board.is_touching(0));
    assert_eq!(channel.stop(board.time()), Change::Stopped.into());
    assert!(!board.is_touching(0));
    board.run(&mut channel, board.now.get() + 3 * FRAME);
    assert!(board.vdma.borrow().sink().unwrap().screen().is_none(), "a clean screen");
    assert_eq!(channel.flip(0), Err(FlipError::NotParked));
    board.silent();
}

#[test]
fn every_mode_and_format_comes_out_as_drawn() {
    use models::video::Mode as Timing;
    for mode in [Timing::VGA, Timing::SVGA, Timing::HD] {
        for format in Format::ALL {
            let options = Options { buffered_lines: 16, ..Options::TRIPLE_BUFFER };
            let mut board = Board::with(options, Some(Sink::new(mode, format, 0)), None);
            let line_bytes = mode.width * format.bytes();
            let picture = Picture { line_bytes, lines: mode.height, stride: line_bytes.next_multiple_of(64) };
            board.ram = models::memory::Ram::new(RAM, picture.bytes().unwrap().next_multiple_of(4));
            let colour = |x: u32, y: u32| x.wrapping_mul(0x01_03_07).wrapping_add(y.wrapping_mul(0x0B_05)) & 0xFF_FFFF;
            for y in 0..mode.height {
                let line: Vec<u8> = (0..mode.width)
                    .flat_map(|x| format.encode(colour(x, y)).into_iter().take(format.bytes() as usize))
                    .collect();
                board.ram.load(RAM + y * picture.stride, &line).unwrap();
            }
            let mut channel = board.channel(Direction::Read, 3);
            channel.start(picture, &[RAM], Mode::Parked(0), board.time()).unwrap();
            board.run(&mut channel, mode.time_of(3, 0));
            let vdma = board.vdma.borrow();
            let frame = vdma.sink().unwrap().screen().unwrap();
            assert_eq!((frame.width, frame.height), (mode.width, mode.height));
            for (position, shown) in (0..).zip(frame.colours()) {
                let drawn = colour(position % mode.width, position / mode.width);
                let drawn = format.decode(&format.encode(drawn)[..format.bytes() as usize]);
                assert_eq!(shown, drawn, "{mode:?} {format:?} {position}");
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_refused_and_the_picture_goes_on() {
    let board = Board::stores(3);
    let mut channel = board.channel(Direction::Read, 3);
    board.fill(0, 1);
    channel.start(PICTURE, &Board::addresses(3), Mode::Parked(0), board.time()).unwrap();
    board.run(&mut channel, 3 * FRAME);
    let with = |line_bytes, lines, stride| Picture { line_bytes, lines, stride };
    let mut refused = |picture, addresses: &[u32], mode| channel.start(picture, addresses, mode, 0).unwrap_err();
    for picture in [
        with(0, 24, 128),
        with(128, 0, 128),
        with(128, 24, 120),
        with(0x1_0000, 24, 0x1_0000),
        with(128, 0x2000, 128),
        with(128, 24, 0x1_0000),
    ] {
        assert_eq!(refused(picture, &[RAM], Mode::Parked(0)), SetupError::Size(picture));
    }
    assert_eq!(
        refused(with(124, 24, 128), &[RAM], Mode::Parked(0)),
        SetupError::Alignment { value: 124, alignment: 8 }
    );
    assert_eq!(
        refused(PICTURE, &[RAM, RAM + 4], Mode::Parked(0)),
        SetupError::Alignment { value: RAM + 4, alignment: 8 }
    );
    assert_eq!(refused(PICTURE, &[0xFFFF_FF00], Mode::Parked(0)), SetupError::Address(0xFFFF_FF00));
    assert_eq!(refused(PICTURE, &[], Mode::Parked(0)), SetupError::Stores { wanted: 0, stores: 3 });
    assert_eq!(refused(PICTURE, &[RAM; 4], Mode::Parked(0)), SetupError::Stores { wanted: 4, stores: 3 });
    assert_eq!(refused(PICTURE, &[RAM; 2], Mode::Parked(2)), SetupError::Park { store: 2, wanted: 2 });
    board.run(&mut channel, 6 * FRAME);
    assert!(board.tags().iter().all(|tag| *tag == Some(1)));
    assert_eq!(board.tags().len(), 5);
    board.silent();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever is asked for is refused, or runs without touching anything but the pictures.
    #[test]
    fn nothing_but_pictures_is_touched(
        line_bytes in 0u32..300, lines in 0u32..40, stride in 0u32..300, parked in any::<u8>(),
        offsets in proptest::collection::vec(0u32..0x200, 0..5), circular in any::<bool>(),
    ) {
        let board = Board::stores(3);
        let mut channel = board.channel(Direction::Read, 3);
        let picture = Picture { line_bytes, lines, stride };
        let addresses: Vec<u32> = (0..).zip(&offsets).map(|(number, offset)| Board::address(5 * number) + offset).collect();
        let mode = if circular { Mode::Circular } else { Mode::Parked(parked % 4) };
        if channel.start(picture, &addresses, mode, 0).is_ok() {
            board.run(&mut channel, 5 * FRAME);
            prop_assert!(board.vdma.borrow().transfers().count() >= 1);
            for transfer in board.vdma.borrow().transfers() {
                prop_assert!(addresses.contains(&transfer.address));
                prop_assert_eq!(Some(transfer.bytes), picture.bytes());
            }
            channel.stop(board.time());
            prop_assert!(board.vdma.borrow().transfers().all(|transfer| transfer.ended.is_some()));
        } else {
            prop_assert_eq!(board.vdma.borrow().transfers().count(), 0);
        }
        board.silent();
    }
}
