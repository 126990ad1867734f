use std::time::Duration;

use smallvec::smallvec;

use super::*;
use crate::{
    blob::Blob,
    membership::{
        View, WishedChange,
        test_views::{founded, node},
    },
    replication::{Body, SessionChange, Surroundings},
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
    primary.append(Changes::new(), (Token(1), None), Durability::Sync, &around, &mut out);

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

/// What was sent to a backup of a commit.
fn commits_to(backup: NodeId, out: &[Effect]) -> Vec<&ArcContent> {
    let content = |effect: &'_ Effect| matches!(effect, Effect::ToBackup { to, .. } if *to == backup);
    let sent = out.iter().filter(|effect| content(effect));
    let sent = sent.filter_map(|effect| match effect {
        Effect::ToBackup { message, .. } => Some(&message.content),
        _ => None,
    });
    sent.filter(|content| matches!(content, ArcContent::Commit(_) | ArcContent::Answering(..))).collect()
}

/// The first of three nodes, whose backup is the second.
fn three() -> ([NodeId; 3], View, Target, Surroundings) {
    let nodes @ [a, b, _] = ["a", "b", "c"].map(|name| node(name, 1));
    let view = founded(&["a", "b", "c"], 1, 1);
    let surroundings = Surroundings::new(a, Arc::new(view.clone()));
    (nodes, view, Target { primary: Some(a), backups: vec![b] }, surroundings)
}

/// A commit of one session.
fn change(n: u8) -> Changes {
    let key = SessionKey::new("k", &[n]).expect("short");
    let body = Body::Image { bytes: Blob::from(&[n]), state_version: 1 };
    smallvec![SessionChange { key, body, reply: None, life: None, copied: true }]
}

#[test]
fn the_only_backup_is_asked_to_tell_its_caller_and_a_reply_leaves_from_here_where_it_did_not() {
    let ([a, b, c], view, goal, surroundings) = three();
    let settings = ReplicationSettings::default();
    let around = Around { settings: &settings, surroundings: &surroundings, now: Moment::START };
    let mut out = Vec::new();
    let mut primary = serving(b, &view, goal.clone(), &around, &mut out);
    let asker = |node, call| Some(Asker { node, call });
    let append = |primary: &mut Primary, n: u8, asker, out: &mut Vec<Effect>| {
        out.clear();
        primary.append(change(n), (Token(u64::from(n)), asker), Durability::Sync, &around, out)
    };
    let asked = append(&mut primary, 1, asker(b, 7), &mut out);
    assert!(matches!(commits_to(b, &out)[..], [ArcContent::Answering(7, _)]));
    append(&mut primary, 2, asker(c, 8), &mut out);
    assert!(matches!(commits_to(b, &out)[..], [ArcContent::Commit(_)]), "it is no caller of the backup's");
    out.clear();
    primary.handle_receipt(b, view.number, Received::Upto(asked.next()), &around, &mut out);
    assert_eq!(out[..], [Effect::Told(Token(1)), Effect::Release(Token(2))]);

    // It is dropped before it has answered, and another catches up.
    let untold = append(&mut primary, 3, asker(b, 9), &mut out);
    let mut next = view;
    next.number = next.number.next();
    let entry = Arc::make_mut(&mut next.arcs[0]);
    (entry.in_sync, entry.catching_up, entry.changed) = (vec![], Some(c), next.number);
    let surroundings = Surroundings::new(a, Arc::new(next));
    let around = Around { surroundings: &surroundings, ..around };
    out.clear();
    primary.reconfigure(&surroundings.view.arcs[0], goal, false, &around, &mut out);
    assert_eq!(primary.committed(), untold);
    assert!(!out.contains(&Effect::Told(Token(3))), "nobody has told it");
    out.clear();
    primary.append(change(4), (Token(4), asker(c, 10)), Durability::Sync, &around, &mut out);
    assert!(commits_to(c, &out).iter().all(|content| matches!(content, ArcContent::Commit(_))), "it is not in sync");
}

#[test]
fn a_commit_says_that_it_is_committed_once_stored_only_to_a_backup_beside_which_nobody_has_to_have_it() {
    let ([a, b, c], view, goal, surroundings) = three();
    let settings = ReplicationSettings::default();
    let around = Around { settings: &settings, surroundings: &surroundings, now: Moment::START };
    let says = |primary: &mut Primary, around: &Around<'_>| {
        let mut out = Vec::new();
        let number = primary.append(change(1), (Token(1), None), Durability::Sync, around, &mut out);
        let said = out.iter().filter_map(|effect| match effect {
            Effect::ToBackup { to, message } => Some((*to, message.committed == number)),
            _ => None,
        });
        said.collect::<Vec<_>>()
    };
    let mut primary = serving(b, &view, goal.clone(), &around, &mut Vec::new());
    assert_eq!(says(&mut primary, &around), [(b, true)]);
    let mut next = view;
    next.number = next.number.next();
    let entry = Arc::make_mut(&mut next.arcs[0]);
    (entry.in_sync, entry.changed) = (vec![b, c], next.number);
    let surroundings = Surroundings::new(a, Arc::new(next));
    let around = Around { surroundings: &surroundings, ..around };
    primary.reconfigure(&surroundings.view.arcs[0], goal, false, &around, &mut Vec::new());
    assert_eq!(says(&mut primary, &around), [(b, false), (c, false)]);
}
