//! How keys are stored, and how what is asked of them and what they say travels: in postcard, with no names in it.
//!
//! So variants of what is written here are added at the end only, and none goes. Nothing in it contains itself. A string that is set
//! whatever there was is most of what clients ask: that is done without reading what was there.

use serde::{Deserialize, Serialize};

use super::{Change, Key, Look, Old, Said, Span, When};
use crate::{
    Lifespan, Types,
    blob::Blob,
    error::ErrorKind,
    kinds::{Becomes, Failure, Life, Plain, PlainLimits, plain_bytes},
};

/// [`Change`] as far as it sets a string, with the string where it lies.
#[derive(Deserialize)]
enum Sets<'c> {
    Set(#[serde(borrow)] &'c serde_bytes::Bytes, When, Span, Old),
}

/// [`super::Value`] as far as it is a string, with the string where it lies.
#[derive(Serialize)]
enum Text<'t> {
    Text(&'t serde_bytes::Bytes),
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

    fn command(
        stored: Option<&Blob>,
        body: &[u8],
        life: &mut Life,
        limits: &PlainLimits,
    ) -> Result<(Becomes, Blob), Failure> {
        if let Ok(Sets::Set(text, When::Always, span, Old::Set)) = postcard::from_bytes(body)
            && span != Span::Over
        {
            if stored.is_none() {
                life.never_expire();
            }
            span.set(life);
            let state = plain_bytes(&Text::Text(text), limits.state)?;
            return Ok((Becomes::State(state), plain_bytes(&Said::Done, limits.reply)?));
        }
        let change: Change = postcard::from_bytes(body).map_err(unreadable)?;
        let is_look = matches!(change, Change::Look(_));
        let mut key = Self::stored(stored)?;
        let said = key.handle(change, life);
        let becomes = match &key.value {
            _ if is_look => Becomes::Same,
            None => Becomes::Gone,
            Some(value) => {
                let state = plain_bytes(value, limits.state)?;
                if stored == Some(&state) { Becomes::Same } else { Becomes::State(state) }
            }
        };
        Ok((becomes, plain_bytes(&said, limits.reply)?))
    }

    fn question(stored: Option<&Blob>, body: &[u8], left: Lifespan, limits: &PlainLimits) -> Result<Blob, Failure> {
        let look: Look = postcard::from_bytes(body).map_err(unreadable)?;
        plain_bytes(&Self::stored(stored)?.look(&look, left.ends_in), limits.reply)
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

    const LIMITS: PlainLimits = PlainLimits::of(1 << 10);

    fn written(value: &impl Serialize) -> Blob {
        plain_bytes(value, 1 << 12).expect("small")
    }

    #[test]
    fn a_few_bytes_that_ask_for_more_than_a_reply_may_have_are_refused_while_it_is_made() {
        let field = Bytes::from_static(b"f");
        let hash = written(&Value::Hash(BTreeMap::from([(field.clone(), Bytes::from_static(&[b'x'; 900]))])));
        let often = |times| written(&Look::Fields(vec![field.clone(); times]));
        let ask = |body: &Blob| Key::question(Some(&hash), body, Lifespan::FOR_EVER, &LIMITS);
        assert!(ask(&often(5)).is_ok(), "a reply has some bytes more than a value");
        let refused = Failure::TooLarge { limit: LIMITS.reply };
        assert_eq!(ask(&often(6)), Err(refused.clone()));
        let within = written(&Change::Look(Look::Fields(vec![field.clone(); 6])));
        assert_eq!(Key::command(Some(&hash), &within, &mut life(), &LIMITS), Err(refused));
        let larger = Bytes::from_static(&[b'x'; 900]);
        let grown = Key::command(
            Some(&hash),
            &written(&Change::SetFields(vec![(larger.clone(), larger)], true)),
            &mut life(),
            &LIMITS,
        );
        assert!(matches!(grown, Err(Failure::TooLarge { .. })), "{grown:?}");
    }

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
                    Key::command(before, &written(&set(text, Span::ForEver)), &mut life(), &LIMITS).expect("readable");
                assert_eq!(becomes, Becomes::State(stored.clone()));
                assert_eq!(said(&said_).expect("readable"), Said::Done);
            }
        }
        let unreadable = Blob::from(&[0xff; 9]);
        assert!(Key::command(Some(&unreadable), &written(&set(b"a", Span::ForEver)), &mut life(), &LIMITS).is_ok());
        assert!(Key::command(Some(&unreadable), &written(&Change::Add(1)), &mut life(), &LIMITS).is_err());
    }

    #[test]
    fn every_other_change_and_question_comes_back_as_it_was_asked() {
        let text = written(&Value::Text(Bytes::from_static(b"7")));
        let done =
            |change: &Change| Key::command(Some(&text), &written(change), &mut life(), &LIMITS).expect("readable");
        let (becomes, told) = done(&Change::Add(3));
        assert_eq!(becomes, Becomes::State(written(&Value::Text(Bytes::from_static(b"10")))));
        assert_eq!(said(&told).expect("readable"), Said::Number(10));
        assert_eq!(done(&Change::Delete).0, Becomes::Gone);
        assert_eq!(done(&set(b"a", Span::Over)).0, Becomes::Gone);
        assert_eq!(done(&Change::Look(Look::Text)).0, Becomes::Same);
        let asked = Key::question(Some(&text), &written(&Look::Length), Lifespan::FOR_EVER, &LIMITS).expect("readable");
        assert_eq!(said(&asked).expect("readable"), Said::Number(1));
        assert!(Key::question(Some(&text), &[0xff], Lifespan::FOR_EVER, &LIMITS).is_err());
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
