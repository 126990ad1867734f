//! The vote of one node as a file, so that it outlives the process: the newest view, the ballot promised, what was accepted.
//!
//! It holds no session. The folder belongs to one process at a time, by a lock that the kernel drops when the process ends; so
//! whoever holds it knows that every process named in the file before it is dead. The file is replaced whole: written beside,
//! synced, renamed, and the folder synced. A file that cannot be read, or is another node's, is refused, never overwritten: a
//! voter that forgot must not vote under its old name.

use std::{
    fmt,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    id::{Incarnation, NodeId, NodeName},
    membership::{EARLIER_MAX, Vote},
    wire::codec,
};

/// What the file begins with; the digit is its format.
const MAGIC: &[u8; 16] = b"ringheir vote 1\n";
/// A view of sixteen thousand arcs takes less than a tenth of it.
const FILE_MAX: usize = 64 << 20;

#[derive(Serialize, Deserialize)]
struct Stored {
    cluster: String,
    name: NodeName,
    /// The incarnation that this node votes as.
    voter: Incarnation,
    /// The processes that had this file, the newest last.
    processes: Vec<Incarnation>,
    vote: Vote,
}

/// Why a folder cannot be used. Nothing in it was changed.
#[derive(Debug)]
pub(crate) enum VoteFileError {
    /// Another process has it.
    InUse(PathBuf),
    /// It is of another node or another cluster.
    Other {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        of: String,
    },
    /// It is damaged, or of a newer version.
    Unreadable(PathBuf),
    /// The operating system refused.
    Io(PathBuf, io::Error),
}

impl fmt::Display for VoteFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse(path) => {
                write!(f, "another process uses the data directory {}: each node needs its own", path.display())
            }
            Self::Other { path, of } => {
                write!(f, "{} is of {of}: each node of each cluster needs a data directory of its own", path.display())
            }
            Self::Unreadable(path) => write!(
                f,
                "{} cannot be read: restore it from nowhere older than the last stop, or remove it and start as a new voter",
                path.display()
            ),
            Self::Io(path, why) => write!(f, "the data directory cannot be used: {}: {why}", path.display()),
        }
    }
}

/// The file, and the lock of its folder.
#[derive(Debug)]
pub(crate) struct VoteFile {
    dir: PathBuf,
    cluster: String,
    name: NodeName,
    voter: Option<Incarnation>,
    processes: Mutex<Vec<Incarnation>>,
    _lock: File,
}

impl VoteFile {
    /// Takes the folder for this process, made if need be, and reads what an earlier one left.
    pub(crate) fn open(dir: &Path, cluster: &str, name: NodeName) -> Result<(Self, Option<Vote>), VoteFileError> {
        let io_at = |path: &Path| {
            let path = path.to_owned();
            move |why| VoteFileError::Io(path, why)
        };
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io_at(dir))?;
        let lock_path = dir.join("lock");
        let lock = private().create(true).write(true).truncate(false).open(&lock_path).map_err(io_at(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(VoteFileError::InUse(dir.to_owned())),
            Err(TryLockError::Error(why)) => return Err(VoteFileError::Io(lock_path, why)),
        }
        let path = dir.join("vote");
        let stored = match fs::read(&path) {
            Ok(bytes) => Some(unpack(&bytes).ok_or_else(|| VoteFileError::Unreadable(path.clone()))?),
            Err(why) if why.kind() == io::ErrorKind::NotFound => None,
            Err(why) => return Err(VoteFileError::Io(path, why)),
        };
        if let Some(other) = stored.as_ref().filter(|s| s.cluster != cluster || s.name != name) {
            return Err(VoteFileError::Other { path, of: format!("node {} of cluster {}", other.name, other.cluster) });
        }
        let (voter, processes, vote) = match stored {
            Some(stored) => (Some(stored.voter), stored.processes, Some(stored.vote)),
            None => (None, Vec::new(), None),
        };
        let file = Self {
            dir: dir.to_owned(),
            cluster: cluster.to_owned(),
            name,
            voter,
            processes: processes.into(),
            _lock: lock,
        };
        Ok((file, vote))
    }

    /// A process of this incarnation has it from now on: as whom it votes, and which earlier ones are dead.
    pub(crate) fn begin(&self, me: Incarnation) -> (Incarnation, Vec<NodeId>) {
        let mut processes = self.processes.lock().unwrap_or_else(PoisonError::into_inner);
        let node = |incarnation: &Incarnation| NodeId { name: self.name, incarnation: *incarnation };
        let earlier = processes.iter().filter(|i| **i != me).map(node).collect();
        processes.push(me);
        let excess = processes.len().saturating_sub(EARLIER_MAX);
        processes.drain(..excess);
        (self.voter.unwrap_or(me), earlier)
    }

    /// Puts the vote in the place of the one before. When it returns, no crash brings that back.
    pub(crate) fn store(&self, voter: Incarnation, vote: Vote) -> io::Result<()> {
        let processes = self.processes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let stored = Stored { cluster: self.cluster.clone(), name: self.name, voter, processes, vote };
        let body = codec::encode_named(&stored, FILE_MAX).map_err(|fault| io::Error::other(fault.to_string()))?;
        let (new, path) = (self.dir.join("vote.new"), self.dir.join("vote"));
        let mut file = private().create(true).write(true).truncate(true).open(&new)?;
        file.write_all(MAGIC)?;
        file.write_all(&xxh3_64(&body).to_be_bytes())?;
        file.write_all(&body)?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        File::open(&self.dir)?.sync_all()
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

fn unpack(bytes: &[u8]) -> Option<Stored> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (sum, body) = rest.split_first_chunk::<8>()?;
    if xxh3_64(body) != u64::from_be_bytes(*sum) {
        return None;
    }
    codec::decode(body, FILE_MAX).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::membership::{
        Ballot,
        test_views::{founded, name, node},
    };

    fn vote() -> Vote {
        let view = Arc::new(founded(&["a", "b", "c"], 6, 1));
        let ballot = Ballot { round: 3, voter: node("b", 1) };
        Vote { promised: Some(ballot), accepted: Some((ballot, Arc::clone(&view))), view }
    }

    fn open(dir: &Path) -> Result<(VoteFile, Option<Vote>), VoteFileError> {
        VoteFile::open(dir, "shop", name("a"))
    }

    fn folder() -> PathBuf {
        std::env::temp_dir().join(format!("ringheir-vote-{:032x}", crate::runtime::chance::draw()))
    }

    #[test]
    fn a_vote_outlives_its_process_and_knows_those_before_it() {
        let dir = folder();
        let id = |n| node("a", n).incarnation;
        let (file, none) = open(&dir).expect("a new folder");
        assert_eq!((none, file.begin(id(1))), (None, (id(1), vec![])));
        file.store(id(1), vote()).expect("room");
        assert!(matches!(open(&dir), Err(VoteFileError::InUse(_))), "one process at a time");
        drop(file);
        for now in [2, 3] {
            let (file, found) = open(&dir).expect("free again");
            assert_eq!(found, Some(vote()));
            let earlier = (1..now).map(|n| node("a", n)).collect();
            assert_eq!(file.begin(id(now)), (id(1), earlier));
            file.store(id(1), vote()).expect("room");
        }
        fs::remove_dir_all(dir).expect("ours");
    }

    #[test]
    fn what_is_damaged_or_anothers_is_refused_and_left_as_it_is() {
        let dir = folder();
        let (file, _) = open(&dir).expect("a new folder");
        file.begin(Incarnation(1));
        file.store(Incarnation(1), vote()).expect("room");
        drop(file);
        for (cluster, of) in [("shop", name("b")), ("other", name("a"))] {
            assert!(matches!(VoteFile::open(&dir, cluster, of), Err(VoteFileError::Other { .. })));
        }
        let whole = fs::read(dir.join("vote")).expect("stored");
        for damage in [&whole[..whole.len() - 1], &whole[..20], &[]] {
            fs::write(dir.join("vote"), damage).expect("room");
            assert!(matches!(open(&dir), Err(VoteFileError::Unreadable(_))));
            assert_eq!(fs::read(dir.join("vote")).expect("still there"), damage);
        }
        fs::remove_dir_all(dir).expect("ours");
    }
}
