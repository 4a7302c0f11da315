//! The root task: owns all untyped memory and sells it, page by page, against accounts.
//!
//! # Theory of operation
//!
//! The kernel hands all memory to this one program. It makes kernel objects from it on request, and every request names an
//! [account](session::core::AccountRequest) that pays: for the object at its real size, for the capability slots, and for the pages
//! in which core remembers it. So no request can use up what others own, and core itself needs nothing beyond a
//! reserve that is fixed at the start.
//!
//! - [`buddy`] and [`memory`]: blocks of untyped memory and their capabilities;
//! - [`store`] and [`objects`]: what core remembers, in pages that accounts bought;
//! - [`system`]: the operations: accounts, dataspaces, domains, threads, devices;
//! - [`serve`]: decoding requests and choosing answers;
//! - [`kernel`]: what of seL4 is used, as a trait, so that all of the above also runs on the host against a simulated kernel.
//!
//! Core has no policy. It never waits for a component: it answers each request at once, with an error if it cannot.
#![no_std]

#[cfg(test)]
extern crate std;

mod accounts;
pub mod buddy;
mod dataspaces;
mod devices;
pub mod domains;
pub mod faults;
pub mod kernel;
pub mod log;
pub mod memory;
pub mod objects;
mod pages;
pub mod paging;
pub mod parcels;
mod pieces;
pub mod serve;
#[cfg(test)]
#[allow(
    clippy::pedantic,
    clippy::manual_is_multiple_of,
    clippy::identity_op,
    reason = "tests say what they do at length"
)]
mod simulated;
pub mod store;
pub mod system;
#[cfg(test)]
#[allow(
    clippy::pedantic,
    clippy::manual_is_multiple_of,
    clippy::identity_op,
    reason = "tests say what they do at length"
)]
mod tests;
