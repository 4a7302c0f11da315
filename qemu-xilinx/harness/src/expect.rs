//! What pins, I2C slaves and the display must have gone through, judged from the board's report after the run.
//!
//! | key | meaning |
//! |---|---|
//! | `net` | the net, as in commands: `"pin 7"`, `"emio 3"`, `"pin LD0"`; only the name will do: `"LD0"` |
//! | `edges` | how often its level changed, exactly |
//! | `at-least`, `at-most` | limits of that |
//! | `level` | its level at the end: `"high"` or `"low"` |
//! | `period`, `tolerance` | each time between two rising edges; there are at least two of them. Without `tolerance` exactly |
//! | `slave` | the slave, as in commands: `"i2c0/0x50"` |
//! | `offset` | where in its memory; 0 if absent |
//! | `text`, `bytes` | what is there |
//! | `sha256` | the sum of all that is there, up to the end of the memory |
//! | `display` | what must be or have been on the display: see [`screen`](crate::screen) |
//! | `frames` | who may have touched the memory of pictures: see [`frames`](crate::frames); such a run takes up to two and a half times as long |

use std::fmt::Write as _;

use models::board::{Board, Command, CommandError, History, Net, Report, SlavePath, Time};
use models::frames::Span;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::frames::Frames;
use crate::screen::{Pictures, Screen};

/// So many bytes are shown of contents that differ.
const SHOWN: usize = 16;

/// An expectation as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Expect {
    /// The net.
    pub net: Option<String>,
    /// Its number of edges.
    pub edges: Option<u64>,
    /// The fewest edges.
    pub at_least: Option<u64>,
    /// The most edges.
    pub at_most: Option<u64>,
    /// Its level at the end.
    pub level: Option<Level>,
    /// The time between rising edges.
    pub period: Option<Time>,
    /// How far each may be off.
    pub tolerance: Option<Time>,
    /// The slave.
    pub slave: Option<String>,
    /// Where in its memory.
    pub offset: Option<usize>,
    /// What is there.
    pub text: Option<String>,
    /// What is there.
    pub bytes: Option<Vec<u8>>,
    /// The sum of what is there, in hexadecimal digits.
    pub sha256: Option<String>,
    /// What must be on the display.
    pub display: Option<Screen>,
    /// Who may have touched the memory of pictures.
    pub frames: Option<Frames>,
}

/// A level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Low.
    Low,
    /// High.
    High,
}

/// What is wrong with an expectation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpectError {
    /// It is about nothing, or about two things.
    #[error("an expectation is about a `net`, about a `slave`, about the `display` or about `frames`")]
    What,
    /// Nothing is expected.
    #[error("what is expected of it? {0}")]
    Nothing(&'static str),
    /// A key belongs to the other kind.
    #[error(
        "`{0}` does not go with this: a net has edges and levels, a slave has contents, a display pictures, frames accesses"
    )]
    Key(&'static str),
    /// The net or the slave does not exist.
    #[error(transparent)]
    Missing(#[from] CommandError),
    /// There is no display.
    #[error("the bitstream has no display")]
    Display,
    /// There is no video.
    #[error("the bitstream has no video")]
    Video,
    /// A sum is none.
    #[error("a SHA-256 has 64 hexadecimal digits")]
    Sum,
}

/// An expectation that can be judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The net's name in the report, or the slave's path there.
    subject: String,
    expect: Expect,
}

impl Expect {
    /// Finds what it is about on the board.
    ///
    /// # Errors
    /// [`ExpectError`]
    pub fn resolve(&self, board: &mut Board) -> Result<Check, ExpectError> {
        let of_net = [
            ("edges", self.edges.is_some()),
            ("at-least", self.at_least.is_some()),
            ("at-most", self.at_most.is_some()),
            ("level", self.level.is_some()),
            ("period", self.period.is_some()),
        ];
        let of_slave =
            [("text", self.text.is_some()), ("bytes", self.bytes.is_some()), ("sha256", self.sha256.is_some())];
        let others = [("tolerance", self.tolerance.is_some()), ("offset", self.offset.is_some())];
        let first = |keys: &[(&'static str, bool)]| keys.iter().find(|(_, given)| *given).map(|(key, _)| *key);
        // What is about the video has its keys in a table of its own.
        let no_more = || match first(&of_net).or(first(&of_slave)).or(first(&others)) {
            Some(key) => Err(ExpectError::Key(key)),
            None => Ok(()),
        };
        match (&self.net, &self.slave, &self.display, &self.frames) {
            (Some(net), None, None, None) => {
                let offset = ("offset", self.offset.is_some());
                if let Some(key) = first(&of_slave).or(first(&[offset])) {
                    return Err(ExpectError::Key(key));
                }
                if self.tolerance.is_some() && self.period.is_none() {
                    return Err(ExpectError::Nothing("`tolerance` is that of `period`"));
                }
                first(&of_net).ok_or(ExpectError::Nothing("`edges`, `at-least`, `at-most`, `level` or `period`"))?;
                let net: Net = net.parse().or_else(|_| format!("pin {net}").parse())?;
                let subject = board.net_name(&net)?.to_owned();
                Ok(Check { subject, expect: self.clone() })
            }
            (None, Some(slave), None, None) => {
                let tolerance = ("tolerance", self.tolerance.is_some());
                if let Some(key) = first(&of_net).or(first(&[tolerance])) {
                    return Err(ExpectError::Key(key));
                }
                first(&of_slave).ok_or(ExpectError::Nothing("`text`, `bytes` or `sha256`"))?;
                let is_digit = |byte: u8| byte.is_ascii_hexdigit();
                if self.sha256.as_ref().is_some_and(|sum| sum.len() != 64 || !sum.bytes().all(is_digit)) {
                    return Err(ExpectError::Sum);
                }
                let path: SlavePath = slave.parse()?;
                board.command(&Command::Dump(path), 0)?;
                Ok(Check { subject: slave.clone(), expect: self.clone() })
            }
            (None, None, Some(display), None) => {
                no_more()?;
                if display.is_empty() {
                    return Err(ExpectError::Nothing(
                        "see its keys: `picture`, `blank`, `steady`, `whole`, `only` and others",
                    ));
                }
                if !board.has_display() {
                    return Err(ExpectError::Display);
                }
                Ok(Check { subject: "the display".to_owned(), expect: self.clone() })
            }
            (None, None, None, Some(frames)) => {
                no_more()?;
                if frames.is_empty() {
                    return Err(ExpectError::Nothing(
                        "see its keys: `cpu-loads`, `cpu-stores`, `given-back-at-least` and others",
                    ));
                }
                if !board.has_video() {
                    return Err(ExpectError::Video);
                }
                Ok(Check { subject: "the frames".to_owned(), expect: self.clone() })
            }
            _ => Err(ExpectError::What),
        }
    }
}

impl Check {
    /// The part of the run in which accesses to frames have to be watched, if it is about them.
    pub fn span(&self) -> Option<Span> {
        self.expect.frames.as_ref().map(Frames::span)
    }

    /// What is not as expected.
    pub fn problems(&self, report: &Report, pictures: Pictures<'_>) -> Vec<String> {
        if let Some(display) = &self.expect.display {
            display.problems(report.display.as_ref(), pictures)
        } else if let Some(frames) = &self.expect.frames {
            frames.problems(report.frames.as_ref())
        } else if self.expect.net.is_some() {
            // One that was always low is not in the report.
            let history = report.nets.get(&self.subject).cloned().unwrap_or_default();
            self.net(&history)
        } else {
            match report.slaves.iter().find(|(path, slave)| self.is(path, &slave.label)) {
                Some((_, slave)) => self.slave(&bytes(&slave.memory)),
                None => vec![format!("{}: not in the report", self.subject)],
            }
        }
    }

    /// Whether the slave at `path`, called `label`, is the one.
    fn is(&self, path: &str, label: &str) -> bool {
        let bus = path.split('/').next().unwrap_or_default();
        let same_path = || {
            let (one, other) = (self.subject.parse::<SlavePath>(), path.parse::<SlavePath>());
            matches!((one, other), (Ok(one), Ok(other))
                if one.bus == other.bus && one.numbers().is_some() && one.numbers() == other.numbers())
        };
        self.subject == format!("{bus}/{label}") || same_path()
    }

    fn net(&self, history: &History) -> Vec<String> {
        let Expect { edges, at_least, at_most, level, period, tolerance, .. } = &self.expect;
        let (name, count) = (&self.subject, history.count);
        let mut problems = Vec::new();
        if edges.is_some_and(|edges| edges != count)
            || at_least.is_some_and(|least| count < least)
            || at_most.is_some_and(|most| count > most)
        {
            let limit = |word: &str, limit: &Option<u64>| limit.map(|limit| format!("{word} {limit}"));
            let wanted = [limit("exactly", edges), limit("at least", at_least), limit("at most", at_most)];
            let wanted: Vec<String> = wanted.into_iter().flatten().collect();
            problems.push(format!("{name}: {count} edges, expected {}", wanted.join(", ")));
        }
        if level.is_some_and(|level| (level == Level::High) != history.level) {
            let is = if history.level { "high" } else { "low" };
            problems.push(format!("{name}: is {is} at the end"));
        }
        if let Some(period) = period {
            let tolerance = tolerance.unwrap_or_default();
            let periods = history.periods();
            if periods.is_empty() {
                problems.push(format!("{name}: no two rising edges, expected one every {period}"));
            }
            let off = |found: &u64| found.abs_diff(period.0) > tolerance.0;
            if let Some((number, found)) = periods.iter().enumerate().find(|(_, found)| off(found)) {
                let found = Time(*found);
                let number = number + 1;
                problems.push(format!(
                    "{name}: period {number} of {} is {found}, expected {period} +- {tolerance}",
                    periods.len()
                ));
            }
        }
        problems
    }

    fn slave(&self, memory: &[u8]) -> Vec<String> {
        let Expect { offset, text, bytes, sha256, .. } = &self.expect;
        let name = &self.subject;
        let offset = offset.unwrap_or_default();
        let contents = memory.get(offset..).unwrap_or_default();
        let mut problems = Vec::new();
        let wanted = [text.as_ref().map(String::as_bytes), bytes.as_deref()];
        for wanted in wanted.into_iter().flatten() {
            let found = contents.get(..wanted.len()).unwrap_or(contents);
            let differs = |(one, other): (&u8, &u8)| one != other;
            if found != wanted {
                let first = found.iter().zip(wanted).position(differs).unwrap_or(found.len());
                problems.push(format!(
                    "{name}: at {:#x} there is {}, expected {}",
                    offset + first,
                    shown(found.get(first..).unwrap_or_default()),
                    shown(wanted.get(first..).unwrap_or_default())
                ));
            }
        }
        if let Some(wanted) = sha256 {
            let found = hexadecimal(&Sha256::digest(contents));
            if !found.eq_ignore_ascii_case(wanted) {
                problems.push(format!("{name}: from {offset:#x} on the SHA-256 is {found}, expected {wanted}"));
            }
        }
        problems
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn shown(bytes: &[u8]) -> String {
    match bytes {
        [] => "nothing".to_owned(),
        bytes if bytes.len() <= SHOWN => hexadecimal(bytes),
        bytes => format!("{}...", hexadecimal(bytes.get(..SHOWN).unwrap_or_default())),
    }
}

/// The bytes of the report's hexadecimal digits.
fn bytes(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2);
    pairs.filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use models::board::report::Slave;
    use models::board::{Description, DisplayReport};
    use models::frames::Counts;

    use super::*;

    const SUM: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    fn board() -> Board {
        let text = r#"{ "bitstream": { "video": { "display": { "width": 640, "height": 480, "format": "rgb888" } } },
            "i2c": { "i2c0": { "slave": [{ "model": "24c02", "address": 80, "label": "notes" }] } } }"#;
        let description: Description = serde_json::from_str(text).unwrap();
        Board::new(&description).unwrap()
    }

    /// What is wrong with a report in which LD9 has risen at 1, 3 and 5 ms and fallen 1 ms later each, and the slave's memory is "hello".
    fn problems(text: &str) -> Vec<String> {
        let expect: Expect = toml::from_str(text).unwrap();
        let mut history = History::default();
        (1..=6).for_each(|at| history.note(at * 1_000_000, at % 2 == 1));
        let slave = Slave { label: "notes".to_owned(), memory: hexadecimal(b"hello") };
        let report = Report {
            nets: BTreeMap::from([("LD9".to_owned(), history)]),
            slaves: BTreeMap::from([("i2c0/0x50".to_owned(), slave)]),
            display: Some(DisplayReport { steady: 3, blank: true, ..DisplayReport::default() }),
            frames: Some(models::frames::Report { spans: vec![Counts::default()], ..Default::default() }),
            ..Report::default()
        };
        let pictures = Pictures { shown: Path::new("nothing"), directory: Path::new(".") };
        expect.resolve(&mut board()).unwrap().problems(&report, pictures)
    }

    #[test]
    fn what_is_as_expected_is_no_problem() {
        for text in [
            "net = \"LD9\"\nedges = 6\nlevel = \"low\"\nperiod = \"2ms\"",
            "net = \"pin 7\"\nat-least = 6\nat-most = 6\nperiod = \"1ms\"\ntolerance = \"1ms\"",
            "net = \"PB1\"\nedges = 0\nlevel = \"low\"",
            "slave = \"i2c0/0x50\"\ntext = \"hello\"",
            "slave = \"i2c0/80\"\noffset = 4\nbytes = [0x6f]",
            &format!("slave = \"i2c0/notes\"\nsha256 = \"{SUM}\""),
            "display = { steady = 3, blank = true }",
            "frames = { cpu-loads = 0, cpu-stores = 0 }",
        ] {
            assert_eq!(problems(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn what_is_not_is_named() {
        for (text, problem) in [
            ("net = \"LD9\"\nedges = 5", "LD9: 6 edges, expected exactly 5"),
            ("net = \"LD9\"\nat-least = 7", "LD9: 6 edges, expected at least 7"),
            ("net = \"LD9\"\nat-most = 5", "LD9: 6 edges, expected at most 5"),
            ("net = \"LD9\"\nlevel = \"high\"", "LD9: is low at the end"),
            ("net = \"LD9\"\nperiod = \"1ms\"", "LD9: period 1 of 2 is 2ms, expected 1ms +- 0ns"),
            ("net = \"PB1\"\nperiod = \"1ms\"", "PB1: no two rising edges, expected one every 1ms"),
            ("slave = \"i2c0/0x50\"\ntext = \"help\"", "i2c0/0x50: at 0x3 there is 6c, expected 70"),
            ("slave = \"i2c0/0x50\"\noffset = 4\ntext = \"ox\"", "i2c0/0x50: at 0x5 there is nothing, expected 78"),
            (
                "display = { steady = 4 }",
                "the display: 3 frames in a row counted, expected 4; 0 of 0 incomplete, 0 mixed",
            ),
            ("frames = { cpu-loads = 1 }", "the frames: 0 bytes loaded by programs, expected 1"),
        ] {
            assert_eq!(problems(text), [problem], "{text}");
        }
        let wrong = format!("slave = \"i2c0/0x50\"\noffset = 1\nsha256 = \"{SUM}\"");
        assert!(problems(&wrong)[0].contains("the SHA-256 is"));
    }

    #[test]
    fn an_expectation_must_mean_something() {
        for text in [
            "",
            "net = \"LD9\"",
            "net = \"LD9\"\nslave = \"i2c0/0x50\"",
            "net = \"LD9\"\ntolerance = \"1ms\"\nedges = 1",
            "net = \"LD9\"\ntext = \"x\"",
            "net = \"NOWHERE\"\nedges = 1",
            "slave = \"i2c0/0x50\"\nedges = 1",
            "slave = \"i2c0/0x50\"\nsha256 = \"12\"",
            "slave = \"i2c0/0x51\"\ntext = \"x\"",
            "display = {}",
            "display = { steady = 3 }\nedges = 1",
            "display = { steady = 3 }\noffset = 1",
            "frames = { from = \"here\" }",
            "frames = { cpu-loads = 1 }\nlevel = \"low\"",
            "frames = { cpu-loads = 1 }\nnet = \"LD9\"",
        ] {
            let expect: Expect = toml::from_str(text).unwrap();
            assert!(expect.resolve(&mut board()).is_err(), "{text}");
        }
    }
}
