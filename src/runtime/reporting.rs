//! What a worker holds, arc by arc, for people and pages.

use thin_vec::ThinVec;

use crate::{
    blob::Blob,
    id::{ArcId, CommitNumber, SessionKey},
    membership::View,
    moment::Moment,
    replication::{Host, Lifespan, Primary, Record, Replica},
    report::{ArcPart, ArcReport},
};

/// A copy that is in sync no longer.
pub(crate) struct StaleArc {
    pub(crate) arc: ArcId,
    /// How many sessions are in it.
    pub(crate) sessions: usize,
    /// The sessions themselves, if the arc was lost since.
    pub(crate) wanted: Option<Vec<StaleSession>>,
}

/// One session of such a copy.
pub(crate) struct StaleSession {
    pub(crate) key: SessionKey,
    pub(crate) image: Blob,
    pub(crate) events: ThinVec<Blob>,
    pub(crate) state_version: u32,
    /// What is left of its time.
    pub(crate) lifespan: Lifespan,
}

/// The stale copies of a worker. Of what is wanted only handles are copied, not bytes.
pub(super) fn stale(host: &Host, now: Moment) -> Vec<StaleArc> {
    let view = &host.surroundings().view;
    let all = host.stale().iter().map(|(arc, copy)| {
        let is_wanted = view.arc(arc).is_some_and(|entry| copy.is_wanted(entry));
        let living = copy.store().iter().filter(|(_, record)| record.exists() && record.lapse(now).is_none());
        let session = |(key, record): (&SessionKey, &Record)| {
            Some(StaleSession {
                key: key.clone(),
                image: record.image.clone()?,
                events: record.events.clone(),
                state_version: record.state_version,
                lifespan: record.lifespan(now),
            })
        };
        StaleArc { arc, sessions: copy.store().len(), wanted: is_wanted.then(|| living.filter_map(session).collect()) }
    });
    all.collect()
}

/// What a worker holds, arc by arc.
pub(super) fn report(host: &Host) -> Vec<ArcReport> {
    let view = &host.surroundings().view;
    host.replicas().filter_map(|(arc, replica)| report_one(view, arc, replica)).collect()
}

fn report_one(view: &View, arc: ArcId, replica: &Replica) -> Option<ArcReport> {
    let entry = view.arc(arc)?;
    let (part, sessions, last, committed) = match replica {
        Replica::Primary(primary) => (part_of(primary), primary.store().len(), primary.last(), primary.committed()),
        Replica::Backup(backup) => (ArcPart::Backup, backup.store().len(), backup.last(), backup.committed()),
        Replica::Learner(learner) => {
            (ArcPart::CatchingUp, learner.sessions(), CommitNumber::default(), CommitNumber::default())
        }
    };
    Some(ArcReport {
        arc: arc.0,
        part,
        since: entry.since.0,
        primary: entry.primary,
        in_sync: entry.in_sync.clone(),
        catching_up: entry.catching_up,
        lost_at: entry.lost_at.map(|v| v.0),
        sessions: sessions as u64,
        last: last.0,
        committed: committed.0,
        lag: last.0.saturating_sub(committed.0),
    })
}

fn part_of(primary: &Primary) -> ArcPart {
    match (primary.is_serving(), primary.open_loss()) {
        (false, _) => ArcPart::Promoting,
        (true, None) => ArcPart::Active,
        (true, Some(_)) => ArcPart::Lost,
    }
}
