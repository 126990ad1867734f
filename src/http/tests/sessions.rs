//! Documents: what a caller may do with them, and what it is told otherwise.

use serde_json::json;

use super::{Client, VALUE_MAX, serving};

const CART: &str = "/v1/session/json/cart-7";

#[tokio::test]
async fn a_document_is_made_shown_merged_and_deleted() {
    let (_server, mut client) = serving().await;
    let absent = client.get(CART).await;
    assert_eq!(absent.problem(), (404, "no-such-session".to_owned()));
    let detail = absent.json()["detail"].as_str().expect("a sentence").to_owned();
    assert!(detail.contains("json/cart-7") && detail.contains("PUT makes it"), "{detail}");

    let made = client.ask(&format!("PUT {CART}"), &[], r#"{"items": {"tea": 1}}"#).await;
    assert_eq!((made.status, made.header("etag"), made.header("ringheir-node")), (201, Some("\"1\""), Some("a")));
    let shown = client.get(CART).await;
    assert_eq!((shown.status, shown.header("etag")), (200, Some("\"1\"")));
    assert_eq!((shown.header("content-type"), shown.json()), (Some("application/json"), json!({"items": {"tea": 1}})));

    let merged = client.ask(&format!("PATCH {CART}"), &[], r#"{"items": {"milk": 2, "tea": null}}"#).await;
    assert_eq!((merged.status, merged.header("etag")), (200, Some("\"2\"")));
    assert_eq!(merged.json(), json!({"items": {"milk": 2}}));

    let replaced = client.ask(&format!("PUT {CART}"), &[], "null").await;
    assert_eq!((replaced.status, replaced.header("etag"), replaced.body.as_str()), (204, Some("\"3\""), ""));
    assert_eq!(client.get(CART).await.json(), json!(null), "null is a document");

    let deleted = client.ask(&format!("DELETE {CART}"), &[], "").await;
    assert_eq!((deleted.status, deleted.header("etag")), (204, None));
    assert_eq!(client.ask(&format!("DELETE {CART}"), &[], "").await.problem().0, 404);
}

#[tokio::test]
async fn a_number_comes_back_as_it_was_sent_however_often_the_document_is_stored() {
    let (_server, mut client) = serving().await;
    let numbers = "[31.245270191439438,121.48791951161945,9007199254740993,18446744073709551615]";
    client.ask(&format!("PUT {CART}"), &[], &format!(r#"{{"sent":{numbers}}}"#)).await;
    for touched in 0..5 {
        let merged = client.ask(&format!("PATCH {CART}"), &[], &format!(r#"{{"touched":{touched}}}"#)).await;
        assert_eq!(merged.body, format!(r#"{{"sent":{numbers},"touched":{touched}}}"#));
    }
}

#[tokio::test]
async fn head_is_get_without_the_document() {
    let (_server, mut client) = serving().await;
    client.ask(&format!("PUT {CART}"), &[], "[1, 2]").await;
    let head = client.ask(&format!("HEAD {CART}"), &[], "").await;
    assert_eq!((head.status, head.header("etag"), head.header("content-length")), (200, Some("\"1\""), Some("5")));
    assert_eq!(client.get(CART).await.body, "[1,2]", "the connection is still in step");
}

#[tokio::test]
async fn ids_are_any_bytes_and_do_not_run_into_each_other() {
    let (_server, mut client) = serving().await;
    for (document, id) in ["a", "a%2Fb", "a%20b", "%FF%00", "..", "%7Bu%7D"].iter().enumerate() {
        let made = client.ask(&format!("PUT /v1/session/json/{id}"), &[], &document.to_string()).await;
        assert_eq!(made.status, 201, "{id}");
    }
    assert_eq!(client.get("/v1/session/json/a%2fb").await.body, "1");
    assert_eq!(client.get("/v1/session/json/%61").await.body, "0");
    assert_eq!(client.get("/v1/session/json/%ff%00").await.body, "3");
}

#[tokio::test]
async fn a_retry_under_one_key_is_applied_once_and_told_the_same() {
    let (_server, mut client) = serving().await;
    let put = format!("PUT {CART}");
    let client_id = "0".repeat(31) + "7";
    for key in ["\"order 66\"".to_owned(), format!("{client_id}/5/5")] {
        let first = client.ask(&put, &[("idempotency-key", &key)], &format!("\"{}\"", key.len())).await;
        let other = client.ask(&put, &[], "2").await;
        assert_ne!(first.header("etag"), other.header("etag"));
        let again = client.ask(&put, &[("idempotency-key", &key)], "1").await;
        assert_eq!((again.status, again.header("etag")), (first.status, first.header("etag")));
        assert_eq!(client.get(CART).await.body, "2", "the retry did not write over what came between");
    }
    let old = client.ask(&put, &[("idempotency-key", &format!("{client_id}/3/3"))], "9").await;
    assert_eq!(old.problem(), (504, "too-old".to_owned()), "older than what is remembered: never executed");
    assert_eq!((&old.json()["changed"], &old.json()["retry"]), (&json!("unknown"), &json!("useless")));
    assert_eq!(client.get(CART).await.body, "2");
}

#[tokio::test]
async fn what_cannot_be_done_is_said_by_type() {
    let (_server, mut client) = serving().await;
    let put = format!("PUT {CART}");
    let patch = format!("PATCH {CART}");
    let big = format!("\"{}\"", "x".repeat(VALUE_MAX));
    let deep = "[".repeat(200) + &"]".repeat(200);
    let long_id = format!("PUT /v1/session/json/{}", "i".repeat(513));
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str, u16, &'a str);
    let cases: &[Case<'_>] = &[
        (&put, &[], "{", 422, "malformed"),
        (&put, &[], "", 422, "malformed"),
        (&put, &[], "1 2", 422, "malformed"),
        (&put, &[], &deep, 422, "malformed"),
        (&put, &[], r#"{"a": 1, "a": 2}"#, 422, "malformed"),
        (&patch, &[], r#"{"a": 18446744073709551616}"#, 422, "malformed"),
        (&put, &[("content-encoding", "gzip")], "1", 415, "unsupported-content"),
        (&patch, &[("content-type", "application/json-patch+json")], "[]", 415, "unsupported-content"),
        (&put, &[("ringheir-ttl", "soon")], "1", 400, "bad-request"),
        (&put, &[("ringheir-ttl", "never"), ("ringheir-idle", "60")], "1", 400, "bad-request"),
        (&put, &[("if-match", "7")], "1", 400, "bad-request"),
        (&put, &[("idempotency-key", "")], "1", 400, "bad-request"),
        (&put, &[("idempotency-key", "a"), ("idempotency-key", "b")], "1", 400, "bad-request"),
        ("PUT /v1/session/json/%zz", &[], "1", 400, "bad-request"),
        (&long_id, &[], "1", 400, "invalid-session-id"),
        ("PUT /v1/session/cart/7", &[], "1", 404, "no-such-kind"),
        ("GET /v1/session/json", &[], "", 404, "no-such-page"),
        ("GET /v2", &[], "", 404, "no-such-page"),
    ];
    for (request, headers, body, status, kind) in cases {
        let reply = client.ask(request, headers, body).await;
        assert_eq!(reply.problem(), (*status, (*kind).to_owned()), "{request} {headers:?}");
    }
    let other_method = client.ask(&format!("POST {CART}"), &[], "1").await;
    assert_eq!(other_method.problem(), (405, "method-not-allowed".to_owned()));
    let mut allowed: Vec<_> = other_method.header("allow").expect("what would do").split(',').collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["DELETE", "GET", "HEAD", "PATCH", "PUT"]);
    let too_large = client.ask(&put, &[], &big).await;
    assert_eq!((too_large.problem(), &too_large.json()["limit"]), ((413, "too-large".to_owned()), &json!(VALUE_MAX)));
    let mut client = Client::connect(_server.address()).await;
    assert_eq!(client.get(CART).await.status, 404, "nothing of all that changed anything");
}

#[tokio::test]
async fn a_body_of_unannounced_length_is_bounded_too() {
    let (server, mut client) = serving().await;
    client.send(&format!("PUT {CART} HTTP/1.1\r\nhost: ring\r\ntransfer-encoding: chunked\r\n\r\n")).await;
    for _ in 0..=VALUE_MAX / 1000 {
        client.send(&format!("3e8\r\n{}\r\n", "1".repeat(1000))).await;
    }
    assert_eq!(client.reply().await.problem(), (413, "too-large".to_owned()));
    let mut client = Client::connect(server.address()).await;
    client.send(&format!("PUT {CART} HTTP/1.1\r\nhost: ring\r\ntransfer-encoding: chunked\r\n\r\n")).await;
    client.send("2\r\n[1\r\n1\r\n]\r\n0\r\n\r\n").await;
    assert_eq!(client.reply().await.status, 201);
}
