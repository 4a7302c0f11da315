//! The write channel against the models of the engine and a camera.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

mod bench;

use bench::{BYTES, Board, BoardChannel, FRAME, PICTURE};
use models::Device;
use models::vdma::{Fault, Which};
use models::video::{Format, StreamFault, camera_pixel};
use zelkova_vdma::{Change, Direction, FlipError, Mode, Outcome, Queue, SetupError, State};

fn start(board: &Board) -> (BoardChannel<'_>, Queue) {
    start_holding(board, 1)
}

/// With a reader that holds so many pictures.
fn start_holding(board: &Board, held: u32) -> (BoardChannel<'_>, Queue) {
    let mut channel = board.channel(Direction::Write, 3);
    let (queue, started) = Queue::start(&mut channel, PICTURE, &Board::addresses(3 + held), board.time()).unwrap();
    assert_eq!(started, Outcome::default());
    (channel, queue)
}

/// The number of the camera's frame in a picture; panics if it is not one whole frame.
fn frame_in(board: &Board, picture: u8) -> u64 {
    let bytes = board.ram.dump(Board::address(picture.into()), BYTES).unwrap();
    let pixels: Vec<u32> = bytes.chunks_exact(4).map(|pixel| Format::Xrgb8888.decode(pixel)).collect();
    let frame = u64::from(pixels[0]);
    for (position, colour) in (0..).zip(pixels) {
        assert_eq!(colour, camera_pixel(frame, position % 32, position / 32), "pixel {position} of frame {frame}");
    }
    frame
}

/// Runs until `end`, feeding the queue.
fn run(board: &Board, channel: &mut BoardChannel<'_>, queue: &mut Queue, end: u64) {
    while board.now.get() < end {
        let outcome = board.step(channel, end);
        queue.on_outcome(channel, &outcome);
    }
}

#[test]
fn a_reader_that_keeps_up_gets_every_frame_whole() {
    let board = Board::stores(3);
    let (mut channel, mut queue) = start(&board);
    let mut frames = Vec::new();
    while frames.len() < 300 {
        let outcome = board.step(&mut channel, u64::MAX);
        queue.on_outcome(&channel, &outcome);
        if let Some(picture) = queue.take(&mut channel) {
            frames.push(frame_in(&board, picture));
        }
    }
    let wanted: Vec<u64> = (frames[0]..frames[0] + 300).collect();
    assert_eq!((frames, queue.lost()), (wanted, 0));
    board.silent();
}

#[test]
fn a_slow_reader_gets_young_frames_and_its_picture_is_left_alone() {
    let board = Board::stores(3);
    let (mut channel, mut queue) = start(&board);
    let mut last = None;
    for round in 0..60 {
        let end = board.now.get() + (1 + round % 7) * FRAME / 2;
        run(&board, &mut channel, &mut queue, end);
        let Some(picture) = queue.take(&mut channel) else { continue };
        let frame = frame_in(&board, picture);
        assert!(Some(frame) > last, "frame {frame} after {last:?}");
        last = Some(frame);
        let age = board.now.get() / FRAME - frame;
        assert!(age <= 2, "{age} frames old");
        // It stays as it is for as long as the reader wants.
        let end = board.now.get() + 5 * FRAME;
        run(&board, &mut channel, &mut queue, end);
        assert_eq!(frame_in(&board, picture), frame);
    }
    assert!(queue.lost() > 100);
    board.silent();
}

#[test]
fn interrupts_that_are_handled_late_cost_frames_but_damage_none() {
    let board = Board::stores(3);
    let (mut channel, mut queue) = start(&board);
    let mut taken = 0;
    for round in 0..200_u64 {
        // The engine runs on its own for up to nearly two frames.
        let end = board.now.get() + round * 7_919_777 % (2 * FRAME - FRAME / 4);
        board.now.set(end);
        board.vdma.borrow_mut().advance(end, &mut &board.ram);
        let outcome = board.step(&mut channel, end);
        queue.on_outcome(&channel, &outcome);
        if let Some(picture) = queue.take(&mut channel) {
            taken += 1;
            frame_in(&board, picture);
        }
    }
    assert!(taken > 50, "{taken}");
    board.silent();
}

#[test]
fn a_reader_that_holds_two_gives_back_the_older_one() {
    let board = Board::stores(3);
    let (mut channel, mut queue) = start_holding(&board, 2);
    let mut held: Vec<(u8, u64)> = Vec::new();
    for round in 0..60 {
        let end = board.now.get() + (1 + round % 7) * FRAME / 2;
        run(&board, &mut channel, &mut queue, end);
        // What is held stays as it is, and is not given out again.
        for (picture, frame) in &held {
            assert_eq!(frame_in(&board, *picture), *frame);
        }
        let Some(picture) = queue.take(&mut channel) else { continue };
        assert!(held.iter().skip(held.len().saturating_sub(1)).all(|(other, _)| *other != picture));
        held.push((picture, frame_in(&board, picture)));
        if held.len() > 2 {
            held.remove(0);
        }
    }
    assert!(queue.lost() > 20);
    board.silent();
}

#[test]
fn a_reader_holds_one_or_two() {
    let board = Board::stores(3);
    let mut channel = board.channel(Direction::Write, 3);
    for wanted in [0, 1, 2, 3, 6] {
        let refused = Queue::start(&mut channel, PICTURE, &Board::addresses(wanted), board.time()).unwrap_err();
        assert_eq!(refused, SetupError::Stores { wanted: wanted as usize, stores: 3 });
    }
}

#[test]
fn pictures_go_from_the_camera_to_the_screen_without_a_copy() {
    let board = Board::stores(3);
    let (mut camera, mut queue) = start_holding(&board, 2);
    let mut display = board.channel(Direction::Read, 3);
    let mut flipping = false;
    while board.now.get() < 120 * FRAME {
        let now = board.now.get() + FRAME / 64;
        board.now.set(now);
        board.vdma.borrow_mut().advance(now, &mut &board.ram);
        let lines = board.vdma.borrow().interrupts();
        if lines & 1 != 0 {
            flipping &= display.on_interrupt(board.time()).flipped.is_none();
        }
        if lines & 2 != 0 {
            let outcome = camera.on_interrupt(board.time());
            queue.on_outcome(&camera, &outcome);
        }
        if flipping {
            continue;
        }
        let Some(picture) = queue.take(&mut camera) else { continue };
        let address = Board::address(picture.into());
        if display.state() == State::Stopped {
            assert_eq!(display.flip_to(address), Err(FlipError::NotParked));
            display.start(PICTURE, &[address; 2], Mode::Parked(0), board.time()).unwrap();
        } else {
            display.flip_to(address).unwrap();
            assert_eq!(display.flip_to(address), Err(FlipError::Pending));
            flipping = true;
        }
    }
    // Each is one whole frame of the camera, and none is shown after a later one.
    let shown: Vec<u32> = board.tags().into_iter().map(Option::unwrap).collect();
    assert!(shown.len() > 100 && shown.is_sorted(), "{shown:?}");
    let first = shown[0];
    assert!(shown.iter().zip(first..).all(|(shown, ideal)| ideal - shown <= 1), "{shown:?}");
    board.silent();
}

#[test]
fn stream_errors_are_counted_and_damaged_frames_are_left_out() {
    for (fault, name) in [
        (StreamFault::ShortFrame, 0),
        (StreamFault::ShortLine, 1),
        (StreamFault::LongFrame, 2),
        (StreamFault::LongLine, 3),
    ] {
        let board = Board::stores(3);
        let (mut channel, mut queue) = start(&board);
        run(&board, &mut channel, &mut queue, 3 * FRAME);
        queue.take(&mut channel).unwrap();
        board.vdma.borrow_mut().source_mut().unwrap().inject(fault);
        for _ in 0..12 {
            let outcome = board.step(&mut channel, board.now.get() + FRAME);
            queue.on_outcome(&channel, &outcome);
            assert_eq!(outcome.change, None);
            if let Some(picture) = queue.take(&mut channel) {
                frame_in(&board, picture);
            }
        }
        let counters = channel.counters();
        let mut wanted = [0; 4];
        wanted[name] = 1;
        assert_eq!([counters.sof_early, counters.eol_early, counters.sof_late, counters.eol_late], wanted, "{fault:?}");
        assert_eq!(counters.recoveries, 0);
        run(&board, &mut channel, &mut queue, board.now.get() + 2 * FRAME);
        let picture = queue.take(&mut channel).unwrap();
        frame_in(&board, picture);
        board.silent();
    }
}

#[test]
fn memory_errors_are_recovered() {
    for fault in [Fault::Internal, Fault::Slave, Fault::Decode] {
        let board = Board::stores(3);
        let (mut channel, mut queue) = start(&board);
        run(&board, &mut channel, &mut queue, 3 * FRAME);
        board.vdma.borrow_mut().inject(Which::Write, fault);
        let mut recovered = 0;
        for _ in 0..10 {
            let outcome = board.step(&mut channel, u64::MAX);
            queue.on_outcome(&channel, &outcome);
            recovered += u32::from(outcome.change == Some(Change::Recovered));
            if let Some(picture) = queue.take(&mut channel) {
                frame_in(&board, picture);
            }
        }
        assert_eq!((recovered, channel.counters().recoveries), (1, 1));
        board.silent();
    }
}

#[test]
fn both_channels_work_side_by_side_without_touching_each_others_parking() {
    let board = Board::stores(3);
    let mut display = board.channel(Direction::Read, 3);
    let mut camera = board.channel(Direction::Write, 3);
    for picture in 0..3 {
        board.fill(picture, 0x100 + picture);
    }
    display.start(PICTURE, &Board::addresses(3), Mode::Parked(2), board.time()).unwrap();
    let pictures: Vec<u32> = (4..7).map(Board::address).collect();
    camera.start(PICTURE, &pictures, Mode::Parked(1), board.time()).unwrap();
    for round in 0..12 {
        let end = board.now.get() + FRAME;
        board.run(&mut display, end);
        if camera.on_interrupt(board.time()).frame {
            let _ = camera.flip(round % 3);
        }
        assert_eq!(display.current(), 2);
    }
    assert!(board.tags().iter().all(|tag| *tag == Some(0x102)));
    assert!(camera.counters().frames > 8);
    display.stop(board.time());
    assert!(!board.is_touching(2));
    assert_eq!(camera.stop(board.time()), Change::Stopped.into());
    board.silent();
}
