//! The judgement of a finished run: every checker on what was recorded and on what the nodes hold in the end.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    id::SessionKey,
    membership::targets,
    replication::{Primary, Replica},
    sim::{
        check::{FinalState, History, Verdict, acknowledged_survives, applied_once, linearizable},
        hosting::{self, Answered, Kept},
        node::SimNode,
        register::{register_of, session_key, span_of, values_of},
        world::World,
    },
};

/// Says what was violated. Without healing there is no final state to judge.
pub(crate) fn judge(world: &World, healed: bool, violations: &mut Vec<String>) {
    violations.extend(world.wrong.iter().cloned());
    let finals = finals(world);
    let lost: Vec<u32> = world.sessions().into_iter().filter(|s| !finals.contains_key(s)).collect();
    let history = world.history.without_sessions(&lost);
    match linearizable::check(&history, linearizable::STEPS_MAX) {
        Verdict::Linearizable => {}
        Verdict::Violation(explanation) => violations.push(format!("linearizability: {explanation}")),
        Verdict::TooHard { sessions } => {
            violations.push(format!("linearizability: too hard for sessions {sessions:?}"));
        }
    }
    if !healed {
        return;
    }
    if let Err(fault) = applied_once::check(&history, &finals) {
        violations.push(format!("applied once: {fault}"));
    }
    if let Err(fault) = acknowledged_survives::check(&history, &finals) {
        violations.push(format!("acknowledged survives: {fault}"));
    }
    judge_hosted(world, &history, violations);
    judge_backups(world, violations);
    judge_rest(world, violations);
    if world.setting().lifetimes.is_some() {
        judge_ends(world, &finals, violations);
    }
}

/// Sessions of a user's type are what their commands make of an object that never moves, and said so.
fn judge_hosted(world: &World, history: &History, violations: &mut Vec<String>) {
    let Some(hosted) = &world.setting().hosted else { return };
    let judged: BTreeSet<u32> = history.operations().iter().map(|operation| operation.session).collect();
    for session in judged {
        let key = session_key(session);
        let Some(primary) = primary_of(world, &key) else { continue };
        let last = Kept::of(primary.store().get(&key));
        let told: Vec<Answered> = world.told.iter().filter(|told| told.operation.session == session).copied().collect();
        violations.extend(hosting::judge(hosted, session, &last, &world.called, &told));
    }
    violations.extend(hosted.take_wrong().into_iter().map(|words| format!("sessions: {words}")));
}

/// Who serves a session in the end, as far as its arc never lost its last copy.
fn primary_of<'w>(world: &'w World, key: &SessionKey) -> Option<&'w Primary> {
    let view = world.newest.as_ref()?;
    let arc = key.arc(view.shape.arcs);
    let entry = view.arc(arc).filter(|entry| entry.lost_at.is_none())?;
    world.node(entry.primary.name).and_then(SimNode::host)?.replica(arc)?.as_primary()
}

/// Long after the last caller, nothing is there that should have ended.
fn judge_ends(world: &World, finals: &BTreeMap<u32, FinalState>, violations: &mut Vec<String>) {
    for (session, last) in finals {
        if span_of(*session, world.setting().lifetimes).is_some() && last.value.is_some() {
            violations.push(format!("session {session} outlived its time"));
        }
    }
}

/// The final state of every session whose arc never lost its last copy.
fn finals(world: &World) -> BTreeMap<u32, FinalState> {
    let mut finals = BTreeMap::new();
    for session in world.sessions() {
        let key = session_key(session);
        let Some(primary) = primary_of(world, &key) else { continue };
        let values = primary.store().get(&key).map(values_of).unwrap_or_default();
        let register = register_of(&values);
        let applied = values.iter().copied().filter(|v| *v != 0).collect();
        finals.insert(session, FinalState { value: register.value, version: register.version, applied });
    }
    finals
}

/// Long after everything healed, every arc is where placement wants it: what was to move has moved.
fn judge_rest(world: &World, violations: &mut Vec<String>) {
    let Some(view) = &world.newest else { return };
    for ((arc, entry), target) in view.entries().zip(targets(view)) {
        if entry.lost_at.is_none() && target.primary != Some(entry.primary) {
            violations.push(format!(
                "liveness: arc {arc} is still served by {}, and placement wants it at {:?}",
                entry.primary, target.primary
            ));
        }
    }
}

/// In a quiet world every in-sync backup holds exactly what its primary holds.
fn judge_backups(world: &World, violations: &mut Vec<String>) {
    let Some(view) = &world.newest else { return };
    for (arc, entry) in view.entries() {
        let replica = |name| world.node(name).and_then(SimNode::host).and_then(|h| h.replica(arc));
        let Some(primary) = replica(entry.primary.name).and_then(Replica::as_primary) else { continue };
        for backup in &entry.in_sync {
            let Some(copy) = replica(backup.name).and_then(Replica::as_backup) else {
                violations.push(format!("{backup} is called an in-sync backup of arc {arc} and is none"));
                continue;
            };
            let differs = primary.store().iter().find(|(key, record)| {
                let held = copy.store().get(key);
                held.is_none_or(|h| h.version != record.version || values_of(h) != values_of(record))
            });
            if let Some((key, record)) = differs {
                let held = copy.store().get(key).map(|h| (h.version, values_of(h)));
                let (there, here) = ((record.version, values_of(record)), held);
                violations.push(format!(
                    "{backup} holds another {key} than {} of arc {arc}: {here:?} instead of {there:?}; folded {}, last {}",
                    entry.primary,
                    copy.folded(),
                    copy.last(),
                ));
            }
        }
    }
}
