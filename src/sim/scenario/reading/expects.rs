//! Reads the expectations of a scenario file: when, and what must be.

use std::collections::BTreeMap;

use toml::de::DeTable;

use crate::{
    id::NodeName,
    sim::scenario::{
        Expectation, Holds, When,
        fault::position,
        value::{Findings, Value},
    },
};

const EXPECT_KEYS: [&str; 18] = [
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
    "reached",
];

pub(super) fn read_expect<'t>(
    table: &'t DeTable<'t>,
    names: &[NodeName],
    expects: &mut Vec<Expectation>,
    findings: &mut Findings<'t>,
) {
    findings.known_keys(table, &EXPECT_KEYS, "an expectation");
    let place = table.keys().next().map_or(0..0, |key| key.span());
    let finally = table.get("finally").map(|value| findings.boolean(value));
    let when = match (table.get("at"), finally) {
        (Some(value), None) => findings.time(value).map(When::At),
        (None, Some(Some(true))) => Some(When::Finally),
        _ => {
            findings.fault(place.clone(), "when is this expected?", "write at = \"7s\" or finally = true");
            None
        }
    };
    let before = expects.len();
    for (key, value) in table {
        let Some(holds) = read_holds(key.get_ref(), value, names, findings) else { continue };
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
        "promoted_within" => Holds::PromotedWithin(findings.time(value)?),
        "protected_within" => Holds::ProtectedWithin(findings.time(value)?),
        "available_within" => Holds::AvailableWithin(findings.time(value)?),
        "reached" => Holds::Reached(findings.text(value)?),
        _ => return None,
    })
}

fn read_map<'t, T>(
    value: Value<'t>,
    names: &[NodeName],
    findings: &mut Findings<'t>,
    mut one: impl FnMut(&mut Findings<'t>, Value<'t>) -> Option<T>,
) -> Option<BTreeMap<NodeName, T>> {
    let mut map = BTreeMap::new();
    for (name, value) in findings.table(value)? {
        let node = NodeName::new(name.get_ref())?;
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
