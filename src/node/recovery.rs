//! An operator's words where the ring cannot go on by itself: who is dead, and with whom it shall go on.
//!
//! Both rest on what only people know. A word that is not true voids the guarantees: where the processes that were not named
//! go on as well, there are two clusters, and each serves the sessions.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::{sync::oneshot, time};

use super::Node;
use crate::{
    id::{ArcId, ClusterId, NodeId, NodeName, ViewNumber},
    membership::{Member, RecoveryFault, View, successor_view},
    runtime::view_keeper::KeeperInput,
};

/// The view keeper answers sooner than this, or the node is gone.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

/// A ring that goes on as the successor of its cluster, or what that would come to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovery {
    /// The cluster that goes on; of a plan, the one that stands still.
    pub cluster: ClusterId,
    /// Its first view; of a plan, the view that is looked at.
    pub view: ViewNumber,
    /// Who is in it.
    pub members: Vec<NodeName>,
    /// Arcs that are served from a copy that was in sync in the newest view known.
    pub kept: usize,
    /// Arcs of which no such copy is left: their sessions are `Lost`.
    pub lost: Vec<ArcId>,
}

impl Recovery {
    fn of(view: &View) -> Self {
        let is_lost = |arc: &ArcId| view.arc(*arc).is_some_and(|entry| entry.lost_at == Some(view.number));
        let lost: Vec<ArcId> = view.entries().map(|(arc, _)| arc).filter(is_lost).collect();
        Self {
            cluster: view.cluster,
            view: view.number,
            members: view.members.iter().map(|m| m.node.name).collect(),
            kept: view.arcs.len() - lost.len(),
            lost,
        }
    }
}

impl Node {
    /// What going on with these nodes alone would come to, as far as this node knows. Nothing is changed or asked.
    ///
    /// # Errors
    /// None of them may serve sessions, some do not run as far as this node knows, or one that is heard is not named.
    pub fn plan_recovery(&self, named: &BTreeSet<NodeName>) -> Result<Recovery, RecoveryFault> {
        let (view, linked, unheard) = (self.view(), self.linked(), self.outlook().unheard);
        let is_heard = |m: &&Arc<Member>| !unheard.contains(&m.node.name);
        let left_out: Vec<NodeName> =
            view.members.iter().filter(is_heard).map(|m| m.node.name).filter(|name| !named.contains(name)).collect();
        if !left_out.is_empty() {
            return Err(RecoveryFault::LeavesOut(left_out));
        }
        // A process that was started anew under a member's name runs, and holds nothing of what that member did.
        let runs = |name: &NodeName| {
            let member = view.named(*name)?;
            let process =
                if is_heard(&member) { member.node } else { *linked.iter().find(|node| node.name == *name)? };
            Some(Member { node: process, ..Member::clone(member) })
        };
        let missing: Vec<NodeName> = named.iter().filter(|name| runs(name).is_none()).copied().collect();
        if !missing.is_empty() {
            return Err(RecoveryFault::NotReached(missing));
        }
        let members: Vec<Member> = named.iter().filter_map(runs).collect();
        let planned = successor_view(&view, view.cluster, members).ok_or(RecoveryFault::NoHost)?;
        Ok(Recovery { view: view.number, ..Recovery::of(&planned) })
    }

    /// Has the ring go on without a quorum, with the nodes named alone: this one among them, and all that still run. They found
    /// the *successor* of their cluster, under an id of its own. An arc is served from a copy that was in sync in the newest
    /// view that any of them knows; where none is left it is `Lost`. Nodes started anew join as ever.
    ///
    /// It is for when a majority of the voters is gone for good. Whoever is not named must have ended and must not come back
    /// under its old process: should they have decided a view that none of those named knows, what was acknowledged under it
    /// may be missing; should they still run and hear a majority, there are two clusters. One that was only cut off and finds
    /// itself left behind serves nothing, keeps what it holds and says so in its log.
    ///
    /// # Errors
    /// Why nothing has changed: a quorum is heard, somebody named is not reached or declined, none may serve.
    pub async fn recover(&self, named: &BTreeSet<NodeName>) -> Result<Recovery, RecoveryFault> {
        let (answer, answered) = oneshot::channel();
        self.0.shared.tell_keeper(KeeperInput::Recover(named.clone(), answer));
        let ended = time::timeout(ANSWERED_WITHIN, answered).await;
        let view = ended.ok().and_then(Result::ok).unwrap_or(Err(RecoveryFault::Stopped))?;
        Ok(Recovery::of(&view))
    }

    /// Takes the word that every process of this name that the view knows has ended, as proof: arcs whose last copies they held
    /// become `Lost` instead of waiting, and under `majority_or_proof` it counts where proof does. The others are told.
    ///
    /// # Errors
    /// One of them is heard, so it has not ended, or the view names none.
    pub async fn declare_dead(&self, name: NodeName) -> Result<Vec<NodeId>, RecoveryFault> {
        let (answer, answered) = oneshot::channel();
        self.0.shared.tell_keeper(KeeperInput::Word(name, answer));
        let ended = time::timeout(ANSWERED_WITHIN, answered).await;
        let dead = ended.ok().and_then(Result::ok).ok_or(RecoveryFault::Stopped)?;
        if dead.is_empty() { Err(RecoveryFault::NotDead(name)) } else { Ok(dead) }
    }
}
