//! Memory of a passive session: what a process that serves them all takes more, and one that guards them all.
//!
//! Two processes hold the copies; this one holds none. Sessions used lately are kept decoded as well, up to `limits.live` in all;
//! that bound is as low here as it may be, so that all but a few are passive. What a session costs beyond its own bytes is everything else that grows
//! with it: its name and number, what it remembers of the call that made it, its place in maps, what the allocator keeps.

use std::{process::ExitCode, time::Duration};

use clap::Args;
use serde::Serialize;
use serde_json::json;

use super::{
    ring::Ring,
    sessions::Latest,
    telling::{self, object, progress, value},
    usage::resident_of,
};

/// Next to nothing stays decoded.
const LIMITS: &str = "live = \"1MiB\"";
/// What the allocator gives back by itself, it has given back after this.
const SETTLES_WITHIN: Duration = Duration::from_secs(5);

/// Measures memory.
#[derive(Debug, Args, Serialize)]
pub(crate) struct Memory {
    /// Sessions.
    #[arg(long, default_value_t = 1_000_000)]
    sessions: usize,
    /// Bytes of each.
    #[arg(long, default_value_t = 100)]
    bytes: usize,
    /// Runs, each with new processes.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// One JSON object on the last line.
    #[arg(long)]
    #[serde(skip)]
    json: bool,
}

/// One process, before and after.
#[derive(Clone, Debug, Serialize)]
struct Held {
    rss_before: u64,
    rss_after: u64,
    /// For each session, beyond its own bytes.
    overhead: f64,
}

#[derive(Clone, Debug, Serialize)]
struct Measured {
    primary: Held,
    backup: Held,
}

impl Measured {
    fn worse(&self) -> f64 {
        self.primary.overhead.max(self.backup.overhead)
    }
}

impl Memory {
    pub(crate) fn run(self) -> ExitCode {
        telling::run("memory", self.measure(), |runs| self.tell(runs))
    }

    async fn measure(&self) -> Result<Vec<Measured>, String> {
        if self.sessions == 0 || self.runs == 0 {
            return Err("nothing to measure".to_owned());
        }
        let mut runs = Vec::new();
        for run in 1..=self.runs {
            let measured = self.one_run().await?;
            progress(format_args!("run {run} of {}: {:.0} bytes a session", self.runs, measured.worse()));
            runs.push(measured);
        }
        Ok(runs)
    }

    async fn one_run(&self) -> Result<Measured, String> {
        let mut ring = Ring::start_with(&["a", "b"], "door", LIMITS).await?;
        let resident = |ring: &Ring, name: &str| {
            resident_of(ring.pid(name)?).ok_or_else(|| format!("the memory of {name} cannot be read"))
        };
        tokio::time::sleep(SETTLES_WITHIN / 5).await;
        let before = (resident(&ring, "a")?, resident(&ring, "b")?);
        ring.load::<Latest>("a", self.sessions, self.bytes).await?;
        tokio::time::sleep(SETTLES_WITHIN).await;
        let after = (resident(&ring, "a")?, resident(&ring, "b")?);
        let held = |rss_before: u64, rss_after: u64| {
            let grown = rss_after.saturating_sub(rss_before) as f64;
            Held { rss_before, rss_after, overhead: grown / self.sessions as f64 - self.bytes as f64 }
        };
        Ok(Measured { primary: held(before.0, after.0), backup: held(before.1, after.1) })
    }

    fn tell(&self, mut runs: Vec<Measured>) {
        runs.sort_by(|a, b| a.worse().total_cmp(&b.worse()));
        let Some(median) = runs.get(runs.len() / 2).cloned() else { return };
        let worse: Vec<f64> = runs.iter().map(Measured::worse).collect();
        if self.json {
            let told = json!({
                "bytes_per_session_overhead": median.worse(),
                "rss_bytes": median.primary.rss_after.max(median.backup.rss_after),
                "runs": worse,
            });
            println!("{}", object("memory", self, &[told, value(&median)]));
            return;
        }
        println!("memory: {} sessions of {} bytes that nobody uses", self.sessions, self.bytes);
        for (what, held) in [("primary", &median.primary), ("backup ", &median.backup)] {
            println!(
                "  {what}   {:>5} MiB before, {:>5} MiB after: {:.0} bytes a session beyond its own",
                held.rss_before >> 20,
                held.rss_after >> 20,
                held.overhead
            );
        }
        println!("  the worse of the two, of every run: {:?}", worse.iter().map(|w| w.round()).collect::<Vec<_>>());
    }
}
