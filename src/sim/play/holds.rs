//! Whether an expectation holds in a simulated world, and what is instead where it does not.

use std::{collections::BTreeSet, time::Duration};

use crate::{
    id::NodeName,
    membership::{ArcEntry, View},
    sim::{
        run::{Marks, Report},
        scenario::Holds,
        world::World,
    },
};

fn names<'a>(of: impl IntoIterator<Item = &'a NodeName>) -> String {
    let all: Vec<&str> = of.into_iter().map(NodeName::as_str).collect();
    if all.is_empty() { "nobody".to_owned() } else { all.join(", ") }
}

/// What is instead of a state that is expected now; `None` if it holds.
pub(super) fn now(world: &World, holds: &Holds) -> Option<String> {
    let Some(view) = world.newest.clone() else { return Some("there is no view yet".to_owned()) };
    let of = |home: NodeName| view.entries().filter(move |(_, entry)| entry.home == home).map(|(_, entry)| &**entry);
    let differs = |differs: bool, instead: String| differs.then_some(instead);
    match holds {
        Holds::Members(members) => {
            let there: BTreeSet<NodeName> = view.members.iter().map(|m| m.node.name).collect();
            differs(there != members.iter().copied().collect(), format!("the members are {}", names(&there)))
        }
        Holds::Voters(voters) => {
            let there: BTreeSet<NodeName> = view.voters.iter().map(|voter| voter.name).collect();
            differs(there != voters.iter().copied().collect(), format!("the voters are {}", names(&there)))
        }
        Holds::Primary(by) => by.iter().find_map(|(home, by)| {
            if of(*home).next().is_none() {
                return Some(homeless(*home));
            }
            let other = of(*home).find(|entry| entry.primary.name != *by);
            let unserved = || view.entries().find(|(arc, e)| e.home == *home && !world.is_served(*arc, e.primary));
            match other {
                Some(entry) => Some(format!("an arc of {home} has {} as its primary", entry.primary.name)),
                None => unserved().map(|(arc, _)| format!("arc {arc} of {home} is not served by {by} now")),
            }
        }),
        Holds::Backups(by) => by.iter().find_map(|(home, by)| {
            if of(*home).next().is_none() {
                return Some(homeless(*home));
            }
            let expected: BTreeSet<NodeName> = by.iter().copied().collect();
            let there = |entry: &ArcEntry| entry.in_sync.iter().map(|node| node.name).collect::<BTreeSet<_>>();
            let other = of(*home).map(there).find(|there| *there != expected)?;
            Some(format!("an arc of {home} is guarded by {}", names(&other)))
        }),
        Holds::Links(links) => {
            let there = links_of(&view);
            let told: Vec<String> = there.iter().map(|(from, to)| format!("{from} -> {to}")).collect();
            differs(there != links.iter().copied().collect(), format!("the links are {}", told.join(", ")))
        }
        Holds::FullyProtected(expected) => {
            let is = world.is_protected_now();
            differs(is != *expected, if is { "all is" } else { "not all is" }.to_owned())
        }
        Holds::Recovering(homes) => {
            let waits = |entry: &&ArcEntry| !view.is_member(entry.primary);
            let there: BTreeSet<NodeName> = view.arcs.iter().map(|e| &**e).filter(waits).map(|e| e.home).collect();
            differs(there != homes.iter().copied().collect(), format!("it is those of {}", names(&there)))
        }
        Holds::LostArcs(count) => {
            let there = view.open_losses().len();
            differs(there != *count, format!("{there} are"))
        }
        _ => None,
    }
}

/// What is said of nothing would hold whatever it says.
fn homeless(home: NodeName) -> String {
    format!("no arc is at home with {home}")
}

fn links_of(view: &View) -> BTreeSet<(NodeName, NodeName)> {
    let links = view.arcs.iter().flat_map(|entry| entry.in_sync.iter().map(|to| (entry.primary.name, to.name)));
    links.collect()
}

/// What is instead of something that is expected of the whole run; `None` if it holds.
pub(super) fn of_the_whole(world: &World, report: &Report, marks: &Marks, holds: &Holds) -> Option<String> {
    let found = |check: &str| report.violations.iter().filter(|violation| violation.check == check).count() as u64;
    let count = |there: u64, expected: u64, what: &str| (there != expected).then(|| format!("{there} {what}"));
    match holds {
        Holds::Lost(expected) => {
            count(world.lost_commands() + found("acknowledged survives"), *expected, "are, of those acknowledged")
        }
        Holds::Duplicated(expected) => count(found("applied once"), *expected, "were, or more"),
        Holds::StaleReads(expected) => count(found("linearizability"), *expected, "were, or more"),
        Holds::Failed(expected) => count(world.record.failed, *expected, "did"),
        Holds::PromotedWithin(_) | Holds::ProtectedWithin(_) if world.record.losses.is_empty() => {
            Some("no step lost a member".to_owned())
        }
        Holds::PromotedWithin(limit) => {
            late(world.record.losses.iter().map(|loss| (loss.node.name, loss.promoted)), *limit)
        }
        Holds::ProtectedWithin(limit) => {
            late(world.record.losses.iter().map(|loss| (loss.node.name, loss.protected)), *limit)
        }
        Holds::AvailableWithin(limit) => {
            let longest = world.record.longest_wait;
            (longest > *limit).then(|| format!("one waited {longest:?}"))
        }
        Holds::EndedWithin(limit) => match world.record.latest_end {
            None => Some("no session had a set end".to_owned()),
            Some(late) => (late > *limit).then(|| format!("one was there {late:?} after it")),
        },
        Holds::Reached(mark) => {
            let near: Vec<&str> = marks.keys().copied().collect();
            (!marks.contains_key(mark.as_str())).then(|| format!("what was reached is: {}", near.join("; ")))
        }
        _ => None,
    }
}

fn late(losses: impl Iterator<Item = (NodeName, Option<Duration>)>, limit: Duration) -> Option<String> {
    losses
        .filter(|(_, took)| took.is_none_or(|took| took > limit))
        .map(|(name, took)| match took {
            Some(took) => format!("after the loss of {name} it took {took:?}"),
            None => format!("after the loss of {name} it never was"),
        })
        .next()
}
