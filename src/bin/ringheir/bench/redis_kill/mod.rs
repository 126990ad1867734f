//! The kill of a primary under writes over the Redis protocol: a ring of three nodes beside a Redis with two replicas and three
//! sentinels.
//!
//! A kill on one machine hides a loss: what the dead process had written to its sockets, the kernel still delivers. So all that
//! servers say to each other passes something of ours that loses it in the instant of the SIGKILL (`ring`, `relay`). The clients
//! are the same for all and are connected directly: they write to keys of their own, note what each write was told, and
//! after a broken connection go on elsewhere (`client`); what is in the keys at the end is held against that (`ledger`). Each
//! kill has servers of its own.

mod client;
mod ledger;
mod relay;
mod ring;
mod sentinels;
mod talk;
mod trial;

use std::{collections::BTreeMap, path::PathBuf, process::ExitCode, time::Duration};

use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};

use self::{
    client::Manner,
    ring::Ring,
    sentinels::Sentinels,
    trial::{Cut, Kill, Link, Plan, Told},
};
use super::telling::{self, object, progress, value};
use crate::{
    DOES_NOT_HOLD,
    spread::{Spread, ms},
};

/// Measures what clients see of the kill of a primary, and what is lost. Status 1: the ring lost something, or applied it twice.
#[derive(Debug, Args, Serialize)]
pub(crate) struct RedisKill {
    /// Kills, each of servers that were started for it.
    #[arg(long, default_value_t = 3)]
    kills: usize,
    /// Connections, each with keys of its own: every other write is a SET, the others are INCRs.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Writes that a connection sends at once.
    #[arg(long, default_value_t = 1)]
    pipeline: usize,
    /// Seconds of load before the signal.
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// Where Redis 7 is; without it ringheir alone is measured.
    #[arg(long, value_name = "PROGRAM")]
    redis_server: Option<PathBuf>,
    /// How long sentinels hear nothing until they take a server for dead, one measurement each; 30000 is Redis' default.
    #[arg(long, value_name = "MS", value_delimiter = ',', default_values_t = [1_000])]
    down_after_ms: Vec<u64>,
    /// Milliseconds that all which servers say to each other is on its way: that much of it is lost with the link.
    #[arg(long, value_name = "MS", default_value_t = 1)]
    delay_ms: u64,
    /// The other servers are not told that the link is gone, and find no proof that the process is dead, as when a machine
    /// loses its power. Clients still see their connections close.
    #[arg(long)]
    silent: bool,
    /// One JSON object on the last line.
    #[arg(long)]
    #[serde(skip)]
    json: bool,
}

/// Servers and how they are written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Server {
    Ring,
    /// Redis, with or without `WAIT 1`.
    Redis {
        down_after: Duration,
        waits: bool,
    },
}

impl Server {
    fn name(self) -> &'static str {
        match self {
            Self::Ring => "ringheir",
            Self::Redis { waits: false, .. } => "redis plain",
            Self::Redis { waits: true, .. } => "redis + wait",
        }
    }

    /// In milliseconds.
    fn down_after(self) -> Option<u128> {
        match self {
            Self::Ring => None,
            Self::Redis { down_after, .. } => Some(down_after.as_millis()),
        }
    }
}

/// What the kills of one kind of servers came to.
struct Row {
    server: Server,
    kills: Vec<Kill>,
}

impl RedisKill {
    pub(crate) fn run(self) -> ExitCode {
        let mut holds = true;
        let status = telling::run("redis-kill", self.measure(), |rows| {
            holds = rows.iter().filter(|row| row.server == Server::Ring).all(Row::is_right);
            self.tell(&rows);
        });
        if holds { status } else { ExitCode::from(DOES_NOT_HOLD) }
    }

    async fn measure(&self) -> Result<Vec<Row>, String> {
        if [self.kills, self.connections, self.pipeline].contains(&0) || self.seconds == 0 {
            return Err("nothing to measure".to_owned());
        }
        let mut servers = vec![Server::Ring];
        if self.redis_server.is_some() {
            for down_after in self.down_after_ms.iter().copied().map(Duration::from_millis) {
                servers.extend([false, true].map(|waits| Server::Redis { down_after, waits }));
            }
        }
        let mut rows = Vec::new();
        for server in servers {
            let mut row = Row { server, kills: Vec::new() };
            for number in 0..self.kills {
                let kill = self.kill(server, number).await?;
                progress(format_args!(
                    "{:<13} kill {} of {}: at most {} ms, {} lost, {} applied twice",
                    server.name(),
                    number + 1,
                    self.kills,
                    kill.of_hit().max().map_or(0.0, ms),
                    kill.told.lost,
                    kill.told.applied_twice
                ));
                row.kills.push(kill);
            }
            rows.push(row);
        }
        Ok(rows)
    }

    async fn kill(&self, server: Server, number: usize) -> Result<Kill, String> {
        let cut = if self.silent { Cut::Silent } else { Cut::Reset };
        let link = Link { delay: Duration::from_millis(self.delay_ms), cut };
        let waits = matches!(server, Server::Redis { waits: true, .. });
        let plan = Plan {
            connections: self.connections,
            manner: Manner { pipeline: self.pipeline, waits },
            before: Duration::from_secs(self.seconds),
        };
        match (server, &self.redis_server) {
            (Server::Redis { down_after, .. }, Some(program)) => {
                let mut sentinels = Sentinels::start(program, down_after, link).await?;
                let kill = Kill::of(&mut sentinels, plan).await?;
                sentinels.stop().await;
                Ok(kill)
            }
            _ => {
                let mut ring = Ring::start(number, link).await?;
                let kill = Kill::of(&mut ring, plan).await?;
                ring.stop().await;
                Ok(kill)
            }
        }
    }

    fn tell(&self, rows: &[Row]) {
        let link = if self.silent { "falls silent" } else { "is reset" };
        println!(
            "redis-kill: {} connections x {}, {} kills; {} ms between servers, the link of the killed {link}; p50 and max \
             of ms, medians of kills; sums of writes",
            self.connections, self.pipeline, self.kills, self.delay_ms
        );
        println!(
            "  server        down-after  pause p50     max    its clients       its keys     its copies  others max  \
               acked  lost  twice  refused  unknown"
        );
        for row in rows {
            println!("{row}");
        }
        if self.json {
            let rows: Vec<Value> = rows.iter().map(Row::json).collect();
            println!("{}", object("redis-kill", self, &[json!({ "rows": rows })]));
        }
    }
}

impl Row {
    fn is_right(&self) -> bool {
        self.kills.iter().all(|kill| kill.told.lost == 0 && kill.told.applied_twice == 0)
    }

    /// The median kill's p50 and maximum of some clients' pauses.
    fn medians<'a, I: IntoIterator<Item = Duration>>(&'a self, of: impl Fn(&'a Kill) -> I) -> Pauses {
        let spreads: Vec<Spread> = self.kills.iter().filter_map(|kill| Spread::of(of(kill))).collect();
        let median = |of: fn(&Spread) -> Duration| Spread::of(spreads.iter().map(of)).map(|spread| ms(spread.p50));
        Pauses { p50: median(|spread| spread.p50), max: median(|spread| spread.max) }
    }

    /// Of all whom the kill concerns; of the killed one's clients, its keys and its copies; of all others.
    fn pauses(&self) -> [Pauses; 5] {
        [
            self.medians(Kill::of_hit),
            self.medians(|kill| kill.of_node.iter().copied()),
            self.medians(|kill| kill.of_keys.iter().copied()),
            self.medians(|kill| kill.of_copies.iter().copied()),
            self.medians(|kill| kill.of_others.iter().copied()),
        ]
    }

    fn told(&self) -> Told {
        Told::sum(self.kills.iter().map(|kill| kill.told))
    }

    fn json(&self) -> Value {
        let [hit, of_node, of_keys, of_copies, of_others] = self.pauses();
        let kills: Vec<Value> = self.kills.iter().map(Kill::json).collect();
        let mut refusals: BTreeMap<&str, u64> = BTreeMap::new();
        for (word, count) in self.kills.iter().flat_map(|kill| &kill.refusals) {
            *refusals.entry(word).or_default() += count;
        }
        let mut row = json!({
            "server": self.server.name(), "down_after_ms": self.server.down_after(), "pause_ms": hit,
            "of_node_ms": of_node, "of_keys_ms": of_keys, "of_copies_ms": of_copies, "of_others_ms": of_others,
            "refusals": refusals, "kills": kills,
        });
        if let (Value::Object(row), Value::Object(told)) = (&mut row, value(&self.told())) {
            row.extend(told);
        }
        row
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [hit, of_node, of_keys, of_copies, of_others] = self.pauses();
        let Told { acknowledged, lost, applied_twice, refused, unknown } = self.told();
        let down_after = self.server.down_after().map_or("-".to_owned(), |ms| ms.to_string());
        write!(
            f,
            "  {:<13} {down_after:>10} {:>10} {:>7} {:>14} {:>14} {:>14} {:>11} {acknowledged:>7} {lost:>5} \
             {applied_twice:>6} {refused:>8} {unknown:>8}",
            self.server.name(),
            told(hit.p50),
            told(hit.max),
            of_node.words(),
            of_keys.words(),
            of_copies.words(),
            told(of_others.max),
        )
    }
}

fn told(ms: Option<f64>) -> String {
    ms.map_or("-".to_owned(), |ms| format!("{ms:.1}"))
}

/// In milliseconds; nothing where no client was concerned.
#[derive(Clone, Copy, Debug, Serialize)]
struct Pauses {
    p50: Option<f64>,
    max: Option<f64>,
}

impl Pauses {
    fn words(self) -> String {
        if self.max.is_none() { "-".to_owned() } else { format!("{}/{}", told(self.p50), told(self.max)) }
    }
}

impl Kill {
    fn json(&self) -> Value {
        let spread = |of: &[Duration]| Spread::json(Spread::of(of.iter().copied()), false);
        let mut kill = json!({
            "writes_per_s": self.per_s.round(), "pause_ms": Spread::json(Spread::of(self.of_hit()), false),
            "of_node_ms": spread(&self.of_node), "of_keys_ms": spread(&self.of_keys),
            "of_copies_ms": spread(&self.of_copies), "of_others_ms": spread(&self.of_others),
        });
        if let (Value::Object(kill), Value::Object(told)) = (&mut kill, value(&self.told)) {
            kill.extend(told);
        }
        kill
    }
}
