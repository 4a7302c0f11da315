//! Builds, runs and tests Zelkova.
//!
//! `cargo xtask run` boots a scenario on the emulated board, `cargo xtask test` runs the test suite,
//! `cargo xtask doctor` tells what is installed. The first two install what is missing where they may.

#![forbid(unsafe_code)]

mod board;
mod configs;
mod diagnostic;
mod drill;
mod files;
mod flash;
mod image;
mod kernels;
mod neutral;
mod new;
mod pipeline;
mod progress;
mod run;
mod scenario;
mod scratch;
mod setup;
mod suite;
mod workspace;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use harness::board::Watch;
use harness::judge::Pattern;

use crate::pipeline::{Kernel, Pipeline};
use crate::run::{Built, Stream};
use crate::workspace::Workspace;

/// The exit code of everything that keeps a run from starting.
const SET_UP: u8 = 3;

/// Build, run and test Zelkova, a user land on seL4 for the Zynq-7000.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Build a scenario, boot it on the emulated ZedBoard and show its console
    ///
    /// Installs what is missing first (as root; otherwise prints the command). Exit codes: 0 the scenario's success
    /// line was seen, 1 a failure line or a wrong result, 2 neither within the deadline, 3 a problem with the set-up.
    Run(Run),
    /// Check formatting, lints and documentation, run the host tests, then every scenario
    ///
    /// Closes with a line `N passed, N failed`. Exit codes: 0 all passed, 1 something failed, 3 a problem with the
    /// set-up.
    Test(Test),
    /// Make a boot image and a card image of a scenario: BOOT.BIN and sdcard.img
    ///
    /// `cargo xtask flash` puts the latter onto a card. docs/zedboard.md tells what to do with the card.
    Image(ImageCommand),
    /// Write a card image onto a card, read it back and compare; without --device, list the cards
    ///
    /// Never writes the disk of the running system; anything else that is not removable or in use only with --force.
    /// Exit codes: 0 written and equal, 1 failed on the way or not equal, 3 refused, nothing was written.
    Flash(Flash),
    /// Run every scenario on several kernels and print a table
    ///
    /// The default kernel comes first, then each installed seL4 that is named. Components must be the same files on all of them; their common
    /// checksum, at the end, tells whether those of two tables are. Exit codes: 0 all passed, 1 something failed, 3 a problem with the set-up.
    Kernels(Kernels),
    /// Begin a driver or an app that builds, runs and is tested as it is
    New {
        /// What to begin
        kind: new::Kind,
        /// Its name, like `my-device`
        name: String,
    },
    /// Tell what is installed, what is missing and how to install it
    Doctor,
}

#[derive(Args)]
struct Run {
    /// A file in scenarios/ without its ending, or SCENARIO/CASE
    #[arg(default_value = "demo")]
    scenario: String,
    /// Image of the SD card; the board works on a copy, so any size will do
    #[arg(long, value_name = "FILE")]
    sd: Option<PathBuf>,
    /// Let the board write to the SD image itself; its size must be a power of two
    #[arg(long, requires = "sd")]
    sd_writable: bool,
    /// Start from this card image, as `cargo xtask image SCENARIO` makes it: boot ROM, boot loader, system
    #[arg(long, value_name = "FILE", conflicts_with = "sd")]
    from_card: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
    /// Give up after so many seconds, instead of what the scenario says
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..))]
    timeout: Option<u64>,
    /// Take commands for the board at this Unix socket while it runs, one a line: `socat - UNIX-CONNECT:PATH`
    #[arg(long, value_name = "SOCKET")]
    control: Option<PathBuf>,
    /// Save what is on the display at the end, or was last, as a PNG
    #[arg(long, value_name = "FILE")]
    screenshot: Option<PathBuf>,
    /// Watch the display: in a `window`; through `vnc`, on port 5900 of this machine; or through `vnc=HOST:N`, on port 5900 + N, without a
    /// password; or through `vnc=unix:SOCKET`. It closes when the run ends
    #[arg(long, value_name = "WHERE")]
    display: Option<Watch>,
    /// Copy the console to this file
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Stop before the first instruction and wait for a debugger on port 1234, without a deadline
    #[arg(long)]
    gdb: bool,
}

#[derive(Args)]
struct Test {
    /// Only what has this in its name: `clippy`, `host tests`, `sd-sum/fat32`
    filter: Option<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
struct Flash {
    /// A scenario, which is built as by `cargo xtask image`, or the file of an image
    #[arg(value_name = "SCENARIO|IMAGE")]
    image: Option<String>,
    /// The card, like /dev/sdX or /dev/mmcblk0; a plain file or loop device will do
    #[arg(long, value_name = "DEVICE", requires = "image")]
    device: Option<PathBuf>,
    /// Also onto what is not removable, mounted or otherwise in use; never onto the running system's disk
    #[arg(long)]
    force: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Write only the blocks that differ
    #[arg(long)]
    changed_only: bool,
    #[command(flatten)]
    contents: Contents,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
struct ImageCommand {
    /// A file in scenarios/ without its ending, or SCENARIO/CASE
    scenario: String,
    /// The folder for what is made; target/zelkova/SCENARIO-card if absent
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    contents: Contents,
    #[command(flatten)]
    common: Common,
}

/// What goes into a boot image and onto its card.
#[derive(Args)]
struct Contents {
    /// The board
    #[arg(long, value_enum, default_value_t)]
    board: image::Board,
    /// Configure the programmable logic with this before the system starts
    #[arg(long, value_name = "FILE.bit")]
    bitstream: Option<PathBuf>,
    /// Another first-stage boot loader, instead of ours
    #[arg(long, value_name = "FILE.elf")]
    fsbl: Option<PathBuf>,
    /// Put the boot image on the card a second time, as BOOT.ALT, for when BOOT.BIN does not verify
    #[arg(long)]
    alt: bool,
    /// Put this boot image on the card as BOOT.ALT
    #[arg(long, value_name = "FILE", conflicts_with = "alt")]
    alt_image: Option<PathBuf>,
    /// Give the partitions MD5 sums
    #[arg(long)]
    md5: bool,
    /// Sign everything: a folder with primary.pem and secondary.pem, or a BIF that names the keys' files
    #[arg(long, value_name = "DIR|BIF")]
    sign: Option<PathBuf>,
}

impl Contents {
    fn options(&self) -> image::Options {
        image::Options {
            board: self.board,
            bitstream: self.bitstream.clone(),
            boot_loader: self.fsbl.clone(),
            fallback: match &self.alt_image {
                Some(file) => Some(image::Fallback::File(file.clone())),
                None => self.alt.then_some(image::Fallback::Same),
            },
            md5: self.md5,
            sign: self.sign.clone(),
        }
    }
}

#[derive(Args)]
struct Kernels {
    /// Installed seL4s (bin/kernel.elf, libsel4/include/...); the table calls them by the names of their directories
    #[arg(value_name = "DIR")]
    prefixes: Vec<PathBuf>,
    /// Only scenarios that have this in their name
    #[arg(long, value_name = "FILTER")]
    scenarios: Option<String>,
    /// Without scenarios that have this in their name; may be repeated
    #[arg(long, value_name = "FILTER")]
    except: Vec<String>,
    /// Leave the default kernel out
    #[arg(long, requires = "prefixes")]
    without_default: bool,
    /// The emulator, instead of the qemu-system-arm on the search path
    #[arg(long, value_name = "PATH")]
    qemu: Option<PathBuf>,
}

#[derive(Args)]
struct Common {
    /// An installed seL4 (bin/kernel.elf, libsel4/include/...) instead of the default one
    #[arg(long, value_name = "DIR", env = "SEL4_PREFIX", conflicts_with = "kernel_debug")]
    sel4_prefix: Option<PathBuf>,
    /// Build the default seL4 with printing and assertions; slower, so never measure with it
    #[arg(long)]
    kernel_debug: bool,
    /// The emulator, instead of the qemu-system-arm on the search path
    #[arg(long, value_name = "PATH")]
    qemu: Option<PathBuf>,
}

impl Common {
    fn kernel(&self) -> Kernel {
        Kernel { prefix: self.sel4_prefix.clone(), debug: self.kernel_debug }
    }
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors; clap's own code for the others means "deadline" here.
            let code = if error.use_stderr() { SET_UP } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let result = match &cli.command {
        Action::Run(run) => boot(run),
        Action::Test(test) => suite(test),
        Action::Image(command) => make_image(command),
        Action::Flash(flash) => write_card(flash),
        Action::Kernels(kernels) => compare(kernels),
        Action::New { kind, name } => begin(*kind, name),
        Action::Doctor => Ok(doctor()),
    };
    result.unwrap_or_else(|error| {
        complain(&error);
        ExitCode::from(SET_UP)
    })
}

/// Prints an error; one that shows a place in a file speaks for itself.
fn complain(error: &anyhow::Error) {
    if let Some(scenario::Error::Wrong(report)) = error.downcast_ref() {
        eprintln!("{}", report.render(std::io::stderr().is_terminal()));
    } else {
        eprintln!("error: {error:#}");
    }
}

fn boot(run: &Run) -> anyhow::Result<ExitCode> {
    let workspace = Workspace::find()?;
    // A mistake in the scenario is cheaper to find before anything is installed or built.
    let mut scenario = scenario::load(&workspace.scenarios(), &run.scenario, &workspace.components())?;
    if run.from_card.is_some() {
        scenario.rules.failure.push(Pattern::new(run::GAVE_UP));
    }
    let has_display = scenario.devices.bitstream.fabric().video.is_some_and(|video| video.display.is_some());
    anyhow::ensure!(has_display || run.display.is_none(), "--display: the board of `{}` has no display", scenario.name);
    let toolchain = setup::ensure(run.common.qemu.is_some())?;
    let pipeline = Pipeline::new(&workspace, toolchain, run.common.kernel().prefix(&workspace)?);
    let built = match &run.from_card {
        Some(_) => Built::on_card(&pipeline, &scenario)?,
        None => Built::new(&pipeline, &scenario)?,
    };
    eprintln!("zelkova: {}: {}", scenario.name, scenario.about);
    if run.gdb {
        let core = pipeline.program("core");
        eprintln!("zelkova: waiting for `gdb-multiarch {} -ex 'target remote :1234'`", core.display());
    }
    let options = run::Options {
        files: None,
        card: run.from_card.clone().or(run.sd.clone()),
        writable: run.sd_writable,
        qemu: run.common.qemu.clone(),
        deadline: run.timeout.map(Duration::from_secs),
        debugger: run.gdb,
        log: run.log.clone(),
        control: run.control.clone(),
        screenshot: run.screenshot.clone(),
        watch: run.display.clone(),
    };
    if let Some(control) = &run.control {
        eprintln!("zelkova: commands (for instance `pin PB1 = high`): socat - UNIX-CONNECT:{}", control.display());
    }
    let ran = built.run(&workspace, &options, |stream, line| match stream {
        Stream::Output => println!("{line}"),
        Stream::Error => eprintln!("{line}"),
    })?;
    if let Some(table) = ran.table() {
        if scenario.stdout.is_some() { eprint!("\n{table}") } else { print!("\n{table}") }
    }
    if let Some(frames) = ran.frames() {
        if scenario.stdout.is_some() { eprint!("{frames}") } else { print!("{frames}") }
    }
    if let Some(loading) = ran.loading() {
        eprintln!("zelkova: {loading}");
    }
    eprintln!("zelkova: {}: {}", scenario.name, ran.verdict);
    if ran.verdict.exit_code() != 0 {
        eprintln!("zelkova: {}", ran.artefacts());
    }
    Ok(ExitCode::from(ran.verdict.exit_code()))
}

fn suite(test: &Test) -> anyhow::Result<ExitCode> {
    let workspace = Workspace::find()?;
    let toolchain = setup::ensure(test.common.qemu.is_some())?;
    setup::ensure_lints()?;
    let options = run::Options { qemu: test.common.qemu.clone(), ..run::Options::default() };
    suite::run(&workspace, toolchain, &test.common.kernel(), &options, test.filter.as_deref())
}

fn make_image(command: &ImageCommand) -> anyhow::Result<ExitCode> {
    let workspace = Workspace::find()?;
    let made = image_of(&workspace, &command.scenario, command.out.as_deref(), &command.contents, &command.common)?;
    println!("{}", made.boot.display());
    println!("{}", made.card.display());
    if let Some(key) = &made.key {
        eprintln!("zelkova: signed; the primary key's hash, for the chip's eFUSEs, is {key}");
    }
    eprintln!("zelkova: put it onto a card with `cargo xtask flash {} --device /dev/...`", made.card.display());
    Ok(ExitCode::SUCCESS)
}

fn image_of(
    workspace: &Workspace,
    scenario: &str,
    folder: Option<&Path>,
    contents: &Contents,
    common: &Common,
) -> anyhow::Result<image::Made> {
    let scenario = scenario::load(&workspace.scenarios(), scenario, &workspace.components())?;
    let toolchain = setup::ensure(common.qemu.is_some())?;
    let pipeline = Pipeline::new(workspace, toolchain, common.kernel().prefix(workspace)?);
    let default = workspace.output().join(format!("{}-card", scenario.name.replace('/', "-")));
    image::make(&pipeline, &scenario, &contents.options(), folder.unwrap_or(&default))
}

fn write_card(flash: &Flash) -> anyhow::Result<ExitCode> {
    let (Some(source), Some(device)) = (&flash.image, &flash.device) else {
        print!("{}", flash::list()?);
        anyhow::ensure!(flash.image.is_none(), "nothing was written: say where to with --device");
        return Ok(ExitCode::SUCCESS);
    };
    let options =
        flash::Options { device: device.clone(), force: flash.force, yes: flash.yes, changed_only: flash.changed_only };
    // A wrong device is cheaper to find before an image is built.
    flash::check(&options)?;
    let file = Path::new(source);
    let image = if file.is_file() {
        file.to_owned()
    } else {
        image_of(&Workspace::find()?, source, None, &flash.contents, &flash.common)
            .with_context(|| format!("`{source}` is no file, and as a scenario it cannot be had"))?
            .card
    };
    match flash::run(&image, &options) {
        Ok(said) => eprintln!("zelkova: {said}"),
        Err(error) if error.is_about_transfer() => {
            complain(&error.into());
            return Ok(ExitCode::FAILURE);
        }
        Err(error) => return Err(error.into()),
    }
    Ok(ExitCode::SUCCESS)
}

fn compare(kernels: &Kernels) -> anyhow::Result<ExitCode> {
    let workspace = Workspace::find()?;
    let toolchain = setup::ensure(kernels.qemu.is_some())?;
    let options = run::Options { qemu: kernels.qemu.clone(), ..run::Options::default() };
    let mut tried = if kernels.without_default { Vec::new() } else { vec![Kernel::default()] };
    tried.extend(kernels.prefixes.iter().map(|prefix| Kernel { prefix: Some(prefix.clone()), debug: false }));
    let choice = kernels::Choice { only: kernels.scenarios.clone(), except: kernels.except.clone() };
    kernels::run(&workspace, toolchain, &tried, &options, &choice)
}

fn begin(kind: new::Kind, name: &str) -> anyhow::Result<ExitCode> {
    let made = new::make(&Workspace::find()?, kind, name)?;
    for file in &made.files {
        println!("new      {}", file.display());
    }
    for file in &made.changed {
        println!("changed  {}", file.display());
    }
    eprintln!("zelkova: run it with `cargo xtask run {}`, test it with `cargo xtask test {name}`", made.scenario);
    Ok(ExitCode::SUCCESS)
}

fn doctor() -> ExitCode {
    let (text, complete) = setup::doctor();
    print!("{text}");
    if complete { ExitCode::SUCCESS } else { ExitCode::from(SET_UP) }
}
