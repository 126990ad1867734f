//! PURE: how an arc's history is kept on a primary and its backups.
//!
//! Commits, the primary and the backup, leases, links, catch-up, and the host that holds many arcs of one node. The rules and
//! the interleavings behind them are in `docs/protocol.md`. Like `membership`, it knows no runtime, clock, randomness or
//! serde format.

mod ahead;
mod backup;
mod by_arc;
mod by_key;
mod catch_up;
mod commit;
mod effect;
mod few;
mod host;
mod lease;
mod lifetime;
mod link;
mod message;
mod primary;
mod replica;
mod reply_table;
mod rules;
mod settings;
mod short_list;
mod stale;
mod store;

pub use backup::{Backup, Gap};
pub use catch_up::{CatchUp, Learner};
pub use commit::{Body, Changes, Commit, Events, ReplyEntry, SessionChange};
pub use effect::{Asker, Broken, Effect, Token};
pub use host::{Frame, Host, NotHere, Verdict, WORKERS_MAX};
pub use lease::{Grants, Leases, lengthened, shortened};
pub use lifetime::{Lapse, Left, Lifespan, Lifetime, Use};
pub use link::{LinkReceiver, LinkSender};
pub use message::{ArcContent, ArcMessage, FrameHead, LinkAck, Receipt, Received};
pub use primary::{Durability, Primary};
pub use replica::Replica;
pub use reply_table::{Known, ReplyLimits, ReplyTable};
pub use rules::{Rule, Rules};
pub use settings::{FRAME_BYTES, ReplicationSettings, Surroundings};
pub use stale::{StaleCopies, StaleCopy};
pub use store::{Carried, Record, Store};
