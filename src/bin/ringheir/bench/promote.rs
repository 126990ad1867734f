//! From the kill of a primary to its sessions being served again, by the number of sessions that it held.
//!
//! Three processes hold copies, or two; this one holds none and only calls. The first process is given all the sessions and gets
//! SIGKILL; a sample of its sessions has a caller each, all of whom call at that moment. What is told is the time from the
//! signal to each of them being answered by another process. Before each further run the killed one is started again and gets
//! its sessions back.

use std::{process::ExitCode, time::Duration};

use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    loss::{Callers, Loss},
    ring::Ring,
    sessions::Latest,
    telling::{self, object, progress},
};
use crate::spread::{Spread, ms};

/// For each ten thousand sessions, the copies may take so long; and half a minute besides.
const PATIENCE_PER_10_000: Duration = Duration::from_secs(2);

/// Measures promotions.
#[derive(Debug, Args, Serialize)]
pub(crate) struct Promote {
    /// How many sessions the lost process holds; several, for a table.
    #[arg(long, value_delimiter = ',', default_values_t = [10, 10_000, 1_000_000])]
    sessions: Vec<usize>,
    /// Bytes of each session.
    #[arg(long, default_value_t = 100)]
    bytes: usize,
    /// At most so many of them have a caller.
    #[arg(long, default_value_t = 128)]
    sample: usize,
    /// Kills for each number of sessions.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Two processes instead of three: after the kill nobody is left to copy to.
    #[arg(long)]
    two: bool,
    /// One JSON object on the last line.
    #[arg(long)]
    #[serde(skip)]
    json: bool,
}

/// What one number of sessions came to.
struct Row {
    sessions: usize,
    losses: Vec<Loss>,
}

/// How long copies of so many sessions may take.
pub(super) fn patience(sessions: usize) -> Duration {
    let tens = u32::try_from(sessions / 10_000).unwrap_or(u32::MAX);
    Duration::from_secs(30).saturating_add(PATIENCE_PER_10_000.saturating_mul(tens))
}

impl Promote {
    pub(crate) fn run(self) -> ExitCode {
        telling::run("promote", self.measure(), |rows| self.tell(&rows))
    }

    async fn measure(&self) -> Result<Vec<Row>, String> {
        if self.runs == 0 || self.sessions.contains(&0) || self.sample == 0 {
            return Err("nothing to measure".to_owned());
        }
        let mut rows = Vec::new();
        for sessions in self.sessions.iter().copied() {
            rows.push(Row { sessions, losses: self.row(sessions).await? });
        }
        Ok(rows)
    }

    async fn row(&self, sessions: usize) -> Result<Vec<Loss>, String> {
        let hosts: &[&str] = if self.two { &["a", "b"] } else { &["a", "b", "c"] };
        let mut ring = Ring::start(hosts, "door").await?;
        progress(format_args!("{sessions} sessions: loading"));
        ring.load::<Latest>("a", sessions, self.bytes).await?;
        let mut losses = Vec::new();
        for run in 1..=self.runs {
            if run > 1 {
                ring.bring_back("a", patience(sessions)).await?;
            }
            let lost = ring.served_by("a", sessions.min(self.sample))?;
            let callers = Callers { lost, others: Vec::new(), pause: Duration::from_millis(20), bytes: self.bytes };
            let loss = Loss::of(&mut ring, "a", callers, (!self.two).then(|| patience(sessions))).await?;
            let last = loss.served.iter().max().copied().unwrap_or_default();
            progress(format_args!("{sessions} sessions, run {run} of {}: {} ms", self.runs, ms(last)));
            losses.push(loss);
        }
        Ok(losses)
    }

    fn tell(&self, rows: &[Row]) {
        let rows: Vec<Value> = rows.iter().map(Row::json).collect();
        if !self.json {
            println!("promote: a process with so many sessions of {} bytes is killed, {} times", self.bytes, self.runs);
            println!("   sessions   served again, ms        noticed   new view    is gone   resident");
            for row in &rows {
                println!(
                    "  {:>9}   p50 {:>6}  max {:>6}   {:>6} ms  {:>6} ms  {:>6} ms   {:>4} MiB",
                    row["sessions"],
                    row["promoted_ms"]["p50"],
                    row["promoted_ms"]["max"],
                    row["noticed_ms"],
                    row["decided_ms"],
                    row["gone_ms"],
                    row["rss_bytes"].as_u64().unwrap_or(0) >> 20
                );
            }
            return;
        }
        let last = rows.last().cloned().unwrap_or_default();
        let last = json!({ "promoted_ms": last["promoted_ms"], "rss_bytes": last["rss_bytes"] });
        println!("{}", object("promote", self, &[json!({ "table": rows }), last]));
    }
}

impl Row {
    fn json(&self) -> Value {
        let median = |of: fn(&Loss) -> Option<Duration>| {
            Spread::of(self.losses.iter().filter_map(of)).map(|spread| ms(spread.p50))
        };
        let after_view = |loss: &Loss| -> Vec<Duration> {
            loss.served.iter().map(|served| served.saturating_sub(loss.decided)).collect()
        };
        let of_run = |loss: &Loss| Spread::json(Spread::of(loss.served.iter().copied()), true);
        json!({
            "sessions": self.sessions,
            "promoted_ms": Spread::json(Spread::of(self.losses.iter().flat_map(|loss| loss.served.clone())), true),
            "after_view_ms": Spread::json(Spread::of(self.losses.iter().flat_map(after_view)), true),
            "noticed_ms": median(|loss| loss.noticed),
            "decided_ms": median(|loss| Some(loss.decided)),
            "gone_ms": median(|loss| Some(loss.gone)),
            "protected_again_ms": median(|loss| loss.protected),
            "rss_bytes": self.losses.iter().map(|loss| loss.resident).max(),
            "failed": self.losses.iter().map(|loss| loss.failed).sum::<u64>(),
            "runs": self.losses.iter().map(of_run).collect::<Vec<_>>(),
        })
    }
}
