//! The compact form of a system description, as the host tool hands it to init.
//!
//! The host tool reads a scenario (one TOML file), checks it completely, and encodes the part
//! that init needs as [postcard](https://postcard.jamesmunns.com) bytes. init decodes them once
//! at start and trusts nothing: a description that does not decode is a clear error.

use heapless::{String, Vec};
use serde::{Deserialize, Serialize};
use session::Service;

/// Longest name of a component, a binary or a ROM module, in bytes.
pub const NAME_LEN: usize = 24;
/// Most components in one description.
pub const COMPONENTS: usize = 32;
/// Most routes of one component.
pub const ROUTES: usize = 8;
/// Most services that one component offers.
pub const PROVIDES: usize = 6;

/// A short name.
pub type Name = String<NAME_LEN>;

/// A whole system: what init starts, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// The components, servers before their clients.
    pub components: Vec<Component, COMPONENTS>,
}

/// One component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Component {
    /// Unique name; also the last part of its label (`init -> NAME`).
    pub name: Name,
    /// Name of the ROM module that holds its ELF file.
    pub binary: Name,
    /// Name of the ROM module that holds its configuration (JSON), if it has one.
    pub config: Option<Name>,
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
    /// Where its sessions go; a service without a route is denied.
    pub routes: Vec<Route, ROUTES>,
    /// What its end means for the whole run.
    pub on_exit: OnExit,
}

/// What it means when a component exits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnExit {
    /// Nothing: the others go on.
    Ignore,
    /// The run is over once every component of this kind has exited.
    Finish,
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
    /// The component of that name.
    Child(Name),
}
