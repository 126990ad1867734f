//! The judgement of a finished run: every checker on what was recorded and on what the nodes hold in the end.

mod backups;
mod ends;
mod rest;
mod roles;

use std::collections::BTreeMap;

use crate::{
    id::SessionKey,
    replication::Primary,
    sim::{
        check::{FinalState, Losses, Violation, of_callers},
        hosting::{self, Answered, Kept},
        node::SimNode,
        register::{register_of, session_key, values_of},
        world::World,
    },
};

/// Says what was violated. Without healing there is no final state to judge.
pub(crate) fn judge(world: &World, healed: bool, violations: &mut Vec<Violation>) {
    violations.extend(world.wrong.iter().cloned());
    let (finals, losses) = (finals(world), world.session_losses());
    violations.extend(of_callers(&world.history, &losses, healed.then_some(&finals)));
    if !healed {
        return;
    }
    judge_hosted(world, &losses, violations);
    backups::judge(world, violations);
    roles::judge(world, violations);
    rest::judge(world, violations);
    ends::judge(world, &finals, violations);
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

/// The final state of every session.
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
