//! `Lifetimes`: how long simulated sessions live. In three of them one lives for ever, one until a set end, one for as long as it is
//! used.
//!
//! What a write says of the end follows from the value that it writes. So whoever knows the values of a session, in order, knows
//! which of them decided when it ends, and whether it ends at all: that is what a judge compares with what became of it.

use std::time::Duration;

use crate::replication::Lifespan;

/// How many shares there are to a whole.
const WHOLE: u64 = 1 << 20;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Lifetimes {
    /// For how long, after a write that says so.
    pub(crate) lasts: Duration,
    /// Of the writes to sessions with a set end, so many take the end away.
    pub(crate) persist: f64,
    /// And so many leave it as it was.
    pub(crate) keep_end: f64,
}

/// What ends a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing but a deletion.
    Stays,
    /// A moment that was said.
    Ends,
    /// That nobody uses it.
    Idles,
}

/// What the values of a session with a set end say of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decided {
    /// Nothing that is there said anything, so it lives for ever.
    Unsaid,
    /// The write of this value: it lives for ever. Whether there was an end before, and which value had set it.
    Persists(u64, Option<u64>),
    /// The write of this value: it ends so much later.
    Ends(u64),
}

/// What ends the session of this number, where sessions end at all.
pub(crate) const fn kind_of(session: u32) -> Kind {
    match session % 3 {
        0 => Kind::Stays,
        1 => Kind::Ends,
        _ => Kind::Idles,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Ends,
    Persists,
    Keeps,
}

impl Lifetimes {
    /// What a write of this value says of its session's time; `None`: that it is as it was.
    pub(crate) fn said_by(&self, session: u32, value: u64) -> Option<Lifespan> {
        match (kind_of(session), self.word(value)) {
            (Kind::Stays, _) | (Kind::Ends, Word::Keeps) => None,
            (Kind::Idles, _) => Some(Lifespan { ends_in: None, idle: Some(self.lasts) }),
            (Kind::Ends, Word::Ends) => Some(Lifespan { ends_in: Some(self.lasts), idle: None }),
            (Kind::Ends, Word::Persists) => Some(Lifespan::FOR_EVER),
        }
    }

    /// Which write decided when a session with a set end ends, of all its values in order; zero is a deletion.
    pub(crate) fn decided(&self, values: &[u64]) -> Decided {
        let mut said = values.iter().rev().take_while(|value| **value != 0).filter(|v| self.word(**v) != Word::Keeps);
        match said.next() {
            None => Decided::Unsaid,
            Some(value) if self.word(*value) == Word::Ends => Decided::Ends(*value),
            Some(value) => Decided::Persists(*value, said.find(|v| self.word(**v) == Word::Ends).copied()),
        }
    }

    /// Values are written once, so each has its word by a number that looks drawn.
    fn word(&self, value: u64) -> Word {
        let drawn = (value.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 44) as f64 / WHOLE as f64;
        if drawn < self.persist {
            Word::Persists
        } else if drawn < self.persist + self.keep_end {
            Word::Keeps
        } else {
            Word::Ends
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALVES: Lifetimes = Lifetimes { lasts: Duration::from_secs(1), persist: 0.3, keep_end: 0.3 };

    /// The first value from here on with this word.
    fn value(from: u64, word: Word) -> u64 {
        (from..).find(|value| HALVES.word(*value) == word).expect("there is always another")
    }

    #[test]
    fn the_last_write_that_says_something_of_the_end_decides() {
        let (ends, persists, keeps) = (value(1, Word::Ends), value(1, Word::Persists), value(1, Word::Keeps));
        let another = value(ends + 1, Word::Ends);
        assert_eq!(HALVES.decided(&[]), Decided::Unsaid);
        assert_eq!(HALVES.decided(&[keeps]), Decided::Unsaid, "there was no end to keep");
        assert_eq!(HALVES.decided(&[ends, keeps]), Decided::Ends(ends));
        assert_eq!(HALVES.decided(&[another, persists, ends]), Decided::Ends(ends));
        assert_eq!(HALVES.decided(&[ends, persists, keeps]), Decided::Persists(persists, Some(ends)));
        assert_eq!(HALVES.decided(&[ends, 0, persists]), Decided::Persists(persists, None), "that one was deleted");
        assert_eq!(HALVES.decided(&[ends, 0]), Decided::Unsaid);
    }

    #[test]
    fn writes_say_what_the_shares_ask_for_and_only_of_sessions_with_a_set_end() {
        let of_a_thousand = |said: Option<Lifespan>| (0..1_000).filter(|v| HALVES.said_by(1, *v) == said).count();
        let ends = Some(Lifespan { ends_in: Some(HALVES.lasts), idle: None });
        for (said, about) in [(ends, 400), (Some(Lifespan::FOR_EVER), 300), (None, 300)] {
            assert!(of_a_thousand(said).abs_diff(about) < 60, "{said:?}");
        }
        assert!((0..100).all(|value| HALVES.said_by(0, value).is_none()));
        assert!((0..100).all(|value| HALVES.said_by(2, value).is_some_and(|life| life.idle.is_some())));
    }
}
