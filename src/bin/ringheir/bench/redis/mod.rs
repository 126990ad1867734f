//! Sets over the Redis protocol, here and with Redis: one node and its backup beside one Redis and its replica.
//!
//! The callers are one program and the same for all: connections that each write a group of `SET`s, read its replies, and write the
//! next. With Redis, once as they are (`plain`: acknowledged when the primary alone has them) and once with `WAIT 1` behind each
//! group, which is what ringheir's `OK` says by itself. All run on this machine, callers included, so a rate is that of all of
//! them on its cores. Where one connection waits for one set, two processes that do nothing but pass it on stand beside them.

pub(super) mod bare;
mod load;
mod servers;

use std::{process::ExitCode, time::Duration};

use clap::Args;
use serde::Serialize;

use self::{
    bare::BarePair,
    load::{Load, Point},
    servers::{Pair, RedisPair, RingPair},
};
use super::telling::{self, object, progress, value};

/// Measures sets over the Redis protocol.
#[derive(Debug, Args, Serialize)]
pub(crate) struct Redis {
    /// Connections, one measurement each.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64, 256])]
    connections: Vec<usize>,
    /// Sets in one group.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16])]
    pipeline: Vec<usize>,
    /// Bytes of a value.
    #[arg(long, value_delimiter = ',', default_values_t = [100, 1024])]
    bytes: Vec<usize>,
    /// Different keys, drawn at random.
    #[arg(long, default_value_t = 100_000)]
    keys: u32,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Where Redis 7 is; without it ringheir alone is measured.
    #[arg(long, value_name = "PROGRAM")]
    redis_server: Option<std::path::PathBuf>,
    /// One JSON object on the last line.
    #[arg(long)]
    #[serde(skip)]
    json: bool,
}

/// What one server came to at one point.
#[derive(Debug, Serialize)]
struct Row {
    server: &'static str,
    #[serde(flatten)]
    point: Point,
    per_s: f64,
    p50_us: u64,
    p99_us: u64,
    /// Processor time of both servers, for each set, and in all.
    server_cpu_us: f64,
    server_cpu_s: f64,
    refused: u64,
}

impl Redis {
    pub(crate) fn run(self) -> ExitCode {
        telling::run("redis", self.measure(), |rows| self.tell(&rows))
    }

    async fn measure(&self) -> Result<Vec<Row>, String> {
        let points: Vec<Point> = (self.bytes.iter())
            .flat_map(|bytes| self.pipeline.iter().map(move |pipeline| (*bytes, *pipeline)))
            .flat_map(|(bytes, pipeline)| {
                self.connections.iter().map(move |connections| Point { connections: *connections, pipeline, bytes })
            })
            .collect();
        if points.iter().any(|point| point.connections == 0 || point.pipeline == 0)
            || self.seconds == 0
            || self.keys == 0
        {
            return Err("nothing to measure".to_owned());
        }
        let mut rows = Vec::new();
        // One pair at a time, so that nobody else is on the cores.
        {
            let ring = RingPair::start().await?;
            self.of("ringheir", &ring, &points, false, &mut rows).await?;
        }
        if let Some(program) = &self.redis_server {
            let redis = RedisPair::start(program).await?;
            self.of("redis + wait", &redis, &points, true, &mut rows).await?;
            self.of("redis plain", &redis, &points, false, &mut rows).await?;
        }
        let alone: Vec<Point> =
            points.into_iter().filter(|point| (point.connections, point.pipeline) == (1, 1)).collect();
        if !alone.is_empty() {
            self.of("bare", &BarePair::start().await?, &alone, false, &mut rows).await?;
        }
        Ok(rows)
    }

    async fn of(
        &self,
        server: &'static str,
        pair: &impl Pair,
        points: &[Point],
        waits: bool,
        rows: &mut Vec<Row>,
    ) -> Result<(), String> {
        for point in points {
            let load = Load { point: *point, keys: self.keys, waits };
            // What is new is warm afterwards.
            load.run(&pair.addresses(), Duration::from_millis(500)).await?;
            let before = pair.cpu();
            let within = Duration::from_secs(self.seconds);
            let told = load.run(&pair.addresses(), within).await?;
            let cpu = pair.cpu().saturating_sub(before);
            let row = Row {
                server,
                point: *point,
                per_s: told.sets as f64 / told.took.as_secs_f64(),
                p50_us: told.waits.value_at_quantile(0.5),
                p99_us: told.waits.value_at_quantile(0.99),
                server_cpu_us: cpu.as_micros() as f64 / told.sets.max(1) as f64,
                server_cpu_s: cpu.as_secs_f64(),
                refused: told.refused,
            };
            progress(format_args!(
                "{server:<13} {:>4} connections x {:>2}, {:>5} B: {:>8.0} sets/s",
                point.connections, point.pipeline, point.bytes, row.per_s
            ));
            rows.push(row);
        }
        Ok(())
    }

    fn tell(&self, rows: &[Row]) {
        println!(
            "redis: SET over the Redis protocol, two servers each, {} keys; a wait is that of one group",
            self.keys
        );
        println!("  bytes connections group  server          sets/s   p50 us   p99 us  server us a set  server cpu s");
        let mut sorted: Vec<&Row> = rows.iter().collect();
        sorted.sort_by_key(|row| (row.point.bytes, row.point.pipeline, row.point.connections));
        for Row { server, point, per_s, p50_us, p99_us, server_cpu_us, server_cpu_s, refused } in sorted {
            let Point { connections, pipeline, bytes } = point;
            let refused = if *refused > 0 { format!("  {refused} refused") } else { String::new() };
            println!(
                "  {bytes:>5} {connections:>11} {pipeline:>5}  {server:<13} {per_s:>8.0} {p50_us:>8} {p99_us:>8} \
                 {server_cpu_us:>16.1} {server_cpu_s:>13.2}{refused}"
            );
        }
        if self.json {
            println!(
                "{}",
                object("redis", self, &[serde_json::json!({ "rows": rows.iter().map(value).collect::<Vec<_>>() })])
            );
        }
    }
}
