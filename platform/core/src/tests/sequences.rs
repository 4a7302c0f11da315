//! Any requests in any order, with the kernel refusing now and then.

#![allow(clippy::many_single_char_names, reason = "the numbers of a step mean something else for each request")]

use super::*;
use crate::faults::Fault;
use crate::paging::READ_ONLY_BADGE;
use proptest::prelude::*;

const MIB: u32 = 1 << 20;
/// What core keeps for itself here.
const RESERVE: u32 = MIB;
const BUFFER: u32 = abi::IPC_BASE as u32;

/// A request, chosen by numbers so that it can be made smaller.
#[derive(Clone, Debug)]
struct Step {
    what: u8,
    /// Which objects it is about.
    picks: [u8; 3],
    numbers: [u32; 6],
    /// Which call of the kernel is refused.
    refuse: Option<u32>,
}

fn step() -> impl Strategy<Value = Step> {
    let number = prop_oneof![4 => 0u32..16, 1 => any::<u32>()];
    (0u8..56, any::<[u8; 3]>(), proptest::array::uniform6(number), proptest::option::weighted(0.2, 0u32..16))
        .prop_map(|(what, picks, numbers, refuse)| Step { what, picks, numbers, refuse })
}

#[derive(Clone, Copy)]
enum Kind {
    Account,
    Dataspace,
    Domain,
    Region,
    Thread,
    Parcel,
}

/// The badge of an object of a kind, or now and then of any other. Never the root account, for which no capability exists.
fn choose(core: &Core<'_>, kind: Kind, pick: u8) -> u32 {
    let root = core.root();
    let any = pick % 32 == 31;
    let wanted = |object: &Object| match object {
        Object::Free(_) | Object::Header(_) => false,
        _ if any => true,
        Object::Account(_) => matches!(kind, Kind::Account),
        Object::Dataspace(_) => matches!(kind, Kind::Dataspace),
        Object::Domain(_) => matches!(kind, Kind::Domain),
        Object::Region(_) => matches!(kind, Kind::Region),
        Object::Thread(_) => matches!(kind, Kind::Thread),
        Object::Parcel(_) => matches!(kind, Kind::Parcel),
        _ => false,
    };
    let mut found = core.badges(wanted);
    found.retain(|badge| *badge != root);
    let Some(badge) = found.get(pick as usize % found.len().max(1)) else { return 0x7777 };
    let parent = matches!(kind, Kind::Domain) && pick % 8 != 7;
    badge | if parent { PARENT_BADGE } else { 0 }
}

fn pages(number: u32) -> u32 {
    [1, 2, 5, 16, 17, 33, 255, 256, 273, 300, 1024][number as usize % 11] * PAGE
}

#[allow(clippy::too_many_lines, reason = "one arm a request")]
fn request(core: &Core<'_>, step: &Step, init: Component) -> (u32, Message, Vec<Capability>) {
    let [first, second, third] = step.picks;
    let [a, b, c, d, e, f] = step.numbers;
    let account = choose(core, Kind::Account, first);
    let dataspace = choose(core, Kind::Dataspace, second);
    let domain = choose(core, Kind::Domain, first);
    let payer = choose(core, Kind::Account, third);
    let region = choose(core, Kind::Region, second);
    let lent = AccountRequest::Lend { ram: pages(a), caps: b };
    let account_request = |request: AccountRequest, caps: &[u32]| (account, request.encode(), own(caps));
    let domain_request = |request: DomainRequest, caps: &[u32]| (domain, request.encode(), own(caps));
    match step.what {
        0..=3 => {
            let ram = [0, 4, 16, 64, 256, 1024, 4096, 8192][a as usize % 8] * 1024;
            account_request(AccountRequest::CreateAccount { ram, caps: b.wrapping_mul(4) }, &[])
        }
        4 => account_request(lent, &[payer]),
        5 => account_request(AccountRequest::Repay { ram: pages(a), caps: b }, &[payer]),
        6 => account_request(AccountRequest::Close, &[payer]),
        39 => account_request(AccountRequest::CreateParcel { room: a % 5 }, &[]),
        40 => (
            choose(core, Kind::Parcel, second),
            session::core::ParcelRequest::Put.encode(),
            if a % 4 == 0 {
                vec![Capability::Other(RECEIVE)]
            } else {
                own(&[[account, dataspace, domain][b as usize % 3]])
            },
        ),
        41 => {
            let mut message = DomainRequest::Unpack.encode();
            (0..a % 6).for_each(|index| message.push(b.wrapping_add(index)));
            (domain, message, own(&[choose(core, Kind::Parcel, second)]))
        }
        42 => {
            let parcel = choose(core, Kind::Parcel, second);
            let owner = core.server.system.owner(key(parcel)).map_or(account, Key::badge);
            let owner = if owner == core.root() || a % 4 == 0 { account } else { owner };
            (owner, AccountRequest::FreeParcel.encode(), own(&[parcel]))
        }
        37..=38 => {
            let borrower = choose(core, Kind::Account, second);
            let system = &core.server.system;
            let lender = system.account(key(borrower)).ok().and_then(|account| account.lender);
            let lender = lender.filter(|_| borrower != init.account).map_or(account, Key::badge);
            (lender, AccountRequest::HandOver.encode(), own(&[borrower, payer]))
        }
        7 => {
            // A pair that fits.
            let system = &core.server.system;
            let lender = system.account(key(account)).ok().and_then(|account| account.lender);
            let lender = lender.filter(|_| account != init.account).map_or(payer, Key::badge);
            (lender, AccountRequest::Close.encode(), own(&[account]))
        }
        8..=12 => account_request(AccountRequest::CreateDataspace { bytes: pages(a), flags: b % 5 }, &[]),
        13 => account_request(AccountRequest::FreeDataspace, &[dataspace]),
        14 => {
            let owner = core.server.system.owner(key(dataspace)).map_or(account, Key::badge);
            let owner = if owner == core.root() { account } else { owner };
            (owner, AccountRequest::FreeDataspace.encode(), own(&[dataspace]))
        }
        15..=16 => {
            let mut message = AccountRequest::CreateDomain { slot_bits: 4 + a % 8 }.encode();
            message.push_text(["a", "longer-name", "x > y", ""][b as usize % 4]);
            (account, message, own(&[choose(core, Kind::Domain, second)]))
        }
        17 => account_request(AccountRequest::CreateEndpoint, &[]),
        18 => account_request(AccountRequest::CreateNotification, &[]),
        19..=23 => {
            let address = [0, 0, BUFFER, 0x20_0000, 0x2f_f000, c & !4095][c as usize % 6];
            let offset = [0, 0, 0, PAGE, MIB, a][a as usize % 6];
            let bytes = [0, 0, PAGE, MIB, b][b as usize % 5];
            let request = DomainRequest::Attach { address, offset, bytes, flags: d % 17 };
            if e % 3 == 0 {
                domain_request(request, &[dataspace, payer])
            } else {
                domain_request(request, &[dataspace])
            }
        }
        24 => domain_request(DomainRequest::Detach { region }, &[]),
        25 => {
            let owner = core.server.system.region(key(region)).map_or(domain, |region| region.domain.badge());
            (owner, DomainRequest::Detach { region }.encode(), Vec::new())
        }
        26..=28 => {
            let request = DomainRequest::CreateThread {
                entry: a,
                stack: b,
                argument: c,
                ipc_buffer: [BUFFER, BUFFER + 512, 0x20_0000, d][d as usize % 4],
                priority: 1 + e % 252,
                fault_slot: [0, 8, 9, 31, f][f as usize % 5],
            };
            if a % 3 == 0 { domain_request(request, &[payer]) } else { domain_request(request, &[]) }
        }
        29 => {
            let requests = [
                ThreadRequest::Suspend,
                ThreadRequest::Resume,
                ThreadRequest::SetPriority { priority: b },
                ThreadRequest::Destroy,
            ];
            (choose(core, Kind::Thread, first), requests[a as usize % 4].encode(), Vec::new())
        }
        30 => domain_request(
            DomainRequest::Grant { slot: a.wrapping_mul(3) },
            &[[account, domain, dataspace][b as usize % 3]],
        ),
        31 => {
            let request =
                [DomainRequest::OnChange, DomainRequest::Grant { slot: b.wrapping_mul(2) }, DomainRequest::OnLog]
                    [a as usize % 3];
            let badge = if a % 3 == 2 { init.domain } else { domain };
            (badge, request.encode(), vec![Capability::Other(RECEIVE)])
        }
        32 => {
            let requests = [
                DomainRequest::Status,
                DomainRequest::Notification,
                DomainRequest::Hardware,
                DomainRequest::FreeMemory,
                DomainRequest::HangUp,
                DomainRequest::Wake,
            ];
            let badge = if b % 2 == 0 { init.domain } else { domain };
            (badge, requests[a as usize % 6].encode(), Vec::new())
        }
        33 => domain_request(
            DomainRequest::Cache { region, offset: a.wrapping_mul(100), bytes: b.wrapping_mul(1000), operation: c % 5 },
            &[],
        ),
        34 => {
            let base = [LOGIC, LOGIC + 0x1000, LOGIC + 0x7f_f000, DEVICE, CONSOLE, a & !4095][a as usize % 6];
            (HARDWARE_BADGE, HardwareRequest::IoMem { base, bytes: b.wrapping_mul(2048) }.encode(), own(&[account]))
        }
        35 => (HARDWARE_BADGE, HardwareRequest::Irq { number: a.wrapping_mul(8) }.encode(), own(&[account])),
        36 => {
            let mut message = DomainRequest::Rom.encode();
            message.push_text(["program", "core-log", "none"][a as usize % 3]);
            (init.domain, message, Vec::new())
        }
        43..=44 => {
            let message = AccountRequest::CreateManaged { bytes: pages(a) }.encode();
            (account, message, vec![Capability::Other(RECEIVE)])
        }
        45 => {
            let owner = core.server.system.owner(key(dataspace)).map_or(account, Key::badge);
            let owner = if owner == core.root() { account } else { owner };
            (owner, AccountRequest::Seal.encode(), own(&[dataspace]))
        }
        46..=49 => {
            let managed = core.badges(|object| matches!(object, Object::Dataspace(space) if space.managed.is_some()));
            let managed = managed.get(third as usize % managed.len().max(1)).copied().unwrap_or(dataspace);
            let place = |number: u32| number % 6 * PAGE;
            let bytes = [PAGE, 2 * PAGE, 40 * PAGE, 0, c][c as usize % 5];
            let request = [
                DataspaceRequest::Share { flags: b % 3 },
                DataspaceRequest::NextFault,
                DataspaceRequest::Same,
                DataspaceRequest::Evict { offset: place(a), bytes },
                DataspaceRequest::Refuse { offset: place(a) },
                DataspaceRequest::Populate { offset: place(a), source: place(b), bytes, flags: d % 3 },
                DataspaceRequest::Populate { offset: place(a), source: 0, bytes: PAGE, flags: d % 2 },
            ][e as usize % 7];
            let right = [PARENT_BADGE, PARENT_BADGE, PARENT_BADGE, READ_ONLY_BADGE][f as usize % 4];
            (managed | right, request.encode(), own(&[dataspace]))
        }
        _ => anything(core, step),
    }
}

/// A thread touches a page.
fn touch(core: &mut Core<'_>, step: &Step) {
    let [first, second, _] = step.picks;
    let [a, b, ..] = step.numbers;
    let thread = choose(core, Kind::Thread, first);
    let region = choose(core, Kind::Region, second);
    let system = &core.server.system;
    let address = system.region(key(region)).map_or(a, |region| region.address + a % 64 * PAGE);
    let badge = match system.thread(key(thread)) {
        Ok(object) if object.faults.is_none() => object.domain.badge(),
        _ => thread,
    };
    let status = [0x007, 0x807, 0x80f][b as usize % 3];
    core.server.fault(badge | crate::domains::FAULT_BADGE, Fault::access(0x18_0000, address, false, status));
}

/// A message of whatever words to whatever object.
fn anything(core: &Core<'_>, step: &Step) -> (u32, Message, Vec<Capability>) {
    let [a, b, c, d, e, f] = step.numbers;
    let [first, second, third] = step.picks;
    let kinds = [Kind::Account, Kind::Dataspace, Kind::Domain, Kind::Region, Kind::Thread];
    let badge = |pick: u8, number: u32| match number % 8 {
        0..5 => choose(core, kinds[number as usize % 5], pick),
        5 => HARDWARE_BADGE,
        6 => u32::from(pick) << 5 | number >> 3 & 31,
        _ => number,
    };
    let root = core.root();
    let not_root = |badge: u32| if badge & !PARENT_BADGE == root { 0 } else { badge };
    let mut caps = own(&[not_root(badge(second, b)), not_root(badge(third, c))]);
    if d % 4 == 0 {
        caps[0] = Capability::Other(RECEIVE);
    }
    caps.truncate(e as usize % 3);
    let message = Message::from_words(a % 70, &[f, e, d, c, b, a][..f as usize % 7]);
    (not_root(badge(first, f)), message, caps)
}

/// Puts the capability of some endpoint or notification where capabilities come in.
fn receive(core: &mut Core<'_>, pick: u8) {
    let is_wanted = |object: &Object| match object {
        Object::Piece(piece) if piece.live => {
            matches!(piece.kind, crate::objects::PieceKind::Endpoint | crate::objects::PieceKind::Notification)
        }
        _ => false,
    };
    let found = core.badges(is_wanted);
    if let Some(badge) = found.get(pick as usize % found.len().max(1)) {
        let slot = core.server.system.piece(key(*badge)).unwrap().slot;
        core.kernel().pass(slot, RECEIVE);
    }
}

fn run(steps: &[Step]) {
    let mut ground = Ground::new();
    let mut core = ground.start();
    let baseline = core.baseline();
    let root = core.root();
    let available = core.server.system.ledger(key(root)).unwrap().available();
    let init = core.start_init(available.ram - RESERVE, available.caps - 100);
    core.attach_ipc_page(init);
    core.audit();
    for step in steps {
        let (badge, message, caps) = request(&core, step, init);
        receive(&mut core, step.picks[1]);
        core.kernel().complaints.clear();
        core.kernel().refuse_after(step.refuse);
        let answer = if step.what == 50 {
            touch(&mut core, step);
            Ok(Default::default())
        } else {
            core.ask(badge, &message, &caps)
        };
        let refused = core.kernel().refused;
        core.kernel().refuse_after(None);
        core.server.empty(RECEIVE);
        if core.defects() > 0 {
            // The kernel never refuses to clean up; if it does, something is lost, and core says so.
            assert!(
                matches!(refused, Some("revoke" | "delete" | "map" | "unmap")),
                "a defect after {refused:?} was refused: {step:?}"
            );
            return;
        }
        if answer == Err(Error::Kernel) {
            assert!(refused.is_some(), "{message:?} met {:?}", core.kernel().complaints);
        }
        core.audit();
    }
    core.server.empty(PARENT_SIGNAL);
    core.server.empty(LOG_SIGNAL);
    core.close_everything();
    core.audit();
    assert_eq!(core.baseline(), baseline);
    assert_eq!(core.defects(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn all_books_agree_after_any_requests(steps in proptest::collection::vec(step(), 1..80)) {
        run(&steps);
    }

    #[test]
    fn faults_of_whatever_badge_do_no_harm(badges in proptest::collection::vec(any::<u32>(), 1..50)) {
        let mut ground = Ground::new();
        let mut core = ground.start();
        core.start_init(4 * MIB, 100);
        for badge in badges {
            for badge in [badge, badge & 0xff, badge & 0xff | crate::domains::FAULT_BADGE] {
                core.server.fault(badge, Fault::access(badge, badge, false, badge));
            }
        }
        core.audit();
    }
}
