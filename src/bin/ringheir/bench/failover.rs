//! How long callers wait when a process is killed under load: SIGKILL, start it again, the next one, again and again.
//!
//! Three processes hold copies; this one holds none and only calls. A session's unavailable time is the longest wait of a call
//! that ended after the signal, from its first attempt to its acknowledgement, for sessions of the killed process.

use std::{process::ExitCode, time::Duration};

use clap::Args;
use serde::Serialize;
use serde_json::json;

use super::{
    loss::{Callers, Loss},
    promote::patience,
    ring::Ring,
    telling::{self, object, progress},
};
use crate::spread::{Spread, ms};

const HOSTS: [&str; 3] = ["a", "b", "c"];

/// Measures failovers.
#[derive(Debug, Args, Serialize)]
pub(crate) struct Failover {
    /// Kills, of one process after the other.
    #[arg(long, default_value_t = 10)]
    kills: usize,
    /// Sessions of each process, each with one caller.
    #[arg(long, default_value_t = 32)]
    sessions: usize,
    /// Bytes of each event.
    #[arg(long, default_value_t = 100)]
    bytes: usize,
    /// Milliseconds from an answer to the same caller's next call.
    #[arg(long, default_value_t = 5)]
    pause: u64,
    /// One JSON object on the last line.
    #[arg(long)]
    #[serde(skip)]
    json: bool,
}

impl Failover {
    pub(crate) fn run(self) -> ExitCode {
        telling::run("failover", self.measure(), |losses| self.tell(&losses))
    }

    async fn measure(&self) -> Result<Vec<Loss>, String> {
        if self.kills == 0 || self.sessions == 0 {
            return Err("nothing to measure".to_owned());
        }
        let mut ring = Ring::start(&HOSTS, "door").await?;
        let mut losses = Vec::new();
        for (kill, name) in (1..=self.kills).zip(HOSTS.into_iter().cycle()) {
            let mut others = Vec::new();
            for other in HOSTS.into_iter().filter(|other| *other != name) {
                others.extend(ring.served_by(other, self.sessions)?);
            }
            let callers = Callers {
                lost: ring.served_by(name, self.sessions)?,
                others,
                pause: Duration::from_millis(self.pause),
                bytes: self.bytes,
            };
            let loss = Loss::of(&mut ring, name, callers, Some(patience(0))).await?;
            let longest = loss.longest.iter().max().copied().unwrap_or_default();
            progress(format_args!("kill {kill} of {}: {name}, at most {} ms", self.kills, ms(longest)));
            losses.push(loss);
            ring.bring_back(name, patience(0)).await?;
        }
        Ok(losses)
    }

    fn tell(&self, losses: &[Loss]) {
        let unavailable = Spread::of(losses.iter().flat_map(|loss| loss.longest.iter().copied()));
        let promoted = Spread::of(losses.iter().flat_map(|loss| loss.served.iter().copied()));
        let protected = Spread::of(losses.iter().filter_map(|loss| loss.protected));
        let others = losses.iter().map(|loss| loss.longest_of_others).max().unwrap_or_default();
        let failed: u64 = losses.iter().map(|loss| loss.failed).sum();
        if self.json {
            let runs: Vec<_> =
                losses.iter().map(|loss| Spread::json(Spread::of(loss.longest.iter().copied()), true)).collect();
            let told = json!({
                "unavailable_ms": Spread::json(unavailable, true),
                "promoted_ms": Spread::json(promoted, true),
                "protected_again_ms": Spread::json(protected, true),
                "longest_of_others_ms": ms(others),
                "failed": failed,
                "runs": runs,
            });
            println!("{}", object("failover", self, &[told]));
            return;
        }
        println!("failover: {} kills, {} callers on the sessions of each process", self.kills, self.sessions);
        let line = |what: &str, spread: Option<Spread>| {
            let Some(s) = spread else { return };
            println!("  {what}  p50 {:>6.1} ms, p99 {:>6.1} ms, max {:>6.1} ms", ms(s.p50), ms(s.p99), ms(s.max));
        };
        line("unavailable       ", unavailable);
        line("served elsewhere  ", promoted);
        line("every backup again", protected);
        println!("  other sessions      max {:>6.1} ms", ms(others));
        println!("  failed              {failed} calls were told an error and made again");
    }
}
