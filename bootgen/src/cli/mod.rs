//! The command line.

use std::ffi::OsString;
use std::io::{IsTerminal as _, stderr};
use std::path::Path;
use std::process::ExitCode;

use bootgen::build::Warning;
use bootgen::job::{Job, Listener};
use indicatif::{ProgressBar, ProgressStyle};

mod check;
mod modern;
mod vendor;

/// Images from this size on have a progress bar.
const LARGE: u64 = 16 << 20;

/// Follows the vendor's tool where it is wrong; understood anywhere on the command line.
const COMPAT: &str = "--compat";

/// Runs the command; `arguments` begin with its name.
pub(crate) fn main(mut arguments: Vec<OsString>) -> ExitCode {
    let count = arguments.len();
    arguments.retain(|argument| argument != COMPAT);
    let compat = arguments.len() != count;
    if arguments.len() == 1 {
        // As with the vendor's tool, a call without arguments asks for help and is no mistake.
        arguments.push("--help".into());
    }
    let is_vendors = |argument: &OsString| {
        let text = argument.to_string_lossy();
        text.starts_with('-') && !text.starts_with("--") && text.len() > 2
            || text == "-w"
            || text == "-o"
            || text == "-p"
    };
    match arguments.get(1) {
        Some(first) if is_vendors(first) => vendor::run(&arguments, compat),
        _ => modern::run(&arguments, compat),
    }
}

/// Does a job and reports it as the vendor's tool does.
fn run(job: &Job) -> ExitCode {
    match job.run(&mut Console { bar: ProgressBar::hidden() }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error.to_string()),
    }
}

fn fail(message: &str) -> ExitCode {
    eprintln!("[ERROR]  : {message}");
    ExitCode::FAILURE
}

struct Console {
    bar: ProgressBar,
}

impl Listener for Console {
    fn begin(&mut self, name: &Path, length: u64) {
        if length >= LARGE && stderr().is_terminal() {
            let style = ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec}");
            self.bar = ProgressBar::new(length).with_message(name.display().to_string());
            if let Ok(style) = style {
                self.bar.set_style(style);
            }
        }
    }

    fn progress(&mut self, bytes: u64) {
        self.bar.inc(bytes);
    }

    fn end(&mut self) {
        self.bar.finish_and_clear();
    }

    fn warn(&mut self, warning: &Warning) {
        self.bar.suspend(|| eprintln!("[WARNING]: {warning}"));
    }
}
