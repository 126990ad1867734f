//! ringheir: stateful servers whose sessions survive the loss of their server.
//!
//! A session is an actor. It lives on one node, its primary; a read-only copy lives on the next node of the ring. A
//! command is acknowledged when both have it. When a node is lost, the others agree on a new view of the ring, the copies
//! become primaries, and the links close round the gap.

pub mod config;
pub mod id;
pub mod membership;
pub mod moment;
pub mod replication;
#[cfg(feature = "sim")]
pub mod sim;
