//! The emulator process: start, console, deadline, end.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::str::FromStr;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use models::board::Description;
use serde::de::DeserializeOwned;

use crate::emulator_log::{AllowList, Unexplained};
use crate::judge::{Judge, Rules, Verdict};
use crate::measure::Report;
use crate::qmp;

/// Longest console line in bytes; a longer one is cut into pieces of this size.
const LINE_LIMIT: usize = 16 * 1024;
/// How often the run looks whether the user interrupted it.
const POLL: Duration = Duration::from_millis(100);
/// How long the board may go on talking after a failure: what it says about a fault comes after the line that says that there was one.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Silence that ends its last words.
const SILENCE: Duration = Duration::from_millis(300);
/// Time between a consented quit and SIGKILL.
const QUIT: Duration = Duration::from_secs(5);

/// Everything that can go wrong around the emulator process itself.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The emulator could not be started.
    #[error("cannot start {}: {source} (is it installed? `cargo xtask doctor` tells)", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file of the run could not be made or read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The process could not be watched.
    #[error("cannot watch the emulator: {0}")]
    Watch(std::io::Error),
    /// The plugin's report is not what the harness reads.
    #[error("the plugin's report {} is not readable: {source}", path.display())]
    Report {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

/// What the emulator loads.
#[derive(Clone, Debug)]
pub struct Plugin {
    /// The shared object.
    pub library: PathBuf,
    /// Where the instruction counts go, if they are wanted.
    pub counts: Option<PathBuf>,
    /// The emulated part of the board; the stock emulator lacks it.
    pub devices: Option<Devices>,
}

/// The emulated part of the board.
#[derive(Clone, Debug)]
pub struct Devices {
    /// What it is made of, and what happens to it.
    pub description: Description,
    /// Where the description is put for the plugin.
    pub file: PathBuf,
    /// Where the plugin puts what it knows at the end.
    pub report: PathBuf,
    /// Where the plugin puts what is on the display at the end, or was last (PNG), if that is wanted.
    pub screenshot: Option<PathBuf>,
    /// A Unix socket that takes commands, if one is wanted.
    pub control: Option<PathBuf>,
    /// Where the display can be watched meanwhile, if anywhere. The board must have one.
    pub watch: Option<Watch>,
}

/// Where the display can be watched while the board runs.
///
/// As text: `window`; `vnc`, which is `vnc=127.0.0.1:0`; `vnc=HOST:N`; `vnc=unix:PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Watch {
    /// In a window of the emulator (GTK; Debian has it in the package `qemu-system-gui`). Closing it ends the emulator.
    Window,
    /// Through a VNC server of the emulator, without a password: `HOST:N` for the TCP port 5900 + N, or `unix:PATH` for a Unix socket.
    Vnc(String),
}

/// Not where a display can be watched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is none of `window`, `vnc`, `vnc=HOST:N` for the TCP port 5900 + N, and `vnc=unix:PATH`")]
pub struct WatchError(String);

/// The highest display number whose port exists.
const LAST_DISPLAY: u16 = u16::MAX - 5900;

impl FromStr for Watch {
    type Err = WatchError;

    fn from_str(text: &str) -> Result<Self, WatchError> {
        let wrong = || WatchError(text.to_owned());
        match text {
            "window" => return Ok(Self::Window),
            "vnc" => return Ok(Self::Vnc("127.0.0.1:0".to_owned())),
            _ => {}
        }
        let address = text.strip_prefix("vnc=").ok_or_else(wrong)?;
        let (host, rest) = address.rsplit_once(':').ok_or_else(wrong)?;
        let is_right = match address.strip_prefix("unix:") {
            Some(path) => !path.is_empty(),
            None => !host.is_empty() && rest.parse::<u16>().is_ok_and(|number| number <= LAST_DISPLAY),
        };
        if is_right { Ok(Self::Vnc(address.to_owned())) } else { Err(wrong()) }
    }
}

impl Watch {
    /// The emulator's `-display` option.
    fn option(watch: Option<&Self>) -> std::ffi::OsString {
        match watch {
            None => "none".into(),
            Some(Self::Window) => "gtk".into(),
            Some(Self::Vnc(address)) => option("vnc=", Path::new(address), ""),
        }
    }
}

/// What the emulator starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// This ELF file, loaded by physical address.
    Program(PathBuf),
    /// What the boot ROM finds on the card; the plugin's devices have to be there, and start from the card, too.
    Card,
}

/// What the board is made of for one run.
#[derive(Clone, Debug)]
pub struct Board {
    /// The emulator, a path or a name to be found on `PATH`.
    pub qemu: PathBuf,
    /// What it starts.
    pub start: Start,
    /// The SD card's image in slot 0; its size is a power of two unless the board starts from it.
    pub card: Option<PathBuf>,
    /// What the emulator loads, if anything.
    pub plugin: Option<Plugin>,
    /// The `-icount` option, if the virtual clock is to follow the instructions.
    pub icount: Option<String>,
    /// Stop before the first instruction and wait for a debugger on TCP port 1234.
    pub debugger: bool,
    /// Where the emulator's own log goes (missing devices, guest errors).
    pub log: PathBuf,
}

/// What is known after a run.
#[derive(Debug)]
pub struct Outcome {
    /// How it ended.
    pub verdict: Verdict,
    /// Every console line, also those after the verdict.
    pub console: Vec<String>,
    /// Lines of the emulator's log that the allow-list does not explain.
    pub unexplained: Vec<Unexplained>,
    /// The instruction counts, if they were wanted and the emulator ended in an orderly way.
    pub report: Option<Report>,
    /// What is known of the emulated part of the board, likewise.
    pub devices: Option<models::board::Report>,
}

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static HANDLER: Once = Once::new();

/// Makes Ctrl-C and SIGTERM end the run in an orderly way, so that no emulator is left behind.
fn catch_interrupts() {
    HANDLER.call_once(|| {
        // Fails only when the program has a handler of its own; then that one is in charge.
        let _ = ctrlc::set_handler(|| INTERRUPTED.store(true, Ordering::Relaxed));
    });
}

impl Board {
    /// The emulator's command line.
    ///
    /// UART0 goes nowhere, UART1 is the console. One CPU, since nothing parks the second one.
    pub fn command(&self, qmp: &Path) -> Command {
        let mut command = Command::new(&self.qemu);
        command.args(["-M", "xilinx-zynq-a9", "-m", "512M", "-smp", "1"]);
        command.args(["-nodefaults", "-no-user-config", "-no-reboot"]);
        let watch = self.plugin.as_ref().and_then(|plugin| plugin.devices.as_ref()?.watch.as_ref());
        command.arg("-display").arg(Watch::option(watch));
        command.args(["-monitor", "none", "-serial", "null"]);
        command.args(["-serial", "stdio"]);
        command.arg("-qmp").arg(option("unix:", qmp, ",server=on,wait=off"));
        command.args(["-d", "unimp,guest_errors"]).arg("-D").arg(&self.log);
        let mut card = None;
        match &self.start {
            Start::Program(program) => {
                command.arg("-kernel").arg(program);
                if let Some(card) = &self.card {
                    command.arg("-drive").arg(option("if=sd,index=0,format=raw,file=", card, ""));
                }
            }
            // The plugin has a controller of its own.
            Start::Card => card = self.card.as_ref(),
        }
        if let Some(icount) = &self.icount {
            command.arg("-icount").arg(icount);
        }
        if let Some(plugin) = &self.plugin {
            let mut argument = option("file=", &plugin.library, "");
            let devices = plugin.devices.as_ref();
            for (name, path) in [
                (",out=", plugin.counts.as_ref()),
                (",board=", devices.map(|devices| &devices.file)),
                (",report=", devices.map(|devices| &devices.report)),
                (",card=", card),
                (",screenshot=", devices.and_then(|devices| devices.screenshot.as_ref())),
                (",control=", devices.and_then(|devices| devices.control.as_ref())),
            ] {
                if let Some(path) = path {
                    argument.push(option(name, path, ""));
                }
            }
            if watch.is_some() {
                argument.push(",display=on");
            }
            command.arg("-plugin").arg(argument);
        }
        if self.debugger {
            command.args(["-s", "-S"]);
        }
        command
    }

    /// Boots the board and judges it; `line` gets every console line as it arrives. `explain` says what is to be added behind a line: that is
    /// shown and judged like the console's own lines.
    ///
    /// # Errors
    ///
    /// [`Error`] when the emulator cannot be started or its files cannot be read. What happens on
    /// the board is never an error but a [`Verdict`].
    pub fn run(
        &self,
        rules: Rules,
        allow: &AllowList,
        mut explain: impl FnMut(&str) -> Vec<String>,
        mut line: impl FnMut(&str),
    ) -> Result<Outcome, Error> {
        catch_interrupts();
        let scratch = tempfile::Builder::new()
            .prefix("zelkova-")
            .tempdir()
            .map_err(|source| Error::File { path: std::env::temp_dir(), source })?;
        let socket = scratch.path().join("qmp");
        let complaints = scratch.path().join("stderr");
        self.forget_old_files()?;
        self.describe()?;

        let file = |path: &Path, source| Error::File { path: path.to_owned(), source };
        let stderr = File::create(&complaints).map_err(|e| file(&complaints, e))?;
        let child = self
            .command(&socket)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .map_err(|source| Error::Start { program: self.qemu.clone(), source })?;
        let mut emulator = Emulator { child, socket };
        let started = Instant::now();
        let lines = emulator.console();

        let mut judge = Judge::new(rules);
        let mut console = Vec::new();
        let mut take = |text: String, mut judge: Option<&mut Judge>| {
            let explained = explain(&text);
            let mut verdict = None;
            for text in std::iter::once(text).chain(explained) {
                line(&text);
                if let (None, Some(judge)) = (&verdict, &mut judge) {
                    verdict = judge.line(&text);
                }
                console.push(text);
            }
            verdict
        };
        let mut verdict = loop {
            if INTERRUPTED.load(Ordering::Relaxed) {
                break Verdict::Interrupted;
            }
            let mut wait = POLL;
            if let Some(deadline) = judge.rules().deadline {
                let left = deadline.saturating_sub(started.elapsed());
                if left.is_zero() {
                    break Verdict::Deadline { after: deadline };
                }
                wait = wait.min(left);
            }
            match lines.recv_timeout(wait) {
                Ok(text) => {
                    if let Some(verdict) = take(text, Some(&mut judge)) {
                        break verdict;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    let status = emulator.wait_or_kill(QUIT).map_err(Error::Watch)?;
                    let said = std::fs::read_to_string(&complaints).unwrap_or_default();
                    break ended(status, &said);
                }
            }
        };
        if matches!(verdict, Verdict::Failure { .. }) {
            let end = Instant::now() + LAST_WORDS;
            while Instant::now() < end
                && let Ok(text) = lines.recv_timeout(SILENCE)
            {
                take(text, None);
            }
        }
        emulator.end().map_err(Error::Watch)?;
        for text in lines {
            take(text, None);
        }

        let unexplained = allow.check(&self.log).map_err(|e| file(&self.log, e))?;
        verdict.spoil(unexplained.iter().map(ToString::to_string).collect());
        let plugin = self.plugin.as_ref();
        let report = plugin.and_then(|plugin| plugin.counts.as_ref()).map(|path| read_report(path)).transpose()?;
        let devices = plugin.and_then(|plugin| plugin.devices.as_ref());
        let devices: Option<Option<models::board::Report>> =
            devices.map(|devices| read_report(&devices.report)).transpose()?;
        let devices = devices.flatten();
        if let Verdict::EmulatorEnded { .. } = verdict
            && let Some(line) = devices.as_ref().and_then(|report| report.stopped.clone())
        {
            verdict = Verdict::Failure { line };
        }
        Ok(Outcome { verdict, console, unexplained, report: report.flatten(), devices })
    }

    /// Removes what an earlier run left, so that it cannot be taken for this run's result.
    fn forget_old_files(&self) -> Result<(), Error> {
        let plugin = self.plugin.as_ref();
        let counts = plugin.and_then(|plugin| plugin.counts.as_ref());
        let devices = plugin.and_then(|plugin| plugin.devices.as_ref());
        let report = devices.map(|devices| &devices.report);
        let screenshot = devices.and_then(|devices| devices.screenshot.as_ref());
        for path in std::iter::once(&self.log).chain(counts).chain(report).chain(screenshot) {
            match std::fs::remove_file(path) {
                Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::File { path: path.clone(), source });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl Board {
    /// Puts the description where the plugin reads it.
    fn describe(&self) -> Result<(), Error> {
        let Some(devices) = self.plugin.as_ref().and_then(|plugin| plugin.devices.as_ref()) else { return Ok(()) };
        let wrong = |source| Error::File { path: devices.file.clone(), source };
        let text = serde_json::to_vec_pretty(&devices.description).map_err(|error| wrong(error.into()))?;
        std::fs::write(&devices.file, text).map_err(wrong)
    }
}

/// `before` + `path` + `after`, with the commas of the path doubled as QEMU's options want it.
fn option(before: &str, path: &Path, after: &str) -> std::ffi::OsString {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let mut bytes = before.as_bytes().to_vec();
    for &byte in path.as_os_str().as_bytes() {
        bytes.push(byte);
        if byte == b',' {
            bytes.push(b',');
        }
    }
    bytes.extend_from_slice(after.as_bytes());
    std::ffi::OsString::from_vec(bytes)
}

fn ended(status: ExitStatus, said: &str) -> Verdict {
    if INTERRUPTED.load(Ordering::Relaxed) {
        return Verdict::Interrupted;
    }
    let said = said.trim();
    let how = if said.is_empty() { status.to_string() } else { format!("{status}: {said}") };
    Verdict::EmulatorEnded { how }
}

fn read_report<R: DeserializeOwned>(path: &Path) -> Result<Option<R>, Error> {
    match std::fs::read(path) {
        Ok(bytes) => {
            serde_json::from_slice(&bytes).map(Some).map_err(|source| Error::Report { path: path.to_owned(), source })
        }
        // A killed emulator leaves none.
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::File { path: path.to_owned(), source }),
    }
}

/// The running process; dropping it kills it.
struct Emulator {
    child: Child,
    socket: PathBuf,
}

impl Emulator {
    /// The console's lines; the channel closes when the emulator closes its end.
    fn console(&mut self) -> Receiver<String> {
        let (sender, receiver) = mpsc::channel();
        if let Some(stdout) = self.child.stdout.take() {
            thread::spawn(move || split_lines(BufReader::new(stdout), &sender));
        }
        receiver
    }

    /// Ends the process: by QMP if it listens, else by SIGKILL.
    fn end(&mut self) -> std::io::Result<()> {
        if self.child.try_wait()?.is_none() && qmp::quit(&self.socket).is_ok() {
            self.wait_or_kill(QUIT)?;
        }
        self.kill()
    }

    fn wait_or_kill(&mut self, patience: Duration) -> std::io::Result<ExitStatus> {
        let start = Instant::now();
        while start.elapsed() < patience {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            thread::sleep(Duration::from_millis(10));
        }
        self.kill()?;
        self.child.wait()
    }

    fn kill(&mut self) -> std::io::Result<()> {
        if self.child.try_wait()?.is_none() {
            self.child.kill()?;
            self.child.wait()?;
        }
        Ok(())
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // Nothing can be done about a failure here, and the normal path has ended it already.
        let _ = self.kill();
    }
}

/// Sends every line of `input` without its line end; what is no UTF-8 is replaced.
fn split_lines(input: impl BufRead, lines: &Sender<String>) {
    let mut line = Vec::new();
    for byte in input.bytes() {
        let Ok(byte) = byte else { break };
        if byte != b'\n' {
            line.push(byte);
        }
        if byte == b'\n' || line.len() >= LINE_LIMIT {
            if lines.send(text(&line)).is_err() {
                return;
            }
            line.clear();
        }
    }
    if !line.is_empty() {
        // The receiver may be gone; then nobody wants the rest.
        let _ = lines.send(text(&line));
    }
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_split_at_line_feeds() {
        let (sender, receiver) = mpsc::channel();
        split_lines(&b"one\r\n\ntwo\nrest"[..], &sender);
        drop(sender);
        assert_eq!(receiver.iter().collect::<Vec<_>>(), ["one", "", "two", "rest"]);
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let (sender, receiver) = mpsc::channel();
        split_lines(&vec![b'x'; 2 * LINE_LIMIT + 1][..], &sender);
        drop(sender);
        let lengths: Vec<_> = receiver.iter().map(|line| line.len()).collect();
        assert_eq!(lengths, [LINE_LIMIT, LINE_LIMIT, 1]);
    }

    #[test]
    fn a_display_can_be_watched_in_a_window_or_by_vnc() {
        let option = |text: &str| text.parse().map(|watch| Watch::option(Some(&watch)).into_string().unwrap());
        for (text, expected) in [
            ("window", "gtk"),
            ("vnc", "vnc=127.0.0.1:0"),
            ("vnc=0.0.0.0:59635", "vnc=0.0.0.0:59635"),
            ("vnc=[::1]:2", "vnc=[::1]:2"),
            ("vnc=unix:/a,b", "vnc=unix:/a,,b"),
        ] {
            assert_eq!(option(text), Ok(expected.to_owned()));
        }
        for text in ["", "gtk", "vnc=", "vnc=host", "vnc=:1", "vnc=host:59636", "vnc=host:one", "vnc=unix:"] {
            assert_eq!(option(text), Err(WatchError(text.to_owned())));
        }
        assert_eq!(Watch::option(None), "none");
    }

    #[test]
    fn commas_in_paths_are_doubled() {
        assert_eq!(option("file=", Path::new("/a,b"), ",x=y"), "file=/a,,b,x=y");
    }
}
