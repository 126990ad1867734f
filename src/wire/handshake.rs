//! What two nodes say to one another before a connection is trusted, and how it is written down.
//!
//! Four frames: `Hello` (dialler), `Welcome` (acceptor), `Proof` (dialler), `Verdict` (acceptor). The proofs are made and
//! checked in `transport/cluster/proof.rs` over the exact bytes of the first two frames, so the bytes are kept as they came;
//! this room only writes and reads them. A frame starts with its kind; a `Hello` and a `Welcome` then state the range of
//! protocol versions in a place that no version will move, so that even a stranger's is understood well enough to refuse it.

use std::{fmt, io};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::id::{Incarnation, NodeId, NodeName};

/// The protocol versions that this build speaks, oldest and newest.
pub(crate) const VERSIONS: Versions = Versions { oldest: 1, newest: 1 };

/// A range of protocol versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Versions {
    /// The oldest that is spoken.
    pub(crate) oldest: u16,
    /// The newest that is spoken.
    pub(crate) newest: u16,
}

impl Versions {
    /// The newest version that both speak.
    pub(crate) fn common(self, other: Self) -> Option<u16> {
        let newest = self.newest.min(other.newest);
        (newest >= self.oldest && newest >= other.oldest).then_some(newest)
    }
}

/// Where to find a process's life lock, and how to know that it is the same file (see `transport/life_lock.rs`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LockName {
    /// The lock file's path as its owner knows it; empty if the process holds none.
    pub(crate) path: String,
    /// The kernel's id for this start of the host.
    pub(crate) boot_id: String,
    /// The device of the file.
    pub(crate) dev: u64,
    /// The inode of the file.
    pub(crate) inode: u64,
}

/// What either side says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Introduction {
    /// The cluster's name.
    pub(crate) cluster: String,
    /// Who speaks.
    pub(crate) node: NodeId,
    /// Where the speaker is dialled and where its heartbeats go.
    pub(crate) address: String,
    /// The speaker's life lock.
    pub(crate) lock: LockName,
    /// 32 fresh bytes.
    #[serde(with = "serde_bytes")]
    pub(crate) nonce: [u8; 32],
}

/// The dialler's first word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hello {
    /// Who dials.
    pub(crate) from: Introduction,
    /// Whom it means to reach.
    pub(crate) to: NodeName,
    /// True for the data lane, false for the control lane.
    pub(crate) data: bool,
    /// Drawn by the dialler; the same for both lanes of a link.
    pub(crate) link: u128,
    /// The link which the acceptor said stands in the way, and which the dialler does not have (any more).
    pub(crate) replaces: Option<u128>,
}

/// The acceptor's answer; it proves nothing yet, because anyone may connect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Welcome {
    /// Who accepts.
    pub(crate) from: Introduction,
}

/// A proof that its maker knows the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Proof(#[serde(with = "serde_bytes")] pub(crate) [u8; 32]);

/// Why a connection between two nodes was not made. In every case nothing was sent and no state changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Refusal {
    /// The proof was made with another secret.
    WrongSecret,
    /// It belongs to another cluster.
    OtherCluster {
        /// The other side's cluster name.
        theirs: String,
    },
    /// No common protocol version.
    OtherProtocol {
        /// What the other side speaks.
        theirs: Versions,
    },
    /// The address is another node's.
    OtherName {
        /// Who is there.
        theirs: NodeName,
    },
    /// A process of the same name is alive.
    NameInUse {
        /// Its incarnation.
        incarnation: Incarnation,
    },
    /// The pair has a link already; not an error, and the dialler rests until that link is lost.
    AlreadyLinked {
        /// That link.
        link: u128,
    },
    /// The address is our own.
    Itself,
    /// All places for peers are taken.
    TooMany,
    /// Not finished in time.
    Deadline,
    /// Not this protocol at all.
    Garbage,
    /// The connection ended in the middle of the handshake.
    Closed,
    /// No connection could be made.
    Unreachable {
        /// The operating system's error number, 0 if it gave none.
        errno: i32,
    },
    /// The layer above does not want this node now.
    NotAdmitted,
}

impl Refusal {
    /// Whether trying again is of no use before somebody changes a file, a program or what runs where.
    pub(crate) const fn needs_mending(&self) -> bool {
        match self {
            Self::WrongSecret
            | Self::OtherCluster { .. }
            | Self::OtherProtocol { .. }
            | Self::OtherName { .. }
            | Self::NameInUse { .. }
            | Self::Itself
            | Self::Garbage => true,
            Self::AlreadyLinked { .. }
            | Self::TooMany
            | Self::Deadline
            | Self::Closed
            | Self::Unreachable { .. }
            | Self::NotAdmitted => false,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongSecret => {
                f.write_str("the secrets differ: give both nodes the same `secret` in the cluster file")
            }
            Self::OtherCluster { theirs } => {
                write!(f, "it belongs to cluster `{theirs}`: correct `name` in [cluster], or the address")
            }
            Self::OtherProtocol { theirs } => write!(
                f,
                "it speaks protocol {} to {}, this node {} to {}: upgrade the older one",
                theirs.oldest, theirs.newest, VERSIONS.oldest, VERSIONS.newest
            ),
            Self::OtherName { theirs } => {
                write!(f, "the node at this address is `{theirs}`: correct `cluster = ...` of one [[node]]")
            }
            Self::NameInUse { incarnation } => write!(
                f,
                "the name is in use by the live process {incarnation}: stop that one first, or start under another name"
            ),
            Self::AlreadyLinked { .. } => f.write_str("the two are linked already; nothing need be done"),
            Self::Itself => f.write_str("the address is this node's own: take it out of what is dialled"),
            Self::TooMany => f.write_str("all places are taken: raise `connections` in [cluster.limits], or wait"),
            Self::Deadline => f.write_str(
                "not finished within the handshake's deadline: the other side hangs or is overloaded; retried",
            ),
            Self::Garbage => f.write_str("not the cluster protocol: is this another program's port?"),
            Self::Closed => f.write_str("the connection was closed during the handshake; retried"),
            Self::Unreachable { errno } => {
                write!(f, "no connection: {}; retried", io::Error::from_raw_os_error(*errno))
            }
            Self::NotAdmitted => f.write_str("this node is not admitted now; retried"),
        }
    }
}

impl std::error::Error for Refusal {}

/// The kinds of frames of a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Hello = 1,
    Welcome = 2,
    Proof = 3,
    Accepted = 4,
    Refused = 5,
}

const STATES_VERSIONS: [Kind; 2] = [Kind::Hello, Kind::Welcome];

/// Writes one frame's body: its kind, the versions where they belong, the message.
pub(crate) fn encode<T: Serialize>(kind: Kind, message: &T) -> Vec<u8> {
    let mut body = vec![kind as u8];
    if STATES_VERSIONS.contains(&kind) {
        body.extend_from_slice(&VERSIONS.oldest.to_be_bytes());
        body.extend_from_slice(&VERSIONS.newest.to_be_bytes());
    }
    rmp_serde::encode::write(&mut body, message).expect("writing plain structs to memory does not fail");
    body
}

/// Reads a frame's body of one of the expected kinds. A frame that says it is a refusal is returned as that refusal; another
/// protocol version is told from garbage.
pub(crate) fn decode<T: DeserializeOwned>(kind: Kind, body: &[u8]) -> Result<T, Refusal> {
    let (first, mut rest) = body.split_first().ok_or(Refusal::Garbage)?;
    if *first == Kind::Refused as u8 && kind != Kind::Hello && kind != Kind::Proof {
        return Err(rmp_serde::from_slice(rest).unwrap_or(Refusal::Garbage));
    }
    if *first != kind as u8 {
        return Err(Refusal::Garbage);
    }
    if STATES_VERSIONS.contains(&kind) {
        let (range, after) = rest.split_first_chunk::<4>().ok_or(Refusal::Garbage)?;
        let theirs = Versions {
            oldest: u16::from_be_bytes([range[0], range[1]]),
            newest: u16::from_be_bytes([range[2], range[3]]),
        };
        if VERSIONS.common(theirs).is_none() {
            return Err(Refusal::OtherProtocol { theirs });
        }
        rest = after;
    }
    rmp_serde::from_slice(rest).map_err(|_| Refusal::Garbage)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello() -> Hello {
        Hello {
            from: Introduction {
                cluster: "shop".into(),
                node: NodeId { name: NodeName::new("a").expect("plain"), incarnation: Incarnation(7) },
                address: "127.0.0.1:7101".into(),
                lock: LockName { path: "/run/x.lock".into(), boot_id: "b".into(), dev: 1, inode: 2 },
                nonce: [9; 32],
            },
            to: NodeName::new("b").expect("plain"),
            data: true,
            link: u128::MAX,
            replaces: Some(3),
        }
    }

    #[test]
    fn a_hello_comes_back_as_it_was_written() {
        let body = encode(Kind::Hello, &hello());
        assert_eq!(decode::<Hello>(Kind::Hello, &body), Ok(hello()));
        assert!(body.len() < 256, "a handshake frame stays far below its limit: {}", body.len());
    }

    #[test]
    fn every_cut_or_changed_hello_is_garbage_or_another_hello_and_never_a_panic() {
        let body = encode(Kind::Hello, &hello());
        for length in 0..body.len() {
            assert!(decode::<Hello>(Kind::Hello, &body[..length]).is_err(), "cut to {length}");
        }
        // Not the versions: a wider range is another true statement, and the proof is over the bytes as they came.
        for at in (0..body.len()).filter(|at| !(1..5).contains(at)) {
            for flip in [1, 0x80, 0xff] {
                let mut changed = body.clone();
                changed[at] ^= flip;
                assert_ne!(decode::<Hello>(Kind::Hello, &changed), Ok(hello()), "byte {at}");
            }
        }
    }

    #[test]
    fn another_protocol_is_named_even_when_the_rest_is_unreadable() {
        let mut body = encode(Kind::Hello, &hello());
        body.truncate(5);
        body[1..5].copy_from_slice(&[0, 7, 0, 9]);
        let theirs = Versions { oldest: 7, newest: 9 };
        assert_eq!(decode::<Hello>(Kind::Hello, &body), Err(Refusal::OtherProtocol { theirs }));
    }

    #[test]
    fn a_refusal_reaches_the_dialler_in_place_of_a_welcome_but_a_dialler_cannot_send_one() {
        let refusal = Refusal::NameInUse { incarnation: Incarnation(5) };
        let body = encode(Kind::Refused, &refusal);
        assert_eq!(decode::<Welcome>(Kind::Welcome, &body), Err(refusal));
        assert_eq!(decode::<Hello>(Kind::Hello, &body), Err(Refusal::Garbage));
    }

    #[test]
    fn versions_agree_on_the_newest_common_one() {
        let range = |oldest, newest| Versions { oldest, newest };
        assert_eq!(range(1, 4).common(range(3, 9)), Some(4));
        assert_eq!(range(1, 2).common(range(3, 9)), None);
    }
}
