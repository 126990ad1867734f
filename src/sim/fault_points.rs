//! Fault points: not by chance but one by one. One commit, promotion or catch-up is run again and again, and each time
//! somebody is killed or stopped after one more event of its life, until the life is over and a little beyond.
//!
//! Chance finds the wide gaps; this leaves no narrow one. It covers one setting and one seed of delays: which interleavings
//! exist at all is the model's to say.

use std::time::Duration;

use super::{
    check::{Action, Outcome, Violation},
    fault::{Fault, Whom},
    register::session_key,
    run::{Plan, Report, Setting, finish, letters},
    world::{Event, World},
};
use crate::id::{ArcId, NodeName};

/// Whose life is cut at every point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// One command, from its invocation to its acknowledgement.
    Commit,
    /// A promotion with a command waiting for it, from the kill of the primary on.
    Promotion,
    /// A catch-up with commands coming in, from the restart of the backup on.
    CatchUp,
}

/// Who is hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victim {
    /// The arc's primary at that moment.
    Primary,
    /// Its first in-sync backup.
    Backup,
    /// The node that catches up with it.
    Learner,
}

/// How it is hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blow {
    /// Its process ends; a blank one starts a little later.
    Kill,
    /// Its machine loses power: what it had sent and nobody had received is gone too.
    Vanish,
    /// It stops until long after it was deposed, then goes on with everything that waited for it.
    Stop,
}

/// What came of all points of one life.
#[derive(Clone, Debug, Default)]
pub struct Points {
    /// How many events were followed by a blow.
    pub points: u64,
    /// How many of the blows fell: nobody may have the victim's part at that moment, or it may hold the last copy.
    pub struck: u64,
    /// How often the first command was acknowledged in spite of it.
    pub acknowledged: u64,
    /// How often its outcome stayed unknown to its caller.
    pub unknown: u64,
    /// What was violated, and after which event of the life.
    pub violations: Vec<(u64, Violation)>,
}

/// The session everything is asked of.
const SESSION: u32 = 3;
/// By then the cluster stands.
const STANDS_BY: Duration = Duration::from_millis(1_500);
/// A life longer than this has failed.
const LIFE_MAX: Duration = Duration::from_millis(4_000);
/// Events after the end of a life that are tried as well.
const BEYOND: u64 = 30;

/// Runs the life once for every `stride`-th event of it.
#[must_use]
pub fn every_point(plan: &Plan, life: Life, victim: Victim, blow: Blow, stride: u64) -> Points {
    let mut points = Points::default();
    let events = undisturbed(plan, life) + BEYOND;
    for after in (0..events).step_by(usize::try_from(stride.max(1)).unwrap_or(1)) {
        let (report, outcome, struck) = one_point(plan, life, victim, blow, after);
        points.points += 1;
        points.struck += u64::from(struck);
        match outcome {
            Outcome::Done(_) => points.acknowledged += 1,
            Outcome::Unknown | Outcome::NotDone => points.unknown += 1,
        }
        points.violations.extend(report.violations.into_iter().map(|violation| (after, violation)));
    }
    points
}

/// How many events a life has when nobody interferes.
fn undisturbed(plan: &Plan, life: Life) -> u64 {
    let mut world = begin(plan, life);
    let began = world.handled();
    let until = world.now() + LIFE_MAX;
    while !is_over(&world, life) && world.step(until) {}
    world.handled() - began
}

fn one_point(plan: &Plan, life: Life, victim: Victim, blow: Blow, after: u64) -> (Report, Outcome, bool) {
    let mut world = begin(plan, life);
    let strike_at = world.handled() + after;
    let until = world.now() + LIFE_MAX;
    while world.handled() < strike_at && world.step(until) {}
    let arc = arc(&world);
    let whom = match victim {
        Victim::Primary => Whom::Primary(arc),
        Victim::Backup => Whom::Backup(arc),
        Victim::Learner => Whom::Learner(arc),
    };
    let fault = match blow {
        Blow::Kill => Fault::Kill(whom, Duration::from_millis(700)),
        Blow::Vanish => Fault::Vanish(whom, Duration::from_millis(700)),
        Blow::Stop => Fault::Pause(whom, Duration::from_millis(1_500)),
    };
    let struck = world.strike_now(fault);
    // Others ask the same session while this goes on: what a deposed primary says late must fit what they were told.
    for delay in [20, 150, 400, 900, 1_700] {
        world.run_until(world.now() + Duration::from_millis(delay));
        ask_if_idle(&mut world, 1, |_| Action::Read);
        ask_if_idle(&mut world, 2, |value| Action::Write { value });
        ask_if_idle(&mut world, 0, |_| Action::Read);
    }
    let healed_by = world.now() + Duration::from_secs(5);
    let report = finish(&mut world, healed_by, healed_by + Duration::from_millis(3_500));
    let first = world.history.operations().iter().find(|o| o.client == 0).map_or(Outcome::Unknown, |o| o.outcome);
    (report, first, struck)
}

/// A world in which the life is about to begin.
fn begin(plan: &Plan, life: Life) -> World {
    let calm = Setting { clients: 3, ..Setting::calm() };
    let setting = match life {
        Life::Commit => calm,
        // Somebody is down already, so that a copy has to be left when the blow falls.
        Life::Promotion | Life::CatchUp => Setting { names: letters(5), voters: 5, backups: 2, ..calm },
    };
    let mut world = World::new(plan.seed, setting.with(plan.planted), plan.trace);
    for name in world.setting().names() {
        world.at(Duration::ZERO, Event::Fault(Fault::Start(name)));
    }
    world.run_until(STANDS_BY);
    // A first value, so that what is lost later can be told from what never was.
    ask_if_idle(&mut world, 1, |value| Action::Write { value });
    world.run_until(STANDS_BY + Duration::from_millis(300));
    let arc = arc(&world);
    match life {
        Life::Commit => {
            if let Some(primary) = primary(&world, arc) {
                world.send_client_to(0, primary);
            }
            world.begin(0, SESSION, |value| Action::Write { value });
        }
        Life::Promotion => {
            world.at(Duration::ZERO, Event::Fault(Fault::Kill(Whom::Primary(arc), Duration::from_millis(900))));
            world.begin(0, SESSION, |value| Action::Write { value });
        }
        Life::CatchUp => {
            world.at(Duration::ZERO, Event::Fault(Fault::Kill(Whom::Backup(arc), Duration::from_millis(50))));
            world.begin(0, SESSION, |value| Action::Write { value });
        }
    }
    world
}

fn is_over(world: &World, life: Life) -> bool {
    match life {
        Life::Commit | Life::Promotion => !world.waits(0),
        Life::CatchUp => !world.waits(0) && world.is_whole(),
    }
}

fn arc(world: &World) -> ArcId {
    session_key(SESSION).arc(world.setting().arcs)
}

fn primary(world: &World, arc: ArcId) -> Option<NodeName> {
    world.newest.as_ref().and_then(|view| view.arc(arc)).map(|entry| entry.primary.name)
}

fn ask_if_idle(world: &mut World, client: u32, action: impl Fn(u64) -> Action) {
    if !world.waits(client) {
        world.begin(client, SESSION, action);
    }
}
