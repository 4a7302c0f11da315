//! Each request by itself: what it does, and that wrong arguments do nothing.

use super::*;
use abi::slot;
use session::core::{CACHE_CLEAN, CACHE_INVALIDATE, CONTIGUOUS, EXECUTE, LAZY, UNCACHED};

const MIB: u32 = 1 << 20;

/// Asks, expects an error, and that nothing has changed.
fn refused(core: &mut Core<'_>, error: Error, ask: impl FnOnce(&mut Core<'_>) -> Asked) {
    let before = numbers(core);
    assert_eq!(ask(core), Err(error));
    assert_eq!(numbers(core), before, "a refused request changed something");
    core.audit();
    assert_eq!(core.defects(), 0);
}

fn numbers(core: &mut Core<'_>) -> (u32, BTreeMap<(&'static str, &'static str), usize>, Vec<AccountInfo>) {
    // Opened chunks and what they cost may stay until the next time.
    core.server.system.compact().unwrap();
    let accounts = core.badges(|object| matches!(object, Object::Account(_)));
    let infos = accounts.into_iter().map(|account| AccountInfo { ram_peak: 0, caps_peak: 0, ..core.info(account) });
    let infos = infos.collect();
    (core.server.system.free_bytes(), core.kernel().census(), infos)
}

#[test]
fn an_account_is_lent_to_repaid_and_closed() {
    let mut ground = Ground::new();
    let mut core = ground.start();
    let baseline = core.baseline();
    let root = core.root();
    let before = core.info(root);
    let account = core.create_account(root, MIB, 100).unwrap();
    let info = core.info(account);
    assert_eq!((info.ram, info.caps, info.ram_used, info.caps_used), (MIB, 100, 0, 0));
    assert_eq!(core.info(root).ram_lent, MIB);
    assert_eq!(core.info(root).caps_used, before.caps_used + 1);
    core.account(root, AccountRequest::Lend { ram: 4096, caps: 5 }, &[account]).unwrap();
    assert_eq!((core.info(account).ram, core.info(account).caps), (MIB + 4096, 105));
    core.account(root, AccountRequest::Repay { ram: 4096, caps: 5 }, &[account]).unwrap();
    // The initial donation stays.
    refused(&mut core, Error::OutOfRam, |core| {
        core.account(root, AccountRequest::Repay { ram: 4096, caps: 0 }, &[account])
    });
    refused(&mut core, Error::OutOfCaps, |core| {
        core.account(root, AccountRequest::Repay { ram: 0, caps: 1 }, &[account])
    });
    core.audit();
    core.close(root, account).unwrap();
    core.audit();
    assert_eq!(core.baseline(), baseline);
    assert_eq!(core.info(root).caps_used, before.caps_used);
}

#[test]
fn accounts_are_only_moved_between_by_their_lender() {
    let mut ground = Ground::new();
    let mut core = ground.start();
    let root = core.root();
    let one = core.create_account(root, MIB, 100).unwrap();
    let other = core.create_account(root, MIB, 100).unwrap();
    let grandchild = core.create_account(one, MIB / 2, 10).unwrap();
    for wrong in [root, one, other] {
        refused(&mut core, Error::Invalid, |core| core.account(other, AccountRequest::Close, &[wrong]));
        refused(&mut core, Error::Invalid, |core| {
            core.account(other, AccountRequest::Lend { ram: 1, caps: 1 }, &[wrong])
        });
        refused(&mut core, Error::Invalid, |core| {
            core.account(other, AccountRequest::Repay { ram: 0, caps: 0 }, &[wrong])
        });
    }
    refused(&mut core, Error::Invalid, |core| core.account(root, AccountRequest::Close, &[grandchild]));
    refused(&mut core, Error::Invalid, |core| core.account(root, AccountRequest::Close, &[]));
    refused(&mut core, Error::Invalid, |core| {
        core.ask(root, &AccountRequest::Close.encode(), &[Capability::Other(RECEIVE)])
    });
    refused(&mut core, Error::OutOfRam, |core| {
        core.account(one, AccountRequest::CreateAccount { ram: MIB, caps: 1 }, &[])
    });
    refused(&mut core, Error::OutOfCaps, |core| {
        core.account(one, AccountRequest::CreateAccount { ram: 0, caps: 99 }, &[])
    });
    refused(&mut core, Error::OutOfRam, |core| {
        core.account(one, AccountRequest::Lend { ram: u32::MAX, caps: 0 }, &[grandchild])
    });
    core.close(root, one).unwrap();
    core.audit();
    assert_eq!(core.account(grandchild, AccountRequest::Info, &[]), Err(Error::Invalid));
}

#[test]
fn a_dataspace_consists_of_the_largest_frames_that_fit() {
    let mut ground = Ground::new();
    let mut core = ground.start();
    let init = core.start_init(16 * MIB, 200);
    let cases = [
        (1, 0, PAGE, vec![(12, 1)]),
        (5 * PAGE, 0, 5 * PAGE, vec![(12, 4), (12, 1)]),
        (2 * MIB + 0x1_0000 + 1, 0, 2 * MIB + 0x1_1000, vec![(20, 1), (20, 1), (16, 1), (12, 1)]),
        (MIB, SMALL_PAGES, MIB, vec![(12, 128), (12, 128)]),
        (3 * MIB, CONTIGUOUS, 4 * MIB, vec![(20, 4)]),
        (0x1_8000, CONTIGUOUS, 0x2_0000, vec![(16, 2)]),
        (3 * PAGE, CONTIGUOUS | SMALL_PAGES, 4 * PAGE, vec![(12, 4)]),
        (0x1_8000, CONTIGUOUS | SMALL_PAGES, 0x2_0000, vec![(12, 32)]),
    ];
    for (asked, flags, bytes, extents) in cases {
        let before = core.info(init.account);
        let dataspace = core.create_dataspace(init.account, asked, flags).unwrap();
        assert_eq!(core.size(dataspace), Ok(bytes));
        let mut at = core.server.system.dataspace(key(dataspace)).unwrap().extents;
        let mut found = Vec::new();
        while let Some(extent) = at {
            let extent = core.server.system.extent(extent).unwrap();
            found.push((extent.frame_bits, extent.count));
            for index in 0..extent.count {
                let frame = core.server.system.kernel.content(extent.first.plus(index)).unwrap();
                assert_eq!((frame.kind, frame.bits), ("frame", extent.frame_bits));
            }
            at = extent.next;
        }
        assert_eq!(found, extents, "{asked} bytes, flags {flags}");
        let after = core.info(init.account);
        assert_eq!((after.ram_used - after.ram_kernel) - (before.ram_used - before.ram_kernel), bytes);
        assert_eq!(after.caps_used, before.caps_used + 1);
        core.audit();
        core.account(init.account, AccountRequest::FreeDataspace, &[dataspace]).unwrap();
        core.audit();
        assert_eq!(core.info(init.account).caps_used, before.caps_used);
        assert_eq!(core.size(dataspace), Err(Error::Invalid));
    }
}

#[test]
fn memory_for_a_dma_engine_is_where_the_bus_address_says() {
    let mut ground = Ground::new();
    let mut core = ground.start();
    let init = core.start_init(16 * MIB, 200);
    let answer = core.hardware(HardwareRequest::DmaBuffer { bytes: 3 * MIB - 5 }, &[init.account]);
    let words = answer.clone().unwrap().0;
    assert_eq!(words[0], 4 * MIB);
    let dataspace = core.badge(answer).unwrap();
    let [address, _] = core.attach(init.domain, dataspace, 0, WRITE).unwrap();
    let directory = directory(&core, init.domain);
    for megabyte in 0..4 {
        let mapped = core.kernel().translate(directory, address + megabyte * MIB);
        assert_eq!(mapped, Some((20, words[1] + megabyte * MIB)));
    }
    let buffer = HardwareRequest::DmaBuffer { bytes: PAGE };
    refused(&mut core, Error::Invalid, |core| core.hardware(buffer, &[dataspace]));
    refused(&mut core, Error::Invalid, |core| core.hardware(buffer, &[init.domain]));
    refused(&mut core, Error::Invalid, |core| core.hardware(buffer, &[]));
    let large = HardwareRequest::DmaBuffer { bytes: 20 * MIB };
    refused(&mut core, Error::OutOfRam, |core| core.hardware(large, &[init.account]));
}

fn directory(core: &Core<'_>, domain: u32) -> Slot {
    let system = &core.server.system;
    system.piece(system.domain(key(domain)).unwrap().directory).unwrap().slot
}

fn cnode(core: &Core<'_>, domain: u32) -> Slot {
    let system = &core.server.system;
    system.piece(system.domain(key(domain)).unwrap().cnode).unwrap().slot
}

#[test]
fn wrong_dataspaces_are_refused() {
    let mut ground = Ground::new();
    let mut core = ground.start();
    let init = core.start_init(4 * MIB, 10);
    let other = core.create_account(init.account, MIB, 2).unwrap();
    // What an account has for bookkeeping once it has made something, it keeps.
    let mine = core.create_dataspace(init.account, PAGE, 0).unwrap();
    let theirs = core.create_dataspace(other, PAGE, 0).unwrap();
    let create = |bytes, flags| {
        move |core: &mut Core<'_>| core.account(init.account, AccountRequest::CreateDataspace { bytes, flags }, &[])
    };
    refused(&mut core, Error::Invalid, create(0, 0));
    refused(&mut core, Error::Invalid, create(u32::MAX, 0));
    refused(&mut core, Error::Invalid, create(PAGE, 4));
    refused(&mut core, Error::OutOfRam, create(8 * MIB, 0));
    refused(&mut core, Error::OutOfRam, create(8 * MIB, SMALL_PAGES));
    refused(&mut core, Error::OutOfRam, create(2 * MIB + PAGE, CONTIGUOUS));
    refused(&mut core, Error::OutOfRam, create(0x8000_1000, CONTIGUOUS));
    refused(&mut core, Error::OutOfRam, create(u32::MAX - PAGE, 0));
    let second = core.create_dataspace(other, PAGE, 0).unwrap();
    refused(&mut core, Error::OutOfCaps, |core| {
        core.account(other, AccountRequest::CreateDataspace { bytes: PAGE, flags: 0 }, &[])
    });
    let free = |badge| move |core: &mut Core<'_>| core.account(init.account, AccountRequest::FreeDataspace, &[badge]);
    refused(&mut core, Error::Denied, free(theirs));
    refused(&mut core, Error::Denied, free(second));
    for wrong in [init.account, init.domain, HARDWARE_BADGE, u32::MAX, 0] {
        refused(&mut core, Error::Invalid, free(wrong));
    }
    free(mine)(&mut core).unwrap();
    refused(&mut core, Error::Invalid, free(mine));
}

#[test]
fn memory_is_attached_where_it_should_be_and_detached_without_trace() {
    let mut ground = Ground::new();
    let mut core = ground.start();
    let init = core.start_init(16 * MIB, 200);
    let small = core.create_dataspace(init.account, MIB + 3 * PAGE, SMALL_PAGES).unwrap();
    let large = core.create_dataspace(init.account, 2 * MIB + 0x1_3000, 0).unwrap();
    let directory = directory(&core, init.domain);
    let attach = |core: &mut Core<'_>, dataspace, address, offset, bytes, flags| {
        let request = DomainRequest::Attach { address, offset, bytes, flags };
        let (words, _) = core.domain(init.domain, request, &[dataspace]).unwrap();
        core.audit();
        (words[0], words[1])
    };
    for (dataspace, address, offset, bytes, flags, pages) in [
        (small, 0, 0, 0, WRITE, 259),
        (small, 0x20_0000, 0, 0, EXECUTE, 259),
        (small, 0x40_1000, PAGE, 2 * PAGE, UNCACHED | WRITE, 2),
        (small, 0, 130 * PAGE, 0, 0, 129),
        (small, 0, 0, 1, 0, 1),
        (large, 0, 0, 0, WRITE, 2 + 1 + 2 + 1),
        (large, 0, MIB, MIB, 0, 1),
        (large, 0, 2 * MIB, 0x1_0000, 0, 1),
    ] {
        let before = core.kernel().mappings(directory);
        let (at, region) = attach(&mut core, dataspace, address, offset, bytes, flags);
        assert!(at == address || address == 0 && at >= abi::WINDOW_BASE as u32 && at % MIB == 0);
        assert_eq!(core.kernel().mappings(directory), before + pages);
        if dataspace == small {
            let frame = core.server.system.frame_of(key(dataspace), offset / PAGE).unwrap();
            let frame = core.kernel().content(frame).unwrap();
            assert_eq!(core.kernel().translate(directory, at), Some((12, frame.address)));
        }
        core.domain(init.domain, DomainRequest::Detach { region }, &[]).unwrap();
        core.audit();
        assert_eq!(core.kernel().mappings(directory), before);
        assert_eq!(core.domain(init.domain, DomainRequest::Detach { region }, &[]), Err(Error::Invalid));
    }
    // Freeing a dataspace detaches it everywhere.
    attach(&mut core, small, 0, 0, 0, 0);
    attach(&mut core, small, 0x20_0000, 0, 0, 0);
    core.account(init.account, AccountRequest::FreeDataspace, &[small]).unwrap();
    core.audit();
    assert_eq!(core.kernel().mappings(directory), 0);
    assert_eq!(core.defects(), 0);
}

#[test]
fn windows_are_taken_again_when_they_are_free() {
    let mut ground = Ground::new();
    let mut core = ground.start();
    let init = core.start_init(16 * MIB, 200);
    let dataspace = core.create_dataspace(init.account, MIB, 0).unwrap();
    let first = core.attach(init.domain, dataspace, 0, 0).unwrap();
    let second = core.attach(init.domain, dataspace, 0, 0).unwrap();
    assert_eq!(second[0], first[0] + MIB);
    core.domain(init.domain, DomainRequest::Detach { region: first[1] }, &[]).unwrap();
    let third = core.attach(init.domain, dataspace, 0, 0).unwrap();
    assert_eq!(third[0], first[0]);
    let mut last = [0; 2];
    // Across the border of two windows of 256 MiB.
    for _ in 0..300 {
        last = core.attach(init.domain, dataspace, 0, 0).unwrap();
    }
    assert_eq!(last[0], first[0] + 301 * MIB);
    core.audit();
}

#[test]
fn wrong_attachments_are_refused() {
    let mut ground = Ground::new();
    let mut core = ground.start();
    let init = core.start_init(16 * MIB, 200);
    let other = core.create_domain(init.account, init.domain, "other", 5).unwrap();
    let small = core.create_dataspace(init.account, 4 * PAGE, SMALL_PAGES).unwrap();
    let large = core.create_dataspace(init.account, MIB + PAGE, 0).unwrap();
    let [_, region] = core.attach(init.domain, small, 0x20_0000, WRITE).unwrap();
    core.attach(init.domain, small, 0, WRITE).unwrap();
    let rom = rom(&mut core, init);
    let device = core.hardware(HardwareRequest::IoMem { base: DEVICE, bytes: PAGE }, &[init.account]);
    let device = core.badge(device).unwrap();
    let attach = |dataspace, address, offset, bytes, flags| {
        move |core: &mut Core<'_>| {
            core.domain(init.domain, DomainRequest::Attach { address, offset, bytes, flags }, &[dataspace])
        }
    };
    for wrong in [
        attach(small, 0x10_0001, 0, 0, 0),
        attach(small, 0xf000, 0, 0, 0),
        attach(small, abi::WINDOW_BASE as u32 - PAGE, 0, 0, 0),
        attach(small, abi::WINDOW_BASE as u32, 0, 0, 0),
        attach(small, 0xffff_f000, 0, 0, 0),
        attach(small, 0, 1, 0, 0),
        attach(small, 0, 4 * PAGE, 0, 0),
        attach(small, 0, 5 * PAGE, 0, 0),
        attach(small, 0, PAGE, 4 * PAGE, 0),
        attach(small, 0, 0, u32::MAX, 0),
        attach(small, 0, u32::MAX - 4095, PAGE, 0),
        attach(small, 0, 0, 0, WRITE | EXECUTE),
        attach(small, 0, 0, 0, 16),
        attach(large, 0, 0, 0, LAZY),
        attach(device, 0, 0, 0, LAZY),
        attach(large, 0, PAGE, 0, 0),
        attach(large, 0, 0, PAGE, 0),
        attach(large, 0x80_1000, 0, 0, 0),
        // Where a page table is, and where none is: large pages go where core chooses.
        attach(large, 0x10_0000, 0, MIB, 0),
        attach(large, 0x80_0000, 0, MIB, 0),
        attach(rom, 0, 0, 0, WRITE),
        attach(device, 0, 0, 0, EXECUTE),
        attach(init.account, 0, 0, 0, 0),
        attach(init.domain, 0, 0, 0, 0),
        attach(region, 0, 0, 0, 0),
        attach(u32::MAX, 0, 0, 0, 0),
    ] {
        refused(&mut core, Error::Invalid, wrong);
    }
    refused(&mut core, Error::Busy, attach(small, 0x20_3000, 0, 0, 0));
    refused(&mut core, Error::Invalid, |core| core.domain(other, DomainRequest::Detach { region }, &[]));
    for region in [0, small, init.domain, u32::MAX] {
        refused(&mut core, Error::Invalid, |core| core.domain(init.domain, DomainRequest::Detach { region }, &[]));
    }
    let request = DomainRequest::Attach { address: 0, offset: 0, bytes: 0, flags: 0 };
    refused(&mut core, Error::Invalid, |core| core.domain(init.domain, request, &[]));
    refused(&mut core, Error::Invalid, |core| core.domain(init.domain, request, &[small, small]));
    refused(&mut core, Error::Invalid, |core| core.ask(init.domain, &request.encode(), &[Capability::Other(RECEIVE)]));
    refused(&mut core, Error::Invalid, |core| {
        core.ask(init.domain, &request.encode(), &[Capability::Own(small), Capability::Other(RECEIVE)])
    });
}

#[test]
fn a_region_larger_than_the_windows_is_refused_before_anything_is_made() {
    let mut ground = Ground::new();
    let mut core = ground.start();
    let init = core.start_init(4 * MIB, 100);
    // No real dataspace of the test board is that large.
    let huge = core.server.system.new_dataspace(key(init.account), 300 * MIB, crate::objects::Memory::Ram).unwrap();
    let objects = core.badges(|object| matches!(object, Object::Window(_))).len();
    assert_eq!(core.attach(init.domain, huge.badge(), 0, 0), Err(Error::Invalid));
    assert_eq!(core.badges(|object| matches!(object, Object::Window(_))).len(), objects);
    core.audit();
}

#[test]
fn whoever_is_named_pays_for_an_attachment_and_takes_it_with_him() {
    let mut ground = Ground::new();
    let mut core = ground.start();
    let init = core.start_init(16 * MIB, 200);
    let payer = core.create_account(init.account, MIB, 100).unwrap();
    let dataspace = core.create_dataspace(init.account, 4 * PAGE, SMALL_PAGES).unwrap();
    let before = core.info(init.account);
    let request = DomainRequest::Attach { address: 0, offset: 0, bytes: 0, flags: WRITE };
    core.domain(init.domain, request, &[dataspace, payer]).unwrap();
    core.audit();
    assert!(core.info(payer).ram_used > 0);
    assert_eq!(core.info(init.account).ram_used, before.ram_used);
    let directory = directory(&core, init.domain);
    assert_eq!(core.kernel().mappings(directory), 4);
    core.close(init.account, payer).unwrap();
    core.audit();
    assert_eq!(core.kernel().mappings(directory), 0);
    assert_eq!(core.size(dataspace), Ok(4 * PAGE));
    // A payer who cannot pay is told so, and nothing is attached.
    let poor = core.create_account(init.account, 2 * PAGE, 100).unwrap();
    assert_eq!(core.domain(init.domain, request, &[dataspace, poor]), Err(Error::OutOfRam));
    core.audit();
    assert_eq!(core.kernel().mappings(directory), 0);
}

#[test]
fn a_domain_starts_with_its_capabilities_and_keeps_them() {
    let mut ground = Ground::new();
    let mut core = ground.start();
    let init = core.start_init(16 * MIB, 200);
    let account = core.create_account(init.account, 2 * MIB, 50).unwrap();
    let domain = core.create_domain(account, init.domain, "child", 5).unwrap();
    core.audit();
    assert_eq!(core.server.system.label(key(domain)).unwrap().as_str(), "init -> child");
    let cnode = cnode(&core, domain);
    let content =
        |core: &mut Core<'_>, index| core.kernel().granted(cnode, index).map(|found| (found.kind, found.badge));
    assert_eq!(content(&mut core, slot::SELF), Some(("CNode", 0)));
    assert_eq!(content(&mut core, slot::DOMAIN), Some(("endpoint", key(domain).badge())));
    assert_eq!(content(&mut core, slot::ACCOUNT), Some(("endpoint", account)));
    assert_eq!(content(&mut core, slot::ENDPOINT), Some(("endpoint", 0)));
    assert_eq!(content(&mut core, slot::NOTIFICATION), Some(("notification", 0)));
    assert_eq!(content(&mut core, slot::PARENT), None);
    assert_eq!(content(&mut core, slot::FAULT), Some(("endpoint", key(domain).badge() | crate::domains::FAULT_BADGE)));
    for slot in [1, 7, 0, 32, u32::MAX] {
        let error = if (1..32).contains(&slot) { Error::Busy } else { Error::Invalid };
        refused(&mut core, error, |core| core.domain(domain, DomainRequest::Grant { slot }, &[init.account]));
    }
    core.domain(domain, DomainRequest::Grant { slot: slot::PARENT }, &[init.domain]).unwrap();
    assert_eq!(content(&mut core, slot::PARENT), Some(("endpoint", init.domain)));
    core.domain(domain, DomainRequest::Grant { slot: 8 }, &[HARDWARE_BADGE]).unwrap();
    assert_eq!(content(&mut core, 8), Some(("endpoint", HARDWARE_BADGE)));
    let (_, endpoint) = core.account(init.account, AccountRequest::CreateEndpoint, &[]).unwrap();
    core.kernel().pass(endpoint.unwrap(), RECEIVE);
    core.ask(domain, &DomainRequest::Grant { slot: 9 }.encode(), &[Capability::Other(RECEIVE)]).unwrap();
    assert_eq!(content(&mut core, 9), Some(("endpoint", 0)));
    for wrong in [0, u32::MAX, 12345 << 5] {
        refused(&mut core, Error::Invalid, |core| core.domain(domain, DomainRequest::Grant { slot: 10 }, &[wrong]));
    }
    refused(&mut core, Error::Invalid, |core| core.domain(domain, DomainRequest::Grant { slot: 10 }, &[]));
    core.server.empty(RECEIVE);
    core.close(init.account, account).unwrap();
    core.audit();
    assert_eq!(core.defects(), 0);
}

#[test]
fn only_a_parent_and_the_first_domain_may_what_they_may() {
    let mut ground = Ground::new();
    let mut core = ground.start();
    let init = core.start_init(16 * MIB, 200);
    let child = core.create_domain(init.account, init.domain, "child", 5).unwrap();
    let own_right = child & !PARENT_BADGE;
    for request in
        [DomainRequest::Grant { slot: 10 }, DomainRequest::Status, DomainRequest::OnChange, DomainRequest::Notification]
    {
        refused(&mut core, Error::Denied, |core| core.domain(own_right, request, &[init.account]));
    }
    for request in [DomainRequest::Rom, DomainRequest::Hardware, DomainRequest::OnLog, DomainRequest::FreeMemory] {
        refused(&mut core, Error::Denied, |core| core.domain(child, request, &[]));
    }
    let (_, hardware) = core.domain(init.domain, DomainRequest::Hardware, &[]).unwrap();
    assert_eq!(hardware, Some(HARDWARE));
    for (name, slot_bits, error) in
        [("a", 4, Error::Invalid), ("a", 13, Error::Invalid), ("a > b", 5, Error::Invalid), ("", 5, Error::Invalid)]
    {
        refused(&mut core, error, |core| {
            core.create_domain(init.account, init.domain, name, slot_bits).map(|_| Default::default())
        });
    }
    refused(&mut core, Error::Invalid, |core| {
        core.create_domain(init.account, init.account, "a", 5).map(|_| Default::default())
    });
    refused(&mut core, Error::OutOfRam, |core| {
        let account = core.create_account(init.account, 6 * PAGE, 10)?;
        let made = core.create_domain(account, init.domain, "poor", 5);
        core.close(init.account, account)?;
        made.map(|_| Default::default())
    });
}

#[test]
fn a_thread_lives_in_its_domain() {
    let mut ground = Ground::new();
    let mut core = ground.start();
    let init = core.start_init(16 * MIB, 200);
    let account = core.create_account(init.account, 2 * MIB, 50).unwrap();
    let domain = core.create_domain(account, init.domain, "child", 5).unwrap();
    let child = Component { account, domain };
    let page = core.attach_ipc_page(child);
    let buffer = abi::IPC_BASE as u32;
    let main = core.create_thread(domain, buffer, 0).unwrap();
    let second = core.create_thread(domain & !PARENT_BADGE, buffer + 512, 20).unwrap();
    core.audit();
    assert_eq!(core.kernel().running(), 2);
    let cnode = cnode(&core, domain);
    let fault = core.kernel().granted(cnode, 20).unwrap();
    assert_eq!(fault.badge, key(second).badge() | crate::domains::FAULT_BADGE);
    core.thread(second, ThreadRequest::Suspend).unwrap();
    assert_eq!(core.kernel().running(), 1);
    core.thread(second, ThreadRequest::Resume).unwrap();
    assert_eq!(core.kernel().running(), 2);
    core.thread(second, ThreadRequest::SetPriority { priority: 100 }).unwrap();
    for priority in [0, 101, 256 + 50, u32::MAX] {
        refused(&mut core, Error::Invalid, |core| core.thread(second, ThreadRequest::SetPriority { priority }));
    }
    let large = core.create_dataspace(account, MIB, 0).unwrap();
    let [large, _] = core.attach(domain, large, 0, WRITE).unwrap();
    for wrong in [buffer + 8, buffer + PAGE, 0, !511, large] {
        refused(&mut core, Error::Invalid, |core| core.create_thread(domain, wrong, 0).map(|_| Default::default()));
    }
    refused(&mut core, Error::Busy, |core| core.create_thread(domain, buffer, 20).map(|_| Default::default()));
    refused(&mut core, Error::Busy, |core| core.create_thread(domain, buffer, 32).map(|_| Default::default()));
    core.thread(main, ThreadRequest::Destroy).unwrap();
    core.audit();
    assert_eq!(core.kernel().running(), 1);
    assert_eq!(core.thread(main, ThreadRequest::Resume), Err(Error::Invalid));
    // The thread goes on without its buffer: the kernel takes the page out of it.
    core.account(account, AccountRequest::FreeDataspace, &[page]).unwrap();
    core.audit();
    core.close(init.account, account).unwrap();
    core.audit();
    assert_eq!((core.kernel().running(), core.defects()), (0, 0));
}

#[test]
fn memory_that_must_not_be_written_is_no_ipc_buffer() {
    let mut ground = Ground::new();
    let mut core = ground.start();
    let init = core.start_init(16 * MIB, 200);
    let rom = rom(&mut core, init);
    core.attach(init.domain, rom, 0x20_0000, 0).unwrap();
    let device = core.hardware(HardwareRequest::IoMem { base: DEVICE, bytes: PAGE }, &[init.account]);
    let device = core.badge(device).unwrap();
    core.attach(init.domain, device, 0x30_0000, WRITE).unwrap();
    for address in [0x20_0000, 0x30_0000] {
        refused(&mut core, Error::Invalid, |core| {
            core.create_thread(init.domain, address, 0).map(|_| Default::default())
        });
    }
}

#[test]
fn a_fault_is_told_to_the_parent() {
    let mut ground = Ground::new();
    let mut core = ground.start();
    let init = core.start_init(16 * MIB, 200);
    let child = core.create_domain(init.account, init.domain, "child", 5).unwrap();
    let (_, notification) = core.account(init.account, AccountRequest::CreateNotification, &[]).unwrap();
    core.kernel().pass(notification.unwrap(), RECEIVE);
    let on_change = DomainRequest::OnChange.encode();
    core.ask(child, &on_change, &[Capability::Other(RECEIVE)]).unwrap();
    core.audit();
    // Again, and with what is no capability: the first stays.
    core.ask(child, &on_change, &[Capability::Other(RECEIVE)]).unwrap();
    core.server.empty(RECEIVE);
    refused(&mut core, Error::Invalid, |core| core.ask(child, &on_change, &[Capability::Other(RECEIVE)]));
    refused(&mut core, Error::Invalid, |core| core.ask(child, &on_change, &own(&[init.account])));
    let fault = crate::faults::Fault::access(0x18_0000, 0xdead_0000, false, 0x5);
    core.server.fault(key(child).badge() | crate::domains::FAULT_BADGE, fault);
    assert_eq!(core.kernel().signals, 1);
    let (words, _) = core.domain(child, DomainRequest::Status, &[]).unwrap();
    assert_eq!(words[..4], [1, 1, 0x18_0000, 0xdead_0000]);
    assert!(core.screen.0.borrow().contains("[init -> child] fault: data access fault at 0x00180000"));
    core.server.fault(crate::domains::FAULT_BADGE, fault);
    core.server.fault(crate::domains::FAULT_BADGE | init.account, fault);
    assert_eq!(core.kernel().signals, 1);
    let (_, signal) = core.domain(child, DomainRequest::Notification, &[]).unwrap();
    let signal = core.kernel().content(signal.unwrap()).unwrap();
    assert_eq!((signal.kind, signal.badge), ("notification", abi::PARENT_SIGNAL));
    core.audit();
}

#[test]
fn the_faulting_thread_is_found_and_its_stack_is_known() {
    use crate::domains::FAULT_BADGE;
    use crate::faults::Fault;

    let mut ground = Ground::new();
    let mut core = ground.start();
    let init = core.start_init(16 * MIB, 200);
    let account = core.create_account(init.account, 2 * MIB, 50).unwrap();
    let domain = core.create_domain(account, init.domain, "child", 5).unwrap();
    let child = Component { account, domain };
    core.attach_ipc_page(child);
    let stack = core.create_dataspace(account, 16384, SMALL_PAGES).unwrap();
    core.attach(domain, stack, 0x13_0000, WRITE).unwrap();
    let ipc = abi::IPC_BASE as u32;
    let threads: Vec<u32> = [0, 0, 9]
        .into_iter()
        .map(|slot| {
            let request = DomainRequest::CreateThread {
                entry: 0x18_0000,
                stack: 0x13_4000,
                argument: 0,
                ipc_buffer: ipc,
                priority: 100,
                fault_slot: slot,
            };
            let answer = core.domain(domain, request, &[]);
            core.badge(answer).unwrap()
        })
        .collect();
    let shared = key(domain).badge() | FAULT_BADGE;
    let mut fault = |badge: u32, address: u32| {
        core.server.fault(badge, Fault::access(0x18_0040, address, false, 0x805));
        let (words, _) = core.domain(domain, DomainRequest::Status, &[]).unwrap();
        (words[1], words[4], words[5 + 15])
    };
    // Two threads share the domain's capability: neither stands there, so the main thread it is.
    assert_eq!(fault(shared, 0x12_fffc), (session::core::fault::STACK, 0, 0));
    assert_eq!(fault(shared, 0x13_4000), (session::core::fault::DATA, 0, 0));
    assert_eq!(fault(shared, 0x11_ffff), (session::core::fault::DATA, 0, 0));
    assert_eq!(fault(threads[2] | FAULT_BADGE, 0x12_0000), (session::core::fault::STACK, 2, 0));
    let second = core.server.system.tcb(key(threads[1])).unwrap();
    core.kernel().set_counter(second, 0x18_0040);
    let mut fault = |badge: u32, address: u32| {
        core.server.fault(badge, Fault::access(0x18_0040, address, false, 0x805));
        let (words, _) = core.domain(domain, DomainRequest::Status, &[]).unwrap();
        (words[0], words[4], words[5 + 15])
    };
    assert_eq!(fault(shared, 0), (5, 1, 0x18_0040));
    let reader = core.domain(domain, DomainRequest::Read { address: 0x13_3fe0 }, &[]).unwrap();
    assert_eq!(reader.0.len(), 8);
    for address in [0x13_3fe2, 0x13_4000, 0xf000_0000] {
        refused(&mut core, Error::Invalid, |core| core.domain(domain, DomainRequest::Read { address }, &[]));
    }
    let read = DomainRequest::Read { address: 0x13_0000 };
    refused(&mut core, Error::Denied, |core| core.domain(domain & !PARENT_BADGE, read, &[]));
    core.close(init.account, account).unwrap();
    core.audit();
}

#[test]
fn the_status_register_tells_the_kind_of_a_fault() {
    use crate::faults::Fault;
    use session::core::fault;

    let kind = |fetch, status| Fault::access(0, 0, fetch, status).kind;
    assert_eq!(kind(false, 0x001), fault::ALIGNMENT);
    assert_eq!(kind(false, 0x807), fault::DATA);
    assert_eq!(kind(false, 0x80f), fault::READ_ONLY);
    assert_eq!(kind(false, 0x00f), fault::PROTECTED);
    assert_eq!(kind(true, 0x00f), fault::EXECUTE);
    assert_eq!(kind(true, 0x005), fault::FETCH);
    // An asynchronous external abort, whose status has its highest bit apart.
    assert_eq!(kind(false, 0x406), fault::BUS);
    assert_eq!(kind(false, 0x008), fault::BUS);
}

#[test]
fn nobody_holds_a_capability_for_the_faults_of_a_domain_that_is_gone() {
    let mut ground = Ground::new();
    let mut core = ground.start();
    let init = core.start_init(16 * MIB, 200);
    let account = core.create_account(init.account, 2 * MIB, 50).unwrap();
    let child = core.create_domain(account, init.domain, "child", 5).unwrap();
    let cnode = cnode(&core, child);
    // The component gives its fault capability away.
    core.kernel().pass_from(cnode, abi::slot::FAULT, RECEIVE);
    assert!(core.kernel().content(RECEIVE).is_some());
    core.close(init.account, account).unwrap();
    assert_eq!(core.kernel().content(RECEIVE), None);
}

fn rom(core: &mut Core<'_>, init: Component) -> u32 {
    let mut message = DomainRequest::Rom.encode();
    message.push_text("program");
    let answer = core.ask(init.domain, &message, &[]);
    assert_eq!(answer.as_ref().unwrap().0, [ROM_BYTES]);
    core.badge(answer).unwrap()
}

#[test]
fn boot_modules_are_read_only_and_stay() {
    let mut ground = Ground::new();
    let mut core = ground.start();
    let init = core.start_init(16 * MIB, 200);
    let before = core.kernel().census();
    let program = rom(&mut core, init);
    assert_eq!(rom(&mut core, init), program);
    assert_eq!(core.size(program), Ok(3 * PAGE));
    let [address, region] = core.attach(init.domain, program, 0, EXECUTE).unwrap();
    let directory = directory(&core, init.domain);
    assert_eq!(core.kernel().translate(directory, address + PAGE), Some((12, 0x0020_1000)));
    core.domain(init.domain, DomainRequest::Detach { region }, &[]).unwrap();
    let mut message = DomainRequest::Rom.encode();
    message.push_text("nothing");
    refused(&mut core, Error::NotFound, |core| core.ask(init.domain, &message, &[]));
    let mut message = DomainRequest::Rom.encode();
    message.push_text(crate::log::MODULE);
    assert_eq!(core.ask(init.domain, &message, &[]).unwrap().0, [PAGE]);
    refused(&mut core, Error::Denied, |core| core.account(init.account, AccountRequest::FreeDataspace, &[program]));
    assert_eq!(core.kernel().census().get(&("objects", "frame")), before.get(&("objects", "frame")));
    core.audit();
}

#[test]
fn a_device_has_one_owner() {
    let mut ground = Ground::new();
    let mut core = ground.start();
    let init = core.start_init(16 * MIB, 200);
    let io = |core: &mut Core<'_>, base, bytes| core.hardware(HardwareRequest::IoMem { base, bytes }, &[init.account]);
    let answer = io(&mut core, LOGIC + 0x3000, 3 * PAGE);
    let device = core.badge(answer).unwrap();
    core.audit();
    assert_eq!(core.size(device), Ok(3 * PAGE));
    for base in [LOGIC + 0x3000, LOGIC + 0x5000] {
        refused(&mut core, Error::Busy, |core| io(core, base, PAGE));
    }
    refused(&mut core, Error::Busy, |core| io(core, LOGIC + 0x1000, 3 * PAGE));
    refused(&mut core, Error::NotFound, |core| io(core, 0x0040_0000, PAGE));
    refused(&mut core, Error::NotFound, |core| io(core, DEVICE, 2 * PAGE));
    refused(&mut core, Error::NotFound, |core| io(core, 0xffff_f000, PAGE));
    refused(&mut core, Error::Invalid, |core| io(core, 0xffff_f000, 2 * PAGE));
    for (base, bytes) in [(DEVICE + 1, PAGE), (DEVICE, 0), (DEVICE, u32::MAX), (LOGIC, 129 * PAGE)] {
        refused(&mut core, Error::Invalid, |core| io(core, base, bytes));
    }
    let [address, _] = core.attach(init.domain, device, 0, WRITE).unwrap();
    let directory = directory(&core, init.domain);
    assert_eq!(core.kernel().translate(directory, address + 2 * PAGE), Some((12, LOGIC + 0x5000)));
    core.audit();
    core.account(init.account, AccountRequest::FreeDataspace, &[device]).unwrap();
    core.audit();
    assert_eq!(core.kernel().translate(directory, address), None);
    io(&mut core, LOGIC + 0x3000, 3 * PAGE).unwrap();
    core.audit();
    assert_eq!(core.defects(), 0);
}

#[test]
fn device_pages_cost_the_board_nothing_when_they_are_back() {
    let mut ground = Ground::new();
    let mut core = ground.start();
    let baseline = core.baseline();
    let init = core.start_init(16 * MIB, 200);
    for (base, pages) in [(LOGIC, 2), (LOGIC + 0x12_3000, 1), (LOGIC + 0xff_f000, 1), (LOGIC + 0x80_0000, 128)] {
        core.hardware(HardwareRequest::IoMem { base, bytes: pages * PAGE }, &[init.account]).unwrap();
        core.audit();
    }
    core.close_everything();
    core.audit();
    assert_eq!(core.baseline(), baseline);
}

#[test]
fn core_takes_the_console_back_when_its_driver_is_gone() {
    let mut ground = Ground::new();
    let mut core = ground.start();
    let init = core.start_init(16 * MIB, 200);
    let account = core.create_account(init.account, MIB, 10).unwrap();
    for free in [true, false] {
        let answer = core.hardware(HardwareRequest::IoMem { base: CONSOLE, bytes: PAGE }, &[account]);
        let console = core.badge(answer).unwrap();
        core.server.say(format_args!("unseen"));
        assert!(!core.screen.0.borrow().contains("unseen"));
        if free {
            core.account(account, AccountRequest::FreeDataspace, &[console]).unwrap();
        } else {
            core.close(init.account, account).unwrap();
        }
        assert!(core.screen.0.borrow().ends_with("<reclaimed>"));
    }
    assert!(core.kernel().content(CONSOLE_FRAME).is_some());
    core.audit();
}

#[test]
fn an_interrupt_is_given_once() {
    let mut ground = Ground::new();
    let mut core = ground.start();
    let init = core.start_init(16 * MIB, 200);
    let account = core.create_account(init.account, MIB, 1).unwrap();
    let irq = |account, number| move |core: &mut Core<'_>| core.hardware(HardwareRequest::Irq { number }, &[account]);
    let (_, handler) = irq(account, 56)(&mut core).unwrap();
    assert_eq!(core.kernel().content(handler.unwrap()).unwrap().kind, "interrupt");
    core.audit();
    refused(&mut core, Error::OutOfCaps, irq(account, 57));
    refused(&mut core, Error::Busy, irq(init.account, 56));
    refused(&mut core, Error::Busy, irq(init.account, u32::MAX));
    refused(&mut core, Error::Invalid, irq(init.domain, 57));
    core.close(init.account, account).unwrap();
    core.audit();
    irq(init.account, 56)(&mut core).unwrap();
    assert_eq!(core.defects(), 0);
}

#[test]
fn the_cache_is_maintained_page_by_page() {
    let mut ground = Ground::new();
    let mut core = ground.start();
    let init = core.start_init(16 * MIB, 200);
    let dataspace = core.create_dataspace(init.account, 3 * PAGE, SMALL_PAGES).unwrap();
    let [_, region] = core.attach(init.domain, dataspace, 0, WRITE).unwrap();
    let cache = |region, offset, bytes, operation| {
        move |core: &mut Core<'_>| {
            core.domain(init.domain, DomainRequest::Cache { region, offset, bytes, operation }, &[])
        }
    };
    for (offset, bytes) in [(0, 3 * PAGE), (100, PAGE), (PAGE - 1, 2), (3 * PAGE, 0), (0, 0)] {
        cache(region, offset, bytes, CACHE_CLEAN | CACHE_INVALIDATE)(&mut core).unwrap();
    }
    assert!(core.kernel().complaints.is_empty());
    refused(&mut core, Error::Invalid, cache(region, 1, 3 * PAGE, CACHE_CLEAN));
    refused(&mut core, Error::Invalid, cache(region, u32::MAX, 2, CACHE_CLEAN));
    refused(&mut core, Error::Invalid, cache(dataspace, 0, PAGE, CACHE_CLEAN));
    refused(&mut core, Error::Invalid, cache(region, 0, PAGE, 4));
    refused(&mut core, Error::Invalid, cache(region, 0, PAGE, 0));
    let other = core.create_domain(init.account, init.domain, "other", 5).unwrap();
    let request = DomainRequest::Cache { region, offset: 0, bytes: PAGE, operation: CACHE_CLEAN };
    refused(&mut core, Error::Invalid, |core| core.domain(other, request, &[]));
}

#[test]
fn nobody_writes_to_the_log_in_another_name() {
    let mut ground = Ground::new();
    let mut core = ground.start();
    let init = core.start_init(16 * MIB, 200);
    let mut message = DomainRequest::Log.encode();
    message.push_text("one\r\n[core] two\rthree\n\x1b[2J\n");
    core.ask(init.domain, &message, &[]).unwrap();
    assert_eq!(*core.screen.0.borrow(), "[init] one\r\n[init] [core] two\r\n[init] three\r\n[init] .[2J\r\n");
    refused(&mut core, Error::Invalid, |core| core.ask(init.domain, &Message::from_words(41, &[4, 0xffff_ffff]), &[]));
    refused(&mut core, Error::Invalid, |core| core.ask(init.domain, &Message::from_words(41, &[400]), &[]));
}

#[test]
fn free_memory_is_compared_with_the_first_time() {
    let mut ground = Ground::new();
    let mut core = ground.start();
    let init = core.start_init(16 * MIB, 200);
    let first = core.domain(init.domain, DomainRequest::FreeMemory, &[]).unwrap().0;
    let account = core.create_account(init.account, 2 * MIB, 50).unwrap();
    core.create_dataspace(account, MIB + PAGE, 0).unwrap();
    let second = core.domain(init.domain, DomainRequest::FreeMemory, &[]).unwrap().0;
    assert!(second[0] < first[0] - MIB);
    assert!(core.screen.0.borrow().trim_end().ends_with("bytes are LOST"));
    core.close(init.account, account).unwrap();
    assert_eq!(core.domain(init.domain, DomainRequest::FreeMemory, &[]).unwrap().0, first);
    assert!(core.screen.0.borrow().trim_end().ends_with("all untyped is back"));
}

#[test]
fn a_mebibyte_that_was_cut_before_survives_compaction() {
    let mut ground = Ground::new();
    let mut core = ground.start();
    let baseline = core.baseline();
    let init = core.start_init(16 * MIB, 200);
    // Opens a chunk and leaves it unused.
    let half = core.create_dataspace(init.account, MIB / 2, 0).unwrap();
    let other = core.create_dataspace(init.account, MIB / 2, 0).unwrap();
    for dataspace in [half, other] {
        core.account(init.account, AccountRequest::FreeDataspace, &[dataspace]).unwrap();
    }
    core.create_dataspace(init.account, MIB, 0).unwrap();
    core.domain(init.domain, DomainRequest::FreeMemory, &[]).unwrap();
    core.audit();
    core.close_everything();
    assert_eq!(core.baseline(), baseline);
}

#[test]
fn the_reader_of_the_log_is_woken_once_the_console_is_taken() {
    let mut ground = Ground::new();
    let mut core = ground.start();
    let init = core.start_init(16 * MIB, 200);
    let (_, notification) = core.account(init.account, AccountRequest::CreateNotification, &[]).unwrap();
    core.kernel().pass(notification.unwrap(), RECEIVE);
    let on_log = DomainRequest::OnLog.encode();
    core.ask(init.domain, &on_log, &[Capability::Other(RECEIVE)]).unwrap();
    core.server.empty(RECEIVE);
    core.server.say(format_args!("one"));
    assert_eq!(core.kernel().signals, 0);
    core.hardware(HardwareRequest::IoMem { base: CONSOLE, bytes: PAGE }, &[init.account]).unwrap();
    core.server.say(format_args!("two"));
    assert_eq!(core.kernel().signals, 1);
    refused(&mut core, Error::Invalid, |core| core.ask(init.domain, &on_log, &[]));
    core.server.say(format_args!("three"));
    assert_eq!(core.kernel().signals, 2);
}

#[test]
fn kernel_objects_are_used_again() {
    let mut ground = Ground::new();
    let mut core = ground.start();
    let init = core.start_init(16 * MIB, 200);
    core.attach_ipc_page(init);
    let buffer = abi::IPC_BASE as u32;
    let keep = core.create_thread(init.domain, buffer, 0).unwrap();
    let before = core.info(init.account);
    for _ in 0..100 {
        let thread = core.create_thread(init.domain, buffer + 512, 0).unwrap();
        core.thread(thread, ThreadRequest::Destroy).unwrap();
    }
    core.audit();
    assert_eq!(core.info(init.account).ram_used, before.ram_used);
    core.thread(keep, ThreadRequest::Resume).unwrap();
}

#[test]
fn an_account_that_is_full_says_so_and_recovers() {
    let mut ground = Ground::new();
    let mut core = ground.start();
    let baseline = core.baseline();
    let root = core.root();
    let account = core.create_account(root, MIB, 1000).unwrap();
    let mut all = Vec::new();
    let error = loop {
        match core.create_dataspace(account, PAGE, 0) {
            Ok(dataspace) => all.push(dataspace),
            Err(error) => break error,
        }
    };
    assert_eq!(error, Error::OutOfRam);
    // 256 pages pay for the dataspaces and their books: two entries and two slots each.
    assert!(all.len() > 220, "{}", all.len());
    core.audit();
    for dataspace in &all {
        core.account(account, AccountRequest::FreeDataspace, &[*dataspace]).unwrap();
    }
    core.audit();
    // One page and one CNode stay.
    assert_eq!(core.info(account).ram_used, 2 * PAGE);
    core.close(root, account).unwrap();
    assert_eq!(core.baseline(), baseline);
    assert_eq!(core.defects(), 0);
}

#[test]
fn bookkeeping_may_grow_beyond_a_few_pages() {
    let mut ground = Ground::new();
    let mut core = ground.start();
    let baseline = core.baseline();
    let init = core.start_init(24 * MIB, 3000);
    for _ in 0..2500 {
        core.account(init.account, AccountRequest::CreateNotification, &[]).unwrap();
    }
    core.audit();
    assert!(core.headers().count() > 80);
    core.close_everything();
    core.audit();
    assert_eq!(core.baseline(), baseline);
}

/// Each page's frame is in a `CNode` that is remembered in an older page, whose frame is in an older `CNode`, and so on: giving the newest
/// back gives all of them back.
#[test]
fn long_chains_of_bookkeeping_need_no_stack() {
    const LINKS: u32 = 1000;
    let chain = || {
        let mut ground = std::thread::spawn(Ground::new).join().unwrap();
        let mut core = ground.start();
        let init = core.start_init(24 * MIB, 1000);
        let account = core.create_account(init.account, 12 * MIB, 10).unwrap();
        let system = &mut core.server.system;
        let mut runs = Vec::new();
        let mut entries = Vec::new();
        let filler = || Object::Window(crate::objects::Window { used: [0; 8] });
        entries.push(system.insert(key(account), filler()).unwrap());
        for _ in 0..LINKS {
            // A CNode in the newest page, with room for the frame of the next page.
            runs.push(system.take_run(key(account), 254).unwrap());
            let page = entries.last().unwrap().header();
            while entries.last().unwrap().header() == page {
                entries.push(system.insert(key(account), filler()).unwrap());
            }
        }
        let last = entries.pop().unwrap();
        for entry in entries {
            system.remove(entry).unwrap();
        }
        for run in runs {
            system.give_run(run, 254);
        }
        let before = system.ledger(key(account)).unwrap().used().ram;
        system.remove(last).unwrap();
        let after = system.ledger(key(account)).unwrap().used().ram;
        assert!(before - after >= (LINKS - 1) * 2 * PAGE);
        assert_eq!(after, 2 * PAGE);
        core.audit();
        assert_eq!(core.defects(), 0);
    };
    std::thread::Builder::new().stack_size(96 * 1024).spawn(chain).unwrap().join().unwrap();
}

#[test]
fn whoever_waits_for_a_server_that_is_gone_goes_on() {
    let mut ground = Ground::new();
    let mut core = ground.start();
    let baseline = core.baseline();
    let init = core.start_init(8 * MIB, 200);
    let account = core.create_account(init.account, MIB, 50).unwrap();
    let server = core.create_domain(account, init.domain, "server", 6).unwrap();
    let account = core.create_account(init.account, MIB, 50).unwrap();
    let domain = core.create_domain(account, init.domain, "client", 6).unwrap();
    core.attach_ipc_page(Component { account, domain });
    let threads: Vec<u32> =
        (0..3).map(|number| core.create_thread(domain, abi::IPC_BASE as u32 + number * 512, 0).unwrap()).collect();
    let tcbs: Vec<Slot> = threads.iter().map(|thread| core.server.system.tcb(key(*thread)).unwrap()).collect();
    // One calls the server, one calls core, one has been stopped in a call to the server.
    let endpoint = core.server.system.domain(key(server)).unwrap().endpoint.unwrap();
    let endpoint = core.server.system.piece(endpoint).unwrap().slot;
    core.kernel().pass(endpoint, RECEIVE);
    core.ask(domain, &DomainRequest::Grant { slot: 20 }.encode(), &[Capability::Other(RECEIVE)]).unwrap();
    core.server.empty(RECEIVE);
    core.kernel().call(tcbs[0], 20);
    core.kernel().call(tcbs[1], slot::ACCOUNT);
    core.kernel().call(tcbs[2], 20);
    core.thread(threads[2], ThreadRequest::Suspend).unwrap();
    core.domain(domain, DomainRequest::Wake, &[]).unwrap();
    assert!(tcbs.iter().all(|tcb| core.kernel().waits(*tcb)), "everybody's server is there");
    // Only the parent may.
    let child = server & !PARENT_BADGE;
    refused(&mut core, Error::Denied, |core| core.domain(child, DomainRequest::HangUp, &[]));
    refused(&mut core, Error::Denied, |core| core.domain(domain & !PARENT_BADGE, DomainRequest::Wake, &[]));

    core.domain(server, DomainRequest::HangUp, &[]).unwrap();
    let client_space = core.server.system.domain(key(domain)).unwrap().cnode;
    let client_space = core.server.system.piece(client_space).unwrap().slot;
    assert_eq!(core.kernel().granted(client_space, 20), None);
    core.audit();
    core.domain(domain, DomainRequest::Wake, &[]).unwrap();
    assert_eq!(core.kernel().granted(client_space, 20), None, "the slot is as empty as before");
    let waiting: Vec<bool> = tcbs.iter().map(|tcb| core.kernel().waits(*tcb)).collect();
    assert_eq!(waiting, [false, true, true]);
    core.audit();
    // Hanging up twice is no harm, and neither is closing afterwards.
    core.domain(server, DomainRequest::HangUp, &[]).unwrap();
    core.close_everything();
    core.audit();
    assert_eq!(core.baseline(), baseline);
    assert_eq!(core.defects(), 0);
}

#[test]
fn a_hoarded_account_is_paid_by_whoever_hoards_it() {
    let mut ground = Ground::new();
    let mut core = ground.start();
    let baseline = core.baseline();
    let init = core.start_init(8 * MIB, 400);
    let client = core.create_account(init.account, MIB, 50).unwrap();
    let server = core.create_account(init.account, MIB, 50).unwrap();
    let poor = core.create_account(init.account, 2 * PAGE, 50).unwrap();
    let before = (core.info(client), core.info(server));
    let session = core.create_account(client, 64 * PAGE, 20).unwrap();
    // The server has made memory, and an account with memory of its own, from the donation.
    let memory = core.create_dataspace(session, 5 * PAGE, 0).unwrap();
    let inner = core.create_account(session, 8 * PAGE, 5).unwrap();
    let inner_memory = core.create_dataspace(inner, PAGE, 0).unwrap();
    let spent = core.info(session);
    let hand_over = |lender, account, payer| {
        move |core: &mut Core<'_>| core.account(lender, AccountRequest::HandOver, &[account, payer])
    };
    // Who is short cannot be billed; who is paid for by the account cannot pay for it; who has not lent cannot hand over.
    assert_eq!(hand_over(client, session, poor)(&mut core), Err(Error::OutOfRam));
    core.audit();
    refused(&mut core, Error::Invalid, hand_over(client, session, session));
    refused(&mut core, Error::Invalid, hand_over(client, session, inner));
    refused(&mut core, Error::Invalid, hand_over(server, session, client));
    refused(&mut core, Error::Invalid, hand_over(client, memory, server));

    let answer = hand_over(client, session, server)(&mut core);
    let moved = core.badge(answer).unwrap();
    core.audit();
    let after = core.info(client);
    assert_eq!((after.ram_lent, after.caps_lent, after.caps_used), (0, 0, before.0.caps_used));
    let held = core.info(moved);
    assert_eq!((held.ram, held.caps), (spent.ram_used + spent.ram_lent, spent.caps_used + spent.caps_lent));
    assert_eq!(core.info(server).ram_lent, held.ram);
    assert_eq!(core.size(memory), Ok(5 * PAGE), "what was made is still there");
    assert_eq!(core.size(inner_memory), Ok(PAGE));
    // The old name means nothing, and nothing more can be bought.
    assert!(session == moved || core.account(session, AccountRequest::Info, &[]).is_err());
    assert_eq!(core.create_dataspace(moved, PAGE, 0), Err(Error::OutOfCaps));
    // The client can go at once; the server gets its money back when it lets go.
    core.close(init.account, client).unwrap();
    core.audit();
    core.account(moved, AccountRequest::FreeDataspace, &[memory]).unwrap();
    core.close(server, moved).unwrap();
    core.audit();
    let after = core.info(server);
    assert_eq!((after.ram_lent, after.caps_lent, after.caps_used), (0, 0, before.1.caps_used));
    core.close_everything();
    assert_eq!(core.baseline(), baseline);
    assert_eq!(core.defects(), 0);
}

#[test]
fn a_parent_stops_all_threads_and_only_the_first_domain_sees_what_is_free() {
    let mut ground = Ground::new();
    let mut core = ground.start();
    let init = core.start_init(16 * MIB, 200);
    let account = core.create_account(init.account, 2 * MIB, 50).unwrap();
    let domain = core.create_domain(account, init.domain, "child", 5).unwrap();
    let child = Component { account, domain };
    core.attach_ipc_page(child);
    for buffer in [0, 512] {
        core.create_thread(domain, abi::IPC_BASE as u32 + buffer, 0).unwrap();
    }
    assert_eq!(core.kernel().running(), 2);
    for request in [DomainRequest::Stop, DomainRequest::Figures] {
        refused(&mut core, Error::Denied, |core| core.domain(domain & !PARENT_BADGE, request, &[]));
    }
    core.domain(domain, DomainRequest::Stop, &[]).unwrap();
    assert_eq!(core.kernel().running(), 0);
    let (words, _) = core.domain(init.domain, DomainRequest::Figures, &[]).unwrap();
    assert_eq!(words[0], core.server.system.free_bytes());
    core.close(init.account, account).unwrap();
    let (after, _) = core.domain(init.domain, DomainRequest::Figures, &[]).unwrap();
    assert!(after[0] > words[0] && after[1] > words[1], "{words:?} {after:?}");
    core.audit();
}

#[test]
fn several_capabilities_are_passed_on_in_a_parcel() {
    let mut ground = Ground::new();
    let mut core = ground.start();
    let baseline = core.baseline();
    let init = core.start_init(8 * MIB, 400);
    let giver = core.create_account(init.account, MIB, 50).unwrap();
    let taker = core.create_account(init.account, MIB, 50).unwrap();
    let domain = core.create_domain(taker, init.domain, "taker", 6).unwrap() & !PARENT_BADGE;
    let memory = core.create_dataspace(giver, 2 * PAGE, 0).unwrap();
    let (_, slot) = core.account(giver, AccountRequest::CreateNotification, &[]).unwrap();
    core.kernel().pass(slot.unwrap(), RECEIVE);
    let before = (core.info(giver), core.info(taker));
    let answer = core.account(giver, AccountRequest::CreateParcel { room: 3 }, &[]);
    let parcel = core.badge(answer).unwrap();
    assert_eq!(core.info(giver).caps_used, before.0.caps_used + 4);
    let put = session::core::ParcelRequest::Put.encode();
    core.ask(parcel, &put, &own(&[memory])).unwrap();
    core.ask(parcel, &put, &[Capability::Other(RECEIVE)]).unwrap();
    refused(&mut core, Error::Invalid, |core| core.ask(parcel, &put, &[]));
    core.ask(parcel, &put, &own(&[giver])).unwrap();
    refused(&mut core, Error::Busy, |core| core.ask(parcel, &put, &own(&[memory])));
    core.audit();

    let unpack = |slots: &[u32]| {
        let mut message = DomainRequest::Unpack.encode();
        slots.iter().for_each(|slot| message.push(*slot));
        move |core: &mut Core<'_>| core.ask(domain, &message, &own(&[parcel]))
    };
    // Too few slots, none of the space, and one that is taken: nothing is taken then.
    refused(&mut core, Error::Invalid, unpack(&[20, 21]));
    refused(&mut core, Error::Invalid, unpack(&[20, 21, 64]));
    refused(&mut core, Error::Invalid, unpack(&[20, 0, 22]));
    refused(&mut core, Error::Busy, unpack(&[20, 21, slot::ACCOUNT]));
    assert_eq!(unpack(&[20, 21, 22, 23])(&mut core).unwrap().0, [3]);
    let space = core.server.system.domain(key(domain)).unwrap().cnode;
    let space = core.server.system.piece(space).unwrap().slot;
    let got: Vec<_> =
        (20..24).map(|slot| core.kernel().granted(space, slot).map(|got| (got.kind, got.badge))).collect();
    assert_eq!(got, [Some(("endpoint", memory)), Some(("notification", 0)), Some(("endpoint", giver)), None]);
    // The taker's slots are paid; nothing of what it has got is its own.
    assert_eq!(core.info(taker).caps_used, before.1.caps_used);
    refused(&mut core, Error::Denied, |core| core.account(taker, AccountRequest::FreeDataspace, &[memory]));
    refused(&mut core, Error::Denied, |core| core.account(taker, AccountRequest::FreeParcel, &[parcel]));

    // Once in there, a capability outlives the parcel, but not what it leads to.
    core.account(giver, AccountRequest::FreeParcel, &[parcel]).unwrap();
    core.audit();
    assert_eq!(core.info(giver).caps_used, before.0.caps_used);
    assert!(core.kernel().granted(space, 20).is_some());
    core.account(giver, AccountRequest::FreeDataspace, &[memory]).unwrap();
    assert!(core.kernel().granted(space, 20).is_none());
    assert!(core.kernel().granted(space, 22).is_some());
    refused(&mut core, Error::Invalid, |core| core.account(giver, AccountRequest::CreateParcel { room: 0 }, &[]));
    refused(&mut core, Error::Invalid, |core| core.account(giver, AccountRequest::CreateParcel { room: 33 }, &[]));
    core.account(taker, AccountRequest::CreateParcel { room: 32 }, &[]).unwrap();
    refused(&mut core, Error::OutOfCaps, |core| core.account(taker, AccountRequest::CreateParcel { room: 32 }, &[]));
    core.server.empty(RECEIVE);
    core.close_everything();
    core.audit();
    assert_eq!(core.baseline(), baseline);
    assert_eq!(core.defects(), 0);
}
