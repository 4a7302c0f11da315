//! The root task.
