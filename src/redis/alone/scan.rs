//! Keys over all arcs, wherever those are served: pages, all that match, how many, and the end of them all.
//!
//! A cursor is a place: which of the two beginnings that ids have (`id`), which arc, where in it. So it needs no memory on any
//! node, and any node takes it. Keys that are there all the time are told; others may be.

use bytes::Bytes;
use futures_util::{StreamExt, future::join_all, stream};

use super::Stop;
use crate::{
    error::Error,
    id::ArcId,
    redis::{
        commands::Scanned,
        door::{Door, Page, Part},
        frames::Reply,
        glob,
        id::{key_of, prefixes},
        keys::{Change, Look, Said, TypeName},
    },
    session::SessionId,
};

/// Arcs that are asked at once.
const AT_ONCE: usize = 32;
/// Ids on a page of those who want them all.
const PAGE: usize = 8_192;
/// Keys that one reply tells.
const KEYS_MAX: usize = 1_000_000;
/// Keys that one commit deletes.
const DELETED_AT_ONCE: usize = 128;
/// Where the parts of a cursor begin.
const ARC_AT: u32 = 47;
const SIDE_AT: u32 = 62;

/// A place among all keys of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    /// Which beginning: 0 or 1.
    side: usize,
    arc: u16,
    at: u64,
}

impl Place {
    fn of(cursor: u64) -> Self {
        Self {
            side: usize::try_from(cursor >> SIDE_AT & 1).expect("one bit"),
            arc: u16::try_from(cursor >> ARC_AT & 0x7fff).expect("fifteen bits"),
            at: cursor & ((1 << ARC_AT) - 1),
        }
    }

    const fn cursor(self) -> u64 {
        (self.side as u64) << SIDE_AT | (self.arc as u64) << ARC_AT | self.at
    }

    /// The arc after it, in one or the other beginning; `None`: there is none.
    const fn next_arc(self, arcs: u16) -> Option<Self> {
        if self.arc + 1 < arcs {
            return Some(Self { arc: self.arc + 1, at: 0, ..self });
        }
        if self.side == 0 { Some(Self { side: 1, arc: 0, at: 0 }) } else { None }
    }
}

/// One page: arcs are asked until there are as many keys as were asked for.
pub(super) async fn scan<D: Door>(door: &D, database: u8, scanned: Scanned) -> Result<Reply, Stop> {
    let prefixes = prefixes(database);
    let arcs = door.arcs();
    let mut place = Some(Place::of(scanned.cursor)).filter(|place| place.arc < arcs);
    let mut keys = Vec::new();
    let mut seen = 0;
    while let Some(first) = place
        && seen < scanned.count
    {
        let mut asked = vec![first];
        while asked.len() < AT_ONCE
            && let Some(next) = asked[asked.len() - 1].next_arc(arcs)
        {
            asked.push(next);
        }
        let pages =
            join_all(asked.iter().map(|place| {
                door.list(ArcId(place.arc), prefixes[place.side].clone(), place.at, scanned.count.min(PAGE))
            }));
        for (asked, page) in asked.into_iter().zip(pages.await) {
            let page = page?;
            seen += page.ids.len();
            keys.extend(page.ids.iter().filter_map(|id| key_of(database, id)));
            place = match page.next {
                Some(at) => Some(Place { at, ..asked }),
                None => asked.next_arc(arcs),
            };
            if page.next.is_some() {
                break;
            }
        }
    }
    if let Some(pattern) = &scanned.matching {
        keys.retain(|key| glob::matches(pattern, key));
    }
    if let Some(wanted) = &scanned.of_type {
        keys = of_type(door, database, keys, wanted).await?;
    }
    let cursor = place.map_or(0, Place::cursor);
    let keys = keys.into_iter().map(Reply::bytes).collect();
    Ok(Reply::List(vec![Reply::bytes(cursor.to_string()), Reply::List(keys)]))
}

async fn of_type<D: Door>(door: &D, database: u8, keys: Vec<Vec<u8>>, wanted: &str) -> Result<Vec<Vec<u8>>, Stop> {
    let asked = stream::iter(keys).map(|key| async move {
        let id = crate::redis::id::id_of(database, &key)?;
        let said = door.look(id, Look::Type).await.map_err(Stop::from)?.said;
        Ok::<_, Stop>((key, said))
    });
    let told: Vec<_> = asked.buffered(AT_ONCE).collect().await;
    let mut of_type = Vec::new();
    for one in told {
        let (key, said) = one?;
        if matches!(said, Said::Type(Some(name)) if TypeName::as_str(name) == wanted) {
            of_type.push(key);
        }
    }
    Ok(of_type)
}

/// Everything of one arc that begins so.
async fn all_of<D: Door>(door: &D, arc: u16, prefix: Vec<u8>) -> Result<Vec<Vec<u8>>, Error> {
    let mut ids = Vec::new();
    let mut from = Some(0);
    while let Some(at) = from {
        let Page { ids: more, next, .. } = door.list(ArcId(arc), prefix.clone(), at, PAGE).await?;
        ids.extend(more);
        from = next;
    }
    Ok(ids)
}

fn everywhere<D: Door>(door: &D, prefixes: impl IntoIterator<Item = Vec<u8>>) -> impl Iterator<Item = (u16, Vec<u8>)> {
    let arcs = door.arcs();
    prefixes.into_iter().flat_map(move |prefix| (0..arcs).map(move |arc| (arc, prefix.clone())))
}

/// Every key that matches.
pub(super) async fn keys<D: Door>(door: &D, database: u8, pattern: &Bytes) -> Result<Reply, Stop> {
    let mut arcs = stream::iter(everywhere(door, prefixes(database)))
        .map(|(arc, prefix)| all_of(door, arc, prefix))
        .buffer_unordered(AT_ONCE);
    let mut keys = Vec::new();
    while let Some(ids) = arcs.next().await {
        let matching =
            ids?.into_iter().filter_map(|id| key_of(database, &id)).filter(|key| glob::matches(pattern, key));
        keys.extend(matching.map(Reply::bytes));
        if keys.len() > KEYS_MAX {
            return Err(Stop::Said(Reply::error(format!("ERR more than {KEYS_MAX} keys match: use SCAN"))));
        }
    }
    Ok(Reply::List(keys))
}

/// How many keys there are.
pub(super) async fn size<D: Door>(door: &D, database: u8) -> Result<Reply, Stop> {
    let mut arcs = stream::iter(everywhere(door, prefixes(database)))
        .map(|(arc, prefix)| door.list(ArcId(arc), prefix, 0, 0))
        .buffer_unordered(AT_ONCE);
    let mut count = 0;
    while let Some(page) = arcs.next().await {
        count += page?.count;
    }
    Ok(Reply::Number(i64::try_from(count).unwrap_or(i64::MAX)))
}

/// Deletes every key of a database, or of all: those that are there when their arc's turn comes. The client is told of an error only
/// if nothing was deleted.
pub(super) async fn flush<D: Door>(door: &D, database: Option<u8>) -> Result<Reply, Stop> {
    // Ids that begin with nothing are those of every database.
    let prefixes = database.map_or_else(|| vec![Vec::new()], |database| prefixes(database).to_vec());
    let mut arcs = stream::iter(everywhere(door, prefixes))
        .map(|(arc, prefix)| flush_arc(door, arc, prefix))
        .buffer_unordered(AT_ONCE);
    let mut has_deleted = false;
    while let Some((deleted, came)) = arcs.next().await {
        has_deleted |= deleted;
        if let Err(error) = came {
            return Err(if has_deleted { Stop::Unknown } else { error.into() });
        }
    }
    Ok(Reply::OK)
}

async fn flush_arc<D: Door>(door: &D, arc: u16, prefix: Vec<u8>) -> (bool, Result<(), Error>) {
    let ids = match all_of(door, arc, prefix).await {
        Ok(ids) => ids,
        Err(error) => return (false, Err(error)),
    };
    let mut has_deleted = false;
    for some in ids.chunks(DELETED_AT_ONCE) {
        let parts = some.iter().filter_map(|id| SessionId::new(id).ok());
        let parts = parts.map(|id| Part { id, changes: vec![Change::Delete], expected: None }).collect();
        if let Err(error) = door.together(parts).await {
            return (has_deleted, Err(error));
        }
        has_deleted = true;
    }
    (has_deleted, Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_a_place_that_fits_a_signed_number_and_ends() {
        for place in [Place { side: 0, arc: 0, at: 1 }, Place { side: 1, arc: 16_383, at: (1 << 47) - 1 }] {
            assert_eq!(Place::of(place.cursor()), place);
            assert!(i64::try_from(place.cursor()).is_ok());
        }
        let mut place = Some(Place::of(0));
        let mut steps = 0;
        while let Some(here) = place {
            place = here.next_arc(4);
            steps += 1;
        }
        assert_eq!(steps, 8);
    }
}
