//! The check `lifetimes`: nothing outlives its time. That nothing ends before it, the world looks as it happens.

use std::collections::BTreeMap;

use crate::sim::{
    check::{FinalState, Violation},
    register::span_of,
    world::World,
};

/// Long after the last caller, nothing is there that should have ended.
pub(super) fn judge(world: &World, finals: &BTreeMap<u32, FinalState>, violations: &mut Vec<Violation>) {
    for (session, last) in finals {
        if span_of(*session, world.setting().lifetimes).is_some() && last.value.is_some() {
            violations.push(Violation::new("lifetimes", format_args!("session {session} outlived its time")));
        }
    }
}
