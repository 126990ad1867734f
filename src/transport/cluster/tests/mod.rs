//! Real listeners and real sockets on loopback. Every kind of bad input that a port meets, crossing dials, lost peers, peers
//! that do not read; and, ignored unless asked for, how fast it is.

mod bounds;
mod measure;
mod strangers;

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::*;
use crate::{
    transport::{
        Heartbeats, Refusal,
        testing::{Event, Recorder, node},
    },
    wire::{
        frame,
        handshake::{Hello, Introduction, Kind, Proof, VERSIONS, Welcome, decode, encode},
        limits::QueueBound,
    },
};

struct Side {
    id: NodeId,
    pipes: Arc<ClusterTransport>,
    beats: HeartbeatSocket,
    heard: Arc<Recorder>,
}

impl Side {
    fn address(&self) -> String {
        self.pipes.bound().to_string()
    }

    fn dials(&self, other: &Self) {
        self.pipes.dial(other.id.name, &other.address());
    }

    async fn is_up(&self, other: &Self) {
        self.heard.wait(|events| last_word(events, other.id) == Some(true)).await;
    }

    async fn is_down(&self, other: &Self) {
        self.heard.wait(|events| last_word(events, other.id) == Some(false)).await;
    }

    fn send(&self, other: &Self, lane: Lane, class: Class, message: impl Into<Bytes>) -> Result<(), NotSent> {
        self.pipes.send(other.id, lane, class, message.into())
    }

    async fn hears(&self, other: &Self, lane: Lane, text: &'static str) {
        self.heard.wait(|events| events.contains(&Event::Message(other.id, lane, text.into()))).await;
    }

    /// A connection of a stranger.
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.pipes.bound()).await.expect("loopback")
    }
}

fn last_word(events: &[Event], about: NodeId) -> Option<bool> {
    events.iter().rev().find_map(|event| match event {
        Event::Up(node) if *node == about => Some(true),
        Event::Down(node) if *node == about => Some(false),
        _ => None,
    })
}

fn limits() -> Limits {
    Limits { handshake_deadline: Duration::from_millis(400), ..Limits::default() }
}

async fn side_with(name: &str, secret: &str, cluster: &str, limits: Limits) -> Side {
    let (id, heard) = (node(name), Recorder::new());
    let settings = Settings {
        cluster: cluster.into(),
        secret: secret.into(),
        me: id,
        bind: "127.0.0.1:0".parse().expect("an address"),
        advertised: None,
        insecure: false,
        limits,
        lock: LockName { path: format!("/lock/of/{name}"), ..LockName::default() },
    };
    let (pipes, beats) = ClusterTransport::start(settings, heard.clone()).await.expect("loopback");
    Side { id, pipes, beats, heard }
}

async fn side(name: &str) -> Side {
    side_with(name, "secret", "shop", Limits::default()).await
}

async fn linked() -> (Side, Side) {
    let (a, b) = (side("a").await, side("b").await);
    a.dials(&b);
    a.is_up(&b).await;
    b.is_up(&a).await;
    (a, b)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_in_one_process_hear_one_another_on_both_lanes_and_by_heartbeat() {
    let (mut a, mut b) = linked().await;
    for lane in [Lane::Control, Lane::Data] {
        a.send(&b, lane, Class::Forwarded, "from a").expect("linked");
        b.send(&a, lane, Class::Forwarded, "from b").expect("linked");
        b.hears(&a, lane, "from a").await;
        a.hears(&b, lane, "from b").await;
    }
    let peers = a.pipes.peers();
    assert_eq!(peers.len(), 1);
    assert_eq!((peers[0].node, &peers[0].address, peers[0].lock.path.as_str()), (b.id, &b.address(), "/lock/of/b"));
    a.beats.send(b.id, b"alive");
    assert_eq!(b.beats.receive(Duration::from_secs(1)), Some((a.id, b"alive".to_vec())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_in_one_process_never_get_one_anothers_messages() {
    let (a, b, c) = (side("a").await, side("b").await, side("c").await);
    for (from, to) in [(&a, &b), (&b, &c), (&c, &a)] {
        from.dials(to);
    }
    for (from, to) in [(&a, &b), (&b, &c), (&c, &a)] {
        from.is_up(to).await;
        to.is_up(from).await;
    }
    a.send(&b, Lane::Control, Class::View, "for b").expect("linked");
    b.send(&c, Lane::Control, Class::View, "for c").expect("linked");
    c.send(&a, Lane::Control, Class::View, "for a").expect("linked");
    for (from, to, text) in [(&a, &b, "for b"), (&b, &c, "for c"), (&c, &a, "for a")] {
        to.hears(from, Lane::Control, text).await;
    }
    for node in [&a, &b, &c] {
        assert_eq!(node.heard.messages(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dials_that_cross_leave_one_link_that_carries_on_both_sides() {
    for _ in 0..50 {
        let (a, b) = (side("a").await, side("b").await);
        a.dials(&b);
        b.dials(&a);
        a.is_up(&b).await;
        b.is_up(&a).await;
        for lane in [Lane::Control, Lane::Data] {
            a.send(&b, lane, Class::View, "ab").expect("linked");
            b.send(&a, lane, Class::View, "ba").expect("linked");
            b.hears(&a, lane, "ab").await;
            a.hears(&b, lane, "ba").await;
        }
        assert_eq!((a.heard.ups(), b.heard.ups()), (1, 1), "no link was made only to be given up");
        let link = |from: &Side, to: &Side| from.pipes.core.links.get(to.id).expect("linked").id;
        assert_eq!(link(&a, &b), link(&b, &a));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stops_is_seen_down_within_100_ms_and_its_successor_is_linked() {
    let (a, b) = linked().await;
    let stopped = Instant::now();
    b.pipes.stop();
    a.is_down(&b).await;
    let seen = stopped.elapsed();
    assert!(seen < Duration::from_millis(100), "{seen:?}");
    eprintln!("seen down after {seen:?}");
    assert_eq!(a.send(&b, Lane::Data, Class::Ack, "x"), Err(NotSent::NoPeer));
    let again = side("b").await;
    again.dials(&a);
    a.is_up(&again).await;
    again.is_up(&a).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_either_lane_ends_the_pair_and_it_is_linked_anew_every_time() {
    let (a, b) = linked().await;
    for round in 1..=10 {
        let link = b.pipes.core.links.get(a.id).expect("linked");
        // Only the socket of one lane, as a reset of that connection would.
        link.shut_down_lane_for_test(round % 2);
        a.heard.wait(|events| events.iter().filter(|event| matches!(event, Event::Down(_))).count() == round).await;
        a.heard.wait_for(|heard| heard.ups() == round + 1).await;
        b.heard.wait_for(|heard| heard.ups() == round + 1).await;
    }
    a.send(&b, Lane::Control, Class::View, "at last").expect("linked");
    b.hears(&a, Lane::Control, "at last").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_peer_goes_down_on_both_sides_and_returns_unless_it_is_forgotten() {
    let (a, b) = linked().await;
    a.pipes.drop_peer(b.id);
    b.heard.wait_for(|heard| heard.ups() == 2).await;
    a.heard.wait_for(|heard| heard.ups() == 2).await;
    a.pipes.forget(&b.address());
    a.pipes.drop_peer(b.id);
    b.is_down(&a).await;
    sleep(Duration::from_millis(200)).await;
    assert_eq!(b.heard.ups(), 2, "nobody dials any more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_incarnation_is_linked_while_the_old_one_is_half_dead() {
    let (a, old) = linked().await;
    // The old one neither closes nor answers; only its name comes again.
    let new = side("b").await;
    new.dials(&a);
    a.is_up(&new).await;
    new.is_up(&a).await;
    new.send(&a, Lane::Control, Class::View, "new").expect("linked");
    a.hears(&new, Lane::Control, "new").await;
    assert_eq!(a.pipes.peers().len(), 2);
    a.pipes.drop_peer(old.id);
    a.is_down(&old).await;
    a.send(&new, Lane::Data, Class::Ack, "still up").expect("linked");
    new.hears(&a, Lane::Data, "still up").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dialler_whose_end_was_lost_replaces_the_end_that_is_left_whoever_has_the_lower_id() {
    for (names, dialler) in [(["a", "b"], 0), (["a", "b"], 1)] {
        let sides = [side(names[0]).await, side(names[1]).await];
        let (from, to) = (&sides[dialler], &sides[1 - dialler]);
        from.dials(to);
        from.is_up(to).await;
        to.is_up(from).await;
        // As after a loss that only one end saw: the sockets stay open, so the other end hears nothing.
        let link = from.pipes.core.links.get(to.id).expect("linked");
        let sockets = link.lose_quietly_for_test();
        from.heard.wait_for(|heard| heard.ups() == 2).await;
        to.heard.wait_for(|heard| heard.ups() == 2).await;
        from.send(to, Lane::Control, Class::View, "again").expect("linked");
        to.hears(from, Lane::Control, "again").await;
        drop(sockets);
    }
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    statm.split(' ').nth(1).expect("resident").parse::<usize>().expect("a number") * 4096
}
