//! Loading programs into children.
//!
//! A program is an ELF file in a boot module. Segments that are not writeable are attached as they are, so that all instances of a program share
//! them; writeable ones are copied into memory that the child pays for. Nothing is writeable and executable.
//!
//! A file is read once: what starting another instance needs is kept, and the file stays attached for the bytes to copy.

use abi::{CONFIG_LEN, IPC_BASE, PROGRAM_BASE, STACK_TOP, START_INFO_OFFSET, StartInfo, WINDOW_BASE};
use alloc::vec::Vec;
use elf::ElfBytes;
use elf::abi::{EM_ARM, PF_W, PF_X, PT_LOAD};
use elf::endian::LittleEndian;
use session::core::{EXECUTE, SMALL_PAGES, WRITE};

use crate::description::{Component, Name};
use crate::platform::{Account, Attach, Attached, Dataspace, Domain, Error, NewThread, Rom, log};

const PAGE: u32 = 4096;
/// Most segments of a program.
const SEGMENTS: usize = 6;
/// The code through which components enter the kernel.
const GATE: &str = "vdso";

/// A part of a program.
#[derive(Clone, Copy, Debug)]
struct Segment {
    /// First address, a multiple of 4096.
    start: u32,
    /// Bytes, a multiple of 4096.
    bytes: u32,
    /// Offset in the file of what is at `start`, or, if it is writeable, of what is at `start + lead`.
    offset: u32,
    /// For a writeable segment: where its bytes begin, and how many the file has.
    copy: Option<(u32, u32)>,
    executable: bool,
}

/// A program that has been read.
struct Program {
    name: Name,
    rom: Rom,
    entry: u32,
    segments: heapless::Vec<Segment, SEGMENTS>,
}

/// All programs that have been read so far.
pub(crate) struct Programs(Vec<Program>);

impl Programs {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Fills a child's address space and starts its main thread.
    pub(crate) fn start(
        &mut self,
        component: &Component,
        config: &[u8],
        account: &Account,
        domain: &Domain,
        slot_bits: u32,
    ) -> Result<(), Error> {
        let entry = self.load(account, domain, &component.binary)?;
        self.load(account, domain, GATE)?;
        start_page(config, account, domain, slot_bits)?;
        let stack = account.create_dataspace(component.stack, SMALL_PAGES)?;
        let address = (STACK_TOP as u32).checked_sub(stack.bytes()).filter(|start| *start > IPC_BASE as u32 + PAGE);
        let address = address.ok_or(Error::Invalid)?;
        domain.attach_at(&stack, Attach { address, flags: WRITE, ..Attach::default() }, None)?;
        let new = NewThread {
            entry,
            stack: STACK_TOP as u32,
            argument: 0,
            ipc_buffer: IPC_BASE as u32,
            priority: component.priority.into(),
            fault_slot: 0,
        };
        domain.create_thread(new).map(drop)
    }

    fn load(&mut self, account: &Account, domain: &Domain, name: &str) -> Result<u32, Error> {
        let at = match self.0.iter().position(|program| program.name == name) {
            Some(at) => at,
            None => {
                self.0.try_reserve(1).map_err(|_| Error::OutOfRam)?;
                self.0.push(Program::read(name)?);
                self.0.len() - 1
            }
        };
        self.0.get(at).ok_or(Error::Invalid)?.attach(account, domain)
    }
}

impl Program {
    fn read(name: &str) -> Result<Self, Error> {
        let rom = Rom::open(name).inspect_err(|error| log!("program `{name}`: {error}"))?;
        let bad = |what: &str| {
            log!("`{name}` is no program: {what}");
            Error::Invalid
        };
        let file = ElfBytes::<LittleEndian>::minimal_parse(rom.content()).map_err(|_| bad("not an ELF file"))?;
        if file.ehdr.e_machine != EM_ARM {
            return Err(bad("not for ARM"));
        }
        let headers = file.segments().ok_or_else(|| bad("no segments"))?;
        let mut segments = heapless::Vec::new();
        for header in headers.iter().filter(|header| header.p_type == PT_LOAD && header.p_memsz > 0) {
            let (Ok(address), Ok(size), Ok(offset), Ok(filled)) = (
                u32::try_from(header.p_vaddr),
                u32::try_from(header.p_memsz),
                u32::try_from(header.p_offset),
                u32::try_from(header.p_filesz),
            ) else {
                return Err(bad("a segment beyond 4 GiB"));
            };
            let end = address.checked_add(size).filter(|end| *end <= WINDOW_BASE as u32);
            if end.is_none() || (address < PROGRAM_BASE as u32 && name != GATE) {
                return Err(bad("a segment outside the range for programs"));
            }
            let start = address & !(PAGE - 1);
            let lead = address - start;
            let writeable = header.p_flags & PF_W != 0;
            if writeable && (filled > size || file.segment_data(&header).is_err()) {
                return Err(bad("a segment beyond its end"));
            }
            let shared = offset.checked_sub(lead).filter(|offset| offset.is_multiple_of(PAGE));
            let segment = Segment {
                start,
                bytes: (lead + size).next_multiple_of(PAGE),
                offset: if writeable { offset } else { shared.ok_or_else(|| bad("a segment not aligned to pages"))? },
                copy: writeable.then_some((lead, filled)),
                executable: header.p_flags & PF_X != 0,
            };
            segments.push(segment).map_err(|_| bad("too many segments"))?;
        }
        let entry = u32::try_from(file.ehdr.e_entry).map_err(|_| bad("an entry beyond 4 GiB"))?;
        Ok(Self { name: Name::try_from(name).map_err(|_| Error::Invalid)?, rom, entry, segments })
    }

    /// Attaches the program to a child and returns the address of its first instruction.
    fn attach(&self, account: &Account, domain: &Domain) -> Result<u32, Error> {
        for segment in &self.segments {
            let Segment { start: address, bytes, offset, copy, executable } = *segment;
            let Some((lead, filled)) = copy else {
                let flags = if executable { EXECUTE } else { 0 };
                domain.attach_at(self.rom.dataspace(), Attach { address, offset, bytes, flags }, None)?;
                continue;
            };
            let memory = account.create_dataspace(bytes, SMALL_PAGES)?;
            if filled > 0 {
                let data = self.rom.content().get(offset as usize..(offset + filled) as usize);
                fill(account, &memory, &[(lead as usize, data.ok_or(Error::Invalid)?)])?;
            }
            domain.attach_at(&memory, Attach { address, flags: WRITE, ..Attach::default() }, None)?;
        }
        Ok(self.entry)
    }
}

/// Writes into memory that a child will get; the child pays for the mapping.
fn fill(account: &Account, memory: &Dataspace, parts: &[(usize, &[u8])]) -> Result<(), Error> {
    let attached = Attached::new(memory, WRITE, Some(account))?;
    parts.iter().try_for_each(|(offset, bytes)| attached.write(*offset, bytes))
}

fn start_page(config: &[u8], account: &Account, domain: &Domain, slot_bits: u32) -> Result<(), Error> {
    if config.len() > CONFIG_LEN {
        return Err(Error::Invalid);
    }
    let page = account.create_dataspace(PAGE, SMALL_PAGES)?;
    let head = StartInfo::head(1 << slot_bits, config.len() as u32);
    fill(account, &page, &[(START_INFO_OFFSET, &head), (START_INFO_OFFSET + head.len(), config)])?;
    domain.attach_at(&page, Attach { address: IPC_BASE as u32, flags: WRITE, ..Attach::default() }, None)?;
    Ok(())
}
