//! Pipes over sockets: one listener, two authenticated connections for each pair of nodes, one heartbeat socket.
//!
//! ```text
//! listener, dialer ──> handshake ──> links (which link a pair keeps) ──> link ──┬── control: ractor_cluster
//!      proof (HMAC) ──────┘                  └── herald ──> Inbound             └── data: our own frames
//! heartbeat: datagrams of one plain thread
//! ```
//!
//! Everything before the proof is done by us and bounded; only an authenticated stream is given to ractor_cluster. A closed
//! connection is seen at once and closes the pair's other one. It keeps no state over a lost link and finds out nothing about
//! a silent peer: that is for the detector above, which calls `drop_peer`.

mod control;
mod data;
mod dialer;
mod handshake;
mod heartbeat;
mod link;
mod links;
mod listener;
mod proof;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fmt, io,
    net::{SocketAddr, UdpSocket},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Handle,
    task::AbortHandle,
    time::sleep,
};

use self::{
    control::{Control, GatewayError},
    handshake::Agreed,
    heartbeat::AddressBook,
    link::{Link, Stage},
    links::Links,
    listener::{Complaints, Strangers},
    proof::{Keys, Transcript},
};
use super::{Class, Inbound, Lane, LockName, NotSent, Peer, Transport};
use crate::{
    id::{NodeId, NodeName},
    wire::limits::Limits,
};

pub(crate) use heartbeat::{BODY_MAX as HEARTBEAT_BODY_MAX, HeartbeatSocket};

/// What a node's transport is made from.
pub(crate) struct Settings {
    /// The cluster's name.
    pub(crate) cluster: String,
    /// The cluster's secret.
    pub(crate) secret: Vec<u8>,
    /// This process.
    pub(crate) me: NodeId,
    /// Bound exactly, for TCP and UDP; port 0 takes a free one.
    pub(crate) bind: SocketAddr,
    /// Where peers find this node; the bound address if `None`.
    pub(crate) advertised: Option<String>,
    /// Allows an address outside loopback without TLS.
    pub(crate) insecure: bool,
    /// Every bound.
    pub(crate) limits: Limits,
    /// This process's life lock, for peers to look at.
    pub(crate) lock: LockName,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cluster, me, bind, advertised, insecure, .. } = self;
        write!(f, "Settings({cluster}, {me}, {bind}, {advertised:?}, insecure: {insecure}, secret: ..)")
    }
}

/// Why a transport did not start. Nothing is left behind.
#[derive(Debug)]
pub(crate) enum StartError {
    /// The address is outside loopback, and nothing encrypts.
    NeedsTls {
        /// The address.
        address: SocketAddr,
    },
    /// The address could not be bound.
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// The same node id runs in this process already.
    Gateway(GatewayError),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeedsTls { address } => {
                write!(
                    f,
                    "{address} is outside loopback: configure [cluster.tls], or set insecure = true to go without"
                )
            }
            Self::Bind { address, source } => {
                write!(
                    f,
                    "cannot listen on {address}: {source}; does this node run already? Or is another program there, or the address not this host's?"
                )
            }
            Self::Gateway(why) => write!(f, "this node id runs in this process already: {why:?}"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Bind { source, .. } => Some(source),
            Self::NeedsTls { .. } | Self::Gateway(_) => None,
        }
    }
}

/// What all tasks of one node's transport share.
struct Core {
    me: NodeId,
    cluster: String,
    advertised: String,
    bound: SocketAddr,
    lock: LockName,
    limits: Limits,
    keys: Keys,
    inbound: Arc<dyn Inbound>,
    links: Arc<Links>,
    strangers: Arc<Strangers>,
    complaints: Complaints,
    control: Control,
}

impl Core {
    fn new_link(&self, id: u128, peer: Peer, dialled_here: bool, transcript: Transcript<'_>) -> Arc<Link> {
        let key = self.keys.session(b"control token", transcript);
        let token = *key.first_chunk().expect("16 of 32 bytes");
        let link = Link::new(id, peer, dialled_here, token, Arc::downgrade(&self.links), &self.limits);
        // A pair that has one lane and waits for the other does not wait for ever. (If it is never committed, this is idle.)
        let (waiting, deadline) = (Arc::downgrade(&link), self.limits.handshake_deadline);
        tokio::spawn(async move {
            sleep(deadline).await;
            if let Some(link) = waiting.upgrade().filter(|link| link.stage() == Stage::Committed) {
                link.close();
            }
        });
        link
    }

    /// Gives an authenticated connection to its lane.
    fn carry(self: &Arc<Self>, agreed: Agreed, stream: TcpStream) {
        match agreed.lane {
            Lane::Data => data::carry(self, agreed.link, stream),
            Lane::Control => {
                let core = Arc::clone(self);
                tokio::spawn(async move { core.control.carry(agreed, stream).await });
            }
        }
    }
}

/// See the module.
pub(crate) struct ClusterTransport {
    core: Arc<Core>,
    runtime: Handle,
    listener: AbortHandle,
    /// By address; `None` after `stop`.
    dialers: Mutex<Option<BTreeMap<String, AbortHandle>>>,
}

impl fmt::Debug for ClusterTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClusterTransport({} at {})", self.core.me, self.core.bound)
    }
}

impl ClusterTransport {
    /// Binds, listens and is ready to dial. The heartbeat socket is for the caller's thread.
    pub(crate) async fn start(
        settings: Settings,
        inbound: Arc<dyn Inbound>,
    ) -> Result<(Arc<Self>, HeartbeatSocket), StartError> {
        let Settings { cluster, secret, me, bind, advertised, insecure, limits, lock } = settings;
        if !bind.ip().is_loopback() && !insecure {
            return Err(StartError::NeedsTls { address: bind });
        }
        let (listener, udp, bound) =
            bind_both(bind).await.map_err(|source| StartError::Bind { address: bind, source })?;
        let keys = Keys::new(&secret, &cluster);
        let addresses = Arc::new(AddressBook::default());
        let heartbeats = HeartbeatSocket::new(me, udp, &keys, Arc::clone(&addresses));
        let (links, heard) = Links::new(me, limits.peers);
        let control = Control::start(me, limits, Arc::clone(&inbound)).await.map_err(StartError::Gateway)?;
        tokio::spawn(links::herald(heard, Arc::clone(&inbound), addresses));
        let core = Arc::new(Core {
            me,
            cluster,
            advertised: advertised.unwrap_or_else(|| bound.to_string()),
            bound,
            lock,
            limits,
            keys,
            inbound,
            links,
            strangers: Arc::default(),
            complaints: Complaints::default(),
            control,
        });
        let listener = tokio::spawn(listener::listen(Arc::clone(&core), listener)).abort_handle();
        let dialers = Mutex::new(Some(BTreeMap::new()));
        let transport = Self { core, runtime: Handle::current(), listener, dialers };
        Ok((Arc::new(transport), heartbeats))
    }

    /// The address that is listened on, with the port that was taken.
    #[cfg(test)]
    pub(crate) fn bound(&self) -> SocketAddr {
        self.core.bound
    }

    /// Connections that are not authenticated yet.
    #[cfg(test)]
    pub(crate) fn strangers(&self) -> usize {
        self.core.strangers.count()
    }
}

/// TCP and UDP on the same port. A free port for TCP may be taken for UDP, so port 0 is tried a few times.
async fn bind_both(bind: SocketAddr) -> io::Result<(TcpListener, UdpSocket, SocketAddr)> {
    let mut tries = if bind.port() == 0 { 10 } else { 1 };
    loop {
        let listener = TcpListener::bind(bind).await?;
        let bound = listener.local_addr()?;
        tries -= 1;
        match UdpSocket::bind(bound) {
            Ok(udp) => return Ok((listener, udp, bound)),
            Err(error) if tries == 0 => return Err(error),
            Err(_) => {}
        }
    }
}

impl Transport for ClusterTransport {
    fn send(&self, to: NodeId, lane: Lane, class: Class, message: Bytes) -> Result<(), NotSent> {
        let link = self.core.links.usable(to).ok_or(NotSent::NoPeer)?;
        let outbox = if lane == Lane::Control { &link.control } else { &link.data };
        outbox.put(class, message)
    }

    fn queue(&self, to: NodeId, class: Class, message: Bytes) -> Result<(), NotSent> {
        self.core.links.usable(to).ok_or(NotSent::NoPeer)?.data.put_quietly(class, message)
    }

    fn push(&self, to: NodeId) {
        if let Some(link) = self.core.links.get(to) {
            data::push(&link);
        }
    }

    fn dial(&self, name: NodeName, address: &str) {
        let mut dialers = self.dialers.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(dialers) = dialers.as_mut() else {
            return;
        };
        let keep = dialer::keep(Arc::clone(&self.core), name, address.to_owned());
        let dialer = self.runtime.spawn(keep).abort_handle();
        if let Some(earlier) = dialers.insert(address.to_owned(), dialer) {
            earlier.abort();
        }
    }

    fn forget(&self, address: &str) {
        let mut dialers = self.dialers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(dialer) = dialers.as_mut().and_then(|dialers| dialers.remove(address)) {
            dialer.abort();
        }
    }

    fn drop_peer(&self, node: NodeId) {
        if let Some(link) = self.core.links.get(node) {
            link.close();
        }
    }

    fn peers(&self) -> Vec<Peer> {
        self.core.links.peers()
    }

    fn stop(&self) {
        self.listener.abort();
        let dialers = self.dialers.lock().unwrap_or_else(PoisonError::into_inner).take();
        for dialer in dialers.into_iter().flatten().map(|(_, dialer)| dialer) {
            dialer.abort();
        }
        self.core.strangers.close();
        self.core.links.stop();
        self.core.control.stop();
    }
}

impl Drop for ClusterTransport {
    fn drop(&mut self) {
        self.stop();
    }
}
