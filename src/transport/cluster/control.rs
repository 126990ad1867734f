//! The control lane, carried by ractor_cluster. The only place that names it.
//!
//! One gateway actor for each node is remotable, and nothing else is: every remotable actor costs every peer a proxy. Its
//! messages are batches of bytes. The authenticated stream is given to a `NodeSession` of ractor_cluster, and the peer's
//! gateway is found among the proxies which that session supervises, by its name, which holds the node's name and incarnation.
//! Neither `pg` nor the actor registry are asked: they belong to the process and not to the node, so with two nodes in one
//! process (every test) they would give an answer for the wrong one.
//!
//! Supervision: [`Exchange`] (one for each link, ends with it) supervises ractor_cluster's `NodeSession`, which supervises its
//! stream and its proxies. The gateway stands alone and lives as long as the transport. Nothing is restarted: a failure closes
//! the link, and the dialler makes a new one.
//!
//! An `Exchange` stands where ractor_cluster has its `NodeServer`. A `NodeServer` insists on a listener without deadlines or
//! limits, on one cookie for all, and on its own election between connections, which may refuse a node that returns; all three
//! are decided before a stream comes here. So each session has a cookie of its own, drawn from the handshake.
//!
//! ractor_cluster has no back-pressure: a cast to a peer that does not read is queued without end. So a receiver confirms each
//! batch, and no more than a window of unconfirmed bytes is ever given to it; the rest waits in the bounded outbox.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc, Mutex, OnceLock, PoisonError, RwLock, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};
use ractor_cluster::{
    NetworkStream, NodeServerMessage, NodeSession, NodeSessionMessage,
    node::{NodeConnectionMode, SessionCheckReply},
};
use tokio::{
    io::{self, AsyncRead, BufReader, ReadBuf},
    net::{TcpStream, tcp::OwnedReadHalf},
    sync::Notify,
};

use super::{
    handshake::Agreed,
    link::{Link, Stage},
};
use crate::{
    id::NodeId,
    transport::{Inbound, Lane, outbox::BATCH},
    wire::{frame, limits::Limits},
};

const TOKEN: usize = 16;
const HEAD: usize = TOKEN + 1;
const MESSAGES: u8 = 0;
const CONFIRMED: u8 = 1;
/// What ractor_cluster puts round a batch: a length, a few protobuf tags.
const ENVELOPE: usize = 64 * 1024;

/// One link's control lane.
#[derive(Debug)]
struct ControlLane {
    link: Arc<Link>,
    /// The proxy of the peer's gateway, once the session has it.
    proxy: OnceLock<ActorCell>,
    /// Bytes given to ractor_cluster and not yet confirmed by the peer.
    unconfirmed: AtomicUsize,
    confirmed: Notify,
    /// Batches that came before the pair was announced; `None` from then on.
    early: Mutex<Option<Vec<Bytes>>>,
}

/// A node's control lanes.
#[derive(Debug)]
pub(super) struct Control {
    me: NodeId,
    limits: Limits,
    lanes: Arc<Lanes>,
    gateway: ActorRef<Vec<u8>>,
}

struct Lanes {
    by_token: RwLock<HashMap<[u8; TOKEN], Arc<ControlLane>>>,
    inbound: Arc<dyn Inbound>,
    early_max: usize,
}

impl std::fmt::Debug for Lanes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lanes(..)")
    }
}

/// The gateway could not be spawned; only a second transport of the same node id in this process can be the cause.
#[derive(Debug)]
pub(crate) struct GatewayError(#[allow(dead_code, reason = "shown by Debug")] SpawnErr);

fn gateway_name(node: NodeId) -> String {
    format!("ringheir gateway {}#{}", node.name, node.incarnation)
}

impl Control {
    pub(super) async fn start(me: NodeId, limits: Limits, inbound: Arc<dyn Inbound>) -> Result<Self, GatewayError> {
        // A peer sends a window at most, and one message more, before it hears from us.
        let early_max = limits.control_window + limits.frame + BATCH;
        let lanes = Arc::new(Lanes { by_token: RwLock::default(), inbound, early_max });
        let (gateway, _) =
            Actor::spawn(Some(gateway_name(me)), Gateway, Arc::clone(&lanes)).await.map_err(GatewayError)?;
        Ok(Self { me, limits, lanes, gateway })
    }

    pub(super) fn stop(&self) {
        self.gateway.stop(None);
    }

    /// Carries a link's control lane over `stream` from now on; ends with the link.
    pub(super) async fn carry(&self, agreed: Agreed, stream: TcpStream) {
        let link = agreed.link;
        let lane = Arc::new(ControlLane {
            link: Arc::clone(&link),
            proxy: OnceLock::new(),
            unconfirmed: AtomicUsize::new(0),
            confirmed: Notify::new(),
            early: Mutex::new(Some(Vec::new())),
        });
        self.lanes.by_token.write().unwrap_or_else(PoisonError::into_inner).insert(link.token, Arc::clone(&lane));
        let exchange = Exchange {
            lane: Arc::clone(&lane),
            me: gateway_name(self.me),
            cookie: agreed.session_key.iter().map(|byte| format!("{byte:02x}")).collect(),
            frame_max: self.limits.frame + BATCH + HEAD + frame::PREFIX + ENVELOPE,
        };
        match Actor::spawn(None, exchange, stream).await {
            Ok((exchange, _)) => {
                self.lanes.pump(&lane, self.limits.control_window).await;
                link.close();
                exchange.stop(None);
            }
            Err(error) => {
                tracing::warn!(peer = %link.peer.node, %error, "the control session did not start");
                link.close();
            }
        }
        self.lanes.by_token.write().unwrap_or_else(PoisonError::into_inner).remove(&link.token);
    }
}

impl Lanes {
    /// Gives what is pending to ractor_cluster, within the window, until the link closes.
    async fn pump(&self, lane: &ControlLane, window: usize) {
        let mut stage = lane.link.watch();
        let _ = stage.wait_for(|stage| matches!(stage, Stage::Up | Stage::Closed)).await;
        let Some(proxy) = lane.proxy.get() else {
            return;
        };
        self.deliver_early(lane, proxy);
        let mut batch = Vec::new();
        while *stage.borrow() != Stage::Closed {
            let room = lane.unconfirmed.load(Ordering::Acquire) < window;
            if room && lane.link.control.take(&mut batch) {
                let bytes = encode(&lane.link.token, &mut batch);
                lane.unconfirmed.fetch_add(bytes.len(), Ordering::AcqRel);
                if proxy.send_message(bytes).is_err() {
                    return;
                }
                continue;
            }
            tokio::select! {
                () = lane.link.control.pending(), if room => {}
                () = lane.confirmed.notified() => {}
                _ = stage.wait_for(|stage| *stage == Stage::Closed) => return,
            }
        }
    }

    fn deliver_early(&self, lane: &ControlLane, proxy: &ActorCell) {
        // Held while delivering, so that the gateway cannot overtake with a later batch.
        let mut early = lane.early.lock().unwrap_or_else(PoisonError::into_inner);
        for batch in early.take().unwrap_or_default() {
            self.deliver(lane, proxy, batch);
        }
    }

    fn deliver(&self, lane: &ControlLane, proxy: &ActorCell, batch: Bytes) {
        let size = batch.len();
        let mut rest = batch.slice(HEAD..);
        let node = lane.link.peer.node;
        // A panic above must not take the gateway away from every other peer.
        let delivered = catch_unwind(AssertUnwindSafe(|| {
            while lane.link.stage() == Stage::Up
                && let Some(message) = frame::next(&mut rest)
            {
                self.inbound.message(node, Lane::Control, message);
            }
        }));
        if delivered.is_err() || (!rest.is_empty() && lane.link.stage() == Stage::Up) {
            tracing::warn!(peer = %node, "closed a link: its control batch was malformed, or its receiver panicked");
            lane.link.close();
            return;
        }
        let mut confirmation = Vec::with_capacity(HEAD + 8);
        confirmation.extend_from_slice(&lane.link.token);
        confirmation.push(CONFIRMED);
        confirmation.extend_from_slice(&(size as u64).to_be_bytes());
        if proxy.send_message(confirmation).is_err() {
            lane.link.close();
        }
    }

    /// One message that reached the gateway.
    fn receive(&self, bytes: Vec<u8>) {
        let Some((token, [kind, rest @ ..])) = bytes.split_first_chunk::<TOKEN>() else {
            return;
        };
        // An unknown token is a batch for a link that is closed, or from a node that guesses.
        let lane = self.by_token.read().unwrap_or_else(PoisonError::into_inner).get(token).cloned();
        let Some(lane) = lane else { return };
        match (*kind, <[u8; 8]>::try_from(rest)) {
            (CONFIRMED, Ok(size)) => {
                let size = usize::try_from(u64::from_be_bytes(size)).unwrap_or(usize::MAX);
                // Never below zero, whatever a peer claims.
                let _ = lane
                    .unconfirmed
                    .fetch_update(Ordering::AcqRel, Ordering::Acquire, |bytes| Some(bytes.saturating_sub(size)));
                lane.confirmed.notify_one();
            }
            (MESSAGES, _) => {
                let batch = Bytes::from(bytes);
                let mut early = lane.early.lock().unwrap_or_else(PoisonError::into_inner);
                match (early.as_mut(), lane.proxy.get()) {
                    (None, Some(proxy)) => {
                        drop(early);
                        self.deliver(&lane, proxy, batch);
                    }
                    (Some(waiting), _) => {
                        waiting.push(batch);
                        if waiting.iter().map(Bytes::len).sum::<usize>() > self.early_max {
                            drop(early);
                            lane.link.close();
                        }
                    }
                    (None, None) => {}
                }
            }
            _ => {}
        }
    }
}

fn encode(token: &[u8; TOKEN], batch: &mut Vec<Bytes>) -> Vec<u8> {
    let size = HEAD + batch.iter().map(|message| frame::PREFIX + message.len()).sum::<usize>();
    let mut bytes = Vec::with_capacity(size);
    bytes.extend_from_slice(token);
    bytes.push(MESSAGES);
    for message in batch.drain(..) {
        bytes.extend_from_slice(&frame::prefix(message.len()));
        bytes.extend_from_slice(&message);
    }
    bytes
}

/// The one remotable actor of a node. `Vec<u8>` is a message that ractor_cluster carries as it is.
struct Gateway;

impl Actor for Gateway {
    type Msg = Vec<u8>;
    type State = Arc<Lanes>;
    type Arguments = Arc<Lanes>;

    async fn pre_start(&self, _: ActorRef<Vec<u8>>, lanes: Arc<Lanes>) -> Result<Arc<Lanes>, ActorProcessingErr> {
        Ok(lanes)
    }

    async fn handle(
        &self,
        _: ActorRef<Vec<u8>>,
        message: Vec<u8>,
        lanes: &mut Arc<Lanes>,
    ) -> Result<(), ActorProcessingErr> {
        lanes.receive(message);
        Ok(())
    }
}

/// Stands in for a `NodeServer`, for one link.
struct Exchange {
    lane: Arc<ControlLane>,
    me: String,
    cookie: String,
    frame_max: usize,
}

impl Actor for Exchange {
    type Msg = NodeServerMessage;
    type State = ActorRef<NodeSessionMessage>;
    type Arguments = TcpStream;

    async fn pre_start(
        &self,
        myself: ActorRef<NodeServerMessage>,
        stream: TcpStream,
    ) -> Result<Self::State, ActorProcessingErr> {
        // Numbers in proxies' ids must differ within the process; it may hold several nodes.
        static SESSIONS: AtomicU64 = AtomicU64::new(0);
        let mut name = name_message(NodeSession::new);
        name.name.clone_from(&self.me);
        // Taken for our own connection if equal to the peer's, so it holds the node id instead of an address.
        name.connection_string.clone_from(&self.me);
        let session = NodeSession::new(
            SESSIONS.fetch_add(1, Ordering::Relaxed),
            !self.lane.link.dialled_here,
            self.cookie.clone(),
            myself.clone(),
            name,
            NodeConnectionMode::Isolated,
        )
        .with_max_inbound_frame_size(self.frame_max as u64);
        let (reader, writer) = stream.into_split();
        let stream = NetworkStream::External {
            peer_label: None,
            local_label: None,
            // ractor_cluster reads eight bytes and then the frame: without a buffer at least two calls to the kernel.
            reader: Box::new(Watched { stream: BufReader::new(reader), link: Arc::downgrade(&self.lane.link) }),
            writer: Box::new(writer),
        };
        let (session, _) = Actor::spawn_linked(None, session, stream, myself.get_cell()).await?;
        Ok(session)
    }

    async fn handle(
        &self,
        _: ActorRef<NodeServerMessage>,
        message: NodeServerMessage,
        session: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            // Which connection a pair keeps was decided before.
            NodeServerMessage::CheckSession { reply, .. } => {
                let _ = reply.send(SessionCheckReply::NoOtherConnection);
            }
            NodeServerMessage::ConnectionReady(_) => {
                let theirs = gateway_name(self.lane.link.peer.node);
                let is_theirs =
                    |cell: &ActorCell| !cell.get_id().is_local() && cell.get_name().as_ref() == Some(&theirs);
                match session.get_cell().get_children().into_iter().find(is_theirs) {
                    Some(proxy) => {
                        let _ = self.lane.proxy.set(proxy);
                        self.lane.link.lane_ready(Lane::Control);
                    }
                    None => self.lane.link.close(),
                }
            }
            _ => {}
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<NodeServerMessage>,
        event: SupervisionEvent,
        _: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        if matches!(event, SupervisionEvent::ActorTerminated(..) | SupervisionEvent::ActorFailed(..)) {
            self.lane.link.close();
            myself.stop(None);
        }
        Ok(())
    }
}

/// An empty name message. Its type is public but in no public module, so it is named by where it is used.
fn name_message<A, B, C, D, Name: Default, E>(_: fn(A, B, C, D, Name, E) -> NodeSession) -> Name {
    Name::default()
}

/// Sees the end of the stream before ractor_cluster's actors have told one another.
struct Watched {
    stream: BufReader<OwnedReadHalf>,
    link: Weak<Link>,
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        let ended = match &polled {
            Poll::Ready(Ok(())) => buf.filled().len() == before && buf.remaining() > 0,
            Poll::Ready(Err(_)) => true,
            Poll::Pending => false,
        };
        if ended && let Some(link) = self.link.upgrade() {
            link.close();
        }
        polled
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(link) = self.link.upgrade() {
            link.close();
        }
    }
}
