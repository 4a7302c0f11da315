//! A model of the kernel for tests on the host.
//!
//! # Theory of operation
//!
//! It keeps what seL4 keeps and refuses what seL4 refuses: objects at physical addresses, the capabilities to them in the
//! slots of `CNode`s and thread control blocks, and the derivation tree over those capabilities. A capability that was made by
//! retyping, or by minting a badge, is the parent of its copies; a copy of a copy has the same parent. Revoking
//! deletes all descendants, deleting the last capability to an object destroys it, and an untyped starts over when it has
//! no children. Frames are mapped through page tables, once per capability.
//!
//! [`Simulated::refuse_after`] makes one of the next calls fail, whatever it is. Refusals of the model's own judgement are written
//! to [`Simulated::complaints`] with their reason, so that a test can tell an exhausted resource from a mistake.
//!
//! What it does not model: scheduling, messages, the contents of memory, and the time that things take.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::format;
use std::string::String;
use std::vec::Vec;

use session::core::REGISTERS;

use crate::kernel::{Access, CAP_PAGE_BITS, Kernel, Object, Refused, SECOND_BITS, Slot, TOP_BITS, ThreadStart};

/// First address of the kernel.
const KERNEL_WINDOW: u32 = 0xe000_0000;
/// Most objects of one retype.
const FAN_OUT: u32 = 256;
/// Last interrupt of the Zynq-7000's GIC.
const LAST_INTERRUPT: u32 = 95;
const PAGE_BITS: u8 = 12;
const SECTION_BITS: u8 = 20;

type ObjectId = usize;
type CapId = usize;
/// A slot: the `CNode` or thread control block, and the index in it.
type Place = (ObjectId, u32);

/// State of an object.
#[derive(Debug)]
enum Body {
    Untyped {
        watermark: u32,
        device: bool,
    },
    Tcb {
        notification: Option<ObjectId>,
        running: bool,
    },
    Endpoint,
    Notification {
        tcb: Option<ObjectId>,
    },
    CNode {
        bits: u8,
    },
    Frame {
        device: bool,
    },
    /// Mapped at that megabyte of a directory; the capabilities of the frames by page number.
    PageTable {
        mapped: Option<(ObjectId, u32)>,
        pages: BTreeMap<u32, CapId>,
    },
    /// Page tables and sections by megabyte.
    PageDirectory {
        identified: bool,
        tables: BTreeMap<u32, ObjectId>,
        sections: BTreeMap<u32, CapId>,
    },
    Interrupt(u32),
}

#[derive(Debug)]
struct Thing {
    body: Body,
    bits: u8,
    address: u32,
    caps: u32,
}

#[derive(Debug)]
struct Cap {
    object: ObjectId,
    place: Place,
    badge: u32,
    /// A `CNode` capability that resolves one more zero bit.
    guarded: bool,
    /// Whether copies are its children.
    original: bool,
    parent: Option<CapId>,
    children: BTreeSet<CapId>,
    /// Where a frame is mapped.
    mapped: Option<(ObjectId, u32)>,
}

/// What is in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    /// Kind of the object.
    pub(crate) kind: &'static str,
    /// Log2 of its size.
    pub(crate) bits: u8,
    /// Its physical address.
    pub(crate) address: u32,
    /// The capability's badge.
    pub(crate) badge: u32,
}

/// The kernel.
#[derive(Debug)]
pub(crate) struct Simulated {
    things: HashMap<ObjectId, Thing>,
    caps: HashMap<CapId, Cap>,
    slots: HashMap<Place, CapId>,
    next: usize,
    root: ObjectId,
    directory: Slot,
    interrupts: BTreeSet<u32>,
    refuse_in: Option<u32>,
    /// The call that was made to fail.
    pub(crate) refused: Option<&'static str>,
    /// Refusals that nobody asked for.
    pub(crate) complaints: Vec<String>,
    /// Notifications that were signalled.
    pub(crate) signals: u32,
    /// Threads that wait for the end of a call, and the slot that they call.
    calling: HashMap<ObjectId, u32>,
    /// Registers of threads, where a test has set them.
    registers: HashMap<ObjectId, [u32; REGISTERS]>,
}

impl Simulated {
    /// A kernel with an empty root `CNode` but for a page directory of core's own.
    pub(crate) fn new(directory: Slot) -> Self {
        let mut kernel = Self {
            things: HashMap::new(),
            caps: HashMap::new(),
            slots: HashMap::new(),
            next: 0,
            root: 0,
            directory,
            interrupts: BTreeSet::new(),
            refuse_in: None,
            refused: None,
            complaints: Vec::new(),
            signals: 0,
            calling: HashMap::new(),
            registers: HashMap::new(),
        };
        kernel.root = kernel.put_thing(Body::CNode { bits: TOP_BITS }, TOP_BITS + 4, 0);
        // Held by core's own thread control block.
        kernel.things.get_mut(&kernel.root).unwrap().caps = 1;
        let own = Body::PageDirectory { identified: true, tables: BTreeMap::new(), sections: BTreeMap::new() };
        kernel.put_boot(directory, own, 14, 0);
        kernel
    }

    /// An untyped that exists at boot.
    pub(crate) fn boot_untyped(&mut self, slot: Slot, address: u32, bits: u8, device: bool) {
        self.put_boot(slot, Body::Untyped { watermark: 0, device }, bits, address);
    }

    /// A frame of the boot image.
    pub(crate) fn boot_frame(&mut self, slot: Slot, address: u32) {
        self.put_boot(slot, Body::Frame { device: false }, PAGE_BITS, address);
    }

    /// An endpoint that exists at boot.
    pub(crate) fn boot_endpoint(&mut self, slot: Slot) {
        self.put_boot(slot, Body::Endpoint, 4, 0);
    }

    /// Makes the call after the next `calls` fail. `None`: none.
    pub(crate) fn refuse_after(&mut self, calls: Option<u32>) {
        self.refuse_in = calls;
        self.refused = None;
    }

    /// Sets the program counter of a thread.
    pub(crate) fn set_counter(&mut self, tcb: Slot, counter: u32) {
        let tcb = self.object(tcb, "TCB").unwrap();
        let mut registers = [0; REGISTERS];
        registers[15] = counter;
        self.registers.insert(tcb, registers);
    }

    /// What is in a slot.
    pub(crate) fn content(&self, slot: Slot) -> Option<Content> {
        let cap = self.caps.get(self.slots.get(&self.place(slot)?)?)?;
        Some(self.describe(cap))
    }

    /// What is in a slot of a domain's `CNode`.
    pub(crate) fn granted(&self, cnode: Slot, index: u32) -> Option<Content> {
        let cap = self.caps.get(self.slots.get(&self.place(cnode)?)?)?;
        let cap = self.caps.get(self.slots.get(&(cap.object, index))?)?;
        Some(self.describe(cap))
    }

    /// Passes a capability on as a component would, from core's slot into a slot of core's that nobody tracks.
    pub(crate) fn pass(&mut self, from: Slot, to: Slot) {
        let (from, to) = (self.place(from).unwrap(), self.place(to).unwrap());
        if let Some(old) = self.slots.get(&to) {
            self.remove(*old);
        }
        let from = *self.slots.get(&from).unwrap();
        self.derive(from, to, None);
    }

    /// The same from a slot of a domain's `CNode`, as another component would get it.
    pub(crate) fn pass_from(&mut self, cnode: Slot, index: u32, to: Slot) {
        let node = self.caps[&self.find(cnode).unwrap()].object;
        let to = self.place(to).unwrap();
        let from = self.slots[&(node, index)];
        self.derive(from, to, None);
    }

    /// Numbers of all occupied slots of the first level.
    pub(crate) fn top_slots(&self) -> BTreeSet<u32> {
        self.slots.keys().filter(|(node, _)| *node == self.root).map(|(_, index)| *index).collect()
    }

    /// Numbers of all occupied slots of the `CNode` in a slot of the first level.
    pub(crate) fn slots_of(&self, node: u32) -> BTreeSet<u32> {
        let cap = self.slots.get(&(self.root, node)).and_then(|cap| self.caps.get(cap));
        let Some(node) = cap.map(|cap| cap.object) else { return BTreeSet::new() };
        self.slots.keys().filter(|(at, _)| *at == node).map(|(_, index)| *index).collect()
    }

    /// Objects by kind, and capabilities by the kind of their object. Without untypeds: those of free memory stay as they are until
    /// they are needed.
    pub(crate) fn census(&self) -> BTreeMap<(&'static str, &'static str), usize> {
        let mut census = BTreeMap::new();
        for thing in self.things.values().filter(|thing| thing.kind() != "untyped") {
            *census.entry(("objects", thing.kind())).or_default() += 1;
        }
        for cap in self.caps.values() {
            let kind = self.things[&cap.object].kind();
            if kind != "untyped" {
                *census.entry(("capabilities", kind)).or_default() += 1;
            }
        }
        census
    }

    /// Objects of a kind and size that lie within an area.
    pub(crate) fn count(&self, kind: &str, bits: u8, area: core::ops::Range<u32>) -> usize {
        let wanted = |thing: &&Thing| thing.kind() == kind && thing.bits == bits && area.contains(&thing.address);
        self.things.values().filter(wanted).count()
    }

    /// Page tables of a directory.
    pub(crate) fn tables(&self, directory: Slot) -> usize {
        match self.find(directory).map(|cap| &self.things[&self.caps[&cap].object].body) {
            Ok(Body::PageDirectory { tables, .. }) => tables.len(),
            _ => 0,
        }
    }

    /// Log2 size and physical address of the frame at an address of a directory.
    pub(crate) fn translate(&self, directory: Slot, address: u32) -> Option<(u8, u32)> {
        let directory = self.caps[&self.find(directory).ok()?].object;
        let Body::PageDirectory { tables, sections, .. } = &self.things[&directory].body else { return None };
        let megabyte = address >> SECTION_BITS;
        let cap = match (sections.get(&megabyte), tables.get(&megabyte)) {
            (Some(cap), _) => cap,
            (None, Some(table)) => match &self.things[table].body {
                Body::PageTable { pages, .. } => pages.get(&(address >> PAGE_BITS))?,
                _ => return None,
            },
            (None, None) => return None,
        };
        let frame = &self.things[&self.caps[cap].object];
        Some((frame.bits, frame.address))
    }

    /// Mappings of a directory: pages of whatever size.
    pub(crate) fn mappings(&self, directory: Slot) -> usize {
        let Ok(cap) = self.find(directory) else { return 0 };
        let directory = self.caps[&cap].object;
        self.caps.values().filter(|cap| cap.mapped.is_some_and(|(at, _)| at == directory)).count()
    }

    /// Lets a thread wait for the answer to a call of its slot `index`.
    pub(crate) fn call(&mut self, tcb: Slot, index: u32) {
        let thread = self.object(tcb, "TCB").unwrap();
        self.calling.insert(thread, index);
    }

    /// Whether a thread still waits for the answer to a call.
    pub(crate) fn waits(&mut self, tcb: Slot) -> bool {
        let thread = self.object(tcb, "TCB").unwrap();
        self.calling.contains_key(&thread)
    }

    /// Threads that may run.
    pub(crate) fn running(&self) -> usize {
        self.things.values().filter(|thing| matches!(thing.body, Body::Tcb { running: true, .. })).count()
    }

    fn describe(&self, cap: &Cap) -> Content {
        let thing = &self.things[&cap.object];
        Content { kind: thing.kind(), bits: thing.bits, address: thing.address, badge: cap.badge }
    }

    fn put_boot(&mut self, slot: Slot, body: Body, bits: u8, address: u32) {
        let object = self.put_thing(body, bits, address);
        let place = self.place(slot).unwrap();
        assert!(!self.slots.contains_key(&place));
        self.put_cap(object, place, None);
    }

    fn put_thing(&mut self, body: Body, bits: u8, address: u32) -> ObjectId {
        self.next += 1;
        self.things.insert(self.next, Thing { body, bits, address, caps: 0 });
        self.next
    }

    fn put_cap(&mut self, object: ObjectId, place: Place, parent: Option<CapId>) -> CapId {
        self.next += 1;
        let id = self.next;
        let cap = Cap {
            object,
            place,
            badge: 0,
            guarded: false,
            original: true,
            parent,
            children: BTreeSet::new(),
            mapped: None,
        };
        self.caps.insert(id, cap);
        self.things.get_mut(&object).unwrap().caps += 1;
        if let Some(parent) = parent {
            self.caps.get_mut(&parent).unwrap().children.insert(id);
        }
        assert!(self.slots.insert(place, id).is_none());
        id
    }

    /// Copies a capability, with a new badge if one is given.
    fn derive(&mut self, from: CapId, to: Place, badge: Option<u32>) -> CapId {
        let (object, original, parent, old_badge, guarded) = {
            let cap = &self.caps[&from];
            (cap.object, cap.original, cap.parent, cap.badge, cap.guarded)
        };
        let id = self.put_cap(object, to, if original { Some(from) } else { parent });
        let cap = self.caps.get_mut(&id).unwrap();
        cap.badge = badge.unwrap_or(old_badge);
        cap.guarded = guarded;
        cap.original = cap.badge != old_badge;
        id
    }

    fn remove(&mut self, id: CapId) {
        self.forget_mapping(id);
        let Some(cap) = self.caps.remove(&id) else { return };
        self.slots.remove(&cap.place);
        if let Some(parent) = cap.parent {
            self.caps.get_mut(&parent).unwrap().children.remove(&id);
        }
        for child in cap.children {
            self.caps.get_mut(&child).unwrap().parent = cap.parent;
            if let Some(parent) = cap.parent {
                self.caps.get_mut(&parent).unwrap().children.insert(child);
            }
        }
        let thing = self.things.get_mut(&cap.object).unwrap();
        thing.caps -= 1;
        if thing.caps == 0 {
            self.destroy(cap.object);
        }
    }

    fn destroy(&mut self, object: ObjectId) {
        // First what it holds: a `CNode`'s slots, a thread's spaces and buffer.
        let held: Vec<CapId> = self.slots.iter().filter(|((at, _), _)| *at == object).map(|(_, cap)| *cap).collect();
        for cap in held {
            self.remove(cap);
        }
        let thing = self.things.remove(&object).unwrap();
        match thing.body {
            Body::Tcb { notification: Some(notification), .. } => {
                if let Some(Body::Notification { tcb }) = self.body(notification) {
                    *tcb = None;
                }
            }
            Body::Notification { tcb: Some(tcb) } => {
                if let Some(Body::Tcb { notification, .. }) = self.body(tcb) {
                    *notification = None;
                }
            }
            Body::PageTable { mapped: Some((directory, megabyte)), .. } => {
                if let Some(Body::PageDirectory { tables, .. }) = self.body(directory) {
                    tables.remove(&megabyte);
                }
            }
            Body::PageDirectory { tables, .. } => {
                for table in tables.into_values() {
                    if let Some(Body::PageTable { mapped, .. }) = self.body(table) {
                        *mapped = None;
                    }
                }
            }
            Body::Interrupt(number) => {
                self.interrupts.remove(&number);
            }
            _ => {}
        }
    }

    fn forget_mapping(&mut self, id: CapId) {
        let Some((directory, address)) = self.caps.get_mut(&id).and_then(|cap| cap.mapped.take()) else { return };
        let megabyte = address >> SECTION_BITS;
        let Some(Body::PageDirectory { tables, sections, .. }) = self.body(directory) else { return };
        sections.retain(|_, cap| *cap != id);
        let Some(table) = tables.get(&megabyte).copied() else { return };
        if let Some(Body::PageTable { pages, .. }) = self.body(table) {
            pages.retain(|_, cap| *cap != id);
        }
    }

    fn body(&mut self, object: ObjectId) -> Option<&mut Body> {
        self.things.get_mut(&object).map(|thing| &mut thing.body)
    }

    /// Counts a call and lets it fail if it is its turn.
    fn enter(&mut self, call: &'static str) -> Result<(), Refused> {
        match &mut self.refuse_in {
            Some(0) => {
                self.refuse_in = None;
                self.refused = Some(call);
                Err(Refused)
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn complain<T>(&mut self, why: String) -> Result<T, Refused> {
        self.complaints.push(why);
        Err(Refused)
    }

    fn place(&self, slot: Slot) -> Option<Place> {
        if slot.is_top() {
            return (slot.node() < 1 << TOP_BITS).then_some((self.root, slot.node()));
        }
        let cap = self.caps.get(self.slots.get(&(self.root, slot.node()))?)?;
        let fits = match self.things[&cap.object].body {
            Body::CNode { bits: SECOND_BITS } => !cap.guarded,
            Body::CNode { bits: CAP_PAGE_BITS } => cap.guarded && slot.index() < 1 << CAP_PAGE_BITS,
            _ => false,
        };
        fits.then_some((cap.object, slot.index()))
    }

    fn find(&self, slot: Slot) -> Result<CapId, Refused> {
        self.place(slot).and_then(|place| self.slots.get(&place)).copied().ok_or(Refused)
    }

    /// The capability in a slot that is to be copied, moved or invoked.
    fn source(&mut self, slot: Slot) -> Result<CapId, Refused> {
        match self.find(slot) {
            Ok(cap) => Ok(cap),
            Err(_) => self.complain(format!("no capability in {slot:?}")),
        }
    }

    fn empty(&mut self, slot: Slot) -> Result<Place, Refused> {
        match self.place(slot) {
            None => self.complain(format!("there is no {slot:?}")),
            Some(place) => self.vacant(place),
        }
    }

    fn vacant(&mut self, place: Place) -> Result<Place, Refused> {
        if self.slots.contains_key(&place) { self.complain(format!("{place:?} is occupied")) } else { Ok(place) }
    }

    /// The object that a capability in a slot is to, if it is of that kind.
    fn object(&mut self, slot: Slot, kind: &str) -> Result<ObjectId, Refused> {
        let cap = self.source(slot)?;
        let object = self.caps[&cap].object;
        let found = self.things[&object].kind();
        if found != kind {
            return self.complain(format!("a {found} in {slot:?} instead of a {kind}"));
        }
        // Invoking a first-level slot that holds a CNode reaches into that.
        if slot.is_top() && kind == "CNode" {
            return self.complain(format!("the CNode in {slot:?} cannot be invoked"));
        }
        Ok(object)
    }

    /// Slot `index` of a domain's `CNode`, which must be empty.
    fn place_in(&mut self, (slot, bits): (Slot, u8), index: u32) -> Result<Place, Refused> {
        let object = self.object(slot, "CNode")?;
        if self.things[&object].bits != bits + 4 || index >= 1 << bits {
            return self.complain(format!("a CNode without slot {index}"));
        }
        self.vacant((object, index))
    }

    fn copy_to(&mut self, from: Slot, to: Place, badge: Option<u32>) -> Result<(), Refused> {
        let from = self.source(from)?;
        let cap = &self.caps[&from];
        let kind = self.things[&cap.object].kind();
        if badge.is_some() && (cap.badge != 0 || !matches!(kind, "endpoint" | "notification")) {
            return self.complain(format!("a {kind} with badge {} cannot get another one", cap.badge));
        }
        if matches!(kind, "untyped" | "page table") {
            return self.complain(format!("copying a {kind} is not expected"));
        }
        self.derive(from, to, badge);
        Ok(())
    }

    /// Whether it is core's own page directory. On the host, core's addresses are the low halves of real ones, anywhere.
    fn is_own(&self, directory: ObjectId) -> bool {
        self.find(self.directory).is_ok_and(|cap| self.caps[&cap].object == directory)
    }

    fn identified(&mut self, slot: Slot) -> Result<ObjectId, Refused> {
        let object = self.object(slot, "page directory")?;
        match self.things[&object].body {
            Body::PageDirectory { identified: true, .. } => Ok(object),
            _ => self.complain(format!("the page directory in {slot:?} has no address space identifier")),
        }
    }

    fn set_running(&mut self, tcb: Slot, value: bool) -> Result<(), Refused> {
        let tcb = self.object(tcb, "TCB")?;
        if let Some(Body::Tcb { running, .. }) = self.body(tcb) {
            *running = value;
        }
        Ok(())
    }
}

impl Thing {
    fn kind(&self) -> &'static str {
        match self.body {
            Body::Untyped { .. } => "untyped",
            Body::Tcb { .. } => "TCB",
            Body::Endpoint => "endpoint",
            Body::Notification { .. } => "notification",
            Body::CNode { .. } => "CNode",
            Body::Frame { .. } => "frame",
            Body::PageTable { .. } => "page table",
            Body::PageDirectory { .. } => "page directory",
            Body::Interrupt(_) => "interrupt",
        }
    }
}

impl Kernel for Simulated {
    fn size_bits(&self, object: Object) -> u8 {
        match object {
            Object::Untyped(bits) | Object::Frame(bits) => bits,
            Object::Tcb => 9,
            Object::Endpoint | Object::Notification => 4,
            Object::CNode(bits) => bits + 4,
            Object::PageTable => 10,
            Object::PageDirectory => 14,
        }
    }

    fn retype(&mut self, untyped: Slot, object: Object, first: Slot, count: u32) -> Result<(), Refused> {
        self.enter("retype")?;
        let source = self.object(untyped, "untyped")?;
        let cap = self.find(untyped)?;
        if count == 0 || count > FAN_OUT {
            return self.complain(format!("retype of {count} objects"));
        }
        let room = match (first.is_top(), self.slots.get(&(self.root, first.node()))) {
            (true, _) => Some((self.root, first.node(), TOP_BITS)),
            (false, None) => None,
            (false, Some(node)) => {
                let node = self.caps[node].object;
                match self.things[&node].body {
                    Body::CNode { bits } => Some((node, first.index(), bits)),
                    _ => None,
                }
            }
        };
        let Some((node, index, bits)) = room.filter(|(_, index, bits)| index + count <= 1 << bits) else {
            return self.complain(format!("there are no {count} slots from {first:?}"));
        };
        debug_assert!(bits <= TOP_BITS);
        for offset in 0..count {
            self.vacant((node, index + offset))?;
        }
        let size_bits = self.size_bits(object);
        let fresh = self.caps[&cap].children.is_empty();
        let thing = &self.things[&source];
        let (base, total) = (thing.address, thing.bits);
        let Body::Untyped { watermark, device } = thing.body else { return Err(Refused) };
        if device && !matches!(object, Object::Untyped(_) | Object::Frame(_)) {
            return self.complain(format!("{object:?} in device memory"));
        }
        let start = if fresh { 0 } else { u64::from(watermark).next_multiple_of(1 << size_bits) };
        let end = start + (u64::from(count) << size_bits);
        if end > 1 << total {
            return self
                .complain(format!("no room for {count} of {object:?} in an untyped of 2^{total} bytes, {start} used"));
        }
        self.things.get_mut(&source).unwrap().body = Body::Untyped { watermark: end as u32, device };
        for offset in 0..count {
            let body = match object {
                Object::Untyped(_) => Body::Untyped { watermark: 0, device },
                Object::Tcb => Body::Tcb { notification: None, running: false },
                Object::Endpoint => Body::Endpoint,
                Object::Notification => Body::Notification { tcb: None },
                Object::CNode(bits) => Body::CNode { bits },
                Object::Frame(_) => Body::Frame { device },
                Object::PageTable => Body::PageTable { mapped: None, pages: BTreeMap::new() },
                Object::PageDirectory => {
                    Body::PageDirectory { identified: false, tables: BTreeMap::new(), sections: BTreeMap::new() }
                }
            };
            let address = base + start as u32 + (offset << size_bits);
            let made = self.put_thing(body, size_bits, address);
            self.put_cap(made, (node, index + offset), Some(cap));
        }
        Ok(())
    }

    fn revoke(&mut self, slot: Slot) -> Result<(), Refused> {
        self.enter("revoke")?;
        let Some(place) = self.place(slot) else { return self.complain(format!("there is no {slot:?} to revoke")) };
        let Some(cap) = self.slots.get(&place).copied() else { return Ok(()) };
        while let Some(child) = self.caps.get(&cap).and_then(|cap| cap.children.first()).copied() {
            self.remove(child);
        }
        Ok(())
    }

    fn delete(&mut self, slot: Slot) -> Result<(), Refused> {
        self.enter("delete")?;
        let Some(place) = self.place(slot) else { return self.complain(format!("there is no {slot:?} to empty")) };
        if let Some(cap) = self.slots.get(&place).copied() {
            self.remove(cap);
        }
        Ok(())
    }

    fn copy(&mut self, from: Slot, to: Slot) -> Result<(), Refused> {
        self.enter("copy")?;
        let to = self.empty(to)?;
        self.copy_to(from, to, None)
    }

    fn move_to(&mut self, from: Slot, to: Slot) -> Result<(), Refused> {
        self.enter("move")?;
        let cap = self.source(from)?;
        let to = self.empty(to)?;
        let old = core::mem::replace(&mut self.caps.get_mut(&cap).unwrap().place, to);
        self.slots.remove(&old);
        self.slots.insert(to, cap);
        Ok(())
    }

    fn move_cap_page(&mut self, from: Slot, to: Slot) -> Result<(), Refused> {
        self.enter("mutate")?;
        let cap = self.source(from)?;
        let to = self.empty(to)?;
        let moved = self.caps.get_mut(&cap).unwrap();
        moved.guarded = true;
        let old = core::mem::replace(&mut moved.place, to);
        self.slots.remove(&old);
        self.slots.insert(to, cap);
        Ok(())
    }

    fn mint(&mut self, from: Slot, to: Slot, badge: u32) -> Result<(), Refused> {
        self.enter("mint")?;
        let to = self.empty(to)?;
        self.copy_to(from, to, Some(badge))
    }

    fn grant(&mut self, from: Slot, cnode: (Slot, u8), index: u32) -> Result<(), Refused> {
        self.enter("grant")?;
        let to = self.place_in(cnode, index)?;
        self.copy_to(from, to, None)
    }

    fn take_back(&mut self, (slot, bits): (Slot, u8), index: u32) -> Result<(), Refused> {
        self.enter("delete")?;
        let object = self.object(slot, "CNode")?;
        if self.things[&object].bits != bits + 4 || index >= 1 << bits {
            return self.complain(format!("a CNode without slot {index}"));
        }
        if let Some(cap) = self.slots.get(&(object, index)).copied() {
            self.remove(cap);
        }
        Ok(())
    }

    fn grant_self(&mut self, cnode: (Slot, u8), index: u32) -> Result<(), Refused> {
        self.enter("grant self")?;
        let to = self.place_in(cnode, index)?;
        self.copy_to(cnode.0, to, None)
    }

    fn assign_asid(&mut self, directory: Slot) -> Result<(), Refused> {
        self.enter("assign ASID")?;
        let object = self.object(directory, "page directory")?;
        match self.body(object) {
            Some(Body::PageDirectory { identified, .. }) if !*identified => {
                *identified = true;
                Ok(())
            }
            _ => self.complain(String::from("a second ASID for a page directory")),
        }
    }

    fn map_table(&mut self, table: Slot, directory: Slot, address: u32) -> Result<(), Refused> {
        self.enter("map table")?;
        let table = self.object(table, "page table")?;
        let directory = self.identified(directory)?;
        let megabyte = address >> SECTION_BITS;
        let in_use = matches!(self.body(table), Some(Body::PageTable { mapped: Some(_), .. }));
        if in_use || (address >= KERNEL_WINDOW && !self.is_own(directory)) {
            return self.complain(format!("page table cannot be mapped at {address:#x}, in use: {in_use}"));
        }
        match self.body(directory) {
            Some(Body::PageDirectory { tables, sections, .. })
                if !tables.contains_key(&megabyte) && !sections.contains_key(&megabyte) =>
            {
                tables.insert(megabyte, table);
            }
            _ => return self.complain(format!("page table at {address:#x}, where something is mapped")),
        }
        if let Some(Body::PageTable { mapped, .. }) = self.body(table) {
            *mapped = Some((directory, megabyte));
        }
        Ok(())
    }

    fn map(&mut self, frame: Slot, directory: Slot, address: u32, access: Access) -> Result<(), Refused> {
        self.enter("map")?;
        let object = self.object(frame, "frame")?;
        let cap = self.find(frame)?;
        let directory = self.identified(directory)?;
        let bits = self.things[&object].bits;
        let end = u64::from(address) + (1 << bits);
        let beyond = end > KERNEL_WINDOW.into() && !self.is_own(directory);
        if !address.is_multiple_of(1 << bits) || beyond || self.caps[&cap].mapped.is_some() {
            return self.complain(format!("frame of 2^{bits} bytes at {address:#x}, {access:?}"));
        }
        let megabyte = address >> SECTION_BITS;
        let Some(Body::PageDirectory { tables, sections, .. }) = self.body(directory) else { return Err(Refused) };
        let table = tables.get(&megabyte).copied();
        let section = sections.contains_key(&megabyte);
        if bits == SECTION_BITS {
            if table.is_some() || section {
                return self.complain(format!("section at {address:#x}, where something is mapped"));
            }
            sections.insert(megabyte, cap);
        } else {
            let pages = address >> PAGE_BITS..(end >> PAGE_BITS) as u32;
            match table.and_then(|table| self.body(table)) {
                Some(Body::PageTable { pages: taken, .. })
                    if !section && taken.range(pages.clone()).next().is_none() =>
                {
                    taken.extend(pages.map(|page| (page, cap)));
                }
                _ => {
                    return self
                        .complain(format!("page at {address:#x}, without a table or where something is mapped"));
                }
            }
        }
        self.caps.get_mut(&cap).unwrap().mapped = Some((directory, address));
        Ok(())
    }

    fn unmap(&mut self, frame: Slot) -> Result<(), Refused> {
        self.enter("unmap")?;
        self.object(frame, "frame")?;
        let cap = self.find(frame)?;
        self.forget_mapping(cap);
        Ok(())
    }

    fn cache(&mut self, directory: Slot, from: u32, to: u32, _clean: bool, _invalidate: bool) -> Result<(), Refused> {
        self.enter("cache")?;
        self.identified(directory)?;
        if from >= to || to > KERNEL_WINDOW || from >> PAGE_BITS != (to - 1) >> PAGE_BITS {
            return self.complain(format!("cache maintenance from {from:#x} to {to:#x}"));
        }
        Ok(())
    }

    fn own_directory(&self) -> Slot {
        self.directory
    }

    fn start_thread(&mut self, start: &ThreadStart) -> Result<(), Refused> {
        self.enter("start thread")?;
        let tcb = self.object(start.tcb, "TCB")?;
        self.object(start.cnode.0, "CNode")?;
        self.identified(start.directory)?;
        let frame = self.object(start.ipc_frame, "frame")?;
        if !start.ipc_address.is_multiple_of(512) || matches!(self.body(frame), Some(Body::Frame { device: true })) {
            return self.complain(format!("IPC buffer at {:#x}", start.ipc_address));
        }
        for (index, slot) in (0..).zip([start.cnode.0, start.directory, start.ipc_frame]) {
            if let Some(old) = self.slots.get(&(tcb, index)).copied() {
                self.remove(old);
            }
            let from = self.find(slot)?;
            self.derive(from, (tcb, index), None);
        }
        self.set_running(start.tcb, true)
    }

    fn bind_notification(&mut self, tcb: Slot, notification: Slot) -> Result<(), Refused> {
        self.enter("bind")?;
        let thread = self.object(tcb, "TCB")?;
        let bound = self.object(notification, "notification")?;
        if !matches!(self.body(thread), Some(Body::Tcb { notification: None, .. }))
            || !matches!(self.body(bound), Some(Body::Notification { tcb: None }))
        {
            return self.complain(String::from("thread or notification is bound already"));
        }
        if let Some(Body::Tcb { notification, .. }) = self.body(thread) {
            *notification = Some(bound);
        }
        if let Some(Body::Notification { tcb }) = self.body(bound) {
            *tcb = Some(thread);
        }
        Ok(())
    }

    fn suspend(&mut self, tcb: Slot) -> Result<(), Refused> {
        self.enter("suspend")?;
        self.set_running(tcb, false)
    }

    fn resume(&mut self, tcb: Slot) -> Result<(), Refused> {
        self.enter("resume")?;
        // The call is made again.
        let thread = self.object(tcb, "TCB")?;
        self.calling.remove(&thread);
        self.set_running(tcb, true)
    }

    fn calls(&mut self, tcb: Slot) -> Result<Option<u32>, Refused> {
        self.enter("read registers")?;
        let tcb = self.object(tcb, "TCB")?;
        Ok(self.calling.get(&tcb).copied())
    }

    fn is_waiting(&mut self, tcb: Slot) -> Result<bool, Refused> {
        self.enter("read registers")?;
        let tcb = self.object(tcb, "TCB")?;
        Ok(self.calling.contains_key(&tcb))
    }

    fn set_priority(&mut self, tcb: Slot, _priority: u8) -> Result<(), Refused> {
        self.enter("set priority")?;
        self.object(tcb, "TCB").map(drop)
    }

    fn registers(&mut self, tcb: Slot) -> Result<[u32; REGISTERS], Refused> {
        self.enter("read registers")?;
        let tcb = self.object(tcb, "TCB")?;
        Ok(self.registers.get(&tcb).copied().unwrap_or_default())
    }

    fn read(&mut self, frame: Slot, offset: usize, words: &mut [u32]) -> Result<(), Refused> {
        self.enter("read memory")?;
        self.object(frame, "frame")?;
        if offset + size_of_val(words) > 1 << PAGE_BITS {
            return self.complain(format!("words beyond the page at {offset:#x}"));
        }
        words.fill(0);
        Ok(())
    }

    fn interrupt(&mut self, number: u32, to: Slot) -> Result<(), Refused> {
        self.enter("interrupt")?;
        let to = self.empty(to)?;
        if number > LAST_INTERRUPT || !self.interrupts.insert(number) {
            return self.complain(format!("interrupt {number} does not exist or is taken"));
        }
        let object = self.put_thing(Body::Interrupt(number), 0, 0);
        self.put_cap(object, to, None);
        Ok(())
    }

    fn signal(&mut self, notification: Slot) {
        let is_notification = |cap: CapId| self.things[&self.caps[&cap].object].kind() == "notification";
        self.signals += u32::from(self.find(notification).is_ok_and(is_notification));
    }
}
