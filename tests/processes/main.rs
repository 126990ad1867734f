//! Real `ringheir node` processes, real sockets, real kills: what an operator may do to a ring, rightly and wrongly.
//!
//! Every node is the debug binary in a process of its own, on loopback ports and in a folder of the test's own; nothing
//! outlives a test, however it ends. No time is judged, except that everything that should come does so before a generous
//! deadline.
#![cfg(feature = "cli")]
#![expect(clippy::disallowed_methods, reason = "deadlines of a test over real processes are real time")]

mod expiry;
mod founding;
mod http;
mod load;
mod misuse;
mod pinning;
mod recovery;
mod redis;
mod ring;
mod rolling;
mod signals;
mod silence;
mod stops;
mod strangers;
mod stream;
