//! Reads the steps of a scenario file: when, and the one thing that each does.

use std::time::Duration;

use toml::de::DeTable;

use crate::{
    config::byte_count,
    id::NodeName,
    sim::scenario::{
        Deed, Step,
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
    findings.known_keys(table, &STEP_KEYS, "a step");
    let said: Vec<_> =
        table.iter().filter(|(key, _)| key.get_ref() != "at" && STEP_KEYS.contains(&&**key.get_ref())).collect();
    let place = table.keys().next().map_or(0..0, |key| key.span());
    let at = match table.get("at") {
        Some(value) => findings.time(value),
        None => {
            findings.fault(place.clone(), "this step does not say when", "write at = \"5s\"");
            None
        }
    };
    let [(key, value)] = said[..] else {
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
        return findings.names(value, names).map(deed);
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
        "partition" => {
            let groups = findings.each(value, |f, group| f.names(group, names))?;
            for (at, group) in groups.iter().enumerate() {
                if let Some(twice) = group.iter().find(|name| groups[..at].iter().any(|other| other.contains(name))) {
                    findings.fault(value.span(), format!("`{twice}` is in two groups"), "each node is in one at most");
                    return None;
                }
            }
            Some(Deed::Partition(groups))
        }
        "link_down" | "link_up" => match findings.names(value, names)?[..] {
            [one, other] if one != other => {
                Some(if key == "link_down" { Deed::LinkDown(one, other) } else { Deed::LinkUp(one, other) })
            }
            _ => {
                findings.fault(value.span(), "a link is between two", format!("write {key} = [\"a\", \"b\"]"));
                None
            }
        },
        "one_way" => Some(Deed::OneWay(read_between(findings.table(value)?, &["from", "to"], names, findings)?)),
        "slow" => {
            let table = findings.table(value)?;
            let between = read_between(table, &["from", "to", "delay", "bandwidth"], names, findings)?;
            let delay = table.get("delay").map_or(Some(Duration::ZERO), |value| findings.time(value))?;
            let bandwidth = match table.get("bandwidth") {
                Some(value) => Some(read_bytes(value, findings)?),
                None => None,
            };
            Some(Deed::Slow { between, delay, bandwidth })
        }
        "drop" | "duplicate" => {
            let (between, rate) = match value.get_ref().as_table() {
                Some(table) => {
                    let between = read_between(table, &["from", "to", "rate"], names, findings)?;
                    (between, read_rate(table, value, findings)?)
                }
                None => (Between::default(), findings.real(value, 1.0)?),
            };
            Some(if key == "drop" { Deed::Drop(between, rate) } else { Deed::Duplicate(between, rate) })
        }
        "reorder" => {
            let table = findings.table(value)?;
            let between = read_between(table, &["from", "to", "rate", "by"], names, findings)?;
            let rate = read_rate(table, value, findings)?;
            let by = table.get("by").map_or(Some(Duration::from_millis(20)), |value| findings.time(value))?;
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

fn read_bytes<'t>(value: Value<'t>, findings: &mut Findings<'t>) -> Option<u64> {
    let told = value.get_ref().as_str().and_then(byte_count).filter(|bytes| *bytes > 0);
    if told.is_none() {
        findings.fault(value.span(), "this is no number of bytes", "write \"64KiB\" or \"1MiB\": so many a second");
    }
    told
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
    table: &'t DeTable<'t>,
    keys: &[&str],
    names: &[NodeName],
    findings: &mut Findings<'t>,
) -> Option<Between> {
    findings.known_keys(table, keys, "this");
    let mut side = |key| table.get(key).map_or(Some(vec![]), |value| findings.names(value, names));
    let (from, to) = (side("from")?, side("to")?);
    Some(Between { from, to })
}
