//! PURE: who is in the ring, and who holds what. Ring and placement, views, the view chain that agrees on them, founding,
//! detection, and what a change of view owes each node.
//!
//! Nothing here knows tokio, ractor, a clock, randomness or a serde format: `now` is a parameter, ids are drawn elsewhere,
//! and what is to happen leaves as a returned effect. The simulator and the node run this very code.

mod chain;
mod detector;
mod founding;
mod homes;
mod keeper;
mod message;
mod monitor;
mod next_view;
mod outlook;
mod packed_view;
mod pin;
mod placement;
mod recovery;
mod ring;
mod shape;
#[cfg(test)]
pub(crate) mod test_views;
mod transition;
mod view;

pub use chain::{Chain, ChainEffect, Vote};
pub use detector::{Change, Detector, DetectorSettings};
pub use founding::{Difference, Founding, FoundingEffect, FoundingPlan, answer_as_serving};
pub use homes::{WEIGHT, deal_homes, rehome};
pub use keeper::{EARLIER_MAX, Hearing, Keeper, KeeperEffect, KeeperSettings};
pub use message::{Ballot, ChainMessage, FoundingMessage, JoinRefusal, KeeperMessage, Wish, WishedChange};
pub use monitor::{Answered, Beat, Monitor, MonitorSettings, OUTSTANDING_MAX, Ping, Pong};
pub use next_view::{Knowledge, founding_view, next_view};
pub use outlook::Outlook;
pub use pin::Pin;
pub use placement::{Target, target, targets};
pub use recovery::{Declined, RecoveryFault, RecoveryMessage, successor_view, unheard_processes};
pub use shape::{Agreement, Shape};
pub use transition::{Part, Turn, transition};
pub use view::{ArcEntry, ArcState, KindVersion, Member, Role, Standing, View, ViewFault};
