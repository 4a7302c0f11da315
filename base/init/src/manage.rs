//! Changing the system while it runs, for components that manage it.
//!
//! A manager is named in the description (`[init] manager = "NAME"` in a scenario). It starts from the description that the system was
//! booted with, changes what it wants, and submits the whole; init applies the difference.

use component::Rom;
use component::report::Reporter;
use session::Error;

use crate::description::{Component, Description, Entry, Header, REPORT, encode};

/// Bytes of the largest description that a manager can submit.
const CAPACITY: usize = 8192;

/// The description of a system with at most `N` components, to be changed.
pub struct Plan<'a, const N: usize> {
    header: Header,
    /// The components in the order of their start, with their configurations.
    pub entries: heapless::Vec<Entry<'a>, N>,
    reporter: Reporter,
}

impl<'a, const N: usize> Plan<'a, N> {
    /// The description in `rom`, the boot module `system`.
    ///
    /// # Errors
    /// [`Error::Invalid`]: it is damaged, or has more than `N` components; those of opening the report: [`Error::Denied`] without a route.
    pub fn new(rom: &'a Rom) -> Result<Self, Error> {
        let description = Description::parse(rom.content()).map_err(|_| Error::Invalid)?;
        let mut entries = heapless::Vec::new();
        for entry in description.entries() {
            entries.push(entry).map_err(|_| Error::Invalid)?;
        }
        Ok(Self { header: description.header, entries, reporter: Reporter::open(REPORT, CAPACITY as u32)? })
    }

    /// The component of that name.
    pub fn component(&mut self, name: &str) -> Result<&mut Component, Error> {
        self.entry(name).map(|entry| &mut entry.component)
    }

    /// The entry of that name.
    pub fn entry(&mut self, name: &str) -> Result<&mut Entry<'a>, Error> {
        self.entries.iter_mut().find(|entry| entry.component.name == name).ok_or(Error::NotFound)
    }

    /// Has init end the component of that name, whatever it is doing, and start it again: with another version it is another one.
    ///
    /// # Errors
    /// [`Error::NotFound`]: there is no such component; those of [`submit`](Self::submit).
    pub fn restart(&mut self, name: &str) -> Result<(), Error> {
        let component = self.component(name)?;
        component.version = component.version.wrapping_add(1);
        self.submit()
    }

    /// Lets init apply the description as it is now.
    ///
    /// # Errors
    /// [`Error::Invalid`]: it is too long.
    pub fn submit(&mut self) -> Result<(), Error> {
        let mut bytes = [0; CAPACITY];
        let used = encode(&self.header, self.entries.iter().cloned(), &mut bytes).map_err(|_| Error::Invalid)?;
        self.reporter.submit(bytes.get(..used).ok_or(Error::Invalid)?)
    }

    /// Submits bytes that need not be a description, to see them refused.
    pub fn submit_raw(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.reporter.submit(bytes)
    }
}
