//! How a node comes into a ring: listed or not, with the same file or another, in time or too late.

use super::*;

fn builder(file: &ClusterFile, name: &str, network: &MemoryNetwork) -> NodeBuilder {
    Node::builder().config(file.clone()).name(name).types(types()).over(network)
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_no_file_lists_join_behind_the_ring_and_take_their_share() {
    let network = MemoryNetwork::new();
    let listed = file(&["a", "b", "c"], "");
    let mut nodes = start_all(&listed, &network).await;
    for name in ["e", "d"] {
        let unlisted = Node::builder().config(listed.clone()).types(types()).over(&network).unlisted(entry(name));
        nodes.push(soon(unlisted.start()).await.expect("the ring lets it in"));
    }
    let ring: Vec<NodeName> = ["a", "b", "c", "e", "d"].map(|n| NodeName::new(n).expect("plain")).to_vec();
    let settled = |node: &Node| {
        let view = node.view();
        view.shape.ring == ring
            && view.members.iter().map(|m| m.node.name).eq(ring.iter().copied())
            && view.fully_protected()
            && view.arcs.iter().all(|e| e.home == e.primary.name)
            && ["d", "e"].iter().all(|n| view.arcs.iter().any(|e| e.primary.name.as_str() == *n))
    };
    until("both have their share, and their backups", async || nodes.iter().all(settled)).await;
    until("the two know each other", async || {
        nodes[3].linked().contains(&nodes[4].id()) && nodes[4].linked().contains(&nodes[3].id())
    })
    .await;
    for node in &nodes {
        assert_eq!(*node.view(), *nodes[0].view(), "every node has the same numbered view");
    }
    let ids: Vec<String> = ring.iter().map(|name| id_served_by(&nodes[0], name.as_str())).collect();
    for (node, done) in nodes.iter().zip(1..) {
        for id in &ids {
            assert_eq!(soon(counter(node, id).call(Add(1))).await.expect("done"), done);
        }
    }
    // The one that e guards d's neighbour with, too: an unlisted node is a node like any other.
    let last = nodes.remove(4);
    kill(&network, &last);
    for id in &ids {
        assert_eq!(soon(counter(&nodes[3], id).call(Add(1))).await.expect("done"), 6);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ring_that_stands_serves_at_once() {
    // What a node sends before another has installed the first view must not wait to be sent again, after 400 ms.
    let mut longest = Vec::new();
    for _ in 0..5 {
        let nodes = start(&["a", "b", "c"], &MemoryNetwork::new()).await;
        let begun = clock::now();
        for n in 0..30 {
            soon(counter(&nodes[n % 3], &format!("s{n}")).call(Add(1))).await.expect("served");
        }
        longest.push(clock::now().since(begun));
    }
    assert!(
        longest.iter().any(|took| *took < Duration::from_millis(250)),
        "each ring stood still at first: {longest:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listed_name_has_no_entry_of_its_own() {
    let network = MemoryNetwork::new();
    let listed = file(&["a", "b", "c"], "");
    let refused = builder(&listed, "a", &network).unlisted(entry("a")).start().await.expect_err("the file lists it");
    assert!(matches!(refused, StartError::Listed(name) if name.as_str() == "a"), "{refused}");
    let open = NodeConfig { cluster: Address::new("10.0.0.1:1").expect("an address"), ..entry("z") };
    let unlisted = Node::builder().config(listed).types(types()).over(&network).unlisted(open);
    let refused = unlisted.start().await.expect_err("the file does not allow addresses outside loopback");
    assert!(matches!(refused, StartError::Unfit(_)), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_gives_up_after_startup_timeout_and_says_who_is_missing() {
    let network = MemoryNetwork::new();
    let listed = file(&["a", "b", "c"], "startup_timeout = \"1s\"");
    let begun = clock::now();
    let refused = soon(builder(&listed, "a", &network).start()).await.expect_err("it is alone");
    assert!(clock::now().since(begun) >= Duration::from_secs(1), "{:?}", clock::now().since(begun));
    let names = |missing: &[NodeName]| missing.iter().map(NodeName::as_str).collect::<String>();
    assert!(matches!(&refused, StartError::TimedOut { missing, .. } if names(missing) == "bc"), "{refused}");
    let told = "startup_timeout passed without b, c: start them, or found a smaller cluster (NodeBuilder::found)";
    assert_eq!(refused.to_string(), told);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_told_to_wait_waits_longer_than_startup_timeout_and_founds_nothing_smaller() {
    let network = MemoryNetwork::new();
    let listed = file(&["a", "b", "c"], "startup_timeout = \"1s\"\non_startup_timeout = \"wait\"");
    let waiting = tokio::spawn(builder(&listed, "a", &network).start());
    time::sleep(Duration::from_millis(1_500)).await;
    assert!(!waiting.is_finished(), "two are missing");
    let others = ["b", "c"].map(|name| tokio::spawn(builder(&listed, name, &network).start()));
    let node = soon(waiting).await.expect("no panic").expect("all are there");
    for other in others {
        soon(other).await.expect("no panic").expect("all are there");
    }
    assert_eq!(node.view().members.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_smaller_cluster_is_founded_on_the_operators_word_and_the_others_join_it() {
    let network = MemoryNetwork::new();
    let listed = file(&["a", "b", "c"], "");
    let word = || ["a", "b"].map(|n| NodeName::new(n).expect("plain")).to_vec();
    let starting = ["a", "b"].map(|name| tokio::spawn(builder(&listed, name, &network).found(word()).start()));
    let mut nodes = Vec::new();
    for node in starting {
        nodes.push(soon(node).await.expect("no panic").expect("both are there"));
    }
    assert_eq!(nodes[0].view().members.len(), 2);
    let third = soon(builder(&listed, "c", &network).start()).await.expect("it joins");
    assert_eq!(third.view().cluster, nodes[0].view().cluster);
    let unknown = builder(&listed, "a", &network).found(vec![NodeName::new("z").expect("plain")]).start().await;
    assert!(matches!(unknown, Err(StartError::FoundUnknown { name, .. }) if name.as_str() == "z"));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_differ_in_the_lease_make_no_ring_and_the_key_is_named() {
    let network = MemoryNetwork::new();
    let more = |lease: &str| file(&["a", "b", "c"], &format!("startup_timeout = \"1s\"\nlease = \"{lease}\""));
    let starting = [("a", "200ms"), ("b", "200ms"), ("c", "400ms")]
        .map(|(name, lease)| tokio::spawn(builder(&more(lease), name, &network).start()));
    for (node, other) in starting.into_iter().zip(["c", "c", "a"]) {
        let refused = soon(node).await.expect("no panic").expect_err("one of them has another lease");
        let named = matches!(&refused, StartError::Differs { with, key: "lease" } if with.as_str() == other);
        assert!(named, "{refused}");
    }
    let network = MemoryNetwork::new();
    let nodes = start_all(&more("200ms"), &network).await;
    kill(&network, &nodes[2]);
    until("it is removed", async || nodes[0].view().members.len() == 2).await;
    let refused = soon(builder(&more("400ms"), "c", &network).start()).await.expect_err("the ring has another lease");
    assert!(matches!(refused, StartError::Differs { key: "lease", .. }), "{refused}");
    soon(builder(&more("200ms"), "c", &network).start()).await.expect("with the ring's own lease it is let in");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_node_under_a_live_name_is_refused_and_the_first_lives_on() {
    let network = MemoryNetwork::new();
    let listed = file(&["a", "b", "c"], "startup_timeout = \"5s\"");
    let nodes = start_all(&listed, &network).await;
    let refused = soon(builder(&listed, "b", &network).start()).await.expect_err("b lives");
    assert!(matches!(refused, StartError::NameLives(name) if name.as_str() == "b"), "{refused}");
    let elsewhere = NodeConfig { cluster: Address::new("127.0.0.1:9").expect("an address"), ..entry("b") };
    let file_of_b = file(&["a", "c"], "");
    let elsewhere = Node::builder().config(file_of_b).types(types()).over(&network).unlisted(elsewhere);
    let refused = soon(elsewhere.start()).await.expect_err("b lives, whatever the address");
    assert!(matches!(refused, StartError::NameLives(name) if name.as_str() == "b"), "{refused}");
    let squatter = NodeConfig { cluster: entry("b").cluster, ..entry("z") };
    let squatter = Node::builder().config(file(&["a", "c"], "")).types(types()).over(&network).unlisted(squatter);
    let refused = soon(squatter.start()).await.expect_err("b listens there");
    assert!(matches!(&refused, StartError::Address(why) if why.contains("in use")), "{refused}");
    let id = id_served_by(&nodes[0], "b");
    assert_eq!(nodes[0].view().members.len(), 3);
    assert_eq!(soon(counter(&nodes[0], &id).call(Add(1))).await.expect("b serves as before"), 1);
    nodes[1].stop().await;
    until("it is removed", async || nodes[0].view().members.len() == 2).await;
    soon(builder(&listed, "b", &network).start()).await.expect("the name is free");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_forgets_the_name_or_misspells_it_is_told_what_to_call() {
    let network = MemoryNetwork::new();
    let listed = file(&["a", "b", "c"], "");
    let unnamed = Node::builder().config(listed.clone()).types(types()).over(&network).start().await;
    let told = unnamed.expect_err("which node is it?").to_string();
    assert!(told.contains(".name(") && told.contains(".unlisted("), "{told}");
    let told = builder(&listed, "z", &network).start().await.expect_err("no such node").to_string();
    assert!(told.contains("\"z\"") && told.contains("a, b, c") && told.contains(".unlisted("), "{told}");
    let word = vec![NodeName::new("z").expect("plain")];
    let told = builder(&listed, "a", &network).found(word).start().await.expect_err("nobody of that name").to_string();
    assert!(told.contains("NodeBuilder::found") && told.contains("a, b, c"), "{told}");
}
