//! Builds the seL4 kernel and collects its interface description.
