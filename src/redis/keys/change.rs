//! `Change`: a command to one key. What it complains of it has not done.

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use super::{Complaint, Key, Look, Only, Said, Span, Value, number, span::millis};
use crate::{Command, Context, Handle, Refused};

/// When a value is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum When {
    /// Whatever there is.
    #[serde(rename = "a")]
    Always,
    /// Where there is no key.
    #[serde(rename = "n")]
    Absent,
    /// Where there is one.
    #[serde(rename = "x")]
    Present,
}

/// What is told of setting a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Old {
    /// Whether it was set: done, or nothing.
    #[serde(rename = "s")]
    Set,
    /// The same as a number, 1 or 0.
    #[serde(rename = "f")]
    Flag,
    /// The string that was there.
    #[serde(rename = "v")]
    Value,
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Change {
    /// Sets a string.
    #[serde(rename = "s")]
    Set(Bytes, When, Span, Old),
    /// Makes it what another was, its time included.
    #[serde(rename = "w")]
    Become(Value, Span),
    /// Appends to the string and tells its length.
    #[serde(rename = "p")]
    Append(Bytes),
    /// Adds to the number and tells it.
    #[serde(rename = "i")]
    Add(i64),
    /// Tells the string, and sets how long the key lives.
    #[serde(rename = "g")]
    TextAnd(Span),
    /// Tells the string, and deletes the key.
    #[serde(rename = "t")]
    Take,
    /// Deletes it; whether there was one.
    #[serde(rename = "d")]
    Delete,
    /// Deletes it if its string is this; whether it was.
    #[serde(rename = "c")]
    DeleteIf(Bytes),
    /// Sets its end; whether that was done.
    #[serde(rename = "x")]
    Expire(Span, Only),
    /// Takes its end away; whether there was one.
    #[serde(rename = "f")]
    Persist,
    /// Sets fields; how many are new. Or that it was done.
    #[serde(rename = "hs")]
    SetFields(Vec<(Bytes, Bytes)>, bool),
    /// Sets a field if there is none; whether it was set.
    #[serde(rename = "hn")]
    SetFieldIfAbsent(Bytes, Bytes),
    /// Deletes fields; how many there were.
    #[serde(rename = "hd")]
    DeleteFields(Vec<Bytes>),
    /// Adds to the number in a field and tells it.
    #[serde(rename = "hi")]
    AddToField(Bytes, i64),
    /// A question in the midst of commands.
    #[serde(rename = "?")]
    Look(Look),
}

impl Command for Change {
    const NAME: &'static str = "change";
    type Reply = Said;
}

impl Handle<Change> for Key {
    fn handle(&mut self, change: Change, cx: &mut Context<Self>) -> Result<Said, Refused> {
        let existed = self.value.is_some();
        if !existed {
            // What was there before, within one call too, has taken its time with it.
            cx.never_expire();
        }
        let said = self.change(change, cx).into();
        if matches!(&self.value, Some(Value::Hash(hash)) if hash.is_empty()) {
            self.value = None;
        }
        if self.value.is_none() {
            cx.end();
        }
        Ok(said)
    }
}

impl Key {
    fn change(&mut self, change: Change, cx: &mut Context<Self>) -> Result<Said, Complaint> {
        let flag = |is: bool| Said::Number(i64::from(is));
        Ok(match change {
            Change::Set(text, when, span, old) => {
                let before = if old == Old::Value { Said::bytes(self.text()?) } else { Said::Nothing };
                let sets = match when {
                    When::Always => true,
                    When::Absent => self.value.is_none(),
                    When::Present => self.value.is_some(),
                };
                if sets {
                    self.become_(Value::Text(text), span, cx);
                }
                match old {
                    Old::Value => before,
                    Old::Flag => flag(sets),
                    Old::Set if sets => Said::Done,
                    Old::Set => Said::Nothing,
                }
            }
            Change::Become(value, span) => {
                self.become_(value, span, cx);
                Said::Done
            }
            Change::Append(more) => {
                let before = self.text()?.map_or(&[][..], |text| &text[..]);
                let mut text = BytesMut::with_capacity(before.len() + more.len());
                text.extend_from_slice(before);
                text.extend_from_slice(&more);
                let length = text.len();
                self.value = Some(Value::Text(text.freeze()));
                Said::count(length)
            }
            Change::Add(more) => {
                let before = match self.text()? {
                    Some(text) => number::read(text).ok_or(Complaint::NotANumber)?,
                    None => 0,
                };
                let sum = before.checked_add(more).ok_or(Complaint::Overflow)?;
                self.value = Some(Value::Text(number::spell(sum)));
                Said::Number(sum)
            }
            Change::TextAnd(span) => {
                let text = Said::bytes(self.text()?);
                if self.value.is_some() {
                    self.live_for(span, cx);
                }
                text
            }
            Change::Take => {
                let text = Said::bytes(self.text()?);
                self.value = None;
                text
            }
            Change::Delete => flag(self.value.take().is_some()),
            Change::DeleteIf(this) => {
                let is_it = self.text()?.is_some_and(|text| *text == this);
                if is_it {
                    self.value = None;
                }
                flag(is_it)
            }
            Change::Expire(span, only) => {
                let takes = self.value.is_some() && only.holds(span, cx.expires_in().map(millis));
                if takes {
                    self.live_for(span, cx);
                }
                flag(takes)
            }
            Change::Persist => {
                let ends = self.value.is_some() && cx.expires_in().is_some();
                if ends {
                    cx.never_expire();
                }
                flag(ends)
            }
            Change::SetFields(fields, counts) => {
                let hash = self.hash_mut()?;
                let before = hash.len();
                hash.extend(fields);
                if counts { Said::count(hash.len() - before) } else { Said::Done }
            }
            Change::SetFieldIfAbsent(field, value) => {
                let hash = self.hash_mut()?;
                let is_new = !hash.contains_key(&field);
                if is_new {
                    hash.insert(field, value);
                }
                flag(is_new)
            }
            Change::DeleteFields(fields) => {
                if self.hash()?.is_none() {
                    return Ok(Said::Number(0));
                }
                let hash = self.hash_mut()?;
                Said::count(fields.iter().filter(|field| hash.remove(*field).is_some()).count())
            }
            Change::AddToField(field, more) => {
                let before = match self.hash()?.and_then(|hash| hash.get(&field)) {
                    Some(text) => number::read(text).ok_or(Complaint::FieldNotANumber)?,
                    None => 0,
                };
                let sum = before.checked_add(more).ok_or(Complaint::Overflow)?;
                self.hash_mut()?.insert(field, number::spell(sum));
                Said::Number(sum)
            }
            Change::Look(look) => self.look(&look, cx.expires_in()),
        })
    }

    fn become_(&mut self, value: Value, span: Span, cx: &mut Context<Self>) {
        self.value = Some(value);
        self.live_for(span, cx);
    }

    fn live_for(&mut self, span: Span, cx: &mut Context<Self>) {
        if span == Span::Over {
            self.value = None;
        }
        span.set(cx);
    }
}
