//! Session kinds: registering users' types, and running their commands with the types forgotten.
//!
//! Here user code meets stored bytes, and nothing else: no actor, no network, no clock. A worker looks up the kind,
//! gives it what the replica stores and an operation, and gets back what changed and what to reply.
//!
//! ```text
//! Types ──register──> Registry ──kind──> dyn Kind = TypedKind<S>
//!                                          run(LiveSession, Stored, Op, Occasion) -> Run { change, outcome }
//! ```

mod calling;
mod command;
mod failure;
#[cfg(feature = "http")]
pub mod json;
mod live;
mod operation;
#[cfg(feature = "redis")]
mod plain;
mod registry;
#[cfg(feature = "sim")]
mod spoken;
#[cfg(test)]
mod tests;
mod typed;
mod types;

#[cfg(feature = "redis")]
pub(crate) use self::plain::{Becomes, Life, Plain, PlainLimits, plain_bytes};
#[cfg(feature = "sim")]
pub(crate) use self::spoken::Spoken;
pub(crate) use self::{
    failure::Failure,
    live::LiveSession,
    operation::{Change, Occasion, Op, Payload, Run, Stored},
    registry::{Kinds, Registry},
    typed::{Kind, decode_image},
};
pub use self::{
    registry::Unreplicated,
    types::{Clash, Registration, Types},
};
