//! Every order of everything that can happen to a client and its server, in a small world.
//!
//! # What is covered
//!
//! One client, which opens up to two sessions one after the other, upgrades each from a second thread whenever it likes, closes, and may end at any moment.
//! One server, which fetches, agrees or refuses, buys from the donation, hoards or lets go, ends sessions on its own, and may die at any moment and come back
//! or not. Time passes whenever it likes. All interleavings of these are visited, each state once; every step is checked, and from *every* state the three ways to
//! wind up (both behave; the server hoards; the server dies) must bring all money back to whom it belongs and answer everybody who waits.
//!
//! Core's side of the same promises, with the kernel refusing at every single call, is covered in core's own tests.

extern crate std;

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::println;
use std::vec;
use std::vec::Vec;

use super::*;

const CLIENT: usize = 0;
const SERVER: usize = 1;
/// What a session is opened with, and what an upgrade adds.
const DONATION: u32 = 4;
const TOP_UP: u32 = 2;
const CLIENT_MONEY: u32 = 7;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Purse {
    lender: usize,
    total: u32,
    used: u32,
    /// The server has a capability to it.
    known: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Client {
    Idle,
    /// Waits for the answer with that number.
    Opening(u32),
    Has(u32),
    Closing(u32),
}

/// The client, the server and the money.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Board {
    money: [u32; 2],
    purses: BTreeMap<u32, Purse>,
    client: Client,
    client_runs: bool,
    opens: u32,
    upgrades: u32,
    replies: u32,
    /// Whether there is room to keep a reply.
    room: bool,
    server: Standing2,
    /// What the server has fetched and not answered.
    fetched: Vec<Fetched>,
    /// Sessions that the server serves.
    serves: Vec<u32>,
    deaths: u32,
    ticks: u32,
}

/// [`Standing`] with a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Standing2 {
    Up,
    Away,
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Fetched {
    Open(u32),
    Close(u32),
}

impl World for Board {
    type Account = u32;
    type Reply = u32;
    type Capability = ();

    fn is_running(&self, component: usize) -> bool {
        component == CLIENT && self.client_runs || component == SERVER && self.server == Standing2::Up
    }

    fn standing(&self, server: usize) -> Standing {
        assert_eq!(server, SERVER);
        match self.server {
            Standing2::Up => Standing::Up,
            Standing2::Away => Standing::Away,
            Standing2::Gone => Standing::Gone,
        }
    }

    fn wake(&mut self, _: usize) {}

    fn interrupt(&mut self, client: usize) {
        assert_eq!(client, CLIENT);
    }

    fn create_account(&mut self, client: usize, [ram, _]: Quota) -> Result<u32, Error> {
        self.money[client] = self.money[client].checked_sub(ram).ok_or(Error::OutOfRam)?;
        // A number that is free, so that equal states look equal.
        let id = (0..8).find(|id| !self.purses.contains_key(id)).unwrap();
        self.purses.insert(id, Purse { lender: client, total: ram, used: 0, known: false });
        Ok(id)
    }

    fn lend(&mut self, client: usize, account: &u32, [ram, _]: Quota) -> Result<(), Error> {
        let purse = self.purses.get_mut(account).expect("an account that exists");
        assert_eq!(purse.lender, client);
        self.money[client] = self.money[client].checked_sub(ram).ok_or(Error::OutOfRam)?;
        purse.total += ram;
        Ok(())
    }

    fn close_account(&mut self, lender: usize, account: u32) {
        let purse = self.purses.remove(&account).expect("an account is closed once");
        assert_eq!(purse.lender, lender, "closed by whoever has lent it");
        self.money[lender] += purse.total;
    }

    fn hand_over(&mut self, client: usize, account: u32, server: usize) -> Result<u32, (u32, Error)> {
        let purse = self.purses.get_mut(&account).expect("an account that exists");
        assert_eq!(purse.lender, client);
        let Some(left) = self.money[server].checked_sub(purse.used) else { return Err((account, Error::OutOfRam)) };
        self.money[server] = left;
        self.money[client] += purse.total;
        *purse = Purse { lender: server, total: purse.used, used: purse.used, known: false };
        Ok(account)
    }

    fn keep_reply(&mut self, _: usize) -> Result<u32, Error> {
        if !self.room {
            return Err(Error::OutOfCaps);
        }
        Ok(self.replies)
    }

    fn answer(&mut self, reply: u32, outcome: Outcome<()>) {
        if !self.client_runs {
            return;
        }
        assert_eq!(reply, self.replies, "an answer that nobody waits for");
        self.replies += 1;
        self.client = match (self.client, outcome) {
            (Client::Opening(_), Outcome::Opened(id, _)) => Client::Has(id),
            (Client::Opening(_), Outcome::Failed(_)) | (Client::Closing(_), Outcome::Closed) => Client::Idle,
            (client, outcome) => panic!("{client:?} is told {outcome:?}"),
        };
    }
}

type State = (Exchange<u32, u32, ()>, Board);

/// What can happen.
#[derive(Clone, Copy, Debug)]
enum Step {
    Open,
    OpenWithoutRoom,
    Upgrade,
    Close,
    ClientEnds,
    Fetch,
    Agree(usize),
    Refuse(usize),
    Buy(u32),
    LetGo(usize),
    EndSession(usize),
    ServerDies,
    ServerEnded {
        comes_back: bool,
    },
    Tick,
    /// Answers and closes of numbers that are not theirs.
    Nonsense,
}

struct Limits {
    opens: u32,
    deaths: u32,
    ticks: u32,
}

const WISH: Wish = Wish { service: 0, quota: [DONATION, 0], argument: 0 };

fn start(server_money: u32) -> State {
    let board = Board {
        money: [CLIENT_MONEY, server_money],
        purses: BTreeMap::new(),
        client: Client::Idle,
        client_runs: true,
        opens: 0,
        upgrades: 0,
        replies: 0,
        room: true,
        server: Standing2::Up,
        fetched: Vec::new(),
        serves: Vec::new(),
        deaths: 0,
        ticks: 0,
    };
    (Exchange::new(), board)
}

fn steps(state: &State, limits: &Limits) -> Vec<Step> {
    let board = &state.1;
    let mut steps = vec![Step::Nonsense];
    if board.client_runs {
        steps.push(Step::ClientEnds);
        match board.client {
            Client::Idle if board.opens < limits.opens => steps.extend([Step::Open, Step::OpenWithoutRoom]),
            Client::Has(_) => steps.push(Step::Close),
            _ => {}
        }
        if matches!(board.client, Client::Has(_) | Client::Closing(_)) && board.upgrades < board.opens {
            steps.push(Step::Upgrade);
        }
    }
    if board.server == Standing2::Up {
        steps.push(Step::Fetch);
        for (index, fetched) in board.fetched.iter().enumerate() {
            match fetched {
                Fetched::Open(_) => steps.extend([Step::Agree(index), Step::Refuse(index)]),
                Fetched::Close(_) => steps.push(Step::LetGo(index)),
            }
        }
        let buys = board.purses.iter().filter(|(_, purse)| purse.known && purse.used < purse.total.min(3));
        steps.extend(buys.map(|(id, _)| Step::Buy(*id)));
        steps.extend((0..board.serves.len()).map(Step::EndSession));
        if board.deaths < limits.deaths {
            steps.push(Step::ServerDies);
        }
    }
    if board.server == Standing2::Away {
        steps.extend([Step::ServerEnded { comes_back: true }, Step::ServerEnded { comes_back: false }]);
    }
    if board.ticks < limits.ticks {
        steps.push(Step::Tick);
    }
    steps
}

#[allow(clippy::too_many_lines, reason = "one arm a step")]
fn take((exchange, board): &mut State, step: Step) {
    match step {
        Step::Open => {
            board.opens += 1;
            board.client = Client::Opening(board.replies);
            if exchange.open(board, [CLIENT, SERVER], WISH, None).is_err() {
                board.client = Client::Idle;
            }
        }
        Step::OpenWithoutRoom => {
            board.room = false;
            let before = board.money;
            let opened = exchange.open(board, [CLIENT, SERVER], WISH, None);
            assert!(opened.is_err());
            assert_eq!(board.money, before, "a session that cannot be opened costs nothing");
            board.room = true;
        }
        Step::Upgrade => {
            board.upgrades += 1;
            let (Client::Has(id) | Client::Closing(id)) = board.client else { unreachable!() };
            let before = board.money;
            let upgraded = exchange.upgrade(board, CLIENT, id, [TOP_UP, 0]);
            let open = exchange.get(id).is_some_and(|session| session.phase == Phase::Open);
            assert!(upgraded.is_err() || open);
            assert!(upgraded.is_ok() || board.money == before, "a refused upgrade costs nothing");
        }
        Step::Close => {
            let Client::Has(id) = board.client else { unreachable!() };
            board.client = Client::Closing(id);
            if exchange.close(board, CLIENT, id).unwrap() == When::Now {
                board.client = Client::Idle;
            }
        }
        Step::ClientEnds => {
            board.client_runs = false;
            board.client = Client::Idle;
            exchange.client_ended(board, CLIENT);
        }
        Step::Fetch => match exchange.next(SERVER) {
            None => {}
            Some(Event::Open(id)) => {
                let session = exchange.get(id).unwrap();
                assert!(session.phase == Phase::Offered && session.client.is_some());
                let account = session.account.unwrap();
                board.purses.get_mut(&account).unwrap().known = true;
                board.fetched.push(Fetched::Open(id));
            }
            Some(Event::Close(id)) => {
                board.serves.retain(|served| *served != id);
                board.fetched.push(Fetched::Close(id));
            }
            Some(Event::Upgrade(id, quota)) => {
                assert!(board.serves.contains(&id) && quota == [TOP_UP, 0]);
            }
        },
        Step::Agree(index) => {
            let Fetched::Open(id) = board.fetched.remove(index) else { unreachable!() };
            board.serves.push(id);
            exchange.answer(board, SERVER, id, Ok(Some(()))).unwrap();
        }
        Step::Refuse(index) => {
            let Fetched::Open(id) = board.fetched.remove(index) else { unreachable!() };
            exchange.answer(board, SERVER, id, Err(Error::InsufficientRam)).unwrap();
        }
        Step::Buy(account) => board.purses.get_mut(&account).unwrap().used += 1,
        Step::LetGo(index) => {
            let Fetched::Close(id) = board.fetched.remove(index) else { unreachable!() };
            exchange.answer(board, SERVER, id, Ok(None)).unwrap();
        }
        Step::EndSession(index) => {
            let id = board.serves.remove(index);
            exchange.end(board, SERVER, id).unwrap();
        }
        Step::ServerDies => {
            board.deaths += 1;
            board.server = Standing2::Away;
            board.fetched.clear();
            board.serves.clear();
            board.purses.values_mut().for_each(|purse| purse.known = false);
        }
        Step::ServerEnded { comes_back } => {
            exchange.server_ended(board, SERVER, comes_back);
            board.server = if comes_back { Standing2::Up } else { Standing2::Gone };
        }
        Step::Tick => {
            board.ticks += 1;
            if let Some(bankrupt) = exchange.tick(board) {
                assert_eq!(bankrupt, SERVER);
                take_down(exchange, board);
            }
        }
        Step::Nonsense => {
            let before = (exchange.clone(), board.clone());
            let own: Vec<u32> = exchange.iter().map(|(id, _)| id).collect();
            for id in [7, u32::MAX] {
                assert!(exchange.close(board, CLIENT, id).is_err());
                assert!(exchange.upgrade(board, CLIENT, id, [1, 1]).is_err());
                assert!(exchange.answer(board, SERVER, id, Ok(None)).is_err());
                assert!(exchange.end(board, SERVER, id).is_err());
            }
            for id in own {
                // Others than the client and the server of it.
                assert!(exchange.close(board, 2, id).is_err());
                assert!(exchange.upgrade(board, SERVER, id, [1, 1]).is_err());
                assert!(exchange.answer(board, CLIENT, id, Ok(None)).is_err());
                assert!(exchange.end(board, CLIENT, id).is_err());
            }
            assert_eq!(before, (exchange.clone(), board.clone()));
        }
    }
}

/// The server is ended by its parent.
fn take_down(exchange: &mut Exchange<u32, u32, ()>, board: &mut Board) {
    board.server = Standing2::Away;
    board.fetched.clear();
    board.serves.clear();
    exchange.server_ended(board, SERVER, false);
    board.server = Standing2::Gone;
}

/// What holds in every state.
fn check((exchange, board): &State, total: u32) {
    let lent: u32 = board.purses.values().map(|purse| purse.total).sum();
    assert_eq!(board.money.iter().sum::<u32>() + lent, total, "money is conserved");
    let mut known = Vec::new();
    let mut waiting = 0;
    for (id, session) in exchange.iter() {
        assert!(session.account.is_some(), "session {id}");
        if let Some(account) = session.account {
            let purse = &board.purses[&account];
            assert_eq!(purse.lender, session.client.unwrap_or(SERVER), "session {id}");
            known.push(account);
        }
        waiting += u32::from(session.reply.is_some() && board.client_runs);
        assert!(session.phase != Phase::Dead || session.client.is_some());
    }
    known.sort_unstable();
    assert!(known.iter().eq(board.purses.keys()), "each account belongs to one session");
    let waits = matches!(board.client, Client::Opening(_) | Client::Closing(_));
    assert_eq!(waiting, u32::from(waits), "who waits is going to be answered");
    let places = exchange.places.iter().filter(|place| place.is_none()).count();
    assert_eq!(places, exchange.free.len(), "each free number is known once");
}

/// Both do what they should from here on.
fn wind_up(mut state: State) -> State {
    for _ in 0..40 {
        if state.1.server == Standing2::Away {
            take(&mut state, Step::ServerEnded { comes_back: true });
        }
        if state.1.server == Standing2::Up {
            take(&mut state, Step::Fetch);
            if let Some(fetched) = state.1.fetched.first() {
                let step = if matches!(fetched, Fetched::Open(_)) { Step::Agree(0) } else { Step::LetGo(0) };
                take(&mut state, step);
            }
        }
        if let Client::Has(_) = state.1.client {
            take(&mut state, Step::Close);
        }
    }
    state
}

fn check_all_ends(state: &State, server_money: u32) {
    let over = |state: &State, how: &str| {
        assert_eq!(state.1.money, [CLIENT_MONEY, server_money], "{how}: {state:?}");
        assert!(state.0.iter().next().is_none(), "{how}: a session is left");
        assert_eq!(state.1.client, Client::Idle, "{how}: the client waits");
    };
    over(&wind_up(state.clone()), "both behave");
    // The server does nothing more; the client ends.
    let mut hoarded = state.clone();
    if hoarded.1.server == Standing2::Up {
        if hoarded.1.client_runs {
            take(&mut hoarded, Step::ClientEnds);
        }
        for _ in 0..=PATIENCE {
            take(&mut hoarded, Step::Tick);
        }
        assert_eq!(hoarded.1.money[CLIENT], CLIENT_MONEY, "a hoarding server keeps what is the client's: {hoarded:?}");
        assert!(!hoarded.0.is_client(CLIENT), "the client cannot be destroyed");
        over(&wind_up(hoarded), "the server lets go late");
    }
    // The same, but the client only closes what it has: it is answered.
    let mut closed = state.clone();
    if closed.1.server == Standing2::Up && matches!(closed.1.client, Client::Has(_) | Client::Closing(_)) {
        if matches!(closed.1.client, Client::Has(_)) {
            take(&mut closed, Step::Close);
        }
        for _ in 0..=PATIENCE {
            take(&mut closed, Step::Tick);
        }
        assert_eq!(closed.1.client, Client::Idle, "whoever closes is answered");
        assert_eq!(closed.1.money[CLIENT], CLIENT_MONEY);
    }
    // The server is gone for good.
    let mut dead = state.clone();
    if dead.1.server == Standing2::Up {
        take(&mut dead, Step::ServerDies);
    }
    if dead.1.server == Standing2::Away {
        take(&mut dead, Step::ServerEnded { comes_back: false });
    }
    assert!(!matches!(dead.1.client, Client::Opening(_) | Client::Closing(_)), "a client waits for a dead server");
    // The client may still be looking at the memory of its session: it has that until it closes it.
    if !matches!(dead.1.client, Client::Has(_)) {
        assert_eq!(dead.1.money, [CLIENT_MONEY, server_money]);
    }
    over(&wind_up(dead), "the server is dead");
}

/// Visits every state that can be reached and returns how many there are, and how many steps lead from one to another.
fn explore(server_money: u32, limits: &Limits) -> (usize, usize) {
    let total = CLIENT_MONEY + server_money;
    let first = start(server_money);
    let mut seen = HashSet::from([first.clone()]);
    let mut queue = VecDeque::from([first]);
    let mut transitions = 0;
    while let Some(state) = queue.pop_front() {
        check_all_ends(&state, server_money);
        for step in steps(&state, limits) {
            let mut next = state.clone();
            take(&mut next, step);
            check(&next, total);
            transitions += 1;
            if seen.insert(next.clone()) {
                queue.push_back(next);
            }
        }
    }
    (seen.len(), transitions)
}

#[test]
fn every_order_of_events_conserves_money_and_answers_everybody() {
    for (money, what) in [(8, "a server that can pay"), (1, "a server that is short"), (0, "a server without money")] {
        let (states, transitions) = explore(money, &Limits { opens: 1, deaths: 1, ticks: PATIENCE + 1 });
        println!("{what}: {states} states, {transitions} steps");
        assert!(states > 500, "the world is too small to show anything");
    }
}

#[test]
fn every_order_of_two_sessions_conserves_money_and_answers_everybody() {
    let (states, transitions) = explore(8, &Limits { opens: 2, deaths: 1, ticks: 1 });
    println!("two sessions: {states} states, {transitions} steps");
    assert!(states > 2000);
}
