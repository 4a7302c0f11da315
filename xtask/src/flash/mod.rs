//! `cargo xtask flash`: puts a card image onto a card, and does not put it anywhere else.
//!
//! [`devices`] knows which disks there are and refuses those that must not be written, [`transfer`] writes and compares,
//! [`medium`] keeps caches out of it. Everything that can be found out before the first write is: whether the device may be
//! written, whether the image fits, whether somebody else has the device open, whether a file has room.

mod devices;
mod medium;
mod transfer;

use std::io::{self, BufRead, IsTerminal, Write};
use std::ops::ControlFlow;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{DecimalBytes, ProgressBar, ProgressStyle};

use self::devices::{Host, Place, Refusal};
use self::medium::{Device, ImageFile, Reading};
use self::transfer::{Image, Phase};

/// What the user wants.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Where to.
    pub(crate) device: PathBuf,
    /// Also to what is fixed or in use.
    pub(crate) force: bool,
    /// Without asking.
    pub(crate) yes: bool,
    /// Only the blocks that differ.
    pub(crate) changed_only: bool,
}

/// Why nothing, or not the right thing, was written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The device must not be written.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The machine does not describe its disks.
    #[error("what disks there are cannot be told from /sys and /proc: {0}")]
    Host(io::Error),
    /// The device cannot be used.
    #[error("{}: {error}{hint}", path.display())]
    Device {
        /// The device.
        path: PathBuf,
        /// Why.
        error: io::Error,
        /// What to do.
        hint: &'static str,
    },
    /// The device is neither a disk nor a file.
    #[error("{}: only a disk or a plain file can be written", .0.display())]
    NoMedium(PathBuf),
    /// The image cannot be used.
    #[error("image {}: {error}", path.display())]
    Image {
        /// The image.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Image and device are one file.
    #[error("{}: this is the image itself", .0.display())]
    Itself(PathBuf),
    /// The image is larger.
    #[error("{}: too small: it has {capacity} bytes, the image has {needed}", path.display())]
    TooSmall {
        /// The device.
        path: PathBuf,
        /// Its bytes.
        capacity: u64,
        /// The image's.
        needed: u64,
    },
    /// The file's file system is full.
    #[error("{}: no room for {needed} bytes on its file system: {error}", path.display())]
    Full {
        /// The file.
        path: PathBuf,
        /// The image's bytes.
        needed: u64,
        /// What the operating system says.
        error: io::Error,
    },
    /// There is nobody to ask.
    #[error("{}: nothing was written: there is no terminal to ask on, and no `--yes`", .0.display())]
    Unasked(PathBuf),
    /// The user does not want it.
    #[error("{}: nothing was written", .0.display())]
    Declined(PathBuf),
    /// It went wrong on the way.
    #[error("{}: {error}", path.display())]
    Transfer {
        /// The device.
        path: PathBuf,
        /// What went wrong, and where.
        error: transfer::Error,
    },
}

impl Error {
    /// Whether the device had been approved of and then failed, as opposed to a refusal.
    pub(crate) fn is_about_transfer(&self) -> bool {
        matches!(self, Self::Transfer { .. })
    }
}

/// The removable disks of this machine, for people.
///
/// # Errors
///
/// When the machine does not tell.
pub(crate) fn list() -> Result<String, Error> {
    let disks = Host::default().disks().map_err(Error::Host)?;
    let removable: Vec<_> = disks.iter().filter(|disk| disk.removable).collect();
    if removable.is_empty() {
        return Ok("There is no removable disk. Put the card into a reader, the reader into this machine, and look \
                   again.\n"
            .to_owned());
    }
    Ok(devices::table(removable))
}

/// Checks all that does not depend on the image, and says what the device is.
///
/// # Errors
///
/// Why it is not written.
pub(crate) fn check(options: &Options) -> Result<String, Error> {
    check_on(&Host::default(), options)
}

fn check_on(host: &Host, options: &Options) -> Result<String, Error> {
    let path = &options.device;
    let metadata = std::fs::metadata(path).map_err(|error| {
        // A device's name misspelt must not become a file.
        let hint = if path.starts_with("/dev") {
            "; `cargo xtask flash` lists the removable disks"
        } else {
            "; a file stands for a card of its size, make one with `truncate -s 4G FILE`"
        };
        Error::Device { path: path.clone(), error, hint }
    })?;
    let kind = metadata.file_type();
    if kind.is_file() {
        return Ok(format!("a file of {}", DecimalBytes(metadata.len())));
    }
    if !kind.is_block_device() {
        return Err(Error::NoMedium(path.clone()));
    }
    let number = metadata.rdev();
    let place = host.place(nix::sys::stat::major(number), nix::sys::stat::minor(number)).map_err(Error::Host)?;
    match place {
        None => Err(Refusal::Unknown(path.clone()).into()),
        Some(Place::Partition { of, .. }) => Err(Refusal::Partition { path: path.clone(), of }.into()),
        Some(Place::Disk(disk)) => {
            disk.may_be_written(path, options.force)?;
            Ok(disk.describe())
        }
    }
}

/// Writes `image` and reads it back; returns a line about what was done.
///
/// # Errors
///
/// [`Error`]: before the first write whatever can be found out then, and after it with the place.
pub(crate) fn run(image: &Path, options: &Options) -> Result<String, Error> {
    let path = &options.device;
    let what = check(options)?;
    let mut source = ImageFile::open(image).map_err(|error| Error::Image { path: image.to_owned(), error })?;
    let mut device = open(image, options)?;
    let needed = source.length();
    let capacity = device.capacity().map_err(|error| no_access(path, error))?;
    if capacity < needed {
        return Err(Error::TooSmall { path: path.clone(), capacity, needed });
    }
    if !options.yes {
        let question = format!(
            "Everything on {} ({what}) will be overwritten by {} ({}). Write it? [y/N] ",
            path.display(),
            image.display(),
            DecimalBytes(needed)
        );
        ask(path, &question)?;
    }
    if path.is_file() {
        device.reserve(needed).map_err(|error| Error::Full { path: path.clone(), needed, error })?;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    // Without a handler the key ends the program where it is, which does no harm either.
    let _ = ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed));
    let failed = |error| Error::Transfer { path: path.clone(), error };

    let bar = Bar::new(Phase::Write, needed);
    let written = transfer::write(&mut source, &mut device, options.changed_only, bar.watch(&stop));
    let written = written.map_err(failed)?;
    drop(bar);
    let bar = Bar::new(Phase::Compare, needed);
    transfer::compare(&mut source, &mut device, bar.watch(&stop)).map_err(failed)?;
    drop(bar);
    let how = match device.reading() {
        Reading::Direct => "past this machine's cache",
        Reading::CacheDropped => "after this machine was asked to empty its cache",
    };
    Ok(format!("{}: {needed} bytes, {written} of them written, all of them read back {how} and equal", path.display()))
}

fn open(image: &Path, options: &Options) -> Result<Device, Error> {
    let path = &options.device;
    let same = |one: std::fs::Metadata, other: std::fs::Metadata| (one.dev(), one.ino()) == (other.dev(), other.ino());
    if let (Ok(one), Ok(other)) = (std::fs::metadata(image), std::fs::metadata(path))
        && same(one, other)
    {
        return Err(Error::Itself(path.clone()));
    }
    Device::open(path, !options.force && !path.is_file()).map_err(|error| no_access(path, error))
}

fn no_access(path: &Path, error: io::Error) -> Error {
    let hint = match error.kind() {
        io::ErrorKind::PermissionDenied => "; run it with sudo, or join the group that owns the device (often `disk`)",
        io::ErrorKind::ResourceBusy => "; somebody has it in use: unmount it, and close what shows its contents",
        _ => "",
    };
    Error::Device { path: path.to_owned(), error, hint }
}

fn ask(path: &Path, question: &str) -> Result<(), Error> {
    if !io::stdin().is_terminal() {
        return Err(Error::Unasked(path.to_owned()));
    }
    eprint!("{question}");
    let mut answer = String::new();
    let read = io::stderr().flush().and_then(|()| io::stdin().lock().read_line(&mut answer));
    match (read, answer.trim().to_lowercase().as_str()) {
        (Ok(_), "y" | "yes") => Ok(()),
        _ => Err(Error::Declined(path.to_owned())),
    }
}

/// How far a phase is; gone when dropped.
struct Bar {
    bar: ProgressBar,
}

impl Bar {
    fn new(phase: Phase, length: u64) -> Self {
        let what = match phase {
            Phase::Write => "writing",
            Phase::Compare => "comparing",
        };
        if !io::stderr().is_terminal() {
            eprintln!("zelkova: {what} {}", DecimalBytes(length));
            return Self { bar: ProgressBar::hidden() };
        }
        let bar = ProgressBar::new(length);
        let template =
            "{prefix:>9} [{bar:30}] {decimal_bytes} of {decimal_total_bytes}, {decimal_bytes_per_sec}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(what);
        Self { bar }
    }

    fn watch(&self, stop: &AtomicBool) -> impl FnMut(Phase, u64) -> ControlFlow<()> {
        |_, done| {
            self.bar.set_position(done);
            if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(device: &Path) -> Options {
        Options { device: device.to_owned(), force: false, yes: true, changed_only: false }
    }

    /// An image of `bytes` bytes and a file of `capacity`.
    fn files(bytes: usize, capacity: u64) -> (tempfile::TempDir, PathBuf, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let (image, card) = (folder.path().join("image"), folder.path().join("card"));
        let contents: Vec<u8> = (0..bytes).map(|index| (index * 31 + index / 4096) as u8).collect();
        std::fs::write(&image, contents).unwrap();
        std::fs::File::create(&card).unwrap().set_len(capacity).unwrap();
        (folder, image, card)
    }

    #[test]
    fn a_file_stands_for_a_card() {
        let (_folder, image, card) = files((2 << 20) + 777, 4 << 20);
        let said = run(&image, &options(&card)).unwrap();
        assert!(said.contains("2097929 bytes, 2097929 of them written"), "{said}");
        let (image_bytes, card_bytes) = (std::fs::read(&image).unwrap(), std::fs::read(&card).unwrap());
        assert_eq!(card_bytes.len(), 4 << 20, "a card keeps its size");
        assert_eq!(card_bytes[..image_bytes.len()], image_bytes[..]);
        let again = Options { changed_only: true, ..options(&card) };
        let said = run(&image, &again).unwrap();
        assert!(said.contains(", 0 of them written"), "{said}");
    }

    #[test]
    fn too_small_and_full_are_found_before_the_first_write() {
        let (_folder, image, card) = files(10_000, 9_999);
        let error = run(&image, &options(&card)).unwrap_err();
        assert!(matches!(error, Error::TooSmall { capacity: 9_999, needed: 10_000, .. }), "{error}");
        assert!(std::fs::read(&card).unwrap().iter().all(|byte| *byte == 0));
        let full = Path::new("/dev/full");
        assert!(matches!(run(&image, &options(full)), Err(Error::NoMedium(_))));
    }

    #[test]
    fn what_is_no_card_is_refused() {
        let (folder, image, card) = files(100, 100);
        assert!(matches!(run(&image, &options(folder.path())), Err(Error::NoMedium(_))));
        assert!(matches!(run(&image, &options(&image)), Err(Error::Itself(_))));
        let error = run(&image, &options(Path::new("/dev/no-such-disk"))).unwrap_err();
        assert!(error.to_string().contains("lists the removable disks"), "{error}");
        assert!(!Path::new("/dev/no-such-disk").exists());
        let error = run(&folder.path().join("missing"), &options(&card)).unwrap_err();
        assert!(matches!(error, Error::Image { .. }), "{error}");
        std::fs::write(&image, "").unwrap();
        assert!(run(&image, &options(&card)).unwrap_err().to_string().contains("empty"));
    }

    #[test]
    fn without_a_terminal_and_without_yes_nothing_is_written() {
        let (_folder, image, card) = files(100, 100);
        // Under a test runner standard input may be a terminal, which nobody answers.
        if !io::stdin().is_terminal() {
            let error = run(&image, &Options { yes: false, ..options(&card) }).unwrap_err();
            assert!(matches!(error, Error::Unasked(_)), "{error}");
            assert!(std::fs::read(&card).unwrap().iter().all(|byte| *byte == 0));
        }
    }
}
