//! `Said`: what one command says of a key, a complaint about its value among it.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Value;

/// What a key says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Said {
    /// It was done, and there is nothing to tell.
    Done,
    /// There is nothing, or nothing was done.
    Nothing,
    /// A number.
    Number(i64),
    /// Bytes.
    Bytes(Bytes),
    /// One for each that was asked for.
    List(Vec<Option<Bytes>>),
    /// Fields with their values.
    Pairs(Vec<(Bytes, Bytes)>),
    /// The type of the value; `None`: there is no key.
    Type(Option<TypeName>),
    /// All of it, with what is left of its time in milliseconds, if it ends.
    Whole(Option<Value>, Option<u64>),
    /// It was not done.
    No(Complaint),
}

/// The types of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum TypeName {
    /// A string.
    Text,
    /// A hash.
    Hash,
}

impl TypeName {
    /// As `TYPE` tells it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "string",
            Self::Hash => "hash",
        }
    }
}

/// Why a command was not done, as far as that lies in the value. The key is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Complaint {
    /// The value is of another type.
    WrongType,
    /// The string is no whole number of 64 bits.
    NotANumber,
    /// A hash's field is none.
    FieldNotANumber,
    /// The number would leave the range.
    Overflow,
}

impl Complaint {
    /// In the words of Redis, its code first.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::WrongType => "WRONGTYPE Operation against a key holding the wrong kind of value",
            Self::NotANumber => "ERR value is not an integer or out of range",
            Self::FieldNotANumber => "ERR hash value is not an integer",
            Self::Overflow => "ERR increment or decrement would overflow",
        }
    }
}

impl From<Result<Self, Complaint>> for Said {
    fn from(said: Result<Self, Complaint>) -> Self {
        said.unwrap_or_else(Self::No)
    }
}

impl Said {
    pub(super) fn bytes(bytes: Option<&Bytes>) -> Self {
        bytes.map_or(Self::Nothing, |bytes| Self::Bytes(bytes.clone()))
    }

    /// Bytes of what it carries, about.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::List(list) => list.iter().map(|one| 32 + one.as_ref().map_or(0, Bytes::len)).sum(),
            Self::Pairs(pairs) => pairs.iter().map(|(field, value)| 64 + field.len() + value.len()).sum(),
            Self::Done | Self::Nothing | Self::Number(_) | Self::Type(_) | Self::Whole(..) | Self::No(_) => 0,
        }
    }

    pub(super) fn count(count: usize) -> Self {
        Self::Number(i64::try_from(count).unwrap_or(i64::MAX))
    }
}
