//! Proof that a process of this host has ended: it held an exclusive file lock for as long as it lived.
//!
//! The kernel drops the lock when the process ends, however it ends, and not when it is merely stopped: so a lock that can be
//! taken proves a death, and nothing else here does. A lock that cannot be found proves nothing. The prover takes it *shared*
//! and for an instant, so that two survivors do not hide the death from one another. A file is believed to be the right one
//! only on the same start of the same host and with the same device and inode; a path alone may lead elsewhere in another
//! container, and a copy of a file is not locked. The file says itself which one it is, so that also a process that started
//! after the death can look. It is left behind on purpose, as evidence; old ones are swept at a later start.
//!
//! A second lock, on the node's name, keeps a second process from starting under a live name on this host.

use std::{
    env, fmt,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::LockName;
use crate::id::NodeId;

/// Evidence younger than this is not swept: survivors may still have to look at it.
const EVIDENCE_KEPT: Duration = Duration::from_secs(24 * 3600);
/// What a lock file says of itself is no longer than this.
const SELF_MAX: u64 = 256;
/// Files looked at in one sweep.
const SWEEP_MAX: usize = 1_000;

/// What the look at a life lock says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// The process that held it has ended.
    Dead,
    /// It lives, perhaps stopped.
    Alive,
    /// Another host, another start of this one, another file, or none: no statement.
    CannotTell,
}

/// Why the locks were not taken. Nothing was left locked.
#[derive(Debug)]
pub(crate) enum LifeLockError {
    /// Another process of this host lives under that name.
    NameInUse {
        /// The lock that it holds.
        path: PathBuf,
    },
    /// The run directory belongs to someone else or is open to others.
    Unsafe {
        /// The directory.
        path: PathBuf,
    },
    /// The operating system refused.
    Io {
        /// What was being opened, created or read.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
}

impl fmt::Display for LifeLockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NameInUse { path } => write!(
                f,
                "another process of this host runs under this node name (it holds {}): stop it first, or choose another name",
                path.display()
            ),
            Self::Unsafe { path } => write!(
                f,
                "{} belongs to another user or is open to others: remove it, or set XDG_RUNTIME_DIR",
                path.display()
            ),
            Self::Io { path, source } => write!(f, "{}: {source}", path.display()),
        }
    }
}

impl std::error::Error for LifeLockError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::NameInUse { .. } | Self::Unsafe { .. } => None,
        }
    }
}

/// Where the locks of a cluster's nodes lie unless the caller says otherwise:
/// `$XDG_RUNTIME_DIR` or the temp dir, then `ringheir-<uid>/<cluster name>`.
pub(crate) fn default_run_dir(cluster: &str) -> PathBuf {
    let base = env::var_os("XDG_RUNTIME_DIR").map_or_else(env::temp_dir, PathBuf::from);
    // A cluster's name may hold any character; in a path it must not climb or nest.
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' }
    };
    let name: String = cluster.chars().map(plain).collect();
    base.join(format!("ringheir-{}", rustix::process::getuid().as_raw())).join(name)
}

/// The locks of one living node; they go when it is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct LifeLock {
    name: LockName,
    _life: File,
    _node_name: File,
}

impl LifeLock {
    /// Takes both locks of `node` in `run_dir`, which is created for this user alone.
    pub(crate) fn take(run_dir: &Path, node: NodeId) -> Result<Self, LifeLockError> {
        create_private(run_dir)?;
        sweep(run_dir);
        let name_path = run_dir.join(format!("{}.name.lock", node.name));
        let node_name = open(&name_path).map_err(io_at(&name_path))?;
        match node_name.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LifeLockError::NameInUse { path: name_path });
            }
            Err(TryLockError::Error(source)) => {
                return Err(LifeLockError::Io { path: name_path, source });
            }
        }
        let path = path_of(run_dir, node);
        let path = std::path::absolute(&path).map_err(io_at(&path))?;
        let mut life = open(&path).map_err(io_at(&path))?;
        life.lock().map_err(io_at(&path))?;
        let metadata = life.metadata().map_err(io_at(&path))?;
        let name = LockName {
            path: path.to_string_lossy().into_owned(),
            boot_id: boot_id().map_err(io_at(Path::new(BOOT_ID)))?,
            dev: metadata.dev(),
            inode: metadata.ino(),
        };
        // Only now, with the lock held: whoever reads it finds the process alive, or dead.
        writeln!(life, "{} {} {}", name.boot_id, name.dev, name.inode).map_err(io_at(&path))?;
        Ok(Self { name, _life: life, _node_name: node_name })
    }

    /// What peers are told, so that they can look.
    pub(crate) fn name(&self) -> &LockName {
        &self.name
    }
}

fn path_of(run_dir: &Path, node: NodeId) -> PathBuf {
    run_dir.join(format!("{}.lock", node.incarnation))
}

/// Looks for the lock of a process that never told this one where it is, as one of an earlier time did not.
pub(crate) fn look_for(run_dir: &Path, node: NodeId) -> Proof {
    let path = path_of(run_dir, node);
    let mut text = String::new();
    let read = File::open(&path).and_then(|file| file.take(SELF_MAX).read_to_string(&mut text));
    let words: Vec<&str> = text.split_whitespace().collect();
    let (Ok(_), [boot_id, dev, inode]) = (read, words.as_slice()) else { return Proof::CannotTell };
    let (Ok(dev), Ok(inode)) = (dev.parse(), inode.parse()) else { return Proof::CannotTell };
    let path = path.to_string_lossy().into_owned();
    proved_dead(&LockName { path, boot_id: (*boot_id).to_owned(), dev, inode })
}

/// Looks at the lock that a process said it holds.
pub(crate) fn proved_dead(lock: &LockName) -> Proof {
    if lock.path.is_empty() || boot_id().ok().as_deref() != Some(lock.boot_id.as_str()) {
        return Proof::CannotTell;
    }
    let Ok(file) = File::open(&lock.path) else {
        return Proof::CannotTell;
    };
    let Ok(metadata) = file.metadata() else {
        return Proof::CannotTell;
    };
    if (metadata.dev(), metadata.ino()) != (lock.dev, lock.inode) || !metadata.is_file() {
        return Proof::CannotTell;
    }
    match file.try_lock_shared() {
        Ok(()) => Proof::Dead,
        Err(TryLockError::WouldBlock) => Proof::Alive,
        Err(TryLockError::Error(_)) => Proof::CannotTell,
    }
}

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string(BOOT_ID)?.trim().to_owned())
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn io_at(path: &Path) -> impl FnOnce(io::Error) -> LifeLockError {
    move |source| LifeLockError::Io { path: path.to_owned(), source }
}

fn create_private(dir: &Path) -> Result<(), LifeLockError> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io_at(dir))?;
    let metadata = fs::symlink_metadata(dir).map_err(io_at(dir))?;
    // In a shared temp dir someone else may have been there first and could then replace the files.
    let ours = metadata.is_dir() && metadata.uid() == rustix::process::getuid().as_raw();
    if !ours || metadata.permissions().mode() & 0o022 != 0 {
        return Err(LifeLockError::Unsafe { path: dir.to_owned() });
    }
    Ok(())
}

/// Removes evidence that nobody can need any more. Failing to is harmless, so errors are passed over.
fn sweep(dir: &Path) {
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    for entry in entries.flatten().take(SWEEP_MAX) {
        let path = entry.path();
        let name = entry.file_name();
        // Only incarnations: a name's lock is taken over by its next process and must stay one file.
        let is_life = name.to_str().and_then(|n| n.strip_suffix(".lock")).is_some_and(|n| n.len() == 32);
        let is_old = entry
            .metadata()
            .and_then(|m| m.modified())
            .is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|age| age > EVIDENCE_KEPT));
        if is_life && is_old && File::open(&path).is_ok_and(|file| file.try_lock_shared().is_ok()) {
            let _ = fs::remove_file(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader},
        process::{Child, Command, Stdio},
        thread,
        time::Instant,
    };

    use rustix::process::{Pid, Signal, kill_process};

    use super::*;
    use crate::id::{Incarnation, NodeName};

    fn fresh_dir() -> PathBuf {
        env::temp_dir().join(format!("ringheir-test-{}", uuid::Uuid::new_v4()))
    }

    fn node(name: &str) -> NodeId {
        let incarnation = Incarnation(uuid::Uuid::new_v4().as_u128());
        NodeId { name: NodeName::new(name).expect("plain"), incarnation }
    }

    /// Not a test of its own: the child process that the tests below start takes its lock here and waits to be killed.
    #[test]
    fn child_holds_a_life_lock() {
        let Some(dir) = env::var_os("RINGHEIR_TEST_LIFE_LOCK") else {
            return;
        };
        let lock = LifeLock::take(Path::new(&dir), node("child")).expect("the lock is free");
        println!("\nLOCK {} {} {} {}", lock.name.path, lock.name.boot_id, lock.name.dev, lock.name.inode);
        thread::sleep(Duration::from_secs(60));
    }

    struct Holder(Child);

    impl Drop for Holder {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    impl Holder {
        fn start(dir: &Path) -> (Self, LockName) {
            let mut child = Command::new(env::current_exe().expect("a test binary has a path"))
                .args(["child_holds_a_life_lock", "--nocapture", "--test-threads=1"])
                .env("RINGHEIR_TEST_LIFE_LOCK", dir)
                .stdout(Stdio::piped())
                .spawn()
                .expect("the test binary starts again");
            let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
            let line = lines
                .find_map(|line| line.expect("text").strip_prefix("LOCK ").map(str::to_owned))
                .expect("the child says what it locked");
            let words: Vec<&str> = line.split(' ').collect();
            let number = |at: usize| words[at].parse().expect("a number");
            let lock = LockName { path: words[0].into(), boot_id: words[1].into(), dev: number(2), inode: number(3) };
            (Self(child), lock)
        }

        fn signal(&self, signal: Signal) {
            let pid = Pid::from_child(&self.0);
            kill_process(pid, signal).expect("the child is ours");
        }
    }

    #[test]
    fn a_stopped_process_is_alive_and_a_killed_one_is_proved_dead_at_once_to_two_provers() {
        let dir = fresh_dir();
        let (mut holder, lock) = Holder::start(&dir);
        assert_eq!(proved_dead(&lock), Proof::Alive);
        holder.signal(Signal::STOP);
        thread::sleep(Duration::from_millis(50));
        assert_eq!(proved_dead(&lock), Proof::Alive, "stopped is not dead");
        let killed = Instant::now();
        holder.signal(Signal::KILL);
        while proved_dead(&lock) != Proof::Dead {
            assert!(killed.elapsed() < Duration::from_secs(2), "the kernel did not free the lock");
            thread::sleep(Duration::from_micros(200));
        }
        eprintln!("proved dead {:?} after SIGKILL", killed.elapsed());
        let other_prover = File::open(&lock.path).expect("the evidence stays");
        other_prover.try_lock_shared().expect("shared with the first");
        assert_eq!(proved_dead(&lock), Proof::Dead, "one prover does not hide the death from another");
        holder.0.wait().expect("it was killed");
        fs::remove_dir_all(dir).expect("ours");
    }

    #[test]
    fn a_second_process_under_a_live_name_is_refused_and_may_start_once_the_first_is_gone() {
        let dir = fresh_dir();
        let (mut holder, _) = Holder::start(&dir);
        let refused = LifeLock::take(&dir, node("child")).expect_err("the name is in use");
        assert!(refused.to_string().contains("another process"), "{refused}");
        LifeLock::take(&dir, node("other")).expect("another name is free");
        holder.signal(Signal::KILL);
        holder.0.wait().expect("it was killed");
        LifeLock::take(&dir, node("child")).expect("the name is free again");
        fs::remove_dir_all(dir).expect("ours");
    }

    #[test]
    fn another_host_another_file_or_no_file_proves_nothing() {
        let dir = fresh_dir();
        let name = LifeLock::take(&dir, node("a")).expect("free").name().clone();
        assert_eq!(proved_dead(&name), Proof::Dead, "dropped, so free");
        assert_eq!(proved_dead(&LockName { boot_id: "other".into(), ..name.clone() }), Proof::CannotTell);
        assert_eq!(proved_dead(&LockName { inode: name.inode + 1, ..name.clone() }), Proof::CannotTell);
        assert_eq!(proved_dead(&LockName { dev: name.dev + 1, ..name.clone() }), Proof::CannotTell);
        assert_eq!(proved_dead(&LockName::default()), Proof::CannotTell);
        fs::remove_file(&name.path).expect("ours");
        assert_eq!(proved_dead(&name), Proof::CannotTell);
        fs::remove_dir_all(dir).expect("ours");
    }

    #[test]
    fn one_that_was_never_told_of_a_lock_finds_it_by_the_name_of_the_process_and_believes_no_copy() {
        let (dir, other) = (fresh_dir(), fresh_dir());
        let a = node("a");
        let lock = LifeLock::take(&dir, a).expect("free");
        assert_eq!(look_for(&dir, a), Proof::Alive);
        assert_eq!(look_for(&dir, node("a")), Proof::CannotTell, "another process of that name");
        create_private(&other).expect("new");
        fs::copy(path_of(&dir, a), path_of(&other, a)).expect("ours");
        assert_eq!(look_for(&other, a), Proof::CannotTell, "nobody ever locked the copy");
        drop(lock);
        assert_eq!(look_for(&dir, a), Proof::Dead);
        assert_eq!(look_for(&other, a), Proof::CannotTell);
        fs::write(path_of(&dir, a), "").expect("ours");
        assert_eq!(look_for(&dir, a), Proof::CannotTell, "it does not say which file it is");
        [dir, other].into_iter().for_each(|dir| fs::remove_dir_all(dir).expect("ours"));
    }

    #[test]
    fn a_run_dir_that_others_may_write_is_refused() {
        let dir = fresh_dir();
        fs::create_dir(&dir).expect("new");
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).expect("ours");
        assert!(matches!(LifeLock::take(&dir, node("a")), Err(LifeLockError::Unsafe { .. })));
        fs::remove_dir_all(dir).expect("ours");
    }
}
