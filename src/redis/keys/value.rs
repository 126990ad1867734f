//! `Key`: one key as a session, and `Value`, what it holds.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Complaint, TypeName};

/// What a key holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Value {
    /// A string.
    Text(Bytes),
    /// A hash. In the order of its fields, so that every node tells it alike.
    Hash(BTreeMap<Bytes, Bytes>),
}

impl Value {
    pub(super) const fn name(&self) -> TypeName {
        match self {
            Self::Text(_) => TypeName::Text,
            Self::Hash(_) => TypeName::Hash,
        }
    }
}

/// One key; without a value for as long as a command looks at a key that does not exist.
#[derive(Debug, Default)]
pub(crate) struct Key {
    pub(super) value: Option<Value>,
    /// Whether a command has written it, be it what it was: as Redis counts a change.
    pub(super) is_written: bool,
}

impl Key {
    /// The string; `None`: there is no key.
    pub(super) const fn text(&self) -> Result<Option<&Bytes>, Complaint> {
        match &self.value {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(Value::Hash(_)) => Err(Complaint::WrongType),
        }
    }

    /// The hash; `None`: there is no key.
    pub(super) const fn hash(&self) -> Result<Option<&BTreeMap<Bytes, Bytes>>, Complaint> {
        match &self.value {
            None => Ok(None),
            Some(Value::Hash(hash)) => Ok(Some(hash)),
            Some(Value::Text(_)) => Err(Complaint::WrongType),
        }
    }

    /// The hash to write in, an empty one where there is no key.
    pub(super) fn hash_mut(&mut self) -> Result<&mut BTreeMap<Bytes, Bytes>, Complaint> {
        match self.value.get_or_insert_with(|| Value::Hash(BTreeMap::new())) {
            Value::Hash(hash) => Ok(hash),
            Value::Text(_) => Err(Complaint::WrongType),
        }
    }
}
