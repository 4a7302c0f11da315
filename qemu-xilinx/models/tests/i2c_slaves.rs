//! The slaves against their data sheets, by a master that moves the lines itself.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

mod pins;

use pins::Pins;
use zelkova_models::Drive;
use zelkova_models::i2c::{Adv7511, Description, Eeprom, Mcp23017, Model, Pcf8574, Rtc, Slave, Ssd1306, Tmp105, Value};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;

fn one(model: Model, address: u16) -> Pins {
    Pins::new(&[Description { label: Some("it".into()), ..Description::new(model, address) }])
}

fn set(pins: &mut Pins, property: &str, value: Value) {
    pins.bus.set("it", property, &value, pins.now).unwrap();
}

fn output(pins: &Pins, pin: &str) -> Drive {
    pins.bus.output("it", pin).unwrap()
}

/// AT24C02, "Page write": eight bytes a page, and what is beyond its end wraps to its start.
#[test]
fn eeprom_24c02_page_write_wraps() {
    let mut pins = one(Model::Eeprom24c02, 0x50);
    let bytes: Vec<u8> = [0x0D].into_iter().chain(1..=11).collect();
    assert_eq!(pins.write(0x50, &bytes), 13);
    pins.wait(5 * MS);
    let memory = pins.bus.slave::<Eeprom>("it").unwrap().memory().to_vec();
    // 1, 2, 3 went to 0x0D to 0x0F, 4 to 11 over all of the page.
    assert_eq!(memory[0x08..0x10], [4, 5, 6, 7, 8, 9, 10, 11]);
    assert!(memory[..8].iter().chain(&memory[0x10..]).all(|byte| *byte == 0xFF));
}

/// AT24C256C 7.2: 64 bytes a page, two bytes of address, the uppermost of its bits is ignored.
#[test]
fn eeprom_24c256_page_write_wraps() {
    let mut pins = one(Model::Eeprom24c256, 0x50);
    let bytes: Vec<u8> = [0x92, 0x7E].into_iter().chain(1..=4).collect();
    assert_eq!(pins.write(0x50, &bytes), 7);
    pins.wait(5 * MS);
    let memory = pins.bus.slave::<Eeprom>("it").unwrap().memory();
    assert_eq!(memory[0x127E..0x1280], [1, 2]);
    assert_eq!(memory[0x1240..0x1242], [3, 4]);
    assert_eq!(memory.iter().filter(|byte| **byte != 0xFF).count(), 4);
}

/// AT24C02, "Acknowledge polling": no answer until the page is programmed.
#[test]
fn eeprom_programs_for_5_ms() {
    let mut pins = one(Model::Eeprom24c02, 0x50);
    assert_eq!(pins.write(0x50, &[0, 1]), 3);
    let begun = pins.now;
    let mut polls = 0;
    while pins.write(0x50, &[]) == 0 {
        polls += 1;
    }
    assert!((5 * MS..5 * MS + 300_000).contains(&(pins.now - begun)), "{} ns", pins.now - begun);
    assert!(polls > 10);
    assert_eq!(pins.bus.slave::<Eeprom>("it").unwrap().programmed(), 1);
    // Setting the address alone programs nothing, nor does data that no STOP follows.
    assert_eq!(pins.write(0x50, &[0]), 2);
    assert_eq!(pins.write_read(0x50, &[0, 0x77], 1), Some(vec![0xFF]));
    assert_eq!(pins.write_read(0x50, &[0], 1), Some(vec![1]));
    assert_eq!(pins.bus.slave::<Eeprom>("it").unwrap().programmed(), 1);
}

/// AT24C02, "Current address read", "Sequential read": the counter goes on after a write and over the end of the memory.
#[test]
fn eeprom_reads_on_and_rolls_over() {
    for (model, bytes, address) in
        [(Model::Eeprom24c02, 256_usize, vec![0xFE]), (Model::Eeprom24c256, 32_768, vec![0x7F, 0xFE])]
    {
        let mut pins = one(model, 0x50);
        let contents: Vec<u8> = (0..bytes).map(|index| (index + index / 256) as u8).collect();
        set(&mut pins, "contents", Value::Bytes(contents.clone()));
        let read = pins.write_read(0x50, &address, 4).unwrap();
        assert_eq!(read, [contents[bytes - 2], contents[bytes - 1], contents[0], contents[1]]);
        assert_eq!(pins.read(0x50, 2).unwrap(), contents[2..4]);
        assert_eq!(pins.write_read(0x50, &vec![0; address.len()], bytes).unwrap(), contents);
    }
}

/// AT24C02, "Write protect": data is not taken.
#[test]
fn eeprom_write_protect() {
    let mut pins = one(Model::Eeprom24c02, 0x50);
    set(&mut pins, "write-protect", Value::Flag(true));
    assert_eq!(pins.write(0x50, &[3, 1, 2]), 2);
    assert_eq!(pins.write_read(0x50, &[3], 2), Some(vec![0xFF, 0xFF]), "it does not program");
    set(&mut pins, "write-protect", Value::Flag(false));
    assert_eq!(pins.write(0x50, &[3, 1, 2]), 4);
    pins.wait(5 * MS);
    assert_eq!(pins.write_read(0x50, &[3], 2), Some(vec![1, 2]));
}

/// TMP105 7.5.2, table 5: temperatures as words, at 12 bits.
#[test]
fn tmp105_temperatures() {
    for (celsius, word) in [
        (127.9375, 0x7FF0),
        (100.0, 0x6400),
        (80.0, 0x5000),
        (75.0, 0x4B00),
        (50.0, 0x3200),
        (25.0, 0x1900),
        (0.25, 0x0040),
        (0.0, 0x0000),
        (-0.25, 0xFFC0),
        (-25.0, 0xE700),
        (-55.0, 0xC900),
        (-128.0, 0x8000),
    ] {
        let mut pins = one(Model::Tmp105, 0x48);
        set(&mut pins, "temperature", Value::Number(celsius));
        assert_eq!(pins.write(0x48, &[1, 0x60]), 3);
        pins.wait(221 * MS + 221 * MS);
        let bytes = pins.write_read(0x48, &[0], 2).unwrap();
        assert_eq!(u16::from_be_bytes([bytes[0], bytes[1]]), word, "{celsius}");
    }
}

/// TMP105 7.5.3.5, 6.5: a resolution of 9 to 12 bits takes 27.5 to 220 ms; what is read is the last whole conversion.
#[test]
fn tmp105_resolutions_and_conversion_times() {
    for (bits, word) in [(0, 0x1980), (1, 0x19C0), (2, 0x19E0), (3, 0x19F0)] {
        let mut pins = one(Model::Tmp105, 0x48);
        assert_eq!(pins.read(0x48, 2), Some(vec![0, 0]), "after power-up");
        pins.write(0x48, &[1, bits << 5]);
        pins.write(0x48, &[0]);
        pins.wait(SECOND);
        set(&mut pins, "temperature", Value::Number(25.99));
        let begun = pins.now;
        let read = |pins: &mut Pins| {
            let bytes = pins.read(0x48, 2).unwrap();
            u16::from_be_bytes([bytes[0], bytes[1]])
        };
        assert_eq!(read(&mut pins), 0x1900);
        while read(&mut pins) == 0x1900 {}
        assert!(pins.now - begun <= (27_500_000 << bits) + MS);
        assert_eq!(read(&mut pins), word);
    }
}

/// TMP105 7.4.1, 7.4.2: in shutdown nothing is converted but what one-shot asks for.
#[test]
fn tmp105_one_shot() {
    let mut pins = one(Model::Tmp105, 0x48);
    pins.wait(SECOND);
    pins.write(0x48, &[1, 0x01]);
    pins.wait(SECOND);
    set(&mut pins, "temperature", Value::Integer(40));
    pins.wait(SECOND);
    assert_eq!(pins.write_read(0x48, &[0], 2), Some(vec![25, 0]));
    pins.write(0x48, &[1, 0x81]);
    assert_eq!(pins.read(0x48, 1), Some(vec![0x01]), "OS reads 0");
    assert_eq!(pins.write_read(0x48, &[0], 2), Some(vec![25, 0]), "not yet");
    pins.wait(28 * MS);
    assert_eq!(pins.write_read(0x48, &[0], 2), Some(vec![40, 0]));
    set(&mut pins, "temperature", Value::Integer(50));
    pins.wait(SECOND);
    assert_eq!(pins.read(0x48, 2), Some(vec![40, 0]));
    // Out of shutdown, and back: the running conversion ends, and is the last.
    pins.write(0x48, &[1, 0x00]);
    pins.write(0x48, &[1, 0x01]);
    pins.wait(28 * MS);
    set(&mut pins, "temperature", Value::Integer(60));
    pins.wait(SECOND);
    assert_eq!(pins.write_read(0x48, &[0], 2), Some(vec![50, 0]));
}

/// TMP105 7.5.4: limits after power-up, and as written; 12 bits are kept.
#[test]
fn tmp105_limits() {
    let mut pins = one(Model::Tmp105, 0x48);
    assert_eq!(pins.write_read(0x48, &[2], 2), Some(vec![0x4B, 0]));
    assert_eq!(pins.write_read(0x48, &[3], 2), Some(vec![0x50, 0]));
    pins.write(0x48, &[3, 0x12, 0x3F]);
    pins.write(0x48, &[2, 0xF1, 0x20]);
    assert_eq!(pins.read(0x48, 2), Some(vec![0xF1, 0x20]), "the pointer stays");
    assert_eq!(pins.write_read(0x48, &[3], 2), Some(vec![0x12, 0x30]));
}

/// TMP105 7.4.4, figure 13: comparator mode, with polarity and fault queue.
#[test]
fn tmp105_comparator_mode() {
    for (faults, queue) in [(1, 0), (2, 1), (4, 2), (6, 3)] {
        for (polarity, active, idle) in [(0, Drive::Low, Drive::Floating), (4, Drive::Floating, Drive::Low)] {
            let mut pins = one(Model::Tmp105, 0x48);
            pins.write(0x48, &[1, queue << 3 | polarity]);
            pins.write(0x48, &[3, 30, 0]);
            pins.write(0x48, &[2, 28, 0]);
            pins.wait(SECOND);
            assert_eq!(output(&pins, "alert"), idle);
            set(&mut pins, "temperature", Value::Integer(30));
            pins.wait(27_500_000 * (faults - 1));
            assert_eq!(output(&pins, "alert"), idle, "{faults} faults");
            pins.wait(27_500_000);
            assert_eq!(output(&pins, "alert"), active, "{faults} faults");
            set(&mut pins, "temperature", Value::Integer(28));
            pins.wait(SECOND);
            assert_eq!(output(&pins, "alert"), active, "at the lower limit, not below it");
            pins.read(0x48, 2);
            assert_eq!(output(&pins, "alert"), active);
            set(&mut pins, "temperature", Value::Number(27.5));
            pins.wait(SECOND);
            assert_eq!(output(&pins, "alert"), idle);
        }
    }
}

/// TMP105 7.4.5, figure 13: interrupt mode, until a register is read; both limits in turn.
#[test]
fn tmp105_interrupt_mode() {
    let mut pins = one(Model::Tmp105, 0x48);
    pins.write(0x48, &[1, 2]);
    pins.write(0x48, &[3, 30, 0]);
    pins.write(0x48, &[2, 28, 0]);
    set(&mut pins, "temperature", Value::Integer(35));
    pins.wait(SECOND);
    assert_eq!(output(&pins, "alert"), Drive::Low);
    pins.read(0x48, 1);
    pins.wait(SECOND);
    assert_eq!(output(&pins, "alert"), Drive::Floating, "not again for the upper limit");
    set(&mut pins, "temperature", Value::Integer(20));
    pins.wait(SECOND);
    assert_eq!(output(&pins, "alert"), Drive::Low);
    pins.read(0x48, 1);
    assert_eq!(output(&pins, "alert"), Drive::Floating);
    set(&mut pins, "temperature", Value::Integer(35));
    pins.wait(SECOND);
    assert_eq!(output(&pins, "alert"), Drive::Low);
}

/// LM75 data sheet: 9 bits, limits 75 and 80.
#[test]
fn lm75() {
    let mut pins = one(Model::Lm75, 0x48);
    set(&mut pins, "temperature", Value::Number(-0.7));
    pins.wait(150 * MS);
    assert_eq!(pins.read(0x48, 2), Some(vec![0xFF, 0x00]));
    assert_eq!(pins.bus.slave::<Tmp105>("it").unwrap().dump(), [0xFF, 0, 0, 0, 0x4B, 0, 0x50, 0]);
    let error = pins.bus.set("it", "temperature", &Value::Integer(128), 0).unwrap_err();
    assert_eq!(error.to_string(), "`temperature` of `lm75` wants degrees Celsius, from -128 to 127.9");
}

/// MCP23017 3.2, tables 3-1 and 3-2: the registers with BANK clear and set.
#[test]
fn mcp23017_register_maps() {
    let mut pins = one(Model::Mcp23017, 0x20);
    let reset: Vec<u8> = [0xFF, 0xFF].into_iter().chain([0; 20]).collect();
    assert_eq!(pins.write_read(0x20, &[0], 22), Some(reset.clone()));
    assert_eq!(pins.read(0x20, 2), Some(vec![0xFF, 0xFF]), "the address wraps");
    pins.write(0x20, &[0x06, 0x12, 0x34]);
    assert_eq!(pins.write_read(0x20, &[0x06], 2), Some(vec![0x12, 0x34]));
    pins.write(0x20, &[0x0A, 0x80]);
    assert_eq!(pins.write_read(0x20, &[0x03], 1), Some(vec![0x12]));
    assert_eq!(pins.write_read(0x20, &[0x13], 1), Some(vec![0x34]));
    assert_eq!(pins.write_read(0x20, &[0x15], 1), Some(vec![0x80]));
}

/// MCP23017 3.2.1: with SEQOP the address stays, or toggles within the pair.
#[test]
fn mcp23017_byte_mode() {
    let mut pins = one(Model::Mcp23017, 0x20);
    pins.write(0x20, &[0x0A, 0x20]);
    pins.write(0x20, &[0x14, 1, 2, 3]);
    assert_eq!(pins.write_read(0x20, &[0x14], 4), Some(vec![3, 2, 3, 2]));
    pins.write(0x20, &[0x0A, 0xA0]);
    pins.write(0x20, &[0x0A, 7, 8]);
    assert_eq!(pins.write_read(0x20, &[0x0A], 2), Some(vec![8, 8]));
}

/// MCP23017 3.5.1, 3.5.2, 3.5.10: directions, polarity, latch and pull-ups.
#[test]
fn mcp23017_pins() {
    let mut pins = one(Model::Mcp23017, 0x20);
    pins.write(0x20, &[0x00, 0xF0, 0x0F]);
    pins.write(0x20, &[0x12, 0xA5, 0x5A]);
    assert_eq!(pins.bus.slave::<Mcp23017>("it").unwrap().pins(), 0x5005);
    assert_eq!([output(&pins, "gpa0"), output(&pins, "gpa1")], [Drive::High, Drive::Low]);
    assert_eq!([output(&pins, "gpa7"), output(&pins, "gpb6")], [Drive::Floating, Drive::High]);
    set(&mut pins, "gpa7", Value::Flag(true));
    set(&mut pins, "gpa0", Value::Flag(false));
    assert_eq!(pins.write_read(0x20, &[0x12], 1), Some(vec![0x85]), "an output is not read from outside");
    pins.write(0x20, &[0x02, 0xFF]);
    assert_eq!(pins.write_read(0x20, &[0x12], 1), Some(vec![0x75]), "polarity concerns inputs");
    pins.write(0x20, &[0x0C, 0x40]);
    assert_eq!(pins.write_read(0x20, &[0x12], 1), Some(vec![0x35]));
    set(&mut pins, "gpa7", Value::Text("release".into()));
    assert_eq!(pins.write_read(0x20, &[0x12], 1), Some(vec![0xB5]));
    assert_eq!(pins.write_read(0x20, &[0x14], 2), Some(vec![0xA5, 0x5A]), "OLAT is what was written");
    assert!(pins.bus.set("it", "inta", &Value::Flag(true), 0).is_err());
}

/// MCP23017 3.6: interrupt on change, and on a difference from DEFVAL; INTF, INTCAP and how they are cleared.
#[test]
fn mcp23017_interrupts() {
    let mut pins = one(Model::Mcp23017, 0x20);
    // GPA0 on change, GPB1 while it differs from 1.
    pins.write(0x20, &[0x0C, 0xFF, 0xFF]);
    pins.write(0x20, &[0x06, 0, 2, 0, 2]);
    pins.write(0x20, &[0x04, 1, 2]);
    assert_eq!([output(&pins, "inta"), output(&pins, "intb")], [Drive::High, Drive::High], "active low, push-pull");
    set(&mut pins, "gpa0", Value::Flag(false));
    assert_eq!([output(&pins, "inta"), output(&pins, "intb")], [Drive::Low, Drive::High]);
    set(&mut pins, "gpa0", Value::Flag(true));
    assert_eq!(pins.write_read(0x20, &[0x0E], 3), Some(vec![1, 0, 0xFE]), "INTCAP has the first change");
    assert_eq!(output(&pins, "inta"), Drive::High);
    set(&mut pins, "gpa1", Value::Flag(false));
    assert_eq!(output(&pins, "inta"), Drive::High, "GPA1 is not enabled");
    set(&mut pins, "gpb1", Value::Flag(false));
    assert_eq!(output(&pins, "intb"), Drive::Low);
    assert_eq!(pins.write_read(0x20, &[0x13], 1), Some(vec![0xFD]));
    assert_eq!(output(&pins, "intb"), Drive::Low, "it still differs");
    set(&mut pins, "gpb1", Value::Flag(true));
    assert_eq!(pins.write_read(0x20, &[0x11], 1), Some(vec![0xFD]));
    assert_eq!(output(&pins, "intb"), Drive::High);
    // Mirrored, active high, then open drain.
    pins.write(0x20, &[0x0A, 0x42]);
    assert_eq!([output(&pins, "inta"), output(&pins, "intb")], [Drive::Low, Drive::Low]);
    set(&mut pins, "gpa0", Value::Flag(false));
    assert_eq!([output(&pins, "inta"), output(&pins, "intb")], [Drive::High, Drive::High]);
    pins.write(0x20, &[0x0A, 0x04]);
    assert_eq!([output(&pins, "inta"), output(&pins, "intb")], [Drive::Low, Drive::Floating]);
}

/// PCF8574: quasi-bidirectional pins and the interrupt output.
#[test]
fn pcf8574() {
    let mut pins = one(Model::Pcf8574, 0x21);
    assert_eq!(pins.read(0x21, 2), Some(vec![0xFF, 0xFF]));
    assert_eq!(pins.write(0x21, &[0x00, 0xF0]), 3);
    assert_eq!([output(&pins, "p0"), output(&pins, "p4")], [Drive::Low, Drive::Floating]);
    assert_eq!(output(&pins, "int"), Drive::Floating);
    set(&mut pins, "p7", Value::Flag(false));
    assert_eq!(output(&pins, "int"), Drive::Low);
    set(&mut pins, "p7", Value::Flag(true));
    assert_eq!(output(&pins, "int"), Drive::Floating, "as before");
    set(&mut pins, "p7", Value::Flag(false));
    set(&mut pins, "p0", Value::Flag(false));
    assert_eq!(pins.read(0x21, 1), Some(vec![0x70]));
    assert_eq!(output(&pins, "int"), Drive::Floating);
    assert_eq!(pins.bus.slave::<Pcf8574>("it").unwrap().latch(), 0xF0);
}

/// DS1307, "Clock and calendar": halted until CH is cleared; then time goes on, also over the ends of months and years.
#[test]
fn ds1307_runs() {
    let mut pins = one(Model::Ds1307, 0x68);
    pins.wait(10 * SECOND);
    assert_eq!(pins.write_read(0x68, &[0], 8), Some(vec![0x80, 0, 0, 1, 1, 1, 0, 3]));
    assert_eq!(pins.write(0x68, &[0, 0x57, 0x59, 0x23, 7, 0x28, 0x02, 0x28]), 9);
    let written = pins.now;
    assert_eq!(pins.write_read(0x68, &[0], 7), Some(vec![0x57, 0x59, 0x23, 7, 0x28, 0x02, 0x28]));
    pins.wait(written + 3 * SECOND - pins.now);
    assert_eq!(pins.write_read(0x68, &[0], 7), Some(vec![0, 0, 0, 1, 0x29, 0x02, 0x28]), "2028 has a 29th");
    pins.wait(86_400 * SECOND);
    assert_eq!(pins.write_read(0x68, &[0], 7).unwrap()[2..], [0, 2, 1, 3, 0x28]);
    set(&mut pins, "time", Value::Text("2026-12-31 23:59:59".into()));
    pins.wait(SECOND);
    assert_eq!(pins.write_read(0x68, &[0], 7), Some(vec![0, 0, 0, 6, 1, 1, 0x27]), "a Friday");
}

/// DS1307, tables 2 and 3: 12 hour mode; 56 bytes of RAM; the address wraps from 0x3F to 0.
#[test]
fn ds1307_hours_and_memory() {
    for (hour, register, next) in [(0, 0x52, 0x41), (11, 0x51, 0x72), (12, 0x72, 0x61), (23, 0x71, 0x52)] {
        let mut pins = one(Model::Ds1307, 0x68);
        pins.write(0x68, &[0, 0x59, 0x59, register]);
        let it = pins.bus.slave::<Rtc>("it").unwrap();
        assert_eq!(it.dump()[2], register, "hour {hour}");
        pins.wait(SECOND);
        assert_eq!(pins.write_read(0x68, &[2], 1), Some(vec![next]), "after hour {hour}");
    }
    let mut pins = one(Model::Ds1307, 0x68);
    let bytes: Vec<u8> = (100..156).collect();
    pins.write(0x68, &[&[8], bytes.as_slice()].concat());
    assert_eq!(pins.write_read(0x68, &[8], 56), Some(bytes));
    assert_eq!(pins.write_read(0x68, &[0x3F], 2), Some(vec![155, 0x80]));
}

/// DS1307, "Clock and calendar": a read of several registers is of one moment.
#[test]
fn ds1307_reads_one_moment() {
    let mut pins = one(Model::Ds1307, 0x68);
    set(&mut pins, "time", Value::Text("2026-12-31 23:59:59".into()));
    let begun = pins.now;
    pins.write(0x68, &[0]);
    pins.wait(begun + SECOND - 200_000 - pins.now);
    // START comes before the end of the year, the last byte after it.
    assert_eq!(pins.read(0x68, 7), Some(vec![0x59, 0x59, 0x23, 5, 0x31, 0x12, 0x26]));
    assert!(pins.now > begun + SECOND);
    assert_eq!(pins.write_read(0x68, &[5], 2), Some(vec![1, 0x27]));
}

/// DS3231, figure 1: registers after power-up, temperature, status flags that can only be cleared, the wrap at 0x12.
#[test]
fn ds3231_registers() {
    let mut pins = one(Model::Ds3231, 0x68);
    pins.wait(3 * SECOND - pins.now);
    assert_eq!(pins.write_read(0x68, &[0], 1), Some(vec![3]), "it runs");
    assert_eq!(pins.write_read(0x68, &[0x0E], 6), Some(vec![0x1C, 0x88, 0, 25, 0, 3]));
    set(&mut pins, "temperature", Value::Number(-10.25));
    assert_eq!(pins.write_read(0x68, &[0x11], 2), Some(vec![0xF5, 0xC0]));
    pins.write(0x68, &[0x11, 1, 2]);
    assert_eq!(pins.write_read(0x68, &[0x11], 2), Some(vec![0xF5, 0xC0]));
    pins.write(0x68, &[0x0F, 0x03]);
    assert_eq!(pins.write_read(0x68, &[0x0F], 1), Some(vec![0]));
    pins.write(0x68, &[0x0F, 0xFF]);
    assert_eq!(pins.write_read(0x68, &[0x0F], 1), Some(vec![8]), "flags cannot be set, EN32kHz can");
}

/// DS3231, "Alarms", table 2: each kind of match, the interrupt, and clearing it.
#[test]
fn ds3231_alarms() {
    // Alarm 1: seconds, minutes, hours, day; when it comes after 2026-02-03 04:05:06, a Tuesday (3).
    for (registers, after) in [
        ([0x80, 0x80, 0x80, 0x80], 1),
        ([0x10, 0x80, 0x80, 0x80], 4),
        ([0x10, 0x06, 0x80, 0x80], 64),
        ([0x10, 0x06, 0x04, 0x80], 64),
        ([0x05, 0x05, 0x05, 0x80], 3599),
        ([0x06, 0x05, 0x04, 0x04], 86_400),
        ([0x06, 0x05, 0x04, 0x44], 86_400),
    ] {
        let mut pins = one(Model::Ds3231, 0x68);
        pins.write(0x68, &[0x0F, 0]);
        pins.write(0x68, &[&[0x07], registers.as_slice()].concat());
        pins.write(0x68, &[0x0E, 0x05]);
        set(&mut pins, "time", Value::Text("2026-02-03 04:05:06".into()));
        pins.wait(after * SECOND - 1);
        assert_eq!(output(&pins, "int"), Drive::Floating, "{registers:02x?}");
        pins.wait(1);
        assert_eq!(output(&pins, "int"), Drive::Low, "{registers:02x?}");
        assert_eq!(pins.write_read(0x68, &[0x0F], 1), Some(vec![1]));
        pins.write(0x68, &[0x0F, 0]);
        assert_eq!(output(&pins, "int"), Drive::Floating);
    }
    // Alarm 2 has no seconds.
    let mut pins = one(Model::Ds3231, 0x68);
    pins.write(0x68, &[0x0B, 0x80, 0x80, 0x80, 0x06, 0x00]);
    set(&mut pins, "time", Value::Text("2026-02-03 04:05:06".into()));
    pins.wait(53 * SECOND);
    assert_eq!(output(&pins, "int"), Drive::Floating);
    pins.wait(SECOND);
    assert_eq!(output(&pins, "int"), Drive::Low);
}

/// A time that is none is refused.
#[test]
fn rtc_times() {
    let mut pins = one(Model::Ds3231, 0x68);
    for text in
        ["2026-02-29 00:00:00", "1999-12-31 00:00:00", "2026-13-01 00:00:00", "2026-01-01 24:00:00", "today", "1-1 1"]
    {
        assert!(pins.bus.set("it", "time", &Value::Text(text.into()), 0).is_err(), "{text}");
    }
}

/// How software for common modules sets the display up (SSD1306 data sheet, figure "Software initialization", and 2.1).
const SET_UP: &[u8] = &[
    0x00, 0xAE, 0xA8, 0x3F, 0xD3, 0x00, 0x40, 0xA1, 0xC8, 0xDA, 0x12, 0x81, 0x7F, 0xA4, 0xA6, 0xD5, 0x80, 0x8D, 0x14,
    0xAF,
];

fn display() -> Pins {
    let mut pins = one(Model::Ssd1306, 0x3C);
    assert_eq!(pins.write(0x3C, SET_UP), SET_UP.len() + 1);
    pins
}

fn panel(pins: &Pins) -> &Ssd1306 {
    pins.bus.slave("it").unwrap()
}

fn lit(pins: &Pins) -> Vec<(usize, usize)> {
    let picture = panel(pins).picture();
    let rows = picture.iter().enumerate();
    rows.flat_map(|(y, row)| row.iter().enumerate().filter(|(_, lit)| **lit).map(move |(x, _)| (x, y))).collect()
}

/// SSD1306 10.1.3, figures "page", "horizontal" and "vertical addressing mode".
#[test]
fn ssd1306_addressing_modes() {
    // Page mode: the column wraps, the page stays.
    let mut pins = display();
    pins.write(0x3C, &[0x00, 0xB2, 0x0E, 0x17]);
    pins.write(0x3C, &[0x40, 1, 2, 3]);
    let memory = panel(&pins).memory();
    assert_eq!((memory[2 * 128 + 126], memory[2 * 128 + 127], memory[2 * 128]), (1, 2, 3));
    // Horizontal mode within a window.
    let mut pins = display();
    pins.write(0x3C, &[0x00, 0x20, 0x00, 0x21, 10, 11, 0x22, 3, 4]);
    pins.write(0x3C, &[0x40, 1, 2, 3, 4, 5]);
    let place = |pins: &Pins, page: usize, column: usize| panel(pins).memory()[page * 128 + column];
    assert_eq!([(3, 10), (3, 11), (4, 10), (4, 11)].map(|(page, column)| place(&pins, page, column)), [5, 2, 3, 4]);
    // Vertical mode.
    let mut pins = display();
    pins.write(0x3C, &[0x00, 0x20, 0x01, 0x21, 10, 11, 0x22, 3, 4]);
    pins.write(0x3C, &[0x40, 1, 2, 3, 4, 5]);
    assert_eq!([(3, 10), (4, 10), (3, 11), (4, 11)].map(|(page, column)| place(&pins, page, column)), [5, 2, 3, 4]);
    // The whole picture in one message.
    let mut pins = display();
    pins.write(0x3C, &[0x00, 0x20, 0x00]);
    let bytes: Vec<u8> = [0x40].into_iter().chain((0..1024_u32).map(|index| (index * 31) as u8)).collect();
    assert_eq!(pins.write(0x3C, &bytes), 1026);
    assert_eq!(panel(&pins).memory(), &bytes[1..]);
    assert_eq!(pins.bus.complaints(), Vec::<String>::new());
}

/// SSD1306 10.1.6 to 10.1.14: how the memory shows.
#[test]
fn ssd1306_shows_its_memory() {
    let mut pins = display();
    pins.write(0x3C, &[0x00, 0xB0, 0x03, 0x10]);
    pins.write(0x3C, &[0x40, 0x21]);
    assert_eq!(lit(&pins), [(3, 0), (3, 5)]);
    for (commands, wanted) in [
        (vec![0xA0], vec![(124, 0), (124, 5)]),
        (vec![0xA1, 0xC0], vec![(3, 58), (3, 63)]),
        (vec![0xC8, 0x45], vec![(3, 0), (3, 59)]),
        (vec![0x40, 0xD3, 0x05], vec![(3, 0), (3, 59)]),
        (vec![0xD3, 0x00, 0xAE], vec![]),
    ] {
        pins.write(0x3C, &[&[0x00], commands.as_slice()].concat());
        assert_eq!(lit(&pins), wanted, "{commands:02x?}");
    }
    assert_eq!(pins.read(0x3C, 1), Some(vec![0x40]), "off");
    pins.write(0x3C, &[0x80, 0xAF, 0x80, 0xA7]);
    assert_eq!((lit(&pins).len(), pins.read(0x3C, 1)), (128 * 64 - 2, Some(vec![0])));
    pins.write(0x3C, &[0x00, 0xA5]);
    assert_eq!(lit(&pins).len(), 128 * 64);
    pins.write(0x3C, &[0x00, 0x8D, 0x10]);
    assert!(lit(&pins).is_empty(), "no supply");
    assert_eq!(panel(&pins).contrast(), 0x7F);
}

/// SSD1306 8.1.5.2: control bytes for one byte and for the rest; wrong commands are complaints.
#[test]
fn ssd1306_control_bytes() {
    let mut pins = display();
    pins.write(0x3C, &[0x80, 0xB1, 0xC0, 0xAA, 0x80, 0x05, 0x40, 0xBB, 0xCC]);
    let memory = panel(&pins).memory();
    assert_eq!((memory[128], memory[128 + 5], memory[128 + 6]), (0xAA, 0xBB, 0xCC));
    pins.write(0x3C, &[0x00, 0x21, 5, 200]);
    pins.write(0x3C, &[0x00, 0x20, 3, 0xFF]);
    pins.write(0x3C, &[0x01]);
    let complaints = pins.bus.complaints();
    let wanted = [
        "it: command 0x21: there is no range 5 to 200",
        "it: command 0x20: there is no addressing mode 0x03",
        "it: there is no command 0xff",
        "it: 0x01 is no control byte",
    ];
    assert_eq!(complaints, wanted);
}

fn edid() -> Vec<u8> {
    (0..512_u32).map(|index| (index + index / 256 * 64) as u8).collect()
}

/// ADV7511 programming guide, section 5: identification and registers after reset.
#[test]
fn adv7511_registers() {
    let mut pins = one(Model::Adv7511, 0x39);
    assert_eq!(pins.write_read(0x39, &[0xF5], 2), Some(vec![0x75, 0x11]));
    assert_eq!(pins.write_read(0x39, &[0x00], 1), Some(vec![0x12]));
    assert_eq!(pins.write_read(0x39, &[0x41], 3), Some(vec![0x50, 0x90, 0x7E]));
    // 4.8: without a monitor the registers below 0xAF cannot be written.
    pins.write(0x39, &[0x15, 0x20]);
    assert_eq!(pins.write_read(0x39, &[0x15], 1), Some(vec![0]));
    let complaint = "it: register 0x15: 0x20 written without a monitor; it keeps its reset value";
    assert_eq!(pins.bus.complaints(), [complaint]);
    set(&mut pins, "hot-plug", Value::Flag(true));
    pins.write(0x39, &[0x15, 0x20, 0x38]);
    assert_eq!(pins.write_read(0x39, &[0x15], 2), Some(vec![0x20, 0x38]));
    assert_eq!(pins.bus.slave::<Adv7511>("it").unwrap().register(0x16), 0x38);
    pins.write(0x39, &[0xF5, 0]);
    assert_eq!(pins.bus.complaints(), ["it: register 0xf5 is read-only: 0x00 written"]);
}

/// ADV7511 programming guide, 4.2.1, 4.6: hot-plug shows, raises an interrupt, and its loss powers the chip down.
#[test]
fn adv7511_hot_plug() {
    let mut pins = one(Model::Adv7511, 0x39);
    assert_eq!(output(&pins, "int"), Drive::Floating);
    set(&mut pins, "hot-plug", Value::Flag(true));
    assert_eq!(output(&pins, "int"), Drive::Low);
    assert_eq!(pins.write_read(0x39, &[0x42], 1), Some(vec![0xF0]));
    assert_eq!(pins.write_read(0x39, &[0x96], 1), Some(vec![0xC0]));
    pins.write(0x39, &[0x96, 0x80]);
    assert_eq!((pins.write_read(0x39, &[0x96], 1), output(&pins, "int")), (Some(vec![0x40]), Drive::Low));
    pins.write(0x39, &[0x96, 0x40]);
    assert_eq!(output(&pins, "int"), Drive::Floating);
    pins.write(0x39, &[0x41, 0x10]);
    set(&mut pins, "hot-plug", Value::Flag(false));
    assert_eq!(pins.write_read(0x39, &[0x41], 2), Some(vec![0x50, 0x90]));
}

/// ADV7511 programming guide, 4.2.3: with monitor and power the EDID is read; 0xC4 selects the segment.
#[test]
fn adv7511_edid() {
    let mut pins = one(Model::Adv7511, 0x39);
    set(&mut pins, "edid", Value::Bytes(edid()));
    set(&mut pins, "hot-plug", Value::Flag(true));
    pins.wait(100 * MS);
    assert_eq!(pins.write_read(0x3F, &[0], 2), Some(vec![0, 0]), "it is powered down");
    pins.write(0x39, &[0x94, 0xC4]);
    pins.write(0x39, &[0x96, 0xFF]);
    pins.write(0x39, &[0x41, 0x10]);
    assert_eq!(output(&pins, "int"), Drive::Floating);
    pins.wait(5 * MS);
    assert_eq!((output(&pins, "int"), pins.write_read(0x39, &[0x96], 1)), (Drive::Low, Some(vec![0x04])));
    assert_eq!(pins.write_read(0x3F, &[0], 256), Some(edid()[..256].to_vec()));
    pins.write(0x39, &[0x96, 0xFF]);
    pins.write(0x39, &[0xC4, 1]);
    pins.wait(5 * MS);
    assert_eq!(pins.write_read(0x3F, &[0], 256), Some(edid()[256..].to_vec()));
}
