//! The memory controller model against the manual: UG585 chapter 10 and appendix B.7.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use zelkova_models::ddrc::{Ddrc, Training};
use zelkova_models::memory::Ram;
use zelkova_models::{Device, Width};

const CLOCK: u64 = 533_333_333;
const SECOND: u64 = 1_000_000_000;

fn read(ddrc: &mut Ddrc, offset: u32, now: u64) -> u32 {
    ddrc.read(offset, Width::Word, now)
}

fn write(ddrc: &mut Ddrc, offset: u32, value: u32, now: u64) {
    ddrc.write(offset, Width::Word, value, now);
}

/// A controller whose reset has just been released, with all trainings on and 500 us before CKE.
fn started(broken: Option<Training>) -> Ddrc {
    let mut ddrc = Ddrc::new();
    ddrc.set_clock(CLOCK);
    if let Some(training) = broken {
        ddrc.break_training(training);
    }
    write(&mut ddrc, 0x034, 261 << 4 | 1 << 16 | 4, 0);
    write(&mut ddrc, 0x0b0, 0x1cff_ffff, 0);
    write(&mut ddrc, 0x000, 0x81, 0);
    ddrc
}

#[test]
fn registers_have_the_manuals_reset_values() {
    let mut ddrc = Ddrc::new();
    for (offset, value) in
        [(0x000, 0x200), (0x004, 0x000c_1076), (0x014, 0x0004_1016), (0x030, 0x940), (0x200, 0x0015_3042)]
    {
        assert_eq!(read(&mut ddrc, offset, 0), value, "{offset:#x}");
    }
    assert!(ddrc.complaints().is_empty());
}

#[test]
fn bits_that_are_not_writable_stay() {
    let mut ddrc = Ddrc::new();
    write(&mut ddrc, 0x028, u32::MAX, 0);
    assert_eq!(read(&mut ddrc, 0x028, 0), 0x3fff);
    // Read-only registers.
    for offset in [0x054, 0x1a4, 0x200] {
        let before = read(&mut ddrc, offset, 0);
        write(&mut ddrc, offset, !before, 0);
        assert_eq!(read(&mut ddrc, offset, 0), before, "{offset:#x}");
    }
}

#[test]
fn memory_answers_when_the_initialization_is_over_and_not_before() {
    let mut ddrc = started(None);
    assert_eq!(read(&mut ddrc, 0x054, 499_000) & 7, 0);
    assert!(!ddrc.answers());
    let at = ddrc.next_event().unwrap();
    assert!((500_000..2_000_000).contains(&at), "{at}");
    ddrc.advance(at, &mut &Ram::new(0, 4));
    assert_eq!(read(&mut ddrc, 0x054, at) & 7, 1);
    assert!(ddrc.answers());
    assert_eq!(ddrc.next_event(), None);
    ddrc.set_clock(0);
    assert!(!ddrc.answers());
    ddrc.set_clock(CLOCK);
    // The reset takes it down again.
    write(&mut ddrc, 0x000, 0x80, SECOND);
    assert_eq!(read(&mut ddrc, 0x054, SECOND) & 7, 0);
    assert!(!ddrc.answers());
    assert!(ddrc.complaints().is_empty());
}

#[test]
fn reading_the_status_is_enough_for_time_to_pass() {
    let mut ddrc = started(None);
    assert_eq!(read(&mut ddrc, 0x054, SECOND) & 7, 1);
    assert!(ddrc.answers());
}

#[test]
fn a_training_without_an_answer_takes_its_time_and_sets_its_bit() {
    for (training, bit) in [(Training::WriteLeveling, 24), (Training::ReadGate, 25), (Training::DataEye, 25)] {
        let mut ddrc = started(Some(training));
        // 4095 times 1024 clocks.
        let limit = 4095 * 1024 * SECOND / CLOCK;
        assert_eq!(read(&mut ddrc, 0x054, limit) & 7, 0, "{training:?}");
        assert_eq!(read(&mut ddrc, 0x054, limit + 2_000_000) & 7, 1, "{training:?}");
        assert_eq!(read(&mut ddrc, 0x0b0, SECOND) >> 24 & 3, 1 << (bit - 24), "{training:?}");
        // Writing zeros clears it, writing ones does not set the other.
        write(&mut ddrc, 0x000, 0x80, SECOND);
        write(&mut ddrc, 0x0b0, 0x1fff_ffff, SECOND);
        assert_eq!(read(&mut ddrc, 0x0b0, SECOND) >> 24 & 3, 1 << (bit - 24), "{training:?}");
        write(&mut ddrc, 0x0b0, 0x1cff_ffff, SECOND);
        assert_eq!(read(&mut ddrc, 0x0b0, SECOND), 0x1cff_ffff, "{training:?}");
    }
}

#[test]
fn a_training_that_is_off_cannot_fail() {
    let mut ddrc = Ddrc::new();
    ddrc.set_clock(CLOCK);
    ddrc.break_training(Training::DataEye);
    write(&mut ddrc, 0x0b0, 0x0cff_ffff, 0);
    write(&mut ddrc, 0x000, 0x81, 0);
    assert_eq!(read(&mut ddrc, 0x054, 1_000_000) & 7, 1);
    assert_eq!(read(&mut ddrc, 0x0b0, SECOND) >> 24 & 3, 0);
}

#[test]
fn software_that_changes_timing_in_operation_is_complained_about() {
    let mut ddrc = started(None);
    // tREFI may change, tRC may not.
    write(&mut ddrc, 0x004, 0x000c_1081, 0);
    assert!(ddrc.complaints().is_empty());
    write(&mut ddrc, 0x014, 0x0004_1017, 0);
    assert_eq!(ddrc.complaints().len(), 1);
    // Writing what is there is harmless.
    write(&mut ddrc, 0x014, 0x0004_1017, 0);
    assert!(ddrc.complaints().is_empty());
}

#[test]
fn without_a_clock_nothing_starts() {
    let mut ddrc = Ddrc::new();
    write(&mut ddrc, 0x000, 0x81, 0);
    assert_eq!(read(&mut ddrc, 0x054, SECOND) & 7, 0);
    assert_eq!(ddrc.complaints().len(), 1);
}

#[test]
fn a_reset_of_the_system_forgets_everything_but_what_is_broken() {
    let mut ddrc = started(Some(Training::ReadGate));
    assert_eq!(read(&mut ddrc, 0x054, SECOND) & 7, 1);
    ddrc.reset();
    assert!(!ddrc.answers());
    assert_eq!(read(&mut ddrc, 0x0b0, 0), 0);
    write(&mut ddrc, 0x0b0, 0x1cff_ffff, 0);
    write(&mut ddrc, 0x000, 0x81, 0);
    assert_eq!(read(&mut ddrc, 0x054, SECOND) & 7, 1);
    assert_ne!(read(&mut ddrc, 0x0b0, SECOND) & 1 << 25, 0);
}

#[test]
fn what_is_no_register_and_what_is_no_word_is_complained_about() {
    let mut ddrc = Ddrc::new();
    read(&mut ddrc, 0x100, 0);
    write(&mut ddrc, 0x100, 0, 0);
    ddrc.write(0x004, Width::Byte, 0, 0);
    assert_eq!(ddrc.complaints().len(), 3);
    assert_eq!(ddrc.read(0x006, Width::Half, 0), 0x000c);
}
