//! Pins: what keeps an arc with the primary that serves it, although placement would have it elsewhere.
//!
//! A pin holds primaries, never backups: copies are made where placement wants them, so a node that came back is soon the
//! first backup of what was its own, and the next loss, or its operator's word (`Member::claims`), brings that home.
//!
//! Invariant: an arc that a pin lets go moves straight to where it would be without the pin, and what is there no pin holds.
//! So no arc moves twice while the members stay the same, and what is let go for overload never comes back for it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{
    homes::Share,
    view::{Member, Role, View},
};
use crate::id::{ArcId, NodeId};

/// When a live primary gives up an arc whose place is elsewhere. Its death, and an operator's word for the arc's home, always
/// make it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pin {
    /// Always: arcs go home by live hand-back.
    #[default]
    None,
    /// When it drains; and when it serves more than its share of all arcs by weight, so many that it serves its share.
    OnOverload,
    /// When it drains.
    OnDrain,
    /// Never, not even when it drains.
    NeverMove,
}

impl Pin {
    /// Every pin, as the cluster file writes them.
    pub const ALL: [Self; 4] = [Self::None, Self::OnOverload, Self::OnDrain, Self::NeverMove];

    /// As the cluster file writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::OnOverload => "on_overload",
            Self::OnDrain => "on_drain",
            Self::NeverMove => "never_move",
        }
    }

    /// The pin of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|pin| pin.name() == name)
    }

    /// Whether arcs stay with this member as long as it lives, overload aside. Who is no host serves only until one can.
    pub(super) fn holds(self, member: &Member) -> bool {
        member.role == Role::Host
            && match self {
                Self::None => false,
                Self::OnOverload | Self::OnDrain => member.stays(),
                Self::NeverMove => true,
            }
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The arcs that primaries give up for overload: of what each serves beyond its share, rounded up, those whose place is
/// elsewhere, the highest numbers first. `claimed` has, for every arc whose place is elsewhere, whether it goes there anyway.
///
/// The choice is by number alone: while some of them are on their way, the others stay chosen and no further one is.
pub(super) fn surplus(view: &View, claimed: &[Option<bool>]) -> BTreeSet<ArcId> {
    let hosts = || view.members.iter().filter(|member| Pin::OnOverload.holds(member));
    let all: u64 = hosts().map(|member| u64::from(member.weight.get())).sum();
    let mut served: BTreeMap<NodeId, usize> = BTreeMap::new();
    for (entry, _) in view.arcs.iter().zip(claimed).filter(|(_, claimed)| **claimed != Some(true)) {
        *served.entry(entry.primary).or_default() += 1;
    }
    let beyond = |member: &Arc<Member>| {
        let share = Share::of(member.weight, all, view.arcs.len()).ceil();
        (member.node, served.get(&member.node).copied().unwrap_or(0).saturating_sub(share))
    };
    let mut beyond: BTreeMap<NodeId, usize> = hosts().map(beyond).collect();
    let mut given_up = BTreeSet::new();
    let movable: Vec<_> = view.entries().zip(claimed).filter(|(_, claimed)| **claimed == Some(false)).collect();
    for ((arc, entry), _) in movable.into_iter().rev() {
        if let Some(left) = beyond.get_mut(&entry.primary).filter(|left| **left > 0) {
            *left -= 1;
            given_up.insert(arc);
        }
    }
    given_up
}
