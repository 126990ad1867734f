//! Three real nodes in one process: any node takes any key, and so it goes on when one is gone.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::{Client, SURELY, nodes, settings};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_node_takes_any_key_and_many_at_once() {
    let nodes = nodes(&["a", "b", "c"], settings()).await;
    let mut clients = Vec::new();
    for (_, server) in &nodes {
        clients.push(Client::connect(server.address()).await);
    }
    for n in 0..60 {
        assert_eq!(clients[n % 3].ask(&format!("SET k{n} {n} EX 1000")).await, "OK");
    }
    for n in 0..60 {
        assert_eq!(clients[(n + 1) % 3].ask(&format!("GET k{n}")).await, format!("\"{n}\""));
        assert_eq!(clients[(n + 2) % 3].ask(&format!("TTL k{n}")).await, "1000");
    }
    assert_eq!(clients[0].ask("DBSIZE").await, "60");
    assert_eq!(clients[1].ask("WAIT 1 1000").await, "1", "every arc has its backup");
    let all: Vec<_> = (0..60).map(|n| format!("k{n}")).collect();
    assert_eq!(clients[2].ask(&format!("DEL {}", all.join(" "))).await, "60");
    assert_eq!(clients[1].ask("DBSIZE").await, "0");
    // A transaction of an arc that another node has.
    for (n, client) in clients.iter_mut().enumerate() {
        for tag in 0..8 {
            let (a, b) = (format!("{{{tag}}}a{n}"), format!("{{{tag}}}b{n}"));
            client.send(format!("MULTI\r\nSET {a} 1\r\nINCRBY {b} 2\r\nEXEC\r\n")).await;
            for wanted in ["OK", "QUEUED", "QUEUED", "[OK 2]"] {
                assert_eq!(client.hear().await, wanted);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_there_when_its_primary_is_gone_and_ends_when_it_should() {
    let mut nodes = nodes(&["a", "b", "c"], settings()).await;
    let mut client = Client::connect(nodes[1].1.address()).await;
    for n in 0..60 {
        assert_eq!(client.ask(&format!("SET k{n} {n} PX 4000")).await, "OK");
        assert_eq!(client.ask(&format!("INCR count{n}")).await, "1");
    }
    let (gone, server) = nodes.remove(0);
    let mut cut_off = Client::connect(server.address()).await;
    assert_eq!(cut_off.ask("PING").await, "PONG");
    drop(server);
    gone.kill();
    for n in 0..60 {
        assert_eq!(client.ask(&format!("GET k{n}")).await, format!("\"{n}\""));
        assert_eq!(client.ask(&format!("INCR count{n}")).await, "2", "once, whatever was tried");
    }
    assert_eq!(cut_off.hear().await, "closed");
    sleep(Duration::from_millis(4_500)).await;
    for n in 0..60 {
        assert_eq!(client.ask(&format!("GET k{n}")).await, "nil");
    }
    assert_eq!(client.ask("DBSIZE").await, "60");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_quorum_what_cannot_end_is_refused_soon_and_no_connection_is_closed() {
    let mut nodes = nodes(&["a", "b", "c"], settings()).await;
    let mut client = Client::connect(nodes[0].1.address()).await;
    for n in 0..12 {
        assert_eq!(client.ask(&format!("INCR k{n}")).await, "1");
    }
    for (gone, server) in nodes.split_off(1) {
        drop(server);
        gone.kill();
    }
    let a = nodes[0].0.clone();
    let alone = async {
        while a.outlook().has_quorum() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SURELY, alone).await.expect("it sees that it is alone");
    // The first arcs of it and of others, its backups' and not: all of them, one by one and several at once.
    let mut lines: Vec<_> = (0..12).map(|n| format!("INCR k{n}\r\n")).collect();
    lines.extend((0..12).map(|n| format!("SET k{n} x\r\nAPPEND k{n} y\r\n")));
    lines.push("MSET k0 1\r\n".to_owned());
    lines.push("DEL k1\r\n".to_owned());
    client.send(lines.concat()).await;
    for _ in 0..12 + 24 + 2 {
        let said = client.hear().await;
        assert!(said.starts_with("-TRYAGAIN "), "{said}");
    }
    // Questions too: sooner than a call to a node that is being replaced is given up.
    let asked = timeout(Duration::from_secs(4), client.ask("GET k2"));
    let said = asked.await.expect("soon");
    assert!(said.starts_with("-TRYAGAIN "), "{said}");
    assert_eq!(client.ask("PING").await, "PONG");
}
