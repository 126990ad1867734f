//! What a whole cluster agrees on for its life: how many arcs and copies, who decides, in which order the names stand.
//!
//! It comes from the founder's file, is in every view, and decides nothing by itself.

use std::{collections::BTreeMap, num::NonZeroU16, time::Duration};

use serde::{Deserialize, Serialize};

use super::pin::Pin;
use crate::id::NodeName;

/// Who may decide a view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Agreement {
    /// More than half of the voters of the view before.
    #[default]
    Majority,
    /// Also: at least half of them, when every other is proved dead.
    MajorityOrProof,
}

/// What is fixed, or agreed, for the whole cluster. Taken from the founder's file, so that nodes whose files drifted apart
/// still compute the same next view.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Shape {
    /// Number of arcs; fixed for the cluster's life.
    pub arcs: u16,
    /// Backups wanted for each arc, 0 to 3.
    pub backups: u8,
    /// How many successors share one node's arcs; 1 is the classic ring.
    pub spread: u8,
    /// When a live primary gives up what belongs elsewhere.
    pub pin: Pin,
    /// At most this many voters.
    pub voters_max: u8,
    /// Who may decide.
    pub agreement: Agreement,
    /// What a grant is worth. A holder and a grantor that counted differently would leave a time in which two answer reads.
    pub lease: Duration,
    /// How long an idle client's replies are kept. A copy that forgot sooner would run a retry anew once it is promoted.
    pub reply_keep: Duration,
    /// Every name that ever had a place, in ring order: the file's order, then those that joined unlisted.
    pub ring: Vec<NodeName>,
    /// With which weight the arcs of a name were dealt, where it is not 1. No part of a file's shape: each node says its own.
    pub weights: BTreeMap<NodeName, NonZeroU16>,
}

impl Shape {
    /// The first key of the cluster file in which this shape, a file's, contradicts the one of a ring; `None` if they may be
    /// one cluster. A file may lack names, and may list new ones after all of the ring's: files drift apart while nodes are
    /// added and taken away. The names that both know must come in the same order.
    #[must_use]
    pub fn differs_from(&self, ring: &Self) -> Option<&'static str> {
        let place = |name| ring.ring.iter().position(|n| n == name).unwrap_or(usize::MAX);
        [
            ("arcs", self.arcs != ring.arcs),
            ("backups", self.backups != ring.backups),
            ("spread", self.spread != ring.spread),
            ("pin", self.pin != ring.pin),
            ("agreement", self.agreement != ring.agreement),
            ("lease", self.lease != ring.lease),
            ("voters_max", self.voters_max != ring.voters_max),
            ("reply_keep", self.reply_keep != ring.reply_keep),
            ("node", !self.ring.iter().map(place).is_sorted()),
        ]
        .into_iter()
        .find_map(|(key, differs)| differs.then_some(key))
    }
}
