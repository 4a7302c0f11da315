//! What core remembers: one struct for each kind of object.

use crate::buddy::Block;
use crate::kernel::Slot;
use crate::store::Key;

/// Runs of frame capabilities that one region can consist of.
pub const REGION_RUNS: usize = 4;
/// Address windows of a domain: each 256 MiB wide.
pub const WINDOWS: usize = 13;

/// Log2 of the smallest kernel object's size in bytes.
pub const SMALLEST_BITS: u8 = 4;
/// Sizes of kernel objects that share slabs: powers of two below a page.
pub const SPARE_SIZES: usize = (crate::buddy::PAGE_BITS - SMALLEST_BITS) as usize;

/// Any object.
#[derive(Debug)]
pub enum Object {
    /// First entry of a page.
    Header(Header),
    /// A free entry, and the next free one of its page.
    Free(Option<Key>),
    /// An account.
    Account(Account),
    /// A CNode for an account's capabilities.
    CapPage(CapPage),
    /// An untyped that small kernel objects are made from.
    Slab(Slab),
    /// A kernel object.
    Piece(Piece),
    /// Memory to attach.
    Dataspace(Dataspace),
    /// Frames of a dataspace that lie in one block.
    Extent(Extent),
    /// A dataspace attached to a domain.
    Region(Region),
    /// A protection domain.
    Domain(Domain),
    /// A domain's label.
    Label(session::Label),
    /// A domain's faults so far.
    Faults(session::core::DomainStatus),
    /// Inner part of a page map.
    Node(Node),
    /// Outer part of a page map.
    Leaf(Leaf),
    /// Which megabytes of 256 are taken in a domain.
    Window(Window),
    /// A thread.
    Thread(Thread),
    /// An interrupt handler.
    Interrupt(Interrupt),
    /// A node of a device untyped.
    Device(Device),
    /// Capabilities on their way.
    Parcel(Parcel),
}

/// First entry of a page of objects.
#[derive(Debug)]
pub struct Header {
    /// The account that paid for the page; all objects in it are that account's. `None`: core's first page.
    pub account: Option<Key>,
    /// Neighbours among the account's pages.
    pub pages: Links,
    /// Neighbours among the account's pages with free entries.
    pub open: Links,
    /// First free entry.
    pub free: Option<Key>,
    /// Entries in use.
    pub used: u32,
    /// The page's memory.
    pub block: Block,
    /// Its frame.
    pub frame: Slot,
}

/// An account.
#[derive(Debug)]
pub struct Account {
    /// The numbers.
    pub ledger: ledger::Account,
    /// Who lent it.
    pub lender: Option<Key>,
    /// First account made from it.
    pub first_child: Option<Key>,
    /// Neighbours among the accounts made from the same lender.
    pub siblings: Links,
    /// Its pages of objects.
    pub pages: Option<Key>,
    /// Those of them with free entries.
    pub open_pages: Option<Key>,
    /// Its CNodes with free slots.
    pub cap_pages: Option<Key>,
    /// The slab that new small objects come from.
    pub slab: Option<Key>,
    /// Parts of slabs that hold nothing at the moment, by log2 of their size less [`SMALLEST_BITS`].
    pub spare: [Option<Key>; SPARE_SIZES],
    /// Core's capability for it.
    pub master: Option<Slot>,
}

impl Account {
    /// An account without quota that nothing has been made from.
    pub fn empty(lender: Key) -> Self {
        Self {
            ledger: ledger::Account::root(ledger::Quota::ZERO),
            lender: Some(lender),
            first_child: None,
            siblings: Links::default(),
            pages: None,
            open_pages: None,
            cap_pages: None,
            slab: None,
            spare: [None; SPARE_SIZES],
            master: None,
        }
    }
}

/// Neighbours in a doubly linked list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// The one before.
    pub previous: Option<Key>,
    /// The one behind.
    pub next: Option<Key>,
}

/// A CNode for an account's capabilities.
#[derive(Debug)]
pub struct CapPage {
    /// Its first-level slot.
    pub node: u32,
    /// Its memory.
    pub block: Block,
    /// One bit for each slot in use.
    pub used: [u32; 8],
    /// Neighbours among the account's CNodes with free slots.
    pub links: Links,
    /// Whether it is in that list.
    pub listed: bool,
}

/// An untyped that small kernel objects are made from, front to back.
#[derive(Debug)]
pub struct Slab {
    /// Its memory.
    pub block: Block,
    /// Bytes handed out.
    pub filled: u32,
    /// Parts in use.
    pub live: u32,
    /// Its parts.
    pub pieces: Option<Key>,
}

/// A kernel object, or a part of a slab that waits for the next one.
#[derive(Debug)]
pub struct Piece {
    /// What it is.
    pub kind: PieceKind,
    /// Its capability.
    pub slot: Slot,
    /// Where its memory comes from.
    pub origin: Origin,
    /// The next part of the same slab.
    pub next_in_slab: Option<Key>,
    /// Neighbours in the account's list of spare parts, or, of page tables, the next of the region or domain.
    pub links: Links,
    /// Whether somebody uses it.
    pub live: bool,
    /// Whether it counts as a capability of its account.
    pub charged: bool,
    /// Which megabyte a page table translates.
    pub megabyte: u32,
}

/// Kinds of kernel objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PieceKind {
    /// Thread control block.
    Tcb,
    /// Endpoint.
    Endpoint,
    /// Notification.
    Notification,
    /// Page table.
    PageTable,
    /// Page directory.
    PageDirectory,
    /// CNode of that log2 number of slots.
    CNode(u8),
}

/// Where a kernel object's memory comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Part of a slab.
    Slab {
        /// The slab.
        slab: Key,
        /// The part's own untyped.
        untyped: Slot,
        /// Log2 of its size in bytes.
        bits: u8,
    },
    /// A block of its own.
    Block(Block),
}

/// Memory to attach.
#[derive(Debug)]
pub struct Dataspace {
    /// Size in bytes, a multiple of 4096.
    pub bytes: u32,
    /// What it is made of.
    pub kind: Memory,
    /// First extent.
    pub extents: Option<Key>,
    /// First region that maps it.
    pub regions: Option<Key>,
    /// Core's capability for it.
    pub master: Option<Slot>,
    /// Core's capability for it that only allows reading, once somebody has asked for it.
    pub read_only: Option<Slot>,
    /// What a managed dataspace has beyond that.
    pub managed: Option<Managed>,
    /// Nobody may write to it any more.
    pub sealed: bool,
    /// The region that maps its frames themselves, and not copies of their capabilities.
    pub mapper: Option<Key>,
    /// Pages of it have been put into managed dataspaces writeable.
    pub lent_writeable: bool,
    /// A thread has had its message buffer in it. The kernel writes there as long as the thread lives, attached or not.
    pub has_buffers: bool,
}

/// What a managed dataspace has beyond what every dataspace has.
#[derive(Clone, Copy, Debug)]
pub struct Managed {
    /// Its pages.
    pub pages: PageMap,
    /// The pager's notification.
    pub pager: Slot,
    /// Core's capability for it with the rights of the pager.
    pub master: Option<Slot>,
    /// First thread that waits for a page.
    pub waiting: Option<Key>,
}

/// Frames by page number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageMap {
    /// A [`Node`], or a [`Leaf`] if there are no levels of nodes.
    pub root: Key,
    /// Levels of nodes.
    pub levels: u8,
    /// Whether its leaves have slots.
    pub slots: bool,
}

/// Sixteen parts of a page map.
#[derive(Debug)]
pub struct Node {
    /// Each is there once it is needed.
    pub children: [Option<Key>; 16],
}

/// 32 neighbouring pages of a page map.
#[derive(Debug)]
pub struct Leaf {
    /// Slot of the first page's frame, if the map has slots; the others follow.
    pub first: Option<Slot>,
    /// Bit for each page that is there.
    pub present: u32,
    /// Bit for each page that may be written to.
    pub writeable: u32,
}

/// Kinds of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// RAM of whoever pays.
    Ram,
    /// RAM in one piece, at that physical address.
    Contiguous(u32),
    /// Part of the boot image, never writeable.
    Rom,
    /// Device registers, at that physical address.
    Device(u32),
    /// Whatever its pager puts in.
    Managed,
}

/// Frames of a dataspace with neighbouring capabilities.
#[derive(Debug)]
pub struct Extent {
    /// Memory that is given back with it.
    pub block: Option<Block>,
    /// The device untyped that is free again with it.
    pub device: Option<Key>,
    /// Capability of the first frame.
    pub first: Slot,
    /// Log2 of a frame's size.
    pub frame_bits: u8,
    /// Number of frames.
    pub count: u32,
    /// The next extent of the dataspace.
    pub next: Option<Key>,
}

/// A run of neighbouring capability slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The first.
    pub first: Slot,
    /// How many; 0 if the run is not there.
    pub count: u32,
}

impl Run {
    /// No slots.
    pub const NONE: Self = Self { first: Slot::top(0), count: 0 };
}

/// A dataspace attached to a domain.
#[derive(Debug)]
pub struct Region {
    /// Where it is attached.
    pub domain: Key,
    /// What is attached.
    pub dataspace: Key,
    /// First address.
    pub address: u32,
    /// Mapped bytes.
    pub bytes: u32,
    /// Where in the dataspace it begins, in bytes.
    pub offset: u32,
    /// Flags that it was attached with.
    pub flags: u32,
    /// The mapped frames, if they are mapped one by one.
    pub pages: Option<PageMap>,
    /// Capabilities of the frames, in the order of their addresses, if all are mapped from the beginning.
    pub runs: [Run; REGION_RUNS],
    /// Page tables that exist for this region alone.
    pub tables: Option<Key>,
    /// Neighbours in the domain.
    pub in_domain: Links,
    /// Neighbours in the dataspace.
    pub in_dataspace: Links,
}

/// A protection domain.
#[derive(Debug)]
pub struct Domain {
    /// Its label.
    pub label: Key,
    /// Page directory.
    pub directory: Key,
    /// Capability space.
    pub cnode: Key,
    /// Endpoint; `None` once it has been taken away.
    pub endpoint: Option<Key>,
    /// Notification.
    pub notification: Key,
    /// Its regions.
    pub regions: Option<Key>,
    /// Its threads.
    pub threads: Option<Key>,
    /// Page tables below the windows.
    pub tables: Option<Key>,
    /// Its address windows.
    pub windows: [Option<Key>; WINDOWS],
    /// Core's capabilities for it: its own, the one with the rights of a parent, and the one that its faults come through. What a
    /// component passes on vanishes with them.
    pub masters: [Option<Slot>; 3],
    /// Its parent's notification.
    pub on_change: Option<Slot>,
    /// Its faults so far.
    pub faults: Key,
    /// Threads made so far.
    pub threads_made: u32,
    /// Highest priority of its threads.
    pub priority: u8,
    /// Whether it may see boot modules and hardware.
    pub first: bool,
}

/// Which megabytes of 256 are taken.
#[derive(Debug)]
pub struct Window {
    /// One bit each.
    pub used: [u32; 8],
}

/// A thread.
#[derive(Debug)]
pub struct Thread {
    /// Where it runs.
    pub domain: Key,
    /// Its thread control block.
    pub tcb: Key,
    /// Core's capability for it.
    pub master: Option<Slot>,
    /// Neighbours in the domain.
    pub links: Links,
    /// Stopped by request.
    pub stopped: bool,
    /// Number in the domain: 0 is the main thread.
    pub number: u32,
    /// Initial stack pointer.
    pub stack: u32,
    /// The page that it waits for.
    pub wait: Option<Wait>,
    /// Core's capability that its faults come through, unless they come through the domain's.
    pub faults: Option<Slot>,
    /// Its priority.
    pub priority: u8,
}

/// What a thread waits for that has touched a page that is not there.
#[derive(Clone, Copy, Debug)]
pub struct Wait {
    /// The managed dataspace.
    pub dataspace: Key,
    /// Offset of the page in it.
    pub offset: u32,
    /// Address of the access.
    pub address: u32,
    /// It is a write.
    pub write: bool,
    /// The pager has been told.
    pub told: bool,
    /// Neighbours among those who wait for the same dataspace.
    pub links: Links,
}

/// An interrupt handler.
#[derive(Debug)]
pub struct Interrupt {
    /// GIC interrupt number.
    pub number: u32,
    /// Its capability.
    pub slot: Slot,
}

/// Capabilities to be passed on together.
#[derive(Debug)]
pub struct Parcel {
    /// Slot of the first of them; the others follow.
    pub first: Slot,
    /// How many fit.
    pub room: u32,
    /// How many were put in.
    pub filled: u32,
    /// Core's capability for it.
    pub master: Option<Slot>,
}

/// A node of a device untyped, halved on demand.
#[derive(Debug)]
pub struct Device {
    /// Its untyped.
    pub slot: Slot,
    /// Physical address.
    pub base: u32,
    /// Log2 of its size.
    pub bits: u8,
    /// Its halves.
    pub halves: Option<[Key; 2]>,
    /// What it is a half of.
    pub parent: Option<Key>,
    /// A leaf of 4096 bytes that somebody has.
    pub taken: bool,
    /// Core's own frame of it, which others get copies of.
    pub own: Option<Slot>,
    /// The next untyped of the board.
    pub next: Option<Key>,
}
