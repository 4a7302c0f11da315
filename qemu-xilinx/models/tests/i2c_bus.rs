//! The bus and its lines against the I2C specification (UM10204), by a master that moves the lines itself, and the description
//! of slaves.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

mod pins;

use pins::Pins;
use zelkova_models::Drive;
use zelkova_models::i2c::{
    Address, Behind, BuildError, Bus, Description, Direction, Eeprom, Fault, FaultError, Kind, Lines, Model,
    Occurrence, Pca9548, PropertyError, Scripted, Tmp105, Value,
};

fn eeprom() -> Description {
    Description::new(Model::Eeprom24c02, 0x50)
}

fn scripted(address: u16) -> Description {
    Description { label: Some("slave".into()), ..Description::new(Model::Scripted, address) }
}

/// UM10204 3.1.1 to 3.1.10: whole transfers by moving the lines.
#[test]
fn transfers_bit_by_bit() {
    let mut pins = Pins::new(&[eeprom(), scripted(0x10)]);
    assert_eq!(pins.bus.lines(), Lines::HIGH);
    assert_eq!(pins.write(0x50, &[0x10, 1, 2, 3]), 5);
    assert_eq!(pins.last(), "S a0+ 10+ 01+ 02+ 03+ P");
    assert_eq!(pins.write(0x50, &[0x10]), 0, "it programs");
    pins.now += 5_000_000;
    // A repeated START with the other direction.
    pins.start();
    assert!(pins.put(0xA0) && pins.put(0x10));
    pins.start();
    assert!(pins.put(0xA1));
    assert_eq!([pins.get(true), pins.get(true), pins.get(false)], [1, 2, 3]);
    pins.stop();
    assert_eq!(pins.last(), "S a0+ 10+ Sr a1+ 01+ 02+ 03- P");
    assert_eq!(pins.write(0x33, &[1]), 0);
    assert_eq!(pins.last(), "S 66- P");
    assert_eq!((pins.bus.lines(), pins.bus.is_busy()), (Lines::HIGH, false));
    // The other slave noticed nothing of it.
    assert!(pins.bus.slave::<Scripted>("slave").unwrap().starts().is_empty());
}

/// UM10204 3.1.10: a repeated START for another slave ends the transaction of the first.
#[test]
fn a_repeated_start_for_another() {
    let mut pins = Pins::new(&[eeprom(), scripted(0x10)]);
    pins.start();
    assert!(pins.put(0x20) && pins.put(7));
    pins.start();
    assert_eq!(pins.bus.slave::<Scripted>("slave").unwrap().stops(), 0);
    assert!(pins.put(0xA0));
    let slave = pins.bus.slave::<Scripted>("slave").unwrap();
    assert_eq!((slave.stops(), slave.received()), (1, [7].as_slice()));
    pins.stop();
}

/// UM10204 3.1.11: a 10-bit address once more in one transaction; a wrong lower part ends it.
#[test]
fn a_repeated_start_with_ten_bits() {
    let mut pins = Pins::new(&[Description { ten_bit: true, ..scripted(0x2C5) }]);
    let stops = |pins: &Pins| pins.bus.slave::<Scripted>("slave").unwrap().stops();
    pins.start();
    assert!(pins.put(0xF4) && pins.put(0xC5) && pins.put(1));
    pins.start();
    assert!(pins.put(0xF4) && pins.put(0xC5) && pins.put(2));
    pins.start();
    assert!(pins.put(0xF5), "to read, the upper part is enough");
    assert_eq!((pins.get(false), stops(&pins)), (0, 0));
    pins.start();
    assert!(pins.put(0xF4) && !pins.put(0xC6));
    assert_eq!(stops(&pins), 1);
    pins.start();
    assert!(!pins.put(0xF5), "it is no longer selected");
    pins.stop();
    assert_eq!(pins.bus.slave::<Scripted>("slave").unwrap().received(), [1, 2]);
}

/// UM10204 3.1.9: the clock stays low as long as a slave holds it.
#[test]
fn a_slave_holds_the_clock() {
    let mut pins = Pins::new(&[scripted(0x10)]);
    pins.bus.inject(Fault::new(Kind::Stretch { ns: 1_000_000 }, 1)).unwrap();
    let begun = pins.now;
    assert_eq!(pins.write(0x10, &[1, 2]), 3);
    let stretched = pins.now - begun;
    let begun = pins.now;
    assert_eq!(pins.write(0x10, &[1, 2]), 3);
    let more = stretched - (pins.now - begun);
    assert!((990_000..1_010_000).contains(&more), "{more} ns");
    // For ever, until the fault is cleared.
    pins.bus.inject(Fault::new(Kind::Hang, 0)).unwrap();
    pins.start();
    (0..8).for_each(|bit| {
        pins.clock(0x20 << bit & 0x80 != 0);
    });
    pins.bus.drive_scl(true, pins.now);
    pins.bus.advance(u64::MAX / 2);
    assert!(!pins.bus.lines().scl);
    assert_eq!(pins.bus.next_event(), None);
    pins.bus.clear_faults(pins.now);
    assert!(pins.bus.lines().scl);
}

/// UM10204 3.1.16: a master that goes away in the middle of a read leaves SDA low; nine clocks free it.
#[test]
fn nine_clocks_free_the_bus() {
    for clocks in 0..27 {
        for value in [0x00, 0x01, 0x80, 0xFF, 0x55] {
            let mut slave = scripted(0x10);
            slave.properties.insert("reply".into(), Value::Bytes(vec![value]));
            let mut pins = Pins::new(&[slave]);
            pins.start();
            assert!(pins.put(0x21));
            (0..clocks).for_each(|clock| {
                pins.clock(clock % 9 != 8);
            });
            // The master is reset.
            pins.bus.drive_sda(true, pins.now);
            pins.scl(true);
            // One of nine clocks is that of an acknowledgement, and there is none.
            for _ in 0..9 {
                pins.scl(false);
                pins.scl(true);
            }
            assert!(pins.bus.lines().sda, "after {clocks} of {value:#04x}");
            pins.scl(false);
            pins.stop();
            assert!(!pins.bus.is_busy());
            assert_eq!(pins.read(0x10, 2), Some(vec![value; 2]));
        }
    }
}

/// A bus that is wedged by nobody in particular.
#[test]
fn a_wedge_counts_clocks() {
    let mut pins = Pins::new(&[eeprom()]);
    pins.bus.wedge(5, pins.now);
    assert_eq!(pins.bus.lines(), Lines { scl: true, sda: false });
    for clock in 0..5 {
        assert!(!pins.bus.lines().sda, "clock {clock}");
        pins.scl(false);
        pins.scl(true);
    }
    assert!(pins.bus.lines().sda);
    pins.scl(false);
    pins.stop();
    assert_eq!(pins.write(0x50, &[0]), 2);
    pins.bus.wedge(5, pins.now);
    pins.bus.clear_faults(pins.now);
    assert!(pins.bus.lines().sda);
}

/// Several slaves at one address answer together; the zeros win.
#[test]
fn two_slaves_at_one_address() {
    let mut slaves = [scripted(0x10), Description { label: Some("other".into()), ..scripted(0x10) }];
    slaves[0].properties.insert("reply".into(), Value::Bytes(vec![0xF0, 0xFF]));
    slaves[1].properties.insert("reply".into(), Value::Bytes(vec![0x3C, 0x0F]));
    let mut pins = Pins::new(&slaves);
    assert_eq!(pins.read(0x10, 2), Some(vec![0x30, 0x0F]));
}

/// A slave answers to several addresses.
#[test]
fn one_slave_at_several_addresses() {
    let mut pins = Pins::new(&[Description { addresses: vec![0x11, 0x40], ..scripted(0x10) }]);
    for address in [0x10, 0x11, 0x40] {
        assert_eq!(pins.write(address, &[1]), 2);
    }
    assert_eq!(pins.write(0x12, &[]), 0);
    let seven = |address| (Address::Seven(address), Direction::Write);
    assert_eq!(pins.bus.slave::<Scripted>("slave").unwrap().starts(), [seven(0x10), seven(0x11), seven(0x40)]);
}

/// How often a fault occurs, and to whom.
#[test]
fn faults_occur_as_often_as_they_say() {
    let outcomes = |occurs| {
        let mut pins = Pins::new(&[scripted(0x10), eeprom()]);
        pins.bus.inject(Fault::new(Kind::Nack, 1).on("slave").occurring(occurs)).unwrap();
        assert_eq!(pins.write(0x50, &[1]), 2, "another slave");
        (0..4).map(|_| pins.write(0x10, &[1, 2])).collect::<Vec<_>>()
    };
    assert_eq!(outcomes(Occurrence::Once), [1, 3, 3, 3]);
    assert_eq!(outcomes(Occurrence::Always), [1, 1, 1, 1]);
    assert_eq!(outcomes(Occurrence::Nth(3)), [3, 3, 1, 3]);
}

/// Bits flip on their way; a silent slave reads as ones.
#[test]
fn faults_of_data() {
    let mut pins = Pins::new(&[scripted(0x10)]);
    pins.bus.inject(Fault::new(Kind::Flip { mask: 0x81 }, 2)).unwrap();
    assert_eq!(pins.write(0x10, &[1, 2, 3]), 4);
    assert_eq!(pins.bus.slave::<Scripted>("slave").unwrap().received(), [1, 0x83, 3]);
    pins.bus.inject(Fault::new(Kind::Flip { mask: 0x10 }, 2)).unwrap();
    assert_eq!(pins.read(0x10, 3), Some(vec![0, 0x11, 2]));
    pins.bus.inject(Fault::new(Kind::Nack, 2)).unwrap();
    assert_eq!(pins.read(0x10, 3), Some(vec![0, 0xFF, 0xFF]));
}

/// Faults that make no sense are refused.
#[test]
fn impossible_faults() {
    let mut bus = Bus::build(&[eeprom()], 0).unwrap();
    let unknown = bus.inject(Fault::new(Kind::Nack, 0).on("rom")).unwrap_err();
    assert_eq!(unknown, FaultError::NoSlave { slave: "rom".into(), known: "24c02@0x50".into() });
    assert_eq!(unknown.to_string(), "no slave `rom` on the bus; there are: 24c02@0x50");
    for (kind, byte, occurs) in [
        (Kind::Wedge { clocks: 0 }, 1, Occurrence::Once),
        (Kind::Flip { mask: 1 }, 0, Occurrence::Once),
        (Kind::Flip { mask: 0 }, 1, Occurrence::Once),
        (Kind::Nack, 1, Occurrence::Nth(0)),
    ] {
        let refused = bus.inject(Fault::new(kind, byte).occurring(occurs));
        assert!(matches!(refused, Err(FaultError::Range { .. })), "{kind:?}");
    }
}

fn mux() -> Description {
    Description {
        label: Some("mux".into()),
        behind: vec![
            Behind { channel: 0, slaves: vec![eeprom()] },
            Behind { channel: 3, slaves: vec![Description { label: Some("far".into()), ..eeprom() }, scripted(0x10)] },
        ],
        ..Description::new(Model::Pca9548, 0x70)
    }
}

/// PCA9548A data sheet, "Control register": a channel is connected at the STOP; the last of several bytes counts.
#[test]
fn a_multiplexer_connects_at_the_stop() {
    let mut pins = Pins::new(&[mux()]);
    assert_eq!(pins.write(0x50, &[0]), 0, "nothing is connected after power-up");
    assert_eq!(pins.read(0x70, 2), Some(vec![0, 0]));
    pins.start();
    assert!(pins.put(0xE0) && pins.put(0xFF) && pins.put(0x08));
    pins.start();
    assert!(!pins.put(0xA0), "not yet");
    pins.stop();
    assert_eq!(pins.read(0x70, 1), Some(vec![8]));
    assert_eq!(pins.write(0x50, &[0, 0xAB]), 3);
    pins.now += 10_000_000;
    assert_eq!(pins.bus.slave::<Eeprom>("far").unwrap().memory()[0], 0xAB);
    assert_eq!(pins.bus.slave::<Eeprom>("24c02@0x50").unwrap().memory()[0], 0xFF);
    assert_eq!(pins.write(0x10, &[5]), 2);
    // Two channels at once: both EEPROMs answer.
    assert_eq!(pins.write(0x70, &[9]), 2);
    assert_eq!(pins.write(0x50, &[1, 0x77]), 3);
    for label in ["far", "24c02@0x50"] {
        assert_eq!(pins.bus.slave::<Eeprom>(label).unwrap().memory()[1], 0x77);
    }
    // What goes over the main bus does not go over a bus that is not connected.
    assert_eq!(pins.write(0x70, &[0]), 2);
    let mux = pins.bus.slave::<Pca9548>("mux").unwrap();
    let before = mux.bus(3).unwrap().history().len();
    assert_eq!(pins.write(0x50, &[0]), 0);
    assert_eq!(pins.bus.slave::<Pca9548>("mux").unwrap().bus(3).unwrap().history().len(), before);
    pins.bus.set("mux", "reset", &Value::Flag(true), pins.now).unwrap();
    assert_eq!(pins.write(0x70, &[1]), 0, "it is in reset");
}

/// A slave behind a multiplexer that wedges its bus wedges the main one only while it is connected.
#[test]
fn a_wedge_behind_a_multiplexer() {
    let mut pins = Pins::new(&[mux(), Description { label: Some("near".into()), ..scripted(0x20) }]);
    assert_eq!(pins.write(0x70, &[8]), 2);
    pins.bus.inject(Fault::new(Kind::Wedge { clocks: 1_000 }, 1).on("slave")).unwrap();
    pins.write(0x10, &[0xFF]);
    assert!(!pins.bus.lines().sda);
    pins.bus.set("mux", "reset", &Value::Flag(true), pins.now).unwrap();
    pins.bus.drive_sda(true, pins.now);
    assert!(pins.bus.lines().sda, "the multiplexer's reset frees the main bus");
    assert_eq!(pins.write(0x20, &[1]), 2);
}

/// A bus from text, with everything a description can say.
#[test]
fn a_description_in_text() {
    let text = r#"[
        {"model": "24c256", "address": 80, "properties": {"contents": "hello", "write-protect": true}},
        {"model": "tmp105", "address": 72, "label": "board", "properties": {"temperature": -12.5},
         "faults": [{"kind": "nack"}, {"byte": 2, "kind": {"stretch": {"ns": 5000}}, "occurs": {"nth": 3}}]},
        {"model": "scripted", "address": 709, "ten-bit": true},
        {"model": "pca9548", "address": 112, "behind": [{"channel": 3, "slaves": [{"model": "ds3231", "address": 104}]}]},
        {"model": "adv7511", "address": 57}, {"model": "mcp23017", "address": 32}, {"model": "pcf8574", "address": 33},
        {"model": "lm75", "address": 73}, {"model": "ds1307", "address": 104}, {"model": "ssd1306", "address": 60},
        {"model": "24c02", "address": 81}
    ]"#;
    let slaves: Vec<Description> = serde_json::from_str(text).unwrap();
    let again: Vec<Description> = serde_json::from_str(&serde_json::to_string(&slaves).unwrap()).unwrap();
    assert_eq!(again, slaves);
    let mut pins = Pins::new(&slaves);
    let labels: Vec<&str> = pins.bus.slaves().iter().map(|(label, _)| *label).collect();
    let wanted = [
        "24c256@0x50",
        "board",
        "scripted@0x2c5",
        "pca9548@0x70",
        "ds3231@0x68",
        "adv7511@0x39",
        "mcp23017@0x20",
        "pcf8574@0x21",
        "lm75@0x49",
        "ds1307@0x68",
        "ssd1306@0x3c",
        "24c02@0x51",
    ];
    assert_eq!(labels, wanted);
    assert_eq!(pins.bus.label_at(&[0x70, 3, 0x68]), Some("ds3231@0x68"));
    assert_eq!(pins.bus.label_at(&[0x68]), Some("ds1307@0x68"));
    assert_eq!(pins.bus.label_at(&[0x70, 2, 0x68]), None);
    assert_eq!(pins.bus.label_at(&[0x70, 8, 0x68]), None);
    assert_eq!(&pins.bus.slave::<Eeprom>("24c256@0x50").unwrap().memory()[..6], b"hello\xFF");
    let board = pins.bus.slave::<Tmp105>("board").unwrap();
    assert_eq!(board.temperature().to_bits(), (-12.5_f64).to_bits());
    assert_eq!([pins.write(0x48, &[]), pins.write(0x48, &[])], [0, 1], "its fault occurs once");
    assert!(pins.bus.slave::<Eeprom>("board").is_none(), "it is no EEPROM");
    assert_eq!(pins.bus.output("board", "alert"), Some(Drive::Floating));
    assert_eq!(pins.bus.output("board", "other"), None);
}

/// Descriptions that are wrong say where and what.
#[test]
fn wrong_descriptions() {
    let error = |slaves: &[Description]| Bus::build(slaves, 0).unwrap_err();
    let text = |slaves: &[Description]| error(slaves).to_string();
    assert_eq!(error(&[eeprom(), eeprom()]), BuildError::Label { label: "24c02@0x50".into() });
    assert_eq!(text(&[scripted(0x78)]), "`slave`: address 0x78 is not from 0x08 to 0x77");
    assert_eq!(text(&[scripted(7)]), "`slave`: address 0x7 is not from 0x08 to 0x77");
    let ten = Description { ten_bit: true, ..scripted(0x400) };
    assert_eq!(text(&[ten]), "`slave`: address 0x400 is more than 10 bits");
    let behind = vec![Behind { channel: 8, slaves: vec![] }];
    let channel = Description { behind, ..Description::new(Model::Pca9548, 0x70) };
    assert_eq!(text(&[channel]), "`pca9548@0x70` has no channel 8 that slaves could be behind");
    let mut property = eeprom();
    property.properties.insert("temperature".into(), Value::Integer(1));
    let wanted = "`24c02@0x50`: `24c02` has no property `temperature`; it has: contents (bytes from address 0), \
                  write-protect (flag), write-time-us (integer)";
    assert_eq!(text(&[property]), wanted);
    let mut value = eeprom();
    value.properties.insert("contents".into(), Value::Bytes(vec![0; 257]));
    assert_eq!(text(&[value]), "`24c02@0x50`: `contents` of `24c02` wants bytes that fit the memory");
    let fault = Description { faults: vec![Fault::new(Kind::Wedge { clocks: 0 }, 1)], ..eeprom() };
    assert_eq!(text(&[fault]), "`24c02@0x50`: a fault's `clocks` must be at least 1");
    let mut bus = Bus::build(&[eeprom()], 0).unwrap();
    let missing = bus.set("rom", "contents", &Value::Flag(true), 0).unwrap_err();
    assert!(matches!(missing, PropertyError::NoSlave { .. }));
    assert!(serde_json::from_str::<Description>(r#"{"model": "24c02", "address": 80, "adress": 1}"#).is_err());
}
