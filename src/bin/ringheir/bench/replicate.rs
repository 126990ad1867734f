//! Replicated updates per second: 1,024 callers, one session each, 100-byte events, every call waiting for its backup.
//!
//! This process holds the primaries and the callers; a second process holds the backups. Calls are single: no batches, no
//! pipelines of one caller. Each run is a fresh measure on the same two processes; the figures are the run with the median
//! rate.

use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Command as Process, ExitCode, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use clap::Args;
use hdrhistogram::Histogram;
use ringheir::{
    Command, Context, Decide, EventSourced, Node, Refused, Session, SessionId, SessionRef, Types, config::ClusterFile,
};
use serde::{Deserialize, Serialize};

use super::usage::{cpu_of, resident_of};
use crate::COULD_NOT_RUN;

/// Waits are counted in so many places: one for each caller would fill the processor's caches, one for all would be waited
/// for.
const TALLIES: usize = 8;

/// Measures replicated updates.
#[derive(Debug, Args)]
pub(crate) struct Replicate {
    /// Sessions, each with one caller.
    #[arg(long, default_value_t = 1024)]
    sessions: usize,
    /// Bytes of each event.
    #[arg(long, default_value_t = 100)]
    bytes: usize,
    /// Seconds of each run.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Runs.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// One JSON object on the last line.
    #[arg(long)]
    json: bool,
}

/// The process with the backups.
#[derive(Debug, Args)]
pub(crate) struct Peer {
    /// The cluster file.
    file: std::path::PathBuf,
    /// Where life locks lie.
    run_dir: std::path::PathBuf,
}

#[derive(Default, Serialize, Deserialize)]
struct Latest {
    count: u64,
    last: serde_bytes::ByteBuf,
}

impl Session for Latest {
    const KIND: &'static str = "latest";

    fn absent(_: &SessionId) -> Option<Self> {
        Some(Self::default())
    }
}

#[derive(Serialize, Deserialize)]
struct Note(serde_bytes::ByteBuf);

impl Command for Note {
    const NAME: &'static str = "note";
    type Reply = u64;
}

impl EventSourced for Latest {
    type Event = serde_bytes::ByteBuf;

    fn apply(&mut self, event: &serde_bytes::ByteBuf) {
        self.count += 1;
        self.last.clone_from(event);
    }
}

impl Decide<Note> for Latest {
    fn decide(&self, Note(event): Note, _: &mut Context<Self>) -> Result<(Vec<Self::Event>, u64), Refused> {
        Ok((vec![event], self.count + 1))
    }
}

fn types() -> Types {
    let mut types = Types::new();
    types.add::<Latest>().decides::<Note>();
    types
}

impl Peer {
    pub(crate) fn run(self) -> ExitCode {
        let Ok(runtime) = tokio::runtime::Runtime::new() else { return ExitCode::from(COULD_NOT_RUN) };
        runtime.block_on(async {
            let Ok(file) = ClusterFile::read(&self.file) else { return ExitCode::from(COULD_NOT_RUN) };
            let builder = Node::builder().config(file).name("b").types(types()).run_dir(&self.run_dir);
            match builder.start().await {
                Ok(_node) => {
                    println!("ready");
                    // It lives for as long as the process that measures holds its standard input open.
                    let _ = tokio::task::spawn_blocking(|| std::io::stdin().lines().count()).await;
                    ExitCode::SUCCESS
                }
                Err(why) => {
                    eprintln!("the second process: {why}");
                    ExitCode::from(COULD_NOT_RUN)
                }
            }
        })
    }
}

/// One run's figures.
#[derive(Clone, Debug, Serialize)]
struct Figures {
    ops_per_s: f64,
    p50_us: u64,
    p99_us: u64,
    p999_us: u64,
    cpu_us_per_op: f64,
    rss_bytes: u64,
}

impl Replicate {
    pub(crate) fn run(self) -> ExitCode {
        match self.measure() {
            Ok(mut runs) => {
                runs.sort_by(|a, b| a.ops_per_s.total_cmp(&b.ops_per_s));
                self.tell(&runs);
                ExitCode::SUCCESS
            }
            Err(why) => {
                eprintln!("bench replicate: {why}");
                ExitCode::from(COULD_NOT_RUN)
            }
        }
    }

    fn measure(&self) -> Result<Vec<Figures>, String> {
        let dir = std::env::temp_dir().join(format!("ringheir-bench-{}", std::process::id()));
        std::fs::create_dir_all(&dir).map_err(|why| format!("{}: {why}", dir.display()))?;
        let result = self.measure_in(&dir);
        let _ = std::fs::remove_dir_all(&dir);
        result
    }

    fn measure_in(&self, dir: &Path) -> Result<Vec<Figures>, String> {
        let text = cluster_text()?;
        let path = dir.join("cluster.toml");
        std::fs::write(&path, &text).map_err(|why| format!("{}: {why}", path.display()))?;
        let run_dir = dir.join("run");
        let mut peer = start_peer(&path, &run_dir)?;
        let runtime = tokio::runtime::Runtime::new().map_err(|why| why.to_string())?;
        let runs = runtime.block_on(async {
            let file = ClusterFile::from_str(&text, "bench").map_err(|why| why.to_string())?;
            let builder = Node::builder().config(file).name("a").types(types()).run_dir(&run_dir);
            let node = builder.start().await.map_err(|why| why.to_string())?;
            tokio::time::timeout(Duration::from_secs(10), node.fully_protected())
                .await
                .map_err(|_| "the ring was not protected within ten seconds".to_owned())?;
            let sessions = self.local_sessions(&node)?;
            let mut runs = Vec::new();
            for run in 1..=self.runs {
                let figures = self.one_run(&sessions, peer.id()).await?;
                eprintln!("run {run} of {}: {:.0} updates/s", self.runs, figures.ops_per_s);
                runs.push(figures);
            }
            Ok::<_, String>(runs)
        });
        drop(peer.stdin.take());
        let _ = peer.wait();
        runs
    }

    /// Sessions whose primary is this process, so that every update crosses to the other one exactly once.
    fn local_sessions(&self, node: &Node) -> Result<Vec<SessionRef<Latest>>, String> {
        let mut sessions = Vec::with_capacity(self.sessions);
        for number in 0..self.sessions * 16 {
            let session = node.session::<Latest>(format!("s{number}")).map_err(|why| why.to_string())?;
            if session.primary() == Some(node.id()) {
                sessions.push(session);
            }
            if sessions.len() == self.sessions {
                return Ok(sessions);
            }
        }
        Err("too few sessions fall on this node".to_owned())
    }

    #[expect(clippy::disallowed_methods, reason = "a measurement")]
    async fn one_run(&self, sessions: &[SessionRef<Latest>], peer: u32) -> Result<Figures, String> {
        let stop = Arc::new(AtomicBool::new(false));
        let cpu = || Some(cpu_of(std::process::id())? + cpu_of(peer)?);
        let before = cpu();
        let began = Instant::now();
        let waits: Vec<Arc<Mutex<Histogram<u64>>>> =
            (0..TALLIES).map(|_| Ok(Arc::new(Mutex::new(empty()?)))).collect::<Result<_, String>>()?;
        let mut callers = tokio::task::JoinSet::new();
        for (session, waits) in sessions.iter().zip(waits.iter().cycle()) {
            let (session, stop, waits) = (session.clone(), Arc::clone(&stop), Arc::clone(waits));
            let event = vec![7u8; self.bytes];
            callers.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let asked = Instant::now();
                    let note = Note(serde_bytes::ByteBuf::from(event.clone()));
                    session.call(note).await.map_err(|why| why.to_string())?;
                    let waited = u64::try_from(asked.elapsed().as_micros()).unwrap_or(u64::MAX).max(1);
                    waits.lock().unwrap_or_else(PoisonError::into_inner).saturating_record(waited);
                }
                Ok::<_, String>(())
            });
        }
        tokio::time::sleep(Duration::from_secs(self.seconds)).await;
        stop.store(true, Ordering::Relaxed);
        while let Some(ended) = callers.join_next().await {
            ended.map_err(|why| why.to_string())??;
        }
        let mut all = empty()?;
        for some in waits {
            all.add(&*some.lock().unwrap_or_else(PoisonError::into_inner)).map_err(|why| why.to_string())?;
        }
        let took = began.elapsed().as_secs_f64();
        let used = before.zip(cpu()).map_or(0.0, |(before, after)| (after - before).as_secs_f64());
        let updates = all.len() as f64;
        Ok(Figures {
            ops_per_s: updates / took,
            p50_us: all.value_at_quantile(0.5),
            p99_us: all.value_at_quantile(0.99),
            p999_us: all.value_at_quantile(0.999),
            cpu_us_per_op: used * 1e6 / updates,
            rss_bytes: resident_of(std::process::id()).unwrap_or(0),
        })
    }

    fn tell(&self, runs: &[Figures]) {
        let Some(median) = runs.get(runs.len() / 2) else { return };
        let rates: Vec<String> = runs.iter().map(|r| format!("{:.0}", r.ops_per_s)).collect();
        println!("replicate: {} sessions, {}-byte events, two processes, single calls", self.sessions, self.bytes);
        println!("  updates/s   {:>10.0}   median of {} runs: {}", median.ops_per_s, runs.len(), rates.join(" "));
        println!("  wait        p50 {} us, p99 {} us, p99.9 {} us", median.p50_us, median.p99_us, median.p999_us);
        println!("  processor   {:.2} us an update, both processes and the callers", median.cpu_us_per_op);
        println!("  memory      {} MiB resident here", median.rss_bytes >> 20);
        if self.json {
            let params = serde_json::json!({
                "sessions": self.sessions, "bytes": self.bytes, "seconds": self.seconds, "runs": self.runs,
            });
            let told = serde_json::json!({
                "name": "replicate", "params": params,
                "ops_per_s": median.ops_per_s, "p50_us": median.p50_us, "p99_us": median.p99_us,
                "p999_us": median.p999_us, "cpu_us_per_op": median.cpu_us_per_op, "rss_bytes": median.rss_bytes,
                "runs": runs.iter().map(|r| r.ops_per_s).collect::<Vec<_>>(),
            });
            println!("{told}");
        }
    }
}

/// Up to a minute, to three digits.
fn empty() -> Result<Histogram<u64>, String> {
    Histogram::new_with_bounds(1, 60_000_000, 3).map_err(|why| why.to_string())
}

fn cluster_text() -> Result<String, String> {
    let free = || TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).map_err(|why| why.to_string());
    let (a, b) = (free()?, free()?);
    Ok(format!(
        "[cluster]\nname = \"bench-{}\"\nsecret = \"bench\"\n[[node]]\nname = \"a\"\ncluster = \"{a}\"\n[[node]]\nname = \"b\"\ncluster = \"{b}\"\n",
        std::process::id()
    ))
}

fn start_peer(file: &Path, run_dir: &Path) -> Result<Child, String> {
    let me = std::env::current_exe().map_err(|why| why.to_string())?;
    Process::new(me)
        .args(["bench", "replicate-peer"])
        .args([file, run_dir])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|why| format!("the second process: {why}"))
}
