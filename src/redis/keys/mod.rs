//! What a key holds: the session kind behind the Redis protocol.
//!
//! Each key is a session of its own, with a value of one type; how long it lives is the session's lifespan, as for every kind.
//! It knows no protocol, connection or node: what a client's command comes to is a [`Change`] of one key or a [`Look`] at it, and
//! what it answers is [`Said`], errors of the value among it. So several can be one commit whatever each of them says.
//!
//! Invariant: a key without a value is no session. A hash without fields is none either.

mod bytes;
mod change;
mod look;
pub(super) mod number;
mod said;
mod span;
mod value;

pub(super) use self::{
    bytes::{register, said},
    change::{Change, Old, When},
    look::Look,
    said::{Complaint, Said, TypeName},
    span::{Only, Span},
    value::{Key, Value},
};
