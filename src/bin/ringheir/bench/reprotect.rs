//! From the kill of a node until every session has a backup again, while commands go on.
//!
//! Three processes hold copies; this one holds none and only calls. The first process is given all the sessions and gets
//! SIGKILL: the second serves them from then on, and copies them to the third. Callers go on meanwhile, half of them on
//! sessions that were lost and half on others.

use std::{process::ExitCode, time::Duration};

use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    loss::{Callers, Loss},
    promote::patience,
    ring::Ring,
    sessions::Latest,
    telling::{self, object, progress},
    usage::resident_of,
};
use crate::spread::{Spread, ms};

/// Measures how soon copies are whole again.
#[derive(Debug, Args, Serialize)]
pub(crate) struct Reprotect {
    /// How many sessions the lost process holds.
    #[arg(long, default_value_t = 1_000_000)]
    sessions: usize,
    /// Bytes of each session.
    #[arg(long, default_value_t = 100)]
    bytes: usize,
    /// Callers that go on meanwhile.
    #[arg(long, default_value_t = 64)]
    callers: usize,
    /// Milliseconds from an answer to the same caller's next call.
    #[arg(long, default_value_t = 10)]
    pause: u64,
    /// Kills.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// One JSON object on the last line.
    #[arg(long)]
    #[serde(skip)]
    json: bool,
}

struct Measured {
    losses: Vec<Loss>,
    /// Of the process that took over.
    resident: u64,
}

impl Reprotect {
    pub(crate) fn run(self) -> ExitCode {
        telling::run("reprotect", self.measure(), |measured| self.tell(measured))
    }

    async fn measure(&self) -> Result<Measured, String> {
        if self.runs == 0 || self.sessions == 0 || self.callers == 0 {
            return Err("nothing to measure".to_owned());
        }
        let mut ring = Ring::start(&["a", "b", "c"], "door").await?;
        progress(format_args!("{} sessions: loading", self.sessions));
        ring.load::<Latest>("a", self.sessions, self.bytes).await?;
        let mut losses = Vec::new();
        for run in 1..=self.runs {
            if run > 1 {
                ring.bring_back("a", patience(self.sessions)).await?;
            }
            let half = self.callers.div_ceil(2);
            let callers = Callers {
                lost: ring.served_by("a", half.min(self.sessions))?,
                others: ring.served_by("b", self.callers - half)?,
                pause: Duration::from_millis(self.pause),
                bytes: self.bytes,
            };
            let loss = Loss::of(&mut ring, "a", callers, Some(patience(self.sessions))).await?;
            let calls = loss.waits.len();
            let protected = ms(loss.protected.unwrap_or_default());
            progress(format_args!("run {run} of {}: {protected} ms, {calls} commands meanwhile", self.runs));
            losses.push(loss);
        }
        Ok(Measured { losses, resident: resident_of(ring.pid("b")?).unwrap_or(0) })
    }

    fn tell(&self, Measured { mut losses, resident }: Measured) {
        losses.sort_by_key(|loss| loss.protected);
        let Some(median) = losses.get(losses.len() / 2) else { return };
        let protected = median.protected.unwrap_or_default();
        let seconds = protected.as_secs_f64();
        let megabytes = (self.sessions * self.bytes) as f64 / 1e6 / seconds;
        let runs: Vec<f64> = losses.iter().filter_map(|loss| loss.protected).map(ms).collect();
        let told: Value = json!({
            "protected_again_ms": ms(protected),
            "served_again_ms": Spread::json(Spread::of(median.served.iter().copied()), true),
            "sessions_per_s": self.sessions as f64 / seconds,
            "mb_per_s": megabytes,
            "acknowledged_meanwhile": median.waits.len(),
            "failed_meanwhile": median.failed,
            "ops_per_s": median.waits.len() as f64 / seconds,
            "p50_us": median.waits.value_at_quantile(0.5),
            "p99_us": median.waits.value_at_quantile(0.99),
            "p999_us": median.waits.value_at_quantile(0.999),
            "rss_bytes": resident,
            "runs": runs,
        });
        if self.json {
            println!("{}", object("reprotect", self, &[told]));
            return;
        }
        println!("reprotect: a process with {} sessions of {} bytes is killed", self.sessions, self.bytes);
        println!("  every backup again   {:>8.1} ms   median of {} runs: {runs:?}", ms(protected), runs.len());
        println!(
            "  copied               {megabytes:>8.1} MB/s of state, {:.0} sessions/s",
            told["sessions_per_s"].as_f64().unwrap_or(0.0)
        );
        println!("  commands meanwhile   {:>8}      {} failed and were made again", median.waits.len(), median.failed);
        println!(
            "  their wait           p50 {} us, p99 {} us, p99.9 {} us",
            told["p50_us"], told["p99_us"], told["p999_us"]
        );
        println!("  memory               {:>8} MiB resident in the process that took over", resident >> 20);
    }
}
