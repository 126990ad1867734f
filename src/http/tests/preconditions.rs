//! `If-Match` and `If-None-Match`, judged together with the change.

use super::{Client, serving};

const CART: &str = "/v1/session/json/cart-7";

#[tokio::test]
async fn a_write_under_a_precondition_happens_or_is_told_412_and_the_version() {
    let (_server, mut client) = serving().await;
    let put = format!("PUT {CART}");
    let steps = [
        ("if-match", "*", 412),
        ("if-match", "\"1\"", 412),
        ("if-match", "\"0\"", 412),
        ("if-none-match", "*", 201),
        ("if-none-match", "*", 412),
        ("if-match", "\"1\"", 204),
        ("if-match", "\"1\"", 412),
        ("if-match", "\"9\", \"2\"", 204),
        ("if-match", "*", 204),
        ("if-match", "W/\"4\"", 412),
        ("if-match", "\"whatever\"", 412),
        ("if-none-match", "W/\"4\"", 412),
        ("if-none-match", "\"3\"", 204),
    ];
    for (step, (header, value, status)) in steps.into_iter().enumerate() {
        // Each document is another: an equal one would be no change and no new version.
        let put = client.ask(&put, &[(header, value)], &step.to_string()).await;
        assert_eq!(put.status, status, "{header}: {value}: {put:?}");
        let shown = client.get(CART).await;
        if status == 412 {
            assert_eq!(put.problem().1, "precondition-failed");
            assert_ne!(shown.body, step.to_string(), "nothing changed");
        } else {
            assert_eq!((shown.header("etag"), shown.body.as_str()), (put.header("etag"), step.to_string().as_str()));
        }
    }
}

#[tokio::test]
async fn a_delete_under_a_precondition_deletes_that_version_only() {
    let (_server, mut client) = serving().await;
    let delete = format!("DELETE {CART}");
    assert_eq!(client.ask(&delete, &[("if-match", "*")], "").await.problem().0, 404, "RFC 9110, 13.2.1");
    client.ask(&format!("PUT {CART}"), &[], "1").await;
    client.ask(&format!("PUT {CART}"), &[], "2").await;
    let stale = client.ask(&delete, &[("if-match", "\"1\"")], "").await;
    assert_eq!((stale.problem().0, &stale.json()["current"], stale.header("etag")), (412, &2.into(), Some("\"2\"")));
    assert_eq!(client.ask(&delete, &[("if-match", "\"2\"")], "").await.status, 204);
}

#[tokio::test]
async fn a_read_of_a_version_that_the_caller_has_is_304() {
    let (_server, mut client) = serving().await;
    client.ask(&format!("PUT {CART}"), &[], "1").await;
    for (header, value, status) in [
        ("if-none-match", "\"1\"", 304),
        ("if-none-match", "W/\"1\"", 304),
        ("if-none-match", "*", 304),
        ("if-none-match", "\"2\"", 200),
        ("if-match", "\"1\"", 200),
        ("if-match", "W/\"1\"", 412),
        ("if-match", "\"2\"", 412),
    ] {
        let read = client.ask(&format!("GET {CART}"), &[(header, value)], "").await;
        assert_eq!((read.status, read.header("etag")), (status, Some("\"1\"")), "{header}: {value}");
    }
}

#[tokio::test]
async fn a_retry_finds_its_reply_though_its_precondition_no_longer_holds() {
    let (_server, mut client) = serving().await;
    let put = format!("PUT {CART}");
    for (key, header, value) in [
        ("k1", "if-none-match", "*"),
        ("k2", "if-match", "\"1\""),
        ("k3", "if-match", "*"),
        ("k4", "if-match", "\"8\",\"3\""),
    ] {
        let first = client.ask(&put, &[("idempotency-key", key), (header, value)], &format!("\"{key}\"")).await;
        assert!(matches!(first.status, 201 | 204), "{key}: {first:?}");
        let again = client.ask(&put, &[("idempotency-key", key), (header, value)], &format!("\"{key}\"")).await;
        assert_eq!((again.status, again.header("etag")), (first.status, first.header("etag")), "{key}");
    }
}

#[tokio::test]
async fn of_writers_who_saw_one_version_one_wins() {
    let (server, mut client) = serving().await;
    client.ask(&format!("PUT {CART}"), &[], "0").await;
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let mut client = Client::connect(server.address()).await;
        writers.spawn(async move {
            let mut lost = 0;
            for _ in 0..25 {
                loop {
                    let seen = client.get(CART).await;
                    let next = seen.body.parse::<u32>().expect("a number") + 1;
                    let etag = seen.header("etag").expect("a version").to_owned();
                    match client.ask(&format!("PUT {CART}"), &[("if-match", &etag)], &next.to_string()).await.status {
                        204 => break,
                        412 => lost += 1,
                        other => panic!("{other}"),
                    }
                }
            }
            lost
        });
    }
    writers.join_all().await;
    assert_eq!(client.get(CART).await.body, "100");
}
