//! Protection domains and threads.

use abi::slot;
use session::core::DomainStatus;
use session::{Error, Label};

use crate::kernel::{Kernel, Refused, Slot, ThreadStart};
use crate::objects::{Domain, Links, Object, PieceKind, Thread, WINDOWS};
use crate::store::Key;
use crate::system::{Result, System};

/// Badge bit of a domain capability with the rights of a parent.
pub const PARENT_BADGE: u32 = 1 << 26;
/// Badge bit of the capability that a domain's faults come through.
pub const FAULT_BADGE: u32 = 1 << 27;
/// Highest priority that core gives; its own is above.
pub const MAX_PRIORITY: u8 = 250;
/// Log2 of the slots of a domain's capability space.
const SLOT_BITS: core::ops::RangeInclusive<u32> = 5..=12;

/// Arguments of [`System::create_thread`].
#[derive(Clone, Copy, Debug)]
pub struct ThreadArguments {
    /// First instruction, stack pointer, argument.
    pub registers: [u32; 3],
    /// Address of the IPC buffer in the domain.
    pub ipc_buffer: u32,
    /// Priority.
    pub priority: u8,
    /// Empty slot for the capability that faults are sent through; 0: the main thread's.
    pub fault_slot: u32,
}

impl<K: Kernel> System<'_, K> {
    /// Makes a domain. `first`: it is init, which may see boot modules and hardware.
    pub fn create_domain(&mut self, account: Key, label: Label, slot_bits: u32, first: bool) -> Result<Key> {
        if !SLOT_BITS.contains(&slot_bits) {
            return Err(Error::Invalid);
        }
        self.charge(account, 0, 1, 0)?;
        let made = self.create_domain_charged(account, label, slot_bits as u8, first);
        if made.is_err() {
            self.refund(account, 0, 1, 0);
        }
        made
    }

    fn create_domain_charged(&mut self, account: Key, label: Label, slot_bits: u8, first: bool) -> Result<Key> {
        let mut pieces = [None; 4];
        let kinds =
            [PieceKind::PageDirectory, PieceKind::CNode(slot_bits), PieceKind::Endpoint, PieceKind::Notification];
        let made = self.make_domain(account, label, first, kinds, &mut pieces);
        if made.is_err() {
            for piece in pieces.into_iter().flatten() {
                self.drop_piece(piece)?;
            }
        }
        made
    }

    fn make_domain(
        &mut self,
        account: Key,
        label: Label,
        first: bool,
        kinds: [PieceKind; 4],
        pieces: &mut [Option<Key>; 4],
    ) -> Result<Key> {
        for (kind, piece) in kinds.into_iter().zip(pieces.iter_mut()) {
            *piece = Some(self.make_piece(account, kind)?);
        }
        let [Some(directory), Some(cnode), Some(endpoint), Some(notification)] = *pieces else {
            return Err(Error::Kernel);
        };
        self.kernel.assign_asid(self.piece(directory)?.slot)?;
        let label = self.insert(account, Object::Label(label))?;
        let faults = match self.insert(account, Object::Faults(DomainStatus::default())) {
            Ok(faults) => faults,
            Err(error) => {
                self.remove(label)?;
                return Err(error);
            }
        };
        let domain = Domain {
            label,
            directory,
            cnode,
            endpoint: Some(endpoint),
            notification,
            regions: None,
            threads: None,
            tables: None,
            windows: [None; WINDOWS],
            masters: [None; 3],
            on_change: None,
            faults,
            threads_made: 0,
            priority: MAX_PRIORITY,
            first,
        };
        let key = match self.insert(account, Object::Domain(domain)) {
            Ok(key) => key,
            Err(error) => {
                self.remove(faults)?;
                self.remove(label)?;
                return Err(error);
            }
        };
        match self.equip_domain(account, key) {
            Ok(()) => Ok(key),
            Err(error) => {
                let masters = self.domain_mut(key)?.masters;
                for master in masters {
                    self.drop_master(master);
                }
                self.remove(faults)?;
                self.remove(label)?;
                self.remove(key)?;
                Err(error)
            }
        }
    }

    /// Gives a new domain the capabilities that every component starts with.
    fn equip_domain(&mut self, account: Key, key: Key) -> Result<()> {
        let own = self.make_master(account, key.badge())?;
        self.domain_mut(key)?.masters = [Some(own), None, None];
        let parents = self.make_master(account, key.badge() | PARENT_BADGE)?;
        self.domain_mut(key)?.masters = [Some(own), Some(parents), None];
        let faults = self.make_master(account, key.badge() | FAULT_BADGE)?;
        self.domain_mut(key)?.masters = [Some(own), Some(parents), Some(faults)];
        let cnode = self.cnode_of(key)?;
        let (endpoint, notification) = {
            let domain = self.domain(key)?;
            (self.piece(domain.endpoint.ok_or(Error::Kernel)?)?.slot, self.piece(domain.notification)?.slot)
        };
        self.kernel.grant_self(cnode, slot::SELF)?;
        self.kernel.grant(own, cnode, slot::DOMAIN)?;
        if let Some(master) = self.account(account)?.master {
            self.kernel.grant(master, cnode, slot::ACCOUNT)?;
        }
        self.kernel.grant(endpoint, cnode, slot::ENDPOINT)?;
        self.kernel.grant(notification, cnode, slot::NOTIFICATION)?;
        self.kernel.grant(faults, cnode, slot::FAULT)?;
        Ok(())
    }

    pub(crate) fn cnode_of(&self, domain: Key) -> Result<(Slot, u8)> {
        let piece = self.piece(self.domain(domain)?.cnode)?;
        match piece.kind {
            PieceKind::CNode(bits) => Ok((piece.slot, bits)),
            _ => Err(Error::Kernel),
        }
    }

    /// Puts a copy of a capability into an empty slot of a domain.
    pub fn grant(&mut self, domain: Key, slot: u32, capability: Slot) -> Result<()> {
        let cnode = self.cnode_of(domain)?;
        if slot == 0 || slot >= 1 << cnode.1 {
            return Err(Error::Invalid);
        }
        self.kernel.grant(capability, cnode, slot).map_err(|Refused| Error::Busy)
    }

    /// Keeps a copy of a notification to signal when the domain's state changes.
    pub fn on_change(&mut self, domain: Key, notification: Slot) -> Result<()> {
        let account = self.owner(domain)?;
        let slot = self.take_run(account, 1)?;
        if self.kernel.copy(notification, slot).is_err() {
            self.give_run(slot, 1);
            return Err(Error::Invalid);
        }
        let old = self.domain_mut(domain)?.on_change.replace(slot);
        if let Some(old) = old {
            self.empty_run(old, 1);
        }
        Ok(())
    }

    /// Suspends all threads of a domain.
    pub fn stop_domain(&mut self, domain: Key) -> Result<()> {
        let mut at = self.domain(domain)?.threads;
        while let Some(key) = at {
            self.stop(key, true)?;
            at = self.thread(key)?.links.next;
        }
        Ok(())
    }

    /// A capability to the domain's notification that raises the parent's signal.
    pub fn parent_signal(&mut self, domain: Key, to: Slot) -> Result<()> {
        let notification = self.piece(self.domain(domain)?.notification)?.slot;
        self.kernel.mint(notification, to, abi::PARENT_SIGNAL)?;
        Ok(())
    }

    /// Makes a thread and starts it. `parent`: asked by the parent, who sets the limit of the priorities.
    pub fn create_thread(&mut self, domain: Key, payer: Key, arguments: &ThreadArguments, parent: bool) -> Result<Key> {
        let limit = if parent { MAX_PRIORITY } else { self.domain(domain)?.priority };
        if arguments.priority == 0 || arguments.priority > limit || !arguments.ipc_buffer.is_multiple_of(512) {
            return Err(Error::Invalid);
        }
        self.charge(payer, 0, 1, 0)?;
        let made = self.create_thread_charged(domain, payer, arguments, parent);
        if made.is_err() {
            self.refund(payer, 0, 1, 0);
        }
        made
    }

    fn create_thread_charged(
        &mut self,
        domain: Key,
        payer: Key,
        arguments: &ThreadArguments,
        parent: bool,
    ) -> Result<Key> {
        let ipc_frame = self.buffer_at(domain, arguments.ipc_buffer)?;
        let cnode = self.cnode_of(domain)?;
        let tcb = self.make_piece(payer, PieceKind::Tcb)?;
        let thread = Thread {
            domain,
            tcb,
            master: None,
            links: Links::default(),
            stopped: false,
            number: self.domain(domain)?.threads_made,
            stack: arguments.registers[1],
            wait: None,
            faults: None,
            priority: arguments.priority,
        };
        let key = match self.insert(payer, Object::Thread(thread)) {
            Ok(key) => key,
            Err(error) => {
                self.drop_piece(tcb)?;
                return Err(error);
            }
        };
        let (directory, notification, main) = {
            let domain = self.domain(domain)?;
            (self.piece(domain.directory)?.slot, self.piece(domain.notification)?.slot, domain.threads.is_none())
        };
        let object = self.domain_mut(domain)?;
        object.threads_made = object.threads_made.saturating_add(1);
        let next = object.threads.replace(key);
        self.thread_mut(key)?.links.next = next;
        if let Some(next) = next {
            self.thread_mut(next)?.links.previous = Some(key);
        }
        let start = ThreadStart {
            tcb: self.piece(tcb)?.slot,
            cnode,
            directory,
            ipc_frame,
            ipc_address: arguments.ipc_buffer,
            fault_slot: if arguments.fault_slot == 0 { slot::FAULT } else { arguments.fault_slot },
            priority: arguments.priority,
            registers: arguments.registers,
        };
        let started = self.start(payer, key, &start, main.then_some(notification));
        match started {
            Ok(()) => {
                if parent {
                    self.domain_mut(domain)?.priority = arguments.priority;
                }
                Ok(key)
            }
            Err(error) => {
                self.unlink_thread(key)?;
                Err(error)
            }
        }
    }

    fn start(&mut self, payer: Key, key: Key, start: &ThreadStart, notification: Option<Slot>) -> Result<()> {
        let master = self.make_master(payer, key.badge())?;
        self.thread_mut(key)?.master = Some(master);
        if let Some(notification) = notification {
            self.kernel.bind_notification(start.tcb, notification)?;
        }
        self.kernel.start_thread(start)?;
        // The thread does not run before core has answered.
        if start.fault_slot != slot::FAULT {
            let faults = self.make_master(payer, key.badge() | FAULT_BADGE)?;
            self.thread_mut(key)?.faults = Some(faults);
            self.kernel.grant(faults, start.cnode, start.fault_slot).map_err(|Refused| Error::Busy)?;
        }
        Ok(())
    }

    /// The thread control block of a thread.
    pub fn tcb(&self, thread: Key) -> Result<Slot> {
        Ok(self.piece(self.thread(thread)?.tcb)?.slot)
    }

    /// Stops a thread where it is, or lets it run again.
    pub fn stop(&mut self, thread: Key, stopped: bool) -> Result<()> {
        let tcb = self.tcb(thread)?;
        if stopped {
            self.kernel.suspend(tcb)?;
        } else {
            self.kernel.resume(tcb)?;
        }
        self.thread_mut(thread)?.stopped = stopped;
        Ok(())
    }

    /// Destroys a domain's endpoint. Whoever waits to send to it goes on and finds nothing there.
    pub fn hang_up(&mut self, domain: Key) -> Result<()> {
        match self.domain_mut(domain)?.endpoint.take() {
            Some(endpoint) => self.drop_piece(endpoint),
            None => Ok(()),
        }
    }

    /// Lets those threads of a domain go on that wait for the answer to a call whose capability is gone.
    ///
    /// The kernel does not do that by itself: when a server is destroyed after it has received a call, the caller waits for ever. Resumed, the
    /// caller makes its call once more, finds the slot empty, and is told so by the kernel. A thread with a call under way
    /// to anything that still exists is left alone.
    pub fn wake(&mut self, domain: Key) -> Result<()> {
        let cnode = self.cnode_of(domain)?;
        let [own, _, _] = self.domain(domain)?.masters;
        let own = own.ok_or(Error::Kernel)?;
        let mut at = self.domain(domain)?.threads;
        while let Some(key) = at {
            let (stopped, next) = {
                let thread = self.thread(key)?;
                (thread.stopped || thread.wait.is_some(), thread.links.next)
            };
            at = next;
            let tcb = self.tcb(key)?;
            let Some(called) = self.kernel.calls(tcb)? else { continue };
            if stopped || called == 0 || called >= 1 << cnode.1 || self.kernel.grant(own, cnode, called).is_err() {
                continue;
            }
            // The slot was empty, and is again.
            let taken = self.kernel.take_back(cnode, called);
            self.note(taken);
            self.kernel.resume(tcb)?;
        }
        Ok(())
    }

    /// Changes a thread's priority, up to the limit of its domain.
    pub fn set_priority(&mut self, thread: Key, priority: u32) -> Result<()> {
        let limit = self.domain(self.thread(thread)?.domain)?.priority;
        if priority == 0 || priority > limit.into() {
            return Err(Error::Invalid);
        }
        let tcb = self.tcb(thread)?;
        self.kernel.set_priority(tcb, priority as u8)?;
        self.thread_mut(thread)?.priority = priority as u8;
        Ok(())
    }

    /// The highest priority of those threads of a domain that neither wait nor are stopped; 0 if there is none.
    pub fn busy(&mut self, domain: Key) -> Result<u8> {
        let mut highest = 0;
        let mut at = self.domain(domain)?.threads;
        while let Some(key) = at {
            let (stopped, priority, next) = {
                let thread = self.thread(key)?;
                // Who waits for a page waits.
                (thread.stopped || thread.wait.is_some(), thread.priority, thread.links.next)
            };
            at = next;
            let tcb = self.tcb(key)?;
            if !stopped && priority > highest && !self.kernel.is_waiting(tcb)? {
                highest = priority;
            }
        }
        Ok(highest)
    }

    fn unlink_thread(&mut self, key: Key) -> Result<()> {
        self.stop_waiting(key)?;
        let (domain, tcb, links, master, faults) = {
            let thread = self.thread_mut(key)?;
            (thread.domain, thread.tcb, thread.links, thread.master.take(), thread.faults.take())
        };
        match links.previous {
            Some(previous) => self.thread_mut(previous)?.links.next = links.next,
            None => self.domain_mut(domain)?.threads = links.next,
        }
        if let Some(next) = links.next {
            self.thread_mut(next)?.links.previous = links.previous;
        }
        self.drop_piece(tcb)?;
        self.drop_master(master);
        self.drop_master(faults);
        self.remove(key)?;
        Ok(())
    }

    /// Destroys a thread.
    pub fn drop_thread(&mut self, key: Key) -> Result<()> {
        let account = self.owner(key)?;
        self.unlink_thread(key)?;
        self.refund(account, 0, 1, 0);
        Ok(())
    }

    pub(crate) fn drop_domain(&mut self, key: Key) -> Result<()> {
        let account = self.owner(key)?;
        while let Some(thread) = self.domain(key)?.threads {
            self.drop_thread(thread)?;
        }
        while let Some(region) = self.domain(key)?.regions {
            self.drop_region(region)?;
        }
        let (tables, windows, masters, on_change) = {
            let domain = self.domain_mut(key)?;
            (
                domain.tables.take(),
                core::mem::replace(&mut domain.windows, [None; WINDOWS]),
                core::mem::take(&mut domain.masters),
                domain.on_change.take(),
            )
        };
        self.drop_tables(tables)?;
        for window in windows.into_iter().flatten() {
            self.remove(window)?;
        }
        for master in masters {
            self.drop_master(master);
        }
        if let Some(slot) = on_change {
            self.empty_run(slot, 1);
        }
        let Object::Domain(domain) = self.remove(key)? else { return Err(Error::Kernel) };
        self.remove(domain.label)?;
        self.remove(domain.faults)?;
        let always = [domain.cnode, domain.directory, domain.notification];
        for piece in always.into_iter().chain(domain.endpoint) {
            self.drop_piece(piece)?;
        }
        self.refund(account, 0, 1, 0);
        Ok(())
    }
}
