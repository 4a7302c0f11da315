//! A component's own account, domain and dataspaces.

use core::sync::atomic::{AtomicU32, Ordering};

use abi::slot;
use session::core::{AccountInfo, AccountRequest, DataspaceRequest, DomainRequest, HardwareRequest, ParcelRequest};
use session::{Error, Message};

use crate::cap::{Capability, call, call_for_cap};

/// An account: the component's own, or one that was made from it or lent to it.
#[derive(Debug, PartialEq, Eq)]
pub struct Account(Holder);

#[derive(Debug, PartialEq, Eq)]
enum Holder {
    Own,
    Held(Capability),
}

fn brought(answer: (Message, Option<Capability>)) -> Result<Capability, Error> {
    answer.1.ok_or(Error::Invalid)
}

impl Account {
    /// The component's own account.
    pub const fn own() -> Self {
        Self(Holder::Own)
    }

    /// The account that a capability stands for.
    pub const fn from_capability(capability: Capability) -> Self {
        Self(Holder::Held(capability))
    }

    /// Its slot.
    pub fn slot(&self) -> u32 {
        match &self.0 {
            Holder::Own => slot::ACCOUNT,
            Holder::Held(capability) => capability.slot(),
        }
    }

    /// Makes an account with a donation of `ram` bytes and `caps` capabilities from this one.
    pub fn create_account(&self, ram: u32, caps: u32) -> Result<Self, Error> {
        let request = AccountRequest::CreateAccount { ram, caps };
        brought(call_for_cap(self.slot(), &request.encode(), &[])?).map(Self::from_capability)
    }

    /// Donates more to an account made from this one.
    pub fn lend(&self, to: &Self, ram: u32, caps: u32) -> Result<(), Error> {
        call(self.slot(), &AccountRequest::Lend { ram, caps }.encode(), &[to.slot()]).map(drop)
    }

    /// Takes unused quota back from an account made from this one.
    pub fn repay(&self, from: &Self, ram: u32, caps: u32) -> Result<(), Error> {
        call(self.slot(), &AccountRequest::Repay { ram, caps }.encode(), &[from.slot()]).map(drop)
    }

    /// What it holds.
    pub fn info(&self) -> Result<AccountInfo, Error> {
        let answer = call(self.slot(), &AccountRequest::Info.encode(), &[])?;
        AccountInfo::from_words(answer.words()).ok_or(Error::Invalid)
    }

    /// Destroys an account made from this one with everything in it.
    pub fn close(&self, account: Self) -> Result<(), Error> {
        call(self.slot(), &AccountRequest::Close.encode(), &[account.slot()]).map(drop)
    }

    /// Lets `payer` pay for an account made from this one, and gets back all that this one has lent. Returns the account again, which nobody
    /// else has a capability to any more, or gives it back with the error.
    pub fn hand_over(&self, account: Self, payer: &Self) -> Result<Self, (Self, Error)> {
        let caps = [account.slot(), payer.slot()];
        match call_for_cap(self.slot(), &AccountRequest::HandOver.encode(), &caps).and_then(brought) {
            Ok(capability) => Ok(Self::from_capability(capability)),
            Err(error) => Err((account, error)),
        }
    }

    /// Makes a zero-filled RAM dataspace; `flags` as in [`session::core`].
    pub fn create_dataspace(&self, bytes: u32, flags: u32) -> Result<Dataspace, Error> {
        let request = AccountRequest::CreateDataspace { bytes, flags };
        let (answer, capability) = call_for_cap(self.slot(), &request.encode(), &[])?;
        let bytes = answer.word(0).ok_or(Error::Invalid)?;
        Ok(Dataspace { capability: capability.ok_or(Error::Invalid)?, bytes })
    }

    /// Makes a managed dataspace, for a pager that is told by `notification`.
    pub fn create_managed(&self, bytes: u32, notification: u32) -> Result<Managed, Error> {
        let request = AccountRequest::CreateManaged { bytes };
        brought(call_for_cap(self.slot(), &request.encode(), &[notification])?).map(Managed)
    }

    /// Gives up writing to a dataspace made from this account, for everybody and for good.
    ///
    /// # Errors
    /// [`Error::Invalid`]: it is not plain RAM. [`Error::Busy`]: the kernel writes messages of a thread there, or pages of it have been put into
    /// a managed dataspace as writeable.
    pub fn seal(&self, dataspace: &Dataspace) -> Result<(), Error> {
        call(self.slot(), &AccountRequest::Seal.encode(), &[dataspace.slot()]).map(drop)
    }

    /// Frees a dataspace made from this account.
    pub fn free_dataspace(&self, dataspace: Dataspace) -> Result<(), Error> {
        call(self.slot(), &AccountRequest::FreeDataspace.encode(), &[dataspace.slot()]).map(drop)
    }

    /// Frees a parcel made from this account.
    pub fn free_parcel(&self, parcel: Parcel) -> Result<(), Error> {
        call(self.slot(), &AccountRequest::FreeParcel.encode(), &[parcel.slot()]).map(drop)
    }

    /// Makes a domain, named `name` below this component.
    pub fn create_domain(&self, name: &str, slot_bits: u32) -> Result<Domain, Error> {
        let mut message = AccountRequest::CreateDomain { slot_bits }.encode();
        message.push_text(name);
        brought(call_for_cap(self.slot(), &message, &[slot::DOMAIN])?).map(Domain::from_capability)
    }

    /// Makes a notification.
    pub fn create_notification(&self) -> Result<Capability, Error> {
        brought(call_for_cap(self.slot(), &AccountRequest::CreateNotification.encode(), &[])?)
    }

    /// Makes an endpoint.
    pub fn create_endpoint(&self) -> Result<Capability, Error> {
        brought(call_for_cap(self.slot(), &AccountRequest::CreateEndpoint.encode(), &[])?)
    }
}

/// Capabilities to be passed on together: a message carries only one.
#[derive(Debug, PartialEq, Eq)]
pub struct Parcel(Capability);

impl Parcel {
    /// Packs copies of the capabilities in `slots`. `account` pays for them until the parcel is [freed](Account::free_parcel).
    ///
    /// # Errors
    /// [`Error::Invalid`]: more than 32 capabilities, none, or an empty slot.
    pub fn pack(account: &Account, slots: &[u32]) -> Result<Self, Error> {
        let request = AccountRequest::CreateParcel { room: slots.len() as u32 };
        let parcel = Self(brought(call_for_cap(account.slot(), &request.encode(), &[])?)?);
        for slot in slots {
            if let Err(error) = call(parcel.0.slot(), &ParcelRequest::Put.encode(), &[*slot]) {
                account.free_parcel(parcel)?;
                return Err(error);
            }
        }
        Ok(parcel)
    }

    /// The parcel that a capability stands for.
    pub const fn from_capability(capability: Capability) -> Self {
        Self(capability)
    }

    /// Its slot, to send it.
    pub fn slot(&self) -> u32 {
        self.0.slot()
    }

    /// Takes copies of what is in it, at most `N`, into free slots of the own capability space: those are what it costs, and they are paid already.
    ///
    /// # Errors
    /// [`Error::OutOfCaps`]: there are not `N` free slots. [`Error::Invalid`]: there are more than `N` capabilities in it. Nothing is taken then.
    pub fn unpack<const N: usize>(&self) -> Result<heapless::Vec<Capability, N>, Error> {
        let mut message = DomainRequest::Unpack.encode();
        let mut taken = heapless::Vec::new();
        for _ in 0..N {
            let slot = Capability::reserve()?;
            message.push(slot.slot());
            // There are exactly `N` places.
            let _ = taken.push(slot);
        }
        let answer = call(slot::DOMAIN, &message, &[self.slot()])?;
        taken.truncate(answer.word(0).ok_or(Error::Invalid)? as usize);
        Ok(taken)
    }
}

/// Memory to attach.
#[derive(Debug, PartialEq, Eq)]
pub struct Dataspace {
    capability: Capability,
    bytes: u32,
}

impl Dataspace {
    /// The dataspace that a capability stands for.
    pub fn from_capability(capability: Capability) -> Result<Self, Error> {
        let answer = call(capability.slot(), &DataspaceRequest::Size.encode(), &[])?;
        Ok(Self { bytes: answer.word(0).ok_or(Error::Invalid)?, capability })
    }

    /// Whether its content never changes, because it is a boot module or sealed.
    pub fn is_constant(&self) -> Result<bool, Error> {
        let answer = call(self.capability.slot(), &DataspaceRequest::Size.encode(), &[])?;
        Ok(answer.word(1) == Some(1))
    }

    /// Its slot.
    pub fn slot(&self) -> u32 {
        self.capability.slot()
    }

    /// Whether `other`, a capability that somebody has passed on, stands for this dataspace.
    ///
    /// # Errors
    /// [`Error::Invalid`]: it does not stand for anything of core.
    pub fn is_same(&self, other: &Capability) -> Result<bool, Error> {
        let answer = call(self.slot(), &DataspaceRequest::Same.encode(), &[other.slot()])?;
        Ok(answer.word(0) == Some(1))
    }

    /// The same dataspace, by a capability that only allows reading.
    pub fn read_only(&self) -> Result<Self, Error> {
        let request = DataspaceRequest::Share { flags: 0 };
        let capability = brought(call_for_cap(self.slot(), &request.encode(), &[])?)?;
        Ok(Self { capability, bytes: self.bytes })
    }

    /// The capability alone.
    pub fn into_capability(self) -> Capability {
        self.capability
    }

    /// Its size in bytes.
    pub fn bytes(&self) -> u32 {
        self.bytes
    }
}

/// An access that waits for a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageFault {
    /// Offset of the page in the managed dataspace.
    pub offset: u32,
    /// It is a write.
    pub write: bool,
}

/// A managed dataspace, for its pager: without memory of its own, filled page by page when somebody touches one.
#[derive(Debug, PartialEq, Eq)]
pub struct Managed(Capability);

impl Managed {
    /// The dataspace for others to attach: writeable with [`session::core::WRITE`], else only for reading.
    pub fn share(&self, flags: u32) -> Result<Dataspace, Error> {
        let request = DataspaceRequest::Share { flags };
        brought(call_for_cap(self.0.slot(), &request.encode(), &[])?).and_then(Dataspace::from_capability)
    }

    /// The next access that waits and has not been told yet.
    pub fn next_fault(&self) -> Result<Option<PageFault>, Error> {
        match call(self.0.slot(), &DataspaceRequest::NextFault.encode(), &[])?.words() {
            [offset, write] => Ok(Some(PageFault { offset: *offset, write: *write != 0 })),
            _ => Ok(None),
        }
    }

    /// Puts pages of `other` from its offset `source` on in at `offset`, and lets those go on that wait for them. `flags`: 0 for reading
    /// alone, or [`session::core::WRITE`]. `other` consists of pages of 4096 bytes.
    pub fn populate(&self, offset: u32, other: &Dataspace, source: u32, bytes: u32, flags: u32) -> Result<(), Error> {
        let request = DataspaceRequest::Populate { offset, source, bytes, flags };
        call(self.0.slot(), &request.encode(), &[other.slot()]).map(drop)
    }

    /// Takes pages out: the next access to them waits again.
    pub fn evict(&self, offset: u32, bytes: u32) -> Result<(), Error> {
        call(self.0.slot(), &DataspaceRequest::Evict { offset, bytes }.encode(), &[]).map(drop)
    }

    /// Lets those who wait for a page take a fault.
    pub fn refuse(&self, offset: u32) -> Result<(), Error> {
        call(self.0.slot(), &DataspaceRequest::Refuse { offset }.encode(), &[]).map(drop)
    }
}

/// A domain: the component's own, or a child's.
#[derive(Debug, PartialEq, Eq)]
pub struct Domain(Holder);

/// Where and how to attach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attach {
    /// Address; 0 lets core choose.
    pub address: u32,
    /// First byte of the dataspace.
    pub offset: u32,
    /// Bytes; 0 for all.
    pub bytes: u32,
    /// [`session::core::WRITE`] and others.
    pub flags: u32,
}

/// Arguments of a new thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NewThread {
    /// Address of its first instruction.
    pub entry: u32,
    /// Initial stack pointer.
    pub stack: u32,
    /// Its argument.
    pub argument: u32,
    /// Address of its IPC buffer.
    pub ipc_buffer: u32,
    /// Priority.
    pub priority: u32,
    /// Slot for its faults; 0: the main thread's.
    pub fault_slot: u32,
}

impl Domain {
    /// The component's own domain.
    pub const fn own() -> Self {
        Self(Holder::Own)
    }

    /// The domain that a capability stands for.
    pub const fn from_capability(capability: Capability) -> Self {
        Self(Holder::Held(capability))
    }

    /// Its slot.
    pub fn slot(&self) -> u32 {
        match &self.0 {
            Holder::Own => slot::DOMAIN,
            Holder::Held(capability) => capability.slot(),
        }
    }

    /// Attaches a dataspace; `payer`: an account other than the domain's own. Returns address and region.
    pub fn attach_at(&self, dataspace: &Dataspace, how: Attach, payer: Option<&Account>) -> Result<(u32, u32), Error> {
        let Attach { address, offset, bytes, flags } = how;
        let request = DomainRequest::Attach { address, offset, bytes, flags }.encode();
        let answer = match payer {
            None => call(self.slot(), &request, &[dataspace.slot()]),
            Some(payer) => call(self.slot(), &request, &[dataspace.slot(), payer.slot()]),
        }?;
        match answer.words() {
            [address, region] => Ok((*address, *region)),
            _ => Err(Error::Invalid),
        }
    }

    /// Detaches a region.
    pub fn detach(&self, region: u32) -> Result<(), Error> {
        call(self.slot(), &DomainRequest::Detach { region }.encode(), &[]).map(drop)
    }

    /// Puts a capability into a child's slot.
    pub fn grant(&self, slot: u32, capability: u32) -> Result<(), Error> {
        call(self.slot(), &DomainRequest::Grant { slot }.encode(), &[capability]).map(drop)
    }

    /// Makes a thread and starts it.
    pub fn create_thread(&self, new: NewThread) -> Result<Capability, Error> {
        self.create_thread_from(new, None)
    }

    /// Makes a thread that `payer` pays for, if not the domain's own account, and starts it.
    pub fn create_thread_from(&self, new: NewThread, payer: Option<&Account>) -> Result<Capability, Error> {
        let NewThread { entry, stack, argument, ipc_buffer, priority, fault_slot } = new;
        let request = DomainRequest::CreateThread { entry, stack, argument, ipc_buffer, priority, fault_slot };
        brought(match payer {
            None => call_for_cap(self.slot(), &request.encode(), &[]),
            Some(payer) => call_for_cap(self.slot(), &request.encode(), &[payer.slot()]),
        }?)
    }

    /// What became of a child.
    pub fn status(&self) -> Result<session::core::DomainStatus, Error> {
        let answer = call(self.slot(), &DomainRequest::Status.encode(), &[])?;
        session::core::DomainStatus::from_words(answer.words()).ok_or(Error::Invalid)
    }

    /// Reads a child's memory from `address`, a multiple of 4, on: a few words, up to the end of the page at most.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is nothing that can be read.
    pub fn read(&self, address: u32) -> Result<Message, Error> {
        call(self.slot(), &DomainRequest::Read { address }.encode(), &[])
    }

    /// Signals `notification` when a child's state changes.
    pub fn on_change(&self, notification: u32) -> Result<(), Error> {
        call(self.slot(), &DomainRequest::OnChange.encode(), &[notification]).map(drop)
    }

    /// Stops all threads of a child where they are.
    pub fn stop(&self) -> Result<(), Error> {
        call(self.slot(), &DomainRequest::Stop.encode(), &[]).map(drop)
    }

    /// The highest priority of those threads of a child that want the processor; 0: all wait.
    pub fn busy(&self) -> Result<u32, Error> {
        call(self.slot(), &DomainRequest::Busy.encode(), &[])?.word(0).ok_or(Error::Invalid)
    }

    /// A child's notification, to raise its parent signal.
    pub fn notification(&self) -> Result<Capability, Error> {
        brought(call_for_cap(self.slot(), &DomainRequest::Notification.encode(), &[])?)
    }

    /// Takes a child's endpoint away from everybody: calls to it fail with [`Error::Gone`] from now on.
    pub fn hang_up(&self) -> Result<(), Error> {
        call(self.slot(), &DomainRequest::HangUp.encode(), &[]).map(drop)
    }

    /// Lets a child's threads go on that wait for the answer to a call whose capability is gone: they get [`Error::Gone`].
    pub fn wake(&self) -> Result<(), Error> {
        call(self.slot(), &DomainRequest::Wake.encode(), &[]).map(drop)
    }

    /// Writes to core's log.
    pub fn log(&self, text: &str) -> Result<(), Error> {
        let mut message = DomainRequest::Log.encode();
        message.push_text(text);
        call(self.slot(), &message, &[]).map(drop)
    }

    /// A boot module and its size in bytes; for init alone.
    pub fn rom(&self, name: &str) -> Result<(Dataspace, u32), Error> {
        let mut message = DomainRequest::Rom.encode();
        message.push_text(name);
        let (answer, capability) = call_for_cap(self.slot(), &message, &[])?;
        let bytes = answer.word(0).ok_or(Error::Invalid)?;
        Ok((Dataspace { capability: capability.ok_or(Error::Invalid)?, bytes }, bytes))
    }

    /// The hardware object; for init alone.
    pub fn hardware(&self) -> Result<Capability, Error> {
        brought(call_for_cap(self.slot(), &DomainRequest::Hardware.encode(), &[])?)
    }

    /// Signals a notification when core writes to its log; for init alone.
    pub fn on_log(&self, notification: u32) -> Result<(), Error> {
        call(self.slot(), &DomainRequest::OnLog.encode(), &[notification]).map(drop)
    }

    /// Lets core compare the free memory with that of the first time; for init alone. Returns the free bytes.
    pub fn free_memory(&self) -> Result<u32, Error> {
        let answer = call(self.slot(), &DomainRequest::FreeMemory.encode(), &[])?;
        answer.word(0).ok_or(Error::Invalid)
    }

    /// What core has free; for init alone.
    pub fn figures(&self) -> Result<Figures, Error> {
        match call(self.slot(), &DomainRequest::Figures.encode(), &[])?.words() {
            [bytes, slots, caps] => Ok(Figures { bytes: *bytes, slots: *slots, caps: *caps }),
            _ => Err(Error::Invalid),
        }
    }

    /// Maintains the data cache for a part of a region.
    pub fn maintain_cache(&self, region: u32, offset: u32, bytes: u32, operation: u32) -> Result<(), Error> {
        call(self.slot(), &DomainRequest::Cache { region, offset, bytes, operation }.encode(), &[]).map(drop)
    }
}

/// What core has free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Untyped memory in bytes.
    pub bytes: u32,
    /// First-level slots of core's capability space that hold nothing but memory: each of the others holds a CNode of some account.
    pub slots: u32,
    /// Capabilities that nobody has been lent.
    pub caps: u32,
}

/// A boot module that is attached: its content never changes.
#[derive(Debug)]
pub struct Rom {
    dataspace: Dataspace,
    attached: Attached,
}

impl Rom {
    /// Attaches the boot module of that name: core's for init, the parent's for every other component.
    ///
    /// # Errors
    /// [`Error::Denied`] without a route to a `Rom` service, [`Error::NotFound`] if there is no such module, [`Error::Invalid`] if what
    /// the route leads to is something that others may write to.
    pub fn open(name: &str) -> Result<Self, Error> {
        let dataspace = match Domain::own().rom(name) {
            Ok((dataspace, _)) => dataspace,
            Err(Error::Denied) => {
                let request = crate::env::Open { name, ..crate::env::Open::new(session::Service::Rom) };
                Dataspace::from_capability(crate::env::open(&request)?.capability.ok_or(Error::Invalid)?)?
            }
            Err(error) => return Err(error),
        };
        if !dataspace.is_constant()? {
            return Err(Error::Invalid);
        }
        let attached = Attached::new(&dataspace, 0, None)?;
        Ok(Self { dataspace, attached })
    }

    /// Its content, with zeros behind it up to a multiple of 4096 bytes.
    pub fn content(&self) -> &[u8] {
        // SAFETY: core says that the content never changes, and nobody can say so in its place.
        unsafe { self.attached.content() }
    }

    /// The dataspace.
    pub fn dataspace(&self) -> &Dataspace {
        &self.dataspace
    }
}

/// The right to hand out hardware, for a device manager.
#[derive(Debug)]
pub struct Hardware(pub(crate) Capability);

impl Hardware {
    /// The hardware object that a capability stands for.
    pub const fn from_capability(capability: Capability) -> Self {
        Self(capability)
    }

    /// Device registers, paid by `account`.
    pub fn io_memory(&self, account: &Account, base: u32, bytes: u32) -> Result<Dataspace, Error> {
        let request = HardwareRequest::IoMem { base, bytes };
        brought(call_for_cap(self.0.slot(), &request.encode(), &[account.slot()])?).and_then(Dataspace::from_capability)
    }

    /// The handler of GIC interrupt `number`, paid by `account`.
    pub fn interrupt(&self, account: &Account, number: u32) -> Result<Capability, Error> {
        let request = HardwareRequest::Irq { number };
        brought(call_for_cap(self.0.slot(), &request.encode(), &[account.slot()])?)
    }

    /// Makes a contiguous dataspace for a DMA engine, and tells where the engine finds it. `payer` may be any capability that a client has sent: only
    /// core looks at it, and refuses what is no account.
    pub fn dma_buffer(&self, payer: u32, bytes: u32) -> Result<(Dataspace, u32), Error> {
        let (answer, capability) =
            call_for_cap(self.0.slot(), &HardwareRequest::DmaBuffer { bytes }.encode(), &[payer])?;
        match (answer.words(), capability) {
            ([bytes, address], Some(capability)) => Ok((Dataspace { capability, bytes: *bytes }, *address)),
            _ => Err(Error::Invalid),
        }
    }
}

/// A dataspace attached to the component's own address space. Dropping it detaches it.
#[derive(Debug)]
pub struct Attached {
    address: u32,
    bytes: u32,
    region: u32,
}

impl Attached {
    /// Attaches all of a dataspace where core chooses; `payer`: an account other than the component's own.
    pub fn new(dataspace: &Dataspace, flags: u32, payer: Option<&Account>) -> Result<Self, Error> {
        let (address, region) = Domain::own().attach_at(dataspace, Attach { flags, ..Attach::default() }, payer)?;
        Ok(Self { address, bytes: dataspace.bytes, region })
    }

    /// First address.
    pub fn address(&self) -> usize {
        self.address as usize
    }

    /// Size in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes as usize
    }

    /// The region, for cache maintenance.
    pub fn region(&self) -> u32 {
        self.region
    }

    /// Its words, for memory that is shared with other components: they may change at any time.
    ///
    /// The attachment must be plain memory: read-only memory must not be stored to.
    pub fn words(&self) -> &[AtomicU32] {
        // SAFETY: the region is mapped until `self` is dropped, is page-aligned, and consists of that many words; atomics
        // permit that others change them. A store to a read-only mapping faults in a defined way and harms nobody else.
        unsafe {
            core::slice::from_raw_parts(
                core::ptr::with_exposed_provenance::<AtomicU32>(self.address()),
                self.bytes() / size_of::<AtomicU32>(),
            )
        }
    }

    /// The content as plain memory.
    ///
    /// # Safety
    /// Nobody writes to it while the reference lives: it is a boot module other than core's log, or memory that a device has
    /// finished with.
    pub unsafe fn content(&self) -> &[u8] {
        // SAFETY: the region is mapped until `self` is dropped, and by this function's contract its bytes do not change.
        unsafe { core::slice::from_raw_parts(core::ptr::with_exposed_provenance(self.address()), self.bytes()) }
    }

    /// Fills part of the memory.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the bytes do not fit there; nothing is written then.
    pub fn write(&self, offset: usize, bytes: &[u8]) -> Result<(), Error> {
        if offset.checked_add(bytes.len()).is_none_or(|end| end > self.bytes()) {
            return Err(Error::Invalid);
        }
        // SAFETY: the destination is within the region, which is mapped until `self` is dropped and which no reference is to, except
        // for atomics; the source is a reference to other memory.
        unsafe {
            core::ptr::copy_nonoverlapping(
                bytes.as_ptr(),
                core::ptr::with_exposed_provenance_mut::<u8>(self.address() + offset),
                bytes.len(),
            );
        }
        Ok(())
    }

    /// Copies `bytes` bytes from `offset` on into `buffer`, which must have room for a word more, and returns them. Others may write there meanwhile; then a word
    /// is either old or new.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the bytes are not all there, or `buffer` is too short.
    pub fn read<'b>(&self, offset: usize, bytes: usize, buffer: &'b mut [u32]) -> Result<&'b [u8], Error> {
        const WORD: usize = size_of::<u32>();
        let skipped = offset % WORD;
        let first = offset / WORD;
        let end = offset.checked_add(bytes).ok_or(Error::Invalid)?.div_ceil(WORD);
        let words = self.words().get(first..end).ok_or(Error::Invalid)?;
        let copied = buffer.get_mut(..words.len()).ok_or(Error::Invalid)?;
        for (to, from) in copied.iter_mut().zip(words) {
            *to = from.load(Ordering::Relaxed);
        }
        // SAFETY: the words are initialized, have no padding, and stay borrowed; bytes have no alignment.
        let all = unsafe { core::slice::from_raw_parts(copied.as_ptr().cast::<u8>(), copied.len() * WORD) };
        all.get(skipped..skipped + bytes).ok_or(Error::Invalid)
    }

    /// A pointer to its first byte, for device registers.
    pub fn pointer(&self) -> *mut u32 {
        core::ptr::with_exposed_provenance_mut(self.address())
    }
}

impl AsRef<[AtomicU32]> for Attached {
    fn as_ref(&self) -> &[AtomicU32] {
        self.words()
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        // The region may be gone already, with the dataspace.
        let _ = Domain::own().detach(self.region);
    }
}
