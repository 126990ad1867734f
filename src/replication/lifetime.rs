//! How long a session lives: until a moment, or as long as it is used, or both.
//!
//! Only remaining durations travel, in commits and in chunks; each copy counts them from when it got them, by its own clock
//! (guarantee G6). Whatever is lost on the way makes a session end later, never sooner. A session is ended by a commit of its
//! primary and by nothing else: a copy that counted by itself would lose what the primary has prolonged (A15 of the
//! interleavings).
//!
//! A use that changes nothing is no commit. So that a promoted backup does not end a session that was in use, the primary
//! tells of such uses whenever the last word is older than a sixteenth of the idle time, and every copy waits that much
//! longer. Only its own word counts for that: of one that came from the primary before it, it knows when it heard it itself, and
//! another copy may have heard it sooner.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{id::CommitNumber, moment::Moment};

/// The copies know of a use after this part of the idle time at the latest.
const TOLD_WITHIN: u32 = 16;

/// How long a session is to live, from the commit that says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lifespan {
    /// It ends after this, used or not.
    pub ends_in: Option<Duration>,
    /// It ends when it was not used for this long, or at most a sixteenth longer.
    pub idle: Option<Duration>,
}

impl Lifespan {
    /// Only a deletion ends it.
    pub const FOR_EVER: Self = Self { ends_in: None, idle: None };
}

/// Why a session's time was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Lapse {
    /// Its end was set, and came.
    Expired,
    /// It was not used for its idle time.
    Idle,
}

/// What a use that changes nothing asks of the primary before it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// The copies know enough of it once this commit is committed. An earlier word that is still on its way would not do: they
    /// might end the session sooner than its user was promised (seed 2667).
    KnownBy(CommitNumber),
    /// A commit has to tell them.
    ToTell,
}

impl Default for Use {
    fn default() -> Self {
        Self::KnownBy(CommitNumber::default())
    }
}

/// A lifetime on its way to another copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Left {
    span: Lifespan,
    unused_for: Duration,
}

/// A lifetime as one copy counts it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lifetime {
    ends: Option<Moment>,
    idle: Option<Duration>,
    /// The last use known here.
    used: Moment,
    /// The last use that a commit told of.
    told: Moment,
    /// That commit.
    told_by: CommitNumber,
    /// When the timers of the store look at it.
    pub(super) timer: Option<Moment>,
}

impl Lifetime {
    /// Begins to count; `None` for what lives for ever.
    #[must_use]
    pub fn new(span: Lifespan, told_by: CommitNumber, now: Moment) -> Option<Self> {
        let ends = span.ends_in.map(|left| now + left);
        let life = Self { ends, idle: span.idle, used: now, told: now, told_by, timer: None };
        (span != Lifespan::FOR_EVER).then_some(life)
    }

    /// Goes on counting what another copy has counted so far.
    #[must_use]
    pub fn received(left: Left, now: Moment) -> Option<Self> {
        let used = now - left.unused_for;
        // Whoever serves it later has everything committed that came before.
        Self::new(left.span, CommitNumber::default(), now).map(|life| Self { used, told: used, ..life })
    }

    /// What another copy is to be told.
    #[must_use]
    pub fn left(&self, now: Moment) -> Left {
        Left { span: self.span(now), unused_for: now.since(self.told) }
    }

    /// What is left of it; the idle time is told whole.
    #[must_use]
    pub fn span(&self, now: Moment) -> Lifespan {
        Lifespan { ends_in: self.ends.map(|end| end.since(now)), idle: self.idle }
    }

    /// A commit changed the session or told of a use.
    pub fn told(&mut self, by: CommitNumber, now: Moment) {
        self.used = now;
        self.told = now;
        self.told_by = by;
    }

    /// The session was used on a primary whose own history begins with the commit `start`; what the copies have to know before its
    /// user is answered.
    pub fn used(&mut self, start: CommitNumber, now: Moment) -> Use {
        self.used = now;
        match self.idle {
            None => Use::default(),
            Some(idle) if self.told_by >= start && now.since(self.told) < idle / TOLD_WITHIN => {
                Use::KnownBy(self.told_by)
            }
            Some(_) => Use::ToTell,
        }
    }

    /// When it ends, as far as is known now.
    #[must_use]
    pub fn due(&self) -> Option<Moment> {
        [self.ends, self.idle_end()].into_iter().flatten().min()
    }

    /// Why it is over, if it is.
    #[must_use]
    pub fn over(&self, now: Moment) -> Option<Lapse> {
        let is_past = |end: Option<Moment>| end.is_some_and(|end| end <= now);
        match (is_past(self.ends), is_past(self.idle_end())) {
            (true, _) => Some(Lapse::Expired),
            (false, true) => Some(Lapse::Idle),
            (false, false) => None,
        }
    }

    fn idle_end(&self) -> Option<Moment> {
        self.idle.map(|idle| self.used.max(self.told + idle / TOLD_WITHIN) + idle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLD: CommitNumber = CommitNumber(7);
    const IDLE: Duration = Duration::from_secs(160);

    fn at(secs: u64) -> Moment {
        Moment::START + Duration::from_secs(1_000 + secs)
    }

    fn idle() -> Lifetime {
        Lifetime::new(Lifespan { ends_in: None, idle: Some(IDLE) }, TOLD, at(0)).expect("it ends some day")
    }

    #[test]
    fn what_is_used_lives_on_and_its_set_end_comes_all_the_same() {
        let mut life = idle();
        assert_eq!((life.over(at(169)), life.over(at(170))), (None, Some(Lapse::Idle)));
        life.used(TOLD, at(100));
        assert_eq!((life.over(at(259)), life.over(at(260))), (None, Some(Lapse::Idle)));
        let both = Lifespan { ends_in: Some(Duration::from_secs(60)), idle: Some(IDLE) };
        let mut life = Lifetime::new(both, TOLD, at(0)).expect("it ends");
        life.told(TOLD, at(59));
        assert_eq!((life.over(at(59)), life.over(at(60))), (None, Some(Lapse::Expired)));
        assert_eq!(Lifetime::new(Lifespan::FOR_EVER, TOLD, at(0)), None);
    }

    #[test]
    fn the_copies_are_told_of_a_use_before_one_of_them_could_end_the_session_for_want_of_it() {
        let (mut primary, copy) = (idle(), idle());
        assert_eq!(
            primary.used(TOLD, at(9)),
            Use::KnownBy(TOLD),
            "the copy waits that long anyway, once it has heard of that"
        );
        assert!(copy.over(at(9) + IDLE).is_none());
        assert_eq!(primary.used(TOLD, at(10)), Use::ToTell, "of this one it has to hear");
        primary.told(CommitNumber(8), at(10));
        assert_eq!(primary.used(TOLD, at(11)), Use::KnownBy(CommitNumber(8)));
    }

    #[test]
    fn a_promoted_primary_relies_on_no_word_that_another_copy_may_have_heard_before_it_did() {
        // Of one commit the other copy heard at once, this one three seconds later; both count from when they heard it.
        let other = idle();
        let span = Lifespan { ends_in: None, idle: Some(IDLE) };
        let mut promoted = Lifetime::new(span, TOLD, at(3)).expect("it ends some day");
        assert_eq!(promoted.used(TOLD.next(), at(12)), Use::ToTell);
        assert!(other.over(at(11) + IDLE).is_some(), "it ends the session sooner than the user of then was promised");
        promoted.told(TOLD.next(), at(12));
        assert_eq!(promoted.used(TOLD.next(), at(13)), Use::KnownBy(TOLD.next()), "of its own word it knows");
    }

    #[test]
    fn a_lifetime_crosses_clocks_as_what_is_left() {
        let mut life = Lifetime::new(Lifespan { ends_in: Some(IDLE), idle: Some(IDLE) }, TOLD, at(0)).expect("it ends");
        life.told(TOLD, at(40));
        let there = Moment::START + Duration::from_secs(5);
        let life = Lifetime::received(life.left(at(100)), there).expect("it ends");
        assert_eq!(life.span(there), Lifespan { ends_in: Some(Duration::from_secs(60)), idle: Some(IDLE) });
        assert_eq!(life.over(there + Duration::from_secs(59)), None);
        assert_eq!(life.over(there + Duration::from_secs(60)), Some(Lapse::Expired));
    }
}
