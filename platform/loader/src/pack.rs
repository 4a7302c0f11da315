//! Joins loader, kernel, core and modules into one executable.
//!
//! The result is an ELF32 ARM executable of three loadable segments: kernel, user image, loader. Virtual and physical
//! addresses are equal in it, since whoever reads the file runs without the MMU; the entry point is the loader's. Each
//! segment is written out in full, bss included, so that a reader has nothing to clear and no gap keeps what the RAM held
//! before.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;

use object::elf::{self, FileHeader32, PF_R, PF_W, PF_X, PT_LOAD};
use object::read::elf::{ElfFile32, FileHeader as _, ProgramHeader as _};
use object::write::elf::{FileHeader, ProgramHeader, Writer};
use object::{Endianness, Object as _, ObjectSection as _};
use zerocopy::IntoBytes as _;

use crate::modules::{self, Entry, Header, MAX_MODULES, MAX_NAME, Modules};
use crate::params::{self, Parameters};
use crate::{CORE_BASE, KERNEL_WINDOW, LOADER_BASE, PAGE, RAM_END};

/// Name of the loader's section that holds its parameters.
const PARAMETERS: &str = ".params";

/// What goes into an image.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// The loader as linked: this package's `loader`, built for the target.
    pub loader_elf: &'a [u8],
    /// The kernel as linked: virtual [`KERNEL_WINDOW`] at physical 0.
    pub kernel_elf: &'a [u8],
    /// The root task as linked, at [`CORE_BASE`].
    pub core_elf: &'a [u8],
    /// The boot modules, by name, in the order of the table.
    pub modules: &'a [(String, Vec<u8>)],
}

/// One of the inputs, for errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// [`Inputs::loader_elf`].
    Loader,
    /// [`Inputs::kernel_elf`].
    Kernel,
    /// [`Inputs::core_elf`].
    Core,
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loader => "loader",
            Self::Kernel => "kernel",
            Self::Core => "core",
        })
    }
}

/// Why there is no image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PackError {
    /// The bytes are no well-formed 32-bit ELF file.
    #[error("{input}: not a 32-bit ELF file: {cause}")]
    NotElf {
        /// Which input.
        input: Input,
        /// What the reader said.
        cause: String,
    },
    /// An ELF file, but not a little-endian ARM executable.
    #[error("{input}: not a little-endian ARM executable: build it for armv7a-none-eabi")]
    NotArm {
        /// Which input.
        input: Input,
    },
    /// No segment has anything to load.
    #[error("{input}: nothing in it is to be loaded")]
    Empty {
        /// Which input.
        input: Input,
    },
    /// A segment ends beyond what 32 bits can address, or holds more bytes in the file than in memory.
    #[error("{input}: the segment at virtual {address:#010x} has impossible sizes")]
    Segment {
        /// Which input.
        input: Input,
        /// The segment's virtual address.
        address: u32,
    },
    /// Two segments of one input overlap.
    #[error("{input}: two segments overlap at {address:#010x}")]
    SegmentsOverlap {
        /// Which input.
        input: Input,
        /// Where the later of them begins.
        address: u32,
    },
    /// The input does not begin at the address it has to.
    #[error(
        "{input}: begins at {address:#010x}, must be linked at {expected:#010x}: check its linker script or arguments"
    )]
    Base {
        /// Which input.
        input: Input,
        /// Where its first page begins.
        address: u32,
        /// Where it should.
        expected: u32,
    },
    /// A segment of the kernel lies elsewhere in physical memory than its window maps it.
    #[error(
        "kernel: the segment at virtual {address:#010x} has physical address {physical:#010x}, must have {expected:#010x}"
    )]
    Physical {
        /// Virtual address of the segment.
        address: u32,
        /// Its physical address.
        physical: u32,
        /// The one it must have.
        expected: u32,
    },
    /// The entry point is not in a segment that can be executed.
    #[error("{input}: its entry point {entry:#010x} is not within an executable segment")]
    Entry {
        /// Which input.
        input: Input,
        /// The entry point.
        entry: u32,
    },
    /// The loader has no section for its parameters, or one of another size.
    #[error("loader: no section {PARAMETERS} of {} bytes: build it from the same sources as this tool", size_of::<Parameters>())]
    NoParameters,
    /// The loader does not fit between its base and the end of RAM.
    #[error("loader: ends at {end:#010x}, beyond the end of RAM at {RAM_END:#010x}")]
    LoaderBeyondRam {
        /// Its end.
        end: u64,
    },
    /// Kernel, core and modules do not fit in front of the loader.
    #[error("{what}: ends at {end:#010x} and so overlaps the loader at {LOADER_BASE:#010x}: {} bytes too many", end - u64::from(LOADER_BASE))]
    TooLarge {
        /// Kernel, core, or the name of the module that reaches into the loader.
        what: String,
        /// Its end.
        end: u64,
    },
    /// More modules than the table can have.
    #[error("{0} modules, at most {MAX_MODULES} are possible")]
    TooManyModules(usize),
    /// The name is empty or holds a zero byte.
    #[error("module {index}: the name {name:?} is not valid: it must not be empty nor contain a zero byte")]
    Name {
        /// Place in the list.
        index: usize,
        /// The name.
        name: String,
    },
    /// The name does not fit the table.
    #[error("module {name:?}: the name has {} bytes, at most {MAX_NAME} are possible", name.len())]
    NameTooLong {
        /// The name.
        name: String,
    },
    /// Two modules have one name.
    #[error("module {name:?}: there are two of that name")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// The loader would refuse the image: kernel and core fit it, but not each other.
    #[error("the image would not start: {0}")]
    Parameters(#[from] params::Error),
    /// The loader would refuse the module table.
    #[error("the image would not start: {0}")]
    Modules(#[from] modules::Error),
    /// The result could not be written as an ELF file.
    #[error("the image cannot be written: {0}")]
    Write(String),
}

/// Packs an image; see the [crate's documentation](crate) for its layout.
///
/// # Errors
/// What is wrong with which input, or what does not fit.
pub fn pack(inputs: &Inputs<'_>) -> Result<Vec<u8>, PackError> {
    let mut loader = Program::read(Input::Loader, inputs.loader_elf)?;
    loader.expect_base(LOADER_BASE)?;
    let loader_end = pages(loader.end());
    if loader_end > u64::from(RAM_END) {
        return Err(PackError::LoaderBeyondRam { end: loader_end });
    }

    let mut kernel = Program::read(Input::Kernel, inputs.kernel_elf)?;
    kernel.expect_base(KERNEL_WINDOW)?;
    kernel.expect_physical(KERNEL_WINDOW)?;
    let kernel_end = fits(&Input::Kernel, pages(kernel.end()) - u64::from(KERNEL_WINDOW))?;
    kernel.bytes.resize(kernel_end as usize, 0);

    let core = Program::read(Input::Core, inputs.core_elf)?;
    core.expect_base(CORE_BASE)?;
    let core_bytes = pages(core.bytes.len() as u64);
    let table = fits(&Input::Core, u64::from(kernel_end) + core_bytes)?;
    let mut image = core.bytes;
    image.resize(core_bytes as usize, 0);
    append_modules(&mut image, table, inputs.modules)?;
    let image_end = fits(&"modules", u64::from(kernel_end) + image.len() as u64)?;
    Modules::parse(image.get(core_bytes as usize..).unwrap_or_default())?;

    let parameters = Parameters {
        magic: params::MAGIC.into(),
        version: params::VERSION.into(),
        kernel_start: 0.into(),
        kernel_end: kernel_end.into(),
        kernel_entry: kernel.entry.into(),
        image_start: kernel_end.into(),
        image_end: image_end.into(),
        image_entry: core.entry.into(),
        modules: table.into(),
    };
    parameters.check(&(LOADER_BASE..loader_end as u32))?;
    let place = loader.parameters.ok_or(PackError::NoParameters)?;
    loader.bytes.get_mut(place).ok_or(PackError::NoParameters)?.copy_from_slice(parameters.as_bytes());

    write(loader.entry, &[(0, &kernel.bytes), (kernel_end, &image), (LOADER_BASE, &loader.bytes)])
}

/// A program as it is in memory.
struct Program {
    input: Input,
    /// Virtual address of its first page.
    base: u32,
    /// Everything from there to its last byte; what no segment covers is zero.
    bytes: Vec<u8>,
    /// Virtual address of its first instruction.
    entry: u32,
    /// Virtual and physical address of each segment.
    addresses: Vec<(u32, u32)>,
    /// Place of the parameters in `bytes`, where there are any.
    parameters: Option<Range<usize>>,
}

impl Program {
    fn read(input: Input, file: &[u8]) -> Result<Self, PackError> {
        let not_elf = |cause: object::Error| PackError::NotElf { input, cause: cause.to_string() };
        let header = FileHeader32::<Endianness>::parse(file).map_err(not_elf)?;
        let endian = header.endian().map_err(not_elf)?;
        if endian != Endianness::Little
            || header.e_machine(endian) != elf::EM_ARM
            || header.e_type(endian) != elf::ET_EXEC
        {
            return Err(PackError::NotArm { input });
        }

        let mut segments = Vec::new();
        for segment in header.program_headers(endian, file).map_err(not_elf)? {
            if segment.p_type(endian) != PT_LOAD || segment.p_memsz(endian) == 0 {
                continue;
            }
            let (address, size) = (segment.p_vaddr(endian), segment.p_memsz(endian));
            let impossible = PackError::Segment { input, address };
            let contents = segment.data(endian, file).map_err(|()| impossible.clone())?;
            if contents.len() > size as usize || u64::from(address) + u64::from(size) > 1 << 32 {
                return Err(impossible);
            }
            segments.push((address, size, segment.p_paddr(endian), segment.p_flags(endian), contents));
        }
        segments.sort_by_key(|&(address, ..)| address);

        let base = segments.first().ok_or(PackError::Empty { input })?.0 / PAGE * PAGE;
        let entry = header.e_entry(endian);
        if !segments.iter().any(|&(address, size, _, flags, _)| {
            flags & PF_X != 0 && entry.checked_sub(address).is_some_and(|offset| offset < size)
        }) {
            return Err(PackError::Entry { input, entry });
        }

        let mut bytes = Vec::new();
        for &(address, size, _, _, contents) in &segments {
            let start = (address - base) as usize;
            // The base is rounded down, so only a predecessor can have filled this place.
            if start < bytes.len() {
                return Err(PackError::SegmentsOverlap { input, address });
            }
            // Checked before it is allocated: a damaged file may claim gigabytes.
            if start as u64 + u64::from(size) > u64::from(RAM_END) {
                return Err(PackError::TooLarge { what: input.to_string(), end: start as u64 + u64::from(size) });
            }
            bytes.resize(start, 0);
            bytes.extend_from_slice(contents);
            bytes.resize(start + size as usize, 0);
        }

        let parameters = if input == Input::Loader {
            let file = ElfFile32::<Endianness>::parse(file).map_err(not_elf)?;
            file.section_by_name(PARAMETERS)
                .filter(|section| section.size() == size_of::<Parameters>() as u64)
                .and_then(|section| usize::try_from(section.address().checked_sub(u64::from(base))?).ok())
                .map(|start| start..start + size_of::<Parameters>())
        } else {
            None
        };
        let addresses = segments.iter().map(|&(address, _, physical, ..)| (address, physical)).collect();
        Ok(Self { input, base, bytes, entry, addresses, parameters })
    }

    /// Virtual address behind the last byte.
    fn end(&self) -> u64 {
        u64::from(self.base) + self.bytes.len() as u64
    }

    /// Refuses a program whose first page is not at `expected`.
    fn expect_base(&self, expected: u32) -> Result<(), PackError> {
        if self.base == expected {
            Ok(())
        } else {
            Err(PackError::Base { input: self.input, address: self.base, expected })
        }
    }

    /// Refuses a program that is to be loaded elsewhere than at its virtual addresses less `window`.
    fn expect_physical(&self, window: u32) -> Result<(), PackError> {
        for &(address, physical) in &self.addresses {
            let expected = address.wrapping_sub(window);
            if physical != expected {
                return Err(PackError::Physical { address, physical, expected });
            }
        }
        Ok(())
    }
}

/// Appends the module table and the modules to an image of whole pages; the table will be at physical address `table`.
fn append_modules(image: &mut Vec<u8>, table: u32, modules: &[(String, Vec<u8>)]) -> Result<(), PackError> {
    if modules.len() > MAX_MODULES {
        return Err(PackError::TooManyModules(modules.len()));
    }
    let header =
        Header { magic: modules::MAGIC.into(), version: modules::VERSION.into(), count: (modules.len() as u32).into() };
    image.extend_from_slice(header.as_bytes());
    let mut names = HashSet::new();
    let mut end = pages((size_of::<Header>() + size_of::<Entry>() * modules.len()) as u64);
    for (index, (name, contents)) in modules.iter().enumerate() {
        if name.is_empty() || name.contains('\0') {
            return Err(PackError::Name { index, name: name.clone() });
        }
        let mut padded = [0; MAX_NAME];
        padded
            .get_mut(..name.len())
            .ok_or_else(|| PackError::NameTooLong { name: name.clone() })?
            .copy_from_slice(name.as_bytes());
        if !names.insert(name) {
            return Err(PackError::DuplicateName { name: name.clone() });
        }
        let offset = end;
        end = pages(offset + contents.len() as u64);
        fits(name, u64::from(table) + end)?;
        // Both fit 32 bits, since their sum fits in front of the loader.
        let entry = Entry { name: padded, offset: (offset as u32).into(), bytes: (contents.len() as u32).into() };
        image.extend_from_slice(entry.as_bytes());
    }
    for (_, contents) in modules {
        image.resize(pages(image.len() as u64) as usize, 0);
        image.extend_from_slice(contents);
    }
    image.resize(pages(image.len() as u64) as usize, 0);
    Ok(())
}

/// The physical end address of `what`, if it lies in front of the loader.
fn fits(what: &dyn fmt::Display, end: u64) -> Result<u32, PackError> {
    u32::try_from(end)
        .ok()
        .filter(|&end| end <= LOADER_BASE)
        .ok_or_else(|| PackError::TooLarge { what: what.to_string(), end })
}

/// Rounds up to whole pages.
fn pages(bytes: u64) -> u64 {
    bytes.next_multiple_of(u64::from(PAGE))
}

/// Writes an executable of these segments (physical address, contents).
fn write(entry: u32, segments: &[(u32, &[u8])]) -> Result<Vec<u8>, PackError> {
    let mut file = Vec::new();
    let mut writer = Writer::new(Endianness::Little, false, &mut file);
    writer.reserve_file_header();
    writer.reserve_program_headers(segments.len() as u32);
    let offsets: Vec<_> = segments.iter().map(|(_, contents)| writer.reserve(contents.len(), PAGE as usize)).collect();
    writer
        .write_file_header(&FileHeader {
            os_abi: elf::ELFOSABI_NONE,
            abi_version: 0,
            e_type: elf::ET_EXEC,
            e_machine: elf::EM_ARM,
            e_entry: u64::from(entry),
            e_flags: elf::EF_ARM_EABI_VER5,
        })
        .map_err(|error| PackError::Write(error.to_string()))?;
    writer.write_align_program_headers();
    for (&(address, contents), &offset) in segments.iter().zip(&offsets) {
        writer.write_program_header(&ProgramHeader {
            p_type: PT_LOAD,
            p_flags: PF_R | PF_W | PF_X,
            p_offset: offset as u64,
            p_vaddr: u64::from(address),
            p_paddr: u64::from(address),
            p_filesz: contents.len() as u64,
            p_memsz: contents.len() as u64,
            p_align: u64::from(PAGE),
        });
    }
    for (&(_, contents), &offset) in segments.iter().zip(&offsets) {
        writer.pad_until(offset);
        writer.write(contents);
    }
    Ok(file)
}
