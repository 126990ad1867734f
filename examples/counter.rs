//! Three nodes in one process over the memory transport; one is killed, and the count goes on.
//!
//! `cargo run --example counter`

use std::{error::Error, time::Duration};

use ringheir::{
    Command, Context, Handle, MemoryNetwork, Node, Refused, Session, SessionId, Types, config::ClusterFile,
};
use serde::{Deserialize, Serialize};

#[derive(Default, Serialize, Deserialize)]
struct Counter {
    count: u64,
}

impl Session for Counter {
    const KIND: &'static str = "counter";

    fn absent(_: &SessionId) -> Option<Self> {
        Some(Self::default())
    }
}

#[derive(Serialize, Deserialize)]
struct Add(u64);

impl Command for Add {
    const NAME: &'static str = "add";
    type Reply = u64;
}

impl Handle<Add> for Counter {
    fn handle(&mut self, Add(n): Add, _: &mut Context<Self>) -> Result<u64, Refused> {
        self.count += n;
        Ok(self.count)
    }
}

const CLUSTER: &str = r#"
[cluster]
name = "counter"
secret = "for an example"
arcs = 16

[[node]]
name = "a"
cluster = "127.0.0.1:1"

[[node]]
name = "b"
cluster = "127.0.0.1:2"

[[node]]
name = "c"
cluster = "127.0.0.1:3"
"#;

async fn start(name: &str, network: &MemoryNetwork) -> Result<Node, Box<dyn Error + Send + Sync>> {
    let mut types = Types::new();
    types.add::<Counter>().handles::<Add>();
    let file = ClusterFile::from_str(CLUSTER, "counter")?;
    Ok(Node::builder().config(file).name(name).types(types).over(network).start().await?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let network = MemoryNetwork::new();
    let (a, b, c) = tokio::try_join!(start("a", &network), start("b", &network), start("c", &network))?;
    a.fully_protected().await;
    println!("the ring stands: {} nodes, view {}", a.view().members.len(), a.view().number);

    let counter = a.session::<Counter>("visits")?;
    for _ in 0..5 {
        println!("counted to {}", counter.call(Add(1)).await?);
    }

    let primary = counter.primary().ok_or("no primary")?;
    let nodes = [a, b, c];
    let (victim, others): (Vec<Node>, Vec<Node>) = nodes.into_iter().partition(|n| n.id() == primary);
    println!("killing {}, where the counter lives", victim[0].id().name);
    network.kill(primary);
    victim[0].kill();

    let counter = others[0].session::<Counter>("visits")?;
    for _ in 0..5 {
        println!("counted to {}", counter.call(Add(1)).await?);
    }
    let served_by = counter.primary().ok_or("no primary")?;
    println!("served by {} now, view {}", served_by.name, others[0].view().number);
    tokio::time::timeout(Duration::from_secs(5), others[0].fully_protected()).await?;
    println!("and every session has a backup again");
    Ok(())
}
