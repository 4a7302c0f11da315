//! Opening and checking a prefix.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use elf::{ElfBytes, ParseError, abi, endian::AnyEndian, file::Class};
use serde::Deserialize;
use sha2_host::{Digest, Sha256};

use crate::{
    config::Config,
    error::{At, Error, Result},
    source::hex,
};

const KERNEL: &str = "bin/kernel.elf";
const INCLUDE: &str = "libsel4/include";
const CONFIG: &str = "libsel4/include/kernel/gen_config.json";
pub(crate) const PLATFORM: &str = "support/platform_gen.json";

/// The files without which nothing can be generated or started.
const REQUIRED: &[&str] = &[
    KERNEL,
    CONFIG,
    "libsel4/include/autoconf.h",
    "libsel4/include/api/syscall.xml",
    "libsel4/include/interfaces/object-api.xml",
    "libsel4/include/interfaces/object-api-arch.xml",
    "libsel4/include/interfaces/object-api-sel4-arch.xml",
    "libsel4/include/sel4/bootinfo_types.h",
    "libsel4/include/sel4/constants.h",
    "libsel4/include/sel4/errors.h",
    "libsel4/include/sel4/objecttype.h",
    "libsel4/include/sel4/types.h",
    PLATFORM,
];

/// End of the board's RAM, which begins at 0: 512 MiB.
pub(crate) const RAM_END: u64 = 0x2000_0000;

/// The kernel's part of every 32-bit ARM address space begins here.
const KERNEL_BASE: u64 = 0xe000_0000;

/// How a kernel was built, as far as it matters to who runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Configuration {
    /// Without console and assertions.
    Release,
    /// With console, or assertions and system calls for debugging. Everything takes longer: nothing is to be measured on it.
    Debug,
    /// A release of what the proofs are about: nothing that they leave out is compiled in.
    Verified,
}

impl fmt::Display for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Release => "release",
            Self::Debug => "debug",
            Self::Verified => "verified",
        })
    }
}

/// A kernel and the description of its interface.
#[derive(Clone, Debug)]
pub struct Prefix {
    dir: PathBuf,
    config: Config,
    fingerprint: String,
}

impl Prefix {
    /// Opens and checks the prefix in `dir`.
    ///
    /// # Errors
    ///
    /// - [`Error::MissingFiles`] if `dir` does not have the layout of a prefix
    /// - [`Error::ConfigSyntax`] and [`Error::ConfigValue`] if the configuration is damaged or not supported
    /// - [`Error::KernelElf`], [`Error::KernelMachine`] and [`Error::KernelAddress`] if the kernel cannot run
    /// - [`Error::Memory`] if the kernel is for a board with other RAM
    /// - [`Error::Io`] if `dir` does not exist or a file cannot be read
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = std::path::absolute(dir.as_ref()).at("find", dir.as_ref())?;
        fs::metadata(&dir).at("find the seL4 prefix", &dir)?;
        let missing: Vec<_> =
            REQUIRED.iter().filter(|file| !dir.join(file).is_file()).map(|&file| file.to_owned()).collect();
        // Other platforms have other files: that it is another platform says more than which of them are missing.
        let json = read_json(&dir, CONFIG);
        if let Ok((path, json)) = &json
            && let Ok(config) = Config::parse(json)
        {
            check_config(path, &config)?;
        }
        if !missing.is_empty() {
            return Err(Error::MissingFiles { dir, files: missing });
        }
        let (path, json) = json?;
        let config = Config::parse(&json).map_err(|problem| Error::ConfigSyntax { path, problem })?;

        let path = dir.join(KERNEL);
        let kernel = fs::read(&path).at("read", &path)?;
        check_kernel(&path, &kernel)?;

        let (path, platform) = read_json(&dir, PLATFORM)?;
        check_memory(path, &platform)?;

        let mut hash = Sha256::new();
        for part in [kernel.as_slice(), json.as_bytes()] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Ok(Self { dir, config, fingerprint: hex(&hash.finalize()) })
    }

    /// The prefix directory, an absolute path.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The kernel, an ELF file.
    pub fn kernel_elf(&self) -> PathBuf {
        self.dir.join(KERNEL)
    }

    /// The directory of headers and interface files.
    pub fn include(&self) -> PathBuf {
        self.dir.join(INCLUDE)
    }

    /// The kernel's configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// How the kernel was built.
    pub fn configuration(&self) -> Configuration {
        if self.config.is_set("DEBUG_BUILD") || self.config.is_set("PRINTING") {
            Configuration::Debug
        } else if self.config.is_set("VERIFICATION_BUILD") {
            Configuration::Verified
        } else {
            Configuration::Release
        }
    }

    /// SHA-256 of kernel and configuration, 64 hexadecimal digits; for the keys of caches.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

/// Reads a JSON file of the prefix in `dir`.
fn read_json(dir: &Path, file: &str) -> Result<(PathBuf, String)> {
    let path = dir.join(file);
    let text = fs::read(&path).at("read", &path)?;
    match String::from_utf8(text) {
        Ok(text) => Ok((path, text)),
        Err(error) => Err(Error::ConfigSyntax { path, problem: error.to_string() }),
    }
}

/// What the seL4 build takes out of the devicetree, as far as it matters.
#[derive(Deserialize)]
struct Platform {
    /// RAM.
    memory: Vec<Region>,
}

#[derive(Deserialize)]
struct Region {
    start: u64,
    end: u64,
}

/// Checks that the kernel hands out the board's RAM, all of it and nothing else.
fn check_memory(path: PathBuf, json: &str) -> Result<()> {
    let platform: Platform = match serde_json::from_str(json) {
        Ok(platform) => platform,
        Err(error) => return Err(Error::ConfigSyntax { path, problem: format!("no list of RAM regions: {error}") }),
    };
    if matches!(platform.memory.as_slice(), [Region { start: 0, end: RAM_END }]) {
        return Ok(());
    }
    let regions: Vec<_> = platform.memory.iter().map(|Region { start, end }| format!("{start:#x}..{end:#x}")).collect();
    let bytes =
        platform.memory.iter().map(|Region { start, end }| end.saturating_sub(*start)).fold(0, u64::saturating_add);
    Err(Error::Memory { path, found: regions.join(", "), mebibytes: bytes >> 20 })
}

/// Checks that `kernel`, read from `path`, is complete, for 32-bit ARM, and at home in this board's RAM.
fn check_kernel(path: &Path, kernel: &[u8]) -> Result<()> {
    let damaged = |problem: String| Error::KernelElf { path: path.into(), problem };
    let misplaced = |problem: String| Error::KernelAddress { path: path.into(), problem };

    let cut_off = |needed: u64| damaged(format!("it is cut off: it has {} bytes of at least {needed}", kernel.len()));
    let file = ElfBytes::<AnyEndian>::minimal_parse(kernel).map_err(|error| match error {
        ParseError::SliceReadError((_, end)) if end > kernel.len() => cut_off(end as u64),
        error => damaged(error.to_string()),
    })?;
    let header = &file.ehdr;
    if header.class != Class::ELF32 || header.e_machine != abi::EM_ARM || header.endianness != AnyEndian::Little {
        let found = format!("for machine {} ({:?}, {:?} endian)", header.e_machine, header.class, header.endianness);
        return Err(Error::KernelMachine { path: path.into(), found });
    }
    if header.e_type != abi::ET_EXEC {
        return Err(damaged(format!("its type is {}, not {} (executable)", header.e_type, abi::ET_EXEC)));
    }

    let segments: Vec<_> = file
        .segments()
        .ok_or_else(|| damaged("it has no program headers".into()))?
        .iter()
        .filter(|segment| segment.p_type == abi::PT_LOAD && segment.p_memsz > 0)
        .collect();
    let first = segments.first().ok_or_else(|| damaged("it has nothing to load".into()))?;
    // All fields are 32 bits wide in the file: the sums below cannot overflow.
    let offset = first.p_vaddr.wrapping_sub(first.p_paddr);
    for segment in &segments {
        let (virtual_start, start, end) = (segment.p_vaddr, segment.p_paddr, segment.p_paddr + segment.p_memsz);
        if segment.p_offset + segment.p_filesz > kernel.len() as u64 {
            return Err(cut_off(segment.p_offset + segment.p_filesz));
        }
        if segment.p_filesz > segment.p_memsz {
            return Err(damaged(format!("the segment at {start:#x} is larger in the file than in memory")));
        }
        if end > RAM_END {
            return Err(misplaced(format!(
                "it needs RAM at {start:#x}..{end:#x}, but the board's RAM ends at {RAM_END:#x}"
            )));
        }
        if virtual_start < KERNEL_BASE {
            return Err(misplaced(format!(
                "its virtual address is {virtual_start:#x}, but the kernel's half begins at {KERNEL_BASE:#x}"
            )));
        }
        if virtual_start.wrapping_sub(start) != offset {
            return Err(misplaced(format!(
                "its segments do not have one offset between virtual and physical addresses ({offset:#x} and {:#x})",
                virtual_start.wrapping_sub(start)
            )));
        }
    }
    let entry = header.e_entry;
    if !segments.iter().any(|segment| (segment.p_vaddr..segment.p_vaddr + segment.p_memsz).contains(&entry)) {
        return Err(misplaced(format!("its entry point {entry:#x} is in none of its segments")));
    }
    Ok(())
}

/// Checks the options on which the user land depends.
fn check_config(path: &Path, config: &Config) -> Result<()> {
    let fail = |option, expected, advice| {
        let found = config
            .iter()
            .find(|(name, _)| *name == option)
            .map_or_else(|| "not set".to_owned(), |(_, value)| value.to_string());
        Err(Error::ConfigValue { path: path.into(), option, found, expected, advice })
    };
    if config.text("PLAT") != Some("zynq7000") {
        return fail("PLAT", "zynq7000", "-DKernelPlatform=zynq7000");
    }
    if config.text("SEL4_ARCH") != Some("aarch32") {
        return fail("SEL4_ARCH", "aarch32", "-DKernelSel4Arch=aarch32");
    }
    if config.number("WORD_SIZE") != Some(32) {
        return fail("WORD_SIZE", "32", "-DKernelSel4Arch=aarch32");
    }
    if config.is_set("KERNEL_MCS") {
        return fail("KERNEL_MCS", "off (threads have no scheduling contexts here)", "-DKernelIsMCS=OFF");
    }
    for (option, value, expected, advice) in [
        ("ROOT_CNODE_SIZE_BITS", 12, "12 (core's capability space is built on that)", "-DKernelRootCNodeSizeBits=12"),
        ("NUM_PRIORITIES", 256, "256", "-DKernelNumPriorities=256"),
        ("RETYPE_FAN_OUT_LIMIT", 256, "256", "-DKernelRetypeFanOutLimit=256"),
    ] {
        if config.number(option) != Some(value) {
            return fail(option, expected, advice);
        }
    }
    // The kernel would wait for the other core, which the loader does not start.
    if config.number("MAX_NUM_NODES").is_some_and(|nodes| nodes != 1) {
        return fail("MAX_NUM_NODES", "1 (one core runs)", "-DKernelMaxNumNodes=1");
    }
    Ok(())
}
