//! The contract between a component and the platform under it.
