//! What a worker holds, arc by arc, for people and pages.

use crate::{
    id::{ArcId, CommitNumber},
    membership::View,
    replication::{Host, Primary, Replica},
    report::{ArcPart, ArcReport},
};

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
    match (primary.is_serving(), primary.lost_at()) {
        (false, _) => ArcPart::Promoting,
        (true, None) => ArcPart::Active,
        (true, Some(_)) => ArcPart::Lost,
    }
}
