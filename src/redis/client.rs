//! `Client`: what one connection has said of itself.

use bytes::Bytes;
use std::collections::BTreeSet;

use super::{
    arcs::Arcs,
    commands::{BYTES_MAX, Full, Gathered, Hello, Keyed, REQUESTS_MAX, Request, Wrong},
    frames::{Protocol, Reply},
    refusal,
    secret::Password,
    wall_clock,
};
use crate::{Readiness, id::ArcId, session::SessionId};

/// Keys that one connection watches, and channels it listens to.
const REMEMBERED_MAX: usize = 4_096;

/// What a server is told to be, for clients that want to know how old it is. What is offered is what `COMMAND` tells.
pub(super) const REDIS_VERSION: &str = "7.2.0";

/// One client.
#[derive(Debug)]
pub(super) struct Client {
    /// Its number on this node.
    pub(super) id: i64,
    /// How it calls itself.
    pub(super) name: Bytes,
    /// What it speaks.
    pub(super) protocol: Protocol,
    /// Which database its keys are in.
    pub(super) database: u8,
    /// Whether it may ask anything.
    is_known: bool,
    /// What it gathers for one commit.
    transaction: Option<Gathered>,
    /// Keys that are to be as they were, and as what: the version.
    pub(super) watched: Vec<(SessionId, u64)>,
    /// Channels and patterns it listens to, each with what it is.
    channels: BTreeSet<(bool, Bytes)>,
    /// Arcs it has written in, for `WAIT`.
    pub(super) written: Arcs,
}

/// What becomes of a request that the connection itself can see to.
#[derive(Debug)]
pub(super) enum Seen {
    /// It is answered.
    Answered(Reply),
    /// By several replies.
    AnsweredAll(Vec<Reply>),
    /// It is for keys, or for the node.
    Passed(Request),
    /// A transaction is to be carried out.
    Commit(Gathered),
    /// It is answered, and then the connection is closed.
    Last(Reply),
}

impl Client {
    /// One that has just come. Where there is no password everybody is known.
    pub(super) fn new(id: i64, password: Option<&Password>) -> Self {
        Self {
            id,
            name: Bytes::new(),
            protocol: Protocol::default(),
            database: 0,
            is_known: password.is_none(),
            transaction: None,
            watched: Vec::new(),
            channels: BTreeSet::new(),
            written: Arcs::default(),
        }
    }

    /// Whether it has said its password, where there is one.
    pub(super) const fn is_known(&self) -> bool {
        self.is_known
    }

    /// Remembers that it wrote in an arc.
    pub(super) fn wrote(&mut self, arc: ArcId) {
        self.written.insert(arc);
    }

    /// Sees to a request as it was read, in the order of its coming.
    pub(super) fn see(
        &mut self,
        read: Result<Request, Wrong>,
        password: Option<&Password>,
        readiness: Readiness,
    ) -> Seen {
        let request = match read {
            Ok(request) if self.is_known || request.is_for_strangers() => request,
            Ok(_) | Err(_) if !self.is_known => return Seen::Answered(Reply::error("NOAUTH Authentication required.")),
            Ok(request) => request,
            Err(wrong) => {
                if let Some(gathered) = &mut self.transaction {
                    gathered.spoil();
                }
                return Seen::Answered(wrong.into());
            }
        };
        if self.transaction.is_some() && !request.is_about_the_transaction() {
            return Seen::Answered(self.gather(request));
        }
        let is_listening = !self.channels.is_empty() && self.protocol == Protocol::Two;
        if is_listening && !may_listen(&request) {
            let words = "ERR only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context";
            return Seen::Answered(Reply::error(words));
        }
        self.answer(request, password, readiness)
    }

    /// Answers it, or passes it on; the same to a request of a transaction, once that is carried out.
    pub(super) fn answer(&mut self, request: Request, password: Option<&Password>, readiness: Readiness) -> Seen {
        Seen::Answered(match request {
            Request::Answered(reply) => reply,
            // Whoever looks by `PING` for a node to turn to is not to find this one.
            Request::Ping(_) if readiness == Readiness::Starting => refusal::LOADING,
            Request::Ping(_) if readiness == Readiness::Draining => refusal::LEAVING,
            Request::Ping(_) if readiness == Readiness::Stopped => refusal::READONLY,
            Request::Ping(words) if !self.channels.is_empty() && self.protocol == Protocol::Two => {
                Reply::List(vec![Reply::bytes("pong"), Reply::Bytes(words.unwrap_or_default())])
            }
            Request::Ping(None) => Reply::Status("PONG"),
            Request::Ping(Some(words)) => Reply::Bytes(words),
            Request::Select(database) => {
                self.database = database;
                Reply::OK
            }
            Request::Hello(hello) => self.hello(hello, password),
            Request::Auth(user, said) => {
                self.auth(user.as_deref(), &said, password).map_or_else(Into::into, |()| Reply::OK)
            }
            Request::Quit => return Seen::Last(Reply::OK),
            Request::Http => return Seen::Last(Reply::error("ERR this is the Redis protocol, and what came is HTTP")),
            Request::Reset => {
                *self = Self::new(self.id, password);
                Reply::Status("RESET")
            }
            Request::SetName(name) => {
                self.name = name;
                Reply::OK
            }
            Request::GetName => {
                if self.name.is_empty() {
                    Reply::Nothing
                } else {
                    Reply::Bytes(self.name.clone())
                }
            }
            Request::Id => Reply::Number(self.id),
            Request::Time => time(),
            Request::ClientInfo => Reply::Text(format!(
                "id={} name={} db={} resp={}\n",
                self.id,
                String::from_utf8_lossy(&self.name),
                self.database,
                if self.protocol == Protocol::Two { 2 } else { 3 }
            )),
            Request::Multi if self.transaction.is_some() => Reply::error("ERR MULTI calls can not be nested"),
            Request::Multi => {
                self.transaction = Some(Gathered::within(self.database));
                Reply::OK
            }
            Request::Discard if self.transaction.take().is_some() => {
                self.watched.clear();
                Reply::OK
            }
            Request::Discard => Reply::error("ERR DISCARD without MULTI"),
            Request::Exec => match self.transaction.take() {
                None => Reply::error("ERR EXEC without MULTI"),
                Some(gathered) if gathered.is_broken() => {
                    self.watched.clear();
                    Reply::error("EXECABORT Transaction discarded because of previous errors.")
                }
                Some(gathered) => return Seen::Commit(gathered),
            },
            Request::Watch(_) if self.transaction.is_some() => Reply::error("ERR WATCH inside MULTI is not allowed"),
            Request::Unwatch => {
                self.watched.clear();
                Reply::OK
            }
            Request::Subscribe { word, channels } => return self.listen(word, channels),
            Request::Unsubscribe { word, channels } => return self.listen_no_more(word, channels),
            // From here on the node is needed.
            Request::Info(_) | Request::Role => return Seen::Passed(request),
            _ => match readiness {
                Readiness::Starting => refusal::LOADING,
                Readiness::Stopped => refusal::READONLY,
                _ => return Seen::Passed(request),
            },
        })
    }

    /// Keys that are to be as they are.
    pub(super) fn watch(&mut self, versions: Vec<(SessionId, u64)>) -> Reply {
        if self.watched.len() + versions.len() > REMEMBERED_MAX {
            return Reply::error(format!("ERR a connection watches at most {REMEMBERED_MAX} keys"));
        }
        for (id, version) in versions {
            // Who watches a key twice means it as it was the first time.
            if !self.watched.iter().any(|(watched, _)| *watched == id) {
                self.watched.push((id, version));
            }
        }
        Reply::OK
    }

    fn gather(&mut self, request: Request) -> Reply {
        let Some(gathered) = &mut self.transaction else { return Reply::OK };
        let came = match request {
            Request::Keyed(keyed @ (Keyed::One(..) | Keyed::Sum(..) | Keyed::Each(..) | Keyed::SetAll(_))) => {
                gathered.add(keyed)
            }
            request if request.is_beside_keys() => gathered.add_beside(request),
            _ => {
                gathered.spoil();
                return Reply::error(
                    "ERR this command is not offered in a transaction: only those of single keys are, and those of none",
                );
            }
        };
        match came {
            Ok(()) => Reply::Status("QUEUED"),
            Err(Full::Requests) => Reply::error(format!("ERR a transaction has at most {REQUESTS_MAX} commands")),
            Err(Full::Bytes) => Reply::error(format!("ERR a transaction has at most {BYTES_MAX} bytes")),
        }
    }

    fn hello(&mut self, hello: Hello, password: Option<&Password>) -> Reply {
        if let Some((user, said)) = hello.auth
            && let Err(wrong) = self.auth(Some(&user), &said, password)
        {
            return wrong.into();
        }
        if !self.is_known {
            return Reply::error(
                "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH \
                 <user> <pass> option can be used to authenticate the client and select the RESP protocol version at \
                 the same time",
            );
        }
        if let Some(name) = hello.name {
            self.name = name;
        }
        self.protocol = hello.protocol.unwrap_or(self.protocol);
        let version = if self.protocol == Protocol::Two { 2 } else { 3 };
        Reply::Map(vec![
            (Reply::bytes("server"), Reply::bytes("redis")),
            (Reply::bytes("version"), Reply::bytes(REDIS_VERSION)),
            (Reply::bytes("proto"), Reply::Number(version)),
            (Reply::bytes("id"), Reply::Number(self.id)),
            (Reply::bytes("mode"), Reply::bytes("standalone")),
            (Reply::bytes("role"), Reply::bytes("master")),
            (Reply::bytes("modules"), Reply::List(Vec::new())),
        ])
    }

    fn auth(&mut self, user: Option<&[u8]>, said: &[u8], password: Option<&Password>) -> Result<(), Wrong> {
        let is_user = user.is_none_or(|user| user == b"default");
        let Some(password) = password else {
            // Whoever names the one user there is may say what they like, as with Redis.
            return if user.is_some() && is_user { Ok(()) } else { Err(no_password(user.is_some())) };
        };
        // The only user. Both are compared, so that nobody learns from the time which of them was wrong.
        if password.is(said) & is_user {
            self.is_known = true;
            return Ok(());
        }
        Err(WRONG_PASSWORD.into())
    }

    fn listen(&mut self, word: &'static str, channels: Vec<Bytes>) -> Seen {
        if self.channels.len() + channels.len() > REMEMBERED_MAX {
            return Seen::Answered(Reply::error(format!(
                "ERR a connection listens to at most {REMEMBERED_MAX} channels"
            )));
        }
        let is_pattern = word.starts_with('p');
        let told = channels.into_iter().map(|channel| {
            self.channels.insert((is_pattern, channel.clone()));
            self.listening(word, Reply::Bytes(channel))
        });
        Seen::AnsweredAll(told.collect())
    }

    fn listen_no_more(&mut self, word: &'static str, mut channels: Vec<Bytes>) -> Seen {
        let is_pattern = word.starts_with('p');
        if channels.is_empty() {
            let mine = self.channels.iter().filter(|(is, _)| *is == is_pattern);
            channels = mine.map(|(_, channel)| channel.clone()).collect();
        }
        if channels.is_empty() {
            return Seen::AnsweredAll(vec![self.listening(word, Reply::Nothing)]);
        }
        let told = channels.into_iter().map(|channel| {
            self.channels.remove(&(is_pattern, channel.clone()));
            self.listening(word, Reply::Bytes(channel))
        });
        Seen::AnsweredAll(told.collect())
    }

    fn listening(&self, word: &'static str, channel: Reply) -> Reply {
        let count = i64::try_from(self.channels.len()).unwrap_or(i64::MAX);
        Reply::Push(vec![Reply::bytes(word), channel, Reply::Number(count)])
    }
}

fn time() -> Reply {
    let millis = wall_clock::unix_millis();
    let part = |number: i64| Reply::bytes(number.to_string());
    Reply::List(vec![part(millis / 1_000), part(millis % 1_000 * 1_000)])
}

const WRONG_PASSWORD: &str = "WRONGPASS invalid username-password pair or user is disabled.";

/// What they are told who say a password where there is none.
fn no_password(named_another: bool) -> Wrong {
    if named_another {
        return WRONG_PASSWORD.into();
    }
    "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?".into()
}

/// What a connection of RESP2 that listens may still ask.
const fn may_listen(request: &Request) -> bool {
    matches!(
        request,
        Request::Subscribe { .. }
            | Request::Unsubscribe { .. }
            | Request::Ping(_)
            | Request::Quit
            | Request::Reset
            | Request::Http
    )
}
