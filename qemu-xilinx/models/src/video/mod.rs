//! What a video DMA engine is connected to: a display and a camera.
//!
//! # How the hardware works
//!
//! Behind the read channel of a video DMA engine, a timing generator counts pixels: sync, back porch, active lines, front
//! porch, and again. At each vertical sync it tells the engine to begin a frame. It takes lines when the beam is there, no matter whether they are
//! ready, and what it takes goes to a transmitter, which shows nothing until software has configured it. Before the write channel sits a
//! camera that sends lines with its own clock, and nobody can make it wait.
//!
//! # What this module does
//!
//! - [`mode`]: timings of progressive video modes and pixel formats.
//! - [`Sink`]: the display side. It keeps the last frames as they were scanned out, and a record of every frame.
//! - [`Source`]: the camera side, with a moving picture whose every pixel can be computed.
//! - [`adv7511`]: what the registers of an ADV7511 say about whether a picture comes out.
//!
//! # What it does not do
//!
//! Interlaced modes, audio, HDCP, colour spaces other than RGB.

pub mod adv7511;
pub mod mode;
mod sink;
mod source;

pub use mode::{Format, Mode};
pub use sink::{Frame, Record, Run, Sink};
pub use source::{Source, StreamFault, camera_pixel};
