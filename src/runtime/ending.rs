//! Ending sessions whose time is over, and telling the program of every session that has ended.
//!
//! Whose time is over, `replication` says; here it becomes a commit like any other, and only once that is committed is the
//! program told. A worker looks every few milliseconds, and before each call, so that nobody finds a session past its end.

use std::sync::Arc;

use smallvec::smallvec;
use thin_vec::ThinVec;

use super::{
    message::CallOutcome,
    tasks::After,
    watchers,
    worker::{ReplyTo, Waiting, WorkerState},
};
use crate::{
    blob::Blob,
    id::{ArcId, SessionKey},
    kinds::{Kind, Stored},
    moment::Moment,
    replication::{Body, Durability, Host, Lapse, Record, SessionChange},
    session::{End, SessionId},
};

/// Sessions that one look ends, at most: what more are over wait for the next.
const ENDED_MAX: usize = 512;

/// A session that ends, kept until that is committed.
pub(super) struct Farewell {
    kind: Arc<dyn Kind>,
    key: SessionKey,
    image: Option<Blob>,
    events: ThinVec<Blob>,
    state_version: u32,
    why: End,
}

impl Farewell {
    /// What to tell of this session, if its program wants to hear of it.
    pub(super) fn of(kind: &Arc<dyn Kind>, key: &SessionKey, record: &Record, why: End) -> Option<Box<Self>> {
        kind.hears_ends().then(|| {
            Box::new(Self {
                kind: Arc::clone(kind),
                key: key.clone(),
                image: record.image.clone(),
                events: record.events.clone(),
                state_version: record.state_version,
                why,
            })
        })
    }

    /// Tells it.
    pub(super) fn tell(&self) {
        let stored = Stored { image: self.image.as_ref(), events: &self.events, state_version: self.state_version };
        self.kind.tell_end(stored, &SessionId::of(&self.key), self.why);
    }
}

/// Ends what has come to its end without being asked for.
pub(super) fn end_what_is_over(state: &mut WorkerState, host: &mut Host, now: Moment) {
    for (arc, key, lapse) in host.over(ENDED_MAX, now) {
        // A command that came in time has its time; what it does counts as a use of when it began.
        if !state.dedicated.is_busy(&key) {
            end(state, host, arc, &key, lapse, now);
        }
    }
}

/// Ends one session by a commit.
pub(super) fn end(state: &mut WorkerState, host: &mut Host, arc: ArcId, key: &SessionKey, lapse: Lapse, now: Moment) {
    let Ok(primary) = host.serve(arc, now) else { return };
    let Some(record) = primary.store().get(key) else { return };
    let copied = !record.alone;
    let why = match lapse {
        Lapse::Expired => End::Expired,
        Lapse::Idle => End::Idle,
    };
    // A type that is not registered here cannot be told, and its sessions end all the same.
    let kind = state.shared.registry.kind(key.kind()).ok();
    let farewell = kind.and_then(|kind| Farewell::of(&kind, key, record, why));
    let token = state.draw_token();
    let change = SessionChange { key: key.clone(), body: Body::Deleted, reply: None, life: None, copied };
    host.append(arc, smallvec![change], token, Durability::Sync, now, &mut state.effects);
    state.live.forget(arc, key);
    let outcome = CallOutcome::Done(Blob::default(), 0);
    let after = After::of(farewell, key, Vec::new());
    state.waiting.insert(token, Waiting { reply_to: ReplyTo::Nobody, outcome, after });
    watchers::wake(state, host, key, now);
}
