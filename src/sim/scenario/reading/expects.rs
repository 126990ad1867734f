//! Reads the expectations of a scenario file: when, and what must be.

use std::collections::BTreeMap;

use toml::de::DeTable;

use crate::{
    config::nearest,
    id::NodeName,
    sim::{
        run::{MARKS, OTHER_MARKS, is_mark},
        scenario::{
            Expectation, Holds, When,
            amount::Times,
            fault::position,
            value::{Findings, Value},
        },
    },
};

const EXPECT_KEYS: [&str; 19] = [
    "at",
    "finally",
    "members",
    "voters",
    "primary",
    "backups",
    "links",
    "fully_protected",
    "recovering",
    "lost_arcs",
    "lost",
    "duplicated",
    "stale_reads",
    "failed",
    "promoted_within",
    "protected_within",
    "available_within",
    "ended_within",
    "reached",
];

/// What a file says besides, as far as expectations depend on it.
pub(super) struct Around<'n> {
    /// Everybody who may run.
    pub(super) names: &'n [NodeName],
    /// Whether anything in the file makes a node be lost.
    pub(super) loses_nodes: bool,
    /// Whether sessions end by themselves.
    pub(super) ends_sessions: bool,
}

pub(super) fn read_expect<'t>(
    table: &'t DeTable<'t>,
    around: &Around<'_>,
    expects: &mut Vec<Expectation>,
    findings: &mut Findings<'t>,
) {
    let strange = findings.known_keys(table, &EXPECT_KEYS, "an expectation");
    let place = table.keys().next().map_or(0..0, |key| key.span());
    let finally = table.get("finally").map(|value| findings.boolean(value));
    let when = match (table.get("at"), finally) {
        (Some(value), None) => findings.moment(value).map(When::At),
        (None, Some(Some(true))) => Some(When::Finally),
        (None, None) if strange.iter().any(|near| matches!(near, Some("at" | "finally"))) => None,
        _ => {
            findings.fault(place.clone(), "when is this expected?", "write at = \"7s\" or finally = true");
            None
        }
    };
    let before = expects.len();
    for (key, value) in table {
        let Some(holds) = read_holds(key.get_ref(), value, around.names, findings) else { continue };
        if matches!(holds, Holds::PromotedWithin(_) | Holds::ProtectedWithin(_)) && !around.loses_nodes {
            let help = "it needs a step that loses a node (kill, power_off, restart, pause), or a [swarm]";
            findings.fault(key.span(), "no node is lost in this file, so this holds whatever happens", help);
        }
        if matches!(holds, Holds::EndedWithin(_)) && !around.ends_sessions {
            findings.fault(key.span(), "no session has an end in this file", "say so: [workload] lifetimes = \"1s\"");
        }
        let Some(when) = when else { continue };
        if holds.is_of_the_whole() && when != When::Finally {
            findings.fault(key.span(), format!("`{}` is about the whole run", key.get_ref()), "write finally = true");
        }
        let line = position(findings.text, key.span().start).0;
        expects.push(Expectation { when, holds, line });
    }
    if expects.len() == before && findings.faults.is_empty() {
        let all = EXPECT_KEYS[2..].join(", ");
        findings.fault(place, "nothing is expected here", format!("expect one or more of: {all}"));
    }
}

fn read_holds<'t>(key: &str, value: Value<'t>, names: &[NodeName], findings: &mut Findings<'t>) -> Option<Holds> {
    let count = |findings: &mut Findings<'t>| {
        findings.number(value, 0..=i64::from(u32::MAX)).map(|n| u64::try_from(n).expect("in its range"))
    };
    Some(match key {
        "members" => Holds::Members(findings.names(value, names)?),
        "voters" => Holds::Voters(findings.names(value, names)?),
        "primary" => Holds::Primary(read_map(value, names, findings, |f, one| f.name(one, names))?),
        "backups" => Holds::Backups(read_map(value, names, findings, |f, one| f.names(one, names))?),
        "links" => Holds::Links(findings.each(value, |f, one| read_link(one, names, f))?),
        "fully_protected" => Holds::FullyProtected(findings.boolean(value)?),
        "recovering" => Holds::Recovering(findings.names(value, names)?),
        "lost_arcs" => Holds::LostArcs(usize::try_from(count(findings)?).expect("a u32")),
        "lost" => Holds::Lost(count(findings)?),
        "duplicated" => Holds::Duplicated(count(findings)?),
        "stale_reads" => Holds::StaleReads(count(findings)?),
        "failed" => Holds::Failed(count(findings)?),
        "promoted_within" => Holds::PromotedWithin(findings.time(value, Times::OfTheRun)?),
        "protected_within" => Holds::ProtectedWithin(findings.time(value, Times::OfTheRun)?),
        "available_within" => Holds::AvailableWithin(findings.time(value, Times::OfTheRun)?),
        "ended_within" => Holds::EndedWithin(findings.time(value, Times::OfTheRun)?),
        "reached" => Holds::Reached(read_mark(value, findings)?),
        _ => return None,
    })
}

/// A branch that a run can reach. Any other word would never be reached, and the file would only be told so after its runs.
fn read_mark<'t>(value: Value<'t>, findings: &mut Findings<'t>) -> Option<String> {
    let told = findings.text(value)?;
    if !is_mark(&told) {
        let listed = "simulations/README.md lists them all under \"Branches\"";
        let help = match nearest(&told, MARKS.into_iter().chain(OTHER_MARKS)) {
            Some(near) => format!("did you mean \"{near}\"? {listed}"),
            None => listed.to_owned(),
        };
        findings.fault(value.span(), "no run reaches a branch of this name", help);
        return None;
    }
    Some(told)
}

fn read_map<'t, T>(
    value: Value<'t>,
    names: &[NodeName],
    findings: &mut Findings<'t>,
    mut one: impl FnMut(&mut Findings<'t>, Value<'t>) -> Option<T>,
) -> Option<BTreeMap<NodeName, T>> {
    let mut map = BTreeMap::new();
    let table = findings.table(value)?;
    if table.is_empty() {
        findings.fault(value.span(), "this is about nobody, so it holds whatever happens", "write { a = ... }");
        return None;
    }
    for (name, value) in table {
        let Some(node) = NodeName::new(name.get_ref()) else {
            findings.fault(name.span(), "this is no name of a node", "");
            return None;
        };
        map.insert(findings.known(node, name.span(), names)?, one(findings, value)?);
    }
    Some(map)
}

fn read_link<'t>(value: Value<'t>, names: &[NodeName], findings: &mut Findings<'t>) -> Option<(NodeName, NodeName)> {
    let told = value.get_ref().as_str().and_then(|text| text.split_once("->"));
    let Some((from, to)) = told.and_then(|(from, to)| NodeName::new(from.trim()).zip(NodeName::new(to.trim()))) else {
        findings.fault(value.span(), "this is no link", "write \"a -> b\": a is primary, b its in-sync backup");
        return None;
    };
    let from = findings.known(from, value.span(), names)?;
    Some((from, findings.known(to, value.span(), names)?))
}
