//! What is noted down of a run on real processes: what callers asked and were told, the views that nodes showed, who was lost and
//! when that was made good, and the trace of all of it. What views may not do is judged as they come.
//!
//! One lock, held for no longer than it takes to write something down; never across a wait.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ringheir::sim::{
    check::{Action, History, Loss, Losses, OperationNumber, Outcome, Violation},
    run::Marks,
    scenario::{Deed, Idle},
    trace::{ArcRoles, Trace, What},
};

use super::caller::arc_of;
use crate::{ask::ClusterView, clock::Clock};

/// Branches that can be seen from outside.
pub(super) const MARKS: [&str; 12] = [
    "a backup caught up",
    "a cluster went on as its successor",
    "a kill",
    "a node drained and left",
    "a paused node went on",
    "a promotion",
    "an arc lost with its last copy",
    "an arc was handed over",
    "an outcome stayed unknown",
    "everything was lost",
    "left behind",
    "the majority of the voters was lost",
];

/// More operations than any run makes.
const OPERATIONS_MAX: usize = 4_000_000;

/// A node that was lost, and what became of the arcs that it served.
pub(super) struct NodeLoss {
    pub(super) at: Duration,
    pub(super) node: String,
    incarnation: String,
    arcs: Vec<u16>,
    pub(super) promoted: Option<Duration>,
    pub(super) protected: Option<Duration>,
}

/// What a view says of the ring, without what only its teller knows: two tellers of one number say the same.
type Content = (Vec<(String, String)>, Vec<(String, Vec<String>, Option<String>, u64)>);

/// See the module.
pub(super) struct Notes {
    /// Runs from the scenario's zero; before that nothing has a time.
    clock: Option<(Clock, Duration)>,
    pub(super) trace: Box<Trace>,
    pub(super) history: History,
    /// Orders what callers do by what happened first.
    order: u64,
    pub(super) newest: Option<Arc<ClusterView>>,
    /// What every node showed last: which start of it, and the view's number.
    shown: BTreeMap<String, (String, u64)>,
    contents: BTreeMap<(String, u64), Content>,
    clusters: BTreeSet<String>,
    pub(super) losses: Vec<NodeLoss>,
    /// When arcs lost every copy.
    pub(super) arcs_lost: BTreeMap<u16, Vec<Loss>>,
    pub(super) longest_wait: Duration,
    pub(super) failed: u64,
    pub(super) marks: Marks,
    /// What was violated while the run went on.
    pub(super) wrong: Vec<Violation>,
    /// Steps that changed nothing, and why.
    pub(super) idle: Vec<String>,
    /// Processes that were killed: name, which start of it, and when, in the time of the history.
    gone: BTreeMap<(String, String), u64>,
    /// Whose process says that a cluster went on without it: it needs an operator.
    pub(super) left_behind: BTreeSet<String>,
    /// Whose process is stopped now.
    pub(super) paused: BTreeSet<String>,
}

/// The notes of one run, shared by all who write.
#[derive(Clone)]
pub(super) struct Board(Arc<Mutex<Notes>>);

impl Board {
    pub(super) fn new(trace: Trace) -> Self {
        Self(Arc::new(Mutex::new(Notes {
            clock: None,
            trace: Box::new(trace),
            history: History::new(OPERATIONS_MAX),
            order: 0,
            newest: None,
            shown: BTreeMap::new(),
            contents: BTreeMap::new(),
            clusters: BTreeSet::new(),
            losses: Vec::new(),
            arcs_lost: BTreeMap::new(),
            longest_wait: Duration::ZERO,
            failed: 0,
            marks: Marks::new(),
            wrong: Vec::new(),
            idle: Vec::new(),
            gone: BTreeMap::new(),
            left_behind: BTreeSet::new(),
            paused: BTreeSet::new(),
        })))
    }

    pub(super) fn notes(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Duration {
        self.notes().now()
    }
}

impl Notes {
    /// From here on time runs, and it is so late now.
    pub(super) fn begin(&mut self, already: Duration) {
        self.clock = Some((Clock::start(), already));
    }

    pub(super) fn now(&self) -> Duration {
        self.clock
            .as_ref()
            .map_or(Duration::ZERO, |(clock, already)| *already + Duration::from_nanos(clock.now().as_nanos()))
    }

    pub(super) fn note(&mut self, what: What) {
        let at = u64::try_from(self.now().as_micros()).unwrap_or(u64::MAX);
        self.trace.note(at, what);
    }

    pub(super) fn mark(&mut self, mark: &'static str) {
        *self.marks.entry(mark).or_default() += 1;
        self.note(What::Mark { words: mark.to_owned() });
    }

    /// The step changed nothing, or nothing of one of those it names.
    pub(super) fn did_nothing(&mut self, deed: &Deed, why: Idle) {
        self.idle.push(format!("{:.1?}, {deed}: nothing happened, for {why}", self.now()));
        self.note(What::Mark { words: format!("nothing happened: {why}") });
    }

    /// Something is that may not be.
    pub(super) fn violated(&mut self, check: &'static str, words: impl fmt::Display) {
        let at = self.now();
        self.wrong.push(Violation::new(check, words).at(at));
    }

    /// A caller asks. `None`: the history is full, or the recorder is wrong; either ends the run as a violation.
    pub(super) fn asked(&mut self, session: u32, client: u32, action: Action, arc: u16) -> Option<OperationNumber> {
        self.order += 1;
        match self.history.invoke(session, client, self.order, action) {
            Ok(operation) => {
                self.note(What::Asked {
                    operation: operation.index() as u64,
                    client,
                    session: session.to_string(),
                    arc,
                    words: action.to_string(),
                });
                Some(operation)
            }
            Err(fault) => {
                self.violated("history", fault);
                None
            }
        }
    }

    /// It is answered, having waited so long.
    pub(super) fn answered(&mut self, operation: OperationNumber, outcome: Outcome, waited: Duration) {
        self.order += 1;
        if let Err(fault) = self.history.answer(operation, self.order, outcome) {
            self.violated("history", fault);
        }
        match outcome {
            Outcome::Done(_) => self.longest_wait = self.longest_wait.max(waited),
            Outcome::NotDone => self.failed += 1,
            Outcome::Unknown => {
                self.failed += 1;
                self.mark("an outcome stayed unknown");
            }
        }
        let done = matches!(outcome, Outcome::Done(_));
        self.note(What::Answered { operation: operation.index() as u64, words: outcome.to_string(), done });
    }

    /// A node that serves or guards is about to be lost.
    pub(super) fn note_loss(&mut self, node: &str) {
        let (Some(view), at) = (self.newest.clone(), self.now()) else { return };
        let Some(incarnation) = view.incarnation(node) else { return };
        let arcs = view.arcs.iter().filter(|arc| arc.primary == node).map(|arc| arc.arc).collect();
        let (node, incarnation) = (node.to_owned(), incarnation.to_owned());
        self.losses.push(NodeLoss { at, node, incarnation, arcs, promoted: None, protected: None });
    }

    /// The process that runs under this name is killed.
    pub(super) fn killed(&mut self, node: &str) {
        self.paused.remove(node);
        self.left_behind.remove(node);
        let known = self.newest.as_ref().and_then(|view| view.incarnation(node)).map(str::to_owned);
        self.gone.extend(known.map(|incarnation| ((node.to_owned(), incarnation), self.order)));
    }

    /// No process runs any more, and no vote outlives its process: everything is lost, and whoever starts founds another cluster.
    pub(super) fn note_all_lost(&mut self) {
        let Some(view) = self.newest.take() else { return };
        self.mark("everything was lost");
        let loss = Loss { ended: self.order, began: Some(self.order) };
        for arc in &view.arcs {
            self.arcs_lost.entry(arc.arc).or_default().push(loss);
        }
        self.shown.clear();
        self.contents.clear();
        self.clusters.clear();
    }

    /// Whether so many voters of the newest view are gone that nobody can decide another without an operator's word.
    pub(super) fn is_beyond_healing(&self) -> bool {
        let Some(view) = &self.newest else { return false };
        let voters: Vec<_> = view.members.iter().filter(|member| member.voter).collect();
        let is_gone =
            |name: &str, incarnation: &str| self.gone.contains_key(&(name.to_owned(), incarnation.to_owned()));
        let living = voters.iter().filter(|voter| !is_gone(&voter.name, &voter.incarnation)).count();
        living * 2 <= voters.len()
    }

    /// A node shows its view.
    pub(super) fn saw(&mut self, teller: &str, view: ClusterView) {
        let Some(me) = view.incarnation(teller).map(str::to_owned) else { return };
        if self.gone.contains_key(&(teller.to_owned(), me.clone())) {
            return; // Its last words.
        }
        if view.left_behind_by.is_some() {
            self.left_behind.insert(teller.to_owned());
        }
        let last = self.shown.insert(teller.to_owned(), (me.clone(), view.number));
        if last.as_ref().is_none_or(|(_, number)| *number != view.number) {
            self.note(What::Installed { node: teller.to_owned(), number: view.number });
        }
        if let Some((_, before)) = last.filter(|(incarnation, before)| *incarnation == me && *before > view.number) {
            self.violated("views grow", format_args!("{teller} showed view {} after view {before}", view.number));
        }
        let content = content(&view);
        let key = (view.cluster.clone(), view.number);
        match self.contents.get(&key) {
            Some(known) if *known != content => {
                let told = format!("{teller} shows another view {} than was seen before", view.number);
                self.violated("one decision", told);
            }
            Some(_) => {}
            None => {
                self.contents.insert(key, content);
            }
        }
        if !self.clusters.contains(&view.cluster) {
            match &view.succeeds {
                _ if self.clusters.is_empty() => {}
                Some(before) if self.clusters.contains(before) => self.mark("a cluster went on as its successor"),
                _ => self.violated("one cluster", format_args!("{teller} is in a second one, {}", view.cluster)),
            }
            self.clusters.insert(view.cluster.clone());
        }
        if self.newest.as_ref().is_none_or(|newest| newest.number < view.number) {
            let view = Arc::new(view);
            self.step_to(&view);
            self.newest = Some(view);
        } else if let Some(newest) = self.newest.as_mut().filter(|newest| newest.number == view.number) {
            // What only the teller knows may have changed.
            *newest = Arc::new(view);
        }
        self.look_after_losses();
    }

    fn step_to(&mut self, view: &ClusterView) {
        if let Some(before) = self.newest.clone() {
            self.note_arcs_lost(&before, view);
            if before.cluster == view.cluster {
                self.judge_step(&before, view);
            }
        }
        let arcs = view.arcs.iter().map(|arc| ArcRoles {
            primary: arc.primary.clone(),
            served: arc.state != "recovering",
            in_sync: arc.in_sync.clone(),
            catching_up: arc.catching_up.clone(),
            lost: arc.is_lost(),
        });
        let what = What::View {
            number: view.number,
            members: view.members.iter().map(|member| member.name.clone()).collect(),
            voters: view.members.iter().filter(|member| member.voter).map(|member| member.name.clone()).collect(),
            arcs: arcs.collect(),
        };
        self.note(what);
    }

    /// Which arcs lost every copy between these two views: the last holder had died by then, and the first was alive until it was
    /// killed.
    fn note_arcs_lost(&mut self, before: &ClusterView, view: &ClusterView) {
        for (old, new) in before.arcs.iter().zip(&view.arcs) {
            if new.lost_at.is_none() || new.lost_at == old.lost_at {
                continue;
            }
            let died = |holder: &String| {
                let incarnation = before.incarnation(holder)?;
                self.gone.get(&(holder.clone(), incarnation.to_owned())).copied()
            };
            let deaths: Vec<Option<u64>> = [&old.primary].into_iter().chain(&old.in_sync).map(died).collect();
            let ended = deaths.iter().flatten().min().copied().unwrap_or(0);
            let began = deaths.iter().all(Option::is_some).then_some(self.order);
            self.arcs_lost.entry(new.arc).or_default().push(Loss { ended, began });
        }
    }

    /// What one view may do to the one before it. Between two looks several may have passed: what became of the ring is seen all
    /// the same, by which steps is not.
    fn judge_step(&mut self, before: &ClusterView, view: &ClusterView) {
        for (old, new) in before.arcs.iter().zip(&view.arcs) {
            let lost_now = new.lost_at != old.lost_at && new.lost_at.is_some();
            if lost_now {
                self.mark("an arc lost with its last copy");
            } else if new.since != old.since {
                let given = view.incarnation(&old.primary) == before.incarnation(&old.primary);
                self.mark(if given && new.primary != old.primary { "an arc was handed over" } else { "a promotion" });
                if before.number + 1 == view.number && !old.in_sync.contains(&new.primary) {
                    let told = format!("view {} promotes {} of arc {}", view.number, new.primary, new.arc);
                    self.violated("in-sync promotion", format_args!("{told}, which was not in sync"));
                }
            }
            if new.in_sync.len() > old.in_sync.len() {
                self.mark("a backup caught up");
            }
        }
    }

    /// The number of the view that a node showed last.
    pub(super) fn shown_by(&self, node: &str) -> Option<u64> {
        self.shown.get(node).map(|(_, number)| *number)
    }

    /// Whether an arc is served by a process that runs.
    pub(super) fn is_served(&self, view: &ClusterView, arc: u16) -> bool {
        let entry = view.arcs.get(usize::from(arc));
        entry.is_some_and(|entry| entry.state != "recovering" && !self.paused.contains(&entry.primary))
    }

    /// Whether all is served, with all the backups that it should have.
    pub(super) fn is_protected(&self, view: &ClusterView) -> bool {
        view.fully_protected && view.arcs.iter().all(|arc| self.is_served(view, arc.arc))
    }

    fn look_after_losses(&mut self) {
        let (Some(view), now) = (self.newest.clone(), self.now()) else { return };
        let mut losses = std::mem::take(&mut self.losses);
        for loss in losses.iter_mut().filter(|loss| loss.promoted.is_none() || loss.protected.is_none()) {
            let stays = view.incarnation(&loss.node) == Some(&loss.incarnation);
            let again = |arc: &u16| {
                let elsewhere = view.arcs.get(usize::from(*arc)).is_some_and(|arc| arc.primary != loss.node || !stays);
                elsewhere && self.is_served(&view, *arc)
            };
            if loss.promoted.is_none() && loss.arcs.iter().all(again) {
                loss.promoted = Some(now.saturating_sub(loss.at));
            }
            if loss.protected.is_none() && !stays && loss.promoted.is_some() && self.is_protected(&view) {
                loss.protected = Some(now.saturating_sub(loss.at));
            }
        }
        self.losses = losses;
    }

    /// The losses of each of so many sessions that has any.
    pub(super) fn losses_of(&self, sessions: u32, arcs: u16) -> Losses {
        let of = |session| Some((session, self.arcs_lost.get(&arc_of(session, arcs))?.clone()));
        (0..sessions).filter_map(of).collect()
    }
}

fn content(view: &ClusterView) -> Content {
    let members = view.members.iter().map(|member| (member.name.clone(), member.incarnation.clone()));
    let arcs =
        view.arcs.iter().map(|arc| (arc.primary.clone(), arc.in_sync.clone(), arc.catching_up.clone(), arc.since));
    (members.collect(), arcs.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::test_views::view;

    type Members<'a> = &'a [(&'a str, &'a str)];

    fn board() -> Board {
        let board = Board::new(Trace::default());
        board.notes().begin(Duration::ZERO);
        board
    }

    const ABC: Members<'_> = &[("a", "1"), ("b", "2"), ("c", "3")];

    #[test]
    fn two_contents_of_one_number_a_number_that_falls_and_a_second_cluster_are_seen() {
        let board = board();
        let mut notes = board.notes();
        notes.saw("a", view(4, ABC, &[("a", "b")]));
        notes.saw("b", view(4, ABC, &[("a", "b")]));
        assert_eq!(notes.wrong, []);
        notes.saw("c", view(4, ABC, &[("b", "a")]));
        notes.saw("a", view(3, ABC, &[("a", "b")]));
        notes.saw("b", ClusterView { cluster: "another".to_owned(), ..view(4, ABC, &[("a", "b")]) });
        let checks: Vec<&str> = notes.wrong.iter().map(|violation| violation.check).collect();
        assert_eq!(checks, ["one decision", "views grow", "one cluster"]);
    }

    #[test]
    fn only_a_backup_in_sync_may_be_promoted_and_a_loss_is_measured_until_it_is_made_good() {
        let board = board();
        let mut notes = board.notes();
        notes.saw("b", view(4, ABC, &[("a", "b"), ("a", "b")]));
        notes.note_loss("a");
        let left: Members<'_> = &[("b", "2"), ("c", "3")];
        let since = |number: u64, mut view: ClusterView| {
            view.arcs.iter_mut().for_each(|arc| arc.since = number);
            view
        };
        notes.saw("b", since(5, view(5, left, &[("b", ""), ("c", "")])));
        assert_eq!(notes.wrong.len(), 1, "c was no backup of the second arc: {:?}", notes.wrong);
        assert!(notes.losses[0].promoted.is_some() && notes.losses[0].protected.is_none());
        notes.saw("b", since(5, view(6, left, &[("b", "c"), ("c", "b")])));
        assert!(notes.losses[0].protected.is_some());
        assert_eq!(notes.marks.get("a promotion"), Some(&2));
    }
}
