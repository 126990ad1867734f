//! `ringheir bench peer`: one node of a bench's ring, in a process of its own, which can be told to fill itself.
//!
//! It says `ready` once it is in the ring. It then reads orders, one a line: `load KIND COUNT BYTES` makes so many sessions of
//! which it is the primary, and is answered `loaded COUNT`. It ends when its standard input is closed, so that it never
//! outlives who started it.

use std::{
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use clap::Args;
use ringheir::{ErrorKind, Node, Session, config::ClusterFile};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::sessions::{Basket, Latest, types};
use crate::COULD_NOT_RUN;

/// Sessions are made by at most so many callers at once.
const LOADERS: usize = 512;
/// And by so few that no more than this is under way: four times what one link may have under way, so that some are refused.
const BYTES_UNDER_WAY: usize = 32 << 20;
/// One session is tried so many times, a little later each time, before the load is given up.
const TRIES: u32 = 100;

/// One node of a bench's ring.
#[derive(Debug, Args)]
pub(crate) struct Peer {
    /// The cluster file.
    file: PathBuf,
    /// Where life locks lie.
    run_dir: PathBuf,
    /// Its name.
    name: String,
}

/// The ids that a node is loaded with: those of this order that it serves.
pub(super) fn id(number: usize) -> String {
    format!("s{number}")
}

impl Peer {
    pub(super) fn run(self) -> ExitCode {
        let Ok(runtime) = tokio::runtime::Runtime::new() else { return ExitCode::from(COULD_NOT_RUN) };
        match runtime.block_on(self.serve()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => {
                eprintln!("process {}: {why}", self.name);
                ExitCode::from(COULD_NOT_RUN)
            }
        }
    }

    async fn serve(&self) -> Result<(), String> {
        let file = ClusterFile::read(&self.file).map_err(|why| why.to_string())?;
        let builder = Node::builder().config(file).name(&self.name).types(types()).run_dir(&self.run_dir);
        let node = builder.start().await.map_err(|why| why.to_string())?;
        println!("ready");
        let mut orders = BufReader::new(tokio::io::stdin()).lines();
        while let Ok(Some(order)) = orders.next_line().await {
            match follow(&node, &order).await {
                Ok(loaded) => println!("loaded {loaded}"),
                Err(why) => println!("failed {why}"),
            }
        }
        Ok(())
    }
}

async fn follow(node: &Node, order: &str) -> Result<usize, String> {
    let mut words = order.split(' ');
    let mut next = || words.next().unwrap_or_default();
    let (verb, kind, count, bytes) = (next(), next(), next(), next());
    let (Ok(count), Ok(bytes)) = (count.parse(), bytes.parse()) else { return Err(format!("no order: {order}")) };
    match (verb, kind) {
        ("load", Latest::KIND) => load(node, count, bytes, Latest::of).await,
        ("load", Basket::KIND) => load(node, count, bytes, Basket::of).await,
        _ => Err(format!("no order: {order}")),
    }
}

async fn load<S: Session + Sync>(
    node: &Node,
    count: usize,
    bytes: usize,
    state: fn(usize) -> S,
) -> Result<usize, String> {
    let (next, made) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut loaders = tokio::task::JoinSet::new();
    for _ in 0..LOADERS.min(count).min((BYTES_UNDER_WAY / bytes.max(1)).max(1)) {
        let (node, next, made) = (node.clone(), Arc::clone(&next), Arc::clone(&made));
        loaders.spawn(async move {
            // Each takes its place first, so that exactly `count` are made and those of the lowest numbers.
            while made.fetch_add(1, Ordering::Relaxed) < count {
                let session = loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let session = node.session::<S>(id(number)).map_err(|why| why.to_string())?;
                    if session.primary() == Some(node.id()) {
                        break session;
                    }
                };
                let mut tries = 0;
                // A retry may find what an attempt in doubt has made.
                while let Err(why) = create_once(session.create_with(&state(bytes)).await) {
                    tries += 1;
                    if tries == TRIES {
                        return Err(why);
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
            Ok(())
        });
    }
    while let Some(ended) = loaders.join_next().await {
        ended.map_err(|why| why.to_string())??;
    }
    Ok(count)
}

fn create_once(created: Result<u64, ringheir::Error>) -> Result<(), String> {
    match created {
        Ok(_) => Ok(()),
        Err(why) if matches!(why.kind(), ErrorKind::AlreadyExists) => Ok(()),
        Err(why) => Err(why.to_string()),
    }
}
