//! Which client may touch which blocks.
//!
//! A client is known by its label, which its parent gives it and which it cannot choose. The configuration lists policies;
//! each has exactly one selector and grants a range of blocks, for reading or also for writing. The policy of a client is
//! the one whose selector fits best: the whole label, else the longest prefix, else the longest suffix, else the explicit
//! default. A client without a policy is denied.
//!
//! ```toml
//! [[policy]]
//! label_prefix = "init -> sd-sum"     # the whole card, read only
//!
//! [[policy]]
//! label = "init -> logger"            # 1 MiB at 64 MiB
//! first = 131072
//! count = 2048
//! writeable = true
//! ```

use heapless::{String, Vec};
use serde::Deserialize;

/// The longest label or part of a label in bytes.
pub const LABEL_MAX: usize = 64;

/// The most policies.
pub const POLICIES_MAX: usize = 16;

/// The driver's configuration. [`Config::check`] it once before use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The policies; their order does not matter.
    #[serde(default)]
    pub policy: Vec<Policy, POLICIES_MAX>,
}

/// What the clients that a selector fits may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Selector: the whole label.
    #[serde(default)]
    pub label: Option<String<LABEL_MAX>>,
    /// Selector: how the label begins.
    #[serde(default)]
    pub label_prefix: Option<String<LABEL_MAX>>,
    /// Selector: how the label ends.
    #[serde(default)]
    pub label_suffix: Option<String<LABEL_MAX>>,
    /// Selector: every label that no other selector fits.
    #[serde(default)]
    pub default: bool,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A policy that fits nobody.
    #[error("policy {0} has no selector; give it one of label, label_prefix, label_suffix, default = true")]
    NoSelector(usize),
    /// A policy with more than one selector.
    #[error("policy {0} has more than one selector; split it")]
    ManySelectors(usize),
    /// A prefix or suffix that fits every label.
    #[error("the selector of policy {0} is empty; write default = true to mean every label")]
    EmptySelector(usize),
    /// Two policies with the same selector.
    #[error("policies {0} and {1} have the same selector; remove one")]
    Duplicate(usize, usize),
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

/// How well a selector fits a label; later is better.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    Default,
    Suffix(usize),
    Prefix(usize),
    Whole,
}

#[derive(PartialEq, Eq)]
enum Selector<'a> {
    Label(&'a str),
    Prefix(&'a str),
    Suffix(&'a str),
    Default,
}

impl Config {
    /// Checks every policy.
    pub fn check(&self) -> Result<(), ConfigError> {
        for (index, policy) in self.policy.iter().enumerate() {
            let number = index + 1;
            let selector = policy.selector(number)?;
            if policy.count == Some(0) {
                return Err(ConfigError::EmptyRange(number));
            }
            if policy.first.checked_add(policy.count.unwrap_or(1)).is_none() {
                return Err(ConfigError::RangeOverflow(number));
            }
            for (earlier, other) in self.policy.iter().take(index).enumerate() {
                if other.selector(earlier + 1)? == selector {
                    return Err(ConfigError::Duplicate(earlier + 1, number));
                }
            }
        }
        Ok(())
    }

    /// The policy for the client `label`: the best fit, or `None` if the client is to be denied.
    pub fn policy_for(&self, label: &str) -> Option<&Policy> {
        self.policy
            .iter()
            .filter_map(|policy| policy.fit(label).map(|fit| (fit, policy)))
            .max_by_key(|(fit, _)| *fit)
            .map(|(_, policy)| policy)
    }
}

impl Policy {
    fn selector(&self, number: usize) -> Result<Selector<'_>, ConfigError> {
        let mut selectors = [
            self.label.as_deref().map(Selector::Label),
            self.label_prefix.as_deref().map(Selector::Prefix),
            self.label_suffix.as_deref().map(Selector::Suffix),
            self.default.then_some(Selector::Default),
        ]
        .into_iter()
        .flatten();
        match (selectors.next(), selectors.next()) {
            (None, _) => Err(ConfigError::NoSelector(number)),
            (Some(_), Some(_)) => Err(ConfigError::ManySelectors(number)),
            (Some(Selector::Label("") | Selector::Prefix("") | Selector::Suffix("")), None) => {
                Err(ConfigError::EmptySelector(number))
            }
            (Some(selector), None) => Ok(selector),
        }
    }

    fn fit(&self, label: &str) -> Option<Fit> {
        if self.label.as_deref() == Some(label) {
            return Some(Fit::Whole);
        }
        if let Some(prefix) = &self.label_prefix
            && label.starts_with(prefix.as_str())
        {
            return Some(Fit::Prefix(prefix.len()));
        }
        if let Some(suffix) = &self.label_suffix
            && label.ends_with(suffix.as_str())
        {
            return Some(Fit::Suffix(suffix.len()));
        }
        self.default.then_some(Fit::Default)
    }

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

    const ALL: &str = r#"{"policy": [
        {"default": true, "first": 1},
        {"label_suffix": "sum", "first": 2},
        {"label_suffix": "-> sd-sum", "first": 3},
        {"label_prefix": "init", "first": 4},
        {"label_prefix": "init -> sd", "first": 5},
        {"label": "init -> sd-sum", "first": 6, "count": 10, "writeable": true}
    ]}"#;

    fn first(config: &Config, label: &str) -> Option<u64> {
        config.policy_for(label).map(|policy| policy.first)
    }

    #[test]
    fn best_fit() {
        let config = checked(ALL).unwrap();
        assert_eq!(first(&config, "init -> sd-sum"), Some(6));
        assert_eq!(first(&config, "init -> sd-sum2"), Some(5));
        assert_eq!(first(&config, "init -> x -> sd-sum"), Some(4));
        assert_eq!(first(&config, "root -> sd-sum"), Some(3));
        assert_eq!(first(&config, "sum"), Some(2));
        assert_eq!(first(&config, ""), Some(1));
        assert_eq!(first(&config, "other"), Some(1));
    }

    #[test]
    fn order_does_not_matter() {
        let mut config = checked(ALL).unwrap();
        config.policy.reverse();
        assert_eq!(first(&config, "init -> sd-sum"), Some(6));
        assert_eq!(first(&config, "init -> sd-sum2"), Some(5));
        assert_eq!(first(&config, "root -> sd-sum"), Some(3));
        assert_eq!(first(&config, "other"), Some(1));
    }

    #[test]
    fn nobody_without_policy() {
        let config = checked(r#"{"policy": [{"label": "a"}]}"#).unwrap();
        assert_eq!(config.policy_for("b"), None);
        assert_eq!(Config::default().policy_for("b"), None);
    }

    #[test]
    fn errors_name_the_policy() {
        let error = |json: &str| checked(json).unwrap_err();
        assert_eq!(error(r#"{"policy": [{"default": true}, {"first": 3}]}"#), ConfigError::NoSelector(2));
        assert_eq!(error(r#"{"policy": [{"label": "a", "default": true}]}"#), ConfigError::ManySelectors(1));
        assert_eq!(error(r#"{"policy": [{"label_prefix": ""}]}"#), ConfigError::EmptySelector(1));
        assert_eq!(
            error(r#"{"policy": [{"label": "a"}, {"label_prefix": "a"}, {"label": "a"}]}"#),
            ConfigError::Duplicate(1, 3)
        );
        assert_eq!(error(r#"{"policy": [{"label": "a", "count": 0}]}"#), ConfigError::EmptyRange(1));
        assert_eq!(
            error(r#"{"policy": [{"label": "a", "first": 18446744073709551615, "count": 1}]}"#),
            ConfigError::RangeOverflow(1)
        );
        assert!(ConfigError::NoSelector(2).to_string().contains("policy 2"));
    }

    #[test]
    fn unknown_keys_are_refused() {
        assert!(parse(r#"{"policy": [{"label": "a", "writable": true}]}"#).is_err());
        assert!(parse(r#"{"policies": []}"#).is_err());
    }

    #[test]
    fn windows() {
        let config = checked(ALL).unwrap();
        let policy = config.policy_for("init -> sd-sum").unwrap();
        let window = policy.window(100, false).unwrap();
        assert_eq!(window, Window { first: 6, blocks: 10, writeable: true });
        assert!(!policy.window(100, true).unwrap().writeable);
        assert_eq!(policy.window(15, false), Err(BeyondCard { first: 6, end: 16, blocks: 15 }));
        assert_eq!(policy.window(16, false).unwrap().blocks, 10);

        let rest = config.policy_for("init").unwrap().window(100, false).unwrap();
        assert_eq!(rest, Window { first: 4, blocks: 96, writeable: false });
        assert!(config.policy_for("init").unwrap().window(4, false).is_err());
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
