//! Programs that the build runs.

use std::{
    env,
    ffi::OsStr,
    fs::{self, File},
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use crate::error::{At, Error, Result};

/// A program that building the kernel needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tool {
    /// Name of the program.
    pub program: &'static str,
    /// The Debian package that has it.
    pub package: &'static str,
}

pub(crate) const GCC: Tool = Tool { program: "arm-none-eabi-gcc", package: "gcc-arm-none-eabi" };
pub(crate) const MAKE: Tool = Tool { program: "make", package: "make" };
pub(crate) const PYTHON: Tool = Tool { program: "python3", package: "python3" };

/// The programs that must be on the search path to build a kernel, besides Cargo.
///
/// Python's `venv` module is needed as well (Debian package `python3-venv`).
pub const TOOLS: &[Tool] = &[
    GCC,
    Tool { program: "arm-none-eabi-ld", package: "binutils-arm-none-eabi" },
    MAKE,
    PYTHON,
    Tool { program: "xmllint", package: "libxml2-utils" },
    Tool { program: "bash", package: "bash" },
];

impl Tool {
    /// Finds the program on the search path `PATH`.
    ///
    /// # Errors
    ///
    /// [`Error::MissingTool`] if it is not there.
    pub fn find(self) -> Result<PathBuf> {
        self.find_in(&env::var_os("PATH").unwrap_or_default())
    }

    fn find_in(self, path: &OsStr) -> Result<PathBuf> {
        let is_program =
            |file: &PathBuf| fs::metadata(file).is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0);
        env::split_paths(path)
            .map(|directory| directory.join(self.program))
            .find(is_program)
            .ok_or(Error::MissingTool { program: self.program, package: self.package })
    }
}

/// The file that gets what the programs of one build print.
pub(crate) struct Log(PathBuf);

impl Log {
    /// Starts an empty log.
    pub(crate) fn create(path: PathBuf) -> Result<Self> {
        File::create(&path).at("create", &path)?;
        Ok(Self(path))
    }

    /// Runs `command` to its end and returns what it printed on standard output. Both outputs go into the log.
    ///
    /// # Errors
    ///
    /// [`Error::Command`] if it fails. `what` tells the reader what it was to do.
    pub(crate) fn run(&self, what: &str, command: &mut Command) -> Result<Vec<u8>> {
        const TAIL: usize = 15;
        let program = PathBuf::from(command.get_program());
        let output = command.stdin(Stdio::null()).output().at("run", program)?;
        let Output { status, stdout, stderr } = output;
        let mut log = File::options().append(true).open(&self.0).at("open", &self.0)?;
        let heading = format!("== {what}: {command:?}\n");
        for part in [heading.as_bytes(), &stdout, &stderr] {
            log.write_all(part).at("write", &self.0)?;
        }
        if status.success() {
            return Ok(stdout);
        }
        let printed = String::from_utf8_lossy(if stderr.is_empty() { &stdout } else { &stderr }).into_owned();
        let lines: Vec<_> = printed.lines().collect();
        let tail = lines.get(lines.len().saturating_sub(TAIL)..).unwrap_or_default().join("\n");
        Err(Error::Command { what: what.into(), status, log: self.0.clone(), tail })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, process::Command};

    use super::{Error, Log, TOOLS};

    #[test]
    fn missing_programs_name_their_package() {
        let empty = tempfile::tempdir().unwrap();
        for tool in TOOLS {
            fs::write(empty.path().join(tool.program), "not executable").unwrap();
            let error = tool.find_in(empty.path().as_os_str()).unwrap_err();
            assert!(matches!(error, Error::MissingTool { package, .. } if package == tool.package));
            assert!(error.to_string().contains("apt install"));
        }
    }

    #[test]
    fn failures_show_the_end_of_the_output() {
        let directory = tempfile::tempdir().unwrap();
        let log = Log::create(directory.path().join("log")).unwrap();
        let error = log.run("counting", Command::new("sh").args(["-c", "seq 100 >&2; exit 3"])).unwrap_err();
        let Error::Command { what, status, log, tail } = error else { panic!("{error}") };
        assert_eq!((what.as_str(), status.code()), ("counting", Some(3)));
        assert!(tail.starts_with("86\n") && tail.ends_with("\n100"), "{tail}");
        assert!(fs::read_to_string(log).unwrap().contains("\n1\n2\n"));
    }
}
