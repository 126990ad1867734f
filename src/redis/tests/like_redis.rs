//! The same words to a Redis 7 and to a node: the same answers. What is otherwise on purpose is in `docs/redis.md`, and not here.

use std::process::Stdio;

use tokio::{
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    time::{sleep, timeout},
};

use super::{Client, SURELY, one};

/// Lines that change nothing about time, and whose answers no server may choose.
pub(super) const DIALOGUE: &str = include_str!("dialogue.txt");

/// A Redis of its own, on a port that nobody has.
async fn redis() -> (Child, std::net::SocketAddr) {
    // Another may take the port between finding it free and listening on it: then it is tried with another.
    for _ in 0..10 {
        let address = {
            let free = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            free.local_addr().expect("bound")
        };
        let mut command = Command::new("redis-server");
        command.args([
            "--port",
            &address.port().to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
        ]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true).spawn();
        let mut child = child.expect("redis-server is installed by scripts/test-needs");
        let up = async {
            while TcpStream::connect(address).await.is_err() {
                sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        timeout(SURELY, up).await.expect("Redis listens in time");
        if child.try_wait().expect("its child").is_none() {
            return (child, address);
        }
    }
    panic!("Redis finds no port");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_redis_answers_is_answered_here_in_both_protocols() {
    let (_child, address) = redis().await;
    let (_node, server, _) = one().await;
    for protocol in [2, 3] {
        let mut theirs = Client::connect(address).await;
        let mut ours = Client::connect(server.address()).await;
        let hello = format!("HELLO {protocol}");
        for client in [&mut theirs, &mut ours] {
            assert!(client.ask(&hello).await.contains("server"));
            assert_eq!(client.ask("FLUSHALL").await, "OK");
        }
        let mut differ = Vec::new();
        let lines = DIALOGUE.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        for line in lines {
            let (wanted, said) = (theirs.ask(line).await, ours.ask(line).await);
            if wanted != said {
                differ.push(format!("{line}\n  Redis says {wanted}\n  here it is {said}"));
            }
        }
        assert!(differ.is_empty(), "RESP{protocol}: {} answers differ\n{}", differ.len(), differ.join("\n"));
    }
}
