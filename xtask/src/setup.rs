//! What must be installed, what is missing, and how it is installed.
//!
//! The tools come from Debian's or Ubuntu's packages. As root they are installed after saying so; anyone
//! else gets the one command to run. The Rust target comes from `rustup`, where that is in use; with the
//! distribution's Rust, the core library is built from the distribution's source package.

use std::env;
use std::fmt::Write as _;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::progress::Step;
use crate::workspace::{TARGET, cargo};

/// A thing that has to be there.
struct Need {
    /// What it is, for people.
    what: &'static str,
    /// How to see whether it is there.
    probe: Probe,
    /// The package that has it.
    package: &'static str,
    /// What it is for.
    purpose: &'static str,
}

enum Probe {
    /// A program on the search path.
    Program(&'static str),
    /// Python modules that can be imported.
    Python(&'static str),
}

/// The emulator's package, which a user's own emulator makes superfluous.
const QEMU: &str = "qemu-system-arm";

const NEEDS: &[Need] = &[
    Need {
        what: "qemu-system-arm",
        probe: Probe::Program("qemu-system-arm"),
        package: QEMU,
        purpose: "emulates the board",
    },
    Need {
        what: "arm-none-eabi-gcc",
        probe: Probe::Program("arm-none-eabi-gcc"),
        package: "gcc-arm-none-eabi",
        purpose: "compiles seL4",
    },
    Need {
        what: "arm-none-eabi-strip",
        probe: Probe::Program("arm-none-eabi-strip"),
        package: "binutils-arm-none-eabi",
        purpose: "strips the programs",
    },
    Need { what: "make", probe: Probe::Program("make"), package: "make", purpose: "builds seL4" },
    Need { what: "xmllint", probe: Probe::Program("xmllint"), package: "libxml2-utils", purpose: "builds seL4" },
    Need {
        what: "python3 with venv",
        probe: Probe::Python("venv, ensurepip"),
        package: "python3-venv",
        purpose: "runs seL4's generators",
    },
    Need {
        what: "dtc",
        probe: Probe::Program("dtc"),
        package: "device-tree-compiler",
        purpose: "compiles the devicetree",
    },
    Need { what: "mtools", probe: Probe::Program("mshowfat"), package: "mtools", purpose: "builds SD cards" },
    Need {
        what: "bootgen",
        probe: Probe::Program("bootgen"),
        package: "xilinx-bootgen",
        purpose: "is what our bootgen is compared with",
    },
    Need { what: "mkfs.fat", probe: Probe::Program("mkfs.fat"), package: "dosfstools", purpose: "builds SD cards" },
];

/// The linker for the board where Rust does not bring its own.
const LINKER: &str = "ld.lld";

/// How programs for the board are compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Toolchain {
    /// The target's core library is installed.
    Installed,
    /// The core library is built from the compiler's source.
    BuildStd,
}

impl Toolchain {
    /// `cargo` with what this toolchain needs to compile for the board.
    pub(crate) fn cargo(self, subcommand: &str) -> Command {
        let mut command = cargo();
        command.arg(subcommand);
        command.args(["--target", TARGET]);
        if self == Self::BuildStd {
            // Building the core library is not stable in Cargo yet; the distribution's compiler is a
            // stable one, which accepts the flag only so.
            command.env("RUSTC_BOOTSTRAP", "1");
            // Distributions leave out the linker that Rust brings along; this is the same one.
            command.env("CARGO_TARGET_ARMV7A_NONE_EABI_LINKER", LINKER);
            command.arg("-Zbuild-std=core,alloc,compiler_builtins");
            command.arg("-Zbuild-std-features=compiler-builtins-mem");
        }
        command
    }
}

/// Finds or installs everything; returns how to compile for the board.
///
/// # Errors
///
/// When something is missing and cannot be installed: what it is and the command that installs it.
pub(crate) fn ensure(own_qemu: bool) -> anyhow::Result<Toolchain> {
    let missing: Vec<&Need> =
        NEEDS.iter().filter(|need| !(need.is_there() || own_qemu && need.package == QEMU)).collect();
    if !missing.is_empty() {
        let packages: Vec<String> = missing.iter().map(|need| need.package.to_owned()).collect();
        install(&packages)?;
        if let Some(need) = missing.iter().find(|need| !need.is_there()) {
            bail!("the package {} is installed, but {} is still not found", need.package, need.what);
        }
    }
    ensure_target()
}

impl Need {
    fn is_there(&self) -> bool {
        match self.probe {
            Probe::Program(name) => find_program(name).is_some(),
            Probe::Python(modules) => succeeds(Command::new("python3").args(["-c", &format!("import {modules}")])),
        }
    }
}

/// Looks for `name` on the search path, and where Debian keeps what it thinks only root wants.
fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|file| file.metadata().is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0))
}

fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// The trimmed standard output of a command that succeeds.
fn ask(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn is_root() -> bool {
    Path::new("/proc/self").metadata().is_ok_and(|metadata| metadata.uid() == 0)
}

/// The command that installs `packages`.
fn install_command(packages: &[String]) -> String {
    let packages = packages.join(" ");
    let sudo = if is_root() { "" } else { "sudo " };
    format!("{sudo}apt-get update && {sudo}apt-get install --yes --no-install-recommends {packages}")
}

/// Installs Debian packages, as root.
fn install(packages: &[String]) -> anyhow::Result<()> {
    if find_program("apt-get").is_none() {
        bail!(
            "these are missing: {}\n(the names are those of Debian's packages; install them the way this system does)",
            packages.join(", ")
        );
    }
    if !is_root() {
        bail!(
            "these packages are missing: {}\ninstall them with:\n\n    {}\n",
            packages.join(", "),
            install_command(packages)
        );
    }
    let step = Step::begin(format!("installing {} (apt-get)", packages.join(", ")));
    let mut update = Command::new("apt-get");
    update.args(["update", "--quiet"]).env("DEBIAN_FRONTEND", "noninteractive");
    step.run(&mut update).context("the list of packages cannot be updated")?;
    let mut install = Command::new("apt-get");
    install.args(["install", "--yes", "--no-install-recommends"]).args(packages);
    install.env("DEBIAN_FRONTEND", "noninteractive");
    step.run(&mut install).context("the packages cannot be installed")?;
    Ok(())
}

fn ensure_target() -> anyhow::Result<Toolchain> {
    if let Some(toolchain) = installed_toolchain() {
        return Ok(toolchain);
    }
    if has_rustup() {
        let step = Step::begin(format!("installing the Rust target {TARGET} (rustup)"));
        let added = step.run(Command::new("rustup").args(["target", "add", TARGET]));
        if let Some(toolchain) = installed_toolchain() {
            return Ok(toolchain);
        }
        added.context("the Rust target cannot be installed")?;
        bail!("rustup has added the target {TARGET}, but rustc does not find it");
    }
    let Some(packages) = build_std_packages() else {
        bail!(
            "the Rust target {TARGET} is missing, and neither rustup nor a Rust from the distribution is there\n\
             install rustup (https://rustup.rs) and run\n\n    rustup target add {TARGET}\n"
        );
    };
    install(&packages)?;
    installed_toolchain()
        .with_context(|| format!("{} are installed, but rustc does not find its source", packages.join(", ")))
}

/// How to compile with what is installed, if that is possible.
fn installed_toolchain() -> Option<Toolchain> {
    let libraries = ask(rustc().args(["--print", "target-libdir", "--target", TARGET]))?;
    let has_core = std::fs::read_dir(libraries)
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .any(|entry| entry.file_name().to_string_lossy().starts_with("libcore-"));
    if has_core {
        return Some(Toolchain::Installed);
    }
    // With rustup the target itself is one command away, and not bound to unstable flags.
    let possible = !has_rustup() && has_rust_source() && find_program(LINKER).is_some();
    possible.then_some(Toolchain::BuildStd)
}

fn has_rustup() -> bool {
    succeeds(Command::new("rustup").args(["show", "active-toolchain"]))
}

fn has_rust_source() -> bool {
    ask(rustc().args(["--print", "sysroot"]))
        .is_some_and(|root| Path::new(&root).join("lib/rustlib/src/rust/library/core").exists())
}

fn rustc() -> Command {
    Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
}

/// Packages with which the distribution's Rust compiles for the board, as far as they are missing; `None` if Rust does
/// not come from the distribution.
fn build_std_packages() -> Option<Vec<String>> {
    let compiler = rust_package()?;
    let mut packages = Vec::new();
    if !has_rust_source() {
        packages.push(rust_packages(&compiler).source);
    }
    if find_program(LINKER).is_none() {
        packages.push("lld".to_owned());
    }
    Some(packages)
}

/// Installs what the test suite needs on top: rustfmt and clippy.
///
/// # Errors
///
/// When one is missing and cannot be installed.
pub(crate) fn ensure_lints() -> anyhow::Result<()> {
    let has = |subcommand: &str| succeeds(cargo().args([subcommand, "--version"]));
    let (format, lints) = (has("fmt"), has("clippy"));
    if format && lints {
        return Ok(());
    }
    if has_rustup() {
        let step = Step::begin("installing rustfmt and clippy (rustup)");
        step.run(Command::new("rustup").args(["component", "add", "rustfmt", "clippy"]))
            .context("rustfmt and clippy cannot be installed")?;
        return Ok(());
    }
    let compiler = rust_package().context("rustfmt or clippy is missing; install them beside rustc")?;
    let names = rust_packages(&compiler);
    let missing: Vec<String> = [(format, names.rustfmt), (lints, names.clippy)]
        .into_iter()
        .filter(|(has, _)| !has)
        .map(|(_, name)| name)
        .collect();
    install(&missing)
}

/// The distribution's package that `rustc` belongs to.
fn rust_package() -> Option<String> {
    let program = std::fs::canonicalize(find_program("rustc")?).ok()?;
    let owner = ask(Command::new("dpkg-query").arg("--search").arg(program))?;
    let (package, _) = owner.split_once(':')?;
    Some(package.trim().to_owned())
}

/// What goes with a compiler from the distribution.
#[derive(Debug, PartialEq, Eq)]
struct RustPackages {
    source: String,
    rustfmt: String,
    clippy: String,
}

/// The packages that belong to the package `compiler`: Debian's `rustc` and `rustc-web`, Ubuntu's `rustc-1.95`.
fn rust_packages(compiler: &str) -> RustPackages {
    match compiler.strip_prefix("rustc-") {
        Some(flavour) => RustPackages {
            source: format!("rust-{flavour}-src"),
            rustfmt: format!("rustfmt-{flavour}"),
            clippy: format!("rust-{flavour}-clippy"),
        },
        None => RustPackages { source: "rust-src".into(), rustfmt: "rustfmt".into(), clippy: "rust-clippy".into() },
    }
}

/// What is there and what is missing, and whether everything is there.
pub(crate) fn doctor() -> (String, bool) {
    let mut text = String::new();
    let mut missing: Vec<String> = Vec::new();
    for need in NEEDS {
        let found = need.is_there();
        line(&mut text, found, need.what, &format!("{}, package {}", need.purpose, need.package));
        if !found {
            missing.push(need.package.to_owned());
        }
    }
    let toolchain = installed_toolchain();
    let how = match toolchain {
        Some(Toolchain::Installed) => "compiles for the board".to_owned(),
        Some(Toolchain::BuildStd) => "compiles for the board, core library built from source".to_owned(),
        None if has_rustup() => format!("rustup target add {TARGET}"),
        None => match build_std_packages() {
            Some(packages) => {
                let how = format!("compiles for the board, packages {}", packages.join(" and "));
                missing.extend(packages);
                how
            }
            None => format!("install rustup, then: rustup target add {TARGET}"),
        },
    };
    line(&mut text, toolchain.is_some(), &format!("Rust for {TARGET}"), &how);
    let complete = missing.is_empty() && toolchain.is_some();
    if !missing.is_empty() {
        let _ = write!(text, "\ninstall what is missing with:\n\n    {}\n", install_command(&missing));
        if is_root() {
            text.push_str("\n(`cargo xtask run` and `cargo xtask test` do that themselves)\n");
        }
    }
    if complete {
        text.push_str("\neverything is there\n");
    }
    (text, complete)
}

fn line(text: &mut String, found: bool, what: &str, note: &str) {
    let mark = if found { "ok     " } else { "MISSING" };
    // Writing to a string does not fail.
    let _ = writeln!(text, "{mark} {what:<28} {note}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_follow_the_compiler() {
        let names = |compiler| {
            let RustPackages { source, rustfmt, clippy } = rust_packages(compiler);
            [source, rustfmt, clippy].join(" ")
        };
        assert_eq!(names("rustc"), "rust-src rustfmt rust-clippy");
        assert_eq!(names("rustc-web"), "rust-web-src rustfmt-web rust-web-clippy");
        assert_eq!(names("rustc-1.95"), "rust-1.95-src rustfmt-1.95 rust-1.95-clippy");
    }

    #[test]
    fn programs_are_found_on_the_path_and_beside_it() {
        assert!(find_program("sh").is_some());
        assert!(find_program("no-such-program-anywhere").is_none());
    }

    #[test]
    fn doctor_names_every_need() {
        let (text, complete) = doctor();
        for need in NEEDS {
            assert!(text.contains(need.what) && text.contains(need.package), "{text}");
        }
        assert_eq!(complete, !text.contains("MISSING"), "{text}");
    }
}
