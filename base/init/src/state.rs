//! The state report as components read it: the ROM `state`.

use serde::Deserialize;
use session::Error;

/// The state of a system of at most `N` components.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct State<'a, const N: usize> {
    /// The components, by their numbers.
    #[serde(borrow)]
    pub components: heapless::Vec<Row<'a>, N>,
}

/// The state of a component.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Row<'a> {
    /// Its label.
    pub label: &'a str,
    /// `running`, `ending`, `waiting` or `ended`.
    pub state: &'a str,
    /// Restarts by its policy.
    pub restarts: u32,
    /// How it ended last; empty if it has not.
    pub end: &'a str,
    /// RAM in bytes: assigned, used, available, most ever used.
    pub ram: [u32; 4],
    /// Capabilities, likewise.
    pub caps: [u32; 4],
    /// Bytes of kernel objects and bookkeeping among the used RAM.
    pub kernel: u32,
    /// RAM and capabilities that it has asked for and not got.
    pub requested: [u32; 2],
}

impl<'a, const N: usize> State<'a, N> {
    /// From the content of the ROM.
    ///
    /// # Errors
    /// [`Error::Invalid`]: it is no state report, or one of more components.
    pub fn parse(content: &'a [u8]) -> Result<Self, Error> {
        serde_json_core::from_slice(content).map(|(state, _)| state).map_err(|_| Error::Invalid)
    }

    /// The component whose label ends with `name`.
    ///
    /// # Errors
    /// [`Error::NotFound`]
    pub fn component(&self, name: &str) -> Result<&Row<'a>, Error> {
        let named = |row: &&Row<'_>| row.label.rsplit(session::label::SEPARATOR).next() == Some(name);
        self.components.iter().find(named).ok_or(Error::NotFound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_back() {
        let text = br#"{"components":[{"label":"init -> sd","state":"running","restarts":2,"end":"exit 1","ram":[4096,1,2,3],"caps":[10,4,6,5],"kernel":1,"requested":[0,7],"more":"later"}]}"#;
        let state = State::<2>::parse(text).unwrap();
        let row = state.component("sd").unwrap();
        assert_eq!((row.restarts, row.end, row.ram[0], row.requested), (2, "exit 1", 4096, [0, 7]));
        assert_eq!(state.component("d"), Err(Error::NotFound));
        assert_eq!(State::<0>::parse(text), Err(Error::Invalid));
        assert_eq!(State::<2>::parse(b""), Err(Error::Invalid));
    }
}
