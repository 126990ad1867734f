//! A caller of real nodes: draws operations as the simulated ones do, and carries them out over HTTP as a careful program would.
//!
//! A session is a document with the value that it holds (`v`), how many changes made it (`n`), and every value that it ever
//! held, each with the number of its change (`w`). A change is read, decided on, and written on condition that nothing came
//! between, under a number of its own and again at another node until it is answered. So a reply tells what was there before,
//! as the judges want to know it; a change that somebody else came before is decided anew, and stays one operation. (A node's
//! tags grow by more than one, so changes are counted here.)

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ringheir::{
    id::SessionKey,
    sim::{
        check::{Action, FinalState, Outcome, Register, Reply},
        random::Stream,
        scenario::Work,
        workload::{DEADLINE, draw, value_of},
    },
};
use serde::Deserialize;
use serde_json::json;
use tokio::time::sleep;

use super::notes::Board;
use crate::{
    ask::{Peer, Request, Response},
    processes::Door,
};

/// Whoever was refused tries elsewhere after this.
const REFUSED_PAUSE: Duration = Duration::from_millis(5);

/// What a session's document says.
#[derive(Debug, Default, Deserialize)]
struct Document {
    v: Option<u64>,
    n: u64,
    #[serde(default)]
    w: BTreeMap<String, u64>,
}

/// What is there now.
#[derive(Debug, Default)]
pub(super) struct Seen {
    document: Document,
    /// What a change of it is to expect; `None`: that there is nothing.
    tag: Option<String>,
}

impl Seen {
    /// What the judges compare with what was acknowledged.
    pub(super) fn as_final(&self) -> FinalState {
        let mut applied: Vec<(u64, u64)> =
            self.document.w.iter().filter_map(|(value, version)| Some((*version, value.parse().ok()?))).collect();
        applied.sort_unstable();
        let Register { value, version } = self.register();
        FinalState { value, version, applied: applied.into_iter().map(|(_, value)| value).collect() }
    }

    pub(super) const fn register(&self) -> Register {
        Register { value: self.document.v, version: self.document.n }
    }
}

/// How one attempt ended.
#[derive(Debug)]
pub(super) enum Answer<T> {
    /// As asked.
    Done(T),
    /// Something came between.
    Conflict,
    /// Every copy was lost.
    Lost,
    /// No node should ever say this; its words.
    Refused(String),
    /// Not now, not known, or no answer: the same may be asked again.
    Again,
}

/// The session of this number, as it is called over HTTP.
pub(super) fn path_of(session: u32) -> String {
    format!("/v1/session/json/{session}")
}

/// The arc of that session.
pub(super) fn arc_of(session: u32, arcs: u16) -> u16 {
    SessionKey::new("json", session.to_string().as_bytes()).expect("a short kind and a short id").arc(arcs).0
}

/// What is the same for all callers of a run.
pub(super) struct Common {
    pub(super) board: Board,
    pub(super) doors: Vec<Door>,
    pub(super) work: Work,
    pub(super) arcs: u16,
    /// Half of every request's number: unlike any other run's.
    pub(super) draw: u64,
    /// No operation is begun after this is set.
    pub(super) stop: AtomicBool,
}

/// One caller.
pub(super) struct Caller {
    common: Arc<Common>,
    number: u32,
    chance: Stream,
    peers: Vec<Peer>,
    sequence: u64,
}

impl Caller {
    pub(super) fn new(common: Arc<Common>, number: u32, chance: Stream) -> Self {
        let peers = common.doors.iter().map(|door| Peer::new(door.http.clone())).collect();
        Self { common, number, chance, peers, sequence: 0 }
    }

    /// Asks until told to stop.
    pub(super) async fn run(mut self) {
        let common = Arc::clone(&self.common);
        let work = &common.work;
        while !common.stop.load(Ordering::Relaxed) {
            let (session, draft) = draw(&mut self.chance, work.sessions, work.mix, work.skew);
            self.sequence += 1;
            let action = draft(value_of(self.number, session, self.sequence));
            let began = common.board.now();
            let asked = common.board.notes().asked(session, self.number, action, arc_of(session, common.arcs));
            let Some(operation) = asked else { return };
            let outcome = self.act(session, action, began + DEADLINE).await;
            let waited = common.board.now().saturating_sub(began);
            common.board.notes().answered(operation, outcome, waited);
            sleep(self.chance.exponential(work.pause, work.pause * 10)).await;
        }
    }

    async fn act(&mut self, session: u32, action: Action, until: Duration) -> Outcome {
        let path = path_of(session);
        for attempt in 0.. {
            let Some(seen) = self.ask(&Request::get(&path), until, understand_read).await else {
                return Outcome::NotDone;
            };
            let seen = match seen {
                Answer::Done(seen) => seen,
                // Who makes a session outright may do so where one was lost.
                Answer::Lost if matches!(action, Action::Create { .. }) => Seen::default(),
                _ => return Outcome::Unknown,
            };
            let before = seen.register();
            let unchanged = Outcome::Done(Reply { value: before.value, version: before.version });
            match (action, before.value) {
                (Action::Read, _) | (Action::Create { .. }, Some(_)) | (Action::Delete, None) => return unchanged,
                _ => {}
            }
            let next = before.version + 1;
            let mut document = json!({ "v": action.writes(), "n": next });
            if let Some(value) = action.writes() {
                document["w"] = json!({ value.to_string(): next });
            }
            let body = document.to_string();
            let client = u128::from(self.common.draw) << 64 | u128::from(self.number) << 32 | u128::from(session);
            // One operation at a time: the first one unanswered is always this one. Decided anew, it is another command.
            let sequence = (self.sequence << 16) + attempt.min(0xffff);
            let mut headers = vec![("Idempotency-Key", format!("{client:032x}/{sequence}/{sequence}"))];
            let method = match seen.tag {
                None => {
                    headers.push(("If-None-Match", "*".to_owned()));
                    "PUT"
                }
                Some(tag) => {
                    headers.push(("If-Match", tag));
                    "PATCH"
                }
            };
            let request = Request { method, path: &path, headers: &headers, body: Some(&body) };
            match self.ask(&request, until, understand_write).await {
                Some(Answer::Done(())) => return Outcome::Done(Reply { value: before.value, version: next }),
                Some(Answer::Conflict) => {}
                _ => return Outcome::Unknown,
            }
        }
        Outcome::Unknown
    }

    /// Asks any node again and again until one answers for good; `None` if none does in time.
    async fn ask<T>(
        &mut self,
        request: &Request<'_>,
        until: Duration,
        understand: fn(&Response) -> Answer<T>,
    ) -> Option<Answer<T>> {
        let common = Arc::clone(&self.common);
        while common.board.now() < until {
            let peer = self.chance.range(0, self.peers.len() as u64) as usize;
            match self.peers[peer].ask(request, common.work.try_for).await.as_ref().map(understand) {
                Ok(Answer::Again) | Err(_) => sleep(REFUSED_PAUSE).await,
                Ok(Answer::Refused(why)) => {
                    let told = format_args!("{} {}: {why}", request.method, request.path);
                    common.board.notes().violated("answers", told);
                    return Some(Answer::Refused(why));
                }
                Ok(answer) => return Some(answer),
            }
        }
        None
    }
}

/// Reads a session through one node.
pub(super) async fn read_through(peer: &mut Peer, session: u32, within: Duration) -> Option<Answer<Seen>> {
    peer.ask(&Request::get(&path_of(session)), within).await.as_ref().map(understand_read).ok()
}

fn understand_read(response: &Response) -> Answer<Seen> {
    match response.status {
        200 => match (response.header("etag"), serde_json::from_slice(&response.body)) {
            (Some(tag), Ok(document)) => Answer::Done(Seen { document, tag: Some(tag.to_owned()) }),
            _ => refused(response),
        },
        404 => Answer::Done(Seen::default()),
        _ => other(response),
    }
}

fn understand_write(response: &Response) -> Answer<()> {
    match response.status {
        200 | 201 | 204 => Answer::Done(()),
        404 | 412 => Answer::Conflict,
        _ => other(response),
    }
}

fn other<T>(response: &Response) -> Answer<T> {
    #[derive(Deserialize)]
    struct Problem {
        retry: String,
    }
    if response.status == 410 {
        return Answer::Lost;
    }
    // A problem says itself whether the same request may be sent again.
    match serde_json::from_slice::<Problem>(&response.body).as_ref().map(|problem| problem.retry.as_str()) {
        Ok("safe" | "same_id") => Answer::Again,
        Err(_) if matches!(response.status, 408 | 425 | 429 | 502 | 503 | 504) => Answer::Again,
        _ => refused(response),
    }
}

fn refused<T>(response: &Response) -> Answer<T> {
    let body = String::from_utf8_lossy(&response.body);
    Answer::Refused(format!("{} {}", response.status, body.chars().take(200).collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_says_what_is_there_and_in_which_order_it_was_written() {
        let body = r#"{"v": 20, "n": 4, "w": {"10": 1, "20": 3, "15": 2}}"#;
        let Answer::Done(seen) = understand_read(&Response::test("200 ETag: \"5\"", body)) else { panic!("an answer") };
        assert_eq!(seen.as_final(), FinalState { value: Some(20), version: 4, applied: vec![10, 15, 20] });
        let Answer::Done(none) = understand_read(&Response::test("404", "")) else { panic!("an answer") };
        assert_eq!(none.register(), Register::default());
    }

    #[test]
    fn only_what_may_be_asked_again_is_and_what_nobody_should_say_is_told() {
        let write = |head: &str, body: &str| understand_write(&Response::test(head, body));
        assert!(matches!(write("201 ETag: \"2\"", ""), Answer::Done(())));
        assert!(matches!(write("412", ""), Answer::Conflict));
        assert!(matches!(write("410", ""), Answer::Lost));
        assert!(matches!(write("503", r#"{"retry": "safe"}"#), Answer::Again));
        assert!(matches!(write("504", r#"{"retry": "same_id"}"#), Answer::Again));
        for (head, body) in [("500", ""), ("400", r#"{"retry": "useless"}"#)] {
            assert!(matches!(write(head, body), Answer::Refused(_)), "{head} {body}");
        }
    }
}
