//! What all parts of a demo write on and read from: measures, what was wrong, what happened, the newest view.
//!
//! One lock, held for no longer than it takes to write a line down; never across a wait.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ringheir::moment::Moment;

use tokio::{sync::Notify, time::timeout};

use super::{ledger::Wrong, measure::Measure, picture::Health};
use crate::{ask::ClusterView, clock::Clock};

/// The most events that are kept; older ones go.
const EVENTS_MAX: usize = 1_000;
/// The most wrong things that are told in words.
const TOLD_MAX: usize = 10;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// After the clients began.
    pub(crate) at: Duration,
    /// In words.
    pub(crate) what: String,
    /// To which node, if to one.
    pub(crate) node: Option<String>,
}

/// What is written down.
#[derive(Default)]
pub(crate) struct Notes {
    /// Counts and times.
    pub(crate) measure: Measure,
    /// What clients saw and should not have.
    pub(crate) wrong: Wrong,
    /// The first of it, in words.
    pub(crate) told: Vec<String>,
    /// The newest view that any living node showed.
    pub(crate) view: Option<Arc<ClusterView>>,
    /// Nodes that are dead, hung or not yet back, and which.
    pub(crate) away: BTreeMap<String, Health>,
    /// Steps of the plan that are done.
    pub(crate) done: usize,
    /// When the clients began.
    pub(crate) began: Moment,
    events: VecDeque<Event>,
    /// How many events there ever were, so that who prints them knows which are new.
    events_ever: usize,
}

impl Notes {
    /// Writes down that something happened.
    pub(crate) fn happened(&mut self, now: Moment, what: impl Into<String>, node: Option<&str>) {
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
        }
        let at = now.since(self.began);
        self.events.push_back(Event { at, what: what.into(), node: node.map(str::to_owned) });
        self.events_ever += 1;
    }

    /// What a client saw wrong since it last told.
    pub(crate) fn saw_wrong(&mut self, now: Moment, wrong: Wrong, session: &str, words: Option<&str>) {
        self.wrong += wrong;
        if let Some(words) = words
            && self.told.len() < TOLD_MAX
        {
            self.told.push(format!("{session}: {words}"));
            self.happened(now, format!("WRONG: {session}: {words}"), None);
        }
    }

    /// All events that are kept, oldest first.
    pub(crate) fn events(&self) -> impl DoubleEndedIterator<Item = &Event> {
        self.events.iter()
    }

    /// The events after the first `known` that ever were, and how many there were by now.
    pub(crate) fn events_since(&self, known: usize) -> (Vec<Event>, usize) {
        let new = self.events_ever.saturating_sub(known).min(self.events.len());
        (self.events.iter().skip(self.events.len() - new).cloned().collect(), self.events_ever)
    }
}

/// The board itself; clones are the same board.
#[derive(Clone)]
pub(crate) struct Board {
    notes: Arc<Mutex<Notes>>,
    look_now: Arc<Notify>,
    clock: Clock,
}

impl Board {
    /// An empty one.
    pub(crate) fn new(clock: Clock) -> Self {
        Self { notes: Arc::default(), look_now: Arc::default(), clock }
    }

    /// To read and to write. Nothing that holds it can fail half-way, so a poisoned lock is as good as any.
    pub(crate) fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something was done to a node: whoever watches should look now and not when its pause is over.
    pub(crate) fn look_now(&self) {
        self.look_now.notify_one();
    }

    /// Waits until something was done to a node, at most so long.
    pub(crate) async fn pause(&self, at_most: Duration) {
        // Either way the pause is over.
        let _ = timeout(at_most, self.look_now.notified()).await;
    }

    /// The reading of the run's clock.
    pub(crate) fn now(&self) -> Moment {
        self.clock.now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_events_are_told_once_and_old_ones_make_room() {
        let mut notes = Notes::default();
        notes.happened(Moment::START, "one", None);
        let (new, known) = notes.events_since(0);
        assert_eq!((new.len(), known), (1, 1));
        assert_eq!(notes.events_since(known).0, []);
        for number in 0..EVENTS_MAX {
            notes.happened(Moment::START, number.to_string(), Some("a"));
        }
        let (new, _) = notes.events_since(known);
        assert_eq!((new.len(), new[0].what.as_str()), (EVENTS_MAX, "0"));
    }

    #[test]
    fn wrong_things_are_all_counted_and_the_first_are_told() {
        let mut notes = Notes::default();
        for _ in 0..TOLD_MAX * 2 {
            notes.saw_wrong(Moment::START, Wrong { lost: 1, ..Wrong::default() }, "demo-1", Some("gone"));
        }
        assert_eq!((notes.wrong.lost, notes.told.len()), (2 * TOLD_MAX as u64, TOLD_MAX));
    }
}
