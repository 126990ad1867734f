//! Reads the text of a scenario file, and tells all that is wrong with it.
//!
//! It goes on after a fault as far as it can; a scenario with any fault is thrown away.

mod expects;
mod steps;

use std::{collections::BTreeMap, time::Duration};

use toml::de::DeTable;

use self::{
    expects::{Around, read_expect},
    steps::read_step,
};
use super::{
    AFTER_THE_LAST, ClusterPlan, FILE_MAX, LASTS_MAX, NODES_MAX, NodePlan, STEPS_MAX, Scenario, ScenarioError, Step,
    Swarm, Work,
    amount::{Times, spelt},
    fault::position,
    value::{Findings, Value},
};
use crate::{
    id::NodeName,
    membership::{Agreement, Pin, Role},
    sim::run::Mix,
};

const FILE_KEYS: [&str; 8] = ["about", "engine", "lasts", "cluster", "workload", "step", "expect", "swarm"];
const CLUSTER_KEYS: [&str; 17] = [
    "nodes",
    "roles",
    "zones",
    "arcs",
    "backups",
    "spread",
    "pin",
    "agreement",
    "voters_max",
    "data_dirs",
    "delay",
    "jitter",
    "drop",
    "duplicate",
    "proof",
    "clocks_apart",
    "clock_drift",
];
const WORK_KEYS: [&str; 10] =
    ["sessions", "clients", "pause", "try_for", "mix", "skew", "lifetimes", "persist", "keep_end", "together"];
const ENGINES: [(&str, bool); 1] = [("sim", true)];
const AGREEMENTS: [(&str, Agreement); 2] =
    [("majority", Agreement::Majority), ("majority_or_proof", Agreement::MajorityOrProof)];
const ROLES: [(&str, Role); 4] =
    [("host", Role::Host), ("backup_only", Role::BackupOnly), ("edge", Role::Edge), ("witness", Role::Witness)];

impl Scenario {
    /// Reads a scenario; `name` is what it is called, `file` what its faults are told of.
    ///
    /// # Errors
    /// All that is wrong with it, by line and column. Nothing has run.
    pub fn from_text(name: &str, file: &str, text: &str) -> Result<Self, ScenarioError> {
        let parsed = DeTable::parse(text);
        let mut findings = Findings::new(text);
        let read = if text.len() > FILE_MAX {
            findings.fault(0..0, "the file is too long", format!("at most {FILE_MAX} bytes"));
            None
        } else {
            match &parsed {
                Ok(root) => read(name, root.get_ref(), &mut findings),
                Err(error) => {
                    let span = error.span().unwrap_or(0..0);
                    findings.fault(span, error.message().to_owned(), "this is no TOML");
                    None
                }
            }
        };
        match read {
            Some(scenario) if findings.faults.is_empty() => Ok(scenario),
            _ => Err(ScenarioError::new(file, text, findings.faults)),
        }
    }
}

fn read<'t>(name: &str, root: &'t DeTable<'t>, findings: &mut Findings<'t>) -> Option<Scenario> {
    findings.known_keys(root, &FILE_KEYS, "a scenario");
    let about = match root.get("about") {
        Some(value) => findings.text(value),
        None => {
            let help = "begin with about = \"what cannot talk to what, and what must follow\"";
            findings.fault(0..0, "it does not say what it is about", help);
            None
        }
    };
    let simulated_only = root.get("engine").and_then(|value| findings.choice(value, &ENGINES)).unwrap_or(false);
    let Some(cluster) = root.get("cluster") else {
        findings.fault(0..0, "there is no [cluster]", "write [cluster] and nodes = [\"a\", \"b\", \"c\", \"d\"]");
        return None;
    };
    let cluster = read_cluster(findings.table(cluster)?, findings)?;
    let listed: Vec<NodeName> = cluster.nodes.iter().map(|node| node.name).collect();
    let names = with_newcomers(root, listed, findings);
    let work = root.get("workload").and_then(|value| findings.table(value));
    let work = work.map_or_else(|| Some(Work::default()), |table| read_work(table, findings));
    let mut steps = Vec::new();
    for table in tables(root, "step", findings) {
        steps.extend(read_step(table, &names, findings));
    }
    let mut expects = Vec::new();
    // Where a word is wrong, it may be the one that was to lose a node.
    let loses_nodes = !findings.faults.is_empty() || loses_nodes(root);
    let ends_sessions = work.as_ref().is_none_or(|work| work.lifetimes.is_some());
    let around = Around { names: &names, loses_nodes, ends_sessions };
    for table in tables(root, "expect", findings) {
        read_expect(table, &around, &mut expects, findings);
    }
    let swarm = root.get("swarm").and_then(|value| findings.table(value));
    let swarm = swarm.map(|table| read_swarm(table, findings));
    steps.sort_by_key(|step: &Step| step.at);
    let lasts = read_length(root, findings);
    let swarm = swarm.flatten();
    Some(Scenario {
        name: name.to_owned(),
        about: about?,
        simulated_only,
        cluster,
        work: work?,
        steps,
        expects,
        swarm,
        lasts: lasts?,
    })
}

/// The nodes of the file, and those that a step lets join. One too many is told where it stands.
fn with_newcomers<'t>(root: &'t DeTable<'t>, mut names: Vec<NodeName>, findings: &mut Findings<'t>) -> Vec<NodeName> {
    let listed =
        root.get("cluster").and_then(|cluster| cluster.get_ref().as_table()?.get("nodes")?.get_ref().as_array());
    let mut one_more = listed.and_then(|list| list.get(NODES_MAX)).map(|node| node.span());
    let mut unheard = Findings::new(findings.text);
    for table in tables(root, "step", &mut unheard) {
        let joining = table.get("join").and_then(|value| unheard.each(value, |f, one| Some((f.new_name(one)?, one))));
        for (name, value) in joining.into_iter().flatten() {
            if !names.contains(&name) {
                names.push(name);
                if names.len() > NODES_MAX && one_more.is_none() {
                    one_more = Some(value.span());
                }
            }
        }
    }
    if let Some(span) = one_more {
        let what = format!("there are {} nodes, and this is number {}", names.len(), NODES_MAX + 1);
        findings.fault(span, what, format!("at most {NODES_MAX}, with those that join"));
    }
    names
}

/// Whether anything in the file may make a node be lost.
fn loses_nodes(root: &DeTable<'_>) -> bool {
    let steps = root.get("step").and_then(|steps| steps.get_ref().as_array());
    let mut steps = steps.into_iter().flatten().filter_map(|step| step.get_ref().as_table());
    root.contains_key("swarm")
        || steps.any(|step| ["kill", "power_off", "restart", "pause"].iter().any(|key| step.contains_key(*key)))
}

/// The tables of an array of tables; none where there are none.
fn tables<'t>(root: &'t DeTable<'t>, key: &str, findings: &mut Findings<'t>) -> Vec<&'t DeTable<'t>> {
    let Some(value) = root.get(key) else { return Vec::new() };
    let Some(list) = value.get_ref().as_array() else {
        findings.fault(value.span(), format!("`{key}` is no list of tables"), format!("write [[{key}]]"));
        return Vec::new();
    };
    if list.len() > STEPS_MAX {
        findings.fault(value.span(), format!("there are too many [[{key}]]"), format!("at most {STEPS_MAX}"));
        return Vec::new();
    }
    list.iter().filter_map(|item| findings.table(item)).collect()
}

fn read_cluster<'t>(table: &'t DeTable<'t>, findings: &mut Findings<'t>) -> Option<ClusterPlan> {
    findings.known_keys(table, &CLUSTER_KEYS, "[cluster]");
    let mut plan = ClusterPlan::default();
    let Some(nodes) = table.get("nodes") else {
        findings.fault(0..0, "[cluster] names no nodes", "write nodes = [\"a\", \"b\", \"c\", \"d\"], in ring order");
        return None;
    };
    let mut names = Vec::new();
    for (name, place) in findings.each(nodes, |f, one| Some((f.new_name(one)?, one.span())))? {
        if names.contains(&name) {
            findings.fault(place, format!("`{name}` is there twice"), "each node has a name of its own");
        }
        names.push(name);
        plan.nodes.push(NodePlan { name, role: Role::Host, zone: None });
    }
    let roles = by_name(table, "roles", &names, findings, |f, value| f.choice(value, &ROLES));
    let zones = by_name(table, "zones", &names, findings, |f, value| f.text(value));
    for node in &mut plan.nodes {
        node.role = roles.get(&node.name).copied().unwrap_or_default();
        node.zone = zones.get(&node.name).cloned();
    }
    if !plan.nodes.iter().any(|node| node.role == Role::Host) {
        findings.fault(
            nodes.span(),
            "none of the nodes is a host",
            "name at least one whose role is host, as it is by default",
        );
    }
    let mut number = |key, range, field: &mut dyn FnMut(i64)| {
        if let Some(told) = table.get(key).and_then(|value| findings.number(value, range)) {
            field(told);
        }
    };
    number("arcs", 1..=1_024, &mut |n| plan.arcs = u16::try_from(n).expect("in its range"));
    number("backups", 0..=3, &mut |n| plan.backups = u8::try_from(n).expect("in its range"));
    number("spread", 1..=8, &mut |n| plan.spread = u8::try_from(n).expect("in its range"));
    number("voters_max", 1..=7, &mut |n| plan.voters_max = u8::try_from(n).expect("in its range"));
    number("clock_drift", 0..=1_000, &mut |n| plan.clock_drift = u32::try_from(n).expect("in its range"));
    let pins = Pin::ALL.map(|pin| (pin.name(), pin));
    if let Some(pin) = table.get("pin").and_then(|value| findings.choice(value, &pins)) {
        plan.pin = pin;
    }
    if let Some(agreement) = table.get("agreement").and_then(|value| findings.choice(value, &AGREEMENTS)) {
        plan.agreement = agreement;
    }
    if let Some(told) = table.get("data_dirs").and_then(|value| findings.boolean(value)) {
        plan.data_dirs = told;
    }
    for (key, field) in [("delay", &mut plan.delay), ("jitter", &mut plan.jitter)] {
        if let Some(told) = table.get(key).and_then(|value| findings.time(value, Times::Short)) {
            *field = told;
        }
    }
    if let Some(told) = table.get("clocks_apart").and_then(|value| findings.time(value, Times::Any)) {
        plan.clocks_apart = told;
    }
    for (key, field) in [("drop", &mut plan.drop), ("duplicate", &mut plan.duplicate)] {
        if let Some(told) = table.get(key).and_then(|value| findings.real(value, 1.0)) {
            *field = told;
        }
    }
    if let Some(value) = table.get("proof") {
        let never = value.get_ref().as_str() == Some("never");
        let before = findings.faults.len();
        plan.proof = if never { None } else { findings.time(value, Times::Any) };
        for fault in &mut findings.faults[before..] {
            fault.help = fault.help.take().map(|help| format!("{help}; or \"never\""));
        }
    }
    Some(plan)
}

/// A table from nodes to something.
fn by_name<'t, T>(
    table: &'t DeTable<'t>,
    key: &str,
    known: &[NodeName],
    findings: &mut Findings<'t>,
    mut one: impl FnMut(&mut Findings<'t>, Value<'t>) -> Option<T>,
) -> BTreeMap<NodeName, T> {
    let mut told = BTreeMap::new();
    for (name, value) in table.get(key).and_then(|value| findings.table(value)).into_iter().flatten() {
        let node = NodeName::new(name.get_ref());
        let Some(node) = node.and_then(|node| findings.known(node, name.span(), known)) else {
            if node.is_none() {
                findings.fault(name.span(), "this is no name of a node", "");
            }
            continue;
        };
        if let Some(value) = one(findings, value) {
            told.insert(node, value);
        }
    }
    told
}

fn read_work<'t>(table: &'t DeTable<'t>, findings: &mut Findings<'t>) -> Option<Work> {
    findings.known_keys(table, &WORK_KEYS, "[workload]");
    let mut work = Work::default();
    let sessions = table.get("sessions").map_or(Some(8), |value| findings.number(value, 1..=10_000))?;
    let clients = table.get("clients").map_or(Some(4), |value| findings.number(value, 0..=64))?;
    work.sessions = u32::try_from(sessions).expect("in its range");
    work.clients = u32::try_from(clients).expect("in its range");
    for (key, field) in [("pause", &mut work.pause), ("try_for", &mut work.try_for)] {
        if let Some(value) = table.get(key) {
            *field = findings.time(value, Times::Any)?;
        }
    }
    if let Some(value) = table.get("lifetimes") {
        work.lifetimes = Some(findings.time(value, Times::Any)?);
    }
    for (key, field) in
        [("persist", &mut work.persist), ("keep_end", &mut work.keep_end), ("together", &mut work.together)]
    {
        if let Some(value) = table.get(key) {
            *field = findings.real(value, 1.0)?;
            if key != "together" && work.lifetimes.is_none() {
                let help = "say how long sessions live: lifetimes = \"1s\"";
                findings.fault(value.span(), "no session has an end here", help);
            }
        }
    }
    if let Some(value) = table.get("keep_end").filter(|_| work.persist + work.keep_end > 1.0) {
        findings.fault(value.span(), "together with `persist` this is more than all writes", "let them be at most 1");
    }
    if let Some(value) = table.get("skew") {
        work.skew = findings.real(value, 4.0)?;
    }
    if let Some(value) = table.get("mix") {
        let mix = findings.table(value)?;
        let kinds = ["write", "read", "create", "delete"];
        findings.known_keys(mix, &kinds, "mix");
        for (kind, field) in kinds.iter().zip(&mut work.mix) {
            let share = mix.get(*kind).map_or(Some(0), |value| findings.number(value, 0..=100))?;
            *field = u32::try_from(share).expect("in its range");
        }
        if work.mix.iter().sum::<u32>() == 0 {
            findings.fault(value.span(), "nobody does anything", "write mix = { write = 60, read = 40 }");
        }
    }
    Some(work)
}

fn read_swarm<'t>(table: &'t DeTable<'t>, findings: &mut Findings<'t>) -> Option<Swarm> {
    findings.known_keys(table, &["mix", "from", "until"], "[swarm]");
    let mixes = Mix::ALL.map(|mix| (mix.name(), mix));
    let mix = match table.get("mix") {
        Some(value) => Some(findings.choice(value, &mixes)?),
        None => None,
    };
    let from = table.get("from").map_or(Some(Duration::from_millis(1_200)), |value| findings.moment(value))?;
    let until = match table.get("until") {
        Some(value) => {
            let until = findings.moment(value)?;
            if until <= from {
                findings.fault(value.span(), "it ends before it begins", "let until be later than from");
            }
            until
        }
        None => {
            let until = from + Duration::from_secs(5);
            findings.last_word(until, table.get("from").map_or(0..0, |value| value.span()));
            until
        }
    };
    Some(Swarm { mix, from, until })
}

/// How long it lasts, as the file says it, or some seconds more than its last word.
fn read_length<'t>(root: &'t DeTable<'t>, findings: &mut Findings<'t>) -> Option<Duration> {
    let (last, place) = findings.last.clone().unwrap_or_default();
    let Some(value) = root.get("lasts") else {
        let lasts = last + AFTER_THE_LAST;
        if lasts > LASTS_MAX {
            let most = spelt(LASTS_MAX);
            let what = format!("with the {} after this it lasts {lasts:?}", spelt(AFTER_THE_LAST));
            findings.fault(place, what, format!("at most {most}: let it be earlier, or write lasts = \"{most}\""));
        }
        return Some(lasts);
    };
    let lasts = findings.time(value, Times::OfTheRun)?;
    if lasts < last {
        let line = position(findings.text, place.start).0;
        let what = format!("it is over before its last word, at {last:?} in line {line}");
        findings.fault(value.span(), what, "let it last longer");
    }
    Some(lasts)
}
