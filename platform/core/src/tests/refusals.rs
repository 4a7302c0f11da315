//! Whatever call of the kernel fails, an operation happens completely or not at all.

use super::*;
use session::core::{CACHE_CLEAN, CONTIGUOUS};

const MIB: u32 = 1 << 20;
const BUFFER: u32 = abi::IPC_BASE as u32;

/// Where an operation takes place.
struct Scene {
    init: Component,
    /// Pays for everything.
    account: u32,
    /// A domain of that account with a page for IPC buffers, if `prepare` made it.
    domain: u32,
    /// What the operation is about.
    object: u32,
}

type Step = fn(&mut Core<'_>, &mut Scene) -> Result<(), Error>;

/// Runs an operation with its first, second, ... call of the kernel refused, until it needs no more.
fn refuse_each(prepare: Step, operation: Step) {
    for calls in 0.. {
        let mut ground = Ground::new();
        let mut core = ground.start();
        let baseline = core.baseline();
        let init = core.start_init(24 * MIB, 1000);
        let account = core.create_account(init.account, 12 * MIB, 400).unwrap();
        let mut scene = Scene { init, account, domain: 0, object: 0 };
        prepare(&mut core, &mut scene).unwrap();
        core.audit();
        let before = core.info(account);
        core.kernel().refuse_after(Some(calls));
        let result = operation(&mut core, &mut scene);
        let refused = core.kernel().refused;
        core.kernel().refuse_after(None);
        let Some(call) = refused else {
            result.unwrap();
            core.audit();
            assert!(calls > 0, "an operation without the kernel");
            finish(&mut core, &baseline);
            return;
        };
        if core.defects() > 0 {
            // Cleaning up was refused, which the kernel never does. Something is lost then, and core knows it.
            assert!(matches!(call, "revoke" | "delete"), "call {calls}, {call}, counts as a defect");
            let _ = core.close(init.account, account);
            continue;
        }
        core.audit();
        if result.is_err() {
            let after = core.info(account);
            assert_eq!(
                (after.caps_used, after.ram_lent, after.caps_lent),
                (before.caps_used, before.ram_lent, before.caps_lent)
            );
            // What remains is bookkeeping: a page, a CNode and a slab.
            assert!(after.ram_used <= before.ram_used + 3 * PAGE, "call {calls}, {call}: {before:?}, {after:?}");
            assert_eq!(operation(&mut core, &mut scene), Ok(()), "again, after call {calls}, {call}");
            core.audit();
        }
        finish(&mut core, &baseline);
    }
}

fn finish(core: &mut Core<'_>, baseline: &Baseline) {
    core.server.empty(RECEIVE);
    core.server.empty(PARENT_SIGNAL);
    core.server.empty(LOG_SIGNAL);
    core.close_everything();
    core.audit();
    assert_eq!(core.baseline(), *baseline);
    assert_eq!(core.defects(), 0);
}

#[allow(clippy::unnecessary_wraps, reason = "it is a step among others that can fail")]
fn nothing(_: &mut Core<'_>, _: &mut Scene) -> Result<(), Error> {
    Ok(())
}

fn with_domain(core: &mut Core<'_>, scene: &mut Scene) -> Result<(), Error> {
    scene.domain = core.create_domain(scene.account, scene.init.domain, "child", 5)?;
    core.attach_ipc_page(Component { account: scene.account, domain: scene.domain });
    Ok(())
}

fn with_notification(core: &mut Core<'_>, scene: &mut Scene) -> Result<(), Error> {
    with_domain(core, scene)?;
    let (_, slot) = core.account(scene.account, AccountRequest::CreateNotification, &[])?;
    core.kernel().pass(slot.unwrap(), RECEIVE);
    Ok(())
}

fn with_thread(core: &mut Core<'_>, scene: &mut Scene) -> Result<(), Error> {
    with_domain(core, scene)?;
    scene.object = core.create_thread(scene.domain, BUFFER, 20)?;
    Ok(())
}

#[test]
fn accounts() {
    refuse_each(nothing, |core, scene| core.create_account(scene.account, MIB, 10).map(drop));
    refuse_each(
        |core, scene| {
            scene.object = core.create_account(scene.account, MIB, 20)?;
            let domain = core.create_domain(scene.object, scene.init.domain, "child", 6)?;
            let child = Component { account: scene.object, domain };
            core.attach_ipc_page(child);
            core.create_thread(domain, BUFFER, 0).map(drop)
        },
        |core, scene| core.close(scene.account, scene.object),
    );
}

#[test]
fn dataspaces() {
    let sizes: [Step; 5] = [
        |core, scene| core.create_dataspace(scene.account, PAGE, 0).map(drop),
        |core, scene| core.create_dataspace(scene.account, 2 * MIB + 0x1_1000, 0).map(drop),
        |core, scene| core.create_dataspace(scene.account, MIB, SMALL_PAGES).map(drop),
        |core, scene| core.create_dataspace(scene.account, 4 * MIB, CONTIGUOUS).map(drop),
        |core, scene| core.create_dataspace(scene.account, 0x2_0000, CONTIGUOUS).map(drop),
    ];
    for create in sizes {
        refuse_each(nothing, create);
    }
    refuse_each(
        |core, scene| {
            scene.object = core.create_dataspace(scene.account, MIB + PAGE, 0)?;
            core.attach(scene.init.domain, scene.object, 0, WRITE).map(drop)
        },
        |core, scene| core.account(scene.account, AccountRequest::FreeDataspace, &[scene.object]).map(drop),
    );
}

#[test]
fn attachments() {
    let small: Step = |core, scene| {
        with_domain(core, scene)?;
        scene.object = core.create_dataspace(scene.account, 20 * PAGE, SMALL_PAGES)?;
        Ok(())
    };
    let large: Step = |core, scene| {
        with_domain(core, scene)?;
        scene.object = core.create_dataspace(scene.account, MIB + 0x1_1000, 0)?;
        Ok(())
    };
    refuse_each(small, |core, scene| core.attach(scene.domain, scene.object, 0, WRITE).map(drop));
    refuse_each(large, |core, scene| core.attach(scene.domain, scene.object, 0, WRITE).map(drop));
    refuse_each(
        // Across a megabyte.
        small,
        |core, scene| core.attach(scene.domain, scene.object, 0x3f_8000, WRITE).map(drop),
    );
    refuse_each(
        |core, scene| {
            with_domain(core, scene)?;
            let dataspace = core.create_dataspace(scene.account, 20 * PAGE, SMALL_PAGES)?;
            scene.object = core.attach(scene.domain, dataspace, 0, WRITE)?[1];
            Ok(())
        },
        |core, scene| {
            let request =
                DomainRequest::Cache { region: scene.object, offset: 0, bytes: 3 * PAGE, operation: CACHE_CLEAN };
            core.domain(scene.domain, request, &[])?;
            core.domain(scene.domain, DomainRequest::Detach { region: scene.object }, &[]).map(drop)
        },
    );
}

#[test]
fn domains_and_threads() {
    refuse_each(nothing, |core, scene| core.create_domain(scene.account, scene.init.domain, "child", 5).map(drop));
    refuse_each(nothing, |core, scene| core.create_domain(scene.account, scene.init.domain, "child", 10).map(drop));
    refuse_each(with_domain, |core, scene| core.create_thread(scene.domain, BUFFER, 20).map(drop));
    refuse_each(with_thread, |core, scene| core.create_thread(scene.domain, BUFFER + 512, 0).map(drop));
    refuse_each(with_thread, |core, scene| core.thread(scene.object, ThreadRequest::Suspend).map(drop));
    refuse_each(with_thread, |core, scene| core.thread(scene.object, ThreadRequest::Resume).map(drop));
    refuse_each(with_thread, |core, scene| {
        core.thread(scene.object, ThreadRequest::SetPriority { priority: 5 }).map(drop)
    });
    refuse_each(with_thread, |core, scene| core.thread(scene.object, ThreadRequest::Destroy).map(drop));
}

#[test]
fn hand_over() {
    refuse_each(
        |core, scene| {
            // The scene's account is the payer.
            scene.domain = core.create_account(scene.init.account, MIB, 50)?;
            scene.object = core.create_account(scene.domain, 64 * PAGE, 20)?;
            core.create_dataspace(scene.object, 3 * PAGE, 0)?;
            core.create_account(scene.object, 2 * PAGE, 1).map(drop)
        },
        |core, scene| core.account(scene.domain, AccountRequest::HandOver, &[scene.object, scene.account]).map(drop),
    );
}

fn with_parcel(core: &mut Core<'_>, scene: &mut Scene) -> Result<(), Error> {
    with_domain(core, scene)?;
    let memory = core.create_dataspace(scene.account, PAGE, 0)?;
    let answer = core.account(scene.account, AccountRequest::CreateParcel { room: 3 }, &[]);
    scene.object = core.badge(answer)?;
    let put = session::core::ParcelRequest::Put.encode();
    core.ask(scene.object, &put, &own(&[memory]))?;
    core.ask(scene.object, &put, &own(&[scene.account])).map(drop)
}

#[test]
fn parcels() {
    refuse_each(nothing, |core, scene| {
        core.account(scene.account, AccountRequest::CreateParcel { room: 5 }, &[]).map(drop)
    });
    refuse_each(with_parcel, |core, scene| {
        let put = session::core::ParcelRequest::Put.encode();
        core.ask(scene.object, &put, &own(&[scene.account])).map(drop)
    });
    refuse_each(with_parcel, |core, scene| {
        let mut message = DomainRequest::Unpack.encode();
        [20, 21].into_iter().for_each(|slot| message.push(slot));
        core.ask(scene.domain, &message, &own(&[scene.object])).map(drop)
    });
    refuse_each(with_parcel, |core, scene| {
        core.account(scene.account, AccountRequest::FreeParcel, &[scene.object]).map(drop)
    });
}

#[test]
fn servers_that_are_gone() {
    refuse_each(with_thread, |core, scene| {
        let tcb = core.server.system.tcb(key(scene.object)).unwrap();
        core.kernel().call(tcb, 40);
        core.domain(scene.domain, DomainRequest::Wake, &[]).map(drop)
    });
    refuse_each(with_thread, |core, scene| core.domain(scene.domain, DomainRequest::HangUp, &[]).map(drop));
}

#[test]
fn capabilities() {
    refuse_each(nothing, |core, scene| core.account(scene.account, AccountRequest::CreateEndpoint, &[]).map(drop));
    refuse_each(nothing, |core, scene| core.account(scene.account, AccountRequest::CreateNotification, &[]).map(drop));
    refuse_each(with_domain, |core, scene| {
        core.domain(scene.domain, DomainRequest::Grant { slot: 9 }, &[scene.account]).map(drop)
    });
    refuse_each(with_domain, |core, scene| core.domain(scene.domain, DomainRequest::Notification, &[]).map(drop));
    refuse_each(with_notification, |core, scene| {
        core.ask(scene.domain, &DomainRequest::OnChange.encode(), &[Capability::Other(RECEIVE)]).map(drop)
    });
    refuse_each(with_notification, |core, scene| {
        core.ask(scene.init.domain, &DomainRequest::OnLog.encode(), &[Capability::Other(RECEIVE)]).map(drop)
    });
}

#[test]
fn devices() {
    refuse_each(nothing, |core, scene| core.hardware(HardwareRequest::Irq { number: 56 }, &[scene.account]).map(drop));
    refuse_each(nothing, |core, scene| {
        let request = HardwareRequest::IoMem { base: LOGIC + 0x12_3000, bytes: 3 * PAGE };
        core.hardware(request, &[scene.account]).map(drop)
    });
    refuse_each(nothing, |core, scene| {
        core.hardware(HardwareRequest::IoMem { base: CONSOLE, bytes: PAGE }, &[scene.account]).map(drop)
    });
}

#[test]
fn compaction() {
    refuse_each(
        |core, scene| {
            let other = core.create_account(scene.init.account, 6 * MIB, 300)?;
            for _ in 0..40 {
                core.create_dataspace(scene.account, 0x2_0000, 0)?;
                core.create_dataspace(other, PAGE, 0)?;
            }
            core.close(scene.init.account, other)
        },
        |core, scene| core.domain(scene.init.domain, DomainRequest::FreeMemory, &[]).map(drop),
    );
}
