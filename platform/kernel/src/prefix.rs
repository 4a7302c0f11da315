//! Opening and checking a prefix.

use std::{
    fs,
    path::{Path, PathBuf},
};

use elf::{ElfBytes, abi, endian::AnyEndian, file::Class};
use sha2_host::{Digest, Sha256};

use crate::{
    config::Config,
    error::{At, Error, Result},
    source::hex,
};

const KERNEL: &str = "bin/kernel.elf";
const INCLUDE: &str = "libsel4/include";
const CONFIG: &str = "libsel4/include/kernel/gen_config.json";

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
];

/// End of the RAM that is certain to be there, and in which the loader puts the kernel: 512 MiB.
const RAM_END: u64 = 0x2000_0000;

/// The kernel's part of every 32-bit ARM address space begins here.
const KERNEL_BASE: u64 = 0xe000_0000;

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
    /// - [`Error::KernelElf`], [`Error::KernelMachine`] and [`Error::KernelAddress`] if the kernel cannot run
    /// - [`Error::ConfigSyntax`] and [`Error::ConfigValue`] if the configuration is damaged or not supported
    /// - [`Error::Io`] if a file cannot be read
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = std::path::absolute(dir.as_ref()).at("find", dir.as_ref())?;
        let missing: Vec<_> =
            REQUIRED.iter().filter(|file| !dir.join(file).is_file()).map(|&file| file.to_owned()).collect();
        if !missing.is_empty() {
            return Err(Error::MissingFiles { dir, files: missing });
        }

        let path = dir.join(KERNEL);
        let kernel = fs::read(&path).at("read", &path)?;
        check_kernel(&path, &kernel)?;

        let path = dir.join(CONFIG);
        let json = fs::read(&path).at("read", &path)?;
        let config = std::str::from_utf8(&json)
            .map_err(|error| error.to_string())
            .and_then(Config::parse)
            .map_err(|problem| Error::ConfigSyntax { path: path.clone(), problem })?;
        check_config(&path, &config)?;

        let mut hash = Sha256::new();
        for part in [&kernel, &json] {
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

    /// SHA-256 of kernel and configuration, 64 hexadecimal digits; for the keys of caches.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

/// Checks that `kernel`, read from `path`, is complete, for 32-bit ARM, and at home in this board's RAM.
fn check_kernel(path: &Path, kernel: &[u8]) -> Result<()> {
    let damaged = |problem: String| Error::KernelElf { path: path.into(), problem };
    let misplaced = |problem: String| Error::KernelAddress { path: path.into(), problem };

    let file = ElfBytes::<AnyEndian>::minimal_parse(kernel).map_err(|error| damaged(error.to_string()))?;
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
            return Err(damaged(format!(
                "it is cut off: a segment ends at byte {}, the file at {}",
                segment.p_offset + segment.p_filesz,
                kernel.len()
            )));
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
    // The kernel would wait for the other core, which the loader does not start.
    if config.number("MAX_NUM_NODES").is_some_and(|nodes| nodes != 1) {
        return fail("MAX_NUM_NODES", "1 (one core runs)", "-DKernelMaxNumNodes=1");
    }
    Ok(())
}
