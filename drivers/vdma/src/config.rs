//! What is connected to the engine, and who may use it.
//!
//! A client is known by its label, which its parent gives it and which it cannot choose. The policy of a client is the one whose selector fits
//! best, see [`session::label`]. A client without a policy is denied.
//!
//! ```toml
//! stores = 3                       # as the engine is built into the PL
//! alignment = 8
//! display = { width = 1280, height = 720, format = "rgb888", millihertz = 60000 }
//! camera = { width = 640, height = 480, format = "rgb888", millihertz = 30000 }
//!
//! [[policies]]
//! selector = { exact = "init -> dashboard" }
//! screen = true
//! ```

use heapless::Vec;
use serde::Deserialize;
use session::framebuffer::Format;
use session::label::{self, Label, Selector};

use crate::channel::{Hardware, Picture};

/// Most policies.
pub const POLICIES: usize = 8;

/// The driver's configuration. [`Config::check`] it once before use.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Frame stores of the engine, 1 to 32.
    pub stores: u8,
    /// Bytes of its memory-mapped data path, a power of two.
    pub alignment: u32,
    /// It has a data realignment engine.
    #[serde(default)]
    pub realignment: bool,
    /// What the read channel leads to.
    #[serde(default)]
    pub display: Option<Stream>,
    /// Where the write channel comes from.
    #[serde(default)]
    pub camera: Option<Stream>,
    /// Who may use what.
    pub policies: Vec<Policy, POLICIES>,
}

/// A video stream, as the PL is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stream {
    /// Pixels of a line.
    pub width: u32,
    /// Lines.
    pub height: u32,
    /// How a pixel lies in memory.
    pub format: Format,
    /// Frames in 1000 seconds.
    pub millihertz: u32,
}

/// What the clients that a selector fits may use.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Whom the policy is for.
    pub selector: Selector,
    /// The screen.
    #[serde(default)]
    pub screen: bool,
    /// The camera.
    #[serde(default)]
    pub camera: bool,
}

/// What is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Two policies have the same selector.
    #[error("two policies for {0:?}; put what they allow into one")]
    Duplicate(Selector),
    /// There is no such engine.
    #[error("{0} frame stores; an engine has 1 to 32")]
    Stores(u8),
    /// There is no such data path.
    #[error("a data path of {0} bytes; it is a power of two from 4 to 128")]
    Alignment(u32),
    /// The engine cannot move such pictures.
    #[error("pictures of {width} x {height} do not fit the engine's registers")]
    Size {
        /// Pixels of a line.
        width: u32,
        /// Lines.
        height: u32,
    },
    /// The length of a line is no multiple of the data path.
    #[error("a line of {line_bytes} bytes is no multiple of the data path's {alignment}")]
    Line {
        /// Bytes of a line.
        line_bytes: u32,
        /// Bytes of the data path.
        alignment: u32,
    },
}

impl Config {
    /// Checks everything.
    ///
    /// # Errors
    /// [`ConfigError`] for the first thing that is wrong.
    pub fn check(&self) -> Result<(), ConfigError> {
        if let Some(selector) = label::duplicate(&self.policies, |policy| &policy.selector) {
            return Err(ConfigError::Duplicate(selector.clone()));
        }
        if !(1..=32).contains(&self.stores) {
            return Err(ConfigError::Stores(self.stores));
        }
        let alignment = self.alignment;
        if !alignment.is_power_of_two() || !(4..=128).contains(&alignment) {
            return Err(ConfigError::Alignment(alignment));
        }
        for stream in [self.display, self.camera].into_iter().flatten() {
            let Stream { width, height, .. } = stream;
            if !(1..=0x1FFF).contains(&height) || !(1..=0xFFFF / stream.format.bytes()).contains(&width) {
                return Err(ConfigError::Size { width, height });
            }
            let line_bytes = width * stream.format.bytes();
            let picture = self.picture(&stream);
            if picture.stride > 0xFFFF || picture.bytes().is_none() {
                return Err(ConfigError::Size { width, height });
            }
            if !self.realignment && !line_bytes.is_multiple_of(alignment) {
                return Err(ConfigError::Line { line_bytes, alignment });
            }
        }
        Ok(())
    }

    /// How the engine is built.
    pub fn hardware(&self) -> Hardware {
        Hardware { stores: self.stores, alignment: self.alignment, realignment: self.realignment }
    }

    /// The form of a stream's pictures in memory. Lines begin at multiples of the data path.
    pub fn picture(&self, stream: &Stream) -> Picture {
        let line_bytes = stream.width * stream.format.bytes();
        let stride = line_bytes.next_multiple_of(self.alignment.max(1));
        Picture { line_bytes, lines: stream.height, stride }
    }

    /// The policy for a client, or `None` if it is to be denied.
    pub fn policy(&self, label: &Label) -> Option<&Policy> {
        label::best_match(&self.policies, |policy| &policy.selector, label)
    }
}
