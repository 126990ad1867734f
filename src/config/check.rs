//! What must hold between the keys of a configuration, and each key's range.
//!
//! The same for a file and for a built configuration: it sees plain structs, knows no lines, and names the keys that each
//! finding rests on, the one to blame first.

use std::{collections::BTreeMap, time::Duration};

use crate::membership::{Agreement, Role};

use super::{
    NODES_MAX,
    cluster::ClusterConfig,
    error::Wrong,
    file::voters,
    key::{Key, Rule},
    limits::FRAME_OVERHEAD,
    node::NodeConfig,
    note::Advice,
    place::Spot,
};

/// Connections that each other node keeps to a node: control, data, heartbeats.
const LANES: usize = 3;

/// Something found, and the keys that it rests on. Where a file does not write the first, the next that it writes is shown.
pub(super) struct Found<T> {
    pub(super) spots: Vec<Spot>,
    pub(super) what: T,
}

/// Everything that is wrong between values that each may be read.
pub(super) fn faults(cluster: &ClusterConfig, nodes: &[NodeConfig]) -> Vec<Found<Wrong>> {
    let mut found = Vec::new();
    ranges(cluster, nodes, &mut found);
    durations(cluster, &mut found);
    limits(cluster, nodes, &mut found);
    uniqueness(nodes, &mut found);
    addresses(cluster, nodes, &mut found);
    if nodes.len() > NODES_MAX {
        blame(&mut found, &[Spot { key: "node", ..Spot::FILE }], Wrong::TooManyNodes { nodes: nodes.len() });
    } else if !nodes.is_empty() && nodes.iter().all(|node| node.role != Role::Host) {
        blame(&mut found, &(0..nodes.len()).map(|i| Spot::node(i, "role")).collect::<Vec<_>>(), Wrong::NoHost);
    }
    found
}

fn blame(found: &mut Vec<Found<Wrong>>, spots: &[Spot], what: Wrong) {
    found.push(Found { spots: spots.to_vec(), what });
}

fn number(size: usize) -> u64 {
    u64::try_from(size).unwrap_or(u64::MAX)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Ranges. The reader has checked those of a file; a built configuration comes only here.
fn ranges(cluster: &ClusterConfig, nodes: &[NodeConfig], found: &mut Vec<Found<Wrong>>) {
    let c = cluster;
    let l = &cluster.limits;
    let in_cluster = [
        ("arcs", u64::from(c.arcs)),
        ("backups", u64::from(c.backups)),
        ("spread", u64::from(c.spread)),
        ("heartbeat", millis(c.heartbeat)),
        ("suspect_after", millis(c.suspect_after)),
        ("lease", millis(c.lease)),
        ("voters_max", u64::from(c.voters_max)),
        ("startup_timeout", millis(c.startup_timeout)),
        ("max_hops", u64::from(c.max_hops)),
        ("reply_keep", millis(c.reply_keep)),
    ];
    let in_limits = [
        ("value", number(l.value)),
        ("frame", number(l.frame)),
        ("window_bytes", number(l.window_bytes)),
        ("queue", number(l.queue)),
        ("dedicated", number(l.dedicated)),
        ("tasks", number(l.tasks)),
        ("connections", number(l.connections)),
        ("unauthenticated", number(l.unauthenticated)),
        ("handshake", millis(l.handshake)),
        ("replies_per_client", number(l.replies_per_client)),
        ("clients_per_session", number(l.clients_per_session)),
        ("calls", number(l.calls)),
        ("subscribers", number(l.subscribers)),
        ("catch_up_chunk", number(l.catch_up_chunk)),
        ("catch_up_chunks", number(l.catch_up_chunks)),
        ("hand_backs", number(l.hand_backs)),
        ("uncommitted", number(l.uncommitted)),
        ("waiting", number(l.waiting)),
        ("idle_after", millis(l.idle_after)),
        ("live", number(l.live)),
        ("ack_after", millis(l.ack_after)),
        ("shun", millis(l.shun)),
    ];
    let spotted = in_cluster.map(|(key, n)| (Spot::cluster(key), n));
    let in_nodes = nodes.iter().enumerate().map(|(i, node)| (Spot::node(i, "weight"), u64::from(node.weight)));
    let in_limits = in_limits.map(|(key, n)| (Spot::limits(key), n));
    for (spot, value) in spotted.into_iter().chain(in_limits).chain(in_nodes) {
        let rule = Key::find(spot.section, spot.key).expect("each of the names above is in KEYS").rule;
        if !rule.allows(value) {
            blame(found, &[spot], Wrong::NotAllowed { value: rule.spell(value) });
        }
    }
    let mut text = |spot: Spot, value: &str| {
        let rule = Key::find(spot.section, spot.key).expect("each of the names below is in KEYS").rule;
        if matches!(rule, Rule::Text { fits, .. } if !fits(value)) {
            blame(found, &[spot], Wrong::NotAllowed { value: clipped(value) });
        }
    };
    text(Spot::cluster("name"), &c.name);
    for (i, node) in nodes.iter().enumerate() {
        if let Some(zone) = &node.zone {
            text(Spot::node(i, "zone"), zone);
        }
        if let Some(url) = &node.public_url {
            text(Spot::node(i, "public_url"), url);
        }
    }
}

fn durations(c: &ClusterConfig, found: &mut Vec<Found<Wrong>>) {
    let (heartbeat, suspect_after, lease, reply_keep) = (c.heartbeat, c.suspect_after, c.lease, c.reply_keep);
    let at = |keys: [&'static str; 2]| keys.map(Spot::cluster);
    if lease >= suspect_after {
        blame(found, &at(["lease", "suspect_after"]), Wrong::LeaseTooLong { lease, suspect_after });
    }
    if lease < heartbeat.saturating_mul(2) {
        blame(found, &at(["lease", "heartbeat"]), Wrong::LeaseTooShort { lease, heartbeat });
    }
    if heartbeat.saturating_mul(3) > suspect_after {
        blame(found, &at(["heartbeat", "suspect_after"]), Wrong::HeartbeatTooSlow { heartbeat, suspect_after });
    }
    if reply_keep <= suspect_after {
        blame(found, &at(["reply_keep", "suspect_after"]), Wrong::ReplyKeepTooShort { reply_keep, suspect_after });
    }
}

fn limits(c: &ClusterConfig, nodes: &[NodeConfig], found: &mut Vec<Found<Wrong>>) {
    let l = &c.limits;
    let lanes = LANES * nodes.len().saturating_sub(1);
    let wanted = [
        ("frame", l.frame, l.value.saturating_add(FRAME_OVERHEAD), "value", "a value and 64 KiB must fit into a frame"),
        ("window_bytes", l.window_bytes, l.frame, "frame", "the largest frame could never be sent"),
        ("connections", l.connections, l.unauthenticated, "unauthenticated", "it counts `unauthenticated` ones too"),
        ("connections", l.connections, lanes, "connections", "each other node of the cluster keeps three"),
        ("frame", l.frame, l.catch_up_chunk, "catch_up_chunk", "a `catch_up_chunk` must fit into a frame"),
    ];
    if l.shun < l.ack_after {
        let because = "a backup would be taken back before it could be found slow again";
        let spots = ["shun", "ack_after"].map(Spot::limits);
        blame(found, &spots, Wrong::LimitTooSmall { at_least: millis(l.ack_after), because });
    }
    for (key, value, at_least, other, because) in wanted {
        if value < at_least {
            let spots = [key, other].map(Spot::limits);
            blame(found, &spots, Wrong::LimitTooSmall { at_least: number(at_least), because });
        }
    }
}

fn uniqueness(nodes: &[NodeConfig], found: &mut Vec<Found<Wrong>>) {
    let mut names = BTreeMap::new();
    let mut addresses = BTreeMap::new();
    for (i, node) in nodes.iter().enumerate() {
        let spot = Spot::node(i, "name");
        let first = *names.entry(node.name).or_insert(spot);
        if first != spot {
            let value = node.name.to_string();
            blame(found, &[spot, first], Wrong::Duplicate { value, first, first_line: None });
        }
        for (key, address) in node.addresses() {
            let spot = Spot::node(i, key);
            let first = *addresses.entry(address.canonical()).or_insert(spot);
            if first != spot {
                let value = address.to_string();
                blame(found, &[spot, first], Wrong::Duplicate { value, first, first_line: None });
            }
        }
    }
}

fn addresses(c: &ClusterConfig, nodes: &[NodeConfig], found: &mut Vec<Found<Wrong>>) {
    for (i, node) in nodes.iter().enumerate() {
        let bind = node.bind.iter().map(|address| ("bind", address));
        for (key, address) in node.addresses().chain(bind) {
            let spot = Spot::node(i, key);
            if key == "cluster" && address.is_unspecified() {
                blame(found, &[spot], Wrong::NotDialable { address: address.to_string() });
            } else if !c.insecure && !address.is_loopback() {
                blame(found, &[spot, Spot::cluster("insecure")], Wrong::NeedsTls { address: address.to_string() });
            }
        }
    }
}

/// What is allowed but worth saying; asked only when nothing is wrong.
pub(super) fn notes(cluster: &ClusterConfig, nodes: &[NodeConfig]) -> Vec<Found<Advice>> {
    let mut found = Vec::new();
    let mut note = |spot, what| found.push(Found { spots: vec![spot], what });
    let holders = nodes.iter().filter(|node| node.holds_copies()).count();
    let backups = cluster.backups;
    if backups == 0 {
        note(Spot::cluster("backups"), Advice::NoBackups);
    } else if usize::from(backups) >= holders {
        note(Spot::cluster("backups"), Advice::FewerCopies { backups, holders });
    }
    let voters = voters(cluster, nodes);
    if voters.len() == 2 && cluster.agreement == Agreement::Majority {
        note(Spot::cluster("agreement"), Advice::TwoVoters);
    }
    for (i, node) in nodes.iter().enumerate() {
        if node.role == Role::Witness && !voters.contains(&node.name) {
            note(Spot::node(i, "role"), Advice::IdleWitness(node.name));
        }
    }
    let outside = nodes.iter().flat_map(NodeConfig::addresses).any(|(_, address)| !address.is_loopback());
    if outside && cluster.secret.as_bytes() == b"change-me" {
        note(Spot::cluster("secret"), Advice::ExampleSecret);
    }
    // Said once: one password is what all of them lack.
    let open = nodes.iter().position(|node| node.redis.as_ref().is_some_and(|address| !address.is_loopback()));
    if let (Some(i), None) = (open, &cluster.redis_password) {
        note(Spot::node(i, "redis"), Advice::OpenRedis(nodes[i].name));
    }
    found
}

/// A value for an error: quoted, and cut where nobody would read on.
pub(super) fn clipped(value: &str) -> String {
    const CLIP: usize = 60;
    let cut: String = value.chars().take(CLIP).collect();
    if cut.len() < value.len() { format!("{cut:?} and more") } else { format!("{cut:?}") }
}
