//! Commands of keys, whatever they hold.

use std::collections::HashSet;

use super::{
    super::keys::{Change, Look, Only},
    arguments::{Arguments, NO_NUMBER, SYNTAX, Unit, Wrong, lower, number, shown},
    request::{Do, Keyed, Request, Scanned, Tell},
};

/// A page of a scan looks at about so many keys.
const COUNT: usize = 10;

pub(super) fn del(arguments: &mut Arguments) -> Result<Request, Wrong> {
    let mut keys = arguments.all();
    // What is deleted once is gone: a key that is named again counts nothing.
    if keys.len() > 1 {
        let mut seen = HashSet::with_capacity(keys.len());
        keys.retain(|key| seen.insert(key.clone()));
    }
    Ok(Request::Keyed(Keyed::Sum(keys, Do::Change(Change::Delete))))
}

pub(super) fn exists(arguments: &mut Arguments) -> Result<Request, Wrong> {
    Ok(Request::Keyed(Keyed::Sum(arguments.all(), Do::Look(Look::Exists))))
}

pub(super) fn type_of(arguments: &mut Arguments) -> Result<Request, Wrong> {
    Ok(Request::look(arguments.string()?, Look::Type))
}

pub(super) fn expire(arguments: &mut Arguments) -> Result<Request, Wrong> {
    expires(arguments, Unit::Seconds)
}

pub(super) fn pexpire(arguments: &mut Arguments) -> Result<Request, Wrong> {
    expires(arguments, Unit::Millis)
}

pub(super) fn expireat(arguments: &mut Arguments) -> Result<Request, Wrong> {
    expires(arguments, Unit::UnixSeconds)
}

pub(super) fn pexpireat(arguments: &mut Arguments) -> Result<Request, Wrong> {
    expires(arguments, Unit::UnixMillis)
}

fn expires(arguments: &mut Arguments, unit: Unit) -> Result<Request, Wrong> {
    let (key, time) = (arguments.string()?, arguments.number()?);
    let span = arguments.any_span(time, unit)?;
    let mut only = Only::Always;
    while let Some(word) = arguments.maybe() {
        only = match (lower(&word).as_str(), only) {
            ("nx", Only::Always | Only::Without) => Only::Without,
            ("xx", Only::Always | Only::With) => Only::With,
            // Who has an end that is to be later has one: the second condition is in the first.
            ("xx", Only::Later) | ("gt", Only::Always | Only::With | Only::Later) => Only::Later,
            ("lt", Only::Always | Only::Sooner) => Only::Sooner,
            ("lt", Only::With) | ("xx", Only::Sooner) => Only::SoonerWith,
            ("lt" | "xx", Only::SoonerWith) => Only::SoonerWith,
            ("gt", Only::Sooner | Only::SoonerWith) | ("lt", Only::Later) => {
                return Err("ERR GT and LT options at the same time are not compatible".into());
            }
            ("nx", _) | ("xx" | "gt" | "lt", Only::Without) => {
                return Err("ERR NX and XX, GT or LT options at the same time are not compatible".into());
            }
            _ => return Err(format!("ERR Unsupported option {}", shown(&word)).into()),
        };
    }
    Ok(Request::change(key, Change::Expire(span, only)))
}

pub(super) fn persist(arguments: &mut Arguments) -> Result<Request, Wrong> {
    Ok(Request::change(arguments.string()?, Change::Persist))
}

fn left(arguments: &mut Arguments, tell: Tell) -> Result<Request, Wrong> {
    Ok(Request::Keyed(Keyed::One(arguments.string()?, Do::Look(Look::Left), tell)))
}

pub(super) fn ttl(arguments: &mut Arguments) -> Result<Request, Wrong> {
    left(arguments, Tell::Seconds)
}

pub(super) fn pttl(arguments: &mut Arguments) -> Result<Request, Wrong> {
    left(arguments, Tell::Plain)
}

pub(super) fn expiretime(arguments: &mut Arguments) -> Result<Request, Wrong> {
    left(arguments, Tell::UnixSeconds)
}

pub(super) fn pexpiretime(arguments: &mut Arguments) -> Result<Request, Wrong> {
    left(arguments, Tell::UnixMillis)
}

pub(super) fn rename(arguments: &mut Arguments) -> Result<Request, Wrong> {
    Ok(Request::Keyed(Keyed::Rename(arguments.string()?, arguments.string()?)))
}

pub(super) fn keys(arguments: &mut Arguments) -> Result<Request, Wrong> {
    Ok(Request::Keys(arguments.string()?))
}

pub(super) fn dbsize(_: &mut Arguments) -> Result<Request, Wrong> {
    Ok(Request::Size)
}

pub(super) fn scan(arguments: &mut Arguments) -> Result<Request, Wrong> {
    let cursor = arguments.string()?;
    let cursor = std::str::from_utf8(&cursor).ok().and_then(|c| c.parse().ok()).ok_or("ERR invalid cursor")?;
    let mut scanned = Scanned { cursor, matching: None, count: COUNT, of_type: None };
    while let Some(word) = arguments.word() {
        match word.as_str() {
            "match" => scanned.matching = Some(arguments.string()?),
            "count" => scanned.count = count(&arguments.string()?)?,
            "type" => scanned.of_type = Some(lower(&arguments.string()?)),
            _ => return Err(SYNTAX),
        }
    }
    Ok(Request::Scan(scanned))
}

/// How many are looked at, at least one.
pub(super) fn count(bytes: &[u8]) -> Result<usize, Wrong> {
    match usize::try_from(number(bytes)?) {
        Ok(0) => Err(SYNTAX),
        Ok(count) => Ok(count),
        Err(_) => Err(NO_NUMBER),
    }
}

fn flush(arguments: &mut Arguments, all: bool) -> Result<Request, Wrong> {
    match arguments.word().as_deref() {
        None | Some("sync" | "async") => {}
        Some(_) => return Err(SYNTAX),
    }
    arguments.end()?;
    Ok(Request::Flush { all })
}

pub(super) fn flushdb(arguments: &mut Arguments) -> Result<Request, Wrong> {
    flush(arguments, false)
}

pub(super) fn flushall(arguments: &mut Arguments) -> Result<Request, Wrong> {
    flush(arguments, true)
}
