//! The level 2 cache controller against ARM DDI 0246 and UG585 appendix B.25.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

mod complaints;

use zelkova_models::l2cc::L2cc;
use zelkova_models::{Device, Width};

const CONTROL: u32 = 0x100;
const AUX: u32 = 0x104;
const PREFETCH: u32 = 0xF60;

struct Host {
    l2cc: L2cc,
}

impl Host {
    fn new() -> Self {
        Self { l2cc: L2cc::new() }
    }

    fn read(&mut self, offset: u32) -> u32 {
        self.l2cc.read(offset, Width::Word, 0)
    }

    fn write(&mut self, offset: u32, value: u32) {
        self.l2cc.write(offset, Width::Word, value, 0);
    }

    fn complaint(&mut self) -> String {
        complaints::only(&mut self.l2cc)
    }

    fn quiet(&mut self) {
        complaints::none(&mut self.l2cc);
    }
}

/// All registers of appendix B.25: offset, reset value, bits that keep what is written.
fn registers() -> Vec<(u32, u32, u32)> {
    let mut registers = vec![
        (0x000, 0x4100_00C8, 0),
        (0x004, 0x9E30_0300, 0),
        (0x100, 0, 0x1),
        (0x104, 0x0206_0000, 0x7FFF_3C01),
        (0x108, 0x777, 0x777),
        (0x10C, 0x777, 0x777),
        (0x200, 0, 0x1),
        (0x204, 0, 0x3F),
        (0x208, 0, 0x3F),
        (0x20C, 0, 0xFFFF_FFFF),
        (0x210, 0, 0xFFFF_FFFF),
        (0x214, 0, 0x1FF),
        (0x218, 0, 0),
        (0x21C, 0, 0),
        (0x220, 0, 0),
        (0x730, 0, 0),
        (0x740, 0, 0),
        (0x770, 0, 0),
        (0x77C, 0, 0),
        (0x7B0, 0, 0),
        (0x7B8, 0, 0),
        (0x7BC, 0, 0),
        (0x7F0, 0, 0),
        (0x7F8, 0, 0),
        (0x7FC, 0, 0),
        (0x950, 0, 0x1),
        (0x954, 0, 0),
        (0xC00, 0x4000_0001, 0xFFF0_0001),
        (0xC04, 0xFFF0_0000, 0xFFF0_0000),
        (0xF40, 0, 0x7),
        (0xF60, 0, 0x79A0_001F),
        (0xF80, 0, 0x3),
    ];
    registers.extend((0..16).map(|number| (0x900 + 4 * number, 0, 0xFFFF)));
    registers
}

#[test]
fn reset_values() {
    let mut host = Host::new();
    for (offset, reset, _) in registers() {
        assert_eq!(host.read(offset), reset, "{offset:#x}");
    }
    host.quiet();
    assert_eq!((host.l2cc.interrupts(), host.l2cc.next_event(), host.l2cc.signals()), (0, None, 0));
}

#[test]
fn writable_bits() {
    for (offset, reset, writable) in registers() {
        let mut host = Host::new();
        host.write(offset, 0xFFFF_FFFF);
        if matches!(offset, 0x000 | 0x004 | 0x218 | 0x21C) {
            assert!(host.complaint().contains("read-only"));
            assert_eq!(host.read(offset), reset);
        } else {
            assert_eq!(host.read(offset), writable, "{offset:#x}");
            host.write(CONTROL, 0);
            host.write(offset, 0);
            assert_eq!(host.read(offset), 0, "{offset:#x}");
        }
        host.quiet();
    }
}

#[test]
fn holes_and_widths() {
    let known: Vec<u32> = registers().into_iter().map(|(offset, ..)| offset).collect();
    let mut host = Host::new();
    for offset in (0..0x1000).step_by(4).filter(|offset| !known.contains(offset)) {
        assert_eq!(host.read(offset), 0);
        host.complaint();
        host.write(offset, 1);
        assert!(host.complaint().contains("no register"));
    }
    assert_eq!(host.l2cc.read(0x003, Width::Byte, 0), 0x41);
    host.quiet();
    host.l2cc.write(0x730, Width::Byte, 0, 0);
    host.complaint();
}

/// Maintenance: by address, by way, synchronisation. It is over when it is looked at.
#[test]
fn maintenance_is_over_at_once() {
    let mut host = Host::new();
    host.write(CONTROL, 1);
    for operation in [0x770, 0x7B0, 0x7F0] {
        host.write(operation, 0x0010_0020);
        assert_eq!(host.read(operation) & 1, 0, "the C flag");
    }
    for operation in [0x77C, 0x7BC, 0x7FC] {
        host.write(operation, 0xFF);
        assert_eq!(host.read(operation), 0, "no way is left");
    }
    for operation in [0x730, 0x740] {
        host.write(operation, 0);
        assert_eq!(host.read(operation), 0);
    }
    host.quiet();
}

/// Configuration registers while the cache is on: an error, and no effect.
#[test]
fn no_configuration_while_on() {
    let mut host = Host::new();
    host.write(AUX, 0x7236_0000);
    host.write(0x108, 0x111);
    host.write(0x10C, 0x121);
    host.write(CONTROL, 1);
    host.quiet();
    for offset in [AUX, 0x108, 0x10C] {
        let before = host.read(offset);
        host.write(offset, 0);
        assert_eq!(host.read(offset), before);
        assert!(host.complaint().contains("the cache is on"));
    }
    host.write(CONTROL, 0);
    host.write(AUX, 0);
    assert_eq!(host.read(AUX), 0);
    host.quiet();
}

/// Cache type: way size and associativity are those of the auxiliary control register.
#[test]
fn geometry() {
    let mut host = Host::new();
    for way in 0..8 {
        for ways in 0..2 {
            host.write(AUX, way << 17 | ways << 16);
            assert_eq!(host.read(0x004), 0x9E00_0000 | way << 20 | way << 8 | ways << 18 | ways << 6);
        }
    }
}

/// Bits 29 and 28 of auxiliary and prefetch control are the same.
#[test]
fn prefetch_enables_are_shared() {
    let mut host = Host::new();
    host.write(AUX, 0x2206_0000);
    assert_eq!(host.read(PREFETCH), 0x2000_0000);
    host.write(PREFETCH, 0x5000_0007);
    assert_eq!(host.read(AUX), 0x1206_0000);
    assert_eq!(host.read(PREFETCH), 0x5000_0007);
}

/// Event counter control: bits 1 and 2 reset counters and read 0.
#[test]
fn event_counters() {
    let mut host = Host::new();
    host.write(0x20C, 11);
    host.write(0x210, 10);
    host.write(0x200, 0b011);
    assert_eq!((host.read(0x200), host.read(0x20C), host.read(0x210)), (1, 11, 0));
    host.write(0x200, 0b100);
    assert_eq!((host.read(0x200), host.read(0x20C)), (0, 0));
}
