//! One `[[node]]` of the cluster: its name, its addresses, its place.
//!
//! Nothing here is resolved or dialled: an address is text of a known form, and only IP addresses and `localhost` can be
//! known to be loopback.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroU16,
};

use crate::{
    id::{Incarnation, NodeId, NodeName},
    membership::{KindVersion, Member, Role, Standing, WEIGHT},
};

/// The longest address, in bytes: the longest DNS name and a port.
const ADDRESS_MAX: usize = 253 + 6;

/// `host:port`, the host an IP address (IPv6 in brackets) or a DNS name; the port is never 0.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(String);

impl Address {
    /// Takes an address as written; `None` if it is not `host:port`.
    #[must_use]
    pub fn new(address: &str) -> Option<Self> {
        if let Ok(socket) = address.parse::<SocketAddr>() {
            return (socket.port() != 0).then(|| Self(address.to_owned()));
        }
        let (host, port) = address.rsplit_once(':')?;
        let port_given = port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|p| p != 0);
        let label = |l: &str| !l.is_empty() && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        // `10.0.0.300` is a mistyped IP address, not a name: no top-level domain is a number.
        let named = host.split('.').all(label) && !host.rsplit('.').next()?.bytes().all(|b| b.is_ascii_digit());
        (port_given && named && address.len() <= ADDRESS_MAX).then(|| Self(address.to_owned()))
    }

    /// As written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether only this machine can reach it; a DNS name other than `localhost` counts as reachable from outside.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.ip().is_some_and(|ip| ip.to_canonical().is_loopback())
    }

    /// Whether it says "every interface" (`0.0.0.0`, `[::]`), which can be listened on but not dialled.
    #[must_use]
    pub fn is_unspecified(&self) -> bool {
        self.ip().is_some_and(|ip| ip.to_canonical().is_unspecified())
    }

    /// One spelling for addresses that are the same, to find one that is used twice.
    pub(super) fn canonical(&self) -> String {
        let port = self.0.rsplit_once(':').map_or("", |(_, port)| port);
        let port = port.parse::<u16>().unwrap_or_default();
        match self.ip() {
            Some(ip) => SocketAddr::new(ip.to_canonical(), port).to_string(),
            None => format!("{}:{port}", self.host().to_ascii_lowercase()),
        }
    }

    fn host(&self) -> &str {
        self.0.rsplit_once(':').map_or("", |(host, _)| host)
    }

    fn ip(&self) -> Option<IpAddr> {
        if self.host().eq_ignore_ascii_case("localhost") {
            return Some(Ipv4Addr::LOCALHOST.into());
        }
        self.0.parse::<SocketAddr>().ok().map(|socket| socket.ip())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One node as configured. The order of the nodes is the order of the ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeConfig {
    /// Its name, unlike every other node's. Part of the cluster's identity: renaming a node makes another node of it.
    pub name: NodeName,
    /// Where it listens for the other nodes, and where they dial it.
    ///
    /// Not "every interface"; outside loopback only with `ClusterConfig::insecure`, until there is TLS.
    pub cluster: Address,
    /// Where it listens for them, where that is not the address that they dial: in a container, behind a port mapping or a proxy.
    /// `None`: at `cluster`.
    pub bind: Option<Address>,
    /// Where it serves sessions and a look at the ring over HTTP; `None`: not at all.
    pub http: Option<Address>,
    /// Where it serves the Redis protocol; `None`: not at all.
    pub redis: Option<Address>,
    /// What fails together: a rack, a room, a region. Copies are kept in different zones where there are several.
    ///
    /// Give every node one or none; 1 to 64 bytes.
    pub zone: Option<String>,
    /// What it may hold. A cluster needs one `Host`; a `Witness` makes a cluster of two hosts safe.
    pub role: Role,
    /// How much it is to serve beside the others: a host of weight 2 is home to twice as many arcs as one of weight 1.
    ///
    /// By memory and cores. It may have another weight whenever its process starts: as few arcs as can be change their home
    /// then. 1 to 1,000.
    pub weight: u16,
    /// Where the router may redirect a browser to, `http://` or `https://`. Kept, not yet used.
    pub public_url: Option<String>,
}

impl NodeConfig {
    /// A host with nothing but what it must have.
    #[must_use]
    pub fn new(name: NodeName, cluster: Address) -> Self {
        Self {
            name,
            cluster,
            bind: None,
            http: None,
            redis: None,
            zone: None,
            role: Role::Host,
            weight: 1,
            public_url: None,
        }
    }

    /// Whether it may hold copies of sessions.
    #[must_use]
    pub fn holds_copies(&self) -> bool {
        self.role.holds_copies()
    }

    /// The node as a view lists it, with what its process knows of itself.
    #[must_use]
    pub fn member(&self, incarnation: Incarnation, workers: u16, kinds: Vec<KindVersion>) -> Member {
        Member {
            node: NodeId { name: self.name, incarnation },
            role: self.role,
            zone: self.zone.clone(),
            cluster_address: self.cluster.to_string(),
            http_address: self.http.as_ref().map(ToString::to_string),
            workers,
            votes_as: None,
            standing: Standing::Open,
            weight: NonZeroU16::new(self.weight).unwrap_or(WEIGHT),
            claims: false,
            kinds,
        }
    }

    /// Every address under which others know it, with its key.
    pub(super) fn addresses(&self) -> impl Iterator<Item = (&'static str, &Address)> {
        [("cluster", Some(&self.cluster)), ("http", self.http.as_ref()), ("redis", self.redis.as_ref())]
            .into_iter()
            .filter_map(|(key, address)| Some((key, address?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for right in ["127.0.0.1:7101", "[::1]:7101", "localhost:7101", "node-a.example:1", "db_1:65535"] {
            assert_eq!(Address::new(right).expect(right).as_str(), right);
        }
        for wrong in [
            "",
            ":",
            "127.0.0.1",
            "127.0.0.1:",
            "a:0",
            "a:65536",
            "a:+1",
            "::1:7101",
            "a b:1",
            "10.0.0.300:1",
            "http://a:1",
            ".:1",
        ] {
            assert_eq!(Address::new(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn only_what_is_known_to_be_loopback_counts_as_loopback() {
        let loopback = |a: &str| Address::new(a).expect(a).is_loopback();
        assert!(
            loopback("127.8.8.8:1")
                && loopback("[::1]:1")
                && loopback("LocalHost:1")
                && loopback("[::ffff:127.0.0.1]:1")
        );
        assert!(!loopback("10.0.0.1:1") && !loopback("node-a:1") && !loopback("0.0.0.0:1") && !loopback("[::]:1"));
    }

    #[test]
    fn one_address_spelled_two_ways_is_one_address() {
        let canonical = |a: &str| Address::new(a).expect(a).canonical();
        assert_eq!(canonical("localhost:80"), canonical("127.0.0.1:80"));
        assert_eq!(canonical("[0:0::1]:80"), canonical("[::1]:080"));
        assert_eq!(canonical("Node:80"), canonical("node:80"));
        assert_ne!(canonical("node:80"), canonical("node:81"));
    }
}
