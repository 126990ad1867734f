//! `ringheir arcs`, `view` and `status` against nodes that really serve: what they show of a ring before and after a loss.
//! The nodes are whole, over sockets of this host, in this process; the command is the binary.
#![cfg(feature = "cli")]

use std::{
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use ringheir::{Node, Types, config::ClusterFile, http::HttpServer, json::Json};
use serde_json::Value;
use tokio::time::timeout;

/// A cluster file of three nodes on free ports of loopback.
fn file(more: &str) -> ClusterFile {
    text_and_file(more).1
}

/// Listeners on free ports; the ports are free again when they are dropped.
fn free(ports: usize) -> Vec<TcpListener> {
    (0..ports).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect()
}

fn text_and_file(more: &str) -> (String, ClusterFile) {
    let listeners = free(6);
    let address = |n: usize| listeners[n].local_addr().expect("bound");
    let mut text = format!("[cluster]\nname = \"looking\"\nsecret = \"s\"\narcs = 12\n{more}\n");
    for (place, name) in ["a", "b", "c"].iter().enumerate() {
        let (cluster, http) = (address(2 * place), address(2 * place + 1));
        text.push_str(&format!("[[node]]\nname = \"{name}\"\ncluster = \"{cluster}\"\nhttp = \"{http}\"\n"));
    }
    let file = ClusterFile::from_str(&text, "looking.toml").expect("a good file");
    (text, file)
}

/// Where the life locks of one test lie.
fn run_dir(test: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("looking-{test}-{}", std::process::id()))
}

async fn start(file: &ClusterFile, test: &str) -> Vec<(Node, HttpServer)> {
    let mut starting = Vec::new();
    for entry in file.nodes() {
        let http = HttpServer::start(file, entry).await.expect("a free port").expect("the file gives one");
        let mut types = Types::new();
        Json::register(&mut types);
        let builder =
            Node::builder().config(file.clone()).name(entry.name.as_str()).types(types).run_dir(run_dir(test));
        starting.push((tokio::spawn(builder.start()), http));
    }
    let mut nodes = Vec::new();
    for (node, http) in starting {
        let node = node.await.expect("no panic").unwrap_or_else(|why| panic!("{why}"));
        http.open(node.clone());
        nodes.push((node, http));
    }
    for (node, _) in &nodes {
        timeout(Duration::from_secs(20), node.fully_protected()).await.expect("protected in time");
    }
    nodes
}

/// What `ringheir` prints, asked of this node.
async fn look(what: &str, at: &HttpServer, more: &[&str]) -> String {
    let node = at.address().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringheir"));
    command.args([what, "--node", &node]).args(more);
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

async fn held(at: &HttpServer) -> Vec<Value> {
    let shown: Value = serde_json::from_str(&look("arcs", at, &["--json"]).await).expect("JSON");
    shown["held"].as_array().expect("a list").clone()
}

/// The rows of `ringheir arcs`, word by word, without its heading.
async fn rows(at: &HttpServer) -> Vec<Vec<String>> {
    let text = look("arcs", at, &[]).await;
    text.lines().skip(2).map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
}

/// Asks until it is so.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let looking = async { while !is_so().await {} };
    timeout(Duration::from_secs(20), looking).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_shows_what_each_node_is_to_each_arc() {
    let nodes = start(&file(""), "parts").await;
    for (node, http) in &nodes {
        let name = node.id().name.to_string();
        // A founded ring is promoted like any other: it answers once its backups have its start.
        until("it serves what it is to serve", async || held(http).await.iter().all(|arc| arc["part"] != "promoting"))
            .await;
        for (shown, row) in held(http).await.iter().zip(rows(http).await) {
            let entry =
                node.view().arcs[usize::try_from(shown["arc"].as_u64().expect("a number")).expect("small")].clone();
            let part = match (entry.primary == node.id(), entry.in_sync.contains(&node.id())) {
                (true, _) => "active",
                (_, true) => "backup",
                _ => "away",
            };
            assert_eq!(shown["part"], part, "{name}: {shown}");
            assert_eq!(row.iter().any(|word| word == part), part != "away", "{name}: {row:?}");
            assert_eq!(row[1], "protected", "{row:?}");
        }
    }
    let status = look("status", &nodes[0].1, &[]).await;
    assert!(status.contains("3 of 3 members heard, 12 arcs"), "{status}");
    let incarnation = nodes[1].0.id().incarnation.to_string();
    assert!(look("view", &nodes[0].1, &[]).await.contains(&incarnation[..8]));
}

/// A process that ends with this test, however the test ends: it stops when its standard input is closed.
fn run_unlisted(file: &std::path::Path, name: &str, addresses: [&str; 2], run_dir: &std::path::Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringheir"));
    command.arg("node").arg("--config").arg(file).args(["--name", name, "--exit-with-stdin"]);
    command.args(["--cluster", addresses[0], "--http", addresses[1]]).arg("--run-dir").arg(run_dir);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it runs")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_no_file_lists_is_started_by_its_addresses_alone() {
    let (text, listed) = text_and_file("");
    let nodes = start(&listed, "unlisted").await;
    let path = run_dir("unlisted").join("cluster.toml");
    std::fs::write(&path, text).expect("a file of this test's own");
    let addresses: Vec<String> = free(2).iter().map(|l| l.local_addr().expect("bound").to_string()).collect();
    let mut late = run_unlisted(&path, "late", [&addresses[0], &addresses[1]], &run_dir("unlisted"));
    until("it has its share", async || {
        let view = nodes[0].0.view();
        view.members.len() == 4 && view.fully_protected() && view.arcs.iter().any(|e| e.primary.name.as_str() == "late")
    })
    .await;
    assert!(look("view", &nodes[1].1, &[]).await.lines().any(|line| line.starts_with("late ")));
    drop(late.stdin.take());
    assert!(late.wait().expect("it ends").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn arcs_whose_only_copy_was_proved_dead_are_shown_as_lost() {
    let mut nodes = start(&file("backups = 0"), "lost").await;
    let (lost, server) = nodes.remove(0);
    let arcs: Vec<usize> = (0..12).filter(|arc| lost.view().arcs[*arc].primary == lost.id()).collect();
    assert!(!arcs.is_empty(), "the control: it served some");
    // Its life lock is free from now on, which is what proves a process dead.
    lost.kill();
    drop(server);
    let mut lost_somewhere = 0;
    for (_, http) in &nodes {
        until("every lost arc says so", async || {
            let held = held(http).await;
            arcs.iter()
                .all(|arc| held[*arc]["lost_at"].is_u64() && ["lost", "away"].iter().any(|p| held[*arc]["part"] == *p))
        })
        .await;
        let rows = rows(http).await;
        for arc in &arcs {
            assert_eq!(rows[*arc][1..3], ["solo,", "lost"], "{:?}", rows[*arc]);
            lost_somewhere += usize::from(rows[*arc][3..].iter().any(|word| word == "lost"));
        }
    }
    assert_eq!(lost_somewhere, arcs.len(), "each is served, and shown as lost, by one node");
}
