//! A proxy in front of every node's cluster address, through which nothing passes but as a simulated network lets it.
//!
//! ```text
//! node a ──dials b's address──> front of b ──(a -> b: cut? how late? lost?)──> where b listens (`bind` in its cluster file)
//! ```
//!
//! One front a node, for connections and for datagrams. Who speaks is told by the first frame of a connection, which names the
//! dialler, and by the address that a datagram comes from. What becomes of it is decided by [`sim::network`](crate::sim::network),
//! as in the simulator; here it is carried out. A stream stays one: what is lost of it is sent again later, as TCP would, and
//! what is cut off waits, its end too, until the cut is mended or an end gives up. Nothing in here needs a privilege.
//!
//! It opens no frame but the first and can forge none. Invariant: within one connection bytes arrive in order or not at all.

mod datagrams;
mod streams;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    net::{TcpListener, UdpSocket},
    sync::{broadcast, watch},
    task::AbortHandle,
    time::Instant,
};

use crate::{
    id::NodeName,
    sim::{
        network::{LinkChange, Network, Weather},
        random::Streams,
    },
};

/// A part of a stream that was lost comes again after this: the least that TCP waits on Linux.
const SENT_AGAIN_AFTER: Duration = Duration::from_millis(200);
/// Closings that a connection has not heard of yet; beyond it, it is closed.
const CLOSINGS: usize = 256;

/// One node behind the proxy.
#[derive(Clone, Copy, Debug)]
pub struct Front {
    /// Its name.
    pub name: NodeName,
    /// Where the proxy listens for it: the `cluster` address of its entry.
    pub listens: SocketAddr,
    /// Where the node itself listens, and where its datagrams come from: its `bind` address.
    pub node: SocketAddr,
}

/// Why connections end that could go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    /// Both see the connections between them closed.
    Between(NodeName, NodeName),
    /// A machine lost its power: nobody is told, and what it had sent is gone.
    PowerOff(NodeName),
}

struct Shared {
    began: Instant,
    network: Mutex<Network>,
    fronts: BTreeMap<NodeName, Front>,
    by_address: BTreeMap<SocketAddr, NodeName>,
    /// Ticks whenever a cut is made or mended.
    cuts: watch::Sender<u64>,
    closings: broadcast::Sender<Closing>,
}

/// See the module. It works until it is dropped.
pub struct FaultProxy {
    shared: Arc<Shared>,
    tasks: Vec<AbortHandle>,
}

impl std::fmt::Debug for FaultProxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FaultProxy({} fronts)", self.shared.fronts.len())
    }
}

impl FaultProxy {
    /// Listens for all of them. What is chance comes from the seed, a stream for each link.
    ///
    /// # Errors
    /// An address that cannot be bound; nothing listens then.
    pub async fn open(seed: u64, weather: Weather, fronts: Vec<Front>) -> io::Result<Self> {
        let names: Vec<NodeName> = fronts.iter().map(|front| front.name).collect();
        let shared = Arc::new(Shared {
            began: Instant::now(),
            network: Mutex::new(Network::new(Streams::new(seed), names, weather)),
            by_address: fronts.iter().map(|front| (front.node, front.name)).collect(),
            fronts: fronts.iter().map(|front| (front.name, *front)).collect(),
            cuts: watch::Sender::new(0),
            closings: broadcast::Sender::new(CLOSINGS),
        });
        let mut sockets = Vec::new();
        for front in fronts {
            sockets.push((front, TcpListener::bind(front.listens).await?, UdpSocket::bind(front.listens).await?));
        }
        let mut tasks = Vec::new();
        for (front, listener, socket) in sockets {
            tasks.push(tokio::spawn(streams::listen(Arc::clone(&shared), front, listener)).abort_handle());
            tasks.push(tokio::spawn(datagrams::relay(Arc::clone(&shared), front, socket)).abort_handle());
        }
        Ok(Self { shared, tasks })
    }

    /// Changes what lies between two, one way. Gives back whether a cut was made or mended that was not so before.
    pub fn change(&self, from: NodeName, to: NodeName, change: LinkChange) -> bool {
        if change == LinkChange::Close {
            self.close(Closing::Between(from, to));
            return false;
        }
        let changed = self.shared.network().change(from, to, change);
        if changed {
            self.shared.cuts.send_modify(|tick| *tick += 1);
        }
        changed
    }

    /// Mends every cut, and ends every delay, loss and repetition. Gives back from whom to whom was cut.
    pub fn heal(&self) -> Vec<(NodeName, NodeName)> {
        let mut network = self.shared.network();
        network.clear_up();
        let mended = network.mend();
        drop(network);
        self.shared.cuts.send_modify(|tick| *tick += 1);
        mended
    }

    /// From now on nothing that this process has sent arrives, and nobody sees its connections close. Those that are made
    /// later, by whoever starts under the name, are not concerned.
    pub fn power_off(&self, name: NodeName) {
        self.close(Closing::PowerOff(name));
    }

    fn close(&self, closing: Closing) {
        // Without a connection nobody listens, and nothing need be closed.
        let _ = self.shared.closings.send(closing);
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
        self.shared.fronts.keys().for_each(|name| self.power_off(*name));
    }
}

impl Shared {
    fn network(&self) -> MutexGuard<'_, Network> {
        self.network.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// After how long a part of a stream arrives that was sent now.
    fn stream_delay(&self, from: NodeName, to: NodeName, bytes: usize) -> Duration {
        let (now, mut network) = (self.now(), self.network());
        let (first, _) = network.arrivals(from, to, || bytes, now);
        // Cut off it waits for the mending; lost it is sent again.
        let lost = if network.is_cut(from, to) { Duration::ZERO } else { SENT_AGAIN_AFTER };
        first.unwrap_or(lost)
    }

    /// Waits until what one says reaches the other.
    async fn open(&self, from: NodeName, to: NodeName) {
        let mut cuts = self.cuts.subscribe();
        while self.network().is_cut(from, to) {
            if cuts.changed().await.is_err() {
                return;
            }
        }
    }
}
