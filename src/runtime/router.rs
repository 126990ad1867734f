//! The router: carries one call to the session's primary, wherever that is, and brings back one honest answer.
//!
//! It runs in the caller's own task. Each attempt goes to the primary of the newest view this node knows: to a worker here, or
//! over the control lane. An attempt whose node was lost, or whose arc moved, is made again under the same identity, so it is
//! applied once. `Calls` is the bounded table of attempts that wait for another node; a forwarder keeps an entry there and
//! never a slot in an arc, so two nodes full of calls for each other cannot block one another.
//!
//! Once anything of a command was handed on, the only negative answer is "outcome unknown" (G4).

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::{sync::oneshot, time};

use super::{clock, shared::Shared, worker::ReplyTo};
use crate::{
    error::{Error, ErrorKind},
    id::{ArcId, ClientId, NodeId, RequestId, SessionKey, ViewNumber},
    membership::View,
    moment::Moment,
    runtime::message::{CallOutcome, CallRequest, ControlMessage, ForwardedCall, ForwardedReply},
    transport::{Class, NotSent},
};

/// A call that found nobody who answers yet looks again after this.
const LOOK_AGAIN: Duration = Duration::from_millis(4);
/// What a caller is told to wait when a bound was reached.
const BUSY_FOR: Duration = Duration::from_millis(20);
/// What a caller is told to wait when an arc is out of reach.
const RECOVERING_FOR: Duration = Duration::from_millis(500);

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

/// Sequences without an answer, lowest first. Mostly there is one, which needs no allocation of its own.
struct Unanswered {
    first: u64,
    later: VecDeque<u64>,
}

/// Attempts that wait for other nodes, and the numbering of this node's own requests.
pub(crate) struct Calls {
    client: ClientId,
    calls_max: usize,
    next: AtomicU64,
    table: Mutex<Table>,
}

impl Calls {
    pub(crate) fn new(me: NodeId, calls_max: usize) -> Self {
        // The incarnation is drawn anew with every start, so it numbers requests like any other client's id.
        Self { client: ClientId(me.incarnation.0), calls_max, next: AtomicU64::new(1), table: Mutex::default() }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Draws an identity for a new request of this node.
    fn begin(&self, key: &SessionKey) -> RequestId {
        // Drawn under the lock: a later number that were entered first would call the earlier one answered.
        let mut table = self.table();
        let sequence = self.next.fetch_add(1, Ordering::Relaxed);
        let first_unanswered = match table.unanswered.entry(key.clone()) {
            Entry::Vacant(entry) => entry.insert(Unanswered { first: sequence, later: VecDeque::new() }).first,
            Entry::Occupied(entry) => {
                let unanswered = entry.into_mut();
                unanswered.later.push_back(sequence);
                unanswered.first
            }
        };
        RequestId { client: self.client, sequence, first_unanswered }
    }

    /// A request of this node was answered, or will not be asked again.
    fn end(&self, key: &SessionKey, sequence: u64) {
        let mut table = self.table();
        let Some(unanswered) = table.unanswered.get_mut(key) else { return };
        if unanswered.first != sequence {
            unanswered.later.retain(|s| *s != sequence);
        } else if let Some(next) = unanswered.later.pop_front() {
            unanswered.first = next;
        } else {
            table.unanswered.remove(key);
        }
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
    let own = if request.request.is_none() && !request.operation.is_question() {
        let id = shared.calls.begin(&request.key);
        Arc::make_mut(&mut request).request = Some(id);
        Some(id.sequence)
    } else {
        None
    };
    let _guard = own.map(|sequence| EndOnDrop { shared, request: Arc::clone(&request), sequence });
    carry(shared, request, deadline).await
}

/// Ends the numbering of a request however its caller leaves, also when the future is dropped.
struct EndOnDrop<'a> {
    shared: &'a Shared,
    request: Arc<CallRequest>,
    sequence: u64,
}

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.shared.calls.end(&self.request.key, self.sequence);
    }
}

async fn carry(shared: &Shared, mut request: Arc<CallRequest>, deadline: Moment) -> Result<Routed, Error> {
    let is_question = request.operation.is_question();
    // Whether any attempt may have been executed without an answer.
    let mut in_doubt = false;
    let mut hops = 0;
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
            Tried::NoRoom => return Err(ErrorKind::Busy { retry_after: BUSY_FOR }.into()),
            Tried::TooLong => return Err(ErrorKind::TooLarge { limit: shared.settings.message_max }.into()),
            Tried::TimeOut => {
                let kind = if is_question { ErrorKind::Deadline } else { ErrorKind::OutcomeUnknown };
                return Err(kind.into());
            }
        };
        match came {
            Came::Outcome(outcome) => match outcome {
                CallOutcome::Done(reply, version) => return Ok(Routed { reply, version, node: primary }),
                CallOutcome::Failed(failure) => return Err(failure.into()),
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
                CallOutcome::Busy if in_doubt => time::sleep(LOOK_AGAIN.min(left)).await,
                CallOutcome::Busy => return Err(ErrorKind::Busy { retry_after: BUSY_FOR }.into()),
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
                // A link that broke is no death; a process that a newer view no longer names may have died of this command.
                if shared.newest_view().is_some_and(|v| !v.is_member(primary)) {
                    let request = Arc::make_mut(&mut request);
                    request.attempts = request.attempts.saturating_add(1);
                }
            }
            Came::Moved => in_doubt |= !is_question,
        }
    }
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
    NoRoom,
    TooLong,
    TimeOut,
}

async fn attempt(shared: &Shared, request: &Arc<CallRequest>, primary: NodeId, arc: ArcId, left: Duration) -> Tried {
    if primary == shared.me {
        let (answer, answered) = oneshot::channel();
        if !shared.call_worker(arc, Arc::clone(request), ReplyTo::Here(answer)) {
            return Tried::NoRoom;
        }
        return match time::timeout(left, answered).await {
            Ok(Ok(outcome)) => Tried::Came(Came::Outcome(outcome)),
            // The worker was started again: its replies went with it, its commits did not.
            Ok(Err(_)) => Tried::Came(Came::Moved),
            Err(_) => Tried::TimeOut,
        };
    }
    let Some((call, answered)) = shared.calls.enter(primary, arc) else { return Tried::NoRoom };
    let forwarded = ControlMessage::Call(ForwardedCall { call, request: Arc::clone(request) });
    match shared.send_control(primary, Class::Forwarded, &forwarded) {
        Ok(()) => {}
        Err(not_sent) => {
            shared.calls.leave(call);
            return match not_sent {
                NotSent::NoPeer => Tried::NotSent,
                NotSent::Full => Tried::NoRoom,
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
