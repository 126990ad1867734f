//! Bytes: how frames are cut, how large they may be, and how a handshake is written down.
//!
//! The only room that names rmp-serde. It knows no socket, no actor and no meaning of what it carries. Lengths are checked
//! here before anything is allocated or decoded, and no type on the wire is recursive: rmp-serde does not limit the depth of
//! recursive enums, so a recursive one would let a peer overflow our stack.

pub(crate) mod codec;
pub(crate) mod frame;
pub(crate) mod handshake;
pub(crate) mod limits;
mod nesting;
