//! Which sessions of a kind an arc has, a page at a time.
//!
//! A page goes on at a place between ids, not at an id: ids stand in the order of their hashes. So a cursor is one number, any
//! node takes it, and a session that is there from the first page to the last is told once, whatever comes and goes meanwhile.

use serde::{Deserialize, Serialize};

use super::{execute::wait, inbox::Call, message::CallOutcome, worker::WorkerState};
use crate::{
    blob::Blob,
    id::{ArcId, SessionKey},
    moment::Moment,
    replication::{Host, Record, Store},
    wire::codec,
};

/// Places between ids: what of a hash is kept, so that a cursor has room for an arc beside it and is no negative number.
const PLACE_BITS: u32 = 47;
/// Bytes of ids on one page.
const PAGE_BYTES: usize = 512 << 10;

/// A page of ids.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Listed {
    /// Ids, in no order that means anything.
    pub(crate) ids: Vec<Blob>,
    /// Where the next page begins; `None`: this was the last.
    pub(crate) next: Option<u64>,
    /// How many there are in all, on every page.
    pub(crate) count: u64,
}

/// Tells a page of the sessions of `kind` whose ids begin with `prefix`, about `max` from the place `from` on; of 0 only how many there are.
pub(super) fn run(
    state: &mut WorkerState,
    host: &mut Host,
    arc: ArcId,
    call: Call,
    (prefix, from, max): (&[u8], u64, u32),
    now: Moment,
) {
    let Ok(primary) = host.serve(arc, now) else { return call.reply_to.give(CallOutcome::Starting) };
    let listed = list(primary.store(), call.request.key.kind(), prefix, from, max as usize, now);
    let shown = primary.last();
    let reply = codec::encode_named(&listed, usize::MAX).expect("a list of bytes can be encoded");
    wait(state, host, arc, shown, call.reply_to, CallOutcome::Done(reply, 0), now);
}

fn list(store: &Store, kind: &str, prefix: &[u8], from: u64, max: usize, now: Moment) -> Listed {
    let mut listed = Listed::default();
    let mut found: Vec<(u64, &[u8])> = Vec::new();
    // All of the arc are looked at: they stand in an order of their own. Whoever asks after a session's end finds none, whether it was
    // ended yet or not.
    let is_told = |(key, record): &(&SessionKey, &Record)| {
        key.id().starts_with(prefix) && key.kind() == kind && record.exists() && record.lapse(now).is_none()
    };
    for (key, _) in store.iter().filter(is_told) {
        listed.count += 1;
        let place = place_of(key.id());
        if max > 0 && place >= from {
            found.push((place, key.id()));
        }
    }
    if found.len() > max && max > 0 {
        found.select_nth_unstable(max - 1);
    }
    let (page, rest) = found.split_at(max.min(found.len()));
    let mut page = page.to_vec();
    page.sort_unstable();
    // Ids of one place stay together.
    let mut last = page.last().map(|(place, _)| *place);
    page.extend(rest.iter().filter(|(place, _)| Some(*place) == last));
    let mut is_whole = page.len() == found.len();
    let mut bytes = 0;
    let fits = page.iter().position(|(_, id)| {
        bytes += id.len() + 8;
        bytes > PAGE_BYTES
    });
    if let Some(fits) = fits {
        let cut = page[fits].0;
        page.retain(|(place, _)| *place < cut);
        (last, is_whole) = (Some(cut - 1), false);
    }
    listed.next = last.filter(|_| !is_whole).map(|place| place + 1);
    listed.ids = page.into_iter().map(|(_, id)| Blob::from(id)).collect();
    listed
}

fn place_of(id: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(id) >> (u64::BITS - PLACE_BITS)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{
        id::CommitNumber,
        replication::{Record, Store},
    };

    fn store(ids: usize) -> Store {
        let mut store = Store::default();
        let mut put = |kind: &str, id: &str, exists: bool| {
            let image = exists.then(|| Blob::from("state"));
            let record = Record { image, version: CommitNumber(1), ..Record::default() };
            store.put(SessionKey::new(kind, id.as_bytes()).expect("a key"), Some(record));
        };
        (0..ids).for_each(|id| put("redis", &format!("0/{id}"), true));
        put("redis", "0/gone", false);
        put("redis", "1/other", true);
        put("redi", "0/x", true);
        put("rediss", "0/x", true);
        store
    }

    #[test]
    fn pages_tell_every_session_of_the_prefix_once_and_end() {
        let store = store(1_000);
        let mut told = BTreeSet::new();
        let (mut from, mut pages) = (0, 0);
        loop {
            let page = list(&store, "redis", b"0/", from, 30, Moment::START);
            assert_eq!(page.count, 1_000);
            for id in page.ids {
                assert!(told.insert(id.to_vec()), "told twice");
            }
            pages += 1;
            let Some(next) = page.next else { break };
            assert!(next > from);
            from = next;
        }
        assert_eq!((told.len(), pages), (1_000, 34));
        let counted = list(&store, "redis", b"1/", 0, 0, Moment::START);
        assert_eq!(counted, Listed { count: 1, ..Listed::default() });
    }

    #[test]
    fn a_page_is_bounded_in_bytes_too() {
        let mut store = Store::default();
        for id in 0..4_000 {
            let record = Record { image: Some(Blob::from("s")), ..Record::default() };
            let key = SessionKey::new("redis", format!("0/{id:0500}").as_bytes()).expect("a key");
            store.put(key, Some(record));
        }
        let mut all = 0;
        let mut from = Some(0);
        while let Some(place) = from {
            let page = list(&store, "redis", b"0/", place, 100_000, Moment::START);
            assert!(page.ids.iter().map(|id| id.len()).sum::<usize>() <= PAGE_BYTES);
            all += page.ids.len();
            from = page.next;
        }
        assert_eq!(all, 4_000);
    }
}
