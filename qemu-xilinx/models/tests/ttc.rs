//! The triple timer counter against UG585 chapter 8.5 and appendix B.32, by a host that knows only the manual.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

use proptest::prelude::*;

use zelkova_models::memory::Ram;
use zelkova_models::ttc::{EXTERNAL_CLOCK, Ttc};
use zelkova_models::{Device, Drive, Width};

// Offsets for counter 1; the next counter's is 4 on.
const CLOCK: u32 = 0x00;
const CONTROL: u32 = 0x0C;
const COUNT: u32 = 0x18;
const INTERVAL: u32 = 0x24;
const MATCH: [u32; 3] = [0x30, 0x3C, 0x48];
const STATUS: u32 = 0x54;
const ENABLE: u32 = 0x60;
const EVENT_CONTROL: u32 = 0x6C;
const EVENT: u32 = 0x78;

const IV: u32 = 1;
const M1: u32 = 2;
const M2: u32 = 4;
const M3: u32 = 8;
const OV: u32 = 0x10;
const EV: u32 = 0x20;

/// A block whose cycles are nanoseconds.
struct Host {
    ttc: Ttc,
    now: u64,
    /// The counter that is tested.
    counter: u32,
}

impl Host {
    fn new(counter: u32) -> Self {
        Self { ttc: Ttc::new(1_000_000_000), now: 0, counter }
    }

    fn all() -> impl Iterator<Item = Self> {
        (0..3).map(Self::new)
    }

    fn read(&mut self, register: u32) -> u32 {
        self.ttc.read(register + 4 * self.counter, Width::Word, self.now)
    }

    fn write(&mut self, register: u32, value: u32) {
        self.ttc.write(register + 4 * self.counter, Width::Word, value, self.now);
    }

    fn pass(&mut self, cycles: u64) {
        self.now += cycles;
        self.ttc.advance(self.now, &mut &Ram::new(0, 0));
    }

    fn interrupt(&self) -> bool {
        self.ttc.interrupts() & !(1 << self.counter) == 0 && self.ttc.interrupts() == 1 << self.counter
    }

    fn wave(&self) -> Drive {
        self.ttc.drive(self.counter)
    }

    fn external(&mut self, level: bool) {
        self.ttc.sense(EXTERNAL_CLOCK + self.counter, level, self.now);
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.ttc.complaints(), Vec::<String>::new());
        }
    }
}

/// Register summary: reset values, for all three counters.
#[test]
fn reset_values() {
    let mut ttc = Ttc::new(1);
    for offset in (0..0x84).step_by(4) {
        let expected = if (0x0C..0x18).contains(&offset) { 0x21 } else { 0 };
        assert_eq!(ttc.read(offset, Width::Word, 0), expected, "{offset:#x}");
    }
    assert_eq!((ttc.interrupts(), ttc.next_event()), (0, None));
    assert!((0..6).all(|signal| ttc.drive(signal) == Drive::Floating));
    assert_eq!(ttc.complaints(), Vec::<String>::new());
}

/// Register summary: widths and access types.
#[test]
fn accesses() {
    let mut ttc = Ttc::new(1);
    for (register, mask) in [
        (CLOCK, 0x7F),
        (INTERVAL, 0xFFFF),
        (MATCH[0], 0xFFFF),
        (MATCH[1], 0xFFFF),
        (MATCH[2], 0xFFFF),
        (ENABLE, 0x3F),
        (EVENT_CONTROL, 0x7),
    ] {
        for counter in 0..3 {
            let offset = register + 4 * counter;
            ttc.write(offset, Width::Word, mask, 0);
            assert_eq!(ttc.read(offset, Width::Word, 0), mask);
            assert!(ttc.complaints().is_empty());
            ttc.write(offset, Width::Word, mask + 1, 0);
            assert_eq!(ttc.read(offset, Width::Word, 0), 0);
            assert_eq!(ttc.complaints().len(), 1, "{offset:#x} is narrower");
        }
    }
    for register in [COUNT, STATUS, EVENT] {
        ttc.write(register, Width::Word, 1, 0);
        assert!(ttc.complaints()[0].contains("read-only"));
        assert_eq!(ttc.read(register, Width::Word, 0), 0);
    }
    for offset in [0x84, 0x100, 0xFFC] {
        assert_eq!(ttc.read(offset, Width::Word, 0), 0);
        ttc.write(offset, Width::Word, 1, 0);
        assert_eq!(ttc.complaints().len(), 2);
    }
    ttc.write(INTERVAL, Width::Word, 0x1234, 0);
    assert_eq!(ttc.read(INTERVAL + 1, Width::Byte, 0), 0x12);
    ttc.write(INTERVAL, Width::Half, 1, 0);
    assert_eq!(ttc.read(INTERVAL, Width::Word, 0), 0x1234);
    assert_eq!(ttc.complaints().len(), 1);
}

/// 8.5, overflow mode, up: 0 to 0xFFFF and over, an interrupt each time.
#[test]
fn overflow_up() {
    for mut host in Host::all() {
        host.write(ENABLE, OV);
        host.write(CONTROL, 0x30);
        assert_eq!(host.read(CONTROL), 0x20, "RST clears itself");
        assert_eq!(host.ttc.next_event(), Some(0x1_0000));
        host.pass(0xFFFF);
        assert_eq!(host.read(COUNT), 0xFFFF);
        assert!(!host.interrupt());
        host.pass(1);
        assert_eq!(host.read(COUNT), 0);
        assert!(host.interrupt());
        assert_eq!(host.ttc.next_event(), None, "the line is up already");
        assert_eq!(host.read(STATUS), OV);
        assert!(!host.interrupt());
        assert_eq!(host.read(STATUS), 0, "cleared by the read");
        assert_eq!(host.ttc.next_event(), Some(0x2_0000));
    }
}

/// 8.5, overflow mode, down.
#[test]
fn overflow_down() {
    for mut host in Host::all() {
        host.write(ENABLE, OV);
        host.write(CONTROL, 0x34);
        host.pass(1);
        assert_eq!(host.read(COUNT), 0xFFFF);
        assert_eq!(host.read(STATUS), OV);
        host.pass(0xFFFF);
        assert_eq!((host.read(COUNT), host.read(STATUS)), (0, 0));
        host.pass(1);
        assert_eq!((host.read(COUNT), host.read(STATUS)), (0xFFFF, OV));
    }
}

/// 8.5, interval mode, up: 0 to the interval register.
#[test]
fn interval_up() {
    for mut host in Host::all() {
        host.write(INTERVAL, 99);
        host.write(ENABLE, IV);
        host.write(CONTROL, 0x32);
        for round in 1..=5 {
            assert_eq!(host.ttc.next_event(), Some(100 * round));
            host.pass(99);
            assert_eq!(host.read(COUNT), 99);
            assert!(!host.interrupt());
            host.pass(1);
            assert_eq!(host.read(COUNT), 0);
            assert!(host.interrupt());
            assert_eq!(host.read(STATUS), IV);
        }
    }
}

/// 8.5, interval mode, down: from the interval register to 0.
#[test]
fn interval_down() {
    for mut host in Host::all() {
        host.write(INTERVAL, 99);
        host.write(CONTROL, 0x36);
        host.pass(1);
        assert_eq!((host.read(COUNT), host.read(STATUS)), (99, IV));
        host.pass(99);
        assert_eq!((host.read(COUNT), host.read(STATUS)), (0, 0));
        host.pass(201);
        assert_eq!((host.read(COUNT), host.read(STATUS)), (99, IV));
    }
}

/// `Counter_Control` DIS: the count stays; RST: it is 0 again.
#[test]
fn disable_and_reset() {
    for mut host in Host::all() {
        host.write(CONTROL, 0x20);
        host.pass(500);
        host.write(CONTROL, 0x21);
        host.pass(500);
        assert_eq!(host.read(COUNT), 500);
        host.write(CONTROL, 0x20);
        host.pass(10);
        assert_eq!(host.read(COUNT), 510);
        host.write(CONTROL, 0x30);
        host.pass(7);
        assert_eq!(host.read(COUNT), 7);
        host.write(CONTROL, 0x31);
        host.pass(7);
        assert_eq!(host.read(COUNT), 0);
    }
}

/// `Clock_Control` `PS_EN` and `PS_VAL`: divided by two to the power of N + 1.
#[test]
fn prescaler() {
    for mut host in Host::all() {
        for exponent in 0..16 {
            host.now = host.now.next_multiple_of(1 << 17);
            host.write(CLOCK, exponent << 1 | 1);
            host.write(CONTROL, 0x30);
            host.pass(11 << (exponent + 1));
            assert_eq!(host.read(COUNT), 11);
            host.pass((1 << (exponent + 1)) - 1);
            assert_eq!(host.read(COUNT), 11);
            host.pass(1);
            assert_eq!(host.read(COUNT), 12);
        }
        host.write(CLOCK, 0x1E);
        host.write(CONTROL, 0x30);
        host.pass(9);
        assert_eq!(host.read(COUNT), 9, "PS_EN is clear");
    }
}

/// `Interrupt_Enable` is ANDed with the interrupt register, which latches anyway.
#[test]
fn enables() {
    for mut host in Host::all() {
        host.write(INTERVAL, 9);
        host.write(CONTROL, 0x32);
        host.pass(10);
        assert_eq!(host.ttc.interrupts(), 0);
        assert_eq!(host.ttc.next_event(), None, "nothing is enabled");
        host.write(ENABLE, IV);
        assert!(host.interrupt());
        host.write(ENABLE, !IV & 0x3F);
        assert_eq!(host.ttc.interrupts(), 0);
        assert_eq!(host.read(STATUS), IV);
    }
}

/// `Match_n_Counter`: an interrupt each, in match mode only.
#[test]
fn matches() {
    for mut host in Host::all() {
        host.write(INTERVAL, 99);
        for (register, value) in MATCH.into_iter().zip([10, 20, 100]) {
            host.write(register, value);
        }
        host.write(CONTROL, 0x32);
        host.pass(95);
        assert_eq!(host.read(STATUS), 0, "match mode is off");
        host.write(ENABLE, 0x3F);
        host.write(CONTROL, 0x3A);
        assert_eq!(host.ttc.next_event(), Some(105));
        host.pass(9);
        assert_eq!(host.read(STATUS), 0);
        host.pass(1);
        assert_eq!(host.read(COUNT), 10);
        assert!(host.interrupt());
        assert_eq!(host.read(STATUS), M1);
        host.pass(0);
        assert_eq!(host.read(STATUS), 0, "staying there is no match");
        host.pass(10);
        assert_eq!(host.read(STATUS), M2);
        host.pass(80);
        assert_eq!(host.read(STATUS), IV, "match 3 is beyond the interval");
        host.pass(100);
        assert_eq!(host.read(STATUS), IV | M1 | M2);
        host.write(MATCH[2], 0);
        host.pass(100);
        assert_eq!(host.read(STATUS), IV | M1 | M2 | M3);
        // Down.
        host.write(CONTROL, 0x3E);
        host.pass(1);
        assert_eq!(host.read(STATUS), IV);
        host.pass(79);
        assert_eq!((host.read(COUNT), host.read(STATUS)), (20, M2));
        host.pass(20);
        assert_eq!((host.read(COUNT), host.read(STATUS)), (0, M1 | M3));
    }
}

/// The waveform: over at match 1, back at the start, in either polarity.
#[test]
fn waves() {
    for mut host in Host::all() {
        for polarity in [false, true] {
            let (idle, turned) = if polarity { (Drive::High, Drive::Low) } else { (Drive::Low, Drive::High) };
            host.write(INTERVAL, 99);
            host.write(MATCH[0], 30);
            host.write(CONTROL, u32::from(polarity) << 6 | 0x1A);
            assert_eq!(host.wave(), idle);
            for _ in 0..3 {
                let start = host.now;
                assert_eq!(host.ttc.next_event(), Some(start + 30));
                host.pass(29);
                assert_eq!(host.wave(), idle);
                host.pass(1);
                assert_eq!(host.wave(), turned);
                assert_eq!(host.ttc.next_event(), Some(start + 100));
                host.pass(69);
                assert_eq!(host.wave(), turned);
                host.pass(1);
                assert_eq!(host.wave(), idle);
            }
            // Nobody looked for a while.
            host.pass(1_050);
            assert_eq!(host.wave(), turned);
            host.pass(70);
            assert_eq!(host.wave(), idle);
        }
        host.write(CONTROL, 0x3A);
        assert_eq!(host.wave(), Drive::Floating);
        assert_eq!(host.ttc.next_event(), None);
        host.read(STATUS);
    }
}

/// `Clock_Control` `C_SRC` and `EX_E`: edges of the external clock, prescaled too.
#[test]
fn external_clock() {
    for mut host in Host::all() {
        for (clock, counted) in [(0x20, true), (0x60, false)] {
            host.write(CLOCK, clock);
            host.write(CONTROL, 0x30);
            host.pass(1_000);
            assert_eq!(host.read(COUNT), 0);
            for number in 1..=10 {
                host.pass(5);
                host.external(true);
                host.external(true);
                assert_eq!(host.read(COUNT), if counted { number } else { number - 1 });
                host.pass(5);
                host.external(false);
                assert_eq!(host.read(COUNT), number);
            }
        }
        host.write(CLOCK, 0x20 | 1 << 1 | 1);
        host.write(INTERVAL, 1);
        host.write(ENABLE, IV);
        host.write(CONTROL, 0x32);
        assert_eq!(host.ttc.next_event(), None, "who knows");
        for _ in 0..8 {
            host.external(true);
            host.external(false);
        }
        assert!(host.interrupt());
        assert_eq!(host.read(STATUS), IV);
        assert_eq!(host.read(COUNT), 0);
    }
}

/// `Event_Control_Timer` and `Event_Register`: the length of pulses in cycles.
#[test]
fn event_timer() {
    for mut host in Host::all() {
        for (control, level) in [(0x1, true), (0x3, false)] {
            host.external(!level);
            host.write(EVENT_CONTROL, control);
            host.pass(100);
            host.external(level);
            host.pass(1_234);
            let before = host.read(EVENT);
            assert_ne!(before, 1_234, "the pulse goes on");
            host.external(!level);
            assert_eq!(host.read(EVENT), 1_234);
            host.pass(77);
            host.external(level);
            host.pass(5);
            host.external(!level);
            assert_eq!(host.read(EVENT), 5);
            host.write(EVENT_CONTROL, 0);
            host.external(level);
            host.pass(9);
            host.external(!level);
            assert_eq!(host.read(EVENT), 5, "disabled");
        }
    }
}

/// `E_Ov` = 0: an overflow disables the timer and leaves the register; 1: it counts on from 0.
#[test]
fn event_timer_overflow() {
    for mut host in Host::all() {
        host.write(ENABLE, EV);
        host.write(EVENT_CONTROL, 0x1);
        host.external(true);
        host.pass(50);
        host.external(false);
        host.external(true);
        assert_eq!(host.ttc.next_event(), Some(host.now + 0x1_0000));
        host.pass(0xFFFF);
        assert!(!host.interrupt());
        host.pass(1);
        assert!(host.interrupt());
        assert_eq!(host.read(STATUS), EV);
        assert_eq!(host.read(EVENT_CONTROL), 0);
        assert_eq!(host.ttc.next_event(), None);
        host.pass(10);
        host.external(false);
        assert_eq!(host.read(EVENT), 50);

        host.write(EVENT_CONTROL, 0x5);
        host.external(true);
        host.pass(0x2_0000 + 33);
        assert_eq!(host.read(STATUS), EV);
        assert_eq!(host.read(EVENT_CONTROL), 5);
        assert_eq!(host.ttc.next_event(), Some(host.now + 0x1_0000 - 33));
        host.external(false);
        assert_eq!(host.read(EVENT), 33);
    }
}

/// A reset of the system: registers, not what is outside.
#[test]
fn reset() {
    for mut host in Host::all() {
        host.external(true);
        host.write(INTERVAL, 9);
        host.write(ENABLE, IV);
        host.write(CONTROL, 0x12);
        host.pass(1_005);
        assert!(host.interrupt());
        host.ttc.reset();
        assert_eq!((host.ttc.interrupts(), host.ttc.next_event()), (0, None));
        assert_eq!((host.read(COUNT), host.read(INTERVAL), host.read(CONTROL)), (0, 0, 0x21));
        host.write(CONTROL, 0x20);
        host.pass(77);
        assert_eq!(host.read(COUNT), 77, "it does not count what was before");
        host.write(CLOCK, 0x20);
        host.external(true);
        assert_eq!(host.read(COUNT), 77, "the level is the same as before");
    }
}

/// Counters share nothing but their clock.
#[test]
fn counters_are_independent() {
    let mut host = Host::new(0);
    for counter in 0..3 {
        host.counter = counter;
        host.write(CLOCK, if counter == 0 { 0 } else { (counter - 1) << 1 | 1 });
        host.write(INTERVAL, 10 * (counter + 1) - 1);
        host.write(ENABLE, IV);
        host.write(CONTROL, 0x32);
    }
    host.pass(10);
    assert_eq!(host.ttc.interrupts(), 0b001);
    host.pass(30);
    assert_eq!(host.ttc.interrupts(), 0b011);
    host.counter = 0;
    assert_eq!(host.read(STATUS), IV);
    assert_eq!(host.ttc.interrupts(), 0b010);
    host.pass(80);
    assert_eq!(host.ttc.interrupts(), 0b111);
}

/// At the board's frequency nothing drifts: after an hour each tick is where integer arithmetic puts it.
#[test]
fn no_drift() {
    const FREQUENCY: u32 = 111_111_110;
    let mut ttc = Ttc::new(FREQUENCY);
    ttc.write(INTERVAL, Width::Word, 0xFFFF, 0);
    ttc.write(ENABLE, Width::Word, IV, 0);
    ttc.write(CONTROL, Width::Word, 0x32, 0);
    let ram = Ram::new(0, 0);
    let mut rounds = 0_u64;
    let mut now = 0;
    while now < 3_600_000_000_000 / 16 {
        let next = ttc.next_event().unwrap();
        assert!(next > now);
        now = next;
        ttc.advance(now - 1, &mut &ram);
        assert_eq!(ttc.interrupts(), 0);
        ttc.advance(now, &mut &ram);
        assert_eq!(ttc.interrupts(), 1);
        assert_eq!(ttc.read(STATUS, Width::Word, now), IV);
        rounds += 1;
        let exact = (u128::from(rounds) * 0x1_0000 * 1_000_000_000).div_ceil(u128::from(FREQUENCY));
        assert_eq!(u128::from(now), exact);
    }
    // Nobody looks for ten years.
    let later = now + 10 * 365 * 86_400 * 1_000_000_000;
    let cycles = u128::from(later) * u128::from(FREQUENCY) / 1_000_000_000;
    assert_eq!(u128::from(ttc.read(COUNT, Width::Word, later)), cycles % 0x1_0000);
}

/// The input clock changes and stops.
#[test]
fn input_clock() {
    let mut host = Host::new(0);
    host.write(ENABLE, OV);
    host.write(CONTROL, 0x30);
    host.pass(1_000);
    host.ttc.set_frequency(0, host.now);
    assert_eq!(host.ttc.next_event(), None);
    host.pass(1_000_000);
    assert_eq!(host.read(COUNT), 1_000);
    host.ttc.set_frequency(3, host.now);
    host.pass(333_333_333);
    assert_eq!(host.read(COUNT), 1_000);
    host.pass(1);
    assert_eq!(host.read(COUNT), 1_001);
    host.ttc.set_frequency(1_000_000_000, host.now);
    assert_eq!(host.ttc.next_event(), Some(host.now + 0x1_0000 - 1_001));
}

/// A cycle that has begun at one frequency ends at the other.
#[test]
fn begun_cycles_are_not_lost() {
    let mut host = Host::new(2);
    host.ttc.set_frequency(1, 0);
    host.write(ENABLE, OV);
    host.write(CONTROL, 0x30);
    host.pass(600_000_000);
    host.ttc.set_frequency(2, host.now);
    assert_eq!(host.ttc.next_event(), Some(host.now + 32_767_700_000_000));
    host.pass(199_999_999);
    assert_eq!(host.read(COUNT), 0);
    host.pass(1);
    assert_eq!(host.read(COUNT), 1);
    host.ttc.set_frequency(0, host.now);
    host.ttc.set_frequency(1, host.now);
    assert_eq!(host.ttc.next_event(), Some(host.now + 0xFFFF * 1_000_000_000));
}

/// The shortest interval at full speed: the line goes up once per read of the interrupt register, so whoever follows
/// the events makes progress.
#[test]
fn fast_interrupts_do_not_stop_time() {
    let mut ttc = Ttc::new(111_111_110);
    let ram = Ram::new(0, 0);
    ttc.write(ENABLE, Width::Word, IV, 0);
    ttc.write(CONTROL, Width::Word, 0x32, 0);
    let first = ttc.next_event().unwrap();
    assert_eq!(first, 10);
    ttc.advance(first, &mut &ram);
    assert_eq!(ttc.next_event(), None);
    assert_eq!(ttc.read(STATUS, Width::Word, first), IV);
    assert!(ttc.next_event().unwrap() >= first + 8);
}

/// A counter that is moved tick by tick.
#[derive(Clone, Debug)]
struct Reference {
    control: u32,
    interval: u32,
    matches: [u32; 3],
    count: u32,
    status: u32,
    wave: bool,
}

impl Reference {
    fn tick(&mut self) {
        let end = if self.control & 2 != 0 { self.interval } else { 0xFFFF };
        let event = if self.control & 2 != 0 { IV } else { OV };
        let polarity = self.control & 0x40 != 0;
        let over = if self.control & 4 == 0 {
            let over = self.count == end || self.count == 0xFFFF;
            self.count = if over { 0 } else { self.count + 1 };
            over
        } else {
            let over = self.count == 0;
            self.count = if over { end } else { self.count - 1 };
            over
        };
        if over {
            self.status |= event;
            self.wave = polarity;
        }
        if self.control & 8 != 0 {
            for (number, value) in self.matches.into_iter().enumerate() {
                if value == self.count {
                    self.status |= M1 << number;
                    if number == 0 {
                        self.wave = !polarity;
                    }
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    /// However it is configured and however seldom it is looked at, it is where single steps lead; and what
    /// `next_event` says is when something happens.
    #[test]
    fn like_single_steps(
        steps in prop::collection::vec(
            (0..0x80_u32, prop_oneof![0..20_u32, 65_000..65_536_u32], prop::array::uniform3(0..30_u32), 0..200_u64, any::<bool>()),
            1..8,
        ),
        enable in 0..0x40_u32,
        shift in 0..4_u32,
    ) {
        let mut host = Host::new(1);
        let mut reference =
            Reference { control: 0x21, interval: 0, matches: [0; 3], count: 0, status: 0, wave: false };
        host.write(ENABLE, enable);
        if shift > 0 {
            host.write(CLOCK, (shift - 1) << 1 | 1);
        }
        for (control, interval, matches, ticks, read) in steps {
            host.write(INTERVAL, interval);
            reference.interval = interval;
            for (register, value) in MATCH.into_iter().zip(matches) {
                host.write(register, value);
            }
            reference.matches = matches;
            // The wave output stays on: it is compared.
            let control = control & !0x21;
            host.write(CONTROL, control);
            if control & 0x10 != 0 {
                reference.count = 0;
            }
            if control & 0x10 != 0 || (reference.control ^ control) & 0x60 != 0 {
                reference.wave = control & 0x40 != 0;
            }
            reference.control = control & !0x10;
            for _ in 0..ticks {
                let before = (reference.status & enable != 0, reference.wave);
                reference.tick();
                let after = (reference.status & enable != 0, reference.wave);
                let next = host.ttc.next_event();
                let due = host.now + (1 << shift);
                if after == before {
                    prop_assert!(next.is_none_or(|next| next > due), "{:?} before {}", next, due);
                    // Not looked at.
                    host.now = due;
                } else {
                    prop_assert_eq!(next, Some(due));
                    host.pass(1 << shift);
                }
            }
            prop_assert_eq!(host.read(COUNT), reference.count);
            prop_assert_eq!(host.wave() == Drive::High, reference.wave);
            prop_assert_eq!(host.ttc.interrupts() != 0, reference.status & enable != 0);
            if read {
                prop_assert_eq!(host.read(STATUS), reference.status);
                reference.status = 0;
            }
        }
    }
}
