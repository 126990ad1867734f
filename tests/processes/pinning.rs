//! Pins in a ring of real processes: a killed node comes back to nothing but copies, and its operator's word brings its arcs
//! home under load.

use std::{
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use rustix::process::Signal;
use serde_json::Value;

use crate::{
    http,
    ring::{Ring, array, wait_for},
    rolling::{Balancer, NAMES, client},
};

/// Of the arcs at home with a, how many it serves.
fn at_home(view: &Value) -> usize {
    array(&view["arcs"]).iter().filter(|arc| arc["home"] == "a" && arc["primary"] == "a").count()
}

/// What the command says, and whether all went well.
fn told(ring: &Ring, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_ringheir"))
        .args(arguments)
        .arg("--config")
        .arg(ring.config())
        .output()
        .expect("the binary was built");
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).expect("text")).concat();
    (output.status.success(), text)
}

#[test]
fn a_killed_and_restarted_node_gets_its_pinned_arcs_back_by_handback_alone_and_no_request_fails() {
    let mut ring = Ring::new(&NAMES, "pin = \"on_drain\"");
    ring.start_all();
    for n in 0..30 {
        assert_eq!(ring.put("b", &format!("kept-{n}"), "{}").status, 201);
    }
    ring.kill("a");
    wait_for("a protected view without it", || {
        ring.view("b").filter(|view| array(&view["members"]).len() == 3 && view["fully_protected"] == true)
    });
    ring.start("a");
    ring.wait_protected();
    let balancer = Balancer::begin(&ring);
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..8)
        .map(|number| {
            let (ready, stop) = (Arc::clone(&balancer.ready), Arc::clone(&stop));
            thread::spawn(move || client(number, &ready, &stop))
        })
        .collect();
    thread::sleep(Duration::from_millis(1_500));
    assert_eq!(at_home(&ring.wait_protected()), 0, "sessions stay where they are");

    assert!(told(&ring, &["cordon", "a"]).0);
    let refused = http::ask(ring.http("a"), "POST", "/v1/node/a/handback", &[], "").expect("an answer");
    assert_eq!(
        (refused.status, refused.json()["type"].as_str()),
        (409, Some("urn:ringheir:not-handed-back")),
        "{refused:?}"
    );
    assert!(told(&ring, &["uncordon", "a"]).0);
    let (well, text) = told(&ring, &["handback", "a"]);
    assert!(well && text.contains("a serves all that is at home with it"), "{text}");
    assert_eq!(at_home(&ring.view("a").expect("a view")), 6, "it returns when all is there");
    let mut node = ring.take("a");
    node.signal(Signal::TERM);
    assert_eq!(node.wait().0.code(), Some(0), "a drain still empties it: {}", node.log());
    drop(node);
    stop.store(true, Ordering::Relaxed);
    for (number, told) in clients.into_iter().map(|c| c.join().expect("a client")).enumerate() {
        assert!(told.failed.is_empty() && told.puts > 20, "{told:?}");
        assert_eq!(ring.get("c", &format!("cart-{number}")).body, format!("{{\"n\":{}}}", told.puts));
    }
    for n in 0..30 {
        assert_eq!(ring.get("d", &format!("kept-{n}")).status, 200);
    }
}
