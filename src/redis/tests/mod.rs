//! The door from outside: real sockets before real nodes in one process.

mod client;
mod fuzz;
mod keys;
mod like_redis;
pub(super) mod local;
mod misuse;
mod over_nodes;
mod slow;
mod strangers;

use std::time::Duration;

use tokio::{net::TcpListener, time::timeout};

use self::client::Client;
use super::{node::RedisServer, secret::Password, server::Server, settings::Settings};
use crate::{
    MemoryNetwork, Node, Types,
    config::{Address, ClusterConfig, ClusterFile, Limits, NodeConfig, Secret},
    id::NodeName,
};

/// Nothing here takes so long.
const SURELY: Duration = Duration::from_secs(20);

/// Nodes of these names, each with a Redis port.
async fn nodes(names: &[&str], settings: Settings) -> Vec<(Node, Server<Node>)> {
    let mut cluster = ClusterConfig::new("redis", Secret::new("between these tests").expect("a secret"));
    cluster.arcs = 16;
    let entry = |(n, name): (usize, &&str)| {
        let address = Address::new(&format!("127.0.0.1:{}", 7101 + n)).expect("an address");
        NodeConfig::new(NodeName::new(name).expect("plain"), address)
    };
    let file = ClusterFile::new(cluster, names.iter().enumerate().map(entry).collect()).expect("a right file");
    let network = MemoryNetwork::new();
    let mut starting = Vec::new();
    for name in names {
        let mut types = Types::new();
        RedisServer::register(&mut types);
        let node = Node::builder().config(file.clone()).name(*name).types(types).over(&network);
        starting.push(tokio::spawn(node.start()));
    }
    let mut nodes = Vec::new();
    for node in starting {
        let node = timeout(SURELY, node).await.expect("in time").expect("no panic").expect("it starts");
        let server = listening(settings.clone()).await;
        server.open(node.clone());
        nodes.push((node, server));
    }
    if names.len() > 1 {
        for (node, _) in &nodes {
            timeout(SURELY, node.fully_protected()).await.expect("nodes protect each other");
        }
    }
    nodes
}

async fn listening(settings: Settings) -> Server<Node> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    Server::on(listener, settings).expect("listens")
}

fn settings() -> Settings {
    Settings::within(&Limits::default())
}

/// One node, and a client of it.
async fn one() -> (Node, Server<Node>, Client) {
    let (node, server) = nodes(&["a"], settings()).await.pop().expect("one");
    let client = Client::connect(server.address()).await;
    (node, server, client)
}

fn with_password(password: &str) -> Settings {
    Settings { password: Some(Password::new(password.as_bytes())), ..settings() }
}
