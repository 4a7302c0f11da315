//! What is known of a run at its end.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::video::DisplayReport;
use crate::frames;

/// So many edges of a net are kept one by one.
pub const EDGES_KEPT: usize = 1 << 16;

/// What is known of a run at its end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The board's time in nanoseconds.
    pub time: u64,
    /// The nets by name (`MIO7`, `EMIO3`, `LD0`), without those that were always low and are not driven from outside.
    pub nets: BTreeMap<String, History>,
    /// The slaves by their path (`i2c0/0x50`, behind a multiplexer `i2c0/0x70/3/0x50`).
    pub slaves: BTreeMap<String, Slave>,
    /// What went over each bus last, oldest first: `S` is START, `Sr` a repeated one, `P` STOP, `+` and `-` behind a byte its acknowledgement.
    pub transactions: BTreeMap<String, Vec<String>>,
    /// The display, if there is one.
    #[serde(default)]
    pub display: Option<DisplayReport>,
    /// Who has touched the memory of pictures, if that was watched.
    #[serde(default)]
    pub frames: Option<frames::Report>,
    /// What software did wrong, and how often.
    pub complaints: BTreeMap<String, u32>,
    /// Why the boot ROM has stopped, with its code, if it has.
    #[serde(default)]
    pub stopped: Option<String>,
    /// Bytes of the boot loader that the boot ROM has started last.
    #[serde(default)]
    pub loader: Option<u32>,
    /// Events whose console line never came.
    pub pending: Vec<String>,
}

/// A slave.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slave {
    /// Its label.
    pub label: String,
    /// Its memory or state, as hexadecimal digits.
    pub memory: String,
}

/// The levels of a net over time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// At the beginning.
    pub initial: bool,
    /// Now.
    pub level: bool,
    /// How often it changed.
    pub count: u64,
    /// The changes in the order of time, the first [`EDGES_KEPT`] of them.
    pub edges: Vec<Edge>,
}

/// A change of a net's level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edge {
    /// When, in nanoseconds of the board's time.
    pub time: u64,
    /// To which level.
    pub level: bool,
}

impl History {
    /// Notes the level at `time`.
    pub fn note(&mut self, time: u64, level: bool) {
        if level == self.level {
            return;
        }
        self.level = level;
        self.count += 1;
        if self.edges.len() < EDGES_KEPT {
            self.edges.push(Edge { time, level });
        }
    }

    /// Times between rising edges, in nanoseconds.
    pub fn periods(&self) -> Vec<u64> {
        let rising: Vec<u64> = self.edges.iter().filter(|edge| edge.level).map(|edge| edge.time).collect();
        rising.windows(2).filter_map(|pair| pair.last()?.checked_sub(*pair.first()?)).collect()
    }
}
