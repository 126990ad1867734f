//! Reads the steps of a scenario file: when, and the one thing that each does.

use std::time::Duration;

use toml::de::DeTable;

use crate::{
    id::NodeName,
    sim::scenario::{
        Deed, Step,
        amount::Times,
        deed::Between,
        value::{Findings, Value},
    },
};

const STEP_KEYS: [&str; 25] = [
    "at",
    "kill",
    "power_off",
    "restart",
    "pause",
    "resume",
    "partition",
    "one_way",
    "link_down",
    "link_up",
    "heal",
    "slow",
    "drop",
    "duplicate",
    "reorder",
    "clock_rate",
    "cordon",
    "uncordon",
    "drain",
    "leave",
    "handback",
    "join",
    "recover",
    "dead",
    "clear_lost",
];

pub(super) fn read_step<'t>(table: &'t DeTable<'t>, names: &[NodeName], findings: &mut Findings<'t>) -> Option<Step> {
    let strange = findings.known_keys(table, &STEP_KEYS, "a step");
    let said: Vec<_> =
        table.iter().filter(|(key, _)| key.get_ref() != "at" && STEP_KEYS.contains(&&**key.get_ref())).collect();
    let place = table.keys().next().map_or(0..0, |key| key.span());
    let at = match table.get("at") {
        Some(value) => findings.moment(value),
        None if strange.contains(&Some("at")) => None,
        None => {
            findings.fault(place.clone(), "this step does not say when", "write at = \"5s\"");
            None
        }
    };
    let [(key, value)] = said[..] else {
        // What the strange word was to do, nobody knows; that there is none is said already.
        if said.is_empty() && strange.iter().any(|near| *near != Some("at")) {
            return None;
        }
        let all = STEP_KEYS[1..].join(", ");
        let what = if said.is_empty() { "this step does nothing" } else { "this step does several things" };
        findings.fault(
            said.last().map_or(place, |(key, _)| key.span()),
            what,
            format!("each [[step]] does one of: {all}"),
        );
        return None;
    };
    let deed = read_deed(key.get_ref(), value, names, findings)?;
    Some(Step { at: at?, deed })
}

fn read_deed<'t>(key: &str, value: Value<'t>, names: &[NodeName], findings: &mut Findings<'t>) -> Option<Deed> {
    let several: Option<fn(Vec<NodeName>) -> Deed> = match key {
        "kill" => Some(Deed::Kill),
        "power_off" => Some(Deed::PowerOff),
        "restart" => Some(Deed::Restart),
        "pause" => Some(Deed::Pause),
        "resume" => Some(Deed::Resume),
        "cordon" => Some(Deed::Cordon),
        "uncordon" => Some(Deed::Uncordon),
        "drain" => Some(Deed::Drain),
        "leave" => Some(Deed::Leave),
        "handback" => Some(Deed::HandBack),
        "join" => Some(Deed::Join),
        "recover" => Some(Deed::Recover),
        _ => None,
    };
    if let Some(deed) = several {
        return some_names(value, names, &format!("write {key} = \"a\""), findings).map(deed);
    }
    match key {
        "dead" => findings.name(value, names).map(Deed::Dead),
        "heal" | "clear_lost" => {
            if findings.boolean(value)? {
                return Some(if key == "heal" { Deed::Heal } else { Deed::ClearLost });
            }
            findings.fault(value.span(), "this step does nothing", format!("write {key} = true"));
            None
        }
        "partition" => read_partition(value, names, findings),
        "link_down" | "link_up" => match findings.names(value, names)?[..] {
            [one, other] if one != other => {
                Some(if key == "link_down" { Deed::LinkDown(one, other) } else { Deed::LinkUp(one, other) })
            }
            _ => {
                findings.fault(value.span(), "a link is between two", format!("write {key} = [\"a\", \"b\"]"));
                None
            }
        },
        "one_way" => Some(Deed::OneWay(read_between(value, &["from", "to"], names, findings)?)),
        "slow" => {
            let between = read_between(value, &["from", "to", "delay", "bandwidth"], names, findings)?;
            let table = findings.table(value)?;
            let (delay, bandwidth) = (table.get("delay"), table.get("bandwidth"));
            if delay.is_none() && bandwidth.is_none() {
                let help = "say how much slower: delay = \"50ms\", or bandwidth = \"64KiB\", or both";
                findings.fault(value.span(), "this makes nothing slower", help);
                return None;
            }
            let delay = delay.map_or(Some(Duration::ZERO), |value| findings.time(value, Times::Any))?;
            let bandwidth = match bandwidth {
                Some(value) => Some(findings.bytes(value)?),
                None => None,
            };
            Some(Deed::Slow { between, delay, bandwidth })
        }
        "drop" | "duplicate" => {
            let (between, rate) = match value.get_ref().as_table() {
                Some(table) => {
                    let between = read_between(value, &["from", "to", "rate"], names, findings)?;
                    (between, read_rate(table, value, findings)?)
                }
                None => (Between::default(), findings.real(value, 1.0)?),
            };
            Some(if key == "drop" { Deed::Drop(between, rate) } else { Deed::Duplicate(between, rate) })
        }
        "reorder" => {
            let between = read_between(value, &["from", "to", "rate", "by"], names, findings)?;
            let table = findings.table(value)?;
            let rate = read_rate(table, value, findings)?;
            let by = table.get("by");
            let by = by.map_or(Some(Duration::from_millis(20)), |value| findings.time(value, Times::Any))?;
            Some(Deed::Reorder { between, rate, by })
        }
        "clock_rate" => {
            let table = findings.table(value)?;
            findings.known_keys(table, &["node", "ppm"], "clock_rate");
            let (Some(node), Some(ppm)) = (table.get("node"), table.get("ppm")) else {
                findings.fault(
                    value.span(),
                    "whose clock, and how fast?",
                    "write clock_rate = { node = \"a\", ppm = 400 }",
                );
                return None;
            };
            let (node, ppm) = (findings.name(node, names)?, findings.number(ppm, -1_000..=1_000)?);
            Some(Deed::ClockRate(node, i32::try_from(ppm).expect("in its range")))
        }
        _ => None,
    }
}

/// One name or more: a step for nobody would do nothing, and its scenario would hold for that.
fn some_names<'t>(
    value: Value<'t>,
    names: &[NodeName],
    help: &str,
    findings: &mut Findings<'t>,
) -> Option<Vec<NodeName>> {
    let told = findings.names(value, names)?;
    if told.is_empty() {
        findings.fault(value.span(), "nobody is named here", help);
        return None;
    }
    Some(told)
}

fn read_partition<'t>(value: Value<'t>, names: &[NodeName], findings: &mut Findings<'t>) -> Option<Deed> {
    let mut groups: Vec<Vec<NodeName>> = Vec::new();
    let told = findings.each(value, |f, group| {
        f.each(group, |f, one| Some((f.name(one, names)?, one.span()))).map(|members| (members, group.span()))
    })?;
    let before = findings.faults.len();
    for (members, place) in told {
        if members.is_empty() {
            findings.fault(place, "nobody is in this group", "leave it out: whoever is in none is in one more");
        }
        let group = members.iter().map(|(name, _)| *name).collect();
        for (twice, place) in members {
            if groups.iter().any(|other| other.contains(&twice)) {
                findings.fault(place, format!("`{twice}` is in two groups"), "each node is in one at most");
            }
        }
        groups.push(group);
    }
    if findings.faults.len() > before {
        return None;
    }
    let left_over = names.iter().any(|name| groups.iter().all(|group| !group.contains(name)));
    if groups.len() + usize::from(left_over) < 2 {
        let help = "write [[\"a\", \"b\"], [\"c\"]]: each group hears only itself; whoever is in none is in one more";
        findings.fault(value.span(), "this parts nobody from anybody", help);
        return None;
    }
    Some(Deed::Partition(groups))
}

fn read_rate<'t>(table: &'t DeTable<'t>, whole: Value<'t>, findings: &mut Findings<'t>) -> Option<f64> {
    match table.get("rate") {
        Some(value) => findings.real(value, 1.0),
        None => {
            findings.fault(whole.span(), "how probable is it?", "write rate = 0.1");
            None
        }
    }
}

fn read_between<'t>(
    value: Value<'t>,
    keys: &[&str],
    names: &[NodeName],
    findings: &mut Findings<'t>,
) -> Option<Between> {
    let table = findings.table(value)?;
    findings.known_keys(table, keys, "this");
    let mut side = |key| {
        let help = format!("leave `{key}` out where anybody is meant");
        table.get(key).map_or(Some(vec![]), |value| some_names(value, names, &help, findings))
    };
    let between = Between { from: side("from")?, to: side("to")? };
    if let ([one, from @ ..], [other, to @ ..], Some(place)) = (&between.from[..], &between.to[..], table.get("to"))
        && from.iter().chain(to).chain([other]).all(|name| name == one)
    {
        let help = "name two nodes, or leave one of the two out where anybody is meant";
        findings.fault(place.span(), format!("`{one}` is on both sides: it does not write to itself"), help);
        return None;
    }
    Some(between)
}
