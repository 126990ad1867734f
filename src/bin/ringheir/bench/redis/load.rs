//! Connections that set keys for some time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};

use super::group::Group;
use crate::{bench::tally::Tally, clock::Clock};

/// No group takes so long.
const SURELY: Duration = Duration::from_secs(20);

/// What is measured at once.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Point {
    pub(super) connections: usize,
    pub(super) pipeline: usize,
    pub(super) bytes: usize,
}

/// A load.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) point: Point,
    /// Different keys.
    pub(super) keys: u32,
    /// Whether each group ends with `WAIT 1`.
    pub(super) waits: bool,
}

/// What it came to.
pub(super) struct Told {
    pub(super) sets: u64,
    pub(super) refused: u64,
    pub(super) took: Duration,
    /// From the writing of a group until all its replies are there, in microseconds.
    pub(super) waits: Histogram<u64>,
}

impl Load {
    /// Sets keys for so long, connections in turn to each address.
    pub(super) async fn run(self, addresses: &[String], within: Duration) -> Result<Told, String> {
        let tally = Arc::new(Tally::new()?);
        let (sets, refused) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let mut streams = Vec::new();
        for n in 0..self.point.connections {
            let address = &addresses[n % addresses.len()];
            let stream = TcpStream::connect(address).await.map_err(|why| format!("{address}: {why}"))?;
            stream.set_nodelay(true).map_err(|why| why.to_string())?;
            streams.push(stream);
        }
        let clock = Clock::start();
        let began = clock.now();
        let until = began + within;
        let mut connections = JoinSet::new();
        for (n, stream) in streams.into_iter().enumerate() {
            let (tally, sets, refused) = (Arc::clone(&tally), Arc::clone(&sets), Arc::clone(&refused));
            connections.spawn(async move {
                let mut connection = Connection {
                    load: self,
                    stream,
                    group: Group::new(self),
                    random: 0x9e37_79b9 ^ n as u64,
                    written: (n as u64) << 40,
                    read: Vec::new(),
                };
                while clock.now() < until {
                    let asked = clock.now();
                    let bad = timeout(SURELY, connection.group()).await.map_err(|_| "no reply".to_owned())??;
                    tally.count(n, clock.now().since(asked));
                    sets.fetch_add(self.point.pipeline as u64 - bad, Ordering::Relaxed);
                    refused.fetch_add(bad, Ordering::Relaxed);
                }
                Ok::<(), String>(())
            });
        }
        while let Some(ended) = connections.join_next().await {
            ended.map_err(|why| why.to_string())??;
        }
        let took = clock.now().since(began);
        let (sets, refused) = (sets.load(Ordering::Relaxed), refused.load(Ordering::Relaxed));
        Ok(Told { sets, refused, took, waits: tally.sum()? })
    }
}

struct Connection {
    load: Load,
    stream: TcpStream,
    group: Group,
    random: u64,
    /// Values it has written.
    written: u64,
    read: Vec<u8>,
}

impl Connection {
    /// Writes a group and reads its replies; how many sets of it were refused.
    async fn group(&mut self) -> Result<u64, String> {
        let Point { pipeline, .. } = self.load.point;
        for at in 0..pipeline {
            // xorshift: keys need not be well drawn, only many.
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            // No value is like the one before it: who keeps it has to.
            self.written += 1;
            self.group.set(at, self.random % u64::from(self.load.keys), self.written);
        }
        self.stream.write_all(self.group.bytes()).await.map_err(|why| why.to_string())?;
        let wanted = pipeline + usize::from(self.load.waits);
        let (mut replies, mut bad) = (0, 0);
        self.read.clear();
        let mut at = 0;
        while replies < wanted {
            if self.stream.read_buf(&mut self.read).await.map_err(|why| why.to_string())? == 0 {
                return Err("the server closed the connection".to_owned());
            }
            // Replies are lines here.
            while let Some(end) = self.read[at..].iter().position(|byte| *byte == b'\n') {
                replies += 1;
                match self.read[at] {
                    b'+' => {}
                    b':' if self.read[at + 1] != b'0' => {}
                    _ => bad += 1,
                }
                at += end + 1;
            }
        }
        Ok(bad)
    }
}
