//! What a run did, as its clients saw it: counts, how long sessions were unavailable, how soon arcs served again.
//!
//! Told by clients and by the watcher of views; reads no clock. All times are Moments of the run.
//!
//! - `unavailable`: per session and fault, the longest time from the start of a first attempt that failed or got no answer to
//!   the next acknowledgement. A session that a survivor served is measured like any other.
//! - `promoted`: per arc that the lost node served when it was lost, and that has sessions: from the signal to the first
//!   acknowledgement, of an attempt begun after the signal, that the lost process did not give.
//! - `protected`: from the signal until a view without the lost process says that every arc has an in-sync backup.
//! - `back`, of a node that was started again or goes on: until a view has it in the ring; `protected`, of such a node: until
//!   that one or a later says that every arc has an in-sync backup.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use ringheir::moment::Moment;

use super::plan::Deed;
use crate::{ask::ClusterView, spread::Spread};

/// One thing done to a node, and what came of it.
#[derive(Debug)]
pub(crate) struct Fault {
    /// What.
    pub(crate) deed: Deed,
    /// To whom.
    pub(crate) node: String,
    /// When the signal was sent.
    pub(crate) at: Moment,
    /// The process it was done to; its name may come back as another.
    incarnation: Option<String>,
    /// Per arc that the node served: the time to the first acknowledgement elsewhere.
    pub(crate) promoted: BTreeMap<u16, Option<Duration>>,
    /// Until the node was in the ring again, if it came back.
    pub(crate) back: Option<Duration>,
    /// Until every arc was guarded again.
    pub(crate) protected: Option<Duration>,
    /// Per session, the longest time without an acknowledgement.
    pub(crate) unavailable: BTreeMap<u32, Duration>,
    /// The name was started again, or goes on, since.
    came_back: bool,
}

/// A command that was acknowledged, or given up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome<'a> {
    /// Which session.
    pub(crate) session: u32,
    /// Its arc.
    pub(crate) arc: u16,
    /// When the first attempt began that failed or got no answer.
    pub(crate) first_failed: Option<Moment>,
    /// How many attempts were made besides the first.
    pub(crate) retries: u32,
    /// When the last attempt began.
    pub(crate) sent: Moment,
    /// The node that served it, as it says.
    pub(crate) served_by: Option<&'a str>,
}

/// Everything counted in one run.
#[derive(Debug, Default)]
pub(crate) struct Measure {
    /// Acknowledged commands, writes and reads.
    pub(crate) acked: u64,
    /// Acknowledged writes among them.
    pub(crate) acked_writes: u64,
    /// Commands given up at their deadline, or refused.
    pub(crate) failed: u64,
    /// Commands that took more than one attempt.
    pub(crate) retried: u64,
    /// Acknowledgements by the node that gave them.
    pub(crate) by_node: BTreeMap<String, u64>,
    /// In the order they were done.
    pub(crate) faults: Vec<Fault>,
    claimed: BTreeSet<u16>,
}

impl Measure {
    /// A fault is about to happen: what the newest view says of the node goes with it, and which arcs have sessions.
    pub(crate) fn fault(&mut self, now: Moment, deed: Deed, node: &str, view: &ClusterView, inhabited: &BTreeSet<u16>) {
        let served = view.arcs.iter().filter(|arc| deed.takes_away() && arc.primary == node);
        let promoted = served.filter(|arc| inhabited.contains(&arc.arc)).map(|arc| (arc.arc, None)).collect();
        if !deed.takes_away() {
            self.faults.iter_mut().filter(|fault| fault.node == node).for_each(|fault| fault.came_back = true);
        }
        self.claimed.clear();
        self.faults.push(Fault {
            deed,
            node: node.to_owned(),
            at: now,
            incarnation: view.incarnation(node).map(str::to_owned),
            promoted,
            back: None,
            protected: None,
            unavailable: BTreeMap::new(),
            came_back: false,
        });
    }

    /// The signal went out now, not when it was announced.
    pub(crate) fn signalled(&mut self, now: Moment) {
        if let Some(fault) = self.faults.last_mut() {
            fault.at = now;
        }
    }

    /// An arc of a lost node that nobody was served on yet and that no client is trying: so that each is tried at once, and
    /// what is measured is the takeover and not how seldom a session is used. `theirs`: has this client a session there?
    pub(crate) fn claim(&mut self, theirs: impl Fn(u16) -> bool) -> Option<u16> {
        let fault = self.faults.iter().rev().find(|fault| fault.deed.takes_away())?;
        let waiting = fault.promoted.iter().filter(|(_, first)| first.is_none()).map(|(arc, _)| *arc);
        let arc = waiting.into_iter().find(|arc| !self.claimed.contains(arc) && theirs(*arc))?;
        self.claimed.insert(arc);
        Some(arc)
    }

    /// A command was acknowledged.
    pub(crate) fn acknowledged(&mut self, now: Moment, is_write: bool, outcome: &Outcome<'_>) {
        self.acked += 1;
        self.acked_writes += u64::from(is_write);
        self.retried += u64::from(outcome.retries > 0);
        if let Some(node) = outcome.served_by {
            *self.by_node.entry(node.to_owned()).or_insert(0) += 1;
        }
        for fault in &mut self.faults {
            let elsewhere = fault.came_back || outcome.served_by != Some(fault.node.as_str());
            if let Some(first @ None) = fault.promoted.get_mut(&outcome.arc)
                && elsewhere
                && outcome.sent >= fault.at
            {
                *first = Some(now.since(fault.at));
            }
        }
        self.unavailable(now, outcome);
    }

    /// A command was given up: no acknowledgement came at all.
    pub(crate) fn gave_up(&mut self, now: Moment, outcome: &Outcome<'_>) {
        self.failed += 1;
        self.retried += u64::from(outcome.retries > 0);
        self.claimed.remove(&outcome.arc);
        self.unavailable(now, outcome);
    }

    /// Counts the time without an acknowledgement to the newest fault before its end. Before the first fault there is none
    /// to blame, and such a retry is only counted as one.
    fn unavailable(&mut self, now: Moment, outcome: &Outcome<'_>) {
        let Some(began) = outcome.first_failed else { return };
        let Some(fault) = self.faults.iter_mut().rev().find(|fault| fault.at <= now) else { return };
        let longest = fault.unavailable.entry(outcome.session).or_default();
        *longest = now.since(began).max(*longest);
    }

    /// A view was seen on a living node.
    pub(crate) fn saw(&mut self, now: Moment, view: &ClusterView) {
        let guarded = view.fully_protected && view.unprotected() == 0;
        for fault in self.faults.iter_mut().filter(|fault| fault.protected.is_none()) {
            if !fault.deed.takes_away() {
                let of_name = view.incarnation(&fault.node);
                // A process that was started again is another; one that goes on is the same, and may never have been out.
                let is_in = match fault.deed {
                    Deed::Resume => of_name.is_some(),
                    _ => of_name.is_some() && of_name != fault.incarnation.as_deref(),
                };
                if is_in {
                    let since = now.since(fault.at);
                    fault.back.get_or_insert(since);
                    fault.protected = guarded.then_some(since);
                }
                continue;
            }
            let gone = fault.incarnation.is_none() || view.incarnation(&fault.node) != fault.incarnation.as_deref();
            // A short hang may end before anyone is removed; then the node was never missing.
            if guarded && (gone || (fault.came_back && fault.deed == Deed::Hang)) {
                fault.protected = Some(now.since(fault.at));
            }
        }
    }

    /// Whether some node was taken away, and has not been since, and not every arc is guarded again.
    pub(crate) fn waits_for_protection(&self) -> bool {
        self.faults.iter().any(|fault| fault.deed.takes_away() && fault.protected.is_none())
    }

    /// Whether some node came back, and is not in the ring yet with every arc guarded.
    pub(crate) fn waits_for_return(&self) -> bool {
        let waits = |(at, fault): (usize, &Fault)| {
            let taken_again = || self.faults[at + 1..].iter().any(|f| f.deed.takes_away() && f.node == fault.node);
            !fault.deed.takes_away() && fault.protected.is_none() && !taken_again()
        };
        self.faults.iter().enumerate().any(waits)
    }

    /// Over all faults, per session and fault.
    pub(crate) fn unavailable_spread(&self) -> Option<Spread> {
        Spread::of(self.faults.iter().flat_map(|fault| fault.unavailable.values().copied()))
    }

    /// Over all faults, per arc.
    pub(crate) fn promoted_spread(&self) -> Option<Spread> {
        Spread::of(self.faults.iter().flat_map(|fault| fault.promoted.values().filter_map(|first| *first)))
    }

    /// Over all losses.
    pub(crate) fn protected_spread(&self) -> Option<Spread> {
        Spread::of(self.faults.iter().filter(|fault| fault.deed.takes_away()).filter_map(|fault| fault.protected))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::test_views::view;

    fn at(ms: u64) -> Moment {
        Moment::from_nanos(ms * 1_000_000)
    }

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn outcome(session: u32, arc: u16, first_failed: Option<u64>, sent: u64, served_by: &str) -> Outcome<'_> {
        let retries = u32::from(first_failed.is_some());
        Outcome {
            session,
            arc,
            first_failed: first_failed.map(at),
            retries,
            sent: at(sent),
            served_by: Some(served_by),
        }
    }

    /// a serves arcs 0 and 1, b arc 2; a is killed at 1000 ms.
    fn killed() -> Measure {
        let before = view(1, &[("a", "1"), ("b", "2"), ("c", "3")], &[("a", "b"), ("a", "b"), ("b", "c")]);
        let mut measure = Measure::default();
        measure.fault(at(990), Deed::Kill, "a", &before, &BTreeSet::from([0, 1, 2]));
        measure.signalled(at(1000));
        measure
    }

    #[test]
    fn an_arc_is_promoted_by_the_first_acknowledgement_asked_after_the_signal_and_given_elsewhere() {
        let mut measure = killed();
        measure.acknowledged(at(1005), true, &outcome(1, 0, None, 999, "b"));
        assert_eq!(measure.promoted_spread(), None, "asked before the signal");
        measure.acknowledged(at(1006), true, &outcome(1, 0, None, 1001, "a"));
        assert_eq!(measure.promoted_spread(), None, "given by the lost node");
        measure.acknowledged(at(1200), true, &outcome(1, 0, Some(1001), 1190, "b"));
        measure.acknowledged(at(1300), true, &outcome(1, 0, None, 1290, "b"));
        measure.acknowledged(at(1250), false, &outcome(3, 2, None, 1240, "b"));
        let promoted = measure.promoted_spread().expect("one arc");
        assert_eq!((promoted.count, promoted.max), (1, ms(200)));
        assert_eq!(measure.faults[0].promoted[&1], None, "nobody was served there yet");
    }

    #[test]
    fn a_session_is_unavailable_from_its_first_failed_attempt_to_its_next_acknowledgement() {
        let mut measure = killed();
        measure.acknowledged(at(1200), true, &outcome(1, 0, Some(995), 1190, "b"));
        measure.acknowledged(at(1310), true, &outcome(1, 0, Some(1300), 1305, "b"));
        measure.acknowledged(at(1250), true, &outcome(3, 2, Some(1240), 1245, "b"));
        measure.acknowledged(at(1250), true, &outcome(4, 2, None, 1245, "b"));
        measure.gave_up(at(12_000), &outcome(5, 1, Some(2000), 11_900, "b"));
        let spread = measure.unavailable_spread().expect("some");
        assert_eq!(measure.faults[0].unavailable, BTreeMap::from([(1, ms(205)), (3, ms(10)), (5, ms(10_000))]));
        assert_eq!((spread.max, spread.count), (ms(10_000), 3));
        assert_eq!((measure.acked, measure.retried, measure.failed), (4, 4, 1));
    }

    #[test]
    fn before_the_first_fault_nothing_is_blamed_on_one() {
        let mut measure = Measure::default();
        measure.acknowledged(at(900), true, &outcome(1, 0, Some(800), 890, "b"));
        assert_eq!((measure.unavailable_spread(), measure.retried), (None, 1));
    }

    #[test]
    fn protection_counts_only_in_a_view_without_the_lost_process() {
        let mut measure = killed();
        let full = [("b", "c"), ("b", "c"), ("b", "c")];
        measure.saw(at(1020), &view(1, &[("a", "1"), ("b", "2"), ("c", "3")], &full));
        measure.saw(at(1100), &view(2, &[("b", "2"), ("c", "3")], &[("b", ""), ("b", "c"), ("b", "c")]));
        assert!(measure.waits_for_protection());
        measure.saw(at(1400), &view(3, &[("b", "2"), ("c", "3")], &full));
        measure.saw(at(1900), &view(4, &[("b", "2"), ("c", "3")], &full));
        assert_eq!(measure.protected_spread().map(|spread| spread.max), Some(ms(400)));
        let mut measure = killed();
        measure.saw(at(5000), &view(3, &[("a", "9"), ("b", "2"), ("c", "3")], &full));
        assert_eq!(measure.protected_spread().map(|s| s.max), Some(ms(4000)), "the same name, started again");
    }

    #[test]
    fn a_node_that_was_started_again_is_back_once_a_view_has_its_new_process_and_protected_once_every_arc_is() {
        let mut measure = killed();
        let (full, two) = ([("b", "c"), ("b", "c"), ("b", "c")], [("b", "2"), ("c", "3")]);
        let without = view(2, &two, &full);
        measure.saw(at(1400), &without);
        measure.fault(at(3000), Deed::Restart, "a", &without, &BTreeSet::from([0, 1, 2]));
        assert!(measure.waits_for_return() && !measure.waits_for_protection());
        measure.saw(at(3050), &without);
        assert_eq!(measure.faults[1].back, None, "that view knows nothing of it");
        measure.saw(at(3300), &view(3, &[("a", "9"), ("b", "2"), ("c", "3")], &[("a", ""), ("b", "c"), ("b", "c")]));
        assert_eq!((measure.faults[1].back, measure.faults[1].protected), (Some(ms(300)), None));
        measure.saw(at(3900), &view(4, &[("a", "9"), ("b", "2"), ("c", "3")], &full));
        assert_eq!((measure.faults[1].back, measure.faults[1].protected), (Some(ms(300)), Some(ms(900))));
        assert!(!measure.waits_for_return());
        assert_eq!(measure.protected_spread().map(|s| (s.max, s.count)), Some((ms(400), 1)), "losses only");
    }

    #[test]
    fn each_waiting_arc_is_claimed_once_by_a_client_that_has_a_session_there() {
        let mut measure = killed();
        assert_eq!(measure.claim(|arc| arc == 2), None, "the lost node did not serve it");
        assert_eq!(measure.claim(|arc| arc == 1), Some(1));
        assert_eq!(measure.claim(|_| true), Some(0));
        assert_eq!(measure.claim(|_| true), None);
        measure.gave_up(at(11_000), &outcome(1, 1, Some(1001), 10_900, "b"));
        assert_eq!(measure.claim(|_| true), Some(1));
        measure.acknowledged(at(11_200), true, &outcome(1, 1, None, 11_190, "b"));
        measure.acknowledged(at(11_200), true, &outcome(2, 0, None, 11_190, "b"));
        assert_eq!(measure.claim(|_| true), None);
    }
}
