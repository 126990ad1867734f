//! The `ringheir` binary.

fn main() {}
