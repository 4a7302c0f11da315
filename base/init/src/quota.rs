//! Quota that moves while components run.
//!
//! # Theory of operation
//!
//! A component whose account is short [asks](ParentRequest::Ask) for more. What it asks for is in the state report from that moment on, so that a manager can give
//! it by a new description. Without a manager, the component's own [`Grant`] decides: up to that much is given, on top of what the description
//! promises, and anything beyond stays a wish.
//!
//! If init itself is short, it takes grants back: first what their holders have not used, without asking. Then it *asks*: the holder gets
//! [`ServerEvent::Yield`], frees what it can spare, and says so; init takes what is unused then, and gives it to whoever waits. Only grants are asked for:
//! what the description promises stays. A holder that does not answer within [`PATIENCE`] ticks keeps what it has, unless its grant says that
//! it [must](Grant::must_yield): then it is ended, and everything that it had comes back.
//!
//! A nested init is a component like others: what it has not got itself it asks its own parent for, and when that asks it to yield, it takes back from
//! its children what they have been granted and not used.

use session::parent::ServerEvent;
use session::{Message, core::AccountInfo};

#[cfg(doc)]
use session::parent::ParentRequest;

use crate::children::Child;
use crate::description::Grant;
use crate::exchange::Quota;
use crate::lifecycle::{End, State};
use crate::platform::{self, Account, Error, log};
use crate::{Init, Reply};

/// Ticks that a component has for freeing what it is asked for.
const PATIENCE: u32 = 10;
const NOTHING: Quota = [0; 2];

/// What is between a component and init about quota.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Trade {
    /// What it has beyond its description.
    pub(crate) granted: Quota,
    /// What it has been granted and not been told.
    news: Quota,
    /// What it is asked to free.
    asked: Option<Asked>,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    quota: Quota,
    /// It has fetched the request.
    told: bool,
    /// Ticks since it was asked.
    ticks: u32,
}

fn sum([ram, caps]: Quota, [more_ram, more_caps]: Quota) -> Quota {
    [ram.saturating_add(more_ram), caps.saturating_add(more_caps)]
}

fn difference([ram, caps]: Quota, [less_ram, less_caps]: Quota) -> Quota {
    [ram.saturating_sub(less_ram), caps.saturating_sub(less_caps)]
}

fn least([ram, caps]: Quota, [other_ram, other_caps]: Quota) -> Quota {
    [ram.min(other_ram), caps.min(other_caps)]
}

/// What an account has neither used nor lent.
fn unused(account: &Account) -> Quota {
    let AccountInfo { ram, ram_used, ram_lent, caps, caps_used, caps_lent, .. } = account.info().unwrap_or_default();
    difference(difference([ram, caps], [ram_used, caps_used]), [ram_lent, caps_lent])
}

impl Init {
    /// A component wants more.
    pub(crate) fn ask(&mut self, index: usize, wish: Quota) -> Result<Reply, Error> {
        let child = self.children.get_mut(index).ok_or(Error::Invalid)?;
        child.requested = wish;
        let granted = self.grant(index);
        if granted {
            if let Some(child) = self.children.get_mut(index) {
                // The answer says it.
                child.trade.news = NOTHING;
            }
        } else {
            self.reclaim(index);
        }
        self.own.notify_state();
        let granted = self.children.get(index).is_some_and(|child| child.requested == NOTHING);
        Ok(Some((Message::from_words(0, &[granted.into()]), None)))
    }

    /// What a component wants, if its policy allows that.
    fn allowed(child: &Child) -> Option<Quota> {
        let Grant { ram, caps, .. } = child.component.grant?;
        let after = sum(child.trade.granted, child.requested);
        (child.state == State::Running && child.requested != NOTHING && least(after, [ram, caps]) == after)
            .then_some(child.requested)
    }

    /// Gives a component what it wants, if its policy and init's account allow that.
    fn grant(&mut self, index: usize) -> bool {
        let Some(child) = self.children.get_mut(index) else { return false };
        let Some(wish) = Self::allowed(child) else { return false };
        if child.account().and_then(|account| Account::own().lend(account, wish[0], wish[1])).is_err() {
            return false;
        }
        child.trade.granted = sum(child.trade.granted, wish);
        child.trade.news = sum(child.trade.news, wish);
        child.requested = NOTHING;
        true
    }

    /// Gives what has come back to those who wait for it.
    pub(crate) fn grant_waiting(&mut self) {
        for index in 0..self.children.len() {
            if self.grant(index) {
                self.children.wake(index);
                self.own.notify_state();
            }
        }
    }

    /// A description has given a component what it asked for.
    pub(crate) fn note_given(&mut self, index: usize, quota: Quota) {
        let Some(child) = self.children.get_mut(index).filter(|child| child.requested != NOTHING) else { return };
        child.requested = difference(child.requested, quota);
        child.trade.news = sum(child.trade.news, quota);
        self.children.wake(index);
    }

    /// Looks for what a component wants with those that have been granted more than their description promises.
    fn reclaim(&mut self, index: usize) {
        let Some(wish) = self.children.get(index).and_then(Self::allowed) else { return };
        let mut short = difference(wish, unused(&Account::own()));
        for other in (0..self.children.len()).filter(|other| *other != index) {
            if short == NOTHING {
                break;
            }
            short = difference(short, self.withdraw(other, short));
        }
        if short == NOTHING || (self.nested && platform::ask(short[0], short[1]) == Ok(true)) {
            self.grant(index);
            return;
        }
        for other in (0..self.children.len()).filter(|other| *other != index) {
            let Some(child) = self.children.get_mut(other).filter(|child| child.state == State::Running) else {
                continue;
            };
            let quota = least(child.trade.granted, short);
            if quota == NOTHING {
                continue;
            }
            short = difference(short, quota);
            let ticks = child.trade.asked.map_or(0, |asked| asked.ticks);
            child.trade.asked = Some(Asked { quota, told: false, ticks });
            self.children.wake(other);
        }
    }

    /// Takes back what a component has been granted and not used, at most `most`.
    fn withdraw(&mut self, index: usize, most: Quota) -> Quota {
        let Some(child) = self.children.get_mut(index).filter(|child| child.trade.granted != NOTHING) else {
            return NOTHING;
        };
        let Ok(account) = child.account() else { return NOTHING };
        let take = least(least(child.trade.granted, unused(account)), most);
        if take == NOTHING || Account::own().repay(account, take[0], take[1]).is_err() {
            return NOTHING;
        }
        child.trade.granted = difference(child.trade.granted, take);
        take
    }

    /// What a nested init's own parent has to say.
    pub(crate) fn hear_parent(&mut self) {
        while let Ok(Some(event)) = platform::next_event() {
            match event {
                ServerEvent::Granted { .. } => self.grant_waiting(),
                ServerEvent::Yield { ram, caps } => {
                    let mut short = difference([ram, caps], unused(&Account::own()));
                    for index in 0..self.children.len() {
                        short = difference(short, self.withdraw(index, short));
                    }
                    // Refused only if the parent has taken its wish back meanwhile.
                    let _ = platform::yielded();
                }
                // Nobody has sessions with a nested init.
                ServerEvent::Open { .. } | ServerEvent::Close { .. } | ServerEvent::Upgrade { .. } => {}
            }
        }
    }

    /// A component has freed what it could.
    pub(crate) fn yielded(&mut self, index: usize) -> Result<Reply, Error> {
        let child = self.children.get_mut(index).ok_or(Error::Invalid)?;
        let asked = child.trade.asked.take().ok_or(Error::Invalid)?;
        self.withdraw(index, asked.quota);
        self.grant_waiting();
        self.own.notify_state();
        Ok(Some((Message::new(0), None)))
    }

    /// What a component is to be told about quota.
    pub(crate) fn next_about_quota(&mut self, index: usize) -> Option<ServerEvent> {
        let trade = &mut self.children.get_mut(index)?.trade;
        let [ram, caps] = core::mem::take(&mut trade.news);
        if [ram, caps] != NOTHING {
            return Some(ServerEvent::Granted { ram, caps });
        }
        let asked = trade.asked.as_mut().filter(|asked| !asked.told)?;
        asked.told = true;
        let [ram, caps] = asked.quota;
        Some(ServerEvent::Yield { ram, caps })
    }

    /// Time has passed: ends those who must yield and do not.
    pub(crate) fn enforce_yields(&mut self) {
        for index in 0..self.children.len() {
            let Some(child) = self.children.get_mut(index).filter(|child| child.state == State::Running) else {
                continue;
            };
            let Some(asked) = child.trade.asked.as_mut() else { continue };
            asked.ticks += 1;
            if asked.ticks < PATIENCE {
                continue;
            }
            child.trade.asked = None;
            let [ram, caps] = child.trade.granted;
            if child.component.grant.is_some_and(|grant| grant.must_yield) {
                log!("{} does not yield {ram} bytes and {caps} capabilities, and is ended", child.component.name);
                self.end(index, End::Unyielding);
            } else {
                log!("{} does not yield {ram} bytes and {caps} capabilities", child.component.name);
            }
        }
    }
}
