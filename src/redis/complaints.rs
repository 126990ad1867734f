//! `Complaints`: what a node's log says of clients that were closed, one line now and then, whatever they do.

use std::{
    fmt::Display,
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::moment::Moment;

/// Between two lines.
const EVERY: Duration = Duration::from_secs(10);

/// When the last was said, and how many were not since.
#[derive(Debug, Default)]
pub(super) struct Complaints(Mutex<(Option<Moment>, u64)>);

impl Complaints {
    /// A client was closed: said, or counted for the line that will be.
    pub(super) fn complain(&self, client: SocketAddr, why: impl Display, now: Moment) {
        match self.turn(now) {
            None => {}
            Some(0) => tracing::info!(%client, "a Redis client was closed: {why}"),
            Some(others) => {
                tracing::info!(%client, others, "a Redis client was closed, and others since the last such line: {why}");
            }
        }
    }

    /// Whether one may be said, and how many it stands for beside itself.
    fn turn(&self, now: Moment) -> Option<u64> {
        // Whole between any two lines.
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.0.is_some_and(|said| now.since(said) < EVERY) {
            state.1 += 1;
            return None;
        }
        let unsaid = state.1;
        *state = (Some(now), 0);
        Some(unsaid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_one_is_said_now_and_then_and_the_others_are_counted() {
        let complaints = Complaints::default();
        let at = |seconds| complaints.turn(Moment::START + Duration::from_secs(seconds));
        assert_eq!([at(0), at(1), at(9)], [Some(0), None, None]);
        assert_eq!([at(10), at(11), at(40), at(50)], [Some(2), None, Some(1), Some(0)]);
    }
}
