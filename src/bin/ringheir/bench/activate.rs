//! The first command to a session that is held as bytes only, beside the next command to it.
//!
//! A process is given the sessions and gets SIGKILL. This one guarded them as bytes, and is their primary from then on: the
//! first operation on each decodes it. One caller, one call at a time. Half of the sessions get a command, which also waits
//! for the new backup; the other half a question, which waits for nothing.

use std::{process::ExitCode, time::Duration};

use clap::Args;
use hdrhistogram::Histogram;
use ringheir::SessionRef;
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    promote::patience,
    ring::{Ring, within},
    sessions::{Basket, Count, Order},
    tally::Tally,
    telling::{self, object, progress},
    usage::resident_of,
};
use crate::clock::Clock;

/// The new primary serves within this, or not at all.
const SERVES_WITHIN: Duration = Duration::from_secs(30);

/// Measures first commands.
#[derive(Debug, Args, Serialize)]
pub(crate) struct Activate {
    /// Bytes of a session; several, for a table.
    #[arg(long, value_delimiter = ',', default_values_t = [1_024, 65_536])]
    bytes: Vec<usize>,
    /// Sessions of each size.
    #[arg(long, default_value_t = 2_000)]
    sessions: usize,
    /// Runs, each with new processes.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// One JSON object on the last line.
    #[arg(long)]
    #[serde(skip)]
    json: bool,
}

/// Waits in microseconds.
struct Waits {
    first_command: Histogram<u64>,
    next_command: Histogram<u64>,
    first_question: Histogram<u64>,
    next_question: Histogram<u64>,
}

impl Activate {
    pub(crate) fn run(self) -> ExitCode {
        telling::run("activate", self.measure(), |rows| self.tell(&rows))
    }

    async fn measure(&self) -> Result<Vec<(usize, Vec<Waits>)>, String> {
        if self.sessions < 2 || self.runs == 0 {
            return Err("nothing to measure".to_owned());
        }
        let mut rows = Vec::new();
        for bytes in self.bytes.iter().copied() {
            let mut runs = Vec::new();
            for run in 1..=self.runs {
                let waits = self.one_run(bytes).await?;
                let p50 = waits.first_command.value_at_quantile(0.5);
                progress(format_args!("{bytes} bytes, run {run} of {}: {p50} us", self.runs));
                runs.push(waits);
            }
            rows.push((bytes, runs));
        }
        Ok(rows)
    }

    async fn one_run(&self, bytes: usize) -> Result<Waits, String> {
        let mut ring = Ring::start(&["a", "b", "c"], "b").await?;
        ring.load::<Basket>("a", self.sessions, bytes).await?;
        let sessions = ring.served_by::<Basket>("a", self.sessions)?;
        let lost = ring.id_of("a")?;
        ring.kill("a")?.await;
        let mut views = ring.node()?.views();
        let without = views.wait_for(|view| view.as_ref().is_some_and(|view| !view.is_member(lost)));
        within(SERVES_WITHIN, "a view without the lost node", without).await?.map_err(|why| why.to_string())?;
        // Copying to the new backup is not what is measured.
        ring.protected(patience(self.sessions * bytes / 100)).await?;
        let (commands, questions) = sessions.split_at(self.sessions / 2);
        let tallies = [Tally::new()?, Tally::new()?, Tally::new()?, Tally::new()?];
        let clock = Clock::start();
        for session in commands {
            for tally in &tallies[..2] {
                let asked = clock.now();
                session.call(Order).await.map_err(|why| why.to_string())?;
                tally.count(0, clock.now().since(asked));
            }
        }
        for session in questions {
            for tally in &tallies[2..] {
                let asked = clock.now();
                ask(session).await?;
                tally.count(0, clock.now().since(asked));
            }
        }
        let [first_command, next_command, first_question, next_question] = tallies.each_ref().map(Tally::sum);
        Ok(Waits {
            first_command: first_command?,
            next_command: next_command?,
            first_question: first_question?,
            next_question: next_question?,
        })
    }

    fn tell(&self, rows: &[(usize, Vec<Waits>)]) {
        let rows: Vec<Value> = rows.iter().map(|(bytes, runs)| row(*bytes, runs)).collect();
        if self.json {
            let worst = rows.last().map(|row| row["first_command"].clone()).unwrap_or_default();
            let resident = json!({ "rss_bytes": resident_of(std::process::id()), "table": rows });
            println!("{}", object("activate", self, &[worst, resident]));
            return;
        }
        println!("activate: one caller, {} sessions of each size, medians of {} runs", self.sessions, self.runs);
        for row in rows {
            println!("  {} bytes", row["bytes"]);
            for what in ["first_command", "next_command", "first_question", "next_question"] {
                let (waits, what) = (&row[what], what.replace('_', " "));
                println!("    {what:<15} p50 {:>5} us, p99 {:>5} us", waits["p50_us"], waits["p99_us"]);
            }
        }
    }
}

async fn ask(session: &SessionRef<Basket>) -> Result<(), String> {
    session.ask(Count).await.map_err(|why| why.to_string())?;
    Ok(())
}

fn row(bytes: usize, runs: &[Waits]) -> Value {
    let median = |of: fn(&Waits) -> &Histogram<u64>| {
        let mut of_runs: Vec<_> = runs.iter().map(of).collect();
        of_runs.sort_by_key(|waits| waits.value_at_quantile(0.5));
        of_runs.get(of_runs.len() / 2).map(|waits| {
            let at = |quantile| waits.value_at_quantile(quantile);
            json!({ "p50_us": at(0.5), "p99_us": at(0.99), "p999_us": at(0.999) })
        })
    };
    json!({
        "bytes": bytes,
        "first_command": median(|waits| &waits.first_command),
        "next_command": median(|waits| &waits.next_command),
        "first_question": median(|waits| &waits.first_question),
        "next_question": median(|waits| &waits.next_question),
    })
}
