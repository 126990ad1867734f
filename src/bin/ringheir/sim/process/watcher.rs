//! Watches what every node shows as its view, as often as a change of the ring takes.

use std::time::Duration;

use tokio::time::sleep;

use super::notes::Board;
use crate::{
    ask::{Peer, view_of},
    processes::Door,
};

/// Between two looks at one node.
const EVERY: Duration = Duration::from_millis(15);
/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_millis(400);

/// Looks at one node until it is aborted.
pub(super) async fn watch(board: Board, door: Door) {
    let mut peer = Peer::new(door.http);
    loop {
        if let Some(view) = view_of(&mut peer, PATIENCE).await {
            board.notes().saw(&door.name, view);
        }
        sleep(EVERY).await;
    }
}
