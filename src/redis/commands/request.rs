//! `Request`: what a client asks, understood.

use bytes::Bytes;

use super::{
    super::{
        frames::{Protocol, Reply},
        keys::{Change, Look, Span},
    },
    gathered::Gathered,
};

/// What is done with one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Do {
    /// Something that may change it.
    Change(Change),
    /// A question.
    Look(Look),
}

impl Do {
    /// Whether it may tell as much as the key holds.
    pub(crate) const fn may_tell_much(&self) -> bool {
        match self {
            Self::Change(change) => change.may_tell_much(),
            Self::Look(_) => true,
        }
    }
}

/// How what a key says is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tell {
    /// As it is.
    Plain,
    /// Milliseconds as seconds.
    Seconds,
    /// Milliseconds that are left as a date in seconds since 1970.
    UnixSeconds,
    /// The same in milliseconds.
    UnixMillis,
    /// Fields of a hash that match, as one page of a scan.
    Page {
        /// Only such fields.
        matching: Option<Bytes>,
        /// Without their values.
        names_only: bool,
    },
}

/// Which keys a scan tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scanned {
    /// Where it goes on; 0 where it begins.
    pub(crate) cursor: u64,
    /// Only such keys.
    pub(crate) matching: Option<Bytes>,
    /// About so many are looked at.
    pub(crate) count: usize,
    /// Only keys with values of this type, in lower case.
    pub(crate) of_type: Option<String>,
}

/// A request that concerns keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Keyed {
    /// One key.
    One(Bytes, Do, Tell),
    /// The same with each, and the sum is told.
    Sum(Vec<Bytes>, Do),
    /// The same question to each, and a list is told.
    Each(Vec<Bytes>, Look),
    /// Sets each key to its value.
    SetAll(Vec<(Bytes, Bytes)>),
    /// The first becomes the second.
    Rename(Bytes, Bytes),
}

/// What a client says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hello {
    /// The version it speaks from now on.
    pub(crate) protocol: Option<Protocol>,
    /// User and password.
    pub(crate) auth: Option<(Bytes, Bytes)>,
    /// How the connection is called.
    pub(crate) name: Option<Bytes>,
}

/// A request of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Keys of the database that is selected.
    Keyed(Keyed),
    /// Keys by a pattern.
    Keys(Bytes),
    /// A page of keys.
    Scan(Scanned),
    /// How many keys there are.
    Size,
    /// Deletes all keys of one database, or of all.
    Flush {
        /// Of all.
        all: bool,
    },
    /// It needs nothing but itself.
    Answered(Reply),
    /// `PING`, with the words to give back.
    Ping(Option<Bytes>),
    /// Another database.
    Select(u8),
    /// Who it is, and in which protocol.
    Hello(Hello),
    /// User, if one was named, and password.
    Auth(Option<Bytes>, Bytes),
    /// The connection is to be closed.
    Quit,
    /// These are the words of HTTP: whatever follows was not meant for here, so nothing of it may be carried out.
    Http,
    /// As if it had just connected.
    Reset,
    /// How the connection is called from now on.
    SetName(Bytes),
    /// How it is called.
    GetName,
    /// Its number.
    Id,
    /// What is known of it.
    ClientInfo,
    /// The date.
    Time,
    /// Sections of what is known of the node.
    Info(Vec<String>),
    /// Whether it serves alone.
    Role,
    /// How many copies have what this connection wrote, waiting for so many.
    Wait {
        /// So many.
        copies: i64,
        /// At most so many milliseconds; 0: no end but this node's own.
        millis: u64,
    },
    /// What follows is one transaction.
    Multi,
    /// Carry it out.
    Exec,
    /// What was gathered, to be carried out; made of `Exec` by the connection.
    Commit(Gathered),
    /// Forget it.
    Discard,
    /// The next transaction is carried out only if these are as they are now.
    Watch(Vec<Bytes>),
    /// Or whatever they are.
    Unwatch,
    /// Listens to channels.
    Subscribe {
        /// The command's name.
        word: &'static str,
        /// Which.
        channels: Vec<Bytes>,
    },
    /// Listens no more.
    Unsubscribe {
        /// The command's name.
        word: &'static str,
        /// To these; to any, if there are none.
        channels: Vec<Bytes>,
    },
    /// A script, by its text or its digest.
    Eval {
        /// Text or digest.
        script: Script,
        /// Its keys.
        keys: Vec<Bytes>,
        /// What else it is given.
        arguments: Vec<Bytes>,
    },
    /// Keeps a script to be called by its digest.
    LoadScript(Bytes),
    /// Which of these digests are known.
    KnownScripts(Vec<Bytes>),
    /// Forgets all scripts.
    FlushScripts,
}

/// A script as it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Script {
    /// By its text.
    Text(Bytes),
    /// By the SHA-1 of its text, in hex.
    Digest(Bytes),
}

impl Request {
    /// A question to one key.
    pub(super) const fn look(key: Bytes, look: Look) -> Self {
        Self::Keyed(Keyed::One(key, Do::Look(look), Tell::Plain))
    }

    /// Something done to one key.
    pub(super) const fn change(key: Bytes, change: Change) -> Self {
        Self::Keyed(Keyed::One(key, Do::Change(change), Tell::Plain))
    }

    /// Whether a client that has not said its password may ask it.
    pub(crate) const fn is_for_strangers(&self) -> bool {
        matches!(self, Self::Auth(..) | Self::Hello(_) | Self::Quit | Self::Reset | Self::Http)
    }

    /// Whether a transaction takes it although it concerns no key: the connection or its node answers it at once, and nothing else is
    /// asked.
    pub(crate) const fn is_beside_keys(&self) -> bool {
        matches!(
            self,
            Self::Answered(_)
                | Self::Ping(_)
                | Self::Select(_)
                | Self::SetName(_)
                | Self::GetName
                | Self::Id
                | Self::ClientInfo
                | Self::Time
                | Self::Info(_)
                | Self::Role
                | Self::Unwatch
                | Self::LoadScript(_)
                | Self::KnownScripts(_)
                | Self::FlushScripts
        )
    }

    /// Whether it is carried out although a transaction is being gathered.
    pub(crate) const fn is_about_the_transaction(&self) -> bool {
        matches!(
            self,
            Self::Multi | Self::Exec | Self::Discard | Self::Watch(_) | Self::Quit | Self::Reset | Self::Http
        )
    }
}

impl Keyed {
    /// The keys it concerns.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &Bytes> {
        let (few, many, pairs) = match self {
            Self::One(key, ..) => ([Some(key), None], &[][..], &[][..]),
            Self::Sum(keys, _) | Self::Each(keys, _) => ([None, None], &keys[..], &[][..]),
            Self::SetAll(pairs) => ([None, None], &[][..], &pairs[..]),
            Self::Rename(from, to) => ([Some(from), Some(to)], &[][..], &[][..]),
        };
        few.into_iter().flatten().chain(many).chain(pairs.iter().map(|(key, _)| key))
    }

    /// How many bytes it names and writes.
    pub(super) fn bytes(&self) -> usize {
        let names: usize = self.keys().map(Bytes::len).sum();
        let writes = match self {
            Self::One(_, Do::Change(change), _) => change.bytes(),
            Self::SetAll(pairs) => pairs.iter().map(|(_, value)| value.len()).sum(),
            _ => 0,
        };
        names + writes
    }
}

/// A value that is only set.
pub(super) const fn keeps(keeps_end: bool) -> Span {
    if keeps_end { Span::Kept } else { Span::ForEver }
}
