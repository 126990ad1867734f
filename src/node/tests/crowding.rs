//! What a session remembers of its replies has bounds: a node's own calls wait for room, and who is refused is told why.

use tokio::task::JoinSet;

use super::*;

/// More than a session remembers of one client, at once, through one node.
async fn crowd(node: &Node, id: &str, calls: u64) {
    let mut crowd = JoinSet::new();
    for _ in 0..calls {
        let counter = counter(node, id);
        crowd.spawn(async move { counter.call(Add(1)).await });
    }
    let mut counts: Vec<u64> = soon(crowd.join_all()).await.into_iter().map(|told| told.expect("done")).collect();
    counts.sort_unstable();
    assert_eq!(counts, (1..=calls).collect::<Vec<u64>>(), "each is applied once");
    assert_eq!(counter(node, id).ask(Count).await.expect("answered"), calls);
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_calls_at_once_from_one_node_to_one_session_are_each_applied_once() {
    let network = MemoryNetwork::new();
    let nodes = start(&["a", "b", "c"], &network).await;
    let id = id_served_by(&nodes[0], "a");
    crowd(&nodes[0], &id, 500).await;
    crowd(&nodes[1], &format!("{{{id}}}forwarded"), 500).await;
    for node in &nodes {
        assert!(node.shared().calls.is_idle(), "nothing is kept of calls that ended");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_primary_remembers_less_than_the_callers_node_the_callers_wait_all_the_same() {
    let network = MemoryNetwork::new();
    let (few, many) = (|n| format!("[cluster.limits]\nreplies_per_client = {n}"), ["a", "b", "c"]);
    let starting = many.map(|name| {
        let (file, network) = (file(&many, &few(if name == "a" { 2 } else { 64 })), network.clone());
        tokio::spawn(async move { start_in(&file, name, &network).await })
    });
    let mut nodes = Vec::new();
    for node in starting {
        nodes.push(soon(node).await.expect("no panic"));
    }
    for node in &nodes {
        soon(node.fully_protected()).await;
    }
    let id = id_served_by(&nodes[0], "a");
    crowd(&nodes[1], &id, 100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_remembers_as_many_keys_as_it_may_says_which_limit_and_when_there_is_room() {
    let network = MemoryNetwork::new();
    let names = ["a", "b", "c"];
    let nodes =
        start_all(&file(&names, "reply_keep = \"2s\"\n[cluster.limits]\nclients_per_session = 2"), &network).await;
    let id = id_served_by(&nodes[0], "a");
    let begun = clock::now();
    let with_key = async |key: &str, deadline: u64| {
        let options = CallOptions::new().idempotency_key(key.as_bytes()).deadline(Duration::from_millis(deadline));
        counter(&nodes[1], &id).call_with(Add(1), options).await
    };
    for key in ["one", "two"] {
        soon(with_key(key, 1_000)).await.expect("room");
    }
    let told = clock::now();
    let refused = soon(with_key("three", 1_000)).await.expect_err("both may still be asked for again");
    let ErrorKind::Busy { bound: Bound::ClientsPerSession { limit: 2 }, retry_after } = *refused.kind() else {
        panic!("{refused:?}")
    };
    assert!(
        refused.to_string().contains("clients_per_session") && refused.to_string().contains("reply_keep"),
        "{refused}"
    );
    let answered = clock::now();
    let (earliest, latest) = (begun + Duration::from_secs(2), answered + Duration::from_secs(2));
    assert!(answered + retry_after >= earliest && told + retry_after <= latest, "{retry_after:?}");
    time::sleep(retry_after).await;
    soon(with_key("three", 1_000)).await.expect("the first was forgotten by then");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_has_as_many_open_requests_as_it_may_is_told_so() {
    let network = MemoryNetwork::new();
    let nodes = start_all(&file(&["a", "b", "c"], "[cluster.limits]\nreplies_per_client = 2"), &network).await;
    let numbered = async |sequence, first_unanswered| {
        let request = RequestId { client: ClientId(7), sequence, first_unanswered };
        soon(counter(&nodes[1], "x").call_with(Add(1), CallOptions::new().request(request))).await
    };
    for sequence in [1, 2] {
        numbered(sequence, 1).await.expect("room");
    }
    let refused = numbered(3, 1).await.expect_err("it says that it may ask for both again");
    assert!(
        matches!(refused.kind(), ErrorKind::Busy { bound: Bound::RepliesPerClient { limit: 2 }, .. }),
        "{refused:?}"
    );
    assert!(refused.to_string().contains("first unanswered"), "{refused}");
    assert_eq!(numbered(3, 2).await.expect("it needs the first no more").reply, 3);
}
