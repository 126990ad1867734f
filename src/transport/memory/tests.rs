//! Every fault that a test can set does what it says, and nothing else.

use super::*;
use crate::transport::testing::{Event, Recorder, node};

struct Two {
    net: MemoryNet,
    ids: [NodeId; 2],
    pipes: [Arc<dyn Transport>; 2],
    beats: [MemoryHeartbeats; 2],
    heard: [Arc<Recorder>; 2],
}

async fn two(limits: Limits) -> Two {
    let net = MemoryNet::new(limits);
    let ids = [node("a"), node("b")];
    let heard = [Recorder::new(), Recorder::new()];
    let (a, a_beats) = net.node(ids[0], "at-a", heard[0].clone()).expect("free");
    let (b, b_beats) = net.node(ids[1], "at-b", heard[1].clone()).expect("free");
    a.dial(ids[1].name, "at-b");
    b.dial(ids[0].name, "at-a");
    heard[0].wait(|events| events.contains(&Event::Up(ids[1]))).await;
    heard[1].wait(|events| events.contains(&Event::Up(ids[0]))).await;
    Two { net, ids, pipes: [a, b], beats: [a_beats, b_beats], heard }
}

fn put(two: &Two, from: usize, message: &'static str) -> Result<(), NotSent> {
    two.pipes[from].send(two.ids[1 - from], Lane::Data, Class::Replicate, Bytes::from_static(message.as_bytes()))
}

#[tokio::test]
async fn two_nodes_that_dial_one_another_are_linked_once_and_hear_one_another() {
    let two = two(Limits::default()).await;
    put(&two, 0, "hello").expect("linked");
    two.heard[1].wait(|events| events.contains(&Event::Message(two.ids[0], Lane::Data, "hello".into()))).await;
    for heard in &two.heard {
        assert_eq!(heard.ups(), 1);
    }
    assert_eq!(two.pipes[0].peers().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_one_way_cut_holds_what_is_sent_that_way_and_lets_the_other_pass_until_it_heals() {
    let two = two(Limits::default()).await;
    let [a, b] = two.ids;
    two.net.cut_one_way(a.name, b.name);
    put(&two, 0, "held").expect("the link stands");
    put(&two, 1, "through").expect("the link stands");
    two.heard[0].wait(|events| events.contains(&Event::Message(b, Lane::Data, "through".into()))).await;
    sleep(Duration::from_secs(5)).await;
    assert_eq!(two.heard[1].messages(), 0, "and nobody is told of a cut: {:?}", two.heard[1].events());
    assert!(!two.heard[1].events().contains(&Event::Down(a)));
    two.net.heal(a.name, b.name);
    two.heard[1].wait(|events| events.contains(&Event::Message(a, Lane::Data, "held".into()))).await;
}

#[tokio::test(start_paused = true)]
async fn a_cut_fills_the_queue_up_to_its_bound_and_no_further() {
    let bound = crate::wire::limits::QueueBound { messages: 3, bytes: 1000 };
    let two = two(Limits { replicate: bound, ..Limits::default() }).await;
    two.net.cut(two.ids[0].name, two.ids[1].name);
    sleep(Duration::from_millis(1)).await;
    for _ in 0..3 {
        put(&two, 0, "x").expect("room");
    }
    assert_eq!(put(&two, 0, "x"), Err(NotSent::Full));
}

#[tokio::test(start_paused = true)]
async fn a_delay_keeps_the_order() {
    let two = two(Limits::default()).await;
    let [a, b] = two.ids;
    two.net.delay(a.name, b.name, Duration::from_millis(300));
    let sent = Instant::now();
    put(&two, 0, "first").expect("linked");
    sleep(Duration::from_millis(1)).await;
    two.net.delay(a.name, b.name, Duration::ZERO);
    put(&two, 0, "second").expect("linked");
    two.heard[1].wait(|events| events.len() >= 3).await;
    assert!(sent.elapsed() >= Duration::from_millis(300));
    let expected = ["first", "second"].map(|text| Event::Message(a, Lane::Data, text.into()));
    assert_eq!(two.heard[1].events()[1..], expected);
}

#[tokio::test]
async fn a_killed_node_is_seen_down_at_once_and_its_successor_is_another_peer() {
    let two = two(Limits::default()).await;
    let [a, b] = two.ids;
    two.net.kill(b);
    two.heard[0].wait(|events| events.contains(&Event::Down(b))).await;
    assert_eq!(put(&two, 0, "x"), Err(NotSent::NoPeer));
    let restarted = node("b");
    let heard = Recorder::new();
    let (_again, _) = two.net.node(restarted, "at-b", heard.clone()).expect("it died");
    heard.wait(|events| events.contains(&Event::Up(a))).await;
    two.heard[0].wait(|events| events.contains(&Event::Up(restarted))).await;
    assert!(!two.heard[1].events().contains(&Event::Down(a)), "the dead hear nothing");
}

#[tokio::test]
async fn heartbeats_are_lost_where_they_are_dropped_or_cut_and_only_there() {
    let mut two = two(Limits::default()).await;
    let [a, b] = two.ids;
    let soon = Duration::from_millis(20);
    let [a_beats, b_beats] = &mut two.beats;
    a_beats.send(b, b"1");
    assert_eq!(b_beats.receive(soon), Some((a, b"1".to_vec())));
    two.net.drop_heartbeats(a.name, b.name, true);
    a_beats.send(b, b"2");
    b_beats.send(a, b"3");
    assert_eq!(b_beats.receive(soon), None);
    assert_eq!(a_beats.receive(soon), Some((b, b"3".to_vec())));
    put(&two, 0, "the lanes go on").expect("linked");
    two.heard[1].wait(|events| events.len() == 2).await;
    two.net.heal(a.name, b.name);
    two.net.cut_one_way(a.name, b.name);
    two.beats[0].send(b, b"4");
    assert_eq!(two.beats[1].receive(soon), None);
}

#[tokio::test]
async fn a_name_or_an_address_that_lives_is_not_given_again_and_the_living_notice_nothing() {
    let two = two(Limits::default()).await;
    let put_in = |name: &str, address: &str| two.net.node(node(name), address, Recorder::new()).map(drop);
    assert_eq!(put_in("b", "at-b"), Err(Taken::Name));
    assert_eq!(put_in("b", "elsewhere"), Err(Taken::Name));
    assert_eq!(put_in("c", "at-b"), Err(Taken::Address));
    assert_eq!(put_in("c", "at-c"), Ok(()));
    put(&two, 0, "x").expect("still linked");
    assert!(!two.heard[0].events().contains(&Event::Down(two.ids[1])));
}
