//! One chain among others whose messages the test carries by hand.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::membership::Agreement;
use crate::membership::test_views::{chance, founded, name, node};

/// Every node's chain and the messages that are under way.
struct Net {
    chains: BTreeMap<NodeId, Chain>,
    wire: Vec<(NodeId, NodeId, ChainMessage)>,
    installed: Vec<(NodeId, Arc<View>)>,
    dead: BTreeSet<NodeId>,
}

impl Net {
    fn of(view: View) -> Self {
        let view = Arc::new(view);
        let chains = view.members.iter().map(|m| (m.node, Chain::new(m.node, Arc::clone(&view)))).collect();
        Self { chains, wire: Vec::new(), installed: Vec::new(), dead: BTreeSet::new() }
    }

    fn with_agreement(mut view: View, agreement: Agreement) -> Self {
        Arc::make_mut(&mut view.shape).agreement = agreement;
        Self::of(view)
    }

    fn chain(&mut self, node: NodeId) -> &mut Chain {
        self.chains.get_mut(&node).expect("a member")
    }

    fn follow(&mut self, me: NodeId, effects: Vec<ChainEffect>) {
        for effect in effects {
            match effect {
                ChainEffect::Keep => {}
                ChainEffect::Send(to, message) | ChainEffect::Ask(to, message) => self.wire.push((me, to, message)),
                ChainEffect::Installed(view) => self.installed.push((me, view)),
            }
        }
    }

    fn propose(&mut self, me: NodeId) {
        let (mut effects, dead) = (Vec::new(), self.dead.clone());
        self.chain(me).propose(BTreeSet::from([me]), &dead, Moment::START, &mut effects);
        self.follow(me, effects);
        self.choose_if_free(me);
    }

    /// The free value is the view without the member after the proposer.
    fn choose_if_free(&mut self, me: NodeId) {
        if self.chain(me).choosing().is_none() {
            return;
        }
        let value = Arc::new(chosen_by(me, self.chain(me).view()));
        let (mut effects, dead) = (Vec::new(), self.dead.clone());
        self.chain(me).choose(value, &dead, &mut effects);
        self.follow(me, effects);
    }

    fn deliver(&mut self, (from, to, message): (NodeId, NodeId, ChainMessage)) {
        let (mut effects, dead) = (Vec::new(), self.dead.clone());
        let hears = BTreeSet::from([to]);
        self.chain(to).handle(from, message, &hears, &dead, &mut effects);
        self.follow(to, effects);
        self.choose_if_free(to);
    }

    /// Delivers what is under way to these nodes, first sent first, until nothing is; the rest is lost.
    fn settle_among(&mut self, nodes: &[NodeId]) {
        while !self.wire.is_empty() {
            let letter = self.wire.remove(0);
            if nodes.contains(&letter.0) && nodes.contains(&letter.1) {
                self.deliver(letter);
            }
        }
    }

    /// Delivers the first message under way that fits, and leaves the others.
    fn deliver_first(&mut self, fits: impl Fn(&(NodeId, NodeId, ChainMessage)) -> bool) {
        let place = self.wire.iter().position(fits).expect("such a message is under way");
        let letter = self.wire.remove(place);
        self.deliver(letter);
    }

    fn prove_dead(&mut self, to: NodeId, dead: NodeId) {
        self.dead.insert(dead);
        let (mut effects, all) = (Vec::new(), self.dead.clone());
        self.chain(to).handle_proof(&all, &mut effects);
        self.follow(to, effects);
        self.choose_if_free(to);
    }

    fn number(&mut self, node: NodeId) -> u64 {
        self.chain(node).view().number.0
    }

    /// The invariant, over everything ever installed.
    fn one_view_a_number(&self) -> bool {
        self.installed.iter().all(|(_, a)| self.installed.iter().all(|(_, b)| a.number != b.number || a == b))
    }
}

fn chosen_by(me: NodeId, base: &View) -> View {
    let mut view = base.clone();
    view.number = base.number.next();
    if let Some(gone) = base.successor(me.name) {
        view.members.retain(|m| m.node != gone);
        view.voters.retain(|v| *v != gone);
    }
    view
}

fn ids<const N: usize>(names: [&str; N]) -> [NodeId; N] {
    names.map(|n| node(n, 1))
}

#[test]
fn two_round_trips_decide_and_everyone_is_told() {
    let [a, b, c] = ids(["a", "b", "c"]);
    let mut net = Net::of(founded(&["a", "b", "c"], 3, 1));
    net.propose(a);
    net.settle_among(&[a, b, c]);
    assert_eq!([a, b, c].map(|n| net.number(n)), [2, 2, 2], "the one who leaves is told too");
    assert_eq!(net.chain(c).view().voters, [a, c]);
    assert_eq!(net.chain(a).proposing_since(), None);
}

#[test]
fn a_lagging_voter_jumps_to_the_base_of_a_prepare_and_votes_on_the_view_after_it() {
    let [a, b, c, d] = ids(["a", "b", "c", "d"]);
    let mut net = Net::of(founded(&["a", "b", "c", "d"], 4, 1));
    net.propose(a); // view 2 = a c d
    net.settle_among(&[a, b, c]);
    assert_eq!([net.number(c), net.number(d)], [2, 1], "d has heard nothing");
    net.propose(c); // view 3 = a c
    net.settle_among(&[c, d]);
    assert_eq!([net.number(c), net.number(d)], [3, 3]);
    let path: Vec<u64> = net.installed.iter().filter(|(n, _)| *n == d).map(|(_, v)| v.number.0).collect();
    assert_eq!(path, [2, 3]);
}

#[test]
fn a_refusal_carries_the_newest_view_to_a_proposer_that_lags() {
    let [a, b, c, d] = ids(["a", "b", "c", "d"]);
    let mut net = Net::of(founded(&["a", "b", "c", "d"], 4, 1));
    net.propose(a);
    net.settle_among(&[a, b, c]);
    net.propose(d); // still at view 1
    net.deliver_first(|(_, to, m)| *to == c && matches!(m, ChainMessage::Prepare { .. }));
    net.deliver_first(|(_, to, m)| *to == d && matches!(m, ChainMessage::Refuse { newest: Some(_), .. }));
    assert_eq!(net.number(d), 2);
    assert_eq!(net.chain(d).proposing_since(), None, "what it proposed was for a view that is decided");
}

#[test]
fn an_accept_for_a_base_not_yet_known_is_answered_by_a_fetch_and_accepted_by_nobody() {
    let [a, b, c] = ids(["a", "b", "c"]);
    let mut net = Net::of(founded(&["a", "b", "c"], 3, 1));
    let far = {
        let mut view = View::clone(net.chain(a).view());
        view.number = ViewNumber(3);
        Arc::new(view)
    };
    let ballot = Ballot { round: 1, voter: b };
    net.deliver((b, a, ChainMessage::Accept { base: ViewNumber(2), ballot, value: far }));
    assert_eq!(net.wire, [(a, b, ChainMessage::Fetch { have: ViewNumber(1) })]);
    assert!(!net.chain(a).has_unfinished());
    net.settle_among(&[a, b, c]);
    assert!(net.installed.is_empty(), "the asked one has nothing newer either");
}

#[test]
fn duelling_proposers_converge_with_the_higher_round() {
    let [a, b, c] = ids(["a", "b", "c"]);
    let mut net = Net::of(founded(&["a", "b", "c"], 3, 1));
    net.propose(a); // 1.a
    net.propose(b); // 1.b, higher by name
    net.deliver_first(|(f, t, _)| (*f, *t) == (b, a));
    assert_eq!(net.chain(a).proposing_since(), None, "a promised the higher ballot and gave its own up");
    net.propose(a); // 2.a
    net.deliver_first(|(f, t, m)| {
        (*f, *t) == (a, b) && matches!(m, ChainMessage::Prepare { ballot, .. } if ballot.round == 2)
    });
    assert_eq!(net.chain(b).proposing_since(), None);
    net.settle_among(&[a, b, c]);
    assert!(net.one_view_a_number());
    assert_eq!([a, b, c].map(|n| net.number(n)), [2, 2, 2]);
    assert_eq!(net.chain(c).view().voters, [a, c], "round 2 won, and with it a's value");
}

#[test]
fn a_refused_proposer_asks_next_above_the_ballot_that_refused_it() {
    let [a, b, c] = ids(["a", "b", "c"]);
    let mut net = Net::of(founded(&["a", "b", "c"], 3, 1));
    for _ in 0..4 {
        net.propose(c);
    }
    net.deliver_first(|(_, t, m)| *t == b && matches!(m, ChainMessage::Prepare { ballot, .. } if ballot.round == 4));
    net.wire.clear();
    net.propose(a);
    net.deliver_first(|(f, t, _)| (*f, *t) == (a, b));
    net.deliver_first(|(_, t, m)| *t == a && matches!(m, ChainMessage::Refuse { promised: Some(_), .. }));
    assert_eq!(net.chain(a).proposing_since(), None);
    net.propose(a);
    let asked = net.wire.iter().find_map(|(_, _, m)| match m {
        ChainMessage::Prepare { ballot, .. } if ballot.voter == a && ballot.round > 1 => Some(ballot.round),
        _ => None,
    });
    assert_eq!(asked, Some(5));
}

#[test]
fn a_value_accepted_under_a_lower_ballot_is_adopted_whatever_the_new_proposer_wanted() {
    let [a, b, c] = ids(["a", "b", "c"]);
    let mut net = Net::of(founded(&["a", "b", "c"], 3, 1));
    net.propose(a);
    for to in [c, b] {
        net.deliver_first(|(_, t, m)| *t == to && matches!(m, ChainMessage::Prepare { .. }));
    }
    net.deliver_first(|(_, t, m)| *t == a && matches!(m, ChainMessage::Promise { .. }));
    net.deliver_first(|(_, t, m)| *t == c && matches!(m, ChainMessage::Accept { .. }));
    assert!(net.chain(c).has_unfinished());
    net.wire.clear(); // a is gone, and with it all it said
    net.propose(b);
    net.settle_among(&[b, c]);
    assert_eq!(net.chain(b).view().voters, [a, c], "a's value, in which b has no place");
    assert_eq!([net.number(b), net.number(c)], [2, 2]);
    assert!(!net.chain(c).has_unfinished());
}

#[test]
fn an_older_acceptance_never_outweighs_a_newer_one() {
    let [a, b, c, d, e] = ids(["a", "b", "c", "d", "e"]);
    let mut net = Net::of(founded(&["a", "b", "c", "d", "e"], 5, 1));
    let accept = |net: &mut Net, at: NodeId, ballot: Ballot, by: NodeId| {
        let value = Arc::new(chosen_by(by, net.chain(at).view()));
        net.deliver((by, at, ChainMessage::Accept { base: ViewNumber(1), ballot, value }));
    };
    accept(&mut net, b, Ballot { round: 1, voter: a }, a);
    accept(&mut net, c, Ballot { round: 2, voter: d }, d);
    net.wire.clear();
    for _ in 0..3 {
        net.propose(e);
    }
    net.settle_among(&[b, c, e]);
    assert_eq!(net.chain(e).view().voters, [a, b, c, d], "d's, for its ballot was the higher");
}

#[test]
fn every_message_twice_still_decides_at_the_first_attempt() {
    let [a, b, c] = ids(["a", "b", "c"]);
    let mut net = Net::of(founded(&["a", "b", "c"], 3, 1));
    net.propose(a);
    while !net.wire.is_empty() {
        let letter = net.wire.remove(0);
        if letter.1 != c {
            net.deliver(letter.clone());
            net.deliver(letter);
        }
    }
    assert_eq!([net.number(a), net.number(b)], [2, 2], "one voter of three is deaf, so b's one vote is needed");
    assert_eq!(net.installed.len(), 2, "each installs once");
}

#[test]
fn half_of_the_voters_decide_only_with_proof_of_all_the_others() {
    let names = ["a", "b", "c", "d"];
    let [a, b, c, d] = ids(names);
    let mut net = Net::with_agreement(founded(&names, 4, 1), Agreement::MajorityOrProof);
    net.propose(a);
    net.settle_among(&[a, b]);
    assert_eq!(net.number(a), 1);
    net.prove_dead(a, c);
    net.settle_among(&[a, b]);
    assert_eq!(net.number(a), 1, "d may live");
    net.prove_dead(a, d);
    net.settle_among(&[a, b]);
    assert_eq!([net.number(a), net.number(b)], [2, 2]);
}

#[test]
fn under_majority_a_proof_is_no_vote() {
    let names = ["a", "b", "c", "d"];
    let [a, b, c, d] = ids(names);
    let mut net = Net::of(founded(&names, 4, 1));
    net.propose(a);
    net.prove_dead(a, c);
    net.prove_dead(a, d);
    net.settle_among(&[a, b]);
    assert_eq!(net.number(a), 1);
}

#[test]
fn less_than_half_never_decide_whatever_is_proved() {
    let names = ["a", "b", "c"];
    let [a, b, c] = ids(names);
    let mut net = Net::with_agreement(founded(&names, 3, 1), Agreement::MajorityOrProof);
    net.propose(a);
    net.prove_dead(a, b);
    net.prove_dead(a, c);
    net.settle_among(&[a]);
    assert_eq!(net.number(a), 1);
    assert!(net.chain(a).choosing().is_none());
}

#[test]
fn the_survivor_of_two_goes_on_alone_with_proof() {
    let [a, b] = ids(["a", "b"]);
    let mut net = Net::with_agreement(founded(&["a", "b"], 2, 1), Agreement::MajorityOrProof);
    net.propose(a);
    assert_eq!(net.number(a), 1);
    net.prove_dead(a, b);
    assert_eq!(net.number(a), 2);
    assert_eq!(net.chain(a).view().voters, [a]);
}

#[test]
fn a_node_without_a_vote_neither_proposes_nor_promises_nor_accepts_nor_counts() {
    let [a, b, c] = ids(["a", "b", "c"]);
    let mut view = founded(&["a", "b", "c"], 3, 1);
    view.voters.retain(|v| *v != c);
    let mut net = Net::of(view.clone());
    net.propose(c);
    assert!(net.wire.is_empty() && net.chain(c).proposing_since().is_none());
    let (base, ballot) = (Arc::new(view), Ballot { round: 1, voter: a });
    net.deliver((a, c, ChainMessage::Prepare { base: Arc::clone(&base), ballot }));
    let value = Arc::new(chosen_by(a, &base));
    net.deliver((a, c, ChainMessage::Accept { base: ViewNumber(1), ballot, value }));
    assert!(net.wire.drain(..).all(|(.., m)| matches!(m, ChainMessage::Refuse { .. })));
    assert!(!net.chain(c).has_unfinished());
    net.propose(a);
    let hears = BTreeSet::new();
    net.deliver((c, a, ChainMessage::Promise { base: ViewNumber(1), ballot, voter: c, accepted: None, hears }));
    assert!(net.chain(a).choosing().is_none(), "two voters need both");
    net.settle_among(&[a, b]);
    assert_eq!(net.number(a), 2);
}

#[test]
fn a_jump_over_several_views_forgets_the_promises_of_the_old_instance() {
    let [a, b, c] = ids(["a", "b", "c"]);
    let mut net = Net::of(founded(&["a", "b", "c"], 3, 1));
    net.propose(a);
    net.deliver_first(|(_, t, _)| *t == b);
    net.wire.clear();
    let mut far = View::clone(net.chain(c).view());
    far.number = ViewNumber(7);
    net.deliver((a, b, ChainMessage::Decided(Arc::new(far))));
    net.propose(b);
    let ballot = Ballot { round: 1, voter: b };
    assert!(
        net.wire.iter().any(|(.., m)| matches!(m, ChainMessage::Prepare { ballot: asked, .. } if *asked == ballot))
    );
    net.settle_among(&[b, c]);
    assert_eq!([net.number(b), net.number(c)], [8, 8]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1500) })]

    /// Wider than the exhaustive model, and by chance: five voters that all propose, messages lost, doubled and reordered.
    #[test]
    fn one_view_is_decided_for_a_number_whatever_the_network_does(seed: u64, lossy in 0u64..40, doubled in 0u64..40) {
        let mut seed = seed;
        let names = ["a", "b", "c", "d", "e"];
        let all = ids(names);
        let mut net = Net::of(founded(&names, 5, 1));
        for _ in 0..300 {
            if net.wire.is_empty() || chance(&mut seed, 12) == 0 {
                let proposer = all[usize::try_from(chance(&mut seed, 5)).expect("below 5")];
                net.propose(proposer);
                continue;
            }
            let place = usize::try_from(chance(&mut seed, net.wire.len() as u64)).expect("below a length");
            let letter = net.wire.swap_remove(place);
            if chance(&mut seed, 100) < lossy {
                continue;
            }
            if chance(&mut seed, 100) < doubled {
                net.wire.push(letter.clone());
            }
            net.deliver(letter);
        }
        prop_assert!(net.one_view_a_number());
        // Healed, a proposer that nobody disturbs soon gets a view decided.
        net.wire.clear();
        let newest = net.chains.values().map(|c| Arc::clone(c.view())).max_by_key(|v| v.number).expect("five");
        let leader = newest.voters[0];
        for _ in 0..12 {
            net.propose(leader);
            net.settle_among(&all);
        }
        prop_assert!(net.number(leader) > newest.number.0);
        prop_assert!(net.one_view_a_number());
    }
}

#[test]
fn names_are_not_votes() {
    // The same name restarted is another voter: its promise under the old id's place counts for nothing.
    let [a, b] = ids(["a", "b"]);
    let mut net = Net::of(founded(&["a", "b"], 2, 1));
    net.propose(a);
    let ballot = Ballot { round: 1, voter: a };
    let again = node("b", 2);
    assert_eq!((again.name, b.name), (name("b"), name("b")));
    let (base, hears) = (ViewNumber(1), BTreeSet::new());
    net.deliver((again, a, ChainMessage::Promise { base, ballot, voter: again, accepted: None, hears }));
    assert!(net.chain(a).choosing().is_none());
}
