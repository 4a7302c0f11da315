//! From the kernel's hand-over to init's first instruction.

use core::cell::OnceCell;
use core::fmt;
use core::ptr::NonNull;

use abi::{IPC_BASE, STACK_TOP, START_INFO_OFFSET, StartInfo};
use elf::ElfBytes;
use elf::abi::{PF_W, PF_X, PT_LOAD};
use elf::endian::LittleEndian;
use ledger::Quota;
use sel4::{BootInfo, CNode, Cap, Tcb, Untyped, UntypedInfo, constants as c};
use session::core::{EXECUTE, SMALL_PAGES, WRITE};
use session::{Error, Label};
use zelkova_core::buddy::{Block, CHUNK_BITS, PAGE_BITS};
use zelkova_core::domains::ThreadArguments;
use zelkova_core::kernel::{Kernel, Object, SECOND_BITS, Slot, TOP_BITS};
use zelkova_core::log::{Log, RING_BYTES};
use zelkova_core::memory::{CHUNK_NODE_BITS, Memory};
use zelkova_core::serve::{HARDWARE_BADGE, MODULES, Module, Places, Server};
use zelkova_core::store::{Key, Store};
use zelkova_core::system::{PAGE, System};

use super::console::Uart;
use super::image;
use super::kernel::Sel4;

/// Where pages of bookkeeping are mapped: 64 MiB that nothing else uses.
const STORE_WINDOW: usize = 0x5000_0000;
/// Physical address of UART1 (UG585 appendix B).
const UART1: u32 = 0xe000_1000;
/// Most pages from the start of the device untyped that the console is in, up to the console's.
const NEAR: u32 = 4;
/// Capabilities that the whole system may have.
const CAPS: u32 = 1 << 16;
/// Least log2 of the boot untyped that core takes for its first CNodes.
const FIRST_UNTYPED_BITS: u8 = 16;
/// What core keeps for page tables of the store, devices and boot modules, beyond the CNodes of chunks.
const RESERVE: u32 = 256 * 1024;
const INIT_SLOT_BITS: u32 = 10;
const INIT_STACK: u32 = 128 * 1024;
const INIT_PRIORITY: u8 = 200;

/// Why core could not start.
#[derive(Debug)]
pub(super) enum StartError {
    /// The kernel gave no boot untyped that is large enough to begin with.
    NoFirstUntyped,
    /// The kernel refused the named step.
    Kernel(&'static str, sel4::Error),
    /// The boot modules are damaged.
    Modules(loader::modules::Error),
    /// There is no such boot module.
    NoModule(&'static str),
    /// A boot module is no program for this machine.
    Program(&'static str),
    /// A step of core's own failed.
    Step(&'static str, Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFirstUntyped => {
                write!(f, "no boot untyped of {} KiB to begin with", 1 << (FIRST_UNTYPED_BITS - 10))
            }
            Self::Kernel(step, error) => write!(f, "{step}: the kernel says {error:?}"),
            Self::Modules(error) => write!(f, "boot modules: {error}"),
            Self::NoModule(name) => write!(f, "there is no boot module `{name}`"),
            Self::Program(name) => write!(f, "boot module `{name}` is no program for this machine"),
            Self::Step(step, error) => write!(f, "{step}: {error}"),
        }
    }
}

/// Core, ready to serve.
pub(super) struct Started {
    /// The server.
    pub(super) server: Server<'static, Sel4, Uart>,
    /// Pointer to core's endpoint.
    pub(super) endpoint: u32,
    /// Pointer to the root of core's capability space.
    pub(super) root_cnode: u32,
    /// Slot for capabilities that come with requests.
    pub(super) receive: Slot,
}

/// First-level slots that core uses for itself, from the first empty one.
#[derive(Clone, Copy)]
#[repr(u32)]
enum Own {
    Node,
    Endpoint,
    Receive,
    Scratch,
    Hardware,
    ParentSignal,
    LogSignal,
    Console,
    /// [`NEAR`] slots for the frames by which core reaches its console before it keeps books.
    FirstFrame,
    End = Self::FirstFrame as u32 + NEAR,
}

/// Prepares everything and starts init.
pub(super) fn start(boot_info: BootInfo) -> Result<Started, StartError> {
    let own = |slot: Own| boot_info.empty().0 + slot as u32;
    // SAFETY: `start` runs once.
    let memory = unsafe { image::memory() };
    let mut kernel = deepen(boot_info, memory, own)?;
    let console_untyped = start_console(boot_info, &mut kernel, Slot::top(own(Own::FirstFrame)))?;
    let root_cnode = kernel.root.pointer();
    let window =
        NonNull::new(core::ptr::with_exposed_provenance_mut(STORE_WINDOW)).ok_or(StartError::NoFirstUntyped)?;
    // SAFETY: nothing else uses the window, which is page-aligned; pages are mapped by the system before they are added.
    let store = unsafe { Store::new(window) };
    let mut system = add_memory(boot_info, memory, kernel, store, own)?;
    for untyped in boot_info.untypeds().filter(|untyped| untyped.is_device && untyped.bits >= PAGE_BITS) {
        let added = system.add_device(Slot::top(untyped.slot), untyped.address, untyped.bits);
        added.map_err(|error| StartError::Step("device memory", error))?;
    }
    let console = keep_console(&mut system, console_untyped, Slot::top(own(Own::Console)))?;
    let modules = find_modules(boot_info)?;
    let places = Places {
        hardware: Slot::top(own(Own::Hardware)),
        parent_signal: Slot::top(own(Own::ParentSignal)),
        log_signal: Slot::top(own(Own::LogSignal)),
        console: UART1,
    };
    let label = Label::new("core").map_err(|_| StartError::Step("label", Error::Invalid))?;
    let mut server = Server::new(system, Log::new(console), modules, places, label);
    let (ring, frame) = image::log_ring(boot_info);
    server.log.set_ring(ring);
    let rom = server.system.create_rom(frame, RING_BYTES).map_err(|error| StartError::Step("log", error))?;
    server.set_log_rom(rom).map_err(|error| StartError::Step("log", error))?;
    server.prepare_roms().map_err(|error| StartError::Step("boot modules", error))?;
    server.say(format_args!("Zelkova on seL4, {} boot modules", modules.len()));
    start_init(&mut server)?;
    Ok(Started {
        server,
        endpoint: Slot::top(own(Own::Endpoint)).pointer(),
        root_cnode,
        receive: Slot::top(own(Own::Receive)),
    })
}

fn first_untyped(boot_info: BootInfo) -> Option<UntypedInfo> {
    let fits = |untyped: &UntypedInfo| !untyped.is_device && (FIRST_UNTYPED_BITS..CHUNK_BITS).contains(&untyped.bits);
    boot_info.untypeds().filter(fits).min_by_key(|untyped| untyped.bits)
}

/// The smallest untyped, for the endpoint.
fn endpoint_untyped(boot_info: BootInfo) -> Option<UntypedInfo> {
    let fits = |untyped: &UntypedInfo| !untyped.is_device && u32::from(untyped.bits) >= c::ENDPOINT_BITS;
    boot_info.untypeds().filter(fits).min_by_key(|untyped| untyped.bits)
}

/// Gives core's capability space its second level. Until then a capability pointer is a slot's number.
fn deepen(boot_info: BootInfo, memory: &mut Memory, own: impl Fn(Own) -> u32) -> Result<Sel4, StartError> {
    let refused = |step| move |error| StartError::Kernel(step, error);
    let first = first_untyped(boot_info).ok_or(StartError::NoFirstUntyped)?;
    let small =
        endpoint_untyped(boot_info).filter(|small| small.slot != first.slot).ok_or(StartError::NoFirstUntyped)?;
    let boot_root = Cap::<CNode>::new(c::CAP_CNODE);
    let node = own(Own::Node);
    Cap::<Untyped>::new(first.slot)
        .retype(c::OBJECT_CNODE, SECOND_BITS.into(), boot_root, 0, 0, node, 1)
        .map_err(refused("first CNode"))?;
    Cap::<Untyped>::new(small.slot)
        .retype(c::OBJECT_ENDPOINT, 0, boot_root, 0, 0, own(Own::Endpoint), 1)
        .map_err(refused("endpoint"))?;
    let guard = c::guard(u32::from(32 - TOP_BITS - SECOND_BITS));
    Cap::<CNode>::new(node)
        .mint(1, SECOND_BITS, boot_root, c::CAP_CNODE, 32, c::RIGHTS_ALL, guard)
        .map_err(refused("root CNode"))?;
    Cap::<Tcb>::new(c::CAP_TCB)
        .set_space(0, boot_root, guard, Cap::new(c::CAP_VSPACE), 0)
        .map_err(refused("capability space"))?;
    memory.reserve_top(0, own(Own::End));
    memory.reserve_top(boot_info.empty().1, 1 << TOP_BITS);
    memory.set_first_untyped(Slot::top(first.slot), (1 << first.bits) - (1 << CHUNK_NODE_BITS));
    let boot = |slot: u32| Slot::top(slot).pointer();
    Ok(Sel4 {
        root: Cap::new(Slot::within(node, 1).pointer()),
        directory: Slot::top(c::CAP_VSPACE),
        asid_pool: Cap::new(boot(c::CAP_ASID_POOL)),
        irq_control: Cap::new(boot(c::CAP_IRQ_CONTROL)),
        thread: Cap::new(boot(c::CAP_TCB)),
    })
}

/// Enters all RAM into the books, and makes the objects that core itself needs.
fn add_memory(
    boot_info: BootInfo,
    memory: &'static mut Memory,
    mut kernel: Sel4,
    store: Store,
    own: impl Fn(Own) -> u32,
) -> Result<System<'static, Sel4>, StartError> {
    let taken = [first_untyped(boot_info), endpoint_untyped(boot_info)];
    for untyped in boot_info.untypeds().filter(|untyped| !untyped.is_device && untyped.bits >= PAGE_BITS) {
        if taken.iter().flatten().any(|other| other.slot == untyped.slot) {
            continue;
        }
        // What does not fit the books stays unused: the sum that core starts with is what it could enter.
        let _ = memory.add(&mut kernel, untyped.slot, Block { address: untyped.address, bits: untyped.bits });
    }
    let endpoint = Slot::top(own(Own::Endpoint));
    let refused = |_| StartError::Step("hardware object", Error::Kernel);
    kernel.mint(endpoint, Slot::top(own(Own::Hardware)), HARDWARE_BADGE).map_err(refused)?;
    System::new(kernel, memory, store, endpoint, Slot::top(own(Own::Scratch)), CAPS)
        .map_err(|error| StartError::Step("first account", error))
}

/// Maps the console's registers, so that whatever goes wrong from here on can be said; returns the untyped that they are from.
///
/// Kernels hand devices over in untypeds of different sizes. There are no books yet that could split one, so frames are made of all
/// its pages up to the console's.
fn start_console(boot_info: BootInfo, kernel: &mut Sel4, frames: Slot) -> Result<Slot, StartError> {
    let has_console =
        |untyped: &UntypedInfo| untyped.is_device && UART1.wrapping_sub(untyped.address) >> untyped.bits == 0;
    let untyped = boot_info.untypeds().find(has_console).ok_or(StartError::Step("console", Error::NotFound))?;
    let pages = (UART1 - untyped.address) / PAGE + 1;
    if pages > NEAR {
        return Err(StartError::Step("console", Error::NotFound));
    }
    let refused = |_| StartError::Step("console", Error::Kernel);
    kernel.retype(Slot::top(untyped.slot), Object::Frame(PAGE_BITS), frames, pages).map_err(refused)?;
    image::vacate(boot_info, &image::COPY_PAGE).map_err(refused)?;
    image::vacate(boot_info, &image::CONSOLE_PAGE).map_err(refused)?;
    map_console(kernel, frames.plus(pages - 1))?;
    Ok(Slot::top(untyped.slot))
}

fn map_console(kernel: &mut Sel4, frame: Slot) -> Result<Uart, StartError> {
    image::map(kernel, &image::CONSOLE_PAGE, frame, false).map_err(|_| StartError::Step("console", Error::Kernel))?;
    // SAFETY: the registers were just mapped there, and whoever unmaps them calls `lose` before.
    Ok(unsafe { Uart::at(image::CONSOLE_PAGE.address()) })
}

/// Takes the console's registers out of the books instead, so that the rest of that untyped is free for others.
fn keep_console(system: &mut System<'static, Sel4>, untyped: Slot, frame: Slot) -> Result<Uart, StartError> {
    Uart::lose();
    system.kernel.revoke(untyped).map_err(|_| StartError::Step("console", Error::Kernel))?;
    system.own_device(UART1, frame).map_err(|error| StartError::Step("console", error))?;
    map_console(&mut system.kernel, frame)
}

struct ModuleList(OnceCell<heapless::Vec<Module<'static>, MODULES>>);
// SAFETY: core has one thread.
unsafe impl Sync for ModuleList {}
static MODULE_LIST: ModuleList = ModuleList(OnceCell::new());

fn find_modules(boot_info: BootInfo) -> Result<&'static [Module<'static>], StartError> {
    let bytes = image::modules(boot_info);
    let table = loader::modules::Modules::parse(bytes).map_err(StartError::Modules)?;
    let first = image::frame_of(boot_info, bytes.as_ptr().addr());
    let list = MODULE_LIST.0.get_or_init(|| {
        table
            .iter()
            .map(|module| Module {
                name: module.name,
                first_frame: first.plus(module.offset / PAGE),
                bytes: module.contents.len() as u32,
                content: module.contents,
            })
            .take(MODULES)
            .collect()
    });
    Ok(list)
}

fn start_init(server: &mut Server<'static, Sel4, Uart>) -> Result<(), StartError> {
    let step = |name| move |error| StartError::Step(name, error);
    let system = &mut server.system;
    let root = system.root().map_err(step("root account"))?;
    let available = system.ledger(root).map_err(step("root account"))?.available();
    let reserve = RESERVE + (available.ram >> CHUNK_BITS << CHUNK_NODE_BITS);
    // The account's entry costs the root a little, hence a page less.
    let donation = Quota::new((available.ram - reserve) & !(PAGE - 1), available.caps - available.caps / 8);
    let account = system.create_account(root, donation).map_err(step("account of init"))?;
    let label = Label::new("init").map_err(|_| StartError::Step("label", Error::Invalid))?;
    let domain = system.create_domain(account, label, INIT_SLOT_BITS, true).map_err(step("domain of init"))?;
    let entry = load(server, account, domain, "init")?;
    load(server, account, domain, "vdso")?;
    let system = &mut server.system;
    let small = SMALL_PAGES;
    let start_page = system.create_dataspace(account, PAGE, small).map_err(step("start page of init"))?;
    fill(system, start_page, START_INFO_OFFSET, &StartInfo::head(1 << INIT_SLOT_BITS, 0))?;
    let stack = system.create_dataspace(account, INIT_STACK, small).map_err(step("stack of init"))?;
    let at = |address: usize| [address as u32, 0, 0, WRITE];
    system.attach(domain, start_page, account, at(IPC_BASE)).map_err(step("start page of init"))?;
    system.attach(domain, stack, account, at(STACK_TOP - INIT_STACK as usize)).map_err(step("stack of init"))?;
    let arguments = ThreadArguments {
        registers: [entry, STACK_TOP as u32, 0],
        ipc_buffer: IPC_BASE as u32,
        priority: INIT_PRIORITY,
        fault_slot: 0,
    };
    system.create_thread(domain, account, &arguments, true).map_err(step("thread of init"))?;
    Ok(())
}

/// Writes into a dataspace of small pages.
fn fill(system: &mut System<'static, Sel4>, dataspace: Key, offset: usize, bytes: &[u8]) -> Result<(), StartError> {
    let step = |error| StartError::Step("filling init's memory", error);
    let mut at = offset;
    let mut rest = bytes;
    while !rest.is_empty() {
        let within = at % PAGE as usize;
        let (now, later) = rest.split_at(rest.len().min(PAGE as usize - within));
        let frame = system.frame_of(dataspace, at as u32 / PAGE).map_err(step)?;
        image::write(&mut system.kernel, frame, within, now).map_err(|_| step(Error::Kernel))?;
        at += now.len();
        rest = later;
    }
    Ok(())
}

/// Attaches the segments of a program to a domain and returns its entry point.
fn load(
    server: &mut Server<'static, Sel4, Uart>,
    account: Key,
    domain: Key,
    name: &'static str,
) -> Result<u32, StartError> {
    let step = move |error| StartError::Step(name, error);
    let module = server.module(name).ok_or(StartError::NoModule(name))?;
    let rom = server.rom_of(name).map_err(step)?;
    let program = ElfBytes::<LittleEndian>::minimal_parse(module.content).map_err(|_| StartError::Program(name))?;
    let segments = program.segments().ok_or(StartError::Program(name))?;
    let system = &mut server.system;
    for segment in segments.iter().filter(|segment| segment.p_type == PT_LOAD && segment.p_memsz > 0) {
        let start = segment.p_vaddr as u32 & !(PAGE - 1);
        let lead = segment.p_vaddr as u32 - start;
        let bytes = (lead + segment.p_memsz as u32).next_multiple_of(PAGE);
        if segment.p_flags & PF_W == 0 {
            let flags = if segment.p_flags & PF_X == 0 { 0 } else { EXECUTE };
            let offset = (segment.p_offset as u32).checked_sub(lead).ok_or(StartError::Program(name))?;
            system.attach(domain, rom, account, [start, offset, bytes, flags]).map_err(step)?;
        } else {
            let dataspace = system.create_dataspace(account, bytes, SMALL_PAGES).map_err(step)?;
            let content = program.segment_data(&segment).map_err(|_| StartError::Program(name))?;
            fill(system, dataspace, lead as usize, content)?;
            system.attach(domain, dataspace, account, [start, 0, bytes, WRITE]).map_err(step)?;
        }
    }
    Ok(program.ehdr.e_entry as u32)
}
