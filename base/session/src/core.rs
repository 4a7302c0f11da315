//! The protocol of core: accounts, dataspaces, domains, threads, hardware.
//!
//! # Theory of operation
//!
//! Every object of core is a capability to core's endpoint with a badge of its own; the kernel sees to it that none can
//! be forged. Passing such a capability on is delegation, and core learns from the badge which object is meant. Capabilities
//! in a request are named in the documentation as *caps*; a capability in the answer goes to the receive slot
//! of the caller.
//!
//! Whoever makes something names the account that pays by invoking it. Everything made from an account is destroyed with it.

use crate::protocol;

protocol! {
    /// Requests to an account.
    pub enum AccountRequest {
        /// Makes an account with a donation from this one. Answer: the account.
        CreateAccount = 1 {
            /// RAM to donate, in bytes.
            ram,
            /// Capabilities to donate.
            caps,
        },
        /// Donates more to an account made from this one. Caps: that account.
        Lend = 2 {
            /// Bytes.
            ram,
            /// Pieces.
            caps,
        },
        /// Takes unused quota back from an account made from this one. Caps: that account.
        Repay = 3 {
            /// Bytes.
            ram,
            /// Pieces.
            caps,
        },
        /// Answer: the words of [`AccountInfo`].
        Info = 4,
        /// Destroys an account made from this one with everything made from it, and takes all its quota back.
        /// Caps: that account.
        Close = 5,
        /// Makes a RAM dataspace, zero-filled. Answer: the dataspace.
        CreateDataspace = 6 {
            /// Size in bytes, rounded up to 4096.
            bytes,
            /// [`CONTIGUOUS`], [`SMALL_PAGES`].
            flags,
        },
        /// Makes a managed dataspace: one without memory, whose pages its maker, the *pager*, puts in when they are wanted. Caps: the notification
        /// that is signalled when somebody waits for a page. Answer: the dataspace, with the rights of the pager.
        CreateManaged = 90 {
            /// Size in bytes, rounded up to 4096.
            bytes,
        },
        /// Gives up writing to a RAM dataspace made from this account, for everybody and for good. Caps: the dataspace.
        Seal = 91,
        /// Frees a dataspace made from this account, wherever it is attached. Caps: the dataspace.
        FreeDataspace = 7,
        /// Makes a protection domain: address space, capability space, endpoint and notification. Text: the
        /// name, which becomes the last part of its label. Caps: the caller's own domain. Answer: the domain, with the
        /// rights of a parent.
        CreateDomain = 8 {
            /// Log2 of the slots of its capability space, 5 to 12.
            slot_bits,
        },
        /// Makes an endpoint. Answer: the endpoint itself.
        CreateEndpoint = 9,
        /// Makes a notification. Answer: the notification itself.
        CreateNotification = 10,
        /// Lets another account pay for an account made from this one: what that one uses is lent by the other from now on, and all
        /// quota that this one has lent comes back. All capabilities to the account vanish. Caps: the account, and the one that is to pay.
        /// Answer: the account.
        HandOver = 11,
        /// Makes a parcel. Answer: the parcel.
        CreateParcel = 12 {
            /// Capabilities that fit, 1 to 32; each counts as one of the account's, and the parcel itself does.
            room,
        },
        /// Frees a parcel made from this account, with what is in it. Caps: the parcel.
        FreeParcel = 13,
    }
}

/// Flag of a dataspace: physically contiguous, aligned to its size rounded up to a power of two.
pub const CONTIGUOUS: u32 = 1;
/// Flag of a dataspace: frames of 4096 bytes only, so that it can be attached anywhere and in parts. Without it, large frames
/// are used where they fit; such a dataspace is attached where core chooses.
pub const SMALL_PAGES: u32 = 2;

/// What an account holds, as words of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountInfo {
    /// RAM assigned, in bytes.
    pub ram: u32,
    /// Of that, lent to other accounts.
    pub ram_lent: u32,
    /// Of that, used by own objects.
    pub ram_used: u32,
    /// Of the used, kernel objects and core's bookkeeping.
    pub ram_kernel: u32,
    /// Most RAM ever used.
    pub ram_peak: u32,
    /// Capabilities assigned.
    pub caps: u32,
    /// Of those, lent to other accounts.
    pub caps_lent: u32,
    /// Of those, used.
    pub caps_used: u32,
    /// Most capabilities ever used.
    pub caps_peak: u32,
}

impl AccountInfo {
    /// The words of the answer.
    pub fn to_words(self) -> [u32; 9] {
        [
            self.ram,
            self.ram_lent,
            self.ram_used,
            self.ram_kernel,
            self.ram_peak,
            self.caps,
            self.caps_lent,
            self.caps_used,
            self.caps_peak,
        ]
    }

    /// From the words of an answer.
    pub fn from_words(words: &[u32]) -> Option<Self> {
        let [ram, ram_lent, ram_used, ram_kernel, ram_peak, caps, caps_lent, caps_used, caps_peak] = *words else {
            return None;
        };
        Some(Self { ram, ram_lent, ram_used, ram_kernel, ram_peak, caps, caps_lent, caps_used, caps_peak })
    }
}

protocol! {
    /// Requests to a dataspace.
    pub enum DataspaceRequest {
        /// Answer: size in bytes; 1 if the content never changes, else 0.
        Size = 16,
        /// Answer: the same dataspace, by a capability that allows less: attaching it, writeable only with [`WRITE`]. What allows only reading
        /// cannot be made to allow more.
        Share = 17 {
            /// 0 or [`WRITE`].
            flags,
        },
        /// Caps: another dataspace. Answer: 1 if it is this one, whatever each of the two capabilities allows, else 0.
        Same = 22,
        /// The next access that waits for a page of a managed dataspace; its pager only. Answer: the page's offset and 1 if it is a write, or no word at all.
        NextFault = 18,
        /// Puts pages of another dataspace of 4096-byte pages into a managed one, in place of what was there, and lets those go on that wait for
        /// them; its pager only. Caps: the other dataspace.
        Populate = 19 {
            /// Offset of the first page.
            offset,
            /// Offset in the other dataspace.
            source,
            /// Bytes, a multiple of 4096.
            bytes,
            /// 0 or [`WRITE`].
            flags,
        },
        /// Takes pages out of a managed dataspace: the next access to them waits again; its pager only.
        Evict = 20 {
            /// Offset of the first page.
            offset,
            /// Bytes, a multiple of 4096.
            bytes,
        },
        /// There will be no such page: whoever waits for it takes a fault; the pager only.
        Refuse = 21 {
            /// Offset of the page.
            offset,
        },
    }
}

protocol! {
    /// Requests to a domain.
    pub enum DomainRequest {
        /// Maps a dataspace. Caps: the dataspace, and the account that pays if it is not the domain's own. Answer:
        /// address, region.
        Attach = 32 {
            /// Where, a multiple of 4096 below [`WINDOW_BASE`](../../abi/constant.WINDOW_BASE.html); 0 lets core choose.
            address,
            /// First byte of the dataspace to map, a multiple of 4096.
            offset,
            /// Bytes to map, rounded up to 4096; 0 for all from `offset`.
            bytes,
            /// [`WRITE`], [`EXECUTE`], [`UNCACHED`], [`LAZY`].
            flags,
        },
        /// Unmaps a region.
        Detach = 33 {
            /// As `Attach` answered.
            region,
        },
        /// Puts a capability into the domain's capability space; parent only. Caps: the capability.
        Grant = 34 {
            /// An empty slot.
            slot,
        },
        /// Makes a thread and starts it. Caps: the account that pays if it is not the domain's own. Answer: the thread.
        CreateThread = 35 {
            /// Address of its first instruction.
            entry,
            /// Initial stack pointer.
            stack,
            /// Its argument, in r0.
            argument,
            /// Address of its IPC buffer, within a region; the buffer is 512 bytes and aligned.
            ipc_buffer,
            /// 1 to the priority of the caller.
            priority,
            /// Empty slot for the capability that its faults are sent through; 0: the main thread's.
            fault_slot,
        },
        /// What became of it; parent only. Answer: the words of [`DomainStatus`].
        Status = 36,
        /// Signals a notification when the state changes; parent only. Caps: the notification.
        OnChange = 37,
        /// Answer: the domain's notification, signalling [`PARENT_SIGNAL`](../../abi/constant.PARENT_SIGNAL.html); parent only.
        Notification = 38,
        /// Stops all its threads where they are; parent only.
        Stop = 39,
        /// Merges what can be merged. Only the first domain may. Answer: free untyped bytes, first-level slots of core's capability space that are free or hold memory,
        /// capabilities that nobody has been lent.
        Figures = 40,
        /// Writes a text to core's log, with the domain's label. Text: what.
        Log = 41,
        /// Makes a boot module readable; only the first domain may. Text: its name. Answer: the dataspace.
        Rom = 42,
        /// Maintains the data cache for a part of a region.
        Cache = 43 {
            /// As `Attach` answered.
            region,
            /// First byte within the region.
            offset,
            /// Number of bytes.
            bytes,
            /// [`CACHE_CLEAN`], [`CACHE_INVALIDATE`] or both.
            operation,
        },
        /// The right to hand out hardware; only the first domain may. Answer: the hardware object.
        Hardware = 44,
        /// Signals a notification when core has written to its log; only the first domain may. Caps: the notification.
        OnLog = 45,
        /// Merges what can be merged and writes how much untyped memory is free to the log, compared with the first time;
        /// only the first domain may. Answer: free bytes.
        FreeMemory = 46,
        /// Takes the domain's endpoint away from everybody, the domain included: calls to it fail from now on; parent only.
        HangUp = 80,
        /// Copies what is in a parcel into empty slots of the domain's capability space, all of it or nothing. Caps: the parcel. Further words: the slots, at
        /// least as many as there are capabilities in the parcel. Answer: how many those were.
        Unpack = 82,
        /// Whether it wants the processor; parent only. Answer: the highest priority of its threads that neither wait for a message or a signal nor are
        /// stopped; 0 if there is none.
        Busy = 95,
        /// Lets those threads of the domain go on that wait for the answer to a call whose capability is gone; the call fails. Parent only.
        Wake = 81,
        /// Reads its memory, as for a backtrace; parent only. Answer: up to [`READ_WORDS`] words, fewer at the end of a page. Only RAM and
        /// boot modules that are attached in pages of 4096 bytes can be read.
        Read = 90 {
            /// Address of the first word, a multiple of 4.
            address,
        },
    }
}

/// Flag of `Attach`: writeable.
pub const WRITE: u32 = 1;
/// Flag of `Attach`: executable.
pub const EXECUTE: u32 = 2;
/// Flag of `Attach`: uncached, strongly ordered memory.
pub const UNCACHED: u32 = 4;
/// Flag of `Attach`: each page is mapped when it is first touched, and only then its mapping is paid for. For dataspaces of 4096-byte pages; managed ones
/// are attached like this whether the flag is there or not.
pub const LAZY: u32 = 8;

/// Operation of `Cache`: write dirty lines to memory.
pub const CACHE_CLEAN: u32 = 1;
/// Operation of `Cache`: drop lines. Without [`CACHE_CLEAN`] that undoes what others have written: only where the region is writeable.
pub const CACHE_INVALIDATE: u32 = 2;

protocol! {
    /// Requests to a parcel: capabilities that are passed on together.
    pub enum ParcelRequest {
        /// Puts a copy of a capability in. Caps: the capability.
        Put = 112,
    }
}

protocol! {
    /// Requests to a thread.
    pub enum ThreadRequest {
        /// Stops it where it is.
        Suspend = 48,
        /// Lets it run again.
        Resume = 49,
        /// Changes its priority.
        SetPriority = 50 {
            /// 1 to the priority of the caller.
            priority,
        },
        /// Destroys it.
        Destroy = 51,
    }
}

protocol! {
    /// Requests to the hardware object: for a device manager, which is trusted with all of memory.
    pub enum HardwareRequest {
        /// Makes a dataspace of device registers; nobody else can have the same pages until it is freed. Caps: the account
        /// that pays. Answer: the dataspace.
        IoMem = 64 {
            /// Physical address, a multiple of 4096.
            base,
            /// Size, rounded up to 4096.
            bytes,
        },
        /// An interrupt. Caps: the account that pays. Answer: the interrupt handler itself.
        Irq = 65 {
            /// GIC interrupt number.
            number,
        },
        /// Makes a contiguous dataspace for a DMA engine. Caps: the account that pays. Answer: its size, its bus address; the
        /// dataspace.
        DmaBuffer = 66 {
            /// Size in bytes, rounded up to a power of two of at least 4096.
            bytes,
        },
    }
}

/// Most words that one `Read` of a domain answers.
pub const READ_WORDS: usize = 30;
/// Registers in [`DomainStatus::registers`]: r0 to r15, then CPSR.
pub const REGISTERS: usize = 17;

/// What became of a domain, as words of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DomainStatus {
    /// Number of faults taken so far; the faulting thread stays stopped.
    pub faults: u32,
    /// Kind of the last fault: see [`fault_name`].
    pub fault: u32,
    /// Its instruction address.
    pub instruction: u32,
    /// Its data address; for a capability or a system call its number.
    pub address: u32,
    /// The thread that took it: 0 is the main thread, the others count in the order in which they were made.
    pub thread: u32,
    /// That thread's registers: r0 to r15, then CPSR.
    pub registers: [u32; REGISTERS],
}

impl DomainStatus {
    /// The words of the answer.
    pub fn to_words(self) -> [u32; 5 + REGISTERS] {
        let mut words = [0; 5 + REGISTERS];
        let head = [self.faults, self.fault, self.instruction, self.address, self.thread];
        for (word, value) in words.iter_mut().zip(head.into_iter().chain(self.registers)) {
            *word = value;
        }
        words
    }

    /// From the words of an answer.
    pub fn from_words(words: &[u32]) -> Option<Self> {
        let [faults, fault, instruction, address, thread, registers @ ..] = words else { return None };
        Some(Self {
            faults: *faults,
            fault: *fault,
            instruction: *instruction,
            address: *address,
            thread: *thread,
            registers: registers.try_into().ok()?,
        })
    }
}

/// Kinds of faults in [`DomainStatus::fault`].
pub mod fault {
    /// No mapping at the data address.
    pub const DATA: u32 = 1;
    /// No mapping at the instruction address.
    pub const FETCH: u32 = 2;
    /// A capability that does not exist was used.
    pub const CAPABILITY: u32 = 3;
    /// An unknown system call.
    pub const SYSTEM_CALL: u32 = 4;
    /// An undefined instruction, or one that user mode may not execute.
    pub const UNDEFINED: u32 = 5;
    /// A data access that the instruction demands to be aligned, and was not.
    pub const ALIGNMENT: u32 = 6;
    /// A write to memory that may only be read.
    pub const READ_ONLY: u32 = 7;
    /// An instruction fetch from memory that holds data.
    pub const EXECUTE: u32 = 8;
    /// A data access just below the thread's stack.
    pub const STACK: u32 = 9;
    /// A read of memory that may not be read.
    pub const PROTECTED: u32 = 10;
    /// The bus or the memory behind it has refused the access.
    pub const BUS: u32 = 11;
    /// A page that is mapped when it is touched, and whose mapping the account cannot pay for.
    pub const UNPAID: u32 = 12;
}

/// A fault's name.
pub fn fault_name(kind: u32) -> &'static str {
    match kind {
        fault::DATA => "data access fault",
        fault::FETCH => "instruction fetch fault",
        fault::CAPABILITY => "use of a missing capability",
        fault::SYSTEM_CALL => "unknown system call",
        fault::UNDEFINED => "undefined instruction",
        fault::ALIGNMENT => "unaligned access",
        fault::READ_ONLY => "write to read-only memory",
        fault::EXECUTE => "execution of data",
        fault::STACK => "stack overflow",
        fault::PROTECTED => "access to protected memory",
        fault::BUS => "bus error",
        fault::UNPAID => "page that cannot be paid for",
        _ => "unknown fault",
    }
}
