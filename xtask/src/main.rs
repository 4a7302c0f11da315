//! Build, run and test Zelkova.
fn main() {}
