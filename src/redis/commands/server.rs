//! Commands of connections, and those by which clients get to know a server.

use bytes::Bytes;

use super::{
    super::{
        frames::{Protocol, Reply},
        glob,
    },
    arguments::{Arguments, Wrong, lower, shown, wrong_number},
    request::{Hello, Request, Script},
    table::{self, COMMANDS, Spec},
};

/// Databases, as many as Redis has unless told otherwise.
const DATABASES: i64 = 16;

/// What `CONFIG GET` tells: what clients look for before they begin, and what is true of every node.
const CONFIG: [(&str, &str); 8] = [
    ("appendonly", "no"),
    ("databases", "16"),
    ("maxmemory", "0"),
    ("maxmemory-policy", "noeviction"),
    ("notify-keyspace-events", ""),
    ("save", ""),
    ("timeout", "0"),
    ("tcp-keepalive", "0"),
];

pub(super) fn ping(arguments: &mut Arguments) -> Result<Request, Wrong> {
    let words = arguments.maybe();
    if arguments.len() > 0 { Err(wrong_number("ping")) } else { Ok(Request::Ping(words)) }
}

pub(super) fn echo(arguments: &mut Arguments) -> Result<Request, Wrong> {
    Ok(Request::Answered(Reply::Bytes(arguments.string()?)))
}

pub(super) fn select(arguments: &mut Arguments) -> Result<Request, Wrong> {
    match arguments.number() {
        Ok(number @ 0..DATABASES) => Ok(Request::Select(u8::try_from(number).expect("below 16"))),
        Ok(_) => Err("ERR DB index is out of range".into()),
        Err(wrong) => Err(wrong),
    }
}

pub(super) fn hello(arguments: &mut Arguments) -> Result<Request, Wrong> {
    let mut hello = Hello::default();
    let Some(version) = arguments.maybe() else { return Ok(Request::Hello(hello)) };
    hello.protocol = Some(match &version[..] {
        b"2" => Protocol::Two,
        b"3" => Protocol::Three,
        other if super::arguments::number(other).is_ok() => return Err("NOPROTO unsupported protocol version".into()),
        _ => return Err("ERR Protocol version is not an integer or out of range".into()),
    });
    while let Some(word) = arguments.maybe() {
        match lower(&word).as_str() {
            "auth" => hello.auth = Some((arguments.string()?, arguments.string()?)),
            "setname" => hello.name = Some(name(arguments.string()?)?),
            _ => return Err(format!("ERR Syntax error in HELLO option '{}'", shown(&word)).into()),
        }
    }
    Ok(Request::Hello(hello))
}

/// A name of a connection has no blanks, since lists of connections are lines of words.
fn name(name: Bytes) -> Result<Bytes, Wrong> {
    if name.iter().all(|byte| (b'!'..=b'~').contains(byte)) {
        Ok(name)
    } else {
        Err("ERR Client names cannot contain spaces, newlines or special characters.".into())
    }
}

pub(super) fn auth(arguments: &mut Arguments) -> Result<Request, Wrong> {
    let first = arguments.string()?;
    let Some(second) = arguments.maybe() else { return Ok(Request::Auth(None, first)) };
    arguments.end()?;
    Ok(Request::Auth(Some(first), second))
}

pub(super) fn quit(_: &mut Arguments) -> Result<Request, Wrong> {
    Ok(Request::Quit)
}

pub(super) fn reset(_: &mut Arguments) -> Result<Request, Wrong> {
    Ok(Request::Reset)
}

pub(super) fn client(arguments: &mut Arguments) -> Result<Request, Wrong> {
    const KNOWN: &[&str] = &["setname", "getname", "id", "info", "list", "setinfo", "no-evict", "no-touch"];
    let word = arguments.string()?;
    Ok(match (lower(&word).as_str(), arguments.len()) {
        ("setname", 1) => Request::SetName(name(arguments.string()?)?),
        ("getname", 0) => Request::GetName,
        ("id", 0) => Request::Id,
        ("info", 0) | ("list", 0) => Request::ClientInfo,
        ("setinfo", 2) => match arguments.word().as_deref() {
            Some("lib-name" | "lib-ver") => Request::Answered(Reply::OK),
            other => return Err(format!("ERR Unrecognized option '{}'", other.unwrap_or_default()).into()),
        },
        ("no-evict" | "no-touch", 1) => Request::Answered(Reply::OK),
        _ => return Err(unknown_sub("client", &word, KNOWN)),
    })
}

/// A word behind a command that is none of its own, or one of its own with too much or too little behind it.
fn unknown_sub(command: &str, word: &[u8], known: &[&str]) -> Wrong {
    let name = lower(word);
    if known.contains(&name.as_str()) {
        return wrong_number(&format!("{command}|{name}"));
    }
    format!("ERR unknown subcommand '{}'. Try {} HELP.", shown(word), command.to_uppercase()).into()
}

pub(super) fn info(arguments: &mut Arguments) -> Result<Request, Wrong> {
    Ok(Request::Info(arguments.all().iter().map(|section| lower(section)).collect()))
}

pub(super) fn role(_: &mut Arguments) -> Result<Request, Wrong> {
    Ok(Request::Role)
}

pub(super) fn wait(arguments: &mut Arguments) -> Result<Request, Wrong> {
    let copies = arguments.number()?;
    let millis = u64::try_from(arguments.number().map_err(|_| "ERR timeout is not an integer or out of range")?);
    Ok(Request::Wait { copies, millis: millis.map_err(|_| "ERR timeout is negative")? })
}

pub(super) fn config(arguments: &mut Arguments) -> Result<Request, Wrong> {
    let word = arguments.string()?;
    match lower(&word).as_str() {
        "get" if arguments.len() > 0 => {
            let patterns: Vec<_> = arguments.all().iter().map(|pattern| lower(pattern)).collect();
            let asked = |name: &str| patterns.iter().any(|pattern| glob::matches(pattern.as_bytes(), name.as_bytes()));
            let told = CONFIG.iter().filter(|(name, _)| asked(name));
            Ok(Request::Answered(Reply::Map(
                told.map(|(name, value)| (Reply::bytes(*name), Reply::bytes(*value))).collect(),
            )))
        }
        "set" => Err("ERR CONFIG SET is not offered: a node is configured by the cluster file".into()),
        _ => Err(unknown_sub("config", &word, &["get"])),
    }
}

pub(super) fn command(arguments: &mut Arguments) -> Result<Request, Wrong> {
    let all = || COMMANDS.iter().map(|spec| spec.describe()).collect();
    let Some(word) = arguments.maybe() else { return Ok(Request::Answered(Reply::List(all()))) };
    let names = arguments.all();
    let named = || names.iter().map(|name| table::find(name));
    let reply = match lower(&word).as_str() {
        "count" if names.is_empty() => Reply::Number(i64::try_from(COMMANDS.len()).expect("some dozens")),
        "list" => Reply::List(COMMANDS.iter().map(|spec| Reply::bytes(spec.name)).collect()),
        "info" if names.is_empty() => Reply::List(all()),
        "info" => Reply::List(named().map(|spec| spec.map_or(Reply::NoList, Spec::describe)).collect()),
        "docs" if names.is_empty() => Reply::Map(COMMANDS.iter().map(Spec::document).collect()),
        "docs" => Reply::Map(named().flatten().map(Spec::document).collect()),
        _ => return Err(unknown_sub("command", &word, &["count"])),
    };
    Ok(Request::Answered(reply))
}

pub(super) fn multi(_: &mut Arguments) -> Result<Request, Wrong> {
    Ok(Request::Multi)
}

pub(super) fn exec(_: &mut Arguments) -> Result<Request, Wrong> {
    Ok(Request::Exec)
}

pub(super) fn discard(_: &mut Arguments) -> Result<Request, Wrong> {
    Ok(Request::Discard)
}

pub(super) fn watch(arguments: &mut Arguments) -> Result<Request, Wrong> {
    Ok(Request::Watch(arguments.all()))
}

pub(super) fn unwatch(_: &mut Arguments) -> Result<Request, Wrong> {
    Ok(Request::Unwatch)
}

pub(super) fn subscribe(arguments: &mut Arguments) -> Result<Request, Wrong> {
    Ok(Request::Subscribe { word: arguments.of, channels: arguments.all() })
}

pub(super) fn unsubscribe(arguments: &mut Arguments) -> Result<Request, Wrong> {
    Ok(Request::Unsubscribe { word: arguments.of, channels: arguments.all() })
}

/// Nobody ever gets it, which is what the number says.
pub(super) fn publish(_: &mut Arguments) -> Result<Request, Wrong> {
    Ok(Request::Answered(Reply::Number(0)))
}

fn called(arguments: &mut Arguments, script: Script) -> Result<Request, Wrong> {
    let keys = usize::try_from(arguments.number()?).map_err(|_| "ERR Number of keys can't be negative")?;
    if keys > arguments.len() {
        return Err("ERR Number of keys can't be greater than number of args".into());
    }
    let keys = (0..keys).map(|_| arguments.string()).collect::<Result<_, _>>()?;
    Ok(Request::Eval { script, keys, arguments: arguments.all() })
}

pub(super) fn eval(arguments: &mut Arguments) -> Result<Request, Wrong> {
    let text = arguments.string()?;
    called(arguments, Script::Text(text))
}

pub(super) fn evalsha(arguments: &mut Arguments) -> Result<Request, Wrong> {
    let digest = arguments.string()?;
    called(arguments, Script::Digest(digest))
}

pub(super) fn script(arguments: &mut Arguments) -> Result<Request, Wrong> {
    let word = arguments.string()?;
    Ok(match (lower(&word).as_str(), arguments.len()) {
        ("load", 1) => Request::LoadScript(arguments.string()?),
        ("exists", 1..) => Request::KnownScripts(arguments.all()),
        ("flush", 0 | 1) => Request::FlushScripts,
        _ => return Err(unknown_sub("script", &word, &["load", "exists", "flush"])),
    })
}

pub(super) fn time(_: &mut Arguments) -> Result<Request, Wrong> {
    Ok(Request::Time)
}
