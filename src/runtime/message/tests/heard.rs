//! What a node's arcs make of whatever its peers say: bytes cut into messages, read, and handed to a host that is a primary of some
//! arcs, a backup of others and is learning one, as the data lane and the heartbeats hand them to it.
//!
//! Whoever got past the handshake is trusted to mean well, not to be right: a broken or a mismatching node must take no other with
//! it. So nothing panics, and when that peer is gone, this node serves what it held as its backup.

use super::*;
use crate::{
    id::ArcId,
    membership::{
        View, targets,
        test_views::{founded, node, without},
    },
    moment::Moment,
    replication::{Body, Changes, Effect, Grants, Host, Primary, Replica, ReplicationSettings, SessionChange, Token},
};

const NAMES: [&str; 3] = ["a", "b", "c"];
const ARCS: u16 = 6;
/// Between two messages: so that all that waits for time gets some.
const STEP: Duration = Duration::from_millis(20);

fn peer(name: &str) -> NodeId {
    node(name, 1)
}

/// Three nodes, of which `b` holds a copy of some arcs of `a` and catches up with one that nobody else has.
fn view() -> View {
    let mut view = founded(&NAMES, ARCS, 1);
    let (a, b) = (peer("a"), peer("b"));
    let guarded = view.arcs.iter().position(|entry| entry.primary == a && entry.in_sync == [b]);
    let entry = Arc::make_mut(&mut view.arcs[guarded.expect("b is the successor of a")]);
    entry.in_sync.clear();
    entry.catching_up = Some(b);
    view.check().expect("it does not contradict itself");
    view
}

/// The nodes of a ring, and what is on its way between them.
pub(super) struct Ring {
    hosts: Vec<Host>,
    now: Moment,
}

impl Ring {
    /// One in which each node serves, with a commit in each arc.
    fn serving() -> Self {
        let view = Arc::new(view());
        let goals = targets(&view);
        let now = Moment::START + Duration::from_secs(1);
        let settings = ReplicationSettings::default();
        let mut hosts: Vec<Host> = NAMES
            .iter()
            .map(|name| Host::new(peer(name), Arc::clone(&view), 0, 1, 1 << 20, settings.clone()))
            .collect();
        for host in &mut hosts {
            host.install(Arc::clone(&view), &goals, &Grants::default(), now, &mut Vec::new());
        }
        let mut ring = Self { hosts, now };
        ring.settle(&mut |_, _, _| {});
        ring.commit_everywhere(1);
        ring.settle(&mut |_, _, _| {});
        ring
    }

    /// Carries whatever is to be carried until nothing is, and tells `told` of it.
    fn settle(&mut self, told: &mut dyn FnMut(usize, usize, &DataMessage)) {
        for _ in 0..8 {
            self.now = self.now + STEP;
            let mut out: Vec<Vec<Effect>> = vec![Vec::new(); self.hosts.len()];
            for (host, out) in self.hosts.iter_mut().zip(&mut out) {
                host.tick(self.now, out);
                host.flush(self.now, out);
            }
            for (from, effects) in out.into_iter().enumerate() {
                let said = effects.into_iter().filter_map(said).collect::<Vec<_>>();
                for (to, message) in said {
                    self.carry(from, to, message, told);
                }
            }
        }
    }

    fn carry(
        &mut self,
        from: usize,
        to: NodeId,
        message: DataMessage,
        told: &mut dyn FnMut(usize, usize, &DataMessage),
    ) {
        let at = NAMES.iter().position(|name| peer(name) == to).expect("one of them");
        told(from, at, &message);
        let mut out = Vec::new();
        hear(&mut self.hosts[at], peer(NAMES[from]), message, self.now, &mut out);
        for (back, message) in out.into_iter().filter_map(said) {
            self.carry(at, back, message, told);
        }
    }

    fn commit_everywhere(&mut self, token: u64) {
        for host in &mut self.hosts {
            commit_in_all(host, token, self.now);
        }
    }
}

fn said(effect: Effect) -> Option<(NodeId, DataMessage)> {
    match effect {
        Effect::Frame { to, frame } => Some((to, DataMessage::Frame(frame))),
        Effect::Ack { to, stream, ack } => Some((to, DataMessage::Ack(stream, ack))),
        _ => None,
    }
}

fn hear(host: &mut Host, from: NodeId, message: DataMessage, now: Moment, out: &mut Vec<Effect>) {
    match message {
        DataMessage::Frame(frame) => host.handle_frame(from, frame, now, out),
        DataMessage::Ack(stream, ack) => host.handle_ack(from, stream, &ack, now, out),
        // What sessions are asked and answered is no matter of arcs.
        DataMessage::Calls(_) | DataMessage::Replies(_) => {}
    }
}

/// A commit in each arc that is served; how many those are.
fn commit_in_all(host: &mut Host, token: u64, now: Moment) -> usize {
    let mut served = 0;
    for arc in (0..ARCS).map(ArcId) {
        if host.serve(arc, now).is_err() {
            continue;
        }
        served += 1;
        let key = SessionKey::new("cart", format!("{token}").as_bytes()).expect("short");
        let body = Body::Image { bytes: Blob::from("a state"), state_version: 1 };
        let life = Some(Lifespan { ends_in: Some(Duration::from_secs(60)), idle: Some(Duration::from_secs(9)) });
        let changes: Changes = [SessionChange { key, body, reply: None, life, copied: true }].into_iter().collect();
        host.append(arc, changes, Token(token), Durability::Sync, now, &mut Vec::new());
    }
    served
}

/// What `b` hears: messages with their lengths before them, the first byte of each says of whom it is.
fn say(host: &mut Host, bytes: &[u8], mut now: Moment) {
    let mut out = Vec::new();
    let mut stream = BytesMut::from(bytes);
    while let Ok(Some(message)) = frame::cut(&mut stream, MAX) {
        let Some((from, message)) = message.split_first() else { continue };
        // The last of them is in no view.
        let from = peer(["a", "c", "d"][usize::from(from % 3)]);
        now = now + STEP;
        match (DataMessage::decode(message, MAX), HeartbeatMessage::decode(message)) {
            (Ok(Some(message)), _) => hear(host, from, message, now, &mut out),
            (_, Some(HeartbeatMessage::Ping(ping))) => host.handle_installed(from, ping.installed, now, &mut out),
            (_, Some(HeartbeatMessage::Pong(pong))) => {
                host.handle_installed(from, pong.installed, now, &mut out);
                host.handle_grant(from, now, pong.stamp, now, &mut out);
            }
            _ => {}
        }
        host.tick(now, &mut out);
        host.flush(now, &mut out);
        host.sweep(now, 8);
        host.over(8, now);
        out.clear();
    }
    takes_over(host, now);
}

/// The peer is gone: of what `b` held as its backup it is the primary now, and serves.
fn takes_over(host: &mut Host, now: Moment) {
    let me = peer("b");
    let mut next = without(&view(), &["a"]);
    next.number = next.number.next();
    let mut taken = 0;
    for entry in &mut next.arcs {
        let entry = Arc::make_mut(entry);
        let is_guarded = entry.primary == peer("a") && entry.in_sync == [me];
        entry.in_sync.retain(|backup| *backup != peer("a"));
        if is_guarded {
            entry.in_sync.clear();
            (entry.primary, entry.since) = (me, next.number);
            taken += 1;
        }
        entry.changed = next.number;
        if entry.primary == peer("a") {
            entry.catching_up = None;
        }
    }
    next.check().expect("it does not contradict itself");
    assert!(taken > 0, "b guards arcs of a");
    let (goals, later) = (targets(&next), now + Duration::from_secs(10));
    let mut out = Vec::new();
    host.install(Arc::new(next.clone()), &goals, &Grants::default(), later, &mut out);
    host.tick(later, &mut out);
    host.flush(later, &mut out);
    for (arc, entry) in next.entries().filter(|(_, entry)| entry.primary == me && entry.since == next.number) {
        let served = host.serve(arc, later).map(|primary| primary.last());
        assert!(served.is_ok(), "arc {arc} of {entry:?}: {served:?}");
    }
    assert!(commit_in_all(host, 3, later) >= taken);
    host.over(64, later + Duration::from_secs(3_600));
    host.flush(later, &mut out);
}

#[test]
fn words_of_other_nodes_do_no_harm_to_what_is_held() {
    let seen = AtomicUsize::new(0);
    let mut ring = Ring::serving();
    ring.commit_everywhere(2);
    let (b, now) = (ring.hosts.swap_remove(1), ring.now);
    bolero::check!().with_iterations(ROUNDS).for_each(|bytes| {
        seen.fetch_add(1, Ordering::Relaxed);
        say(&mut b.clone(), bytes, now);
    });
    assert!(seen.into_inner() > ROUNDS, "the corpus was not found");
}

#[test]
fn what_is_said_in_a_ring_that_works_is_stored_here_and_acknowledged() {
    let mut ring = Ring::serving();
    let serves = |host: &Host| host.replicas().filter(|(_, r)| r.as_primary().is_some_and(Primary::is_serving)).count();
    assert_eq!(ring.hosts.iter().map(serves).sum::<usize>(), usize::from(ARCS));
    let mut heard = 0;
    ring.commit_everywhere(2);
    ring.settle(&mut |_, to, _| heard += usize::from(to == 1));
    assert!(heard > 2, "b heard {heard} messages");
    let b = &mut ring.hosts[1];
    let last: Vec<u64> = b.replicas().filter_map(|(_, replica)| Some(replica.as_backup()?.last().0)).collect();
    assert_eq!(last, vec![3; last.len()], "a start record and two commits");
    let is_whole = |replica: &Replica| matches!(replica, Replica::Learner(learner) if learner.whole().is_some());
    assert!(!last.is_empty() && b.replicas().any(|(_, replica)| is_whole(replica)), "and it caught up with one arc");
    say(b, b"", ring.now);
}
