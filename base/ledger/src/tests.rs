//! A random tree of accounts against a model that keeps no running totals.
//!
//! The model remembers who borrowed how much from whom and which charges are outstanding, in wide
//! integers, and derives every figure anew by adding up. An account must agree with it after each
//! step, and must be unchanged after each error.

extern crate std;

mod exhaustive;

use std::vec::Vec;

use proptest::prelude::*;

use super::*;

fn quota(ram: u32, caps: u32) -> Quota {
    Quota::new(ram, caps)
}

/// A copy for "nothing changed" comparisons; deliberately not part of the public interface.
fn copy(account: &Account) -> Account {
    Account { ..*account }
}

#[derive(Clone, Debug)]
enum Step {
    Open { lender: usize, initial: Quota },
    Lend { borrower: usize, quota: Quota },
    Repay { borrower: usize, quota: Quota },
    Settle { borrower: usize },
    HandOver { borrower: usize, payer: usize },
    Charge { account: usize, quota: Quota, kernel: u32 },
    ReleaseCharge { account: usize, charge: usize },
    ReleaseAnything { account: usize, quota: Quota, kernel: u32 },
}

/// Small amounts so that most steps succeed, and huge ones so that sums overflow.
fn amount() -> impl Strategy<Value = u32> {
    prop_oneof![6 => 0..400_u32, 2 => 0..5000_u32, 1 => any::<u32>(), 1 => Just(u32::MAX)]
}

fn any_quota() -> impl Strategy<Value = Quota> {
    (amount(), amount()).prop_map(|(ram, caps)| quota(ram, caps))
}

fn step() -> impl Strategy<Value = Step> {
    let node = || 0..12_usize;
    prop_oneof![
        3 => (node(), any_quota()).prop_map(|(lender, initial)| Step::Open { lender, initial }),
        3 => (node(), any_quota()).prop_map(|(borrower, quota)| Step::Lend { borrower, quota }),
        2 => (node(), any_quota()).prop_map(|(borrower, quota)| Step::Repay { borrower, quota }),
        2 => node().prop_map(|borrower| Step::Settle { borrower }),
        2 => (node(), node()).prop_map(|(borrower, payer)| Step::HandOver { borrower, payer }),
        4 => (node(), any_quota(), amount())
            .prop_map(|(account, quota, kernel)| Step::Charge { account, quota, kernel }),
        3 => (node(), 0..8_usize)
            .prop_map(|(account, charge)| Step::ReleaseCharge { account, charge }),
        1 => (node(), any_quota(), amount())
            .prop_map(|(account, quota, kernel)| Step::ReleaseAnything { account, quota, kernel }),
    ]
}

#[derive(Debug)]
struct Node {
    account: Account,
    lender: Option<usize>,
    initial: [u64; 2],
    borrowed: [u64; 2],
    charges: Vec<([u64; 2], u64)>,
    peak: [u64; 2],
}

fn wide(quota: Quota) -> [u64; 2] {
    [u64::from(quota.ram), u64::from(quota.caps)]
}

struct Tree {
    nodes: Vec<Node>,
}

impl Tree {
    fn new(total: Quota) -> Self {
        let root = Node {
            account: Account::root(total),
            lender: None,
            initial: [0; 2],
            borrowed: wide(total),
            charges: Vec::new(),
            peak: [0; 2],
        };
        Self { nodes: Vec::from([root]) }
    }

    fn lent(&self, index: usize) -> [u64; 2] {
        let borrowers = self.nodes.iter().filter(|node| node.lender == Some(index));
        borrowers.fold([0; 2], |sum, node| [sum[0] + node.borrowed[0], sum[1] + node.borrowed[1]])
    }

    fn used(&self, index: usize) -> [u64; 2] {
        self.nodes[index].charges.iter().fold([0; 2], |sum, (charge, _)| [sum[0] + charge[0], sum[1] + charge[1]])
    }

    fn kernel(&self, index: usize) -> u64 {
        self.nodes[index].charges.iter().map(|(_, kernel)| kernel).sum()
    }

    fn can_charge(&self, index: usize, asked: Quota) -> bool {
        let (lent, used) = (self.lent(index), self.used(index));
        (0..2).all(|i| used[i] + lent[i] + wide(asked)[i] <= self.nodes[index].borrowed[i])
    }

    fn can_repay(&self, index: usize, asked: Quota) -> bool {
        let node = &self.nodes[index];
        self.can_charge(index, asked) && (0..2).all(|i| node.initial[i] + wide(asked)[i] <= node.borrowed[i])
    }

    /// The account of `borrower` and that of its lender.
    fn pair(&mut self, borrower: usize) -> Option<(&mut Account, &mut Account)> {
        let lender = self.nodes[borrower].lender?;
        // A lender is always older than its borrower.
        let (older, younger) = self.nodes.split_at_mut(borrower);
        Some((&mut younger[0].account, &mut older[lender].account))
    }

    fn apply(&mut self, step: &Step) {
        let before: Vec<Account> = self.nodes.iter().map(|node| copy(&node.account)).collect();
        let count = before.len();
        let succeeded = match *step {
            Step::Open { lender, initial } => self.open(lender % count, initial),
            Step::Lend { borrower, quota } => self.lend(borrower % count, quota),
            Step::Repay { borrower, quota } => self.repay(borrower % count, quota),
            Step::Settle { borrower } => self.settle(borrower % count),
            Step::HandOver { borrower, payer } => self.hand_over(borrower % count, payer % count),
            Step::Charge { account, quota, kernel } => self.charge(account % count, quota, kernel),
            Step::ReleaseCharge { account, charge } => self.release_charge(account % count, charge),
            Step::ReleaseAnything { account, quota, kernel } => self.release_anything(account % count, quota, kernel),
        };
        if !succeeded {
            for (node, before) in self.nodes.iter().zip(&before) {
                assert_eq!(&node.account, before, "changed although {step:?} failed");
            }
        }
    }

    fn open(&mut self, lender: usize, initial: Quota) -> bool {
        let expected = self.can_charge(lender, initial);
        let opened = self.nodes[lender].account.open(initial);
        assert_eq!(opened.is_ok(), expected);
        if let Ok(account) = opened {
            self.nodes.push(Node {
                account,
                lender: Some(lender),
                initial: wide(initial),
                borrowed: wide(initial),
                charges: Vec::new(),
                peak: [0; 2],
            });
        }
        expected
    }

    fn lend(&mut self, borrower: usize, quota: Quota) -> bool {
        let Some(lender) = self.nodes[borrower].lender else {
            return false;
        };
        let expected = self.can_charge(lender, quota);
        let Some((to, from)) = self.pair(borrower) else {
            return false;
        };
        assert_eq!(from.lend(to, quota).is_ok(), expected);
        if expected {
            (0..2).for_each(|i| self.nodes[borrower].borrowed[i] += wide(quota)[i]);
        }
        expected
    }

    fn repay(&mut self, borrower: usize, quota: Quota) -> bool {
        let expected = self.can_repay(borrower, quota);
        let Some((from, to)) = self.pair(borrower) else {
            return false;
        };
        assert_eq!(from.repay(to, quota).is_ok(), expected);
        if expected {
            (0..2).for_each(|i| self.nodes[borrower].borrowed[i] -= wide(quota)[i]);
        }
        expected
    }

    fn settle(&mut self, borrower: usize) -> bool {
        let expected = self.lent(borrower) == [0; 2] && self.used(borrower) == [0; 2];
        let Some((from, to)) = self.pair(borrower) else {
            return false;
        };
        assert_eq!(from.settle(to).is_ok(), expected);
        if expected {
            let node = &mut self.nodes[borrower];
            (node.borrowed, node.initial) = ([0; 2], [0; 2]);
        }
        expected
    }

    /// To a payer that is older than the borrower, and so cannot be made from it.
    fn hand_over(&mut self, borrower: usize, payer: usize) -> bool {
        let Some(lender) = self.nodes[borrower].lender.filter(|lender| payer < borrower && payer != *lender) else {
            return false;
        };
        let (lent, used) = (self.lent(borrower), self.used(borrower));
        let held = [lent[0] + used[0], lent[1] + used[1]];
        let expected = self.can_charge(payer, quota(held[0] as u32, held[1] as u32));
        let (older, younger) = self.nodes.split_at_mut(borrower);
        let [from, to] = older.get_disjoint_mut([lender, payer]).unwrap();
        let moved = younger[0].account.hand_over(&mut from.account, &mut to.account);
        assert_eq!(moved.is_ok(), expected);
        if expected {
            let node = &mut self.nodes[borrower];
            (node.lender, node.borrowed, node.initial) = (Some(payer), held, [0; 2]);
        }
        expected
    }

    fn charge(&mut self, account: usize, quota: Quota, kernel: u32) -> bool {
        let expected = self.can_charge(account, quota);
        let node = &mut self.nodes[account];
        assert_eq!(node.account.charge(quota, kernel).is_ok(), expected);
        if expected {
            node.charges.push((wide(quota), u64::from(kernel.min(quota.ram))));
            let used = self.used(account);
            let peak = &mut self.nodes[account].peak;
            (0..2).for_each(|i| peak[i] = peak[i].max(used[i]));
        }
        expected
    }

    fn release_charge(&mut self, account: usize, charge: usize) -> bool {
        let node = &mut self.nodes[account];
        if charge >= node.charges.len() {
            return false;
        }
        let (amount, kernel) = node.charges.swap_remove(charge);
        let amount = quota(amount[0] as u32, amount[1] as u32);
        assert_eq!(node.account.release(amount, kernel as u32), Ok(()));
        true
    }

    fn release_anything(&mut self, account: usize, quota: Quota, kernel: u32) -> bool {
        let (used, held) = (self.used(account), self.kernel(account));
        let (asked, kernel_asked) = (wide(quota), u64::from(kernel.min(quota.ram)));
        let expected = asked[0] <= used[0]
            && asked[1] <= used[1]
            && kernel_asked <= held
            && asked[0] - kernel_asked <= used[0] - held;
        let node = &mut self.nodes[account];
        assert_eq!(node.account.release(quota, kernel).is_ok(), expected);
        if expected {
            let rest = [used[0] - asked[0], used[1] - asked[1]];
            node.charges = Vec::from([(rest, held - kernel_asked)]);
        }
        expected
    }

    fn check(&self, total: Quota) {
        let mut sum = [0; 2];
        for (index, node) in self.nodes.iter().enumerate() {
            let account = &node.account;
            assert_eq!(wide(account.limit()), node.borrowed);
            assert_eq!(wide(account.initial()), node.initial);
            assert_eq!(wide(account.lent()), self.lent(index));
            assert_eq!(wide(account.used()), self.used(index));
            assert_eq!(u64::from(account.kernel()), self.kernel(index));
            assert_eq!(wide(account.peak()), node.peak);
            let (available, used) = (wide(account.available()), wide(account.used()));
            (0..2).for_each(|i| sum[i] += available[i] + used[i]);
        }
        assert_eq!(sum, wide(total), "quota was created or lost");
    }

    /// Destroys everything, children first.
    fn tear_down(&mut self) {
        for index in (0..self.nodes.len()).rev() {
            let node = &mut self.nodes[index];
            let (used, kernel) = (node.account.used(), node.account.kernel());
            assert_eq!(node.account.release(used, kernel), Ok(()));
            node.charges.clear();
            if let Some((borrower, lender)) = self.pair(index) {
                assert_eq!(borrower.settle(lender), Ok(()));
                (self.nodes[index].borrowed, self.nodes[index].initial) = ([0; 2], [0; 2]);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn random_trees_conserve_quota(
        total in prop_oneof![
            Just(quota(u32::MAX, u32::MAX)),
            (0..20_000_u32, 0..20_000_u32).prop_map(|(ram, caps)| quota(ram, caps)),
        ],
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let mut tree = Tree::new(total);
        for step in &steps {
            tree.apply(step);
            tree.check(total);
        }
        tree.tear_down();
        tree.check(total);
        prop_assert_eq!(tree.nodes[0].account.available(), total);
    }

    #[test]
    fn peak_never_falls(
        charges in prop::collection::vec((any_quota(), any::<bool>()), 0..60),
    ) {
        let mut account = Account::root(quota(8000, 8000));
        for (asked, charge) in charges {
            let before = account.peak();
            if charge {
                let _ = account.charge(asked, 0);
            } else {
                let _ = account.release(asked, 0);
            }
            prop_assert_eq!(account.peak().max(before), account.peak());
            prop_assert_eq!(account.peak().max(account.used()), account.peak());
        }
    }
}

#[test]
fn errors_say_what_is_short() {
    let mut account = Account::root(quota(100, 10));
    assert_eq!(account.charge(quota(101, 11), 0), Err(OutOf::Ram { asked: 101, available: 100 }));
    assert_eq!(account.charge(quota(100, 11), 0), Err(OutOf::Caps { asked: 11, available: 10 }));
    account.charge(quota(100, 10), 40).unwrap();
    assert_eq!(account.kernel(), 40);
    assert_eq!(account.charge(quota(1, 0), 0), Err(OutOf::Ram { asked: 1, available: 0 }));
}

#[test]
fn the_initial_donation_stays_until_settlement() {
    let mut lender = Account::root(quota(100, 10));
    let mut borrower = lender.open(quota(60, 6)).unwrap();
    lender.lend(&mut borrower, quota(20, 2)).unwrap();
    assert_eq!(borrower.repay(&mut lender, quota(21, 0)), Err(OutOf::Ram { asked: 21, available: 20 }.into()));
    let mut grandchild = borrower.open(quota(65, 0)).unwrap();
    assert_eq!(borrower.repay(&mut lender, quota(16, 0)), Err(OutOf::Ram { asked: 16, available: 15 }.into()));
    assert_eq!(borrower.settle(&mut lender), Err(SettleError::Lent { lent: quota(65, 0) }));
    grandchild.settle(&mut borrower).unwrap();
    borrower.charge(quota(70, 1), 0).unwrap();
    assert_eq!(borrower.repay(&mut lender, quota(11, 0)), Err(OutOf::Ram { asked: 11, available: 10 }.into()));
    assert_eq!(borrower.settle(&mut lender), Err(SettleError::Used { used: quota(70, 1) }));
    borrower.release(quota(70, 1), 0).unwrap();
    borrower.settle(&mut lender).unwrap();
    assert_eq!(lender.available(), quota(100, 10));
    assert_eq!(borrower.limit(), Quota::ZERO);
    assert_eq!(borrower.peak(), quota(70, 1));
}

#[test]
fn a_stranger_is_not_repaid() {
    let mut lender = Account::root(quota(100, 10));
    let mut stranger = Account::root(quota(100, 10));
    let mut borrower = lender.open(quota(10, 1)).unwrap();
    lender.lend(&mut borrower, quota(5, 1)).unwrap();
    assert_eq!(borrower.repay(&mut stranger, quota(5, 1)), Err(RepayError::NotTheLender { lent: Quota::ZERO }));
    assert_eq!(borrower.settle(&mut stranger), Err(SettleError::NotTheLender { lent: Quota::ZERO }));
    assert_eq!(borrower.limit(), quota(15, 2));
    let mut rich = Account::root(quota(u32::MAX, 0));
    assert_eq!(lender.lend(&mut rich, quota(1, 0)), Err(OutOf::Ram { asked: 1, available: 0 }));
}
