//! The board as a whole: who reaches which net, gates, events, I2C buses on pins.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // All of this is a test.

use std::collections::BTreeMap;

use zelkova_models::Width;
use zelkova_models::board::description::{BusPins, Preset};
use zelkova_models::board::{
    Bitstream, Board, Command, Description, DescriptionError, Event, Fabric, History, Pattern, Reply,
};
use zelkova_models::memory::NoMemory;

/// SLCR offsets (UG585 appendix B.28).
const UNLOCK: u32 = 0x8;
const APER_CLK_CTRL: u32 = 0x12C;
const I2C_RST_CTRL: u32 = 0x224;
const GPIO_RST_CTRL: u32 = 0x22C;
const MIO_PIN: u32 = 0x700;
const LVL_SHFTR_EN: u32 = 0x900;

/// MIO_PIN values: 3.3 V, GPIO; the same with I2C as level 3 function; tri-state and pull-up.
const GPIO: u32 = 0x600;
const I2C: u32 = 0x640;
const TRISTATE: u32 = 1;
const PULL_UP: u32 = 1 << 12;

/// A board and its time in nanoseconds.
struct Bench {
    board: Board,
    now: u64,
}

impl Bench {
    fn new(description: &Description) -> Self {
        Self { board: Board::new(description).unwrap(), now: 0 }
    }

    fn region(&self, name: &str) -> usize {
        self.board.region(name).unwrap()
    }

    fn write(&mut self, region: &str, offset: u32, value: u32) {
        self.now += 100;
        self.board.advance(self.now, &mut NoMemory);
        self.board.write(self.region(region), offset, Width::Word, value, self.now);
    }

    fn read(&mut self, region: &str, offset: u32) -> u32 {
        self.now += 100;
        self.board.advance(self.now, &mut NoMemory);
        self.board.read(self.region(region), offset, Width::Word, self.now)
    }

    fn wait(&mut self, nanoseconds: u64) {
        self.now += nanoseconds;
        self.board.advance(self.now, &mut NoMemory);
    }

    fn command(&mut self, text: &str) -> Reply {
        let command: Command = text.parse().unwrap();
        self.board.command(&command, self.now).unwrap()
    }

    fn level(&mut self, net: &str) -> bool {
        match self.command(&format!("level {net}")) {
            Reply::Level(level) => level,
            other => panic!("{other:?}"),
        }
    }

    fn history(&mut self, net: &str) -> History {
        match self.command(&format!("history {net}")) {
            Reply::History(history) => history,
            other => panic!("{other:?}"),
        }
    }

    /// GPIO pin `pin` of bank 0 is an output with that level.
    fn output(&mut self, pin: u32, level: bool) {
        self.write("gpio", if pin < 16 { 0 } else { 4 }, !(1 << (pin % 16)) << 16 | u32::from(level) << (pin % 16));
        let direction = self.read("gpio", 0x204) | 1 << pin;
        self.write("gpio", 0x204, direction);
        self.write("gpio", 0x208, direction);
    }

    /// GPIO pin `pin` of bank 0 is an input.
    fn input(&mut self, pin: u32) {
        let direction = self.read("gpio", 0x204) & !(1 << pin);
        self.write("gpio", 0x204, direction);
        self.write("gpio", 0x208, direction);
    }

    fn unlock(&mut self) {
        self.write("slcr", UNLOCK, 0xDF0D);
    }
}

fn pin(pin: u32, value: u32) -> Preset {
    Preset { offset: MIO_PIN + 4 * pin, mask: 0x3FFF, value }
}

fn description(text: &str) -> Description {
    serde_json::from_str(text).unwrap()
}

fn with_pins(pins: &[Preset]) -> Description {
    Description { preset: pins.to_vec(), ..Description::default() }
}

#[test]
fn a_pin_is_driven_only_as_far_as_the_slcr_lets_it() {
    let mut bench = Bench::new(&with_pins(&[pin(9, GPIO)]));
    bench.output(9, true);
    assert!(bench.level("pin 9"));
    bench.unlock();
    for (value, level) in [(GPIO | TRISTATE, false), (GPIO | TRISTATE | PULL_UP, true), (I2C, false), (GPIO, true)] {
        bench.write("slcr", MIO_PIN + 36, value);
        assert_eq!(bench.level("pin 9"), level, "{value:#x}");
        // What is on a pin that is not the GPIO controller's is not seen there.
        let seen = bench.read("gpio", 0x60) >> 9 & 1 != 0;
        assert_eq!(seen, level && value & 0xFE == 0, "{value:#x}");
    }
}

#[test]
fn outside_and_inside_meet_on_a_net() {
    let mut bench = Bench::new(&with_pins(&[pin(10, GPIO | PULL_UP)]));
    assert!(bench.level("pin 10"), "pulled up");
    bench.command("pin 10 = low");
    assert_eq!(bench.read("gpio", 0x60) >> 10 & 1, 0);
    bench.command("pin 10 = release");
    assert_eq!(bench.read("gpio", 0x60) >> 10 & 1, 1);
    bench.output(10, true);
    assert!(bench.board.complaints().is_empty());
    bench.command("pin 10 = low");
    assert_eq!(bench.board.complaints(), ["board: MIO10 is driven high and low at the same time"]);
    assert!(!bench.level("pin 10"));
    // The buttons have resistors on the board, stronger than the pull-up in the chip.
    assert!(!bench.level("pin PB1") && !bench.level("pin 50"));
}

#[test]
fn a_block_without_clock_or_in_reset_does_not_answer() {
    let mut bench = Bench::new(&with_pins(&[pin(9, GPIO)]));
    bench.output(9, true);
    bench.unlock();
    let clocks = bench.read("slcr", APER_CLK_CTRL);
    bench.write("slcr", APER_CLK_CTRL, clocks & !(1 << 22));
    assert_eq!(bench.read("gpio", 0x204), 0);
    bench.write("gpio", 0x204, 0);
    let complaints = bench.board.complaints();
    assert_eq!(
        complaints,
        [
            "gpio: a read at 0x204 while its clock is off (slcr.APER_CLK_CTRL bit 22 is 0)",
            "gpio: a write at 0x204 while its clock is off (slcr.APER_CLK_CTRL bit 22 is 0)"
        ]
    );
    assert!(bench.level("pin 9"), "it keeps driving");
    bench.write("slcr", APER_CLK_CTRL, clocks);
    assert_eq!(bench.read("gpio", 0x204), 1 << 9, "nothing was lost or written");
    bench.write("slcr", GPIO_RST_CTRL, 1);
    assert_eq!(bench.read("gpio", 0x204), 0);
    assert!(bench.board.complaints()[0].contains("held in reset"));
    assert!(!bench.level("pin 9"), "reset makes it an input");
    bench.write("slcr", GPIO_RST_CTRL, 0);
    assert_eq!(bench.read("gpio", 0x204), 0);
    assert!(bench.board.complaints().is_empty());
}

#[test]
fn the_same_complaint_is_made_a_few_times_only() {
    let mut bench = Bench::new(&Description::default());
    bench.unlock();
    bench.write("slcr", APER_CLK_CTRL, 0);
    for _ in 0..1000 {
        bench.read("gpio", 0);
    }
    assert_eq!(bench.board.complaints().len(), 20);
    assert_eq!(bench.board.report(0).complaints.values().sum::<u32>(), 1000);
}

#[test]
fn emio_pins_pass_the_level_shifters() {
    let mut bench = Bench::new(&description(r#"{ "bitstream": "emio" }"#));
    // EMIO 0 is LD0, EMIO 8 is SW0: bank 2.
    bench.command("pin SW0 = high");
    for (offset, value) in [(0x284, 1), (0x288, 1), (0x10, 0xFFFE_0001)] {
        bench.write("gpio", offset, value);
    }
    assert!(!bench.level("pin LD0"));
    assert_eq!(bench.read("gpio", 0x68), 0);
    bench.unlock();
    bench.write("slcr", LVL_SHFTR_EN, 0xF);
    assert!(bench.level("pin LD0") && bench.level("emio 0") && bench.level("pin 54"));
    assert_eq!(bench.read("gpio", 0x68), 0x101);
}

#[test]
fn axi_gpio_is_where_the_bitstream_puts_it() {
    let mut bench = Bench::new(&description(r#"{ "bitstream": "axi" }"#));
    let regions = bench.board.regions();
    let buttons = regions.iter().find(|region| region.base == 0x4122_0000).unwrap();
    assert_eq!(buttons.interrupts, [62]);
    bench.write("axi-gpio@41200000", 4, 0);
    bench.write("axi-gpio@41200000", 0, 0x81);
    assert!(bench.level("pin LD0") && bench.level("pin LD7") && !bench.level("pin LD1"));
    // Interrupts of channel 1, globally.
    bench.write("axi-gpio@41220000", 0x11C, 1 << 31);
    bench.write("axi-gpio@41220000", 0x128, 1);
    let region = bench.region("axi-gpio@41220000");
    assert_eq!(bench.board.interrupts(region), 0);
    bench.command("pin BTNU = high");
    assert_eq!(bench.board.interrupts(region), 1);
    assert_eq!(bench.read("axi-gpio@41220000", 0), 1 << 4);

    let own = description(
        r#"{ "bitstream": { "emio": { "A": 3 },
             "axi-gpio": [{ "base": 1124073472, "interrupt": 91, "channel1": ["B"], "channel2": ["C", "D"] }] } }"#,
    );
    let mut bench = Bench::new(&own);
    bench.command("pin D = high");
    assert_eq!(bench.read("axi-gpio@43000000", 8), 0b10);
    assert_eq!(own.bitstream.fabric().axi_gpio[0].base, 0x4300_0000);
}

#[test]
fn a_contact_bounces_the_same_way_every_time() {
    let run = || {
        let mut bench = Bench::new(&Description::default());
        bench.wait(1000);
        bench.command("pin PB1 bounce high 5ms");
        bench.wait(4_999_999);
        let before = bench.history("pin PB1");
        bench.wait(1);
        let history = bench.history("pin PB1");
        assert!(history.count > before.count, "the last edge is at the end");
        bench.wait(10_000_000);
        assert_eq!(bench.history("pin PB1"), history);
        history
    };
    let history = run();
    assert!(history.count >= 3 && history.count % 2 == 1 && history.level, "{history:?}");
    assert_eq!(history.edges[0].time, 1000);
    assert_eq!(history.edges.last().unwrap().time, 5_001_000);
    assert!(history.edges.is_sorted_by(|one, other| one.time < other.time && one.level != other.level));
    assert_eq!(run(), history);
}

#[test]
fn a_new_command_ends_bouncing() {
    let mut bench = Bench::new(&Description::default());
    bench.command("pin PB1 bounce high 5ms");
    bench.command("pin PB1 = low");
    bench.wait(10_000_000);
    assert_eq!(bench.history("pin PB1").count, 2);
}

#[test]
fn events_happen_at_their_time_or_behind_their_line() {
    let mut description = description(
        r#"{ "event": [
            { "at": "200ms", "do": "pin PB1 = high" },
            { "after": "^ready$", "at": "5us", "do": "pin PB2 = high" },
            { "after": "ready", "do": "pin 2 = high" },
            { "after": "never", "do": "pin 10 = high" }
        ] }"#,
    );
    description.until = Some(Pattern::new("^end"));
    let mut bench = Bench::new(&description);
    assert_eq!(bench.board.next_event(), Some(200_000_000));
    bench.wait(1_000_000);
    let say = |bench: &mut Bench, text: &str| {
        text.bytes().for_each(|byte| bench.board.console(byte, bench.now));
        bench.wait(0);
    };
    say(&mut bench, "not rea");
    say(&mut bench, "dy\r\n");
    assert!(bench.level("pin 2"));
    assert!(!bench.level("pin PB2"));
    bench.wait(1_000_000);
    say(&mut bench, "ready\r\n");
    bench.wait(1_000_000);
    assert_eq!(bench.history("pin 2").count, 1);
    assert_eq!(bench.history("pin PB2").edges[0].time, 2_005_000);
    // Late calls do not make events late.
    bench.wait(500_000_000);
    assert_eq!(bench.history("pin PB1").edges[0].time, 200_000_000);
    say(&mut bench, "end of test\n");
    let end = bench.now;
    bench.wait(5);
    bench.command("pin 3 = high");
    let report = bench.board.report(bench.now);
    assert_eq!((report.time, report.nets.contains_key("MIO3")), (end, false), "the report is of that line");
    assert_eq!(report.pending, ["pin 10 = high"]);
}

const EEPROM: &str = r#"{ "i2c": { "i2c0": { "slave": [
    { "model": "24c02", "address": 80 }, { "model": "tmp105", "address": 72, "label": "board" },
    { "model": "pca9548", "address": 112, "behind": [{ "channel": 3, "slaves": [{ "model": "24c02", "address": 81 }] }] }
] } } }"#;

/// CPU_1x of 111 MHz, and the pins of Pmod JE.
fn i2c(pins: u32) -> Description {
    let clocks = [(0x100, 0x7F000, 40 << 12), (0x120, 0x3F00, 2 << 8)];
    let clocks = clocks.map(|(offset, mask, value)| Preset { offset, mask, value });
    let mut description = description(EEPROM);
    description.preset = [&clocks[..], &[pin(10, pins), pin(11, pins)]].concat();
    description
}

/// Writes bytes with the controller; whether the slave acknowledged.
fn send(bench: &mut Bench, address: u32, bytes: &[u8]) -> bool {
    // 84 kHz: 111 MHz / 22 / 4 / 15, master, acknowledge, 7 bit, FIFO cleared.
    bench.write("i2c0", 0x00, 3 << 14 | 14 << 8 | 0x4E);
    bench.write("i2c0", 0x10, 0xFFFF);
    for byte in bytes {
        bench.write("i2c0", 0x0C, u32::from(*byte));
    }
    bench.write("i2c0", 0x08, address);
    bench.wait(10_000_000);
    bench.read("i2c0", 0x10) & 4 == 0
}

#[test]
fn a_controller_reaches_slaves_only_through_its_pins() {
    let mut bench = Bench::new(&i2c(GPIO));
    assert!(!send(&mut bench, 0x50, &[0, 1]), "the pins are GPIO");
    bench.unlock();
    for pin in [10, 11] {
        bench.write("slcr", MIO_PIN + 4 * pin, I2C | TRISTATE);
    }
    assert!(!send(&mut bench, 0x50, &[0, 2]), "the pins are tri-stated");
    for pin in [10, 11] {
        bench.write("slcr", MIO_PIN + 4 * pin, I2C);
    }
    assert!(send(&mut bench, 0x50, &[0, 3, 4]));
    assert!(!send(&mut bench, 0x51, &[0, 3]), "behind the multiplexer");
    assert!(send(&mut bench, 0x70, &[1 << 3]) && send(&mut bench, 0x51, &[1, 9]));
    assert!(bench.history("pin 10").count > 0, "SCL moves on its net");
    let report = bench.board.report(bench.now);
    assert!(report.slaves["i2c0/0x50"].memory.starts_with("0304ff"));
    assert!(report.slaves["i2c0/0x70/3/0x51"].memory.starts_with("ff09ff"));
    assert_eq!(report.slaves["i2c0/0x48"].label, "board");
    assert!(report.transactions["i2c0"].contains(&"S a0+ 00+ 03+ 04+ P".to_owned()), "{:?}", report.transactions);
    let Reply::Bytes(digits) = bench.command("dump i2c0/24c02@0x50") else { panic!() };
    assert_eq!(digits.len(), 512);
    assert_eq!(bench.board.complaints(), [""; 0]);
}

#[test]
fn faults_and_properties_are_set_by_command() {
    let mut bench = Bench::new(&i2c(I2C));
    bench.command("i2c0/0x50 nack byte 2");
    assert!(!send(&mut bench, 0x50, &[0, 1]));
    assert!(send(&mut bench, 0x50, &[0, 1]));
    bench.command("i2c0/0x50 nack byte 0 always");
    assert!(!send(&mut bench, 0x50, &[0]) && !send(&mut bench, 0x50, &[0]));
    bench.command("i2c0 free");
    bench.wait(20_000_000);
    assert!(send(&mut bench, 0x50, &[0]));
    let before = bench.command("dump i2c0/board");
    bench.command("temperature i2c0/board = 42.5");
    bench.wait(1_000_000_000);
    assert_ne!(bench.command("dump i2c0/0x48"), before);
    bench.command("i2c0 lose byte 1");
    send(&mut bench, 0x50, &[0xFF]);
    assert_ne!(bench.read("i2c0", 0x10) & 1 << 9, 0, "arbitration lost");
    for wrong in ["dump i2c0/0x51", "dump i2c1/0x50", "i2c1 wedge", "set i2c0/0x50 colour = 3", "pin NOWHERE = low"] {
        let command: Command = wrong.parse().unwrap();
        assert!(bench.board.command(&command, bench.now).is_err(), "{wrong}");
    }
}

#[test]
fn nine_clocks_through_gpio_free_a_wedged_bus() {
    let mut bench = Bench::new(&i2c(I2C));
    bench.command("i2c0 wedge");
    assert!(!bench.level("pin 11"), "SDA is held low");
    bench.unlock();
    for pin in [10, 11] {
        bench.write("slcr", MIO_PIN + 4 * pin, GPIO);
    }
    assert!(!bench.level("pin 11"), "whoever owns the pin");
    bench.input(11);
    for clocks in 0..9 {
        assert!(!bench.level("pin 11"), "after {clocks} clocks");
        bench.output(10, false);
        bench.wait(5_000);
        bench.input(10);
        bench.wait(5_000);
    }
    assert!(bench.level("pin 11"));
    for pin in [10, 11] {
        bench.write("slcr", MIO_PIN + 4 * pin, I2C);
    }
    assert!(send(&mut bench, 0x50, &[0, 7]));
}

#[test]
fn a_reset_loses_the_controller_and_keeps_the_slaves() {
    let mut bench = Bench::new(&i2c(I2C));
    assert!(send(&mut bench, 0x50, &[0, 7]));
    bench.unlock();
    bench.write("slcr", I2C_RST_CTRL, 1);
    bench.write("slcr", I2C_RST_CTRL, 0);
    assert_eq!(bench.read("i2c0", 0), 0);
    bench.write("slcr", 0x200, 1);
    assert!(bench.board.reset_requested() && !bench.board.reset_requested());
    bench.board.reset(bench.now);
    // Locked again, and as the start-up code leaves it.
    assert_eq!(bench.read("slcr", 0xC), 1);
    assert_eq!(bench.read("slcr", MIO_PIN + 40), I2C);
    assert!(send(&mut bench, 0x50, &[1, 8]));
    assert!(bench.board.report(0).slaves["i2c0/0x50"].memory.starts_with("0708"));
}

#[test]
fn an_i2c_bus_may_go_through_the_logic() {
    let mut description = i2c(GPIO);
    description.i2c.get_mut("i2c0").unwrap().pins = Some(serde_json::from_str::<BusPins>("\"emio\"").unwrap());
    description.preset.push(Preset { offset: LVL_SHFTR_EN, mask: 0xF, value: 0xF });
    let mut bench = Bench::new(&description);
    assert!(send(&mut bench, 0x50, &[0, 7]));
    bench.unlock();
    bench.write("slcr", MIO_PIN + 40, I2C);
    assert!(!send(&mut bench, 0x50, &[0, 7]), "an MIO pin has the controller now");
}

#[test]
fn mistakes_in_a_description_are_found() {
    let wrong = |text: &str| Board::new(&description(text)).unwrap_err();
    assert_eq!(wrong(r#"{ "i2c": { "i2c7": {} } }"#), DescriptionError::Controller("i2c7".into()));
    for pins in ["[10, 12]", "[11, 10]", "[12, 13]", "[10, 200]"] {
        let error = wrong(&format!(r#"{{ "i2c": {{ "i2c0": {{ "pins": {pins} }} }} }}"#));
        assert!(matches!(error, DescriptionError::BusPins { .. }), "{pins}: {error}");
    }
    let twice = r#"{ "i2c": { "i2c0": { "slave": [{ "model": "24c02", "address": 80 }, { "model": "24c02", "address": 80 }] } } }"#;
    assert!(wrong(twice).to_string().contains("i2c0: two slaves"));
    for (event, part) in [
        (r#"{ "do": "pin 50 = high" }"#, "when?"),
        (r#"{ "at": "1s", "do": "pin LD0 = high" }"#, "no net `pin LD0`"),
        (r#"{ "at": "1s", "do": "i2c0 wedge" }"#, "no I2C bus"),
    ] {
        let error = wrong(&format!(r#"{{ "event": [{event}] }}"#)).to_string();
        assert!(error.contains(part), "{error}");
    }
    for (fabric, part) in [
        (r#"{ "emio": { "A": 64 } }"#, "no EMIO pin 64"),
        (r#"{ "emio": { "A": 1, "B": 1 } }"#, "twice"),
        (r#"{ "axi-gpio": [{ "base": 4096, "channel1": ["A"] }] }"#, "64 KiB"),
        (
            r#"{ "axi-gpio": [{ "base": 1073741824, "interrupt": 52, "channel1": ["A"] }] }"#,
            "does not come from the PL",
        ),
        (r#"{ "axi-gpio": [{ "base": 1073741824, "channel1": [] }] }"#, "has 0 pads"),
    ] {
        let error = wrong(&format!(r#"{{ "bitstream": {fabric} }}"#)).to_string();
        assert!(error.contains(part), "{error}");
    }
    assert!(serde_json::from_str::<Description>(r#"{ "bitstream": "vivado" }"#).is_err());
    assert!(serde_json::from_str::<Description>(r#"{ "evnt": [] }"#).is_err());
}

#[test]
fn a_description_survives_json() {
    let mut description = i2c(I2C);
    description.bitstream = Bitstream::Own(Fabric { emio: BTreeMap::from([("A".into(), 3)]), ..Fabric::default() });
    description.event = vec![Event {
        at: Some("1500us".parse().unwrap()),
        after: Some(Pattern::new("^x")),
        command: "pin A bounce low 3ms".parse().unwrap(),
    }];
    let text = serde_json::to_string(&description).unwrap();
    assert_eq!(serde_json::from_str::<Description>(&text).unwrap(), description);
}

#[test]
fn histories_are_long_enough_for_much() {
    let mut bench = Bench::new(&with_pins(&[pin(9, GPIO)]));
    bench.output(9, false);
    for round in 0..200_000 {
        bench.write("gpio", 0, 0xFDFF_0000 | (round & 1) << 9);
    }
    assert_eq!(bench.history("pin 9").count, 199_999);
}
