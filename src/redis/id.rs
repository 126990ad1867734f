//! Keys as session ids: the database, `/`, the key. So keys of two databases never meet, and all of one begin alike.
//!
//! A key that ends in `_LOCK` is the lock of the key without it, by the custom of PHP's session handlers, and falls on that key's
//! arc: its id is `{database/key}_LOCK`, and of an id with braces only what is within them counts. Where the key has braces of
//! its own these count for both already; a key with `}` and no tag is the one whose lock may lie elsewhere.

use smallvec::SmallVec;

use super::{commands::Wrong, keys::Key};
use crate::{
    id::{ArcId, SESSION_ID_MAX, SessionKey},
    kinds::Plain as _,
    session::SessionId,
};

const LOCK: &[u8] = b"_LOCK";

/// The id of a key in a database.
///
/// # Errors
/// The key is longer than an id may be, less the database, and less two braces if it is a lock.
pub(super) fn id_of(database: u8, key: &[u8]) -> Result<SessionId, Wrong> {
    let prefix = prefix(database);
    let mut id = SmallVec::<[u8; 128]>::new();
    match lock_of(key) {
        Some((of, locks)) => {
            id.push(b'{');
            id.extend_from_slice(&prefix);
            id.extend_from_slice(of);
            id.push(b'}');
            id.extend_from_slice(locks);
        }
        None => {
            id.extend_from_slice(&prefix);
            id.extend_from_slice(key);
        }
    }
    // What the id has beside the key: the database, and of a lock the braces.
    let max = SESSION_ID_MAX - (id.len() - key.len());
    let key = SessionKey::new(Key::KIND, &id).ok_or_else(|| format!("ERR a key has at most {max} bytes here"))?;
    Ok(SessionId::of(&key))
}

/// The key that a lock is of, and what makes it one; a lock may have a lock.
fn lock_of(key: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut of = key;
    while let Some(shorter) = of.strip_suffix(LOCK) {
        of = shorter;
    }
    let is_lock = of.len() < key.len() && !of.is_empty() && !of.contains(&b'}');
    is_lock.then(|| (of, &key[of.len()..]))
}

/// The key of an id, without the database.
pub(super) fn key_of(database: u8, id: &[u8]) -> Option<Vec<u8>> {
    let prefix = prefix(database);
    if let Some(key) = id.strip_prefix(&prefix[..]) {
        return Some(key.to_vec());
    }
    let mut lock = id.strip_prefix(b"{")?.strip_prefix(&prefix[..])?.to_vec();
    let end = lock.iter().position(|byte| *byte == b'}')?;
    lock.remove(end);
    Some(lock)
}

/// With what the ids of a database begin: of keys, and of locks.
pub(super) fn prefixes(database: u8) -> [Vec<u8>; 2] {
    let prefix = prefix(database);
    [prefix.to_vec(), [&b"{"[..], &prefix].concat()]
}

fn prefix(database: u8) -> SmallVec<[u8; 4]> {
    let mut prefix = SmallVec::new();
    if database >= 100 {
        prefix.push(b'0' + database / 100);
    }
    if database >= 10 {
        prefix.push(b'0' + database / 10 % 10);
    }
    prefix.extend([b'0' + database % 10, b'/']);
    prefix
}

/// The arc of an id.
pub(super) fn arc_of(id: &SessionId, arcs: u16) -> ArcId {
    crate::id::arc_of(id.as_bytes(), arcs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_gives_its_key_back_and_no_two_keys_have_one_id() {
        let keys: [&[u8]; 9] = [
            b"a",
            b"a_LOCK",
            b"_LOCK",
            b"{a}_LOCK",
            b"{0/a}_LOCK",
            b"a{b}_LOCK",
            b"a}b_LOCK",
            b"\xff\0",
            b"a_LOCK_LOCK",
        ];
        let mut seen = Vec::new();
        for database in [0, 1, 15] {
            for key in keys {
                let id = id_of(database, key).expect("short");
                assert_eq!(key_of(database, id.as_bytes()).as_deref(), Some(key));
                assert_eq!(key_of(7, id.as_bytes()), None);
                assert!(prefixes(database).iter().any(|prefix| id.as_bytes().starts_with(prefix)));
                assert!(!seen.contains(&id), "{id:?}");
                seen.push(id);
            }
        }
    }

    #[test]
    fn a_lock_lies_where_its_key_does_and_tags_bring_keys_together() {
        let arc = |key: &str| arc_of(&id_of(0, key.as_bytes()).expect("short"), 1_024);
        for key in ["PHPREDIS_SESSION:0123456789", "a", "{tag}x", "a{b", "x_LOCK"] {
            assert_eq!(arc(key), arc(&format!("{key}_LOCK")), "{key}");
        }
        assert_eq!(arc("{user1}:cart"), arc("profile:{user1}"));
        assert_ne!(arc("a"), arc("b"));
    }

    #[test]
    fn a_key_that_is_too_long_is_refused() {
        let key = |len: usize, end: &str| [&b"k".repeat(len - end.len())[..], end.as_bytes()].concat();
        for (database, end, max) in [(0, "", 510), (15, "", 509), (0, "_LOCK", 508), (15, "_LOCK", 507)] {
            assert!(id_of(database, &key(max, end)).is_ok(), "{max} bytes in {database}");
            let wrong = id_of(database, &key(max + 1, end)).expect_err("too long");
            assert_eq!(wrong, format!("ERR a key has at most {max} bytes here"), "in {database}");
        }
    }
}
