//! What software did wrong, bounded.

use std::fmt;

use crate::Width;

/// Complaints that are kept until somebody takes them.
const KEPT: usize = 100;

/// Complaints of one device, oldest first. Software that does the same wrong thing for ever does not fill the host's
/// memory: what is too much is counted only.
#[derive(Debug)]
pub(crate) struct Complaints {
    list: Vec<String>,
    dropped: u64,
}

impl Complaints {
    /// None yet.
    pub(crate) const fn new() -> Self {
        Self { list: Vec::new(), dropped: 0 }
    }

    /// Adds a complaint. The text is not made if there is no room for it.
    #[cold]
    pub(crate) fn add(&mut self, text: impl FnOnce() -> String) {
        if self.list.len() < KEPT {
            self.list.push(text());
        } else {
            self.dropped += 1;
        }
    }

    /// `access`, a read or write, at an offset of `device` where there is no register.
    #[cold]
    pub(crate) fn no_register(&mut self, device: &str, access: &str, offset: u32) {
        self.add(|| format!("{device}: {access} at {offset:#05x}, where there is no register"));
    }

    /// A write to a part of a register of `device`, which takes words only.
    #[cold]
    pub(crate) fn narrow(&mut self, device: &str, register: fmt::Arguments<'_>, width: Width) {
        self.add(|| format!("{device}: {register} written {} bits wide; it takes words only", width.bytes() * 8));
    }

    /// Takes them all.
    pub(crate) fn take(&mut self) -> Vec<String> {
        let mut list = std::mem::take(&mut self.list);
        match std::mem::take(&mut self.dropped) {
            0 => {}
            dropped => list.push(format!("and {dropped} complaints more")),
        }
        list
    }
}
