//! RAM and capability accounts: who holds what, and who lent it to whom.
//!
//! # Theory of operation
//!
//! Memory is money here. All of it starts in one root [`Account`]; every other account is opened by a
//! lender that parts with some of its own. What an account has is split in three:
//!
//! - *used*: objects that exist for the account's own component (frames, page tables, thread control
//!   blocks, ...), at the size they really take. The share that the kernel keeps for itself is
//!   counted apart, because that is the share nobody pays in other systems;
//! - *lent*: the limits of the accounts that were opened from, or lent to by, this account;
//! - *available*: the rest.
//!
//! Nothing is created or destroyed by an operation on two accounts, so over a whole tree the sum of
//! available and used quota is constant. Two laws make lending safe:
//!
//! 1. *The initial donation comes back as a whole.* What an account was opened with may be spent, and lent on
//!    to accounts that are settled before this one, but it is not repaid piece by piece: its
//!    lender cannot shrink a component below what it promised.
//! 2. *Only what is free can be taken back.* Quota that is used or lent on stays until it is released
//!    or repaid; hence `used + lent <= limit`.
//!
//! Every operation either happens completely or returns an error and changes nothing. No sum can
//! overflow or go below zero, whatever the arguments.
//!
//! This crate deliberately knows neither identities nor the shape of the tree: an operation takes the
//! two accounts it is about, and whoever stores the accounts is responsible for pairing a borrower
//! with its lender. A wrong pair is refused where the numbers show it.

#![no_std]
#![forbid(unsafe_code)]

use core::fmt;

use thiserror::Error;

/// An amount of both things that are accounted for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Quota {
    /// RAM in bytes.
    pub ram: u32,
    /// Capabilities in pieces.
    pub caps: u32,
}

impl Quota {
    /// Nothing.
    pub const ZERO: Self = Self { ram: 0, caps: 0 };

    /// `ram` bytes and `caps` capabilities.
    pub const fn new(ram: u32, caps: u32) -> Self {
        Self { ram, caps }
    }

    /// Both sums, or `None` if one of them does not fit.
    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match (self.ram.checked_add(other.ram), self.caps.checked_add(other.caps)) {
            (Some(ram), Some(caps)) => Some(Self { ram, caps }),
            _ => None,
        }
    }

    /// Both differences, or `None` if one of them would be negative.
    #[must_use]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match (self.ram.checked_sub(other.ram), self.caps.checked_sub(other.caps)) {
            (Some(ram), Some(caps)) => Some(Self { ram, caps }),
            _ => None,
        }
    }

    /// The smaller RAM and the smaller number of capabilities of the two.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        Self { ram: self.ram.min(other.ram), caps: self.caps.min(other.caps) }
    }

    /// The larger RAM and the larger number of capabilities of the two.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self { ram: self.ram.max(other.ram), caps: self.caps.max(other.caps) }
    }

    fn saturating_sub(self, other: Self) -> Self {
        Self { ram: self.ram.saturating_sub(other.ram), caps: self.caps.saturating_sub(other.caps) }
    }

    /// Whether `asked` can be taken from this, or what is short.
    fn covers(self, asked: Self) -> Result<(), OutOf> {
        if asked.ram > self.ram {
            return Err(OutOf::Ram { asked: asked.ram, available: self.ram });
        }
        if asked.caps > self.caps {
            return Err(OutOf::Caps { asked: asked.caps, available: self.caps });
        }
        Ok(())
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes, {} caps", self.ram, self.caps)
    }
}

/// The account is short of something. RAM is looked at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OutOf {
    /// Not enough RAM.
    #[error("out of RAM: {asked} bytes asked, {available} available")]
    Ram {
        /// Bytes asked for.
        asked: u32,
        /// Bytes that the operation could have had.
        available: u32,
    },
    /// Not enough capabilities.
    #[error("out of capabilities: {asked} asked, {available} available")]
    Caps {
        /// Capabilities asked for.
        asked: u32,
        /// Capabilities that the operation could have had.
        available: u32,
    },
}

/// More was released than is charged: the caller's records are wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{asked} released ({kernel} bytes of it kernel memory), which was never charged")]
pub struct NotCharged {
    /// What should have been released.
    pub asked: Quota,
    /// How many bytes of it the kernel holds.
    pub kernel: u32,
}

/// Why quota cannot be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RepayError {
    /// The borrower does not have that much to give: the rest is used, lent on, or its initial donation.
    #[error(transparent)]
    OutOf(#[from] OutOf),
    /// The lender has not lent that much; the two accounts are no pair.
    #[error("the account to be repaid has lent only {lent}; it is not the lender")]
    NotTheLender {
        /// What that account has lent, to all its borrowers.
        lent: Quota,
    },
}

/// Why an account cannot be handed over to another lender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HandOverError {
    /// The new lender does not have what the account uses and lends.
    #[error("the new lender is short: {0}")]
    OutOf(#[from] OutOf),
    /// The old lender has not lent that much; the two accounts are no pair.
    #[error("the account to be repaid has lent only {lent}; it is not the lender")]
    NotTheLender {
        /// What that account has lent, to all its borrowers.
        lent: Quota,
    },
}

/// Why an account cannot be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SettleError {
    /// Objects still exist; destroy them first.
    #[error("account still uses {used}; destroy its objects first")]
    Used {
        /// What is still charged.
        used: Quota,
    },
    /// Other accounts still hold quota of this one; settle them first.
    #[error("account still lends {lent}; settle its borrowers first")]
    Lent {
        /// What is still lent.
        lent: Quota,
    },
    /// The lender has not lent that much; the two accounts are no pair.
    #[error("the account to be repaid has lent only {lent}; it is not the lender")]
    NotTheLender {
        /// What that account has lent, to all its borrowers.
        lent: Quota,
    },
}

/// One component's account.
///
/// Not `Clone`: a copied account is quota out of thin air.
#[derive(Debug, PartialEq, Eq)]
pub struct Account {
    limit: Quota,
    initial: Quota,
    lent: Quota,
    used: Quota,
    kernel: u32,
    peak: Quota,
}

impl Account {
    /// The account at the root of a tree, which owns everything there is. It has no lender, so all of
    /// it may be lent.
    pub const fn root(limit: Quota) -> Self {
        Self { limit, initial: Quota::ZERO, lent: Quota::ZERO, used: Quota::ZERO, kernel: 0, peak: Quota::ZERO }
    }

    /// Opens an account with an initial donation from this one.
    ///
    /// The new account can spend and lend the initial donation but not repay it; lend it more
    /// with [`lend`](Self::lend).
    ///
    /// # Errors
    /// [`OutOf`] if this account cannot lend that much.
    pub fn open(&mut self, initial: Quota) -> Result<Self, OutOf> {
        let mut borrower = Self::root(Quota::ZERO);
        self.lend(&mut borrower, initial)?;
        borrower.initial = initial;
        Ok(borrower)
    }

    /// Everything this account was lent, or owns as the root.
    pub const fn limit(&self) -> Quota {
        self.limit
    }

    /// What the account was opened with.
    pub const fn initial(&self) -> Quota {
        self.initial
    }

    /// What other accounts hold of this one.
    pub const fn lent(&self) -> Quota {
        self.lent
    }

    /// What this account's own objects take, kernel objects included.
    pub const fn used(&self) -> Quota {
        self.used
    }

    /// How many bytes of [`used`](Self::used) are kernel objects.
    pub const fn kernel(&self) -> u32 {
        self.kernel
    }

    /// The most that was ever used, RAM and capabilities each on its own.
    pub const fn peak(&self) -> Quota {
        self.peak
    }

    /// What can still be charged.
    pub fn available(&self) -> Quota {
        self.limit.saturating_sub(self.used).saturating_sub(self.lent)
    }

    /// What can be repaid: what is available, less what the initial donation reserves.
    pub fn repayable(&self) -> Quota {
        self.available().min(self.limit.saturating_sub(self.initial))
    }

    /// Pays for new objects of this account's component: `quota` in total, `kernel` bytes of it for
    /// kernel objects (all of `quota.ram`, if `kernel` is larger).
    ///
    /// # Errors
    /// [`OutOf`] if the account has less available; ask its lender for more.
    pub fn charge(&mut self, quota: Quota, kernel: u32) -> Result<(), OutOf> {
        self.available().covers(quota)?;
        // No sum overflows: each stays at or below the limit.
        self.used.ram += quota.ram;
        self.used.caps += quota.caps;
        self.kernel += kernel.min(quota.ram);
        self.peak = self.peak.max(self.used);
        Ok(())
    }

    /// Takes back what [`charge`](Self::charge) took, with the same arguments or in parts.
    ///
    /// # Errors
    /// [`NotCharged`] if so much is not charged, of kernel memory or of the rest.
    pub fn release(&mut self, quota: Quota, kernel: u32) -> Result<(), NotCharged> {
        let error = NotCharged { asked: quota, kernel };
        let used = self.used.checked_sub(quota).ok_or(error)?;
        let kernel = self.kernel.checked_sub(kernel.min(quota.ram)).ok_or(error)?;
        if kernel > used.ram {
            return Err(error);
        }
        self.used = used;
        self.kernel = kernel;
        Ok(())
    }

    /// Lends `quota` to `borrower`.
    ///
    /// # Errors
    /// [`OutOf`] if less than `quota` is [available](Self::available).
    pub fn lend(&mut self, borrower: &mut Self, quota: Quota) -> Result<(), OutOf> {
        // In one tree no limit exceeds the root's; across two trees the borrower's could overflow.
        let room = Quota::new(u32::MAX, u32::MAX).saturating_sub(borrower.limit);
        self.available().min(room).covers(quota)?;
        self.lent.ram += quota.ram;
        self.lent.caps += quota.caps;
        borrower.limit.ram += quota.ram;
        borrower.limit.caps += quota.caps;
        Ok(())
    }

    /// Gives `quota` back to `lender`, the account that lent it.
    ///
    /// # Errors
    /// [`RepayError`] if less than `quota` is [repayable](Self::repayable), or if `lender` never
    /// lent that much.
    pub fn repay(&mut self, lender: &mut Self, quota: Quota) -> Result<(), RepayError> {
        self.repayable().covers(quota)?;
        let lent = lender.lent.checked_sub(quota);
        lender.lent = lent.ok_or(RepayError::NotTheLender { lent: lender.lent })?;
        self.limit = self.limit.saturating_sub(quota);
        Ok(())
    }

    /// Makes another account the lender: `from` gets back everything that it has lent, and `to` lends exactly what is used and
    /// lent on. Nothing of it is an initial donation.
    ///
    /// # Errors
    /// [`HandOverError`] if `to` has less available than that, or if `from` never lent that much.
    pub fn hand_over(&mut self, from: &mut Self, to: &mut Self) -> Result<(), HandOverError> {
        // Both stay at or below the limit, and so does their sum.
        let held = Quota::new(self.used.ram + self.lent.ram, self.used.caps + self.lent.caps);
        to.available().covers(held)?;
        let lent = from.lent.checked_sub(self.limit);
        from.lent = lent.ok_or(HandOverError::NotTheLender { lent: from.lent })?;
        to.lent.ram += held.ram;
        to.lent.caps += held.caps;
        self.limit = held;
        self.initial = Quota::ZERO;
        Ok(())
    }

    /// Closes the account: everything, the initial donation included, goes back to `lender`.
    ///
    /// The account is empty afterwards; its [peak](Self::peak) can still be read.
    ///
    /// # Errors
    /// [`SettleError`] if something is still used or lent, or if `lender` never lent that much.
    pub fn settle(&mut self, lender: &mut Self) -> Result<(), SettleError> {
        if self.used != Quota::ZERO {
            return Err(SettleError::Used { used: self.used });
        }
        if self.lent != Quota::ZERO {
            return Err(SettleError::Lent { lent: self.lent });
        }
        let lent = lender.lent.checked_sub(self.limit);
        lender.lent = lent.ok_or(SettleError::NotTheLender { lent: lender.lent })?;
        self.limit = Quota::ZERO;
        self.initial = Quota::ZERO;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
