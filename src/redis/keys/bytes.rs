//! How keys are stored, and how what is asked of them and what they say travels: in postcard, with no names in it.
//!
//! So variants of what is written here are added at the end only, and none goes. Nothing in it contains itself. A string that is set
//! whatever there was is most of what clients ask: that is done without reading what was there.

use std::cell::Cell;

use serde::{Deserialize, Serialize};

use super::{Change, Key, Look, Old, Said, Span, When};
use crate::{
    Lifespan, Types,
    blob::Blob,
    error::ErrorKind,
    kinds::{Becomes, Failure, Life, Plain},
};

thread_local! {
    /// What was written last, to be written in again.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}
/// More is not kept for the next.
const SCRATCH_MAX: usize = 64 << 10;

/// [`Change`] as far as it sets a string, with the string where it lies.
#[derive(Deserialize)]
enum Sets<'c> {
    Set(#[serde(borrow)] &'c serde_bytes::Bytes, When, Span, Old),
}

/// [`Value`] as far as it is a string, with the string where it lies.
#[derive(Serialize)]
enum Text<'t> {
    Text(&'t serde_bytes::Bytes),
}

/// What is asked or said, as it travels.
pub(crate) fn written(value: &impl Serialize) -> Blob {
    let mut scratch = SCRATCH.take();
    scratch.clear();
    let scratch =
        postcard::to_extend(value, scratch).expect("memory takes whatever is written, and nothing else can fail");
    let blob = Blob::from(&scratch);
    if scratch.capacity() <= SCRATCH_MAX {
        SCRATCH.set(scratch);
    }
    blob
}

/// What a key says, from the bytes that it said it in.
///
/// # Errors
/// They are not readable. What was done is done.
pub(crate) fn said(bytes: &[u8]) -> Result<Said, crate::Error> {
    postcard::from_bytes(bytes).map_err(|_| ErrorKind::UnreadableReply.into())
}

/// Registers the kind.
pub(crate) fn register(types: &mut Types) {
    types.add_plain::<Key>();
}

fn unreadable(fault: postcard::Error) -> Failure {
    Failure::Malformed { reason: format!("what was asked of a key: {fault}") }
}

impl Key {
    fn stored(bytes: Option<&Blob>) -> Result<Self, Failure> {
        let value = bytes.map(|bytes| postcard::from_bytes(bytes)).transpose().map_err(|fault| {
            let reason = format!("the value of a key: {fault}");
            Failure::Undecodable { theirs: Self::VERSION, ours: Self::VERSION, reason }
        })?;
        Ok(Self { value })
    }
}

impl Plain for Key {
    const KIND: &'static str = "redis";
    const COMMAND: &'static str = "c";
    const QUESTION: &'static str = "q";

    fn command(stored: Option<&Blob>, body: &[u8], life: &mut Life) -> Result<(Becomes, Blob), Failure> {
        if let Ok(Sets::Set(text, When::Always, span, Old::Set)) = postcard::from_bytes(body)
            && span != Span::Over
        {
            if stored.is_none() {
                life.never_expire();
            }
            span.set(life);
            return Ok((Becomes::State(written(&Text::Text(text))), written(&Said::Done)));
        }
        let change: Change = postcard::from_bytes(body).map_err(unreadable)?;
        let is_look = matches!(change, Change::Look(_));
        let mut key = Self::stored(stored)?;
        let said = key.handle(change, life);
        let becomes = match &key.value {
            _ if is_look => Becomes::Same,
            None => Becomes::Gone,
            Some(value) => Becomes::State(written(value)),
        };
        Ok((becomes, written(&said)))
    }

    fn question(stored: Option<&Blob>, body: &[u8], left: Lifespan) -> Result<Blob, Failure> {
        let look: Look = postcard::from_bytes(body).map_err(unreadable)?;
        Ok(written(&Self::stored(stored)?.look(&look, left.ends_in)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;

    use super::{
        super::{Only, Value},
        *,
    };

    fn set(text: &'static [u8], span: Span) -> Change {
        Change::Set(Bytes::from_static(text), When::Always, span, Old::Set)
    }

    fn life() -> Life {
        Life::of(Lifespan::FOR_EVER)
    }

    #[test]
    fn a_string_that_is_set_is_stored_as_every_string_is_and_needs_nothing_read_before() {
        let hash = written(&Value::Hash(BTreeMap::from([(Bytes::from_static(b"f"), Bytes::from_static(b"v"))])));
        for text in [&b""[..], b"text", &[b'x'; 300]] {
            let stored = written(&Value::Text(Bytes::from_static(text)));
            for before in [None, Some(&hash), Some(&stored)] {
                let (becomes, said_) =
                    Key::command(before, &written(&set(text, Span::ForEver)), &mut life()).expect("readable");
                assert_eq!(becomes, Becomes::State(stored.clone()));
                assert_eq!(said(&said_).expect("readable"), Said::Done);
            }
        }
        let unreadable = Blob::from(&[0xff; 9]);
        assert!(Key::command(Some(&unreadable), &written(&set(b"a", Span::ForEver)), &mut life()).is_ok());
        assert!(Key::command(Some(&unreadable), &written(&Change::Add(1)), &mut life()).is_err());
    }

    #[test]
    fn every_other_change_and_question_comes_back_as_it_was_asked() {
        let text = written(&Value::Text(Bytes::from_static(b"7")));
        let done = |change: &Change| Key::command(Some(&text), &written(change), &mut life()).expect("readable");
        let (becomes, told) = done(&Change::Add(3));
        assert_eq!(becomes, Becomes::State(written(&Value::Text(Bytes::from_static(b"10")))));
        assert_eq!(said(&told).expect("readable"), Said::Number(10));
        assert_eq!(done(&Change::Delete).0, Becomes::Gone);
        assert_eq!(done(&set(b"a", Span::Over)).0, Becomes::Gone);
        assert_eq!(done(&Change::Look(Look::Text)).0, Becomes::Same);
        let asked = Key::question(Some(&text), &written(&Look::Length), Lifespan::FOR_EVER).expect("readable");
        assert_eq!(said(&asked).expect("readable"), Said::Number(1));
        assert!(Key::question(Some(&text), &[0xff], Lifespan::FOR_EVER).is_err());
    }

    #[test]
    fn what_is_frozen_on_the_wire_begins_with_the_same_numbers_as_ever() {
        // Keys and calls to them lie and travel so: a variant that moved would be taken for another.
        let first = |blob: Blob| blob[0];
        assert_eq!(first(written(&set(b"", Span::Kept))), 0);
        assert_eq!(first(written(&Change::Look(Look::Text))), 14);
        let scripts = [
            Change::ExpireIf(Bytes::new(), Span::Over, Only::Always),
            Change::ProlongIf(Bytes::new(), 1),
            Change::AddIfAny(1),
        ];
        assert_eq!(scripts.map(|change| first(written(&change))), [15, 16, 17]);
        assert_eq!(first(written(&Look::FieldLength(Bytes::new()))), 14);
        assert_eq!(first(written(&Said::No(super::super::Complaint::WrongType))), 8);
        assert_eq!([first(written(&Value::Text(Bytes::new()))), first(written(&Value::Hash(BTreeMap::new())))], [0, 1]);
    }
}
