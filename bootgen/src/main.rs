//! `bootgen`: boot images for the Zynq-7000.
//!
//! The options of the vendor's tool, which begin with a single hyphen, and subcommands beside them.
#![forbid(unsafe_code)]

use std::process::ExitCode;

mod cli;

fn main() -> ExitCode {
    cli::main(std::env::args_os().collect())
}
