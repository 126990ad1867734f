//! A ring in one process, for tests of programs that use ringheir: whole nodes over pipes in memory, with faults by a seed.
//!
//! The nodes are those of production, with their threads and clocks; only the pipes differ. So a seed says which faults come
//! and in which order, not how the threads meet between them: a test that fails under one seed may pass it the next time.
//!
//! ```
//! # use ringheir::{Types, test::TestRing};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), ringheir::test::TestFault> {
//! # fn my_types() -> Types { Types::new() }
//! let mut ring = TestRing::start(7, &["a", "b", "c"], my_types).await?;
//! for _ in 0..2 {
//!     println!("{}", ring.fault().await?); // never more than the ring is promised to stand
//! }
//! ring.heal().await?;
//! # Ok(())
//! # }
//! ```

use std::{collections::BTreeMap, fmt, time::Duration};

use tokio::time;

use crate::{MemoryNetwork, Node, StartError, Types, config::ClusterFile, id::NodeName};

/// The ring is whole again within this after a fault, or the test fails.
const WHOLE_WITHIN: Duration = Duration::from_secs(20);
/// Pipes that are slowed carry what is sent at most so much later.
const SLOWEST: Duration = Duration::from_millis(40);

/// What was done to the ring.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// A node was killed as SIGKILL would.
    Killed(String),
    /// A new process was started under a killed name.
    Started(String),
    /// What the first sends to the second comes late.
    Slowed(String, String, Duration),
    /// Every pipe is as it was.
    Mended,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Killed(name) => write!(f, "killed {name}"),
            Self::Started(name) => write!(f, "started {name} anew"),
            Self::Slowed(from, to, by) => write!(f, "slowed {from} to {to} by {} ms", by.as_millis()),
            Self::Mended => f.write_str("mended every pipe"),
        }
    }
}

/// Why a test ring could not do what it was told.
#[derive(Debug)]
#[non_exhaustive]
pub enum TestFault {
    /// A node did not start.
    Start(StartError),
    /// No node of that name runs, or one does where none should.
    NoSuchNode(String),
    /// The ring did not become whole again in time: a finding, if nothing else was done to it.
    NotWhole(String),
}

impl fmt::Display for TestFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(why) => write!(f, "a node did not start: {why}"),
            Self::NoSuchNode(name) => write!(f, "{name}: no such node, or not in that state"),
            Self::NotWhole(seen) => write!(f, "not whole again within {} s: {seen}", WHOLE_WITHIN.as_secs()),
        }
    }
}

impl std::error::Error for TestFault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        if let Self::Start(why) = self { Some(why) } else { None }
    }
}

impl From<StartError> for TestFault {
    fn from(why: StartError) -> Self {
        Self::Start(why)
    }
}

/// A ring in this process. Dropped, its nodes stop.
pub struct TestRing {
    network: MemoryNetwork,
    file: ClusterFile,
    types: Box<dyn Fn() -> Types + Send + Sync>,
    names: Vec<String>,
    nodes: BTreeMap<String, Node>,
    slowed: bool,
    seed: u64,
    drawn: u64,
}

impl fmt::Debug for TestRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestRing")
            .field("seed", &self.seed)
            .field("running", &self.nodes.keys())
            .finish_non_exhaustive()
    }
}

impl Drop for TestRing {
    fn drop(&mut self) {
        self.nodes.values().for_each(Node::kill);
    }
}

impl TestRing {
    /// Starts nodes of these names, each with the types that `types` gives, and waits until every session would have its
    /// backup. `seed` says what [`TestRing::fault`] does. Made within a tokio runtime.
    ///
    /// # Errors
    /// A name is no node name; a node did not start.
    pub async fn start(
        seed: u64,
        names: &[&str],
        types: impl Fn() -> Types + Send + Sync + 'static,
    ) -> Result<Self, TestFault> {
        let mut text = "[cluster]\nname = \"test\"\nsecret = \"test\"\narcs = 16\n".to_owned();
        for (port, name) in names.iter().enumerate() {
            text.push_str(&format!("[[node]]\nname = \"{name}\"\ncluster = \"127.0.0.1:{}\"\n", port + 1));
        }
        let file = ClusterFile::from_str(&text, "test").map_err(|why| TestFault::NoSuchNode(why.to_string()))?;
        Self::start_from(seed, file, types).await
    }

    /// The same with a cluster file of your own: more copies, zones, roles, other times. Its addresses are names only.
    ///
    /// # Errors
    /// A node did not start.
    pub async fn start_from(
        seed: u64,
        file: ClusterFile,
        types: impl Fn() -> Types + Send + Sync + 'static,
    ) -> Result<Self, TestFault> {
        let names: Vec<String> = file.nodes().iter().map(|node| node.name.to_string()).collect();
        let mut ring = Self {
            network: MemoryNetwork::new(),
            file,
            types: Box::new(types),
            names,
            nodes: BTreeMap::new(),
            slowed: false,
            seed,
            drawn: 0,
        };
        let mut starting = tokio::task::JoinSet::new();
        for name in ring.names.clone() {
            let builder = ring.builder(&name);
            starting.spawn(async move { (name, builder.start().await) });
        }
        for (name, started) in starting.join_all().await {
            ring.nodes.insert(name, started?);
        }
        ring.whole().await?;
        Ok(ring)
    }

    fn builder(&self, name: &str) -> crate::NodeBuilder {
        Node::builder().config(self.file.clone()).name(name).types((self.types)()).over(&self.network)
    }

    /// The network between them, for faults of your own.
    #[must_use]
    pub const fn network(&self) -> &MemoryNetwork {
        &self.network
    }

    /// A running node.
    ///
    /// # Errors
    /// None of that name runs.
    pub fn node(&self, name: &str) -> Result<&Node, TestFault> {
        self.nodes.get(name).ok_or_else(|| TestFault::NoSuchNode(name.to_owned()))
    }

    /// The running nodes, by name. At least one runs.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    /// Kills a node as SIGKILL would: what only it had is gone, callers inside it learn nothing.
    ///
    /// # Errors
    /// None of that name runs, or it is the last.
    pub fn kill(&mut self, name: &str) -> Result<Fault, TestFault> {
        if self.nodes.len() < 2 {
            return Err(TestFault::NoSuchNode(name.to_owned()));
        }
        let node = self.nodes.remove(name).ok_or_else(|| TestFault::NoSuchNode(name.to_owned()))?;
        self.network.kill(node.id());
        node.kill();
        Ok(Fault::Killed(name.to_owned()))
    }

    /// Starts a killed name anew, as another process, and waits until the ring lets it in.
    ///
    /// # Errors
    /// It runs, or is not of this ring; it is not let in.
    pub async fn start_again(&mut self, name: &str) -> Result<Fault, TestFault> {
        if self.nodes.contains_key(name) || !self.names.iter().any(|known| known == name) {
            return Err(TestFault::NoSuchNode(name.to_owned()));
        }
        let node = self.builder(name).start().await?;
        self.nodes.insert(name.to_owned(), node);
        Ok(Fault::Started(name.to_owned()))
    }

    /// Does what the seed says next, never more than callers at every running node may expect the ring to stand: a node is
    /// killed only when every session has its backup and a majority of the nodes stays; pipes are slowed, not cut. For cuts of
    /// your own there is [`TestRing::network`]: whoever asks a node that is cut off from the session's primary waits until the
    /// cut is mended, or the primary replaced.
    ///
    /// # Errors
    /// The ring did not become whole in time, or did not let a node in: it should have.
    pub async fn fault(&mut self) -> Result<Fault, TestFault> {
        let dead = self.names.iter().find(|name| !self.nodes.contains_key(*name)).cloned();
        let mends = self.below(2) == 0;
        if self.slowed && (mends || dead.is_some()) {
            return Ok(self.mend());
        }
        let may_kill = (self.nodes.len() - 1) * 2 > self.names.len();
        if let Some(dead) = dead.filter(|_| mends || !may_kill) {
            return self.start_again(&dead).await;
        }
        let [one, other] = self.two();
        if may_kill && !self.slowed && self.below(3) > 0 {
            self.whole().await?;
            return self.kill(&one);
        }
        let by = SLOWEST * u32::try_from(1 + self.below(8)).unwrap_or(1) / 8;
        self.slow(&one, &other, by);
        Ok(Fault::Slowed(one, other, by))
    }

    /// Mends every pipe, starts every killed node anew, and waits until every session has its backup.
    ///
    /// # Errors
    /// It did not come to that.
    pub async fn heal(&mut self) -> Result<(), TestFault> {
        self.mend();
        for name in self.names.clone() {
            if !self.nodes.contains_key(&name) {
                self.start_again(&name).await?;
            }
        }
        self.whole().await
    }

    /// Waits until every session has its backup, as all running nodes see it.
    ///
    /// # Errors
    /// It did not come to that.
    pub async fn whole(&self) -> Result<(), TestFault> {
        let all = async {
            for node in self.nodes.values() {
                node.fully_protected().await;
            }
        };
        time::timeout(WHOLE_WITHIN, all).await.map_err(|_| {
            let seen: Vec<String> =
                self.nodes.iter().map(|(name, node)| format!("{name}: {:?}", node.outlook())).collect();
            TestFault::NotWhole(seen.join("; "))
        })
    }

    fn mend(&mut self) -> Fault {
        for one in &self.names {
            for other in self.names.iter().filter(|other| *other != one) {
                if let (Some(one), Some(other)) = (NodeName::new(one), NodeName::new(other)) {
                    self.network.heal(one, other);
                    self.network.delay(one, other, Duration::ZERO);
                }
            }
        }
        self.slowed = false;
        Fault::Mended
    }

    fn slow(&mut self, from: &str, to: &str, by: Duration) {
        if let (Some(from), Some(to)) = (NodeName::new(from), NodeName::new(to)) {
            self.network.delay(from, to, by);
            self.slowed = true;
        }
    }

    /// Two running nodes, drawn; the same one twice if it is alone.
    fn two(&mut self) -> [String; 2] {
        let running: Vec<String> = self.nodes.keys().cloned().collect();
        let one = self.below(running.len());
        let step = 1 + self.below(running.len().saturating_sub(1).max(1));
        [running[one].clone(), running[(one + step) % running.len()].clone()]
    }

    /// The next number below `end` that the seed says.
    fn below(&mut self, end: usize) -> usize {
        self.drawn += 1;
        let drawn = xxhash_rust::xxh3::xxh3_64_with_seed(&self.drawn.to_le_bytes(), self.seed);
        usize::try_from(drawn % end.max(1) as u64).unwrap_or_default()
    }
}
