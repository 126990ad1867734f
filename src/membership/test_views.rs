//! Views for tests: a founded cluster, and the same cluster after deaths, returns and joins.
//!
//! These edit members and homes only, as far as placement sees; they do not promote, and they are no model of `next_view`.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{
    homes::{WEIGHT, deal_homes, rehome},
    pin::Pin,
    placement::targets,
    shape::{Agreement, Shape},
    view::{ArcEntry, Member, Role, Standing, View},
};
use crate::id::{ClusterId, Incarnation, NodeId, NodeName, ViewNumber};

/// A name known to be plain.
pub(crate) fn name(text: &str) -> NodeName {
    NodeName::new(text).expect("a plain name")
}

/// The `start`-th process of a name.
pub(crate) fn node(text: &str, start: u128) -> NodeId {
    NodeId { name: name(text), incarnation: Incarnation(start << 96) }
}

/// A host in no zone, its address made from its name.
pub(crate) fn member(node: NodeId) -> Member {
    Member {
        node,
        role: Role::Host,
        zone: None,
        cluster_address: format!("{}:7400", node.name),
        http_address: None,
        workers: 1,
        votes_as: None,
        standing: Standing::Open,
        weight: WEIGHT,
        claims: false,
        kinds: Vec::new(),
    }
}

/// View 1 of a cluster of hosts, all of them voters, spread 1, every arc where its target is.
pub(crate) fn founded(names: &[&str], arcs: u16, backups: u8) -> View {
    founded_by(names.iter().map(|n| member(node(n, 1))).collect(), arcs, backups, 1)
}

/// View 1 of these members in this ring order; arcs are dealt to the hosts, and placed where their target is.
pub(crate) fn founded_by(members: Vec<Member>, arcs: u16, backups: u8, spread: u8) -> View {
    let ring = members.iter().map(|m| m.node.name).collect();
    let voters_max = u8::try_from(members.len()).expect("a test ring is small");
    let (lease, reply_keep) = (Duration::from_millis(200), Duration::from_secs(600));
    let mut shape = Shape {
        arcs,
        backups,
        spread,
        pin: Pin::None,
        voters_max,
        agreement: Agreement::Majority,
        lease,
        reply_keep,
        ring,
        weights: BTreeMap::new(),
    };
    for member in &members {
        shape.weigh(member.node.name, member.weight);
    }
    let hosts: Vec<_> = members.iter().filter(|m| m.role == Role::Host).map(|m| m.node.name).collect();
    let homes = deal_homes(&shape, &hosts);
    let mut voters: Vec<_> = members.iter().map(|m| m.node).collect();
    voters.sort();
    let primary = members[0].node;
    let number = ViewNumber(1);
    let entry = |home| {
        let in_sync = Vec::new();
        Arc::new(ArcEntry {
            home,
            primary,
            in_sync,
            catching_up: None,
            since: number,
            changed: number,
            lost_at: None,
            loss_cleared: false,
        })
    };
    let arcs = homes.into_iter().map(entry).collect();
    let members = members.into_iter().map(Arc::new).collect();
    settled(&View { cluster: ClusterId(7), number, shape: Arc::new(shape), members, voters, arcs, succeeds: vec![] })
}

/// The same view with every arc where its target is.
pub(crate) fn settled(view: &View) -> View {
    let mut settled = view.clone();
    for (entry, target) in settled.arcs.iter_mut().zip(targets(view)) {
        let entry = Arc::make_mut(entry);
        entry.primary = target.primary.expect("a test ring has a live host");
        entry.in_sync = target.backups;
    }
    settled
}

/// The same view without these names; their entries still name them, as before anyone proposed.
pub(crate) fn without(view: &View, dead: &[&str]) -> View {
    let mut left = view.clone();
    left.members.retain(|m| !dead.contains(&m.node.name.as_str()));
    left.voters.retain(|v| !dead.contains(&v.name.as_str()));
    left
}

/// The same view with a member more: a name that returns takes its old place, a new one comes last and takes its share.
pub(crate) fn with(view: &View, newcomer: Member) -> View {
    let mut joined = view.clone();
    let name = newcomer.node.name;
    if !joined.shape.ring.contains(&name) {
        let homes: Vec<_> = view.arcs.iter().map(|e| e.home).collect();
        let shape = Arc::make_mut(&mut joined.shape);
        shape.ring.push(name);
        shape.weigh(name, newcomer.weight);
        for (entry, home) in joined.arcs.iter_mut().zip(rehome(shape, &homes, name)) {
            Arc::make_mut(entry).home = home;
        }
    }
    joined.members.push(Arc::new(newcomer));
    let ring = joined.shape.ring.clone();
    joined.members.sort_by_key(|m| ring.iter().position(|n| *n == m.node.name));
    joined
}

/// A number below `below`, drawn from a seed that moves on (splitmix64): for drivers that shuffle, lose and double.
pub(crate) fn chance(seed: &mut u64, below: u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut drawn = *seed;
    drawn = (drawn ^ (drawn >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    drawn = (drawn ^ (drawn >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (drawn ^ (drawn >> 31)) % below
}
