//! What may go wrong on a bus.

use serde::{Deserialize, Serialize};

/// A fault: what, where, how often.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Fault {
    /// The label of the slave it befalls; without one, any slave on the bus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slave: Option<String>,
    /// The byte of a message that it befalls: 0 is the address, 1 the first byte of data.
    #[serde(default)]
    pub byte: u32,
    /// What happens.
    pub kind: Kind,
    /// How often.
    #[serde(default)]
    pub occurs: Occurrence,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Kind {
    /// The slave does not acknowledge, and is deaf until the next START. In a read, where a slave has nothing to acknowledge, it
    /// falls silent: the master reads ones.
    Nack,
    /// The slave has lost count and holds SDA low until it has seen so many more clocks.
    Wedge {
        /// The clocks, at least 1.
        clocks: u32,
    },
    /// The slave holds SCL low before it answers.
    Stretch {
        /// For so long, in ns.
        ns: u64,
    },
    /// The slave holds SCL low until its faults are cleared.
    Hang,
    /// Another master takes the bus: it sends a zero where this master sends its next one. In a read a master sends nothing but
    /// acknowledgements, so it loses the bus when it sends the not-acknowledge at the end.
    LoseArbitration,
    /// Bits of the byte are inverted, on their way to the slave or from it. It cannot befall an address.
    Flip {
        /// The bits.
        mask: u8,
    },
}

/// How often a fault occurs. It is counted each time that its place is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Occurrence {
    /// The first time.
    #[default]
    Once,
    /// Every time.
    Always,
    /// Only the nth time, from 1 on.
    Nth(u32),
}

/// A fault that cannot be put on a bus.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    /// There is no such slave.
    #[error("no slave `{slave}` on the bus; there are: {known}")]
    NoSlave {
        /// The label asked for.
        slave: String,
        /// The labels that exist.
        known: String,
    },
    /// A number is out of its range.
    #[error("a fault's `{key}` must be {wanted}")]
    Range {
        /// The number.
        key: &'static str,
        /// What it must be.
        wanted: &'static str,
    },
}

impl Fault {
    /// A fault that befalls byte `byte` of the next message to any slave, once.
    pub fn new(kind: Kind, byte: u32) -> Self {
        Self { slave: None, byte, kind, occurs: Occurrence::Once }
    }

    /// The same fault, for one slave.
    #[must_use]
    pub fn on(self, slave: &str) -> Self {
        Self { slave: Some(slave.into()), ..self }
    }

    /// The same fault, as often as `occurs`.
    #[must_use]
    pub fn occurring(self, occurs: Occurrence) -> Self {
        Self { occurs, ..self }
    }

    /// Checks the numbers.
    pub(super) fn check(&self) -> Result<(), FaultError> {
        let range = |key, wanted| Err(FaultError::Range { key, wanted });
        match self.kind {
            Kind::Wedge { clocks: 0 } => range("clocks", "at least 1"),
            Kind::Flip { .. } if self.byte == 0 => range("byte", "at least 1 for bits to flip"),
            Kind::Flip { mask: 0 } => range("mask", "other than 0"),
            _ if self.occurs == Occurrence::Nth(0) => range("occurs", "at least 1"),
            _ => Ok(()),
        }
    }
}

/// A fault that waits for its place.
#[derive(Clone, Debug)]
pub(super) struct Armed {
    pub(super) fault: Fault,
    reached: u32,
    spent: bool,
}

/// Faults that wait.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults(Vec<Armed>);

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) {
        self.0.push(Armed { fault, reached: 0, spent: false });
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// What happens to `slave` at `byte`, of the kinds that `wanted` accepts.
    pub(super) fn strike(&mut self, slave: &str, byte: u32, wanted: impl Fn(Kind) -> bool) -> Option<Kind> {
        self.strike_if(|fault| {
            fault.byte == byte && wanted(fault.kind) && fault.slave.as_deref().is_none_or(|name| name == slave)
        })
    }

    /// What happens at `byte`, whoever is addressed, of the kinds that `wanted` accepts.
    pub(super) fn strike_any(&mut self, byte: u32, wanted: impl Fn(Kind) -> bool) -> Option<Kind> {
        self.strike_if(|fault| fault.byte == byte && wanted(fault.kind))
    }

    fn strike_if(&mut self, here: impl Fn(&Fault) -> bool) -> Option<Kind> {
        let mut struck = None;
        for armed in &mut self.0 {
            if here(&armed.fault) && struck.is_none() {
                armed.reached = armed.reached.saturating_add(1);
                let (now, spent) = match armed.fault.occurs {
                    Occurrence::Once => (true, true),
                    Occurrence::Always => (true, false),
                    Occurrence::Nth(n) => (armed.reached == n, armed.reached >= n),
                };
                armed.spent = spent;
                if now {
                    struck = Some(armed.fault.kind);
                }
            }
        }
        self.0.retain(|armed| !armed.spent);
        struck
    }
}
