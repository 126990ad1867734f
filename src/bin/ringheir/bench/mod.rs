//! `ringheir bench`: honest figures of this machine, medians of several runs.
//!
//! Each measurement is a file. What they share: the nodes (`ring`, `peer`) and what is called on them (`sessions`), many
//! callers at once (`figures`, `tally`), a process that is killed under them (`loss`), what processes use (`usage`), and how
//! results are told (`telling`).

mod activate;
mod failover;
mod figures;
mod forward;
mod loss;
mod memory;
mod peer;
mod promote;
mod read;
mod redis;
#[cfg(feature = "sim")]
mod redis_kill;
mod replicate;
mod reprotect;
mod ring;
mod sessions;
mod tally;
mod telling;
mod usage;

use std::process::ExitCode;

use clap::{Args, Subcommand};

/// Measures one thing on this machine.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Replicated updates: single calls, a primary here and its backup in a second process.
    Replicate(replicate::Replicate),
    /// From the kill of a primary to its sessions being served again, by the number of sessions that it held.
    Promote(promote::Promote),
    /// From the kill of a node until every session has a backup again, while commands go on.
    Reprotect(reprotect::Reprotect),
    /// Memory of a session that is not in use, on its primary and on its backup.
    Memory(memory::Memory),
    /// The first command to a session that is held as bytes only, beside the next one.
    Activate(activate::Activate),
    /// Calls made at a node that is not the primary, beside calls at the primary.
    Forward(forward::Forward),
    /// Reads: leased ones at the primary, stale ones at the backup.
    Read(read::Read),
    /// Sets over the Redis protocol, beside Redis with a replica.
    Redis(redis::Redis),
    /// The kill of a primary under writes over the Redis protocol, beside Redis with sentinels.
    #[cfg(feature = "sim")]
    RedisKill(redis_kill::RedisKill),
    /// How long callers wait when a process is killed under load, again and again.
    Failover(failover::Failover),
    /// One of the other processes of a measurement.
    #[command(hide = true)]
    Peer(peer::Peer),
    /// Another.
    #[command(hide = true)]
    Bare(redis::bare::Bare),
}

impl Bench {
    /// Measures.
    pub(crate) fn run(self) -> ExitCode {
        match self.what {
            What::Replicate(replicate) => replicate.run(),
            What::Promote(promote) => promote.run(),
            What::Reprotect(reprotect) => reprotect.run(),
            What::Memory(memory) => memory.run(),
            What::Activate(activate) => activate.run(),
            What::Forward(forward) => forward.run(),
            What::Read(read) => read.run(),
            What::Redis(redis) => redis.run(),
            #[cfg(feature = "sim")]
            What::RedisKill(redis_kill) => redis_kill.run(),
            What::Failover(failover) => failover.run(),
            What::Peer(peer) => peer.run(),
            What::Bare(bare) => bare.run(),
        }
    }
}
