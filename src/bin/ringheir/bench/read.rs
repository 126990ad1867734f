//! Reads: leased ones at the primary, as new as the newest acknowledged command, and stale ones at the backup.
//!
//! Two processes, each the other's backup; the callers are in this one, and no read leaves it.

use std::{process::ExitCode, sync::Arc, time::Duration};

use clap::Args;
use ringheir::SessionRef;
use serde::Serialize;

use super::{
    figures::{Caller, Figures},
    replicate::Noting,
    ring::{Ring, fits},
    sessions::{Count, Latest},
    telling::{self, object, progress, value},
};

/// Measures reads.
#[derive(Debug, Args, Serialize)]
pub(crate) struct Read {
    /// Callers, each with one session.
    #[arg(long, default_value_t = 64)]
    callers: usize,
    /// Bytes of each session.
    #[arg(long, default_value_t = 100)]
    bytes: usize,
    /// Seconds of each run.
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// Runs of each.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// One JSON object on the last line.
    #[arg(long)]
    #[serde(skip)]
    json: bool,
}

/// Asks its session's primary.
struct Asking(SessionRef<Latest>);

impl Caller for Asking {
    async fn call(&self) -> Result<(), String> {
        self.0.ask(Count).await.map_err(|why| why.to_string())?;
        Ok(())
    }
}

/// Asks the copy of its session that is here.
struct Peeking(SessionRef<Latest>);

impl Caller for Peeking {
    async fn call(&self) -> Result<(), String> {
        self.0.read_stale(Count).await.map_err(|why| why.to_string())?;
        Ok(())
    }
}

/// The median runs.
struct Measured {
    leased: Figures,
    stale: Figures,
}

impl Read {
    pub(crate) fn run(self) -> ExitCode {
        telling::run("read", self.measure(), |measured| self.tell(&measured))
    }

    async fn measure(&self) -> Result<Measured, String> {
        if self.callers == 0 || self.runs == 0 || self.seconds == 0 {
            return Err("nothing to measure".to_owned());
        }
        fits(self.bytes)?;
        let ring = Ring::start(&["a", "b"], "a").await?;
        let (here, there) = (ring.served_by("a", self.callers)?, ring.served_by("b", self.callers)?);
        // So that there is something to read.
        for noting in Noting::in_each(here.iter().chain(&there).cloned().collect(), self.bytes) {
            noting.call().await?;
        }
        let asking: Vec<Arc<Asking>> = here.into_iter().map(|session| Arc::new(Asking(session))).collect();
        let peeking: Vec<Arc<Peeking>> = there.into_iter().map(|session| Arc::new(Peeking(session))).collect();
        let (mut leased, mut stale) = (Vec::new(), Vec::new());
        let lasting = Duration::from_secs(self.seconds);
        for run in 1..=self.runs {
            leased.push(Figures::of(&asking, lasting, &ring.pids()).await?);
            stale.push(Figures::of(&peeking, lasting, &ring.pids()).await?);
            progress(format_args!("run {run} of {}", self.runs));
        }
        let median = |runs| Figures::median(runs).map(|(median, _)| median).ok_or("no run");
        Ok(Measured { leased: median(leased)?, stale: median(stale)? })
    }

    fn tell(&self, Measured { leased, stale }: &Measured) {
        if self.json {
            let both = serde_json::json!({ "leased": leased, "stale": stale });
            println!("{}", object("read", self, &[value(leased), both]));
            return;
        }
        println!("read: sessions of {} bytes, {} callers, medians of {} runs", self.bytes, self.callers, self.runs);
        println!("  leased, at the primary   {}", leased.line());
        println!("  stale, at the backup     {}", stale.line());
    }
}
