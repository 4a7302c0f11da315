//! Bringing cards up and moving blocks, with the data compared byte by byte.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

mod bench;

use bench::{BUFFER, Board, DESCRIPTORS, RAM, RAM_LENGTH, blocks, expected};
use models::sdcard::{BLOCK_SIZE, Features};
use models::sdhci::Options;
use proptest::prelude::*;
use zelkova_sd::{Addressing, Direction, Driver, Event, Segment, State, SubmitError};

/// Every combination of what a card may and may not have.
fn all_cards() -> impl Iterator<Item = Features> {
    (0..16).filter_map(|bits| {
        let base = if bits & 1 == 0 { Features::SDSC } else { Features::SDHC };
        let features =
            Features { version_2: bits & 2 == 0, four_bit: bits & 4 == 0, high_speed: bits & 8 == 0, ..base };
        (features.version_2 || !features.high_capacity).then_some(features)
    })
}

#[test]
fn every_kind_of_card_comes_up_as_what_it_is() {
    for features in all_cards() {
        let board = Board::new(features.clone());
        let (mut driver, card) = board.ready();
        let addressing = if features.high_capacity { Addressing::Blocks } else { Addressing::Bytes };
        assert_eq!(card.addressing, addressing, "{features:?}");
        assert_eq!(card.blocks, blocks(&features));
        assert_eq!(card.four_bit, features.four_bit);
        assert_eq!(card.high_speed, features.high_speed);
        assert_eq!(card.clock, if features.high_speed { 50_000_000 } else { 25_000_000 });
        assert!(!card.read_only);
        assert_eq!(&card.identification.product()[..3], b"MOD");
        assert_eq!(driver.card(), Some(&card));
        assert_eq!(board.read(&mut driver, 1, 3).unwrap(), expected(1, 3));
        board.check(&mut driver);
        board.assert_clean();
    }
}

#[test]
fn a_host_without_high_speed_stays_at_default_speed() {
    let options = Options { capabilities: Options::ZYNQ7000.capabilities & !(1 << 21), ..Options::ZYNQ7000 };
    let board = Board::with_options(Features::SDHC, options);
    let (mut driver, card) = board.ready();
    assert!(!card.high_speed);
    assert_eq!(card.clock, 25_000_000);
    board.check(&mut driver);
    board.assert_clean();
}

#[test]
fn the_base_clock_may_come_from_the_capabilities() {
    let options = Options { base_clock: 50_000_000, capabilities: 0x69AC_3280, ..Options::ZYNQ7000 };
    let board = Board::with_options(Features::SDSC, options);
    let table = zelkova_sd::DescriptorTable::new(&board.ram.cells()[..8], RAM);
    let mut driver = Driver::new(&board, table, 0);
    assert!(matches!(board.start(&mut driver), Event::Ready(card) if card.clock == 25_000_000));
    board.check(&mut driver);
    board.assert_clean();
}

#[test]
fn capacities() {
    use models::sdcard::{Card, SparseMedia};
    // From the smallest SDSC card to 2 TiB.
    for (features, blocks) in [
        (Features::SDSC, 4_u64),
        (Features::SDSC, 2048),
        (Features::SDSC, 1 << 21),
        (Features::SDSC, 1 << 22),
        (Features::SDHC, 1024),
        (Features::SDHC, 1 << 23),
        (Features::SDHC, 1 << 32),
    ] {
        let board = Board::empty(Options::ZYNQ7000);
        let media = Box::new(SparseMedia::new(blocks));
        board.host.borrow_mut().insert(Card::new(features, media).unwrap(), true);
        let (mut driver, card) = board.ready();
        assert_eq!(card.blocks, blocks);
        let last = u32::try_from(blocks - 1).unwrap();
        board.write(&mut driver, last, &[7; BLOCK_SIZE]).unwrap();
        assert_eq!(board.media(blocks - 1, 1), [7; BLOCK_SIZE]);
        assert_eq!(board.media(blocks - 2, 1), [0; BLOCK_SIZE]);
        board.assert_clean();
    }
}

#[test]
fn every_length_reads_the_right_blocks() {
    for features in [Features::SDSC, Features::SDHC] {
        let board = Board::new(features);
        let (mut driver, card) = board.ready();
        for count in (1..=70).chain([127, 128, 129, 255, 256, 257, 600]) {
            let first = count % 7;
            let count = count.min(600 - first);
            assert_eq!(
                board.read(&mut driver, first, count).unwrap(),
                expected(u64::from(first), u64::from(count)),
                "{count} blocks from {first}"
            );
            let last = card.blocks - u64::from(count);
            assert_eq!(board.read(&mut driver, last as u32, count).unwrap(), expected(last, u64::from(count)));
        }
        board.assert_clean();
    }
}

#[test]
fn every_length_writes_the_right_blocks_and_no_others() {
    for features in [Features::SDSC, Features::SDHC] {
        let board = Board::new(features);
        let (mut driver, _) = board.ready();
        for count in [1_u64, 2, 3, 8, 128, 129] {
            let before = board.media(10, count + 2);
            let data: Vec<u8> = (0..count as usize * BLOCK_SIZE).map(|i| (i * 7 + i / 512) as u8).collect();
            board.write(&mut driver, 11, &data).unwrap();
            let after = board.media(10, count + 2);
            assert_eq!(after[..BLOCK_SIZE], before[..BLOCK_SIZE]);
            assert_eq!(after[BLOCK_SIZE..][..data.len()], data);
            assert_eq!(after[BLOCK_SIZE + data.len()..], before[BLOCK_SIZE + data.len()..]);
            assert_eq!(board.read(&mut driver, 11, count as u32).unwrap(), data);
        }
        board.assert_clean();
    }
}

#[test]
fn segments_scatter_and_gather() {
    let board = Board::new(Features::SDHC);
    let (mut driver, _) = board.ready();
    // Lengths that are no multiples of a block, in descending order of address.
    let lengths = [4, 508, 1024, 1500, 36, 512, 512, 2048];
    let mut address = BUFFER + 0x8000;
    let segments = lengths.map(|length| {
        address -= 0x1000;
        Segment { address, length }
    });
    let count = lengths.iter().sum::<u32>() / 512;
    board.submit(&mut driver, Direction::Read, 5, count, &segments).unwrap();
    board.done(&mut driver).unwrap();
    let gathered: Vec<u8> =
        segments.iter().flat_map(|segment| board.ram.dump(segment.address, segment.length).unwrap()).collect();
    assert_eq!(gathered, expected(5, u64::from(count)));
    // Nothing beyond the end of a segment.
    assert_eq!(board.ram.dump(segments[0].address + 4, 8).unwrap(), [0; 8]);

    board.submit(&mut driver, Direction::Write, 2000, count, &segments).unwrap();
    board.done(&mut driver).unwrap();
    assert_eq!(board.media(2000, u64::from(count)), expected(5, u64::from(count)));
    board.assert_clean();
}

#[test]
fn a_segment_beyond_64_kib_takes_several_descriptors() {
    let board = Board::new(Features::SDHC);
    let mut driver = board.driver_with(2);
    assert!(matches!(board.start(&mut driver), Event::Ready(_)));
    assert_eq!(board.read(&mut driver, 0, 256).unwrap(), expected(0, 256));
    let segments = [Segment { address: BUFFER, length: 257 * 512 }];
    assert_eq!(
        board.submit(&mut driver, Direction::Read, 0, 257, &segments),
        Err(SubmitError::TooManySegments { needed: 3, capacity: 2 })
    );
    assert_eq!(driver.descriptors(), 2);
    board.check(&mut driver);
    board.assert_clean();
}

#[test]
fn bad_requests_are_refused_and_change_nothing() {
    let board = Board::new(Features::SDSC);
    let mut driver = board.driver();
    let one = [Segment { address: BUFFER, length: 512 }];
    assert_eq!(board.submit(&mut driver, Direction::Read, 0, 1, &one), Err(SubmitError::NotReady));
    assert!(matches!(board.start(&mut driver), Event::Ready(_)));
    let stores = board.stores.get();
    let refused = |driver: &mut _, block, count, segments: &[Segment]| {
        board.submit(driver, Direction::Read, block, count, segments).unwrap_err()
    };
    assert_eq!(refused(&mut driver, 0, 0, &[]), SubmitError::Count { count: 0 });
    assert_eq!(refused(&mut driver, 0, 0x1_0000, &one), SubmitError::Count { count: 0x1_0000 });
    assert_eq!(refused(&mut driver, 0, u32::MAX, &one), SubmitError::Count { count: u32::MAX });
    for (block, count) in [(8192, 1), (8191, 2), (u32::MAX, 1), (u32::MAX, 0xFFFF)] {
        assert_eq!(refused(&mut driver, block, count, &one), SubmitError::OutOfRange { block, count, blocks: 8192 });
    }
    assert_eq!(board.stores.get(), stores);

    board.submit(&mut driver, Direction::Read, 0, 1, &one).unwrap();
    assert_eq!(refused(&mut driver, 0, 1, &one), SubmitError::Busy);
    board.done(&mut driver).unwrap();
    board.check(&mut driver);
    board.assert_clean();
}

#[test]
fn bad_segments_are_refused_and_change_nothing() {
    let board = Board::new(Features::SDSC);
    let (mut driver, _) = board.ready();
    let one = [Segment { address: BUFFER, length: 512 }];
    let stores = board.stores.get();
    let refused = |driver: &mut _, block, count, segments: &[Segment]| {
        board.submit(driver, Direction::Read, block, count, segments).unwrap_err()
    };
    for segment in [
        Segment { address: BUFFER + 1, length: 512 },
        Segment { address: BUFFER + 2, length: 512 },
        Segment { address: BUFFER, length: 510 },
        Segment { address: BUFFER, length: 0 },
    ] {
        let Segment { address, length } = segment;
        assert_eq!(refused(&mut driver, 0, 1, &[segment]), SubmitError::Misaligned { address, length });
    }
    for segments in [
        &[][..],
        &[Segment { address: BUFFER, length: 508 }],
        &[Segment { address: BUFFER, length: 516 }],
        &[one[0], one[0]],
        &[Segment { address: BUFFER, length: u32::MAX - 3 }, one[0]],
        &[Segment { address: 0xFFFF_FF00, length: 512 }],
    ] {
        assert_eq!(refused(&mut driver, 0, 1, segments), SubmitError::Length { expected: 512 });
    }
    let many = [Segment { address: BUFFER, length: 4 }; 128];
    assert_eq!(refused(&mut driver, 0, 1, &many), SubmitError::TooManySegments { needed: 128, capacity: DESCRIPTORS });
    assert_eq!(board.stores.get(), stores);
    board.check(&mut driver);
    board.assert_clean();
}

#[test]
fn protected_cards_are_read_only() {
    let by_switch = Board::empty(Options::ZYNQ7000);
    by_switch.host.borrow_mut().insert(bench::card(Features::SDHC), false);
    let by_csd = Board::new(Features { write_protected: true, ..Features::SDSC });
    for board in [by_switch, by_csd] {
        let (mut driver, card) = board.ready();
        assert!(card.read_only);
        let one = [Segment { address: BUFFER, length: 512 }];
        assert_eq!(board.submit(&mut driver, Direction::Write, 0, 1, &one), Err(SubmitError::ReadOnly));
        assert_eq!(board.read(&mut driver, 0, 9).unwrap(), expected(0, 9));
        board.assert_clean();
    }
}

#[test]
fn a_card_may_look_beyond_its_end() {
    for features in [Features::SDSC, Features::SDHC] {
        let board = Board::new(Features { looks_ahead: true, ..features });
        let (mut driver, card) = board.ready();
        let first = card.blocks - 4;
        assert_eq!(board.read(&mut driver, first as u32, 4).unwrap(), expected(first, 4));
    }
}

#[test]
fn a_request_costs_one_interrupt_and_few_register_accesses() {
    let board = Board::new(Features::SDHC);
    let (mut driver, _) = board.ready();
    for direction in [Direction::Read, Direction::Write] {
        for count in [1, 128] {
            board.interrupts.set(0);
            board.loads.set(0);
            board.stores.set(0);
            board.transfer(&mut driver, direction, 0, count).unwrap();
            assert_eq!(board.interrupts.get(), 1);
            assert!(board.loads.get() <= 3, "{} loads", board.loads.get());
            assert!(board.stores.get() <= 5, "{} stores", board.stores.get());
            assert_eq!(driver.deadline(), None);
        }
    }
}

#[test]
fn the_data_time_out_is_at_least_half_a_second() {
    let board = Board::new(Features::SDHC);
    let _ready = board.ready();
    let clock = models::Device::read(&mut *board.host.borrow_mut(), 0x2C, models::Width::Word, board.now.get());
    let field = clock >> 16 & 0xF;
    let micros = (1_u64 << (13 + field)) / 100;
    assert!((500_000..2_000_000).contains(&micros), "{micros} us");
}

#[test]
fn calls_at_the_wrong_time_do_no_harm() {
    let board = Board::new(Features::SDSC);
    let mut driver = board.driver();
    let mut event = driver.start(board.micros());
    while event.is_none() {
        // May see the end of a reset, but not of a command.
        event = driver.on_interrupt(board.micros());
        assert_eq!(driver.on_interrupt(board.micros()), None);
        assert_eq!(driver.on_time(board.micros()), None);
        event = event.or_else(|| board.run_until(&mut driver, board.now.get() + 50_000));
    }
    assert!(matches!(event, Some(Event::Ready(_))));
    for _ in 0..3 {
        assert_eq!(driver.on_interrupt(board.micros()), None);
        assert_eq!(driver.on_time(board.micros() + 1_000_000_000), None);
    }
    board.check(&mut driver);
    board.assert_clean();
}

#[test]
fn start_again_from_any_state() {
    let board = Board::new(Features::SDHC);
    let mut driver = board.driver();
    let mut at = 0;
    loop {
        assert_eq!(driver.start(board.micros()), None);
        at += 400_000;
        match board.run_until(&mut driver, board.now.get() + at) {
            None => {}
            Some(Event::Ready(_)) => break,
            Some(other) => panic!("{other:?}"),
        }
    }
    let segments = [Segment { address: BUFFER, length: 64 * 512 }];
    board.submit(&mut driver, Direction::Write, 0, 64, &segments).unwrap();
    assert_eq!(board.run_until(&mut driver, board.now.get() + 1_000_000), None);
    assert_eq!(driver.state(), State::Writing);
    assert!(matches!(board.start(&mut driver), Event::Ready(_)));
    board.check(&mut driver);
    board.assert_clean();
}

#[derive(Clone, Debug)]
struct Request {
    write: bool,
    block: u32,
    count: u32,
    /// Where to cut the buffer, in words from its start.
    cuts: Vec<u32>,
    gap: u32,
    seed: u8,
}

fn request() -> impl Strategy<Value = Request> {
    (
        any::<bool>(),
        prop_oneof![0..200_u32, 8100..8200_u32],
        prop_oneof![1..4_u32, 1..100_u32],
        prop::collection::vec(0..12_800_u32, 0..20),
        0..3_u32,
        any::<u8>(),
    )
        .prop_map(|(write, block, count, cuts, gap, seed)| Request {
            write,
            block,
            count,
            cuts,
            gap: gap * 64,
            seed,
        })
}

/// Segments for `bytes` bytes, cut and spread over memory.
fn segments(request: &Request) -> Vec<Segment> {
    let bytes = request.count * 512;
    let mut cuts: Vec<u32> = request.cuts.iter().map(|cut| cut * 4).filter(|cut| *cut > 0 && *cut < bytes).collect();
    cuts.push(bytes);
    cuts.sort_unstable();
    cuts.dedup();
    let mut address = BUFFER;
    let mut from = 0;
    cuts.into_iter()
        .map(|to| {
            let segment = Segment { address, length: to - from };
            address += segment.length + request.gap;
            from = to;
            segment
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// A card behaves like a vector of bytes.
    #[test]
    fn random_requests(high_capacity: bool, requests in prop::collection::vec(request(), 1..30)) {
        let board = Board::new(Features { high_capacity, ..Features::SDSC });
        let (mut driver, card) = board.ready();
        // The part of the card that requests can reach.
        let reach = card.blocks.min(8300);
        let mut model = board.media(0, reach);
        for request in requests {
            let Request { write, block, count, seed, .. } = request;
            let segments = segments(&request);
            let direction = if write { Direction::Write } else { Direction::Read };
            let data: Vec<u8> = (0..count * 512).map(|i| (i % 251) as u8 ^ seed).collect();
            let mut offset = 0;
            for segment in &segments {
                let part = &data[offset..][..segment.length as usize];
                board.ram.load(segment.address, part).unwrap();
                offset += part.len();
            }
            let span = block as usize * 512..(block + count) as usize * 512;
            match board.submit(&mut driver, direction, block, count, &segments) {
                Ok(()) => board.done(&mut driver).unwrap(),
                Err(SubmitError::OutOfRange { .. }) => {
                    prop_assert!(u64::from(block + count) > card.blocks);
                    continue;
                }
                Err(SubmitError::TooManySegments { .. }) => {
                    prop_assert!(segments.len() > DESCRIPTORS);
                    continue;
                }
                Err(other) => panic!("{other}"),
            }
            prop_assert!(segments.len() <= DESCRIPTORS && u64::from(block + count) <= card.blocks);
            if write {
                model[span].copy_from_slice(&data);
            } else {
                let read: Vec<u8> = segments
                    .iter()
                    .flat_map(|segment| board.ram.dump(segment.address, segment.length).unwrap())
                    .collect();
                prop_assert!(read == model[span], "{block}+{count} differs");
            }
        }
        prop_assert!(board.media(0, reach) == model);
        prop_assert!(BUFFER + 100 * 512 + 20 * 128 < RAM + RAM_LENGTH);
        board.assert_clean();
    }
}
