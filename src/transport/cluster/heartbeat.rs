//! The heartbeat socket: signs of life as authenticated datagrams, on the same address and port as the listener.
//!
//! It is a plain blocking socket for one thread of the operating system, so that a busy runtime delays nothing here. A
//! datagram names its sender and its receiver with their incarnations and carries a number that only grows: one that was
//! forged, replayed, sent to an earlier process of ours or overtaken by a later one is dropped, counted and not answered. It
//! says nothing of whether silence means death.

use std::{
    collections::BTreeMap,
    io,
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use hmac::Mac;

use super::proof::{Keys, mac};
use crate::{
    id::{Incarnation, NodeId, NodeName},
    transport::{Heartbeats, Peer},
};

/// The longest body.
pub(crate) const BODY_MAX: usize = 512;
const MAGIC: [u8; 3] = *b"RH\x01";
const TAG: usize = 16;
const DATAGRAM_MAX: usize = 1024;
/// Nodes whose addresses and numbers are kept; far above what a cluster has, in all their incarnations.
const KNOWN_MAX: usize = 4096;
const LOOKUP_MAX: Duration = Duration::from_secs(1);

/// Where each node's heartbeats go, as handshakes told.
#[derive(Debug, Default)]
pub(crate) struct AddressBook(RwLock<BTreeMap<NodeId, SocketAddr>>);

impl AddressBook {
    /// Takes a peer in. Another incarnation at the same address is gone from there and is forgotten.
    pub(super) async fn learn(&self, peer: &Peer) {
        let address = match peer.address.parse() {
            Ok(address) => address,
            Err(_) => {
                let looked_up = tokio::time::timeout(LOOKUP_MAX, tokio::net::lookup_host(&peer.address)).await;
                let Some(address) = looked_up.ok().and_then(Result::ok).and_then(|mut found| found.next()) else {
                    tracing::warn!(peer = %peer.node, address = peer.address, "no heartbeats: its address is unknown");
                    return;
                };
                address
            }
        };
        let mut book = self.0.write().unwrap_or_else(PoisonError::into_inner);
        book.retain(|_, known| *known != address);
        if book.len() < KNOWN_MAX {
            book.insert(peer.node, address);
        }
    }

    fn find(&self, node: NodeId) -> Option<SocketAddr> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&node).copied()
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct HeartbeatSocket {
    me: NodeId,
    socket: UdpSocket,
    key: [u8; 32],
    addresses: Arc<AddressBook>,
    sent: u64,
    heard: BTreeMap<NodeId, u64>,
    dropped: Arc<AtomicU64>,
}

impl HeartbeatSocket {
    pub(super) fn new(me: NodeId, socket: UdpSocket, keys: &Keys, addresses: Arc<AddressBook>) -> Self {
        Self { me, socket, key: keys.heartbeat, addresses, sent: 0, heard: BTreeMap::new(), dropped: Arc::default() }
    }

    /// Counts the datagrams that were dropped; readable from anywhere.
    #[cfg(test)]
    pub(crate) fn dropped(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.dropped)
    }

    fn open(&mut self, datagram: &[u8]) -> Option<(NodeId, Vec<u8>)> {
        let (signed, tag) = datagram.split_last_chunk::<TAG>()?;
        mac(&self.key, &[signed]).verify_truncated_left(tag).ok()?;
        let rest = signed.strip_prefix(&MAGIC)?;
        let (from, rest) = read_node(rest)?;
        let (to, rest) = read_node(rest)?;
        let (number, body) = rest.split_first_chunk::<8>()?;
        let number = u64::from_be_bytes(*number);
        if to != self.me || body.len() > BODY_MAX {
            return None;
        }
        let known = self.heard.len();
        match self.heard.get_mut(&from) {
            Some(last) if number > *last => *last = number,
            None if known < KNOWN_MAX => {
                self.heard.insert(from, number);
            }
            _ => return None,
        }
        Some((from, body.to_vec()))
    }

    fn seal(&mut self, to: NodeId, body: &[u8]) -> Vec<u8> {
        self.sent += 1;
        let mut datagram = Vec::with_capacity(DATAGRAM_MAX);
        datagram.extend_from_slice(&MAGIC);
        write_node(&mut datagram, self.me);
        write_node(&mut datagram, to);
        datagram.extend_from_slice(&self.sent.to_be_bytes());
        datagram.extend_from_slice(body);
        let tag = mac(&self.key, &[&datagram]).finalize().into_bytes();
        datagram.extend_from_slice(&tag[..TAG]);
        datagram
    }
}

impl Heartbeats for HeartbeatSocket {
    fn send(&mut self, to: NodeId, body: &[u8]) {
        if body.len() > BODY_MAX {
            return;
        }
        let Some(address) = self.addresses.find(to) else {
            return;
        };
        let datagram = self.seal(to, body);
        // A datagram that cannot be sent is one that is lost; the next one follows soon.
        let _ = self.socket.send_to(&datagram, address);
    }

    fn receive(&mut self, timeout: Duration) -> Option<(NodeId, Vec<u8>)> {
        let until = Instant::now() + timeout;
        let mut datagram = [0; DATAGRAM_MAX];
        loop {
            // The time that is left, so that a flood of wrong ones does not hold the thread. Zero would mean "for ever".
            let left = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
            self.socket.set_read_timeout(Some(left)).ok()?;
            match self.socket.recv_from(&mut datagram) {
                Ok((length, _)) => {
                    if let Some(heartbeat) = self.open(&datagram[..length]) {
                        return Some(heartbeat);
                    }
                    self.dropped.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    return None;
                }
                // Old news of an earlier datagram; asking again must not spin.
                Err(_) => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }
}

fn write_node(out: &mut Vec<u8>, node: NodeId) {
    let name = node.name.as_str().as_bytes();
    out.push(u8::try_from(name.len()).expect("a name has at most 31 bytes"));
    out.extend_from_slice(name);
    out.extend_from_slice(&node.incarnation.0.to_be_bytes());
}

fn read_node(bytes: &[u8]) -> Option<(NodeId, &[u8])> {
    let (length, rest) = bytes.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(*length))?;
    let (incarnation, rest) = rest.split_first_chunk::<16>()?;
    let name = NodeName::new(std::str::from_utf8(name).ok()?)?;
    Some((NodeId { name, incarnation: Incarnation(u128::from_be_bytes(*incarnation)) }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(name: &str, secret: &[u8], book: &Arc<AddressBook>) -> HeartbeatSocket {
        let me = NodeId { name: NodeName::new(name).expect("plain"), incarnation: Incarnation(1) };
        let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback");
        book.0.write().expect("unpoisoned").insert(me, socket.local_addr().expect("bound"));
        HeartbeatSocket::new(me, socket, &Keys::new(secret, "shop"), Arc::clone(book))
    }

    const SOON: Duration = Duration::from_millis(50);

    #[test]
    fn a_heartbeat_arrives_with_its_sender_and_only_once() {
        let book = Arc::default();
        let (mut a, mut b) = (socket("a", b"s", &book), socket("b", b"s", &book));
        let datagram = a.seal(b.me, b"alive");
        let to = b.socket.local_addr().expect("bound");
        for _ in 0..2 {
            a.socket.send_to(&datagram, to).expect("loopback");
        }
        assert_eq!(b.receive(SOON), Some((a.me, b"alive".to_vec())));
        assert_eq!(b.receive(SOON), None, "replayed");
        assert_eq!(b.dropped().load(Ordering::Relaxed), 1);
        a.send(b.me, b"again");
        assert_eq!(b.receive(SOON), Some((a.me, b"again".to_vec())));
    }

    #[test]
    fn what_is_forged_changed_misdirected_or_too_long_is_dropped_and_counted() {
        let book = Arc::default();
        let (mut a, mut b) = (socket("a", b"s", &book), socket("b", b"s", &book));
        let mut stranger = socket("c", b"other secret", &book);
        let good = a.seal(b.me, b"alive");
        let mut wrong = vec![stranger.seal(b.me, b"alive"), a.seal(a.me, b"alive"), Vec::new(), vec![0; 900]];
        let earlier = NodeId { incarnation: Incarnation(0), ..b.me };
        wrong.push(a.seal(earlier, b"to the process before"));
        for at in 0..good.len() {
            let mut changed = good.clone();
            changed[at] ^= 1;
            wrong.push(changed);
        }
        for datagram in &wrong {
            assert_eq!(b.open(datagram), None);
        }
        a.send(b.me, &[0; BODY_MAX + 1]);
        assert_eq!(b.receive(SOON), None, "too long is not sent");
        assert_eq!(b.open(&good), Some((a.me, b"alive".to_vec())), "none of them spoilt the number of the good one");
    }
}
