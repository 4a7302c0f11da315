//! Pages that come when they are touched, and dataspaces that cannot be written to.

use super::*;
use crate::domains::FAULT_BADGE;
use crate::faults::Fault;
use session::core::{EXECUTE, LAZY, fault};

const MIB: u32 = 1 << 20;
/// Fault status of an access without a mapping: read, write.
const READ: u32 = 0x007;
const STORE: u32 = 0x807;
/// Of a write against the rights of the mapping.
const DENIED: u32 = 0x80f;

/// A child with a thread, in an account of its own.
fn child(core: &mut Core<'_>, init: Component, ram: u32) -> (Component, u32) {
    let account = core.create_account(init.account, ram, 60).unwrap();
    let domain = core.create_domain(account, init.domain, "child", 6).unwrap();
    let child = Component { account, domain };
    core.attach_ipc_page(child);
    let thread = core.create_thread(domain, abi::IPC_BASE as u32, 0).unwrap();
    (child, thread)
}

/// Touches an address: `true` if the thread goes on at once.
fn touch(core: &mut Core<'_>, child: Component, address: u32, status: u32) -> bool {
    let badge = key(child.domain).badge() | FAULT_BADGE;
    let resumed = core.server.fault(badge, Fault::access(0x18_0000, address, false, status));
    core.audit();
    resumed
}

fn faults(core: &mut Core<'_>, child: Component) -> (u32, u32) {
    let (words, _) = core.domain(child.domain, DomainRequest::Status, &[]).unwrap();
    (words[0], words[1])
}

#[test]
fn pages_are_mapped_when_they_are_touched() {
    let mut ground = Ground::new();
    let mut core = ground.start();
    let init = core.start_init(16 * MIB, 300);
    let baseline = core.baseline();
    let (child, _) = child(&mut core, init, 8 * MIB);
    let memory = core.create_dataspace(child.account, 3 * MIB, SMALL_PAGES).unwrap();
    let [address, region] = core.attach(child.domain, memory, 0, WRITE | LAZY).unwrap();
    core.audit();
    for page in [0, 1, 33, 511, 512, 767] {
        assert!(touch(&mut core, child, address + page * PAGE + 12, STORE), "page {page}");
        // Another thread was as fast: the page is there already.
        assert!(touch(&mut core, child, address + page * PAGE, READ));
    }
    assert!(!touch(&mut core, child, address + 3 * MIB, READ));
    assert_eq!(faults(&mut core, child), (1, fault::DATA));
    let [only_read, _] = core.attach(child.domain, memory, 0, LAZY).unwrap();
    assert!(!touch(&mut core, child, only_read, STORE));
    assert!(touch(&mut core, child, only_read, READ));
    core.domain(child.domain, DomainRequest::Detach { region }, &[]).unwrap();
    core.audit();
    let large = core.create_dataspace(child.account, MIB, 0).unwrap();
    assert_eq!(core.attach(child.domain, large, 0, WRITE | LAZY), Err(Error::Invalid));
    core.close(init.account, child.account).unwrap();
    core.audit();
    assert_eq!(core.baseline(), baseline);
    assert_eq!(core.defects(), 0);
}

#[test]
fn a_mapping_that_cannot_be_paid_is_a_fault() {
    let mut ground = Ground::new();
    let mut core = ground.start();
    let init = core.start_init(16 * MIB, 300);
    let (child, _) = child(&mut core, init, MIB);
    let memory = core.create_dataspace(child.account, 8 * PAGE, SMALL_PAGES).unwrap();
    // Each region needs a page table of its own, and four of those share a page.
    let regions: Vec<u32> = (0..6).map(|_| core.attach(child.domain, memory, 0, LAZY).unwrap()[0]).collect();
    for bits in (12..20).rev() {
        while core.create_dataspace(child.account, 1 << bits, 0).is_ok() {}
    }
    assert!(!regions.into_iter().all(|address| touch(&mut core, child, address, READ)));
    assert_eq!(faults(&mut core, child), (1, fault::UNPAID));
    core.close(init.account, child.account).unwrap();
    core.audit();
}

#[test]
fn a_pager_puts_pages_in() {
    let mut ground = Ground::new();
    let mut core = ground.start();
    let init = core.start_init(16 * MIB, 300);
    let baseline = core.baseline();
    let (pager, _) = child(&mut core, init, 4 * MIB);
    let (client, thread) = child(&mut core, init, 2 * MIB);
    let (_, notification) = core.account(pager.account, AccountRequest::CreateNotification, &[]).unwrap();
    core.kernel().pass(notification.unwrap(), RECEIVE);
    let create = AccountRequest::CreateManaged { bytes: 2 * MIB }.encode();
    let answer = core.ask(pager.account, &create, &[Capability::Other(RECEIVE)]);
    let managed = core.badge(answer).unwrap();
    core.server.empty(RECEIVE);
    let plain = core.ask(managed, &DataspaceRequest::Share { flags: WRITE }.encode(), &[]);
    let plain = core.badge(plain).unwrap();
    assert_eq!(managed, plain | PARENT_BADGE);
    assert_eq!(core.ask(plain, &DataspaceRequest::NextFault.encode(), &[]), Err(Error::Denied));
    let [address, _] = core.attach(client.domain, plain, 0, WRITE).unwrap();
    let next = |core: &mut Core<'_>| core.ask(managed, &DataspaceRequest::NextFault.encode(), &[]).unwrap().0;
    assert_eq!(next(&mut core), []);

    let signals = core.kernel().signals;
    assert!(!touch(&mut core, client, address + 5 * PAGE, READ));
    assert_eq!(core.kernel().signals, signals + 1);
    assert_eq!(faults(&mut core, client), (0, 0));
    assert_eq!(next(&mut core), [5 * PAGE, 0]);
    assert_eq!(next(&mut core), []);
    let memory = core.create_dataspace(pager.account, 4 * PAGE, SMALL_PAGES).unwrap();
    let put = |core: &mut Core<'_>, offset: u32, flags: u32| {
        let request = DataspaceRequest::Populate { offset, source: PAGE, bytes: PAGE, flags };
        core.ask(managed, &request.encode(), &own(&[memory])).map(drop)
    };
    put(&mut core, 5 * PAGE, 0).unwrap();
    core.audit();
    assert!(core.server.system.thread(key(thread)).unwrap().wait.is_none());
    // The first write asks again.
    assert!(!touch(&mut core, client, address + 5 * PAGE, DENIED));
    assert_eq!(next(&mut core), [5 * PAGE, 1]);
    put(&mut core, 5 * PAGE, WRITE).unwrap();
    core.audit();
    assert!(touch(&mut core, client, address + 5 * PAGE, STORE));
    // What has been lent writeable cannot be sealed.
    assert_eq!(core.account(pager.account, AccountRequest::Seal, &[memory]), Err(Error::Busy));

    // The pager takes it away, or frees what is behind it.
    let evict = DataspaceRequest::Evict { offset: 5 * PAGE, bytes: PAGE }.encode();
    core.ask(managed, &evict, &[]).unwrap();
    core.audit();
    assert!(!touch(&mut core, client, address + 5 * PAGE, READ));
    put(&mut core, 5 * PAGE, WRITE).unwrap();
    core.account(pager.account, AccountRequest::FreeDataspace, &[memory]).unwrap();
    core.audit();
    assert!(!touch(&mut core, client, address + 5 * PAGE, READ));
    assert_eq!(next(&mut core), [5 * PAGE, 0]);
    core.ask(managed, &DataspaceRequest::Refuse { offset: 5 * PAGE }.encode(), &[]).unwrap();
    assert_eq!(faults(&mut core, client), (1, fault::DATA));

    // A pager that goes leaves nobody waiting.
    assert!(!touch(&mut core, client, address + PAGE, READ));
    core.close(init.account, pager.account).unwrap();
    core.audit();
    assert_eq!(faults(&mut core, client), (2, fault::DATA));
    core.close(init.account, client.account).unwrap();
    core.audit();
    assert_eq!(core.baseline(), baseline);
    assert_eq!(core.defects(), 0);
}

#[test]
fn a_client_that_waits_can_go_first() {
    let mut ground = Ground::new();
    let mut core = ground.start();
    let init = core.start_init(16 * MIB, 300);
    let (pager, _) = child(&mut core, init, 4 * MIB);
    let (_, notification) = core.account(pager.account, AccountRequest::CreateNotification, &[]).unwrap();
    core.kernel().pass(notification.unwrap(), RECEIVE);
    let create = AccountRequest::CreateManaged { bytes: MIB }.encode();
    let answer = core.ask(pager.account, &create, &[Capability::Other(RECEIVE)]);
    let managed = core.badge(answer).unwrap();
    let clients: Vec<_> = (0..3).map(|_| child(&mut core, init, MIB).0).collect();
    for client in &clients {
        let [address, _] = core.attach(client.domain, managed & !PARENT_BADGE, 0, 0).unwrap();
        assert!(!touch(&mut core, *client, address, READ));
    }
    // The middle one, then the ends.
    for client in [1, 0, 2] {
        core.close(init.account, clients[client].account).unwrap();
        core.audit();
    }
    assert_eq!(core.ask(managed, &DataspaceRequest::NextFault.encode(), &[]).unwrap().0, []);
    core.close(init.account, pager.account).unwrap();
    core.audit();
    assert_eq!(core.defects(), 0);
}

#[test]
fn less_than_everything_can_be_passed_on() {
    let mut ground = Ground::new();
    let mut core = ground.start();
    let init = core.start_init(16 * MIB, 300);
    let (child, _) = child(&mut core, init, 4 * MIB);
    let memory = core.create_dataspace(init.account, 4 * PAGE, SMALL_PAGES).unwrap();
    let answer = core.ask(memory, &DataspaceRequest::Share { flags: 0 }.encode(), &[]);
    let less = core.badge(answer).unwrap();
    assert_ne!(less, memory);
    let other = core.create_dataspace(init.account, PAGE, SMALL_PAGES).unwrap();
    let same = |core: &mut Core<'_>, one: u32, two: u32| {
        core.ask(one, &DataspaceRequest::Same.encode(), &own(&[two])).map(|(words, _)| words[0])
    };
    for (one, two, answer) in
        [(memory, memory, 1), (memory, less, 1), (less, memory, 1), (memory, other, 0), (other, less, 0)]
    {
        assert_eq!(same(&mut core, one, two), Ok(answer));
    }
    assert_eq!(same(&mut core, memory, init.account), Ok(0));
    assert_eq!(core.ask(memory, &DataspaceRequest::Same.encode(), &[]), Err(Error::Invalid));
    assert_eq!(core.attach(child.domain, less, 0, WRITE), Err(Error::Denied));
    let share = DataspaceRequest::Share { flags: WRITE }.encode();
    assert_eq!(core.ask(less, &share, &[]), Err(Error::Denied));
    core.attach(child.domain, less, 0, EXECUTE).unwrap();
    // A message buffer is written to by the kernel.
    let [address, _] = core.attach(child.domain, less, 0, 0).unwrap();
    assert_eq!(core.create_thread(child.domain, address, 0), Err(Error::Invalid));
    // What is granted is what was shown.
    core.ask(child.domain, &DomainRequest::Grant { slot: 20 }.encode(), &own(&[less])).unwrap();
    let cnode = core.server.system.domain(key(child.domain)).unwrap().cnode;
    let cnode = core.server.system.piece(cnode).unwrap().slot;
    assert_eq!(core.kernel().granted(cnode, 20).unwrap().badge, less);
    core.audit();
    core.account(init.account, AccountRequest::FreeDataspace, &[memory]).unwrap();
    assert_eq!(core.kernel().granted(cnode, 20), None);
    core.audit();
}

#[test]
fn sealing_ends_writing_for_everybody() {
    let mut ground = Ground::new();
    let mut core = ground.start();
    let init = core.start_init(16 * MIB, 300);
    let (child, _) = child(&mut core, init, 4 * MIB);
    let seal = |core: &mut Core<'_>, memory: u32| core.account(init.account, AccountRequest::Seal, &[memory]).map(drop);
    let memory = core.create_dataspace(init.account, MIB + 3 * PAGE, 0).unwrap();
    core.attach(child.domain, memory, 0, WRITE).unwrap();
    core.attach(init.domain, memory, 0, WRITE).unwrap();
    let small = core.create_dataspace(init.account, 4 * PAGE, SMALL_PAGES).unwrap();
    let [address, _] = core.attach(child.domain, small, 0, WRITE | LAZY).unwrap();
    assert!(touch(&mut core, child, address, STORE));
    for memory in [memory, small] {
        assert_eq!(core.account(child.account, AccountRequest::Seal, &[memory]), Err(Error::Denied));
        seal(&mut core, memory).unwrap();
        core.audit();
        assert_eq!(core.attach(child.domain, memory, 0, WRITE), Err(Error::Denied));
        core.attach(child.domain, memory, 0, 0).unwrap();
        assert_eq!(core.ask(memory, &DataspaceRequest::Size.encode(), &[]).unwrap().0[1], 1);
    }
    assert!(touch(&mut core, child, address, READ));
    assert!(!touch(&mut core, child, address, DENIED));
    assert_eq!(faults(&mut core, child), (1, fault::READ_ONLY));
    let buffers = core.create_dataspace(init.account, PAGE, SMALL_PAGES).unwrap();
    let [address, region] = core.attach(child.domain, buffers, 0, WRITE).unwrap();
    core.create_thread(child.domain, address, 0).unwrap();
    assert_eq!(seal(&mut core, buffers), Err(Error::Busy));
    core.domain(child.domain, DomainRequest::Detach { region }, &[]).unwrap();
    assert_eq!(seal(&mut core, buffers), Err(Error::Busy), "the kernel has its own way there");
    let contiguous = core.create_dataspace(init.account, PAGE, session::core::CONTIGUOUS).unwrap();
    assert_eq!(seal(&mut core, contiguous), Err(Error::Invalid));
    core.audit();
    assert_eq!(core.defects(), 0);
}

#[test]
fn a_reader_does_not_undo_what_others_have_written() {
    let mut ground = Ground::new();
    let mut core = ground.start();
    let init = core.start_init(4 * MIB, 100);
    let memory = core.create_dataspace(init.account, PAGE, SMALL_PAGES).unwrap();
    for (flags, expected) in [(0, Err(Error::Denied)), (WRITE, Ok(()))] {
        let [_, region] = core.attach(init.domain, memory, 0, flags).unwrap();
        let operation = |operation| DomainRequest::Cache { region, offset: 0, bytes: PAGE, operation };
        let invalidated = core.domain(init.domain, operation(session::core::CACHE_INVALIDATE), &[]).map(drop);
        assert_eq!(invalidated, expected);
        core.domain(init.domain, operation(session::core::CACHE_CLEAN), &[]).unwrap();
        let both = session::core::CACHE_CLEAN | session::core::CACHE_INVALIDATE;
        core.domain(init.domain, operation(both), &[]).unwrap();
    }
}
