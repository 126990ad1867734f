//! The judgement of a finished run: every checker on what was recorded and on what the nodes hold in the end.

pub(super) mod backups;
mod ends;
mod rest;
mod roles;

use std::collections::BTreeMap;

use crate::{
    id::SessionKey,
    replication::Primary,
    sim::{
        check::{FinalState, Losses, Violation, of_callers, together},
        hosting::{self, Answered, Kept},
        node::SimNode,
        register::{register_of, session_key, values_of},
        world::World,
    },
};

/// Says what was violated. Without healing there is no final state to judge.
pub(crate) fn judge(world: &World, healed: bool, violations: &mut Vec<Violation>) {
    violations.extend(world.wrong.iter().cloned());
    let (values, losses) = (values(world), world.session_losses());
    let finals = finals(&values);
    violations.extend(of_callers(&world.history, &losses, healed.then_some(&finals)));
    let known = values.iter().filter(|(session, _)| healed && !losses.contains_key(session));
    let known = known.map(|(session, values)| (*session, &values[..])).collect();
    if let Err(fault) = together::check(&world.history, &world.together, &known, &losses) {
        violations.push(Violation::new("together", fault));
    }
    if !healed {
        return;
    }
    judge_hosted(world, &losses, violations);
    backups::judge(world, violations);
    roles::judge(world, violations);
    rest::judge(world, violations);
    ends::judge(world, &values, violations);
}

/// Sessions of a user's type are what their commands make of an object that never moves, and said so; unless that object was lost.
fn judge_hosted(world: &World, losses: &Losses, violations: &mut Vec<Violation>) {
    let Some(hosted) = &world.setting().hosted else { return };
    for session in world.sessions().into_iter().filter(|session| !losses.contains_key(session)) {
        let key = session_key(session);
        let Some(primary) = primary_of(world, &key) else { continue };
        let last = Kept::of(primary.store().get(&key));
        let told: Vec<Answered> = world.told.iter().filter(|told| told.operation.session == session).copied().collect();
        violations.extend(hosting::judge(hosted, session, &last, &world.called, &told, &world.history));
    }
    violations.extend(hosted.take_wrong().into_iter().map(|words| Violation::new("sessions", words)));
}

/// Who serves a session in the end.
fn primary_of<'w>(world: &'w World, key: &SessionKey) -> Option<&'w Primary> {
    let view = world.newest.as_ref()?;
    let arc = key.arc(view.shape.arcs);
    let entry = view.arc(arc)?;
    world.node(entry.primary.name).and_then(SimNode::host)?.replica(arc)?.as_primary()
}

/// Every value ever written to each session, in order, as whoever serves it has them.
fn values(world: &World) -> BTreeMap<u32, Vec<u64>> {
    let of = |session: u32| {
        let key = session_key(session);
        let primary = primary_of(world, &key)?;
        Some((session, primary.store().get(&key).map(values_of).unwrap_or_default()))
    };
    world.sessions().into_iter().filter_map(of).collect()
}

/// The final state of every session.
fn finals(values: &BTreeMap<u32, Vec<u64>>) -> BTreeMap<u32, FinalState> {
    let last = |values: &Vec<u64>| {
        let register = register_of(values);
        let applied = values.iter().copied().filter(|v| *v != 0).collect();
        FinalState { value: register.value, version: register.version, applied }
    };
    values.iter().map(|(session, values)| (*session, last(values))).collect()
}
