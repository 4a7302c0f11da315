//! The configuration interface model against the manuals: UG585 chapter 6.4 and appendix B.16, UG470 chapter 5.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use zelkova_models::bitstream::{IDCODE_7Z020, SYNC, minimal};
use zelkova_models::devcfg::{Devcfg, Failure};
use zelkova_models::memory::Ram;
use zelkova_models::{Device, Width};

const CTRL: u32 = 0x00;
const INT_STS: u32 = 0x0c;
const INT_MASK: u32 = 0x10;
const STATUS: u32 = 0x14;
const UNLOCK: u32 = 0x34;
const PROG_B: u32 = 1 << 30;
const INIT: u32 = 1 << 4;
const DONE: u32 = 1 << 2;
const ALL_DONE: u32 = 1 << 12;
const DMA_DONE: u32 = 1 << 13;
const QUEUE_OVERFLOW: u32 = 1 << 14;
const COMMAND_ERROR: u32 = 1 << 15;
const READ_ERROR: u32 = 1 << 20;
const BASE: u32 = 0x10_0000;

struct Bench {
    devcfg: Devcfg,
    ram: Ram,
    now: u64,
}

impl Bench {
    fn new(words: &[u32]) -> Self {
        let ram = Ram::new(BASE, 0x1_0000);
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        ram.load(BASE, &bytes).unwrap();
        Self { devcfg: Devcfg::new(0x2372_7093), ram, now: 0 }
    }

    fn read(&mut self, offset: u32) -> u32 {
        self.devcfg.read(offset, Width::Word, self.now)
    }

    fn write(&mut self, offset: u32, value: u32) {
        self.devcfg.write(offset, Width::Word, value, self.now);
    }

    /// Lets everything happen that is to come.
    fn settle(&mut self) {
        while let Some(at) = self.devcfg.next_event() {
            self.now = at;
            self.devcfg.advance(at, &mut &self.ram);
        }
    }

    fn clear(&mut self) {
        let control = self.read(CTRL);
        self.write(CTRL, control & !PROG_B);
        self.write(CTRL, control | PROG_B);
        self.settle();
        self.write(INT_STS, u32::MAX);
    }

    fn transfer(&mut self, words: u32) {
        self.write(0x18, BASE | 1);
        self.write(0x1c, u32::MAX);
        self.write(0x20, words);
        self.write(0x24, 0);
    }

    /// Clears the logic, and feeds it.
    fn configure(words: &[u32]) -> Self {
        let mut bench = Self::new(words);
        bench.clear();
        bench.transfer(words.len() as u32);
        bench.settle();
        bench
    }
}

#[test]
fn init_follows_prog_b() {
    let mut bench = Bench::new(&[]);
    let control = bench.read(CTRL);
    assert_ne!(bench.read(STATUS) & INIT, 0);
    bench.write(CTRL, control & !PROG_B);
    assert_eq!(bench.read(STATUS) & INIT, 0);
    assert_eq!(bench.read(INT_STS), 1, "INIT fell");
    bench.write(CTRL, control | PROG_B);
    assert_eq!(bench.read(STATUS) & INIT, 0, "clearing takes time");
    bench.settle();
    assert_ne!(bench.read(STATUS) & INIT, 0);
    assert_eq!(bench.read(INT_STS), 3, "INIT rose");
}

#[test]
fn a_good_bitstream_starts_the_logic() {
    let mut bench = Bench::configure(&minimal(IDCODE_7Z020, 5000));
    assert!(bench.devcfg.is_configured());
    assert_eq!(bench.devcfg.logic().frame_words(), 5000);
    assert_eq!(bench.read(INT_STS), DONE | ALL_DONE | DMA_DONE);
    // PROG_B takes it down again.
    let control = bench.read(CTRL);
    bench.write(CTRL, control & !PROG_B);
    assert!(!bench.devcfg.is_configured());
    assert!(bench.devcfg.complaints().is_empty());
}

#[test]
fn each_damaged_word_keeps_the_logic_from_starting() {
    let good = minimal(IDCODE_7Z020, 40);
    // From the word that names the chip up to the sum, without the packets' headers.
    let chip = good.iter().position(|word| *word == IDCODE_7Z020).unwrap();
    let sum = good.iter().position(|word| *word == 0x3000_0001).unwrap() + 1;
    for index in (chip..=sum).filter(|index| good[*index] >> 28 != 3) {
        for bit in 0..32 {
            // The chip's revision does not count.
            if index == chip && bit >= 28 {
                continue;
            }
            let mut words = good.clone();
            words[index] ^= 1 << bit;
            let mut bench = Bench::configure(&words);
            assert!(!bench.devcfg.is_configured(), "bit {bit} of word {index}: {:#010x}", words[index]);
            assert_eq!(bench.read(STATUS) & INIT, 0);
        }
    }
    assert_eq!(good[sum - 1], 0x3000_0001);
    assert!(good.contains(&SYNC));
}

#[test]
fn a_bitstream_for_another_chip_pulls_init_low() {
    // 7Z010.
    let mut bench = Bench::configure(&minimal(0x0372_2093, 10));
    assert_eq!(bench.read(STATUS) & INIT, 0);
    assert_eq!(bench.read(INT_STS) & (DONE | ALL_DONE | 1), ALL_DONE | 1);
}

#[test]
fn a_wrong_sum_pulls_init_low() {
    let mut words = minimal(IDCODE_7Z020, 10);
    let frame = words.iter().rposition(|word| *word == 0).unwrap();
    words[frame] = 1;
    let mut bench = Bench::configure(&words);
    assert_eq!(bench.read(STATUS) & INIT, 0);
    assert_eq!(bench.read(INT_STS) & DONE, 0);
}

#[test]
fn a_bitstream_that_is_cut_off_ends_the_transfer_but_does_not_start_the_logic() {
    let words = minimal(IDCODE_7Z020, 100);
    let mut bench = Bench::configure(&words[..60]);
    assert_eq!(bench.read(INT_STS), ALL_DONE | DMA_DONE);
    assert_ne!(bench.read(STATUS) & INIT, 0);
}

#[test]
fn the_sum_is_that_of_the_7_series() {
    // UG470: the sum starts at 0, and a word of 0 written to a register whose number is not 0 changes it.
    let mut first = zelkova_models::bitstream::Configuration::new(0);
    for word in [SYNC, 0x3000_8001, 7, 0x3000_4001, 0, 0x3000_0001] {
        first.take(word);
    }
    // CRC-32C of the 37 bits 0 (data) and 2 (FDRI), lowest bit first.
    let mut wrong = first.clone();
    wrong.take(0);
    assert_eq!(wrong.progress(), zelkova_models::bitstream::Progress::WrongSum);
}

#[test]
fn memory_that_does_not_answer_is_an_axi_error() {
    let mut bench = Bench::new(&[]);
    bench.clear();
    bench.write(0x18, 0xdead_0000);
    bench.write(0x1c, u32::MAX);
    bench.write(0x20, 4);
    bench.write(0x24, 0);
    bench.settle();
    assert_eq!(bench.read(INT_STS), READ_ERROR);
}

#[test]
fn commands_that_make_no_sense_are_errors() {
    let mut bench = Bench::new(&[]);
    bench.transfer(0);
    assert_eq!(bench.read(INT_STS), COMMAND_ERROR);
    bench.write(INT_STS, COMMAND_ERROR);
    assert_eq!(bench.read(INT_STS), 0);
    for _ in 0..2 {
        bench.transfer(4);
    }
    assert_ne!(bench.read(STATUS) >> 31, 0, "queue full");
    bench.transfer(4);
    assert_eq!(bench.read(INT_STS), QUEUE_OVERFLOW);
}

#[test]
fn interrupts_are_masked_and_cleared_by_ones() {
    let mut bench = Bench::configure(&minimal(IDCODE_7Z020, 1));
    assert_eq!(bench.devcfg.interrupts(), 0);
    bench.write(INT_MASK, !DONE);
    assert_eq!(bench.devcfg.interrupts(), 1);
    bench.write(INT_STS, DMA_DONE);
    assert_eq!(bench.devcfg.interrupts(), 1);
    bench.write(INT_STS, DONE);
    assert_eq!(bench.devcfg.interrupts(), 0);
    assert_eq!(bench.read(INT_STS), ALL_DONE);
}

#[test]
fn a_wrong_key_locks_up_for_good() {
    let mut bench = Bench::new(&[]);
    bench.write(UNLOCK, 0xdf0d);
    bench.write(UNLOCK, 0x757b_df0d);
    bench.write(0x18, 0x1234);
    assert_eq!(bench.read(0x18), 0);
    assert_eq!(bench.devcfg.complaints().len(), 3);
}

#[test]
fn things_go_wrong_when_asked_to() {
    let words = minimal(IDCODE_7Z020, 1);
    let mut bench = Bench::new(&words);
    bench.devcfg.fail_next(Failure::Read);
    bench.clear();
    bench.transfer(words.len() as u32);
    bench.settle();
    assert_eq!(bench.read(INT_STS), READ_ERROR);

    bench.devcfg.fail_next(Failure::Init);
    bench.clear();
    assert_eq!(bench.read(STATUS) & INIT, 0);
    bench.clear();
    assert_ne!(bench.read(STATUS) & INIT, 0);

    bench.devcfg.fail_next(Failure::Stall);
    bench.transfer(words.len() as u32);
    bench.settle();
    assert_eq!(bench.read(INT_STS), 0);
}

#[test]
fn words_for_a_port_that_is_off_go_nowhere() {
    let words = minimal(IDCODE_7Z020, 1);
    let mut bench = Bench::new(&words);
    let control = bench.read(CTRL);
    bench.write(CTRL, control & !(1 << 26));
    bench.transfer(words.len() as u32);
    bench.settle();
    assert!(!bench.devcfg.is_configured());
    assert_eq!(bench.read(INT_STS), DMA_DONE);
    assert_eq!(bench.devcfg.complaints().len(), 1);
}
