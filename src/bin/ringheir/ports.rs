//! Ports on loopback for processes that this program starts, and starts again under the same address.
//!
//! A port is free when it is looked for; nothing keeps it so until its process listens there.

use std::net::{TcpListener, UdpSocket};

/// Ports are looked for below those that the system gives to outgoing connections, which could take a dead node's port.
pub(crate) const PORT_FIRST: u16 = 10_000;
/// They are looked for up to here.
pub(crate) const PORT_LAST: u16 = 31_999;

/// Ports that nobody has now, neither for connections nor for datagrams, beginning at one that depends on `draw`; `None` if there are
/// not so many.
pub(crate) fn free_ports(count: usize, draw: u16) -> Option<Vec<u16>> {
    let all = PORT_LAST - PORT_FIRST;
    let ports = (0..all).map(|step| PORT_FIRST + (draw % all + step) % all);
    let is_free =
        |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok() && UdpSocket::bind(("127.0.0.1", *port)).is_ok();
    let free: Vec<u16> = ports.filter(is_free).take(count).collect();
    (free.len() == count).then_some(free)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ports_are_free_and_differ() {
        // Those that would be the first are taken, one for connections and one for datagrams.
        let draw = 65_535;
        let would_be = free_ports(8, draw).expect("free ones");
        let _one = TcpListener::bind(("127.0.0.1", would_be[0])).expect("free");
        let _other = UdpSocket::bind(("127.0.0.1", would_be[1])).expect("free");
        let ports = free_ports(8, draw).expect("free ones");
        assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), 8);
        assert!(!ports.contains(&would_be[0]) && !ports.contains(&would_be[1]), "{would_be:?} then {ports:?}");
    }
}
