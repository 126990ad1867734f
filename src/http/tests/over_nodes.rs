//! Three real nodes in one process, each with its HTTP: any node takes any session, and so it goes on when one is gone.

use std::time::Duration;

use serde_json::json;
use tokio::{
    net::TcpListener,
    time::{sleep, timeout},
};

use super::{Client, SURELY, settings};
use crate::{
    MemoryNetwork, Node, Types,
    config::{Address, ClusterConfig, ClusterFile, NodeConfig, Secret},
    http::{server::Server, settings::Settings},
    id::NodeName,
    json::Json,
    runtime::{view_keeper::KeeperInput, worker::WorkerInput},
};

async fn three_nodes() -> Vec<(Node, Server<Node>)> {
    nodes_with(1).await
}

async fn nodes_with(backups: u8) -> Vec<(Node, Server<Node>)> {
    let mut cluster = ClusterConfig::new("http", Secret::new("between these tests").expect("a secret"));
    (cluster.arcs, cluster.backups) = (16, backups);
    let names = ["a", "b", "c"];
    let entry = |(n, name): (usize, &&str)| {
        let address = Address::new(&format!("127.0.0.1:{}", 7101 + n)).expect("an address");
        NodeConfig::new(NodeName::new(name).expect("plain"), address)
    };
    let file = ClusterFile::new(cluster, names.iter().enumerate().map(entry).collect()).expect("a right file");
    let network = MemoryNetwork::new();
    let mut starting = Vec::new();
    for name in names {
        let mut types = Types::new();
        Json::register(&mut types);
        let node = Node::builder().config(file.clone()).name(name).types(types).over(&network);
        starting.push(tokio::spawn(node.start()));
    }
    let mut nodes = Vec::new();
    for node in starting {
        let node = timeout(SURELY, node).await.expect("in time").expect("no panic").expect("it starts");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let server =
            Server::on(listener, Settings { deadline: Duration::from_secs(5), ..settings() }).expect("listens");
        server.open(node.clone());
        nodes.push((node, server));
    }
    for (node, _) in &nodes {
        timeout(SURELY, node.fully_protected()).await.expect("three nodes protect each other");
    }
    nodes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_node_takes_any_session_and_its_version_goes_with_it() {
    let nodes = three_nodes().await;
    let mut clients = Vec::new();
    for (_, server) in &nodes {
        clients.push(Client::connect(server.address()).await);
    }
    let mut served_by = std::collections::BTreeSet::new();
    for session in 0..12_usize {
        let path = format!("/v1/session/json/cart-{session}");
        let key = format!("make {session}");
        let made = clients[session % 3].ask(&format!("PUT {path}"), &[("idempotency-key", &key)], "{\"n\": 1}").await;
        assert_eq!(made.status, 201, "{made:?}");
        served_by.insert(made.header("ringheir-node").expect("named").to_owned());
        let again =
            clients[(session + 1) % 3].ask(&format!("PUT {path}"), &[("idempotency-key", &key)], "{\"n\": 1}").await;
        assert_eq!((again.status, again.header("etag")), (201, made.header("etag")), "{again:?}");
        let seen = clients[(session + 2) % 3].get(&path).await;
        assert_eq!((seen.json(), seen.header("etag")), (json!({"n": 1}), made.header("etag")));
        let version = seen.header("etag").expect("a version");
        let merged = clients[session % 3].ask(&format!("PATCH {path}"), &[("if-match", version)], "{\"n\": 2}").await;
        assert_eq!(merged.json(), json!({"n": 2}));
        let late = clients[(session + 1) % 3].ask(&format!("PUT {path}"), &[("if-match", version)], "{}").await;
        assert_eq!(late.problem(), (412, "precondition-failed".to_owned()));
        let any = clients[(session + 2) % 3].ask(&format!("PUT {path}"), &[("if-match", "*")], "{}").await;
        assert_eq!(any.status, 204, "{any:?}");
        assert_eq!(clients[session % 3].ask(&format!("DELETE {path}"), &[], "").await.status, 204);
        assert_eq!(clients[(session + 1) % 3].get(&path).await.problem(), (404, "no-such-session".to_owned()));
    }
    assert_eq!(served_by.len(), 3, "{served_by:?}");
    let view = clients[1].get("/v1/view").await.json();
    assert_eq!((&view["me"], &view["fully_protected"]), (&json!("b"), &json!(true)));
    assert_eq!(clients[1].get("/v1/arcs").await.json().as_array().map(Vec::len), Some(16));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_a_node_is_gone_its_sessions_are_still_there_at_the_others() {
    let mut nodes = three_nodes().await;
    let mut client = Client::connect(nodes[2].1.address()).await;
    let mut listener = Client::connect(nodes[2].1.address()).await;
    listener.send("GET /v1/events HTTP/1.1\r\nhost: ring\r\n\r\n").await;
    assert_eq!(listener.head().await.status, 200);
    let path = |session: usize| format!("/v1/session/json/cart-{session}");
    for session in 0..24 {
        assert_eq!(client.ask(&format!("PUT {}", path(session)), &[], &session.to_string()).await.status, 201);
    }
    let (lost, server) = nodes.remove(0);
    lost.kill();
    drop(server);
    for session in 0..24 {
        let found = timeout(SURELY, async {
            loop {
                let found = client.get(&path(session)).await;
                match found.status {
                    200 => return found,
                    503 | 504 => sleep(Duration::from_millis(20)).await,
                    _ => panic!("{found:?}"),
                }
            }
        });
        assert_eq!(found.await.expect("promoted in time").body, session.to_string());
    }
    let installed = timeout(SURELY, async {
        loop {
            let told = listener.line("data:").await.expect("open");
            if told.contains("view_installed") {
                return told;
            }
        }
    });
    let told: serde_json::Value = serde_json::from_str(&installed.await.expect("told in time")).expect("JSON");
    assert_eq!(told["what"]["members"], json!(["b", "c"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_every_copy_was_lost_only_a_put_makes_a_session_and_everything_else_says_so() {
    let mut nodes = nodes_with(0).await;
    let mut client = Client::connect(nodes[2].1.address()).await;
    let mut versions = Vec::new();
    for session in 0..24 {
        let made = client.ask(&format!("PUT /v1/session/json/cart-{session}"), &[], "1").await;
        let on_a = made.header("ringheir-node") == Some("a");
        versions.push((session, on_a, made.header("etag").expect("a version").to_owned()));
    }
    let (lost, server) = nodes.remove(0);
    lost.kill();
    drop(server);
    timeout(SURELY, async {
        while nodes.iter().any(|(node, _)| node.view().is_member(lost.id())) {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("removed in time");
    let (first, _, version) = versions.iter().find(|(_, on_a, _)| *on_a).expect("a served some").clone();
    let path = format!("/v1/session/json/cart-{first}");
    let sought = client.get(&path).await;
    assert_eq!(sought.problem(), (503, "recovering".to_owned()), "its process may yet live");
    assert!(sought.header("retry-after").is_some(), "{sought:?}");
    for (node, _) in &nodes {
        node.shared().tell_keeper(KeeperInput::Proof(lost.id()));
        node.shared().tell_workers(|| WorkerInput::Proof(lost.id()));
    }
    let gone = (410, "lost".to_owned());
    timeout(SURELY, async { while client.get(&path).await.problem() != gone {} }).await.expect("given up in time");
    let tagged = [("if-match", version.as_str())];
    assert_eq!(client.ask(&format!("DELETE {path}"), &[], "").await.problem(), gone);
    assert_eq!(client.ask(&format!("PATCH {path}"), &[], "{}").await.problem(), gone);
    assert_eq!(client.ask(&format!("PUT {path}"), &tagged, "2").await.problem(), gone, "it expects what was there");
    assert_eq!(client.ask(&format!("DELETE {path}"), &tagged, "").await.problem(), gone);
    assert_eq!(client.ask(&format!("PUT {path}"), &[("if-match", "*")], "2").await.problem(), gone);
    let made = client.ask(&format!("PUT {path}"), &[], "2").await;
    assert_eq!(made.status, 201, "made anew, outright: {made:?}");
    assert_eq!(client.get(&path).await.body, "2");
    assert_eq!(client.ask(&format!("PATCH {path}"), &[], "{\"n\": 1}").await.json(), json!({"n": 1}));
    assert_eq!(client.ask(&format!("DELETE {path}"), &[], "").await.status, 204);
    let (second, ..) = versions.iter().rfind(|(_, on_a, _)| *on_a).expect("a served some");
    let only_new = client.ask(&format!("PUT /v1/session/json/cart-{second}"), &[("if-none-match", "*")], "3").await;
    assert_eq!(only_new.status, 201, "{only_new:?}");
    for (kept, ..) in versions.iter().filter(|(_, on_a, _)| !on_a) {
        assert_eq!(client.get(&format!("/v1/session/json/cart-{kept}")).await.body, "1");
    }
    let arcs = client.get("/v1/arcs").await.json();
    let shown = arcs.as_array().expect("a list").iter().find(|arc| !arc["lost_at"].is_null()).expect("lost arcs");
    let incarnation = shown["primary"]["incarnation"].as_str().expect("text, not sixteen numbers");
    assert!(incarnation.len() == 32 && incarnation.bytes().all(|b| b.is_ascii_hexdigit()), "{incarnation}");
}
