//! The emulated part of the board: devices, nets, I2C buses, and what happens from outside.

pub mod command;
pub mod description;
pub mod report;
pub mod time;

pub use command::{Command, CommandError, Net, Reply, SlavePath, Times};
pub use description::{Description, DescriptionError};
pub use report::{Edge, History, Report};
pub use time::Time;
