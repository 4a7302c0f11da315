//! Characters, words and expressions: what BIFs and register initialisation files have in common.

use std::ops::Range;

use super::error::Problem;

/// A position in a text.
#[derive(Clone)]
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

/// A piece of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    /// The word itself, without quotes.
    pub text: String,
    /// Where it is, in bytes.
    pub span: Range<usize>,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        // Editors on Windows put a byte order mark in front.
        Self { text, at: if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 } }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Goes past blanks and comments.
    ///
    /// # Errors
    ///
    /// When a comment has no end.
    pub(super) fn skip(&mut self) -> Result<(), Problem> {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            if trimmed.starts_with("//") {
                self.at += trimmed.find('\n').unwrap_or(trimmed.len());
            } else if trimmed.starts_with("/*") {
                let Some(end) = trimmed.find("*/") else {
                    return Err(Problem::new(self.at..self.at + 2, "this comment has no end").with_help("add `*/`"));
                };
                self.at += end + 2;
            } else {
                return Ok(());
            }
        }
    }

    /// The next character that is neither blank nor comment.
    pub(super) fn peek(&mut self) -> Result<Option<char>, Problem> {
        self.skip()?;
        Ok(self.rest().chars().next())
    }

    /// Goes past `expected` if it is next.
    pub(super) fn accept(&mut self, expected: &str) -> Result<bool, Problem> {
        self.skip()?;
        let found = self.rest().starts_with(expected);
        if found {
            self.at += expected.len();
        }
        Ok(found)
    }

    /// Goes past `expected`.
    ///
    /// # Errors
    ///
    /// When something else is next.
    pub(super) fn expect(&mut self, expected: &str, why: &str) -> Result<(), Problem> {
        if self.accept(expected)? { Ok(()) } else { Err(self.unexpected(&format!("`{expected}` {why}"))) }
    }

    /// The error that something else than `expected` is next.
    pub(super) fn unexpected(&self, expected: &str) -> Problem {
        let rest = self.rest();
        let found = match rest.chars().next() {
            None => "the text ends here".to_owned(),
            Some(_) => {
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                let word = rest.get(..end).filter(|word| !word.is_empty());
                format!("found `{}`", word.or(rest.get(..rest.ceil_char_boundary(1))).unwrap_or_default())
            }
        };
        let length = rest.chars().next().map_or(0, char::len_utf8);
        Problem::new(self.at..self.at + length, format!("expected {expected}, {found}"))
    }

    /// Where the scanner is.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// An attribute's or group's name: letters, digits, underscores and hyphens.
    pub(super) fn name(&mut self, what: &str) -> Result<Word, Problem> {
        self.skip()?;
        let word = self.word_of(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
        if word.text.is_empty() { Err(self.unexpected(what)) } else { Ok(word) }
    }

    /// A file name, or one of an attribute's fixed values: anything in quotes, or up to a blank or one of `,;[]{}`.
    pub(super) fn value(&mut self, what: &str) -> Result<Word, Problem> {
        self.skip()?;
        let start = self.at;
        if let Some(quoted) = self.rest().strip_prefix('"') {
            let Some(end) =
                quoted.find(['"', '\n']).filter(|&end| quoted.get(end..).unwrap_or_default().starts_with('"'))
            else {
                return Err(Problem::new(start..start + 1, "this quoted name does not end on its line"));
            };
            self.at += end + 2;
            let text = quoted.get(..end).unwrap_or_default().to_owned();
            return Ok(Word { text, span: start..self.at });
        }
        let word = self.word_of(|c| !c.is_whitespace() && !matches!(c, ',' | ';' | '[' | ']' | '{' | '}' | '"' | '='));
        if word.text.is_empty() { Err(self.unexpected(what)) } else { Ok(word) }
    }

    fn word_of(&mut self, belongs: impl Fn(char) -> bool) -> Word {
        let rest = self.rest();
        let text = rest.get(..rest.find(|c| !belongs(c)).unwrap_or(rest.len())).unwrap_or_default();
        let span = self.at..self.at + text.len();
        self.at = span.end;
        Word { text: text.to_owned(), span }
    }

    /// An expression over 64-bit numbers, which wrap around.
    pub(super) fn expression(&mut self) -> Result<u64, Problem> {
        self.binary(0, 0)
    }

    /// Operators by how tightly they bind, as in C.
    fn binary(&mut self, level: usize, depth: usize) -> Result<u64, Problem> {
        const LEVELS: &[&[&str]] = &[&["|"], &["^"], &["&"], &["<<", ">>"], &["+", "-"], &["*", "/", "%"]];
        let Some(operators) = LEVELS.get(level) else {
            return self.unary(depth);
        };
        let mut left = self.binary(level + 1, depth)?;
        'operators: loop {
            self.skip()?;
            let start = self.at;
            for operator in *operators {
                if self.accept(operator)? {
                    let right = self.binary(level + 1, depth)?;
                    let span = start..start + operator.len();
                    left = apply(operator, left, right).ok_or_else(|| Problem::new(span, "this divides by zero"))?;
                    continue 'operators;
                }
            }
            return Ok(left);
        }
    }

    fn unary(&mut self, depth: usize) -> Result<u64, Problem> {
        /// Deeper nesting is a mistake, and must not exhaust the stack.
        const DEEPEST: usize = 64;
        self.skip()?;
        if depth > DEEPEST {
            return Err(Problem::new(self.at..self.at, "this expression is nested too deeply"));
        }
        if self.accept("~")? {
            return Ok(!self.unary(depth + 1)?);
        }
        if self.accept("-")? {
            return Ok(self.unary(depth + 1)?.wrapping_neg());
        }
        if self.accept("(")? {
            let value = self.binary(0, depth + 1)?;
            self.expect(")", "to close the parenthesis")?;
            return Ok(value);
        }
        let word = self.word_of(|c| c.is_ascii_alphanumeric() || c == '_');
        if word.text.is_empty() {
            return Err(self.unexpected("a number"));
        }
        let digits = word.text.replace('_', "");
        let hexadecimal = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
        let number = match hexadecimal {
            Some(digits) => u64::from_str_radix(digits, 16),
            None => digits.parse(),
        };
        number.map_err(|error| {
            let message = if matches!(error.kind(), std::num::IntErrorKind::PosOverflow) {
                format!("`{}` does not fit 64 bits", word.text)
            } else {
                format!("`{}` is no number", word.text)
            };
            Problem::new(word.span, message).with_help("numbers are decimal, or hexadecimal with `0x` in front")
        })
    }
}

fn apply(operator: &str, left: u64, right: u64) -> Option<u64> {
    Some(match operator {
        "|" => left | right,
        "^" => left ^ right,
        "&" => left & right,
        "<<" => u32::try_from(right).ok().and_then(|by| left.checked_shl(by)).unwrap_or(0),
        ">>" => u32::try_from(right).ok().and_then(|by| left.checked_shr(by)).unwrap_or(0),
        "+" => left.wrapping_add(right),
        "-" => left.wrapping_sub(right),
        "*" => left.wrapping_mul(right),
        "/" => left.checked_div(right)?,
        _ => left.checked_rem(right)?,
    })
}
