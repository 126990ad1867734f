//! A few keepers in one memory, with perfect ears and a network that delays, reorders and loses by seed.

use super::*;
use crate::membership::{
    ArcEntry, Standing, WishedChange,
    test_views::{chance, founded, member, name, node},
};

mod recovering;

const STEP: Duration = Duration::from_millis(5);

struct Cluster {
    seed: u64,
    now: Moment,
    keepers: BTreeMap<NodeId, Keeper>,
    wire: Vec<(Moment, NodeId, NodeId, KeeperMessage)>,
    delay: (u64, u64),
    lost: u64,
    installed: Vec<(Moment, NodeId, Arc<View>)>,
    refused: Vec<(NodeId, JoinRefusal)>,
    proposers: Vec<NodeId>,
    recoveries: Vec<Result<Arc<View>, RecoveryFault>>,
    left_behind: Vec<(NodeId, ClusterId)>,
}

impl Cluster {
    fn of(names: &[&str]) -> Self {
        let view = Arc::new(founded(names, 6, 1));
        let mut cluster = Self {
            seed: 1,
            now: Moment::START + Duration::from_secs(1),
            keepers: BTreeMap::new(),
            wire: Vec::new(),
            delay: (0, 1),
            lost: 0,
            installed: Vec::new(),
            refused: Vec::new(),
            proposers: Vec::new(),
            recoveries: Vec::new(),
            left_behind: Vec::new(),
        };
        for n in names {
            cluster.start(node(n, 1), &view);
        }
        cluster
    }

    fn start(&mut self, id: NodeId, view: &Arc<View>) {
        let keeper = Keeper::new(member(id), Arc::clone(view), KeeperSettings::default(), self.now);
        self.keepers.insert(id, keeper);
    }

    /// The process stops. Messages already sent still arrive.
    fn kill(&mut self, id: NodeId) {
        self.keepers.remove(&id);
    }

    fn follow(&mut self, me: NodeId, effects: Vec<KeeperEffect>) {
        for effect in effects {
            match effect {
                KeeperEffect::Send(to, message) => {
                    if matches!(message, KeeperMessage::Chain(ChainMessage::Prepare { .. })) {
                        self.proposers.push(me);
                        self.proposers.dedup();
                    }
                    if chance(&mut self.seed, 100) >= self.lost {
                        let (least, spread) = self.delay;
                        let late = Duration::from_millis(least + chance(&mut self.seed, spread));
                        self.wire.push((self.now + late, me, to, message));
                    }
                }
                KeeperEffect::Keep | KeeperEffect::Proved(_) | KeeperEffect::Seek(_) => {}
                KeeperEffect::Installed(view) => {
                    assert_eq!(view.check(), Ok(()));
                    for (.., other) in self.installed.iter().filter(|(.., v)| v.number == view.number) {
                        assert_eq!(*other, view, "two views of one number");
                    }
                    self.installed.push((self.now, me, view));
                }
                KeeperEffect::Refused(refusal) => self.refused.push((me, refusal)),
                KeeperEffect::RecoveryEnded(ended) => self.recoveries.push(ended),
                KeeperEffect::LeftBehind(by) => self.left_behind.push((me, by)),
            }
        }
    }

    fn step(&mut self) {
        self.now = self.now + STEP;
        for _ in 0..200 {
            let due: Vec<usize> = (0..self.wire.len()).filter(|i| self.wire[*i].0 <= self.now).collect();
            if due.is_empty() {
                break;
            }
            let drawn = usize::try_from(chance(&mut self.seed, due.len() as u64)).expect("below a length");
            let (_, from, to, message) = self.wire.remove(due[drawn]);
            let (now, jitter) = (self.now, self.jitter());
            if let Some(keeper) = self.keepers.get_mut(&to) {
                let mut effects = Vec::new();
                keeper.handle(from, message, now, jitter, &mut effects);
                self.follow(to, effects);
            }
        }
        let installed: BTreeMap<NodeId, ViewNumber> =
            self.keepers.iter().map(|(id, k)| (*id, k.view().number)).collect();
        for id in installed.keys().copied() {
            let (now, jitter) = (self.now, self.jitter());
            let mut effects = Vec::new();
            let keeper = self.keepers.get_mut(&id).expect("just listed");
            let suspects =
                keeper.view().members.iter().map(|m| m.node).filter(|n| !installed.contains_key(n)).collect();
            keeper.hear(Hearing { hears: installed.keys().copied().collect(), suspects, installed: installed.clone() });
            for (peer, number) in installed.iter().filter(|(peer, _)| **peer != id) {
                keeper.handle_installed(*peer, *number, now, &mut effects);
            }
            keeper.tick(now, jitter, &mut effects);
            self.follow(id, effects);
        }
    }

    fn jitter(&mut self) -> Duration {
        Duration::from_millis(chance(&mut self.seed, 30))
    }

    fn run(&mut self, millis: u64) {
        for _ in 0..millis / 5 {
            self.step();
        }
    }

    /// The one view that all have.
    fn common(&self) -> Arc<View> {
        let views: BTreeMap<ViewNumber, &Arc<View>> =
            self.keepers.values().map(|k| (k.view().number, k.view())).collect();
        assert_eq!(views.len(), 1, "they differ: {views:?}");
        Arc::clone(views.values().next().expect("one"))
    }

    fn names_of(&self) -> Vec<String> {
        self.common().members.iter().map(|m| m.node.to_string()).collect()
    }

    fn entry(&self, arc: u16) -> Arc<ArcEntry> {
        Arc::clone(self.common().arc(ArcId(arc)).expect("one of six"))
    }

    fn wish(&mut self, arc: u16, change: WishedChange) {
        let entry = self.entry(arc);
        let wish = Wish {
            arc: ArcId(arc),
            from: entry.primary,
            since: entry.since,
            base: self.common().number,
            expected: entry.in_sync.clone(),
            change,
        };
        self.keepers.get_mut(&entry.primary).expect("it lives").wish(wish);
    }
}

#[test]
fn a_calm_cluster_makes_no_views() {
    let mut cluster = Cluster::of(&["a", "b", "c"]);
    cluster.run(5_000);
    assert!(cluster.installed.is_empty() && cluster.proposers.is_empty());
}

#[test]
fn one_lost_member_is_removed_by_one_view_that_its_successor_proposes_at_once() {
    for (gone, successor) in [("a", "b"), ("b", "c"), ("c", "d"), ("d", "a")] {
        let mut cluster = Cluster::of(&["a", "b", "c", "d"]);
        cluster.kill(node(gone, 1));
        cluster.run(15);
        assert_eq!(cluster.common().number, ViewNumber(2));
        cluster.run(5_000);
        assert_eq!(cluster.common().number, ViewNumber(2));
        assert!(!cluster.common().is_member(node(gone, 1)));
        assert_eq!(cluster.proposers, [node(successor, 1)]);
    }
}

#[test]
fn several_members_lost_at_once_are_removed_by_one_view() {
    let mut cluster = Cluster::of(&["a", "b", "c", "d", "e"]);
    cluster.kill(node("a", 1));
    cluster.kill(node("b", 1));
    cluster.run(2_000);
    assert_eq!((cluster.common().number, cluster.common().members.len()), (ViewNumber(2), 3));
    assert_eq!(cluster.proposers, [node("c", 1)], "the first living one after the lost");
}

#[test]
fn without_a_majority_nothing_changes() {
    let mut cluster = Cluster::of(&["a", "b", "c"]);
    cluster.kill(node("a", 1));
    cluster.kill(node("b", 1));
    cluster.run(5_000);
    assert_eq!(cluster.common().number, ViewNumber(1));
}

#[test]
fn one_that_knows_nobody_alive_asks_whoever_is_connected_and_finds_its_way_back() {
    let now = Moment::START + Duration::from_secs(1);
    let millis = |n| now + Duration::from_millis(n);
    let old = founded(&["a", "b", "c"], 6, 1);
    let mut keeper = Keeper::new(member(node("c", 1)), Arc::new(old.clone()), KeeperSettings::default(), now);
    let gone: BTreeSet<NodeId> = [node("a", 1), node("b", 1)].into();
    keeper.hear(Hearing { suspects: gone.clone(), ..Hearing::default() });
    let mut out = Vec::new();
    keeper.tick(now, Duration::ZERO, &mut out);
    assert!(!keeper.asks_around(millis(900)), "it may be a short cut");
    assert!(keeper.asks_around(millis(1_000)));
    let connected = [node("a", 2), node("b", 2), node("c", 1)];
    out.clear();
    keeper.ask_around(connected, millis(1_000), &mut out);
    let fetch = KeeperMessage::Chain(ChainMessage::Fetch { have: ViewNumber(1) });
    let asked = [node("a", 2), node("b", 2)].map(|n| KeeperEffect::Send(n, fetch.clone()));
    assert_eq!(out, asked);
    assert!(!keeper.asks_around(millis(1_900)) && keeper.asks_around(millis(2_000)), "and again while it is cut off");

    let mut newest = old;
    newest.number = ViewNumber(9);
    newest.members = vec![Arc::new(member(node("a", 2))), Arc::new(member(node("b", 2)))];
    newest.voters = vec![node("a", 2), node("b", 2)];
    keeper.hear(Hearing { hears: [node("a", 2), node("b", 2)].into(), suspects: gone, ..Hearing::default() });
    out.clear();
    let decided = KeeperMessage::Chain(ChainMessage::Decided(Arc::new(newest)));
    keeper.handle(node("a", 2), decided, millis(2_000), Duration::ZERO, &mut out);
    let joins = |e: &KeeperEffect| matches!(e, KeeperEffect::Send(to, KeeperMessage::Join(_)) if *to == node("a", 2));
    assert!(out.iter().any(joins), "{out:?}");
    assert!(!keeper.asks_around(millis(9_000)), "those who vote now are heard");
}

/// Found by a campaign (seed 24002): everybody who saw the last holder of an arc die was killed before a view gave the arc up.
#[test]
fn who_came_after_the_last_holder_died_seeks_proof_of_it_and_hands_on_what_it_has() {
    let [a, b, c] = ["a", "b", "c"].map(|n| node(n, 1));
    let mut view = founded(&["a", "b", "c"], 6, 1);
    view.members.retain(|m| m.node != c);
    view.voters.retain(|v| *v != c);
    for entry in &mut view.arcs {
        let entry = Arc::make_mut(entry);
        if entry.primary == c {
            entry.in_sync.clear();
        }
        entry.in_sync.retain(|backup| *backup != c);
    }
    assert_eq!(view.strays(), [c].into());
    let view = Arc::new(view);
    let start = Moment::START + Duration::from_secs(1);
    let at = |secs| start + Duration::from_secs(secs);
    let mut keepers = [a, b].map(|id| Keeper::new(member(id), Arc::clone(&view), KeeperSettings::default(), start));
    let ticked = |keeper: &mut Keeper, now| {
        let mut out = Vec::new();
        keeper.hear(Hearing { hears: [a, b].into(), ..Hearing::default() });
        keeper.tick(now, Duration::ZERO, &mut out);
        out
    };
    let seeks = |out: &[KeeperEffect]| out.contains(&KeeperEffect::Seek(c));
    assert!(seeks(&ticked(&mut keepers[0], at(0))));
    assert!(!seeks(&ticked(&mut keepers[0], start + ASK_AROUND / 2)), "not all the time");
    assert!(seeks(&ticked(&mut keepers[0], at(1))), "but again");
    let mut out = Vec::new();
    keepers[0].handle_proof(c, at(1), Duration::ZERO, &mut out);
    let told = KeeperMessage::Ended(vec![c]);
    assert!(out.contains(&KeeperEffect::Send(b, told.clone())), "{out:?}");
    assert!(!seeks(&ticked(&mut keepers[0], at(3))), "it has it");
    out.clear();
    keepers[1].handle(a, told, at(1), Duration::ZERO, &mut out);
    assert!(keepers[1].dead().contains(&c) && out.contains(&KeeperEffect::Proved(c)));
    keepers[1].handle(a, KeeperMessage::Ended(vec![a, b]), at(1), Duration::ZERO, &mut out);
    assert!(!keepers[1].dead().contains(&a) && !keepers[1].dead().contains(&b), "of members nobody is told");
}

/// Found by a campaign (seed 387): a primary died before this node had heard of the view that made it one.
#[test]
fn a_proof_that_comes_before_the_view_which_names_the_process_is_kept() {
    let now = Moment::START + Duration::from_secs(1);
    let view = founded(&["a", "b", "c"], 6, 1);
    let mut keeper = Keeper::new(member(node("a", 1)), Arc::new(view.clone()), KeeperSettings::default(), now);
    let (mut next, mut out) = (view, Vec::new());
    keeper.handle_proof(node("b", 2), now, Duration::ZERO, &mut out);
    for number in [2, 3] {
        next.number = ViewNumber(number);
        if number == 3 {
            next.members[1] = Arc::new(member(node("b", 2)));
        }
        let decided = KeeperMessage::Chain(ChainMessage::Decided(Arc::new(next.clone())));
        keeper.handle(node("c", 1), decided, now, Duration::ZERO, &mut out);
    }
    assert_eq!((keeper.view().number, keeper.dead()), (ViewNumber(3), &[node("b", 2)].into()));
}

/// A view whose members' votes outlive them.
fn founded_on_disk(names: &[&str]) -> View {
    let mut view = founded(names, 6, 1);
    for member in &mut view.members {
        let incarnation = member.node.incarnation;
        Arc::make_mut(member).votes_as = Some(incarnation);
    }
    view
}

/// The next process of a voter.
fn returned(vote: Vote, name: &str, incarnation: u128, now: Moment) -> Keeper {
    let earlier = (1..incarnation).map(|n| node(name, n)).collect();
    let member = Member { votes_as: Some(node(name, 1).incarnation), ..member(node(name, incarnation)) };
    Keeper::restored(member, vote, earlier, KeeperSettings::default(), now, &mut Vec::new())
}

#[test]
fn voters_that_were_all_stopped_go_on_in_the_same_chain_once_most_are_back() {
    let mut cluster = Cluster::of(&["a", "b", "c"]);
    let view = Arc::new(founded_on_disk(&["a", "b", "c"]));
    let mut votes = BTreeMap::new();
    for name in ["a", "b", "c"] {
        votes.insert(name, Vote { view: Arc::clone(&view), promised: None, accepted: None });
    }
    for (life, present) in [(2, &["a", "b", "c"][..]), (3, &["a", "c"])] {
        cluster.keepers.clear();
        cluster.wire.clear();
        for name in present {
            let keeper = returned(votes[name].clone(), name, life, cluster.now);
            cluster.keepers.insert(node(name, life), keeper);
        }
        cluster.run(4_000);
        let view = cluster.common();
        let named: Vec<NodeId> = view.members.iter().map(|m| m.node).collect();
        assert_eq!(named, present.iter().map(|n| node(n, life)).collect::<Vec<_>>(), "{view:?}");
        assert!(present.iter().all(|n| view.is_voter(node(n, 1))), "they vote as they did: {view:?}");
        for (node, keeper) in &cluster.keepers {
            let name = ["a", "b", "c"].into_iter().find(|n| *n == node.name.as_str()).expect("one of them");
            votes.insert(name, keeper.vote());
        }
    }
    let view = cluster.common();
    let sought = view.arcs.iter().filter(|e| !view.is_member(e.primary)).count();
    assert!(sought > 0, "what c held in its second life may still be there: {view:?}");
    assert!(view.arcs.iter().filter(|e| view.is_member(e.primary)).all(|e| e.lost_at.is_some()));
}

#[test]
fn a_vote_that_came_back_says_nothing_until_the_leases_it_granted_are_over() {
    let now = Moment::START + Duration::from_secs(1);
    let view = Arc::new(founded_on_disk(&["a", "b", "c"]));
    let vote = Vote { view: Arc::clone(&view), promised: None, accepted: None };
    let mut keeper = returned(vote, "a", 2, now);
    let ballot = super::super::Ballot { round: 1, voter: node("b", 1) };
    let prepare = || KeeperMessage::Chain(ChainMessage::Prepare { base: Arc::clone(&view), ballot });
    let mut answers = |at: Moment| {
        let mut out = Vec::new();
        keeper.handle(node("b", 1), prepare(), at, Duration::ZERO, &mut out);
        out.contains(&KeeperEffect::Keep)
    };
    let lease = view.shape.lease;
    assert!(!answers(now) && !answers(now + lease * 2 - Duration::from_millis(1)));
    assert!(answers(now + lease * 2));
}

#[test]
fn half_of_the_voters_do_not_count_on_the_death_of_a_voter_that_comes_back() {
    let mut view = founded_on_disk(&["a", "b"]);
    Arc::make_mut(&mut view.shape).agreement = crate::membership::Agreement::MajorityOrProof;
    let (a, b) = (node("a", 1), node("b", 1));
    assert!(!view.is_quorum(&[a].into(), a, &[b].into()));
    Arc::make_mut(&mut view.members[1]).votes_as = None;
    assert!(view.is_quorum(&[a].into(), a, &[b].into()), "one that votes as itself is gone for good");
}

#[test]
fn wishes_of_several_primaries_are_one_view() {
    let mut cluster = Cluster::of(&["a", "b", "c"]);
    cluster.wish(0, WishedChange::Add(node("c", 1)));
    cluster.run(5);
    cluster.wish(1, WishedChange::Drop { node: node("c", 1), instead: None });
    cluster.wish(2, WishedChange::Add(node("b", 1)));
    cluster.run(100);
    let view = cluster.common();
    assert_eq!(view.number, ViewNumber(2));
    assert_eq!(view.arcs[0].in_sync, [node("b", 1), node("c", 1)]);
    assert_eq!(view.arcs[1].in_sync, []);
    assert_eq!(view.arcs[2].in_sync, [node("a", 1), node("b", 1)]);
    assert_eq!(cluster.proposers, [node("a", 1)], "the first in ring order gathers them");
}

#[test]
fn a_hand_over_waits_for_no_other_wish_since_callers_wait_for_it() {
    let mut cluster = Cluster::of(&["a", "b", "c"]);
    cluster.wish(1, WishedChange::Move(node("c", 1)));
    cluster.run(15);
    let view = cluster.common();
    assert_eq!((view.number, view.arcs[1].primary), (ViewNumber(2), node("c", 1)));
    assert_eq!(view.arcs[1].in_sync, [node("b", 1)], "who hands over stays in sync");
}

#[test]
fn a_wish_made_against_an_older_view_is_forgotten() {
    let mut cluster = Cluster::of(&["a", "b", "c"]);
    let base = cluster.common();
    cluster.wish(0, WishedChange::Add(node("c", 1)));
    cluster.run(100);
    let stale = Wish {
        arc: ArcId(1),
        from: node("b", 1),
        since: ViewNumber(1),
        base: base.number,
        expected: base.arcs[1].in_sync.clone(),
        change: WishedChange::Add(node("a", 1)),
    };
    cluster.keepers.get_mut(&node("b", 1)).expect("it lives").wish(stale);
    cluster.run(500);
    assert_eq!(cluster.common().number, ViewNumber(2));
}

#[test]
fn a_restarted_name_replaces_its_old_process_and_votes_again() {
    let mut cluster = Cluster::of(&["a", "b", "c"]);
    cluster.kill(node("c", 1));
    let view = cluster.common();
    cluster.start(node("c", 2), &view);
    cluster.run(3_000);
    assert_eq!(cluster.names_of(), ["a#00000001", "b#00000001", "c#00000002"]);
    assert_eq!(cluster.common().voters.len(), 3, "{:?}", cluster.common());
    assert_eq!(cluster.refused, []);
    // And its vote counts: with it, the loss of another is no loss of the majority.
    cluster.kill(node("a", 1));
    cluster.run(1_000);
    assert_eq!(cluster.common().members.len(), 2);
}

#[test]
fn a_second_process_of_a_living_name_is_refused_and_changes_nothing() {
    let mut cluster = Cluster::of(&["a", "b", "c"]);
    let view = cluster.common();
    cluster.start(node("c", 2), &view);
    cluster.run(600);
    assert_eq!(cluster.refused, [], "a quick restart may find its old self in the view for a while");
    cluster.run(1_400);
    assert!(cluster.refused.contains(&(node("c", 2), JoinRefusal::NameLives(name("c")))));
    assert_eq!(cluster.common().number, ViewNumber(1));
}

#[test]
fn a_newcomer_is_let_in_and_told() {
    let mut cluster = Cluster::of(&["a", "b", "c"]);
    let view = cluster.common();
    cluster.start(node("n", 1), &view);
    cluster.run(1_000);
    assert!(cluster.common().is_member(node("n", 1)));
    assert_eq!(cluster.common().voters.len(), 3, "no more than voters_max");
}

#[test]
fn a_new_description_is_carried_by_a_view() {
    let mut cluster = Cluster::of(&["a", "b", "c"]);
    let described = Member { http_address: Some("c:8080".into()), ..member(node("c", 1)) };
    cluster.keepers.get_mut(&node("c", 1)).expect("it lives").describe(described.clone());
    cluster.run(1_000);
    assert_eq!(cluster.common().member(node("c", 1)).map(|m| &**m), Some(&described));
    assert_eq!(cluster.common().number, ViewNumber(2));
}

#[test]
fn a_proposer_that_dies_with_its_proposal_half_way_is_succeeded_and_its_value_kept() {
    let mut cluster = Cluster::of(&["a", "b", "c", "d", "e"]);
    cluster.delay = (10, 1);
    cluster.kill(node("a", 1));
    let accepts = |c: &Cluster| {
        c.wire.iter().filter(|(.., m)| matches!(m, KeeperMessage::Chain(ChainMessage::Accept { .. }))).count()
    };
    while accepts(&cluster) == 0 {
        cluster.step();
        assert!(cluster.now < Moment::START + Duration::from_secs(2), "nobody proposed");
    }
    // Only e hears of it.
    let b = node("b", 1);
    cluster.kill(b);
    cluster.wire.retain(|(_, from, to, _)| *from != b || *to == node("e", 1));
    let died = cluster.now;
    cluster.run(2_000);
    let view = cluster.common();
    assert_eq!(view.members.iter().map(|m| m.node).collect::<Vec<_>>(), ["c", "d", "e"].map(|n| node(n, 1)));
    let second = cluster.installed.iter().find(|(.., v)| v.number == ViewNumber(2)).expect("numbers have no gaps");
    assert!(second.0.since(died) < Duration::from_millis(400), "{:?}", second.0.since(died));
    assert_eq!(cluster.proposers[0], b);
}

#[test]
fn a_value_that_was_accepted_and_then_forgotten_by_its_proposer_is_finished() {
    // The wish's value reached one acceptor; the proposer is cut down; nothing else speaks for a view but the loss itself.
    let mut cluster = Cluster::of(&["a", "b", "c"]);
    cluster.delay = (10, 1);
    cluster.wish(1, WishedChange::Add(node("a", 1)));
    for _ in 0..100 {
        cluster.step();
        if cluster.keepers.values().any(|k| k.chain.has_unfinished() && k.member.node != node("a", 1)) {
            break;
        }
    }
    cluster.kill(node("a", 1));
    cluster.wire.clear();
    cluster.run(2_000);
    let second = cluster.installed.iter().find(|(.., v)| v.number == ViewNumber(2)).expect("decided");
    assert_eq!(second.2.arcs[1].in_sync, [node("c", 1), node("a", 1)], "a value that may have been decided stands");
    assert!(!cluster.common().is_member(node("a", 1)), "and the next view removes the lost");
}

#[test]
fn proposers_far_apart_do_not_cut_each_other_off_for_ever() {
    for delay in [5, 15, 20, 30, 35] {
        let mut cluster = Cluster::of(&["a", "b", "c", "d", "e"]);
        cluster.delay = (delay, 1);
        cluster.kill(node("a", 1));
        cluster.run(1_500);
        assert!(!cluster.common().is_member(node("a", 1)), "{delay} ms one way");
    }
}

#[test]
fn whatever_is_lost_and_reordered_the_living_come_to_one_view_without_the_dead() {
    for seed in 0..150 {
        let mut cluster = Cluster::of(&["a", "b", "c", "d", "e"]);
        cluster.seed = seed;
        cluster.lost = chance(&mut cluster.seed, 20);
        cluster.delay = (0, 1 + chance(&mut cluster.seed, 60));
        let mut gone = BTreeSet::new();
        for _ in 0..2 {
            let text = ["a", "b", "c", "d", "e"][usize::try_from(chance(&mut cluster.seed, 5)).expect("below 5")];
            cluster.kill(node(text, 1));
            gone.insert(node(text, 1));
            let pause = chance(&mut cluster.seed, 200);
            cluster.run(pause);
        }
        let again = node(gone.first().expect("at least one").name.as_str(), 2);
        let view = Arc::new(founded(&["a", "b", "c", "d", "e"], 6, 1));
        cluster.start(again, &view);
        cluster.run(3_000);
        cluster.lost = 0;
        cluster.run(2_000);
        let view = cluster.common();
        assert!(gone.iter().all(|n| !view.is_member(*n)), "seed {seed}: {view:?}");
        assert!(view.is_voter(again), "seed {seed}: {view:?}");
        assert_eq!(view.members.len(), cluster.keepers.len(), "seed {seed}: {view:?}");
    }
}

#[test]
fn a_node_that_drained_is_let_go_and_does_not_ask_to_come_back_but_one_with_a_last_copy_does() {
    let [a, b, c] = ["a", "b", "c"].map(|n| node(n, 1));
    let mut cluster = Cluster::of(&["a", "b", "c"]);
    let draining = Member { standing: Standing::Draining, ..member(a) };
    cluster.keepers.get_mut(&a).expect("it runs").describe(draining.clone());
    cluster.run(400);
    assert_eq!(cluster.common().member(a).map(|m| m.standing), Some(Standing::Draining));
    assert!(cluster.common().is_member(a), "its arcs still name it");
    // What primaries do, here by their wishes: every arc is given away, and a is dropped as a backup.
    for _ in 0..6 {
        for (arc, entry) in
            cluster.common().entries().map(|(arc, entry)| (arc.0, Arc::clone(entry))).collect::<Vec<_>>()
        {
            let other = if entry.primary == b { c } else { b };
            match (entry.primary == a, entry.catching_up) {
                (true, _) if !entry.in_sync.is_empty() => cluster.wish(arc, WishedChange::Move(entry.in_sync[0])),
                (_, Some(node)) => cluster.wish(arc, WishedChange::Add(node)),
                (false, None) if entry.in_sync.contains(&a) && entry.in_sync.contains(&other) => {
                    cluster.wish(arc, WishedChange::Drop { node: a, instead: None });
                }
                _ => {}
            }
        }
        cluster.run(100);
        if !cluster.keepers[&b].view().is_member(a) {
            break;
        }
    }
    let view = Arc::clone(cluster.keepers[&b].view());
    assert!(view.has_let_go(a), "{view:?}");
    cluster.run(2_000);
    assert!(!cluster.keepers[&b].view().is_member(a), "it was let in again");

    // Voted out as the holder of a last copy, it is wanted back.
    let mut lost = View::clone(&founded(&["a", "b", "c"], 6, 1));
    lost.members.retain(|m| m.node != a);
    lost.voters.retain(|v| *v != a);
    let mut keeper = Keeper::new(draining, Arc::new(lost), KeeperSettings::default(), cluster.now);
    let mut out = Vec::new();
    keeper.tick(cluster.now, Duration::ZERO, &mut out);
    assert!(out.iter().any(|e| matches!(e, KeeperEffect::Send(_, KeeperMessage::Join(_)))), "{out:?}");
}
