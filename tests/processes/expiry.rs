//! Documents that end by themselves, asked for over HTTP, while nodes are killed.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{http::ask, ring::Ring};

fn put(ring: &Ring, node: &str, id: &str, header: (&str, &str)) -> u16 {
    let path = format!("/v1/session/json/{id}");
    ask(ring.http(node), "PUT", &path, &[header], "1").expect("it answers").status
}

#[test]
fn a_document_ends_at_its_time_though_its_primary_is_killed_meanwhile() {
    let mut ring = Ring::new(&["a", "b", "c"], "");
    ring.start_all();
    let ids: Vec<String> = (0..30).map(|n| format!("ends-{n}")).collect();
    let began = Instant::now();
    for id in &ids {
        assert_eq!(put(&ring, "a", id, ("ringheir-ttl", "3")), 201);
    }
    let last_put = Instant::now();
    assert_eq!(put(&ring, "a", "stays", ("ringheir-ttl", "never")), 201);
    assert_eq!(put(&ring, "a", "idles", ("ringheir-idle", "2")), 201);
    ring.kill("b");
    while began.elapsed() < Duration::from_millis(2_900) {
        for id in &ids {
            let status = ring.get("c", id).status;
            assert!(status == 200 || began.elapsed() >= Duration::from_secs(3), "{id} ended before its time");
        }
        assert_eq!(ring.get("a", "idles").status, 200, "somebody asks for it");
        thread::sleep(Duration::from_millis(100));
    }
    thread::sleep(Duration::from_secs(4).saturating_sub(last_put.elapsed()));
    for id in &ids {
        assert_eq!(ring.get("a", id).status, 404, "{id} outlived its time by a second");
    }
    assert_eq!(ring.get("c", "stays").status, 200);
    thread::sleep(Duration::from_millis(2_200));
    assert_eq!(ring.get("c", "idles").status, 404, "nobody asked for it");
    ring.start("b");
    ring.wait_whole();
    for id in ids.iter().map(String::as_str).chain(["idles"]) {
        assert_eq!(ring.get("b", id).status, 404, "{id} came back with the node");
    }
}
