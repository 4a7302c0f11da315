//! What core needs of the kernel, and how it names its capability slots.
//!
//! # Core's capability space
//!
//! Two levels. The first is the CNode that the kernel makes for the root task (4096 slots); most of its slots
//! hold CNodes of 256 or 512 slots, made as they are needed. The capability pointer of a slot is `first level << 9 | second
//! level`; a CNode of 256 slots gets a guard of one zero bit. A slot of the first level that holds anything but a CNode is
//! reached by `first level << 9`, because the kernel ignores the bits that it need not resolve.

use core::num::NonZeroU32;

use session::core::REGISTERS;

/// Log2 of the first level's slots.
pub const TOP_BITS: u8 = 12;
/// Bits of a capability pointer that the second level resolves.
pub const SECOND_BITS: u8 = 9;
/// Log2 of the slots of an account's CNodes.
pub const CAP_PAGE_BITS: u8 = 8;

/// A slot of core's capability space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(NonZeroU32);

impl Slot {
    const TOP: u32 = 1 << 31;
    /// Set in every slot, so that `Option<Slot>` takes no more room.
    const ANY: u32 = 1 << 30;

    const fn new(bits: u32) -> Self {
        match NonZeroU32::new(bits | Self::ANY) {
            Some(bits) => Self(bits),
            None => Self(NonZeroU32::MIN),
        }
    }

    /// Slot `index` of the first level.
    pub const fn top(index: u32) -> Self {
        Self::new(Self::TOP | index << SECOND_BITS)
    }

    /// Slot `index` of the CNode in first-level slot `node`.
    pub const fn within(node: u32, index: u32) -> Self {
        Self::new(node << SECOND_BITS | index)
    }

    /// The slot `count` behind this one, in the same CNode.
    #[must_use]
    pub const fn plus(self, count: u32) -> Self {
        Self::new(self.0.get() + if self.is_top() { count << SECOND_BITS } else { count })
    }

    /// Whether it is a slot of the first level.
    pub const fn is_top(self) -> bool {
        self.0.get() & Self::TOP != 0
    }

    /// Capability pointer, to invoke what is in the slot.
    pub const fn pointer(self) -> u32 {
        self.0.get() & !(Self::TOP | Self::ANY)
    }

    /// Index of the first level.
    pub const fn node(self) -> u32 {
        self.pointer() >> SECOND_BITS
    }

    /// Index of the second level.
    pub const fn index(self) -> u32 {
        self.0.get() & ((1 << SECOND_BITS) - 1)
    }
}

/// Kinds of kernel objects that core makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Object {
    /// Untyped memory of that log2 size.
    Untyped(u8),
    /// Thread control block.
    Tcb,
    /// Endpoint.
    Endpoint,
    /// Notification.
    Notification,
    /// Capability node of that log2 number of slots.
    CNode(u8),
    /// Frame of that log2 size: 12, 16 or 20.
    Frame(u8),
    /// Second-level translation table.
    PageTable,
    /// First-level translation table.
    PageDirectory,
}

/// Rights and attributes of a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Writeable.
    pub write: bool,
    /// Executable.
    pub execute: bool,
    /// Cached, normal memory; otherwise device memory.
    pub cached: bool,
}

/// The kernel refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// What a new thread starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadStart {
    /// The thread control block.
    pub tcb: Slot,
    /// The domain's CNode, and log2 of its slots.
    pub cnode: (Slot, u8),
    /// The domain's page directory.
    pub directory: Slot,
    /// Frame with the IPC buffer, as mapped in the domain.
    pub ipc_frame: Slot,
    /// Address of the IPC buffer in the domain.
    pub ipc_address: u32,
    /// Slot of the domain that faults are sent through.
    pub fault_slot: u32,
    /// Priority.
    pub priority: u8,
    /// First instruction, stack pointer, argument.
    pub registers: [u32; 3],
}

/// What core needs of the kernel. All operations but `signal` can be refused.
#[allow(missing_docs, reason = "the names are those of the kernel's manual")]
pub trait Kernel {
    /// Log2 of the size of an object in bytes.
    fn size_bits(&self, object: Object) -> u8;
    /// Makes `count` objects from an untyped, with capabilities in the slots from `first`.
    fn retype(&mut self, untyped: Slot, object: Object, first: Slot, count: u32) -> Result<(), Refused>;
    /// Destroys everything derived from the capability.
    fn revoke(&mut self, slot: Slot) -> Result<(), Refused>;
    /// Empties a slot; the last capability to an object destroys it.
    fn delete(&mut self, slot: Slot) -> Result<(), Refused>;
    fn copy(&mut self, from: Slot, to: Slot) -> Result<(), Refused>;
    fn move_to(&mut self, from: Slot, to: Slot) -> Result<(), Refused>;
    /// Moves a fresh CNode of [`CAP_PAGE_BITS`] into a first-level slot, with the guard that it needs there.
    fn move_cap_page(&mut self, from: Slot, to: Slot) -> Result<(), Refused>;
    /// Copies an endpoint or notification capability with a badge.
    fn mint(&mut self, from: Slot, to: Slot, badge: u32) -> Result<(), Refused>;
    /// Copies a capability into slot `index` of a domain's CNode of `1 << bits` slots.
    fn grant(&mut self, from: Slot, cnode: (Slot, u8), index: u32) -> Result<(), Refused>;
    /// Empties slot `index` of a domain's CNode.
    fn take_back(&mut self, cnode: (Slot, u8), index: u32) -> Result<(), Refused>;
    /// Puts a domain's CNode into its own slot `index`.
    fn grant_self(&mut self, cnode: (Slot, u8), index: u32) -> Result<(), Refused>;
    /// Gives a page directory an address space identifier.
    fn assign_asid(&mut self, directory: Slot) -> Result<(), Refused>;
    fn map_table(&mut self, table: Slot, directory: Slot, address: u32) -> Result<(), Refused>;
    fn map(&mut self, frame: Slot, directory: Slot, address: u32, access: Access) -> Result<(), Refused>;
    /// Takes a mapping away.
    fn unmap(&mut self, frame: Slot) -> Result<(), Refused>;
    /// Cleans and/or invalidates the data cache for a range of a page directory's addresses.
    fn cache(&mut self, directory: Slot, from: u32, to: u32, clean: bool, invalidate: bool) -> Result<(), Refused>;
    /// Core's own page directory.
    fn own_directory(&self) -> Slot;
    fn start_thread(&mut self, start: &ThreadStart) -> Result<(), Refused>;
    fn bind_notification(&mut self, tcb: Slot, notification: Slot) -> Result<(), Refused>;
    fn suspend(&mut self, tcb: Slot) -> Result<(), Refused>;
    fn resume(&mut self, tcb: Slot) -> Result<(), Refused>;
    /// The capability pointer that a thread calls, if it stands at a call: it is about to make it, or waits for its end.
    fn calls(&mut self, tcb: Slot) -> Result<Option<u32>, Refused>;
    /// Whether a thread waits for a message or a signal, or is about to.
    fn is_waiting(&mut self, tcb: Slot) -> Result<bool, Refused>;
    fn set_priority(&mut self, tcb: Slot, priority: u8) -> Result<(), Refused>;
    /// A thread's registers: r0 to r15, then CPSR.
    fn registers(&mut self, tcb: Slot) -> Result<[u32; REGISTERS], Refused>;
    /// Reads words of a frame that is not mapped through this capability, from an offset within its first page.
    fn read(&mut self, frame: Slot, offset: usize, words: &mut [u32]) -> Result<(), Refused>;
    /// Makes the handler of a GIC interrupt.
    fn interrupt(&mut self, number: u32, to: Slot) -> Result<(), Refused>;
    fn signal(&mut self, notification: Slot);
}
