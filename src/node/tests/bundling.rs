//! Calls that are begun together: each comes to its end once, whatever becomes of the nodes, and what is said of it is true.

use std::collections::BTreeMap;

use super::*;
use crate::{
    blob::Blob,
    node::several::{Many, What},
    session::{decode_reply, encode_command},
};

const WITHIN: Duration = Duration::from_secs(10);

/// Adds one to each of these counters.
fn add_one(node: &Node, many: &mut Many, ids: &[String]) -> u64 {
    let calls = ids.iter().map(|id| {
        let key = SessionKey::new(Counter::KIND, id.as_bytes()).expect("within bounds");
        let body: Blob = encode_command(&Add(1), 1 << 10)?;
        Ok((key, What::Call(Add::NAME, body), false))
    });
    let first = many.begin(calls, WITHIN);
    node.see_to_calls();
    first
}

/// What so many calls came to.
async fn ended(many: &mut Many, count: usize) -> BTreeMap<u64, Result<u64, Error>> {
    let mut ended = BTreeMap::new();
    while ended.len() < count {
        soon(many.next(|number, replies| {
            let reply = replies.and_then(|replies| decode_reply::<Add>(&replies[0]));
            assert!(ended.insert(number, reply).is_none(), "call {number} has ended twice");
        }))
        .await;
    }
    ended
}

fn ids(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("c{n}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_to_sessions_of_all_nodes_are_each_done_once_though_one_of_the_nodes_dies() {
    let network = MemoryNetwork::new();
    let nodes = start(&["a", "b", "c"], &network).await;
    let ids = ids(300);
    let mut many = nodes[0].many();
    let first = add_one(&nodes[0], &mut many, &ids);
    kill(&network, &nodes[1]);
    let second = add_one(&nodes[0], &mut many, &ids);
    assert_eq!((first, second), (0, 300));
    let ended = ended(&mut many, 600).await;
    for (number, reply) in &ended {
        let reply = reply.as_ref().unwrap_or_else(|why| panic!("call {number}: {why}"));
        assert!((1..=2).contains(reply), "call {number}: {reply}");
    }
    for id in &ids {
        assert_eq!(counter(&nodes[2], id).ask(Count).await.expect("asked"), 2, "{id}: each of two, once");
    }
    drop(many);
    until("nothing is left of them", async || nodes[0].shared().calls.is_idle()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_calls_to_one_session_than_it_remembers_replies_of_come_in_turn() {
    let network = MemoryNetwork::new();
    let nodes = start(&["a", "b"], &network).await;
    let same = vec![id_served_by(&nodes[0], "b"); 200];
    let mut many = nodes[0].many();
    add_one(&nodes[0], &mut many, &same);
    let mut replies: Vec<u64> =
        ended(&mut many, same.len()).await.into_values().map(|reply| reply.expect("done")).collect();
    replies.sort_unstable();
    assert_eq!(replies, (1..=200).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_may_have_done_before_it_stopped_is_not_said_to_be_undone() {
    let network = MemoryNetwork::new();
    let nodes = start(&["a", "b"], &network).await;
    let id = [id_served_by(&nodes[0], "a")];
    let mut many = nodes[0].many();
    let name = |n: &str| NodeName::new(n).expect("plain");
    // The backup gets it and its acknowledgement does not come back.
    network.cut_one_way(name("b"), name("a"));
    add_one(&nodes[0], &mut many, &id);
    until("it is appended", async || nodes[0].arcs().await.iter().any(|arc| arc.lag > 0)).await;
    nodes[0].kill();
    let done = ended(&mut many, 1).await.remove(&0).expect("the first");
    assert_eq!(*done.expect_err("nobody acknowledged it").kind(), ErrorKind::OutcomeUnknown);
    add_one(&nodes[0], &mut many, &id);
    let refused = ended(&mut many, 1).await.remove(&1).expect("the second");
    assert_eq!(*refused.expect_err("it has stopped").kind(), ErrorKind::Stopped);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_nobody_answers_ends_at_its_deadline_and_those_beside_it_before() {
    let network = MemoryNetwork::new();
    let nodes = start(&["a", "b", "c"], &network).await;
    let [here, there] = ["a", "b"].map(|name| id_served_by(&nodes[0], name));
    let mut many = nodes[0].many();
    let name = |n: &str| NodeName::new(n).expect("plain");
    // What b is asked does not arrive for longer than the call may take, and no longer than anybody suspects b.
    network.delay(name("a"), name("b"), Duration::from_millis(300));
    let calls = [here.clone(), there.clone()].map(|id| {
        let key = SessionKey::new(Counter::KIND, id.as_bytes()).expect("within bounds");
        Ok((key, What::Ask(Count::NAME, encode_command(&Count, 1 << 10).expect("small")), false))
    });
    many.begin(calls.into_iter(), Duration::from_millis(100));
    nodes[0].see_to_calls();
    let mut order = Vec::new();
    while order.len() < 2 {
        soon(many.next(|number, reply| order.push((number, reply.err().map(|why| why.kind().clone()))))).await;
    }
    assert_eq!(order, [(0, None), (1, Some(ErrorKind::Deadline))]);
}
