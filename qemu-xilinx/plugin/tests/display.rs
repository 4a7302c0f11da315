//! The display on the emulator's own screen, as a VNC client sees it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // All of this is a test.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use harness::board::Watch;
use harness::judge::Verdict;
use models::board::{Description, Pattern};

mod program;

use program::*;

const GPIO: u32 = 0xE000_A000;
const VDMA: u32 = 0x4300_0000;
const PICTURE: u32 = 0x10_0000;
const WIDTH: u32 = 640;
const HEIGHT: u32 = 480;
const PATIENCE: Duration = Duration::from_mins(1);

/// A client of the protocol that VNC servers speak (RFC 6143): raw pixels, 32 bits each.
struct Viewer {
    stream: UnixStream,
    width: usize,
    pixels: Vec<u32>,
}

impl Viewer {
    fn connect(socket: &Path, until: Instant) -> Self {
        let stream = loop {
            match UnixStream::connect(socket) {
                Ok(stream) => break stream,
                Err(error) => assert!(Instant::now() < until, "{error}"),
            }
            thread::sleep(Duration::from_millis(20));
        };
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut viewer = Self { stream, width: 0, pixels: Vec::new() };
        assert_eq!(&viewer.take::<12>(), b"RFB 003.008\n");
        viewer.send(b"RFB 003.008\n");
        let [types] = viewer.take();
        assert!((0..types).any(|_| viewer.take() == [1]), "no access without a password");
        viewer.send(&[1]);
        assert_eq!(viewer.take(), [0; 4]);
        viewer.send(&[1]);
        let size = [viewer.half(), viewer.half()];
        viewer.resize(size);
        // 32 bits, little endian, true colour, 8 bits each at 16, 8 and 0.
        assert_eq!(viewer.take(), [32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0]);
        let name = u32::from_be_bytes(viewer.take());
        viewer.stream.read_exact(&mut vec![0; name as usize]).unwrap();
        // Raw pixels, and the desktop's size.
        let [raw, size] = [0_i32, -223].map(i32::to_be_bytes);
        viewer.send(&[&[2, 0, 0, 2][..], &raw, &size].concat());
        viewer
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes).unwrap();
        bytes
    }

    fn half(&mut self) -> usize {
        u16::from_be_bytes(self.take()).into()
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    fn resize(&mut self, [width, height]: [usize; 2]) {
        self.width = width;
        self.pixels = vec![u32::MAX; width * height];
    }

    /// Asks for the whole picture, and takes one answer.
    fn update(&mut self) {
        let [width, height] = [self.width, self.pixels.len() / self.width].map(|size| (size as u16).to_be_bytes());
        self.send(&[&[3, 0, 0, 0, 0, 0][..], &width, &height].concat());
        assert_eq!(self.take(), [0, 0]);
        for _ in 0..self.half() {
            let [x, y, width, height] = [(); 4].map(|()| self.half());
            match i32::from_be_bytes(self.take()) {
                0 => {
                    let mut bytes = vec![0; width * height * 4];
                    self.stream.read_exact(&mut bytes).unwrap();
                    for (index, pixel) in bytes.chunks_exact(4).enumerate() {
                        let at = (y + index / width) * self.width + x + index % width;
                        self.pixels[at] = u32::from_le_bytes(pixel.try_into().unwrap()) & 0xFF_FFFF;
                    }
                }
                -223 => self.resize([width, height]),
                encoding => panic!("encoding {encoding} was not asked for"),
            }
        }
    }

    fn wait_for(&mut self, picture: &[u32], until: Instant) {
        loop {
            self.update();
            if self.pixels == picture {
                return;
            }
            assert!(Instant::now() < until, "the picture has not come");
        }
    }
}

/// Shows the picture, and nothing more once the button has been pressed; ends when it is let go.
fn show() -> Vec<u32> {
    let mut code = vec![begin_expecting()];
    code.extend(poke(VDMA, 0x0001_7081));
    for store in 0..3 {
        code.extend(poke(VDMA + 0x5C + 4 * store, PICTURE));
    }
    code.extend(poke(VDMA + 0x58, WIDTH * 4));
    code.extend(poke(VDMA + 0x54, WIDTH * 4));
    code.extend(poke(VDMA + 0x50, HEIGHT));
    code.extend(print("shown\n"));
    // ldr r1, [r4]; tst r1, #1 << 18; beq or bne back
    for branch in [0x0AFF_FFFC, 0x1AFF_FFFC] {
        code.extend(load(4, GPIO + 0x64));
        code.extend([fetch(1, 0), 0xE311_0701, branch]);
        if branch == 0x0AFF_FFFC {
            code.extend(poke(VDMA, 4));
        }
    }
    code.extend(conclude());
    code
}

#[test]
fn what_is_on_the_display_is_seen_through_vnc() {
    let description: Description = serde_json::from_str(
        r#"{ "bitstream": { "video": { "display": { "width": 640, "height": 480, "format": "xrgb8888" } } } }"#,
    )
    .unwrap();
    let description = Description {
        // Pin 50, the button, is an input (UG585 register MIO_PIN_50).
        preset: vec![models::board::description::Preset { offset: 0x7C8, mask: 0x3FFF, value: 0x201 }],
        until: Some(Pattern::new("^OK$")),
        ..description
    };
    let picture: Vec<u32> = (0..WIDTH * HEIGHT).map(|at| at.wrapping_mul(0x9E_3779) & 0xFF_FFFF).collect();
    let folder = tempfile::tempdir().unwrap();
    let [socket, control] = ["vnc", "control"].map(|name| folder.path().join(name));
    let code = show();
    let segments: [(u32, &[u32]); 2] = [(RAM, &code), (PICTURE, &picture)];
    let outcome = thread::scope(|scope| {
        scope.spawn(|| {
            let until = Instant::now() + PATIENCE;
            let mut viewer = Viewer::connect(&socket, until);
            viewer.wait_for(&picture, until);
            let mut control = UnixStream::connect(&control).unwrap();
            control.write_all(b"pin PB1 = high\n").unwrap();
            viewer.wait_for(&vec![0; picture.len()], until);
            control.write_all(b"pin PB1 = low\n").unwrap();
        });
        let setup = Setup {
            icount: Some("shift=3,sleep=off"),
            deadline: 2 * PATIENCE.as_secs(),
            devices: Some(description),
            watch: Some(Watch::Vnc(format!("unix:{}", socket.display()))),
            control: Some(control.clone()),
            ..Setup::new(&segments)
        };
        setup.run()
    });
    assert_eq!(outcome.verdict, Verdict::Success, "{outcome:?}");
    let display = outcome.devices.unwrap().display.unwrap();
    assert!(display.blank && display.frames > 0, "{display:?}");
}
