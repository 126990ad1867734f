//! `Settings`: the bounds of a node's Redis port, from the cluster's limits.

use std::time::Duration;

use super::{frames::Bounds, secret::Password};
use crate::config::{ClusterConfig, Limits};

/// Strings of one request.
const STRINGS_MAX: usize = 64 << 10;
/// What a client that has not said its password may send: enough to say it.
const STRANGER: Bounds = Bounds { strings: 16, string: 4 << 10, bytes: 16 << 10 };
/// All connections together keep as many bytes as this many of the largest values take, each beyond a small share of its own.
const VALUES_KEPT: usize = 128;

/// The bounds of one node's Redis port.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// Connections at once; one more is told so and closed.
    pub(super) connections: usize,
    /// One request.
    pub(super) request: Bounds,
    /// One request of a client that has not said its password.
    pub(super) stranger: Bounds,
    /// What clients have to say first, if anything.
    pub(super) password: Option<Password>,
    /// Requests of one connection that are not answered yet; the next is read when one is.
    pub(super) pipeline: usize,
    /// Bytes of replies that one connection has not taken yet; beyond it no further request of it is begun.
    pub(super) unread: usize,
    /// What arrives and what leaves, of all connections together, in bytes.
    pub(super) kept: usize,
    /// How long a request that has begun to arrive may go on without much more of it.
    pub(super) arrival: Duration,
    /// How long a client may leave what is written to it unread.
    pub(super) stall: Duration,
    /// The same once the node stops.
    pub(super) last_stall: Duration,
    /// How long a client may take to say its password.
    pub(super) introduction: Duration,
    /// How long requests in progress may take once the node stops.
    pub(super) farewell: Duration,
}

impl Settings {
    /// What a cluster's file says.
    pub(super) fn of(cluster: &ClusterConfig) -> Self {
        let password = cluster.redis_password.as_ref().map(|password| Password::new(password.as_bytes()));
        Self { password, ..Self::within(&cluster.limits) }
    }

    /// What the limits leave.
    pub(super) fn within(limits: &Limits) -> Self {
        Self {
            connections: limits.connections,
            request: Bounds { strings: STRINGS_MAX, string: limits.frame, bytes: limits.frame },
            stranger: STRANGER,
            password: None,
            pipeline: 1_024,
            unread: 16 << 20,
            kept: limits.value.saturating_mul(VALUES_KEPT),
            arrival: Duration::from_secs(15),
            stall: Duration::from_secs(15),
            last_stall: Duration::from_secs(2),
            introduction: Duration::from_secs(15),
            farewell: Duration::from_secs(10),
        }
    }
}
