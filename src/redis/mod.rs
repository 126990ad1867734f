//! The Redis protocol of a node: keys as sessions, for session libraries of any language.
//!
//! A guest: it uses the node as any caller would, and takes no decision about the ring. Any node takes any key, and `OK` is said
//! when the in-sync backups have it. What is offered, and what is otherwise than with Redis, is in `docs/redis.md`.
//!
//! ```text
//! bytes ─► frames::Requests ─► commands::read ─► Client::see ─► units, by key ─► Door ─► Said ─► Line ─► frames::Reply ─► bytes
//!                                                      └─────► Alone: what concerns many keys ──────┘
//! ```
//!
//! An error reply means that nothing was done, of several keys that not all was. Where nobody can tell, the connection is closed.

mod alone;
mod arcs;
mod client;
mod commands;
mod complaints;
mod connection;
mod desk;
mod door;
mod frames;
mod glob;
mod id;
mod info;
mod keys;
mod known_script;
mod line;
mod node;
mod pace;
mod refusal;
mod scripts;
mod secret;
mod server;
mod settings;
mod slow;
mod state;
#[cfg(test)]
mod tests;
mod told;
mod units;
mod wall_clock;

pub use self::{node::RedisServer, server::RedisError};
