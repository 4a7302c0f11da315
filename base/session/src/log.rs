//! The Log session: text output.
//!
//! A line is sent in one or more pieces. The server puts the client's label before each line, and shows text as [`Printable`], so nobody
//! can write in another's name.

use core::fmt::{self, Write as _};

use crate::protocol;

protocol! {
    /// Requests to a log server.
    pub enum LogRequest {
        /// Writes text. Text: what.
        Write = 1 {
            /// 1: the line ends here.
            end,
        },
    }
}

/// Text with a dot in the place of each control character but the tabulator, so that it stays in its line.
#[derive(Clone, Copy, Debug)]
pub struct Printable<'a>(pub &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |character: char| if character.is_control() && character != '\t' { '.' } else { character };
        self.0.chars().try_for_each(|character| f.write_char(shown(character)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn text_stays_in_its_line() {
        let text = "one\r\n[init -> sd] two\t\u{1b}[2J\u{85}";
        assert_eq!(Printable(text).to_string(), "one..[init -> sd] two\t.[2J.");
    }
}
