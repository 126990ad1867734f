//! `ringheir plan FILE`: what the cluster of a file will be like, before anything runs.
//!
//! It founds the cluster on paper and lets the same rules that a running ring follows take one node out, and every two, each
//! by surprise and proved dead. So what it says of a loss is what a ring does, as far as membership goes; nothing is dialled.

use std::{collections::BTreeSet, fmt::Write as _, path::PathBuf, process::ExitCode};

use clap::Args;
use ringheir::{
    config::ClusterFile,
    id::{ClusterId, Incarnation, NodeId},
    membership::{Knowledge, View, founding_view, next_view},
};
use serde_json::{Value, json};

use crate::{
    COULD_NOT_RUN,
    ask::{Table, print, tell},
    check_config::agreement,
};

/// Shows the ring, who backs whom, what the loss of each node and of each two costs, and what memory and network it takes.
#[derive(Args)]
pub(crate) struct Plan {
    /// The cluster file.
    file: PathBuf,
    /// Sessions of the whole cluster, to reckon memory with.
    #[arg(long, default_value_t = 100_000)]
    sessions: u64,
    /// Bytes of one session's state.
    #[arg(long, default_value_t = 1_000)]
    bytes: u64,
    /// Commands that change something, each second, in the whole cluster.
    #[arg(long, default_value_t = 1_000)]
    commits: u64,
    /// Bytes that such a command changes: an event, or the whole state.
    #[arg(long, default_value_t = 100)]
    commit_bytes: u64,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// What comes of the loss of some nodes at once.
struct Loss {
    nodes: Vec<String>,
    /// Whether those that are left can decide the next view.
    goes_on: bool,
    /// Arcs whose every copy was on the lost nodes.
    lost: usize,
    /// Arcs without a backup until a copy is made.
    solo: usize,
    /// The most arcs that one node serves then.
    most: usize,
}

impl Plan {
    pub(crate) fn run(&self) -> ExitCode {
        let file = match ClusterFile::read(&self.file) {
            Ok(file) => file,
            Err(error) => {
                tell(&error);
                return ExitCode::from(COULD_NOT_RUN);
            }
        };
        let view = on_paper(&file);
        print(if self.json { format!("{}\n", self.as_json(&file, &view)) } else { self.as_text(&file, &view) });
        ExitCode::SUCCESS
    }

    /// Bytes of states that each node that holds copies keeps, when they are shared out evenly.
    fn kept(&self, view: &View, lost: u64) -> u64 {
        let holders = view.members.iter().filter(|m| m.role.holds_copies()).count() as u64;
        let copies = (u64::from(view.shape.backups) + 1).min(holders.saturating_sub(lost).max(1));
        self.sessions.saturating_mul(self.bytes).saturating_mul(copies) / holders.saturating_sub(lost).max(1)
    }

    /// Bytes a second that cross the network for copies.
    fn copied(&self, view: &View) -> u64 {
        self.commits.saturating_mul(self.commit_bytes).saturating_mul(u64::from(view.shape.backups))
    }

    fn as_text(&self, file: &ClusterFile, view: &View) -> String {
        let mut text = String::new();
        let c = file.cluster();
        let mut say = |told: std::fmt::Arguments<'_>| {
            writeln!(text, "{told}").expect("a String takes all that is written");
        };
        say(format_args!(
            "cluster {}: {} nodes, {} voters, {} arcs, {} backup(s), spread {}, pin {}, {}\n",
            c.name,
            view.members.len(),
            view.voters.len(),
            view.arcs.len(),
            c.backups,
            c.spread,
            c.pin,
            agreement(c.agreement)
        ));
        let mut ring = Table::new(&["node", "weight", "serves", "guards", "backed by"]);
        for member in &view.members {
            let (serves, guards, backed) = share(view, member.node);
            let weight = member.weight.to_string();
            ring.row([member.node.name.to_string(), weight, serves.to_string(), guards.to_string(), backed.join(", ")]);
        }
        say(format_args!("{ring}"));
        for (title, size) in [("one node lost", 1), ("two nodes lost at once", 2)] {
            let mut table = Table::new(&[title, "goes on", "arcs lost", "arcs without a backup", "one node serves"]);
            for loss in losses(view, size) {
                table.row([
                    loss.nodes.join(", "),
                    if loss.goes_on { "yes" } else { "no: too few voters" }.to_owned(),
                    if loss.lost == 0 { "none".to_owned() } else { format!("{} of {}", loss.lost, view.arcs.len()) },
                    if loss.goes_on { format!("{}, until copied", loss.solo) } else { String::new() },
                    if loss.goes_on { format!("up to {}", loss.most) } else { String::new() },
                ]);
            }
            say(format_args!("{table}"));
        }
        say(format_args!(
            "with {} sessions of {} bytes: {} of states on each node, {} after one loss; what the ring keeps beside each state is not counted",
            self.sessions,
            self.bytes,
            amount(self.kept(view, 0)),
            amount(self.kept(view, 1))
        ));
        say(format_args!(
            "with {} commands a second that change {} bytes each: {} a second between the nodes for copies, without headers and forwarded calls; \
             to copy a lost node's share anew: {}",
            self.commits,
            self.commit_bytes,
            amount(self.copied(view)),
            amount(self.kept(view, 0))
        ));
        text
    }

    fn as_json(&self, file: &ClusterFile, view: &View) -> Value {
        let told = |loss: Loss| {
            json!({
                "nodes": loss.nodes, "goes_on": loss.goes_on, "arcs_lost": loss.lost, "arcs_solo": loss.solo,
                "most_served": loss.most,
            })
        };
        let nodes = view.members.iter().map(|member| {
            let (serves, guards, backed) = share(view, member.node);
            json!({ "name": member.node.name, "weight": member.weight, "serves": serves, "guards": guards, "backed_by": backed })
        });
        json!({
            "name": file.cluster().name, "pin": file.cluster().pin, "arcs": view.arcs.len(), "voters": view.voters.len(),
            "nodes": nodes.collect::<Vec<_>>(),
            "one_lost": losses(view, 1).into_iter().map(told).collect::<Vec<_>>(),
            "two_lost": losses(view, 2).into_iter().map(told).collect::<Vec<_>>(),
            "state_bytes_each_node": self.kept(view, 0), "state_bytes_each_node_after_one_loss": self.kept(view, 1),
            "copy_bytes_per_second": self.copied(view),
        })
    }
}

/// The cluster as it is founded when every node of the file is up.
pub(crate) fn on_paper(file: &ClusterFile) -> View {
    let member = |name| file.member(name, Incarnation::default(), 1, Vec::new());
    let members = file.nodes().iter().filter_map(|node| member(node.name)).collect();
    founding_view(ClusterId::default(), file.shape(), members, &file.voters())
}

/// How many arcs a node serves and guards, and who guards what it serves.
fn share(view: &View, node: NodeId) -> (usize, usize, Vec<String>) {
    let served = || view.arcs.iter().filter(|entry| entry.primary == node);
    let guarded = view.arcs.iter().filter(|entry| entry.in_sync.contains(&node)).count();
    let mut backed: Vec<String> = Vec::new();
    for name in served().flat_map(|entry| &entry.in_sync).map(|backup| backup.name.to_string()) {
        if !backed.contains(&name) {
            backed.push(name);
        }
    }
    (served().count(), guarded, backed)
}

/// Every loss of so many of the nodes at once, as a running ring would take it.
fn losses(view: &View, size: usize) -> Vec<Loss> {
    let nodes: Vec<NodeId> = view.members.iter().map(|m| m.node).collect();
    let mut sets: Vec<Vec<NodeId>> = vec![vec![]];
    for _ in 0..size {
        sets = sets
            .into_iter()
            .flat_map(|set| {
                let from = set.last().map_or(0, |last| nodes.iter().position(|n| n == last).map_or(0, |p| p + 1));
                nodes[from..].iter().map(move |n| set.iter().copied().chain([*n]).collect()).collect::<Vec<_>>()
            })
            .collect();
    }
    sets.into_iter().filter(|set| set.len() < nodes.len()).map(|set| loss(view, &set)).collect()
}

fn loss(view: &View, gone: &[NodeId]) -> Loss {
    let dead: BTreeSet<NodeId> = gone.iter().copied().collect();
    let left: BTreeSet<NodeId> = view.voters.iter().copied().filter(|v| !dead.contains(v)).collect();
    let proposer = left.iter().copied().find(|me| view.is_quorum(&left, *me, &dead));
    let lost = view.arcs.iter().filter(|e| dead.contains(&e.primary) && e.in_sync.iter().all(|b| dead.contains(b)));
    let known = Knowledge { unreachable: dead.clone(), dead: dead.clone(), ..Knowledge::default() };
    let after = proposer.and_then(|proposer| next_view(view, proposer, &known));
    let served = |node: NodeId| after.iter().flat_map(|v| &v.arcs).filter(|entry| entry.primary == node).count();
    let wanted = usize::from(view.shape.backups);
    Loss {
        nodes: gone.iter().map(|n| n.name.to_string()).collect(),
        goes_on: proposer.is_some(),
        lost: lost.count(),
        solo: if wanted == 0 { 0 } else { after.as_ref().map_or(0, View::unprotected_arcs) },
        most: view.members.iter().map(|m| served(m.node)).max().unwrap_or(0),
    }
}

/// Bytes as a person reads them.
fn amount(bytes: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB", "PB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1_000.0 && unit + 1 < units.len() {
        value /= 1_000.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", units[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paper(nodes: &[&str], more: &str) -> View {
        let mut text = format!("[cluster]\nname = \"t\"\nsecret = \"s\"\narcs = 12\n{more}\n");
        for (at, name) in nodes.iter().enumerate() {
            text.push_str(&format!("[[node]]\nname = \"{name}\"\ncluster = \"127.0.0.1:{}\"\n", 7_000 + at));
        }
        on_paper(&ClusterFile::from_str(&text, "test").expect("a good file"))
    }

    fn told(view: &View, size: usize) -> Vec<(String, bool, usize, usize)> {
        losses(view, size).into_iter().map(|l| (l.nodes.concat(), l.goes_on, l.lost, l.most)).collect()
    }

    #[test]
    fn one_loss_costs_nothing_and_two_neighbours_cost_what_both_held() {
        let view = paper(&["a", "b", "c", "d"], "");
        assert!(told(&view, 1).iter().all(|(_, goes_on, lost, most)| *goes_on && *lost == 0 && *most == 6));
        let two = told(&view, 2);
        assert_eq!(two.len(), 6);
        for (nodes, goes_on, lost, _) in two {
            assert!(!goes_on, "four voters, two left: {nodes}");
            let neighbours = ["ab", "bc", "cd", "ad"].contains(&nodes.as_str());
            assert_eq!(lost, if neighbours { 3 } else { 0 }, "{nodes}");
        }
    }

    #[test]
    fn five_nodes_with_two_backups_stand_any_two_losses() {
        let view = paper(&["a", "b", "c", "d", "e"], "backups = 2");
        let two = told(&view, 2);
        assert_eq!(two.len(), 10);
        assert!(two.iter().all(|(_, goes_on, lost, _)| *goes_on && *lost == 0), "{two:?}");
    }

    #[test]
    fn of_two_nodes_the_survivor_goes_on_only_with_proof() {
        let goes_on = |more| told(&paper(&["a", "b"], more), 1).iter().map(|t| t.1).collect::<Vec<_>>();
        assert_eq!(goes_on("agreement = \"majority\""), [false, false]);
        assert_eq!(goes_on("agreement = \"majority_or_proof\""), [true, true]);
    }

    #[test]
    fn a_node_of_twice_the_weight_serves_twice_as_much() {
        let text = "[cluster]\nname = \"t\"\nsecret = \"s\"\narcs = 12\n\
                    [[node]]\nname = \"a\"\ncluster = \"127.0.0.1:7001\"\nweight = 2\n\
                    [[node]]\nname = \"b\"\ncluster = \"127.0.0.1:7002\"\n";
        let view = on_paper(&ClusterFile::from_str(text, "test").expect("a good file"));
        let served: Vec<usize> = view.members.iter().map(|member| share(&view, member.node).0).collect();
        assert_eq!(served, [8, 4]);
    }

    #[test]
    fn amounts_are_for_people() {
        assert_eq!([amount(999), amount(1_500), amount(2_000_000_000)], ["999 B", "1.5 kB", "2.0 GB"]);
    }
}
