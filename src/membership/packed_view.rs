//! A view as it travels: nodes and names once in a table, entries that are equal once, and for each arc the place of its
//! entry. Sixteen bytes an arc would already be too many for a message that every proposal carries; this takes one or two.
//!
//! Unpacking believes nothing: a place outside its table, and a view that contradicts itself (`View::check`), are refused.
//! It knows no serde format. Unpacked entries that are equal are shared, as a decided view's are.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

use super::{ArcEntry, Member, Shape, View, ViewFault, view::PREDECESSORS_MAX};
use crate::id::{ClusterId, NodeId, NodeName, ViewNumber};

/// A place in one of the tables.
type Place = u16;

/// The packed form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PackedView {
    cluster: ClusterId,
    number: ViewNumber,
    shape: Arc<Shape>,
    members: Vec<Arc<Member>>,
    /// Every process that voters or entries name, members first.
    nodes: Vec<NodeId>,
    /// Every name that is a home.
    homes: Vec<NodeName>,
    voters: Vec<Place>,
    entries: Vec<PackedEntry>,
    arcs: Vec<Place>,
    /// Absent from what older versions stored.
    #[serde(default)]
    succeeds: Vec<ClusterId>,
}

/// An entry, with places in the tables for names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct PackedEntry {
    home: Place,
    primary: Place,
    in_sync: Vec<Place>,
    catching_up: Option<Place>,
    since: ViewNumber,
    changed: ViewNumber,
    lost_at: Option<ViewNumber>,
    /// Absent from what older versions stored.
    #[serde(default)]
    loss_cleared: bool,
}

/// Why bytes are no view. Nothing changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unpackable {
    /// A place that is in no table.
    Place(Place),
    /// The view contradicts itself.
    Fault(ViewFault),
}

impl fmt::Display for Unpackable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Place(place) => write!(f, "a packed view that speaks of place {place}, which is in no table"),
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

/// More different things than a place can number: no view within the bounds of `Shape` has as many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TooMany;

/// Things in the order they were first met, each once.
struct Table<T> {
    places: BTreeMap<T, Place>,
    listed: Vec<T>,
}

impl<T: Ord + Clone> Table<T> {
    const fn new() -> Self {
        Self { places: BTreeMap::new(), listed: Vec::new() }
    }

    fn place(&mut self, thing: T) -> Result<Place, TooMany> {
        if let Some(place) = self.places.get(&thing) {
            return Ok(*place);
        }
        let place = Place::try_from(self.listed.len()).map_err(|_| TooMany)?;
        self.listed.push(thing.clone());
        self.places.insert(thing, place);
        Ok(place)
    }
}

fn pack(view: &View) -> Result<PackedView, TooMany> {
    let mut nodes = Table::new();
    let mut homes = Table::new();
    let mut entries = Table::new();
    for member in &view.members {
        nodes.place(member.node)?;
    }
    let voters = view.voters.iter().map(|v| nodes.place(*v)).collect::<Result<_, _>>()?;
    let mut arcs: Vec<Place> = Vec::with_capacity(view.arcs.len());
    for (at, entry) in view.arcs.iter().enumerate() {
        // Neighbours mostly share one entry; comparing pointers spares packing it again.
        let before = at.checked_sub(1).filter(|b| Arc::ptr_eq(&view.arcs[*b], entry)).map(|b| arcs[b]);
        if let Some(place) = before {
            arcs.push(place);
            continue;
        }
        let packed = PackedEntry {
            home: homes.place(entry.home)?,
            primary: nodes.place(entry.primary)?,
            in_sync: entry.in_sync.iter().map(|b| nodes.place(*b)).collect::<Result<_, _>>()?,
            catching_up: entry.catching_up.map(|c| nodes.place(c)).transpose()?,
            since: entry.since,
            changed: entry.changed,
            lost_at: entry.lost_at,
            loss_cleared: entry.loss_cleared,
        };
        arcs.push(entries.place(packed)?);
    }
    Ok(PackedView {
        cluster: view.cluster,
        number: view.number,
        shape: Arc::clone(&view.shape),
        members: view.members.clone(),
        nodes: nodes.listed,
        homes: homes.listed,
        voters,
        entries: entries.listed,
        arcs,
        succeeds: view.succeeds.clone(),
    })
}

fn unpack(packed: PackedView) -> Result<View, Unpackable> {
    let node = |place: Place| packed.nodes.get(usize::from(place)).copied().ok_or(Unpackable::Place(place));
    let home = |place: Place| packed.homes.get(usize::from(place)).copied().ok_or(Unpackable::Place(place));
    let entry = |entry: &PackedEntry| {
        Ok(Arc::new(ArcEntry {
            home: home(entry.home)?,
            primary: node(entry.primary)?,
            in_sync: entry.in_sync.iter().map(|b| node(*b)).collect::<Result<_, _>>()?,
            catching_up: entry.catching_up.map(node).transpose()?,
            since: entry.since,
            changed: entry.changed,
            lost_at: entry.lost_at,
            loss_cleared: entry.loss_cleared,
        }))
    };
    let entries = packed.entries.iter().map(entry).collect::<Result<Vec<_>, Unpackable>>()?;
    let arc = |place: &Place| entries.get(usize::from(*place)).cloned().ok_or(Unpackable::Place(*place));
    let view = View {
        cluster: packed.cluster,
        number: packed.number,
        voters: packed.voters.iter().map(|v| node(*v)).collect::<Result<_, _>>()?,
        arcs: packed.arcs.iter().map(arc).collect::<Result<_, _>>()?,
        shape: packed.shape,
        members: packed.members,
        succeeds: packed.succeeds.into_iter().take(PREDECESSORS_MAX).collect(),
    };
    view.check().map_err(Unpackable::Fault)?;
    Ok(view)
}

impl Serialize for View {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let packed = pack(self).map_err(|TooMany| ser::Error::custom("a view of more nodes than can be numbered"))?;
        packed.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for View {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        unpack(PackedView::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
