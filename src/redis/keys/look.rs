//! `Look`: a question to one key. It changes nothing, not even how long the key lives.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Complaint, Key, Said, Value, span::millis};

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Look {
    /// The string.
    Text,
    /// The string, nothing where the value is another.
    TextIfAny,
    /// How long the string is.
    Length,
    /// 1 if there is a key, else 0.
    Exists,
    /// The type.
    Type,
    /// What is left of its time, in milliseconds; -1: it does not end; -2: there is no key.
    Left,
    /// All of it.
    Whole,
    /// One field of a hash.
    Field(Bytes),
    /// Several.
    Fields(Vec<Bytes>),
    /// All with their values.
    Pairs,
    /// All fields.
    Names,
    /// All values.
    Values,
    /// How many fields.
    Size,
    /// 1 if there is such a field, else 0.
    HasField(Bytes),
    /// How many bytes a field's value has.
    FieldLength(Bytes),
}

impl Key {
    /// Answers where so much is left of its time.
    pub(super) fn look(&self, look: &Look, left: Option<Duration>) -> Said {
        self.try_look(look, left).into()
    }

    fn try_look(&self, look: &Look, left: Option<Duration>) -> Result<Said, Complaint> {
        let number = |is: bool| Said::Number(i64::from(is));
        Ok(match look {
            Look::Text => Said::bytes(self.text()?),
            Look::TextIfAny => Said::bytes(self.text().unwrap_or_default()),
            Look::Length => Said::count(self.text()?.map_or(0, Bytes::len)),
            Look::Exists => number(self.value.is_some()),
            Look::Type => Said::Type(self.value.as_ref().map(Value::name)),
            Look::Left => Said::Number(match (&self.value, left) {
                (None, _) => -2,
                (Some(_), None) => -1,
                (Some(_), Some(left)) => i64::try_from(millis(left)).unwrap_or(i64::MAX),
            }),
            Look::Whole => Said::Whole(self.value.clone(), left.map(millis)),
            Look::Field(field) => Said::bytes(self.hash()?.and_then(|hash| hash.get(field))),
            Look::Fields(fields) => {
                let hash = self.hash()?;
                Said::List(fields.iter().map(|field| hash?.get(field).cloned()).collect())
            }
            Look::Pairs => {
                let pairs = self.hash()?.into_iter().flatten();
                Said::Pairs(pairs.map(|(field, value)| (field.clone(), value.clone())).collect())
            }
            Look::Names => {
                Said::List(self.hash()?.into_iter().flatten().map(|(field, _)| Some(field.clone())).collect())
            }
            Look::Values => {
                Said::List(self.hash()?.into_iter().flatten().map(|(_, value)| Some(value.clone())).collect())
            }
            Look::Size => Said::count(self.hash()?.map_or(0, |hash| hash.len())),
            Look::HasField(field) => number(self.hash()?.is_some_and(|hash| hash.contains_key(field))),
            Look::FieldLength(field) => {
                Said::count(self.hash()?.and_then(|hash| hash.get(field)).map_or(0, Bytes::len))
            }
        })
    }
}
