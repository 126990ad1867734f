//! An operator's words where the ring cannot go on by itself: who is dead, and with whom it shall go on.
//!
//! Both rest on what only people know. A word that is not true voids the guarantees: where the processes that were not named
//! go on as well, there are two clusters, and each serves the sessions.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::{sync::oneshot, time};

use super::Node;
use crate::{
    id::{ArcId, ClusterId, NodeId, NodeName, ViewNumber},
    membership::{ArcEntry, Member, RecoveryFault, View, successor_view, unheard_processes},
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

/// What an operator's word that a node has ended would come to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Death {
    /// Whom it is about.
    pub processes: Vec<NodeId>,
    /// Arcs whose every copy is theirs: they wait now, and would be lost.
    pub lost: Vec<ArcId>,
    /// Whether enough voters are heard for a view to say so.
    pub quorum: bool,
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
    /// itself left behind answers for none of its sessions, keeps what it holds and says so in its log.
    ///
    /// # Errors
    /// Why nothing has changed: a quorum is heard, somebody named is not reached or declined, none may serve.
    pub async fn recover(&self, named: &BTreeSet<NodeName>) -> Result<Recovery, RecoveryFault> {
        let view = self.ask_keeper(|answer| KeeperInput::Recover(named.clone(), answer)).await??;
        Ok(Recovery::of(&view))
    }

    /// What taking the word that the processes of this name have ended would come to, as far as this node knows. Nothing is
    /// changed or asked.
    ///
    /// # Errors
    /// One of them is heard, so it has not ended, or the view tells of none.
    pub fn plan_death(&self, name: NodeName) -> Result<Death, RecoveryFault> {
        let (view, outlook) = (self.view(), self.outlook());
        let is_heard =
            |node: &NodeId| *node == self.id() || (view.is_member(*node) && !outlook.unheard.contains(&node.name));
        let processes = unheard_processes(&view, name, is_heard)?;
        let only_there = |entry: &Arc<ArcEntry>| {
            processes.contains(&entry.primary) && entry.in_sync.iter().all(|backup| processes.contains(backup))
        };
        let lost = view.entries().filter(|(_, entry)| only_there(entry)).map(|(arc, _)| arc).collect();
        Ok(Death { processes: processes.into_iter().collect(), lost, quorum: outlook.has_quorum() })
    }

    /// Takes the word that every process of this name that the view knows has ended, as proof: arcs whose last copies they held
    /// become `Lost` instead of waiting, and under `majority_or_proof` it counts where proof does. The others are told. Where no
    /// quorum is heard even so, nothing comes of it until one is.
    ///
    /// # Errors
    /// One of them is heard, so it has not ended, or the view tells of none.
    pub async fn declare_dead(&self, name: NodeName) -> Result<Vec<NodeId>, RecoveryFault> {
        self.ask_keeper(|answer| KeeperInput::Word(name, answer)).await?
    }

    /// Says that the losses so far are known: from the next view on, ids that their arcs do not know answer as if they had never
    /// existed, and older copies kept for those arcs are let go. Which arcs those are, comes back when a view says so.
    ///
    /// # Errors
    /// `NoQuorum`: nothing has changed. `NotDecided`: it may yet come; asking again does no harm.
    pub async fn clear_lost(&self) -> Result<Vec<ArcId>, RecoveryFault> {
        if !self.outlook().has_quorum() {
            return Err(RecoveryFault::NoQuorum);
        }
        let losses = self.ask_keeper(KeeperInput::ClearLost).await?;
        let is_open = |view: &View| losses.iter().any(|(arc, at)| view.has_open_loss(*arc, *at));
        self.await_view(|view| !is_open(view)).await?;
        Ok(losses.into_keys().collect())
    }

    /// Comes into the cluster that went on without this node, if one did. What it holds stays, as older copies.
    pub(super) async fn go_over(&self) -> Result<(), RecoveryFault> {
        let before = self.view().cluster;
        if !self.ask_keeper(KeeperInput::GoOver).await? {
            return Ok(());
        }
        let me = self.id();
        self.await_view(|view| view.cluster != before && view.is_member(me)).await
    }

    async fn ask_keeper<T>(&self, input: impl FnOnce(oneshot::Sender<T>) -> KeeperInput) -> Result<T, RecoveryFault> {
        let (answer, answered) = oneshot::channel();
        self.0.shared.tell_keeper(input(answer));
        time::timeout(ANSWERED_WITHIN, answered).await.ok().and_then(Result::ok).ok_or(RecoveryFault::Stopped)
    }

    async fn await_view(&self, is_awaited: impl Fn(&View) -> bool) -> Result<(), RecoveryFault> {
        let mut views = self.0.shared.views.subscribe();
        let awaited = views.wait_for(|view| view.as_ref().is_some_and(|view| is_awaited(view)));
        match time::timeout(ANSWERED_WITHIN, awaited).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(RecoveryFault::Stopped),
            Err(_) => Err(RecoveryFault::NotDecided),
        }
    }
}
