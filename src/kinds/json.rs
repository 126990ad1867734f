//! The session kind that needs no Rust: a JSON document under an id, as the HTTP door offers it.
//!
//! In memory it is a parsed value; on the wire and in the store it is JSON text inside MessagePack, so that nothing
//! recursive is ever decoded by MessagePack, and the depth limit is serde_json's own, 128, wherever a document comes
//! from. `If-Match` is not here: every operation of every kind may carry an expected version. Deleting is an operation
//! of every kind, too.
//!
//! Invariant: an absent document is `None` and is never stored; JSON `null` is a document.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use serde_json::{Map, Value};

use crate::{
    kinds::Types,
    session::{Answer, Command, Context, Handle, Refused, Session, SessionId},
};

/// One JSON document that travels as text.
#[derive(Clone, Debug, PartialEq)]
pub struct Document(pub Value);

impl Serialize for Document {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&serde_json::to_string(&self.0).map_err(ser::Error::custom)?)
    }
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl de::Visitor<'_> for Text {
            type Value = Document;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON text")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Document, E> {
                serde_json::from_str(text).map(Document).map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text)
    }
}

/// A session that is a JSON document.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Json {
    document: Option<Document>,
}

impl Session for Json {
    const KIND: &'static str = "json";

    fn absent(_: &SessionId) -> Option<Self> {
        Some(Self::default())
    }
}

impl Json {
    /// Registers the kind with all its commands.
    pub fn register(types: &mut Types) {
        types.add::<Self>().handles::<Put>().handles::<Patch>().answers::<Get>();
    }
}

/// Asks for the document; `None`: there is none.
#[derive(Debug, Serialize, Deserialize)]
pub struct Get {}

impl Command for Get {
    const NAME: &'static str = "get";
    type Reply = Option<Document>;
}

impl Answer<Get> for Json {
    fn answer(&self, Get {}: Get) -> Option<Document> {
        self.document.clone()
    }
}

/// Replaces the document, or makes it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Put {
    /// What it is from now on.
    pub document: Document,
}

impl Command for Put {
    const NAME: &'static str = "put";
    type Reply = PutReply;
}

/// What `Put` did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutReply {
    /// There was no document before.
    pub created: bool,
}

impl Handle<Put> for Json {
    fn handle(&mut self, put: Put, _: &mut Context<Self>) -> Result<PutReply, Refused> {
        Ok(PutReply { created: self.document.replace(put.document).is_none() })
    }
}

/// Merges into the document after RFC 7396: objects are merged, `null` removes, all else replaces. Where there is none it
/// merges into an empty one, if the caller lets commands make sessions.
#[derive(Debug, Serialize, Deserialize)]
pub struct Patch {
    /// The merge patch.
    pub patch: Document,
}

impl Command for Patch {
    const NAME: &'static str = "patch";
    type Reply = Document;
}

impl Handle<Patch> for Json {
    fn handle(&mut self, patch: Patch, _: &mut Context<Self>) -> Result<Document, Refused> {
        let document = self.document.get_or_insert(Document(Value::Null));
        merge(&mut document.0, patch.patch.0);
        Ok(document.clone())
    }
}

/// RFC 7396, section 2. Recursion is as deep as the patch, which the parser has limited.
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else { return };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(&name);
        } else {
            merge(target.entry(name).or_insert(Value::Null), value);
        }
    }
}
