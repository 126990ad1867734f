//! `StartError`: why a node did not start, in words that say what to do.

use std::{fmt, io};

use crate::{
    config::ConfigError,
    id::{ClusterId, NodeName},
    kinds::Clash,
};

/// Why a node did not start. Nothing of it runs.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The builder was given no cluster file.
    NoConfig,
    /// The builder was not told which node this is.
    NoName {
        /// The nodes of the cluster file.
        listed: Vec<NodeName>,
    },
    /// The cluster file lists no node of that name.
    NoSuchNode {
        /// The name.
        name: String,
        /// The nodes of the cluster file.
        listed: Vec<NodeName>,
    },
    /// The builder was given a name, and an entry of another.
    TwoNames {
        /// The name.
        name: String,
        /// The entry's.
        entry: NodeName,
    },
    /// The operator's word names a node that the cluster file does not list.
    FoundUnknown {
        /// The name.
        name: NodeName,
        /// The nodes of the cluster file.
        listed: Vec<NodeName>,
    },
    /// The builder brought an entry for a node that the cluster file lists.
    Listed(NodeName),
    /// The entry that the builder brought does not fit the cluster file.
    Unfit(ConfigError),
    /// The operator's word names no node that may hold sessions.
    NoHost,
    /// This node's cluster file and another's are not of one cluster.
    Differs {
        /// Whose file is another.
        with: NodeName,
        /// The first key in which they differ; `node` is the list of nodes, their order, addresses and roles.
        key: &'static str,
    },
    /// The cluster file asks for something that this version cannot do.
    NotYet(&'static str),
    /// Session types clash.
    Clash(Clash),
    /// Another process on this host lives under this name, or its lock could not be taken.
    Lock(String),
    /// The data directory cannot be used.
    DataDir(String),
    /// The cluster address cannot be used.
    Address(String),
    /// `startup_timeout` passed; these voters were not heard, or none answered.
    TimedOut {
        /// The configured voters that were not heard.
        missing: Vec<NodeName>,
        /// Nodes that were reached and not linked, by address, and what must be mended.
        refused: Vec<(String, String)>,
    },
    /// Two clusters serve under the configured addresses.
    TwoClusters(ClusterId, ClusterId),
    /// Another node of this name lives: in the ring, or in the same memory network.
    NameLives(NodeName),
    /// The operating system gave no thread.
    Thread(io::Error),
    /// The node's actors could not be started.
    Actors(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoConfig => f.write_str("no cluster file was given: call .config(...)"),
            Self::NoName { listed } => write!(
                f,
                "it is not said which node this is: call .name(...) with one that the cluster file lists ({}), or .unlisted(...) \
                 with an entry of its own",
                joined(listed)
            ),
            Self::NoSuchNode { name, listed } => write!(
                f,
                "the cluster file lists no node named {name:?}: call .name(...) with one that it lists ({}), or .unlisted(...) with \
                 an entry of its own",
                joined(listed)
            ),
            Self::TwoNames { name, entry } => {
                write!(
                    f,
                    "the node is named {name:?} by .name(...) and {entry} by .unlisted(...): leave .name(...) out"
                )
            }
            Self::FoundUnknown { name, listed } => write!(
                f,
                "{name}, named by NodeBuilder::found, is not in the cluster file; it lists {}",
                joined(listed)
            ),
            Self::Listed(name) => {
                write!(f, "the cluster file lists {name}: start it by its name, without an entry of its own")
            }
            Self::Unfit(why) => why.fmt(f),
            Self::NoHost => f.write_str("none of the nodes named to found the cluster is a host: name one"),
            Self::Differs { with, key } => {
                write!(f, "{with} has another cluster file: `{key}` differs; give every node the same, new nodes last")
            }
            Self::NotYet(what) => write!(f, "not yet: {what}"),
            Self::Clash(clash) => clash.fmt(f),
            Self::Lock(why) | Self::DataDir(why) | Self::Address(why) | Self::Actors(why) => f.write_str(why),
            Self::TimedOut { missing, refused } => {
                if missing.is_empty() {
                    f.write_str(
                        "startup_timeout passed before the ring let this node in; is a majority of its voters alive?",
                    )?;
                } else {
                    let names = joined(missing);
                    write!(
                        f,
                        "startup_timeout passed without {names}: start them, or found a smaller cluster (NodeBuilder::found)"
                    )?;
                }
                refused.iter().try_for_each(|(address, why)| write!(f, "\n  {address}: {why}"))
            }
            Self::TwoClusters(one, other) => {
                write!(f, "two clusters serve under the configured addresses, {one} and {other}: stop one of them")
            }
            Self::NameLives(name) => {
                write!(f, "another node named {name} lives: stop it, or use another name")
            }
            Self::Thread(why) => write!(f, "no thread for heartbeats: {why}"),
        }
    }
}

impl std::error::Error for StartError {}

pub(super) fn joined(names: &[NodeName]) -> String {
    names.iter().map(NodeName::as_str).collect::<Vec<_>>().join(", ")
}
