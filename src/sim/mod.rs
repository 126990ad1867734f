//! A guest: the seeded simulator. It runs the pure rooms (`membership`, `replication`) over virtual time and a faulty
//! network, records what callers were told, and judges the record. The same seed gives the same bytes.
//!
//! - [`random`]: the only source of chance, in streams independent by name.
//! - [`check`]: the judges of a finished run, pure and deterministic, one invariant a file.
//!
//! Nothing here reads a clock, starts a thread or opens a socket, and no other room knows that it exists.

pub mod campaign;
pub mod check;
mod client;
mod network;
mod node;
pub mod random;
pub mod run;
mod world;
