//! Mixes of faults: what goes wrong together, by name. Random faults everywhere find most bugs late; each mix leans on one
//! weak spot of such a protocol, and over the seeds every mix has its turn (swarm testing: Groce et al. 2012).

use std::{fmt, time::Duration};

use super::{FAULTS_FROM, FAULTS_UNTIL, Setting, setting::letters};
use crate::{
    id::{ArcId, NodeName},
    membership::Standing,
    sim::{
        fault::{Cut, Fault, Whom},
        random::{Stream, Streams},
        world::{Event, World},
    },
};

/// A mix of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mix {
    /// Kills, pauses, splits and one-way cuts of anybody at any time.
    Storm,
    /// Primaries that the voters no longer hear, while their backups do.
    Voters,
    /// Primaries that stop for longer than their lease, some until they are deposed.
    Pauses,
    /// Primaries cut off together with one of two backups.
    Islands,
    /// Kills of whoever catches up, or of who feeds it.
    CatchUp,
    /// Kills between a wish and the view that would grant it.
    Wishes,
    /// Impatient callers, and old requests that come again.
    Retries,
    /// Restarts in quick succession.
    Restarts,
    /// Two backups, a lossy network, and primaries killed under load.
    Losses,
    /// Nodes that drain or are cordoned, and kills of whoever is concerned meanwhile.
    Drains,
    /// Pinned arcs, losses that put them elsewhere, and homes that claim them; kills of whoever is concerned meanwhile.
    Pins,
    /// Sessions that end by themselves, and the death or sleep of whoever counts their time.
    Expiries,
    /// Votes that outlive their processes: several killed at once, all of them now and then.
    Stops,
    /// A quorum killed for good, and an operator who has the others go on without it.
    Recoveries,
    /// Faults before there is a cluster: starts in any order, halves apart, blank restarts.
    Founding,
}

impl Mix {
    /// Every mix.
    pub const ALL: [Self; 15] = [
        Self::Storm,
        Self::Voters,
        Self::Pauses,
        Self::Islands,
        Self::CatchUp,
        Self::Wishes,
        Self::Retries,
        Self::Restarts,
        Self::Losses,
        Self::Drains,
        Self::Pins,
        Self::Expiries,
        Self::Stops,
        Self::Recoveries,
        Self::Founding,
    ];

    /// Its name, as written and read on a command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Storm => "storm",
            Self::Voters => "voters",
            Self::Pauses => "pauses",
            Self::Islands => "islands",
            Self::CatchUp => "catch-up",
            Self::Wishes => "wishes",
            Self::Retries => "retries",
            Self::Restarts => "restarts",
            Self::Losses => "losses",
            Self::Drains => "drains",
            Self::Pins => "pins",
            Self::Expiries => "expiries",
            Self::Stops => "stops",
            Self::Recoveries => "recoveries",
            Self::Founding => "founding",
        }
    }

    /// The mix of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mix| mix.name() == name)
    }

    /// The mix that a seed has when none is asked for: a storm in three of ten, the others by turns.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let mut chance = Streams::new(seed).stream("mix");
        let other = chance.choose(&Self::ALL[1..]).copied().unwrap_or(Self::Storm);
        if chance.chance(0.3) { Self::Storm } else { other }
    }

    /// Bends a drawn setting to what this mix needs.
    pub(crate) fn bend(self, setting: &mut Setting, chance: &mut Stream) {
        match self {
            Self::Storm | Self::Pauses | Self::Restarts => {}
            Self::Voters => {
                setting.names = letters(5);
                setting.voters = if chance.chance(0.7) { 3 } else { 5 };
                // What a deposed primary answers by mistake it answers in the moment of its lease: somebody has to ask then.
                setting.pause = Duration::from_millis(2);
            }
            Self::Islands => {
                setting.names = letters(5);
                setting.voters = 5;
                setting.backups = 2;
            }
            Self::CatchUp => {
                setting.replication.chunks_in_flight = 1;
                setting.pause = Duration::from_millis(2);
            }
            Self::Wishes => setting.kill_on_wish = 0.3,
            // Sessions must lie idle now and then.
            Self::Expiries => setting.pause = Duration::from_millis(chance.range(20, 120)),
            Self::Drains | Self::Pins => setting.kill_on_wish = if chance.chance(0.5) { 0.1 } else { 0.0 },
            Self::Retries => {
                setting.try_for = Duration::from_millis(chance.range(5, 60));
                setting.ghosts = 0.2;
            }
            Self::Losses => {
                setting.voters = 4 + u8::from(chance.chance(0.5));
                setting.names = letters(setting.voters);
                setting.backups = 2;
                setting.weather.drop = 0.15;
                setting.weather.delay_mean = Duration::from_millis(3);
                setting.pause = Duration::from_millis(2);
            }
            Self::Stops => {
                setting.keeps_votes = true;
                setting.kill_on_vote = if chance.chance(0.5) { 0.03 } else { 0.0 };
                setting.may_lose = true;
            }
            Self::Recoveries => {
                setting.recovers = true;
                setting.may_lose = true;
            }
            Self::Founding => {
                setting.voters = if chance.chance(0.3) { 3 } else { setting.voters };
                setting.kill_on_founding = if chance.chance(0.5) { 0.05 } else { 0.0 };
                setting.spares_one = chance.chance(0.4);
            }
        }
    }

    /// Everything that goes wrong, until `FAULTS_UNTIL`, in the order of its numbers; what starts the processes comes first.
    fn draw(self, seed: u64, setting: &Setting) -> (usize, Vec<(Duration, Fault)>) {
        let chance = Streams::new(seed).stream("faults");
        let until = (FAULTS_FROM, FAULTS_UNTIL);
        let names = setting.names();
        let starts = names.len();
        let mut drawing = Drawing { chance, names, arcs: setting.arcs, until, faults: Vec::new() };
        if self == Self::Founding {
            drawing.founding();
        } else {
            drawing.starts(Duration::from_millis(300));
            drawing.later(self);
        }
        (starts, drawing.faults)
    }

    /// The faults of a seed, by number.
    pub(crate) fn faults(self, seed: u64, setting: &Setting) -> Vec<(Duration, Fault)> {
        let (starts, mut drawn) = self.draw(seed, setting);
        drawn.drain(..starts);
        drawn
    }

    /// Starts the processes and schedules everything that goes wrong, or only these faults.
    pub(crate) fn schedule(self, seed: u64, world: &mut World, only: Option<&[usize]>) {
        let (starts, drawn) = self.draw(seed, world.setting());
        for (number, (at, fault)) in drawn.into_iter().enumerate() {
            if number < starts || only.is_none_or(|only| only.contains(&(number - starts))) {
                world.at(at, Event::Fault(fault));
            }
        }
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Faults being drawn.
pub(crate) struct Drawing {
    chance: Stream,
    names: Vec<NodeName>,
    arcs: u16,
    /// From when until when.
    until: (Duration, Duration),
    faults: Vec<(Duration, Fault)>,
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

impl Drawing {
    /// What a mix has go wrong under a seed, in a cluster that stands.
    pub(crate) fn faults(
        seed: u64,
        mix: Mix,
        names: Vec<NodeName>,
        arcs: u16,
        from: Duration,
        until: Duration,
    ) -> Vec<(Duration, Fault)> {
        let chance = Streams::new(seed).stream("faults");
        let mut drawing = Self { chance, names, arcs, until: (from, until), faults: Vec::new() };
        drawing.later(mix);
        drawing.faults
    }

    fn starts(&mut self, within: Duration) {
        for name in self.names.clone() {
            let at = self.chance.duration(Duration::ZERO, within);
            self.faults.push((at, Fault::Start(name)));
        }
    }

    fn name(&mut self) -> NodeName {
        *self.chance.choose(&self.names).expect("a run has nodes")
    }

    fn arc(&mut self) -> ArcId {
        ArcId(u16::try_from(self.chance.range(0, u64::from(self.arcs))).expect("below a u16"))
    }

    fn lasting(&mut self, at: Duration, fault: Fault, lasts: Duration) {
        self.faults.push((at, fault));
        self.faults.push((at + lasts, Fault::Mend));
    }

    fn later(&mut self, mix: Mix) {
        let calm = ms(self.chance.range(100, 1_500));
        let (mut at, until) = self.until;
        while at < until {
            // A mix never comes alone: what it leans on also meets the ordinary.
            let storms = mix == Mix::Storm || self.chance.chance(0.2);
            if storms {
                self.storm(at);
            } else {
                self.one_of(mix, at);
            }
            at += calm + self.chance.exponential(ms(500), ms(3_000));
        }
    }

    fn storm(&mut self, at: Duration) {
        let (name, other) = (self.name(), self.name());
        let lasts = self.chance.duration(ms(50), ms(2_000));
        match self.chance.range(0, 10) {
            0..4 => self.faults.push((at, Fault::Kill(Whom::Named(name), lasts))),
            4..6 => self.faults.push((at, Fault::Pause(Whom::Named(name), lasts))),
            6..8 => {
                let group = if self.chance.chance(0.7) { vec![name] } else { vec![name, other] };
                let told = self.chance.chance(0.3);
                self.lasting(at, Fault::Cut { cut: Cut::Group(group), told }, lasts);
            }
            _ => self.lasting(at, Fault::Cut { cut: Cut::OneWay(name, other), told: false }, lasts),
        }
    }

    fn one_of(&mut self, mix: Mix, at: Duration) {
        let arc = self.arc();
        let told = self.chance.chance(0.5);
        match mix {
            Mix::Storm | Mix::Founding => self.storm(at),
            Mix::Voters => {
                let lasts = self.chance.duration(ms(700), ms(2_500));
                let deaf = self.chance.chance(0.5);
                self.lasting(at, Fault::Cut { cut: Cut::FromVoters { arc, deaf }, told }, lasts);
            }
            Mix::Pauses => {
                // Around the lease, around the deposing, and long after.
                let longest = [350, 1_200, 3_000][usize::try_from(self.chance.range(0, 3)).expect("small")];
                let lasts = self.chance.duration(ms(180), ms(longest));
                self.faults.push((at, Fault::Pause(Whom::Primary(arc), lasts)));
            }
            Mix::Islands => {
                let lasts = self.chance.duration(ms(300), ms(2_500));
                self.lasting(at, Fault::Cut { cut: Cut::Island(arc), told }, lasts);
            }
            Mix::CatchUp => {
                let down = self.chance.duration(ms(50), ms(300));
                self.faults.push((at, Fault::Kill(Whom::Backup(arc), down)));
                for _ in 0..3 {
                    let soon = at + down + self.chance.duration(ms(100), ms(900));
                    let whom = if self.chance.chance(0.5) { Whom::Learner(arc) } else { Whom::Primary(arc) };
                    self.faults.push((soon, Fault::Kill(whom, self.chance.duration(ms(50), ms(600)))));
                }
            }
            // The wishes that follow a kill are what the setting then strikes at.
            Mix::Wishes => {
                let down = self.chance.duration(ms(50), ms(600));
                self.faults.push((at, Fault::Kill(Whom::Backup(arc), down)));
            }
            Mix::Retries => {
                let down = self.chance.duration(ms(50), ms(1_000));
                let whom = Whom::Primary(arc);
                let stops = self.chance.chance(0.4);
                self.faults.push((at, if stops { Fault::Pause(whom, down) } else { Fault::Kill(whom, down) }));
            }
            Mix::Restarts => {
                let name = self.name();
                let mut at = at;
                for _ in 0..self.chance.range(2, 6) {
                    let down = self.chance.duration(ms(1), ms(60));
                    self.faults.push((at, Fault::Kill(Whom::Named(name), down)));
                    at += down + self.chance.duration(ms(1), ms(300));
                }
            }
            Mix::Drains => {
                let lasts = self.chance.duration(ms(100), ms(3_000));
                let standing = if self.chance.chance(0.8) { Standing::Draining } else { Standing::Cordoned };
                let whom = if self.chance.chance(0.5) { Whom::Primary(arc) } else { Whom::Named(self.name()) };
                self.faults.push((at, Fault::Stand(whom, standing, lasts)));
                let soon = at + self.chance.duration(ms(1), ms(150));
                let down = self.chance.duration(ms(50), ms(1_000));
                match self.chance.range(0, 6) {
                    0 => self.faults.push((soon, Fault::Kill(whom, down))),
                    1 => self.faults.push((soon, Fault::Kill(Whom::Backup(arc), down))),
                    2 => self.faults.push((soon, Fault::Vanish(Whom::Primary(arc), down))),
                    3 => self.faults.push((soon, Fault::Pause(whom, down))),
                    4 => self.lasting(soon, Fault::Cut { cut: Cut::FromVoters { arc, deaf: told }, told }, down),
                    _ => {}
                }
            }
            Mix::Pins => {
                // First arcs have to be away from home.
                let home = self.name();
                let down = self.chance.duration(ms(50), ms(600));
                self.faults.push((at, Fault::Kill(Whom::Named(home), down)));
                let claimed = at + down + self.chance.duration(ms(100), ms(1_200));
                let lasts = self.chance.duration(ms(50), ms(2_500));
                self.faults.push((claimed, Fault::Claim(Whom::Named(home), lasts)));
                let soon = claimed + self.chance.duration(ms(1), ms(300));
                let down = self.chance.duration(ms(50), ms(1_000));
                match self.chance.range(0, 8) {
                    0 => self.faults.push((soon, Fault::Kill(Whom::Named(home), down))),
                    1 => self.faults.push((soon, Fault::Kill(Whom::Primary(arc), down))),
                    2 => self.faults.push((soon, Fault::Pause(Whom::Primary(arc), down))),
                    3 => self.faults.push((soon, Fault::Stand(Whom::Named(home), Standing::Cordoned, down))),
                    4 => self.faults.push((soon, Fault::Stand(Whom::Primary(arc), Standing::Draining, down))),
                    5 => self.lasting(soon, Fault::Cut { cut: Cut::FromVoters { arc, deaf: told }, told }, down),
                    _ => {}
                }
            }
            Mix::Stops => {
                let mut names = self.names.clone();
                self.chance.shuffle(&mut names);
                let all = self.chance.chance(0.3);
                let some = if all { names.len() } else { names.len() / 2 + 1 };
                for name in names.into_iter().take(some) {
                    let at = at + self.chance.duration(Duration::ZERO, ms(200));
                    self.faults.push((at, Fault::Kill(Whom::Named(name), self.chance.duration(ms(5), ms(1_500)))));
                }
            }
            Mix::Recoveries => {
                let mut names = self.names.clone();
                self.chance.shuffle(&mut names);
                for name in names.iter().take(names.len().div_ceil(2)) {
                    let at = at + self.chance.duration(Duration::ZERO, ms(60));
                    self.faults.push((at, Fault::Kill(Whom::Named(*name), self.chance.duration(ms(50), ms(2_500)))));
                }
                let looks = at + self.chance.duration(ms(400), ms(2_000));
                self.faults.push((looks, Fault::Recover));
                if self.chance.chance(0.5) {
                    let later = self.chance.duration(ms(50), ms(3_000));
                    self.faults.push((looks + later, Fault::ClearLost));
                }
                // Now and then somebody dies while it is under way.
                if self.chance.chance(0.4) {
                    let soon = looks + self.chance.duration(Duration::ZERO, ms(20));
                    let down = self.chance.duration(ms(50), ms(600));
                    let name = self.name();
                    self.faults.push((soon, Fault::Kill(Whom::Named(name), down)));
                    self.faults.push((soon + ms(900), Fault::Recover));
                }
            }
            Mix::Expiries => {
                let down = self.chance.duration(ms(50), ms(1_200));
                match self.chance.range(0, 5) {
                    0 => self.faults.push((at, Fault::Kill(Whom::Primary(arc), down))),
                    1 => self.faults.push((at, Fault::Pause(Whom::Primary(arc), down))),
                    2 => self.faults.push((at, Fault::Pause(Whom::Backup(arc), down / 2))),
                    3 => self.faults.push((at, Fault::Stand(Whom::Primary(arc), Standing::Draining, down))),
                    _ => self.lasting(at, Fault::Cut { cut: Cut::FromBackup(arc), told: false }, down),
                }
            }
            Mix::Losses => {
                // What the primary says last reaches one backup and not the one that will be promoted.
                let halves = self.chance.duration(ms(10), ms(300));
                let down = self.chance.duration(ms(50), ms(1_000));
                let (whom, vanishes) = (Whom::Primary(arc), self.chance.chance(0.5));
                self.lasting(at, Fault::Cut { cut: Cut::FromBackup(arc), told: false }, halves + ms(1));
                let end = if vanishes { Fault::Vanish(whom, down) } else { Fault::Kill(whom, down) };
                self.faults.push((at + halves, end));
            }
        }
    }

    /// Starts in any order, some of them late; halves apart from the beginning; blank restarts beside whoever got further.
    fn founding(&mut self) {
        let within = [300, 1_000, 4_000][usize::try_from(self.chance.range(0, 3)).expect("small")];
        self.starts(ms(within));
        if self.chance.chance(0.5) {
            let mut names = self.names.clone();
            self.chance.shuffle(&mut names);
            let some = usize::try_from(self.chance.range(1, names.len() as u64)).expect("few");
            names.truncate(some);
            let lasts = self.chance.duration(ms(300), ms(5_000));
            self.lasting(Duration::ZERO, Fault::Cut { cut: Cut::Group(names), told: false }, lasts);
        }
        for _ in 0..self.chance.range(0, 6) {
            let name = self.name();
            let mut at = self.chance.duration(ms(20), ms(within + 700));
            let twice = self.chance.range(1, 3);
            for _ in 0..twice {
                let down = self.chance.duration(ms(1), ms(400));
                self.faults.push((at, Fault::Kill(Whom::Named(name), down)));
                at += down + self.chance.duration(ms(1), ms(400));
            }
        }
        if self.chance.chance(0.3) {
            let at = self.chance.duration(ms(20), ms(within + 500));
            let (whom, lasts) = (Whom::Named(self.name()), self.chance.duration(ms(100), ms(2_000)));
            self.faults.push((at, Fault::Pause(whom, lasts)));
        }
        // A cluster stands, a part of it is cut off, and everybody else starts anew, blank: they must wait for it.
        if self.chance.chance(0.35) {
            let at = self.chance.duration(ms(500), ms(within + 1_500));
            let mut names = self.names.clone();
            self.chance.shuffle(&mut names);
            let apart = usize::try_from(self.chance.range(1, names.len() as u64 / 2 + 1)).expect("few");
            let others = names.split_off(apart);
            let lasts = self.chance.duration(ms(1_500), ms(4_000));
            self.lasting(at, Fault::Cut { cut: Cut::Group(names), told: true }, lasts);
            for name in others {
                let soon = at + self.chance.duration(ms(1), ms(200));
                self.faults.push((soon, Fault::Kill(Whom::Named(name), self.chance.duration(ms(5), ms(300)))));
            }
        }
    }
}
