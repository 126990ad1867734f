//! Slow clients, too many of them, and the end of the server.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::{Client, Local, SURELY, Settings, VALUE_MAX, closed, settings};

const SHORT: Duration = Duration::from_millis(200);
const PUT: &str = "PUT /v1/session/json/x HTTP/1.1\r\nhost: ring\r\ncontent-length: 4\r\n\r\n";

#[tokio::test]
async fn who_sends_no_head_or_says_no_more_is_hung_up_on() {
    let server = closed(Settings { head: SHORT, ..settings() }).await;
    let mut silent = Client::connect(server.address()).await;
    let mut half = Client::connect(server.address()).await;
    half.send("GET /healthz HTTP/1.1\r\nhost:").await;
    let mut idle = Client::connect(server.address()).await;
    assert_eq!(idle.get("/healthz").await.status, 200);
    assert!(silent.is_closed().await);
    assert!(half.is_closed().await);
    assert!(idle.is_closed().await);
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_408_and_changes_nothing() {
    let server = closed(Settings { arrival: SHORT, ..settings() }).await;
    server.open(Local::new(VALUE_MAX));
    let mut slow = Client::connect(server.address()).await;
    slow.send(PUT).await;
    slow.send("tr").await;
    assert_eq!(slow.reply().await.problem(), (408, "slow-body".to_owned()));
    let mut client = Client::connect(server.address()).await;
    assert_eq!(client.get("/v1/session/json/x").await.status, 404);
}

#[tokio::test]
async fn bodies_together_are_bounded_and_what_was_refused_can_be_sent_again() {
    let server = closed(Settings { bodies: 2 << 10, ..settings() }).await;
    server.open(Local::new(VALUE_MAX));
    let half = format!("\"{}", "x".repeat(1_500));
    let mut first = Client::connect(server.address()).await;
    first
        .send(&format!("PUT /v1/session/json/x HTTP/1.1\r\nhost: ring\r\ncontent-length: {}\r\n\r\n", half.len() + 1))
        .await;
    first.send(&half).await;
    // The first one's bytes are on their way; until they have arrived there is still room.
    let whole = format!("{half}\"");
    let refused = async {
        loop {
            let mut second = Client::connect(server.address()).await;
            let reply = second.ask("PUT /v1/session/json/y", &[], &whole).await;
            if reply.status == 429 {
                return reply;
            }
        }
    };
    let refused = timeout(SURELY, refused).await.expect("the first one's bytes arrive");
    assert_eq!(refused.problem().1, "busy");
    first.send("\"").await;
    assert_eq!(first.reply().await.status, 201);
    let mut second = Client::connect(server.address()).await;
    assert!(matches!(second.ask("PUT /v1/session/json/y", &[], &whole).await.status, 201 | 204));
}

#[tokio::test]
async fn one_connection_too_many_is_told_so_and_a_place_becomes_free_again() {
    let server = closed(Settings { connections: 2, ..settings() }).await;
    let mut first = Client::connect(server.address()).await;
    let mut second = Client::connect(server.address()).await;
    assert_eq!((first.get("/healthz").await.status, second.get("/healthz").await.status), (200, 200));
    let mut third = Client::connect(server.address()).await;
    let refused = third.reply().await;
    assert_eq!((refused.problem().0, refused.header("connection")), (503, Some("close")));
    drop(first);
    for _ in 0..200 {
        let mut third = Client::connect(server.address()).await;
        third.send("GET /healthz HTTP/1.1\r\nhost: ring\r\n\r\n").await;
        if third.head().await.status == 200 {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("the place was never free again");
}

#[tokio::test]
async fn stopping_ends_the_idle_and_the_streams_and_lets_requests_in_progress_end() {
    let server = closed(settings()).await;
    server.open(Local::new(VALUE_MAX));
    let address = server.address();
    let mut idle = Client::connect(address).await;
    assert_eq!(idle.get("/healthz").await.status, 200);
    let mut listener = Client::connect(address).await;
    listener.send("GET /v1/events HTTP/1.1\r\nhost: ring\r\n\r\n").await;
    assert_eq!(listener.head().await.status, 200);
    let mut busy = Client::connect(address).await;
    assert_eq!(busy.get("/healthz").await.status, 200);
    busy.send(PUT).await;
    busy.send("tr").await;
    // Nothing outside the server shows that it has read the head; without this it may be found idle.
    sleep(SHORT).await;

    let stopping = tokio::spawn(server.stop());
    assert!(idle.is_closed().await);
    assert_eq!(listener.line("data:").await, None);
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "nobody new is taken");
    assert!(!stopping.is_finished());
    busy.send("ue").await;
    assert_eq!(busy.reply().await.status, 201);
    assert!(busy.is_closed().await);
    timeout(SURELY, stopping).await.expect("nothing is left to wait for").expect("no panic");
}

#[tokio::test]
async fn stopping_does_not_wait_for_ever() {
    let server = closed(Settings { farewell: SHORT, ..settings() }).await;
    server.open(Local::new(VALUE_MAX));
    let mut stuck = Client::connect(server.address()).await;
    stuck.send(PUT).await;
    sleep(SHORT).await;
    timeout(SURELY, server.stop()).await.expect("requests are cut off after the farewell");
    assert!(stuck.is_closed().await);
}
