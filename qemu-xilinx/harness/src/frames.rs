//! Who may have touched the memory of pictures by the end of a run.
//!
//! A frame is memory that a running channel of the video DMA engine was pointed at, until it has changed hands ([`models::frames`]). Bytes are those of single accesses: a word that
//! is loaded twice counts twice.
//!
//! | key | meaning |
//! |---|---|
//! | `from`, `to` | the console lines between which the keys below count, as often as they come; all of the run if absent |
//! | `cpu-loads`, `cpu-stores` | so many bytes, exactly, programs have loaded from frames and stored to them |
//! | `cpu-loads-at-least`, `cpu-stores-at-least` | the fewest |
//! | `shown-at-least` | the fewest frames that the engine began to read for the display |
//! | `captured-at-least` | the fewest that it began to write for the camera |
//! | `given-back-at-least` | the fewest frames in the whole run whose memory the kernel has cleared to give it to somebody else |
//!
//! Whatever is expected, the kernel has never cleared memory at which a running channel of the engine was pointed, and the engine has never been at memory that was cleared.
//!
//! Where such an expectation is, every access of the processor to memory is looked at. That makes a run up to two and a half times as long: not noticeably where nobody draws, a fifth
//! longer for the test card, most where components paint all day.

use std::fmt;

use models::board::Pattern;
use models::frames::{Counts, Frame, Report, Span};
use serde::Deserialize;

/// What is expected of accesses to frames.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Frames {
    /// The console line that it counts from.
    pub from: Option<Pattern>,
    /// The console line that it counts to.
    pub to: Option<Pattern>,
    /// Bytes that programs have loaded from frames.
    pub cpu_loads: Option<u64>,
    /// Bytes that programs have stored to frames.
    pub cpu_stores: Option<u64>,
    /// The fewest bytes loaded.
    pub cpu_loads_at_least: Option<u64>,
    /// The fewest bytes stored.
    pub cpu_stores_at_least: Option<u64>,
    /// The fewest frames begun for the display.
    pub shown_at_least: Option<u64>,
    /// The fewest frames begun from the camera.
    pub captured_at_least: Option<u64>,
    /// The fewest frames whose memory has changed hands.
    pub given_back_at_least: Option<u64>,
}

impl Frames {
    /// Whether nothing is expected.
    pub fn is_empty(&self) -> bool {
        Self { from: None, to: None, ..self.clone() } == Self::default()
    }

    /// The part of the run that has to be watched.
    pub fn span(&self) -> Span {
        Span { from: self.from.clone(), to: self.to.clone() }
    }

    /// What is not as expected.
    pub fn problems(&self, report: Option<&Report>) -> Vec<String> {
        let span = self.span();
        let counts = report.and_then(|report| report.spans.iter().find(|counts| counts.span == span));
        let (Some(report), Some(counts)) = (report, counts) else {
            return vec!["the frames: they were not watched".to_owned()];
        };
        let mut problems = Vec::new();
        for (line, times) in [(&span.from, counts.begun), (&span.to, counts.ended)] {
            if let Some(line) = line.as_ref().filter(|_| times == 0) {
                problems.push(format!("the frames: there was no line `{line}`"));
            }
        }
        for (exactly, least, found, what) in [
            (self.cpu_loads, self.cpu_loads_at_least, counts.loads, "bytes loaded by programs"),
            (self.cpu_stores, self.cpu_stores_at_least, counts.stores, "bytes stored by programs"),
            (None, self.shown_at_least, counts.shown, "shown"),
            (None, self.captured_at_least, counts.captured, "captured"),
            (None, self.given_back_at_least, report.given_back, "given back"),
        ] {
            if let Some(exactly) = exactly.filter(|exactly| *exactly != found) {
                problems.push(format!("the frames: {found} {what}, expected {exactly}"));
            }
            if let Some(least) = least.filter(|least| *least > found) {
                problems.push(format!("the frames: {found} {what}, expected at least {least}"));
            }
        }
        problems.extend(under_the_engine(report));
        problems
    }
}

/// What is wrong with how memory was given back.
fn under_the_engine(report: &Report) -> Vec<String> {
    let mut problems = Vec::new();
    let Report { kernel_stores, late, .. } = report;
    if *kernel_stores != 0 {
        problems.push(format!(
            "the frames: memory was given back while the engine was pointed at it; the kernel has cleared {kernel_stores} bytes of such memory"
        ));
    }
    if *late != 0 {
        problems.push(format!("the frames: the engine has moved {late} bytes from or to memory that was given back"));
    }
    if let Some(Frame { address, bytes, first, last, cleared, .. }) = report.log.iter().find(|frame| frame.late != 0) {
        let time = |time: &Option<u64>| time.unwrap_or_default();
        problems.push(format!(
            "the frames: the first such are {bytes} bytes at {address:#010x}, at which the engine was from {} ns to {} ns; they were cleared at {} ns",
            time(first),
            time(last),
            time(cleared)
        ));
    }
    problems
}

/// One line for each part of the run that was watched.
#[derive(Clone, Copy, Debug)]
pub struct Summary<'a>(pub &'a Report);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for counts in &self.0.spans {
            let Counts { span, shown, captured, loads, stores, .. } = counts;
            let frames = (*shown).max(*captured);
            write!(f, "frames")?;
            if let Some(from) = &span.from {
                write!(f, " from `{from}`")?;
            }
            if let Some(to) = &span.to {
                write!(f, " to `{to}`")?;
            }
            write!(f, ": {shown} shown, {captured} captured; bytes by the CPU: {loads} loaded, {stores} stored")?;
            match (loads.checked_div(frames), stores.checked_div(frames)) {
                (Some(loads), Some(stores)) => writeln!(f, "; {loads} and {stores} a frame")?,
                _ => writeln!(f)?,
            }
        }
        let Report { given_back, kernel_stores, late, .. } = self.0;
        writeln!(
            f,
            "frames: {given_back} given back, {kernel_stores} bytes of them cleared under the engine, {late} bytes moved by the engine behind that"
        )
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    /// The whole run, and a part of it in which the processor touched nothing.
    fn report() -> Report {
        let pattern = |text: &str| Some(Pattern::new(text));
        let part = Span { from: pattern("go"), to: pattern("stop") };
        let frame = Frame {
            address: 0x10_0000,
            bytes: 4096,
            read: true,
            written: false,
            first: Some(10),
            last: Some(20),
            cleared: Some(30),
            late: 0,
        };
        Report {
            spans: vec![
                Counts { begun: 1, shown: 10, captured: 3, loads: 40, stores: 80, ..Counts::default() },
                Counts { span: part, begun: 1, ended: 1, shown: 5, ..Counts::default() },
            ],
            given_back: 1,
            log: vec![frame],
            ..Report::default()
        }
    }

    fn problems(text: &str, report: &Report) -> Vec<String> {
        toml::from_str::<Frames>(text).unwrap().problems(Some(report))
    }

    #[test]
    fn each_part_is_judged_by_itself() {
        let report = report();
        for right in [
            "cpu-loads = 40\ncpu-stores = 80\nshown-at-least = 10\ncaptured-at-least = 3\ngiven-back-at-least = 1",
            "from = \"go\"\nto = \"stop\"\ncpu-loads = 0\ncpu-stores = 0\nshown-at-least = 5",
        ] {
            assert_eq!(problems(right, &report), Vec::<String>::new(), "{right}");
        }
        for (wrong, problem) in [
            ("cpu-loads = 0", "40 bytes loaded by programs, expected 0"),
            ("cpu-stores = 81", "80 bytes stored by programs, expected 81"),
            ("cpu-loads-at-least = 41", "40 bytes loaded by programs, expected at least 41"),
            ("cpu-stores-at-least = 81", "80 bytes stored by programs, expected at least 81"),
            ("shown-at-least = 11", "10 shown, expected at least 11"),
            ("captured-at-least = 4", "3 captured, expected at least 4"),
            ("given-back-at-least = 2", "1 given back, expected at least 2"),
            ("from = \"go\"\nto = \"stop\"\nshown-at-least = 6", "5 shown, expected at least 6"),
            ("from = \"go\"\ncpu-loads = 0", "they were not watched"),
        ] {
            assert_eq!(problems(wrong, &report), [format!("the frames: {problem}")], "{wrong}");
        }
        assert!(toml::from_str::<Frames>("cpu-load = 0").is_err());
    }

    #[test]
    fn a_part_that_never_came_shows_nothing() {
        let mut report = report();
        let part = report.spans.last_mut().unwrap();
        part.ended = 0;
        let text = "from = \"go\"\nto = \"stop\"\ncpu-loads = 0";
        assert_eq!(problems(text, &report), ["the frames: there was no line `stop`"]);
    }

    #[test]
    fn memory_that_is_given_back_under_the_engine_is_wrong_whatever_is_expected() {
        let mut report = report();
        report.kernel_stores = 4096;
        assert_eq!(problems("cpu-loads = 40", &report).len(), 1);
        report.late = 64;
        report.log.iter_mut().for_each(|frame| *frame = Frame { last: Some(31), late: 64, ..frame.clone() });
        let problems = problems("cpu-loads = 40", &report).join("\n");
        assert!(problems.contains("cleared 4096 bytes") && problems.contains("moved 64 bytes"), "{problems}");
        assert!(
            problems.contains("at 0x00100000, at which the engine was from 10 ns to 31 ns; they were cleared at 30 ns")
        );
    }

    #[test]
    fn the_summary_tells_bytes_a_frame() {
        assert_eq!(
            Summary(&report()).to_string(),
            "frames: 10 shown, 3 captured; bytes by the CPU: 40 loaded, 80 stored; 4 and 8 a frame\n\
             frames from `go` to `stop`: 5 shown, 0 captured; bytes by the CPU: 0 loaded, 0 stored; 0 and 0 a frame\n\
             frames: 1 given back, 0 bytes of them cleared under the engine, 0 bytes moved by the engine behind that\n"
        );
    }
}
