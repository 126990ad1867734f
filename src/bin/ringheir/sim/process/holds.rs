//! Whether an expectation holds of a ring of real processes, and what is instead where it does not.

use std::{collections::BTreeSet, time::Duration};

use ringheir::{
    id::NodeName,
    sim::{check::Violation, scenario::Holds},
};

use super::notes::Notes;
use crate::ask::{ArcSeen, ClusterView};

fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let all: Vec<&str> = names.into_iter().collect();
    if all.is_empty() { "nobody".to_owned() } else { all.join(", ") }
}

fn set(names: &[NodeName]) -> BTreeSet<&str> {
    names.iter().map(NodeName::as_str).collect()
}

/// What is instead of a state that is expected now; `None` if it holds.
pub(super) fn now(notes: &Notes, holds: &Holds) -> Option<String> {
    let Some(view) = notes.newest.as_deref() else { return Some("there is no view yet".to_owned()) };
    let of = |home: NodeName| view.arcs.iter().filter(move |arc| arc.home == home.as_str());
    let differs = |differs: bool, instead: String| differs.then_some(instead);
    match holds {
        Holds::Members(members) => {
            let there: BTreeSet<&str> = view.members.iter().map(|member| member.name.as_str()).collect();
            differs(there != set(members), format!("the members are {}", listed(there)))
        }
        Holds::Voters(voters) => {
            let votes = view.members.iter().filter(|member| member.voter);
            let there: BTreeSet<&str> = votes.map(|member| member.name.as_str()).collect();
            differs(there != set(voters), format!("the voters are {}", listed(there)))
        }
        Holds::Primary(by) => by.iter().find_map(|(home, by)| {
            if of(*home).next().is_none() {
                return Some(homeless(*home));
            }
            of(*home).find_map(|arc| {
                if arc.primary != by.as_str() {
                    return Some(format!("an arc of {home} has {} as its primary", arc.primary));
                }
                let served = notes.is_served(view, arc.arc);
                (!served).then(|| format!("arc {} of {home} is not served by {by} now", arc.arc))
            })
        }),
        Holds::Backups(by) => by.iter().find_map(|(home, by)| {
            if of(*home).next().is_none() {
                return Some(homeless(*home));
            }
            let there = |arc: &ArcSeen| arc.in_sync.iter().cloned().collect::<BTreeSet<String>>();
            let other = of(*home).map(there).find(|there| there.iter().map(String::as_str).ne(set(by)))?;
            Some(format!("an arc of {home} is guarded by {}", listed(other.iter().map(String::as_str))))
        }),
        Holds::Links(links) => {
            let there: BTreeSet<(&str, &str)> = view.links().into_keys().collect();
            let told: Vec<String> = there.iter().map(|(from, to)| format!("{from} -> {to}")).collect();
            let expected = links.iter().map(|(from, to)| (from.as_str(), to.as_str())).collect();
            differs(there != expected, format!("the links are {}", told.join(", ")))
        }
        Holds::FullyProtected(expected) => {
            let is = notes.is_protected(view);
            differs(is != *expected, if is { "all is" } else { "not all is" }.to_owned())
        }
        Holds::Recovering(homes) => {
            let there = waiting(view);
            differs(there != set(homes), format!("it is those of {}", listed(there)))
        }
        Holds::LostArcs(count) => differs(view.lost() != *count, format!("{} are", view.lost())),
        _ => None,
    }
}

/// What is said of nothing would hold whatever it says.
fn homeless(home: NodeName) -> String {
    format!("no arc is at home with {home}")
}

fn waiting(view: &ClusterView) -> BTreeSet<&str> {
    view.arcs.iter().filter(|arc| arc.state == "recovering").map(|arc| arc.home.as_str()).collect()
}

/// What is instead of something that is expected of the whole run; `None` if it holds. `found` are the violations so far, `lost`
/// the acknowledged changes of sessions whose every copy was lost.
pub(super) fn of_the_whole(notes: &Notes, found: &[Violation], lost: u64, holds: &Holds) -> Option<String> {
    let violations = |check: &str| found.iter().filter(|violation| violation.check == check).count() as u64;
    let count = |there: u64, expected: u64, what: &str| (there != expected).then(|| format!("{there} {what}"));
    match holds {
        Holds::Lost(expected) => {
            count(lost + violations("acknowledged survives"), *expected, "are, of those acknowledged")
        }
        Holds::Duplicated(expected) => count(violations("applied once"), *expected, "were, or more"),
        Holds::StaleReads(expected) => count(violations("linearizability"), *expected, "were, or more"),
        Holds::Failed(expected) => count(notes.failed, *expected, "did"),
        Holds::PromotedWithin(_) | Holds::ProtectedWithin(_) if notes.losses.is_empty() => {
            Some("no step lost a member".to_owned())
        }
        Holds::PromotedWithin(limit) => notes.losses.iter().find_map(|loss| late(&loss.node, loss.promoted, *limit)),
        Holds::ProtectedWithin(limit) => notes.losses.iter().find_map(|loss| late(&loss.node, loss.protected, *limit)),
        Holds::AvailableWithin(limit) => {
            let longest = notes.longest_wait;
            (longest > *limit).then(|| format!("one waited {longest:.0?}"))
        }
        Holds::Reached(mark) => {
            let reached: Vec<&str> = notes.marks.keys().copied().collect();
            (!reached.contains(&mark.as_str())).then(|| format!("what was reached is: {}", reached.join("; ")))
        }
        _ => None,
    }
}

fn late(node: &str, took: Option<Duration>, limit: Duration) -> Option<String> {
    match took {
        Some(took) if took <= limit => None,
        Some(took) => Some(format!("after the loss of {node} it took {took:.0?}")),
        None => Some(format!("after the loss of {node} it never was")),
    }
}
