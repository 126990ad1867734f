//! What both models stand on: the names of their nodes, the view that these begin with, and things that are sealed.
//!
//! It knows nothing of steps or letters.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use ringheir::{
    id::{ClusterId, Incarnation, NodeId, NodeName},
    membership::{Agreement, Member, Pin, Role, Shape, Standing, View, WEIGHT, founding_view},
};

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// What a grant is worth.
pub(crate) const LEASE: Duration = Duration::from_millis(200);

/// The node at a place.
pub(crate) fn id(place: usize) -> NodeId {
    let name = NodeName::new(NAMES[place]).expect("a plain name");
    NodeId { name, incarnation: Incarnation(1) }
}

/// The place of a node.
pub(crate) fn place_of(id: NodeId) -> usize {
    NAMES.iter().position(|n| *n == id.name.as_str()).expect("named by `id`")
}

/// View 1 of so many nodes with one arc and one backup, the first of them voters.
pub(crate) fn founded(size: usize, voters: usize, agreement: Agreement) -> View {
    let member = |place| Member {
        node: id(place),
        role: Role::Host,
        zone: None,
        cluster_address: String::new(),
        http_address: None,
        workers: 1,
        votes_as: None,
        standing: Standing::Open,
        weight: WEIGHT,
        claims: false,
        kinds: Vec::new(),
    };
    let names: Vec<NodeName> = (0..size).map(|place| id(place).name).collect();
    let shape = Shape {
        arcs: 1,
        backups: 1,
        spread: 1,
        pin: Pin::None,
        voters_max: u8::try_from(voters).expect("few"),
        agreement,
        lease: LEASE,
        reply_keep: Duration::from_secs(600),
        ring: names.clone(),
        weights: BTreeMap::new(),
    };
    founding_view(ClusterId(1), shape, (0..size).map(member).collect(), &names[..voters])
}

/// Something that does not change any more, with its digest; equal when the digests are.
#[derive(Debug)]
pub(crate) struct Sealed<T>(pub(crate) u64, pub(crate) Arc<T>);

impl<T: Hash> Sealed<T> {
    /// Digests it.
    pub(crate) fn new(inner: T) -> Self {
        let mut hasher = DefaultHasher::new();
        inner.hash(&mut hasher);
        Self(hasher.finish(), Arc::new(inner))
    }

    /// Puts it among others that are sorted by digest, if it is not there.
    pub(crate) fn add_to(self, others: &mut Vec<Self>) {
        if let Err(place) = others.binary_search_by_key(&self.0, |o| o.0) {
            others.insert(place, self);
        }
    }
}

impl<T> Clone for Sealed<T> {
    fn clone(&self) -> Self {
        Self(self.0, Arc::clone(&self.1))
    }
}

impl<T> PartialEq for Sealed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<T> Eq for Sealed<T> {}

impl<T> Hash for Sealed<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0);
    }
}
