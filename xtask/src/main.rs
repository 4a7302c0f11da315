//! Builds, runs and tests Zelkova.
//!
//! `cargo xtask run` boots a scenario on the emulated board, `cargo xtask test` runs the test suite,
//! `cargo xtask doctor` tells what is installed. The first two install what is missing where they may.

#![forbid(unsafe_code)]

mod configs;
mod diagnostic;
mod flash;
mod pipeline;
mod progress;
mod run;
mod scenario;
mod setup;
mod suite;
mod workspace;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

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
    /// Write a card image onto a card, read it back and compare; without --device, list the cards
    ///
    /// Never writes the disk of the running system; anything else that is not removable or in use only with --force.
    /// Exit codes: 0 written and equal, 1 failed on the way or not equal, 3 refused, nothing was written.
    Flash(Flash),
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
    #[command(flatten)]
    common: Common,
    /// Give up after so many seconds, instead of what the scenario says
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..))]
    timeout: Option<u64>,
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
    /// A card image
    image: Option<PathBuf>,
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
        Action::Flash(flash) => write_card(flash),
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
    if let Some(seconds) = run.timeout {
        scenario.rules.deadline = Some(Duration::from_secs(seconds));
    }
    let toolchain = setup::ensure(run.common.qemu.is_some())?;
    let pipeline = Pipeline::new(&workspace, toolchain, run.common.kernel().prefix(&workspace)?);
    let built = Built::new(&pipeline, &scenario)?;
    eprintln!("zelkova: {}: {}", scenario.name, scenario.about);
    if run.gdb {
        let core = pipeline.program("core");
        eprintln!("zelkova: waiting for `gdb-multiarch {} -ex 'target remote :1234'`", core.display());
    }
    let options = run::Options {
        card: run.sd.clone(),
        writable: run.sd_writable,
        qemu: run.common.qemu.clone(),
        debugger: run.gdb,
        log: run.log.clone(),
    };
    let ran = built.run(&workspace, &options, |stream, line| match stream {
        Stream::Output => println!("{line}"),
        Stream::Error => eprintln!("{line}"),
    })?;
    if let Some(table) = ran.table() {
        if scenario.stdout.is_some() { eprint!("\n{table}") } else { print!("\n{table}") }
    }
    eprintln!("zelkova: {}: {}", scenario.name, ran.verdict);
    Ok(ExitCode::from(ran.verdict.exit_code()))
}

fn suite(test: &Test) -> anyhow::Result<ExitCode> {
    let workspace = Workspace::find()?;
    let toolchain = setup::ensure(test.common.qemu.is_some())?;
    setup::ensure_lints()?;
    let options = run::Options { qemu: test.common.qemu.clone(), ..run::Options::default() };
    suite::run(&workspace, toolchain, &test.common.kernel(), &options, test.filter.as_deref())
}

fn write_card(flash: &Flash) -> anyhow::Result<ExitCode> {
    let (Some(image), Some(device)) = (&flash.image, &flash.device) else {
        print!("{}", flash::list()?);
        anyhow::ensure!(flash.image.is_none(), "nothing was written: say where to with --device");
        return Ok(ExitCode::SUCCESS);
    };
    let options =
        flash::Options { device: device.clone(), force: flash.force, yes: flash.yes, changed_only: flash.changed_only };
    match flash::run(image, &options) {
        Ok(said) => eprintln!("zelkova: {said}"),
        Err(error) if error.is_about_transfer() => {
            complain(&error.into());
            return Ok(ExitCode::FAILURE);
        }
        Err(error) => return Err(error.into()),
    }
    Ok(ExitCode::SUCCESS)
}

fn doctor() -> ExitCode {
    let (text, complete) = setup::doctor();
    print!("{text}");
    if complete { ExitCode::SUCCESS } else { ExitCode::from(SET_UP) }
}
