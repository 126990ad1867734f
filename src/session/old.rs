//! `Old`: a state or event written by an earlier version of a session type, and `Undecodable`: what says that it cannot
//! be read.

use std::fmt;

use serde::de::DeserializeOwned;

use crate::wire::codec::{self, cut};

/// The longest reason, in bytes; a longer one is cut.
const REASON_MAX: usize = 256;

/// What an earlier version of a session type wrote.
#[derive(Clone, Copy)]
pub struct Old<'a> {
    version: u32,
    bytes: &'a [u8],
}

impl<'a> Old<'a> {
    pub(crate) const fn new(version: u32, bytes: &'a [u8]) -> Self {
        Self { version, bytes }
    }

    /// The `Session::VERSION` that wrote it; always lower than the present one.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// Reads it as the type that it was, or as any that is like it: fields are found by name.
    ///
    /// # Errors
    /// If it is not like that.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, Undecodable> {
        codec::decode(self.bytes, usize::MAX).map_err(|fault| Undecodable::because(fault.to_string()))
    }
}

impl fmt::Debug for Old<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Old {{ version: {}, {} bytes }}", self.version, self.bytes.len())
    }
}

/// A stored state or event cannot be read. It is kept as it is, and is never overwritten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undecodable {
    reason: String,
}

impl Undecodable {
    /// Says why, for the operator.
    #[must_use]
    pub fn because(reason: impl Into<String>) -> Self {
        Self { reason: cut(reason.into(), REASON_MAX) }
    }

    /// Why.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for Undecodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot be read: {}", self.reason)
    }
}

impl std::error::Error for Undecodable {}
