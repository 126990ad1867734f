//! PURE: who is in the ring, and who holds what. Ring and placement, views, the view chain that agrees on them, founding,
//! detection, and what a change of view owes each node.
//!
//! Nothing here knows tokio, ractor, a clock, randomness or a serde format: `now` is a parameter, ids are drawn elsewhere,
//! and what is to happen leaves as a returned effect. The simulator and the node run this very code.

mod view;

pub use view::{Agreement, ArcEntry, ArcState, KindVersion, Member, Role, Shape, View, ViewFault};
