//! The video DMA engine against its product guide (PG020), by a processor that polls.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

use zelkova_models::memory::Ram;
use zelkova_models::vdma::{Fault, FrameSync, Genlock, Options, Vdma, Which};
use zelkova_models::video::{Format, Mode, Sink, Source, StreamFault, camera_pixel};
use zelkova_models::{Device, Width};

/// A small picture: 32 x 24 at 60 Hz.
const MODE: Mode =
    Mode { width: 32, height: 24, total_width: 40, total_height: 30, blanking_before: 4, pixel_clock: 72_000 };
const FRAME: u64 = 16_666_667;
const RAM: u32 = 0x10_0000;
const LINE: u32 = 32 * 4;
const STORE: u32 = LINE * 24;

const CR: u32 = 0x00;
const SR: u32 = 0x04;
const INDEX: u32 = 0x14;
const VSIZE: u32 = 0x50;
const HSIZE: u32 = 0x54;
const STRIDE: u32 = 0x58;
const ADDRESS: u32 = 0x5C;
/// From a register of the read channel to that of the write channel.
const WRITE_CONTROL: u32 = 0x30;
const WRITE_SIZES: u32 = 0x50;
const PARK: u32 = 0x28;
const MASK: u32 = 0x3C;

const RUN: u32 = 1;
const CIRCULAR: u32 = 2;
const RESET: u32 = 4;
const GENLOCK: u32 = 8;
const COUNT_ENABLE: u32 = 0x10;
const INTERNAL_GENLOCK: u32 = 0x80;
const ALL_INTERRUPTS: u32 = 0x7000;
const ONE_FRAME: u32 = 0x1_0000;

const HALTED: u32 = 1;
const INT_ERR: u32 = 1 << 4;
const SLV_ERR: u32 = 1 << 5;
const DEC_ERR: u32 = 1 << 6;
const SOF_EARLY: u32 = 1 << 7;
const EOL_EARLY: u32 = 1 << 8;
const SOF_LATE: u32 = 1 << 11;
const FRAME_IRQ: u32 = 1 << 12;
const DELAY_IRQ: u32 = 1 << 13;
const ERROR_IRQ: u32 = 1 << 14;
const EOL_LATE: u32 = 1 << 15;

struct Bench {
    vdma: Vdma,
    ram: Ram,
    now: u64,
}

impl Bench {
    fn new(options: Options) -> Self {
        let sink = Sink::new(MODE, Format::Xrgb8888, 0);
        let source = Source::new(MODE, Format::Xrgb8888, 0);
        Self { vdma: Vdma::new(options, Some(sink), Some(source)), ram: Ram::new(RAM, 34 * STORE), now: 1 }
    }

    fn stores(stores: u8) -> Self {
        Self::new(Options { stores, ..Options::TRIPLE_BUFFER })
    }

    fn r(&mut self, offset: u32) -> u32 {
        self.vdma.read(offset, Width::Word, self.now)
    }

    fn w(&mut self, offset: u32, value: u32) {
        self.vdma.write(offset, Width::Word, value, self.now);
    }

    /// Lets time pass, looking at every event in turn.
    fn sleep(&mut self, time: u64) {
        let end = self.now + time;
        while let Some(next) = self.vdma.next_event().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.vdma.advance(self.now, &mut &self.ram);
        }
        self.now = end;
        self.vdma.advance(self.now, &mut &self.ram);
    }

    /// Up to shortly before the vertical sync of a frame.
    fn sleep_until_frame(&mut self, frame: u64) {
        let until = MODE.time_of(frame, 0) - 1000;
        self.sleep(until - self.now);
    }

    fn address(store: u32) -> u32 {
        RAM + store * STORE
    }

    /// Fills a frame store with one colour.
    fn fill(&self, store: u32, colour: u32) {
        for cell in &self.ram.cells()[(store * STORE / 4) as usize..((store + 1) * STORE / 4) as usize] {
            cell.store(colour, std::sync::atomic::Ordering::Relaxed);
        }
    }

    /// Sets a channel running on the first frame stores, in the order that PG020 demands.
    fn start(&mut self, which: Which, control: u32, stores: u32) {
        let (cr, sizes) = if which == Which::Read { (0, 0) } else { (WRITE_CONTROL, WRITE_SIZES) };
        self.w(CR + cr, control | RUN);
        for store in 0..stores {
            if store == 16 {
                self.w(INDEX + cr, 1);
            }
            self.w(ADDRESS + sizes + store % 16 * 4, Self::address(store));
        }
        self.w(STRIDE + sizes, LINE);
        self.w(HSIZE + sizes, LINE);
        self.w(VSIZE + sizes, 24);
    }

    fn tags(&self) -> Vec<Option<u32>> {
        self.vdma.sink().unwrap().records().map(zelkova_models::video::Record::tag).collect()
    }

    fn silent(&mut self) {
        assert_eq!(self.vdma.complaints(), Vec::<String>::new());
    }
}

#[test]
fn registers_have_their_reset_values() {
    let mut bench = Bench::stores(32);
    for (offset, value) in
        [(0x00, 0x0001_0082), (0x04, 0x0001_0001), (0x28, 0), (0x30, 0x0001_0082), (0x34, 0x0001_0001)]
    {
        assert_eq!(bench.r(offset), value, "{offset:#x}");
    }
    assert_eq!(bench.r(0x2C) >> 20, 0x620, "version 6, minor 0x20");
    for offset in [0x14, 0x3C, 0x44, 0x50, 0x54, 0x58, 0x5C, 0x98, 0xA0, 0xA4, 0xA8, 0xAC, 0xE8, 0xF0, 0xF4] {
        assert_eq!(bench.r(offset), 0, "{offset:#x}");
    }
    bench.silent();
    for offset in [0x08, 0x0C, 0x10, 0x18, 0x38, 0x40, 0x48, 0x9C, 0xEC, 0xF8] {
        assert_eq!(bench.r(offset), 0, "{offset:#x}");
        assert_eq!(bench.vdma.complaints().len(), 1, "{offset:#x}");
        bench.w(offset, u32::MAX);
        assert_eq!(bench.vdma.complaints().len(), 1, "{offset:#x}");
    }
}

#[test]
fn registers_keep_the_bits_that_exist() {
    let mut bench = Bench::stores(32);
    for base in [0, WRITE_SIZES] {
        for (offset, kept) in [(VSIZE, 0x1FFF), (HSIZE, 0xFFFF), (STRIDE, 0x1F00_FFFF), (ADDRESS, u32::MAX)] {
            bench.w(offset + base, u32::MAX);
            assert_eq!(bench.r(offset + base), kept, "{offset:#x}");
        }
    }
    bench.w(PARK, u32::MAX);
    assert_eq!(bench.r(PARK), 0x1F1F);
    bench.w(MASK, u32::MAX);
    assert_eq!(bench.r(MASK), 0xF);
    bench.w(CR, 0xFFFF_FFFA);
    assert_eq!(bench.r(CR), 0xFFFF_FF9A);
    bench.w(CR, 0);
    assert_eq!(bench.r(CR), ONE_FRAME, "a frame count of 0 is 1");
    bench.w(0x2C, 0);
    assert_eq!(bench.r(0x2C) >> 20, 0x620);
}

#[test]
fn the_register_index_reaches_the_upper_start_addresses_and_exists_only_for_them() {
    let mut bench = Bench::stores(32);
    for base in [0, WRITE_CONTROL] {
        let sizes = if base == 0 { 0 } else { WRITE_SIZES };
        for index in 0..2 {
            bench.w(INDEX + base, index);
            assert_eq!(bench.r(INDEX + base), index);
            for register in 0..16 {
                bench.w(ADDRESS + sizes + 4 * register, 0x1000 * (16 * index + register));
            }
        }
        for index in 0..2 {
            bench.w(INDEX + base, index);
            for register in 0..16 {
                assert_eq!(bench.r(ADDRESS + sizes + 4 * register), 0x1000 * (16 * index + register));
            }
        }
    }
    bench.silent();
    let mut bench = Bench::stores(16);
    bench.w(INDEX, 1);
    assert_eq!(bench.r(INDEX), 0);
    bench.silent();
    let mut bench = Bench::stores(3);
    bench.w(ADDRESS + 12, 0x1000);
    assert_eq!(bench.r(ADDRESS + 12), 0);
    assert_eq!(bench.vdma.complaints().len(), 1);
}

#[test]
fn a_reset_takes_time_and_leaves_the_other_channel_alone() {
    let mut bench = Bench::stores(3);
    bench.start(Which::Read, CIRCULAR | ALL_INTERRUPTS, 3);
    bench.w(PARK, 0x0102);
    bench.w(MASK, 5);
    bench.w(HSIZE + WRITE_SIZES, 128);
    bench.w(CR, RESET);
    assert_eq!(bench.r(CR) & RESET, RESET);
    bench.w(HSIZE, 8);
    assert_eq!(bench.vdma.complaints().len(), 1, "written during the reset");
    bench.sleep(2000);
    assert_eq!(bench.r(CR), 0x0001_0082);
    assert_eq!(bench.r(SR), 0x0001_0001);
    assert_eq!([bench.r(VSIZE), bench.r(HSIZE), bench.r(STRIDE), bench.r(ADDRESS)], [0; 4]);
    assert_eq!(bench.r(PARK), 0x0100);
    assert_eq!([bench.r(MASK), bench.r(HSIZE + WRITE_SIZES)], [5, 128]);
    bench.w(CR + WRITE_CONTROL, RESET);
    bench.sleep(2000);
    assert_eq!([bench.r(MASK), bench.r(HSIZE + WRITE_SIZES), bench.r(PARK)], [0; 3]);
    bench.silent();
}

#[test]
fn nothing_moves_before_vsize_is_written_and_that_only_while_running() {
    let mut bench = Bench::stores(3);
    bench.w(ADDRESS, RAM);
    bench.w(STRIDE, LINE);
    bench.w(HSIZE, LINE);
    bench.w(VSIZE, 24);
    assert_eq!(bench.vdma.complaints().len(), 1);
    bench.w(CR, RUN | ONE_FRAME);
    assert_eq!(bench.r(SR) & HALTED, 0);
    bench.sleep(3 * FRAME);
    assert_eq!(bench.vdma.transfers().count(), 0);
    bench.w(VSIZE, 24);
    bench.sleep(3 * FRAME);
    assert_eq!(bench.vdma.transfers().count(), 3);
    bench.silent();
}

#[test]
fn the_sink_sees_what_lies_in_memory_in_every_format_with_gaps_between_lines() {
    for format in Format::ALL {
        let sink = Sink::new(MODE, format, 0);
        let mut bench = Bench::stores(1);
        bench.vdma = Vdma::new(Options { realignment: true, ..Options::TRIPLE_BUFFER }, Some(sink), None);
        let (line, stride) = (32 * format.bytes(), 32 * format.bytes() + 24);
        for y in 0..24 {
            for x in 0..32 {
                let pixel = format.encode(camera_pixel(7, x, y));
                let at = RAM + 3 + y * stride + x * format.bytes();
                bench.ram.load(at, &pixel[..format.bytes() as usize]).unwrap();
            }
        }
        bench.w(CR, RUN | ONE_FRAME);
        bench.w(ADDRESS, RAM + 3);
        bench.w(STRIDE, stride);
        bench.w(HSIZE, line);
        bench.w(VSIZE, 24);
        bench.sleep(3 * FRAME);
        let frame = bench.vdma.sink().unwrap().screen().unwrap();
        for (position, colour) in (0..).zip(frame.colours()) {
            let wanted = camera_pixel(7, position % 32, position / 32);
            let wanted = format.decode(&format.encode(wanted)[..format.bytes() as usize]);
            assert_eq!(colour, wanted, "{format:?} {position}");
        }
        assert!(bench.vdma.sink().unwrap().records().all(zelkova_models::video::Record::is_complete));
        bench.silent();
    }
}

#[test]
fn addresses_without_realignment_engine_must_be_aligned() {
    let mut bench = Bench::stores(1);
    bench.fill(0, 0x11_2233);
    for (address, stride, hsize) in [(RAM + 4, LINE, LINE), (RAM, LINE + 4, LINE), (RAM, LINE, LINE + 4)] {
        bench.w(CR, RUN | ONE_FRAME);
        bench.w(ADDRESS, address);
        bench.w(STRIDE, stride);
        bench.w(HSIZE, hsize);
        bench.w(VSIZE, 24);
        assert_eq!(bench.vdma.complaints().len(), 1);
    }
    bench.sleep(2 * FRAME);
    assert_eq!(bench.vdma.transfers().last().unwrap().address, RAM, "the low bits are ignored");
    bench.vdma = Vdma::new(Options { realignment: true, ..Options::TRIPLE_BUFFER }, None, None);
    bench.start(Which::Read, CIRCULAR, 1);
    bench.w(ADDRESS, RAM + 3);
    bench.w(VSIZE, 24);
    bench.silent();
}

#[test]
fn circular_goes_through_any_number_of_frame_stores() {
    for stores in [1, 2, 3, 15, 16, 17, 31, 32] {
        let mut bench = Bench::stores(stores);
        for store in 0..u32::from(stores) {
            bench.fill(store, 0x100 + store);
        }
        bench.start(Which::Read, CIRCULAR | ONE_FRAME, stores.into());
        bench.sleep_until_frame(2 * u64::from(stores) + 1);
        let stores = u32::from(stores);
        let wanted: Vec<Option<u32>> = (0..2 * stores).map(|frame| Some(0x100 + frame % stores)).collect();
        assert_eq!(bench.tags(), wanted);
        assert_eq!(bench.r(PARK) >> 16 & 0x1F, stores - 1, "RdFrmStore");
        bench.silent();
    }
}

#[test]
fn parked_stays_on_every_frame_store_and_moves_at_the_next_frame() {
    let mut bench = Bench::stores(32);
    for store in 0..32 {
        bench.fill(store, 0x100 + store);
    }
    bench.start(Which::Read, ONE_FRAME, 32);
    for store in 0..32 {
        bench.w(PARK, store);
        assert_eq!(bench.r(PARK) & 0x1F, store);
        bench.sleep_until_frame(2 * u64::from(store) + 3);
        assert_eq!(bench.r(PARK) >> 16 & 0x1F, store);
    }
    let wanted: Vec<Option<u32>> = (0..64).map(|frame| Some(0x100 + frame / 2)).collect();
    assert_eq!(bench.tags(), wanted);
    // Back to circular: on from where it is.
    bench.w(CR, CIRCULAR | RUN | ONE_FRAME);
    bench.sleep(2 * FRAME);
    assert_eq!(bench.tags()[64..], [Some(0x100), Some(0x101)]);
    bench.silent();
    let mut bench = Bench::stores(2);
    bench.start(Which::Read, ONE_FRAME, 2);
    bench.w(PARK, 2);
    bench.sleep(2 * FRAME);
    assert!(!bench.vdma.complaints().is_empty(), "parked where no frame store is");
}

#[test]
fn parameters_hold_from_the_frame_after_vsize() {
    let mut bench = Bench::stores(1);
    bench.fill(0, 1);
    bench.fill(1, 2);
    bench.start(Which::Read, ONE_FRAME, 1);
    bench.sleep_until_frame(2);
    bench.w(ADDRESS, Bench::address(1));
    bench.sleep_until_frame(4);
    assert_eq!(bench.tags(), [Some(1); 3], "an address alone changes nothing");
    bench.sleep(FRAME / 2);
    bench.w(VSIZE, 24);
    bench.sleep_until_frame(6);
    assert_eq!(bench.tags(), [Some(1), Some(1), Some(1), Some(1), Some(2)], "not in the middle of a frame");
}

#[test]
fn a_picture_that_is_drawn_while_it_is_read_is_torn() {
    let mut bench = Bench::stores(1);
    bench.fill(0, 1);
    bench.start(Which::Read, ONE_FRAME, 1);
    bench.sleep(MODE.time_of(1, MODE.blanking_before + 12) - bench.now);
    bench.fill(0, 2);
    bench.sleep_until_frame(3);
    let records: Vec<_> = bench.vdma.sink().unwrap().records().cloned().collect();
    assert_eq!(records[0].tag(), None);
    assert_eq!(records[0].runs.iter().map(|run| run.tag).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(records[0].runs[1].line % Options::TRIPLE_BUFFER.buffered_lines, 0);
    assert_eq!(records[1].tag(), Some(2));
    assert_ne!(records[0].checksum, records[1].checksum);
}

#[test]
fn the_frame_counter_interrupts_after_so_many_frames_and_is_cleared_by_a_one() {
    let mut bench = Bench::stores(3);
    bench.start(Which::Read, CIRCULAR | 1 << 12 | 3 << 16, 3);
    assert_eq!(bench.r(SR) >> 16 & 0xFF, 3);
    bench.sleep_until_frame(2);
    assert_eq!((bench.r(SR) >> 16 & 0xFF, bench.r(SR) & FRAME_IRQ, bench.vdma.interrupts()), (2, 0, 0));
    bench.sleep_until_frame(4);
    assert_eq!((bench.r(SR) >> 16 & 0xFF, bench.r(SR) & FRAME_IRQ, bench.vdma.interrupts()), (3, FRAME_IRQ, 1));
    bench.w(SR, ERROR_IRQ | DELAY_IRQ);
    assert_eq!(bench.vdma.interrupts(), 1);
    bench.w(SR, FRAME_IRQ);
    assert_eq!((bench.r(SR) & FRAME_IRQ, bench.vdma.interrupts()), (0, 0));
    bench.sleep_until_frame(7);
    bench.w(CR, CIRCULAR | RUN | 3 << 16);
    assert_eq!((bench.r(SR) & FRAME_IRQ, bench.vdma.interrupts()), (FRAME_IRQ, 0), "not enabled");
    bench.w(CR, CIRCULAR | RUN | 5 << 16);
    assert_eq!(bench.r(SR) >> 16 & 0xFF, 5, "a new value starts the counter anew");
}

#[test]
fn the_frame_counter_can_end_the_channel() {
    let mut bench = Bench::stores(3);
    bench.start(Which::Read, CIRCULAR | COUNT_ENABLE | 2 << 16, 3);
    bench.sleep(6 * FRAME);
    assert_eq!(bench.vdma.transfers().count(), 2);
    assert_eq!((bench.r(CR) & RUN, bench.r(SR) & HALTED), (0, HALTED));
}

#[test]
fn the_delay_counter_runs_from_the_sync_to_the_first_line() {
    let mut bench = Bench::stores(1);
    // The first line comes 4 lines of 555 us after the sync: 2667 units of 833 ns.
    bench.start(Which::Read, ONE_FRAME | 1 << 13 | 200 << 24, 1);
    bench.sleep(MODE.time_of(1, 0) + 100 * 833 - bench.now);
    assert_eq!((bench.r(SR) >> 24, bench.r(SR) & DELAY_IRQ), (100, 0));
    bench.sleep(101 * 833);
    assert_eq!((bench.r(SR) & DELAY_IRQ, bench.vdma.interrupts()), (DELAY_IRQ, 1));
    bench.w(SR, DELAY_IRQ);
    assert_eq!(bench.vdma.interrupts(), 0);
    bench.sleep(FRAME / 2);
    assert_eq!(bench.r(SR) & DELAY_IRQ, 0, "once a frame");
    bench.w(CR, RUN | ONE_FRAME | 1 << 13);
    bench.sleep(3 * FRAME);
    assert_eq!(bench.r(SR) & DELAY_IRQ, 0, "0 switches it off");
}

#[test]
fn stopping_ends_with_the_frame() {
    let mut bench = Bench::stores(1);
    bench.start(Which::Read, ONE_FRAME, 1);
    bench.sleep(MODE.time_of(1, MODE.blanking_before + 4) - bench.now);
    assert!(bench.vdma.is_touching(RAM, 4));
    assert!(!bench.vdma.is_touching(RAM + STORE, STORE));
    bench.w(CR, ONE_FRAME);
    assert_eq!(bench.r(SR) & HALTED, 0);
    bench.sleep_until_frame(2);
    assert_eq!(bench.r(SR) & HALTED, HALTED);
    assert!(!bench.vdma.is_touching(RAM, STORE));
    bench.sleep(3 * FRAME);
    assert_eq!(bench.vdma.transfers().count(), 1);
    assert!(bench.vdma.sink().unwrap().screen().is_none(), "the screen is blank");
    assert_eq!(bench.vdma.next_event(), None);
}

#[test]
fn errors_of_memory_halt_until_a_reset() {
    for (fault, bit) in [(Fault::Internal, INT_ERR), (Fault::Slave, SLV_ERR), (Fault::Decode, DEC_ERR)] {
        for which in [Which::Read, Which::Write] {
            let (control, line) = if which == Which::Read { (0, 1) } else { (WRITE_CONTROL, 2) };
            let mut bench = Bench::stores(3);
            bench.start(which, CIRCULAR | 1 << 14 | ONE_FRAME, 3);
            bench.sleep_until_frame(3);
            bench.vdma.inject(which, fault);
            bench.sleep(FRAME);
            let status = bench.r(SR + control);
            assert_eq!(status & 0x8FF1, bit | HALTED, "{fault:?} {which:?} {status:#x}");
            assert_eq!(status & ERROR_IRQ, ERROR_IRQ);
            assert_eq!(bench.vdma.interrupts(), line);
            assert_eq!(bench.r(CR + control) & RUN, 0);
            let store = bench.r(PARK);
            bench.w(SR + control, u32::MAX);
            let left = if fault == Fault::Internal { 0 } else { bit };
            assert_eq!(bench.r(SR + control) & 0x8FF1, left | HALTED, "only the internal error is cleared by a one");
            assert_eq!(bench.vdma.interrupts(), 0);
            bench.silent();
            bench.w(CR + control, RUN | ONE_FRAME);
            assert_eq!(bench.vdma.complaints().len(), 1);
            bench.sleep(FRAME);
            assert_eq!((bench.r(SR + control) & HALTED, bench.r(PARK)), (HALTED, store));
            bench.w(CR + control, RESET);
            bench.sleep(2000);
            bench.start(which, CIRCULAR | ONE_FRAME, 3);
            let before = bench.vdma.transfers().count();
            bench.sleep(2 * FRAME);
            assert_eq!(bench.vdma.transfers().count(), before + 2);
            assert_eq!(bench.r(SR + control) & 0x8FF1, 0);
            bench.silent();
        }
    }
}

#[test]
fn an_address_where_no_memory_is_is_a_decode_error_and_a_size_of_zero_an_internal_one() {
    let mut bench = Bench::stores(1);
    bench.start(Which::Read, ONE_FRAME, 1);
    bench.w(ADDRESS, 0x4000_0000);
    bench.w(VSIZE, 24);
    bench.sleep(2 * FRAME);
    assert_eq!(bench.r(SR) & 0xFF1, DEC_ERR | HALTED);
    for (hsize, vsize) in [(0, 24), (LINE, 0)] {
        let mut bench = Bench::stores(1);
        bench.start(Which::Read, ONE_FRAME, 1);
        bench.w(HSIZE, hsize);
        bench.w(VSIZE, vsize);
        assert_eq!(bench.r(SR) & INT_ERR, 0, "not before the frame begins");
        bench.sleep(FRAME);
        assert_eq!(bench.r(SR) & 0xFF1, INT_ERR | HALTED);
    }
}

#[test]
fn a_reset_can_hang() {
    let mut bench = Bench::stores(1);
    bench.vdma.inject(Which::Read, Fault::Reset);
    bench.w(CR, RESET);
    bench.sleep(FRAME);
    assert_eq!(bench.r(CR) & RESET, RESET);
}

#[test]
fn a_sync_before_the_end_of_the_frame_is_told_and_the_next_frame_is_right() {
    let mut bench = Bench::stores(2);
    bench.fill(0, 1);
    bench.fill(1, 2);
    bench.start(Which::Read, CIRCULAR | ONE_FRAME | 1 << 14, 2);
    bench.sleep_until_frame(2);
    bench.vdma.sink_mut().unwrap().inject_early_sync();
    bench.sleep(FRAME);
    assert_eq!(bench.r(SR) & 0xFF1, SOF_EARLY, "and it does not halt");
    assert_eq!(bench.vdma.interrupts(), 1);
    bench.w(SR, SOF_EARLY | ERROR_IRQ);
    assert_eq!((bench.r(SR) & SOF_EARLY, bench.vdma.interrupts()), (0, 0));
    bench.sleep(4 * FRAME);
    assert_eq!(bench.r(SR) & SOF_EARLY, 0);
    let tags = bench.tags();
    assert_eq!(tags[..4], [Some(1), None, None, Some(1)], "half a frame, a blank one, and on");
    // As when more lines are configured than the display takes.
    bench.w(VSIZE, 25);
    bench.sleep(3 * FRAME);
    assert_eq!(bench.r(SR) & SOF_EARLY, SOF_EARLY);
}

#[test]
fn the_camera_is_written_to_memory() {
    let mut bench = Bench::stores(2);
    bench.start(Which::Write, CIRCULAR | ONE_FRAME | 1 << 12, 2);
    bench.sleep(3 * FRAME);
    assert_eq!(bench.vdma.interrupts(), 2);
    let transfers: Vec<_> = bench.vdma.transfers().copied().collect();
    let done = transfers.iter().rev().find(|transfer| transfer.ended.is_some()).unwrap();
    assert_eq!((done.channel, done.bytes), (Which::Write, STORE));
    let bytes = bench.ram.dump(done.address, STORE).unwrap();
    let pixels: Vec<u32> = bytes.chunks_exact(4).map(|pixel| Format::Xrgb8888.decode(pixel)).collect();
    let frame = u64::from(pixels[0]);
    for (position, colour) in (0..).zip(pixels) {
        assert_eq!(colour, camera_pixel(frame, position % 32, position / 32), "{position}");
    }
    bench.silent();
}

#[test]
fn stream_errors_of_the_camera_are_told_one_by_one_without_a_halt() {
    for (fault, bit, mask, size) in [
        (StreamFault::ShortFrame, SOF_EARLY, 1, (0xF4, 12)),
        (StreamFault::ShortLine, EOL_EARLY, 2, (0xF0, LINE / 2)),
        (StreamFault::LongFrame, SOF_LATE, 4, (0xF0, 0)),
        (StreamFault::LongLine, EOL_LATE, 8, (0xF0, LINE + 32)),
    ] {
        let mut bench = Bench::stores(2);
        bench.start(Which::Write, CIRCULAR | ONE_FRAME | 1 << 14, 2);
        bench.sleep(2 * FRAME);
        assert_eq!(bench.r(0x34) & 0x8FF1, 0);
        bench.vdma.source_mut().unwrap().inject(fault);
        bench.sleep(3 * FRAME);
        assert_eq!(bench.r(0x34) & 0x8FF1, bit, "{fault:?}");
        assert_eq!(bench.vdma.interrupts(), 2);
        assert_eq!(bench.r(size.0), size.1, "{fault:?}");
        bench.w(0x34, bit | ERROR_IRQ);
        assert_eq!((bench.r(0x34) & 0x8FF1, bench.r(size.0), bench.vdma.interrupts()), (0, 0, 0));
        bench.sleep(3 * FRAME);
        assert_eq!(bench.r(0x34) & 0x8FF1, 0);
        bench.w(MASK, mask);
        bench.vdma.source_mut().unwrap().inject(fault);
        bench.sleep(3 * FRAME);
        assert_eq!((bench.r(0x34) & (0x8FF1 | ERROR_IRQ), bench.vdma.interrupts()), (bit, 0), "masked: {fault:?}");
        bench.silent();
    }
}

#[test]
fn a_genlock_slave_stays_behind_its_master() {
    let options =
        Options { stores: 4, read_genlock: Genlock::Slave, write_genlock: Genlock::Master, ..Options::TRIPLE_BUFFER };
    for delay in [1, 2] {
        let mut bench = Bench::new(options);
        bench.start(Which::Write, CIRCULAR | INTERNAL_GENLOCK | ONE_FRAME, 4);
        bench.start(Which::Read, CIRCULAR | GENLOCK | INTERNAL_GENLOCK | ONE_FRAME, 4);
        bench.w(STRIDE, LINE | delay << 24);
        bench.w(VSIZE, 24);
        for frame in 8..14 {
            bench.sleep_until_frame(frame);
            let pointers = bench.r(PARK);
            let [read, write] = [pointers >> 16 & 0x1F, pointers >> 24];
            // The read channel decided before the write channel's frame began.
            assert_eq!((write + 3 - delay) % 4, read, "{pointers:#x}");
        }
        bench.silent();
    }
}

#[test]
fn dynamic_genlock_never_shows_a_frame_that_is_written() {
    let slow = Mode { pixel_clock: 41_000, ..MODE };
    for (read, write) in [(MODE, slow), (slow, MODE)] {
        let sink = Sink::new(read, Format::Xrgb8888, 0);
        let source = Source::new(write, Format::Xrgb8888, 0);
        let mut bench = Bench::stores(3);
        bench.vdma = Vdma::new(Options::TRIPLE_BUFFER, Some(sink), Some(source));
        // As the triple buffer example of PG020 does it: 0x8B.
        let control = CIRCULAR | GENLOCK | INTERNAL_GENLOCK | ONE_FRAME;
        bench.start(Which::Write, control, 3);
        bench.sleep(2 * FRAME);
        bench.start(Which::Read, control, 3);
        bench.sleep(100 * FRAME);
        let tags = bench.tags();
        assert!(tags.len() > 50);
        let tags: Vec<u32> = tags.into_iter().map(|tag| tag.expect("torn")).collect();
        assert!(tags.windows(2).all(|pair| pair[0] <= pair[1]), "never back in time: {tags:?}");
        bench.silent();
    }
}

#[test]
fn free_run_begins_the_next_frame_at_the_end_of_the_last() {
    let mut bench = Bench::new(Options { read_sync: FrameSync::FreeRun, ..Options::TRIPLE_BUFFER });
    for store in 0..3 {
        bench.fill(store, store + 1);
    }
    bench.start(Which::Read, CIRCULAR | ONE_FRAME, 3);
    bench.sleep_until_frame(2);
    assert_eq!(bench.r(PARK) >> 16 & 0x1F, 1, "the second frame has begun in the blanking");
    bench.sleep_until_frame(6);
    assert_eq!(bench.tags(), [Some(1), Some(2), Some(3), Some(1), Some(2)]);
    bench.vdma.sink_mut().unwrap().inject_early_sync();
    bench.sleep(2 * FRAME);
    assert_eq!(bench.r(SR) & SOF_EARLY, 0, "not possible in free run");
}

#[test]
fn without_a_display_a_frame_never_ends() {
    let mut bench = Bench::stores(1);
    bench.vdma = Vdma::new(Options::TRIPLE_BUFFER, None, None);
    bench.start(Which::Read, ONE_FRAME | 1 << 12, 1);
    bench.sleep(10 * FRAME);
    assert_eq!((bench.r(SR) & FRAME_IRQ, bench.vdma.interrupts(), bench.vdma.next_event()), (0, 0, None));
}

#[test]
fn a_dark_transmitter_hides_the_picture_and_nothing_else() {
    let mut bench = Bench::stores(1);
    bench.fill(0, 5);
    bench.vdma.sink_mut().unwrap().set_dark(true);
    bench.start(Which::Read, ONE_FRAME, 1);
    bench.sleep(3 * FRAME);
    let sink = bench.vdma.sink_mut().unwrap();
    assert!(sink.screen().is_none());
    assert!(sink.records().count() >= 2);
    sink.set_dark(false);
    assert_eq!(sink.screen().unwrap().colour(0, 0), Some(5));
}

#[test]
fn modes_have_their_rates_and_frames_do_not_drift() {
    for mode in Mode::ALL {
        let millihertz = 1_000_000_000_000 / mode.time_of(1, 0);
        assert!((59_900..60_400).contains(&millihertz), "{mode:?}: {millihertz}");
        for frame in [0, 1, 2, 59, 60, 600, 100_000] {
            let begin = mode.time_of(frame, 0);
            assert_eq!((mode.frame_at(begin), mode.next_frame(begin)), (frame, frame));
            assert_eq!(mode.next_frame(begin + 1), frame + 1);
            assert_eq!(mode.frame_at(mode.time_of(frame + 1, 0) - 1), frame);
        }
    }
}

#[test]
fn an_adv7511_shows_nothing_until_all_is_set() {
    use zelkova_models::video::adv7511::{Dark, check};
    let mut registers = [0; 256];
    registers[0x41] = 0x50;
    assert_eq!(check(&registers), Err(Dark::Unplugged));
    registers[0x42] = 0x70;
    assert_eq!(check(&registers), Err(Dark::PoweredDown));
    registers[0x41] = 0x10;
    assert_eq!(check(&registers), Err(Dark::Fixed(0x98)));
    for (address, value) in
        [(0x98, 0x03), (0x9A, 0xE0), (0x9C, 0x30), (0x9D, 0x61), (0xA2, 0xA4), (0xA3, 0xA4), (0xE0, 0xD0)]
    {
        registers[address] = value;
    }
    assert_eq!(check(&registers), Err(Dark::Input(0)));
    registers[0x15] = 0x01;
    assert_eq!(check(&registers), Err(Dark::Style(0)));
    registers[0x16] = 0x38;
    assert_eq!(check(&registers), Err(Dark::Colours));
    registers[0x18] = 0xE6;
    assert_eq!(check(&registers), Ok(()));
    registers[0x16] = 0xB8;
    assert_eq!(check(&registers), Err(Dark::Style(0xB8)));
}

#[test]
fn the_pixel_clock_sets_the_pace() {
    let mut bench = Bench::stores(1);
    bench.fill(0, 5);
    bench.start(Which::Read, ONE_FRAME, 1);
    bench.sleep_until_frame(5);
    assert_eq!(bench.vdma.sink().unwrap().scanned(), 4);
    bench.vdma.set_pixel_clock(0, bench.now);
    bench.sleep(10 * FRAME);
    assert_eq!(bench.vdma.sink().unwrap().scanned(), 4);
    assert!(bench.vdma.sink().unwrap().screen().is_none());
    bench.vdma.set_pixel_clock(MODE.pixel_clock / 2, bench.now);
    bench.sleep(10 * FRAME);
    assert_eq!(bench.vdma.sink().unwrap().scanned(), 4 + 5);
    let times: Vec<u64> = bench.vdma.sink().unwrap().records().map(|record| record.time).collect();
    assert!(times.windows(2).all(|pair| pair[0] < pair[1]));
    assert_eq!((times[8] - times[7]) / 1000, 2 * FRAME / 1000);
}
