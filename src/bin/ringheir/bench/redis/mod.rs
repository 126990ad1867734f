//! Sets over the Redis protocol, here and with Redis: one node and its backup beside one Redis and its replica.
//!
//! The callers are one program and the same for all: connections that each write a group of `SET`s, read its replies, and write the
//! next. With Redis, once as they are (`plain`: acknowledged when the primary alone has them) and once with `WAIT 1` behind each
//! group, which is what ringheir's `OK` says by itself. All run on this machine, callers included, so a rate is that of all of
//! them on its cores. Where one connection waits for one set, two processes that do nothing but pass it on stand beside them.
//!
//! A machine that others use is faster now and slower then. So the servers are measured in turn at each point, in several rounds, and
//! what is told is the median: of each figure, and of what the rates of one turn are in parts of each other.

pub(super) mod bare;
mod group;
mod load;
mod servers;

use std::{collections::BTreeMap, process::ExitCode, time::Duration};

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
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// How often each is measured; the median is told.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
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
    /// Its rate in that of Redis with `WAIT 1` in the same turn.
    of_wait: Option<f64>,
}

/// One that is measured: its name, who it is, and whether a `WAIT 1` stands behind each group.
type Server<'p> = (&'static str, &'p dyn Pair, bool);

const WAITS: &str = "redis + wait";

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
            || self.rounds == 0
        {
            return Err("nothing to measure".to_owned());
        }
        let ring = RingPair::start().await?;
        let redis = match &self.redis_server {
            Some(program) => Some(RedisPair::start(program).await?),
            None => None,
        };
        let bare = BarePair::start().await?;
        let mut rounds = Vec::new();
        for _ in 0..self.rounds {
            for point in &points {
                let mut servers: Vec<Server<'_>> = vec![("ringheir", &ring, false)];
                if let Some(redis) = &redis {
                    servers.extend([(WAITS, redis as &dyn Pair, true), ("redis plain", redis, false)]);
                }
                if (point.connections, point.pipeline) == (1, 1) {
                    servers.push(("bare", &bare, false));
                }
                let mut turn = Vec::new();
                for server in servers {
                    turn.push(self.once(server, *point).await?);
                }
                let waits = turn.iter().find(|row| row.server == WAITS).map(|row| row.per_s);
                turn.iter_mut().for_each(|row| row.of_wait = waits.map(|waits| row.per_s / waits));
                rounds.extend(turn);
            }
        }
        Ok(medians(&rounds))
    }

    async fn once(&self, (server, pair, waits): Server<'_>, point: Point) -> Result<Row, String> {
        let load = Load { point, keys: self.keys, waits };
        // What is new is warm afterwards.
        load.run(&pair.addresses(), Duration::from_millis(500)).await?;
        let before = pair.cpu();
        let told = load.run(&pair.addresses(), Duration::from_secs(self.seconds)).await?;
        let cpu = pair.cpu().saturating_sub(before);
        let row = Row {
            server,
            point,
            per_s: told.sets as f64 / told.took.as_secs_f64(),
            p50_us: told.waits.value_at_quantile(0.5),
            p99_us: told.waits.value_at_quantile(0.99),
            server_cpu_us: cpu.as_micros() as f64 / told.sets.max(1) as f64,
            server_cpu_s: cpu.as_secs_f64(),
            refused: told.refused,
            of_wait: None,
        };
        progress(format_args!(
            "{server:<13} {:>4} connections x {:>2}, {:>5} B: {:>8.0} sets/s",
            point.connections, point.pipeline, point.bytes, row.per_s
        ));
        Ok(row)
    }

    fn tell(&self, rows: &[Row]) {
        println!(
            "redis: SET over the Redis protocol, two servers each, {} keys; a wait is that of one group",
            self.keys
        );
        println!(
            "  bytes connections group  server          sets/s   p50 us   p99 us  server us a set  server cpu s  of WAIT"
        );
        for Row { server, point, per_s, p50_us, p99_us, server_cpu_us, server_cpu_s, refused, of_wait } in rows {
            let Point { connections, pipeline, bytes } = point;
            let refused = if *refused > 0 { format!("  {refused} refused") } else { String::new() };
            let of_wait = of_wait.map_or_else(String::new, |part| format!("{part:.2}"));
            println!(
                "  {bytes:>5} {connections:>11} {pipeline:>5}  {server:<13} {per_s:>8.0} {p50_us:>8} {p99_us:>8} \
                 {server_cpu_us:>16.1} {server_cpu_s:>13.2} {of_wait:>8}{refused}"
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

/// Of each server at each point one row, of medians, in the order of points.
fn medians(rounds: &[Row]) -> Vec<Row> {
    let mut all: BTreeMap<_, Vec<&Row>> = BTreeMap::new();
    for row in rounds {
        let Point { connections, pipeline, bytes } = row.point;
        // Of one turn the servers stay in their order.
        let order = rounds.iter().position(|first| first.server == row.server);
        all.entry((bytes, pipeline, connections, order)).or_default().push(row);
    }
    let row = |rows: Vec<&Row>| {
        let of = |what: fn(&Row) -> f64| median(rows.iter().map(|row| what(row)).collect());
        Row {
            server: rows[0].server,
            point: rows[0].point,
            per_s: of(|row| row.per_s),
            p50_us: of(|row| row.p50_us as f64) as u64,
            p99_us: of(|row| row.p99_us as f64) as u64,
            server_cpu_us: of(|row| row.server_cpu_us),
            server_cpu_s: of(|row| row.server_cpu_s),
            refused: rows.iter().map(|row| row.refused).sum(),
            of_wait: rows[0].of_wait.map(|_| of(|row| row.of_wait.unwrap_or_default())),
        }
    };
    all.into_values().map(row).collect()
}

/// The one in the middle; of an even number the upper of the two.
fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or_default()
}
