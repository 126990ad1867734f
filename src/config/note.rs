//! What is allowed, but worth saying before a cluster starts.
//!
//! A note never stops anything; it names what the configuration costs.

use std::fmt;

use crate::id::NodeName;

use super::place::Position;

/// Something worth knowing about a configuration that is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Where it comes from; `None` where no line says so.
    pub position: Option<Position>,
    /// What it is.
    pub advice: Advice,
}

/// What a note can say.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Advice {
    /// `backups = 0`.
    NoBackups,
    /// More backups wanted than there are other nodes to hold them.
    FewerCopies {
        /// Wanted.
        backups: u8,
        /// Nodes that can hold copies.
        holders: usize,
    },
    /// Two voters under `majority`: the loss of either stops the other.
    TwoVoters,
    /// A witness that `voters_max` leaves without a vote, so that it does nothing.
    IdleWitness(NodeName),
    /// The secret is the one of the examples, and the cluster can be reached from outside.
    ExampleSecret,
    /// A `redis` address that can be reached from outside, and no `redis_password`.
    OpenRedis(NodeName),
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(position) = self.position {
            write!(f, "line {}: ", position.line)?;
        }
        match &self.advice {
            Advice::NoBackups => f.write_str("`backups = 0`: the loss of a node loses its sessions"),
            Advice::FewerCopies { backups, holders } => write!(
                f,
                "`backups = {backups}` needs {} nodes that hold copies; with {holders} there are fewer copies",
                usize::from(*backups) + 1
            ),
            Advice::TwoVoters => f.write_str(
                "two voters: under `majority` the loss of one stops the other; add a node with `role = \"witness\"`, or use \
                 `agreement = \"majority_or_proof\"`",
            ),
            Advice::IdleWitness(name) => write!(f, "witness {name} has no vote: there are `voters_max` before it"),
            Advice::ExampleSecret => {
                f.write_str("the secret is the one of the examples, and there are addresses outside loopback")
            }
            Advice::OpenRedis(name) => write!(
                f,
                "the `redis` address of {name} is outside loopback, and there is no `redis_password`: whoever reaches it reads and \
                 changes every key"
            ),
        }
    }
}
