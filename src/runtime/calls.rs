//! `Calls`: what this node's callers have under way, and the numbers of their requests.
//!
//! Attempts that wait for another node stand in a bounded table: a forwarder keeps an entry here and never a slot in an arc,
//! so two nodes full of calls for each other cannot block one another.
//!
//! A session remembers so many replies of one client, and all calls of this node are one client. So a node has no more of
//! them under way to one session than are remembered, counted from the first without an answer on; the others wait their
//! turn, first come, first served. It sends nothing and waits for nothing itself.
//!
//! Invariant: the numbers that a session may remember of this node, from `first_unanswered` of any request on, are never
//! more than the window.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use tokio::sync::oneshot;

use super::{
    answers::{Answer, Answers, Came},
    drawn::ByDrawn,
    message::ForwardedReply,
};
use crate::{
    id::{ArcId, ClientId, NodeId, RequestId, SessionKey},
    membership::View,
};

struct Attempt {
    to: NodeId,
    arc: ArcId,
    answer: WayBack,
}

/// Where the end of an attempt is told.
enum WayBack {
    /// To the caller of this one.
    One(oneshot::Sender<Came>),
    /// To whoever made several together.
    Gathered(Answer),
}

impl WayBack {
    fn give(self, came: Came, wake: &mut Vec<Arc<Answers>>) {
        match self {
            Self::One(answer) => {
                let _ = answer.send(came);
            }
            Self::Gathered(answer) => wake.extend(answer.give(came)),
        }
    }
}

#[derive(Default)]
struct Table {
    attempts: HashMap<u64, Attempt, ByDrawn>,
    /// Sequences of this node's own requests that have no answer yet, by session.
    unanswered: HashMap<SessionKey, Unanswered>,
}

/// What is under way to one session: sequences from the first without an answer on. Mostly there is one, which needs no
/// allocation of its own.
#[derive(Default)]
struct Unanswered {
    first: Option<u64>,
    /// In order. The session remembers the reply of an answered one until `first` has passed it.
    later: VecDeque<Later>,
    /// Callers for whom there was no room. Empty while there is.
    waiting: VecDeque<oneshot::Sender<RequestId>>,
}

struct Later {
    sequence: u64,
    is_answered: bool,
}

impl Unanswered {
    fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.later.len()
    }

    /// Enters a sequence; the first without an answer.
    fn enter(&mut self, sequence: u64) -> u64 {
        match self.first {
            Some(first) => {
                self.later.push_back(Later { sequence, is_answered: false });
                first
            }
            None => *self.first.insert(sequence),
        }
    }

    /// A sequence has its answer, or will never have one.
    fn settle(&mut self, sequence: u64) {
        if self.first != Some(sequence) {
            if let Ok(at) = self.later.binary_search_by_key(&sequence, |later| later.sequence) {
                self.later[at].is_answered = true;
            }
            return;
        }
        self.first = None;
        while let Some(Later { sequence, is_answered }) = self.later.pop_front() {
            if !is_answered {
                self.first = Some(sequence);
                return;
            }
        }
    }
}

/// What a call of this node is given to begin with.
pub(super) enum Begun<'a> {
    Numbered(RequestId),
    /// Its turn comes.
    Waits(Turn<'a>),
    /// Too many wait.
    Full,
}

/// A place in the queue for one session. Given up, it leaves nothing behind.
pub(super) struct Turn<'a> {
    calls: &'a Calls,
    key: SessionKey,
    number: oneshot::Receiver<RequestId>,
}

impl Turn<'_> {
    pub(super) async fn comes(mut self) -> Option<RequestId> {
        (&mut self.number).await.ok()
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.calls.waiting.fetch_sub(1, Ordering::Relaxed);
        self.number.close();
        if let Ok(unused) = self.number.try_recv() {
            self.calls.end(&self.key, unused.sequence);
        }
    }
}

/// Attempts that wait for other nodes, and the numbering of this node's own requests.
pub(crate) struct Calls {
    client: ClientId,
    calls_max: usize,
    /// How many calls may be under way to one session: what this node's file says, or less if a primary's says so.
    window: AtomicUsize,
    /// Callers that wait for a number, over all sessions; at most `calls_max`.
    waiting: AtomicUsize,
    next: AtomicU64,
    table: Mutex<Table>,
}

impl Calls {
    pub(crate) fn new(me: NodeId, calls_max: usize, replies_per_client: usize) -> Self {
        // The incarnation is drawn anew with every start, so it numbers requests like any other client's id.
        Self {
            client: ClientId(me.incarnation.0),
            calls_max,
            window: AtomicUsize::new(replies_per_client.max(1)),
            waiting: AtomicUsize::new(0),
            next: AtomicU64::new(1),
            table: Mutex::default(),
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Draws an identity for a new request of this node, or a turn to get one.
    pub(super) fn begin(&self, key: &SessionKey) -> Begun<'_> {
        let mut table = self.table();
        let unanswered = table.unanswered.entry(key.clone()).or_default();
        if unanswered.waiting.is_empty() && unanswered.len() < self.window() {
            return Begun::Numbered(self.draw(unanswered));
        }
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.calls_max {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Begun::Full;
        }
        if unanswered.waiting.len() >= self.calls_max {
            // Of those who gave up; they are counted no more.
            unanswered.waiting.retain(|caller| !caller.is_closed());
        }
        let (caller, number) = oneshot::channel();
        unanswered.waiting.push_back(caller);
        Begun::Waits(Turn { calls: self, key: key.clone(), number })
    }

    /// Draws identities for new requests of this node, in their order; `None` for one that has to wait for its turn.
    pub(super) fn begin_all<'k>(&self, keys: impl Iterator<Item = &'k SessionKey>, drawn: &mut Vec<Option<RequestId>>) {
        let mut table = self.table();
        let window = self.window();
        drawn.extend(keys.map(|key| {
            let unanswered = table.unanswered.entry(key.clone()).or_default();
            let is_room = unanswered.waiting.is_empty() && unanswered.len() < window;
            is_room.then(|| self.draw(unanswered))
        }));
    }

    /// Under the lock: a later number that were entered first would call the earlier one answered.
    fn draw(&self, unanswered: &mut Unanswered) -> RequestId {
        let sequence = self.next.fetch_add(1, Ordering::Relaxed);
        RequestId { client: self.client, sequence, first_unanswered: unanswered.enter(sequence) }
    }

    /// A request of this node was answered, or will not be asked again.
    pub(super) fn end(&self, key: &SessionKey, sequence: u64) {
        self.end_in(&mut self.table(), key, sequence);
    }

    /// The same of several.
    pub(super) fn end_all<'k>(&self, ended: impl Iterator<Item = (&'k SessionKey, u64)>) {
        let mut table = self.table();
        ended.for_each(|(key, sequence)| self.end_in(&mut table, key, sequence));
    }

    fn end_in(&self, table: &mut Table, key: &SessionKey, sequence: u64) {
        let Some(unanswered) = table.unanswered.get_mut(key) else { return };
        unanswered.settle(sequence);
        let window = self.window();
        while unanswered.len() < window
            && let Some(caller) = unanswered.waiting.pop_front()
        {
            if caller.is_closed() {
                continue;
            }
            let id = self.draw(unanswered);
            if caller.send(id).is_err() {
                unanswered.settle(id.sequence);
            }
        }
        if unanswered.first.is_none() {
            table.unanswered.remove(key);
        }
    }

    /// How many calls may be under way to one session.
    pub(super) fn window(&self) -> usize {
        self.window.load(Ordering::Relaxed)
    }

    /// A primary remembers less of one client than this node's file says.
    pub(super) fn narrow(&self, replies_per_client: usize) {
        self.window.fetch_min(replies_per_client.max(1), Ordering::Relaxed);
    }

    /// Whether nothing is under way, and nobody waits.
    #[cfg(test)]
    pub(crate) fn is_idle(&self) -> bool {
        let table = self.table();
        table.attempts.is_empty() && table.unanswered.is_empty()
    }

    /// Enters an attempt; `None` when the table is full.
    pub(super) fn enter(&self, to: NodeId, arc: ArcId) -> Option<(u64, oneshot::Receiver<Came>)> {
        let (answer, answered) = oneshot::channel();
        let call = self.next.fetch_add(1, Ordering::Relaxed);
        let mut table = self.table();
        if table.attempts.len() >= self.calls_max {
            return None;
        }
        table.attempts.insert(call, Attempt { to, arc, answer: WayBack::One(answer) });
        Some((call, answered))
    }

    /// Enters attempts that go to one node together, as many as there is room for, under numbers that follow each other: the first
    /// of them, and how many.
    pub(super) fn enter_all(
        &self,
        to: NodeId,
        attempts: impl ExactSizeIterator<Item = (ArcId, u64)>,
        answers: &Arc<Answers>,
    ) -> (u64, usize) {
        let first = self.next.fetch_add(attempts.len() as u64, Ordering::Relaxed);
        let mut table = self.table();
        let entered = attempts.len().min(self.calls_max.saturating_sub(table.attempts.len()));
        for (call, (arc, number)) in (first..).zip(attempts.take(entered)) {
            let answer = WayBack::Gathered(Answer::new(answers, number));
            table.attempts.insert(call, Attempt { to, arc, answer });
        }
        (first, entered)
    }

    pub(super) fn leave(&self, call: u64) {
        let left = self.table().attempts.remove(&call);
        drop(left);
    }

    /// Nodes answer attempts. Says whether somebody who makes several together has something to take.
    pub(crate) fn handle_replies(&self, replies: impl ExactSizeIterator<Item = (NodeId, ForwardedReply)>) -> bool {
        if replies.len() == 0 {
            return false;
        }
        let (mut wake, mut gathered) = (Vec::new(), false);
        {
            let mut table = self.table();
            for (from, ForwardedReply { call, outcome }) in replies {
                if table.attempts.get(&call).is_some_and(|a| a.to == from)
                    && let Some(attempt) = table.attempts.remove(&call)
                {
                    gathered |= matches!(attempt.answer, WayBack::Gathered(_));
                    attempt.answer.give(Came::Outcome(outcome), &mut wake);
                }
            }
        }
        wake.iter().for_each(|answers| answers.wake());
        gathered
    }

    /// The link to a node was lost, and with it what it was asked.
    pub(crate) fn handle_lost(&self, node: NodeId) {
        self.break_off(|attempt| (attempt.to == node).then_some(Came::NodeLost));
    }

    /// A view moved arcs: who was asked as their primary may never answer.
    pub(crate) fn handle_view(&self, view: &View) {
        self.break_off(|attempt| {
            let is_moved = view.arc(attempt.arc).is_none_or(|e| e.primary != attempt.to);
            is_moved.then(|| if view.is_member(attempt.to) { Came::Moved } else { Came::NodeLost })
        });
    }

    /// Ends attempts that will not be answered, as `how` says.
    fn break_off(&self, how: impl Fn(&Attempt) -> Option<Came>) {
        let mut wake = Vec::new();
        for (_, attempt) in self.table().attempts.extract_if(|_, attempt| how(attempt).is_some()) {
            if let Some(came) = how(&attempt) {
                attempt.answer.give(came, &mut wake);
            }
        }
        wake.iter().for_each(|answers| answers.wake());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{membership::test_views::node, runtime::message::CallOutcome};

    fn numbered(begun: Begun<'_>) -> RequestId {
        let Begun::Numbered(id) = begun else { panic!("there is room") };
        id
    }

    fn waits(begun: Begun<'_>) -> Turn<'_> {
        let Begun::Waits(turn) = begun else { panic!("there is no room") };
        turn
    }

    #[tokio::test]
    async fn no_more_than_the_window_is_under_way_and_the_others_come_in_turn() {
        let calls = Calls::new(node("a", 1), 16, 2);
        let key = SessionKey::new("k", b"s").expect("within bounds");
        let (first, second) = (numbered(calls.begin(&key)), numbered(calls.begin(&key)));
        assert_eq!((second.sequence, second.first_unanswered), (first.sequence + 1, first.sequence));
        let (third, given_up, fourth) = (waits(calls.begin(&key)), waits(calls.begin(&key)), waits(calls.begin(&key)));
        calls.end(&key, second.sequence);
        assert_eq!(calls.table().unanswered[&key].waiting.len(), 3, "the session may still remember the second");
        drop(given_up);
        calls.end(&key, first.sequence);
        let (third, fourth) = (third.comes().await.expect("its turn"), fourth.comes().await.expect("its turn"));
        assert_eq!((third.sequence, third.first_unanswered), (second.sequence + 1, second.sequence + 1));
        assert_eq!((fourth.sequence, fourth.first_unanswered), (third.sequence + 1, third.sequence));
        calls.end(&key, third.sequence);
        calls.end(&key, fourth.sequence);
        assert!(calls.is_idle());
    }

    #[tokio::test]
    async fn a_number_that_came_to_one_who_has_gone_goes_on_to_the_next() {
        let calls = Calls::new(node("a", 1), 16, 1);
        let key = SessionKey::new("k", b"s").expect("within bounds");
        let first = numbered(calls.begin(&key));
        let (gone, next) = (waits(calls.begin(&key)), waits(calls.begin(&key)));
        calls.end(&key, first.sequence);
        drop(gone);
        let next = next.comes().await.expect("not lost with the one before");
        assert_eq!(next.first_unanswered, next.sequence);
        calls.end(&key, next.sequence);
        assert!(calls.is_idle());
    }

    #[test]
    fn of_attempts_that_are_entered_together_those_are_for_which_there_is_room() {
        let calls = Calls::new(node("a", 1), 3, 1);
        let answers = Arc::default();
        let enter = |count: u64| {
            let attempts: Vec<_> = (0..count).map(|number| (ArcId(0), number)).collect();
            calls.enter_all(node("b", 1), attempts.into_iter(), &answers)
        };
        let (first, entered) = enter(2);
        assert_eq!((entered, enter(2).1, enter(2).1), (2, 1, 0));
        calls.leave(first);
        assert_eq!(enter(5).1, 1);
    }

    #[test]
    fn whoever_is_given_more_before_they_have_looked_has_something_to_take_and_is_woken_once() {
        let calls = Calls::new(node("a", 1), 8, 1);
        let answers = Arc::default();
        let attempts = [(ArcId(0), 1), (ArcId(0), 2)];
        let (first, _) = calls.enter_all(node("b", 1), attempts.into_iter(), &answers);
        let reply = |call| [(node("b", 1), ForwardedReply { call, outcome: CallOutcome::Starting })].into_iter();
        assert!(calls.handle_replies(reply(first)) && calls.handle_replies(reply(first + 1)));
        assert!(!calls.handle_replies(reply(first)), "it was answered");
        let (_, _own) = calls.enter(node("b", 1), ArcId(0)).expect("there is room");
        assert!(!calls.handle_replies(reply(first + 2)), "who makes one call sees to nothing that is owed");
    }

    #[test]
    fn those_who_wait_are_bounded_over_all_sessions() {
        let calls = Calls::new(node("a", 1), 2, 1);
        let [one, other] = [b"1", b"2"].map(|id| SessionKey::new("k", id).expect("within bounds"));
        let (_first, _second) = (numbered(calls.begin(&one)), numbered(calls.begin(&other)));
        let (gives_up, _stays) = (waits(calls.begin(&one)), waits(calls.begin(&other)));
        assert!(matches!(calls.begin(&one), Begun::Full));
        drop(gives_up);
        assert!(matches!(calls.begin(&other), Begun::Waits(_)));
    }
}
