//! Long steps, shown while they run: a spinner on a terminal, a plain line elsewhere.

use std::fmt::Display;
use std::io::{BufRead, BufReader, IsTerminal};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use nix::sys::signal::Signal;

/// Steps that took longer leave a line on the terminal.
const WORTH_A_LINE: Duration = Duration::from_secs(2);

/// Signals by which a user ends a command.
const INTERRUPTS: [Signal; 2] = [Signal::SIGINT, Signal::SIGTERM];

/// The spinners, one below the other: steps may be under way side by side.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Prints lines, and the spinners stay below them.
pub(crate) fn say(lines: impl Display) {
    BARS.suspend(|| println!("{lines}"));
}

/// A step that is under way; ends when dropped.
pub(crate) struct Step {
    bar: ProgressBar,
    what: String,
    started: Instant,
}

impl Step {
    /// Begins a step; `what` says what is being done ("building the kernel").
    pub(crate) fn begin(what: impl Into<String>) -> Self {
        let what = what.into();
        let bar = if std::io::stderr().is_terminal() {
            let bar = BARS.add(ProgressBar::new_spinner());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix} [{elapsed}] {wide_msg:.dim}") {
                bar.set_style(style);
            }
            bar.set_prefix(what.clone());
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        } else {
            eprintln!("zelkova: {what}");
            ProgressBar::hidden()
        };
        Self { bar, what, started: Instant::now() }
    }

    /// Says what the step is at.
    pub(crate) fn at(&self, detail: impl Into<String>) {
        self.bar.set_message(detail.into());
    }

    /// Runs `command` as this step and shows the last line that it printed.
    ///
    /// # Errors
    ///
    /// [`Failed`] with everything that the command printed, if it cannot be started or fails.
    pub(crate) fn run(&self, command: &mut Command) -> Result<String, Failed> {
        let shown = shown(command);
        let failed = |why: String, output: String, signal| Failed { command: shown.clone(), why, output, signal };
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| failed(error.to_string(), String::new(), None))?;
        let output = Arc::new(Mutex::new(String::new()));
        let mut readers = Vec::new();
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        if let Some(stdout) = stdout {
            readers.push(self.follow(stdout, &output));
        }
        if let Some(stderr) = stderr {
            readers.push(self.follow(stderr, &output));
        }
        let status = child.wait().map_err(|error| failed(error.to_string(), String::new(), None))?;
        for reader in readers {
            // A reader does not panic; if it did, its part of the output is missing, no more.
            let _ = reader.join();
        }
        let output = output.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if status.success() {
            return Ok(output);
        }
        Err(failed(describe(status), without_progress(&output), status.signal()))
    }

    fn follow(&self, pipe: impl std::io::Read + Send + 'static, output: &Arc<Mutex<String>>) -> thread::JoinHandle<()> {
        let (bar, output) = (self.bar.clone(), Arc::clone(output));
        thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n') {
                let Ok(line) = line else { break };
                let line = String::from_utf8_lossy(&line).into_owned();
                bar.set_message(line.trim().to_owned());
                let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
                output.push_str(&line);
                output.push('\n');
            }
        })
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        let terminal = !self.bar.is_hidden();
        self.bar.finish_and_clear();
        let took = self.started.elapsed();
        if terminal && took >= WORTH_A_LINE {
            BARS.suspend(|| eprintln!("  {} ({:.1} s)", self.what, took.as_secs_f64()));
        }
    }
}

/// A command that did not succeed.
#[derive(Debug, thiserror::Error)]
#[error("`{command}`: {why}\n{output}")]
pub(crate) struct Failed {
    /// The command line.
    pub(crate) command: String,
    /// How it ended.
    pub(crate) why: String,
    /// What it printed, both streams as they came.
    pub(crate) output: String,
    /// The signal by which it ended, if it did.
    signal: Option<i32>,
}

impl Failed {
    /// Whether the user ended it: Ctrl-C at a terminal is for the command as well as for this program.
    pub(crate) fn is_interrupted(&self) -> bool {
        INTERRUPTS.iter().any(|&signal| self.signal == Some(signal as i32))
    }
}

/// What a command printed less the lines by which Cargo shows its progress (a verb in a column of twelve), among which
/// the error would be hard to find.
fn without_progress(output: &str) -> String {
    const VERBS: [&str; 8] =
        ["Compiling", "Checking", "Documenting", "Downloading", "Downloaded", "Updating", "Locking", "Blocking"];
    let is_progress =
        |line: &str| line.starts_with(' ') && line.split_whitespace().next().is_some_and(|verb| VERBS.contains(&verb));
    output.lines().filter(|line| !is_progress(line)).flat_map(|line| [line, "\n"]).collect()
}

/// The command line as a person would type it.
fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

fn describe(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("failed with exit code {code}"),
        None => format!("ended by {status}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_command_shows_what_it_printed() {
        let step = Step::begin("testing");
        let mut command = Command::new("sh");
        command.args(["-c", "echo out; echo err >&2; exit 3"]);
        let failed = step.run(&mut command).unwrap_err();
        assert_eq!(failed.why, "failed with exit code 3");
        assert!(failed.output.contains("out\n") && failed.output.contains("err\n"), "{failed}");
        let failed = step.run(&mut Command::new("/no/such/program")).unwrap_err();
        assert!(failed.to_string().contains("/no/such/program"), "{failed}");
    }

    #[test]
    fn a_command_that_the_user_ends_is_told_from_one_that_fails() {
        let ended = |signal| {
            let script = format!("kill -{signal} $$");
            Step::begin("testing").run(Command::new("sh").args(["-c", &script])).unwrap_err().is_interrupted()
        };
        assert!(ended("INT") && ended("TERM") && !ended("SEGV"));
    }

    #[test]
    fn progress_does_not_hide_an_error() {
        let output = "   Compiling a v1.0\nerror: Compiling is hard\n Downloading crates ...\n  --> a.rs:1:1\n";
        assert_eq!(without_progress(output), "error: Compiling is hard\n  --> a.rs:1:1\n");
    }

    #[test]
    fn a_command_that_succeeds_hands_back_its_output() {
        let step = Step::begin("testing");
        assert_eq!(step.run(Command::new("echo").arg("hello")).unwrap(), "hello\n");
    }
}
