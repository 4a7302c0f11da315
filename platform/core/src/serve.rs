//! Requests to core and their answers.
//!
//! The badge of the capability that was invoked names the object; the request's label says what to do with it. Core answers
//! every request at once. What a badge may do is settled here: some requests need the rights of a parent, some
//! only init may make.

use ledger::Quota;
use session::core::{
    AccountInfo, AccountRequest, CONTIGUOUS, DataspaceRequest, DomainRequest, DomainStatus, HardwareRequest,
    ParcelRequest, READ_WORDS, ThreadRequest, WRITE, fault_name,
};
use session::log::Printable;
use session::{Error, Label, Message};

use crate::domains::{MAX_PRIORITY, PARENT_BADGE, ThreadArguments};
use crate::faults::Fault;
use crate::kernel::{Kernel, Slot};
use crate::log::{Console, Log};
use crate::objects::{Dataspace, Memory as Kind, Object, PieceKind};
use crate::paging::{READ_ONLY_BADGE, Resolution};
use crate::store::Key;
use crate::system::{Result, System};

/// Badge of the hardware object.
pub const HARDWARE_BADGE: u32 = 1 << 25;
/// Most boot modules.
pub const MODULES: usize = 64;

/// A capability that came with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// One of core's own, named by its badge.
    Own(u32),
    /// Another one, in that slot.
    Other(Slot),
}

/// A boot module.
#[derive(Clone, Copy, Debug)]
pub struct Module<'a> {
    /// Its name.
    pub name: &'a str,
    /// Capability of its first frame; the others follow.
    pub first_frame: Slot,
    /// Size in bytes.
    pub bytes: u32,
    /// Its content.
    pub content: &'a [u8],
}

/// An answer: its message, and a capability to go with it.
#[derive(Debug)]
pub struct Answer {
    /// Label and words.
    pub message: Message,
    /// Capability.
    pub capability: Option<Slot>,
}

/// Words of an answer and its capability.
type Reply = (heapless::Vec<u32, 32>, Option<Slot>);

/// Core with everything that requests can reach.
pub struct Server<'a, K, C> {
    /// The objects.
    pub system: System<'a, K>,
    /// The log.
    pub log: Log<'a, C>,
    modules: &'a [Module<'a>],
    roms: [Option<Key>; MODULES],
    log_rom: Option<Key>,
    on_log: Option<Slot>,
    hardware: Slot,
    parent_signal: Slot,
    log_signal: Slot,
    console: u32,
    free_at_start: Option<u32>,
    label: Label,
}

/// Places that the server is given.
#[derive(Clone, Copy, Debug)]
pub struct Places {
    /// Slot of the capability to the hardware object.
    pub hardware: Slot,
    /// Empty slot for a signal on its way to a parent.
    pub parent_signal: Slot,
    /// Empty slot for the notification that core's log signals.
    pub log_signal: Slot,
    /// Physical address of the console's registers.
    pub console: u32,
}

impl<'a, K: Kernel, C: Console> Server<'a, K, C> {
    /// A server for a system.
    pub fn new(
        system: System<'a, K>,
        log: Log<'a, C>,
        modules: &'a [Module<'a>],
        places: Places,
        label: Label,
    ) -> Self {
        Self {
            system,
            log,
            modules,
            roms: [None; MODULES],
            log_rom: None,
            on_log: None,
            hardware: places.hardware,
            parent_signal: places.parent_signal,
            log_signal: places.log_signal,
            console: places.console,
            free_at_start: None,
            label,
        }
    }

    /// The dataspace that core's log is written to. Its reader keeps count in it, so it is writeable.
    pub fn set_log_rom(&mut self, dataspace: Key) -> Result<()> {
        self.system.dataspace_mut(dataspace)?.kind = Kind::Ram;
        self.log_rom = Some(dataspace);
        Ok(())
    }

    /// Writes a line of core's own.
    pub fn say(&mut self, text: core::fmt::Arguments<'_>) {
        self.log.line(&self.label, text);
        self.wake_log_reader();
    }

    fn wake_log_reader(&mut self) {
        if self.log.released
            && let Some(notification) = self.on_log
        {
            self.system.kernel.signal(notification);
        }
    }

    /// Takes a fault that came through a domain's or a thread's fault capability. `true`: the thread can go on.
    pub fn fault(&mut self, badge: u32, mut fault: Fault) -> bool {
        // A message that is nobody's fault is nobody's business.
        let Ok((domain, thread)) = self.system.faulter(badge, fault.instruction) else { return false };
        match thread.map(|thread| self.system.page_fault(domain, thread, &fault)) {
            Some(Ok(Resolution::Mapped)) => return true,
            Some(Ok(Resolution::Waiting)) => return false,
            Some(Err(Error::OutOfRam)) => fault.kind = session::core::fault::UNPAID,
            Some(Ok(Resolution::Fault) | Err(_)) | None => {}
        }
        let Ok(status) = self.system.fault(domain, thread, fault) else { return false };
        let DomainStatus { fault, instruction, address, thread, .. } = status;
        let name = fault_name(fault);
        if let Ok(label) = self.system.label(domain) {
            let text = format_args!("fault: {name} at {instruction:#010x}, address {address:#010x}, thread {thread}");
            self.log.line(label, text);
            self.wake_log_reader();
        }
        false
    }

    /// Answers a request.
    pub fn serve(&mut self, badge: u32, message: &Message, capabilities: &[Capability]) -> Answer {
        let reply = self.dispatch(badge, message, capabilities);
        let label = Error::label(&reply);
        let (words, capability) = reply.unwrap_or_default();
        Answer { message: Message::from_words(label, &words), capability }
    }

    fn dispatch(&mut self, badge: u32, message: &Message, caps: &[Capability]) -> Result<Reply> {
        if badge == HARDWARE_BADGE {
            return self.hardware(message, caps);
        }
        if let Some(Object::Dataspace(_)) = dataspace_key(badge).and_then(|key| self.system.object(key)) {
            return self.dataspace(badge, message, caps);
        }
        let key = Key::from_badge(badge & !PARENT_BADGE).ok_or(Error::Invalid)?;
        match self.system.object(key) {
            Some(Object::Account(_)) => self.account(key, message, caps),
            Some(Object::Domain(_)) => self.domain(key, badge & PARENT_BADGE != 0, message, caps),
            Some(Object::Thread(_)) => self.thread(key, message),
            Some(Object::Parcel(_)) => match ParcelRequest::decode(message) {
                Some((ParcelRequest::Put, _)) => {
                    let capability = self.any(caps.first())?;
                    self.system.put(key, capability)?;
                    Ok(Reply::default())
                }
                None => Err(Error::Invalid),
            },
            _ => Err(Error::Invalid),
        }
    }

    fn account(&mut self, account: Key, message: &Message, caps: &[Capability]) -> Result<Reply> {
        let (request, text) = AccountRequest::decode(message).ok_or(Error::Invalid)?;
        let system = &mut self.system;
        match request {
            AccountRequest::CreateAccount { ram, caps } => {
                let key = system.create_account(account, Quota::new(ram, caps))?;
                Ok((heapless::Vec::new(), system.account(key)?.master))
            }
            AccountRequest::Lend { ram, caps: pieces } => {
                system.lend(account, own(caps, 0)?, Quota::new(ram, pieces))?;
                Ok(Reply::default())
            }
            AccountRequest::Repay { ram, caps: pieces } => {
                system.repay(account, own(caps, 0)?, Quota::new(ram, pieces))?;
                Ok(Reply::default())
            }
            AccountRequest::Info => {
                let ledger = system.ledger(account)?;
                let info = AccountInfo {
                    ram: ledger.limit().ram,
                    ram_lent: ledger.lent().ram,
                    ram_used: ledger.used().ram,
                    ram_kernel: ledger.kernel(),
                    ram_peak: ledger.peak().ram,
                    caps: ledger.limit().caps,
                    caps_lent: ledger.lent().caps,
                    caps_used: ledger.used().caps,
                    caps_peak: ledger.peak().caps,
                };
                Ok(words(&info.to_words()))
            }
            AccountRequest::Close => {
                system.close_account(account, own(caps, 0)?)?;
                self.notice_console();
                Ok(Reply::default())
            }
            AccountRequest::HandOver => {
                let key = system.hand_over(account, own(caps, 0)?, own(caps, 1)?)?;
                Ok((heapless::Vec::new(), system.account(key)?.master))
            }
            AccountRequest::CreateDataspace { bytes, flags } => {
                let key = system.create_dataspace(account, bytes, flags)?;
                let dataspace = system.dataspace(key)?;
                Ok((heapless::Vec::from_iter([dataspace.bytes]), dataspace.master))
            }
            AccountRequest::CreateManaged { bytes } => {
                let key = system.create_managed(account, bytes, other(caps, 0)?)?;
                let master = system.dataspace(key)?.managed.and_then(|managed| managed.master);
                Ok((heapless::Vec::from_iter([system.dataspace(key)?.bytes]), master))
            }
            AccountRequest::Seal => {
                system.seal(account, dataspace(caps, 0)?.0)?;
                Ok(Reply::default())
            }
            AccountRequest::FreeDataspace => {
                system.free_dataspace(account, dataspace(caps, 0)?.0)?;
                self.notice_console();
                Ok(Reply::default())
            }
            AccountRequest::CreateParcel { room } => {
                let key = system.create_parcel(account, room)?;
                Ok((heapless::Vec::new(), system.parcel(key)?.master))
            }
            AccountRequest::FreeParcel => {
                system.free_parcel(account, own(caps, 0)?)?;
                Ok(Reply::default())
            }
            AccountRequest::CreateDomain { slot_bits } => {
                let label = message.text(text).ok_or(Error::Invalid)?;
                let creator = own(caps, 0)?;
                let label = system.label(creator)?.child(&label).map_err(|_| Error::Invalid)?;
                let key = system.create_domain(account, label, slot_bits, false)?;
                let [_, parents, _] = system.domain(key)?.masters;
                Ok((heapless::Vec::new(), parents))
            }
            AccountRequest::CreateEndpoint => {
                let key = system.create_piece(account, PieceKind::Endpoint)?;
                Ok((heapless::Vec::new(), Some(system.piece(key)?.slot)))
            }
            AccountRequest::CreateNotification => {
                let key = system.create_piece(account, PieceKind::Notification)?;
                Ok((heapless::Vec::new(), Some(system.piece(key)?.slot)))
            }
        }
    }

    fn dataspace(&mut self, badge: u32, message: &Message, caps: &[Capability]) -> Result<Reply> {
        let (request, _) = DataspaceRequest::decode(message).ok_or(Error::Invalid)?;
        let key = dataspace_key(badge).ok_or(Error::Invalid)?;
        let system = &mut self.system;
        let pager = badge & PARENT_BADGE != 0;
        match request {
            DataspaceRequest::Size => {
                let dataspace = system.dataspace(key)?;
                Ok(words(&[dataspace.bytes, (dataspace.kind == Kind::Rom || dataspace.sealed).into()]))
            }
            DataspaceRequest::Share { flags: 0 } => Ok((heapless::Vec::new(), Some(system.read_only_master(key)?))),
            DataspaceRequest::Share { flags: WRITE } if badge & READ_ONLY_BADGE == 0 => {
                Ok((heapless::Vec::new(), system.dataspace(key)?.master))
            }
            DataspaceRequest::Share { flags: WRITE } => Err(Error::Denied),
            DataspaceRequest::Share { .. } => Err(Error::Invalid),
            DataspaceRequest::Same => Ok(words(&[(dataspace(caps, 0)?.0 == key).into()])),
            _ if !pager => Err(Error::Denied),
            DataspaceRequest::NextFault => Ok(match system.next_fault(key)? {
                Some((offset, write)) => words(&[offset, write.into()]),
                None => Reply::default(),
            }),
            DataspaceRequest::Populate { offset, source, bytes, flags } => {
                let (other, read_only) = dataspace(caps, 0)?;
                if flags & !WRITE != 0 {
                    return Err(Error::Invalid);
                }
                if read_only && flags & WRITE != 0 {
                    return Err(Error::Denied);
                }
                system.populate(key, other, [offset, source, bytes], flags & WRITE != 0)?;
                Ok(Reply::default())
            }
            DataspaceRequest::Evict { offset, bytes } => {
                system.evict(key, offset, bytes)?;
                Ok(Reply::default())
            }
            DataspaceRequest::Refuse { offset } => {
                system.refuse_page(key, offset)?;
                Ok(Reply::default())
            }
        }
    }

    /// Whether a domain's capability allows a request: some need the rights of a parent, some those of the first domain.
    fn may_ask(&self, domain: Key, parent: bool, request: DomainRequest) -> Result<bool> {
        let first = self.system.domain(domain)?.first;
        Ok(match request {
            DomainRequest::Grant { .. }
            | DomainRequest::Status
            | DomainRequest::Read { .. }
            | DomainRequest::Stop
            | DomainRequest::OnChange
            | DomainRequest::HangUp
            | DomainRequest::Wake
            | DomainRequest::Busy
            | DomainRequest::Notification => parent,
            DomainRequest::Rom
            | DomainRequest::Hardware
            | DomainRequest::OnLog
            | DomainRequest::FreeMemory
            | DomainRequest::Figures => first,
            _ => true,
        })
    }

    fn domain(&mut self, domain: Key, parent: bool, message: &Message, caps: &[Capability]) -> Result<Reply> {
        let (request, text) = DomainRequest::decode(message).ok_or(Error::Invalid)?;
        if !self.may_ask(domain, parent, request)? {
            return Err(Error::Denied);
        }
        let system = &mut self.system;
        match request {
            DomainRequest::Attach { address, offset, bytes, flags } => {
                let payer = self.payer(domain, caps.get(1))?;
                let (dataspace, read_only) = dataspace(caps, 0)?;
                if read_only && flags & WRITE != 0 {
                    return Err(Error::Denied);
                }
                let region = self.system.attach(domain, dataspace, payer, [address, offset, bytes, flags])?;
                Ok(words(&[self.system.region(region)?.address, region.badge()]))
            }
            DomainRequest::Detach { region } => {
                system.detach(domain, Key::from_badge(region).ok_or(Error::Invalid)?)?;
                Ok(Reply::default())
            }
            DomainRequest::Grant { slot } => {
                let capability = self.any(caps.first())?;
                self.system.grant(domain, slot, capability)?;
                Ok(Reply::default())
            }
            DomainRequest::CreateThread { entry, stack, argument, ipc_buffer, priority, fault_slot } => {
                let payer = self.payer(domain, caps.first())?;
                let arguments = ThreadArguments {
                    registers: [entry, stack, argument],
                    ipc_buffer,
                    priority: u8::try_from(priority).unwrap_or(MAX_PRIORITY).min(MAX_PRIORITY),
                    fault_slot,
                };
                let key = self.system.create_thread(domain, payer, &arguments, parent)?;
                Ok((heapless::Vec::new(), self.system.thread(key)?.master))
            }
            DomainRequest::Status => Ok(words(&system.status(domain)?.to_words())),
            DomainRequest::Read { address } => {
                let mut content = [0; READ_WORDS];
                let count = system.read(domain, address, &mut content)?;
                Ok(words(content.get(..count).unwrap_or(&[])))
            }
            DomainRequest::OnChange => {
                system.on_change(domain, other(caps, 0)?)?;
                Ok(Reply::default())
            }
            DomainRequest::Unpack => {
                let slots = message.words().get(text..).unwrap_or_default();
                Ok(words(&[system.unpack(domain, own(caps, 0)?, slots)?]))
            }
            DomainRequest::HangUp => {
                system.hang_up(domain)?;
                Ok(Reply::default())
            }
            DomainRequest::Busy => Ok(words(&[system.busy(domain)?.into()])),
            DomainRequest::Wake => {
                system.wake(domain)?;
                Ok(Reply::default())
            }
            DomainRequest::Notification => {
                // The slot is emptied here and not after the answer, so that it is free whatever happened.
                let _ = system.kernel.delete(self.parent_signal);
                system.parent_signal(domain, self.parent_signal)?;
                Ok((heapless::Vec::new(), Some(self.parent_signal)))
            }
            DomainRequest::Stop => {
                system.stop_domain(domain)?;
                Ok(Reply::default())
            }
            DomainRequest::Log => {
                let text = message.text(text).ok_or(Error::Invalid)?;
                let label = system.label(domain)?;
                // Each line gets the label, so that none can be taken for another component's.
                for line in text.split(['\n', '\r']).filter(|line| !line.is_empty()) {
                    self.log.line(label, format_args!("{}", Printable(line)));
                }
                self.wake_log_reader();
                Ok(Reply::default())
            }
            DomainRequest::Cache { region, offset, bytes, operation } => {
                let region = Key::from_badge(region).ok_or(Error::Invalid)?;
                system.maintain_cache(domain, region, [offset, bytes, operation])?;
                Ok(Reply::default())
            }
            request => self.first_domain(request, message, text, caps),
        }
    }

    /// What only the first domain may ask for.
    fn first_domain(
        &mut self,
        request: DomainRequest,
        message: &Message,
        text: usize,
        caps: &[Capability],
    ) -> Result<Reply> {
        let system = &mut self.system;
        match request {
            DomainRequest::Rom => {
                let name = message.text(text).ok_or(Error::Invalid)?;
                let (key, bytes) = self.rom(&name)?;
                Ok((heapless::Vec::from_iter([bytes]), self.system.dataspace(key)?.master))
            }
            DomainRequest::Hardware => Ok((heapless::Vec::new(), Some(self.hardware))),
            DomainRequest::OnLog => {
                let notification = other(caps, 0)?;
                // Deleting from an empty slot does nothing.
                let _ = system.kernel.delete(self.log_signal);
                self.on_log = None;
                system.kernel.copy(notification, self.log_signal)?;
                self.on_log = Some(self.log_signal);
                Ok(Reply::default())
            }
            DomainRequest::FreeMemory => self.free_memory(),
            DomainRequest::Figures => {
                system.compact()?;
                let unlent = system.ledger(system.root()?)?.available().caps;
                Ok(words(&[system.free_bytes(), system.free_top_slots(), unlent]))
            }
            _ => Err(Error::Invalid),
        }
    }

    fn free_memory(&mut self) -> Result<Reply> {
        self.system.compact()?;
        let (free, defects) = (self.system.free_bytes(), self.system.defects);
        match self.free_at_start {
            None => {
                self.free_at_start = Some(free);
                self.say(format_args!("free untyped memory: {free} bytes"));
            }
            Some(start) if start == free => {
                self.say(format_args!("free untyped memory: {free} bytes, all untyped is back"));
            }
            Some(start) => {
                self.say(format_args!(
                    "free untyped memory: {free} bytes, {} bytes are LOST",
                    start.wrapping_sub(free) as i32
                ));
            }
        }
        if defects > 0 {
            self.say(format_args!("{defects} operations of the kernel FAILED that cannot fail"));
        }
        Ok(words(&[free]))
    }

    /// The account that a request names, or that of the domain.
    fn payer(&self, domain: Key, capability: Option<&Capability>) -> Result<Key> {
        match capability {
            None => self.system.owner(domain),
            Some(Capability::Own(badge)) => {
                let key = Key::from_badge(*badge).ok_or(Error::Invalid)?;
                self.system.account(key)?;
                Ok(key)
            }
            Some(Capability::Other(_)) => Err(Error::Invalid),
        }
    }

    /// A slot with what a request has brought.
    fn any(&self, capability: Option<&Capability>) -> Result<Slot> {
        match capability {
            Some(Capability::Other(slot)) => Ok(*slot),
            Some(Capability::Own(badge)) => self.master(*badge),
            None => Err(Error::Invalid),
        }
    }

    /// Core's capability for the object of that badge.
    fn master(&self, badge: u32) -> Result<Slot> {
        if badge == HARDWARE_BADGE {
            return Ok(self.hardware);
        }
        let key = dataspace_key(badge).ok_or(Error::Invalid)?;
        let master = match self.system.object(key) {
            Some(Object::Dataspace(dataspace)) if badge & READ_ONLY_BADGE != 0 => dataspace.read_only,
            Some(Object::Dataspace(Dataspace { managed: Some(managed), .. })) if badge & PARENT_BADGE != 0 => {
                managed.master
            }
            _ if badge & READ_ONLY_BADGE != 0 => None,
            Some(Object::Account(account)) => account.master,
            Some(Object::Dataspace(dataspace)) => dataspace.master,
            Some(Object::Thread(thread)) => thread.master,
            Some(Object::Parcel(parcel)) => parcel.master,
            Some(Object::Domain(domain)) => {
                let [own, parents, _] = domain.masters;
                if badge & PARENT_BADGE == 0 { own } else { parents }
            }
            _ => None,
        };
        master.ok_or(Error::Invalid)
    }

    fn thread(&mut self, thread: Key, message: &Message) -> Result<Reply> {
        let (request, _) = ThreadRequest::decode(message).ok_or(Error::Invalid)?;
        match request {
            ThreadRequest::Suspend => self.system.stop(thread, true)?,
            ThreadRequest::Resume => self.system.stop(thread, false)?,
            ThreadRequest::SetPriority { priority } => self.system.set_priority(thread, priority)?,
            ThreadRequest::Destroy => self.system.drop_thread(thread)?,
        }
        Ok(Reply::default())
    }

    fn hardware(&mut self, message: &Message, caps: &[Capability]) -> Result<Reply> {
        let (request, _) = HardwareRequest::decode(message).ok_or(Error::Invalid)?;
        let system = &mut self.system;
        match request {
            HardwareRequest::IoMem { base, bytes } => {
                let key = system.io_memory(own(caps, 0)?, base, bytes)?;
                if self.system.device_taken(self.console) {
                    self.log.released = true;
                }
                Ok((heapless::Vec::new(), self.system.dataspace(key)?.master))
            }
            HardwareRequest::Irq { number } => {
                Ok((heapless::Vec::new(), Some(system.interrupt(own(caps, 0)?, number)?)))
            }
            HardwareRequest::DmaBuffer { bytes } => {
                let key = system.create_dataspace(own(caps, 0)?, bytes, CONTIGUOUS)?;
                let dataspace = system.dataspace(key)?;
                let Kind::Contiguous(address) = dataspace.kind else { return Err(Error::Kernel) };
                Ok((heapless::Vec::from_iter([dataspace.bytes, address]), dataspace.master))
            }
        }
    }

    /// Takes the console back when nobody has its registers any more.
    fn notice_console(&mut self) {
        if self.log.released && !self.system.device_taken(self.console) {
            self.log.reclaim();
        }
    }

    /// Makes the dataspaces of all boot modules, so that none is made later.
    pub fn prepare_roms(&mut self) -> Result<()> {
        for module in self.modules {
            self.rom(module.name)?;
        }
        Ok(())
    }

    /// The boot module of that name.
    pub fn module(&self, name: &str) -> Option<Module<'a>> {
        self.modules.iter().find(|module| module.name == name).copied()
    }

    /// The dataspace of a boot module.
    pub fn rom_of(&mut self, name: &str) -> Result<Key> {
        Ok(self.rom(name)?.0)
    }

    /// Empties the slot that capabilities come in.
    pub fn empty(&mut self, slot: Slot) {
        let deleted = self.system.kernel.delete(slot);
        self.system.note(deleted);
    }

    fn rom(&mut self, name: &str) -> Result<(Key, u32)> {
        if name == crate::log::MODULE {
            let key = self.log_rom.ok_or(Error::NotFound)?;
            return Ok((key, self.system.dataspace(key)?.bytes));
        }
        let at = self.modules.iter().position(|module| module.name == name).ok_or(Error::NotFound)?;
        let module = *self.modules.get(at).ok_or(Error::NotFound)?;
        let key = match self.roms.get(at).copied().flatten() {
            Some(key) => key,
            None => self.system.create_rom(module.first_frame, module.bytes)?,
        };
        if let Some(rom) = self.roms.get_mut(at) {
            *rom = Some(key);
        }
        Ok((key, module.bytes))
    }
}

fn words(words: &[u32]) -> Reply {
    (words.iter().copied().collect(), None)
}

fn own(caps: &[Capability], index: usize) -> Result<Key> {
    match caps.get(index) {
        Some(Capability::Own(badge)) => Key::from_badge(badge & !PARENT_BADGE).ok_or(Error::Invalid),
        _ => Err(Error::Invalid),
    }
}

/// The dataspace that a capability of that badge may be for.
fn dataspace_key(badge: u32) -> Option<Key> {
    Key::from_badge(badge & !(PARENT_BADGE | READ_ONLY_BADGE))
}

/// A dataspace, and whether its capability only allows reading.
fn dataspace(caps: &[Capability], index: usize) -> Result<(Key, bool)> {
    match caps.get(index) {
        Some(Capability::Own(badge)) => {
            Ok((dataspace_key(*badge).ok_or(Error::Invalid)?, badge & READ_ONLY_BADGE != 0))
        }
        _ => Err(Error::Invalid),
    }
}

fn other(caps: &[Capability], index: usize) -> Result<Slot> {
    match caps.get(index) {
        Some(Capability::Other(slot)) => Ok(*slot),
        _ => Err(Error::Invalid),
    }
}
