//! Accounts: open, lend, repay, close.

use ledger::{HandOverError, Quota, RepayError};
use session::Error;

use crate::kernel::Kernel;
use crate::objects::{Account, Links, Object, PieceKind};
use crate::store::{Key, Store};
use crate::system::{Result, System, poverty};

impl<K: Kernel> System<'_, K> {
    /// Makes an account from `lender` with a donation.
    pub fn create_account(&mut self, lender: Key, donation: Quota) -> Result<Key> {
        self.charge(lender, 0, 1, 0)?;
        let created = self.create_account_charged(lender, donation);
        if created.is_err() {
            self.refund(lender, 0, 1, 0);
        }
        created
    }

    fn create_account_charged(&mut self, lender: Key, donation: Quota) -> Result<Key> {
        let key = self.insert(lender, Object::Account(Account::empty(lender)))?;
        let master = match self.make_master(lender, key.badge()) {
            Ok(master) => master,
            Err(error) => {
                self.remove(key)?;
                return Err(error);
            }
        };
        // Only now: the entry and the slot may have cost the lender a page.
        match self.account_mut(lender)?.ledger.open(donation) {
            Ok(ledger) => {
                let account = self.account_mut(key)?;
                account.ledger = ledger;
                account.master = Some(master);
                self.link_account(lender, key)?;
                Ok(key)
            }
            Err(out_of) => {
                self.drop_master(Some(master));
                self.remove(key)?;
                Err(poverty(out_of))
            }
        }
    }

    fn pair(&mut self, lender: Key, borrower: Key) -> Result<(&mut Account, &mut Account)> {
        match self.store.get_two_mut(lender, borrower) {
            Some((Object::Account(from), Object::Account(to))) if to.lender == Some(lender) => Ok((from, to)),
            _ => Err(Error::Invalid),
        }
    }

    /// Donates more to an account made from `lender`.
    pub fn lend(&mut self, lender: Key, borrower: Key, quota: Quota) -> Result<()> {
        let (from, to) = self.pair(lender, borrower)?;
        from.ledger.lend(&mut to.ledger, quota).map_err(poverty)
    }

    /// Takes unused quota back from an account made from `lender`.
    pub fn repay(&mut self, lender: Key, borrower: Key, quota: Quota) -> Result<()> {
        let (to, from) = self.pair(lender, borrower)?;
        from.ledger.repay(&mut to.ledger, quota).map_err(|error| match error {
            RepayError::OutOf(out_of) => poverty(out_of),
            RepayError::NotTheLender { .. } => Error::Invalid,
        })
    }

    /// Makes `payer` the lender of an account made from `lender`, and returns the account's new key.
    ///
    /// What was made from the account stays as it is, and is paid by `payer`; what is left of the donation goes back
    /// to `lender`. Capabilities to the account vanish, so that nobody can go on spending.
    pub fn hand_over(&mut self, lender: Key, account: Key, payer: Key) -> Result<Key> {
        self.pair(lender, account)?;
        // Nobody can be paid for by what is made from it.
        let mut at = Some(payer);
        while let Some(key) = at {
            if key == account {
                return Err(Error::Invalid);
            }
            at = self.account(key)?.lender;
        }
        self.charge(payer, 0, 1, 0)?;
        let moved = self.hand_over_charged(lender, account, payer);
        if moved.is_err() {
            self.refund(payer, 0, 1, 0);
        }
        moved
    }

    fn hand_over_charged(&mut self, lender: Key, account: Key, payer: Key) -> Result<Key> {
        let key = self.insert(payer, Object::Account(Account::empty(payer)))?;
        let master = match self.make_master(payer, key.badge()) {
            Ok(master) => master,
            Err(error) => {
                self.remove(key)?;
                return Err(error);
            }
        };
        let mut ledger = core::mem::replace(&mut self.account_mut(account)?.ledger, ledger::Account::root(Quota::ZERO));
        let paid = match self.store.get_two_mut(lender, payer) {
            Some((Object::Account(from), Object::Account(to))) => {
                ledger.hand_over(&mut from.ledger, &mut to.ledger).map_err(|error| match error {
                    HandOverError::OutOf(out_of) => poverty(out_of),
                    HandOverError::NotTheLender { .. } => Error::Invalid,
                })
            }
            _ => Err(Error::Invalid),
        };
        if let Err(error) = paid {
            self.account_mut(account)?.ledger = ledger;
            self.drop_master(Some(master));
            self.remove(key)?;
            return Err(error);
        }
        self.unlink_account(lender, account)?;
        let mut moved = core::mem::replace(self.account_mut(account)?, Account::empty(payer));
        self.drop_master(moved.master.replace(master));
        self.remove(account)?;
        self.refund(lender, 0, 1, 0);
        (moved.ledger, moved.lender, moved.siblings) = (ledger, Some(payer), Links::default());
        let (mut page, mut child) = (moved.pages, moved.first_child);
        *self.account_mut(key)? = moved;
        self.link_account(payer, key)?;
        while let Some(header) = page {
            let header = self.header_mut(header)?;
            header.account = Some(key);
            page = header.pages.next;
        }
        while let Some(borrower) = child {
            let borrower = self.account_mut(borrower)?;
            borrower.lender = Some(key);
            child = borrower.siblings.next;
        }
        Ok(key)
    }

    fn link_account(&mut self, lender: Key, key: Key) -> Result<()> {
        let next = self.account_mut(lender)?.first_child.replace(key);
        if let Some(next) = next {
            self.account_mut(next)?.siblings.previous = Some(key);
        }
        self.account_mut(key)?.siblings = Links { previous: None, next };
        Ok(())
    }

    fn unlink_account(&mut self, lender: Key, key: Key) -> Result<()> {
        let links = core::mem::take(&mut self.account_mut(key)?.siblings);
        match links.previous {
            Some(previous) => self.account_mut(previous)?.siblings.next = links.next,
            None => self.account_mut(lender)?.first_child = links.next,
        }
        if let Some(next) = links.next {
            self.account_mut(next)?.siblings.previous = links.previous;
        }
        Ok(())
    }

    /// Destroys an account made from `lender`, everything made from it, and all accounts made from it in turn.
    pub fn close_account(&mut self, lender: Key, account: Key) -> Result<()> {
        self.pair(lender, account)?;
        let mut at = account;
        loop {
            if let Some(child) = self.account(at)?.first_child {
                at = child;
                continue;
            }
            let lender = self.account(at)?.lender.ok_or(Error::Invalid)?;
            self.close_leaf(lender, at)?;
            if at == account {
                return Ok(());
            }
            at = lender;
        }
    }

    fn close_leaf(&mut self, lender: Key, key: Key) -> Result<()> {
        self.closing = Some(key);
        let emptied = self.empty_account(key);
        self.closing = None;
        emptied?;
        let master = {
            let account = self.account_mut(key)?;
            account.pages = None;
            account.master.take()
        };
        let (to, from) = self.pair(lender, key)?;
        let settled = from.ledger.settle(&mut to.ledger);
        self.defects += u32::from(settled.is_err());
        self.unlink_account(lender, key)?;
        self.drop_master(master);
        self.remove(key)?;
        self.refund(lender, 0, 1, 0);
        Ok(())
    }

    /// Destroys everything that belongs to an account.
    fn empty_account(&mut self, key: Key) -> Result<()> {
        self.drop_objects(key, |object| matches!(object, Object::Thread(_) | Object::Domain(_)))?;
        self.drop_objects(key, |_| true)?;
        // What is left is bookkeeping: CNodes, whose entries are in the pages, and pages, whose frames are in the CNodes. So first
        // the CNodes are listed elsewhere, then the pages go, then the CNodes.
        let mut doomed = None;
        let mut page = self.account(key)?.pages;
        while let Some(header) = page {
            for entry in Store::entries(header) {
                if let Some(Object::CapPage(cap_page)) = self.store.get(entry) {
                    let (node, block) = (cap_page.node, cap_page.block);
                    self.memory.doom(node, block, doomed);
                    doomed = Some(node);
                }
            }
            page = self.header(header)?.pages.next;
        }
        let mut page = self.account(key)?.pages;
        while let Some(header) = page {
            let (block, next) = {
                let header = self.header(header)?;
                (header.block, header.pages.next)
            };
            self.store.remove_page(header);
            self.give_block(key, block, true);
            page = next;
        }
        while let Some(node) = doomed {
            let (block, next) = self.memory.doomed(node).ok_or(Error::Kernel)?;
            self.give_block(key, block, true);
            self.memory.give_top(node);
            doomed = next;
        }
        Ok(())
    }

    /// Destroys the account's objects that satisfy `wanted`, in one pass: dropping an object frees entries but moves none. Pages that
    /// become empty stay until the account is gone.
    fn drop_objects(&mut self, account: Key, wanted: impl Fn(&Object) -> bool) -> Result<()> {
        let mut page = self.account(account)?.pages;
        while let Some(header) = page {
            let next = self.header(header)?.pages.next;
            for key in Store::entries(header) {
                match self.store.get(key) {
                    Some(object) if !wanted(object) => Ok(()),
                    Some(Object::Domain(_)) => self.drop_domain(key),
                    Some(Object::Thread(_)) => self.drop_thread(key),
                    Some(Object::Interrupt(_)) => self.drop_interrupt(key),
                    Some(Object::Dataspace(_)) => self.drop_dataspace(key),
                    Some(Object::Region(_)) => self.drop_region(key),
                    Some(Object::Parcel(_)) => self.drop_parcel(key),
                    Some(Object::Piece(piece)) if piece.live && piece.charged => self.drop_charged_piece(key),
                    _ => Ok(()),
                }?;
            }
            page = next;
        }
        Ok(())
    }

    /// Makes an endpoint or notification for the account's own use and returns its key.
    pub fn create_piece(&mut self, account: Key, kind: PieceKind) -> Result<Key> {
        self.charge(account, 0, 1, 0)?;
        match self.make_piece(account, kind) {
            Ok(key) => {
                self.piece_mut(key)?.charged = true;
                Ok(key)
            }
            Err(error) => {
                self.refund(account, 0, 1, 0);
                Err(error)
            }
        }
    }

    fn drop_charged_piece(&mut self, key: Key) -> Result<()> {
        let account = self.owner(key)?;
        self.piece_mut(key)?.charged = false;
        self.drop_piece(key)?;
        self.refund(account, 0, 1, 0);
        Ok(())
    }
}
