//! The replies that one session remembers, so that a retried request changes state once and gets the same answer (G3).
//!
//! A request is (client, sequence, first unanswered). Replies are kept from `first unanswered` on, at most `per_client` of
//! them; a request below what is kept is answered "too old", never executed. A client is forgotten only after it was idle
//! for `keep`, longer than any caller's deadline; when the table is full of younger ones, a new client is told to wait.
//! Forgetting sooner would let a late retry execute twice. The table is part of the session: commits carry its entries and
//! images carry it whole. How long each copy has kept an entry is counted by that copy's own clock, which can only make a
//! promoted backup remember longer.

use std::{hint::black_box, time::Duration};

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::{commit::ReplyEntry, short_list::short_list};
use crate::{
    blob::Blob,
    id::{ClientId, CommitNumber, RequestId},
    moment::Moment,
};

/// How much is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReplyLimits {
    /// Replies kept for one client of one session.
    pub per_client: usize,
    /// Clients kept for one session.
    pub clients: usize,
    /// An idle client is kept this long.
    pub keep: Duration,
}

impl Default for ReplyLimits {
    fn default() -> Self {
        Self { per_client: 64, clients: 1024, keep: Duration::from_secs(600) }
    }
}

/// What the table knows of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// Never seen: execute it.
    New,
    /// Executed by this commit; give this reply again, once that commit is committed.
    Answered(CommitNumber, Blob),
    /// Older than what is remembered: it may have been executed. Never execute it.
    TooOld,
    /// No room for another reply of this client before it says which of the others were answered.
    FullOfReplies,
    /// No room for another client before one is forgotten: the first after this long.
    FullOfClients(Duration),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Remembered {
    sequence: u64,
    number: CommitNumber,
    reply: Blob,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Client {
    id: ClientId,
    floor: u64,
    /// In order of their sequence.
    #[serde(deserialize_with = "short_list")]
    replies: SmallVec<[Remembered; 1]>,
    #[serde(skip)]
    used: Moment,
}

/// The replies of one session, ordered by client. Most sessions have one client, and each of its requests says that the one
/// before was answered: so there is room in place for one reply of one client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ReplyTable {
    #[serde(deserialize_with = "short_list")]
    clients: SmallVec<[Client; 1]>,
}

impl ReplyTable {
    /// What is known of a request.
    #[must_use]
    pub fn look_up(&self, request: &RequestId, limits: &ReplyLimits, now: Moment) -> Known {
        let Ok(place) = self.place(request.client) else {
            if self.clients.len() < limits.clients {
                return Known::New;
            }
            let idle = self.clients.iter().map(|c| now.since(c.used)).max().unwrap_or_default();
            return match limits.keep.checked_sub(idle) {
                // Forgotten is what was idle for longer than that, by however little.
                Some(left) => Known::FullOfClients(left + Duration::from_nanos(1)),
                None => Known::New,
            };
        };
        let client = &self.clients[place];
        if let Some(found) = client.replies.iter().find(|r| r.sequence == request.sequence) {
            return Known::Answered(found.number, found.reply.clone());
        }
        if request.sequence < client.floor {
            return Known::TooOld;
        }
        let kept = client.replies.iter().filter(|r| r.sequence >= request.first_unanswered).count();
        if kept >= limits.per_client { Known::FullOfReplies } else { Known::New }
    }

    /// Remembers the reply of a commit.
    pub fn remember(&mut self, entry: ReplyEntry, number: CommitNumber, limits: &ReplyLimits, now: Moment) {
        let ReplyEntry { request, reply } = entry;
        let place = match self.place(request.client) {
            Ok(place) => place,
            Err(_) => {
                if self.clients.len() >= limits.clients {
                    self.clients.retain(|c| now.since(c.used) <= limits.keep);
                }
                let place = self.place(request.client).unwrap_or_else(|p| p);
                self.clients
                    .insert(place, Client { id: request.client, floor: 0, replies: SmallVec::new(), used: now });
                place
            }
        };
        let client = &mut self.clients[place];
        client.used = now;
        client.floor = client.floor.max(request.first_unanswered);
        let answered = client.replies.iter().take_while(|r| r.sequence < client.floor).count();
        client.replies.drain(..answered);
        let remembered = Remembered { sequence: request.sequence, number, reply };
        match client.replies.iter().position(|r| r.sequence >= request.sequence) {
            Some(at) if client.replies[at].sequence == request.sequence => client.replies[at] = remembered,
            Some(at) => client.replies.insert(at, remembered),
            None => client.replies.push(remembered),
        }
    }

    /// Whether nothing in it is young enough to matter.
    #[must_use]
    pub fn is_stale(&self, limits: &ReplyLimits, now: Moment) -> bool {
        self.clients.iter().all(|c| now.since(c.used) > limits.keep)
    }

    /// Counts every client as just used: what a copy does with a table that it received whole.
    pub fn received(&mut self, now: Moment) {
        for client in &mut self.clients {
            client.used = now;
        }
    }

    /// Reads what it holds of its first client.
    pub(super) fn read(&self) {
        let Some(Client { floor, used, replies, .. }) = self.clients.first() else { return };
        let remembered = replies.first().map(|remembered| (remembered.sequence, remembered.reply.first().copied()));
        black_box((*floor, *used, remembered));
    }

    /// Bytes of replies held.
    #[must_use]
    pub fn size(&self) -> usize {
        self.clients.iter().map(|c| 40 + c.replies.iter().map(|r| 24 + r.reply.len()).sum::<usize>()).sum()
    }

    fn place(&self, client: ClientId) -> Result<usize, usize> {
        self.clients.binary_search_by_key(&client, |c| c.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ReplyLimits = ReplyLimits { per_client: 2, clients: 2, keep: Duration::from_secs(10) };

    fn request(client: u128, sequence: u64, first_unanswered: u64) -> RequestId {
        RequestId { client: ClientId(client), sequence, first_unanswered }
    }

    fn remember(table: &mut ReplyTable, request: RequestId, number: u64, now: Moment) {
        let entry = ReplyEntry { request, reply: Blob::from(&number.to_string()) };
        table.remember(entry, CommitNumber(number), &LIMITS, now);
    }

    #[test]
    fn a_retry_gets_the_reply_of_the_first_execution() {
        let mut table = ReplyTable::default();
        let now = Moment::START;
        assert_eq!(table.look_up(&request(1, 5, 5), &LIMITS, now), Known::New);
        remember(&mut table, request(1, 5, 5), 7, now);
        assert_eq!(table.look_up(&request(1, 5, 5), &LIMITS, now), Known::Answered(CommitNumber(7), Blob::from("7")));
    }

    #[test]
    fn a_request_below_what_is_kept_is_too_old_and_never_new() {
        let mut table = ReplyTable::default();
        let now = Moment::START;
        remember(&mut table, request(1, 5, 5), 1, now);
        remember(&mut table, request(1, 8, 8), 2, now);
        assert_eq!(table.look_up(&request(1, 5, 5), &LIMITS, now), Known::TooOld);
        assert_eq!(table.look_up(&request(1, 9, 8), &LIMITS, now), Known::New);
    }

    #[test]
    fn a_full_table_refuses_rather_than_forgets_what_a_retry_may_need() {
        let mut table = ReplyTable::default();
        let now = Moment::START;
        remember(&mut table, request(1, 1, 1), 1, now);
        remember(&mut table, request(1, 2, 1), 2, now);
        assert_eq!(table.look_up(&request(1, 3, 1), &LIMITS, now), Known::FullOfReplies);
        assert_eq!(table.look_up(&request(1, 3, 3), &LIMITS, now), Known::New);
        let between = now + Duration::from_secs(4);
        remember(&mut table, request(2, 1, 1), 3, between);
        let Known::FullOfClients(wait) = table.look_up(&request(3, 1, 1), &LIMITS, between) else { panic!("full") };
        assert_eq!(wait, Duration::from_nanos(6_000_000_001), "until the client idle for longest is forgotten");
        let not_yet = between + (wait - Duration::from_nanos(1));
        assert!(matches!(table.look_up(&request(3, 1, 1), &LIMITS, not_yet), Known::FullOfClients(_)));
        assert_eq!(table.look_up(&request(3, 1, 1), &LIMITS, between + wait), Known::New);
        let later = between + Duration::from_secs(11);
        remember(&mut table, request(3, 1, 1), 4, later);
        assert_eq!(table.clients.len(), 1);
    }
}
