//! `Change`: a command to one key. What it complains of it has not done.

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use super::{Complaint, Key, Look, Only, Said, Span, Value, number, span::millis};
use crate::kinds::Life;

/// When a value is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum When {
    /// Whatever there is.
    Always,
    /// Where there is no key.
    Absent,
    /// Where there is one.
    Present,
}

/// What is told of setting a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Old {
    /// Whether it was set: done, or nothing.
    Set,
    /// The same as a number, 1 or 0.
    Flag,
    /// The string that was there.
    Value,
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Change {
    /// Sets a string.
    Set(Bytes, When, Span, Old),
    /// Makes it what another was, its time included.
    Become(Value, Span),
    /// Appends to the string and tells its length.
    Append(Bytes),
    /// Adds to the number and tells it.
    Add(i64),
    /// Tells the string, and sets how long the key lives.
    TextAnd(Span),
    /// Tells the string, and deletes the key.
    Take,
    /// Deletes it; whether there was one.
    Delete,
    /// Deletes it if its string is this; whether it was.
    DeleteIf(Bytes),
    /// Sets its end; whether that was done.
    Expire(Span, Only),
    /// Takes its end away; whether there was one.
    Persist,
    /// Sets fields; how many are new. Or that it was done.
    SetFields(Vec<(Bytes, Bytes)>, bool),
    /// Sets a field if there is none; whether it was set.
    SetFieldIfAbsent(Bytes, Bytes),
    /// Deletes fields; how many there were.
    DeleteFields(Vec<Bytes>),
    /// Adds to the number in a field and tells it.
    AddToField(Bytes, i64),
    /// A question in the midst of commands.
    Look(Look),
    /// Sets its end if its string is this, under that condition; whether that was done.
    ExpireIf(Bytes, Span, Only),
    /// Adds so many milliseconds to what is left of its time if its string is this and it ends; whether that was done.
    ProlongIf(Bytes, i64),
    /// Adds to the number if there is one, and tells it.
    AddIfAny(i64),
}

impl Change {
    /// Whether it sets a string whatever there is, and tells nothing of what was.
    pub(crate) const fn is_plain_set(&self) -> bool {
        matches!(self, Self::Set(_, When::Always, _, Old::Set))
    }

    /// Whether it may tell as much as the key holds.
    pub(crate) const fn may_tell_much(&self) -> bool {
        matches!(self, Self::Set(_, _, _, Old::Value) | Self::TextAnd(_) | Self::Take | Self::Look(_))
    }

    /// How many bytes it writes or compares.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Set(text, ..)
            | Self::Append(text)
            | Self::DeleteIf(text)
            | Self::ExpireIf(text, ..)
            | Self::ProlongIf(text, _) => text.len(),
            Self::SetFields(fields, _) => fields.iter().map(|(field, value)| field.len() + value.len()).sum(),
            Self::SetFieldIfAbsent(field, value) => field.len() + value.len(),
            Self::DeleteFields(fields) => fields.iter().map(Bytes::len).sum(),
            Self::AddToField(field, _) => field.len(),
            _ => 0,
        }
    }
}

impl Key {
    /// Does it. Where nothing is left of the value there is no key.
    pub(super) fn handle(&mut self, change: Change, life: &mut Life) -> Said {
        if self.value.is_none() {
            // What was there before, within one call too, has taken its time with it.
            life.never_expire();
        }
        let said = self.change(change, life).into();
        if matches!(&self.value, Some(Value::Hash(hash)) if hash.is_empty()) {
            self.value = None;
        }
        said
    }

    fn change(&mut self, change: Change, life: &mut Life) -> Result<Said, Complaint> {
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
                    self.become_(Value::Text(text), span, life);
                }
                match old {
                    Old::Value => before,
                    Old::Flag => flag(sets),
                    Old::Set if sets => Said::Done,
                    Old::Set => Said::Nothing,
                }
            }
            Change::Become(value, span) => {
                self.become_(value, span, life);
                Said::Done
            }
            Change::Append(more) => {
                let before = self.text()?.map_or(&[][..], |text| &text[..]);
                let mut text = BytesMut::with_capacity(before.len() + more.len());
                text.extend_from_slice(before);
                text.extend_from_slice(&more);
                let length = text.len();
                self.write(Value::Text(text.freeze()));
                Said::count(length)
            }
            Change::AddIfAny(_) if self.value.is_none() => Said::Nothing,
            Change::Add(more) | Change::AddIfAny(more) => {
                let before = match self.text()? {
                    Some(text) => number::read(text).ok_or(Complaint::NotANumber)?,
                    None => 0,
                };
                let sum = before.checked_add(more).ok_or(Complaint::Overflow)?;
                self.write(Value::Text(number::spell(sum)));
                Said::Number(sum)
            }
            Change::TextAnd(span) => {
                let text = Said::bytes(self.text()?);
                if self.value.is_some() {
                    self.live_for(span, life);
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
                let is_it = self.is(&this)?;
                if is_it {
                    self.value = None;
                }
                flag(is_it)
            }
            Change::ExpireIf(this, span, only) => flag(self.is(&this)? && self.expire(span, only, life)),
            Change::ProlongIf(this, more) => {
                let left = if self.is(&this)? { life.expires_in() } else { None };
                let prolonged = |left| Span::of_millis(i128::from(millis(left)) + i128::from(more));
                flag(left.is_some_and(|left| self.expire(prolonged(left), Only::With, life)))
            }
            Change::Expire(span, only) => flag(self.expire(span, only, life)),
            Change::Persist => {
                let ends = self.value.is_some() && life.expires_in().is_some();
                if ends {
                    life.never_expire();
                }
                flag(ends)
            }
            Change::SetFields(fields, counts) => {
                let hash = self.hash_mut()?;
                let before = hash.len();
                hash.extend(fields);
                let new = hash.len() - before;
                self.is_written = true;
                if counts { Said::count(new) } else { Said::Done }
            }
            Change::SetFieldIfAbsent(field, value) => {
                let hash = self.hash_mut()?;
                let is_new = !hash.contains_key(&field);
                if is_new {
                    hash.insert(field, value);
                }
                self.is_written |= is_new;
                flag(is_new)
            }
            Change::DeleteFields(fields) => {
                if self.hash()?.is_none() {
                    return Ok(Said::Number(0));
                }
                let hash = self.hash_mut()?;
                let gone = fields.iter().filter(|field| hash.remove(*field).is_some()).count();
                self.is_written |= gone > 0;
                Said::count(gone)
            }
            Change::AddToField(field, more) => {
                let before = match self.hash()?.and_then(|hash| hash.get(&field)) {
                    Some(text) => number::read(text).ok_or(Complaint::FieldNotANumber)?,
                    None => 0,
                };
                let sum = before.checked_add(more).ok_or(Complaint::Overflow)?;
                self.hash_mut()?.insert(field, number::spell(sum));
                self.is_written = true;
                Said::Number(sum)
            }
            Change::Look(look) => self.look(&look, life.expires_in()),
        })
    }

    fn write(&mut self, value: Value) {
        self.value = Some(value);
        self.is_written = true;
    }

    fn become_(&mut self, value: Value, span: Span, life: &mut Life) {
        self.write(value);
        self.live_for(span, life);
    }

    fn is(&self, this: &Bytes) -> Result<bool, Complaint> {
        Ok(self.text()?.is_some_and(|text| text == this))
    }

    /// Whether it was done.
    fn expire(&mut self, span: Span, only: Only, life: &mut Life) -> bool {
        let takes = self.value.is_some() && only.holds(span, life.expires_in().map(millis));
        if takes {
            self.live_for(span, life);
        }
        takes
    }

    fn live_for(&mut self, span: Span, life: &mut Life) {
        if span == Span::Over {
            self.value = None;
        }
        span.set(life);
    }
}
