//! Entries of a trace in words, for a terminal. Every field of an entry is said, so that two that differ look different.

use std::fmt;

use crate::sim::trace::{ArcRoles, What};

/// The kinds of entries, as they are counted: the order in which they are told.
pub(super) const KINDS: [&str; 13] = [
    "starts",
    "ends",
    "pauses",
    "resumptions",
    "cuts",
    "mendings",
    "steps",
    "views",
    "installations",
    "asked",
    "answered",
    "messages",
    "marks and expectations",
];

/// Which of `KINDS` it is.
pub(super) fn kind(what: &What) -> usize {
    match what {
        What::Started { .. } => 0,
        What::Ended { .. } => 1,
        What::Paused { .. } => 2,
        What::Resumed { .. } => 3,
        What::Cut { .. } => 4,
        What::Mended { .. } => 5,
        What::Step { .. } => 6,
        What::View { .. } => 7,
        What::Installed { .. } => 8,
        What::Asked { .. } => 9,
        What::Answered { .. } => 10,
        What::Sent { .. } => 11,
        What::Mark { .. } | What::Expected { .. } => 12,
    }
}

/// What happened, in a line.
pub(super) struct Said<'a>(pub(super) &'a What);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            What::Started { node, process } => write!(f, "{node} starts as {process}"),
            What::Ended { node, how } => write!(f, "{node} ends: {how}"),
            What::Paused { node } => write!(f, "{node} stops"),
            What::Resumed { node } => write!(f, "{node} goes on"),
            What::Cut { from, to } => write!(f, "cut: {from} to {to}"),
            What::Mended { from, to } => write!(f, "mended: {from} to {to}"),
            What::Step { words, nodes } => write!(f, "step: {words} [{}]", nodes.join(", ")),
            What::View { number, members, voters, arcs } => {
                write!(f, "view {number}: {}; voters {}", members.join(", "), voters.join(", "))?;
                arcs.iter().enumerate().try_for_each(|(arc, roles)| roles_said(f, arc, roles))
            }
            What::Installed { node, number } => write!(f, "{node} installs view {number}"),
            What::Asked { operation, client, session, arc, words } => {
                write!(f, "client {client} asks {session} (arc {arc}): {words}, operation {operation}")
            }
            What::Answered { operation, words, done } => {
                write!(f, "operation {operation} is answered: {words}{}", if *done { " (done)" } else { "" })
            }
            What::Sent { from, to, words, arrives_us } => {
                write!(f, "{from} -> {to}: {words}")?;
                match arrives_us {
                    Some(at) => write!(f, ", arrives at {}", Time(*at)),
                    None => f.write_str(", never arrives"),
                }
            }
            What::Mark { words } => write!(f, "reached: {words}"),
            What::Expected { words, holds } => {
                write!(f, "expected: {words}: {}", if *holds { "held" } else { "did not hold" })
            }
        }
    }
}

fn roles_said(f: &mut fmt::Formatter<'_>, arc: usize, roles: &ArcRoles) -> fmt::Result {
    write!(f, "; arc {arc} {}", roles.primary)?;
    if !roles.in_sync.is_empty() {
        write!(f, " -> {}", roles.in_sync.join(", "))?;
    }
    if let Some(learner) = &roles.catching_up {
        write!(f, " ({learner} catches up)")?;
    }
    if !roles.served {
        f.write_str(" recovering")?;
    }
    if roles.lost {
        f.write_str(" lost")?;
    }
    Ok(())
}

/// Microseconds of a run, as seconds.
pub(super) struct Time(pub(super) u64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06} s", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}
