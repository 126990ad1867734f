//! What a node tells of itself in the words of Redis: `INFO` and `ROLE`.

use std::{fmt::Write as _, sync::atomic::Ordering};

use super::{client::REDIS_VERSION, door::Door, frames::Reply, state::Shared};
use crate::{Readiness, id::ArcId};

/// The sections that were asked for; of none, all.
#[allow(clippy::disallowed_methods, reason = "people ask how long it runs; nothing is decided")]
pub(super) fn info<D: Door>(shared: &Shared<D>, sections: &[String]) -> Reply {
    let asked = |name: &str| {
        sections.is_empty()
            || sections
                .iter()
                .any(|section| matches!(section.as_str(), "all" | "everything" | "default") || section == name)
    };
    let mut text = String::new();
    let mut section = |name: &str, lines: &[(&str, String)]| {
        if !asked(&name.to_ascii_lowercase()) {
            return;
        }
        if !text.is_empty() {
            text += "\r\n";
        }
        let _ = write!(text, "# {name}\r\n");
        for (key, value) in lines {
            let _ = write!(text, "{key}:{value}\r\n");
        }
    };
    let door = shared.door();
    let (members, view) = door.as_ref().map_or((0, 0), Door::members);
    let backups = door.as_ref().map_or(0, fewest_backups);
    let up = shared.since.elapsed().as_secs();
    section(
        "Server",
        &[
            ("redis_version", REDIS_VERSION.to_owned()),
            ("redis_mode", "standalone".to_owned()),
            ("ringheir_version", env!("CARGO_PKG_VERSION").to_owned()),
            ("ringheir_node", door.as_ref().map_or_else(String::new, |door| door.name().to_string())),
            ("ringheir_view", view.to_string()),
            ("ringheir_members", members.to_string()),
            ("os", std::env::consts::OS.to_owned()),
            ("process_id", std::process::id().to_string()),
            ("run_id", format!("{:040x}", shared.run)),
            ("tcp_port", shared.port.to_string()),
            ("uptime_in_seconds", up.to_string()),
            ("uptime_in_days", (up / 86_400).to_string()),
        ],
    );
    let open = shared.open.load(Ordering::Relaxed);
    let (most, kept) = (shared.settings.connections, shared.kept.load(Ordering::Relaxed));
    section(
        "Clients",
        &[
            ("connected_clients", open.to_string()),
            ("maxclients", most.to_string()),
            ("blocked_clients", "0".to_owned()),
        ],
    );
    section("Memory", &[("ringheir_connection_bytes", kept.to_string()), ("maxmemory", "0".to_owned())]);
    // Sessions that wait for memory are none; what clients wait for is that the node is in the ring.
    let loading = u8::from(shared.readiness() == Readiness::Starting);
    section(
        "Persistence",
        &[
            ("loading", loading.to_string()),
            ("rdb_bgsave_in_progress", "0".to_owned()),
            ("aof_enabled", "0".to_owned()),
        ],
    );
    section("Replication", &[("role", "master".to_owned()), ("connected_slaves", backups.to_string())]);
    section("Cluster", &[("cluster_enabled", "0".to_owned())]);
    Reply::Text(text)
}

/// Every node takes writes; the number is the view's, which grows with each change of the ring.
pub(super) fn role<D: Door>(door: &D) -> Reply {
    let view = i64::try_from(door.members().1).unwrap_or(i64::MAX);
    Reply::List(vec![Reply::bytes("master"), Reply::Number(view), Reply::List(Vec::new())])
}

fn fewest_backups<D: Door>(door: &D) -> usize {
    (0..door.arcs()).map(|arc| door.backups(ArcId(arc))).min().unwrap_or(0)
}
