//! The Redis port of a `Node`: the door over `SessionRef`, and `RedisServer`, which is what a program starts.

use std::{net::SocketAddr, time::Duration};

use super::{
    door::{Door, Looked, Page, Part},
    keys::{Change, Key, Look, Said},
    server::{RedisError, Server},
    settings::Settings,
};
use crate::{
    CallOptions, Node, Readiness, Types,
    config::{ClusterFile, NodeConfig},
    error::Error,
    id::{ArcId, NodeName},
    node::several::Share,
    session::SessionId,
};

/// A call is answered within this, be it that the outcome is unknown.
const WITHIN: Duration = Duration::from_secs(5);

/// The Redis port of one node, on the `redis` address of its entry in the cluster file.
///
/// Dropping it ends it at once, with everything in progress; `stop` is kinder.
#[derive(Debug)]
pub struct RedisServer(Server<Node>);

impl RedisServer {
    /// Registers the session type that keys are. Every node of the cluster that has a part in them must know it.
    pub fn register(types: &mut Types) {
        Key::register(types);
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

    /// Takes no new connection, ends idle ones, and waits ten seconds at most for requests in progress. Call it before the node is
    /// stopped, so that they can still be answered.
    pub async fn stop(self) {
        self.0.stop().await;
    }
}

fn options() -> CallOptions {
    CallOptions::new().deadline(WITHIN)
}

impl Door for Node {
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

    async fn look(&self, id: SessionId, look: Look) -> Result<Looked, Error> {
        let answered = self.session::<Key>(id)?.ask_with(look, options()).await?;
        Ok(Looked { said: answered.reply, version: answered.version })
    }

    async fn change(&self, id: SessionId, change: Change, creates: bool) -> Result<Said, Error> {
        let options = if creates { options().creating() } else { options() };
        Ok(self.session::<Key>(id)?.call_with(change, options).await?.reply)
    }

    async fn change_all(&self, id: SessionId, changes: Vec<Change>) -> Result<Vec<Said>, Error> {
        Ok(self.session::<Key>(id)?.call_many_with(changes, options()).await?.reply)
    }

    async fn together(&self, parts: Vec<Part>) -> Result<Vec<Vec<Said>>, Error> {
        let shares = parts.into_iter().map(|Part { id, changes, expected }| Share { id, commands: changes, expected });
        self.call_together::<Key, Change>(shares.collect(), WITHIN).await
    }

    async fn list(&self, arc: ArcId, prefix: Vec<u8>, from: u64, max: usize) -> Result<Page, Error> {
        let max = u32::try_from(max).unwrap_or(u32::MAX);
        let listed = Self::list::<Key>(self, arc, &prefix, (from, max), WITHIN).await?;
        let ids = listed.ids.iter().map(|id| id.to_vec()).collect();
        Ok(Page { ids, next: listed.next, count: listed.count })
    }
}
