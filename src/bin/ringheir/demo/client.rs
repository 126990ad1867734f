//! A client: one task that owns some sessions, writes and reads them through any node, and keeps their ledgers.
//!
//! It behaves as a careful user of the HTTP door would: each write is a numbered request, sent again under its number at
//! another node until it is answered; a node that refused or kept silent is left alone for a moment. It trusts no answer:
//! each goes through the session's ledger. One request at a time, so what it was told is in order.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ringheir::{id::SessionKey, moment::Moment};

use super::{
    board::Board,
    ledger::{Document, Ledger, Seen, Wrong},
    measure::Outcome,
};
use crate::{
    ask::{HttpError, Peer, Request, Response},
    processes::Door,
};

/// A hung node must be left quickly.
const ATTEMPT: Duration = Duration::from_millis(300);
/// After this a command counts as failed.
const DEADLINE: Duration = Duration::from_secs(10);
/// How long a node that refused or kept silent is left alone.
const MARKED_DOWN: Duration = Duration::from_millis(1_000);
/// Pause before the first retry; it doubles up to the longest.
const PAUSE_FIRST: Duration = Duration::from_millis(2);
/// The longest pause between attempts.
const PAUSE_MAX: Duration = Duration::from_millis(16);
/// Of a hundred commands, how many write.
const WRITES: u64 = 70;

/// What is the same for all clients of a run.
pub(crate) struct Common {
    /// Where they write down what they see.
    pub(crate) board: Board,
    /// Every node, living or not: a client is not told.
    pub(crate) doors: Vec<Door>,
    /// Arcs of the cluster.
    pub(crate) arcs: u16,
    /// From one command of a client to its next; zero: at once.
    pub(crate) pace: Duration,
    /// No new command is begun after this is set.
    pub(crate) stop: AtomicBool,
}

/// Cheap chance from a seed (splitmix64): which session, which node.
struct Chance(u64);

impl Chance {
    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    const fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

struct Owned {
    number: u32,
    id: String,
    path: String,
    arc: u16,
    ledger: Ledger,
    told: Wrong,
}

/// How one attempt ended.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    /// Acknowledged, with what it showed.
    Done(Seen),
    /// The session's version is not the expected one, or a session that should exist does not.
    Contradiction,
    /// Every copy was lost, the node says.
    Lost,
    /// Refused for good.
    Refused(String),
    /// Not now, or not known: the same request may be sent again.
    Again,
}

/// One client and its sessions.
pub(crate) struct Client {
    common: Arc<Common>,
    /// Half of the request id: who numbers.
    id: u128,
    sequence: u64,
    peers: Vec<Peer>,
    down_until: Vec<Moment>,
    sessions: Vec<Owned>,
    by_arc: BTreeMap<u16, Vec<usize>>,
    chance: Chance,
}

/// What a command asks for.
enum Ask {
    Read,
    Write { method: &'static str, headers: Vec<(&'static str, String)>, body: String },
}

impl Client {
    /// A client with the sessions of these numbers; `id` is drawn for it alone.
    pub(crate) fn new(common: Arc<Common>, id: u128, numbers: impl Iterator<Item = u32>) -> Self {
        let mut by_arc: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
        let mut sessions = Vec::new();
        for number in numbers {
            let session = format!("demo-{number}");
            let key = SessionKey::new("json", session.as_bytes()).expect("a short kind and a short id");
            let arc = key.arc(common.arcs).0;
            by_arc.entry(arc).or_default().push(sessions.len());
            sessions.push(Owned {
                number,
                path: format!("/v1/session/json/{session}"),
                ledger: Ledger::new(format!("{:08x}.{number}", id >> 96)),
                id: session,
                arc,
                told: Wrong::default(),
            });
        }
        let peers: Vec<Peer> = common.doors.iter().map(|door| Peer::new(door.http.clone())).collect();
        let down_until = vec![Moment::START; peers.len()];
        let chance = Chance(u64::try_from(id & u128::from(u64::MAX)).expect("masked"));
        Self { common, id, sequence: 0, peers, down_until, sessions, by_arc, chance }
    }

    /// The arcs that its sessions fall on.
    pub(crate) fn arcs(&self) -> impl Iterator<Item = u16> + '_ {
        self.by_arc.keys().copied()
    }

    /// Writes each session for the first time. Gives back how many could not be.
    pub(crate) async fn create(&mut self) -> usize {
        for which in 0..self.sessions.len() {
            if self.common.stop.load(Ordering::Relaxed) {
                break;
            }
            self.write(which).await;
        }
        self.sessions.iter().filter(|session| !session.ledger.exists()).count()
    }

    /// Writes and reads until told to stop.
    pub(crate) async fn run(&mut self) {
        if self.sessions.is_empty() {
            return;
        }
        let mut next = self.common.board.now() + self.common.pace.mul_f64(self.chance.below(100) as f64 / 100.0);
        while !self.common.stop.load(Ordering::Relaxed) {
            let wait = next.since(self.common.board.now());
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            // What was missed while nobody answered is not made up for in a burst.
            next = self.common.board.now().max(next) + self.common.pace;
            let which = self.choose();
            let write = self.chance.next() % 100 < WRITES;
            if write && !self.sessions[which].ledger.wants_reading() {
                self.write(which).await;
            } else {
                self.read(which).await;
            }
        }
    }

    fn choose(&mut self) -> usize {
        let wanted = self.common.board.notes().measure.claim(|arc| self.by_arc.contains_key(&arc));
        match wanted.and_then(|arc| self.by_arc.get(&arc)) {
            Some(there) => there[self.chance.below(there.len())],
            None => self.chance.below(self.sessions.len()),
        }
    }

    async fn write(&mut self, which: usize) {
        let write = self.sessions[which].ledger.next_write();
        self.sequence += 1;
        // One request at a time: the first one unanswered is always this one.
        let mut headers = vec![("Idempotency-Key", format!("{:032x}/{seq}/{seq}", self.id, seq = self.sequence))];
        headers.extend(write.expected.map(|version| ("If-Match", format!("\"{version}\""))));
        let method = if self.sessions[which].ledger.exists() { "PATCH" } else { "PUT" };
        let answer = self.ask(which, &Ask::Write { method, headers, body: write.body }).await;
        let number = write.number;
        match answer {
            Some(Answer::Done(seen)) => self.sessions[which].ledger.acknowledged(number, &seen),
            Some(Answer::Contradiction) => {
                if let Some(Answer::Done(seen)) = self.ask(which, &Ask::Read).await {
                    self.sessions[which].ledger.contradicted(number, &seen);
                } else {
                    self.sessions[which].ledger.unanswered(number);
                }
            }
            Some(Answer::Refused(why)) => self.sessions[which].ledger.refused(number, &why),
            Some(Answer::Lost | Answer::Again) | None => self.sessions[which].ledger.unanswered(number),
        }
        self.tell(which);
    }

    async fn read(&mut self, which: usize) {
        if let Some(Answer::Done(seen)) = self.ask(which, &Ask::Read).await {
            self.sessions[which].ledger.read(&seen);
        }
        self.tell(which);
    }

    /// Writes what is newly wrong on the board.
    fn tell(&mut self, which: usize) {
        let session = &mut self.sessions[which];
        let (now, wrong) = (self.common.board.now(), session.ledger.wrong());
        if wrong == session.told {
            return;
        }
        let new = Wrong {
            lost: wrong.lost - session.told.lost,
            duplicated: wrong.duplicated - session.told.duplicated,
            stale: wrong.stale - session.told.stale,
            false_answers: wrong.false_answers - session.told.false_answers,
        };
        let words = session.told.is_nothing().then(|| session.ledger.first_wrong()).flatten();
        self.common.board.notes().saw_wrong(now, new, &session.id, words);
        session.told = wrong;
    }

    /// Asks one node after another until one answers for good; `None` if none did within the deadline.
    async fn ask(&mut self, which: usize, ask: &Ask) -> Option<Answer> {
        let board = self.common.board.clone();
        let session = &self.sessions[which];
        let (number, arc, path) = (session.number, session.arc, session.path.clone());
        let began = board.now();
        let (mut first_failed, mut retries, mut pause, mut last) = (None, 0, PAUSE_FIRST, None);
        loop {
            let sent = board.now();
            let peer = self.choose_peer(sent, last);
            last = Some(peer);
            let (answer, served_by) = attempt(&mut self.peers[peer], &path, ask).await;
            let now = board.now();
            let outcome =
                Outcome { session: number, arc, first_failed, retries, sent, served_by: served_by.as_deref() };
            match answer {
                Ok(Answer::Done(seen)) => {
                    board.notes().measure.acknowledged(now, matches!(ask, Ask::Write { .. }), &outcome);
                    return Some(Answer::Done(seen));
                }
                Ok(Answer::Again) => {}
                Ok(answer) => {
                    board.notes().measure.gave_up(now, &outcome);
                    return Some(answer);
                }
                Err(_) => self.down_until[peer] = now + MARKED_DOWN,
            }
            first_failed.get_or_insert(sent);
            if now.since(began) >= DEADLINE {
                board.notes().measure.gave_up(now, &Outcome { first_failed, ..outcome });
                return None;
            }
            retries += 1;
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Any node that is not marked down, rather not the one that was just asked; if all are, any.
    fn choose_peer(&mut self, now: Moment, last: Option<usize>) -> usize {
        let up: Vec<usize> = (0..self.peers.len()).filter(|peer| self.down_until[*peer] <= now).collect();
        let others: Vec<usize> = up.iter().copied().filter(|peer| Some(*peer) != last).collect();
        match (others.is_empty(), up.is_empty()) {
            (false, _) => others[self.chance.below(others.len())],
            (true, false) => up[0],
            (true, true) => self.chance.below(self.peers.len()),
        }
    }

    /// Reads every session through every one of these nodes. Gives back how many readings had no answer.
    pub(crate) async fn read_all_through(&mut self, living: &[usize]) -> u64 {
        let mut unread = 0;
        for which in 0..self.sessions.len() {
            let mut shown = Vec::new();
            for peer in living {
                match self.read_through(*peer, which).await {
                    Some(seen) => shown.push(seen),
                    None => unread += 1,
                }
            }
            self.sessions[which].ledger.finally(&shown);
            self.tell(which);
        }
        unread
    }

    async fn read_through(&mut self, peer: usize, which: usize) -> Option<Seen> {
        let began = self.common.board.now();
        while self.common.board.now().since(began) < DEADLINE {
            match attempt(&mut self.peers[peer], &self.sessions[which].path, &Ask::Read).await.0 {
                Ok(Answer::Done(seen)) => return Some(seen),
                // Nobody has it any more.
                Ok(Answer::Lost) => return Some(Seen::Absent),
                Ok(Answer::Refused(_) | Answer::Contradiction) => return None,
                Ok(Answer::Again) | Err(_) => tokio::time::sleep(PAUSE_MAX).await,
            }
        }
        None
    }
}

async fn attempt(peer: &mut Peer, path: &str, ask: &Ask) -> (Result<Answer, HttpError>, Option<String>) {
    let request = match ask {
        Ask::Read => Request::get(path),
        Ask::Write { method, headers, body } => Request { method, path, headers, body: Some(body) },
    };
    match peer.ask(&request, ATTEMPT).await {
        Ok(response) => {
            let served_by = response.header("ringheir-node").map(str::to_owned);
            (Ok(understand(&response, matches!(ask, Ask::Read))), served_by)
        }
        Err(error) => (Err(error), None),
    }
}

/// What a response says. Anything that a node should never say is refused for good, with the words.
fn understand(response: &Response, is_read: bool) -> Answer {
    let said = || {
        let body = String::from_utf8_lossy(&response.body);
        Answer::Refused(format!("{} {}", response.status, body.chars().take(200).collect::<String>()))
    };
    match response.status {
        200 | 201 | 204 => {
            let tag = response.header("etag").map(|tag| tag.trim_start_matches("W/").trim_matches('"'));
            let Some(version) = tag.and_then(|tag| tag.parse().ok()) else { return said() };
            let document = serde_json::from_slice::<Document>(&response.body).ok();
            if is_read && document.is_none() {
                return said();
            }
            Answer::Done(Seen::There { version, document })
        }
        404 if is_read => Answer::Done(Seen::Absent),
        404 | 412 => Answer::Contradiction,
        410 => Answer::Lost,
        // A problem says itself whether the same request may be sent again.
        _ => match problem_retry(&response.body).as_deref() {
            Some("safe" | "same_id") => Answer::Again,
            Some(_) => said(),
            None if matches!(response.status, 408 | 425 | 429 | 502 | 503 | 504) => Answer::Again,
            None => said(),
        },
    }
}

/// What `application/problem+json` says of sending the request again.
fn problem_retry(body: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Problem {
        retry: String,
    }
    serde_json::from_slice::<Problem>(body).ok().map(|problem| problem.retry)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(head: &str, body: &str) -> Response {
        Response::test(head, body)
    }

    #[test]
    fn an_answer_shows_version_and_document() {
        let body = r#"{"n": 2, "w": {"1": "t.1", "2": "t.2"}, "more": 0}"#;
        let document: Document = serde_json::from_str(body).expect("a document");
        let there = |document| Answer::Done(Seen::There { version: 7, document });
        assert_eq!(understand(&response("200 ETag: \"7\"", body), true), there(Some(document)));
        assert_eq!(understand(&response("201 ETag: \"7\"", ""), false), there(None));
        assert_eq!(understand(&response("404", ""), true), Answer::Done(Seen::Absent));
    }

    #[test]
    fn success_without_a_version_or_a_read_without_a_document_is_no_acknowledgement() {
        assert!(matches!(understand(&response("200", "{}"), false), Answer::Refused(_)));
        assert!(matches!(understand(&response("200 ETag: \"7\"", "[]"), true), Answer::Refused(_)));
    }

    #[test]
    fn only_what_may_be_sent_again_is_sent_again() {
        for (status, retry, again) in [
            ("503", r#"{"retry": "safe"}"#, true),
            ("504", r#"{"retry": "same_id"}"#, true),
            ("409", r#"{"retry": "safe"}"#, true),
            ("503", "no problem+json", true),
            ("500", r#"{"retry": "useless"}"#, false),
            ("500", "", false),
            ("400", r#"{"retry": "useless"}"#, false),
        ] {
            let answer = understand(&response(status, retry), false);
            assert_eq!(answer == Answer::Again, again, "{status} {retry}: {answer:?}");
        }
        assert_eq!(understand(&response("410", r#"{"retry": "useless"}"#), false), Answer::Lost);
        assert_eq!(understand(&response("412", ""), false), Answer::Contradiction);
        assert_eq!(understand(&response("404", ""), false), Answer::Contradiction);
    }
}
