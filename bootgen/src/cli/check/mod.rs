//! The subcommands that look into images.
//!
//! All of them end with 0 where all is well, with 1 where the image is not (or differs, or was not wholly extracted), and with 2
//! where there is no answer: an unreadable file, or a wrong command line.

mod diff;
mod extract;
mod inspect;
mod verify;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use bootgen::check::FileSource;
use bootgen::crypto::aes::Secrets;
use clap::{Args, Subcommand};

/// What to do with an image.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Show what is in an image: headers, partitions and a map
    Inspect(inspect::Inspect),
    /// Check an image: structure, checksums, MD5 sums, signatures, encryption, and what boot ROM and boot loader demand
    Verify(verify::Verify),
    /// Write the partitions of an image to files: executables, bitstreams, data
    Extract(extract::Extract),
    /// Compare two images field by field
    Diff(diff::Diff),
}

impl Command {
    /// Does it, and says on standard error what went wrong. Images to compare with are made as the vendor's tool does if
    /// `compat`.
    pub(crate) fn run(&self, compat: bool) -> ExitCode {
        let result = match self {
            Self::Inspect(command) => command.run(),
            Self::Verify(command) => command.run(compat),
            Self::Extract(command) => command.run(),
            Self::Diff(command) => command.run(),
        };
        match result {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::from(1),
            // Whoever reads the output had enough of it.
            Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
            Err(error) => {
                anstream::eprintln!("{BAD}error{BAD:#}: {error:#}");
                ExitCode::from(2)
            }
        }
    }
}

const BAD: anstyle::Style = anstyle::AnsiColor::Red.on_default().bold();
const WARNING: anstyle::Style = anstyle::AnsiColor::Yellow.on_default().bold();
const GOOD: anstyle::Style = anstyle::AnsiColor::Green.on_default().bold();
const DIM: anstyle::Style = anstyle::Style::new().dimmed();
const STRONG: anstyle::Style = anstyle::Style::new().bold();

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// Prints text with its colours where there is a terminal that wants them.
fn print(text: &str) -> anyhow::Result<()> {
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Prints a value as JSON.
fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Opens an image.
fn open(path: &Path) -> anyhow::Result<FileSource> {
    FileSource::open(path).with_context(|| format!("cannot open {}", path.display()))
}

/// Where the keys of encrypted partitions are.
#[derive(Args)]
struct Keys {
    /// Key file (.nky) for encrypted partitions
    #[arg(long, value_name = "FILE")]
    nky: Option<PathBuf>,
}

impl Keys {
    /// The keys, if there are some.
    fn read(&self) -> anyhow::Result<Option<Secrets>> {
        match &self.nky {
            Some(path) => Ok(Some(bootgen::keys::read_nky(path)?.secrets)),
            None => Ok(None),
        }
    }
}
