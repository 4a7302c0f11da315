//! Device manager.
