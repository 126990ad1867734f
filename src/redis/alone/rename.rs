//! A key gets another name, with its value and what is left of its time.

use bytes::Bytes;

use super::Stop;
use crate::{
    error::{Error, ErrorKind},
    id::ArcId,
    redis::{
        door::{Door, Part},
        frames::Reply,
        id::{arc_of, id_of},
        keys::{Change, Look, Said, Span},
    },
    session::SessionId,
};

/// How often it begins anew when the key changes meanwhile.
const TRIES: usize = 16;

/// One commit where both names lie in one arc. Else two: the new name is there before the old one goes, and goes only if it is
/// still as it was copied.
pub(super) async fn rename<D: Door>(
    door: &D,
    database: u8,
    from: &Bytes,
    to: &Bytes,
    written: &mut Vec<ArcId>,
) -> Result<Reply, Stop> {
    let (old, new) = (id_of(database, from)?, id_of(database, to)?);
    let (old_arc, new_arc) = (arc_of(&old, door.arcs()), arc_of(&new, door.arcs()));
    written.extend([old_arc, new_arc]);
    let mut has_copied = false;
    for _ in 0..TRIES {
        let looked = door.look(old.clone(), Look::Whole).await.map_err(|error| half(has_copied, error))?;
        let Said::Whole(Some(value), left) = looked.said else {
            // Somebody else has taken it away after it was copied: what has become of the new name nobody can say in a word.
            return if has_copied { Err(Stop::Unknown) } else { Err(Stop::Said(Reply::error("ERR no such key"))) };
        };
        if old == new {
            return Ok(Reply::OK);
        }
        let become_new = Change::Become(value, left.map_or(Span::ForEver, Span::Millis));
        let gone = Part { id: old.clone(), changes: vec![Change::Delete], expected: Some(looked.version) };
        let is_one = old_arc == new_arc;
        let parts = if is_one {
            vec![gone, Part { id: new.clone(), changes: vec![become_new], expected: None }]
        } else {
            copy(door, &new, become_new).await.map_err(|error| half(has_copied, error))?;
            has_copied = true;
            vec![gone]
        };
        match door.together(parts).await {
            Ok(_) => return Ok(Reply::OK),
            Err(error) if matches!(error.kind(), ErrorKind::Conflict { .. }) => {}
            Err(error) => return Err(half(has_copied, error)),
        }
    }
    if has_copied {
        return Err(Stop::Unknown);
    }
    Err(Stop::Said(Reply::error("TRYAGAIN the key changes too often to be renamed; nothing was done")))
}

async fn copy<D: Door>(door: &D, new: &SessionId, change: Change) -> Result<(), Error> {
    door.change(new.clone(), change, true).await.map(drop)
}

/// An error says that nothing was done: not when half of it was.
fn half(has_copied: bool, error: Error) -> Stop {
    if has_copied { Stop::Unknown } else { error.into() }
}
