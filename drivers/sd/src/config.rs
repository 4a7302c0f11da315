//! Which client may touch which blocks.
//!
//! A client is known by its label, which its parent gives it and which it cannot choose. The configuration lists policies;
//! each has a selector and grants a range of blocks, for reading or also for writing. The policy of a client is the one whose
//! selector fits best, see [`session::label`]. A client without a policy is denied.
//!
//! ```toml
//! [[policies]]
//! selector = { exact = "init -> sd-sum" }     # the whole card, read only
//!
//! [[policies]]
//! selector = { prefix = "init -> logger" }    # 1 MiB at 64 MiB
//! first = 131072
//! count = 2048
//! writeable = true
//! ```

use heapless::Vec;
use serde::Deserialize;
use session::label::{self, Label, Selector};

/// The most policies.
pub const POLICIES_MAX: usize = 8;

/// The driver's configuration. [`Config::check`] it once before use.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The policies; their order does not matter.
    pub policies: Vec<Policy, POLICIES_MAX>,
}

/// What the clients that a selector fits may do.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Whom the policy is for.
    pub selector: Selector,
    /// First block, in units of 512 bytes; 0 if absent.
    #[serde(default)]
    pub first: u64,
    /// Number of blocks; up to the end of the card if absent.
    #[serde(default)]
    pub count: Option<u64>,
    /// Writing is allowed, too.
    #[serde(default)]
    pub writeable: bool,
}

/// What is wrong with a configuration. Policies are counted from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Two policies with the same selector.
    #[error("two policies for {0:?}; remove one")]
    Duplicate(Selector),
    /// A range without blocks.
    #[error("policy {0} grants no block; leave count out to mean the rest of the card")]
    EmptyRange(usize),
    /// A range that ends beyond any card.
    #[error("the range of policy {0} ends beyond 2^64 blocks")]
    RangeOverflow(usize),
}

/// Why a client's range cannot be served on the present card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the policy grants blocks {first} to {end}, the card has {blocks} blocks")]
pub struct BeyondCard {
    /// First block of the policy.
    pub first: u64,
    /// Block after the last one.
    pub end: u64,
    /// Blocks of the card.
    pub blocks: u64,
}

/// Why a client's request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// Not inside the client's range.
    #[error("blocks {block} to {block}+{count} are not within the {blocks} blocks of this session")]
    OutOfRange {
        /// First block as the client counts.
        block: u64,
        /// Number of blocks.
        count: u32,
        /// Blocks the client has.
        blocks: u64,
    },
    /// The client may not write.
    #[error("this session is read-only")]
    ReadOnly,
}

/// The blocks that one client sees, counted by it from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// First block on the card.
    pub first: u64,
    /// Number of blocks.
    pub blocks: u64,
    /// Writing is allowed.
    pub writeable: bool,
}

impl Config {
    /// Checks every policy.
    pub fn check(&self) -> Result<(), ConfigError> {
        if let Some(selector) = label::duplicate(&self.policies, |policy| &policy.selector) {
            return Err(ConfigError::Duplicate(selector.clone()));
        }
        for (policy, number) in self.policies.iter().zip(1..) {
            if policy.count == Some(0) {
                return Err(ConfigError::EmptyRange(number));
            }
            if policy.first.checked_add(policy.count.unwrap_or(1)).is_none() {
                return Err(ConfigError::RangeOverflow(number));
            }
        }
        Ok(())
    }

    /// The policy for a client, or `None` if it is to be denied.
    pub fn policy(&self, label: &Label) -> Option<&Policy> {
        label::best_match(&self.policies, |policy| &policy.selector, label)
    }
}

impl Policy {
    /// The blocks this policy grants on a card of `blocks` blocks that is, or is not, `read_only`.
    pub fn window(&self, blocks: u64, read_only: bool) -> Result<Window, BeyondCard> {
        let count = self.count.unwrap_or(blocks.saturating_sub(self.first));
        let end = self.first.saturating_add(count);
        if count == 0 || end > blocks {
            return Err(BeyondCard { first: self.first, end, blocks });
        }
        Ok(Window { first: self.first, blocks: count, writeable: self.writeable && !read_only })
    }
}

impl Window {
    /// The block on the card where the client's `count` blocks from its `block` begin.
    #[inline]
    pub fn translate(&self, block: u64, count: u32, write: bool) -> Result<u64, WindowError> {
        if write && !self.writeable {
            return Err(WindowError::ReadOnly);
        }
        match block.checked_add(u64::from(count)) {
            Some(end) if end <= self.blocks => Ok(self.first + block),
            _ => Err(WindowError::OutOfRange { block, count, blocks: self.blocks }),
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::string::ToString;

    fn parse(json: &str) -> Result<Config, serde_json_core::de::Error> {
        serde_json_core::from_str(json).map(|(config, _)| config)
    }

    fn checked(json: &str) -> Result<Config, ConfigError> {
        let config = parse(json).unwrap();
        config.check().map(|()| config)
    }

    const ALL: &str = r#"{"policies": [
        {"selector": "default", "first": 1},
        {"selector": {"prefix": "init"}, "first": 4},
        {"selector": {"exact": "init -> sd-sum"}, "first": 6, "count": 10, "writeable": true}
    ]}"#;

    fn policy_of<'c>(config: &'c Config, label: &str) -> Option<&'c Policy> {
        config.policy(&Label::new(label).unwrap())
    }

    #[test]
    fn nobody_without_policy() {
        let config = checked(r#"{"policies": [{"selector": {"exact": "a"}}]}"#).unwrap();
        assert!(policy_of(&config, "a").is_some());
        assert_eq!(policy_of(&config, "b"), None);
    }

    #[test]
    fn errors_name_the_policy() {
        let error = |json: &str| checked(json).unwrap_err();
        let twice =
            r#"{"policies": [{"selector": {"exact": "a"}}, {"selector": "default"}, {"selector": {"exact": "a"}}]}"#;
        assert_eq!(error(twice), ConfigError::Duplicate(Selector::Exact(Label::new("a").unwrap())));
        assert!(error(twice).to_string().contains('a'));
        assert_eq!(error(r#"{"policies": [{"selector": "default", "count": 0}]}"#), ConfigError::EmptyRange(1));
        assert_eq!(
            error(r#"{"policies": [{"selector": "default", "first": 18446744073709551615, "count": 1}]}"#),
            ConfigError::RangeOverflow(1)
        );
    }

    #[test]
    fn a_policy_needs_a_selector_and_knows_its_keys() {
        assert!(parse(r#"{"policies": [{"first": 3}]}"#).is_err());
        assert!(parse(r#"{"policies": [{"selector": "default", "writable": true}]}"#).is_err());
        assert!(parse(r#"{"policy": []}"#).is_err());
        assert!(parse("{}").is_err());
    }

    #[test]
    fn windows() {
        let config = checked(ALL).unwrap();
        let policy = policy_of(&config, "init -> sd-sum").unwrap();
        let window = policy.window(100, false).unwrap();
        assert_eq!(window, Window { first: 6, blocks: 10, writeable: true });
        assert!(!policy.window(100, true).unwrap().writeable);
        assert_eq!(policy.window(15, false), Err(BeyondCard { first: 6, end: 16, blocks: 15 }));
        assert_eq!(policy.window(16, false).unwrap().blocks, 10);

        let rest = policy_of(&config, "init").unwrap().window(100, false).unwrap();
        assert_eq!(rest, Window { first: 4, blocks: 96, writeable: false });
        assert!(policy_of(&config, "init").unwrap().window(4, false).is_err());
    }

    #[test]
    fn translation() {
        let window = Window { first: 6, blocks: 10, writeable: false };
        assert_eq!(window.translate(0, 10, false), Ok(6));
        assert_eq!(window.translate(9, 1, false), Ok(15));
        assert!(window.translate(9, 2, false).is_err());
        assert!(window.translate(u64::MAX, 2, false).is_err());
        assert_eq!(window.translate(0, 1, true), Err(WindowError::ReadOnly));
    }
}
