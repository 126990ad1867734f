//! ACTORS: what owns time, chance and IO, around the pure rooms.
//!
//! ```text
//!               callers (any task)                     peers
//!                    │ router::call, Bundle              │ transport
//!                    ▼                                   ▼
//!   supervisor ─► worker 0..n ◄────────────────── inbound::Gateway (readers' tasks)
//!        │           │  Host (pure), live sessions       │
//!        │           └─► transport: frames, acks         │
//!        └─────► view keeper ◄──────────────────────────┘
//!                    ▲   Founding, Keeper (pure)
//!                    │
//!             heartbeat thread: Monitor (pure)
//! ```
//!
//! The restart strategies are in `supervisor`. No decision that a pure room could take is taken here.

mod answers;
#[cfg_attr(not(feature = "redis"), allow(dead_code, reason = "so far only the Redis port makes many calls at once"))]
pub(crate) mod bundle;
pub(crate) mod calls;
pub(crate) mod chance;
pub(crate) mod clock;
mod dedicated;
mod drawn;
mod ending;
mod execute;
mod following;
pub(crate) mod forwarded;
pub(crate) mod inbound;
pub(crate) mod inbox;
pub(crate) mod listing;
mod live_cache;
pub(crate) mod message;
pub(crate) mod monitor;
mod outgoing;
pub(crate) mod reporting;
pub(crate) mod router;
pub(crate) mod shared;
pub(crate) mod supervisor;
mod tasks;
mod to_write;
mod together;
pub(crate) mod view_keeper;
pub(crate) mod visit;
pub(crate) mod vote_file;
mod watchdog;
mod watchers;
pub(crate) mod worker;
