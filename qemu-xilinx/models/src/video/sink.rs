//! The display side of a video design.

use std::collections::VecDeque;

use super::mode::{Format, Mode};

/// Records that are kept, the youngest.
const RECORDS: usize = 4096;
/// Frames whose pixels are kept, the youngest.
const FRAMES: usize = 3;
/// Runs of a record; more than that says nothing that four do not.
const RUNS: usize = 4;
/// What the screen shows where no pixels arrived.
const BLANK: u8 = 0;

/// Neighbouring lines that begin with pixels of the same colour.
///
/// A picture whose first column holds a number that changes with each frame shows by its runs whether it is in one piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The first of the lines.
    pub line: u32,
    /// The colour of their first pixel, 0xRRGGBB.
    pub tag: u32,
}

/// What is known about a frame that was scanned out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number, counted in frame times since the pixel clock started: a gap is a time when nothing was shown.
    pub sequence: u64,
    /// When its vertical sync began, in ns.
    pub time: u64,
    /// Of all its bytes. Frames that look the same have the same.
    pub checksum: u64,
    /// Lines that begin alike.
    pub runs: Vec<Run>,
    /// Lines that did not arrive in time and were left blank.
    pub missing: u32,
    /// Lines that were longer or shorter than the screen is wide.
    pub misfits: u32,
    /// The transmitter was off at its end.
    pub dark: bool,
}

impl Record {
    /// All lines are there in full length.
    pub fn is_complete(&self) -> bool {
        self.missing == 0 && self.misfits == 0
    }

    /// The one tag of all lines of a picture whose first column holds the number of the frame; `None` if it is torn or incomplete.
    pub fn tag(&self) -> Option<u32> {
        match self.runs.as_slice() {
            [run] if self.is_complete() => Some(run.tag),
            _ => None,
        }
    }
}

/// A frame as it was scanned out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its number, as in [`Record::sequence`].
    pub sequence: u64,
    /// How the pixels lie in the bytes.
    pub format: Format,
    /// Pixels of a line.
    pub width: u32,
    /// Lines.
    pub height: u32,
    /// The bytes, line by line without gaps.
    pub bytes: Vec<u8>,
    /// All lines have arrived in full length.
    pub complete: bool,
}

impl Frame {
    /// The colours 0xRRGGBB, line by line.
    pub fn colours(&self) -> impl Iterator<Item = u32> {
        self.bytes.chunks_exact(self.format.bytes() as usize).map(|pixel| self.format.decode(pixel))
    }

    /// The colour of a pixel, if it is on the screen.
    pub fn colour(&self, x: u32, y: u32) -> Option<u32> {
        let bytes = self.format.bytes() as usize;
        let at = (y as usize * self.width as usize + x as usize) * bytes;
        let pixel = self.bytes.get(at..at + bytes)?;
        (x < self.width).then(|| self.format.decode(pixel))
    }
}

/// The display side: a timing generator, and what has become of the frames.
#[derive(Debug)]
pub struct Sink {
    mode: Mode,
    format: Format,
    /// When frame `base` began.
    origin: u64,
    base: u64,
    /// The frame that is scanned out.
    current: Option<Current>,
    records: VecDeque<Record>,
    frames: VecDeque<Frame>,
    scanned: u64,
    /// The last whole frame that a person saw, once it is gone.
    gone: Option<Frame>,
    /// A transmitter behind it is off.
    dark: bool,
    early_sync: bool,
}

#[derive(Debug)]
struct Current {
    frame: Frame,
    time: u64,
    /// Lines that the beam has passed.
    line: u32,
    missing: u32,
    misfits: u32,
}

impl Sink {
    /// A display whose pixel clock starts at `origin` ns and whose transmitter is on.
    pub fn new(mode: Mode, format: Format, origin: u64) -> Self {
        Self {
            mode,
            format,
            origin,
            base: 0,
            current: None,
            records: VecDeque::new(),
            frames: VecDeque::new(),
            scanned: 0,
            gone: None,
            dark: false,
            early_sync: false,
        }
    }

    /// The mode.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The pixel format of the stream.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The pixel clock runs.
    pub(crate) fn runs(&self) -> bool {
        self.mode.pixel_clock != 0
    }

    /// Changes the pixel clock. The frame on its way is lost.
    pub(crate) fn set_pixel_clock(&mut self, pixel_clock: u32, now: u64) {
        if pixel_clock != self.mode.pixel_clock {
            let sequence = self.sequence(now);
            self.mode = self.mode.with_pixel_clock(pixel_clock);
            self.restart(sequence + 1, now);
            self.current = None;
            self.clear();
        }
    }

    /// Switches the transmitter off or on. A frame is recorded as it is scanned out either way; [`Sink::screen`] shows it only if the transmitter is on.
    pub fn set_dark(&mut self, dark: bool) {
        if dark
            && !self.dark
            && let Some(frame) = self.frames.iter().rfind(|frame| frame.complete)
        {
            self.gone = Some(frame.clone());
        }
        self.dark = dark;
    }

    /// There is no picture any more.
    fn clear(&mut self) {
        if !self.dark
            && let Some(frame) = self.frames.drain(..).rfind(|frame| frame.complete)
        {
            self.gone = Some(frame);
        }
        self.frames.clear();
    }

    /// What a person sees, or the last whole frame that was seen.
    pub fn seen(&self) -> Option<&Frame> {
        self.screen().or(self.gone.as_ref())
    }

    /// What a person sees: the last whole frame, if the transmitter is on and a picture is there.
    pub fn screen(&self) -> Option<&Frame> {
        self.frames.back().filter(|_| !self.dark)
    }

    /// The last frames with their pixels, oldest first.
    pub fn frames(&self) -> impl Iterator<Item = &Frame> {
        self.frames.iter()
    }

    /// Records of the last frames, oldest first.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.iter()
    }

    /// A picture is there, whether the transmitter shows it or not.
    pub(crate) fn holds_picture(&self) -> bool {
        !self.frames.is_empty()
    }

    /// Frames that were scanned out ever.
    pub fn scanned(&self) -> u64 {
        self.scanned
    }

    /// Makes the next vertical sync come in the middle of the active lines, as when the timing generator is restarted.
    pub fn inject_early_sync(&mut self) {
        self.early_sync = true;
    }

    /// The frame that a moment lies in.
    fn sequence(&self, now: u64) -> u64 {
        self.base + self.mode.frame_at(now.saturating_sub(self.origin))
    }

    /// Lets frame `sequence` begin now.
    fn restart(&mut self, sequence: u64, now: u64) {
        self.base = sequence;
        self.origin = now;
    }

    /// When the next frame begins, at `now` or later.
    pub(crate) fn next_sync(&self, now: u64) -> u64 {
        let since = now.saturating_sub(self.origin);
        self.origin + self.mode.time_of(self.mode.next_frame(since), 0)
    }

    /// When the beam is at the next line that has not been taken; `None` outside of frames.
    pub(crate) fn next_line(&self) -> Option<u64> {
        let current = self.current.as_ref()?;
        let frame = current.frame.sequence - self.base;
        Some(self.origin + self.mode.time_of(frame, self.mode.blanking_before + current.line))
    }

    /// Lines of the frame that have not been taken.
    pub(crate) fn lines_left(&self) -> u32 {
        self.current.as_ref().map_or(0, |current| self.mode.height - current.line)
    }

    /// A vertical sync begins a frame.
    pub(crate) fn begin(&mut self, now: u64) {
        let bytes = self.mode.width as usize * self.mode.height as usize * self.format.bytes() as usize;
        // The oldest frame's memory serves again.
        let mut pixels = match self.frames.len() {
            FRAMES.. => self.frames.pop_front().map(|frame| frame.bytes).unwrap_or_default(),
            _ => Vec::new(),
        };
        pixels.clear();
        pixels.resize(bytes, BLANK);
        let frame = Frame {
            sequence: self.sequence(now),
            format: self.format,
            width: self.mode.width,
            height: self.mode.height,
            bytes: pixels,
            complete: false,
        };
        self.current = Some(Current { frame, time: now, line: 0, missing: 0, misfits: 0 });
    }

    /// The beam passes a line at `now`. `data`: what has arrived for it. Returns whether a vertical sync comes right behind it out of turn.
    pub(crate) fn take(&mut self, data: Option<&[u8]>, now: u64) -> bool {
        let Some(current) = &mut self.current else { return false };
        let length = (self.mode.width * self.format.bytes()) as usize;
        let start = current.line as usize * length;
        match (data, current.frame.bytes.get_mut(start..start + length)) {
            (Some(data), Some(line)) => {
                if data.len() != length {
                    current.misfits += 1;
                }
                for (to, from) in line.iter_mut().zip(data) {
                    *to = *from;
                }
            }
            _ => current.missing += 1,
        }
        current.line += 1;
        if self.early_sync && current.line == self.mode.height / 2 {
            self.early_sync = false;
            let next = current.frame.sequence + 1;
            self.end();
            self.restart(next, now);
            return true;
        }
        if current.line == self.mode.height {
            self.end();
        }
        false
    }

    /// No picture: the frame that begins at `now` stays blank.
    pub(crate) fn blank(&mut self, now: u64) {
        self.clear();
        self.begin(now);
        self.end();
        // A screen without a picture is told from a picture that is black.
        self.frames.clear();
    }

    fn end(&mut self) {
        let Some(mut current) = self.current.take() else { return };
        current.missing += self.mode.height - current.line;
        let length = (self.mode.width * self.format.bytes()) as usize;
        let mut runs: Vec<Run> = Vec::new();
        for (line, bytes) in (0..).zip(current.frame.bytes.chunks_exact(length.max(1))) {
            let tag = self.format.decode(bytes.get(..self.format.bytes() as usize).unwrap_or(&[]));
            if runs.last().is_none_or(|run| run.tag != tag) && runs.len() < RUNS {
                runs.push(Run { line, tag });
            }
        }
        if self.records.len() == RECORDS {
            self.records.pop_front();
        }
        self.records.push_back(Record {
            sequence: current.frame.sequence,
            time: current.time,
            checksum: checksum(&current.frame.bytes),
            runs,
            missing: current.missing,
            misfits: current.misfits,
            dark: self.dark,
        });
        self.scanned += 1;
        current.frame.complete = current.missing == 0 && current.misfits == 0;
        self.frames.push_back(current.frame);
        while self.frames.len() > FRAMES {
            self.frames.pop_front();
        }
    }
}

/// A hash of bytes: eight at a time, multiplied by an odd number and folded.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.chunks(8).fold(bytes.len() as u64, |hash, chunk| {
        let word = chunk.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        let mixed = (hash ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        mixed ^ mixed >> 29
    })
}
