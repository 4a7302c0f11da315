//! A video design in the PL of a board: engine, display, camera, transmitter, and what goes wrong on demand.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

use zelkova_models::Width;
use zelkova_models::board::{Board, Command, CommandError, Description, DisplayReport};
use zelkova_models::frames::{Access, Report};
use zelkova_models::memory::Ram;

const RAM: u32 = 0x10_0000;
const LINE: u32 = 640 * 4;
const LINES: u32 = 480;
const PICTURE: u32 = LINE * LINES;
const FRAME: u64 = 16_683_334;

const DESIGN: &str = r#""display": { "width": 640, "height": 480, "format": "xrgb8888" },
    "camera": { "width": 640, "height": 480, "format": "xrgb8888" }"#;
const TRANSMITTER: &str = r#", "transmitter": "i2c1/0x39""#;
const BUS: &str = r#", "i2c": { "i2c1": { "pins": "emio", "slave": [{ "model": "adv7511", "address": 57 }] } }"#;

/// What must be written to the transmitter: its input, and values that its manufacturer demands.
const SET_UP: [(u8, u8); 11] = [
    (0x41, 0x10),
    (0x98, 0x03),
    (0x9A, 0xE0),
    (0x9C, 0x30),
    (0x9D, 0x61),
    (0xA2, 0xA4),
    (0xA3, 0xA4),
    (0xE0, 0xD0),
    (0x15, 0x01),
    (0x16, 0x38),
    (0x18, 0xE7),
];

fn description(video: &str, rest: &str) -> Description {
    serde_json::from_str(&format!(r#"{{ "bitstream": {{ "video": {{ {video} }} }}{rest} }}"#)).unwrap()
}

struct Bench {
    board: Board,
    ram: Ram,
    now: u64,
}

impl Bench {
    fn new(description: &Description) -> Self {
        Self { board: Board::new(description).unwrap(), ram: Ram::new(RAM, 3 * PICTURE), now: 0 }
    }

    fn region(&self, name: &str) -> usize {
        self.board.region(name).unwrap()
    }

    fn w(&mut self, region: &str, offset: u32, value: u32) {
        self.now += 100;
        self.board.advance(self.now, &mut &self.ram);
        self.board.write(self.region(region), offset, Width::Word, value, self.now);
    }

    fn r(&mut self, region: &str, offset: u32) -> u32 {
        self.now += 100;
        self.board.advance(self.now, &mut &self.ram);
        self.board.read(self.region(region), offset, Width::Word, self.now)
    }

    fn wait(&mut self, frames: u64) {
        self.now += frames * FRAME;
        self.board.advance(self.now, &mut &self.ram);
    }

    fn command(&mut self, text: &str) -> Result<(), CommandError> {
        let command: Command = text.parse().unwrap();
        self.board.command(&command, self.now).map(drop)
    }

    fn fill(&self, colour: u32) {
        for cell in &self.ram.cells()[..(PICTURE / 4) as usize] {
            cell.store(colour, std::sync::atomic::Ordering::Relaxed);
        }
    }

    /// Shows the picture at the start of memory, or captures to there, parked.
    fn start(&mut self, control: u32, sizes: u32) {
        self.w("vdma", control, 0x0001_7081);
        for store in 0..3 {
            self.w("vdma", sizes + 0x0C + 4 * store, RAM);
        }
        self.w("vdma", sizes + 0x08, LINE);
        self.w("vdma", sizes + 0x04, LINE);
        self.w("vdma", sizes, LINES);
    }

    fn display(&self) -> DisplayReport {
        self.board.report(self.now).display.unwrap()
    }

    /// Writes a register of the transmitter through the controller (UG585 appendix B.22).
    fn transmit(&mut self, register: u8, value: u8) {
        self.w("i2c1", 0x00, 0x0000_024E);
        self.w("i2c1", 0x0C, register.into());
        self.w("i2c1", 0x0C, value.into());
        self.w("i2c1", 0x08, 0x39);
        self.now += 2_000_000;
        self.board.advance(self.now, &mut &self.ram);
    }
}

#[test]
fn what_lies_in_memory_is_on_the_screen_until_the_engine_stops() {
    let mut bench = Bench::new(&description(DESIGN, ""));
    assert!(bench.board.has_display() && bench.board.screen().is_none());
    bench.fill(0x12_3456);
    bench.start(0x00, 0x50);
    bench.wait(5);
    assert!(bench.board.screen().unwrap().colours().all(|colour| colour == 0x12_3456));
    assert_eq!(bench.board.interrupts(bench.region("vdma")), 1);
    let report = bench.display();
    assert_eq!((report.incomplete, report.mixed, report.dark), (0, 0, 0));
    assert!(report.tags.contains(&0x12_3456) && report.tags.len() == 1);
    bench.w("vdma", 0x00, 0x4);
    bench.wait(3);
    assert!(bench.board.screen().is_none() && bench.display().blank);
    assert_eq!(bench.board.seen().unwrap().colour(0, 0), Some(0x12_3456));
    assert_eq!(bench.board.complaints(), Vec::<String>::new());
}

/// The board with its frames watched, in the whole run and from the console's `go` on.
fn watched() -> Bench {
    Bench::new(&description(DESIGN, r#", "frames": [{}, { "from": "go" }]"#))
}

impl Bench {
    fn frames(&self) -> Report {
        self.board.report(self.now).frames.unwrap()
    }

    /// The processor stores a word.
    fn store(&self, address: u32, kernel: bool) {
        self.board.watch().unwrap().access(Access { address, bytes: 4, store: true, kernel });
    }

    fn say(&mut self, line: &str) {
        for byte in line.bytes() {
            self.board.console(byte, self.now);
        }
    }
}

#[test]
fn memory_is_a_frame_once_a_running_channel_is_pointed_at_it() {
    assert_eq!(Bench::new(&description(DESIGN, "")).board.report(0).frames, None);
    for (control, sizes) in [(0x00, 0x50), (0x30, 0xA0)] {
        let mut bench = watched();
        bench.store(RAM, false);
        bench.start(control, sizes);
        bench.store(RAM, false);
        bench.store(RAM + PICTURE, false);
        bench.wait(3);
        bench.say("go\n");
        bench.store(RAM + PICTURE - 4, false);
        bench.wait(2);
        let report = bench.frames();
        let stores: Vec<_> = report.spans.iter().map(|counts| counts.stores).collect();
        assert_eq!(stores, [8, 4]);
        let begun = |part: usize| [report.spans[part].shown, report.spans[part].captured];
        let mut wanted = [[3, 0], [2, 0]];
        if control != 0 {
            wanted = wanted.map(|[shown, captured]| [captured, shown]);
        }
        // The beam or the camera may be in the middle of a frame at first.
        assert!(begun(0).iter().zip(wanted[0]).all(|(found, least)| (*found == 0) == (least == 0)), "{report:?}");
        assert_eq!(begun(1), wanted[1]);
        let [frame] = report.log.as_slice() else { panic!("{report:?}") };
        assert_eq!((frame.address, frame.bytes, frame.read), (RAM, PICTURE, control == 0));
        assert!(frame.written != frame.read && frame.cleared.is_none() && frame.first < frame.last);
    }
}

#[test]
fn only_a_reset_that_is_over_lets_the_kernel_have_the_memory() {
    for (control, sizes) in [(0x00, 0x50), (0x30, 0xA0)] {
        let mut bench = watched();
        bench.start(control, sizes);
        bench.wait(3);
        bench.now += FRAME / 2;
        bench.r("vdma", control);
        // Reset in the middle of a frame: bursts may still be under way.
        bench.w("vdma", control, 0x4);
        bench.store(RAM, true);
        assert_eq!(bench.frames().kernel_stores, 4);
        bench.now += 2_000;
        assert_eq!(bench.r("vdma", control) & 4, 0);
        bench.store(RAM, true);
        bench.wait(3);
        assert_eq!((bench.frames().kernel_stores, bench.frames().late), (4, 0));

        let mut bench = watched();
        bench.start(control, sizes);
        bench.wait(3);
        bench.store(RAM, true);
        bench.wait(1);
        let report = bench.frames();
        assert!(report.kernel_stores == 4 && report.late >= u64::from(PICTURE), "{report:?}");
        assert!(report.log[0].last > report.log[0].cleared);
    }
}

#[test]
fn nothing_is_on_the_screen_until_the_transmitter_is_set_up() {
    let mut bench = Bench::new(&description(&format!("{DESIGN}{TRANSMITTER}"), BUS));
    // UG585 appendix B.28: level shifters on, pins not at the controller.
    bench.w("slcr", 0x8, 0xDF0D);
    bench.w("slcr", 0x900, 0xF);
    assert_eq!(bench.board.transmitter().unwrap().unwrap().to_string(), "i2c1/0x39");
    bench.fill(0x12_3456);
    bench.start(0x00, 0x50);
    bench.wait(5);
    assert!(bench.board.screen().is_none() && bench.board.seen().is_none());
    let dark = bench.display();
    assert!(dark.dark > 0 && dark.dark == dark.frames && dark.tags.is_empty());
    bench.command("set i2c1/0x39 hot-plug = true").unwrap();
    for (register, value) in SET_UP {
        assert!(bench.board.screen().is_none(), "before {register:#04x}");
        bench.transmit(register, value);
        bench.wait(1);
    }
    assert_eq!(bench.board.screen().unwrap().colour(639, 479), Some(0x12_3456));
    let lit = bench.display();
    assert!(lit.frames > lit.dark && lit.tags.len() == 1);
    bench.command("set i2c1/0x39 hot-plug = false").unwrap();
    bench.wait(1);
    assert!(bench.board.screen().is_none() && bench.board.seen().is_some());
}

#[test]
fn a_transmitter_that_is_not_there_is_told() {
    let board = Board::new(&description(&format!("{DESIGN}{TRANSMITTER}"), "")).unwrap();
    assert!(matches!(board.transmitter(), Err(CommandError::NoBus(_))));
    let other = BUS.replace("adv7511", "tmp105");
    let board = Board::new(&description(&format!("{DESIGN}{TRANSMITTER}"), &other)).unwrap();
    assert!(matches!(board.transmitter(), Err(CommandError::NoSlave(_))));
    let wrong = description(&format!(r#"{DESIGN}, "transmitter": "i2c1""#), "");
    assert!(Board::new(&wrong).unwrap_err().to_string().contains("transmitter"));
    assert_eq!(Board::new(&description(DESIGN, "")).unwrap().transmitter(), Ok(None));
}

#[test]
fn every_fault_can_be_made_and_shows_in_the_status() {
    for (channel, control, sizes) in [("mm2s", 0x00, 0x50), ("s2mm", 0x30, 0xA0)] {
        for (fault, bit) in [("internal-error", 1 << 4), ("slave-error", 1 << 5), ("decode-error", 1 << 6)] {
            let mut bench = Bench::new(&description(DESIGN, ""));
            bench.start(control, sizes);
            bench.wait(2);
            assert_eq!(bench.r("vdma", control + 4) & 0x70, 0);
            bench.command(&format!("{channel} {fault}")).unwrap();
            bench.wait(2);
            assert_eq!(bench.r("vdma", control + 4) & 0x71, bit | 1, "{channel} {fault}");
        }
        let mut bench = Bench::new(&description(DESIGN, ""));
        bench.command(&format!("{channel} stuck-reset")).unwrap();
        bench.w("vdma", control, 4);
        bench.wait(10);
        assert_ne!(bench.r("vdma", control) & 4, 0, "{channel}");
        bench.command(&format!("{channel} free")).unwrap();
        bench.wait(1);
        assert_eq!(bench.r("vdma", control) & 4, 0, "{channel}");
        for fault in ["stuck-reset", "slave-error", "free"] {
            bench.command(&format!("{channel} {fault}")).unwrap();
        }
        bench.start(control, sizes);
        bench.wait(2);
        assert_eq!(bench.r("vdma", control + 4) & 0x71, 0, "{channel}: no fault is left");
        bench.w("vdma", control, 4);
        bench.wait(1);
        assert_eq!(bench.r("vdma", control) & 4, 0, "{channel}: no fault is left");
    }
    let stream =
        [("camera short-frame", 7), ("camera long-frame", 11), ("camera short-line", 8), ("camera long-line", 15)];
    for (command, bit) in stream {
        let mut bench = Bench::new(&description(DESIGN, ""));
        bench.start(0x30, 0xA0);
        bench.wait(2);
        bench.command(command).unwrap();
        bench.wait(3);
        assert_ne!(bench.r("vdma", 0x34) & 1 << bit, 0, "{command}");
    }
    let mut bench = Bench::new(&description(DESIGN, ""));
    bench.start(0x00, 0x50);
    bench.wait(2);
    bench.command("display early-sync").unwrap();
    bench.wait(3);
    assert_ne!(bench.r("vdma", 0x04) & 1 << 7, 0);
}

#[test]
fn a_board_without_video_says_so() {
    let mut board = Board::new(&Description::default()).unwrap();
    for text in ["mm2s slave-error", "display early-sync", "camera long-line"] {
        let command: Command = text.parse().unwrap();
        assert!(matches!(board.command(&command, 0), Err(CommandError::NoVideo(_))), "{text}");
    }
    let event = r#", "event": [{ "at": "1ms", "do": "camera long-line" }]"#;
    let only_display = r#""display": { "width": 640, "height": 480, "format": "rgb888" }"#;
    assert!(Board::new(&description(only_display, event)).is_err());
    assert!(Board::new(&description(DESIGN, event)).is_ok());
}

#[test]
fn mistakes_in_a_design_are_named() {
    for (video, part) in [
        (r#""base": 0x1000"#.replace("0x1000", "4096"), "multiple of 64 KiB"),
        (r#""read-interrupt": 60"#.to_owned(), "does not come from the PL"),
        (r#""stores": 33"#.to_owned(), "1 to 32"),
        (r#""display": { "width": 641, "height": 480, "format": "rgb888" }"#.to_owned(), "no mode of 641 x 480"),
    ] {
        let error = Board::new(&description(&video, "")).unwrap_err().to_string();
        assert!(error.contains(part), "{video}: {error}");
    }
}
