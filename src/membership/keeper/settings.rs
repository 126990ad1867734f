//! `KeeperSettings`: how long a keeper waits for what. The defaults are those of neighbours on one network.

use std::time::Duration;

/// How long a keeper waits for what.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeeperSettings {
    /// The k-th live voter proposes k times this after the first.
    pub stagger: Duration,
    /// Wishes are gathered this long before a view is proposed for them.
    pub wish_delay: Duration,
    /// A proposal without a decision is given up after this; each further one for the same view gets twice the time.
    pub proposal_timeout: Duration,
    /// A member that has not installed the newest view for this long counts as unheard; twice this refuses a newcomer whose
    /// name still lives.
    pub suspect_after: Duration,
}

impl Default for KeeperSettings {
    fn default() -> Self {
        Self {
            stagger: Duration::from_millis(30),
            wish_delay: Duration::from_millis(20),
            proposal_timeout: Duration::from_millis(150),
            suspect_after: Duration::from_millis(600),
        }
    }
}
