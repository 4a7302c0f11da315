//! Every state that small trees of accounts can get into.
//!
//! # What is covered
//!
//! A root with a total of up to 3 units, and up to 3 accounts under it in every shape of tree: each opened from any other, lent to, repaid from, handed over to any other that is not
//! made from it, settled, charged and released, with every amount from 0 to one more than the total, and with the largest number there is. RAM, with every split
//! between kernel and other memory, and capabilities are each explored on their own, and together for a total of 1 of each. All sequences of these
//! operations are covered, however long: the states are visited until there are no new ones. Accounts that are equal but for their names count as
//! different states; the peak is left out of the state, because no operation looks at it.
//!
//! In every state: nothing is created or lost, no account holds more than its limit, `used + lent <= limit`, `kernel <= used`, what is lent is what the
//! borrowers hold; an operation that fails changes nothing; it succeeds exactly if there is enough; and every tree can be taken down to the root with everything back.
//!
//! Beyond this bound the arithmetic is the same for every size up to `u32::MAX`, which the property tests sample.

use std::collections::{HashSet, VecDeque};
use std::println;

use super::*;

/// Accounts besides the root.
const ACCOUNTS: usize = 3;

/// An account as a state: who lent it; limit, initial, lent, used of RAM; the kernel's share; the same of capabilities.
type Flat = (usize, [u32; 5], [u32; 4]);

/// The root, and the others.
type State = [Option<Flat>; ACCOUNTS + 1];

fn flat(lender: usize, account: &Account) -> Flat {
    let Account { limit, initial, lent, used, kernel, .. } = *account;
    (lender, [limit.ram, initial.ram, lent.ram, used.ram, kernel], [limit.caps, initial.caps, lent.caps, used.caps])
}

fn account(flat: Option<Flat>) -> Option<(usize, Account)> {
    let (lender, [limit, initial, lent, used, kernel], caps) = flat?;
    let account = Account {
        limit: quota(limit, caps[0]),
        initial: quota(initial, caps[1]),
        lent: quota(lent, caps[2]),
        used: quota(used, caps[3]),
        kernel,
        peak: Quota::ZERO,
    };
    Some((lender, account))
}

fn units(total: u32, others: bool) -> Vec<u32> {
    if others { (0..=total + 1).chain([u32::MAX]).collect() } else { Vec::from([0]) }
}

struct World {
    total: Quota,
    amounts: Vec<Quota>,
    kernels: Vec<u32>,
}

impl World {
    fn new(ram: u32, caps: u32) -> Self {
        let (rams, pieces) = (units(ram, ram > 0), units(caps, caps > 0));
        let amounts = rams.iter().flat_map(|ram| pieces.iter().map(|caps| quota(*ram, *caps))).collect();
        Self { total: quota(ram, caps), amounts, kernels: rams }
    }

    fn start(&self) -> State {
        let mut state = [None; ACCOUNTS + 1];
        state[0] = Some(flat(0, &Account::root(self.total)));
        state
    }

    /// What holds in every state.
    fn check(&self, state: &State) {
        let mut sum = [0u64; 2];
        for (index, slot) in state.iter().enumerate() {
            let Some((lender, account)) = account(*slot) else { continue };
            assert!(index == 0 || state[lender].is_some(), "the lender is gone: {state:?}");
            for (limit, lent, used) in [
                (account.limit.ram, account.lent.ram, account.used.ram),
                (account.limit.caps, account.lent.caps, account.used.caps),
            ] {
                assert!(u64::from(used) + u64::from(lent) <= u64::from(limit), "{state:?}");
            }
            assert!(account.kernel <= account.used.ram, "{state:?}");
            let (available, used) = (wide(account.available()), wide(account.used));
            (0..2).for_each(|i| sum[i] += available[i] + used[i]);
            let mut borrowed = [0u64; 2];
            for (other, slot) in state.iter().enumerate().skip(1) {
                if let Some((lender, borrower)) = self::account(*slot).filter(|_| other != index)
                    && lender == index
                {
                    let limit = wide(borrower.limit);
                    (0..2).for_each(|i| borrowed[i] += limit[i]);
                }
            }
            assert_eq!(wide(account.lent), borrowed, "{state:?}");
        }
        assert_eq!(sum, wide(self.total), "quota was created or lost: {state:?}");
    }

    /// Takes everything down, borrowers first.
    fn take_down(&self, mut state: State) {
        while let Some(leaf) = (1..=ACCOUNTS).find(|index| {
            let lends = |slot: &Option<Flat>| slot.is_some_and(|(lender, ..)| lender == *index);
            state[*index].is_some() && !state.iter().skip(1).any(lends)
        }) {
            let (lender, mut borrower) = account(state[leaf]).unwrap();
            let (above, mut to) = account(state[lender]).unwrap();
            borrower.release(borrower.used, borrower.kernel).unwrap();
            borrower.settle(&mut to).unwrap();
            state[lender] = Some(flat(above, &to));
            state[leaf] = None;
        }
        let (_, mut root) = account(state[0]).unwrap();
        root.release(root.used, root.kernel).unwrap();
        assert_eq!(root.available(), self.total);
        assert!(state.iter().skip(1).all(Option::is_none), "a circle of lenders: {state:?}");
    }

    /// All states that one operation leads to.
    fn next(&self, state: &State) -> Vec<State> {
        let mut found = Vec::new();
        for index in 0..=ACCOUNTS {
            let Some((lender, _)) = account(state[index]) else { continue };
            for amount in &self.amounts {
                self.one(state, index, *amount, &mut found);
                if let Some(free) = state.iter().position(Option::is_none) {
                    Self::open(state, index, free, *amount, &mut found);
                }
                if index > 0 {
                    Self::pair(state, [lender, index], *amount, &mut found);
                }
            }
            if index > 0 {
                Self::settle(state, [lender, index], &mut found);
                for payer in 0..=ACCOUNTS {
                    Self::hand_over(state, [lender, index, payer], &mut found);
                }
            }
        }
        found
    }

    /// Operations on one account.
    fn one(&self, state: &State, index: usize, amount: Quota, found: &mut Vec<State>) {
        for kernel in &self.kernels {
            let (lender, mut changed) = account(state[index]).unwrap();
            let enough = changed.available().covers(amount).is_ok();
            assert_eq!(changed.charge(amount, *kernel).is_ok(), enough);
            note(state, &[(index, lender, changed)], enough, found);
            let (lender, mut changed) = account(state[index]).unwrap();
            let released = changed.release(amount, *kernel).is_ok();
            note(state, &[(index, lender, changed)], released, found);
        }
    }

    fn open(state: &State, index: usize, free: usize, amount: Quota, found: &mut Vec<State>) {
        let (lender, mut from) = account(state[index]).unwrap();
        let enough = from.available().covers(amount).is_ok();
        match from.open(amount) {
            Ok(opened) => {
                assert!(enough);
                note(state, &[(index, lender, from), (free, index, opened)], true, found);
            }
            Err(_) => {
                assert!(!enough);
                note(state, &[(index, lender, from)], false, found);
            }
        }
    }

    /// Operations on a borrower and its lender.
    fn pair(state: &State, [lender, index]: [usize; 2], amount: Quota, found: &mut Vec<State>) {
        let ((above, mut from), (_, mut to)) = (account(state[lender]).unwrap(), account(state[index]).unwrap());
        let enough = from.available().covers(amount).is_ok();
        assert_eq!(from.lend(&mut to, amount).is_ok(), enough);
        note(state, &[(lender, above, from), (index, lender, to)], enough, found);
        let ((above, mut to), (_, mut from)) = (account(state[lender]).unwrap(), account(state[index]).unwrap());
        let free = from.available().covers(amount).is_ok();
        let extra = from.limit.checked_sub(from.initial).is_some_and(|extra| extra.covers(amount).is_ok());
        assert_eq!(from.repay(&mut to, amount).is_ok(), free && extra);
        note(state, &[(lender, above, to), (index, lender, from)], free && extra, found);
    }

    fn settle(state: &State, [lender, index]: [usize; 2], found: &mut Vec<State>) {
        let ((above, mut to), (_, mut from)) = (account(state[lender]).unwrap(), account(state[index]).unwrap());
        let idle = from.used == Quota::ZERO && from.lent == Quota::ZERO;
        assert_eq!(from.settle(&mut to).is_ok(), idle);
        note(state, &[(lender, above, to), (index, lender, from)], idle, found);
        // It is gone, unless somebody has borrowed nothing from it.
        if idle
            && let Some(settled) = found.last_mut()
            && !settled.iter().skip(1).flatten().any(|(lender, ..)| *lender == index)
        {
            settled[index] = None;
        }
    }

    fn hand_over(state: &State, [lender, index, payer]: [usize; 3], found: &mut Vec<State>) {
        // What is made from an account cannot pay for it, and its lender does so already.
        let mut at = payer;
        while at != 0 {
            if at == index {
                return;
            }
            let Some((above, ..)) = state[at] else { return };
            at = above;
        }
        if payer == lender {
            return;
        }
        let ((above, mut from), (beyond, mut to)) = (account(state[lender]).unwrap(), account(state[payer]).unwrap());
        let (_, mut moved) = account(state[index]).unwrap();
        let held = moved.used.checked_add(moved.lent).unwrap();
        let enough = to.available().covers(held).is_ok();
        assert_eq!(moved.hand_over(&mut from, &mut to).is_ok(), enough);
        let by = if enough { payer } else { lender };
        note(state, &[(lender, above, from), (payer, beyond, to), (index, by, moved)], enough, found);
    }
}

/// Enters what an operation has led to; if it has failed, that is nothing new.
fn note(state: &State, changed: &[(usize, usize, Account)], succeeded: bool, found: &mut Vec<State>) {
    let mut next = *state;
    for (index, lender, account) in changed {
        next[*index] = Some(flat(*lender, account));
    }
    if succeeded {
        found.push(next);
    } else {
        assert_eq!(next, *state, "changed by an operation that failed");
    }
}

fn explore(ram: u32, caps: u32) -> (usize, usize) {
    let world = World::new(ram, caps);
    let first = world.start();
    let mut seen = HashSet::from([first]);
    let mut queue = VecDeque::from([first]);
    let mut steps = 0;
    while let Some(state) = queue.pop_front() {
        world.check(&state);
        world.take_down(state);
        for next in world.next(&state) {
            steps += 1;
            if seen.insert(next) {
                queue.push_back(next);
            }
        }
    }
    (seen.len(), steps)
}

#[test]
fn every_small_tree_of_ram_is_sound() {
    let (states, steps) = explore(3, 0);
    println!("RAM: {states} states, {steps} operations that succeed");
    assert!(states > 10_000);
}

#[test]
fn every_small_tree_of_capabilities_is_sound() {
    let (states, steps) = explore(0, 3);
    println!("capabilities: {states} states, {steps} operations that succeed");
    assert!(states > 1000);
}

#[test]
fn every_small_tree_of_both_is_sound() {
    let (states, steps) = explore(1, 1);
    println!("both: {states} states, {steps} operations that succeed");
    assert!(states > 1000);
}
