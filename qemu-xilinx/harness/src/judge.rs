//! The verdict on a run, from the lines that the board prints.

use std::fmt;
use std::time::Duration;

pub use models::board::Pattern;

/// Console lines that mean failure in every run, whatever the scenario says.
///
/// They are the last words of the kernel and of a Rust program that gave up.
pub const ALWAYS_FAILURE: [&str; 4] = ["seL4 called fail at", "seL4 failed assertion", "halting...", "panicked at"];

/// A line that must have been seen when the run succeeds.
#[derive(Clone, Debug)]
pub struct Expectation {
    /// What to look for.
    pub pattern: Pattern,
    /// How often it must occur; `None` means at least once.
    pub times: Option<u32>,
}

/// What a run is judged by.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The line that ends the run with success.
    pub success: Pattern,
    /// Lines that end the run with failure, besides [`ALWAYS_FAILURE`].
    pub failure: Vec<Pattern>,
    /// Lines that must have been seen by the time of success.
    pub expect: Vec<Expectation>,
    /// Time from the emulator's start until the run is given up; `None` waits for ever (debugging).
    pub deadline: Option<Duration>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The success line was seen, and every expected line before it.
    Success,
    /// A failure line was seen.
    Failure {
        /// The console line.
        line: String,
    },
    /// The success line was seen, but something is wrong with the result.
    Wrong {
        /// What is wrong, one sentence each.
        problems: Vec<String>,
    },
    /// Neither success nor failure within the deadline.
    Deadline {
        /// The deadline.
        after: Duration,
    },
    /// The emulator ended before there was a verdict.
    EmulatorEnded {
        /// Its exit status and what it wrote to its standard error.
        how: String,
    },
    /// The user interrupted the run.
    Interrupted,
}

impl Verdict {
    /// The exit code of the command line: 0 success, 1 failure or wrong result, 2 deadline.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure { .. } | Self::Wrong { .. } | Self::EmulatorEnded { .. } => 1,
            Self::Deadline { .. } => 2,
            Self::Interrupted => 130,
        }
    }

    /// Adds `problems` found after the run: a success becomes a wrong result.
    pub fn spoil(&mut self, mut problems: Vec<String>) {
        match self {
            _ if problems.is_empty() => {}
            Self::Success => *self = Self::Wrong { problems },
            Self::Wrong { problems: known } => known.append(&mut problems),
            Self::Failure { .. } | Self::Deadline { .. } | Self::EmulatorEnded { .. } | Self::Interrupted => {}
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Success => write!(f, "success"),
            Self::Failure { line } => write!(f, "failure line: {line}"),
            Self::Wrong { problems } => {
                write!(f, "wrong result")?;
                for problem in problems {
                    write!(f, "\n  {problem}")?;
                }
                Ok(())
            }
            Self::Deadline { after } => {
                write!(f, "neither success nor failure within {} s", after.as_secs())
            }
            Self::EmulatorEnded { how } => write!(f, "the emulator ended by itself: {how}"),
            Self::Interrupted => write!(f, "interrupted"),
        }
    }
}

/// Applies [`Rules`] to one line after the other.
#[derive(Debug)]
pub struct Judge {
    rules: Rules,
    seen: Vec<u32>,
}

impl Judge {
    /// A judge that has seen nothing yet.
    pub fn new(rules: Rules) -> Self {
        let seen = vec![0; rules.expect.len()];
        Self { rules, seen }
    }

    /// The rules.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Takes the next console line; the first verdict ends the run.
    pub fn line(&mut self, line: &str) -> Option<Verdict> {
        for (expectation, seen) in self.rules.expect.iter().zip(&mut self.seen) {
            if expectation.pattern.matches(line) {
                *seen = seen.saturating_add(1);
            }
        }
        if self.rules.failure.iter().any(|pattern| pattern.matches(line))
            || ALWAYS_FAILURE.iter().any(|text| line.contains(text))
        {
            return Some(Verdict::Failure { line: line.to_owned() });
        }
        if !self.rules.success.matches(line) {
            return None;
        }
        let mut verdict = Verdict::Success;
        verdict.spoil(self.missing());
        Some(verdict)
    }

    fn missing(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (expectation, &seen) in self.rules.expect.iter().zip(&self.seen) {
            let pattern = &expectation.pattern;
            match expectation.times {
                None if seen == 0 => {
                    problems.push(format!("expected a line with `{pattern}`, saw none"));
                }
                Some(times) if seen != times => {
                    problems.push(format!("expected {times} lines with `{pattern}`, saw {seen}"));
                }
                None | Some(_) => {}
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        Rules {
            success: Pattern::new("^done$"),
            failure: vec![Pattern::new("error:")],
            expect: vec![
                Expectation { pattern: Pattern::new("hello"), times: None },
                Expectation { pattern: Pattern::new("twice"), times: Some(2) },
            ],
            deadline: Some(Duration::from_secs(1)),
        }
    }

    #[test]
    fn success_needs_every_expected_line() {
        let mut judge = Judge::new(rules());
        for line in ["hello", "twice", "not done", "twice"] {
            assert_eq!(judge.line(line), None);
        }
        assert_eq!(judge.line("done"), Some(Verdict::Success));

        let mut judge = Judge::new(rules());
        assert_eq!(judge.line("twice"), None);
        let Some(Verdict::Wrong { problems }) = judge.line("done") else { panic!("not wrong") };
        assert_eq!(problems.len(), 2, "{problems:?}");
    }

    #[test]
    fn failure_lines_end_the_run() {
        let mut judge = Judge::new(rules());
        let line = "[init -> sd] error: no card".to_owned();
        assert_eq!(judge.line(&line), Some(Verdict::Failure { line }));
        let line = "core panicked at src/main.rs:1".to_owned();
        assert_eq!(judge.line(&line), Some(Verdict::Failure { line }));
    }

    #[test]
    fn exit_codes_are_those_of_the_command_line() {
        assert_eq!(Verdict::Success.exit_code(), 0);
        assert_eq!(Verdict::Failure { line: String::new() }.exit_code(), 1);
        assert_eq!(Verdict::Wrong { problems: vec![] }.exit_code(), 1);
        assert_eq!(Verdict::Deadline { after: Duration::from_secs(1) }.exit_code(), 2);
    }

    #[test]
    fn a_late_problem_spoils_only_a_success() {
        let mut verdict = Verdict::Success;
        verdict.spoil(vec![]);
        assert_eq!(verdict, Verdict::Success);
        verdict.spoil(vec!["a".into()]);
        verdict.spoil(vec!["b".into()]);
        assert_eq!(verdict, Verdict::Wrong { problems: vec!["a".into(), "b".into()] });
        let mut verdict = Verdict::Deadline { after: Duration::from_secs(1) };
        verdict.spoil(vec!["c".into()]);
        assert_eq!(verdict.exit_code(), 2);
    }
}
