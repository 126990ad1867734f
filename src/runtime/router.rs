//! The router: carries one call to the session's primary, wherever that is, and brings back one honest answer.
//!
//! It runs in the caller's own task. Each attempt goes to the primary of the newest view this node knows: to a worker here, or
//! over the data lane. An attempt whose node was lost, or whose arc moved, is made again under the same identity, so it is
//! applied once. What is under way, and the numbers of this node's own requests, are kept in `Calls`.
//!
//! Once anything of a command was handed on, the only negative answer is "outcome unknown" (G4).

use std::{sync::Arc, time::Duration};

use tokio::{sync::oneshot, time};

use super::{answers::Came, calls::Begun, chance, clock, shared::Shared, worker::ReplyTo};
use crate::{
    blob::Blob,
    error::{Bound, Error, ErrorKind},
    id::{ArcId, NodeId, RequestId, SessionKey, ViewNumber},
    kinds::Failure,
    membership::View,
    moment::Moment,
    runtime::message::{CallOutcome, CallRequest, DataMessage, ForwardedCall, Operation},
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

/// A reply with what callers may want to know of it.
pub(crate) struct Routed {
    pub(crate) reply: Blob,
    pub(crate) version: u64,
    pub(crate) node: NodeId,
    /// Whether the reply is a list of encoded replies.
    #[cfg_attr(not(feature = "redis"), allow(dead_code, reason = "a caller of one knows what it called"))]
    pub(crate) is_list: bool,
}

/// Carries a call until it is answered or `deadline` has come.
pub(crate) async fn call(shared: &Arc<Shared>, request: Arc<CallRequest>, deadline: Moment) -> Result<Routed, Error> {
    if request.request.is_some() || request.operation.is_question() {
        return carry(shared, request, deadline, None).await;
    }
    numbered(shared, request, deadline, None, None).await
}

/// Goes on with a call that was begun with others: `number` is what it was given here, if it needed one, and `first` what its
/// first attempt came to, if one was made.
pub(super) async fn go_on(
    shared: &Arc<Shared>,
    request: Arc<CallRequest>,
    deadline: Moment,
    number: Option<Number>,
    first: Option<(Aim, Tried)>,
) -> Result<Routed, Error> {
    match number {
        Some(number) => numbered(shared, request, deadline, Some(number), first).await,
        None => carry(shared, request, deadline, first).await,
    }
}

/// Carries a call under an identity of this node's own, one that it has or is given.
async fn numbered(
    shared: &Arc<Shared>,
    mut request: Arc<CallRequest>,
    deadline: Moment,
    mut has: Option<Number>,
    mut first: Option<(Aim, Tried)>,
) -> Result<Routed, Error> {
    let mut rest = LOOK_AGAIN;
    loop {
        let answered = {
            let _number = match has.take() {
                Some(number) => number,
                None => {
                    let id = number(shared, &request.key, deadline).await?;
                    Arc::make_mut(&mut request).request = Some(id);
                    Number { shared: Arc::clone(shared), key: request.key.clone(), sequence: id.sequence }
                }
            };
            carry(shared, Arc::clone(&request), deadline, first.take()).await
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
    came.ok().flatten().ok_or_else(|| busy(Bound::RepliesPerClient { limit: shared.calls.window() }))
}

pub(super) fn busy(bound: Bound) -> Error {
    ErrorKind::Busy { bound, retry_after: BUSY_FOR }.into()
}

/// The number of a request, which ends however its caller leaves, also when the future is dropped.
pub(super) struct Number {
    pub(super) shared: Arc<Shared>,
    pub(super) key: SessionKey,
    pub(super) sequence: u64,
}

impl Drop for Number {
    fn drop(&mut self) {
        self.shared.calls.end(&self.key, self.sequence);
    }
}

async fn carry(
    shared: &Shared,
    mut request: Arc<CallRequest>,
    deadline: Moment,
    mut first: Option<(Aim, Tried)>,
) -> Result<Routed, Error> {
    let is_question = request.operation.is_question();
    // Whether any attempt may have been executed without an answer.
    let mut in_doubt = !is_question && first.as_ref().is_some_and(|(_, tried)| tried.may_be_done());
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
        let (Aim { primary, is_member, seen, .. }, tried) = match first.take() {
            Some(first) => first,
            None => {
                let Some(aim) = aim(shared, &request.key, told.take()) else {
                    time::sleep(LOOK_AGAIN.min(left)).await;
                    continue;
                };
                let tried = attempt(shared, &request, aim.primary, aim.arc, left).await;
                (aim, tried)
            }
        };
        let came = match tried {
            Tried::Came(came) => came,
            Tried::NotSent => {
                // Nothing of it left this node.
                if !is_member {
                    last = ErrorKind::Recovering { retry_after: RECOVERING_FOR };
                }
                wait_for_change(shared, seen, left).await;
                continue;
            }
            Tried::NoRoom(_) if in_doubt => {
                time::sleep(LOOK_AGAIN.min(left)).await;
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
                CallOutcome::Done(reply, version) => {
                    let is_list = request.operation.is_list();
                    return Ok(Routed { reply, version, node: primary, is_list });
                }
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
                CallOutcome::HandingOver => {
                    last = ErrorKind::NotDone { retry_after: BUSY_FOR, at: None };
                    wait_for_change(shared, seen, left).await;
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
                CallOutcome::TooOld => return Err(ErrorKind::TooOld.into()),
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
        Operation::Call(..)
        | Operation::Many(..)
        | Operation::Ask(..)
        | Operation::Watch(..)
        | Operation::Together(_)
        | Operation::List(..)
        | Operation::Delete => "create it first, or let its type begin with a state of its own (Session::absent)",
    };
    // The way out stands last and must not be cut, however long the id is.
    Error::from(failure).because(format!("{}; {way_out}", cut(key.to_string(), KEY_SHOWN)))
}

/// Whom to ask, as of the newest view.
#[derive(Clone, Copy)]
pub(super) struct Aim {
    pub(super) arc: ArcId,
    pub(super) primary: NodeId,
    pub(super) is_member: bool,
    pub(super) seen: ViewNumber,
}

/// `told`, by a node with a newer view, goes before this view's own primary, also if this view does not know it yet. `None`
/// without a view. It borrows the view for a moment only: every caller would count the same counter up and down.
fn aim(shared: &Shared, key: &SessionKey, told: Option<NodeId>) -> Option<Aim> {
    let view = shared.view.load();
    let mut aim = aim_in(view.as_ref()?, key);
    if let Some(told) = told {
        (aim.primary, aim.is_member) = (told, true);
    }
    Some(aim)
}

/// Whom to ask, as of this view.
pub(super) fn aim_in(view: &View, key: &SessionKey) -> Aim {
    let arc = key.arc(view.shape.arcs);
    let primary = view.arc(arc).expect("an arc of the view's own shape").primary;
    Aim { arc, primary, is_member: view.is_member(primary), seen: view.number }
}

/// What an attempt came to.
pub(super) enum Tried {
    Came(Came),
    NotSent,
    NoRoom(Bound),
    TooLong,
    TimeOut,
}

impl Tried {
    /// Whether the call may have been executed and nobody here knows.
    const fn may_be_done(&self) -> bool {
        matches!(self, Self::TimeOut | Self::Came(Came::NodeLost | Came::Moved | Came::Outcome(CallOutcome::Unknown)))
    }
}

async fn attempt(shared: &Shared, request: &Arc<CallRequest>, primary: NodeId, arc: ArcId, left: Duration) -> Tried {
    if primary == shared.me {
        let (answer, answered) = oneshot::channel();
        if shared.call_worker(arc, Arc::clone(request), ReplyTo::Here(answer)).is_err() {
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
    let forwarded = DataMessage::Calls(vec![ForwardedCall { call, request: Arc::clone(request) }]);
    match shared.send_data(primary, Class::Forwarded, &forwarded) {
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
