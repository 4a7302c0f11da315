//! Who wants the processor.

use super::*;

fn busy(core: &mut Core<'_>, domain: u32) -> Result<u32, Error> {
    Ok(core.domain(domain, DomainRequest::Busy, &[])?.0[0])
}

#[test]
fn the_highest_priority_that_does_not_wait_counts() {
    let mut ground = Ground::new();
    let mut core = ground.start();
    let init = core.start_init(8 * (1 << 20), 400);
    let account = core.create_account(init.account, 1 << 20, 50).unwrap();
    let domain = core.create_domain(account, init.domain & !PARENT_BADGE, "child", 6).unwrap();
    let component = Component { account, domain };
    core.attach_ipc_page(component);
    assert_eq!(busy(&mut core, domain), Ok(0), "no thread, no wishes");
    let ipc = abi::IPC_BASE as u32;
    let threads = [0, 512, 1024].map(|offset| core.create_thread(domain, ipc + offset, 0).unwrap());
    let tcbs = threads.map(|thread| core.server.system.tcb(key(thread)).unwrap());
    for (thread, priority) in threads.into_iter().zip([90, 70, 50]) {
        core.thread(thread, ThreadRequest::SetPriority { priority }).unwrap();
    }
    assert_eq!(busy(&mut core, domain), Ok(90));
    core.kernel().call(tcbs[0], abi::slot::ACCOUNT);
    assert_eq!(busy(&mut core, domain), Ok(70), "the first one waits for an answer");
    core.thread(threads[1], ThreadRequest::Suspend).unwrap();
    assert_eq!(busy(&mut core, domain), Ok(50), "the second one is stopped");
    core.thread(threads[1], ThreadRequest::Resume).unwrap();
    assert_eq!(busy(&mut core, domain), Ok(70));
    assert_eq!(busy(&mut core, domain & !PARENT_BADGE), Err(Error::Denied), "only the parent may ask");
    core.audit();
}
