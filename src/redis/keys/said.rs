//! `Said`: what one command says of a key, a complaint about its value among it.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Value;

/// What a key says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Said {
    /// It was done, and there is nothing to tell.
    #[serde(rename = "o")]
    Done,
    /// There is nothing, or nothing was done.
    #[serde(rename = "0")]
    Nothing,
    /// A number.
    #[serde(rename = "i")]
    Number(i64),
    /// Bytes.
    #[serde(rename = "b")]
    Bytes(Bytes),
    /// One for each that was asked for.
    #[serde(rename = "l")]
    List(Vec<Option<Bytes>>),
    /// Fields with their values.
    #[serde(rename = "m")]
    Pairs(Vec<(Bytes, Bytes)>),
    /// The type of the value; `None`: there is no key.
    #[serde(rename = "t")]
    Type(Option<TypeName>),
    /// All of it, with what is left of its time in milliseconds, if it ends.
    #[serde(rename = "w")]
    Whole(Option<Value>, Option<u64>),
    /// It was not done.
    #[serde(rename = "e")]
    No(Complaint),
}

/// The types of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum TypeName {
    /// A string.
    #[serde(rename = "s")]
    Text,
    /// A hash.
    #[serde(rename = "h")]
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
    #[serde(rename = "t")]
    WrongType,
    /// The string is no whole number of 64 bits.
    #[serde(rename = "n")]
    NotANumber,
    /// A hash's field is none.
    #[serde(rename = "f")]
    FieldNotANumber,
    /// The number would leave the range.
    #[serde(rename = "o")]
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

    pub(super) fn count(count: usize) -> Self {
        Self::Number(i64::try_from(count).unwrap_or(i64::MAX))
    }
}
