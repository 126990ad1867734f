//! Slow clients, those that read nothing, and a node that ends beside them and others.

use std::time::Duration;

use tokio::{net::TcpStream, time::timeout};

use super::{Client, Settings, listening, nodes, settings, with_password};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_clients_are_told_and_closed_and_their_memory_is_given_back() {
    let patience = Duration::from_secs(1);
    let settings =
        Settings { arrival: patience, stall: patience, introduction: patience, unread: 1 << 20, ..settings() };
    let (node, server) = nodes(&["a"], settings.clone()).await.pop().expect("one");
    let mut half = Client::connect(server.address()).await;
    half.send("*2\r\n$3\r\nGET\r\n$4\r\nke").await;
    let mut greedy = Client::connect(server.address()).await;
    let value = "x".repeat(500_000);
    assert_eq!(greedy.set("k", &value).await, "OK");
    greedy.send("GET k\r\n".repeat(400)).await;
    let mut other = Client::connect(server.address()).await;
    for _ in 0..20 {
        assert_eq!(other.ask("STRLEN k").await, "500000");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let kept = server.kept();
    assert!(kept > 0, "what nobody reads is counted");
    assert_eq!(half.hear().await, "-ERR the rest of the request took too long");
    assert_eq!(half.hear().await, "closed");
    tokio::time::sleep(patience * 3).await;
    assert_eq!(server.kept(), 0);
    assert_eq!(other.ask("PING").await, "PONG", "who only waits is left alone");
    let strict = Settings { password: with_password("x").password, ..settings };
    let guarded = listening(strict).await;
    guarded.open(node);
    let mut silent = Client::connect(guarded.address()).await;
    assert_eq!(silent.hear().await, "-ERR no password was said in time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whose_request_has_no_room_beside_others_that_stand_still_is_told_to_ask_again() {
    let settings = Settings { arrival: Duration::from_secs(2), kept: 400_000, ..settings() };
    let (_node, server) = nodes(&["a"], settings).await.pop().expect("one");
    let begins = |bytes: usize| format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$900000\r\n{}", "x".repeat(bytes));
    let mut client = Client::connect(server.address()).await;
    client.send(begins(200_000)).await;
    let mut others = Vec::new();
    for _ in 0..4 {
        let mut other = Client::connect(server.address()).await;
        other.send(begins(200_000)).await;
        others.push(other);
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    client.send("x".repeat(700_000) + "\r\n").await;
    let told = client.hear().await;
    assert!(told.starts_with("-BUSY there was no room for the rest of the request"), "{told}");
    assert_eq!(client.hear().await, "closed");
    for other in &mut others {
        assert!(other.hear().await.starts_with('-'), "it is told as well");
    }
    let mut again = Client::connect(server.address()).await;
    assert_eq!(again.ask("EXISTS k").await, "0");
    assert_eq!(again.set("k", &"x".repeat(200_000)).await, "OK", "there is room again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_for_much_and_reads_nothing_makes_a_node_keep_little_more_than_it_may() {
    let settings = Settings { unread: 1 << 20, ..settings() };
    let (_node, server) = nodes(&["a"], settings).await.pop().expect("one");
    let mut greedy = Client::connect(server.address()).await;
    let value = "x".repeat(100_000);
    for n in 0..400 {
        assert_eq!(greedy.set(&format!("k{n:03}"), &value).await, "OK");
    }
    let asks: Vec<String> = (0..400).map(|n| format!("GET k{n:03}\r\n")).collect();
    greedy.send(asks.concat()).await;
    let mut most = 0;
    for _ in 0..20 {
        most = most.max(server.kept());
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    // What was asked for at once before it was known how large it is, and what one connection may leave unread.
    assert!((1 << 20..16 << 20).contains(&most), "{most} of 40,000,000 bytes");
    for _ in 0..400 {
        assert_eq!(greedy.hear().await.len(), value.len() + 2, "it is all there when it is read");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_one_who_asks_without_end_and_reads_nothing_little_is_read() {
    let settings = Settings { unread: 1 << 20, ..settings() };
    let (_node, server) = nodes(&["a"], settings).await.pop().expect("one");
    let mut greedy = Client::connect(server.address()).await;
    let value = "x".repeat(200_000);
    assert_eq!(greedy.set("k", &value).await, "OK");
    let asks = "GET k\r\n".repeat(64 << 20 >> 3);
    let sent = timeout(Duration::from_secs(2), greedy.send(asks)).await;
    assert!(sent.is_err(), "all of it was taken");
    let kept = server.kept();
    assert!((1 << 20..16 << 20).contains(&kept), "{kept} bytes");
    // Others are not held up by it.
    let mut other = Client::connect(server.address()).await;
    assert_eq!(timeout(Duration::from_secs(3), other.set("o", &value)).await.expect("soon"), "OK");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_comes_slowly_and_goes_on_is_carried_out() {
    let settings = Settings { arrival: Duration::from_secs(1), ..settings() };
    let (_node, server) = nodes(&["a"], settings).await.pop().expect("one");
    let mut client = Client::connect(server.address()).await;
    client.send("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000000\r\n").await;
    for _ in 0..10 {
        client.send("x".repeat(100_000)).await;
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    client.send("\r\n").await;
    assert_eq!(client.hear().await, "OK");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_reads_nothing_holds_up_the_end_of_a_node_for_moments_only() {
    let settings = Settings { last_stall: Duration::from_secs(1), ..settings() };
    let (_node, server) = nodes(&["a"], settings).await.pop().expect("one");
    let mut greedy = Client::connect(server.address()).await;
    let value = "x".repeat(500_000);
    assert_eq!(greedy.set("k", &value).await, "OK");
    greedy.send("GET k\r\n".repeat(400)).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    // Less than `farewell`, after which all are cut off.
    timeout(Duration::from_secs(5), server.stop()).await.expect("soon");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_still_writes_when_a_node_stops_reads_every_reply_of_what_was_done() {
    let (node, server) = nodes(&["a"], settings()).await.pop().expect("one");
    let mut client = Client::connect(server.address()).await;
    let value = "x".repeat(10_000);
    assert_eq!(client.set("k", &value).await, "OK");
    // More than is read of it before it stops, and replies that are more than the client's side takes unread.
    let writing = timeout(Duration::from_secs(1), client.send("INCR n\r\nGET k\r\n".repeat(1 << 20))).await;
    assert!(writing.is_err(), "all of it was taken");
    let stopping = tokio::spawn(server.stop());
    let mut told = 0;
    loop {
        match client.hear().await.as_str() {
            "closed" => break,
            count if count.len() < 10 => told = count.parse().expect("a count"),
            text => assert_eq!(text.len(), value.len() + 2),
        }
    }
    stopping.await.expect("no panic");
    let another = listening(settings()).await;
    another.open(node);
    assert_eq!(Client::connect(another.address()).await.ask("GET n").await, format!("\"{told}\""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_a_node_drains_others_are_sent_elsewhere_and_whoever_is_there_is_served_to_the_end() {
    let (_node, server) = nodes(&["a"], settings()).await.pop().expect("one");
    let mut client = Client::connect(server.address()).await;
    assert_eq!(client.ask("INCR n").await, "1");
    server.drain();
    // Who has looked by `PING` a moment ago and comes now is served; who looks now goes elsewhere.
    let mut late = Client::connect(server.address()).await;
    assert_eq!(late.ask("PING").await, "-READONLY this node is about to stop: connect to another");
    assert_eq!(late.ask("GET n").await, "\"1\"");
    assert_eq!(client.ask("PING").await, "PONG");
    let refused = async {
        while TcpStream::connect(server.address()).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(5), refused).await.expect("nobody is let in any more");
    for n in 2..50 {
        assert_eq!(client.ask("INCR n").await, n.to_string());
    }
    server.drain();
    server.stop().await;
    assert_eq!(client.hear().await, "closed");
}
