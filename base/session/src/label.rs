//! Labels: who a session belongs to, and how a server picks its policy for them.
//!
//! A label is the path of names from the root of the component tree to the component that opened
//! the session, written `init -> sd-sum`. Each parent that passes a request on puts its child's
//! name into it, so a component cannot choose its own label, and a server can trust it.
//!
//! A server keeps one policy for each [`Selector`] and looks the label up with [`best_match`]: the
//! exact label wins, else the longest prefix, else the longest suffix, else the explicit default.
//! No match means no access. Prefixes and suffixes are whole names: the prefix `init -> sd` covers
//! `init -> sd -> helper` but not `init -> sd-sum`, so that naming a component never gives rights
//! to a neighbour that happens to have a longer name.

use core::fmt;

use heapless::String;
use serde::{Deserialize, Serialize};

/// Longest label in bytes, separators included.
pub const LABEL_LEN: usize = 64;

/// What stands between the names of a label.
pub const SEPARATOR: &str = " -> ";

/// Why a text is not a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// The label would be longer than [`LABEL_LEN`].
    #[error("label is longer than {LABEL_LEN} bytes; use shorter names or fewer levels")]
    TooLong,
    /// A name between two separators is empty.
    #[error("label has an empty name; write names separated by ` -> `")]
    EmptyName,
    /// A name contains something else than printable ASCII without space and `>`.
    #[error("label has the byte {byte:#04x} at {position}; names are printable ASCII without spaces and `>`")]
    BadByte {
        /// The offending byte.
        byte: u8,
        /// Its offset in the label.
        position: usize,
    },
}

/// One or more names separated by [`SEPARATOR`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String<LABEL_LEN>", into = "String<LABEL_LEN>")]
pub struct Label(String<LABEL_LEN>);

impl Label {
    /// Checks and copies `text`.
    ///
    /// # Errors
    /// See [`LabelError`].
    pub fn new(text: &str) -> Result<Self, LabelError> {
        let text = String::try_from(text).map_err(|_| LabelError::TooLong)?;
        Self::try_from(text)
    }

    /// The label of this component's child `name`: this label, a separator, the name.
    ///
    /// # Errors
    /// See [`LabelError`]. A `name` that contains a separator is refused, so a child cannot pass
    /// for a grandchild.
    pub fn child(&self, name: &str) -> Result<Self, LabelError> {
        check_name(name, 0)?;
        let mut text = self.0.clone();
        text.push_str(SEPARATOR).and_then(|()| text.push_str(name)).map_err(|_| LabelError::TooLong)?;
        Ok(Self(text))
    }

    /// The whole label.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The names from the root downwards.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.split(SEPARATOR)
    }

    /// The last name: the component itself.
    pub fn name(&self) -> &str {
        self.names().last().unwrap_or_default()
    }

    /// Whether both lie in the same branch of the tree, right below its root: whoever is at the top of a branch answers for all of it.
    pub fn shares_branch(&self, other: &Self) -> bool {
        self.names().take(2).eq(other.names().take(2))
    }

    /// Whether this label begins with all names of `prefix`.
    pub fn starts_with(&self, prefix: &Self) -> bool {
        match self.0.strip_prefix(prefix.as_str()) {
            Some(rest) => rest.is_empty() || rest.starts_with(SEPARATOR),
            None => false,
        }
    }

    /// Whether this label ends with all names of `suffix`.
    pub fn ends_with(&self, suffix: &Self) -> bool {
        match self.0.strip_suffix(suffix.as_str()) {
            Some(rest) => rest.is_empty() || rest.ends_with(SEPARATOR),
            None => false,
        }
    }
}

impl TryFrom<String<LABEL_LEN>> for Label {
    type Error = LabelError;

    fn try_from(text: String<LABEL_LEN>) -> Result<Self, LabelError> {
        let mut position = 0;
        for name in text.split(SEPARATOR) {
            check_name(name, position)?;
            position += name.len() + SEPARATOR.len();
        }
        Ok(Self(text))
    }
}

impl From<Label> for String<LABEL_LEN> {
    fn from(label: Label) -> Self {
        label.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

fn check_name(name: &str, offset: usize) -> Result<(), LabelError> {
    if name.is_empty() {
        return Err(LabelError::EmptyName);
    }
    match name.bytes().enumerate().find(|&(_, byte)| !byte.is_ascii_graphic() || byte == b'>') {
        Some((position, byte)) => Err(LabelError::BadByte { byte, position: offset + position }),
        None => Ok(()),
    }
}

/// Which labels a policy is for.
///
/// In a configuration: `{"exact": "init -> sd-sum"}`, `{"prefix": "init"}`, `{"suffix": "sd-sum"}`
/// or `"default"`. There is deliberately no `Default` implementation: a policy without a selector
/// is an error and not a match for everybody.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Selector {
    /// This label only.
    Exact(Label),
    /// Labels that begin with these names.
    Prefix(Label),
    /// Labels that end with these names.
    Suffix(Label),
    /// Every label that nothing else matches.
    Default,
}

/// How well a selector fits a label; greater is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    Default,
    Suffix(usize),
    Prefix(usize),
    Exact,
}

impl Selector {
    /// Whether this selector covers `label`.
    pub fn matches(&self, label: &Label) -> bool {
        self.fit(label).is_some()
    }

    fn fit(&self, label: &Label) -> Option<Fit> {
        match self {
            Self::Exact(exact) => (label == exact).then_some(Fit::Exact),
            Self::Prefix(prefix) => label.starts_with(prefix).then_some(Fit::Prefix(prefix.0.len())),
            Self::Suffix(suffix) => label.ends_with(suffix).then_some(Fit::Suffix(suffix.0.len())),
            Self::Default => Some(Fit::Default),
        }
    }
}

/// The policy for `label`: exact label, else longest prefix, else longest suffix, else the default;
/// `None` means no access.
///
/// `selector` tells the selector of a policy. Of two policies with the same selector the first
/// counts; servers reject such configurations with [`duplicate`].
pub fn best_match<'p, P>(
    policies: impl IntoIterator<Item = &'p P>,
    selector: impl Fn(&P) -> &Selector,
    label: &Label,
) -> Option<&'p P> {
    let mut best: Option<(Fit, &P)> = None;
    for policy in policies {
        if let Some(fit) = selector(policy).fit(label)
            && best.is_none_or(|(so_far, _)| fit > so_far)
        {
            best = Some((fit, policy));
        }
    }
    best.map(|(_, policy)| policy)
}

/// The first selector that appears twice, which makes one of the two policies dead text.
pub fn duplicate<P>(policies: &[P], selector: impl Fn(&P) -> &Selector) -> Option<&Selector> {
    policies
        .iter()
        .enumerate()
        .map(|(index, policy)| (index, selector(policy)))
        .find_map(|(index, this)| policies.iter().take(index).any(|earlier| selector(earlier) == this).then_some(this))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(text: &str) -> Label {
        Label::new(text).unwrap()
    }

    #[test]
    fn a_label_is_names_with_separators() {
        assert_eq!(label("init -> sd").names().collect::<heapless::Vec<_, 4>>(), ["init", "sd"]);
        assert_eq!(label("init -> sd").name(), "sd");
        assert_eq!(label("init").name(), "init");
        assert_eq!(label("init").child("sd"), Ok(label("init -> sd")));
    }

    #[test]
    fn damaged_labels_are_refused_with_the_place() {
        assert_eq!(Label::new(""), Err(LabelError::EmptyName));
        assert_eq!(Label::new("init -> "), Err(LabelError::EmptyName));
        assert_eq!(Label::new(" -> sd"), Err(LabelError::EmptyName));
        assert_eq!(Label::new("init ->"), Err(LabelError::BadByte { byte: b' ', position: 4 }));
        assert_eq!(Label::new("init -> s d"), Err(LabelError::BadByte { byte: b' ', position: 9 }));
        assert_eq!(Label::new("init -> -> -> sd"), Err(LabelError::BadByte { byte: b'>', position: 9 }));
        assert_eq!(Label::new("in\nit"), Err(LabelError::BadByte { byte: b'\n', position: 2 }));
        assert_eq!(Label::new("caf\u{e9}"), Err(LabelError::BadByte { byte: 0xc3, position: 3 }));
        assert_eq!(label("init").child("a -> b"), Err(LabelError::BadByte { byte: b' ', position: 1 }));
        assert_eq!(label("init").child(""), Err(LabelError::EmptyName));
    }

    #[test]
    fn labels_have_a_longest_length() {
        let full = "x".repeat_into::<LABEL_LEN>();
        assert!(Label::new(&full).is_ok());
        assert_eq!(label(&full).child("y"), Err(LabelError::TooLong));
        let mut longer: String<80> = String::new();
        longer.push_str(&full).unwrap();
        longer.push('x').unwrap();
        assert_eq!(Label::new(&longer), Err(LabelError::TooLong));
        assert!(label(&"x".repeat_into::<59>()).child("y").is_ok());
        assert_eq!(label(&"x".repeat_into::<60>()).child("y"), Err(LabelError::TooLong));
    }

    trait RepeatInto {
        fn repeat_into<const N: usize>(self) -> String<80>;
    }

    impl RepeatInto for &str {
        fn repeat_into<const N: usize>(self) -> String<80> {
            let mut text = String::new();
            for _ in 0..N {
                text.push_str(self).unwrap();
            }
            text
        }
    }

    #[test]
    fn prefixes_and_suffixes_are_whole_names() {
        assert!(label("init -> sd -> helper").starts_with(&label("init -> sd")));
        assert!(label("init -> sd").starts_with(&label("init -> sd")));
        assert!(!label("init -> sd-sum").starts_with(&label("init -> sd")));
        assert!(label("init -> sd").ends_with(&label("sd")));
        assert!(!label("init -> my-sd").ends_with(&label("sd")));
        assert!(!label("init").ends_with(&label("init -> sd")));
    }

    #[test]
    fn a_branch_is_what_hangs_on_one_child_of_the_root() {
        assert!(label("init -> lab -> a").shares_branch(&label("init -> lab -> b -> c")));
        assert!(label("init -> lab").shares_branch(&label("init -> lab -> b")));
        assert!(!label("init -> lab").shares_branch(&label("init -> sd")));
        assert!(!label("init").shares_branch(&label("init -> sd")));
    }

    fn pick<'p>(policies: &'p [(Selector, u8)], text: &str) -> Option<&'p u8> {
        best_match(policies, |policy| &policy.0, &label(text)).map(|policy| &policy.1)
    }

    #[test]
    fn exact_beats_prefix_beats_suffix_beats_default() {
        let policies = [
            (Selector::Default, 0),
            (Selector::Suffix(label("a -> b")), 1),
            (Selector::Suffix(label("b")), 2),
            (Selector::Prefix(label("x")), 3),
            (Selector::Prefix(label("x -> y")), 4),
            (Selector::Exact(label("x -> y -> b")), 5),
        ];
        assert_eq!(pick(&policies, "x -> y -> b"), Some(&5));
        assert_eq!(pick(&policies, "x -> y -> c"), Some(&4));
        assert_eq!(pick(&policies, "x -> z -> a -> b"), Some(&3));
        assert_eq!(pick(&policies, "w -> a -> b"), Some(&1));
        assert_eq!(pick(&policies, "w -> c -> b"), Some(&2));
        assert_eq!(pick(&policies, "w"), Some(&0));
        let mut reversed = policies.clone();
        reversed.reverse();
        assert_eq!(pick(&reversed, "x -> y -> c"), Some(&4));
        assert_eq!(pick(&reversed, "w -> a -> b"), Some(&1));
    }

    #[test]
    fn no_default_means_no_access() {
        assert_eq!(pick(&[(Selector::Exact(label("init -> a")), 1)], "init -> b"), None);
        assert_eq!(pick(&[], "init -> b"), None);
    }

    #[test]
    fn duplicates_are_found() {
        let twice = [Selector::Default, Selector::Exact(label("a")), Selector::Exact(label("a"))];
        assert_eq!(duplicate(&twice, |selector| selector), Some(&Selector::Exact(label("a"))));
        assert_eq!(duplicate(&twice[..2], |selector| selector), None);
    }

    fn parse(text: &str) -> Result<Selector, serde_json_core::de::Error> {
        serde_json_core::from_str(text).map(|(selector, _)| selector)
    }

    #[test]
    fn selectors_are_read_from_a_configuration() {
        assert_eq!(parse(r#"{"exact": "init -> sd"}"#), Ok(Selector::Exact(label("init -> sd"))));
        assert_eq!(parse(r#"{"prefix":"init"}"#), Ok(Selector::Prefix(label("init"))));
        assert_eq!(parse(r#"{"suffix":"sd"}"#), Ok(Selector::Suffix(label("sd"))));
        assert_eq!(parse(r#""default""#), Ok(Selector::Default));
        assert!(parse(r#"{"exact": "init -> "}"#).is_err());
        assert!(parse(r#"{"regex": "init"}"#).is_err());
        assert!(parse(r#""exact""#).is_err());
    }
}
