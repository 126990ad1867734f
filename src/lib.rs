//! ringheir: stateful servers whose sessions survive the loss of their server.
//!
//! A session is an actor. It lives on one node, its primary; a read-only copy lives on the next node of the ring. A
//! command is acknowledged when both have it. When a node is lost, the others agree on a new view of the ring, the copies
//! become primaries, and the links close round the gap.

pub mod config;
pub mod error;
#[cfg(feature = "http")]
#[allow(dead_code, unused_imports, reason = "the node starts it")]
pub mod http;
pub mod id;
#[allow(dead_code, unused_imports, reason = "the runtime calls it")]
mod kinds;
pub mod membership;
pub mod moment;
pub mod replication;
pub mod session;
#[cfg(feature = "sim")]
pub mod sim;

#[allow(dead_code, reason = "used by the node, which is built on top of it")]
pub(crate) mod transport;
#[allow(dead_code, reason = "used by the node, which is built on top of it")]
pub(crate) mod wire;

#[cfg(feature = "http")]
pub use kinds::json;
pub use {
    error::{Error, ErrorKind},
    kinds::{Clash, Registration, Types},
    session::{Answer, Command, Context, Decide, EventSourced, Handle, Refused, Session, SessionId},
};
