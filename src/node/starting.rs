//! A node that runs and is not in a view yet: waits for its beginning, says meanwhile for whom it waits, and ends it when its
//! patience does.

use tokio::{sync::mpsc, time};

use super::{Node, StartError, start_error::joined};
use crate::{
    membership::{Difference, JoinRefusal},
    runtime::{
        clock,
        view_keeper::{Awaited, Beginning},
    },
};

/// How long a starting node waits for the others.
#[derive(Clone, Copy, Debug)]
pub(super) enum Patience {
    Until(crate::moment::Moment),
    Endless,
}

/// A node that runs and is not in a view yet.
pub(super) struct Starting {
    pub(super) node: Node,
    pub(super) begun: mpsc::Receiver<Beginning>,
}

impl Starting {
    /// The node once it is in; `None` if it has to start anew.
    pub(super) async fn wait(mut self, patience: Patience) -> Result<Option<Node>, StartError> {
        let mut awaited = Awaited::default();
        let ended = loop {
            let heard = match patience {
                Patience::Until(until) => time::timeout(until.since(clock::now()), self.begun.recv()).await,
                Patience::Endless => Ok(self.begun.recv().await),
            };
            match heard {
                Ok(Some(Beginning::In)) => {
                    // Keep hearing, so that a later refusal is at least drained.
                    tokio::spawn(async move { while self.begun.recv().await.is_some() {} });
                    return Ok(Some(self.node));
                }
                Ok(Some(Beginning::Waiting(news))) => {
                    awaited = news;
                    say_whom_it_awaits(&awaited);
                }
                Ok(Some(Beginning::StartAnew)) => break Ok(None),
                Ok(Some(Beginning::TwoClusters(one, other))) => break Err(StartError::TwoClusters(one, other)),
                Ok(Some(Beginning::Differs(difference))) => break Err(differs(difference)),
                Ok(Some(Beginning::Refused(JoinRefusal::NameLives(name)))) => {
                    break Err(StartError::NameLives(name));
                }
                Ok(None) => {
                    break Err(StartError::Actors("the node's actors failed while it started".to_owned()));
                }
                Err(_) => {
                    break Err(match awaited.differing.first() {
                        Some(difference) => differs(*difference),
                        None => {
                            let refused = self.node.0.shared.refused().clone().into_iter();
                            let refused = refused.map(|(address, why)| (address, why.to_string())).collect();
                            StartError::TimedOut { missing: awaited.missing, refused }
                        }
                    });
                }
            }
        };
        self.node.kill();
        ended
    }
}

fn differs(Difference { with, key }: Difference) -> StartError {
    StartError::Differs { with, key }
}

fn say_whom_it_awaits(awaited: &Awaited) {
    for Difference { with, key } in &awaited.differing {
        tracing::warn!(%with, key, "it has another cluster file, so the two found nothing together: give every node the same");
    }
    if !awaited.missing.is_empty() {
        tracing::info!(missing = joined(&awaited.missing), "waiting for the other voters");
    }
}
