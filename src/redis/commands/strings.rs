//! Commands of strings.

use super::{
    super::keys::{Change, Look, Old, Span, When},
    arguments::{Arguments, SYNTAX, Unit, Wrong},
    request::{Keyed, Request, keeps},
};

/// `EX`, `PX`, `EXAT` or `PXAT`.
fn unit(word: &str) -> Option<Unit> {
    Some(match word {
        "ex" => Unit::Seconds,
        "px" => Unit::Millis,
        "exat" => Unit::UnixSeconds,
        "pxat" => Unit::UnixMillis,
        _ => return None,
    })
}

pub(super) fn get(arguments: &mut Arguments) -> Result<Request, Wrong> {
    Ok(Request::look(arguments.string()?, Look::Text))
}

pub(super) fn set(arguments: &mut Arguments) -> Result<Request, Wrong> {
    let (key, value) = (arguments.string()?, arguments.string()?);
    let (mut when, mut span, mut old) = (None, None, Old::Set);
    while let Some(word) = arguments.word() {
        match word.as_str() {
            "nx" if when.is_none() => when = Some(When::Absent),
            "xx" if when.is_none() => when = Some(When::Present),
            "get" => old = Old::Value,
            "keepttl" if span.is_none() => span = Some(Span::Kept),
            word => match unit(word) {
                Some(unit) if span.is_none() => span = Some(arguments.span(unit)?),
                _ => return Err(SYNTAX),
            },
        }
    }
    let change = Change::Set(value, when.unwrap_or(When::Always), span.unwrap_or(keeps(false)), old);
    Ok(Request::change(key, change))
}

pub(super) fn setnx(arguments: &mut Arguments) -> Result<Request, Wrong> {
    let (key, value) = (arguments.string()?, arguments.string()?);
    Ok(Request::change(key, Change::Set(value, When::Absent, Span::ForEver, Old::Flag)))
}

pub(super) fn setex(arguments: &mut Arguments) -> Result<Request, Wrong> {
    set_for(arguments, Unit::Seconds)
}

pub(super) fn psetex(arguments: &mut Arguments) -> Result<Request, Wrong> {
    set_for(arguments, Unit::Millis)
}

fn set_for(arguments: &mut Arguments, unit: Unit) -> Result<Request, Wrong> {
    let (key, span) = (arguments.string()?, arguments.span(unit)?);
    Ok(Request::change(key, Change::Set(arguments.string()?, When::Always, span, Old::Set)))
}

pub(super) fn getset(arguments: &mut Arguments) -> Result<Request, Wrong> {
    let (key, value) = (arguments.string()?, arguments.string()?);
    Ok(Request::change(key, Change::Set(value, When::Always, Span::ForEver, Old::Value)))
}

pub(super) fn getex(arguments: &mut Arguments) -> Result<Request, Wrong> {
    let key = arguments.string()?;
    let Some(word) = arguments.word() else { return Ok(Request::look(key, Look::Text)) };
    let span = match (word.as_str(), unit(&word)) {
        ("persist", _) => Span::ForEver,
        (_, Some(unit)) => arguments.span(unit)?,
        _ => return Err(SYNTAX),
    };
    arguments.end()?;
    Ok(Request::change(key, Change::TextAnd(span)))
}

pub(super) fn getdel(arguments: &mut Arguments) -> Result<Request, Wrong> {
    Ok(Request::change(arguments.string()?, Change::Take))
}

pub(super) fn append(arguments: &mut Arguments) -> Result<Request, Wrong> {
    Ok(Request::change(arguments.string()?, Change::Append(arguments.string()?)))
}

pub(super) fn strlen(arguments: &mut Arguments) -> Result<Request, Wrong> {
    Ok(Request::look(arguments.string()?, Look::Length))
}

pub(super) fn incr(arguments: &mut Arguments) -> Result<Request, Wrong> {
    Ok(Request::change(arguments.string()?, Change::Add(1)))
}

pub(super) fn decr(arguments: &mut Arguments) -> Result<Request, Wrong> {
    Ok(Request::change(arguments.string()?, Change::Add(-1)))
}

pub(super) fn incrby(arguments: &mut Arguments) -> Result<Request, Wrong> {
    Ok(Request::change(arguments.string()?, Change::Add(arguments.number()?)))
}

pub(super) fn decrby(arguments: &mut Arguments) -> Result<Request, Wrong> {
    let (key, less) = (arguments.string()?, arguments.number()?);
    let more = less.checked_neg().ok_or("ERR decrement would overflow")?;
    Ok(Request::change(key, Change::Add(more)))
}

pub(super) fn mget(arguments: &mut Arguments) -> Result<Request, Wrong> {
    Ok(Request::Keyed(Keyed::Each(arguments.all(), Look::TextIfAny)))
}

pub(super) fn mset(arguments: &mut Arguments) -> Result<Request, Wrong> {
    Ok(Request::Keyed(Keyed::SetAll(arguments.pairs()?)))
}
