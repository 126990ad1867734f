//! `Bundle`: the calls of one caller that makes many, begun together and answered as they come.
//!
//! A call by itself costs a future, a channel, a timer and a message. Here calls that are begun together are handed to each
//! worker, and sent to each other node, as one; their outcomes come back to one place. It makes the first attempt at each call
//! and no other: whatever is no plain answer goes on in the router, call by call, with what the attempt came to, so that what
//! may be said of a call is decided in one place.
//!
//! Invariant: each call that was begun comes out of `next` once, by its deadline and a little at the latest. Bound: the caller
//! begins no more than it can keep.

use std::{collections::VecDeque, pin::Pin, sync::Arc, time::Duration};

use tokio::{
    task::{JoinError, JoinSet},
    time::{self, Sleep},
};

use super::{
    answers::{Answer, Answers, Came},
    clock,
    inbox::Call,
    message::{CallOutcome, CallRequest, DataMessage, ForwardedCall},
    router::{self, Aim, Number, Routed, Tried},
    shared::Shared,
    worker::ReplyTo,
};
use crate::{
    error::{Bound, Error, ErrorKind},
    id::{ArcId, NodeId, RequestId},
    membership::View,
    moment::Moment,
    transport::{Class, NotSent},
};

/// Calls of about so many bytes are one message to another node.
const MESSAGE_BYTES: usize = 64 << 10;
/// What a call takes besides what it carries, about.
const HEAD: usize = 96;

/// What a call came to, and its number.
pub(crate) type Ended = (u64, Result<Routed, Error>);

/// A first attempt that has no outcome yet.
struct Attempt {
    request: Arc<CallRequest>,
    aim: Aim,
    deadline: Moment,
    /// What it is called in the table of those that wait for other nodes.
    call: Option<u64>,
}

/// Calls for one other node that were begun together.
type ForOther = (NodeId, Vec<(u64, ArcId, Arc<CallRequest>)>);

/// See the module.
pub(crate) struct Bundle {
    shared: Arc<Shared>,
    answers: Arc<Answers>,
    /// By number, from `first` on; nothing for those that have ended or go on by themselves.
    attempts: VecDeque<Option<Attempt>>,
    first: u64,
    /// Calls that go on one by one.
    slow: JoinSet<Ended>,
    /// Calls that have ended and were not told yet.
    ended: Vec<Ended>,
    came: Vec<(u64, Came)>,
    /// Goes off at the first deadline, or at one that has been met since.
    timer: Pin<Box<Sleep>>,
    is_timed: bool,
}

impl Bundle {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            answers: Arc::default(),
            attempts: VecDeque::new(),
            first: 0,
            slow: JoinSet::new(),
            ended: Vec::new(),
            came: Vec::new(),
            timer: Box::pin(time::sleep(Duration::ZERO)),
            is_timed: false,
        }
    }

    /// Begins calls that have no identity yet: they wait until somebody sees to them ([`Shared::see_to_calls`]), so that those of
    /// several callers leave together. Gives the number of the first of them; those of the others follow. One that is
    /// an error has ended with it. Deadlines of later ones are not before those of earlier ones.
    pub(crate) fn begin(
        &mut self,
        requests: impl Iterator<Item = Result<CallRequest, Error>>,
        deadline: Moment,
    ) -> u64 {
        let first = self.first + self.attempts.len() as u64;
        let mut begun = Vec::with_capacity(requests.size_hint().0);
        for (number, request) in (first..).zip(requests) {
            match request {
                Ok(request) => begun.push((number, Arc::new(request))),
                Err(error) => self.ended.push((number, Err(error))),
            }
            self.attempts.push_back(None);
        }
        self.begin_all(begun, deadline);
        first
    }

    fn begin_all(&mut self, requests: Vec<(u64, Arc<CallRequest>)>, deadline: Moment) {
        let shared = Arc::clone(&self.shared);
        if shared.is_stopped() {
            let stopped = |(number, _)| (number, Err(ErrorKind::Stopped.into()));
            return self.ended.extend(requests.into_iter().map(stopped));
        }
        let view = shared.view.load();
        let Some(view) = view.as_deref() else {
            for (number, request) in requests {
                self.go_on(number, request, deadline, None, None);
            }
            return;
        };
        let mut numbers = Vec::with_capacity(requests.len());
        let commands = requests.iter().filter(|(_, request)| !request.operation.is_question());
        shared.calls.begin_all(commands.map(|(_, request)| &request.key), &mut numbers);
        let mut numbers = numbers.into_iter();
        let (mut here, mut there) = (Vec::with_capacity(requests.len()), Vec::new());
        for (number, mut request) in requests {
            // Nobody else has it yet.
            if let Some(request) = Arc::get_mut(&mut request).filter(|request| !request.operation.is_question()) {
                request.request = numbers.next().flatten();
            }
            if request.request.is_none() && !request.operation.is_question() {
                // It waits for its turn, and is given a number then.
                self.go_on(number, request, deadline, None, None);
                continue;
            }
            self.aim(number, request, deadline, view, &mut here, &mut there);
        }
        self.hand_over(&mut here);
        for (node, calls) in there {
            self.send(node, &calls);
            shared.owe(node);
        }
    }

    /// Whom to ask, and how.
    fn aim(
        &mut self,
        number: u64,
        request: Arc<CallRequest>,
        deadline: Moment,
        view: &View,
        here: &mut Vec<Call>,
        there: &mut Vec<ForOther>,
    ) {
        let aim = router::aim_in(view, &request.key);
        if aim.primary == self.shared.me {
            let reply_to = ReplyTo::Gathered(Answer::new(&self.answers, number));
            here.push(Call { arc: aim.arc, request: Arc::clone(&request), reply_to });
        } else {
            let call = (number, aim.arc, Arc::clone(&request));
            match there.iter_mut().find(|(node, _)| *node == aim.primary) {
                Some((_, calls)) => calls.push(call),
                None => there.push((aim.primary, vec![call])),
            }
        }
        if let Some(place) = self.attempt(number) {
            *place = Some(Attempt { request, aim, deadline, call: None });
        }
    }

    /// To this node's workers. Who finds no room hears of it as of any outcome.
    fn hand_over(&self, here: &mut Vec<Call>) {
        if here.is_empty() {
            return;
        }
        let bound = Bound::Calls { limit: self.shared.settings.calls_max };
        for refused in self.shared.call_workers(here) {
            refused.reply_to.give(CallOutcome::Busy(bound, router::BUSY_FOR));
        }
    }

    /// To another node, in messages of some size.
    fn send(&mut self, node: NodeId, mut calls: &[(u64, ArcId, Arc<CallRequest>)]) {
        while !calls.is_empty() {
            let mut bytes = 0;
            let fits = calls.iter().take_while(|(_, _, request)| {
                bytes += HEAD + request.size();
                bytes <= MESSAGE_BYTES
            });
            let (now, later) = calls.split_at(fits.count().max(1));
            calls = later;
            self.send_message(node, now);
        }
    }

    fn send_message(&mut self, node: NodeId, calls: &[(u64, ArcId, Arc<CallRequest>)]) {
        let shared = Arc::clone(&self.shared);
        let entries = calls.iter().map(|(number, arc, _)| (*arc, *number));
        let (first, entered) = shared.calls.enter_all(node, entries, &self.answers);
        let (calls, refused) = calls.split_at(entered);
        for (number, ..) in refused {
            self.not_begun(*number, Tried::NoRoom(Bound::Calls { limit: shared.settings.calls_max }));
        }
        if calls.is_empty() {
            return;
        }
        for (call, (number, ..)) in (first..).zip(calls) {
            if let Some(Some(attempt)) = self.attempt(*number) {
                attempt.call = Some(call);
            }
        }
        let forwarded = (first..).zip(calls).map(|(call, (.., request))| {
            let request = Arc::clone(request);
            ForwardedCall { call, request }
        });
        let Err(not_sent) = shared.queue_data(node, Class::Forwarded, &DataMessage::Calls(forwarded.collect())) else {
            return;
        };
        for (number, ..) in calls {
            let tried = match not_sent {
                NotSent::NoPeer => Tried::NotSent,
                NotSent::Full => Tried::NoRoom(Bound::Link),
                NotSent::TooLong => Tried::TooLong,
            };
            self.not_begun(*number, tried);
        }
    }

    /// Of an attempt nothing was handed on.
    fn not_begun(&mut self, number: u64, tried: Tried) {
        if let Some(attempt) = self.take(number) {
            if let Some(call) = attempt.call {
                self.shared.calls.leave(call);
            }
            self.go_on_after(number, attempt, tried);
        }
    }

    fn attempt(&mut self, number: u64) -> Option<&mut Option<Attempt>> {
        let at = number.checked_sub(self.first)?;
        self.attempts.get_mut(usize::try_from(at).ok()?)
    }

    /// Takes an attempt out; `None` if it has ended.
    fn take(&mut self, number: u64) -> Option<Attempt> {
        self.attempt(number)?.take()
    }

    fn go_on_after(&mut self, number: u64, attempt: Attempt, tried: Tried) {
        let Attempt { request, aim, deadline, .. } = attempt;
        let has = request.request.map(|id: RequestId| Number {
            shared: Arc::clone(&self.shared),
            key: request.key.clone(),
            sequence: id.sequence,
        });
        self.go_on(number, request, deadline, has, Some((aim, tried)));
    }

    fn go_on(
        &mut self,
        number: u64,
        request: Arc<CallRequest>,
        deadline: Moment,
        has: Option<Number>,
        first: Option<(Aim, Tried)>,
    ) {
        let shared = Arc::clone(&self.shared);
        let is_numbered = has.is_some() || request.operation.is_question();
        self.slow.spawn(async move {
            let ended = if is_numbered {
                router::go_on(&shared, request, deadline, has, first).await
            } else {
                router::call(&shared, request, deadline).await
            };
            (number, ended)
        });
    }

    /// The calls that have ended since it was asked the last time, at least one, in no order; waits for that. If the future is
    /// dropped nothing is lost.
    pub(crate) async fn next(&mut self, ended: &mut Vec<Ended>) {
        loop {
            self.look();
            if !self.ended.is_empty() {
                ended.append(&mut self.ended);
                return;
            }
            self.time();
            tokio::select! {
                () = self.answers.news() => {}
                Some(slow) = self.slow.join_next(), if !self.slow.is_empty() => match slow.map_err(JoinError::try_into_panic) {
                    Ok(ended) => self.ended.push(ended),
                    Err(Ok(panic)) => std::panic::resume_unwind(panic),
                    // Nobody ends them but this, when it is dropped, or the runtime, which then ends this too.
                    Err(Err(_)) => {}
                },
                () = &mut self.timer, if self.is_timed => {
                    self.is_timed = false;
                    self.give_up();
                }
            }
        }
    }

    /// Sets the timer, unless it will go off soon enough.
    fn time(&mut self) {
        if !self.is_timed
            && let Some(first) = self.attempts.iter().flatten().next()
        {
            let left = first.deadline.since(clock::now());
            self.timer.set(time::sleep(left));
            self.is_timed = true;
        }
    }

    /// Takes what has come.
    fn look(&mut self) {
        let mut came = std::mem::take(&mut self.came);
        self.answers.take(&mut came);
        let mut settled: Vec<Arc<CallRequest>> = Vec::with_capacity(came.len());
        for (number, came) in came.drain(..) {
            let Some(attempt) = self.take(number) else { continue };
            let node = attempt.aim.primary;
            let ended = match came {
                Came::Outcome(CallOutcome::Done(reply, version)) => {
                    Ok(Routed { reply, version, node, is_list: attempt.request.operation.is_list() })
                }
                Came::Outcome(CallOutcome::Failed(failure)) => {
                    Err(router::failed(failure, &attempt.request.key, &attempt.request.operation))
                }
                came => {
                    self.go_on_after(number, attempt, Tried::Came(came));
                    continue;
                }
            };
            settled.push(attempt.request);
            self.ended.push((number, ended));
        }
        self.came = came;
        self.end(&settled);
        self.forget_ended();
    }

    /// Those whose deadline has come.
    fn give_up(&mut self) {
        let now = clock::now();
        let mut settled = Vec::new();
        for (number, attempt) in (self.first..).zip(&mut self.attempts) {
            let Some(late) = attempt.take_if(|attempt| attempt.deadline <= now) else { continue };
            if let Some(call) = late.call {
                self.shared.calls.leave(call);
            }
            let is_question = late.request.operation.is_question();
            let kind = if is_question { ErrorKind::Deadline } else { ErrorKind::OutcomeUnknown };
            self.ended.push((number, Err(kind.into())));
            settled.push(late.request);
        }
        self.end(&settled);
        self.forget_ended();
    }

    /// Their numbers are used no more.
    fn end(&self, settled: &[Arc<CallRequest>]) {
        let numbered = settled.iter().filter_map(|request| Some((&request.key, request.request?.sequence)));
        self.shared.calls.end_all(numbered);
    }

    fn forget_ended(&mut self) {
        while let Some(None) = self.attempts.front() {
            self.attempts.pop_front();
            self.first += 1;
        }
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let left: Vec<Attempt> = self.attempts.drain(..).flatten().collect();
        for call in left.iter().filter_map(|attempt| attempt.call) {
            self.shared.calls.leave(call);
        }
        let requests: Vec<Arc<CallRequest>> = left.into_iter().map(|attempt| attempt.request).collect();
        self.end(&requests);
    }
}
