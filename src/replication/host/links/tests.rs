use smallvec::smallvec;

use super::*;
use crate::{
    blob::Blob,
    id::SessionKey,
    membership::{
        targets,
        test_views::{founded, node},
    },
    replication::{Body, Durability, FrameHead, Grants, NotHere, ReplicationSettings, SessionChange, Token},
};

const VALUE: usize = 64 * 1024;

/// A host that serves its arcs with a backup, and that backup.
fn pair(window_bytes: usize) -> (Host, Host, Moment) {
    let view = Arc::new(founded(&["a", "b"], 1, 1));
    let goals = targets(&view);
    let now = Moment::START + Duration::from_secs(1);
    let [mut a, mut b] = ["a", "b"]
        .map(|name| Host::new(node(name, 1), Arc::clone(&view), 0, 1, window_bytes, ReplicationSettings::default()));
    for host in [&mut a, &mut b] {
        host.install(Arc::clone(&view), &goals, &Grants::default(), now, &mut Vec::new());
    }
    (a, b, now)
}

fn frames(out: &[Effect]) -> Vec<Frame> {
    let frame = |effect: &Effect| match effect {
        Effect::Frame { frame, .. } => Some(frame.clone()),
        _ => None,
    };
    out.iter().filter_map(frame).collect()
}

/// Carries what one host sent to the other, and the acknowledgements back.
fn carry(from: &mut Host, to: &mut Host, out: &mut Vec<Effect>, now: Moment) {
    let (sender, receiver) = (from.surroundings().me, to.surroundings().me);
    let mut back = Vec::new();
    frames(out).into_iter().for_each(|frame| to.handle_frame(sender, frame, now, &mut back));
    out.clear();
    for effect in back {
        if let Effect::Ack { stream, ack, .. } = effect {
            from.handle_ack(receiver, stream, &ack, now, out);
        }
    }
}

fn append(host: &mut Host, n: u64, now: Moment, out: &mut Vec<Effect>) {
    let key = SessionKey::new("k", n.to_string().as_bytes()).expect("short");
    let body = Body::Image { bytes: Blob::from(&vec![7; VALUE]), state_version: 1 };
    let change = SessionChange { key, body, reply: None, life: None, copied: true };
    host.append(ArcId(0), smallvec![change], Token(n), Durability::Sync, now, out);
}

/// Found by a bench: a batch of large commits was one frame, larger than the transport carries. It was never sent, its backup
/// was dropped for its silence and called back, and so on.
#[test]
fn a_batch_of_large_commits_leaves_as_frames_that_the_transport_carries_and_arrives_in_order() {
    let (mut a, mut b, now) = pair(64 << 20);
    let mut out = Vec::new();
    a.flush(now, &mut out);
    carry(&mut a, &mut b, &mut out, now);
    assert!(a.serve(ArcId(0), now).is_ok());
    out.clear();
    (0..100).for_each(|n| append(&mut a, n, now, &mut out));
    a.flush(now, &mut out);
    let sizes: Vec<usize> = frames(&out).iter().map(|f| f.messages.iter().map(|m| m.content.size()).sum()).collect();
    assert!(sizes.iter().all(|size| *size <= ReplicationSettings::default().frame_bytes), "{sizes:?}");
    assert!(sizes.iter().sum::<usize>() > 100 * VALUE);
    carry(&mut a, &mut b, &mut out, now);
    let released = out.iter().filter(|effect| matches!(effect, Effect::Release(_))).count();
    assert_eq!(released, 100, "every one of them is acknowledged");
}

#[test]
fn what_has_gathered_for_a_link_counts_against_its_window_before_it_is_sent() {
    let (mut a, mut b, now) = pair(10 * VALUE);
    let mut out = Vec::new();
    a.flush(now, &mut out);
    carry(&mut a, &mut b, &mut out, now);
    out.clear();
    let mut appended = 0;
    while a.serve(ArcId(0), now).is_ok() {
        append(&mut a, appended, now, &mut out);
        appended += 1;
    }
    assert_eq!((appended, a.serve(ArcId(0), now).err()), (10, Some(NotHere::Full)));
    a.flush(now, &mut out);
    assert_eq!(a.serve(ArcId(0), now).err(), Some(NotHere::Full));
    carry(&mut a, &mut b, &mut out, now);
    assert!(a.serve(ArcId(0), now).is_ok());
}

#[test]
fn of_links_that_no_node_has_nothing_is_kept_and_nothing_is_acknowledged() {
    let (a, mut b, now) = pair(64 << 20);
    let peer = a.surroundings().me;
    let mut out = Vec::new();
    for stream in [WORKERS_MAX, u16::MAX] {
        let head = FrameHead { view: ViewNumber(1), generation: 1, number: 2 };
        b.handle_frame(peer, Frame { stream, head, messages: Arc::default() }, now, &mut out);
    }
    assert!(out.is_empty() && b.parked.is_empty(), "{out:?}");
}
