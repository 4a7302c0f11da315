//! Who touches the memory of pictures: the processor, byte by byte, and the video DMA engine.
//!
//! # Theory of operation
//!
//! A piece of memory is a *frame* from the moment a running channel of the engine is pointed at it. It is one until the kernel stores into it while no channel is
//! pointed at it any more: the kernel clears memory before it gives it to anybody else, and stores into a program's memory for no other reason, so by that the frame's memory
//! has changed hands. Until then it stays a frame, also when the channel has stopped or goes on elsewhere: a picture that a reader of the camera keeps is one of them.
//!
//! A [`Watch`] is shared by those who know a part of that. The engine's model says where its channels are pointed and which lines it moves, the board passes
//! console lines on, and whoever sees the processor's accesses says those. From all that it counts
//!
//! - the bytes that programs load from frames and store to them, in [spans](Span) between console lines;
//! - the bytes that the kernel stores where a running channel is pointed. There should be none: the memory was given back with the engine still at it;
//! - the bytes that the engine moves from or to memory behind that. There should be none either;
//! - the frames whose memory has changed hands, so that there is something for the others to be none of.
//!
//! It keeps a log of the frames with the first and the last time that the engine was at each.
//!
//! # What it does not do
//!
//! Memory that is given back but not yet used by anybody is memory that the engine may still be at: that nobody has changed it is all that can be seen. Times are those that
//! the engine's model has last seen; the order of events is exact.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::board::Pattern;
use crate::vdma::Which;
use crate::{BusError, Memory};

/// So many frames are watched at a time; beyond that, those go first that no channel is pointed at.
const WATCHED: usize = 256;
/// So many frames whose memory has changed hands are kept in the log.
const KEPT: usize = 4096;
/// No frame.
const EMPTY: u64 = 0xFFFF_FFFF_0000_0000;

/// A part of a run: from a console line to another one, as often as they come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Span {
    /// The line that it begins with; from the start of the run if absent.
    pub from: Option<Pattern>,
    /// The line that it ends with; at the end of the run if absent.
    pub to: Option<Pattern>,
}

/// What has happened to frames in a span.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Which part of the run.
    pub span: Span,
    /// How often it began.
    pub begun: u32,
    /// How often it ended.
    pub ended: u32,
    /// Frames that the read channel began to read, for the display.
    pub shown: u64,
    /// Frames that the write channel began to write, from the camera.
    pub captured: u64,
    /// Bytes that programs have loaded from frames.
    pub loads: u64,
    /// Bytes that programs have stored to frames.
    pub stores: u64,
}

/// A piece of memory that a channel of the engine was pointed at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// Address of its first byte.
    pub address: u32,
    /// Up to the one behind its last.
    pub bytes: u32,
    /// The read channel was pointed at it.
    pub read: bool,
    /// The write channel was.
    pub written: bool,
    /// When the engine was at it first, in ns.
    pub first: Option<u64>,
    /// When it was there last.
    pub last: Option<u64>,
    /// When the kernel has cleared it.
    pub cleared: Option<u64>,
    /// Bytes that the engine has moved since.
    pub late: u64,
}

/// What is known at the end of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// What happened in each span, in the order of the description.
    pub spans: Vec<Counts>,
    /// Bytes that the kernel has stored where a running channel was pointed.
    pub kernel_stores: u64,
    /// Bytes that the engine has moved from or to memory that the kernel had cleared for somebody else.
    pub late: u64,
    /// Frames whose memory has changed hands.
    pub given_back: u64,
    /// Frames, oldest first: those whose memory has changed hands, the last few thousand of them, then those that still are.
    pub log: Vec<Frame>,
}

/// An access of the processor to its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Physical address.
    pub address: u32,
    /// Bytes.
    pub bytes: u32,
    /// It stores; else it loads.
    pub store: bool,
    /// The kernel does it; else a program.
    pub kernel: bool,
}

/// A piece of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Piece {
    pub(crate) address: u32,
    pub(crate) bytes: u32,
}

impl Piece {
    fn end(self) -> u64 {
        u64::from(self.address) + u64::from(self.bytes)
    }

    /// Bytes that both have.
    fn overlap(self, other: Self) -> u64 {
        self.end().min(other.end()).saturating_sub(self.address.max(other.address).into())
    }
}

impl Frame {
    fn piece(&self) -> Piece {
        Piece { address: self.address, bytes: self.bytes }
    }
}

#[derive(Debug)]
struct Part {
    counts: Counts,
    open: bool,
}

#[derive(Debug, Default)]
struct State {
    parts: Vec<Part>,
    /// Where the read and the write channel are pointed.
    pointed: [Vec<Piece>; 2],
    frames: Vec<Frame>,
    gone: VecDeque<Frame>,
    kernel_stores: u64,
    late: u64,
    given_back: u64,
    now: u64,
}

#[derive(Debug)]
struct Shared {
    /// Address of the first and the last byte that is of interest, in the upper and the lower half: most accesses are elsewhere.
    limits: AtomicU64,
    state: Mutex<State>,
}

/// What frames go through. Copies are the same watch.
#[derive(Clone, Debug)]
pub struct Watch(Arc<Shared>);

impl Watch {
    /// A watch that counts in these parts of the run.
    pub fn new(spans: &[Span]) -> Self {
        let part = |span: &Span| {
            let open = span.from.is_none();
            Part { counts: Counts { span: span.clone(), begun: open.into(), ..Counts::default() }, open }
        };
        let state = State { parts: spans.iter().map(part).collect(), ..State::default() };
        Self(Arc::new(Shared { limits: AtomicU64::new(EMPTY), state: Mutex::new(state) }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an access may be to a frame. Quick, and right if the answer is no.
    pub fn is_near(&self, address: u32) -> bool {
        let limits = self.0.limits.load(Ordering::Relaxed);
        u64::from(address) + 16 > limits >> 32 && u64::from(address) <= limits & 0xFFFF_FFFF
    }

    /// Whether there is any frame.
    pub fn is_idle(&self) -> bool {
        self.0.limits.load(Ordering::Relaxed) == EMPTY
    }

    /// The processor has come to its memory.
    pub fn access(&self, access: Access) {
        let mut state = self.state();
        if state.access(access) {
            self.limit(&state);
        }
    }

    /// What is known.
    pub fn report(&self) -> Report {
        let state = self.state();
        Report {
            spans: state.parts.iter().map(|part| part.counts.clone()).collect(),
            kernel_stores: state.kernel_stores,
            late: state.late,
            given_back: state.given_back,
            log: state.gone.iter().chain(&state.frames).cloned().collect(),
        }
    }

    /// The console has shown a line.
    pub(crate) fn line(&self, line: &str) {
        for part in &mut self.state().parts {
            let Span { from, to } = &part.counts.span;
            let matches = |pattern: &Option<Pattern>| pattern.as_ref().is_some_and(|pattern| pattern.matches(line));
            if part.open && matches(to) {
                part.open = false;
                part.counts.ended += 1;
            } else if !part.open && matches(from) {
                part.open = true;
                part.counts.begun += 1;
            }
        }
    }

    /// A channel is pointed at these pieces of memory, and nowhere else.
    pub(crate) fn point(&self, channel: Which, mut pieces: Vec<Piece>, now: u64) {
        pieces.sort_unstable();
        pieces.dedup();
        let mut state = self.state();
        state.now = now;
        if state.point(channel, pieces) {
            self.limit(&state);
        }
    }

    /// A channel begins a frame.
    pub(crate) fn begin(&self, channel: Which, now: u64) {
        let mut state = self.state();
        state.now = now;
        for part in state.parts.iter_mut().filter(|part| part.open) {
            match channel {
                Which::Read => part.counts.shown += 1,
                Which::Write => part.counts.captured += 1,
            }
        }
    }

    /// The same memory, with the engine's accesses to it noted.
    pub(crate) fn over<'a>(&'a self, memory: &'a mut dyn Memory, now: u64) -> impl Memory + 'a {
        Noted { watch: self, memory, now }
    }

    fn limit(&self, state: &State) {
        let pieces = || state.frames.iter().map(Frame::piece);
        let first = pieces().map(|piece| piece.address).min();
        let last = pieces().map(|piece| piece.end().saturating_sub(1).min(u32::MAX.into())).max();
        let limits = first.zip(last).map_or(EMPTY, |(first, last)| u64::from(first) << 32 | last);
        self.0.limits.store(limits, Ordering::Relaxed);
    }
}

/// Memory as the engine sees it.
struct Noted<'a> {
    watch: &'a Watch,
    memory: &'a mut dyn Memory,
    now: u64,
}

impl Memory for Noted<'_> {
    fn read(&mut self, address: u32, data: &mut [u8]) -> Result<(), BusError> {
        self.watch.state().moved(Piece { address, bytes: data.len() as u32 }, self.now);
        self.memory.read(address, data)
    }

    fn write(&mut self, address: u32, data: &[u8]) -> Result<(), BusError> {
        self.watch.state().moved(Piece { address, bytes: data.len() as u32 }, self.now);
        self.memory.write(address, data)
    }
}

impl State {
    /// Whether a channel is pointed at a part of it.
    fn is_pointed_at(&self, piece: Piece) -> bool {
        self.pointed.iter().flatten().any(|pointed| pointed.overlap(piece) != 0)
    }

    /// Answers whether there are fewer frames now.
    fn access(&mut self, access: Access) -> bool {
        let Access { address, bytes, store, kernel } = access;
        let piece = Piece { address, bytes };
        if kernel {
            return store && self.clear(piece);
        }
        // What several frames have in common counts once.
        let bytes = self.frames.iter().map(|frame| frame.piece().overlap(piece)).max().unwrap_or_default();
        for part in self.parts.iter_mut().filter(|part| part.open) {
            let counter = if store { &mut part.counts.stores } else { &mut part.counts.loads };
            *counter += bytes;
        }
        false
    }

    /// The kernel clears memory. Answers whether there are fewer frames now.
    fn clear(&mut self, piece: Piece) -> bool {
        let pointed = self.pointed.iter().flatten().map(|pointed| pointed.overlap(piece)).max();
        self.kernel_stores += pointed.unwrap_or_default();
        let mut index = 0;
        let mut fewer = false;
        while let Some(frame) = self.frames.get(index).map(Frame::piece) {
            if frame.overlap(piece) == 0 {
                index += 1;
                continue;
            }
            let now = self.now;
            if let Some(frame) = self.frames.get_mut(index)
                && frame.cleared.is_none()
            {
                frame.cleared = Some(now);
                self.given_back += 1;
            }
            if self.is_pointed_at(frame) {
                index += 1;
            } else {
                self.retire(index);
                fewer = true;
            }
        }
        fewer
    }

    /// It is a frame no more.
    fn retire(&mut self, index: usize) {
        if self.gone.len() == KEPT {
            self.gone.pop_front();
        }
        let frame = self.frames.remove(index);
        self.gone.push_back(frame);
    }

    /// Answers whether other memory is of interest now.
    fn point(&mut self, channel: Which, pieces: Vec<Piece>) -> bool {
        let number = usize::from(channel == Which::Write);
        let Some(pointed) = self.pointed.get_mut(number).filter(|pointed| **pointed != pieces) else { return false };
        *pointed = pieces;
        // What was cleared while a channel was still pointed at it belongs to somebody else: pointed at anew, it is another frame.
        let over = |state: &Self| {
            let is_over = |frame: &Frame| frame.cleared.is_some() && !state.is_pointed_at(frame.piece());
            state.frames.iter().position(is_over)
        };
        while let Some(index) = over(self) {
            self.retire(index);
        }
        for piece in self.pointed.get(number).cloned().unwrap_or_default() {
            let frame = match self.frames.iter_mut().find(|frame| frame.piece() == piece) {
                Some(frame) => frame,
                None => self.add(piece),
            };
            match channel {
                Which::Read => frame.read = true,
                Which::Write => frame.written = true,
            }
        }
        true
    }

    fn add(&mut self, piece: Piece) -> &mut Frame {
        let Piece { address, bytes } = piece;
        if self.frames.len() >= WATCHED
            && let Some(index) = self.frames.iter().position(|frame| !self.is_pointed_at(frame.piece()))
        {
            self.retire(index);
        }
        let (read, written) = (false, false);
        self.frames.push_mut(Frame { address, bytes, read, written, first: None, last: None, cleared: None, late: 0 })
    }

    /// The engine is at memory.
    fn moved(&mut self, piece: Piece, now: u64) {
        self.now = now;
        let mut late = 0;
        for frame in &mut self.frames {
            let bytes = frame.piece().overlap(piece);
            if bytes == 0 {
                continue;
            }
            frame.first.get_or_insert(now);
            frame.last = Some(now);
            if frame.cleared.is_some() {
                frame.late += bytes;
                late = late.max(bytes);
            }
        }
        self.late += late;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Ram;

    const PAGE: u32 = 0x1000;
    /// Two pictures.
    const FIRST: Piece = Piece { address: 4 * PAGE, bytes: 2 * PAGE };
    const SECOND: Piece = Piece { address: 8 * PAGE, bytes: 2 * PAGE };

    fn span(from: &str, to: &str) -> Span {
        let pattern = |text: &str| (!text.is_empty()).then(|| Pattern::new(text));
        Span { from: pattern(from), to: pattern(to) }
    }

    fn watch() -> Watch {
        let watch = Watch::new(&[Span::default(), span("begin", "end")]);
        watch.point(Which::Read, vec![FIRST, SECOND, FIRST], 1);
        watch
    }

    fn by(kernel: bool, store: bool, address: u32, bytes: u32) -> Access {
        Access { address, bytes, store, kernel }
    }

    /// Loads and stores of each span.
    fn bytes(watch: &Watch) -> Vec<[u64; 2]> {
        watch.report().spans.iter().map(|counts| [counts.loads, counts.stores]).collect()
    }

    /// The engine reads a line at `address`.
    fn read(watch: &Watch, address: u32, now: u64) {
        watch.over(&mut &Ram::new(0, 16 * PAGE), now).read(address, &mut [0; 64]).unwrap();
    }

    #[test]
    fn programs_touch_frames_and_what_is_beside_them_does_not_count() {
        let watch = watch();
        for (address, bytes) in
            [(FIRST.address - 4, 4), (FIRST.address - 4, 8), (FIRST.address + 2 * PAGE - 2, 4), (6 * PAGE, 4)]
        {
            watch.access(by(false, true, address, bytes));
        }
        assert_eq!(bytes(&watch), [[0, 6], [0, 0]]);
        watch.access(by(false, false, SECOND.address, 16));
        assert_eq!(bytes(&watch), [[16, 6], [0, 0]]);
        // The kernel's loads are nobody's matter.
        watch.access(by(true, false, SECOND.address, 16));
        assert_eq!((watch.report().kernel_stores, bytes(&watch)), (0, vec![[16, 6], [0, 0]]));
    }

    #[test]
    fn what_is_not_near_is_no_frame() {
        let watch = watch();
        assert!(!watch.is_idle());
        let near = |address: u32| watch.is_near(address);
        assert!(!near(FIRST.address - 16) && near(FIRST.address - 15) && near(SECOND.address + 2 * PAGE - 1));
        assert!(!near(SECOND.address + 2 * PAGE));
        let watch = Watch::new(&[]);
        assert!(watch.is_idle() && !watch.is_near(0) && !watch.is_near(u32::MAX));
        watch.point(Which::Write, vec![Piece { address: 0xFFFF_F000, bytes: PAGE }], 0);
        assert!(!watch.is_idle() && watch.is_near(u32::MAX));
    }

    #[test]
    fn a_span_is_from_line_to_line_and_again() {
        let watch = watch();
        let step = |line: &str| {
            watch.line(line);
            watch.begin(Which::Read, 1);
            watch.access(by(false, true, FIRST.address, 4));
        };
        ["to begin", "to begin", "to end", "to end", "to begin", "nothing"].into_iter().for_each(step);
        let report = watch.report();
        let [whole, part] = report.spans.as_slice() else { panic!("{report:?}") };
        assert_eq!((whole.begun, whole.ended, whole.shown, whole.stores), (1, 0, 6, 24));
        assert_eq!((part.begun, part.ended, part.shown, part.stores, part.captured), (2, 1, 4, 16, 0));
    }

    #[test]
    fn memory_that_is_given_back_after_the_channel_has_stopped_is_right() {
        let watch = watch();
        read(&watch, FIRST.address, 5);
        watch.point(Which::Read, vec![], 6);
        // Stopped, but its owner's still.
        watch.access(by(false, true, FIRST.address, 4));
        watch.access(by(true, true, FIRST.address + PAGE, 4));
        // Somebody else's.
        watch.access(by(false, true, FIRST.address, 4));
        let report = watch.report();
        assert_eq!((report.kernel_stores, report.late, report.given_back), (0, 0, 1));
        assert_eq!(bytes(&watch)[0], [0, 4]);
        let log = &report.log[0];
        assert_eq!((log.address, log.first, log.last, log.cleared), (FIRST.address, Some(5), Some(5), Some(6)));
        assert!(!watch.is_near(FIRST.address) && watch.is_near(SECOND.address));
    }

    #[test]
    fn memory_that_is_given_back_under_the_engine_is_told() {
        let watch = watch();
        read(&watch, FIRST.address, 5);
        (0..4).for_each(|word| watch.access(by(true, true, FIRST.address + 4 * word, 4)));
        let report = watch.report();
        assert_eq!((report.kernel_stores, report.late, report.given_back), (16, 0, 1));
        read(&watch, FIRST.address + 64, 9);
        read(&watch, SECOND.address, 10);
        let report = watch.report();
        assert_eq!((report.kernel_stores, report.late), (16, 64));
        // Another owner's channel: what it reads is its own.
        watch.point(Which::Read, vec![], 11);
        watch.point(Which::Read, vec![FIRST], 12);
        read(&watch, FIRST.address, 13);
        let report = watch.report();
        assert_eq!((report.kernel_stores, report.late), (16, 64));
        let times: Vec<_> = report.log.iter().map(|frame| (frame.address, frame.first, frame.last)).collect();
        assert_eq!(
            times,
            [
                (FIRST.address, Some(5), Some(9)),
                (SECOND.address, Some(10), Some(10)),
                (FIRST.address, Some(13), Some(13))
            ]
        );
    }

    #[test]
    fn a_frame_of_both_channels_counts_once_and_is_in_use_while_one_is_pointed_at_it() {
        let watch = watch();
        watch.point(Which::Write, vec![FIRST], 2);
        watch.access(by(false, false, FIRST.address, 8));
        assert_eq!(bytes(&watch)[0], [8, 0]);
        // The half of another one.
        watch.point(Which::Write, vec![FIRST, Piece { address: FIRST.address + PAGE, ..FIRST }], 2);
        watch.access(by(false, false, FIRST.address + PAGE, 8));
        assert_eq!(bytes(&watch)[0], [16, 0]);
        watch.point(Which::Write, vec![FIRST], 2);
        watch.point(Which::Read, vec![], 3);
        watch.access(by(true, true, FIRST.address, 4));
        assert_eq!(watch.report().kernel_stores, 4);
        let log = watch.report().log;
        assert!(log[0].read && log[0].written && log[1].read && !log[1].written);
    }

    #[test]
    fn a_channel_that_wanders_does_not_fill_the_memory() {
        let watch = Watch::new(&[Span::default()]);
        for number in 0..2 * (WATCHED + KEPT) as u32 {
            watch.point(Which::Write, vec![Piece { address: number * 64, bytes: 64 }], number.into());
        }
        assert_eq!(watch.report().log.len(), WATCHED + KEPT);
    }
}
