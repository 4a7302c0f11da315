//! The GPIO controller against UG585 chapter 14 and appendix B.19, by a host that knows only the manual.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

mod complaints;

use proptest::prelude::*;

use zelkova_models::gpio::{EMIO, Gpio, PINS};
use zelkova_models::{Device, Drive, Width};

/// Of each bank: pins, first signal, pins that can be inputs.
const BANKS: [(u32, u32, u32); 4] = [
    (0xFFFF_FFFF, 0, 0xFFFF_FE7F),
    (0x003F_FFFF, 32, 0x003F_FFFF),
    (0xFFFF_FFFF, 54, 0xFFFF_FFFF),
    (0xFFFF_FFFF, 86, 0xFFFF_FFFF),
];

/// Registers of a bank.
#[derive(Clone, Copy, Debug)]
enum R {
    MaskLsw,
    MaskMsw,
    Data,
    DataRo,
    Dirm,
    Oen,
    IntMask,
    IntEn,
    IntDis,
    IntStat,
    IntType,
    IntPolarity,
    IntAny,
}

impl R {
    const ALL: [Self; 13] = [
        Self::MaskLsw,
        Self::MaskMsw,
        Self::Data,
        Self::DataRo,
        Self::Dirm,
        Self::Oen,
        Self::IntMask,
        Self::IntEn,
        Self::IntDis,
        Self::IntStat,
        Self::IntType,
        Self::IntPolarity,
        Self::IntAny,
    ];

    /// As the register summary lists them.
    fn offset(self, bank: u32) -> u32 {
        match self {
            Self::MaskLsw => 8 * bank,
            Self::MaskMsw => 0x004 + 8 * bank,
            Self::Data => 0x040 + 4 * bank,
            Self::DataRo => 0x060 + 4 * bank,
            Self::Dirm => 0x204 + 0x40 * bank,
            Self::Oen => 0x208 + 0x40 * bank,
            Self::IntMask => 0x20C + 0x40 * bank,
            Self::IntEn => 0x210 + 0x40 * bank,
            Self::IntDis => 0x214 + 0x40 * bank,
            Self::IntStat => 0x218 + 0x40 * bank,
            Self::IntType => 0x21C + 0x40 * bank,
            Self::IntPolarity => 0x220 + 0x40 * bank,
            Self::IntAny => 0x224 + 0x40 * bank,
        }
    }
}

/// The controller with nothing but itself and the test on its pins.
struct Host {
    gpio: Gpio,
}

impl Host {
    fn new() -> Self {
        Self { gpio: Gpio::new() }
    }

    /// All interrupts are masked, and pending ones taken.
    fn masked() -> Self {
        let mut host = Self::new();
        for bank in 0..4 {
            host.write(bank, R::IntDis, 0xFFFF_FFFF);
            host.write(bank, R::IntStat, 0xFFFF_FFFF);
        }
        host
    }

    fn read(&mut self, bank: u32, register: R) -> u32 {
        self.gpio.read(register.offset(bank), Width::Word, 0)
    }

    fn write(&mut self, bank: u32, register: R, value: u32) {
        self.gpio.write(register.offset(bank), Width::Word, value, 0);
    }

    fn sense(&mut self, bank: u32, pin: u32, level: bool) {
        self.gpio.sense(BANKS[bank as usize].1 + pin, level, 0);
    }

    fn line(&self) -> bool {
        match self.gpio.interrupts() {
            0 => false,
            1 => true,
            lines => panic!("lines {lines:#x}"),
        }
    }

    fn driven(&self, bank: u32, pin: u32) -> Drive {
        self.gpio.drive(BANKS[bank as usize].1 + pin)
    }

    fn complaint(&mut self) -> String {
        complaints::only(&mut self.gpio)
    }

    fn quiet(&mut self) {
        complaints::none(&mut self.gpio);
    }
}

/// Every pin of every bank.
fn pins() -> impl Iterator<Item = (u32, u32)> {
    (0..4)
        .flat_map(|bank| (0..32).filter(move |pin| BANKS[bank as usize].0 >> pin & 1 != 0).map(move |pin| (bank, pin)))
}

/// Those that can be inputs.
fn inputs() -> impl Iterator<Item = (u32, u32)> {
    pins().filter(|(bank, pin)| BANKS[*bank as usize].2 >> pin & 1 != 0)
}

/// Register summary, column reset value.
#[test]
fn reset_values() {
    let mut host = Host::new();
    for bank in 0..4 {
        for register in R::ALL {
            let expected = match register {
                R::IntEn | R::IntDis => continue,
                R::IntType => BANKS[bank as usize].0,
                _ => 0,
            };
            assert_eq!(host.read(bank, register), expected, "{register:?} of bank {bank}");
        }
    }
    host.quiet();
    assert_eq!((PINS, EMIO), (118, 54));
    assert_eq!(host.gpio.signals(), 118);
    assert!((0..PINS).all(|signal| host.gpio.drive(signal) == Drive::Floating));
    assert_eq!((host.gpio.interrupts(), host.gpio.next_event()), (0, None));
}

/// Register summary: read/write registers keep the bank's width.
#[test]
fn read_write_registers() {
    let mut host = Host::masked();
    for bank in 0..4 {
        let pins = BANKS[bank as usize].0;
        for register in [R::Data, R::Dirm, R::Oen, R::IntPolarity, R::IntAny, R::IntType] {
            for value in [0x5A5A_A5A5 & pins, !0x5A5A_A5A5 & pins, 0, pins] {
                host.write(bank, register, value);
                assert_eq!(host.read(bank, register), value);
            }
        }
    }
    host.quiet();
    for register in [R::Data, R::Dirm, R::Oen, R::IntPolarity, R::IntAny, R::IntType] {
        host.write(1, register, 0xFFFF_FFFF);
        assert_eq!(host.read(1, register), 0x003F_FFFF, "bank 1 is 22 pins wide");
        assert!(host.complaint().contains("no such pins"));
    }
}

/// `DATA_n_RO`, `INT_MASK_n`: writes are ignored. `INT_EN_n`, `INT_DIS_n`: what is read is unpredictable.
#[test]
fn access_types() {
    let mut host = Host::masked();
    for bank in 0..4 {
        for register in [R::DataRo, R::IntMask] {
            let before = host.read(bank, register);
            host.write(bank, register, !before);
            assert_eq!(host.read(bank, register), before);
            assert!(host.complaint().contains("read-only"));
        }
        for register in [R::IntEn, R::IntDis] {
            host.read(bank, register);
            assert!(host.complaint().contains("unpredictable"));
        }
    }
}

/// Offsets that the register summary does not list.
#[test]
fn holes() {
    let mut host = Host::new();
    let known: Vec<u32> = (0..4).flat_map(|bank| R::ALL.map(|register| register.offset(bank))).collect();
    for offset in (0..0x1000).step_by(4).filter(|offset| !known.contains(offset)) {
        assert_eq!(host.gpio.read(offset, Width::Word, 0), 0);
        assert!(host.complaint().contains("no register"), "{offset:#x}");
        host.gpio.write(offset, Width::Word, 0xFFFF_FFFF, 0);
        assert!(host.complaint().contains("no register"), "{offset:#x}");
    }
}

#[test]
fn widths() {
    let mut host = Host::new();
    host.write(0, R::Data, 0x1234_5678);
    assert_eq!(host.gpio.read(0x41, Width::Byte, 0), 0x56);
    assert_eq!(host.gpio.read(0x42, Width::Half, 0), 0x1234);
    host.quiet();
    host.gpio.write(0x42, Width::Half, 0, 0);
    assert_eq!(host.read(0, R::Data), 0x1234_5678);
    assert!(host.complaint().contains("words"));
}

/// `MASK_DATA_n_LSW` and `MSW`: a pin changes where its mask is 0; reads give the data, and 0 for the mask.
#[test]
fn masked_writes() {
    let mut host = Host::masked();
    for (bank, pin) in pins() {
        let (register, bit) = if pin < 16 { (R::MaskLsw, pin) } else { (R::MaskMsw, pin - 16) };
        let all = BANKS[bank as usize].0;
        for background in [0, all] {
            host.write(bank, R::Data, background);
            let only = !(1_u32 << bit) << 16;
            host.write(bank, register, only | 1 << bit);
            assert_eq!(host.read(bank, R::Data), background | 1 << pin);
            host.write(bank, register, only);
            assert_eq!(host.read(bank, R::Data), background & !(1 << pin));
            host.write(bank, register, 0xFFFF_FFFF);
            assert_eq!(host.read(bank, R::Data), background & !(1 << pin), "all pins are masked");
        }
    }
    host.write(2, R::Data, 0x89AB_CDEF);
    assert_eq!(host.read(2, R::MaskLsw), 0xCDEF);
    assert_eq!(host.read(2, R::MaskMsw), 0x89AB);
    host.write(1, R::MaskMsw, 0x0000_FFFF);
    assert_eq!(host.read(1, R::MaskMsw), 0x3F, "bank 1 ends with MIO 53");
    host.quiet();
}

/// `DIRM_n` and `OEN_n`: a pin is driven if both are set; `DATA_n` says how.
#[test]
fn outputs() {
    for (bank, pin) in pins() {
        let mut host = Host::masked();
        for (direction, enable, driven) in [(0, 0, false), (1, 0, false), (0, 1, false), (1, 1, true)] {
            host.write(bank, R::Dirm, direction << pin);
            host.write(bank, R::Oen, enable << pin);
            for (data, level) in [(0, Drive::Low), (1 << pin, Drive::High)] {
                host.write(bank, R::Data, data);
                assert_eq!(host.driven(bank, pin), if driven { level } else { Drive::Floating });
            }
        }
        let driven = (0..PINS).filter(|signal| host.gpio.drive(*signal) != Drive::Floating).count();
        assert_eq!(driven, 1, "bank {bank}, pin {pin}: no other pin is driven");
    }
}

/// `DATA_n_RO`: what is on the pins, driven or not; MIO 7 and 8 read 0. `DATA_n` is not what is on the pins.
#[test]
fn inputs_are_seen() {
    let mut host = Host::masked();
    for (bank, pin) in pins() {
        host.sense(bank, pin, true);
        let expected = if bank == 0 && (pin == 7 || pin == 8) { 0 } else { 1 << pin };
        assert_eq!(host.read(bank, R::DataRo), expected);
        assert_eq!((host.read(bank, R::Data), host.read(bank, R::MaskLsw)), (0, 0));
        for other in (0..4).filter(|other| *other != bank) {
            assert_eq!(host.read(other, R::DataRo), 0);
        }
        host.write(bank, R::Dirm, 1 << pin);
        host.write(bank, R::Oen, 1 << pin);
        assert_eq!(host.read(bank, R::DataRo), expected, "the input is on, whatever the output does");
        host.sense(bank, pin, false);
        assert_eq!(host.read(bank, R::DataRo), 0);
    }
}

/// Kind of interrupt, its bits in `INT_TYPE`, `INT_POLARITY` and `INT_ANY`, and what is in `INT_STAT` if that is cleared and then
/// the pin stays low, rises, stays high, falls. A level that was there when the bit was cleared has been found again, and
/// stays found when it goes.
const KINDS: [(&str, u32, u32, u32, [bool; 4]); 5] = [
    ("rising edge", 1, 1, 0, [false, true, false, false]),
    ("falling edge", 1, 0, 0, [false, false, false, true]),
    ("any edge", 1, 0, 1, [false, true, false, true]),
    ("high level", 0, 1, 0, [false, true, true, true]),
    ("low level", 0, 0, 0, [true, true, false, true]),
];

/// `INT_TYPE_n`, `INT_POLARITY_n`, `INT_ANY_n`: every kind at every pin of every bank.
#[test]
fn every_kind_at_every_pin() {
    for (bank, pin) in inputs() {
        for (name, edge, polarity, any, found) in KINDS {
            let mut host = Host::masked();
            host.write(bank, R::IntPolarity, polarity << pin);
            host.write(bank, R::IntAny, any << pin);
            host.write(bank, R::IntType, edge << pin | BANKS[bank as usize].0 & !(1 << pin));
            host.write(bank, R::IntEn, 1 << pin);
            for (moment, found) in found.into_iter().enumerate() {
                let at = format!("bank {bank}, pin {pin}, {name}, moment {moment}");
                host.write(bank, R::IntStat, 1 << pin);
                match moment {
                    1 => host.sense(bank, pin, true),
                    3 => host.sense(bank, pin, false),
                    _ => {}
                }
                assert_eq!(host.read(bank, R::IntStat), u32::from(found) << pin, "{at}");
                assert_eq!(host.line(), found, "{at}");
                for other in (0..4).filter(|other| *other != bank) {
                    assert_eq!(host.read(other, R::IntStat), 0, "{at}");
                }
            }
            host.quiet();
        }
    }
}

/// `INT_ANY_n` is ignored for levels.
#[test]
fn any_edge_does_not_concern_levels() {
    let mut host = Host::masked();
    for bank in 0..4 {
        host.write(bank, R::IntPolarity, BANKS[bank as usize].0);
        host.write(bank, R::IntAny, 1 << 3);
        host.write(bank, R::IntType, BANKS[bank as usize].0 & !(1 << 3));
        host.sense(bank, 3, true);
        host.write(bank, R::IntStat, 1 << 3);
        assert_eq!(host.read(bank, R::IntStat), 1 << 3);
        host.sense(bank, 3, false);
        host.write(bank, R::IntStat, 1 << 3);
        assert_eq!(host.read(bank, R::IntStat), 0, "the falling edge is none");
    }
}

/// The level is what counts after a change of the configuration, too.
#[test]
fn levels_are_found_when_configured() {
    let mut host = Host::masked();
    host.sense(2, 31, true);
    host.write(2, R::IntStat, 0xFFFF_FFFF);
    host.write(2, R::IntPolarity, 1 << 31);
    assert_eq!(host.read(2, R::IntStat), 0, "an edge is wanted, and there is none");
    host.write(2, R::IntType, 0x7FFF_FFFF);
    assert_eq!(host.read(2, R::IntStat), 1 << 31);
    host.write(2, R::IntPolarity, 0);
    host.write(2, R::IntStat, 1 << 31);
    assert_eq!(host.read(2, R::IntStat), 0);
}

/// `INT_MASK_n`, `INT_EN_n`, `INT_DIS_n`: ones change, zeros do not; status does not care; the line does.
#[test]
fn masks() {
    for (bank, pin) in inputs() {
        let mut host = Host::masked();
        let all = BANKS[bank as usize].0;
        assert_eq!(host.read(bank, R::IntMask), all);
        host.write(bank, R::IntPolarity, 1 << pin);
        host.sense(bank, pin, true);
        assert_eq!(host.read(bank, R::IntStat), 1 << pin, "found though masked");
        assert!(!host.line());
        host.write(bank, R::IntEn, 0);
        assert_eq!(host.read(bank, R::IntMask), all);
        host.write(bank, R::IntEn, 1 << pin);
        assert_eq!(host.read(bank, R::IntMask), all & !(1 << pin));
        assert!(host.line(), "it was pending");
        host.write(bank, R::IntDis, 0);
        assert!(host.line());
        host.write(bank, R::IntDis, 1 << pin);
        assert_eq!(host.read(bank, R::IntMask), all);
        assert!(!host.line());
        assert_eq!(host.read(bank, R::IntStat), 1 << pin);
        host.quiet();
    }
}

/// After reset nothing is masked.
#[test]
fn unmasked_after_reset() {
    let mut host = Host::new();
    host.sense(1, 18, true);
    assert!(!host.line());
    host.sense(1, 18, false);
    assert!(host.line());
    assert_eq!(host.read(1, R::IntStat), 1 << 18);
}

/// `INT_STAT_n` is cleared by ones: clearing what was read loses nothing that came in between.
#[test]
fn write_one_to_clear() {
    for bank in 0..4 {
        let mut host = Host::masked();
        host.write(bank, R::IntPolarity, BANKS[bank as usize].0);
        host.write(bank, R::IntEn, 0xFFFF_FFFF);
        host.sense(bank, 3, true);
        host.sense(bank, 4, true);
        let read = host.read(bank, R::IntStat);
        assert_eq!(read, 0b11000, "two at once are two");
        host.sense(bank, 5, true);
        host.write(bank, R::IntStat, 1 << 3);
        assert_eq!(host.read(bank, R::IntStat), 0b110_000);
        host.write(bank, R::IntStat, read);
        assert_eq!(host.read(bank, R::IntStat), 1 << 5);
        assert!(host.line());
        host.write(bank, R::IntStat, 0);
        assert!(host.line());
        host.write(bank, R::IntStat, 1 << 5);
        assert!(!host.line());
    }
}

/// 14.2.4: one line for all banks.
#[test]
fn one_line() {
    let mut host = Host::masked();
    for bank in 0..4 {
        host.write(bank, R::IntPolarity, 1);
        host.write(bank, R::IntEn, 1);
        host.sense(bank, 0, true);
    }
    for bank in 0..4 {
        assert!(host.line());
        host.write(bank, R::IntStat, 1);
    }
    assert!(!host.line());
}

/// The level of a net that does not change is no edge, however often it is told.
#[test]
fn no_change_no_edge() {
    let mut host = Host::masked();
    host.write(3, R::IntAny, 1);
    host.sense(3, 0, false);
    assert_eq!(host.read(3, R::IntStat), 0);
    host.sense(3, 0, true);
    host.write(3, R::IntStat, 1);
    host.sense(3, 0, true);
    assert_eq!(host.read(3, R::IntStat), 0);
}

/// A reset of the block: registers, not pins.
#[test]
fn reset() {
    let mut host = Host::masked();
    host.sense(0, 20, true);
    for bank in 0..4 {
        for register in [R::Data, R::Dirm, R::Oen, R::IntPolarity, R::IntAny] {
            host.write(bank, register, 0x15);
        }
        host.write(bank, R::IntType, 0);
    }
    host.gpio.reset();
    assert_eq!(host.read(0, R::DataRo), 1 << 20);
    for bank in 0..4 {
        for register in [R::Data, R::Dirm, R::Oen, R::IntPolarity, R::IntAny, R::IntStat, R::IntMask] {
            assert_eq!(host.read(bank, register), 0);
        }
        assert_eq!(host.read(bank, R::IntType), BANKS[bank as usize].0);
    }
}

/// What happens to one pin.
#[derive(Clone, Copy, Debug)]
enum Step {
    Level(bool),
    Clear,
    Configure { edge: bool, polarity: bool, any: bool },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => any::<bool>().prop_map(Step::Level),
        2 => Just(Step::Clear),
        1 => any::<[bool; 3]>().prop_map(|[edge, polarity, any]| Step::Configure { edge, polarity, any }),
    ]
}

/// One pin, by the book.
#[allow(clippy::struct_excessive_bools, reason = "they are five bits of registers")]
#[derive(Clone, Copy, Debug)]
struct Pin {
    edge: bool,
    polarity: bool,
    any: bool,
    level: bool,
    found: bool,
}

impl Pin {
    fn step(&mut self, step: Step) {
        match step {
            Step::Level(level) => {
                let happened = level != self.level;
                self.level = level;
                if self.edge && happened && (self.any || level == self.polarity) {
                    self.found = true;
                }
            }
            Step::Clear => self.found = false,
            Step::Configure { edge, polarity, any } => (self.edge, self.polarity, self.any) = (edge, polarity, any),
        }
        if !self.edge && self.level == self.polarity {
            self.found = true;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    /// Pins of all banks at once are what each of them is alone.
    #[test]
    fn pins_do_not_disturb_each_other(steps in prop::collection::vec((0..4_u32, 0..22_u32, step()), 1..300)) {
        let mut host = Host::masked();
        let mut pins = [[Pin { edge: true, polarity: false, any: false, level: false, found: false }; 22]; 4];
        for (bank, pin, step) in steps {
            if BANKS[bank as usize].2 >> pin & 1 == 0 {
                continue;
            }
            pins[bank as usize][pin as usize].step(step);
            match step {
                Step::Level(level) => host.sense(bank, pin, level),
                Step::Clear => host.write(bank, R::IntStat, 1 << pin),
                Step::Configure { edge, polarity, any } => {
                    // Three registers do not change at once: as an edge, the pin finds nothing meanwhile.
                    let bit = 1 << pin;
                    for (register, value) in [(R::IntType, true), (R::IntPolarity, polarity), (R::IntAny, any), (R::IntType, edge)] {
                        let old = host.read(bank, register);
                        host.write(bank, register, if value { old | bit } else { old & !bit });
                    }
                }
            }
            for (bank, pins) in (0..4).zip(&pins) {
                let expected = pins.iter().enumerate().fold(0, |bits, (pin, state)| bits | u32::from(state.found) << pin);
                prop_assert_eq!(host.read(bank, R::IntStat) & 0x3F_FFFF, expected);
            }
        }
    }

    /// Masked writes of two clients that own different pins of one bank never lose each other's.
    #[test]
    fn masked_writes_lose_nothing(writes in prop::collection::vec((any::<bool>(), any::<u32>()), 1..200), owned: u32) {
        let mut host = Host::new();
        let mut expected = 0;
        for (first, value) in writes {
            let mine = if first { owned } else { !owned };
            host.write(2, R::MaskLsw, !mine << 16 | value & 0xFFFF);
            host.write(2, R::MaskMsw, !mine & 0xFFFF_0000 | value >> 16);
            expected = expected & !mine | value & mine;
            prop_assert_eq!(host.read(2, R::Data), expected);
        }
    }
}
