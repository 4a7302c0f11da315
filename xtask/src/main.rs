//! Build, run and test Zelkova.
mod configs;
mod diagnostic;
mod scenario;
fn main() {}
