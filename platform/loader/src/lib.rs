//! Puts kernel and core in memory and jumps.
