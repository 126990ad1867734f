//! How a cluster comes to be exactly once: a starting process either joins what serves, or takes part in one founding.
//!
//! Everyone listed is asked. If anyone serves, this process joins it and never founds. Founding needs "blank", with the same
//! digest, from *every* configured voter; the first of them in file order proposes view 1, naming exactly their process ids;
//! a process accepts one founding in its life. A majority would not do: four blanks could found a second cluster while the
//! fifth still holds in-sync copies of the first (A10 of the interleavings).
//!
//! A process whose accepted founding can no longer succeed gives up and starts anew under another incarnation; it never
//! takes the acceptance back. It does not dial and reads no clock.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::{ChainMessage, FoundingMessage, KeeperMessage, Member, Shape, View, next_view::founding_view};
use crate::{
    id::{ClusterId, NodeId, NodeName, ViewNumber},
    moment::Moment,
};

/// How long a process that heard one cluster serve listens for another before it joins.
const LISTEN: Duration = Duration::from_millis(150);
/// A cluster that was heard to serve and gives no view for this long is gone: this process goes on as if it had not heard
/// it. No second cluster comes of it, for founding still needs a blank from every voter.
const JOIN_PATIENCE: Duration = Duration::from_secs(2);
/// How often a starting process says what it is.
const SAY: Duration = Duration::from_millis(50);
/// A blank that has not repeated itself for this long is no longer counted.
const BLANK_KEPT: Duration = Duration::from_millis(500);
/// An accepted founding is given up when a listed process was out of reach this long. It is long, because one that is only
/// cut off may have installed view 1 and count on this process as a voter.
const ACCEPTED_PATIENCE: Duration = Duration::from_secs(20);
/// Processes with another configuration are remembered up to this many, to be named.
const OTHERS_MAX: usize = 64;

/// What founding asks of its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "few, and taken apart at once")]
pub enum FoundingEffect {
    /// Send this.
    Send(NodeId, KeeperMessage),
    /// View 1 stands, and this process is in it.
    Founded(Arc<View>),
    /// A cluster serves: this is its view, which this process is to join.
    Join(Arc<View>),
    /// Two clusters serve under these addresses: refuse to start and name both.
    TwoClusters(ClusterId, ClusterId),
    /// The cluster that serves was founded with another configuration: refuse to start and name the key.
    Differs(Difference),
    /// This incarnation's founding cannot succeed any more: start anew with another.
    StartAnew,
}

/// Two configurations that cannot be one cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Difference {
    /// Whose configuration is another than this process's.
    pub with: NodeName,
    /// The first key in which they differ; `node` is the list of nodes.
    pub key: &'static str,
}

/// What one founding needs to know of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FoundingPlan {
    /// The digest of everything that must agree.
    pub digest: u64,
    /// What the cluster will be.
    pub shape: Shape,
    /// The names whose blanks are all needed, in file order. The operator's word (`--found a,b`) may name fewer.
    pub voters: Vec<NodeName>,
    /// So long a process listens for a cluster that serves before it proposes. Where the blanks of all configured voters are
    /// needed they prove that there is none; where the operator named fewer, a cluster may run among the others.
    pub listen: Duration,
}

/// The founding of one starting process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Founding {
    member: Member,
    plan: FoundingPlan,
    /// Drawn by the owner; used only if this process proposes.
    cluster: ClusterId,
    blanks: BTreeMap<NodeName, (Member, Moment)>,
    /// Who said "blank" with another configuration, and when.
    others: BTreeMap<NodeName, (Difference, Moment)>,
    serving: BTreeMap<ClusterId, NodeId>,
    serving_since: Option<Moment>,
    joining: Option<ClusterId>,
    accepted: Option<(Arc<View>, NodeId, Moment)>,
    proposed: Option<(Arc<View>, BTreeSet<NodeId>)>,
    said: Option<Moment>,
    began: Option<Moment>,
    finished: bool,
}

impl Founding {
    /// A blank process that starts. `cluster` is a fresh uuid.
    #[must_use]
    pub fn new(member: Member, plan: FoundingPlan, cluster: ClusterId) -> Self {
        Self {
            member,
            plan,
            cluster,
            blanks: BTreeMap::new(),
            others: BTreeMap::new(),
            serving: BTreeMap::new(),
            serving_since: None,
            joining: None,
            accepted: None,
            proposed: None,
            said: None,
            began: None,
            finished: false,
        }
    }

    /// The configured voters that have not said "blank" lately; what a waiting process tells its operator. None are missed
    /// where somebody serves: nothing is founded then.
    #[must_use]
    pub fn missing(&self, now: Moment) -> Vec<NodeName> {
        if !self.serving.is_empty() {
            return Vec::new();
        }
        let fresh = |n: &NodeName| *n == self.member.node.name || self.blank(*n, now).is_some();
        self.plan.voters.iter().copied().filter(|n| !fresh(n)).collect()
    }

    /// Who starts with another configuration than this process, and in which key. They are not counted as blank.
    #[must_use]
    pub fn differing(&self, now: Moment) -> Vec<Difference> {
        self.others.values().filter(|(_, at)| now.since(*at) <= BLANK_KEPT).map(|(difference, _)| *difference).collect()
    }

    /// Looks whether something is due. `connected` are the processes that can be reached now.
    pub fn tick(&mut self, connected: &BTreeSet<NodeId>, now: Moment, out: &mut Vec<FoundingEffect>) {
        if self.finished {
            return;
        }
        self.began.get_or_insert(now);
        if self.joining.is_some() && self.serving_since.is_some_and(|at| now.since(at) >= JOIN_PATIENCE) {
            self.joining = None;
            self.serving.clear();
            self.serving_since = None;
        }
        if self.said.is_none_or(|at| now.since(at) >= SAY) {
            self.said = Some(now);
            if self.joining.is_some() {
                // Whoever serves is asked until one answers: the first may have died since.
                for node in connected {
                    let fetch = KeeperMessage::Chain(ChainMessage::Fetch { have: ViewNumber::default() });
                    out.push(FoundingEffect::Send(*node, fetch));
                }
                return;
            }
            let (digest, shape) = (self.plan.digest, Box::new(self.plan.shape.clone()));
            let word = FoundingMessage::Blank { digest, shape, member: self.member.clone() };
            for node in connected {
                send(*node, word.clone(), out);
            }
            if let Some((view, accepted)) = &self.proposed {
                for voter in view.members.iter().map(|m| m.node).filter(|n| !accepted.contains(n)) {
                    send(voter, FoundingMessage::Found(Arc::clone(view)), out);
                }
            }
            if let Some((view, proposer, _)) = &self.accepted {
                send(*proposer, FoundingMessage::FoundAccepted(view.cluster), out);
            }
        }
        if self.joining.is_some() {
            return;
        }
        if self.serving_since.is_some_and(|at| now.since(at) >= LISTEN) {
            self.join(out);
            return;
        }
        self.give_up_if_hopeless(connected, now, out);
        self.propose_if_first(now, out);
    }

    /// Somebody serves, and there was time to hear whether all who serve are of one cluster.
    fn join(&mut self, out: &mut Vec<FoundingEffect>) {
        self.finished = true;
        let mut clusters = self.serving.iter();
        let (first, second) = (clusters.next(), clusters.next());
        let Some((cluster, _)) = first else { return };
        if let Some((other, _)) = second {
            out.push(FoundingEffect::TwoClusters(*cluster, *other));
        } else if self.accepted.as_ref().is_some_and(|(view, ..)| view.cluster != *cluster) {
            // Having accepted another founding, this incarnation may be named in a view that others installed.
            out.push(FoundingEffect::StartAnew);
        } else {
            self.joining = Some(*cluster);
            self.finished = false;
        }
    }

    /// A view arrived; it is one to join if its cluster is the one that serves.
    pub fn handle_decided(&mut self, from: NodeId, view: Arc<View>, out: &mut Vec<FoundingEffect>) {
        if self.finished || self.joining != Some(view.cluster) {
            return;
        }
        self.finished = true;
        // Better refused than ignored: a lease of another length would void what the ring guarantees.
        out.push(match self.plan.shape.differs_from(&view.shape) {
            Some(key) => FoundingEffect::Differs(Difference { with: from.name, key }),
            None => FoundingEffect::Join(view),
        });
    }

    /// Takes a founding message.
    pub fn handle(&mut self, from: NodeId, message: FoundingMessage, now: Moment, out: &mut Vec<FoundingEffect>) {
        if self.finished {
            return;
        }
        match message {
            FoundingMessage::Blank { digest, shape, member } => {
                if member.node != from {
                    return;
                }
                if digest == self.plan.digest {
                    self.blanks.insert(from.name, (member, now));
                    self.others.remove(&from.name);
                    self.propose_if_first(now, out);
                } else if self.others.len() < OTHERS_MAX || self.others.contains_key(&from.name) {
                    let key = self.plan.shape.differs_from(&shape).unwrap_or("node");
                    self.others.insert(from.name, (Difference { with: from.name, key }, now));
                }
            }
            FoundingMessage::Serving { cluster, view: _ } => {
                self.serving.insert(cluster, from);
                self.serving_since.get_or_insert(now);
            }
            FoundingMessage::Found(view) => self.handle_found(from, view, now, out),
            FoundingMessage::FoundAccepted(cluster) => {
                let Some((view, accepted)) = &mut self.proposed else { return };
                if view.cluster != cluster {
                    return;
                }
                accepted.insert(from);
                // Once somebody is known to serve, this founding must not stand beside it; `join` gives it up.
                if self.serving.is_empty() && view.members.iter().all(|m| accepted.contains(&m.node)) {
                    let view = Arc::clone(view);
                    for member in view.members.iter().filter(|m| m.node != self.member.node) {
                        send(member.node, FoundingMessage::Founded(Arc::clone(&view)), out);
                    }
                    self.finished = true;
                    out.push(FoundingEffect::Founded(view));
                }
            }
            FoundingMessage::FoundRefused(cluster) => {
                if self.proposed.as_ref().is_some_and(|(view, _)| view.cluster == cluster) {
                    self.finished = true;
                    out.push(FoundingEffect::StartAnew);
                }
            }
            FoundingMessage::Founded(view) => {
                if self.accepted.as_ref().is_some_and(|(accepted, ..)| *accepted == view) {
                    self.finished = true;
                    out.push(FoundingEffect::Founded(view));
                }
            }
        }
    }

    fn handle_found(&mut self, from: NodeId, view: Arc<View>, now: Moment, out: &mut Vec<FoundingEffect>) {
        let repeated = self.accepted.as_ref().is_some_and(|(accepted, ..)| *accepted == view);
        let names_me = view.is_member(self.member.node) && view.number == ViewNumber(1) && view.check().is_ok();
        let names_me = names_me && self.plan.shape.differs_from(&view.shape).is_none();
        // Who heard a cluster serve joins that and helps to found no other.
        if repeated || (self.accepted.is_none() && self.serving.is_empty() && names_me) {
            if !repeated {
                let cluster = view.cluster;
                self.accepted = Some((view, from, now));
                send(from, FoundingMessage::FoundAccepted(cluster), out);
            } else {
                send(from, FoundingMessage::FoundAccepted(view.cluster), out);
            }
        } else {
            send(from, FoundingMessage::FoundRefused(view.cluster), out);
        }
    }

    /// Proposes view 1 if every configured voter is blank and this process is the first of them.
    fn propose_if_first(&mut self, now: Moment, out: &mut Vec<FoundingEffect>) {
        let me = self.member.node;
        if self.finished
            || self.accepted.is_some()
            || !self.serving.is_empty()
            || self.plan.voters.first() != Some(&me.name)
            || now.since(self.began.unwrap_or(now)) < self.plan.listen
        {
            return;
        }
        let others = self.plan.voters.iter().filter(|n| **n != me.name);
        let Some(mut members) = others.map(|n| self.blank(*n, now).cloned()).collect::<Option<Vec<Member>>>() else {
            return;
        };
        members.push(self.member.clone());
        let view = Arc::new(founding_view(self.cluster, self.plan.shape.clone(), members, &self.plan.voters));
        self.accepted = Some((Arc::clone(&view), me, now));
        self.proposed = Some((Arc::clone(&view), BTreeSet::from([me])));
        for member in view.members.iter().filter(|m| m.node != me) {
            send(member.node, FoundingMessage::Found(Arc::clone(&view)), out);
        }
        if view.members.len() == 1 {
            self.finished = true;
            out.push(FoundingEffect::Founded(view));
        }
    }

    /// Gives up only when the founding cannot succeed: its proposer is gone, or this is the proposer and a listed process is
    /// gone. That a third process is gone is for the proposer to find, who alone knows whether view 1 stands: an acceptor that
    /// gave up by itself might be counted on at that very moment, and a cluster would be born without its majority. And
    /// nobody gives up while somebody serves that very view.
    fn give_up_if_hopeless(&mut self, connected: &BTreeSet<NodeId>, now: Moment, out: &mut Vec<FoundingEffect>) {
        let Some((view, proposer, at)) = &self.accepted else { return };
        if self.serving.contains_key(&view.cluster) {
            return;
        }
        let me = self.member.node;
        let needed = || view.members.iter().map(|m| m.node).filter(|n| *n != me && (me == *proposer || n == proposer));
        // A word of its successor says that a process is gone; one of its predecessor may only have come late.
        let gone = |n: &NodeId| !connected.contains(n) && self.blank(n.name, now).is_some_and(|m| m.node != *n);
        let replaced = needed().any(|n| gone(&n));
        let out_of_reach = needed().any(|n| !connected.contains(&n));
        if replaced || (out_of_reach && now.since(*at) > ACCEPTED_PATIENCE) {
            self.finished = true;
            out.push(FoundingEffect::StartAnew);
        }
    }

    fn blank(&self, name: NodeName, now: Moment) -> Option<&Member> {
        let (member, at) = self.blanks.get(&name)?;
        (now.since(*at) <= BLANK_KEPT).then_some(member)
    }
}

/// What a serving node answers to a process that is still founding. `Found` gets no: this process is past founding.
#[must_use]
pub fn answer_as_serving(view: &Arc<View>, message: &FoundingMessage) -> Option<FoundingMessage> {
    match message {
        FoundingMessage::Blank { .. } | FoundingMessage::Found(_) => {
            Some(FoundingMessage::Serving { cluster: view.cluster, view: view.number })
        }
        // It accepted view 1 and has not heard that it stands.
        FoundingMessage::FoundAccepted(cluster) if *cluster == view.cluster && view.number == ViewNumber(1) => {
            Some(FoundingMessage::Founded(Arc::clone(view)))
        }
        FoundingMessage::FoundAccepted(_) => {
            Some(FoundingMessage::Serving { cluster: view.cluster, view: view.number })
        }
        FoundingMessage::Serving { .. } | FoundingMessage::FoundRefused(_) | FoundingMessage::Founded(_) => None,
    }
}

fn send(to: NodeId, message: FoundingMessage, out: &mut Vec<FoundingEffect>) {
    out.push(FoundingEffect::Send(to, KeeperMessage::Founding(message)));
}

#[cfg(test)]
mod tests;
