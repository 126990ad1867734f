//! The bytes of the Redis protocol: requests out of what arrives, replies into what leaves.
//!
//! Encoding and decoding are `redis-protocol`'s. Before it a [`scan::Scan`] looks over what has arrived, since the codec would
//! follow any nesting and believe any length; so it is only ever given one whole request of strings that lie in the buffer.
//! It knows no command.

mod inline;
mod reply;
mod requests;
mod scan;

pub(super) use self::{
    reply::{Protocol, Reply},
    requests::Requests,
    scan::{Bounds, ProtocolFault},
};
