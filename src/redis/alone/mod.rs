//! Requests that concern more than single keys. Each is begun when all before it are answered, and none after it is before it is.

pub(super) mod commit;
mod rename;
mod scan;

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{sleep, timeout};

use self::commit::Commit;
use super::{
    commands::{Keyed, Request, Scanned},
    door::Door,
    frames::Reply,
    id::id_of,
    keys::{Look, Said},
    refusal::{self, Unknown},
};
use crate::{error::Error, id::ArcId, session::SessionId};

/// `WAIT` without an end waits no longer than this.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// How often it looks whether a copy has become one more.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A request of this kind, with what its connection knows.
#[derive(Debug)]
pub(super) enum Alone {
    Keys(u8, Bytes),
    Scan(u8, Scanned),
    Size(u8),
    /// Of one database, or of all.
    Flush(Option<u8>),
    SetAll(u8, Vec<(Bytes, Bytes)>),
    Rename(u8, Bytes, Bytes),
    Watch(u8, Vec<Bytes>),
    Commit {
        /// Each with its database.
        requests: Vec<(u8, Keyed)>,
        /// What is answered beside them once they are done, each with its place among all.
        beside: Vec<(usize, Request)>,
        watched: Vec<(SessionId, u64)>,
    },
    Wait {
        arcs: Vec<ArcId>,
        copies: i64,
        millis: u64,
    },
}

/// What it came to: what is told, and what the connection is to remember.
#[derive(Debug)]
pub(super) struct Over {
    pub(super) reply: Result<Reply, Unknown>,
    /// What the connection is to answer, too, at these places of the list: a transaction was carried out.
    pub(super) beside: Vec<(usize, Request)>,
    /// Keys that are watched from now on, with their versions.
    pub(super) watched: Vec<(SessionId, u64)>,
    /// Arcs that were written in.
    pub(super) written: Vec<ArcId>,
}

/// Why it came to nothing.
#[derive(Debug)]
pub(super) enum Stop {
    /// The client is told.
    Said(Reply),
    /// Nobody can tell what was done.
    Unknown,
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        match refusal::of(&error) {
            Ok(reply) => Self::Said(reply),
            Err(Unknown) => Self::Unknown,
        }
    }
}

impl From<super::commands::Wrong> for Stop {
    fn from(wrong: super::commands::Wrong) -> Self {
        Self::Said(wrong.into())
    }
}

impl Alone {
    /// Sees to it.
    pub(super) async fn run<D: Door>(self, door: D) -> Over {
        let (mut beside, mut watched, mut written) = (Vec::new(), Vec::new(), Vec::new());
        let reply = match self {
            Self::Keys(database, pattern) => scan::keys(&door, database, &pattern).await,
            Self::Scan(database, scanned) => scan::scan(&door, database, scanned).await,
            Self::Size(database) => scan::size(&door, database).await,
            Self::Flush(database) => scan::flush(&door, database).await,
            Self::SetAll(database, pairs) => commit::set_all(&door, database, pairs, &mut written).await,
            Self::Rename(database, from, to) => rename::rename(&door, database, &from, &to, &mut written).await,
            Self::Watch(database, keys) => watch(&door, database, &keys, &mut watched).await,
            Self::Commit { requests, beside: others, watched } => {
                beside = others;
                match Commit::gather(requests, watched, door.arcs()) {
                    Ok(commit) => commit.carry_out(&door, &mut written).await,
                    Err(wrong) => Err(wrong.into()),
                }
            }
            Self::Wait { arcs, copies, millis } => Ok(wait(&door, &arcs, copies, millis).await),
        };
        let reply = match reply {
            Ok(reply) | Err(Stop::Said(reply)) => Ok(reply),
            Err(Stop::Unknown) => Err(Unknown),
        };
        Over { reply, beside, watched, written }
    }
}

async fn watch<D: Door>(
    door: &D,
    database: u8,
    keys: &[Bytes],
    watched: &mut Vec<(SessionId, u64)>,
) -> Result<Reply, Stop> {
    for key in keys {
        let id = id_of(database, key)?;
        let looked = door.look(id.clone(), Look::Exists).await?;
        // A key that was deleted is remembered for a while, and its last version with it; it is absent all the same.
        let version = if looked.said == Said::Number(0) { 0 } else { looked.version };
        watched.push((id, version));
    }
    Ok(Reply::OK)
}

/// How many backups have all that was written, at least: where nothing was, of all arcs.
async fn wait<D: Door>(door: &D, arcs: &[ArcId], copies: i64, millis: u64) -> Reply {
    let within = if millis == 0 { WAIT_MAX } else { WAIT_MAX.min(Duration::from_millis(millis)) };
    let fewest = || {
        let fewest = if arcs.is_empty() {
            (0..door.arcs()).map(|arc| door.backups(ArcId(arc))).min()
        } else {
            arcs.iter().map(|arc| door.backups(*arc)).min()
        };
        i64::try_from(fewest.unwrap_or(0)).unwrap_or(i64::MAX)
    };
    let enough = async {
        while fewest() < copies {
            sleep(LOOK_AGAIN).await;
        }
    };
    // Too few in that time are too few: the number says so.
    let _ = timeout(within, enough).await;
    Reply::Number(fewest())
}
