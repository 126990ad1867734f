//! The check `lifetimes`: nothing outlives its time. That nothing ends before it, the world looks as it happens.

use std::collections::BTreeMap;

use crate::sim::{
    check::Violation,
    lifetimes::{Decided, Kind, kind_of},
    register::register_of,
    world::World,
};

/// Long after the last caller, nothing is there that should have ended.
pub(super) fn judge(world: &World, values: &BTreeMap<u32, Vec<u64>>, violations: &mut Vec<Violation>) {
    let Some(lifetimes) = world.setting().lifetimes else { return };
    for (session, values) in values {
        let ends = match kind_of(*session) {
            Kind::Stays => false,
            Kind::Idles => true,
            Kind::Ends => matches!(lifetimes.decided(values), Decided::Ends(_)),
        };
        if ends && register_of(values).value.is_some() {
            violations.push(Violation::new("lifetimes", format_args!("session {session} outlived its time")));
        }
    }
}
