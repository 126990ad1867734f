//! Runs whose every step is chosen: what happened to somebody and must not happen again.

use std::time::Duration;

use super::*;
use crate::{id::NodeName, membership::Agreement, sim::fault::Whom};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn name(text: &str) -> NodeName {
    NodeName::new(text).expect("a plain name")
}

/// A ring of these many nodes that stands, in good weather.
fn standing(seed: u64, nodes: u8) -> World {
    let setting = Setting { names: letters(nodes), voters: nodes, agreement: Agreement::Majority, ..Setting::calm() };
    let mut world = World::new(seed, setting, false);
    for name in world.setting().names() {
        world.at(Duration::ZERO, Event::Fault(Fault::Start(name)));
    }
    world.run_until(ms(2_000));
    assert!(world.is_whole(), "seed {seed}: {}", world.what_is_missing());
    world
}

#[test]
fn a_kill_right_after_another_node_slept_past_suspicion_is_made_good_by_the_two_that_live() {
    let mut deposed = 0;
    for seed in 0..60 {
        let mut world = standing(seed, 3);
        let (sleeps, wakes_early) = (ms(560 + 5 * seed), seed % 3 == 0);
        assert!(world.strike_now(Fault::Pause(Whom::Named(name("c")), sleeps)));
        world.run_until(world.now() + sleeps + ms(if wakes_early { 1 } else { 15 }));
        let view = world.newest.clone().expect("it stood");
        let members = view.members.len();
        // Either the sleeper is still in, or it is out; where it is out, every arc has been copied to the two that are left.
        if members == 2 {
            deposed += 1;
            assert_eq!(view.absent_voter().map(|v| v.name), Some(name("c")), "{view:?}");
        }
        if view.unprotected_arcs() > 0 {
            continue; // The only copy of something may be on the one to be killed: that is no test of the vote.
        }
        assert!(
            world.strike_now(Fault::Kill(Whom::Named(name("b")), ms(60_000))),
            "seed {seed}: two of three live, and the ring could not go on without b: {view:?}"
        );
        world.run_until(world.now() + ms(3_000));
        assert!(world.is_whole(), "seed {seed}: {}", world.what_is_missing());
        assert!(world.wrong.is_empty(), "seed {seed}: {:?}", world.wrong);
    }
    assert!(deposed >= 10, "the sleeper was voted out in {deposed} runs only");
}
