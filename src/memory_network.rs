//! `MemoryNetwork`: several nodes in one process, with faults that a test or an example sets. The same rooms as over sockets;
//! only the pipes differ.

use std::{fmt, time::Duration};

use crate::{
    id::{NodeId, NodeName},
    transport::memory::MemoryNet,
    wire::limits::Limits,
};

/// A network inside one process. Each name and each address is one living node's: a second one does not start.
#[derive(Clone)]
pub struct MemoryNetwork(pub(crate) std::sync::Arc<MemoryNet>);

impl fmt::Debug for MemoryNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryNetwork")
    }
}

impl Default for MemoryNetwork {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryNetwork {
    /// An empty network; made within a tokio runtime.
    #[must_use]
    pub fn new() -> Self {
        Self(std::sync::Arc::new(MemoryNet::new(Limits::default())))
    }

    /// Cuts both directions between two names.
    pub fn cut(&self, one: NodeName, other: NodeName) {
        self.0.cut(one, other);
    }

    /// Cuts one direction.
    pub fn cut_one_way(&self, from: NodeName, to: NodeName) {
        self.0.cut_one_way(from, to);
    }

    /// Mends both directions.
    pub fn heal(&self, one: NodeName, other: NodeName) {
        self.0.heal(one, other);
    }

    /// Delays one direction.
    pub fn delay(&self, from: NodeName, to: NodeName, delay: Duration) {
        self.0.delay(from, to, delay);
    }

    /// Takes a node's pipes away at once, as SIGKILL would.
    pub fn kill(&self, node: NodeId) {
        self.0.kill(node);
    }
}
