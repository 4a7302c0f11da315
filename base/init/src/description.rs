//! The compact form of a system description, as the host tool and managers hand it to init.
//!
//! # Theory of operation
//!
//! The host tool reads a scenario (one TOML file), checks it completely, and encodes the part that init needs as
//! [postcard](https://postcard.jamesmunns.com) bytes: a [`Header`], then as many [entries](Entry) as it says. A component that manages the
//! system sends init a new description in the same form while it runs.
//!
//! init decodes one entry after the other, needs no memory for the whole, and trusts nothing: a description is [checked](Description::parse) from
//! its first byte to its last before any of it takes effect.

use heapless::{String, Vec};
use serde::{Deserialize, Serialize};
use session::Service;

/// Longest name of a component, a binary or a ROM module, in bytes.
pub const NAME_LEN: usize = 24;
/// Most components in one description.
pub const COMPONENTS: usize = 4096;
/// Most routes of one component.
pub const ROUTES: usize = 8;
/// Most services that one component offers.
pub const PROVIDES: usize = 6;
/// Priorities that a component may have.
pub const PRIORITIES: core::ops::RangeInclusive<u8> = 1..=250;
/// Name of the report by which the [manager](Header::manager) sends a new description.
pub const REPORT: &str = "system";

/// A short name.
pub type Name = String<NAME_LEN>;

/// What is said about the system as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Number of entries that follow.
    pub components: u32,
    /// The component whose report named [`REPORT`] is the next description.
    pub manager: Option<Name>,
    /// The component that init asks for the time; without it there is no back-off and no heartbeat.
    pub timer: Option<Name>,
    /// The component that is believed when it says that others do not get the processor.
    pub watchdog: Option<Name>,
}

/// One component and its configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry<'a> {
    /// The component.
    pub component: Component,
    /// Its configuration, at most [`abi::CONFIG_LEN`] bytes; empty if it has none.
    pub config: &'a [u8],
}

/// One component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Component {
    /// Unique name; also the last part of its label (`init -> NAME`).
    pub name: Name,
    /// Name of the ROM module that holds its ELF file.
    pub binary: Name,
    /// A component whose version changes is restarted.
    pub version: u32,
    /// RAM that init lends it, in bytes: everything it uses, kernel objects included.
    pub ram: u32,
    /// Capabilities that init lends it.
    pub caps: u32,
    /// Scheduling priority, 1 (lowest) to 250.
    pub priority: u8,
    /// Stack of its main thread in bytes, a multiple of 4096.
    pub stack: u32,
    /// Services that it offers.
    pub provides: Vec<Service, PROVIDES>,
    /// Where its sessions go; a service without a route is denied. Of several routes for a service the first that answers counts.
    pub routes: Vec<Route, ROUTES>,
    /// What its end means for the whole run.
    pub on_exit: OnExit,
    /// Whether it is started again after its end; without a policy it is not.
    pub restart: Option<Restart>,
    /// What it is given when it asks for more; without a policy its wishes wait for a manager.
    pub grant: Option<Grant>,
    /// Milliseconds within which it must answer that it is alive.
    pub heartbeat: Option<u32>,
}

/// What it means when a component exits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnExit {
    /// Nothing: the others go on.
    Ignore,
    /// The run is over once every component of this kind has exited.
    Finish,
    /// The run is over, with its exit code.
    End,
}

/// How much a component may be given beyond its `ram` and `caps`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Most bytes of RAM.
    pub ram: u32,
    /// Most capabilities.
    pub caps: u32,
    /// It is ended if it does not give them back in time when it is asked to.
    pub must_yield: bool,
}

/// When a component is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    /// Most restarts; then it stays ended.
    pub limit: u32,
    /// Milliseconds between the end and the first restart; each further one takes twice as long, up to 64 times.
    pub backoff: u32,
    /// After every end, and not only after a failure.
    pub always: bool,
    /// After each end, the free memory and capability slots of the whole system are compared with those after the first end.
    pub audit: bool,
}

/// Where the sessions of one service go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The service asked for.
    pub service: Service,
    /// Who answers.
    pub target: Target,
}

/// Who answers a session request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// Core itself (`"core"` in a scenario).
    Core,
    /// init itself (`"init"`): reports, what others have reported, and the state of the system.
    Init,
    /// The parent of a nested init (`"parent"`).
    Parent,
    /// The component of that name.
    Child(Name),
}

/// What is wrong with a description.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DescriptionError {
    /// It is cut off, or no description.
    #[error("the description is damaged at byte {0}")]
    Damaged(usize),
    /// It says that it has more components than there can be.
    #[error("a system has at most {COMPONENTS} components, not {0}")]
    TooMany(u32),
    /// A component has no name.
    #[error("component number {0} has no name")]
    NoName(u32),
    /// A value that no component can have.
    #[error("{name}: {what} is out of range")]
    OutOfRange {
        /// The component.
        name: Name,
        /// Which value.
        what: &'static str,
    },
    /// Two components of one name.
    #[error("there are two components `{0}`")]
    Duplicate(Name),
}

/// A description that has been checked.
#[derive(Clone, Debug)]
pub struct Description<'a> {
    /// The system as a whole.
    pub header: Header,
    entries: &'a [u8],
}

impl<'a> Description<'a> {
    /// Checks a description. Names are not compared with each other: that is for those who keep a table of them.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DescriptionError> {
        let (header, entries) = postcard::take_from_bytes::<Header>(bytes).map_err(|_| DescriptionError::Damaged(0))?;
        if header.components as usize > COMPONENTS {
            return Err(DescriptionError::TooMany(header.components));
        }
        let mut rest = entries;
        for number in 0..header.components {
            let at = bytes.len() - rest.len();
            let (entry, next) =
                postcard::take_from_bytes::<Entry<'_>>(rest).map_err(|_| DescriptionError::Damaged(at))?;
            rest = next;
            check(&entry, number)?;
        }
        Ok(Self { header, entries })
    }

    /// The components in the order of their start: servers before their clients.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'a>> + use<'a> {
        let (mut rest, mut left) = (self.entries, self.header.components);
        core::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            // They have all been decoded once before.
            let (entry, next) = postcard::take_from_bytes(rest).ok()?;
            rest = next;
            Some(entry)
        })
    }
}

fn check(entry: &Entry<'_>, number: u32) -> Result<(), DescriptionError> {
    let Entry { component, config } = entry;
    let out_of_range = |what| Err(DescriptionError::OutOfRange { name: component.name.clone(), what });
    if component.name.is_empty() || component.binary.is_empty() {
        return Err(DescriptionError::NoName(number));
    }
    if !PRIORITIES.contains(&component.priority) {
        return out_of_range("priority");
    }
    if component.stack == 0 || !component.stack.is_multiple_of(4096) {
        return out_of_range("stack");
    }
    if config.len() > abi::CONFIG_LEN {
        return out_of_range("length of the configuration");
    }
    Ok(())
}

/// Writes a description with one entry for each component and configuration.
///
/// # Errors
/// `bytes` is full. `header.components` need not be right.
pub fn encode<'a, I>(header: &Header, entries: I, bytes: &mut [u8]) -> Result<usize, postcard::Error>
where
    I: IntoIterator<Item = Entry<'a>, IntoIter: Clone>,
{
    let entries = entries.into_iter();
    let header = Header { components: entries.clone().count() as u32, ..header.clone() };
    let mut used = postcard::to_slice(&header, bytes)?.len();
    for entry in entries {
        let rest = bytes.get_mut(used..).unwrap_or_default();
        used += postcard::to_slice(&entry, rest)?.len();
    }
    Ok(used)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec as List;

    pub(crate) fn component(name: &str) -> Component {
        Component {
            name: name.try_into().unwrap(),
            binary: "binary".try_into().unwrap(),
            version: 0,
            ram: 65536,
            caps: 20,
            priority: 100,
            stack: 4096,
            provides: Vec::new(),
            routes: Vec::from_iter([Route { service: Service::Log, target: Target::Core }]),
            on_exit: OnExit::Finish,
            restart: Some(Restart { limit: 3, backoff: 0, always: false, audit: false }),
            grant: None,
            heartbeat: None,
        }
    }

    fn encoded(entries: &[Entry<'_>]) -> List<u8> {
        let mut bytes = std::vec![0; 4096];
        let used = encode(&Header::default(), entries.iter().cloned(), &mut bytes).unwrap();
        bytes.truncate(used);
        bytes
    }

    #[test]
    fn descriptions_survive_the_wire() {
        let entries =
            [Entry { component: component("one"), config: b"{}" }, Entry { component: component("two"), config: &[] }];
        let bytes = encoded(&entries);
        let description = Description::parse(&bytes).unwrap();
        assert_eq!(description.header.components, 2);
        assert_eq!(description.entries().collect::<List<_>>(), entries);
        assert!(encode(&Header::default(), entries, &mut [0; 40]).is_err());
    }

    #[test]
    fn damaged_descriptions_are_refused_as_a_whole() {
        let entries = [
            Entry { component: component("one"), config: &[] },
            Entry { component: Component { priority: 251, ..component("two") }, config: &[] },
        ];
        let bytes = encoded(&entries);
        let error = Description::parse(&bytes).unwrap_err();
        assert_eq!(std::format!("{error}"), "two: priority is out of range");
        let bytes = encoded(&entries[..1]);
        for length in 0..bytes.len() {
            assert!(Description::parse(&bytes[..length]).is_err(), "{length}");
        }
        let mut many = bytes;
        many.splice(0..1, [0xff, 0xff, 0x03]);
        assert_eq!(Description::parse(&many).unwrap_err(), DescriptionError::TooMany(0xffff));
    }

    proptest! {
        #[test]
        fn any_bytes_parse_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(description) = Description::parse(&bytes) {
                prop_assert_eq!(description.entries().count() as u32, description.header.components);
            }
        }
    }
}
