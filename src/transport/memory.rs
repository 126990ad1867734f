//! Several nodes in one process, with the faults that a test sets at any time.
//!
//! The same traits and the same outboxes as over sockets: what is full there is full here, lower classes leave first, a pair
//! is up or down as a whole. A cut loses nothing by itself, as TCP loses nothing: what was sent waits (bounded, then `Full`)
//! and goes on after healing; heartbeats in a cut are lost, as datagrams are. Nobody is told of a cut; that is for a detector
//! to find. A killed node is gone at once, and its peers see their pipes close. There are no sockets and no handshake; a node
//! is who it says it is.
//!
//! Delays use tokio's clock, so that they follow paused time; heartbeats are not delayed.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    runtime::Handle,
    sync::{mpsc, watch},
    task::AbortHandle,
    time::{Instant, sleep, sleep_until},
};

use super::{Class, Heartbeats, Inbound, Lane, LockName, NotSent, Peer, Refusal, Transport, outbox::Outbox};
use crate::{
    id::{NodeId, NodeName},
    wire::limits::Limits,
};

/// Batches under way on one lane in one direction while a delay is set.
const FLIGHT_MAX: usize = 64;
/// Heartbeats that wait for a node's thread; more are lost.
const HEARTBEATS_MAX: usize = 1024;
const DIAL_PAUSE: Duration = Duration::from_millis(20);
/// As a handshake over sockets would give up.
const DIAL_DEADLINE: Duration = Duration::from_secs(2);

/// What is wrong between two nodes, in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Fault {
    cut: bool,
    no_heartbeats: bool,
    delay: Duration,
}

type Faults = BTreeMap<(NodeName, NodeName), Fault>;

/// What a node that lives has already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// The name.
    Name,
    /// The address.
    Address,
}

struct Node {
    id: NodeId,
    inbound: Arc<dyn Inbound>,
    heartbeats: SyncSender<(NodeId, Vec<u8>)>,
}

/// One direction of one pair.
struct Pipe {
    control: Outbox,
    data: Outbox,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Announcing,
    Up,
    Closed,
}

struct Link {
    /// Keyed by who sends.
    pipes: BTreeMap<NodeId, Pipe>,
    stage: watch::Sender<Stage>,
}

#[derive(Default)]
struct State {
    nodes: BTreeMap<String, Node>,
    links: BTreeMap<(NodeId, NodeId), Arc<Link>>,
}

/// The network of one test.
#[derive(Clone)]
pub(crate) struct MemoryNet(Arc<Net>);

struct Net {
    limits: Limits,
    state: Mutex<State>,
    faults: watch::Sender<Faults>,
    /// Whose heartbeat thread is to stand still, and how long.
    #[cfg(test)]
    stalls: Mutex<BTreeMap<NodeName, Duration>>,
    /// How many heartbeats each name has sent, arrived or not.
    #[cfg(test)]
    beats: Mutex<BTreeMap<NodeName, u64>>,
    /// Ups and downs, told one after the other and under no lock. Bounded by the links there are.
    news: mpsc::UnboundedSender<News>,
}

enum News {
    /// Whom to tell, of whom.
    Up(Arc<Link>, Vec<(Arc<dyn Inbound>, Peer)>),
    Down(Arc<dyn Inbound>, NodeId),
}

impl fmt::Debug for MemoryNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryNet")
    }
}

impl MemoryNet {
    /// An empty network; within a tokio runtime.
    pub(crate) fn new(limits: Limits) -> Self {
        let (news, mut heard) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(news) = heard.recv().await {
                match news {
                    News::Up(link, told) => {
                        for (inbound, peer) in told {
                            inbound.peer_up(&peer);
                        }
                        link.stage.send_if_modified(|stage| {
                            let open = *stage == Stage::Announcing;
                            if open {
                                *stage = Stage::Up;
                            }
                            open
                        });
                    }
                    News::Down(inbound, node) => inbound.peer_down(node),
                }
            }
        });
        Self(Arc::new(Net {
            limits,
            state: Mutex::default(),
            faults: watch::Sender::default(),
            #[cfg(test)]
            stalls: Mutex::default(),
            #[cfg(test)]
            beats: Mutex::default(),
            news,
        }))
    }

    /// Puts a node at an address; nothing changes if a node that lives has its name or is there.
    pub(crate) fn node(
        &self,
        id: NodeId,
        address: &str,
        inbound: Arc<dyn Inbound>,
    ) -> Result<(Arc<dyn Transport>, MemoryHeartbeats), Taken> {
        let (heartbeats, beats) = sync_channel(HEARTBEATS_MAX);
        {
            let mut state = self.0.locked();
            // What the life lock is to processes of one host.
            if state.nodes.values().any(|node| node.id.name == id.name) {
                return Err(Taken::Name);
            }
            if state.nodes.contains_key(address) {
                return Err(Taken::Address);
            }
            state.nodes.insert(address.to_owned(), Node { id, inbound, heartbeats });
        }
        let transport =
            MemoryTransport { net: Arc::clone(&self.0), me: id, runtime: Handle::current(), dialers: Mutex::default() };
        Ok((Arc::new(transport), MemoryHeartbeats { net: Arc::downgrade(&self.0), me: id, beats }))
    }

    /// From now on nothing gets from `from` to `to`; what is sent waits.
    pub(crate) fn cut_one_way(&self, from: NodeName, to: NodeName) {
        self.0.fault(from, to, |fault| fault.cut = true);
    }

    /// From now on nothing gets through between the two.
    pub(crate) fn cut(&self, a: NodeName, b: NodeName) {
        self.cut_one_way(a, b);
        self.cut_one_way(b, a);
    }

    /// Takes every fault between the two away, in both directions.
    pub(crate) fn heal(&self, a: NodeName, b: NodeName) {
        self.0.fault(a, b, |fault| *fault = Fault::default());
        self.0.fault(b, a, |fault| *fault = Fault::default());
    }

    /// Everything from `from` to `to` arrives so much later, in order.
    pub(crate) fn delay(&self, from: NodeName, to: NodeName, delay: Duration) {
        self.0.fault(from, to, |fault| fault.delay = delay);
    }

    /// Loses heartbeats from `from` to `to`, and nothing else; or stops losing them.
    #[cfg(test)]
    pub(crate) fn drop_heartbeats(&self, from: NodeName, to: NodeName, lost: bool) {
        self.0.fault(from, to, |fault| fault.no_heartbeats = lost);
    }

    /// The heartbeat thread of that node stands still for so long, as on a starved machine.
    #[cfg(test)]
    pub(crate) fn stall_heartbeats(&self, node: NodeName, still: Duration) {
        self.0.stalls.lock().unwrap_or_else(PoisonError::into_inner).insert(node, still);
    }

    /// How many heartbeats this name has sent so far, questions and answers.
    #[cfg(test)]
    pub(crate) fn heartbeats_of(&self, node: NodeName) -> u64 {
        self.0.beats.lock().unwrap_or_else(PoisonError::into_inner).get(&node).copied().unwrap_or(0)
    }

    /// The node is gone: all its pipes vanish, its peers see them close, it hears nothing more, not even that.
    pub(crate) fn kill(&self, node: NodeId) {
        let gone = {
            let mut state = self.0.locked();
            state.nodes.retain(|_, present| present.id != node);
            let ends: Vec<_> = state.links.keys().filter(|(a, b)| *a == node || *b == node).copied().collect();
            ends
        };
        for (a, b) in gone {
            self.0.close(a, b);
        }
    }
}

impl Net {
    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fault(&self, from: NodeName, to: NodeName, change: impl FnOnce(&mut Fault)) {
        self.faults.send_modify(|faults| change(faults.entry((from, to)).or_default()));
    }

    fn fault_now(&self, from: NodeName, to: NodeName) -> Fault {
        self.faults.borrow().get(&(from, to)).copied().unwrap_or_default()
    }

    fn link(&self, a: NodeId, b: NodeId) -> Option<Arc<Link>> {
        self.locked().links.get(&pair(a, b)).cloned()
    }

    /// Closes a pair's link; each end that still exists is told.
    fn close(&self, a: NodeId, b: NodeId) {
        let mut state = self.locked();
        let Some(link) = state.links.remove(&pair(a, b)) else {
            return;
        };
        link.stage.send_replace(Stage::Closed);
        for pipe in link.pipes.values() {
            pipe.control.close();
            pipe.data.close();
        }
        for (end, other) in [(a, b), (b, a)] {
            if let Some(node) = state.nodes.values().find(|node| node.id == end) {
                let _ = self.news.send(News::Down(Arc::clone(&node.inbound), other));
            }
        }
    }

    /// Links the two if the node at `address` is there and both admit. The caller has seen to it that no cut is between them.
    fn connect(self: &Arc<Self>, me: NodeId, name: NodeName, address: &str) -> Result<(), Refusal> {
        let unreachable = Refusal::Unreachable { errno: rustix::io::Errno::CONNREFUSED.raw_os_error() };
        let (mine, theirs, them, my_address) = {
            let state = self.locked();
            let them = state.nodes.get(address).ok_or_else(|| unreachable.clone())?;
            let (my_address, mine) = state.nodes.iter().find(|(_, node)| node.id == me).ok_or(unreachable)?;
            (Arc::clone(&mine.inbound), Arc::clone(&them.inbound), them.id, my_address.clone())
        };
        if them.name != name {
            return Err(Refusal::OtherName { theirs: them.name });
        }
        if them == me {
            return Err(Refusal::Itself);
        }
        mine.admit(them)?;
        theirs.admit(me)?;
        let mut state = self.locked();
        let both_live = [me, them].iter().all(|id| state.nodes.values().any(|node| node.id == *id));
        if !both_live {
            return Err(Refusal::Closed);
        }
        if state.links.contains_key(&pair(me, them)) {
            return Ok(());
        }
        let pipe = || Pipe { control: Outbox::new(&self.limits), data: Outbox::new(&self.limits) };
        let pipes = BTreeMap::from([(me, pipe()), (them, pipe())]);
        let link = Arc::new(Link { pipes, stage: watch::Sender::new(Stage::Announcing) });
        for (from, to, inbound) in [(me, them, &theirs), (them, me, &mine)] {
            for lane in [Lane::Control, Lane::Data] {
                let (flight, landing) = mpsc::channel(FLIGHT_MAX);
                tokio::spawn(depart(Arc::clone(self), Arc::clone(&link), from, to, lane, flight));
                tokio::spawn(arrive(Arc::clone(&link), from, lane, Arc::clone(inbound), landing));
            }
        }
        let peer = |node, address: &str| Peer { node, address: address.to_owned(), lock: LockName::default() };
        let told = vec![(mine, peer(them, address)), (theirs, peer(me, &my_address))];
        state.links.insert(pair(me, them), Arc::clone(&link));
        let _ = self.news.send(News::Up(link, told));
        Ok(())
    }
}

fn pair(a: NodeId, b: NodeId) -> (NodeId, NodeId) {
    if a < b { (a, b) } else { (b, a) }
}

impl Link {
    fn outbox(&self, from: NodeId, lane: Lane) -> Option<&Outbox> {
        self.pipes.get(&from).map(|pipe| if lane == Lane::Control { &pipe.control } else { &pipe.data })
    }
}

/// Takes batches and sends them on their way, unless the direction is cut.
async fn depart(
    net: Arc<Net>,
    link: Arc<Link>,
    from: NodeId,
    to: NodeId,
    lane: Lane,
    flight: mpsc::Sender<(Instant, Vec<Bytes>)>,
) {
    let Some(outbox) = link.outbox(from, lane) else {
        return;
    };
    let mut faults = net.faults.subscribe();
    let mut stage = link.stage.subscribe();
    while *stage.borrow_and_update() != Stage::Closed {
        let fault = net.fault_now(from.name, to.name);
        let mut batch = Vec::new();
        if !fault.cut && outbox.take(&mut batch) {
            // A batch never overtakes an earlier one: `arrive` waits for each in turn.
            if flight.send((Instant::now() + fault.delay, batch)).await.is_err() {
                return;
            }
            continue;
        }
        tokio::select! {
            () = outbox.pending(), if !fault.cut => {}
            _ = faults.changed() => {}
            _ = stage.changed() => {}
        }
    }
}

async fn arrive(
    link: Arc<Link>,
    from: NodeId,
    lane: Lane,
    inbound: Arc<dyn Inbound>,
    mut landing: mpsc::Receiver<(Instant, Vec<Bytes>)>,
) {
    let mut stage = link.stage.subscribe();
    let _ = stage.wait_for(|stage| *stage != Stage::Announcing).await;
    while let Some((due, batch)) = landing.recv().await {
        sleep_until(due).await;
        for message in batch {
            if *link.stage.borrow() == Stage::Closed {
                return;
            }
            inbound.message(from, lane, message);
        }
        inbound.read_through();
    }
}

struct MemoryTransport {
    net: Arc<Net>,
    me: NodeId,
    runtime: Handle,
    dialers: Mutex<BTreeMap<String, AbortHandle>>,
}

impl fmt::Debug for MemoryTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryTransport({})", self.me)
    }
}

impl Transport for MemoryTransport {
    fn send(&self, to: NodeId, lane: Lane, class: Class, message: Bytes) -> Result<(), NotSent> {
        let link = self.net.link(self.me, to).ok_or(NotSent::NoPeer)?;
        link.outbox(self.me, lane).ok_or(NotSent::NoPeer)?.put(class, message)
    }

    fn queue(&self, to: NodeId, class: Class, message: Bytes) -> Result<(), NotSent> {
        let link = self.net.link(self.me, to).ok_or(NotSent::NoPeer)?;
        link.outbox(self.me, Lane::Data).ok_or(NotSent::NoPeer)?.put_quietly(class, message)
    }

    fn push(&self, to: NodeId) {
        if let Some(link) = self.net.link(self.me, to)
            && let Some(outbox) = link.outbox(self.me, Lane::Data)
        {
            outbox.nudge();
        }
    }

    fn dial(&self, name: NodeName, address: &str) {
        let (net, me, to) = (Arc::clone(&self.net), self.me, address.to_owned());
        let dialer = self.runtime.spawn(async move {
            loop {
                let there = net.locked().nodes.get(&to).map(|node| node.id);
                let linked = there.and_then(|there| net.link(me, there));
                if let Some(link) = linked {
                    let _ = link.stage.subscribe().wait_for(|stage| *stage == Stage::Closed).await;
                } else if net.fault_now(me.name, name).cut || net.fault_now(name, me.name).cut {
                    sleep(DIAL_DEADLINE).await;
                } else if let Err(refusal) = net.connect(me, name, &to) {
                    let mine =
                        net.locked().nodes.values().find(|node| node.id == me).map(|node| Arc::clone(&node.inbound));
                    let Some(mine) = mine else { return };
                    mine.refused(&to, &refusal);
                }
                sleep(DIAL_PAUSE).await;
            }
        });
        let earlier = self.dialers().insert(address.to_owned(), dialer.abort_handle());
        if let Some(earlier) = earlier {
            earlier.abort();
        }
    }

    fn forget(&self, address: &str) {
        if let Some(dialer) = self.dialers().remove(address) {
            dialer.abort();
        }
    }

    fn drop_peer(&self, node: NodeId) {
        self.net.close(self.me, node);
    }

    fn peers(&self) -> Vec<Peer> {
        let state = self.net.locked();
        let linked: BTreeSet<NodeId> = state
            .links
            .keys()
            .filter_map(|(a, b)| if *a == self.me { Some(*b) } else { (*b == self.me).then_some(*a) })
            .collect();
        let mut peers: Vec<Peer> = state
            .nodes
            .iter()
            .filter(|(_, node)| linked.contains(&node.id))
            .map(|(address, node)| Peer { node: node.id, address: address.clone(), lock: LockName::default() })
            .collect();
        peers.sort_by_key(|peer| peer.node);
        peers
    }

    fn stop(&self) {
        for (_, dialer) in std::mem::take(&mut *self.dialers()) {
            dialer.abort();
        }
        let links: Vec<_> =
            self.net.locked().links.keys().filter(|(a, b)| *a == self.me || *b == self.me).copied().collect();
        for (a, b) in links {
            self.net.close(a, b);
        }
        self.net.locked().nodes.retain(|_, node| node.id != self.me);
    }
}

impl MemoryTransport {
    fn dialers(&self) -> MutexGuard<'_, BTreeMap<String, AbortHandle>> {
        self.dialers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for MemoryTransport {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A node's heartbeats within the process.
pub(crate) struct MemoryHeartbeats {
    net: Weak<Net>,
    me: NodeId,
    beats: Receiver<(NodeId, Vec<u8>)>,
}

impl fmt::Debug for MemoryHeartbeats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryHeartbeats({})", self.me)
    }
}

impl Heartbeats for MemoryHeartbeats {
    fn send(&mut self, to: NodeId, body: &[u8]) {
        let Some(net) = self.net.upgrade() else {
            return;
        };
        #[cfg(test)]
        {
            *net.beats.lock().unwrap_or_else(PoisonError::into_inner).entry(self.me.name).or_default() += 1;
        }
        let fault = net.fault_now(self.me.name, to.name);
        if fault.cut || fault.no_heartbeats || body.len() > super::cluster::HEARTBEAT_BODY_MAX {
            return;
        }
        let state = net.locked();
        // A killed node neither sends nor hears.
        let alive = state.nodes.values().any(|node| node.id == self.me);
        if let Some(node) = state.nodes.values().find(|node| alive && node.id == to) {
            let _ = node.heartbeats.try_send((self.me, body.to_vec()));
        }
    }

    fn receive(&mut self, timeout: Duration) -> Option<(NodeId, Vec<u8>)> {
        #[cfg(test)]
        if let Some(net) = self.net.upgrade() {
            let stall = net.stalls.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.me.name);
            if let Some(still) = stall {
                std::thread::sleep(still);
            }
        }
        match self.beats.recv_timeout(timeout) {
            Ok(beat) => Some(beat),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                // The node is gone; its thread must not spin until it finds out.
                std::thread::sleep(timeout);
                None
            }
        }
    }
}
