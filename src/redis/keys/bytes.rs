//! How keys are stored, and how what is asked of them and what they say travels: in postcard, with no names in it.
//!
//! So variants of what is written here are added at the end only, and none goes. Nothing in it contains itself. A string that is set
//! whatever there was is most of what clients ask: that is done without reading what was there.

use serde::Deserialize;

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

/// What is stored of a string that a command sets: with what its body begins, kind and length included, so nothing is copied.
fn state_of(text: &[u8], body: &Blob, max: usize) -> Result<Blob, Failure> {
    let end = text.as_ptr().addr() + text.len() - body.as_ptr().addr();
    if end > max {
        return Err(Failure::TooLarge { limit: max });
    }
    Ok(body.beginning(end))
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
        Ok(Self { value, is_written: false })
    }
}

/// A key while commands are run on it.
#[derive(Debug)]
pub(crate) struct Open<'s> {
    stored: Option<&'s Blob>,
    now: Now,
}

/// What there is of it now.
#[derive(Debug)]
enum Now {
    /// What is stored: nobody has asked for it yet.
    Stored,
    /// A string that was set whatever there was, as it will be stored.
    Set(Blob),
    /// It was read, and may have been changed.
    Read(Key),
}

impl Open<'_> {
    /// The key, read if it was not yet.
    fn key(&mut self) -> Result<&mut Key, Failure> {
        let read = match &self.now {
            Now::Stored => Some(Key::stored(self.stored)?),
            Now::Set(state) => Some(Key { is_written: true, ..Key::stored(Some(state))? }),
            Now::Read(_) => None,
        };
        if let Some(read) = read {
            self.now = Now::Read(read);
        }
        let Now::Read(key) = &mut self.now else { unreachable!("it was read just now") };
        Ok(key)
    }

    fn exists(&self) -> bool {
        match &self.now {
            Now::Stored => self.stored.is_some(),
            Now::Set(_) => true,
            Now::Read(key) => key.value.is_some(),
        }
    }
}

impl Plain for Key {
    type Open<'s> = Open<'s>;

    const KIND: &'static str = "redis";
    const COMMAND: &'static str = "c";
    const QUESTION: &'static str = "q";

    fn open(stored: Option<&Blob>) -> Open<'_> {
        Open { stored, now: Now::Stored }
    }

    fn command(open: &mut Open<'_>, body: &Blob, life: &mut Life, limits: &PlainLimits) -> Result<Blob, Failure> {
        if let Ok(Sets::Set(text, When::Always, span, Old::Set)) = postcard::from_bytes(body)
            && span != Span::Over
        {
            if !open.exists() {
                life.never_expire();
            }
            span.set(life);
            open.now = Now::Set(state_of(text, body, limits.state)?);
            return plain_bytes(&Said::Done, limits.reply);
        }
        let change: Change = postcard::from_bytes(body).map_err(unreadable)?;
        let said = open.key()?.handle(change, life);
        plain_bytes(&said, limits.reply)
    }

    fn close(open: Open<'_>, limits: &PlainLimits) -> Result<Becomes, Failure> {
        Ok(match open.now {
            Now::Stored => Becomes::Same,
            Now::Set(state) => Becomes::State(state),
            Now::Read(Self { value: None, .. }) => Becomes::Gone,
            Now::Read(Self { is_written: false, .. }) => Becomes::Same,
            Now::Read(Self { value: Some(value), .. }) => Becomes::State(plain_bytes(&value, limits.state)?),
        })
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
    use serde::Serialize;

    use super::{
        super::{Only, Value},
        *,
    };

    const LIMITS: PlainLimits = PlainLimits::of(1 << 10);

    /// Runs commands, one after the other, on what is stored: what becomes of it, and what the last of them says.
    fn run(stored: Option<&Blob>, bodies: &[Blob]) -> Result<(Becomes, Blob), Failure> {
        let (mut open, mut life) = (Key::open(stored), life());
        let mut told = Blob::default();
        for body in bodies {
            told = Key::command(&mut open, body, &mut life, &LIMITS)?;
        }
        Ok((Key::close(open, &LIMITS)?, told))
    }

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
        assert_eq!(run(Some(&hash), &[within]), Err(refused));
        let larger = Bytes::from_static(&[b'x'; 900]);
        let grown = run(Some(&hash), &[written(&Change::SetFields(vec![(larger.clone(), larger)], true))]);
        assert!(matches!(grown, Err(Failure::TooLarge { .. })), "{grown:?}");
    }

    #[test]
    fn what_is_stored_of_a_set_is_the_value_as_it_is_written_and_no_more_than_it_may_be() {
        for len in [0, 1, 20, 21, 127, 128, 300, LIMITS.state - 3] {
            let text = Bytes::from(vec![b'x'; len]);
            for span in [Span::Kept, Span::ForEver, Span::Millis(u64::MAX)] {
                let body = written(&Change::Set(text.clone(), When::Always, span, Old::Set));
                let (becomes, _) = run(None, &[body]).expect("readable");
                assert_eq!(becomes, Becomes::State(written(&Value::Text(text.clone()))), "{len} {span:?}");
            }
        }
        let text = Bytes::from(vec![b'x'; LIMITS.state - 2]);
        let body = written(&Change::Set(text, When::Always, Span::Kept, Old::Set));
        assert_eq!(run(None, &[body]), Err(Failure::TooLarge { limit: LIMITS.state }));
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
                let (becomes, said_) = run(before, &[written(&set(text, Span::ForEver))]).expect("readable");
                assert_eq!(becomes, Becomes::State(stored.clone()));
                assert_eq!(said(&said_).expect("readable"), Said::Done);
            }
        }
        let unreadable = Blob::from(&[0xff; 9]);
        assert!(run(Some(&unreadable), &[written(&set(b"a", Span::ForEver))]).is_ok());
        assert!(run(Some(&unreadable), &[written(&Change::Add(1))]).is_err());
    }

    #[test]
    fn every_other_change_and_question_comes_back_as_it_was_asked() {
        let text = written(&Value::Text(Bytes::from_static(b"7")));
        let done = |change: &Change| run(Some(&text), &[written(change)]).expect("readable");
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
    fn what_is_written_counts_as_changed_though_it_be_what_it_was_and_what_only_looked_does_not() {
        let text = written(&Value::Text(Bytes::from_static(b"7")));
        let field = |value: &'static [u8]| (Bytes::from_static(b"f"), Bytes::from_static(value));
        let hash = written(&Value::Hash(BTreeMap::from([field(b"v")])));
        let becomes = |stored: &Blob, change: Change| run(Some(stored), &[written(&change)]).expect("readable").0;
        for change in [
            set(b"7", Span::Kept),
            Change::Set(Bytes::from_static(b"7"), When::Present, Span::Kept, Old::Value),
            Change::Add(0),
            Change::Append(Bytes::new()),
        ] {
            assert_eq!(becomes(&text, change.clone()), Becomes::State(text.clone()), "{change:?}");
        }
        assert_eq!(becomes(&hash, Change::SetFields(vec![field(b"v")], true)), Becomes::State(hash.clone()));
        for change in [
            Change::Set(Bytes::from_static(b"8"), When::Absent, Span::Kept, Old::Set),
            Change::Expire(Span::Millis(9), Only::Always),
            Change::TextAnd(Span::ForEver),
            Change::DeleteIf(Bytes::from_static(b"8")),
            Change::Look(Look::Text),
        ] {
            assert_eq!(becomes(&text, change.clone()), Becomes::Same, "{change:?}");
        }
        for change in [
            Change::SetFieldIfAbsent(Bytes::from_static(b"f"), Bytes::new()),
            Change::DeleteFields(vec![Bytes::from_static(b"g")]),
        ] {
            assert_eq!(becomes(&hash, change.clone()), Becomes::Same, "{change:?}");
        }
    }

    #[test]
    fn each_of_several_commands_finds_what_those_before_it_did() {
        let one = |stored: Option<&Blob>, changes: &[Change]| {
            let bodies: Vec<Blob> = changes.iter().map(written).collect();
            let (becomes, told) = run(stored, &bodies).expect("readable");
            (becomes, said(&told).expect("readable"))
        };
        let text = |text: &'static [u8]| written(&Value::Text(Bytes::from_static(text)));
        let appended = [set(b"a", Span::Kept), Change::Append(Bytes::from_static(b"b")), Change::Look(Look::Text)];
        assert_eq!(one(None, &appended), (Becomes::State(text(b"ab")), Said::Bytes(Bytes::from_static(b"ab"))));
        let anew = [Change::Delete, Change::Add(2), set(b"5", Span::Kept), Change::Add(2)];
        assert_eq!(one(Some(&text(b"1")), &anew), (Becomes::State(text(b"7")), Said::Number(7)));
        let gone = [set(b"x", Span::Kept), Change::Delete];
        assert_eq!(one(None, &gone), (Becomes::Gone, Said::Number(1)));
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
