//! Readiness, the view, and the stream of events.

use serde_json::{Value, json};

use super::{Client, Local, VALUE_MAX, closed, serving, settings};
use crate::{Readiness, id::NodeName, membership::Outlook};

#[tokio::test]
async fn a_node_that_is_starting_or_draining_is_alive_but_not_ready() {
    let server = closed(settings()).await;
    let mut client = Client::connect(server.address()).await;
    assert_eq!(client.get("/healthz").await.status, 200);
    for path in ["/readyz", "/v1/view", "/v1/arcs", "/v1/events", "/v1/session/json/x"] {
        let starting = client.get(path).await;
        assert_eq!((starting.problem(), starting.header("retry-after")), ((503, "not-ready".to_owned()), Some("1")));
    }
    let node = Local::new(VALUE_MAX);
    server.open(node.clone());
    assert_eq!(client.get("/readyz").await.status, 200);

    let alone = Outlook { awaited: vec![NodeName::new("b").expect("plain")], ..Outlook::default() };
    node.sees(alone);
    assert_eq!(client.get("/readyz").await.problem(), (503, "not-ready".to_owned()));
    let seen = client.get("/v1/view").await.json();
    assert_eq!((&seen["quorum"], &seen["fully_protected"]), (&json!(false), &json!(false)));
    node.sees(Outlook::default());
    assert_eq!(client.get("/readyz").await.status, 200);

    server.drain();
    assert_eq!(client.get("/readyz").await.problem().0, 503);
    assert_eq!(
        client.ask("PUT /v1/session/json/x", &[], "1").await.status,
        201,
        "what it still owns is still answered"
    );
    node.become_ready(Readiness::Stopped);
    assert_eq!(client.get("/v1/session/json/x").await.problem(), (503, "not-ready".to_owned()));
    assert_eq!(client.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn the_view_is_told_by_names() {
    let (_server, mut client) = serving().await;
    let view = client.get("/v1/view").await.json();
    assert_eq!((&view["me"], &view["number"], &view["fully_protected"]), (&json!("a"), &json!(1), &json!(true)));
    let member = &view["members"][1];
    assert_eq!((&member["name"], &member["role"], &member["voter"]), (&json!("b"), &json!("host"), &json!(true)));
    assert_eq!(member["incarnation"].as_str().map(str::len), Some(32));
    let expected = json!({
        "arc": 1, "home": "b", "primary": "b", "in_sync": ["a"], "catching_up": null, "since": 1,
        "state": "protected", "lost_at": null, "loss_cleared": false,
    });
    assert_eq!(view["arcs"][1], expected);
    assert_eq!(client.get("/v1/arcs").await.json(), json!([{ "arc": 0, "part": "active", "sessions": 0 }]));
}

#[tokio::test]
async fn events_are_told_as_they_happen() {
    let (server, mut client) = serving().await;
    let mut listener = Client::connect(server.address()).await;
    listener.send("GET /v1/events HTTP/1.1\r\nhost: ring\r\n\r\n").await;
    assert_eq!(listener.head().await.header("content-type"), Some("text/event-stream"));
    for commit in 1..=3_u32 {
        client.ask("PUT /v1/session/json/x", &[], &commit.to_string()).await;
        let told: Value = serde_json::from_str(&listener.line("data:").await.expect("open")).expect("JSON");
        assert_eq!(told, json!({ "commit": commit }));
    }
}

#[tokio::test]
async fn there_are_only_so_many_listeners_and_a_place_becomes_free_again() {
    let server = closed(super::Settings { listeners: 1, ..settings() }).await;
    server.open(Local::new(VALUE_MAX));
    let mut listener = Client::connect(server.address()).await;
    listener.send("GET /v1/events HTTP/1.1\r\nhost: ring\r\n\r\n").await;
    assert_eq!(listener.head().await.status, 200);
    let mut client = Client::connect(server.address()).await;
    let refused = client.get("/v1/events").await;
    assert_eq!((refused.problem(), refused.header("retry-after")), ((429, "busy".to_owned()), Some("1")));
    drop(listener);
    for _ in 0..200 {
        client.send("GET /v1/events HTTP/1.1\r\nhost: ring\r\n\r\n").await;
        let head = client.head().await;
        if head.status == 200 {
            return;
        }
        client = Client::connect(server.address()).await;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the place was never free again");
}
