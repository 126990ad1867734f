//! The Redis port of a `Node`: the door over the node's own calls, and `RedisServer`, which is what a program starts.

use std::{net::SocketAddr, time::Duration};

use serde::Serialize;
use smallvec::SmallVec;
use tokio::time::timeout;

use super::{
    door::{Ask, Asked, Calls, Came, Door, Looked, Page, Part},
    id::arc_of,
    keys::{Change, Key, Look, Said, register, said},
    server::{RedisError, Server},
    settings::Settings,
};
use crate::{
    Node, Readiness, Types,
    blob::Blob,
    config::{ClusterFile, NodeConfig},
    error::{Error, ErrorKind},
    id::{ArcId, NodeId, NodeName, SessionKey},
    kinds::{Plain as _, plain_bytes},
    membership::Outlook,
    moment::Moment,
    node::several::{Many, Share, What},
    session::SessionId,
};

/// A call is answered within this, be it that the outcome is unknown: a little before clients that give a server 5 s have enough.
const WITHIN: Duration = Duration::from_millis(4_500);
/// What could not come to an end waits before that until it can, at most for so long.
const HELD_UP: Duration = Duration::from_secs(2);
/// What each of several changes counts at least, in bytes.
const BODY_LEAST: usize = 64;

/// The Redis port of one node, on the `redis` address of its entry in the cluster file.
///
/// Dropping it ends it at once, with everything in progress; `stop` is kinder.
#[derive(Debug)]
pub struct RedisServer(Server<Node>);

impl RedisServer {
    /// Registers the session type that keys are. Every node of the cluster that has a part in them must know it.
    pub fn register(types: &mut Types) {
        register(types);
    }

    /// Listens; until `open`, clients are told `LOADING`. `None`: the entry has no `redis`.
    ///
    /// # Errors
    /// If the address cannot be listened on.
    pub async fn start(file: &ClusterFile, entry: &NodeConfig) -> Result<Option<Self>, RedisError> {
        let Some(address) = &entry.redis else { return Ok(None) };
        Ok(Some(Self(Server::start(address, Settings::of(file.cluster())).await?)))
    }

    /// Serves this node from now on. It must know the type of keys ([`RedisServer::register`]).
    pub fn open(&self, node: Node) {
        self.0.open(node);
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.0.address()
    }

    /// Has new clients go to another node: for a quarter of a second they are told so at `PING`, then none are let in. Those that there
    /// are go on. For a node that is about to stop.
    pub fn drain(&self) {
        self.0.drain();
    }

    /// Takes no new connection, ends idle ones, and waits ten seconds at most for requests in progress. Call it before the node is
    /// stopped, so that they can still be answered.
    pub async fn stop(self) {
        self.0.stop().await;
    }
}

/// What is asked, within the limit of what may travel at once.
fn body(asked: &impl Serialize, limit: usize) -> Result<Blob, Error> {
    Ok(plain_bytes(asked, limit)?)
}

fn key_of(id: &SessionId) -> Result<SessionKey, Error> {
    id.key(Key::KIND).ok_or_else(|| ErrorKind::InvalidSessionId.into())
}

/// Whether what is asked of this key could come to an end: not while somebody whom its arc needs is silent, and too few voters are heard to
/// put anybody in their place. What was begun all the same would have no answer but a closed connection.
fn can_end(node: &Node, id: &SessionId, outlook: &Outlook) -> bool {
    if outlook.has_quorum() {
        return true;
    }
    let view = node.view();
    let Some(entry) = view.arc(arc_of(id, view.shape.arcs)) else { return true };
    let is_heard = |of: &NodeId| !outlook.unheard.contains(&of.name);
    is_heard(&entry.primary) && entry.in_sync.iter().all(is_heard)
}

impl Door for Node {
    type Calls = NodeCalls;

    fn calls(&self) -> NodeCalls {
        let limit = self.value_max();
        NodeCalls { many: self.many(), limit }
    }

    fn see_to(&self) {
        self.see_to_calls();
    }

    fn now(&self) -> Moment {
        Self::now(self)
    }

    fn name(&self) -> NodeName {
        self.id().name
    }

    fn readiness(&self) -> Readiness {
        Self::readiness(self)
    }

    fn arcs(&self) -> u16 {
        self.view().shape.arcs
    }

    fn backups(&self, arc: ArcId) -> usize {
        self.view().arc(arc).map_or(0, |entry| entry.in_sync.len())
    }

    fn members(&self) -> (usize, u64) {
        let view = self.view();
        (view.members.len(), view.number.0)
    }

    fn has_quorum(&self) -> bool {
        self.hears_a_quorum()
    }

    async fn until_it_can_end(&self, id: &SessionId) -> Result<(), Error> {
        if can_end(self, id, &self.outlook()) {
            return Ok(());
        }
        let waiting = self.until_outlook(|outlook| can_end(self, id, outlook));
        timeout(HELD_UP, waiting).await.map_err(|_| ErrorKind::NotDone { retry_after: HELD_UP, at: None }.into())
    }

    async fn look(&self, id: SessionId, look: Look) -> Result<Looked, Error> {
        let asked = What::Ask(Key::QUESTION, body(&look, self.value_max())?);
        let (reply, version) = self.call_one((key_of(&id)?, asked, false), WITHIN).await?;
        Ok(Looked { said: said(&reply)?, version })
    }

    async fn change(&self, id: SessionId, change: Change, creates: bool) -> Result<Said, Error> {
        self.until_it_can_end(&id).await?;
        let asked = What::Call(Key::COMMAND, body(&change, self.value_max())?);
        let (reply, _) = self.call_one((key_of(&id)?, asked, creates), WITHIN).await?;
        said(&reply)
    }

    async fn together(&self, parts: Vec<Part>) -> Result<Vec<Vec<Said>>, Error> {
        if let Some(first) = parts.first() {
            self.until_it_can_end(&first.id).await?;
        }
        let limit = self.value_max();
        let share = |Part { id, changes, expected }: Part| {
            let bodies = changes.iter().map(|change| body(change, limit)).collect::<Result<_, _>>()?;
            Ok(Share { key: key_of(&id)?, command: Key::COMMAND, bodies, expected })
        };
        let shares = parts.into_iter().map(share).collect::<Result<_, Error>>()?;
        let replies = self.call_together(shares, WITHIN).await?;
        replies.iter().map(|share| share.iter().map(|reply| said(reply)).collect()).collect()
    }

    async fn list(&self, arc: ArcId, prefix: Vec<u8>, from: u64, max: usize) -> Result<Page, Error> {
        let max = u32::try_from(max).unwrap_or(u32::MAX);
        let listed = Self::list(self, (Key::KIND, arc), &prefix, (from, max), WITHIN).await?;
        let ids = listed.ids.iter().map(|id| id.to_vec()).collect();
        Ok(Page { ids, next: listed.next, count: listed.count })
    }
}

/// The calls of one connection, over the node's own bundle of them.
pub(crate) struct NodeCalls {
    many: Many,
    limit: usize,
}

fn call(Asked { id, ask, creates }: Asked, limit: usize) -> Result<(SessionKey, What, bool), Error> {
    let what = match ask {
        Ask::Change(change) => What::Call(Key::COMMAND, body(&change, limit)?),
        Ask::Look(look) => What::Ask(Key::QUESTION, body(&look, limit)?),
        Ask::Changes(changes) => {
            let bodies = changes.iter().map(|change| body(change, limit)).collect::<Result<Vec<_>, _>>()?;
            if bodies.iter().map(|body| body.len().max(BODY_LEAST)).sum::<usize>() > limit {
                return Err(ErrorKind::TooLarge { limit }.into());
            }
            What::Many(Key::COMMAND, bodies)
        }
    };
    Ok((key_of(&id)?, what, creates))
}

impl Calls for NodeCalls {
    fn begin(&mut self, asked: Vec<Asked>) -> u64 {
        let limit = self.limit;
        self.many.begin(asked.into_iter().map(|asked| call(asked, limit)), WITHIN)
    }

    async fn next(&mut self, came: &mut Vec<(u64, Came)>) {
        let all = |replies: SmallVec<[Blob; 1]>| -> Came { replies.iter().map(|reply| said(reply)).collect() };
        self.many.next(|number, ended| came.push((number, ended.and_then(all)))).await;
    }
}
