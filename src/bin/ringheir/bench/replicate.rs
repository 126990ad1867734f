//! Replicated updates per second: 1,024 callers, one session each, 100-byte events, every call waiting for its backup.
//!
//! This process holds the primaries and the callers; a second process holds the backups. Calls are single: no batches, no
//! pipelines of one caller. Each run is a fresh measure on the same two processes; the figures are the run with the median
//! rate.

use std::{process::ExitCode, sync::Arc, time::Duration};

use clap::Args;
use ringheir::SessionRef;
use serde::Serialize;
use serde_bytes::ByteBuf;

use super::{
    figures::{Caller, Figures},
    ring::{Ring, fits},
    sessions::{Latest, Note},
    telling::{self, object, progress, value},
};

/// Measures replicated updates.
#[derive(Debug, Args, Serialize)]
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
    #[serde(skip)]
    json: bool,
}

/// Notes something in its session and waits until the backup has it.
pub(super) struct Noting {
    session: SessionRef<Latest>,
    event: Vec<u8>,
}

impl Noting {
    /// One caller for each session.
    pub(super) fn in_each(sessions: Vec<SessionRef<Latest>>, bytes: usize) -> Vec<Arc<Self>> {
        sessions.into_iter().map(|session| Arc::new(Self { session, event: vec![7; bytes] })).collect()
    }
}

impl Caller for Noting {
    async fn call(&self) -> Result<(), String> {
        let note = Note(ByteBuf::from(self.event.clone()));
        self.session.call(note).await.map_err(|why| why.to_string())?;
        Ok(())
    }
}

impl Replicate {
    pub(crate) fn run(self) -> ExitCode {
        telling::run("replicate", self.measure(), |runs| self.tell(runs))
    }

    async fn measure(&self) -> Result<Vec<Figures>, String> {
        if self.sessions == 0 || self.runs == 0 || self.seconds == 0 {
            return Err("nothing to measure".to_owned());
        }
        fits(self.bytes)?;
        let ring = Ring::start(&["a", "b"], "a").await?;
        // Their primary is this process, so that every update crosses to the other one exactly once.
        let callers = Noting::in_each(ring.served_by("a", self.sessions)?, self.bytes);
        let mut runs = Vec::new();
        for run in 1..=self.runs {
            let figures = Figures::of(&callers, Duration::from_secs(self.seconds), &ring.pids()).await?;
            progress(format_args!("run {run} of {}: {:.0} updates/s", self.runs, figures.ops_per_s));
            runs.push(figures);
        }
        Ok(runs)
    }

    fn tell(&self, runs: Vec<Figures>) {
        let Some((median, rates)) = Figures::median(runs) else { return };
        let all: Vec<String> = rates.iter().map(|rate| format!("{rate:.0}")).collect();
        println!("replicate: {} sessions, {}-byte events, two processes, single calls", self.sessions, self.bytes);
        println!("  updates/s   {:>10.0}   median of {} runs: {}", median.ops_per_s, all.len(), all.join(" "));
        println!("  wait        p50 {} us, p99 {} us, p99.9 {} us", median.p50_us, median.p99_us, median.p999_us);
        println!("  processor   {:.2} us an update, both processes and the callers", median.cpu_us_per_op);
        println!("  memory      {} MiB resident here", median.rss_bytes >> 20);
        if self.json {
            println!("{}", object("replicate", self, &[value(&median), serde_json::json!({ "runs": rates })]));
        }
    }
}
