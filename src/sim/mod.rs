//! A guest: the seeded simulator. It runs the pure rooms (`membership`, `replication`) over virtual time and a faulty
//! network, records what callers were told, and judges the record. The same seed gives the same bytes.
//!
//! - [`random`]: the only source of chance, in streams independent by name.
//! - [`run`]: one run by seed, its mixes of faults, its planted bugs; [`campaign`]: many.
//! - [`scenario`]: what is to go wrong when and what must follow, from a file; [`play`]: one of them, played.
//! - [`fault_points`]: not by chance but one by one: a kill after every event of a commit, a promotion, a catch-up.
//! - [`trace`]: what happened in one run; [`timeline`]: that as a page to look at, and how two runs differ.
//! - [`check`]: the judges of a finished run, pure and deterministic, one invariant a file.
//!
//! - [`hosting`]: the same for sessions of a user's own type.
//! - [`workload`]: what callers do.
//! - [`network`]: whether and when what one node says reaches the other.
//!
//! Nothing here reads a clock or opens a socket. One other room knows of it: `fault_proxy`, which puts [`network`] between real processes.

pub mod campaign;
pub mod check;
mod client;
mod clock;
mod fault;
pub mod fault_points;
pub mod hosting;
mod lifetimes;
pub mod network;
mod node;
mod packet;
pub mod play;
mod queue;
pub mod random;
mod record;
mod register;
pub mod run;
pub mod scenario;
mod serving;
mod several;
pub mod shrink;
pub mod timeline;
pub mod trace;
pub mod workload;
mod world;
