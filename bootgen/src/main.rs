//! The command `bootgen`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;

mod cli {
    pub(crate) mod check;
}

/// Makes and examines boot images (BOOT.BIN) for the Zynq-7000
#[derive(Parser)]
#[command(name = "bootgen", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: cli::check::Command,
}

fn main() -> ExitCode {
    Arguments::parse().command.run()
}
