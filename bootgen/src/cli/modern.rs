//! The subcommands.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use bootgen::crypto::rsa::SecretKey;
use bootgen::job::{self, Dual, Job, KeyFormat};
use bootgen::keys::{self, Nky};
use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use super::fail;

/// Makes and examines boot images (BOOT.BIN) for the Zynq-7000
///
/// All options of the vendor's tool work as well, for example `bootgen -image x.bif -o BOOT.BIN -w on`; `bootgen -help`
/// lists them.
#[derive(Parser)]
#[command(name = "bootgen", version, arg_required_else_help = true)]
struct Arguments {
    /// Follow the vendor's tool where it is wrong
    #[arg(long, global = true)]
    compat: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make an image from its description
    Create(Create),
    /// Make keys from the operating system's randomness
    #[command(subcommand)]
    Keygen(Keygen),
    #[command(flatten)]
    Check(super::check::Command),
    /// Print a shell's completions
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page
    Man,
}

#[derive(clap::Args)]
struct Create {
    /// The description (BIF)
    description: PathBuf,
    /// The image: MCS records if its name ends with .mcs, otherwise bytes
    #[arg(short, long, required = true)]
    output: Vec<PathBuf>,
    /// Overwrite images that exist
    #[arg(short, long)]
    force: bool,
    /// The byte between the parts of the image, like 0xFF; MCS files leave it out unless it is given
    #[arg(long, value_parser = byte)]
    fill: Option<u8>,
    /// Leave out the headers' certificate and the padding of bitstreams
    #[arg(long)]
    legacy: bool,
    /// For two QSPI flash chips: `parallel`, or the first one's megabytes
    #[arg(long, value_parser = dual, value_name = "parallel|MEGABYTES")]
    dual: Option<Dual>,
    /// Write what is to be signed, and placeholders for signatures that cannot be made
    #[arg(long)]
    hashes: bool,
}

#[derive(Subcommand)]
enum Keygen {
    /// A key for signatures
    Rsa {
        /// The secret key's file
        output: PathBuf,
        /// How it is written
        #[arg(long, value_enum, default_value_t = Form::Pem)]
        form: Form,
        /// Overwrite it
        #[arg(short, long)]
        force: bool,
    },
    /// Keys for encryption
    Aes {
        /// The key file (.nky)
        output: PathBuf,
        /// The part that it is for
        #[arg(long, default_value = "xc7z020clg484")]
        part: String,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum Form {
    /// PKCS#1
    Pem,
    /// N, E and D in hexadecimal
    Text,
}

fn byte(text: &str) -> Result<u8, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    u8::from_str_radix(digits, 16).map_err(|_| "a byte in hexadecimal is expected, like 0xFF".to_owned())
}

fn dual(text: &str) -> Result<Dual, String> {
    match text {
        "parallel" => Ok(Dual::Parallel),
        _ => match text.parse() {
            Ok(size @ (16 | 32 | 64 | 128)) => Ok(Dual::Stacked(size << 20)),
            _ => Err("`parallel`, 16, 32, 64 or 128 is expected".to_owned()),
        },
    }
}

/// Runs a subcommand.
pub(super) fn run(arguments: &[OsString], compat: bool) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // A closed pipe is no reason to complain.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    match arguments.command {
        Command::Create(create) => super::run(&create.job(compat || arguments.compat)),
        Command::Keygen(keygen) => keygen.run(),
        Command::Check(command) => command.run(compat || arguments.compat),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), "bootgen", &mut io::stdout());
            ExitCode::SUCCESS
        }
        Command::Man => match clap_mangen::Man::new(Arguments::command()).render(&mut io::stdout()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error.to_string()),
        },
    }
}

impl Create {
    fn job(self, compat: bool) -> Job {
        let mut job = Job {
            image: self.description,
            outputs: self.output,
            overwrite: self.force,
            fill: self.fill,
            dual: self.dual,
            hashes: self.hashes,
            ..Job::default()
        };
        job.options.legacy = self.legacy;
        job.options.compat = compat;
        job
    }
}

impl Keygen {
    fn run(self) -> ExitCode {
        match self {
            Self::Rsa { output, form, force } => {
                if output.exists() && !force {
                    return fail(&job::JobError::Exists(output).to_string());
                }
                let form = match form {
                    Form::Pem => KeyFormat::Pem,
                    Form::Text => KeyFormat::Text,
                };
                let written = SecretKey::generate()
                    .map_err(job::JobError::from)
                    .and_then(|key| job::write_key(&output, &key, form));
                written.map_or_else(|error| fail(&error.to_string()), |()| ExitCode::SUCCESS)
            }
            Self::Aes { output, part } => {
                let written = Nky::generate(&part).and_then(|nky| keys::write_secret(&output, &nky.text()));
                written.map_or_else(
                    |error| fail(&format!("writing {}: {error}", output.display())),
                    |()| ExitCode::SUCCESS,
                )
            }
        }
    }
}
