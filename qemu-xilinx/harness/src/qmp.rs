//! The emulator's control socket (QMP, the QEMU Machine Protocol).
//!
//! QMP is JSON, one object a line. The server greets, the client must send `qmp_capabilities`
//! before anything else, and every command gets a `return` or `error` object; events may come in
//! between. Source: "QEMU Machine Protocol Specification" in QEMU's documentation.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

/// Time that the emulator has for an answer.
const ANSWER: Duration = Duration::from_secs(3);

/// Asks the emulator that listens on `socket` to quit in an orderly way.
///
/// # Errors
///
/// Any failure to reach it or to get its consent in time; the caller then kills it.
pub(crate) fn quit(socket: &Path) -> std::io::Result<()> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.set_write_timeout(Some(ANSWER))?;
    let mut answers = BufReader::new(stream.try_clone()?);
    let mut greeting = String::new();
    answers.read_line(&mut greeting)?;
    for command in ["qmp_capabilities", "quit"] {
        writeln!(stream, "{}", json!({ "execute": command }))?;
        wait_for_return(&mut answers)?;
    }
    Ok(())
}

fn wait_for_return(answers: &mut impl BufRead) -> std::io::Result<()> {
    loop {
        let mut line = String::new();
        if answers.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let answer: Value = serde_json::from_str(&line)?;
        if answer.get("return").is_some() {
            return Ok(());
        }
        if let Some(error) = answer.get("error") {
            return Err(std::io::Error::other(error.to_string()));
        }
    }
}
