//! `Slow`: whether one connection's client takes too long, by what has moved from one look at it to the next.
//!
//! It keeps no clock: it is asked once in each `LOOK`, and counts in a row the looks between which nothing moved. What it says is
//! carried out by the connection.

use std::{fmt, time::Duration};

use super::settings::Settings;

/// How often it is asked.
pub(super) const LOOK: Duration = Duration::from_secs(1);
/// Of a request that arrives in parts, so much within `Settings::arrival` is fast enough.
const PART: usize = 64 << 10;

/// How often in a row something was found not to have moved, and whether it has since.
#[derive(Debug, Default)]
pub(super) struct Slow {
    /// Replies that the client does not take.
    unread: u32,
    taken: bool,
    /// A request that does not become whole.
    arriving: u32,
    whole: bool,
    /// How much of it had arrived when it had last moved.
    arrived: usize,
    /// Whether it was not read meanwhile, for others' requests took the room.
    held_up: bool,
    /// A password that is not said.
    unknown: u32,
}

/// What is seen of a connection at a look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sight {
    /// Bytes that have arrived and were not begun.
    pub(super) arrived: usize,
    /// Whether no more of it is read for want of room.
    pub(super) held_up: bool,
    /// Whether there are replies that the client has not taken.
    pub(super) unread: bool,
    /// Whether the client has said its password, if it has to.
    pub(super) known: bool,
    /// How long it may leave replies.
    pub(super) stall: Duration,
}

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// It takes no replies: no word would reach it either.
    Unread,
    /// The rest of its request does not come.
    Arrival,
    /// The rest of its request finds no room.
    NoRoom,
    /// It does not say its password.
    NoPassword,
    /// The node stops, has told it all there was, and it does not close its side.
    Unheard,
}

impl Cut {
    /// What the client is told.
    pub(super) const fn words(self) -> Option<&'static str> {
        match self {
            Self::Unread | Self::Unheard => None,
            Self::Arrival => Some("ERR the rest of the request took too long"),
            Self::NoRoom => Some(
                "BUSY there was no room for the rest of the request beside those of others; nothing was done, ask again later",
            ),
            Self::NoPassword => Some("ERR no password was said in time"),
        }
    }
}

/// As its node's log says it.
impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unread => "it took none of its replies",
            Self::Arrival => "the rest of its request took too long",
            Self::NoRoom => "the rest of its request found no room beside those of others",
            Self::NoPassword => "it said no password in time",
            Self::Unheard => "it wrote on and did not close its side when this node stopped, so its last replies may not have reached it",
        })
    }
}

impl Slow {
    /// The client has taken some of its replies.
    pub(super) const fn took(&mut self) {
        self.taken = true;
    }

    /// Whether no request is half there: all that arrived is whole, or waits for its turn.
    pub(super) const fn is_whole(&mut self, whole: bool) {
        self.whole |= whole;
    }

    /// Looks at it, once in each `LOOK`; why it is to end, if it is.
    pub(super) fn look(&mut self, seen: Sight, settings: &Settings) -> Option<Cut> {
        self.unread = if self.taken || !seen.unread { 0 } else { self.unread + 1 };
        if self.whole || seen.arrived >= self.arrived.saturating_add(PART) {
            (self.arriving, self.held_up, self.arrived) = (0, false, seen.arrived);
        } else {
            self.arriving += 1;
            self.held_up |= seen.held_up;
        }
        self.unknown = if seen.known { 0 } else { self.unknown + 1 };
        (self.taken, self.whole) = (false, false);
        if LOOK * self.arriving > settings.arrival {
            Some(if self.held_up { Cut::NoRoom } else { Cut::Arrival })
        } else if LOOK * self.unknown > settings.introduction {
            Some(Cut::NoPassword)
        } else {
            (LOOK * self.unread > seen.stall).then_some(Cut::Unread)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Limits;

    fn settings() -> Settings {
        Settings { arrival: LOOK * 2, introduction: LOOK * 5, ..Settings::within(&Limits::default()) }
    }

    const FINE: Sight = Sight { arrived: 0, held_up: false, unread: false, known: true, stall: LOOK };

    #[test]
    fn a_request_may_take_for_ever_while_enough_of_it_comes_and_not_one_look_longer() {
        let mut slow = Slow::default();
        let at = |arrived| Sight { arrived, ..FINE };
        for part in 0..100 {
            for little in 0..2 {
                assert_eq!(slow.look(at(part * PART + little), &settings()), None, "{part}");
            }
        }
        let too_little = [(); 2].map(|()| slow.look(at(100 * PART - 1), &settings()));
        assert_eq!(too_little, [None, Some(Cut::Arrival)]);
        slow.is_whole(true);
        assert_eq!(slow.look(at(3), &settings()), None);
        // What was large before is no measure for the next, which is small.
        assert_eq!([4, 5, 6].map(|n| slow.look(at(n), &settings())), [None, None, Some(Cut::Arrival)]);
    }

    #[test]
    fn who_was_held_up_once_is_told_so_unless_it_moved_since() {
        let held_up = Sight { arrived: 1, held_up: true, ..FINE };
        let free = Sight { held_up: false, ..held_up };
        let mut slow = Slow::default();
        assert_eq!([held_up, free, free].map(|seen| slow.look(seen, &settings())), [None, None, Some(Cut::NoRoom)]);
        let more = Sight { arrived: PART + 1, ..free };
        assert_eq!([more, free, free, free].map(|seen| slow.look(seen, &settings()))[3], Some(Cut::Arrival));
    }

    #[test]
    fn who_takes_some_of_its_replies_goes_on_and_who_takes_none_or_says_no_password_does_not() {
        let deaf = Sight { unread: true, ..FINE };
        let mut slow = Slow::default();
        for _ in 0..9 {
            slow.took();
            slow.is_whole(true);
            assert_eq!(slow.look(deaf, &settings()), None);
        }
        slow.is_whole(true);
        assert_eq!(slow.look(deaf, &settings()), None);
        slow.is_whole(true);
        assert_eq!(slow.look(deaf, &settings()), Some(Cut::Unread));
        let mut silent = Slow::default();
        let ends = (0..6).find_map(|_| {
            silent.is_whole(true);
            silent.look(Sight { known: false, ..FINE }, &settings())
        });
        assert_eq!(ends, Some(Cut::NoPassword));
    }
}
