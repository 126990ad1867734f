//! A door over one map in this process: keys are run by their own type's code on stored bytes, as a worker runs them. What it lacks
//! is other nodes; that some of those are busy, or gone, it can be told to say.

use std::{
    collections::BTreeMap,
    future::pending,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use smallvec::smallvec;
use tokio::task::yield_now;

use crate::{
    Readiness, Types,
    blob::Blob,
    error::{Error, ErrorKind},
    id::{ArcId, NodeName},
    kinds::{self, Kind, LiveSession, Occasion, Op, Payload, Plain as _, Registry, Stored, plain_bytes},
    moment::Moment,
    redis::{
        door::{Ask, Asked, Calls, Came, Door, Looked, Page, Part},
        keys::{Change, Key, Look, Said, register, said},
    },
    replication::Lifespan,
    runtime::clock,
    session::SessionId,
    wire::codec,
};

const ARCS: u16 = 4;
/// Nothing ever comes of a change of a key that ends so.
pub(in crate::redis) const STUCK: &str = "stuck";

/// One node that owns everything.
#[derive(Clone)]
pub(in crate::redis) struct Local(Arc<Inside>);

struct Inside {
    kind: Arc<dyn Kind>,
    keys: Mutex<BTreeMap<SessionId, Held>>,
    value_max: usize,
    /// Calls so far.
    calls: AtomicUsize,
    /// Every so manieth call comes to nothing; 0: none does.
    fails: usize,
}

#[derive(Default)]
struct Held {
    image: Option<Blob>,
    version: u64,
    life: Lifespan,
}

impl Local {
    /// One whose keys hold at most so many bytes, and of which every so manieth call fails, half of them with an outcome that
    /// nobody knows.
    pub(in crate::redis) fn new(value_max: usize, fails: usize) -> Self {
        let mut types = Types::new();
        register(&mut types);
        let registry = Registry::default();
        registry.register(types).expect("one kind");
        let kind = registry.kind(Key::KIND).expect("just registered");
        Self(Arc::new(Inside { kind, keys: Mutex::default(), value_max, calls: AtomicUsize::new(0), fails }))
    }

    /// Later calls come back sooner, now and then; some fail.
    async fn begin(&self) -> Result<(), Error> {
        let call = self.0.calls.fetch_add(1, Ordering::Relaxed) + 1;
        for _ in 0..call * 7 % 4 {
            yield_now().await;
        }
        match self.0.fails {
            0 => Ok(()),
            fails if !call.is_multiple_of(fails) => Ok(()),
            fails if (call / fails).is_multiple_of(2) => Err(ErrorKind::OutcomeUnknown.into()),
            _ => Err(ErrorKind::Recovering { retry_after: Duration::from_millis(20) }.into()),
        }
    }

    async fn change_all(&self, id: SessionId, changes: Vec<Change>) -> Result<Vec<Said>, Error> {
        self.begin().await?;
        let keys = &mut *self.0.keys.lock().expect("no panic");
        self.change_one(keys, &id, &changes, None)
    }

    fn run(
        &self,
        keys: &mut BTreeMap<SessionId, Held>,
        id: &SessionId,
        op: Op<'_>,
        expected: Option<u64>,
    ) -> Result<(Blob, u64), Error> {
        let held = keys.entry(id.clone()).or_default();
        let occasion = Occasion {
            id,
            request: None,
            now: Moment::START,
            version: held.version,
            lifespan: held.life,
            expected,
            value_max: self.0.value_max,
        };
        let stored = held.image.as_ref().map_or(Stored::ABSENT, |image| Stored {
            image: Some(image),
            events: &[],
            state_version: Key::VERSION,
        });
        let run = self.0.kind.run(&mut LiveSession::default(), stored, op, &occasion);
        let reply = run.outcome.map_err(Error::from)?;
        held.image = match run.change {
            kinds::Change::None => held.image.take(),
            kinds::Change::Image { bytes, .. } => Some(bytes),
            kinds::Change::Deleted => None,
            kinds::Change::Events { .. } => unreachable!("keys have no events"),
        };
        held.life = run.life.filter(|_| held.image.is_some()).unwrap_or(held.life);
        held.version += 1;
        Ok((reply, held.version))
    }

    fn change_one(
        &self,
        keys: &mut BTreeMap<SessionId, Held>,
        id: &SessionId,
        changes: &[Change],
        expected: Option<u64>,
    ) -> Result<Vec<Said>, Error> {
        let bodies: Vec<Blob> =
            changes.iter().map(|change| plain_bytes(change, self.0.value_max)).collect::<Result<_, _>>()?;
        let op = Op::Call { command: Key::COMMAND, payload: Payload::Many(&bodies), may_create: true };
        let replies = self.run(keys, id, op, expected)?.0;
        let replies: Vec<Blob> = codec::decode(&replies, usize::MAX).expect("what the kind encoded");
        replies.iter().map(|reply| said(reply)).collect()
    }
}

type UnderWay = Pin<Box<dyn Future<Output = (u64, Came)> + Send>>;

/// The calls of one connection, each carried out by itself.
pub(in crate::redis) struct LocalCalls {
    local: Local,
    next: u64,
    under_way: FuturesUnordered<UnderWay>,
}

impl Calls for LocalCalls {
    fn begin(&mut self, asked: Vec<Asked>) -> u64 {
        let first = self.next;
        for (number, Asked { id, ask, creates }) in (first..).zip(asked) {
            let local = self.local.clone();
            self.next += 1;
            self.under_way.push(Box::pin(async move {
                let came = match ask {
                    Ask::Look(look) => local.look(id, look).await.map(|looked| smallvec![looked.said]),
                    Ask::Change(change) => local.change(id, change, creates).await.map(|said| smallvec![said]),
                    Ask::Changes(changes) => local.change_all(id, changes).await.map(Into::into),
                };
                (number, came)
            }));
        }
        first
    }

    async fn next(&mut self, came: &mut Vec<(u64, Came)>) {
        came.extend(self.under_way.next().await);
    }
}

impl Door for Local {
    type Calls = LocalCalls;

    fn calls(&self) -> LocalCalls {
        LocalCalls { local: self.clone(), next: 0, under_way: FuturesUnordered::new() }
    }

    fn now(&self) -> Moment {
        clock::now()
    }

    fn name(&self) -> NodeName {
        NodeName::new("a").expect("plain")
    }

    fn readiness(&self) -> Readiness {
        Readiness::Serving
    }

    fn arcs(&self) -> u16 {
        ARCS
    }

    fn backups(&self, _: ArcId) -> usize {
        1
    }

    fn members(&self) -> (usize, u64) {
        (2, 1)
    }

    fn has_quorum(&self) -> bool {
        true
    }

    async fn until_it_can_end(&self, _: &SessionId) -> Result<(), Error> {
        Ok(())
    }

    async fn look(&self, id: SessionId, look: Look) -> Result<Looked, Error> {
        self.begin().await?;
        let keys = &mut *self.0.keys.lock().expect("no panic");
        let payload = plain_bytes(&look, self.0.value_max)?;
        let (reply, version) = self.run(keys, &id, Op::Answer { question: Key::QUESTION, payload: &payload }, None)?;
        Ok(Looked { said: said(&reply)?, version })
    }

    async fn change(&self, id: SessionId, change: Change, _: bool) -> Result<Said, Error> {
        if id.as_bytes().ends_with(STUCK.as_bytes()) {
            return pending().await;
        }
        self.begin().await?;
        let keys = &mut *self.0.keys.lock().expect("no panic");
        Ok(self.change_one(keys, &id, &[change], None)?.pop().expect("one for one"))
    }

    async fn together(&self, parts: Vec<Part>) -> Result<Vec<Vec<Said>>, Error> {
        self.begin().await?;
        let keys = &mut *self.0.keys.lock().expect("no panic");
        parts.iter().map(|part| self.change_one(keys, &part.id, &part.changes, part.expected)).collect()
    }

    async fn list(&self, arc: ArcId, prefix: Vec<u8>, from: u64, max: usize) -> Result<Page, Error> {
        self.begin().await?;
        let keys = self.0.keys.lock().expect("no panic");
        let here = keys.iter().filter(|(id, held)| {
            held.image.is_some() && id.as_bytes().starts_with(&prefix) && crate::redis::id::arc_of(id, ARCS) == arc
        });
        let all: Vec<Vec<u8>> = here.map(|(id, _)| id.as_bytes().to_vec()).collect();
        let count = all.len() as u64;
        let first = usize::try_from(from).unwrap_or(usize::MAX).min(all.len());
        let ids: Vec<_> = all[first..].iter().take(max).cloned().collect();
        let end = first + ids.len();
        let next = (end < all.len() && max > 0).then_some(end as u64);
        Ok(Page { ids, next, count })
    }
}
