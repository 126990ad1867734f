//! What nodes say to each other as bytes: one leading byte for the kind of message, then its body.
//!
//! Bodies have no names in them, for both ends version them together. A message of an unknown kind is skipped, so that a newer
//! node may say more. Nothing here acts on what it decodes.

use std::{borrow::Cow, sync::Arc, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize};

use crate::{
    blob::Blob,
    error::Bound,
    id::{NodeId, RequestId, SessionKey, ViewNumber},
    kinds::Failure,
    membership::{KeeperMessage, Ping, Pong},
    replication::{Durability, Frame, Lifespan, LinkAck},
    wire::codec::{self, CodecFault},
};

/// On the data lane.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum DataMessage {
    /// Commits and chunks.
    Frame(Frame),
    /// Their acknowledgement, and of which stream.
    Ack(u16, LinkAck),
    /// Calls for sessions whose primary the receiver is thought to be, at least one.
    Calls(Vec<ForwardedCall>),
    /// Outcomes of such.
    Replies(Vec<ForwardedReply>),
}

/// On the control lane.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ControlMessage {
    /// Between view keepers.
    Keeper(KeeperMessage),
}

/// On the heartbeat socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeartbeatMessage {
    /// Are you there?
    Ping(Ping),
    /// Yes.
    Pong(Pong),
}

/// A call on its way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ForwardedCall {
    /// Names it at the sender.
    pub(crate) call: u64,
    /// What to do.
    #[serde(deserialize_with = "shared")]
    pub(crate) request: Arc<CallRequest>,
}

/// Serde's own way to an `Arc` is a box first and a copy then.
fn shared<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<CallRequest>, D::Error> {
    CallRequest::deserialize(deserializer).map(Arc::new)
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ForwardedReply {
    /// Its name at the sender.
    pub(crate) call: u64,
    /// The outcome.
    pub(crate) outcome: CallOutcome,
}

/// One command for one session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CallRequest {
    /// Which session.
    pub(crate) key: SessionKey,
    /// What to do with it.
    pub(crate) operation: Operation,
    /// Its identity over retries.
    pub(crate) request: Option<RequestId>,
    /// When it counts as done; `None`: as its session type says.
    pub(crate) durability: Option<Durability>,
    /// Only if the session has this version; 0 means "if it does not exist".
    pub(crate) expected: Option<u64>,
    /// How long the session is to live from then on; `None`: as its type or the command says.
    pub(crate) life: Option<Lifespan>,
    /// How many primaries were lost while they had it, if it is a command; questions are not counted here.
    pub(crate) attempts: u8,
    /// Whether the caller says outright that the session may begin here.
    pub(crate) creating: bool,
}

/// What to do with a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Operation {
    /// A command that may change it: name and encoded body.
    Call(Cow<'static, str>, Blob),
    /// Several commands of one name, one after the other, all or none: their encoded bodies.
    Many(Cow<'static, str>, Vec<Blob>),
    /// A question.
    Ask(Cow<'static, str>, Blob),
    /// Make it; it must not exist. With its encoded first state, or the type's own.
    Create(Option<Blob>),
    /// Make it unless it exists.
    GetOrCreate(Option<Blob>),
    /// Remove it.
    Delete,
    /// Tell its state as soon as it has another version than this one (0: there is none), or after so many milliseconds that
    /// nothing is new.
    Watch(u64, u32),
    /// Commands to several sessions of the key's arc, the first of them the key's own: all of them in one commit, or none.
    Together(Vec<Part>),
    /// Tell a page of the ids of the key's kind and arc that begin with these bytes: from that place on, about so many.
    List(Blob, u64, u32),
}

/// What is done to one session of several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Part {
    /// Which.
    pub(crate) key: SessionKey,
    /// The commands' name.
    pub(crate) command: Cow<'static, str>,
    /// Their encoded bodies, one after the other.
    pub(crate) bodies: Vec<Blob>,
    /// Only if the session has this version; 0 means "if it does not exist".
    pub(crate) expected: Option<u64>,
}

impl Operation {
    /// Whether it changes nothing.
    pub(crate) const fn is_question(&self) -> bool {
        matches!(self, Self::Ask(..) | Self::Watch(..) | Self::List(..))
    }

    /// Whether its reply is a list of encoded replies.
    pub(crate) const fn is_list(&self) -> bool {
        matches!(self, Self::Many(..))
    }

    /// What it is called where people read.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Call(name, _) | Self::Many(name, _) | Self::Ask(name, _) => name,
            Self::Create(_) | Self::GetOrCreate(_) => "(create)",
            Self::Delete => "(delete)",
            Self::Watch(..) => "(watch)",
            Self::Together(_) => "(together)",
            Self::List(..) => "(list)",
        }
    }
}

/// What a watched session is now; the reply to `Operation::Watch`, if anything is new.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// Its version; 0: there is no session.
    pub(crate) version: u64,
    /// The version of its type that encoded the state, and the state; none: there is no session.
    pub(crate) state: Option<(u32, Blob)>,
}

/// What a primary, or a node that is none, says to a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum CallOutcome {
    /// Done: the encoded reply, and the session's version.
    Done(Blob, u64),
    /// Not done, for a reason of the session or its type.
    Failed(Failure),
    /// Not executed: another node is the primary, as of this view.
    Elsewhere(NodeId, ViewNumber),
    /// Not executed: the primary does not answer yet.
    Starting,
    /// Not executed: the arc is being handed over to another node, in some milliseconds.
    HandingOver,
    /// Not executed: the only copy is out of reach.
    Recovering,
    /// Not executed: this bound is reached, and there may be room after this long.
    Busy(Bound, Duration),
    /// Not executed: every copy of the session was lost.
    Lost,
    /// Executed or not, nobody can tell here: ask again with the same identity.
    Unknown,
    /// Older than what is remembered: it may have been executed, and is not to be asked again.
    TooOld,
    /// Not executed: primaries died while they had it.
    Poisoned,
    /// Not executed: the kind is not registered there.
    NoSuchKind,
}

impl CallOutcome {
    /// Bytes of what it carries, about.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Done(reply, _) => reply.len(),
            Self::Failed(failure) => failure.size(),
            _ => 0,
        }
    }
}

impl CallRequest {
    /// Bytes of what it carries, about.
    pub(crate) fn size(&self) -> usize {
        let many = |bodies: &[Blob]| bodies.iter().map(|body| body.len() + 8).sum::<usize>();
        let operation = match &self.operation {
            Operation::Call(name, body) | Operation::Ask(name, body) => name.len() + body.len(),
            Operation::Many(name, bodies) => name.len() + many(bodies),
            Operation::Create(state) | Operation::GetOrCreate(state) => state.as_ref().map_or(0, |state| state.len()),
            Operation::Together(parts) => {
                parts.iter().map(|part| part.key.as_bytes().len() + part.command.len() + many(&part.bodies)).sum()
            }
            Operation::List(prefix, ..) => prefix.len(),
            Operation::Delete | Operation::Watch(..) => 0,
        };
        self.key.as_bytes().len() + operation
    }
}

const FRAME: u8 = 1;
const ACK: u8 = 2;
const CALLS: u8 = 3;
const REPLIES: u8 = 4;
const KEEPER: u8 = 10;
const PING: u8 = 20;
const PONG: u8 = 21;

impl DataMessage {
    /// As bytes.
    pub(crate) fn encode(&self, max: usize) -> Result<Bytes, CodecFault> {
        match self {
            Self::Frame(frame) => codec::encode_dense(FRAME, frame, max),
            Self::Ack(stream, ack) => codec::encode_dense(ACK, &(stream, ack), max),
            Self::Calls(calls) => codec::encode_dense(CALLS, calls, max),
            Self::Replies(replies) => codec::encode_dense(REPLIES, replies, max),
        }
    }

    /// From bytes; `None` for a kind that this node does not know.
    pub(crate) fn decode(bytes: &[u8], max: usize) -> Result<Option<Self>, CodecFault> {
        let Some((kind, body)) = bytes.split_first() else { return Ok(None) };
        Ok(match *kind {
            FRAME => Some(Self::Frame(codec::decode_dense(body, max)?)),
            ACK => {
                let (stream, ack) = codec::decode_dense(body, max)?;
                Some(Self::Ack(stream, ack))
            }
            CALLS => Some(Self::Calls(codec::decode_dense(body, max)?)),
            REPLIES => Some(Self::Replies(codec::decode_dense(body, max)?)),
            _ => None,
        })
    }
}

impl ControlMessage {
    /// As bytes.
    pub(crate) fn encode(&self, max: usize) -> Result<Bytes, CodecFault> {
        match self {
            Self::Keeper(message) => codec::encode_message(KEEPER, message, max),
        }
    }

    /// From bytes; `None` for a kind that this node does not know.
    pub(crate) fn decode(bytes: &[u8], max: usize) -> Result<Option<Self>, CodecFault> {
        let Some((kind, body)) = bytes.split_first() else { return Ok(None) };
        Ok(match *kind {
            KEEPER => Some(Self::Keeper(codec::decode_message(body, max)?)),
            _ => None,
        })
    }
}

impl HeartbeatMessage {
    /// As bytes.
    pub(crate) fn encode(&self) -> Bytes {
        let encoded = match self {
            Self::Ping(ping) => codec::encode_message(PING, ping, 512),
            Self::Pong(pong) => codec::encode_message(PONG, pong, 512),
        };
        encoded.expect("a few numbers fit in 512 bytes")
    }

    /// From bytes; `None` for garbage and for a kind that this node does not know.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, body) = bytes.split_first()?;
        match *kind {
            PING => codec::decode_message(body, 512).ok().map(Self::Ping),
            PONG => codec::decode_message(body, 512).ok().map(Self::Pong),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
