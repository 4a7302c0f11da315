//! The camera side of a video design.

use super::mode::{Format, Mode};

/// What goes wrong with the next frame of a camera.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamFault {
    /// The frame ends after half of its lines.
    ShortFrame,
    /// The frame has 8 lines more than the mode says.
    LongFrame,
    /// One line ends after half of its pixels.
    ShortLine,
    /// One line has 8 pixels more than the mode says.
    LongLine,
}

/// A camera: a clock of its own, and a picture that moves.
#[derive(Debug)]
pub struct Source {
    mode: Mode,
    format: Format,
    origin: u64,
    /// The frame on its way and its next line.
    current: Option<(u64, u32)>,
    fault: Option<StreamFault>,
    /// The fault of the frame on its way.
    faulty: Option<StreamFault>,
}

/// The colour 0xRRGGBB of a pixel of the camera's picture: colour bars that move four pixels a frame, over a vertical gradient. The
/// first pixel of each line holds the number of the frame, modulo 2^24.
pub fn camera_pixel(frame: u64, x: u32, y: u32) -> u32 {
    const BARS: [u32; 8] = [0xFF_FFFF, 0xFF_FF00, 0x00_FFFF, 0x00_FF00, 0xFF_00FF, 0xFF_0000, 0x00_00FF, 0x40_4040];
    if x == 0 {
        return frame as u32 & 0xFF_FFFF;
    }
    let bar = (u64::from(x) + frame.wrapping_mul(4)) / 64 % 8;
    let mask = BARS.get(bar as usize).copied().unwrap_or(0);
    let light = 255 - y % 192;
    mask & (light << 16 | light << 8 | light)
}

impl Source {
    /// A camera whose clock starts at `origin` ns.
    pub fn new(mode: Mode, format: Format, origin: u64) -> Self {
        Self { mode, format, origin, current: None, fault: None, faulty: None }
    }

    /// The mode.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The pixel format of the stream.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Lets something go wrong with the next frame that begins.
    pub fn inject(&mut self, fault: StreamFault) {
        self.fault = Some(fault);
    }

    /// When the next frame begins, at `now` or later: its first line with the start-of-frame mark.
    pub(crate) fn next_start(&self, now: u64) -> u64 {
        // The mark comes with the first pixel, so frames are counted from there.
        let since = now.saturating_sub(self.origin);
        let first = self.mode.time_of(0, self.mode.blanking_before);
        let frame = if since <= first { 0 } else { self.mode.next_frame(since - first) };
        self.origin + self.mode.time_of(frame, 0) + first
    }

    pub(crate) fn next_line(&self) -> Option<u64> {
        let (frame, line) = self.current?;
        Some(self.origin + self.mode.time_of(frame, 0) + self.mode.time_of(0, self.mode.blanking_before + line))
    }

    pub(crate) fn begin(&mut self, now: u64) {
        let first = self.mode.time_of(0, self.mode.blanking_before);
        let frame = self.mode.frame_at(now.saturating_sub(self.origin).saturating_sub(first));
        self.current = Some((frame, 0));
        self.faulty = self.fault.take();
    }

    /// The next line; `None` behind the end of the frame.
    pub(crate) fn line(&mut self) -> Option<Vec<u8>> {
        let (frame, line) = self.current?;
        let lines = match self.faulty {
            Some(StreamFault::ShortFrame) => self.mode.height / 2,
            Some(StreamFault::LongFrame) => self.mode.height + 8,
            _ => self.mode.height,
        };
        if line >= lines {
            self.current = None;
            return None;
        }
        let here = line == self.mode.height / 2;
        let pixels = match self.faulty {
            Some(StreamFault::ShortLine) if here => self.mode.width / 2,
            Some(StreamFault::LongLine) if here => self.mode.width + 8,
            _ => self.mode.width,
        };
        let bytes = self.format.bytes() as usize;
        let mut data = Vec::with_capacity(pixels as usize * bytes);
        for x in 0..pixels {
            data.extend(self.format.encode(camera_pixel(frame, x, line)).into_iter().take(bytes));
        }
        self.current = Some((frame, line + 1));
        Some(data)
    }

    /// Nobody listens any more.
    pub(crate) fn stop(&mut self) {
        self.current = None;
    }
}
