//! How a line of text is recognised.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Text to be found in a line.
///
/// The text matches anywhere in the line. A leading `^` ties it to the line's start, a trailing `$`
/// to its end; there is no other syntax.
///
/// ```
/// use zelkova_models::board::Pattern;
/// assert!(Pattern::new("untyped is back").matches("[core] all untyped is back"));
/// assert!(!Pattern::new("^untyped").matches("[core] all untyped is back"));
/// assert!(Pattern::new("back$").matches("[core] all untyped is back"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pattern {
    source: String,
}

impl Pattern {
    /// The pattern written as `source`.
    pub fn new(source: impl Into<String>) -> Self {
        Self { source: source.into() }
    }

    /// Whether `line` (without its line end) matches.
    pub fn matches(&self, line: &str) -> bool {
        let text = self.source.as_str();
        let (start, text) = match text.strip_prefix('^') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (end, text) = match text.strip_suffix('$') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        match (start, end) {
            (true, true) => line == text,
            (true, false) => line.starts_with(text),
            (false, true) => line.ends_with(text),
            (false, false) => line.contains(text),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}
