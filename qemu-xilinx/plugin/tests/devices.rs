//! Programs that use the emulated devices: the models must be where the hardware is, and time must be exact.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // All of this is a test.

use harness::board::Outcome;
use harness::judge::Verdict;
use models::board::description::Preset;
use models::board::{Description, Event, History, Pattern};

mod program;

use program::*;

const SLCR: u32 = 0xF800_0000;
const GPIO: u32 = 0xE000_A000;
/// GIC: CPU interface and distributor.
const GICC: u32 = 0xF8F0_0100;
const GICD: u32 = 0xF8F0_1000;

/// Pin 7 is an output, pin 50 an input.
const PINS: [Preset; 2] =
    [Preset { offset: 0x71C, mask: 0x3FFF, value: 0x600 }, Preset { offset: 0x7C8, mask: 0x3FFF, value: 0x201 }];

fn event(text: &str) -> Event {
    let (when, command) = text.split_once(": ").unwrap();
    let (after, at) = match when.split_once(" + ") {
        Some((after, at)) => (Some(Pattern::new(after)), Some(at.parse().unwrap())),
        None => (None, Some(when.parse().unwrap())),
    };
    Event { at, after, command: command.parse().unwrap() }
}

fn description(events: &[&str]) -> Description {
    Description {
        preset: PINS.to_vec(),
        event: events.iter().map(|text| event(text)).collect(),
        until: Some(Pattern::new("^OK$")),
        ..Description::default()
    }
}

/// Blinks three times, waits for the button's interrupt, acknowledges it.
fn blink() -> Vec<u32> {
    let mut code = vec![begin_expecting()];
    // Output, enabled.
    code.extend(poke(GPIO + 0x204, 1 << 7));
    code.extend(poke(GPIO + 0x208, 1 << 7));
    for level in [1, 0, 1, 0, 1, 0] {
        code.extend(poke(GPIO, 0xFF7F_0000 | level << 7));
        code.extend(spin(1000));
    }
    // All pins of the bank have pull-ups, but for the buttons.
    // Rising edge of pin 50, bank 1 bit 18; everything is enabled after reset, so the others are masked.
    code.extend(poke(GPIO + 0x254, u32::MAX));
    code.extend(poke(GPIO + 0x260, 1 << 18));
    code.extend(poke(GPIO + 0x258, u32::MAX));
    code.extend(poke(GPIO + 0x218, u32::MAX));
    code.extend(poke(GPIO + 0x214, u32::MAX));
    code.extend(poke(GPIO + 0x294, u32::MAX));
    code.extend(poke(GPIO + 0x2D4, u32::MAX));
    code.extend(poke(GPIO + 0x250, 1 << 18));
    code.extend(expect(GPIO + 0x64, 0x33_FFFF));
    // The interrupt controller: all priorities, interrupt 52, on.
    code.extend(poke(GICC + 4, 0xFF));
    code.extend(poke(GICC, 3));
    code.extend(poke(GICD + 0x104, 1 << (52 - 32)));
    code.extend(poke(GICD, 1));
    code.extend(print("ready\n"));
    code.extend(spin(5_000_000));
    code.extend(expect(GICC + 0xC, 52));
    code.extend(expect(GPIO + 0x64, 0x37_FFFF));
    code.extend(expect(GPIO + 0x258, 1 << 18));
    code.extend(poke(GPIO + 0x258, 1 << 18));
    code.extend(poke(GICC + 0x10, 52));
    // Spurious: the line is down again.
    code.extend(expect(GICC + 0xC, 1023));
    // The SLCR of the models, not of the machine: the latter has no such identification.
    code.extend(expect(SLCR + 0x530, 0x2372_7093));
    code.extend(conclude());
    code
}

fn run(description: &Description, icount: Option<&str>, qemu: &str) -> Outcome {
    let code = blink();
    let segments: [(u32, &[u32]); 1] = [(RAM, &code)];
    Setup { devices: Some(description.clone()), icount, qemu: qemu.as_ref(), ..Setup::new(&segments) }.run()
}

fn net<'a>(outcome: &'a Outcome, name: &str) -> &'a History {
    &outcome.devices.as_ref().unwrap().nets[name]
}

#[test]
fn pins_blink_and_buttons_interrupt() {
    let description = description(&["ready + 1ms: pin PB1 = high"]);
    let mut reports = Vec::new();
    for icount in [Some("shift=0,sleep=off"), Some("shift=0,sleep=off"), None] {
        let outcome = run(&description, icount, "qemu-system-arm");
        assert_eq!(outcome.verdict, Verdict::Success, "{outcome:?}");
        assert_eq!(outcome.console, ["ready", "OK"]);
        let led = net(&outcome, "LD9");
        assert_eq!((led.count, led.initial, led.level), (6, false, false));
        assert_eq!(net(&outcome, "PB1").count, 1);
        if icount.is_some() {
            // A round is 2003 instructions for the loop and five for the register; a nanosecond each.
            assert_eq!(led.periods(), [4014, 4014]);
            reports.push(outcome.devices.unwrap());
        }
    }
    assert_eq!(reports[0], reports[1], "with -icount two runs are the same run");
}
