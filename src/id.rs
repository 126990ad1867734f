//! The names and numbers that cross rooms: nodes, clusters, arcs, views, commits, sessions, requests.
//!
//! Each is a type of its own, so that no number is taken for another. Nothing here mints an id: incarnations, cluster
//! uuids and client ids are drawn by the shell that owns randomness and passed in.

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    str,
    sync::Arc,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use smallvec::SmallVec;

/// The longest node name, in bytes; names are kept inline so that a `NodeId` is `Copy`.
pub const NODE_NAME_MAX: usize = 31;
/// The longest session id, in bytes.
pub const SESSION_ID_MAX: usize = 512;
/// The longest kind name, in bytes.
pub const KIND_MAX: usize = 64;

/// A node's configured name: 1 to 31 bytes of letters, digits, `.`, `_` and `-`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName([u8; NODE_NAME_MAX]);

impl NodeName {
    /// Takes a name as written in the cluster file; `None` if it is empty, too long, or has other characters.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if name.is_empty() || name.len() > NODE_NAME_MAX || !name.bytes().all(plain) {
            return None;
        }
        let mut inline = [0; NODE_NAME_MAX];
        inline[..name.len()].copy_from_slice(name.as_bytes());
        Some(Self(inline))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let len = self.0.iter().position(|b| *b == 0).unwrap_or(NODE_NAME_MAX);
        str::from_utf8(&self.0[..len]).expect("only ASCII is let in by NodeName::new")
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for NodeName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for NodeName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::new(&name).ok_or_else(|| de::Error::custom("not a node name"))
    }
}

/// Sixteen random bytes: hex for people (`Display`, JSON), bytes on the wire; the newtypes below say what was drawn. Packed,
/// because the alignment of a `u128` would be passed on to every commit and reply, and cost each of them room and a detour in
/// the allocator.
macro_rules! drawn_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(Rust, packed(8))]
        pub struct $name(pub u128);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", { self.0 })
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:08x}", self.0 >> 96)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    return serializer.collect_str(self);
                }
                serde_bytes::ByteArray::new(self.0.to_be_bytes()).serialize(serializer)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                    let digits = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
                    let drawn = u128::from_str_radix(&text, 16).ok().filter(|_| digits);
                    return drawn.map(Self).ok_or_else(|| de::Error::custom("not 32 hex digits"));
                }
                let drawn = serde_bytes::ByteArray::<16>::deserialize(deserializer)?;
                Ok(Self(u128::from_be_bytes(drawn.into_array())))
            }
        }
    };
}

drawn_id! {
    /// Drawn at process start: the same name in a restarted process is another node.
    Incarnation
}
drawn_id! {
    /// Drawn when a cluster is founded; in every message, so that two clusters never mix.
    ClusterId
}
drawn_id! {
    /// Whoever numbers requests: a process, or a caller outside the ring.
    ClientId
}

/// One process of a cluster: its configured name and the incarnation drawn when it started.
#[derive(Clone, Copy, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NodeId {
    /// The name in the cluster file.
    pub name: NodeName,
    /// Which start of that name.
    pub incarnation: Incarnation,
}

impl PartialEq for NodeId {
    /// What two ids mostly differ in is looked at first.
    fn eq(&self, other: &Self) -> bool {
        self.incarnation == other.incarnation && self.name == other.name
    }
}

impl Hash for NodeId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
        self.incarnation.hash(state);
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{:?}", self.name, self.incarnation)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

macro_rules! counted_id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let number = <$inner>::deserialize(deserializer)?;
                // No count comes so far: it is garbage, and whoever went on counting from it would soon come to the end of numbers.
                if number > <$inner>::MAX / 2 {
                    return Err(de::Error::custom("a number that no count comes to"));
                }
                Ok(Self(number))
            }
        }

        impl $name {
            /// The one after this.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

counted_id! {
    /// One slice of the session-id space; below `View::arcs.len()`.
    ArcId(u16)
}
counted_id! {
    /// The number of an agreed view; grows by one, view 1 founds the cluster, 0 is "none yet".
    ViewNumber(u64)
}
counted_id! {
    /// The place of a commit in the one history of its arc; never reset, not even by a promotion.
    CommitNumber(u64)
}

/// A commit's identity. The number alone is none: two primaries may give one number to two commands (design A2).
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CommitId {
    /// The view that installed the primary which made the commit.
    pub since: ViewNumber,
    /// Its place in the arc.
    pub number: CommitNumber,
}

impl fmt::Debug for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.number, self.since)
    }
}

/// Kind and id of one session, in one shared allocation: `[kind length][kind][id]`, and their hash beside it. Ordered by the hash,
/// then by what was hashed: an order that is the same on every node and means nothing, and that is mostly found without a look at the
/// bytes.
#[derive(Clone)]
pub struct SessionKey {
    hash: u64,
    joined: Arc<[u8]>,
}

impl SessionKey {
    /// Joins a kind and an id; `None` if the kind is empty or over 64 bytes, or the id is empty or over 512 bytes.
    #[must_use]
    pub fn new(kind: &str, id: &[u8]) -> Option<Self> {
        if !Self::is_within_bounds(kind, id) {
            return None;
        }
        let mut joined = SmallVec::<[u8; 128]>::with_capacity(1 + kind.len() + id.len());
        joined.push(u8::try_from(kind.len()).expect("at most KIND_MAX"));
        joined.extend_from_slice(kind.as_bytes());
        joined.extend_from_slice(id);
        Some(Self::of(joined.as_slice().into()))
    }

    fn of(joined: Arc<[u8]>) -> Self {
        Self { hash: xxhash_rust::xxh3::xxh3_64(&joined), joined }
    }

    fn is_within_bounds(kind: &str, id: &[u8]) -> bool {
        !kind.is_empty() && kind.len() <= KIND_MAX && !id.is_empty() && id.len() <= SESSION_ID_MAX
    }

    /// Reads what `as_bytes` gave; `None` if it is not a kind and an id within their bounds.
    #[must_use]
    pub fn from_bytes(joined: &[u8]) -> Option<Self> {
        let (len, rest) = joined.split_first()?;
        let (kind, id) = rest.split_at_checked(usize::from(*len))?;
        Self::is_within_bounds(str::from_utf8(kind).ok()?, id).then(|| Self::of(joined.into()))
    }

    /// A key from the allocation of one; `None` if it is not of that kind. Whoever has the allocation took it out of a key.
    #[cfg(feature = "redis")]
    pub(crate) fn of_whole(whole: &Arc<[u8]>, kind: &str) -> Option<Self> {
        let (len, rest) = whole.split_first()?;
        let is_of = usize::from(*len) == kind.len() && rest.starts_with(kind.as_bytes());
        is_of.then(|| Self::of(Arc::clone(whole)))
    }

    /// The whole key as it travels.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.joined
    }

    /// The kind's name.
    #[must_use]
    pub fn kind(&self) -> &str {
        str::from_utf8(&self.joined[1..=usize::from(self.joined[0])]).expect("a key is made from a str")
    }

    /// The session's id within its kind.
    #[must_use]
    pub fn id(&self) -> &[u8] {
        &self.joined[1 + usize::from(self.joined[0])..]
    }

    /// What comes first in the order of keys: evenly spread, and the same on every node.
    pub(crate) const fn order(&self) -> u64 {
        self.hash
    }

    /// The allocation, and where in it the id begins.
    pub(crate) fn id_within(&self) -> (&Arc<[u8]>, usize) {
        (&self.joined, 1 + usize::from(self.joined[0]))
    }

    /// The arc this session falls on, of `arcs` in all. Frozen for the cluster's life: `xxh3-64` of the id, or of the
    /// part between the first `{` and the next `}` when that part is not empty, as Redis Cluster does. The kind has no
    /// part in it, so sessions of several kinds under one id share an arc and can change in one commit.
    ///
    /// # Panics
    /// If `arcs` is zero.
    #[must_use]
    pub fn arc(&self, arcs: u16) -> ArcId {
        arc_of(self.id(), arcs)
    }
}

impl PartialEq for SessionKey {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && (Arc::ptr_eq(&self.joined, &other.joined) || self.joined == other.joined)
    }
}

impl Eq for SessionKey {}

impl PartialOrd for SessionKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SessionKey {
    fn cmp(&self, other: &Self) -> Ordering {
        let of_one_hash = || match Arc::ptr_eq(&self.joined, &other.joined) {
            true => Ordering::Equal,
            false => self.joined.cmp(&other.joined),
        };
        self.hash.cmp(&other.hash).then_with(of_one_hash)
    }
}

impl Hash for SessionKey {
    /// Of the bytes, not of the hash that it has: whoever chose ids with one hash must not slow a table down that draws its own.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.joined.hash(state);
    }
}

/// The arc of an id of any kind; see [`SessionKey::arc`].
pub(crate) fn arc_of(id: &[u8], arcs: u16) -> ArcId {
    let hash = xxhash_rust::xxh3::xxh3_64(tag_of(id));
    ArcId(u16::try_from(hash % u64::from(arcs)).expect("below arcs, which is a u16"))
}

fn tag_of(id: &[u8]) -> &[u8] {
    let Some(open) = id.iter().position(|b| *b == b'{') else { return id };
    let rest = &id[open + 1..];
    match rest.iter().position(|b| *b == b'}') {
        Some(close) if close > 0 => &rest[..close],
        _ => id,
    }
}

impl fmt::Display for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind(), String::from_utf8_lossy(self.id()))
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for SessionKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.joined)
    }
}

impl<'de> Deserialize<'de> for SessionKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let joined = <&serde_bytes::Bytes>::deserialize(deserializer)?;
        Self::from_bytes(joined).ok_or_else(|| de::Error::custom("not a session key"))
    }
}

/// Names one request so that a retry is known as one (guarantee G3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestId {
    /// Who numbers it.
    pub client: ClientId,
    /// Grows with each new request of that client to the same session; a retry keeps it.
    pub sequence: u64,
    /// Every request of that client to this session below this number has been answered and will not be retried.
    pub first_unanswered: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_gives_back_its_kind_and_id_and_refuses_what_is_out_of_bounds() {
        let key = SessionKey::new("cart", b"c-7").expect("within bounds");
        assert_eq!((key.kind(), key.id()), ("cart", &b"c-7"[..]));
        assert_eq!(SessionKey::from_bytes(key.as_bytes()), Some(key));
        assert_eq!(SessionKey::new("", b"x"), None);
        assert_eq!(SessionKey::new("cart", &[0; SESSION_ID_MAX + 1]), None);
        assert_eq!(SessionKey::from_bytes(&[200, b'x']), None);
    }

    #[test]
    fn ids_with_one_tag_share_an_arc_whatever_their_kind() {
        let arc = |kind, id: &str| SessionKey::new(kind, id.as_bytes()).expect("within bounds").arc(1024);
        assert_eq!(arc("cart", "{u1}.cart"), arc("lock", "lock:{u1}"));
        assert_eq!(arc("cart", "u1"), arc("lock", "{u1}"));
        assert_ne!(arc("cart", "{}u1"), arc("cart", "{}u2"));
    }

    #[test]
    fn the_arc_of_an_id_is_frozen() {
        // Changing these would move every stored session: the hash is part of the wire format.
        let arc = |id: &str| SessionKey::new("k", id.as_bytes()).expect("within bounds").arc(1024).0;
        assert_eq!([arc("cart-7"), arc("alice"), arc("0")], [953, 688, 85]);
    }

    #[cfg(feature = "http")]
    #[test]
    fn drawn_ids_are_hex_for_people_and_bytes_between_nodes() {
        let node = NodeId { name: NodeName::new("a").expect("plain"), incarnation: Incarnation(0xab << 96) };
        let text = serde_json::to_string(&node).expect("JSON");
        assert_eq!(text, r#"{"name":"a","incarnation":"000000ab000000000000000000000000"}"#);
        assert_eq!(serde_json::from_str::<NodeId>(&text).expect("it reads what it wrote"), node);
        for wrong in ["\"ab\"", "\"+00000ab000000000000000000000000\"", "[0]", "\"\""] {
            assert!(serde_json::from_str::<Incarnation>(wrong).is_err(), "{wrong}");
        }
        let bytes = crate::wire::codec::encode_message(9, &node, 64).expect("small");
        assert!(bytes.windows(16).any(|w| w == (0xab_u128 << 96).to_be_bytes()), "{bytes:?}");
        assert_eq!(
            crate::wire::codec::decode_message::<NodeId>(&bytes[1..], 64).expect("it reads what it wrote"),
            node
        );
    }

    #[test]
    fn a_number_that_no_count_comes_to_is_refused_where_it_is_read() {
        let read = |number| {
            let bytes = crate::wire::codec::encode_message(9, &CommitNumber(number), 16).expect("small");
            crate::wire::codec::decode_message::<CommitNumber>(&bytes[1..], 16)
        };
        for number in [0, 1 << 40, u64::MAX / 2] {
            assert_eq!(read(number), Ok(CommitNumber(number)));
        }
        for number in [u64::MAX / 2 + 1, u64::MAX] {
            assert!(read(number).is_err(), "{number}: it would be followed by another");
        }
    }

    #[test]
    fn node_names_are_short_and_plain() {
        assert_eq!(NodeName::new("node-1.rack_2").expect("plain").as_str(), "node-1.rack_2");
        assert_eq!(NodeName::new(&"n".repeat(NODE_NAME_MAX)).expect("longest").as_str().len(), NODE_NAME_MAX);
        assert!(NodeName::new("").is_none() && NodeName::new("a b").is_none());
        assert!(NodeName::new(&"n".repeat(NODE_NAME_MAX + 1)).is_none());
    }
}
