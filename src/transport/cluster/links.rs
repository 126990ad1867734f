//! Which link each pair has: at most one, and both ends agree on which.
//!
//! Both nodes of a pair may dial at the same time. The lower node id decides: it commits to its own dial only if it has no
//! link, and refuses the other's while it has one; the higher one gives way to whatever the lower has committed to. So two
//! dials that cross leave one link, the same at both ends, without any timer. A dialler that was refused for a link which it
//! does not have (its end was lost, ours not yet) names it in its next try, and then it is replaced. Pairs are pairs of node
//! ids: a new incarnation never waits for what is left of an old one.
//!
//! Ups and downs reach the layer above through one task, the herald, in the order in which they happened for each node, and
//! never while a lock is held: the layer above may call back.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use tokio::sync::mpsc;

use super::{
    heartbeat::AddressBook,
    link::{Link, Stage},
};
use crate::{
    id::{NodeId, NodeName},
    transport::{Inbound, Peer, Refusal},
};

/// What the herald has to say.
#[derive(Debug)]
pub(super) enum News {
    Up(Arc<Link>),
    Down(Arc<Link>),
}

#[derive(Debug, Default)]
struct Table {
    links: BTreeMap<NodeId, Arc<Link>>,
    stopped: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Links {
    me: NodeId,
    peers_max: usize,
    table: RwLock<Table>,
    // Unbounded in form; each link is in it at most twice, and links are bounded.
    news: mpsc::UnboundedSender<News>,
}

impl Links {
    pub(super) fn new(me: NodeId, peers_max: usize) -> (Arc<Self>, mpsc::UnboundedReceiver<News>) {
        let (news, heard) = mpsc::unbounded_channel();
        (Arc::new(Self { me, peers_max, table: RwLock::default(), news }), heard)
    }

    /// Makes `link` the pair's link, or says what stands in the way.
    pub(super) fn commit(&self, link: &Arc<Link>, replaces: Option<u128>) -> Result<(), Refusal> {
        let node = link.peer.node;
        let displaced = {
            let mut table = self.write();
            if table.stopped {
                return Err(Refusal::Closed);
            }
            let present = table.links.get(&node).cloned();
            if let Some(present) = &present {
                let gives_way = !link.dialled_here && (node < self.me || replaces == Some(present.id));
                if !gives_way {
                    return Err(Refusal::AlreadyLinked { link: present.id });
                }
            } else if table.links.len() >= self.peers_max {
                return Err(Refusal::TooMany);
            }
            table.links.insert(node, Arc::clone(link));
            present
        };
        if let Some(displaced) = displaced {
            displaced.close();
        }
        Ok(())
    }

    /// The pair's link, in whatever stage.
    pub(super) fn get(&self, node: NodeId) -> Option<Arc<Link>> {
        self.read().links.get(&node).cloned()
    }

    /// The link of the pair if it may be sent on.
    pub(super) fn usable(&self, node: NodeId) -> Option<Arc<Link>> {
        self.get(node).filter(|link| matches!(link.stage(), Stage::Ready | Stage::Up))
    }

    /// A link to any incarnation of a name.
    pub(super) fn named(&self, name: NodeName) -> Option<Arc<Link>> {
        self.read().links.values().find(|link| link.peer.node.name == name).cloned()
    }

    pub(super) fn peers(&self) -> Vec<Peer> {
        let table = self.read();
        let usable = table.links.values().filter(|link| matches!(link.stage(), Stage::Ready | Stage::Up));
        usable.map(|link| link.peer.clone()).collect()
    }

    pub(super) fn both_lanes(&self, link: Arc<Link>) {
        let _ = self.news.send(News::Up(link));
    }

    /// Called once for each link.
    pub(super) fn closed(&self, link: Arc<Link>) {
        {
            let mut table = self.write();
            // One that was displaced has left the table already.
            if table.links.get(&link.peer.node).is_some_and(|present| Arc::ptr_eq(present, &link)) {
                table.links.remove(&link.peer.node);
            }
        }
        let _ = self.news.send(News::Down(link));
    }

    /// Closes every link and refuses new ones.
    pub(super) fn stop(&self) {
        let all: Vec<_> = {
            let mut table = self.write();
            table.stopped = true;
            table.links.values().cloned().collect()
        };
        for link in all {
            link.close();
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells the layer above, one thing after the other, until `Links` is gone.
pub(super) async fn herald(
    mut heard: mpsc::UnboundedReceiver<News>,
    inbound: Arc<dyn Inbound>,
    addresses: Arc<AddressBook>,
) {
    // The link whose `peer_up` was told, for each node: a link that closed before that is not worth a word.
    let mut told: BTreeMap<NodeId, u128> = BTreeMap::new();
    while let Some(news) = heard.recv().await {
        match news {
            News::Up(link) => {
                if link.advance(Stage::Committed, Stage::Ready) {
                    told.insert(link.peer.node, link.id);
                    addresses.learn(&link.peer).await;
                    inbound.peer_up(&link.peer);
                    link.advance(Stage::Ready, Stage::Up);
                }
            }
            News::Down(link) => {
                if told.get(&link.peer.node) == Some(&link.id) {
                    told.remove(&link.peer.node);
                    inbound.peer_down(link.peer.node);
                }
            }
        }
    }
}
