//! Commands of hashes.

use super::{
    super::keys::{Change, Look},
    arguments::{Arguments, SYNTAX, Wrong, wrong_number},
    keys::count,
    request::{Do, Keyed, Request, Tell},
};

pub(super) fn hset(arguments: &mut Arguments) -> Result<Request, Wrong> {
    Ok(Request::change(arguments.string()?, Change::SetFields(fields(arguments)?, true)))
}

pub(super) fn hmset(arguments: &mut Arguments) -> Result<Request, Wrong> {
    Ok(Request::change(arguments.string()?, Change::SetFields(fields(arguments)?, false)))
}

fn fields(arguments: &mut Arguments) -> Result<Vec<(bytes::Bytes, bytes::Bytes)>, Wrong> {
    let pairs = arguments.pairs()?;
    if pairs.is_empty() { Err(wrong_number(arguments.of)) } else { Ok(pairs) }
}

pub(super) fn hsetnx(arguments: &mut Arguments) -> Result<Request, Wrong> {
    let (key, field) = (arguments.string()?, arguments.string()?);
    Ok(Request::change(key, Change::SetFieldIfAbsent(field, arguments.string()?)))
}

pub(super) fn hget(arguments: &mut Arguments) -> Result<Request, Wrong> {
    Ok(Request::look(arguments.string()?, Look::Field(arguments.string()?)))
}

pub(super) fn hmget(arguments: &mut Arguments) -> Result<Request, Wrong> {
    Ok(Request::look(arguments.string()?, Look::Fields(arguments.all())))
}

pub(super) fn hgetall(arguments: &mut Arguments) -> Result<Request, Wrong> {
    Ok(Request::look(arguments.string()?, Look::Pairs))
}

pub(super) fn hdel(arguments: &mut Arguments) -> Result<Request, Wrong> {
    Ok(Request::change(arguments.string()?, Change::DeleteFields(arguments.all())))
}

pub(super) fn hexists(arguments: &mut Arguments) -> Result<Request, Wrong> {
    Ok(Request::look(arguments.string()?, Look::HasField(arguments.string()?)))
}

pub(super) fn hlen(arguments: &mut Arguments) -> Result<Request, Wrong> {
    Ok(Request::look(arguments.string()?, Look::Size))
}

pub(super) fn hstrlen(arguments: &mut Arguments) -> Result<Request, Wrong> {
    Ok(Request::look(arguments.string()?, Look::FieldLength(arguments.string()?)))
}

pub(super) fn hkeys(arguments: &mut Arguments) -> Result<Request, Wrong> {
    Ok(Request::look(arguments.string()?, Look::Names))
}

pub(super) fn hvals(arguments: &mut Arguments) -> Result<Request, Wrong> {
    Ok(Request::look(arguments.string()?, Look::Values))
}

pub(super) fn hincrby(arguments: &mut Arguments) -> Result<Request, Wrong> {
    let (key, field) = (arguments.string()?, arguments.string()?);
    Ok(Request::change(key, Change::AddToField(field, arguments.number()?)))
}

/// A hash is one page, however large: it lies in one place.
pub(super) fn hscan(arguments: &mut Arguments) -> Result<Request, Wrong> {
    let (key, cursor) = (arguments.string()?, arguments.string()?);
    if std::str::from_utf8(&cursor).ok().and_then(|cursor| cursor.parse::<u64>().ok()).is_none() {
        return Err("ERR invalid cursor".into());
    }
    let (mut matching, mut names_only) = (None, false);
    while let Some(word) = arguments.word() {
        match word.as_str() {
            "match" => matching = Some(arguments.string()?),
            "count" => drop(count(&arguments.string()?)?),
            "novalues" => names_only = true,
            _ => return Err(SYNTAX),
        }
    }
    Ok(Request::Keyed(Keyed::One(key, Do::Look(Look::Pairs), Tell::Page { matching, names_only })))
}
