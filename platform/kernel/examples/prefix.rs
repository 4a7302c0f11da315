//! Builds the default kernel in the directory given and prints where its prefix is.

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    let (flags, directories): (Vec<_>, Vec<_>) = env::args().skip(1).partition(|it| it.starts_with("--"));
    let ([work_dir], true) = (directories.as_slice(), flags.iter().all(|it| it == "--debug")) else {
        eprintln!("usage: prefix WORK_DIR [--debug]");
        return ExitCode::from(2);
    };
    let options = zelkova_kernel::Options { debug: !flags.is_empty(), work_dir: work_dir.into() };
    match zelkova_kernel::build(&options, &mut |step| eprintln!("{step}")) {
        Ok(prefix) => {
            println!("{}", prefix.dir().display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
