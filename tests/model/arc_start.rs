//! Where the explorations of one arc begin: the first view, and what was done and settled before anything may go wrong.
//!
//! It plays steps of the model itself, one after the other, and never loses a letter.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use ringheir::{
    membership::{Agreement, Chain, View},
    replication::{Grants, Host, ReplicationSettings, ReplyLimits},
};

use super::{
    arc_model::ArcModel,
    arc_world::{Node, Told, World},
    ring::{LEASE, Sealed, founded, id},
};

/// How many nodes there are; all of them vote.
pub(crate) const SIZE: usize = 3;

/// Where an exploration begins. Views before it are not played again: their last one stands as view 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// `a` serves, `b` is in sync, `c` is free.
    Protected,
    /// `a` serves alone, `b` is to catch up, `c` is free.
    Alone,
    /// `a` serves, `b` and `c` are in sync, one more than wanted.
    Both,
    /// `a` serves, `b` is in sync, and `c`, whose home the arc is, is to catch up.
    Returning,
}

impl ArcModel {
    fn settings(&self) -> ReplicationSettings {
        ReplicationSettings {
            lease: LEASE,
            ack_after: Duration::from_secs(if self.impatient { 1 } else { 3600 }),
            shun: Duration::ZERO,
            // One session a chunk, one chunk at a time.
            chunk_bytes: 1,
            chunks_in_flight: 1,
            replies: ReplyLimits::default(),
            rules: self.rules,
            ..ReplicationSettings::default()
        }
    }

    fn first_view(&self) -> View {
        let mut view = founded(SIZE, SIZE, Agreement::Majority);
        let entry = Arc::make_mut(&mut view.arcs[0]);
        let [a, b, c] = [0, 1, 2].map(id);
        entry.home = if self.start == Start::Returning { c.name } else { a.name };
        entry.primary = a;
        (entry.in_sync, entry.catching_up) = match self.start {
            Start::Protected => (vec![b], None),
            Start::Alone => (vec![], Some(b)),
            Start::Both => (vec![b, c], None),
            Start::Returning => (vec![b], Some(c)),
        };
        view
    }

    /// Delivers everything, in some order, until nothing is under way.
    fn settle(&self, mut world: World) -> World {
        while let Some(next) = (0..world.letters.len()).find_map(|at| self.deliver(&world, at)) {
            world = next;
        }
        world
    }

    /// The only state that an exploration begins with.
    pub(crate) fn beginning(&self) -> World {
        let view = Arc::new(self.first_view());
        let node = |place| Node {
            me: id(place),
            chain: Chain::new(id(place), Arc::clone(&view)),
            host: Host::new(id(place), Arc::clone(&view), 0, 1, 1 << 20, self.settings()),
            grants: Grants::default(),
            dead: BTreeSet::new(),
            alive: true,
            proposals_left: self.proposals[place],
            drops: None,
            asked: (None, None),
            stored: BTreeMap::new(),
            settled: BTreeMap::new(),
        };
        let mut world = World {
            nodes: (0..SIZE).map(|place| Sealed::new(node(place))).collect(),
            letters: Vec::new(),
            decided: vec![Sealed::new(View::clone(&view))],
            wishes: Vec::new(),
            told: Sealed::new(Told::default()),
            time: 0,
            writes_left: self.before,
            reads_left: self.reads,
            written: 0,
        };
        for place in 0..SIZE {
            world = self.with_node(&world, place, |next, node| node.install(&view, next)).unwrap_or(world);
        }
        world = self.settle(world);
        for _ in 0..self.before {
            let written = self.write(&world, 0).expect("it serves");
            world = self.settle(written);
        }
        assert_eq!(world.told.1.known.len(), usize::from(self.before), "what was written before is acknowledged");
        world.writes_left = self.writes;
        world
    }
}
