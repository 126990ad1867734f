//! A door over one map in this process: sessions are run by the JSON type's own code, and retries are known by the same
//! reply table that replicas keep. What it lacks is other nodes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use serde::Serialize;
use tokio::sync::broadcast;

use crate::{
    Answered, Death, Drain, DrainError, HandBackError, MissingArcs, Readiness, Recovery, RecoveryFault, Restored,
    StaleReport,
    blob::Blob,
    error::{Bound, Error, ErrorKind},
    http::{
        door::{Door, Events, Heard, Outcome, Terms},
        request_key::RequestKey,
    },
    id::{ArcId, ClientId, CommitNumber, NodeId, NodeName, RequestId},
    json::{Document, Get, Json, Patch, Put, PutReply},
    kinds::{Change, Kind, LiveSession, Occasion, Op, Payload, Registry, Stored, Types},
    membership::{Outlook, View, test_views},
    moment::Moment,
    replication::{Known, Lifespan, ReplyEntry, ReplyLimits, ReplyTable},
    session::{Command, Session as _, SessionId},
    wire::codec,
};

/// One node that owns everything.
#[derive(Clone)]
pub(super) struct Local {
    inside: Arc<Mutex<Inside>>,
    kind: Arc<dyn Kind>,
    view: Arc<View>,
    value_max: usize,
    events: broadcast::Sender<Noted>,
}

struct Inside {
    sessions: BTreeMap<SessionId, Held>,
    commits: u64,
    readiness: Readiness,
    outlook: Outlook,
}

#[derive(Default)]
struct Held {
    image: Option<Blob>,
    version: u64,
    live: LiveSession,
    replies: ReplyTable,
}

/// A commit, as its listeners hear it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Noted {
    pub commit: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct Part {
    arc: u16,
    part: &'static str,
    sessions: usize,
}

impl Local {
    pub(super) fn new(value_max: usize) -> Self {
        let mut types = Types::new();
        Json::register(&mut types);
        let registry = Registry::default();
        registry.register(types).expect("one kind");
        let inside = Inside {
            sessions: BTreeMap::new(),
            commits: 0,
            readiness: Readiness::Serving,
            outlook: Outlook { fully_protected: true, ..Outlook::default() },
        };
        Self {
            inside: Arc::new(Mutex::new(inside)),
            kind: registry.kind(Json::KIND).expect("just registered"),
            view: Arc::new(test_views::founded(&["a", "b"], 2, 1)),
            value_max,
            events: broadcast::Sender::new(4),
        }
    }

    pub(super) fn sees(&self, outlook: Outlook) {
        self.inside.lock().expect("no panic").outlook = outlook;
    }

    pub(super) fn become_ready(&self, readiness: Readiness) {
        self.inside.lock().expect("no panic").readiness = readiness;
    }

    fn me(&self) -> NodeId {
        self.view.members[0].node
    }

    fn run(&self, id: &SessionId, op: Op<'_>, terms: &Terms) -> Outcome<Blob> {
        let mut inside = self.inside.lock().expect("no panic");
        let inside = &mut *inside;
        let node = self.me();
        let held = inside.sessions.entry(id.clone()).or_default();
        let limits = ReplyLimits::default();
        let request = terms.request.as_ref().map(|key| match key {
            RequestKey::Numbered(request) => *request,
            RequestKey::Opaque(key) => {
                let client = ClientId(xxhash_rust::xxh3::xxh3_128(key));
                RequestId { client, sequence: 1, first_unanswered: 1 }
            }
        });
        match request.map_or(Known::New, |r| held.replies.look_up(&r, &limits, Moment::START)) {
            Known::New => {}
            Known::Answered(number, reply) => return Ok(Answered { reply, version: number.0, node }),
            Known::TooOld => return Err(ErrorKind::TooOld.into()),
            Known::FullOfReplies => {
                let bound = Bound::RepliesPerClient { limit: limits.per_client };
                return Err(ErrorKind::Busy { bound, retry_after: Duration::from_millis(20) }.into());
            }
            Known::FullOfClients(retry_after) => {
                let bound = Bound::ClientsPerSession { limit: limits.clients };
                return Err(ErrorKind::Busy { bound, retry_after }.into());
            }
        }
        let version = held.version;
        let occasion = Occasion {
            id,
            request,
            now: Moment::START,
            version,
            lifespan: Lifespan::FOR_EVER,
            expected: terms.expected,
            value_max: self.value_max,
        };
        let stored = Stored { image: held.image.as_ref(), events: &[], state_version: Json::VERSION };
        let run = self.kind.run(&mut held.live, stored, op, &occasion);
        let reply = run.outcome.map_err(Error::from)?;
        let image = match run.change {
            Change::None => return Ok(Answered { reply, version, node }),
            Change::Image { bytes, .. } => Some(bytes),
            Change::Deleted => None,
            Change::Events { .. } => unreachable!("the JSON type has no events"),
        };
        inside.commits += 1;
        held.version = if image.is_some() { inside.commits } else { 0 };
        held.image = image;
        if let Some(request) = request {
            let entry = ReplyEntry { request, reply: reply.clone() };
            held.replies.remember(entry, CommitNumber(inside.commits), &limits, Moment::START);
        }
        // Nobody listens in most tests.
        let _ = self.events.send(Noted { commit: inside.commits });
        Ok(Answered { reply, version: held.version, node })
    }

    fn call<C: Command>(&self, id: &SessionId, command: &C, terms: &Terms) -> Outcome<C::Reply> {
        let payload = codec::encode_named(command, usize::MAX).expect("a command can be encoded");
        let op = Op::Call { command: C::NAME, payload: Payload::One(&payload), may_create: true };
        self.run(id, op, terms).map(decoded)
    }
}

fn decoded<T: serde::de::DeserializeOwned>(answered: Answered<Blob>) -> Answered<T> {
    let reply = codec::decode(&answered.reply, usize::MAX).expect("what the kind encoded");
    Answered { reply, version: answered.version, node: answered.node }
}

impl Door for Local {
    type Arc = Part;
    type Events = broadcast::Receiver<Noted>;

    fn name(&self) -> NodeName {
        self.me().name
    }

    fn readiness(&self) -> Readiness {
        self.inside.lock().expect("no panic").readiness
    }

    fn view(&self) -> Arc<View> {
        Arc::clone(&self.view)
    }

    fn outlook(&self) -> Outlook {
        self.inside.lock().expect("no panic").outlook.clone()
    }

    async fn arcs(&self) -> Vec<Part> {
        vec![Part { arc: 0, part: "active", sessions: self.inside.lock().expect("no panic").sessions.len() }]
    }

    fn events(&self) -> Self::Events {
        self.events.subscribe()
    }

    fn cordon(&self) -> bool {
        true
    }

    fn uncordon(&self) -> bool {
        true
    }

    async fn drain(&self, _: Drain) -> Result<(), DrainError> {
        Err(DrainError::NobodyElse)
    }

    fn plan_recovery(&self, _: &BTreeSet<NodeName>) -> Result<Recovery, RecoveryFault> {
        Err(RecoveryFault::NoHost)
    }

    async fn recover(&self, _: &BTreeSet<NodeName>) -> Result<Recovery, RecoveryFault> {
        Err(RecoveryFault::NoHost)
    }

    async fn declare_dead(&self, name: NodeName) -> Result<Vec<NodeId>, RecoveryFault> {
        Err(RecoveryFault::NoSuchNode(name))
    }

    fn plan_death(&self, name: NodeName) -> Result<Death, RecoveryFault> {
        Err(RecoveryFault::NoSuchNode(name))
    }

    async fn clear_lost(&self) -> Result<Vec<ArcId>, RecoveryFault> {
        Ok(Vec::new())
    }

    async fn hand_back(&self, within: Duration) -> Result<(), HandBackError> {
        // Told by the time it was given, so that a test sees that the query arrived.
        let missing = MissingArcs { uncopied: within.as_millis() as usize, copied: 0, unreachable: 0 };
        Err(HandBackError::TimedOut { missing })
    }

    async fn stale_copies(&self) -> Vec<StaleReport> {
        Vec::new()
    }

    async fn restore_stale(&self) -> Result<Restored, RecoveryFault> {
        Ok(Restored::default())
    }

    async fn get(&self, id: SessionId, terms: Terms) -> Outcome<Option<Document>> {
        let payload = codec::encode_named(&Get {}, usize::MAX).expect("a question can be encoded");
        self.run(&id, Op::Answer { question: Get::NAME, payload: &payload }, &terms).map(decoded)
    }

    async fn put(&self, id: SessionId, document: Document, terms: Terms) -> Outcome<PutReply> {
        self.call(&id, &Put { document }, &terms)
    }

    async fn patch(&self, id: SessionId, patch: Document, terms: Terms) -> Outcome<Document> {
        self.call(&id, &Patch { patch }, &terms)
    }

    async fn delete(&self, id: SessionId, terms: Terms) -> Outcome<bool> {
        self.run(&id, Op::Delete, &terms).map(decoded)
    }
}

impl Events for broadcast::Receiver<Noted> {
    type Event = Noted;

    async fn next(&mut self) -> Option<Heard<Noted>> {
        match self.recv().await {
            Ok(noted) => Some(Heard::Event(noted)),
            Err(broadcast::error::RecvError::Lagged(events)) => Some(Heard::Missed(events)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}
