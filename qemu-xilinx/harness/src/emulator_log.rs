//! The emulator's log of missing devices and guest errors, and what in it is explained.
//!
//! The stock emulator reads zero from hardware that it lacks and drops what is written there; nothing
//! faults. Its log (`-d unimp,guest_errors`) is the only sign, so every line must either be
//! gone or be explained by the allow-list: a TOML file of `[[allow]]` tables with a `pattern` and
//! the `reason` why the line is harmless.

use std::fmt;
use std::path::Path;

use serde::Deserialize;

use crate::judge::Pattern;

/// Most unexplained lines that are kept; the rest is only counted by the log file itself.
const KEPT: usize = 20;

/// Lines of the emulator's log that are explained.
#[derive(Clone, Debug, Default)]
pub struct AllowList {
    patterns: Vec<Pattern>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    allow: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    pattern: String,
    reason: String,
}

/// A line that nobody has explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unexplained {
    /// The line.
    pub line: String,
    /// How often it occurred.
    pub times: u32,
}

impl fmt::Display for Unexplained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unexplained in the emulator's log: {}", self.line)?;
        if self.times > 1 {
            write!(f, " ({} times)", self.times)?;
        }
        Ok(())
    }
}

/// Why an allow-list is refused.
#[derive(Debug, thiserror::Error)]
pub enum AllowListError {
    /// It is not the TOML that is expected.
    #[error("{0}")]
    Toml(#[from] toml::de::Error),
    /// An entry would allow everything or explains nothing.
    #[error("entry {0} has an empty pattern or reason")]
    Empty(usize),
}

impl AllowList {
    /// Reads the text of an allow-list.
    ///
    /// # Errors
    ///
    /// [`AllowListError`] when it is no such TOML or an entry lacks pattern or reason.
    pub fn parse(text: &str) -> Result<Self, AllowListError> {
        let document: Document = toml::from_str(text)?;
        let mut patterns = Vec::new();
        for (index, entry) in document.allow.into_iter().enumerate() {
            if entry.pattern.trim().is_empty() || entry.reason.trim().is_empty() {
                return Err(AllowListError::Empty(index + 1));
            }
            patterns.push(Pattern::new(entry.pattern));
        }
        Ok(Self { patterns })
    }

    /// Reads the emulator's log and returns the lines that no entry explains, repeated ones once.
    pub(crate) fn check(&self, log: &Path) -> std::io::Result<Vec<Unexplained>> {
        match std::fs::read(log) {
            Ok(bytes) => Ok(self.unexplained(&String::from_utf8_lossy(&bytes))),
            // The emulator creates the file with the first line.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    fn unexplained(&self, log: &str) -> Vec<Unexplained> {
        let mut found: Vec<Unexplained> = Vec::new();
        for line in log.lines().filter(|line| !line.trim().is_empty()) {
            if self.patterns.iter().any(|pattern| pattern.matches(line)) {
                continue;
            }
            if let Some(known) = found.iter_mut().find(|known| known.line == line) {
                known.times = known.times.saturating_add(1);
            } else if found.len() < KEPT {
                found.push(Unexplained { line: line.to_owned(), times: 1 });
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "[[allow]]\npattern = \"^known\"\nreason = \"because\"\n";

    #[test]
    fn explained_lines_vanish_and_others_are_counted() {
        let list = AllowList::parse(LIST).unwrap();
        let found = list.unexplained("known 1\nnew\n\nnot known\nnew\n");
        assert_eq!(
            found,
            [Unexplained { line: "new".into(), times: 2 }, Unexplained { line: "not known".into(), times: 1 }]
        );
        assert_eq!(found[0].to_string(), "unexplained in the emulator's log: new (2 times)");
    }

    #[test]
    fn an_entry_needs_pattern_and_reason() {
        assert!(AllowList::parse("[[allow]]\npattern = \"x\"\n").is_err());
        assert!(AllowList::parse("[[allow]]\npattern = \" \"\nreason = \"y\"\n").is_err());
        assert!(AllowList::parse("[[alow]]\n").is_err());
    }

    #[test]
    fn the_shipped_list_is_well_formed() {
        AllowList::parse(include_str!("../allow.toml")).unwrap();
    }
}
