//! `Settings`: the bounds of a node's HTTP, from the cluster's limits.
//!
//! What a caller may cost is what `Limits` says; how patient the door is with slow clients is fixed here, since no
//! cluster has yet needed another figure.

use std::time::Duration;

use crate::config::Limits;

/// Connections that every other node keeps to this one, which the callers' share does not include.
const CONNECTIONS_PER_PEER: usize = 3;
/// Bodies may take as much as this many of the largest values, however many connections there are.
const VALUES_IN_ARRIVAL: usize = 64;

/// The bounds of one node's HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Connections at once; one more is told 503 and closed.
    pub connections: usize,
    /// The largest body, in bytes.
    pub body: usize,
    /// All bodies that are arriving or being worked on, in bytes; beyond it a request is told 429.
    pub bodies: usize,
    /// Listeners to events at once; one more is told 429.
    pub listeners: usize,
    /// How long a client may take to send the head of a request, and how long a connection may be idle.
    pub head: Duration,
    /// How long a client may take to send a body.
    pub arrival: Duration,
    /// How long a client may leave what is written to it unread.
    pub stall: Duration,
    /// How long a session may take to answer.
    pub deadline: Duration,
    /// How long requests in progress may take once the node stops.
    pub farewell: Duration,
}

impl Settings {
    /// What the limits of a cluster of so many configured nodes leave to HTTP.
    pub(crate) fn of(limits: &Limits, nodes: usize) -> Self {
        let peers = nodes.saturating_sub(1).saturating_mul(CONNECTIONS_PER_PEER);
        Self {
            connections: limits.connections.saturating_sub(peers).max(8),
            body: limits.value,
            bodies: limits.value.saturating_mul(VALUES_IN_ARRIVAL),
            listeners: limits.subscribers.min(limits.connections / 4).max(1),
            head: Duration::from_secs(15),
            arrival: Duration::from_secs(15),
            stall: Duration::from_secs(15),
            deadline: Duration::from_secs(10),
            farewell: Duration::from_secs(10),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_get_the_connections_that_the_other_nodes_do_not_need() {
        let limits = Limits { connections: 100, ..Limits::default() };
        assert_eq!(Settings::of(&limits, 4).connections, 91);
        assert_eq!(Settings::of(&limits, 60).connections, 8);
        assert_eq!(Settings::of(&limits, 4).listeners, 25, "listeners stay, so they never take every connection");
    }
}
