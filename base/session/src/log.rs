//! The Log session: text output.
//!
//! A line is sent in one or more pieces. The server puts the client's label before each line, so nobody can write in another's name.

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
