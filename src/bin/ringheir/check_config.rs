//! `ringheir check-config FILE`: is this cluster file right, and what does it say?
//!
//! Reads the file as a node would, the environment's secret included, and dials nobody.

use std::{collections::BTreeMap, fmt::Write as _, path::PathBuf, process::ExitCode};

use clap::Args;
use ringheir::{
    config::{Address, ClusterFile, ConfigError},
    id::NodeName,
    membership::{Agreement, Role},
};
use serde_json::{Value, json};

use crate::{
    COULD_NOT_RUN,
    ask::{print, tell},
    plan::on_paper,
};

#[derive(Args)]
pub(crate) struct CheckConfig {
    /// The cluster file.
    file: PathBuf,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

impl CheckConfig {
    pub(crate) fn run(&self) -> ExitCode {
        match ClusterFile::read(&self.file) {
            Ok(file) => {
                let told = if self.json { format!("{}\n", as_json(&file)) } else { as_text(&file) };
                print(told);
                ExitCode::SUCCESS
            }
            Err(error) => {
                tell(&error);
                if self.json {
                    print(format_args!("{}\n", faults_as_json(&error)));
                }
                ExitCode::from(COULD_NOT_RUN)
            }
        }
    }
}

/// For each node of the file, the nodes that hold its sessions' copies while every node is up, as placement will have it.
/// With `spread` above 1 there are more of them than copies, each holding a part.
fn backed_by(file: &ClusterFile) -> Vec<Vec<NodeName>> {
    let view = on_paper(file);
    let mut backed: BTreeMap<NodeName, Vec<NodeName>> = BTreeMap::new();
    for entry in &view.arcs {
        let known = backed.entry(entry.primary.name).or_default();
        for backup in &entry.in_sync {
            if !known.contains(&backup.name) {
                known.push(backup.name);
            }
        }
    }
    file.nodes().iter().map(|node| backed.remove(&node.name).unwrap_or_default()).collect()
}

fn joined(names: &[NodeName]) -> String {
    names.iter().map(NodeName::as_str).collect::<Vec<_>>().join(", ")
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Host => "host",
        Role::BackupOnly => "backup_only",
        Role::Edge => "edge",
        Role::Witness => "witness",
    }
}

/// The policy as the file writes it.
pub(crate) fn agreement(agreement: Agreement) -> &'static str {
    match agreement {
        Agreement::Majority => "majority",
        Agreement::MajorityOrProof => "majority_or_proof",
    }
}

fn as_text(file: &ClusterFile) -> String {
    let cluster = file.cluster();
    let mut text = String::new();
    let mut line =
        |told: std::fmt::Arguments<'_>| writeln!(text, "{told}").expect("a String takes all that is written");
    line(format_args!(
        "cluster {}: {} arcs, {} backup(s), spread {}, pin {}",
        cluster.name, cluster.arcs, cluster.backups, cluster.spread, cluster.pin
    ));
    line(format_args!("digest  {:016x}", file.digest()));
    let voters = file.voters();
    line(format_args!(
        "voters  {} ({}; a majority is {})",
        joined(&voters),
        agreement(cluster.agreement),
        voters.len() / 2 + 1
    ));
    line(format_args!("ring"));
    for (node, backups) in file.nodes().iter().zip(backed_by(file)) {
        let backed = if backups.is_empty() { String::new() } else { format!(" -> {}", joined(&backups)) };
        let zone = node.zone.as_ref().map_or(String::new(), |zone| format!(", zone {zone}"));
        let weight = if node.weight == 1 { String::new() } else { format!(", weight {}", node.weight) };
        let served = |name, address: &Option<Address>| {
            address.as_ref().map_or(String::new(), |address| format!(", {name} {address}"))
        };
        let (http, redis) = (served("http", &node.http), served("redis", &node.redis));
        line(format_args!(
            "  {}{backed}  ({}, {}{http}{redis}{zone}{weight})",
            node.name,
            role(node.role),
            node.cluster
        ));
    }
    for note in file.notes() {
        line(format_args!("note: {note}"));
    }
    text
}

fn as_json(file: &ClusterFile) -> Value {
    let cluster = file.cluster();
    let nodes: Vec<_> = file
        .nodes()
        .iter()
        .zip(backed_by(file))
        .map(|(node, backups)| {
            json!({
                "name": node.name, "role": role(node.role), "zone": node.zone, "cluster": node.cluster.as_str(),
                "http": node.http.as_ref().map(ToString::to_string), "redis": node.redis.as_ref().map(ToString::to_string),
                "weight": node.weight, "backed_by": backups,
            })
        })
        .collect();
    let notes: Vec<_> = file.notes().iter().map(ToString::to_string).collect();
    json!({
        "ok": true, "name": cluster.name, "digest": format!("{:016x}", file.digest()), "arcs": cluster.arcs,
        "backups": cluster.backups, "spread": cluster.spread, "pin": cluster.pin, "agreement": agreement(cluster.agreement),
        "voters": file.voters(), "nodes": nodes, "notes": notes,
    })
}

fn faults_as_json(error: &ConfigError) -> Value {
    let faults: Vec<_> = error
        .faults()
        .iter()
        .map(|fault| {
            json!({
                "file": fault.file(), "line": fault.position().map(|p| p.line), "column": fault.position().map(|p| p.column),
                "key": fault.spot().to_string(), "wrong": fault.message(), "right": fault.right(),
            })
        })
        .collect();
    json!({ "ok": false, "faults": faults, "more": error.more() })
}
