//! The configuration: a cluster file, the environment, or plain structs, all checked by the same rules.
//!
//! `ClusterFile` is the checked whole. `ClusterConfig`, `NodeConfig` and `Limits` are its parts, free to fill in. Nothing
//! here dials, resolves or binds; the only file that is read beside the cluster file is the one that holds the secret.
//!
//! What goes before what: `--name` before `RINGHEIR_NAME`; `RINGHEIR_SECRET` before `secret` and `secret_file`.

mod check;
mod cluster;
mod error;
mod file;
mod key;
mod limits;
mod node;
mod note;
mod place;
mod quantity;
mod reader;
mod secret;
#[cfg(test)]
mod tests;

#[cfg(feature = "sim")]
pub(crate) use key::nearest;
#[cfg(feature = "sim")]
pub(crate) use quantity::{byte_count, millis};

pub use cluster::{ClusterConfig, OnStartupTimeout, Reads, WhenSolo};
pub use error::{ConfigError, ConfigFault, FAULTS_MAX, Wrong};
pub use file::{ClusterFile, FILE_MAX, NODES_MAX};
pub use key::Section;
pub use limits::{FRAME_OVERHEAD, Limits};
pub use node::{Address, NodeConfig};
pub use note::{Advice, Note};
pub use place::{Position, Spot};
pub use secret::{Environment, SECRET_MAX, Secret};
