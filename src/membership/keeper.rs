//! The view keeper: decides when a new view is wanted, proposes it through the `Chain`, and spreads what was decided.
//!
//! It gathers what speaks for a new view (members that nobody hears, newcomers, primaries' wishes, a value that a dead
//! proposer left half accepted), waits its turn (the first live voter after the lost node at once, the k-th after k·stagger)
//! and lets `next_view` say what the view holds once a quorum has promised. It decides nothing about sessions and owns no
//! timer: its owner calls `tick` every few milliseconds.
//!
//! Bounds: one wish an arc, joins only while they are repeated, one view of history.

mod asking;
mod clearing;
mod effect;
mod knowing;
mod newcomers;
mod proving;
mod recovering;
mod settings;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

pub use effect::{Hearing, KeeperEffect};
pub use settings::KeeperSettings;

use newcomers::Joining;
use recovering::Recovery;

use super::{
    Chain, ChainEffect, ChainMessage, JoinRefusal, KeeperMessage, Member, Outlook, RecoveryFault, View, Vote, Wish,
    WishedChange,
    next_view::{Knowledge, next_view},
};
use crate::{
    id::{ArcId, ClusterId, NodeId, ViewNumber},
    moment::Moment,
};

/// Joins and wishes are said again this often until a view answers them.
const REPEAT: Duration = Duration::from_millis(200);
/// Without a quorum for this long, whoever is connected is asked for the newest view, and again after as long.
const ASK_AROUND: Duration = Duration::from_secs(1);
/// A join that is no longer repeated is forgotten after this.
const JOIN_KEPT: Duration = Duration::from_millis(1500);
/// A peer that lags is sent the newest view, at most this often.
const GOSSIP: Duration = Duration::from_millis(100);
/// Where nothing is asked and nobody is missed, it looks again after this.
const CALM_FOR: Duration = Duration::from_millis(100);
/// So many proofs are kept whether the view names the process or not.
const FRESH_PROOFS_MAX: usize = 64;
/// So many earlier processes of one vote are spoken of.
pub const EARLIER_MAX: usize = 64;
/// Back-off after collisions grows up to this many times the stagger.
const COLLISIONS_MAX: u32 = 8;
/// A proposal gets twice the time of the one that timed out before it, up to this many times: far apart, two round trips take
/// longer than the timeout of neighbours.
const TIMEOUTS_MAX: u32 = 3;

/// One node's part in keeping the view.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Keeper {
    member: Member,
    settings: KeeperSettings,
    chain: Chain,
    installed_at: Moment,
    joins: BTreeMap<NodeId, Joining>,
    leaving: BTreeMap<NodeId, Moment>,
    wishes: BTreeMap<ArcId, Wish>,
    own_wishes: BTreeMap<ArcId, Wish>,
    own_wishes_sent: Option<Moment>,
    /// Losses that an operator is done with.
    cleared: BTreeMap<ArcId, ViewNumber>,
    cleared_said: Option<Moment>,
    join_sent: Option<Moment>,
    leave_sent: Option<Moment>,
    /// Since when, or since it last asked around, this node has heard too few voters.
    cut_off_since: Option<Moment>,
    /// Earlier processes with this vote; each is dead, or this one would not have it.
    earlier: Vec<NodeId>,
    ended_told: Option<Moment>,
    sought_at: Option<Moment>,
    /// A vote that came back forgot which leases it has granted: it says nothing before those are over.
    mute_until: Moment,
    gossiped: BTreeMap<NodeId, Moment>,
    hearing: Hearing,
    dead: BTreeSet<NodeId>,
    /// The newest of these proofs: kept even if no view names the process, for the view that does may still be on its way.
    fresh_proofs: VecDeque<NodeId>,
    heard_before: BTreeSet<NodeId>,
    wanted_since: Option<Moment>,
    retry_at: Moment,
    collisions: u32,
    timeouts: u32,
    unfinished_since: Option<Moment>,
    /// The recovery that this node was asked for.
    recovery: Option<Recovery>,
    /// Its word for a recovery, and since when.
    pledged: Option<(ClusterId, Moment)>,
    /// Processes that went on as a successor of its cluster: they are heard, and never vote here again.
    gone_over: BTreeSet<NodeId>,
    /// A successor of its cluster that it is not in.
    left_behind_by: Option<ClusterId>,
    /// Its operator has it follow that successor all the same.
    goes_over: bool,
    /// Something changed since it was last asked whether a view is wanted.
    stirred: bool,
    /// Whether it hears every member of its view.
    hears_all: bool,
    /// Until when nothing can be due, unless it is told something.
    calm_until: Option<Moment>,
}

impl Keeper {
    /// Starts from a decided view, as `member` (which need not be in it yet).
    #[must_use]
    pub fn new(member: Member, view: Arc<View>, settings: KeeperSettings, now: Moment) -> Self {
        Self {
            chain: Chain::new(member.voter(), view),
            member,
            settings,
            installed_at: now,
            joins: BTreeMap::new(),
            leaving: BTreeMap::new(),
            wishes: BTreeMap::new(),
            own_wishes: BTreeMap::new(),
            own_wishes_sent: None,
            cleared: BTreeMap::new(),
            cleared_said: None,
            join_sent: None,
            leave_sent: None,
            cut_off_since: None,
            earlier: Vec::new(),
            ended_told: None,
            sought_at: None,
            mute_until: Moment::START,
            gossiped: BTreeMap::new(),
            hearing: Hearing::default(),
            dead: BTreeSet::new(),
            fresh_proofs: VecDeque::new(),
            heard_before: BTreeSet::new(),
            wanted_since: None,
            retry_at: Moment::START,
            collisions: 0,
            timeouts: 0,
            unfinished_since: None,
            recovery: None,
            pledged: None,
            gone_over: BTreeSet::new(),
            left_behind_by: None,
            goes_over: false,
            stirred: true,
            hears_all: false,
            calm_until: None,
        }
    }

    /// Goes on with the vote of earlier processes, whatever the ring has done since: it asks around for a newer view, and says
    /// that these processes are dead.
    #[must_use]
    pub fn restored(
        member: Member,
        vote: Vote,
        earlier: Vec<NodeId>,
        settings: KeeperSettings,
        now: Moment,
        out: &mut Vec<KeeperEffect>,
    ) -> Self {
        let view = Arc::clone(&vote.view);
        // Longer than any clock could make a grant last.
        let mute_until = now + view.shape.lease * 2;
        let chain = Chain::restored(member.voter(), vote);
        let mut keeper = Self { chain, mute_until, earlier, ..Self::new(member, view, settings, now) };
        for node in keeper.earlier.clone() {
            keeper.note_proof(node);
            out.push(KeeperEffect::Proved(node));
        }
        keeper
    }

    /// What this voter must not forget.
    #[must_use]
    pub fn vote(&self) -> Vote {
        self.chain.vote()
    }

    /// Whether this voter's own vote decides the next view: then nothing has to be said for it, only kept.
    #[must_use]
    pub fn decides_alone(&self) -> bool {
        let voter = self.member.voter();
        self.view().is_voter(voter) && self.view().is_quorum(&[voter].into(), voter, &self.dead)
    }

    /// What this voter decided last could not be kept, and was undone: it tries again after a while.
    pub fn hold_off(&mut self, now: Moment) {
        self.retry_at = self.retry_at.max(now + ASK_AROUND);
        self.stirred = true;
        self.calm_until = None;
    }

    /// The newest decided view this node knows.
    #[must_use]
    pub fn view(&self) -> &Arc<View> {
        self.chain.view()
    }

    /// The nodes proved dead so far that still matter to the view.
    #[must_use]
    pub fn dead(&self) -> &BTreeSet<NodeId> {
        &self.dead
    }

    /// Says anew what this node is (its kinds changed, or its standing); a view will carry it. One that is to drain asks to
    /// leave once it holds nothing, and does not come back when it is out.
    pub fn describe(&mut self, member: Member) {
        self.member = member;
        self.calm_until = None;
        self.join_sent = None;
        self.stirred = true;
    }

    /// Takes what the monitor knows now.
    pub fn hear(&mut self, hearing: Hearing) {
        // Who has installed the newest view may become a voter, so this too may speak for a view.
        self.stirred |= hearing.installed != self.hearing.installed;
        if hearing != self.hearing {
            self.calm_until = None;
            self.hearing = hearing;
        }
    }

    /// A primary of this node wishes for a change of its arc. One wish an arc; a newer one replaces it.
    pub fn wish(&mut self, wish: Wish) {
        if wish.base == self.view().number {
            self.calm_until = None;
            self.wishes.insert(wish.arc, wish.clone());
            self.own_wishes.insert(wish.arc, wish);
            self.own_wishes_sent = None;
            self.stirred = true;
        }
    }

    /// A peer said which view it has installed: fetch a newer one, hand on ours.
    pub fn handle_installed(&mut self, peer: NodeId, installed: ViewNumber, now: Moment, out: &mut Vec<KeeperEffect>) {
        let newest = self.view().number;
        if installed == newest {
            return;
        }
        if self.gossiped.get(&peer).is_some_and(|at| now.since(*at) < GOSSIP) {
            return;
        }
        if installed < newest && now.since(self.installed_at) < GOSSIP {
            return; // The proposer's own word is still on its way.
        }
        self.gossiped.insert(peer, now);
        let word = if installed > newest {
            ChainMessage::Fetch { have: newest }
        } else {
            ChainMessage::Decided(Arc::clone(self.view()))
        };
        out.push(KeeperEffect::Send(peer, KeeperMessage::Chain(word)));
    }

    /// Takes a message of another keeper; founding messages are not for it.
    pub fn handle(
        &mut self,
        from: NodeId,
        message: KeeperMessage,
        now: Moment,
        jitter: Duration,
        out: &mut Vec<KeeperEffect>,
    ) {
        match message {
            KeeperMessage::Chain(message) if !self.may_heed(&message) => return,
            KeeperMessage::Chain(ChainMessage::Decided(view)) if view.cluster != self.view().cluster => {
                self.handle_successor(view, now, out);
            }
            KeeperMessage::Chain(ChainMessage::Prepare { .. } | ChainMessage::Accept { .. })
                if now < self.mute_until || self.is_pledged(now) => {}
            KeeperMessage::Chain(message) => {
                let heard = self.heard(now);
                let was_proposing = self.chain.proposing_since().is_some();
                let mut effects = Vec::new();
                self.chain.handle(from, message, &heard, &self.dead, &mut effects);
                let promised = |e: &ChainEffect| matches!(e, ChainEffect::Send(_, ChainMessage::Promise { .. }));
                if effects.iter().any(promised) {
                    // Somebody is at it: where messages take longer than the stagger, all would be, and none would get through.
                    self.retry_at = self.retry_at.max(now + self.settings.proposal_timeout);
                }
                if was_proposing && self.chain.proposing_since().is_none() {
                    // Somebody else is at it, or was: two proposers that answered each other at once would never end.
                    self.collisions = (self.collisions + 1).min(COLLISIONS_MAX);
                    self.retry_at = self.retry_at.max(now + self.settings.stagger * self.collisions + jitter);
                    self.stirred = true;
                }
                self.follow(effects, now, out);
                self.choose_if_free(now, out);
            }
            KeeperMessage::Wishes(wishes) => {
                let newest = self.view().number;
                for wish in wishes.into_iter().filter(|w| w.base == newest) {
                    self.wishes.insert(wish.arc, wish);
                    self.stirred = true;
                }
            }
            KeeperMessage::Join(member) => self.handle_join(from, member, now, out),
            KeeperMessage::Ended(nodes) => {
                for node in nodes.into_iter().take(EARLIER_MAX) {
                    let is_earlier = node.name == from.name && node != from;
                    if (is_earlier || !self.view().is_member(node)) && !self.dead.contains(&node) {
                        out.push(KeeperEffect::Proved(node));
                        self.handle_proof(node, now, jitter, out);
                    }
                }
            }
            KeeperMessage::Leave => {
                if self.view().is_member(from) {
                    self.leaving.insert(from, now);
                    self.stirred = true;
                }
            }
            KeeperMessage::JoinRefused(refusal) => {
                if !self.view().is_member(self.member.node) {
                    out.push(KeeperEffect::Refused(refusal));
                }
            }
            KeeperMessage::Recovery(message) => self.handle_recovery(from, message, now, out),
            KeeperMessage::Word(nodes) => self.handle_word(&nodes, now, jitter, out),
            KeeperMessage::ClearLost(losses) => self.take_cleared(losses),
            KeeperMessage::Founding(_) => {}
        }
        self.calm_until = None;
        self.tick(now, jitter, out);
    }

    /// Looks whether something is due. Call it every few milliseconds. `jitter` is drawn anew by the caller each time, below
    /// the stagger: it parts proposers that collide.
    pub fn tick(&mut self, now: Moment, jitter: Duration, out: &mut Vec<KeeperEffect>) {
        if self.calm_until.is_some_and(|until| now < until) {
            return;
        }
        self.look(now, jitter, out);
        self.calm_until = self.is_calm().then(|| {
            // Whoever stays on an old view counts as silent from then on.
            let patience_over = self.installed_at + self.settings.suspect_after;
            let until = now + CALM_FOR;
            if now <= patience_over { until.min(patience_over) } else { until }
        });
    }

    /// Whether nobody asks for anything and nothing is under way.
    fn is_calm(&self) -> bool {
        let asked =
            [self.joins.is_empty(), self.leaving.is_empty(), self.wishes.is_empty(), self.own_wishes.is_empty()];
        let view = self.chain.view();
        !self.stirred
            && self.hears_all
            && asked.into_iter().all(|nobody| nobody)
            && self.cleared.is_empty()
            && self.recovery.is_none()
            && self.pledged.is_none()
            && self.earlier.is_empty()
            && self.cut_off_since.is_none()
            && self.chain.proposing_since().is_none()
            && !self.chain.has_unfinished()
            && self.member.stays()
            && view.member(self.member.node).is_some_and(|known| **known == self.member)
    }

    fn look(&mut self, now: Moment, jitter: Duration, out: &mut Vec<KeeperEffect>) {
        let (me, voter) = (self.member.node, self.member.voter());
        self.say_join(now, out);
        self.say_leave(now, out);
        self.say_wishes(now, out);
        self.say_cleared(now, out);
        self.say_ended(now, out);
        self.seek_proofs(now, out);
        self.refuse_joins(now, out);
        self.look_after_recovery(now, out);
        self.leaving.retain(|_, asked_last| now.since(*asked_last) <= JOIN_KEPT);
        let heard = self.heard(now);
        self.note_cut_off(&heard, now);
        self.hears_all = self.view().members.iter().all(|member| heard.contains(&member.node));
        // A voter that is no member answers proposals and makes none: it has to be let in first. Only one that came back may
        // find that nobody is left who could let it in.
        let may_propose = self.view().is_member(me) || !self.earlier.is_empty();
        if !self.view().is_voter(voter) || !may_propose || now < self.mute_until || self.is_pledged(now) {
            return;
        }
        if heard != self.heard_before {
            self.heard_before.clone_from(&heard);
            self.stirred = true;
        }
        if self.chain.proposing_since().is_some_and(|began| now.since(began) > self.patience()) {
            self.chain.abandon();
            self.timeouts = (self.timeouts + 1).min(TIMEOUTS_MAX);
            self.retry_at = now + jitter;
            self.stirred = true;
        }
        if self.chain.has_unfinished() && self.chain.proposing_since().is_none() {
            let since = *self.unfinished_since.get_or_insert(now);
            if now.since(since) > self.settings.proposal_timeout {
                self.stirred = true;
            }
        } else {
            self.unfinished_since = None;
        }
        if !self.stirred || self.chain.proposing_since().is_some() || now < self.retry_at {
            return;
        }
        let unreachable = self.unreachable(&heard);
        let unfinished = self.unfinished_since.is_some_and(|since| now.since(since) > self.settings.proposal_timeout);
        let known = self.knowledge(unreachable.clone(), &heard);
        let wanted = unfinished || next_view(self.view(), me, &known).is_some();
        if !wanted {
            self.wanted_since = None;
            self.stirred = false;
            return;
        }
        let since = *self.wanted_since.get_or_insert(now);
        let rank = self.rank(&unreachable, &heard);
        // Callers wait for an arc that is being handed over; so they do not wait for other wishes to gather.
        let handing_over = known.wishes.iter().any(|w| matches!(w.change, WishedChange::Move(_)));
        let asked = !known.joins.is_empty() || !known.leaving.is_empty();
        let urgent = !unreachable.is_empty() || asked || unfinished || handing_over;
        let delay = if urgent { Duration::ZERO } else { self.settings.wish_delay } + self.settings.stagger * rank;
        if now.since(since) < delay {
            return;
        }
        let mut effects = Vec::new();
        self.chain.propose(heard, &self.dead, now, &mut effects);
        self.follow(effects, now, out);
        self.choose_if_free(now, out);
    }

    fn choose_if_free(&mut self, now: Moment, out: &mut Vec<KeeperEffect>) {
        let Some((heard, promisers)) = self.chain.choosing() else { return };
        let unreachable = self.unreachable(heard);
        let mut known = self.knowledge(unreachable, heard);
        known.up_to_date.extend(promisers.iter().map(|voter| self.view().carrier(*voter)));
        match next_view(self.view(), self.member.node, &known) {
            Some(value) => {
                let mut effects = Vec::new();
                self.chain.choose(Arc::new(value), &self.dead, &mut effects);
                self.follow(effects, now, out);
            }
            None => {
                self.chain.abandon();
                self.retry_at = now + REPEAT;
            }
        }
    }

    fn follow(&mut self, effects: Vec<ChainEffect>, now: Moment, out: &mut Vec<KeeperEffect>) {
        for effect in effects {
            match effect {
                ChainEffect::Keep => out.push(KeeperEffect::Keep),
                ChainEffect::Send(to, message) => out.push(KeeperEffect::Send(to, KeeperMessage::Chain(message))),
                ChainEffect::Ask(voter, message) => {
                    let to = self.process_of(voter);
                    out.push(KeeperEffect::Send(to, KeeperMessage::Chain(message)));
                }
                ChainEffect::Installed(view) => {
                    self.installed_at = now;
                    self.wishes.clear();
                    self.own_wishes.clear();
                    self.forget_cleared();
                    self.joins.retain(|node, j| view.member(*node).is_none_or(|m| **m != j.member));
                    // Proofs matter as long as a view still names the process; processes come and go for ever.
                    let named = |n: NodeId| view.is_member(n) || view.votes(n) || view.arcs.iter().any(|e| e.holds(n));
                    self.dead.retain(|n| self.fresh_proofs.contains(n) || named(*n));
                    self.leaving.retain(|n, _| view.is_member(*n));
                    self.gossiped.retain(|n, _| view.is_member(*n));
                    self.wanted_since = None;
                    self.unfinished_since = None;
                    self.retry_at = now;
                    self.collisions = 0;
                    self.timeouts = 0;
                    self.stirred = true;
                    out.push(KeeperEffect::Installed(view));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
