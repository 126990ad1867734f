use std::time::Duration;

use super::*;
use crate::{
    membership::{
        View, WishedChange,
        test_views::{founded, node},
    },
    replication::Surroundings,
};

fn wishes(out: &[Effect]) -> Vec<WishedChange> {
    let wish = |effect: &Effect| match effect {
        Effect::Wish(wish) => Some(wish.change),
        _ => None,
    };
    out.iter().filter_map(wish).collect()
}

/// The primary of the only arc of a new ring, its backup's acknowledgement of the beginning taken.
fn serving(backup: NodeId, view: &View, goal: Target, around: &Around<'_>, out: &mut Vec<Effect>) -> Primary {
    let (store, base, entry) = (Store::default(), CommitNumber(0), &view.arcs[0]);
    let mut primary = Primary::promote(ArcId(0), entry, goal, store, base, vec![], None, Moment::START, around, out);
    primary.handle_receipt(backup, view.number, Received::Upto(primary.last()), around, out);
    assert!(primary.is_serving());
    primary
}

/// Found by seed 7239 of the simulator: what a backup had owed when it was dropped was counted against it when it had caught
/// up again, so it was dropped once more at once, and the arc stayed alone for another five seconds.
#[test]
fn a_backup_that_was_dropped_for_its_silence_is_called_in_sync_as_soon_as_it_has_caught_up() {
    let [a, b] = ["a", "b"].map(|name| node(name, 1));
    let settings = ReplicationSettings::default();
    let view = founded(&["a", "b"], 1, 1);
    let goal = Target { primary: Some(a), backups: vec![b] };
    let mut surroundings = Surroundings::new(a, Arc::new(view.clone()));
    let now = Moment::START + Duration::from_secs(1);
    let around = Around { settings: &settings, surroundings: &surroundings, now };
    let mut out = Vec::new();
    let since = view.number;
    let mut primary = serving(b, &view, goal.clone(), &around, &mut out);
    primary.append(Changes::new(), Token(1), Durability::Sync, &around, &mut out);

    let silent = now + settings.ack_after;
    out.clear();
    primary.tick(&mut 9, &mut 9, &Around { now: silent, ..around }, &mut out);
    assert_eq!(wishes(&out), [WishedChange::Drop { node: b, instead: None }]);
    let mut next = view;
    next.number = next.number.next();
    let entry = Arc::make_mut(&mut next.arcs[0]);
    (entry.in_sync, entry.catching_up, entry.changed) = (vec![], Some(b), next.number);
    surroundings.view = Arc::new(next);
    let around = Around { settings: &settings, surroundings: &surroundings, now: silent };
    primary.reconfigure(&surroundings.view.arcs[0], goal.clone(), false, &around, &mut out);

    let later = Around { now: silent + settings.shun, ..around };
    out.clear();
    primary.tick(&mut 9, &mut 9, &later, &mut out);
    let chunk = out.iter().find_map(|effect| match effect {
        Effect::ToBackup { message, .. } if matches!(message.content, ArcContent::Chunk(_)) => Some(message),
        _ => None,
    });
    let received = chunk.expect("its time has come").receipt().of;
    out.clear();
    primary.handle_receipt(b, since, received, &later, &mut out);
    primary.tick(&mut 9, &mut 9, &later, &mut out);
    assert_eq!(wishes(&out), [WishedChange::Add(b)]);

    let mut next = View::clone(&surroundings.view);
    next.number = next.number.next();
    let entry = Arc::make_mut(&mut next.arcs[0]);
    (entry.in_sync, entry.catching_up, entry.changed) = (vec![b], None, next.number);
    surroundings.view = Arc::new(next);
    let around = Around { settings: &settings, surroundings: &surroundings, now: silent + settings.shun };
    out.clear();
    primary.reconfigure(&surroundings.view.arcs[0], goal, false, &around, &mut out);
    primary.tick(&mut 9, &mut 9, &around, &mut out);
    assert_eq!(wishes(&out), [], "it owes nothing yet");
}

/// Found by the scenario `slow-successor`: over a link whose round trip is longer than the lease no lease ever runs when its
/// answer arrives, and every read waited until the link was quick again.
#[test]
fn a_read_is_answered_by_one_round_trip_that_takes_longer_than_the_lease() {
    let [a, b] = ["a", "b"].map(|name| node(name, 1));
    let settings = ReplicationSettings::default();
    let view = founded(&["a", "b"], 1, 1);
    let goal = Target { primary: Some(a), backups: vec![b] };
    let mut surroundings = Surroundings::new(a, Arc::new(view.clone()));
    let now = Moment::START + Duration::from_secs(1);
    let mut out = Vec::new();
    let around = Around { settings: &settings, surroundings: &surroundings, now };
    let mut primary = serving(b, &view, goal, &around, &mut out);
    let released = |out: &[Effect]| out.iter().filter(|e| matches!(e, Effect::Release(_))).count();

    let earlier = now - settings.lease * 2;
    surroundings.leases.take(b, earlier, view.number, settings.lease);
    out.clear();
    let around = Around { settings: &settings, surroundings: &surroundings, now };
    primary.answer(primary.last(), Token(1), &around, &mut out);
    assert_eq!(released(&out), 0, "no lease ran since it was asked");
    // What was sent before the read says nothing of it, however late its answer comes.
    let late = now + settings.lease * 3;
    surroundings.leases.take(b, now - settings.lease, view.number, settings.lease);
    primary.advance(&Around { settings: &settings, surroundings: &surroundings, now: late }, &mut out);
    assert_eq!(released(&out), 0);
    surroundings.leases.take(b, now + Duration::from_millis(1), view.number, settings.lease);
    primary.advance(&Around { settings: &settings, surroundings: &surroundings, now: late }, &mut out);
    assert_eq!(released(&out), 1, "it was the primary when it was asked, and a while after");
}
