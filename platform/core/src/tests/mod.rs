//! Core over a simulated kernel, through the same door as real requests.
//!
//! [`Core::audit`] compares everything that is written down in more than one place: what core remembers about its objects, the numbers of
//! the accounts, the books of memory and slots, and what the kernel really holds.

mod busy;
mod paging;
mod refusals;
mod requests;
mod sequences;

use std::boxed::Box;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ptr::NonNull;
use std::rc::Rc;
use std::string::String;
use std::vec;
use std::vec::Vec;

use session::core::{
    AccountInfo, AccountRequest, DataspaceRequest, DomainRequest, HardwareRequest, SMALL_PAGES, ThreadRequest, WRITE,
};
use session::{Error, Label, Message};

use crate::buddy::{Block, PAGE_BITS};
use crate::domains::PARENT_BADGE;
use crate::kernel::{Kernel, Slot};
use crate::log::{Console, Log};
use crate::memory::{CHUNK_NODE_BITS, Memory, parts};
use crate::objects::{Object, Origin, PieceKind};
use crate::serve::{Answer, Capability, HARDWARE_BADGE, Module, Places, Server};
use crate::simulated::Simulated;
use crate::store::{Key, PAGES, Store};
use crate::system::{PAGE, System};

const DIRECTORY: Slot = Slot::top(3);
const FIRST_UNTYPED: u32 = 10;
const ENDPOINT: Slot = Slot::top(12);
const SCRATCH: Slot = Slot::top(13);
const HARDWARE: Slot = Slot::top(14);
const PARENT_SIGNAL: Slot = Slot::top(15);
const LOG_SIGNAL: Slot = Slot::top(16);
const RECEIVE: Slot = Slot::top(17);
const CONSOLE_FRAME: Slot = Slot::top(18);
const IMAGE: u32 = 32;
const RAM: u32 = 64;
const DEVICES: u32 = 80;
/// First-level slots from here on are core's to use, up to `LAST`.
const FIRST: u32 = 96;
const LAST: u32 = 4000;

/// Registers of the console.
const CONSOLE: u32 = 0xe000_1000;
/// A device of one page.
const DEVICE: u32 = 0xe010_0000;
/// Device memory in one piece of 16 MiB.
const LOGIC: u32 = 0x4000_0000;
/// RAM: small pieces in one MiB, and three arenas.
const UNTYPEDS: [(u32, u8); 7] = [
    (0x0034_4000, 14),
    (0x0034_8000, 14),
    (0x0034_c000, 14),
    (0x0038_0000, 19),
    (0x0040_0000, 22),
    (0x0080_0000, 23),
    (0x0100_0000, 24),
];
const RAM_AREA: core::ops::Range<u32> = 0x0034_0000..0x0200_0000;
const CAPS: u32 = 4096;
const ROM_BYTES: u32 = 0x2345;

static MODULES: [Module<'static>; 1] =
    [Module { name: "program", first_frame: Slot::top(IMAGE), bytes: ROM_BYTES, content: &[] }];

/// A console that keeps what is written.
#[derive(Clone, Default)]
struct Screen(Rc<RefCell<String>>);

impl Console for Screen {
    fn write(&mut self, bytes: &[u8]) {
        self.0.borrow_mut().push_str(&String::from_utf8_lossy(bytes));
    }
    fn reclaim(&mut self) {
        self.0.borrow_mut().push_str("<reclaimed>");
    }
}

/// What core stands on: its books and its window of address space.
struct Ground {
    memory: Box<Memory>,
    window: Vec<u8>,
}

impl Ground {
    fn new() -> Self {
        // The window begins at a multiple of what one group of page tables translates. Zeroed memory of this size is not touched
        // by the allocator.
        Self { memory: Box::new(Memory::new()), window: vec![0; PAGES * PAGE as usize + (4 << 20)] }
    }

    /// Starts core as the target does, up to the moment before the first component.
    fn start(&mut self) -> Core<'_> {
        let mut kernel = Simulated::new(DIRECTORY);
        self.memory.reserve_top(0, FIRST);
        self.memory.reserve_top(LAST, 1 << crate::kernel::TOP_BITS);
        kernel.boot_untyped(Slot::top(FIRST_UNTYPED), 0x0032_0000, 16, false);
        self.memory.set_first_untyped(Slot::top(FIRST_UNTYPED), 1 << 16);
        kernel.boot_endpoint(ENDPOINT);
        for page in 0..8 {
            kernel.boot_frame(Slot::top(IMAGE + page), 0x0020_0000 + page * PAGE);
        }
        for (slot, (address, bits)) in (RAM..).zip(UNTYPEDS) {
            kernel.boot_untyped(Slot::top(slot), address, bits, false);
            self.memory.add(&mut kernel, slot, Block { address, bits }).unwrap();
        }
        let devices = [(CONSOLE, 12), (DEVICE, 12), (LOGIC, 24)];
        for (slot, (address, bits)) in (DEVICES..).zip(devices) {
            kernel.boot_untyped(Slot::top(slot), address, bits, true);
        }
        kernel.mint(ENDPOINT, HARDWARE, HARDWARE_BADGE).unwrap();
        let total = self.memory.free_bytes();
        let start = self.window.as_mut_ptr();
        let window = start.wrapping_add(start.align_offset(4 << 20));
        // SAFETY: the window is page-aligned memory that nobody else uses while `self` is borrowed, and it is all there.
        let store = unsafe { Store::new(NonNull::new(window).unwrap()) };
        let mut system = System::new(kernel, &mut self.memory, store, ENDPOINT, SCRATCH, CAPS).unwrap();
        for (slot, (address, bits)) in (DEVICES..).zip(devices) {
            system.add_device(Slot::top(slot), address, bits).unwrap();
        }
        system.own_device(CONSOLE, CONSOLE_FRAME).unwrap();
        let screen = Screen::default();
        let places =
            Places { hardware: HARDWARE, parent_signal: PARENT_SIGNAL, log_signal: LOG_SIGNAL, console: CONSOLE };
        let label = Label::new("core").unwrap();
        let mut server = Server::new(system, Log::new(screen.clone()), &MODULES, places, label);
        let log = server.system.create_rom(Slot::top(IMAGE + 7), PAGE).unwrap();
        server.set_log_rom(log).unwrap();
        server.prepare_roms().unwrap();
        let core = Core { server, screen, total, window: window.addr() };
        core.audit();
        core
    }
}

/// Core, and what a test wants to know about it.
struct Core<'a> {
    server: Server<'a, Simulated, Screen>,
    screen: Screen,
    total: u32,
    window: usize,
}

/// What must be the same again after everything is closed.
#[derive(Debug, PartialEq, Eq)]
struct Baseline {
    free: u32,
    census: BTreeMap<(&'static str, &'static str), usize>,
}

/// A component as init would make it.
#[derive(Clone, Copy, Debug)]
struct Component {
    account: u32,
    domain: u32,
}

type Asked = Result<(Vec<u32>, Option<Slot>), Error>;

impl Core<'_> {
    fn root(&self) -> u32 {
        self.server.system.root().unwrap().badge()
    }

    fn kernel(&mut self) -> &mut Simulated {
        &mut self.server.system.kernel
    }

    fn ask(&mut self, badge: u32, message: &Message, caps: &[Capability]) -> Asked {
        let Answer { message, capability } = self.server.serve(badge, message, caps);
        Error::check(message.label).map(|()| (message.words().to_vec(), capability))
    }

    /// Badge of the capability in an answer.
    fn badge(&mut self, answer: Asked) -> Result<u32, Error> {
        let slot = answer?.1.expect("a capability in the answer");
        Ok(self.kernel().content(slot).expect("a capability in the slot").badge)
    }

    fn account(&mut self, badge: u32, request: AccountRequest, caps: &[u32]) -> Asked {
        self.ask(badge, &request.encode(), &own(caps))
    }

    fn domain(&mut self, badge: u32, request: DomainRequest, caps: &[u32]) -> Asked {
        self.ask(badge, &request.encode(), &own(caps))
    }

    fn thread(&mut self, badge: u32, request: ThreadRequest) -> Asked {
        self.ask(badge, &request.encode(), &[])
    }

    fn hardware(&mut self, request: HardwareRequest, caps: &[u32]) -> Asked {
        self.ask(HARDWARE_BADGE, &request.encode(), &own(caps))
    }

    fn size(&mut self, dataspace: u32) -> Result<u32, Error> {
        Ok(self.ask(dataspace, &DataspaceRequest::Size.encode(), &[])?.0[0])
    }

    fn info(&mut self, account: u32) -> AccountInfo {
        let (words, _) = self.account(account, AccountRequest::Info, &[]).unwrap();
        AccountInfo::from_words(&words).unwrap()
    }

    fn create_account(&mut self, lender: u32, ram: u32, caps: u32) -> Result<u32, Error> {
        let answer = self.account(lender, AccountRequest::CreateAccount { ram, caps }, &[]);
        self.badge(answer)
    }

    fn close(&mut self, lender: u32, account: u32) -> Result<(), Error> {
        self.account(lender, AccountRequest::Close, &[account]).map(drop)
    }

    fn create_dataspace(&mut self, account: u32, bytes: u32, flags: u32) -> Result<u32, Error> {
        let answer = self.account(account, AccountRequest::CreateDataspace { bytes, flags }, &[]);
        self.badge(answer)
    }

    fn create_domain(&mut self, account: u32, creator: u32, name: &str, slot_bits: u32) -> Result<u32, Error> {
        let mut message = AccountRequest::CreateDomain { slot_bits }.encode();
        message.push_text(name);
        let answer = self.ask(account, &message, &own(&[creator]));
        self.badge(answer)
    }

    /// Address and region.
    fn attach(&mut self, domain: u32, dataspace: u32, address: u32, flags: u32) -> Result<[u32; 2], Error> {
        let request = DomainRequest::Attach { address, offset: 0, bytes: 0, flags };
        let (words, _) = self.domain(domain, request, &[dataspace])?;
        Ok([words[0], words[1]])
    }

    fn create_thread(&mut self, domain: u32, ipc_buffer: u32, fault_slot: u32) -> Result<u32, Error> {
        let request = DomainRequest::CreateThread {
            entry: 0x18_0000,
            stack: 0x18_0000,
            argument: 0,
            ipc_buffer,
            priority: 100,
            fault_slot,
        };
        let answer = self.domain(domain, request, &[]);
        self.badge(answer)
    }

    /// The first component: an account under the root and a domain that may see everything.
    fn start_init(&mut self, ram: u32, caps: u32) -> Component {
        let root = self.root();
        let account = self.create_account(root, ram, caps).unwrap();
        let label = Label::new("init").unwrap();
        let domain = self.server.system.create_domain(key(account), label, 6, true).unwrap();
        Component { account, domain: domain.badge() | PARENT_BADGE }
    }

    /// A page for IPC buffers at `IPC_BASE`.
    fn attach_ipc_page(&mut self, component: Component) -> u32 {
        let dataspace = self.create_dataspace(component.account, PAGE, SMALL_PAGES).unwrap();
        self.attach(component.domain, dataspace, abi::IPC_BASE as u32, WRITE).unwrap();
        dataspace
    }

    /// Closes all accounts under the root and merges what can be merged.
    fn close_everything(&mut self) {
        let root = self.root();
        while let Some(child) = self.server.system.account(key(root)).unwrap().first_child {
            self.close(root, child.badge()).unwrap();
        }
        self.server.system.compact().unwrap();
    }

    fn baseline(&mut self) -> Baseline {
        self.server.system.compact().unwrap();
        Baseline { free: self.server.system.free_bytes(), census: self.kernel().census() }
    }

    fn defects(&self) -> u32 {
        self.server.system.defects
    }

    /// Badges of all objects that `wanted` is true for.
    fn badges(&self, wanted: impl Fn(&Object) -> bool) -> Vec<u32> {
        self.objects().filter(|(_, object)| wanted(object)).map(|(key, _)| key.badge()).collect()
    }

    fn headers(&self) -> impl Iterator<Item = Key> {
        let keys = (1..PAGES as u32).filter_map(|page| Key::from_badge(page << 5));
        keys.filter(|key| self.server.system.store.get(*key).is_some())
    }

    fn objects(&self) -> impl Iterator<Item = (Key, &Object)> {
        let store = &self.server.system.store;
        self.headers().flat_map(Store::entries).filter_map(|key| Some((key, store.get(key)?)))
    }

    /// Checks that all books agree with each other and with the kernel.
    fn audit(&self) {
        let mut books = Books::default();
        let system = &self.server.system;
        let root = system.root().unwrap();
        for header in self.headers() {
            let Some(Object::Header(object)) = system.store.get(header) else { panic!("{header:?} is no header") };
            let owner = object.account.expect("an account for each page");
            books.block(owner, object.block, true);
            books.slots(owner, object.frame, 1);
            let address = self.window as u32 + (header.badge() >> 5) * PAGE;
            let mapped = system.kernel.translate(DIRECTORY, address);
            assert_eq!(mapped, Some((PAGE_BITS, object.block.address)), "page of {header:?}");
            let used = Store::entries(header).filter(|key| !matches!(system.store.get(*key), Some(Object::Free(_))));
            assert_eq!(used.count(), object.used as usize, "used entries of {header:?}");
            let mut free = 0;
            let mut at = object.free;
            while let Some(key) = at {
                let Some(Object::Free(next)) = system.store.get(key) else { panic!("{key:?} is not free") };
                at = *next;
                free += 1;
            }
            assert_eq!(free + object.used, 31, "entries of {header:?}");
        }
        for (key, object) in self.objects() {
            books.note(system.owner(key).unwrap(), object);
        }
        assert_eq!(system.kernel.mappings(DIRECTORY), self.headers().count(), "pages of the store");
        let in_domains =
            self.badges(|object| matches!(object, Object::Piece(piece) if piece.kind == PieceKind::CNode(9)));
        let nodes = (system.kernel.count("CNode", CHUNK_NODE_BITS, RAM_AREA) - in_domains.len()) as u32;
        let tables = system.kernel.tables(DIRECTORY) as u32;
        let reserve = (nodes << CHUNK_NODE_BITS) + tables / 4 * PAGE;
        let tally = books.tallies.entry(root.badge()).or_default();
        tally.ram += reserve;
        tally.kernel += reserve;
        self.audit_accounts(&books);
        self.audit_memory(&books);
        self.audit_slots(&books);
        self.audit_domains();
    }

    fn audit_accounts(&self, books: &Books) {
        let system = &self.server.system;
        let mut used = 0;
        let mut held = (0, 0);
        for (key, object) in self.objects() {
            let Object::Account(account) = object else { continue };
            let ledger = &account.ledger;
            let tally = books.tallies.get(&key.badge()).copied().unwrap_or_default();
            let written = Tally { ram: ledger.used().ram, kernel: ledger.kernel(), caps: ledger.used().caps };
            assert_eq!(written, tally, "what account {key:?} uses");
            used += ledger.used().ram;
            held.0 += ledger.limit().ram - ledger.lent().ram;
            held.1 += ledger.limit().caps - ledger.lent().caps;
            let mut lent = (0, 0);
            let mut at = account.first_child;
            while let Some(child) = at {
                let child = system.account(child).unwrap();
                assert_eq!(child.lender, Some(key));
                lent.0 += child.ledger.limit().ram;
                lent.1 += child.ledger.limit().caps;
                at = child.siblings.next;
            }
            assert_eq!((ledger.lent().ram, ledger.lent().caps), lent, "what account {key:?} lent");
        }
        assert_eq!(used + system.free_bytes(), self.total, "all memory is used or free");
        assert_eq!(held, (self.total, CAPS), "all quota is somewhere");
    }

    fn audit_memory(&self, books: &Books) {
        let memory = &self.server.system.memory;
        let mut end = 0;
        for (address, block) in &books.blocks {
            assert!(end <= *address, "{block:?} overlaps");
            end = address + block.size();
            for part in parts(*block) {
                let untyped = self.server.system.kernel.content(memory.untyped(part)).expect("an untyped");
                assert_eq!((untyped.kind, untyped.bits, untyped.address), ("untyped", part.bits, part.address));
            }
        }
    }

    fn audit_slots(&self, books: &Books) {
        let system = &self.server.system;
        let mut in_books = books.slots.clone();
        for (key, object) in self.objects() {
            let Object::CapPage(page) = object else { continue };
            let used: BTreeSet<u32> =
                (0..256).filter(|index| page.used[*index as usize / 32] & 1 << (index % 32) != 0).collect();
            let (whose, owned) = in_books.remove(&page.node).unwrap_or_default();
            assert!(owned.is_empty() || whose == system.owner(key).unwrap().badge(), "whose slots are in {key:?}");
            assert_eq!(used, owned, "slots of {key:?}, in use and known");
            assert_eq!(system.memory.cap_page(page.node), Some(key));
            let occupied = system.kernel.slots_of(page.node);
            let missing: Vec<_> =
                owned.difference(&occupied).filter(|i| !books.empty.contains(&(page.node, **i))).collect();
            assert!(missing.is_empty(), "slots {missing:?} of {key:?} are empty");
            let lost: Vec<_> = occupied.difference(&owned).collect();
            assert!(lost.is_empty(), "slots {lost:?} of {key:?} hold what nobody knows");
        }
        assert!(in_books.is_empty(), "slots in CNodes that nobody knows: {in_books:?}");
        let occupied = system.kernel.top_slots();
        for index in FIRST..LAST {
            assert_eq!(system.memory.is_top_used(index), occupied.contains(&index), "first-level slot {index}");
        }
        assert!(!occupied.contains(&SCRATCH.node()), "something is left in the scratch slot");
    }

    /// Pages of a map whose frames are still there.
    fn mapped_pages(&self, part: Key) -> usize {
        match self.server.system.object(part) {
            Some(Object::Node(node)) => node.children.iter().flatten().map(|child| self.mapped_pages(*child)).sum(),
            Some(Object::Leaf(leaf)) => {
                let present = (0..32).filter(|place| leaf.present & 1 << place != 0);
                let is_there = |slot| self.server.system.kernel.content(slot).is_some();
                present.filter(|place| leaf.first.is_none_or(|first| is_there(first.plus(*place)))).count()
            }
            other => panic!("{other:?} in a page map"),
        }
    }

    fn audit_domains(&self) {
        let system = &self.server.system;
        for (key, object) in self.objects() {
            let Object::Domain(domain) = object else { continue };
            let directory = system.piece(domain.directory).unwrap().slot;
            let (mut pages, mut tables) = (0, 0);
            let mut count = |mut at: Option<Key>| {
                while let Some(table) = at {
                    tables += 1;
                    at = system.piece(table).unwrap().links.next;
                }
            };
            count(domain.tables);
            let mut at = domain.regions;
            while let Some(region) = at {
                let region = system.region(region).unwrap();
                pages += region.runs.iter().map(|run| run.count as usize).sum::<usize>();
                pages += region.pages.map_or(0, |map| self.mapped_pages(map.root));
                count(region.tables);
                at = region.in_domain.next;
            }
            assert_eq!(system.kernel.mappings(directory), pages, "mapped pages of {key:?}");
            assert_eq!(system.kernel.tables(directory), tables, "page tables of {key:?}");
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    ram: u32,
    kernel: u32,
    caps: u32,
}

/// What follows from the objects that core remembers.
#[derive(Default)]
struct Books {
    tallies: BTreeMap<u32, Tally>,
    blocks: BTreeMap<u32, Block>,
    /// By first-level slot: whose, and which.
    slots: BTreeMap<u32, (u32, BTreeSet<u32>)>,
    /// Those that may be empty.
    empty: BTreeSet<(u32, u32)>,
}

impl Books {
    fn block(&mut self, owner: Key, block: Block, kernel: bool) {
        let tally = self.tallies.entry(owner.badge()).or_default();
        tally.ram += block.size();
        tally.kernel += if kernel { block.size() } else { 0 };
        assert!(self.blocks.insert(block.address, block).is_none(), "{block:?} is used twice");
    }

    fn slots(&mut self, owner: Key, first: Slot, count: u32) {
        let (whose, slots) = self.slots.entry(first.node()).or_insert_with(|| (owner.badge(), BTreeSet::new()));
        assert_eq!(*whose, owner.badge(), "a CNode of two accounts");
        for index in first.index()..first.index() + count {
            assert!(slots.insert(index), "slot {index} of {first:?} is used twice");
        }
    }

    fn caps(&mut self, owner: Key, count: u32) {
        self.tallies.entry(owner.badge()).or_default().caps += count;
    }

    fn note(&mut self, owner: Key, object: &Object) {
        let masters: Vec<Option<Slot>> = match object {
            Object::Account(account) => vec![account.master],
            Object::Dataspace(dataspace) => {
                let managed = dataspace.managed.map(|managed| (managed.master, managed.pager));
                vec![
                    dataspace.master,
                    dataspace.read_only,
                    managed.and_then(|(master, _)| master),
                    managed.map(|(_, pager)| pager),
                ]
            }
            Object::Thread(thread) => vec![thread.master, thread.faults],
            Object::Domain(domain) => domain.masters.into_iter().chain([domain.on_change]).collect(),
            Object::Parcel(parcel) => vec![parcel.master],
            _ => Vec::new(),
        };
        for master in masters.into_iter().flatten() {
            self.slots(owner, master, 1);
        }
        match object {
            Object::Account(account) => self.caps(owner, account.lender.is_some().into()),
            Object::Thread(_) => self.caps(owner, 1),
            Object::Dataspace(dataspace) => {
                self.caps(owner, 1);
                // The pager's notification may be destroyed before the dataspace.
                self.empty.extend(dataspace.managed.map(|managed| (managed.pager.node(), managed.pager.index())));
            }
            Object::Domain(domain) => {
                self.caps(owner, 1);
                // The notification may be destroyed before the domain.
                self.empty.extend(domain.on_change.map(|slot| (slot.node(), slot.index())));
            }
            Object::CapPage(page) => self.block(owner, page.block, true),
            Object::Slab(slab) => self.block(owner, slab.block, true),
            Object::Piece(piece) => {
                self.slots(owner, piece.slot, 1);
                self.caps(owner, piece.charged.into());
                match piece.origin {
                    Origin::Block(block) => self.block(owner, block, true),
                    Origin::Slab { untyped, .. } => self.slots(owner, untyped, 1),
                }
                if !piece.live {
                    self.empty.insert((piece.slot.node(), piece.slot.index()));
                }
            }
            Object::Extent(extent) => {
                if let Some(block) = extent.block {
                    self.block(owner, block, false);
                }
                if extent.block.is_some() || extent.device.is_some() {
                    self.slots(owner, extent.first, extent.count);
                }
            }
            Object::Region(region) => {
                for run in region.runs.iter().filter(|run| run.count > 0) {
                    self.slots(owner, run.first, run.count);
                }
            }
            Object::Parcel(parcel) => {
                self.slots(owner, parcel.first, parcel.room);
                self.caps(owner, 1 + parcel.room);
                // Not filled yet, or what was in there has been destroyed.
                self.empty.extend((0..parcel.room).map(|index| (parcel.first.node(), parcel.first.index() + index)));
            }
            Object::Leaf(leaf) => {
                if let Some(first) = leaf.first {
                    self.slots(owner, first, 32);
                    // Frames may be destroyed before the copies of their capabilities are missed.
                    self.empty.extend((0..32).map(|place| (first.node(), first.index() + place)));
                }
            }
            Object::Interrupt(interrupt) => {
                self.slots(owner, interrupt.slot, 1);
                self.caps(owner, 1);
            }
            Object::Device(device) if !device.slot.is_top() => self.slots(owner, device.slot, 1),
            Object::Header(_)
            | Object::Free(_)
            | Object::Label(_)
            | Object::Faults(_)
            | Object::Node(_)
            | Object::Window(_)
            | Object::Device(_) => {}
        }
    }
}

fn key(badge: u32) -> Key {
    Key::from_badge(badge & !PARENT_BADGE).unwrap()
}

fn own(badges: &[u32]) -> Vec<Capability> {
    badges.iter().map(|badge| Capability::Own(*badge)).collect()
}
