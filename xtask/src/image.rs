//! `cargo xtask image`: what the board boots from, in a folder.
//!
//! # Theory of operation
//!
//! 1. The scenario becomes the same ELF file that the emulator starts, with one difference: the SD drivers' policies are
//!    moved to the data partition ([`Scenario::within`]), since the card now also holds the boot files, which no
//!    component has any business with.
//! 2. Boot loader, bitstream and that file become `BOOT.BIN`, by our own bootgen, in the order in which the boot loader
//!    takes them: the logic is there before the system starts. What bootgen warns of is shown, and the finished image
//!    is verified.
//! 3. `BOOT.BIN`, a second image `BOOT.ALT` if one is wanted, and the scenario's data become `sdcard.img`
//!    ([`harness::boot_card`]).
//!
//! Nothing of this depends on the time, so that two builds of the same tree by the same tools are equal, byte for byte.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use bootgen::bif::{self, Input, KeyFiles, Kind, Spec};
use bootgen::build::{Image, Options as BuildOptions};
use bootgen::check::FileSource;
use bootgen::check::verify::{Known, verify};
use bootgen::load::part;
use bootgen::output::Format;
use clap::ValueEnum;
use harness::boot_card::{self, BootFile};

use crate::pipeline::Pipeline;
use crate::scenario::Scenario;

/// The boards that images are made for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Board {
    /// Avnet/Digilent ZedBoard
    #[default]
    Zedboard,
}

impl Board {
    /// Its chip, as bitstreams name it.
    fn part(self) -> &'static str {
        match self {
            Self::Zedboard => "7z020",
        }
    }
}

/// How images are made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// For which board.
    pub(crate) board: Board,
    /// What the programmable logic is configured with.
    pub(crate) bitstream: Option<PathBuf>,
    /// Another first-stage boot loader than ours.
    pub(crate) boot_loader: Option<PathBuf>,
    /// The image for when `BOOT.BIN` does not verify.
    pub(crate) fallback: Option<Fallback>,
    /// Partitions get MD5 sums.
    pub(crate) md5: bool,
    /// A folder with keys, or a description that names them.
    pub(crate) sign: Option<PathBuf>,
}

/// The second boot image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fallback {
    /// The same as the first.
    Same,
    /// That one.
    File(PathBuf),
}

/// What was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Made {
    /// The boot image.
    pub(crate) boot: PathBuf,
    /// The card.
    pub(crate) card: PathBuf,
    /// SHA-256 of the primary public key that the image is signed with, in hexadecimal digits.
    pub(crate) key: Option<String>,
}

/// Makes `BOOT.BIN` and `sdcard.img` of `scenario` in `folder`, which is made if it does not exist.
///
/// # Errors
///
/// When something is missing, does not fit, or cannot be written.
pub(crate) fn make(
    pipeline: &Pipeline<'_>,
    scenario: &Scenario,
    options: &Options,
    folder: &Path,
) -> anyhow::Result<Made> {
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let scenario = match &scenario.card {
        Some(recipe) => {
            let (first, sectors) = boot_card::data_partition(recipe);
            scenario.clone().within(first, sectors)?
        }
        None => scenario.clone(),
    };
    if let Some(bitstream) = &options.bitstream {
        check_part(bitstream, options.board)?;
    }
    let keys = options.sign.as_deref().map(keys).transpose()?;
    let boot_loader = match &options.boot_loader {
        Some(file) => file.clone(),
        None => pipeline.boot_loader()?,
    };
    let system = folder.join(format!("{}.elf", scenario.system()));
    pipeline.build_as(&scenario, &system)?;

    let boot = folder.join("BOOT.BIN");
    let spec = describe(&boot_loader, options.bitstream.as_deref(), &system, options.md5, keys);
    let key = write_boot_image(&spec, &boot, options.boot_loader.is_none())?;
    let mut files = vec![BootFile { name: "BOOT.BIN", contents: boot.clone() }];
    match &options.fallback {
        None => {}
        Some(Fallback::Same) => files.push(BootFile { name: "BOOT.ALT", contents: boot.clone() }),
        Some(Fallback::File(file)) => files.push(BootFile { name: "BOOT.ALT", contents: file.clone() }),
    }
    let card = folder.join("sdcard.img");
    boot_card::build(&card, &files, scenario.card.as_ref()).context("the card cannot be built")?;
    Ok(Made { boot, card, key })
}

/// Refuses a bitstream for another chip, which the board's would not take; an `.rbt` file does not say.
fn check_part(bitstream: &Path, board: Board) -> anyhow::Result<()> {
    if bitstream.extension().is_some_and(|extension| extension == "bit") {
        let part = part(bitstream)?;
        let wanted = board.part();
        ensure!(part.contains(wanted), "{} is for the part {part}, the board has a {wanted}", bitstream.display());
    }
    Ok(())
}

/// What a boot image consists of.
fn describe(boot_loader: &Path, bitstream: Option<&Path>, system: &Path, md5: bool, keys: Option<KeyFiles>) -> Spec {
    let authenticate = keys.is_some();
    let input = |path: &Path, kind| Input {
        path: path.to_owned(),
        kind,
        // The boot ROM knows no MD5 sums.
        md5: md5 && kind != Kind::Bootloader,
        authenticate,
        ..Input::default()
    };
    let mut inputs = vec![input(boot_loader, Kind::Bootloader)];
    inputs.extend(bitstream.map(|path| input(path, Kind::Data)));
    inputs.push(input(system, Kind::Data));
    Spec { name: "zelkova".to_owned(), keys: keys.unwrap_or_default(), inputs, ..Spec::default() }
}

/// Writes a boot image and verifies it; returns the hash of its primary key if it is signed.
///
/// `own_loader` says that our boot loader is in it, which does not have the vendor's limits.
fn write_boot_image(spec: &Spec, path: &Path, own_loader: bool) -> anyhow::Result<Option<String>> {
    let options = BuildOptions::default();
    let image = Image::plan(spec, &options).context("the boot image cannot be made")?;
    for warning in image.warnings.iter().filter(|warning| !(own_loader && warning.vendor_loader)) {
        eprintln!("warning: {}: {warning}", path.display());
    }
    let mut sink = Format::Bin { fill: options.fill }.create(path)?;
    image.write(sink.as_mut(), &mut |_| ()).context("the boot image cannot be made")?;
    drop(sink);
    let mut source = FileSource::open(path).with_context(|| path.display().to_string())?;
    let verdict = verify(&mut source, &Known::default()).with_context(|| path.display().to_string())?;
    ensure!(verdict.is_sound(), "{}: the image that was just made does not verify:\n{verdict:#?}", path.display());
    Ok(verdict.checked.primary)
}

/// The files of the keys in a folder (`primary.pem` and `secondary.pem`), or those that a description names.
fn keys(from: &Path) -> anyhow::Result<KeyFiles> {
    if from.is_dir() {
        let file = |name: &str| {
            let path = from.join(name);
            let advice = format!("make it with `bootgen keygen rsa {}`", path.display());
            if path.is_file() { Ok(path) } else { bail!("--sign: there is no {}; {advice}", path.display()) }
        };
        return Ok(KeyFiles {
            primary_secret: Some(file("primary.pem")?),
            secondary_secret: Some(file("secondary.pem")?),
            ..KeyFiles::default()
        });
    }
    let text = std::fs::read_to_string(from).with_context(|| format!("--sign {}", from.display()))?;
    let specs = bif::parse(from, &text)?;
    let keys = specs.into_iter().map(|spec| spec.keys).find(|keys| keys.secondary_secret.is_some());
    keys.with_context(|| {
        format!("--sign {}: the description names no keys; add `[pskfile] FILE` and `[sskfile] FILE`", from.display())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program of one segment at `address`.
    fn elf(address: u32, contents: &[u8]) -> Vec<u8> {
        let mut file = vec![0x7F, b'E', b'L', b'F', 1, 1, 1];
        file.resize(16, 0);
        let word = |file: &mut Vec<u8>, value: u32| file.extend(value.to_le_bytes());
        file.extend([2, 0, 40, 0]);
        for value in [1, address, 52, 0, 0x0500_0000, 0x0020_0034, 0x0028_0001, 0] {
            word(&mut file, value);
        }
        let length = contents.len() as u32;
        for value in [1, 84, address, address, length, length, 5, 4] {
            word(&mut file, value);
        }
        file.extend(contents);
        file
    }

    /// A bitstream of a few words.
    fn bitstream() -> Vec<u8> {
        let words = [0xFFFF_FFFF, 0xAA99_5566, 0x2000_0000, 0x3000_8001, 0x0000_000D, 0x2000_0000];
        models::bitstream::file("7z020clg484", &words)
    }

    struct Scratch(tempfile::TempDir);

    impl Scratch {
        fn new() -> Self {
            let scratch = Self(tempfile::tempdir().unwrap());
            std::fs::write(scratch.path("fsbl.elf"), elf(0, &[1; 5000])).unwrap();
            std::fs::write(scratch.path("demo.elf"), elf(0x10_0000, &[2; 9001])).unwrap();
            std::fs::write(scratch.path("top.bit"), bitstream()).unwrap();
            scratch
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        /// An image, and its primary key's hash.
        fn image(&self, bitstream: bool, md5: bool, keys: Option<KeyFiles>) -> (Vec<u8>, Option<String>) {
            let bit = self.path("top.bit");
            let bit = bitstream.then_some(bit.as_path());
            let spec = describe(&self.path("fsbl.elf"), bit, &self.path("demo.elf"), md5, keys);
            let key = write_boot_image(&spec, &self.path("BOOT.BIN"), true).unwrap();
            (std::fs::read(self.path("BOOT.BIN")).unwrap(), key)
        }
    }

    /// The keys of bootgen's own tests.
    fn key_folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../bootgen/tests/keys")
    }

    fn word(image: &[u8], at: usize) -> u32 {
        u32::from_le_bytes(image[at..at + 4].try_into().unwrap())
    }

    #[test]
    fn an_image_has_the_parts_that_were_asked_for_in_the_right_order() {
        let scratch = Scratch::new();
        let (plain, key) = scratch.image(false, false, None);
        assert_eq!((word(&plain, 0x8C4), key), (2, None), "boot loader and system");
        let (with_logic, _) = scratch.image(true, true, None);
        assert_eq!(word(&with_logic, 0x8C4), 3);
        let destinations = [0xC80, 0xCC0, 0xD00].map(|header| word(&with_logic, header + 0x18) >> 4 & 0xF);
        assert_eq!(destinations, [1, 2, 1], "processor, logic, processor");
        let md5 = [0xC80, 0xCC0, 0xD00].map(|header| word(&with_logic, header + 0x20) != 0);
        assert_eq!(md5, [false, true, true]);
    }

    #[test]
    fn two_builds_are_equal() {
        let scratch = Scratch::new();
        let keys = || Some(keys(&key_folder()).unwrap());
        assert_eq!(scratch.image(true, true, keys()), scratch.image(true, true, keys()));
    }

    #[test]
    fn an_image_is_signed_with_the_keys_of_a_folder_or_description() {
        let scratch = Scratch::new();
        let (signed, key) = scratch.image(true, false, Some(keys(&key_folder()).unwrap()));
        assert_eq!(key.unwrap().len(), 64);
        let flags = [0xC80, 0xCC0, 0xD00].map(|header| word(&signed, header + 0x18) >> 15 & 1);
        assert_eq!(flags, [1, 1, 1], "each partition has a certificate");

        let folder = key_folder();
        let description = format!(
            "the_image: {{ [pskfile] \"{0}/primary.pem\" [sskfile] \"{0}/secondary.pem\" \"x.elf\" }}",
            folder.display()
        );
        std::fs::write(scratch.path("keys.bif"), description).unwrap();
        let (other, _) = scratch.image(true, false, Some(keys(&scratch.path("keys.bif")).unwrap()));
        assert!(signed == other, "the same keys give the same image");
    }

    #[test]
    fn a_bitstream_for_another_chip_is_refused() {
        let scratch = Scratch::new();
        check_part(&scratch.path("top.bit"), Board::Zedboard).unwrap();
        let mut other = bitstream();
        let digit = other.windows(5).position(|part| part == b"7z020").unwrap() + 3;
        other[digit] = b'1';
        std::fs::write(scratch.path("other.bit"), other).unwrap();
        let error = check_part(&scratch.path("other.bit"), Board::Zedboard).unwrap_err().to_string();
        assert!(error.contains("for the part 7z010clg484"), "{error}");
    }

    #[test]
    fn missing_keys_are_named() {
        let scratch = Scratch::new();
        let error = keys(scratch.0.path()).unwrap_err().to_string();
        assert!(error.contains("primary.pem; make it with `bootgen keygen rsa"), "{error}");
        std::fs::write(scratch.path("none.bif"), "the_image: { \"x.elf\" }").unwrap();
        let error = keys(&scratch.path("none.bif")).unwrap_err().to_string();
        assert!(error.contains("[pskfile]"), "{error}");
    }
}
