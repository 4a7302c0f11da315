//! Device models in plain Rust.
