//! Linearizability: is there one order of a session's operations that respects real time and gives every reply?
//! (Herlihy and Wing, "Linearizability", 1990.)
//!
//! The search is Wing and Gong's (1993) with Lowe's memory of configurations seen before ("Testing for
//! linearizability", 2017), one session at a time because linearizability is local (the same paper's theorem). Of
//! the operations that may come next, those asked before the earliest pending answer, one is put in place, and so on
//! until every operation that was done has its place. What keeps the search short, each without losing an order:
//!
//! - *What changes nothing goes first.* A read that is allowed now and agrees with the register now can always be moved
//!   to the front of whatever order follows: it disturbs nobody. So it is placed without an alternative.
//! - *A value seen tells when it was written.* Values are unique and replies carry versions, so an operation of unknown
//!   outcome whose value somebody saw at version v was change number v, or there is no order at all.
//! - *Unseen changes of unknown outcome are alike.* They may not simply be dropped, as one would for a plain register:
//!   each still counts one version. But nobody saw the value, and they stay pending for ever, so in any order the i-th
//!   used of a class (writes, creates, deletes) may be exchanged for the i-th asked of it. One branch a class instead of
//!   one an operation; and none at a version whose value somebody saw, nor above the highest version that anybody saw.
//! - Reads of unknown outcome, and operations that were not done, have no place in the order and are left out. (If a
//!   value that was "not done" is seen, no operation explains it, and that is the violation.)
//!
//! It checks neither liveness nor order between sessions. A search over its bound says `TooHard`, never "linearizable".

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
};

use super::{
    explain::{Explanation, explain},
    history::{Action, History, Operation, Register},
};

/// A bound for `check` that no history of a working or broken cluster came near: about one step an operation is usual.
pub const STEPS_MAX: u64 = 100_000;

/// What the search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every session has an order.
    Linearizable,
    /// A session has none; the lowest-numbered such session.
    Violation(Box<Explanation>),
    /// No violation was found, and these sessions were given up at the bound. To be counted and shown: it is not "well".
    TooHard {
        /// The sessions given up.
        sessions: Vec<u32>,
    },
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Linearizable => f.write_str("linearizable"),
            Self::Violation(explanation) => explanation.fmt(f),
            Self::TooHard { sessions } => write!(f, "not decided within the bound: sessions {sessions:?}"),
        }
    }
}

/// Judges every session of a history; each session's search takes at most `steps_max` steps.
#[must_use]
pub fn check(history: &History, steps_max: u64) -> Verdict {
    let mut given_up = Vec::new();
    for (session, operations) in history.sessions() {
        match search(&operations, steps_max) {
            Search::Ordered => {}
            Search::TooHard => given_up.push(session),
            Search::Stuck { at, operation } => {
                return Verdict::Violation(Box::new(explain(session, &operations, at, operation)));
            }
        }
    }
    if given_up.is_empty() { Verdict::Linearizable } else { Verdict::TooHard { sessions: given_up } }
}

/// How the search of one session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Search {
    /// There is an order.
    Ordered,
    /// There is none. Where the longest attempt ended, and the operation that had to come next and could not.
    Stuck { at: Register, operation: Operation },
    /// The bound came first.
    TooHard,
}

/// The classes of unseen changes of unknown outcome.
const WRITES: usize = 0;
const CREATES: usize = 1;
const DELETES: usize = 2;

/// One session's operations, sorted by what the search asks of them.
struct Problem<'a> {
    /// Those that were done, by invocation.
    done: Vec<&'a Operation>,
    /// Unknown outcome, value seen: by the version that it must have made.
    seen: BTreeMap<u64, &'a Operation>,
    /// Unknown outcome, never seen; each class by invocation.
    unseen: [Vec<&'a Operation>; 3],
    /// What the replies say the session held at each version.
    values: BTreeMap<u64, Option<u64>>,
}

/// A configuration: which operations have their place, and what the session is after them.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Placed {
    done: Box<[u64]>,
    unseen: [usize; 3],
    register: Register,
}

/// A configuration with what follows from it, kept so as not to be computed again.
#[derive(Clone)]
struct Step {
    placed: Placed,
    /// The first of `Problem::done` without a place.
    first: usize,
    count: usize,
}

impl<'a> Problem<'a> {
    fn new(operations: &'a [Operation]) -> Self {
        let mut done: Vec<_> = operations.iter().filter(|o| o.reply().is_some()).collect();
        done.sort_by_key(|o| o.invoked);
        // Where two replies contradict each other there is no order, whichever of them is kept here.
        let values: BTreeMap<_, _> =
            done.iter().flat_map(|o| [o.before(), o.after()]).flatten().map(|r| (r.version, r.value)).collect();
        let seen_at: BTreeMap<_, _> =
            values.iter().filter_map(|(version, value)| value.map(|value| (value, *version))).collect();
        let mut seen = BTreeMap::new();
        let mut unseen = [Vec::new(), Vec::new(), Vec::new()];
        let mut unknown: Vec<_> = operations.iter().filter(|o| o.may_change()).collect();
        unknown.sort_by_key(|o| o.invoked);
        for operation in unknown {
            let version = operation.action.writes().and_then(|value| seen_at.get(&value));
            match (version, operation.action) {
                (Some(version), _) => {
                    seen.insert(*version, operation);
                }
                (None, Action::Write { .. }) => unseen[WRITES].push(operation),
                (None, Action::Create { .. }) => unseen[CREATES].push(operation),
                (None, Action::Delete) => unseen[DELETES].push(operation),
                (None, Action::Read) => {}
            }
        }
        Self { done, seen, unseen, values }
    }

    fn start(&self) -> Step {
        let done = vec![0; self.done.len().div_ceil(64)].into();
        Step { placed: Placed { done, unseen: [0; 3], register: Register::default() }, first: 0, count: 0 }
    }

    /// Which of those done may come next, and the earliest answer among all that have no place: nothing asked after it
    /// may come before it. `done` is sorted by invocation, so the first asked too late ends the walk.
    fn allowed(&self, step: &Step) -> (Vec<usize>, u64) {
        let mut earliest_answer = u64::MAX;
        let mut allowed = Vec::new();
        for (index, operation) in self.done.iter().enumerate().skip(step.first) {
            if operation.invoked > earliest_answer {
                break;
            }
            if !step.placed.has(index) {
                allowed.push(index);
                earliest_answer = earliest_answer.min(operation.returned.unwrap_or(u64::MAX));
            }
        }
        (allowed, earliest_answer)
    }

    /// The earliest answer among those without a place: it had to come next, or something before it that was not there.
    fn due(&self, step: &Step) -> Option<&'a Operation> {
        let (allowed, _) = self.allowed(step);
        allowed.into_iter().map(|index| self.done[index]).min_by_key(|o| o.returned)
    }

    /// Places everything that changes nothing and agrees, then gives each way to go on. The likeliest comes last.
    fn advance(&self, step: &mut Step) -> Vec<Step> {
        let (allowed, earliest_answer) = loop {
            let (allowed, earliest_answer) = self.allowed(step);
            let agree = |index: &usize| {
                let operation = self.done[*index];
                !operation.changed() && operation.before() == Some(step.placed.register)
            };
            let idle: Vec<_> = allowed.iter().copied().filter(agree).collect();
            if idle.is_empty() {
                break (allowed, earliest_answer);
            }
            for index in idle {
                self.place(step, index);
            }
        };

        let register = step.placed.register;
        let next = register.version + 1;
        let mut ways = Vec::new();
        let somebody_saw_more = self.values.last_key_value().is_some_and(|(highest, _)| next <= *highest);
        for class in [DELETES, CREATES, WRITES] {
            let Some(operation) = self.unseen[class].get(step.placed.unseen[class]) else { continue };
            let (after, _) = operation.action.apply(register);
            let agrees = self.values.get(&next).is_none_or(|value| *value == after.value);
            if operation.invoked <= earliest_answer && after.version == next && somebody_saw_more && agrees {
                let mut way = step.clone();
                way.placed.unseen[class] += 1;
                way.placed.register = after;
                ways.push(way);
            }
        }
        if let Some(operation) = self.seen.get(&next) {
            let (after, _) = operation.action.apply(register);
            if operation.invoked <= earliest_answer && after.version == next {
                let mut way = step.clone();
                way.placed.register = after;
                ways.push(way);
            }
        }
        for index in allowed.into_iter().rev() {
            let operation = self.done[index];
            if operation.changed() && operation.before() == Some(register) {
                let mut way = step.clone();
                way.placed.register = operation.after().expect("it was done");
                self.place(&mut way, index);
                ways.push(way);
            }
        }
        ways
    }

    fn place(&self, step: &mut Step, index: usize) {
        step.placed.done[index / 64] |= 1 << (index % 64);
        step.count += 1;
        while step.first < self.done.len() && step.placed.has(step.first) {
            step.first += 1;
        }
    }
}

impl Placed {
    fn has(&self, index: usize) -> bool {
        self.done[index / 64] & (1 << (index % 64)) != 0
    }
}

/// Searches an order of one session's operations, depth first.
pub(super) fn search(operations: &[Operation], steps_max: u64) -> Search {
    let problem = Problem::new(operations);
    let mut open = vec![problem.start()];
    // Only membership is asked of it, so its order cannot show. A seen operation of unknown outcome needs no bit of its
    // own: it can only make its one version, so once the register has passed that, it has no future whether used or not.
    let mut visited = HashSet::new();
    let mut longest: Option<Step> = None;
    let mut steps = 0;
    while let Some(mut step) = open.pop() {
        if steps >= steps_max {
            return Search::TooHard;
        }
        steps += 1;
        let ways = problem.advance(&mut step);
        if step.count == problem.done.len() {
            return Search::Ordered;
        }
        if ways.is_empty() && longest.as_ref().is_none_or(|longest| longest.count < step.count) {
            longest = Some(step);
        }
        open.extend(ways.into_iter().filter(|way| visited.insert(way.placed.clone())));
    }
    let longest = longest.expect("a search that found no order ended somewhere first");
    let operation = *problem.due(&longest).expect("an operation without a place ended the search");
    Search::Stuck { at: longest.placed.register, operation }
}
