//! `ringheir bench`: honest figures of this machine, medians of several runs.

mod replicate;
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
    /// The second process of `replicate`.
    #[command(hide = true)]
    ReplicatePeer(replicate::Peer),
}

impl Bench {
    /// Measures.
    pub(crate) fn run(self) -> ExitCode {
        match self.what {
            What::Replicate(replicate) => replicate.run(),
            What::ReplicatePeer(peer) => peer.run(),
        }
    }
}
