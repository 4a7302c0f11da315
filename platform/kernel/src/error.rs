//! What can go wrong.

use std::{io, path::PathBuf, process::ExitStatus};

use crate::prefix::RAM_END;

/// A result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// Why there is no usable kernel.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or directory cannot be read, written or made.
    #[error("cannot {action} {}: {cause}", path.display())]
    Io {
        /// What was tried, an English verb phrase that takes the path as its object.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The operating system's reason.
        cause: io::Error,
    },
    /// The work directory's path has a character that the search path or the kernel's Makefile cannot express.
    #[error(
        "the kernel cannot be built in {}: its path contains {character:?}; choose a directory without it",
        path.display()
    )]
    WorkDir {
        /// The work directory.
        path: PathBuf,
        /// The offending character.
        character: char,
    },
    /// A program that the build needs is not on the search path.
    #[error("{program} is not installed: apt install {package}")]
    MissingTool {
        /// Name of the program.
        program: &'static str,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// A program ended with an error.
    #[error("{what} failed ({status}); its whole output is in {}, and ends with:\n{tail}", log.display())]
    Command {
        /// What it was to do.
        what: String,
        /// How it ended.
        status: ExitStatus,
        /// File with all that it printed.
        log: PathBuf,
        /// The last lines of that.
        tail: String,
    },
    /// A program printed something else than it is documented to print.
    #[error("{what} printed something unexpected: {problem}")]
    Output {
        /// What it was to do.
        what: String,
        /// What is wrong with its output.
        problem: String,
    },
    /// The source that Cargo has is not the one that was released.
    #[error(
        "the seL4 source in {} is not that of the released package (hash {found}, expected {expected}); \
         delete that directory, Cargo will unpack the package again",
        path.display()
    )]
    SourceChanged {
        /// The unpacked package.
        path: PathBuf,
        /// Its hash.
        found: String,
        /// The hash it should have.
        expected: &'static str,
    },
    /// A change to the kernel's source does not apply.
    #[error("cannot change {}: {text:?} is there {count} times, not once", path.display())]
    Patch {
        /// The file to be changed.
        path: PathBuf,
        /// The text to be replaced.
        text: &'static str,
        /// How often the file has it.
        count: usize,
    },
    /// A prefix does not have all files.
    #[error(
        "{} is no seL4 prefix: missing {}; it must be the directory that `ninja install` of the seL4 build filled \
         (CMAKE_INSTALL_PREFIX)",
        dir.display(),
        files.join(", ")
    )]
    MissingFiles {
        /// The directory.
        dir: PathBuf,
        /// The missing files, relative to it.
        files: Vec<String>,
    },
    /// The kernel is not an ELF file, or a damaged one.
    #[error("{} is no usable ELF file: {problem}; build and install the kernel again", path.display())]
    KernelElf {
        /// The kernel.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The kernel is not for 32-bit ARM.
    #[error("{} is {found}, not a 32-bit ARM program; build seL4 with -DKernelSel4Arch=aarch32", path.display())]
    KernelMachine {
        /// The kernel.
        path: PathBuf,
        /// What it is for.
        found: String,
    },
    /// The kernel is linked for addresses where it cannot run on this board.
    #[error(
        "{} is linked for the wrong place: {problem}; build seL4 with -DKernelPlatform=zynq7000",
        path.display()
    )]
    KernelAddress {
        /// The kernel.
        path: PathBuf,
        /// Which address is wrong, and what it should be.
        problem: String,
    },
    /// The kernel would hand out RAM that the board does not have, or leave some of it.
    #[error(
        "{}: the kernel is for a board with {mebibytes} MiB of RAM ({found}), but this one has {} MiB (0x0..{:#x}); build seL4 \
         with -DKernelCustomDTSOverlay=FILE, where FILE says: / {{ memory@0 {{ reg = <0x0 {:#x}>; }}; }};",
        path.display(), RAM_END >> 20, RAM_END, RAM_END
    )]
    Memory {
        /// The file that says so.
        path: PathBuf,
        /// The kernel's RAM, physical addresses.
        found: String,
        /// How much that is.
        mebibytes: u64,
    },
    /// The configuration is not a JSON object as the seL4 build writes it.
    #[error("{}: {problem}; build and install the kernel again", path.display())]
    ConfigSyntax {
        /// The configuration file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The kernel is configured in a way that the user land does not support.
    #[error("{}: {option} is {found}, but must be {expected}; build seL4 with {advice}", path.display())]
    ConfigValue {
        /// The configuration file.
        path: PathBuf,
        /// Name of the option, without `CONFIG_`.
        option: &'static str,
        /// Its value, or `not set`.
        found: String,
        /// The value it must have.
        expected: &'static str,
        /// The `CMake` option that sets it.
        advice: &'static str,
    },
}

/// Adds what was tried, and on what, to an operating system's error.
pub(crate) trait At<T> {
    fn at(self, action: &'static str, path: impl Into<PathBuf>) -> Result<T>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, action: &'static str, path: impl Into<PathBuf>) -> Result<T> {
        self.map_err(|cause| Error::Io { action, path: path.into(), cause })
    }
}
