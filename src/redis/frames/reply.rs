//! `Reply`: what a client is told, in either version of the protocol.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use redis_protocol::{
    resp2::{self, types::BytesFrame as Old},
    resp3::{
        self,
        types::{BytesFrame as New, VerbatimStringFormat},
    },
};

/// The version of the protocol that a client asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// RESP2, with which every connection begins.
    #[default]
    Two,
    /// RESP3.
    Three,
}

/// One reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// A word.
    Status(&'static str),
    /// An error, its code first.
    Error(Cow<'static, str>),
    /// A whole number.
    Number(i64),
    /// Bytes.
    Bytes(Bytes),
    /// Text for people.
    Text(String),
    /// There is nothing.
    Nothing,
    /// There is no list: a transaction that was not carried out.
    NoList,
    /// Several.
    List(Vec<Self>),
    /// Pairs; in RESP2 a list of both.
    Map(Vec<(Self, Self)>),
    /// What nobody asked for; in RESP2 a list.
    Push(Vec<Self>),
}

impl Reply {
    /// The word for "it was done".
    pub(crate) const OK: Self = Self::Status("OK");

    /// An error, its code first.
    pub(crate) fn error(words: impl Into<Cow<'static, str>>) -> Self {
        Self::Error(words.into())
    }

    /// Bytes.
    pub(crate) fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self::Bytes(bytes.into())
    }

    /// Appends it as it travels.
    pub(crate) fn write(self, protocol: Protocol, to: &mut BytesMut) {
        // RESP2 has two words for nothing, and clients that read a list want the one that the codec does not have.
        let written = match protocol {
            Protocol::Two if self == Self::NoList => {
                to.extend_from_slice(b"*-1\r\n");
                Ok(0)
            }
            Protocol::Two => resp2::encode::extend_encode(to, &self.into_old(), false),
            Protocol::Three => resp3::encode::complete::extend_encode(to, &self.into_new(), false),
        };
        // It has room for whatever it is given; there is nothing else that it could fail by.
        debug_assert!(written.is_ok(), "{written:?}");
    }

    fn into_old(self) -> Old {
        match self {
            Self::Status(word) => Old::SimpleString(Bytes::from_static(word.as_bytes())),
            Self::Error(words) => Old::Error(line(words).into()),
            Self::Number(number) => Old::Integer(number),
            Self::Bytes(bytes) => Old::BulkString(bytes),
            Self::Text(text) => Old::BulkString(text.into()),
            Self::Nothing | Self::NoList => Old::Null,
            Self::List(replies) | Self::Push(replies) => Old::Array(replies.into_iter().map(Self::into_old).collect()),
            Self::Map(pairs) => {
                Old::Array(pairs.into_iter().flat_map(|(key, value)| [key.into_old(), value.into_old()]).collect())
            }
        }
    }

    fn into_new(self) -> New {
        let attributes = None;
        match self {
            Self::Status(word) => New::SimpleString { data: Bytes::from_static(word.as_bytes()), attributes },
            Self::Error(words) => New::SimpleError { data: line(words).into(), attributes },
            Self::Number(data) => New::Number { data, attributes },
            Self::Bytes(data) => New::BlobString { data, attributes },
            Self::Text(text) => {
                New::VerbatimString { data: text.into(), format: VerbatimStringFormat::Text, attributes }
            }
            Self::Nothing | Self::NoList => New::Null,
            Self::List(replies) => New::Array { data: replies.into_iter().map(Self::into_new).collect(), attributes },
            Self::Map(pairs) => {
                let data = pairs.into_iter().map(|(key, value)| (key.into_new(), value.into_new())).collect();
                New::Map { data, attributes }
            }
            Self::Push(replies) => New::Push { data: replies.into_iter().map(Self::into_new).collect(), attributes },
        }
    }
}

/// An error is one line, whatever a client wrote into what it is about.
fn line(words: Cow<'static, str>) -> String {
    if words.contains(['\r', '\n']) { words.replace(['\r', '\n'], " ") } else { words.into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(reply: Reply, protocol: Protocol) -> String {
        let mut bytes = BytesMut::new();
        reply.write(protocol, &mut bytes);
        String::from_utf8(bytes.to_vec()).expect("text")
    }

    #[test]
    fn each_version_gets_the_words_that_it_has() {
        let pair = || vec![(Reply::bytes("k"), Reply::Number(-7))];
        for (reply, two, three) in [
            (Reply::OK, "+OK\r\n", "+OK\r\n"),
            (Reply::error("ERR no\r\nline"), "-ERR no  line\r\n", "-ERR no  line\r\n"),
            (Reply::bytes(""), "$0\r\n\r\n", "$0\r\n\r\n"),
            (Reply::Nothing, "$-1\r\n", "_\r\n"),
            (Reply::NoList, "*-1\r\n", "_\r\n"),
            (Reply::Map(pair()), "*2\r\n$1\r\nk\r\n:-7\r\n", "%1\r\n$1\r\nk\r\n:-7\r\n"),
            (Reply::List(vec![]), "*0\r\n", "*0\r\n"),
            (Reply::Push(vec![Reply::bytes("m")]), "*1\r\n$1\r\nm\r\n", ">1\r\n$1\r\nm\r\n"),
            (Reply::Text("a".into()), "$1\r\na\r\n", "=5\r\ntxt:a\r\n"),
        ] {
            assert_eq!(written(reply.clone(), Protocol::Two), two, "{reply:?}");
            assert_eq!(written(reply.clone(), Protocol::Three), three, "{reply:?}");
        }
    }
}
