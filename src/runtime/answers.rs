//! `Answers`: where the outcomes of calls that one caller made together gather until it takes them.
//!
//! A channel for each call, and a wake-up for each outcome, would cost as much as a small command itself. Here a caller has one
//! place for all of its calls. Whoever brings outcomes to many callers wakes each of them once, when all are brought.
//!
//! Invariant: every [`Answer`] that was made is given exactly once. One that is dropped, with a worker that panicked, tells that
//! nobody knows. Bound: a caller has no more of them than calls under way.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::message::CallOutcome;

/// How an attempt ended.
pub(super) enum Came {
    Outcome(CallOutcome),
    /// The node that had it was lost, or the arc moved on without it: whether it was executed, nobody knows.
    NodeLost,
    Moved,
}

/// Outcomes that nobody has taken yet, each with the number of its call.
#[derive(Default)]
pub(crate) struct Answers {
    came: Mutex<Vec<(u64, Came)>>,
    news: Notify,
}

impl Answers {
    /// Takes what has come, after whatever `into` holds.
    pub(super) fn take(&self, into: &mut Vec<(u64, Came)>) {
        into.append(&mut self.came());
    }

    /// Returns when something may have come. Only one task may wait.
    pub(super) async fn news(&self) {
        self.news.notified().await;
    }

    /// Tells whoever waits.
    pub(super) fn wake(&self) {
        self.news.notify_one();
    }

    fn came(&self) -> MutexGuard<'_, Vec<(u64, Came)>> {
        // Whole between any two lines.
        self.came.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The way back of one call.
pub(crate) struct Answer {
    /// Taken when it is given.
    to: Option<Arc<Answers>>,
    number: u64,
}

impl Answer {
    pub(super) fn new(to: &Arc<Answers>, number: u64) -> Self {
        Self { to: Some(Arc::clone(to)), number }
    }

    /// Brings the outcome. If it is the first since the caller looked, the caller is to be woken, by whoever is given it here.
    #[must_use]
    pub(super) fn give(mut self, came: Came) -> Option<Arc<Answers>> {
        let to = self.to.take()?;
        let is_first = {
            let mut all = to.came();
            all.push((self.number, came));
            all.len() == 1
        };
        is_first.then_some(to)
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(to) = self.to.take() {
            to.came().push((self.number, Came::Moved));
            to.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_outcomes_that_come_together_the_first_asks_for_the_caller_to_be_woken() {
        let answers = Arc::new(Answers::default());
        let [one, two, three] = [1, 2, 3].map(|number| Answer::new(&answers, number));
        assert!(one.give(Came::NodeLost).is_some());
        assert!(two.give(Came::NodeLost).is_none());
        let mut came = Vec::new();
        answers.take(&mut came);
        assert_eq!(came.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 2]);
        assert!(three.give(Came::NodeLost).is_some());
    }

    #[tokio::test]
    async fn an_answer_that_is_dropped_tells_that_nobody_knows() {
        let answers = Arc::new(Answers::default());
        drop(Answer::new(&answers, 7));
        answers.news().await;
        let mut came = Vec::new();
        answers.take(&mut came);
        assert!(matches!(came[..], [(7, Came::Moved)]));
    }
}
