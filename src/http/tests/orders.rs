//! Operators' words: what is asked of the node, and how its refusals are told.

use super::{Client, serving};

#[tokio::test]
async fn a_hand_back_is_given_its_time_and_says_what_has_not_come() {
    let (_server, mut client) = serving().await;
    let mut told = async |path: &str| {
        let answer = client.ask(&format!("POST {path}"), &[], "").await;
        let detail = answer.json()["detail"].as_str().unwrap_or_default().to_owned();
        (answer.problem(), detail)
    };
    // The node of these tests says its time as a number of arcs.
    let late = (504, "not-handed-back".to_owned());
    let (problem, detail) = told("/v1/node/a/handback?within_ms=1234").await;
    assert_eq!((problem, detail.starts_with("1234 arcs (1234 still being copied)")), (late.clone(), true), "{detail}");
    let (problem, detail) = told("/v1/node/a/handback").await;
    assert_eq!((problem, detail.starts_with("30000 arcs")), (late.clone(), true), "{detail}");
    let (problem, detail) = told("/v1/node/a/handback?within_ms=999999999").await;
    assert_eq!((problem, detail.starts_with("600000 arcs")), (late, true), "{detail}");
    assert_eq!(told("/v1/node/a/handback?within=1").await.0, (400, "bad-request".to_owned()));
    assert_eq!(told("/v1/node/x/handback").await.0, (404, "no-such-node".to_owned()));
}

#[tokio::test]
async fn a_page_of_another_origin_gives_no_orders() {
    let (server, _) = serving().await;
    for (site, status) in [("cross-site", 400), ("same-site", 400), ("same-origin", 504)] {
        let mut client = Client::connect(server.address()).await;
        let answer = client.ask("POST /v1/node/a/handback", &[("sec-fetch-site", site)], "").await;
        assert_eq!(answer.status, status, "{site}");
    }
}
