//! Calls made at a node that is not the primary, beside calls at the primary itself.
//!
//! Two processes, each the other's backup; the callers are in this one. A forwarded call goes to the other process, whose
//! commit comes back here, whose acknowledgement goes there, and then its reply comes here: two round trips for one.

use std::{process::ExitCode, sync::Arc, time::Duration};

use clap::Args;
use serde::Serialize;
use serde_json::json;

use super::{
    figures::Figures,
    replicate::Noting,
    ring::{Ring, fits},
    telling::{self, object, progress, value},
};

/// Measures forwarded calls.
#[derive(Debug, Args, Serialize)]
pub(crate) struct Forward {
    /// Callers, each with one session.
    #[arg(long, default_value_t = 64)]
    callers: usize,
    /// Bytes of each event.
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

/// Where calls are made, and by how many at a time.
const CASES: [(&str, bool, &str); 4] = [
    ("here", false, "at the primary"),
    ("forwarded", false, "one hop away"),
    ("one_here", true, "at the primary, one caller"),
    ("one_forwarded", true, "one hop away, one caller"),
];

impl Forward {
    pub(crate) fn run(self) -> ExitCode {
        telling::run("forward", self.measure(), |figures| self.tell(&figures))
    }

    /// The median run of each case.
    async fn measure(&self) -> Result<Vec<Figures>, String> {
        if self.callers == 0 || self.runs == 0 || self.seconds == 0 {
            return Err("nothing to measure".to_owned());
        }
        fits(self.bytes)?;
        let ring = Ring::start(&["a", "b"], "a").await?;
        let here = Noting::in_each(ring.served_by("a", self.callers)?, self.bytes);
        let there = Noting::in_each(ring.served_by("b", self.callers)?, self.bytes);
        let mut runs = vec![Vec::new(); CASES.len()];
        for run in 1..=self.runs {
            for ((name, alone, _), runs) in CASES.into_iter().zip(&mut runs) {
                let callers: &[Arc<Noting>] = if name.ends_with("here") { &here } else { &there };
                let callers = if alone { &callers[..1] } else { callers };
                runs.push(Figures::of(callers, Duration::from_secs(self.seconds), &ring.pids()).await?);
            }
            progress(format_args!("run {run} of {}", self.runs));
        }
        runs.into_iter().map(|runs| Figures::median(runs).map(|m| m.0).ok_or_else(|| "no run".to_owned())).collect()
    }

    fn tell(&self, figures: &[Figures]) {
        if self.json {
            let cases: serde_json::Map<_, _> =
                CASES.iter().zip(figures).map(|(case, figures)| (case.0.to_owned(), value(figures))).collect();
            let forwarded = figures.get(1).map(value).unwrap_or_default();
            println!("{}", object("forward", self, &[forwarded, json!(cases)]));
            return;
        }
        println!("forward: {}-byte events, {} callers, medians of {} runs", self.bytes, self.callers, self.runs);
        for ((_, _, what), figures) in CASES.iter().zip(figures) {
            println!("  {what:<26} {}", figures.line());
        }
    }
}
