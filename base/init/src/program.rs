//! Loading a program into a child.
//!
//! A program is an ELF file in a boot module. Segments that are not writeable are attached as they are, so that all instances of a program share
//! them; writeable ones are copied into memory that the child pays for. Nothing is writeable and executable.

use crate::description::Component;
use crate::platform::{Account, Attach, Attached, Capability, Dataspace, Domain, Error, NewThread, log};
use abi::{CONFIG_LEN, IPC_BASE, PROGRAM_BASE, STACK_TOP, START_INFO_OFFSET, StartInfo, WINDOW_BASE};
use elf::ElfBytes;
use elf::abi::{EM_ARM, PF_W, PF_X, PT_LOAD};
use elf::endian::LittleEndian;
use session::core::{EXECUTE, SMALL_PAGES, WRITE};

const PAGE: u32 = 4096;

/// Fills a child's address space and starts its main thread.
pub(crate) fn start(
    component: &Component,
    account: &Account,
    domain: &Domain,
    slot_bits: u32,
) -> Result<Capability, Error> {
    let entry = load(account, domain, &component.binary)?;
    load(account, domain, "vdso")?;
    start_page(component, account, domain, slot_bits)?;
    let stack = account.create_dataspace(component.stack, SMALL_PAGES)?;
    let address = (STACK_TOP as u32).checked_sub(stack.bytes()).filter(|start| *start > IPC_BASE as u32 + PAGE);
    let address = address.ok_or(Error::Invalid)?;
    domain.attach_at(&stack, Attach { address, flags: WRITE, ..Attach::default() }, None)?;
    domain.create_thread(NewThread {
        entry,
        stack: STACK_TOP as u32,
        argument: 0,
        ipc_buffer: IPC_BASE as u32,
        priority: component.priority.into(),
        fault_slot: 0,
    })
}

fn load(account: &Account, domain: &Domain, binary: &str) -> Result<u32, Error> {
    let (rom, _) = Domain::own().rom(binary).inspect_err(|error| log!("boot module `{binary}`: {error}"))?;
    let attached = Attached::new(&rom, 0, None)?;
    // SAFETY: programs are boot modules.
    let content = unsafe { attached.content() };
    let bad = |what: &str| {
        log!("boot module `{binary}` is no program: {what}");
        Error::Invalid
    };
    let program = ElfBytes::<LittleEndian>::minimal_parse(content).map_err(|_| bad("not an ELF file"))?;
    if program.ehdr.e_machine != EM_ARM {
        return Err(bad("not for ARM"));
    }
    let segments = program.segments().ok_or_else(|| bad("no segments"))?;
    for segment in segments.iter().filter(|segment| segment.p_type == PT_LOAD && segment.p_memsz > 0) {
        let (Ok(address), Ok(size), Ok(offset)) =
            (u32::try_from(segment.p_vaddr), u32::try_from(segment.p_memsz), u32::try_from(segment.p_offset))
        else {
            return Err(bad("a segment beyond 4 GiB"));
        };
        let end = address.checked_add(size).filter(|end| *end <= WINDOW_BASE as u32);
        if end.is_none() || (address < PROGRAM_BASE as u32 && binary != "vdso") {
            return Err(bad("a segment outside the range for programs"));
        }
        let start = address & !(PAGE - 1);
        let lead = address - start;
        let bytes = (lead + size).next_multiple_of(PAGE);
        if segment.p_flags & PF_W == 0 {
            let offset = offset.checked_sub(lead).ok_or_else(|| bad("a segment that is not page-aligned"))?;
            let flags = if segment.p_flags & PF_X == 0 { 0 } else { EXECUTE };
            domain.attach_at(&rom, Attach { address: start, offset, bytes, flags }, None)?;
        } else {
            let data = program.segment_data(&segment).map_err(|_| bad("a segment beyond its end"))?;
            let memory = account.create_dataspace(bytes, SMALL_PAGES)?;
            fill(account, &memory, &[(lead as usize, data)])?;
            domain.attach_at(&memory, Attach { address: start, flags: WRITE, ..Attach::default() }, None)?;
        }
    }
    u32::try_from(program.ehdr.e_entry).map_err(|_| bad("an entry beyond 4 GiB"))
}

/// Writes into memory that a child will get; the child pays for the mapping.
fn fill(account: &Account, memory: &Dataspace, parts: &[(usize, &[u8])]) -> Result<(), Error> {
    let attached = Attached::new(memory, WRITE, Some(account))?;
    parts.iter().try_for_each(|(offset, bytes)| attached.write(*offset, bytes))
}

fn start_page(component: &Component, account: &Account, domain: &Domain, slot_bits: u32) -> Result<(), Error> {
    let page = account.create_dataspace(PAGE, SMALL_PAGES)?;
    let config = match &component.config {
        Some(name) => Some(Domain::own().rom(name)?),
        None => None,
    };
    let attached = match &config {
        Some((rom, bytes)) => Some((Attached::new(rom, 0, None)?, *bytes as usize)),
        None => None,
    };
    let config = match &attached {
        // SAFETY: configurations are boot modules.
        Some((attached, bytes)) => unsafe { attached.content() }.get(..*bytes).unwrap_or(&[]),
        None => &[],
    };
    if config.len() > CONFIG_LEN {
        log!("the configuration of {} has {} bytes; {CONFIG_LEN} is the limit", component.name, config.len());
        return Err(Error::Invalid);
    }
    let head = StartInfo::head(1 << slot_bits, config.len() as u32);
    fill(account, &page, &[(START_INFO_OFFSET, &head), (START_INFO_OFFSET + head.len(), config)])?;
    domain.attach_at(&page, Attach { address: IPC_BASE as u32, flags: WRITE, ..Attach::default() }, None)?;
    Ok(())
}
