//! seL4 as core uses it.

use sel4::{
    AsidPool, CNode, Cap, Error, IrqControl, Notification, Page, PageDirectory, PageTable, Tcb, Untyped, UserContext,
    constants as c,
};
use session::core::REGISTERS;
use zelkova_core::kernel::{Access, CAP_PAGE_BITS, Kernel, Object, Refused, SECOND_BITS, Slot, ThreadStart};

/// Bits that address a slot of the first level.
const TOP_DEPTH: u8 = 32 - SECOND_BITS;

/// The kernel, with the capabilities that core needs for itself.
pub(super) struct Sel4 {
    /// The first level of core's capability space, with the guard that makes room for the second.
    pub(super) root: Cap<CNode>,
    /// The first level's slot of core's page directory.
    pub(super) directory: Slot,
    /// Core's pool of address space identifiers.
    pub(super) asid_pool: Cap<AsidPool>,
    /// The right to make interrupt handlers.
    pub(super) irq_control: Cap<IrqControl>,
    /// Core's own thread, whose greatest priority is that of all others.
    pub(super) thread: Cap<Tcb>,
}

fn checked(result: Result<(), Error>) -> Result<(), Refused> {
    result.map_err(|_| Refused)
}

fn cap<T>(slot: Slot) -> Cap<T> {
    Cap::new(slot.pointer())
}

/// Index and depth that address a slot from the root.
fn place(slot: Slot) -> (u32, u8) {
    if slot.is_top() { (slot.node(), TOP_DEPTH) } else { (slot.pointer(), 32) }
}

fn object_type(object: Object) -> (u32, u32) {
    match object {
        Object::Untyped(bits) => (c::OBJECT_UNTYPED, bits.into()),
        Object::Tcb => (c::OBJECT_TCB, 0),
        Object::Endpoint => (c::OBJECT_ENDPOINT, 0),
        Object::Notification => (c::OBJECT_NOTIFICATION, 0),
        Object::CNode(bits) => (c::OBJECT_CNODE, bits.into()),
        Object::Frame(20) => (c::OBJECT_SECTION, 0),
        Object::Frame(16) => (c::OBJECT_LARGE_PAGE, 0),
        Object::Frame(_) => (c::OBJECT_SMALL_PAGE, 0),
        Object::PageTable => (c::OBJECT_PAGE_TABLE, 0),
        Object::PageDirectory => (c::OBJECT_PAGE_DIRECTORY, 0),
    }
}

impl Kernel for Sel4 {
    fn size_bits(&self, object: Object) -> u8 {
        match object {
            Object::Untyped(bits) | Object::Frame(bits) => bits,
            Object::Tcb => c::TCB_BITS as u8,
            Object::Endpoint => c::ENDPOINT_BITS as u8,
            Object::Notification => c::NOTIFICATION_BITS as u8,
            Object::CNode(bits) => bits + c::SLOT_BITS as u8,
            Object::PageTable => c::PAGE_TABLE_BITS as u8,
            Object::PageDirectory => c::PAGE_DIRECTORY_BITS as u8,
        }
    }

    fn retype(&mut self, untyped: Slot, object: Object, first: Slot, count: u32) -> Result<(), Refused> {
        let (kind, bits) = object_type(object);
        let (node, depth, offset) =
            if first.is_top() { (0, 0, first.node()) } else { (first.node(), TOP_DEPTH.into(), first.index()) };
        checked(cap::<Untyped>(untyped).retype(kind, bits, self.root, node, depth, offset, count))
    }

    fn revoke(&mut self, slot: Slot) -> Result<(), Refused> {
        let (index, depth) = place(slot);
        checked(self.root.revoke(index, depth))
    }

    fn delete(&mut self, slot: Slot) -> Result<(), Refused> {
        let (index, depth) = place(slot);
        checked(self.root.delete(index, depth))
    }

    fn copy(&mut self, from: Slot, to: Slot) -> Result<(), Refused> {
        let ((from, from_depth), (to, to_depth)) = (place(from), place(to));
        checked(self.root.copy(to, to_depth, self.root, from, from_depth, c::RIGHTS_ALL))
    }

    fn move_to(&mut self, from: Slot, to: Slot) -> Result<(), Refused> {
        let ((from, from_depth), (to, to_depth)) = (place(from), place(to));
        checked(self.root.move_to(to, to_depth, self.root, from, from_depth))
    }

    fn move_cap_page(&mut self, from: Slot, to: Slot) -> Result<(), Refused> {
        let ((from, from_depth), (to, to_depth)) = (place(from), place(to));
        let guard = c::guard(u32::from(SECOND_BITS - CAP_PAGE_BITS));
        checked(self.root.mutate(to, to_depth, self.root, from, from_depth, guard))
    }

    fn mint(&mut self, from: Slot, to: Slot, badge: u32) -> Result<(), Refused> {
        let ((from, from_depth), (to, to_depth)) = (place(from), place(to));
        checked(self.root.mint(to, to_depth, self.root, from, from_depth, c::RIGHTS_ALL, c::badge(badge)))
    }

    fn grant(&mut self, from: Slot, cnode: (Slot, u8), index: u32) -> Result<(), Refused> {
        let (from, from_depth) = place(from);
        checked(cap::<CNode>(cnode.0).copy(index, cnode.1, self.root, from, from_depth, c::RIGHTS_ALL))
    }

    fn take_back(&mut self, cnode: (Slot, u8), index: u32) -> Result<(), Refused> {
        checked(cap::<CNode>(cnode.0).delete(index, cnode.1))
    }

    fn grant_self(&mut self, cnode: (Slot, u8), index: u32) -> Result<(), Refused> {
        let (from, from_depth) = place(cnode.0);
        let guard = c::guard(32 - u32::from(cnode.1));
        checked(cap::<CNode>(cnode.0).mint(index, cnode.1, self.root, from, from_depth, c::RIGHTS_ALL, guard))
    }

    fn assign_asid(&mut self, directory: Slot) -> Result<(), Refused> {
        checked(self.asid_pool.assign(cap(directory)))
    }

    fn map_table(&mut self, table: Slot, directory: Slot, address: u32) -> Result<(), Refused> {
        checked(cap::<PageTable>(table).map(cap(directory), address, c::ATTRIBUTES_DEFAULT))
    }

    fn map(&mut self, frame: Slot, directory: Slot, address: u32, access: Access) -> Result<(), Refused> {
        let rights = if access.write { c::RIGHTS_READ_WRITE } else { c::RIGHTS_READ };
        let never = if access.execute { 0 } else { c::ATTRIBUTES_EXECUTE_NEVER };
        let cached =
            if access.cached { c::ATTRIBUTES_DEFAULT } else { c::ATTRIBUTES_DEFAULT & !c::ATTRIBUTES_CACHEABLE };
        checked(cap::<Page>(frame).map(cap(directory), address, rights, cached | never))
    }

    fn unmap(&mut self, frame: Slot) -> Result<(), Refused> {
        checked(cap::<Page>(frame).unmap())
    }

    fn cache(&mut self, directory: Slot, from: u32, to: u32, clean: bool, invalidate: bool) -> Result<(), Refused> {
        let directory = cap::<PageDirectory>(directory);
        checked(match (clean, invalidate) {
            (true, true) => directory.clean_invalidate_data(from, to),
            (true, false) => directory.clean_data(from, to),
            (false, true) => directory.invalidate_data(from, to),
            (false, false) => Ok(()),
        })
    }

    fn own_directory(&self) -> Slot {
        self.directory
    }

    fn start_thread(&mut self, start: &ThreadStart) -> Result<(), Refused> {
        let tcb = cap::<Tcb>(start.tcb);
        let (cnode, bits) = start.cnode;
        checked(tcb.configure(
            start.fault_slot,
            cap(cnode),
            c::guard(32 - u32::from(bits)),
            cap(start.directory),
            0,
            start.ipc_address,
            cap(start.ipc_frame),
            0,
        ))?;
        checked(tcb.set_priority(self.thread, start.priority))?;
        let [pc, sp, argument] = start.registers;
        let context = UserContext::new(pc, sp, argument, start.ipc_address);
        checked(tcb.write_registers(true, 0, c::USER_CONTEXT_WORDS, &context))
    }

    fn bind_notification(&mut self, tcb: Slot, notification: Slot) -> Result<(), Refused> {
        checked(cap::<Tcb>(tcb).bind_notification(cap(notification)))
    }

    fn suspend(&mut self, tcb: Slot) -> Result<(), Refused> {
        checked(cap::<Tcb>(tcb).suspend())
    }

    fn resume(&mut self, tcb: Slot) -> Result<(), Refused> {
        checked(cap::<Tcb>(tcb).resume())
    }

    fn calls(&mut self, tcb: Slot) -> Result<Option<u32>, Refused> {
        let registers = cap::<Tcb>(tcb).read_registers(false, 0, c::USER_CONTEXT_WORDS).map_err(|_| Refused)?;
        let (number, pointer) = registers.system_call();
        Ok((number == c::SYS_CALL).then_some(pointer))
    }

    fn is_waiting(&mut self, tcb: Slot) -> Result<bool, Refused> {
        const GATE: core::ops::Range<u32> = abi::GATE_BASE as u32..abi::IPC_BASE as u32;
        let registers = cap::<Tcb>(tcb).read_registers(false, 0, c::USER_CONTEXT_WORDS).map_err(|_| Refused)?;
        let (number, _) = registers.system_call();
        // A thread that the kernel has stopped in a system call stands at its instruction, which is the gate's.
        let waiting = matches!(number, c::SYS_CALL | c::SYS_SEND | c::SYS_RECV | c::SYS_REPLY_RECV);
        Ok(waiting && GATE.contains(&registers.program_counter()))
    }

    fn set_priority(&mut self, tcb: Slot, priority: u8) -> Result<(), Refused> {
        checked(cap::<Tcb>(tcb).set_priority(self.thread, priority))
    }

    fn registers(&mut self, tcb: Slot) -> Result<[u32; REGISTERS], Refused> {
        let context = cap::<Tcb>(tcb).read_registers(false, 0, c::USER_CONTEXT_WORDS).map_err(|_| Refused)?;
        Ok(context.registers())
    }

    fn read(&mut self, frame: Slot, offset: usize, words: &mut [u32]) -> Result<(), Refused> {
        super::image::read(self, frame, offset, words)
    }

    fn interrupt(&mut self, number: u32, to: Slot) -> Result<(), Refused> {
        let (index, depth) = place(to);
        checked(self.irq_control.get(number, 0, self.root, index, depth))
    }

    fn signal(&mut self, notification: Slot) {
        cap::<Notification>(notification).signal();
    }
}
