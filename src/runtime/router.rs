//! The router: carries one call to the session's primary, wherever that is, and brings back one honest answer.
//!
//! It runs in the caller's own task. Each attempt goes to the primary of the newest view this node knows: to a worker here, or
//! over the control lane. An attempt whose node was lost, or whose arc moved, is made again under the same identity, so it is
//! applied once. `Calls` is the bounded table of attempts that wait for another node; a forwarder keeps an entry there and
//! never a slot in an arc, so two nodes full of calls for each other cannot block one another.
//!
//! A session remembers so many replies of one client, and all calls of this node are one client. So a node has no more of
//! them under way to one session than are remembered, counted from the first without an answer on; the others wait their
//! turn, first come, first served.
//!
//! Once anything of a command was handed on, the only negative answer is "outcome unknown" (G4).

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::{sync::oneshot, time};

use super::{chance, clock, shared::Shared, worker::ReplyTo};
use crate::{
    error::{Bound, Error, ErrorKind},
    id::{ArcId, ClientId, NodeId, RequestId, SessionKey, ViewNumber},
    kinds::Failure,
    membership::View,
    moment::Moment,
    runtime::message::{CallOutcome, CallRequest, ControlMessage, ForwardedCall, ForwardedReply, Operation},
    transport::{Class, NotSent},
    wire::codec::cut,
};

/// A call that found nobody who answers yet looks again after this.
const LOOK_AGAIN: Duration = Duration::from_millis(4);
/// What a caller is told to wait when a bound was reached that others may leave at any moment.
pub(super) const BUSY_FOR: Duration = Duration::from_millis(20);
/// What a caller is told to wait when an arc is out of reach.
const RECOVERING_FOR: Duration = Duration::from_millis(500);
/// A question may be asked again at will, so the nodes lost while they had it are no verdict on it, as they are on a command.
/// But one that kills whoever answers must not walk round the ring within one call.
const QUESTION_LOSSES_MAX: u32 = 3;
/// So many bytes of a session's key are shown in an error.
const KEY_SHOWN: usize = 256;
/// The longest rest of a call that a primary had no room for.
const REST_MAX: Duration = Duration::from_millis(64);

struct Attempt {
    to: NodeId,
    arc: ArcId,
    answer: oneshot::Sender<Came>,
}

/// How an attempt ended.
enum Came {
    Outcome(CallOutcome),
    /// The node that had it was lost, or the arc moved on without it: whether it was executed, nobody knows.
    NodeLost,
    Moved,
}

#[derive(Default)]
struct Table {
    attempts: HashMap<u64, Attempt>,
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
enum Begun<'a> {
    Numbered(RequestId),
    /// Its turn comes.
    Waits(Turn<'a>),
    /// Too many wait.
    Full,
}

/// A place in the queue for one session. Given up, it leaves nothing behind.
struct Turn<'a> {
    calls: &'a Calls,
    key: SessionKey,
    number: oneshot::Receiver<RequestId>,
}

impl Turn<'_> {
    async fn comes(mut self) -> Option<RequestId> {
        (&mut self.number).await.ok()
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
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
            next: AtomicU64::new(1),
            table: Mutex::default(),
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Draws an identity for a new request of this node, or a turn to get one.
    fn begin(&self, key: &SessionKey) -> Begun<'_> {
        let mut table = self.table();
        let unanswered = table.unanswered.entry(key.clone()).or_default();
        if unanswered.waiting.is_empty() && unanswered.len() < self.window.load(Ordering::Relaxed) {
            return Begun::Numbered(self.draw(unanswered));
        }
        if unanswered.waiting.len() >= self.calls_max {
            unanswered.waiting.retain(|caller| !caller.is_closed());
        }
        if unanswered.waiting.len() >= self.calls_max {
            return Begun::Full;
        }
        let (caller, number) = oneshot::channel();
        unanswered.waiting.push_back(caller);
        Begun::Waits(Turn { calls: self, key: key.clone(), number })
    }

    /// Under the lock: a later number that were entered first would call the earlier one answered.
    fn draw(&self, unanswered: &mut Unanswered) -> RequestId {
        let sequence = self.next.fetch_add(1, Ordering::Relaxed);
        RequestId { client: self.client, sequence, first_unanswered: unanswered.enter(sequence) }
    }

    /// A request of this node was answered, or will not be asked again.
    fn end(&self, key: &SessionKey, sequence: u64) {
        let mut table = self.table();
        let Some(unanswered) = table.unanswered.get_mut(key) else { return };
        unanswered.settle(sequence);
        let window = self.window.load(Ordering::Relaxed);
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

    /// A primary remembers less of one client than this node's file says.
    fn narrow(&self, replies_per_client: usize) {
        self.window.fetch_min(replies_per_client.max(1), Ordering::Relaxed);
    }

    /// Whether nothing is under way, and nobody waits.
    #[cfg(test)]
    pub(crate) fn is_idle(&self) -> bool {
        let table = self.table();
        table.attempts.is_empty() && table.unanswered.is_empty()
    }

    /// Enters an attempt; `None` when the table is full.
    fn enter(&self, to: NodeId, arc: ArcId) -> Option<(u64, oneshot::Receiver<Came>)> {
        let (answer, answered) = oneshot::channel();
        let call = self.next.fetch_add(1, Ordering::Relaxed);
        let mut table = self.table();
        if table.attempts.len() >= self.calls_max {
            return None;
        }
        table.attempts.insert(call, Attempt { to, arc, answer });
        Some((call, answered))
    }

    fn leave(&self, call: u64) {
        self.table().attempts.remove(&call);
    }

    /// A node answers an attempt.
    pub(crate) fn handle_reply(&self, from: NodeId, reply: ForwardedReply) {
        let mut table = self.table();
        if table.attempts.get(&reply.call).is_some_and(|a| a.to == from)
            && let Some(attempt) = table.attempts.remove(&reply.call)
        {
            let _ = attempt.answer.send(Came::Outcome(reply.outcome));
        }
    }

    /// The link to a node was lost, and with it what it was asked.
    pub(crate) fn handle_lost(&self, node: NodeId) {
        let mut table = self.table();
        for (_, attempt) in table.attempts.extract_if(|_, a| a.to == node) {
            let _ = attempt.answer.send(Came::NodeLost);
        }
    }

    /// A view moved arcs: who was asked as their primary may never answer.
    pub(crate) fn handle_view(&self, view: &View) {
        let mut table = self.table();
        for (_, attempt) in table.attempts.extract_if(|_, a| view.arc(a.arc).is_none_or(|e| e.primary != a.to)) {
            let came = if view.is_member(attempt.to) { Came::Moved } else { Came::NodeLost };
            let _ = attempt.answer.send(came);
        }
    }
}

/// A reply with what callers may want to know of it.
pub(crate) struct Routed {
    pub(crate) reply: Bytes,
    pub(crate) version: u64,
    pub(crate) node: NodeId,
}

/// Carries a call until it is answered or `deadline` has come.
pub(crate) async fn call(shared: &Shared, mut request: Arc<CallRequest>, deadline: Moment) -> Result<Routed, Error> {
    if request.request.is_some() || request.operation.is_question() {
        return carry(shared, request, deadline).await;
    }
    let mut rest = LOOK_AGAIN;
    loop {
        let id = number(shared, &request.key, deadline).await?;
        Arc::make_mut(&mut request).request = Some(id);
        let answered = {
            let _guard = EndOnDrop { shared, key: &request.key, sequence: id.sequence };
            carry(shared, Arc::clone(&request), deadline).await
        };
        let Err(refused) = &answered else { return answered };
        let ErrorKind::Busy { bound: Bound::RepliesPerClient { limit }, .. } = *refused.kind() else { return answered };
        // It was refused, so it will never be executed under that number, which may stand in the way of earlier ones.
        shared.calls.narrow(limit);
        let left = deadline.since(clock::now());
        if left.is_zero() {
            return answered;
        }
        time::sleep((rest + chance::jitter(rest)).min(left)).await;
        rest = (rest * 2).min(REST_MAX);
    }
}

/// An identity for a request of this node, once there is room for it.
async fn number(shared: &Shared, key: &SessionKey, deadline: Moment) -> Result<RequestId, Error> {
    let turn = match shared.calls.begin(key) {
        Begun::Numbered(id) => return Ok(id),
        Begun::Waits(turn) => turn,
        Begun::Full => return Err(busy(Bound::Calls { limit: shared.settings.calls_max })),
    };
    let came = time::timeout(deadline.since(clock::now()), turn.comes()).await;
    came.ok()
        .flatten()
        .ok_or_else(|| busy(Bound::RepliesPerClient { limit: shared.calls.window.load(Ordering::Relaxed) }))
}

fn busy(bound: Bound) -> Error {
    ErrorKind::Busy { bound, retry_after: BUSY_FOR }.into()
}

/// Ends the numbering of a request however its caller leaves, also when the future is dropped.
struct EndOnDrop<'a> {
    shared: &'a Shared,
    key: &'a SessionKey,
    sequence: u64,
}

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.shared.calls.end(self.key, self.sequence);
    }
}

async fn carry(shared: &Shared, mut request: Arc<CallRequest>, deadline: Moment) -> Result<Routed, Error> {
    let is_question = request.operation.is_question();
    // Whether any attempt may have been executed without an answer.
    let mut in_doubt = false;
    let mut hops = 0;
    let mut lost_with = 0;
    let mut told: Option<NodeId> = None;
    let mut last = ErrorKind::Deadline;
    loop {
        if shared.is_stopped() {
            return Err(if in_doubt { ErrorKind::OutcomeUnknown } else { ErrorKind::Stopped }.into());
        }
        let left = deadline.since(clock::now());
        if left.is_zero() {
            return Err(if in_doubt { ErrorKind::OutcomeUnknown } else { last }.into());
        }
        let Some(Aim { arc, primary, is_member, seen }) = aim(shared, &request.key, told.take()) else {
            time::sleep(LOOK_AGAIN.min(left)).await;
            continue;
        };
        let came = match attempt(shared, &request, primary, arc, left).await {
            Tried::Came(came) => came,
            Tried::NotSent => {
                // Nothing of it left this node.
                if !is_member {
                    last = ErrorKind::Recovering { retry_after: RECOVERING_FOR };
                }
                wait_for_change(shared, seen, left).await;
                continue;
            }
            Tried::NoRoom(bound) => return Err(busy(bound)),
            Tried::TooLong => return Err(ErrorKind::TooLarge { limit: shared.settings.message_max }.into()),
            Tried::TimeOut => {
                let kind = if is_question { ErrorKind::Deadline } else { ErrorKind::OutcomeUnknown };
                return Err(kind.into());
            }
        };
        match came {
            Came::Outcome(outcome) => match outcome {
                CallOutcome::Done(reply, version) => return Ok(Routed { reply, version, node: primary }),
                CallOutcome::Failed(failure) => return Err(failed(failure, &request.key, &request.operation)),
                CallOutcome::Elsewhere(other, at) => {
                    hops += 1;
                    let fresher = at > seen || shared.newest_view().is_some_and(|v| v.number > seen);
                    if fresher && hops <= shared.settings.max_hops {
                        told = (at > seen).then_some(other);
                    } else {
                        hops = 0;
                        wait_for_change(shared, seen, left).await;
                    }
                    last = ErrorKind::NotDone { retry_after: LOOK_AGAIN, at: Some(other) };
                }
                CallOutcome::Starting => {
                    last = ErrorKind::NotDone { retry_after: BUSY_FOR, at: None };
                    time::sleep(LOOK_AGAIN.min(left)).await;
                }
                CallOutcome::Recovering => {
                    last = ErrorKind::Recovering { retry_after: RECOVERING_FOR };
                    wait_for_change(shared, seen, left).await;
                }
                CallOutcome::Busy(..) if in_doubt => time::sleep(LOOK_AGAIN.min(left)).await,
                // Within the deadline a client will be forgotten. The others who wait for that come a little later.
                CallOutcome::Busy(bound @ Bound::ClientsPerSession { .. }, retry_after) if retry_after < left => {
                    last = ErrorKind::Busy { bound, retry_after: BUSY_FOR };
                    time::sleep((retry_after + chance::jitter(BUSY_FOR)).min(left)).await;
                }
                CallOutcome::Busy(bound, retry_after) => return Err(ErrorKind::Busy { bound, retry_after }.into()),
                CallOutcome::Lost => return Err(ErrorKind::Lost.into()),
                CallOutcome::TooOld => {
                    return Err(Error::new(ErrorKind::OutcomeUnknown).because("older than what is remembered"));
                }
                CallOutcome::Poisoned => return Err(ErrorKind::Poisoned.into()),
                CallOutcome::NoSuchKind => {
                    return Err(ErrorKind::NoSuchKind { kind: request.key.kind().to_owned() }.into());
                }
                CallOutcome::Unknown => in_doubt |= !is_question,
            },
            Came::NodeLost => {
                in_doubt |= !is_question;
                wait_for_change(shared, seen, left).await;
                // A link that broke is no death; a process that a newer view no longer names may have died of this request.
                if shared.newest_view().is_some_and(|v| !v.is_member(primary)) {
                    if is_question {
                        lost_with += 1;
                        if lost_with >= QUESTION_LOSSES_MAX {
                            let again = ErrorKind::NotDone { retry_after: RECOVERING_FOR, at: None };
                            return Err(Error::new(again).because("each node that was to answer it was lost"));
                        }
                    } else {
                        let request = Arc::make_mut(&mut request);
                        request.attempts = request.attempts.saturating_add(1);
                    }
                }
            }
            Came::Moved => in_doubt |= !is_question,
        }
    }
}

/// A failure in the words of whoever called.
pub(crate) fn failed(failure: Failure, key: &SessionKey, operation: &Operation) -> Error {
    let Failure::NoSuchSession = failure else { return failure.into() };
    let way_out = match operation {
        Operation::Create(_) | Operation::GetOrCreate(_) => {
            "its type has no first state of its own: use create_with, or implement Session::absent"
        }
        Operation::Call(..) | Operation::Ask(..) | Operation::Delete => {
            "create it first, or let its type begin with a state of its own (Session::absent)"
        }
    };
    // The way out stands last and must not be cut, however long the id is.
    Error::from(failure).because(format!("{}; {way_out}", cut(key.to_string(), KEY_SHOWN)))
}

/// Whom to ask, as of the newest view.
struct Aim {
    arc: ArcId,
    primary: NodeId,
    is_member: bool,
    seen: ViewNumber,
}

/// `told` goes before the view's own primary while it is a member. `None` without a view. It borrows the view for a moment
/// only: every caller would count the same counter up and down.
fn aim(shared: &Shared, key: &SessionKey, told: Option<NodeId>) -> Option<Aim> {
    let view = shared.view.load();
    let view = view.as_ref()?;
    let arc = key.arc(view.shape.arcs);
    let entry = view.arc(arc).expect("an arc of the view's own shape");
    let primary = told.filter(|n| view.is_member(*n)).unwrap_or(entry.primary);
    Some(Aim { arc, primary, is_member: view.is_member(primary), seen: view.number })
}

enum Tried {
    Came(Came),
    NotSent,
    NoRoom(Bound),
    TooLong,
    TimeOut,
}

async fn attempt(shared: &Shared, request: &Arc<CallRequest>, primary: NodeId, arc: ArcId, left: Duration) -> Tried {
    if primary == shared.me {
        let (answer, answered) = oneshot::channel();
        if !shared.call_worker(arc, Arc::clone(request), ReplyTo::Here(answer)) {
            return Tried::NoRoom(Bound::Calls { limit: shared.settings.calls_max });
        }
        return match time::timeout(left, answered).await {
            Ok(Ok(outcome)) => Tried::Came(Came::Outcome(outcome)),
            // The worker was started again: its replies went with it, its commits did not.
            Ok(Err(_)) => Tried::Came(Came::Moved),
            Err(_) => Tried::TimeOut,
        };
    }
    let Some((call, answered)) = shared.calls.enter(primary, arc) else {
        return Tried::NoRoom(Bound::Calls { limit: shared.settings.calls_max });
    };
    let forwarded = ControlMessage::Call(ForwardedCall { call, request: Arc::clone(request) });
    match shared.send_control(primary, Class::Forwarded, &forwarded) {
        Ok(()) => {}
        Err(not_sent) => {
            shared.calls.leave(call);
            return match not_sent {
                NotSent::NoPeer => Tried::NotSent,
                NotSent::Full => Tried::NoRoom(Bound::Link),
                NotSent::TooLong => Tried::TooLong,
            };
        }
    }
    match time::timeout(left, answered).await {
        Ok(Ok(came)) => Tried::Came(came),
        Ok(Err(_)) => Tried::Came(Came::Moved),
        Err(_) => {
            shared.calls.leave(call);
            Tried::TimeOut
        }
    }
}

/// Waits until a view newer than `seen` is installed, but not for long: a link may come up without one.
async fn wait_for_change(shared: &Shared, seen: ViewNumber, left: Duration) {
    let mut views = shared.views.subscribe();
    let newer = views.wait_for(|view| view.as_ref().is_some_and(|v| v.number > seen));
    let _ = time::timeout(left.min(LOOK_AGAIN * 5), newer).await;
}
