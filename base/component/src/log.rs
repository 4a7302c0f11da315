//! Log output of a component.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU32, Ordering};

use session::log::LogRequest;
use session::message::TEXT;
use session::{Error, Service};

use crate::cap::call;
use crate::env::{Open, open};
use crate::platform::Domain;

const UNKNOWN: u32 = 0;
const CORE: u32 = u32::MAX;
const NOWHERE: u32 = u32::MAX - 1;

/// Slot of the log session, or where else the output goes.
static TARGET: AtomicU32 = AtomicU32::new(UNKNOWN);

fn target() -> u32 {
    let target = TARGET.load(Ordering::Relaxed);
    if target != UNKNOWN {
        return target;
    }
    // Whatever is logged meanwhile is lost rather than recursive.
    TARGET.store(NOWHERE, Ordering::Relaxed);
    let target = match open(&Open { caps: 2, ..Open::new(Service::Log) }) {
        Ok(mut session) => session.capability.take().map_or(CORE, |capability| {
            let slot = capability.slot();
            // The session lasts as long as the component.
            core::mem::forget(capability);
            slot
        }),
        Err(Error::Denied) => NOWHERE,
        Err(_) => UNKNOWN,
    };
    TARGET.store(target, Ordering::Relaxed);
    target
}

/// Sends the log to core without asking the parent: for init, which has none.
pub fn use_core() {
    TARGET.store(CORE, Ordering::Relaxed);
}

struct Line {
    text: heapless::String<TEXT>,
}

impl Line {
    fn flush(&mut self, end: bool) {
        match target() {
            UNKNOWN | NOWHERE => {}
            CORE => {
                let _ = Domain::own().log(&self.text);
            }
            slot => {
                let mut message = LogRequest::Write { end: end.into() }.encode();
                message.push_text(&self.text);
                let _ = call(slot, &message, &[]);
            }
        }
        self.text.clear();
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            if character == '\n' {
                self.flush(true);
                continue;
            }
            if self.text.push(character).is_err() {
                self.flush(false);
                let _ = self.text.push(character);
            }
        }
        Ok(())
    }
}

/// Writes a line, or several if the text has line ends.
pub fn line(arguments: fmt::Arguments<'_>) {
    let mut line = Line { text: heapless::String::new() };
    let _ = line.write_fmt(arguments);
    line.flush(true);
}

/// Says what a program cannot do, and why. The error is for its end: what went wrong is known to the log alone.
pub fn failed(what: &str, error: &dyn fmt::Debug) -> Error {
    line(format_args!("{what}: {error:?}"));
    Error::Device
}

/// Writes one line to the log, with `format!` arguments. A component without a `Log` route writes nowhere.
#[macro_export]
macro_rules! log {
    ($($argument:tt)*) => { $crate::log::line(format_args!($($argument)*)) };
}
