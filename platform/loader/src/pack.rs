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
use crate::{CORE_BASE, KERNEL_WINDOW, LOADER_BASE, MAX_IMAGE, PAGE, RAM_END};

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
    /// The loader has no section for its parameters, one of another size, or one where something else is.
    #[error("loader: no section {PARAMETERS} of {} zero bytes: build it from the same sources as this tool", size_of::<Parameters>())]
    NoParameters,
    /// The loader does not fit between its base and the end of RAM.
    #[error("loader: ends at {end:#010x}, beyond the end of RAM at {RAM_END:#010x}")]
    LoaderBeyondRam {
        /// Its end.
        end: u64,
    },
    /// The kernel reaches into the loader.
    #[error("kernel: ends at physical {end:#010x} and so overlaps the loader at {LOADER_BASE:#010x}")]
    OverlapsLoader {
        /// Its end.
        end: u64,
    },
    /// A segment ends further from the program's start than the RAM is large.
    #[error("{input}: needs {bytes} bytes of memory, the board has {RAM_END}")]
    BeyondRam {
        /// Which input.
        input: Input,
        /// Bytes from its first page to the end of the segment.
        bytes: u64,
    },
    /// Core and the modules are more than the kernel can give core capabilities for.
    #[error(
        "{what}: makes the user image {bytes} bytes, at most {MAX_IMAGE} are possible: leave modules out or make them smaller"
    )]
    ImageTooLarge {
        /// Core, or the name of the first module that is too much.
        what: String,
        /// Bytes of the image including it.
        bytes: u64,
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
    let kernel_end = pages(kernel.bytes.len() as u64);
    if kernel_end > u64::from(LOADER_BASE) {
        return Err(PackError::OverlapsLoader { end: kernel_end });
    }
    let kernel_end = kernel_end as u32;
    pad(&mut kernel.bytes);

    let core = Program::read(Input::Core, inputs.core_elf)?;
    core.expect_base(CORE_BASE)?;
    let mut image = core.bytes;
    pad(&mut image);
    let core_bytes = image.len();
    append_modules(&mut image, inputs.modules)?;
    Modules::parse(image.get(core_bytes..).unwrap_or_default())?;

    let parameters = Parameters {
        magic: params::MAGIC.into(),
        version: params::VERSION.into(),
        kernel_start: 0.into(),
        kernel_end: kernel_end.into(),
        kernel_entry: kernel.entry.into(),
        image_start: kernel_end.into(),
        image_end: (kernel_end + image.len() as u32).into(),
        image_entry: core.entry.into(),
        modules: (kernel_end + core_bytes as u32).into(),
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
            let end = start as u64 + u64::from(size);
            if end > u64::from(RAM_END) {
                return Err(PackError::BeyondRam { input, bytes: end });
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
                // A damaged header may point anywhere: what is filled in must be in the file, and must be waiting for it.
                .filter(|place| {
                    let in_file = segments.iter().any(|&(address, _, _, _, contents)| {
                        let start = (address - base) as usize;
                        start <= place.start && place.end <= start + contents.len()
                    });
                    in_file && bytes.get(place.clone()).is_some_and(|block| block.iter().all(|byte| *byte == 0))
                })
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

/// Appends the module table and the modules to an image of whole pages.
fn append_modules(image: &mut Vec<u8>, modules: &[(String, Vec<u8>)]) -> Result<(), PackError> {
    if modules.len() > MAX_MODULES {
        return Err(PackError::TooManyModules(modules.len()));
    }
    let header =
        Header { magic: modules::MAGIC.into(), version: modules::VERSION.into(), count: (modules.len() as u32).into() };
    let table = image.len() as u64;
    image.extend_from_slice(header.as_bytes());
    let mut names = HashSet::new();
    let mut end = pages((size_of::<Header>() + size_of::<Entry>() * modules.len()) as u64);
    expect_image(&Input::Core, table + end)?;
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
        expect_image(name, table + end)?;
        // Both fit 32 bits, since the image does.
        let entry = Entry { name: padded, offset: (offset as u32).into(), bytes: (contents.len() as u32).into() };
        image.extend_from_slice(entry.as_bytes());
    }
    pad(image);
    for (_, contents) in modules {
        image.extend_from_slice(contents);
        pad(image);
    }
    Ok(())
}

/// Refuses an image that `what` makes too large.
fn expect_image(what: &dyn fmt::Display, bytes: u64) -> Result<(), PackError> {
    if bytes <= u64::from(MAX_IMAGE) { Ok(()) } else { Err(PackError::ImageTooLarge { what: what.to_string(), bytes }) }
}

/// Fills up to whole pages.
fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(PAGE as usize), 0);
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

#[cfg(test)]
mod tests {
    use object::write::elf::SectionHeader;
    use zerocopy::FromBytes as _;

    use super::*;

    /// An ELF file to be.
    #[derive(Clone)]
    struct Image {
        machine: u16,
        endian: Endianness,
        entry: u32,
        /// Virtual address, physical address, contents, size in memory.
        segments: Vec<(u32, u32, Vec<u8>, u32)>,
        /// Address and size of a section `.params`.
        parameters: Option<(u32, u32)>,
    }

    impl Image {
        fn new(entry: u32, segments: Vec<(u32, u32, Vec<u8>, u32)>) -> Self {
            Self { machine: elf::EM_ARM, endian: Endianness::Little, entry, segments, parameters: None }
        }

        fn build(&self) -> Vec<u8> {
            let mut file = Vec::new();
            let mut writer = Writer::new(self.endian, false, &mut file);
            writer.reserve_file_header();
            writer.reserve_program_headers(self.segments.len() as u32);
            let offsets: Vec<_> = self.segments.iter().map(|segment| writer.reserve(segment.2.len(), 4)).collect();
            writer.reserve_null_section_index();
            let name = writer.add_section_name(PARAMETERS.as_bytes());
            writer.reserve_section_index();
            writer.reserve_shstrtab_section_index();
            writer.reserve_shstrtab();
            writer.reserve_section_headers();
            writer
                .write_file_header(&FileHeader {
                    os_abi: 0,
                    abi_version: 0,
                    e_type: elf::ET_EXEC,
                    e_machine: self.machine,
                    e_entry: u64::from(self.entry),
                    e_flags: 0,
                })
                .unwrap();
            writer.write_align_program_headers();
            for ((address, physical, contents, size), &offset) in self.segments.iter().zip(&offsets) {
                writer.write_program_header(&ProgramHeader {
                    p_type: PT_LOAD,
                    p_flags: PF_R | PF_X,
                    p_offset: offset as u64,
                    p_vaddr: u64::from(*address),
                    p_paddr: u64::from(*physical),
                    p_filesz: contents.len() as u64,
                    p_memsz: u64::from(*size),
                    p_align: 4,
                });
            }
            for ((_, _, contents, _), &offset) in self.segments.iter().zip(&offsets) {
                writer.pad_until(offset);
                writer.write(contents);
            }
            writer.write_shstrtab();
            writer.write_null_section_header();
            let (address, size) = self.parameters.unwrap_or_default();
            writer.write_section_header(&SectionHeader {
                name: self.parameters.is_some().then_some(name),
                sh_type: elf::SHT_PROGBITS,
                sh_flags: 0,
                sh_addr: u64::from(address),
                sh_offset: 0,
                sh_size: u64::from(size),
                sh_link: 0,
                sh_info: 0,
                sh_addralign: 1,
                sh_entsize: 0,
            });
            writer.write_shstrtab_section_header();
            file
        }
    }

    /// A loader of 64 bytes of code, its parameters, and bss up to 0x1234 bytes.
    fn loader() -> Image {
        let mut contents = vec![1; 64];
        contents.resize(64 + size_of::<Parameters>(), 0);
        let mut image = Image::new(LOADER_BASE, vec![(LOADER_BASE, LOADER_BASE, contents, 0x1234)]);
        image.parameters = Some((LOADER_BASE + 64, size_of::<Parameters>() as u32));
        image
    }

    /// A kernel of 0x2345 bytes.
    fn kernel() -> Image {
        Image::new(KERNEL_WINDOW + 8, vec![(KERNEL_WINDOW, 0, vec![2; 0x2000], 0x2345)])
    }

    /// A core of two segments, out of order and with a gap, of 0x3040 bytes.
    fn core() -> Image {
        Image::new(
            CORE_BASE + 0x10,
            vec![
                (CORE_BASE + 0x2000, 0x7000, vec![4; 0x20], 0x1040),
                (CORE_BASE + 0x10, 0x5000, vec![3; 0x100], 0x100),
            ],
        )
    }

    fn pack_them(
        loader: &Image,
        kernel: &Image,
        core: &Image,
        modules: &[(String, Vec<u8>)],
    ) -> Result<Vec<u8>, PackError> {
        pack(&Inputs { loader_elf: &loader.build(), kernel_elf: &kernel.build(), core_elf: &core.build(), modules })
    }

    fn module(name: &str, contents: &[u8]) -> (String, Vec<u8>) {
        (name.to_owned(), contents.to_vec())
    }

    /// Loads a packed file as a boot loader would: entry point, and physical address and contents of each segment.
    fn load(file: &[u8]) -> (u32, Vec<(u32, Vec<u8>)>) {
        let header = FileHeader32::<Endianness>::parse(file).unwrap();
        let endian = header.endian().unwrap();
        assert_eq!((endian, header.e_machine(endian)), (Endianness::Little, elf::EM_ARM));
        let segments = header.program_headers(endian, file).unwrap().iter().map(|segment| {
            assert_eq!(segment.p_vaddr(endian), segment.p_paddr(endian));
            assert_eq!(segment.p_filesz(endian), segment.p_memsz(endian));
            (segment.p_paddr(endian), segment.data(endian, file).unwrap().to_vec())
        });
        (header.e_entry(endian), segments.collect())
    }

    #[test]
    fn places_everything() {
        let modules = [module("init", b"one"), module("none", b""), module("sd", &[9; 4097])];
        let file = pack_them(&loader(), &kernel(), &core(), &modules).unwrap();
        let (entry, segments) = load(&file);
        assert_eq!(entry, LOADER_BASE);
        let [(kernel_at, kernel), (image_at, image), (loader_at, loader)] = &segments[..] else {
            panic!("{segments:?}")
        };

        assert_eq!((*kernel_at, kernel.len()), (0, 0x3000));
        assert!(kernel[..0x2000].iter().all(|&byte| byte == 2) && kernel[0x2000..].iter().all(|&byte| byte == 0));

        // Core takes pages 0 to 3, the table page 4, the modules page 5 and pages 6 and 7.
        assert_eq!((*image_at, image.len()), (0x3000, 0x8000));
        assert_eq!(image[0xf..0x12], [0, 3, 3]);
        assert_eq!(image[0x10f..0x111], [3, 0]);
        assert_eq!(image[0x1fff..0x2002], [0, 4, 4]);
        assert!(image[0x2020..0x4000].iter().all(|&byte| byte == 0));
        let found: Vec<_> =
            Modules::parse(&image[0x4000..]).unwrap().iter().map(|found| module(found.name, found.contents)).collect();
        assert_eq!(found, modules);
        assert!(image[0x5003..0x6000].iter().chain(&image[0x7001..]).all(|&byte| byte == 0));

        assert_eq!((*loader_at, loader.len()), (LOADER_BASE, 0x1234));
        assert!(loader[..64].iter().all(|&byte| byte == 1));
        let (parameters, bss) = Parameters::ref_from_prefix(&loader[64..]).unwrap();
        assert!(bss.iter().all(|&byte| byte == 0));
        let handover = parameters.check(&(LOADER_BASE..LOADER_BASE + 0x2000)).unwrap();
        assert_eq!(handover.kernel_entry, KERNEL_WINDOW + 8);
        assert_eq!(handover.image, 0x3000..0xb000);
        assert_eq!(handover.offset.wrapping_add(CORE_BASE), 0x3000);
        assert_eq!(handover.image_entry, CORE_BASE + 0x10);
        assert_eq!(handover.modules, 0x7000..0xb000);
    }

    #[test]
    fn an_image_without_modules_has_an_empty_table() {
        let (_, segments) = load(&pack_them(&loader(), &kernel(), &core(), &[]).unwrap());
        assert_eq!(segments[1].1.len(), 0x5000);
        assert!(Modules::parse(&segments[1].1[0x4000..]).unwrap().is_empty());
    }

    #[test]
    fn a_kernel_of_several_segments_is_one_in_the_image() {
        let mut kernel = kernel();
        kernel.segments.push((KERNEL_WINDOW + 0x4000, 0x4000, vec![5], 1));
        let (_, segments) = load(&pack_them(&loader(), &kernel, &core(), &[]).unwrap());
        assert_eq!((segments[0].1.len(), segments[0].1[0x4000]), (0x5000, 5));
        assert_eq!(segments[1].0, 0x5000);
    }

    #[test]
    fn refuses_files_that_are_no_arm_executables() {
        let (loader, kernel, core) = (loader().build(), kernel().build(), core().build());
        let inputs = Inputs { loader_elf: &loader, kernel_elf: &kernel, core_elf: &core, modules: &[] };
        let not_elf = |input, inputs: Inputs<'_>| match pack(&inputs).unwrap_err() {
            PackError::NotElf { input: found, .. } => assert_eq!(found, input),
            other => panic!("{other}"),
        };
        not_elf(Input::Loader, Inputs { loader_elf: b"", ..inputs });
        not_elf(Input::Kernel, Inputs { kernel_elf: b"\x7fELG", ..inputs });
        not_elf(Input::Core, Inputs { core_elf: &core[..60], ..inputs });
        let foreign = Image { machine: elf::EM_X86_64, ..self::core() }.build();
        let input = Input::Core;
        assert_eq!(pack(&Inputs { core_elf: &foreign, ..inputs }), Err(PackError::NotArm { input }));
        let foreign = Image { endian: Endianness::Big, ..self::core() }.build();
        assert_eq!(pack(&Inputs { core_elf: &foreign, ..inputs }), Err(PackError::NotArm { input }));
    }

    #[test]
    fn refuses_programs_at_wrong_addresses() {
        let with = |change: &dyn Fn(&mut Image, &mut Image, &mut Image)| {
            let (mut loader, mut kernel, mut core) = (loader(), kernel(), core());
            change(&mut loader, &mut kernel, &mut core);
            pack_them(&loader, &kernel, &core, &[]).unwrap_err()
        };
        assert_eq!(
            with(&|_, _, core| *core = Image::new(0x18_0000, vec![(0x18_0000, 0, vec![0; 4], 4)])),
            PackError::Base { input: Input::Core, address: 0x18_0000, expected: CORE_BASE }
        );
        assert_eq!(
            with(&|_, kernel, _| *kernel = core()),
            PackError::Base { input: Input::Kernel, address: CORE_BASE, expected: KERNEL_WINDOW }
        );
        assert_eq!(
            with(&|loader, _, _| *loader = core()),
            PackError::Base { input: Input::Loader, address: CORE_BASE, expected: LOADER_BASE }
        );
        assert_eq!(
            with(&|_, kernel, _| kernel.segments[0].1 = 0x1000),
            PackError::Physical { address: KERNEL_WINDOW, physical: 0x1000, expected: 0 }
        );
        assert_eq!(
            with(&|_, _, core| core.entry = CORE_BASE + 0x110),
            PackError::Entry { input: Input::Core, entry: CORE_BASE + 0x110 }
        );
        assert_eq!(
            with(&|_, _, core| core.entry += 1),
            PackError::Parameters(params::Error::Entry {
                what: "root task",
                entry: CORE_BASE + 0x11,
                start: CORE_BASE,
                end: CORE_BASE + 0x4000
            })
        );
        assert_eq!(with(&|_, _, core| core.segments.clear()), PackError::Empty { input: Input::Core });
        assert_eq!(
            with(&|_, _, core| core.segments[1].3 = 0x2000),
            PackError::SegmentsOverlap { input: Input::Core, address: CORE_BASE + 0x2000 }
        );
        assert_eq!(
            with(&|_, _, core| core.segments[1].3 = 0xff),
            PackError::Segment { input: Input::Core, address: CORE_BASE + 0x10 }
        );
        assert_eq!(
            with(&|_, _, core| core.segments[0].3 = u32::MAX),
            PackError::Segment { input: Input::Core, address: CORE_BASE + 0x2000 }
        );
        assert_eq!(with(&|loader, _, _| loader.parameters = None), PackError::NoParameters);
        assert_eq!(with(&|loader, _, _| loader.parameters = Some((LOADER_BASE, 16))), PackError::NoParameters);
        assert_eq!(
            with(&|loader, _, _| loader.parameters = Some((LOADER_BASE + 0x1233, size_of::<Parameters>() as u32))),
            PackError::NoParameters
        );
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let with = |change: &dyn Fn(&mut Image, &mut Image, &mut Image)| {
            let (mut loader, mut kernel, mut core) = (loader(), kernel(), core());
            change(&mut loader, &mut kernel, &mut core);
            pack_them(&loader, &kernel, &core, &[]).unwrap_err()
        };
        assert_eq!(
            with(&|loader, _, _| loader.segments[0].3 = 0x10_0001),
            PackError::LoaderBeyondRam { end: 0x2000_1000 }
        );
        assert_eq!(
            with(&|_, kernel, _| kernel.segments[0].3 = LOADER_BASE + 1),
            PackError::OverlapsLoader { end: u64::from(LOADER_BASE) + 0x1000 }
        );
        assert_eq!(
            with(&|_, kernel, _| kernel.segments[0].3 = LOADER_BASE),
            PackError::Parameters(params::Error::OverlapsLoader {
                what: "user image",
                start: LOADER_BASE,
                end: LOADER_BASE + 0x5000
            })
        );
        assert_eq!(
            with(&|_, _, core| core.segments[0].3 = 0x6000_0000),
            PackError::BeyondRam { input: Input::Core, bytes: 0x6000_2000 }
        );
        assert_eq!(
            with(&|_, _, core| core.segments[0].3 = MAX_IMAGE - 0x2000),
            PackError::ImageTooLarge { what: "core".to_owned(), bytes: u64::from(MAX_IMAGE) + 0x1000 }
        );
    }

    #[test]
    fn refuses_modules_that_cannot_be_in_the_table() {
        let with = |modules: &[(String, Vec<u8>)]| pack_them(&loader(), &kernel(), &core(), modules);
        let many: Vec<_> = (0..=MAX_MODULES).map(|number| module(&number.to_string(), b"")).collect();
        assert!(with(&many[1..]).is_ok());
        assert_eq!(with(&many), Err(PackError::TooManyModules(65)));
        assert_eq!(with(&[module("", b"")]), Err(PackError::Name { index: 0, name: String::new() }));
        assert_eq!(with(&[module("a\0", b"")]), Err(PackError::Name { index: 0, name: "a\0".to_owned() }));
        let name = "n".repeat(MAX_NAME + 1);
        assert!(with(&[module(&name[1..], b"")]).is_ok());
        assert_eq!(with(&[module(&name, b"")]), Err(PackError::NameTooLong { name }));
        assert_eq!(
            with(&[module("a", b"1"), module("b", b""), module("a", b"2")]),
            Err(PackError::DuplicateName { name: "a".to_owned() })
        );
        // Core and the table are five pages.
        let rest = vec![0; MAX_IMAGE as usize - 0x5000];
        assert!(with(&[module("large", &rest)]).is_ok());
        assert_eq!(
            with(&[module("large", &rest), module("more", b"1")]),
            Err(PackError::ImageTooLarge { what: "more".to_owned(), bytes: u64::from(MAX_IMAGE) + 0x1000 })
        );
    }

    #[test]
    fn refuses_parameters_where_something_else_is() {
        for offset in [0, 1, 63, 65, 200, 0x1200] {
            let mut image = loader();
            image.parameters = Some((LOADER_BASE + offset, size_of::<Parameters>() as u32));
            assert_eq!(pack_them(&image, &kernel(), &core(), &[]), Err(PackError::NoParameters), "offset {offset}");
        }
    }

    proptest::proptest! {
        #[test]
        fn damaged_files_are_errors(place in 0usize..400, value: u8, which in 0usize..3) {
            let mut files = [loader().build(), kernel().build(), core().build()];
            if let Some(byte) = files[which].get_mut(place) {
                *byte = value;
            }
            let [loader_elf, kernel_elf, core_elf] = &files;
            // Most bytes of a file matter to nobody; but what comes out must be what the loader accepts.
            if let Ok(file) = pack(&Inputs { loader_elf, kernel_elf, core_elf, modules: &[] }) {
                let (_, segments) = load(&file);
                let (parameters, _) = Parameters::ref_from_prefix(&segments[2].1[64..]).unwrap();
                let handover = parameters.check(&(LOADER_BASE..RAM_END)).unwrap();
                let table = (handover.modules.start - handover.image.start) as usize;
                proptest::prop_assert!(Modules::parse(&segments[1].1[table..]).unwrap().is_empty());
            }
        }
    }
}
