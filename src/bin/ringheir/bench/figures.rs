//! `Figures`: what one run of many callers showed, and the run itself: each caller calls again as soon as it is answered.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde::Serialize;

use super::{
    tally::Tally,
    usage::{cpu_of, resident_of},
};
use crate::clock::Clock;

/// One run's figures.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Figures {
    pub(super) ops_per_s: f64,
    pub(super) p50_us: u64,
    pub(super) p99_us: u64,
    pub(super) p999_us: u64,
    pub(super) cpu_us_per_op: f64,
    pub(super) rss_bytes: u64,
}

/// One that calls, and waits for the answer. A call has a deadline of its own.
pub(super) trait Caller: Send + Sync + 'static {
    /// Calls once.
    fn call(&self) -> impl Future<Output = Result<(), String>> + Send;
}

impl Figures {
    /// Lets every caller call for so long. Processor time is that of this process and of `others`.
    pub(super) async fn of<C: Caller>(callers: &[Arc<C>], lasting: Duration, others: &[u32]) -> Result<Self, String> {
        let stop = Arc::new(AtomicBool::new(false));
        let waits = Arc::new(Tally::new()?);
        let cpu = || others.iter().chain([&std::process::id()]).map(|pid| cpu_of(*pid)).sum::<Option<Duration>>();
        let clock = Clock::start();
        let (before, began) = (cpu(), clock.now());
        let mut calling = tokio::task::JoinSet::new();
        for (number, caller) in callers.iter().enumerate() {
            let (caller, stop, waits) = (Arc::clone(caller), Arc::clone(&stop), Arc::clone(&waits));
            calling.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let asked = clock.now();
                    caller.call().await?;
                    waits.count(number, clock.now().since(asked));
                }
                Ok::<_, String>(())
            });
        }
        tokio::time::sleep(lasting).await;
        stop.store(true, Ordering::Relaxed);
        while let Some(ended) = calling.join_next().await {
            ended.map_err(|why| why.to_string())??;
        }
        let all = waits.sum()?;
        let took = clock.now().since(began).as_secs_f64();
        let used = before.zip(cpu()).map_or(0.0, |(before, after)| (after - before).as_secs_f64());
        let calls = all.len() as f64;
        Ok(Self {
            ops_per_s: calls / took,
            p50_us: all.value_at_quantile(0.5),
            p99_us: all.value_at_quantile(0.99),
            p999_us: all.value_at_quantile(0.999),
            cpu_us_per_op: used * 1e6 / calls.max(1.0),
            rss_bytes: resident_of(std::process::id()).unwrap_or(0),
        })
    }

    /// The run with the median rate, and the rates of all.
    pub(super) fn median(mut runs: Vec<Self>) -> Option<(Self, Vec<f64>)> {
        runs.sort_by(|a, b| a.ops_per_s.total_cmp(&b.ops_per_s));
        let rates = runs.iter().map(|r| r.ops_per_s).collect();
        Some((runs.get(runs.len() / 2)?.clone(), rates))
    }

    /// For people, after what they are figures of.
    pub(super) fn line(&self) -> String {
        format!(
            "{:>9.0} /s   p50 {} us, p99 {} us, p99.9 {} us   {:.2} us of processor each",
            self.ops_per_s, self.p50_us, self.p99_us, self.p999_us, self.cpu_us_per_op
        )
    }
}
