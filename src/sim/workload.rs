//! What callers do: drawn from a stream of chance, the same for simulated callers and for those of real nodes.

use std::time::Duration;

use super::{check::Action, random::Stream};

/// An operation is given up after this.
pub const DEADLINE: Duration = Duration::from_secs(3);

/// What a drawn operation does with the value that it may write.
pub type Draft = fn(u64) -> Action;

/// Draws an operation: on which of so many sessions, and what of these shares (writes, reads, creates, deletes). The higher the
/// skew, the more often it is one of the first sessions.
pub fn draw(chance: &mut Stream, sessions: u32, acts: [u32; 4], skew: f64) -> (u32, Draft) {
    let drawn = chance.range(0, u64::from(sessions));
    let bent = if skew > 0.0 {
        (drawn as f64 / f64::from(sessions)).powf(1.0 + skew) * f64::from(sessions)
    } else {
        drawn as f64
    };
    (bent as u32, draw_act(chance, acts))
}

/// Draws what is done, of these shares.
pub fn draw_act(chance: &mut Stream, acts: [u32; 4]) -> Draft {
    let [writes, reads, creates, deletes] = acts.map(u64::from);
    let kind = chance.range(0, (writes + reads + creates + deletes).max(1));
    if kind < writes {
        |value| Action::Write { value }
    } else if kind < writes + reads {
        |_| Action::Read
    } else if kind < writes + reads + creates {
        |value| Action::Create { value }
    } else {
        |_| Action::Delete
    }
}

/// The value that a client's operation on a session may write, by its number there: no other operation of the run has the same.
#[must_use]
pub const fn value_of(client: u32, session: u32, sequence: u64) -> u64 {
    (client as u64 + 1) << 40 | (session as u64) << 24 | sequence
}
