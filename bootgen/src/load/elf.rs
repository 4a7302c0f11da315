//! Programs: ELF files of 32 and 64 bits.
//!
//! A segment is loaded if it is `PT_LOAD` and has contents in the file. It goes to its physical address, unless all
//! program headers have the same one, as from linkers that do not know any: then to its virtual address. A segment
//! that begins with the ELF header itself, which some linkers put into the first segment, loses what precedes its first
//! section with contents.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::path::Path;
use std::sync::Arc;

use object::elf::{FileHeader32, FileHeader64, PT_LOAD, SHF_ALLOC, SHT_PROGBITS};
use object::read::elf::{FileHeader, ProgramHeader as _, SectionHeader as _};
use object::{Endianness, ReadCache};

use super::{Loaded, Reason, Segment};
use crate::payload::Payload;

/// The instruction set of the chip's processors (`e_machine`).
pub const ARM: u16 = object::elf::EM_ARM;

/// Whether a file begins as ELF files do.
pub(super) fn is_elf(file: &mut File) -> io::Result<bool> {
    let mut magic = Vec::with_capacity(4);
    file.by_ref().take(4).read_to_end(&mut magic)?;
    file.rewind()?;
    Ok(magic == object::elf::ELFMAG)
}

/// The program in `file` of `length` bytes.
pub(super) fn program(mut file: File, path: &Arc<Path>, length: u64) -> Result<Loaded, Reason> {
    let mut identification = [0; 5];
    file.read_exact(&mut identification)?;
    let cache = ReadCache::new(file);
    let [.., class] = identification;
    if class == object::elf::ELFCLASS64 {
        of::<FileHeader64<Endianness>>(&cache, path, length)
    } else {
        of::<FileHeader32<Endianness>>(&cache, path, length)
    }
}

fn of<Elf: FileHeader<Endian = Endianness>>(
    cache: &ReadCache<File>,
    path: &Arc<Path>,
    length: u64,
) -> Result<Loaded, Reason> {
    let invalid = |error: object::Error| Reason::Elf(error.to_string());
    let header = Elf::parse(cache).map_err(invalid)?;
    let endian = header.endian().map_err(invalid)?;
    let programs = header.program_headers(endian, cache).map_err(invalid)?;
    let physical = |program: &Elf::ProgramHeader| -> u64 { program.p_paddr(endian).into() };
    let first = programs.first().map(physical);
    let no_physical = programs.iter().all(|program| Some(physical(program)) == first);

    let mut segments = Vec::new();
    for (index, program) in programs.iter().enumerate() {
        let (mut offset, mut size): (u64, u64) = (program.p_offset(endian).into(), program.p_filesz(endian).into());
        if program.p_type(endian) != PT_LOAD || size == 0 {
            continue;
        }
        let end = offset.saturating_add(size);
        if end > length {
            return Err(Reason::Truncated { index, start: offset, end, size: length });
        }
        let mut load: u64 = if no_physical { program.p_vaddr(endian).into() } else { physical(program) };
        if offset == 0 {
            let sections = header.section_headers(endian, cache).map_err(invalid)?;
            let contents = sections.iter().filter(|section| {
                section.sh_type(endian) == SHT_PROGBITS && section.sh_flags(endian).into() & u64::from(SHF_ALLOC) != 0
            });
            let offsets = contents.map(|section| -> u64 { section.sh_offset(endian).into() });
            let Some(start) = offsets.filter(|start| (offset..end).contains(start)).min() else {
                continue;
            };
            load = load.wrapping_add(start);
            (offset, size) = (start, end - start);
        }
        let address = |what, address: u64| address.try_into().map_err(|_| Reason::Address { what, address });
        let load = address("the load address", load)?;
        segments.push(Segment { load, payload: Payload::file(path, offset, size) });
    }
    if segments.is_empty() {
        return Err(Reason::NoSegment);
    }
    let entry: u64 = header.e_entry(endian).into();
    let entry = entry.try_into().map_err(|_| Reason::Address { what: "the entry point", address: entry })?;
    Ok(Loaded::Program { segments, entry, machine: header.e_machine(endian) })
}

/// The segments of a boot loader as one, since the boot ROM copies one piece: in the order of their addresses, with
/// zeros between them.
///
/// # Errors
///
/// When two segments overlap.
pub fn flatten(mut segments: Vec<Segment>) -> Result<Segment, Reason> {
    segments.sort_by_key(|segment| segment.load);
    let mut segments = segments.into_iter();
    let mut whole = segments.next().ok_or(Reason::NoSegment)?;
    for segment in segments {
        let end = u64::from(whole.load) + whole.payload.length();
        let gap = u64::from(segment.load).checked_sub(end).ok_or(Reason::Overlap { address: segment.load })?;
        whole.payload.push_fill([0; 4], gap);
        whole.payload.append(segment.payload);
    }
    Ok(whole)
}
