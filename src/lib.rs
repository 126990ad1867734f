//! ringheir: stateful servers whose sessions survive the loss of their server.
//!
//! A session is an actor. It lives on one node, its primary; a read-only copy lives on the next node of the ring. A
//! command is acknowledged when both have it. When a node is lost, the others agree on a new view of the ring, the copies
//! become primaries, and the links close round the gap.

mod blob;
mod changes;
pub mod config;
pub mod error;
mod event;
#[cfg(feature = "sim")]
#[allow(clippy::disallowed_methods, reason = "it carries bytes between real processes: its delays are real time")]
pub mod fault_proxy;
#[cfg(feature = "http")]
pub mod http;
pub mod id;
mod kinds;
pub mod membership;
mod memory_network;
pub mod moment;
mod node;
#[cfg(feature = "redis")]
pub mod redis;
pub mod replication;
mod report;
mod runtime;
pub mod session;
mod session_ref;
#[cfg(feature = "sim")]
pub mod sim;
pub mod test;
#[allow(
    clippy::disallowed_methods,
    reason = "sockets are the shell: nonces, link ids, back-off, deadlines are its own"
)]
pub(crate) mod transport;
pub(crate) mod wire;

#[cfg(feature = "http")]
pub use kinds::json;
pub use {
    changes::{Change, Changes},
    error::{Bound, Error, ErrorKind},
    event::{Event, EventKind},
    kinds::{Clash, Registration, Types, Unreplicated},
    membership::RecoveryFault,
    memory_network::MemoryNetwork,
    node::{
        Death, Drain, DrainError, EventReceiver, HandBackError, MissingArcs, Node, NodeBuilder, Readiness, Recovery,
        Restored, StaleReport, StartError,
    },
    replication::{Durability, Lifespan},
    report::{ArcPart, ArcReport},
    session::{Answer, Command, Context, Decide, End, Ended, EventSourced, Handle, Refused, Session, SessionId},
    session_ref::{Answered, CallOptions, SessionRef, Stale},
};

/// The README's example is a test, too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
