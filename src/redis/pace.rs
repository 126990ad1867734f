//! `Pace`: how many calls of one desk's connections are under way, and whose turn it is to begin more.
//!
//! More of them at once are no faster: the calls, the commits they become and the requests behind them are then more than is near a
//! processor, and each of them waits for memory. So beyond about 256 connections begin in turn, first come, first served, and
//! what they ask stays with the kernel until then (docs/decisions/0020; the working set of Denning 1968, the load control of Heiss
//! and Wagner 1991).
//!
//! It is a pace and no bound: those are `Settings`'. Calls of which nothing comes for a while wait for something else, a node that is
//! lost, and are counted no more, so they hold nobody up.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use crate::moment::Moment;

/// Calls under way beyond which connections begin in turn.
const MOST: usize = 256;
/// After so long without any call that came, those under way are counted no more.
const PATIENCE: Duration = Duration::from_millis(10);

/// The calls of one desk. `W`: who waits.
#[derive(Debug)]
pub(super) struct Pace<W> {
    under_way: usize,
    waiting: VecDeque<W>,
    /// The number of the first that waits; those of lower numbers have had their turn.
    first: u64,
    /// Whether calls have come since `look`.
    moves: bool,
    /// When that was so.
    moved: Moment,
}

impl<W> Default for Pace<W> {
    fn default() -> Self {
        Self { under_way: 0, waiting: VecDeque::new(), first: 0, moves: false, moved: Moment::START }
    }
}

impl<W> Pace<W> {
    /// Whether anybody may begin without waiting for their turn.
    fn is_free(&self) -> bool {
        self.waiting.is_empty() && self.under_way < MOST
    }

    /// So many calls were begun.
    const fn began(&mut self, calls: usize) {
        self.under_way += calls;
    }

    /// So many have come, or will not be waited for.
    const fn came(&mut self, calls: usize) {
        // Fewer are counted where some that have come late were not counted any more.
        self.under_way = self.under_way.saturating_sub(calls);
        self.moves = true;
    }

    /// Has somebody wait for their turn, whose number this is.
    fn wait(&mut self, who: W) -> u64 {
        self.waiting.push_back(who);
        self.first + self.waiting.len() as u64 - 1
    }

    const fn has_come(&self, turn: u64) -> bool {
        turn < self.first
    }

    /// Looks whether anything moves. Expected before each round of turns, and at `due`.
    fn look(&mut self, now: Moment) {
        if std::mem::take(&mut self.moves) || self.waiting.is_empty() {
            self.moved = now;
        } else if now.since(self.moved) >= PATIENCE {
            (self.under_way, self.moved) = (0, now);
        }
    }

    /// When to look again if nothing comes.
    fn due(&self) -> Option<Moment> {
        (!self.waiting.is_empty()).then(|| self.moved + PATIENCE)
    }

    /// Whose turn it is, if it is anybody's. They are to begin before this is asked again.
    fn next(&mut self) -> Option<W> {
        if self.under_way >= MOST {
            return None;
        }
        let next = self.waiting.pop_front();
        self.first += u64::from(next.is_some());
        next
    }
}

/// The pace of one desk, as its connections share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Turns(Arc<Mutex<Pace<Waker>>>);

impl Turns {
    fn pace(&self) -> MutexGuard<'_, Pace<Waker>> {
        // Whole between any two lines.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`Pace::look`].
    pub(super) fn look(&self, now: Moment) {
        self.pace().look(now);
    }

    /// When to look again if nothing comes.
    pub(super) fn due(&self) -> Option<Moment> {
        self.pace().due()
    }

    /// Wakes whose turn it is; false: it is nobody's.
    pub(super) fn give(&self) -> bool {
        let next = self.pace().next();
        next.map(Waker::wake).is_some()
    }
}

/// One connection's part in it.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Turns,
    /// Its calls that are under way.
    calls: usize,
    stands: Stands,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stands {
    /// It has begun what it had.
    Aside,
    /// It waits for its turn, whose number this is once somebody can be woken for it.
    Waits(Option<u64>),
    /// It may begin.
    Has,
}

impl Turn {
    pub(super) const fn new(turns: Turns) -> Self {
        Self { turns, calls: 0, stands: Stands::Aside }
    }

    /// Whether it may begin; if not, it waits from now on.
    pub(super) fn may_begin(&mut self) -> bool {
        if self.stands == Stands::Aside {
            self.stands = if self.turns.pace().is_free() { Stands::Has } else { Stands::Waits(None) };
        }
        self.stands == Stands::Has
    }

    /// Whether it waits for its turn.
    pub(super) const fn waits(&self) -> bool {
        matches!(self.stands, Stands::Waits(_))
    }

    /// Waits for its turn.
    pub(super) async fn comes(&mut self) {
        std::future::poll_fn(|context| self.poll(context)).await;
    }

    fn poll(&mut self, context: &Context<'_>) -> Poll<()> {
        let Stands::Waits(number) = &mut self.stands else { return Poll::Ready(()) };
        let mut pace = self.turns.pace();
        let number = *number.get_or_insert_with(|| pace.wait(context.waker().clone()));
        if !pace.has_come(number) {
            return Poll::Pending;
        }
        self.stands = Stands::Has;
        Poll::Ready(())
    }

    /// It has begun so many calls with its turn, if it had one, and needs another for more.
    pub(super) fn began(&mut self, calls: usize) {
        if self.stands == Stands::Has {
            self.stands = Stands::Aside;
        }
        if calls > 0 {
            self.calls += calls;
            self.turns.pace().began(calls);
        }
    }

    /// So many of them have come.
    pub(super) fn came(&mut self, calls: usize) {
        self.calls -= calls;
        self.turns.pace().came(calls);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.pace().came(self.calls);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_micros(1);

    #[test]
    fn beyond_the_pace_they_begin_in_the_order_of_their_coming_as_others_end() {
        let mut pace = Pace::default();
        assert!(pace.is_free());
        pace.began(MOST);
        assert!(!pace.is_free());
        let turns = ["a", "b", "c"].map(|who| pace.wait(who));
        assert_eq!(pace.next(), None);
        pace.came(1);
        assert!(!pace.is_free(), "others wait");
        assert_eq!(pace.next(), Some("a"));
        assert!(pace.has_come(turns[0]) && !pace.has_come(turns[1]));
        assert_eq!(pace.next(), Some("b"), "who begins nothing takes nobody's place");
        pace.began(2);
        assert_eq!(pace.next(), None);
        pace.came(MOST + 1);
        assert_eq!((pace.next(), pace.next()), (Some("c"), None));
        assert!(pace.has_come(turns[2]) && pace.is_free());
    }

    #[test]
    fn calls_of_which_nothing_comes_hold_others_up_for_moments_only() {
        let mut pace = Pace::default();
        pace.began(MOST);
        let began = Moment::START + PATIENCE;
        pace.look(began);
        assert_eq!(pace.due(), None, "nobody waits");
        pace.wait("a");
        let due = began + PATIENCE;
        pace.look(due - TICK);
        assert_eq!((pace.next(), pace.due()), (None, Some(due)));
        pace.came(0);
        pace.look(due);
        let later = due + PATIENCE;
        pace.look(later - TICK);
        assert_eq!((pace.next(), pace.due()), (None, Some(later)), "something had come");
        pace.look(later);
        assert_eq!(pace.next(), Some("a"));
        pace.began(MOST - 1);
        pace.came(1);
        assert!(pace.is_free(), "those that are counted no more may come all the same");
        pace.came(MOST);
        pace.began(MOST);
        assert!(!pace.is_free());
    }

    #[test]
    fn whoever_waits_when_nothing_has_moved_for_long_begins_to_wait_then() {
        let mut pace = Pace::default();
        pace.began(MOST);
        pace.look(Moment::START);
        let late = Moment::START + PATIENCE * 5;
        pace.look(late);
        pace.wait("a");
        pace.look(late + TICK);
        assert_eq!((pace.next(), pace.due()), (None, Some(late + PATIENCE)));
    }
}
