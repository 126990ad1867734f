//! What crosses between simulated processes, clients and the world. Plain data.

use std::sync::Arc;

use super::{
    check::{Action, Reply},
    hosting::{CallNumber, ReplyNumber},
    lifetimes::Decided,
    several::{Several, SeveralReplies},
};
use crate::{
    id::{NodeId, RequestId},
    membership::{ChainMessage, KeeperMessage, Ping, Pong, RecoveryFault, View, Vote, WishedChange},
    replication::{Frame, LinkAck, Token},
};

/// What travels between simulated processes.
#[derive(Clone, Debug)]
pub(crate) enum Packet {
    /// Between view keepers.
    Keeper(KeeperMessage),
    /// A heartbeat.
    Ping(Ping),
    /// Its answer.
    Pong(Pong),
    /// Replication.
    Frame(Frame),
    /// Its acknowledgement: which stream, and what.
    Ack(u16, LinkAck),
}

impl Packet {
    /// About how many bytes it would be on a wire.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Frame(frame) => 100 + frame.messages.iter().map(|message| message.content.size()).sum::<usize>(),
            Self::Keeper(_) => 500,
            Self::Ping(_) | Self::Pong(_) | Self::Ack(..) => 100,
        }
    }

    /// What kind of message it is.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Keeper(message) => keeper_words(message),
            Self::Ping(_) => "heartbeat".to_owned(),
            Self::Pong(_) => "heartbeat answered".to_owned(),
            Self::Frame(frame) => format!("frame {} of {} messages", frame.head.number, frame.messages.len()),
            Self::Ack(_, ack) if ack.refused => format!("refused after frame {}", ack.upto),
            Self::Ack(_, ack) => format!("acknowledged to frame {}", ack.upto),
        }
    }
}

fn keeper_words(message: &KeeperMessage) -> String {
    let view = |view: &View| format!("view {}", view.number);
    match message {
        KeeperMessage::Chain(ChainMessage::Prepare { base, .. }) => format!("prepare after {}", view(base)),
        KeeperMessage::Chain(ChainMessage::Promise { base, .. }) => format!("promise after view {base}"),
        KeeperMessage::Chain(ChainMessage::Refuse { base, .. }) => format!("refuse after view {base}"),
        KeeperMessage::Chain(ChainMessage::Accept { value, .. }) => format!("accept {}", view(value)),
        KeeperMessage::Chain(ChainMessage::Accepted { base, .. }) => format!("accepted after view {base}"),
        KeeperMessage::Chain(ChainMessage::Decided(value)) => format!("decided {}", view(value)),
        KeeperMessage::Chain(ChainMessage::Fetch { have }) => format!("fetch, has view {have}"),
        KeeperMessage::Founding(_) => "founding".to_owned(),
        KeeperMessage::Wishes(wishes) => format!("{} wishes", wishes.len()),
        KeeperMessage::Join(_) => "join".to_owned(),
        KeeperMessage::Leave => "leave".to_owned(),
        KeeperMessage::Ended(_) => "processes that ended".to_owned(),
        KeeperMessage::JoinRefused(_) => "join refused".to_owned(),
        KeeperMessage::Recovery(_) => "recovery".to_owned(),
        KeeperMessage::Word(_) => "an operator's word of a death".to_owned(),
        KeeperMessage::ClearLost(_) => "losses cleared".to_owned(),
    }
}

/// A client's request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    /// Which client.
    pub(crate) client: u32,
    /// Which of its tries; the answer carries it back.
    pub(crate) attempt: u64,
    /// Which session.
    pub(crate) session: u32,
    /// What to do.
    pub(crate) action: Action,
    /// Its identity over retries.
    pub(crate) id: RequestId,
    /// Which call of a user's type it is, in worlds that host one.
    pub(crate) call: Option<CallNumber>,
    /// What is asked of other sessions of its arc in the same commit.
    pub(crate) along: Several,
}

/// What a caller is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// Of the session that was called.
    pub(crate) reply: Reply,
    /// What a user's type said.
    pub(crate) said: Option<ReplyNumber>,
    /// Of those that were taken along.
    pub(crate) along: SeveralReplies,
}

/// A node's answer to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Done.
    Done(Told),
    /// Not executed here: ask that node, or anyone a little later.
    Retry(Option<NodeId>),
    /// It may have been executed; ask again with the same identity.
    Unknown,
    /// It may have been executed, and nobody remembers: do not ask again.
    TooOld,
    /// The session was lost with its last copy.
    Lost,
    /// Nobody listens there.
    Refused,
}

/// What a node wants done.
#[derive(Debug)]
pub(crate) enum Output {
    /// Send a packet.
    Send(NodeId, Packet),
    /// Answer a client's attempt.
    Answer(u32, u64, Answer),
    /// It appends the end of a session whose time is over; where that was a set end, what decided it.
    Ending(u32, Token, Option<Decided>),
    /// That end is committed; what the session was.
    Ended(u32, Token, Reply),
    /// One of its primaries wished for a change of its arc.
    Wished(WishedChange),
    /// It found a session with a set end there, and what decided that end; whether it knows of that by a copy alone.
    Found(u32, Decided, bool),
    /// It came to an interesting branch.
    Reached(&'static str),
    /// It installed a view.
    Installed(Arc<View>),
    /// Its vote, to be stored before anything else is sent.
    Keep(Box<Vote>),
    /// It looks whether a process is dead.
    Seek(NodeId),
    /// The recovery that it was asked for has ended.
    Recovered(Result<Arc<View>, RecoveryFault>),
    /// It cannot go on under this id: it starts anew, or was refused.
    Stopped(&'static str),
}
