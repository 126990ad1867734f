//! Bytes: what travels between nodes and what a replica keeps, decoded fallibly and within bounds.

pub(crate) mod codec;
mod nesting;
