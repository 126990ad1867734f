//! `Problem`: an answer that is no success, as `application/problem+json` (RFC 9457).
//!
//! Its `type` is a stable URN that programs may compare; title and detail are for people. Beside them it says what every
//! caller must know (guarantee G4): whether the session changed (`changed`), whether the same request may be sent again
//! (`retry`), and when (`retry_after_ms`, and `Retry-After` in whole seconds, rounded up).
//!
//! Invariant: every `ErrorKind` has one type and one status, but for a conflict, which is a failed precondition where the
//! request had one.

use std::time::Duration;

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value};

use super::condition::etag;
use crate::{
    DrainError, HandBackError, RecoveryFault,
    error::{Changed, Error, ErrorKind, Retry},
};

const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");
/// When a node that is starting, or that has no room, is worth asking again.
const SOON: Duration = Duration::from_millis(250);

/// Why a request was not answered with what it asked for.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    /// The last part of the URN.
    name: &'static str,
    title: &'static str,
    detail: String,
    changed: Changed,
    retry: Retry,
    retry_after: Option<Duration>,
    /// What more programs may want to know.
    more: Map<String, Value>,
    /// The version to put in an `ETag`.
    version: Option<u64>,
    /// What would have been taken.
    taken: Option<Taken>,
}

/// What is taken instead of the content that was sent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Taken {
    /// A body as it is.
    Uncoded,
    /// A merge patch.
    MergePatch,
}

impl Taken {
    const fn header(self) -> (HeaderName, HeaderValue) {
        match self {
            Self::Uncoded => (header::ACCEPT_ENCODING, HeaderValue::from_static("identity")),
            Self::MergePatch => {
                (HeaderName::from_static("accept-patch"), HeaderValue::from_static("application/merge-patch+json"))
            }
        }
    }
}

impl Problem {
    fn new(status: StatusCode, name: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            name,
            title,
            detail: detail.into(),
            changed: Changed::No,
            retry: Retry::Useless,
            retry_after: None,
            more: Map::new(),
            version: None,
            taken: None,
        }
    }

    /// The request itself is wrong.
    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", "The request is malformed", detail)
    }

    /// The body is no JSON.
    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "malformed", "The content is not what is expected", detail)
    }

    /// The body is larger than a session may be.
    pub(super) fn too_large(limit: usize) -> Self {
        ErrorKind::TooLarge { limit }.into()
    }

    /// The body did not arrive in time.
    pub(super) fn slow_body(patience: Duration) -> Self {
        let detail = format!("the body did not arrive within {patience:?}");
        let problem =
            Self::new(StatusCode::REQUEST_TIMEOUT, "slow-body", "The request took too long to arrive", detail);
        Self { retry: Retry::Safe, ..problem }
    }

    /// A media type or coding that is not taken.
    pub(super) fn unsupported(what: &str, taken: Taken) -> Self {
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        let problem = Self::new(status, "unsupported-content", "The content is of a kind that is not taken", what);
        Self { taken: Some(taken), ..problem }
    }

    /// A node did not drain.
    pub(super) fn not_drained(why: &DrainError) -> Self {
        let (status, retry) = match why {
            DrainError::NoQuorum { .. } => (StatusCode::SERVICE_UNAVAILABLE, Retry::Safe),
            DrainError::TimedOut { .. } => (StatusCode::GATEWAY_TIMEOUT, Retry::Safe),
            _ => (StatusCode::CONFLICT, Retry::Useless),
        };
        Self { retry, ..Self::new(status, "not-drained", "The node has not left the ring", why.to_string()) }
    }

    /// A recovery that was not begun, or came to nothing.
    pub(super) fn not_recovered(why: &RecoveryFault) -> Self {
        let (status, retry) = match why {
            RecoveryFault::UnderWay | RecoveryFault::Starting | RecoveryFault::Stopped | RecoveryFault::NoQuorum => {
                (StatusCode::SERVICE_UNAVAILABLE, Retry::Safe)
            }
            RecoveryFault::NotReached(_) | RecoveryFault::NotDecided => (StatusCode::GATEWAY_TIMEOUT, Retry::Safe),
            _ => (StatusCode::CONFLICT, Retry::Useless),
        };
        Self { retry, ..Self::new(status, "not-recovered", "Nothing was recovered", why.to_string()) }
    }

    /// A node did not get back what is at home with it.
    pub(super) fn not_handed_back(why: &HandBackError) -> Self {
        let (status, retry) = match why {
            HandBackError::NoQuorum { .. } => (StatusCode::SERVICE_UNAVAILABLE, Retry::Safe),
            HandBackError::TimedOut { .. } => (StatusCode::GATEWAY_TIMEOUT, Retry::Safe),
            _ => (StatusCode::CONFLICT, Retry::Useless),
        };
        let title = "The node does not serve all that is at home with it";
        Self { retry, ..Self::new(status, "not-handed-back", title, why.to_string()) }
    }

    /// No node of that name.
    pub(super) fn no_such_node(detail: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "no-such-node", "There is no such node", detail)
    }

    /// No page of that name.
    pub(super) fn no_such_page() -> Self {
        Self::new(StatusCode::NOT_FOUND, "no-such-page", "There is no such page", "")
    }

    /// The page is there, but not for this method.
    pub(super) fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "The page does not know this method", "")
    }

    /// The node is not serving.
    pub(super) fn not_ready(detail: &str) -> Self {
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "not-ready", "The node is not serving", detail);
        Self { retry: Retry::Safe, retry_after: Some(SOON), ..problem }
    }

    /// A bound of this node's HTTP is reached.
    pub(super) fn full(detail: &str) -> Self {
        let (name, status, title) = BUSY;
        Self { retry: Retry::Safe, retry_after: Some(SOON), ..Self::new(status, name, title, detail) }
    }

    /// A precondition of the request does not hold.
    pub(super) fn precondition_failed(current: u64) -> Self {
        let status = StatusCode::PRECONDITION_FAILED;
        let title = "The session is not in the state that the request expects";
        let detail = match current {
            0 => "there is no session".to_owned(),
            current => format!("its version is {current}"),
        };
        Self::new(status, "precondition-failed", title, detail).with_current(current)
    }

    /// The session changed again each time its version was looked at.
    pub(super) fn kept_changing(current: u64) -> Self {
        let problem = Self::from(Error::new(ErrorKind::Conflict { current }));
        Self { retry: Retry::Safe, retry_after: Some(SOON), ..problem }
    }

    fn with_current(mut self, current: u64) -> Self {
        self.more.insert("current".to_owned(), current.into());
        self.version = (current != 0).then_some(current);
        self
    }

    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }

    /// The whole answer's JSON.
    fn body(&self) -> Value {
        let mut body = self.more.clone();
        body.insert("type".to_owned(), format!("urn:ringheir:{}", self.name).into());
        body.insert("title".to_owned(), self.title.into());
        body.insert("status".to_owned(), self.status.as_u16().into());
        if !self.detail.is_empty() {
            body.insert("detail".to_owned(), self.detail.clone().into());
        }
        let changed = match self.changed {
            Changed::No => "no",
            Changed::Unknown => "unknown",
        };
        body.insert("changed".to_owned(), changed.into());
        let retry = match self.retry {
            Retry::Safe => "safe",
            Retry::SameId => "same_id",
            Retry::Useless => "useless",
        };
        body.insert("retry".to_owned(), retry.into());
        if let Some(wait) = self.retry_after {
            body.insert("retry_after_ms".to_owned(), whole_millis(wait).into());
        }
        Value::Object(body)
    }

    /// The whole answer as it goes to a connection that is not served; the connection is closed after it.
    pub(super) fn as_last_words(&self) -> String {
        let body = self.body().to_string();
        let seconds = self.retry_after.map_or(1, whole_seconds);
        format!(
            "HTTP/1.1 {}\r\ncontent-type: application/problem+json\r\nretry-after: {seconds}\r\ncontent-length: {}\r\n\
             connection: close\r\n\r\n{body}",
            self.status,
            body.len()
        )
    }
}

/// Never zero, and never earlier than asked for: a client that comes back too soon has waited for nothing.
fn whole_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

fn whole_millis(wait: Duration) -> u64 {
    u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// What is said where a bound is reached, one of the ring's or one of this node's HTTP.
const BUSY: (&str, StatusCode, &str) = ("busy", StatusCode::TOO_MANY_REQUESTS, "Not done: a bound is reached");

/// The last part of the URN, the status, and what the kind means in a few words.
const fn meaning(kind: &ErrorKind) -> (&'static str, StatusCode, &'static str) {
    use StatusCode as S;
    match kind {
        ErrorKind::NotDone { .. } => ("not-done", S::SERVICE_UNAVAILABLE, "Not done; retry later"),
        ErrorKind::OutcomeUnknown => ("outcome-unknown", S::GATEWAY_TIMEOUT, "Whether it was done is not known"),
        ErrorKind::TooOld => ("too-old", S::GATEWAY_TIMEOUT, "Older than what is remembered"),
        ErrorKind::Busy { .. } => BUSY,
        ErrorKind::Lost => ("lost", S::GONE, "Every copy of the session's arc was lost"),
        ErrorKind::Recovering { .. } => ("recovering", S::SERVICE_UNAVAILABLE, "The session's copies are being sought"),
        ErrorKind::Poisoned => ("poisoned", S::INTERNAL_SERVER_ERROR, "The node died each time it ran this"),
        ErrorKind::TooLarge { .. } => ("too-large", S::PAYLOAD_TOO_LARGE, "Larger than the limit"),
        ErrorKind::Refused(_) => ("refused", S::UNPROCESSABLE_ENTITY, "The session refused"),
        ErrorKind::NoSuchKind { .. } => ("no-such-kind", S::NOT_FOUND, "There is no such session type"),
        ErrorKind::NoSuchCommand { .. } => {
            ("no-such-command", S::NOT_IMPLEMENTED, "The session type has no such command")
        }
        ErrorKind::NoSuchSession => ("no-such-session", S::NOT_FOUND, "There is no such session"),
        ErrorKind::AlreadyExists => ("already-exists", S::CONFLICT, "The session already exists"),
        ErrorKind::Conflict { .. } => ("conflict", S::CONFLICT, "The session has changed"),
        ErrorKind::Deadline => ("deadline", S::GATEWAY_TIMEOUT, "Not done in time"),
        ErrorKind::Stopped => ("stopped", S::SERVICE_UNAVAILABLE, "Not done: the node is stopped"),
        ErrorKind::Panicked => ("panicked", S::INTERNAL_SERVER_ERROR, "The session type's code panicked"),
        ErrorKind::Undecodable { .. } => ("undecodable", S::INTERNAL_SERVER_ERROR, "The stored state cannot be read"),
        ErrorKind::Unencodable => ("unencodable", S::INTERNAL_SERVER_ERROR, "The new state cannot be stored"),
        ErrorKind::Malformed => ("malformed", S::UNPROCESSABLE_ENTITY, "The content is not what is expected"),
        ErrorKind::UnreadableReply => {
            ("unreadable-reply", S::INTERNAL_SERVER_ERROR, "Done, but the reply cannot be read")
        }
        ErrorKind::InvalidSessionId => ("invalid-session-id", S::BAD_REQUEST, "Not a session id"),
        ErrorKind::Registration => ("registration", S::INTERNAL_SERVER_ERROR, "Session types not registered"),
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let kind = error.kind();
        let (name, status, title) = meaning(kind);
        let (changed, retry, detail) = (error.changed(), error.retry(), error.to_string());
        // A stopped node does not come back, but whoever answers at this address next may.
        let retry_after = error.retry_after().or(matches!(kind, ErrorKind::Stopped).then_some(SOON));
        let problem = Self { changed, retry, retry_after, ..Self::new(status, name, title, detail) };
        match kind {
            ErrorKind::NotDone { at: Some(node), .. } => problem.with("at", node.name.as_str()),
            ErrorKind::TooLarge { limit } => problem.with("limit", *limit),
            ErrorKind::Busy { bound, .. } => {
                let problem = problem.with("bound", bound.word());
                bound.limit().into_iter().fold(problem, |problem, limit| problem.with("limit", limit))
            }
            ErrorKind::Refused(refused) if !refused.code().is_empty() => problem.with("code", refused.code()),
            ErrorKind::Conflict { current } => problem.with_current(*current),
            _ => problem,
        }
    }
}

impl From<ErrorKind> for Problem {
    fn from(kind: ErrorKind) -> Self {
        Error::new(kind).into()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.body().to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, CONTENT_TYPE);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(wait) = self.retry_after {
            headers.insert(header::RETRY_AFTER, whole_seconds(wait).into());
        }
        if let Some(version) = self.version {
            headers.insert(header::ETAG, etag(version));
        }
        if let Some((name, value)) = self.taken.map(Taken::header) {
            headers.insert(name, value);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{error::Bound, session::Refused};

    #[test]
    fn each_kind_of_error_keeps_its_type_and_status() {
        // Programs compare these: a change here breaks them.
        let wait = Duration::from_millis(1);
        for (kind, name, status) in [
            (ErrorKind::NotDone { retry_after: wait, at: None }, "not-done", 503),
            (ErrorKind::OutcomeUnknown, "outcome-unknown", 504),
            (ErrorKind::TooOld, "too-old", 504),
            (ErrorKind::Busy { bound: Bound::Link, retry_after: wait }, "busy", 429),
            (ErrorKind::Lost, "lost", 410),
            (ErrorKind::Recovering { retry_after: wait }, "recovering", 503),
            (ErrorKind::Poisoned, "poisoned", 500),
            (ErrorKind::TooLarge { limit: 1 }, "too-large", 413),
            (ErrorKind::Refused(Refused::new("no")), "refused", 422),
            (ErrorKind::NoSuchKind { kind: String::new() }, "no-such-kind", 404),
            (ErrorKind::NoSuchCommand { command: String::new() }, "no-such-command", 501),
            (ErrorKind::NoSuchSession, "no-such-session", 404),
            (ErrorKind::AlreadyExists, "already-exists", 409),
            (ErrorKind::Conflict { current: 1 }, "conflict", 409),
            (ErrorKind::Deadline, "deadline", 504),
            (ErrorKind::Stopped, "stopped", 503),
            (ErrorKind::Panicked, "panicked", 500),
            (ErrorKind::Undecodable { theirs: 2, ours: 1 }, "undecodable", 500),
            (ErrorKind::Unencodable, "unencodable", 500),
            (ErrorKind::Malformed, "malformed", 422),
            (ErrorKind::UnreadableReply, "unreadable-reply", 500),
            (ErrorKind::InvalidSessionId, "invalid-session-id", 400),
            (ErrorKind::Registration, "registration", 500),
        ] {
            let problem = Problem::from(kind);
            assert_eq!(problem.body()["type"], format!("urn:ringheir:{name}"));
            assert_eq!(problem.into_response().status().as_u16(), status, "{name}");
        }
    }

    #[test]
    fn waiting_is_told_in_whole_seconds_and_exactly() {
        for (wait, seconds, millis) in [
            (Duration::ZERO, "1", 0),
            (Duration::from_micros(1_500), "1", 2),
            (Duration::from_secs(2), "2", 2_000),
            (Duration::from_millis(2_001), "3", 2_001),
        ] {
            let problem = Problem::from(ErrorKind::Recovering { retry_after: wait });
            assert_eq!(problem.body()["retry_after_ms"], millis);
            assert_eq!(problem.into_response().headers()[header::RETRY_AFTER], seconds);
        }
        assert!(Problem::from(ErrorKind::Lost).into_response().headers().get(header::RETRY_AFTER).is_none());
    }

    #[test]
    fn an_unknown_outcome_is_told_from_a_deadline_by_type_and_by_what_may_have_changed() {
        let unknown = Problem::from(ErrorKind::OutcomeUnknown).body();
        assert_eq!((&unknown["changed"], &unknown["retry"]), (&"unknown".into(), &"same_id".into()));
        let deadline = Problem::from(ErrorKind::Deadline).body();
        assert_eq!((&deadline["changed"], &deadline["retry"]), (&"no".into(), &"safe".into()));
    }

    #[test]
    fn a_bound_that_is_reached_is_named_with_its_limit_and_with_what_helps() {
        let bound = Bound::ClientsPerSession { limit: 1_024 };
        let problem = Problem::from(ErrorKind::Busy { bound, retry_after: Duration::from_secs(400) });
        let body = problem.body();
        assert_eq!((&body["bound"], &body["limit"]), (&"clients_per_session".into(), &1_024.into()));
        let detail = body["detail"].as_str().expect("a sentence");
        assert!(detail.contains("<client, 32 hex digits>/<sequence>/<first unanswered>"), "{detail}");
        assert_eq!(problem.into_response().headers()[header::RETRY_AFTER], "400");
    }
}
