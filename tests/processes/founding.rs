//! A cluster is founded once and never twice, in whatever order, with whatever pauses, and whoever comes back blank.

use std::{thread, time::Duration};

use rustix::process::Signal;

use crate::{
    http,
    ring::{Ring, number, text, wait_for},
};

const NAMES: [&str; 3] = ["a", "b", "c"];

#[test]
fn whatever_the_order_and_the_pauses_one_cluster_is_founded_by_all() {
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for (round, order) in orders.into_iter().enumerate() {
        let mut ring = Ring::new(&NAMES, "");
        let watch = ring.watch();
        for (place, at) in order.into_iter().enumerate() {
            ring.start(NAMES[at]);
            if place < 2 {
                // Pauses around how long a starting node listens.
                thread::sleep(Duration::from_millis([40, 160, 320][(round + place) % 3]));
                assert!(!ring.node(NAMES[at]).is_ready(), "{} did not wait for all voters", NAMES[at]);
            }
        }
        ring.wait_whole();
        let seen = watch.end();
        assert_eq!((seen.clusters.len(), seen.looks > 0), (1, true), "order {order:?}");
    }
}

#[test]
fn half_of_the_voters_found_nothing_and_say_for_whom_they_wait_until_the_others_come() {
    for [first, second] in [[["a", "b"], ["c", "d"]], [["c", "d"], ["a", "b"]]] {
        let mut ring = Ring::new(&["a", "b", "c", "d"], "");
        let watch = ring.watch();
        for name in first {
            ring.start(name);
        }
        let waits = format!("waiting for the other voters missing=\"{}\"", second.join(", "));
        for name in first {
            wait_for(&format!("{name} says for whom it waits"), || {
                ring.node(name).log().contains(&waits).then_some(())
            });
        }
        thread::sleep(Duration::from_millis(1500));
        for name in first {
            assert!(!ring.node(name).is_ready(), "{name} was ready with half of the voters");
            let answer = http::get(ring.http(name), "/readyz").expect("its HTTP is there before it is");
            assert_eq!((answer.status, answer.json()["detail"].clone()), (503, "it is starting".into()));
        }
        ring.start(second[0]);
        thread::sleep(Duration::from_millis(500));
        assert!(first.into_iter().all(|name| !ring.node(name).is_ready()), "ready with three of four voters");
        ring.start(second[1]);
        let view = ring.wait_whole();
        assert_eq!(watch.end().clusters.into_iter().collect::<Vec<_>>(), [text(&view["cluster"])]);
    }
}

#[test]
fn a_node_killed_and_started_again_blank_is_a_member_of_the_same_cluster_again() {
    let mut ring = Ring::new(&NAMES, "");
    let watch = ring.watch();
    ring.start_all();
    let mut before = ring.wait_whole();
    ring.put("a", "kept", "1");
    for name in NAMES {
        ring.kill(name);
        ring.start(name);
        let after = ring.wait_whole();
        assert_eq!(before["cluster"], after["cluster"]);
        assert!(number(&before["number"]) < number(&after["number"]));
        before = after;
    }
    assert_eq!(ring.get("b", "kept").body, "1", "each had it in turn");
    assert_eq!(watch.end().clusters.len(), 1);
}

#[test]
fn quick_restarts_of_one_name_in_a_row_end_in_one_member_of_that_name() {
    let mut ring = Ring::new(&NAMES, "");
    let watch = ring.watch();
    ring.start_all();
    ring.put("a", "kept", "1");
    // Killed before it was in, while it is being let in, and as soon as it was.
    for pause in [0, 30, 120, 200, 260, 320] {
        ring.kill("b");
        ring.start("b");
        thread::sleep(Duration::from_millis(pause));
    }
    ring.kill("b");
    ring.start("b");
    ring.wait_ready("b");
    ring.kill("b");
    ring.start("b");
    let view = ring.wait_whole();
    assert_eq!(view["members"].as_array().map(Vec::len), Some(3));
    assert_eq!(ring.get("b", "kept").body, "1");
    assert_eq!(watch.end().clusters.len(), 1);
}

#[test]
fn all_killed_at_once_found_a_new_cluster_when_all_are_back_and_it_knows_nothing_of_the_old() {
    let mut ring = Ring::new(&NAMES, "");
    ring.start_all();
    let before = ring.wait_whole();
    assert_eq!(ring.put("a", "old", "1").status, 201);
    ring.kill_at_once(&NAMES);
    ring.start("b");
    ring.start("c");
    thread::sleep(Duration::from_millis(800));
    assert!(!ring.node("b").is_ready() && !ring.node("c").is_ready(), "two of three founded by themselves");
    ring.start("a");
    let after = ring.wait_whole();
    assert_ne!(before["cluster"], after["cluster"]);
    assert_eq!(ring.get("c", "old").status, 404, "it never was, as far as the new cluster knows");
    assert_eq!(ring.put("b", "old", "2").status, 201);
}

#[test]
fn the_operators_word_founds_smaller_but_never_beside_a_cluster_that_runs() {
    let mut ring = Ring::new(&NAMES, "");
    let found = |ring: &Ring, names: &str| {
        let (config, run_dir) = (ring.config(), ring.run_dir());
        let [config, run_dir] = [&config, &run_dir].map(|path| path.to_str().expect("UTF-8"));
        ring.run(&["--config", config, "--name", "a", "--run-dir", run_dir, "--found", names], &[])
    };
    let (status, log, _) = found(&ring, "a,nobody").ended();
    assert_eq!(status, Some(2), "{log}");
    assert!(log.contains("--found") && log.contains("nobody"), "{log}");

    let watch = ring.watch();
    let alone = found(&ring, "a");
    ring.keep("a", alone);
    let first = ring.wait_protected();
    ring.start("b");
    ring.start("c");
    assert_eq!(ring.wait_protected()["cluster"], first["cluster"], "those that come later join it");
    // The flag that was left in a start script.
    ring.kill("a");
    let again = found(&ring, "a");
    ring.keep("a", again);
    assert_eq!(ring.wait_protected()["cluster"], first["cluster"]);
    assert_eq!(watch.end().clusters.len(), 1);
}

#[test]
fn beside_a_survivor_without_a_majority_nothing_is_founded_and_the_newcomers_end_saying_why() {
    let mut ring = Ring::new(&NAMES, "startup_timeout = \"3s\"");
    ring.start_all();
    let watch = ring.watch();
    let before = ring.wait_whole();
    ring.kill_at_once(&["b", "c"]);
    ring.start("b");
    ring.start("c");
    for name in ["b", "c"] {
        let (status, log, _) = ring.take(name).ended();
        assert_eq!(status, Some(2), "{log}");
        assert!(log.contains("before the ring let this node in; is a majority of its voters alive?"), "{log}");
        assert!(!log.contains("ready: "), "{log}");
    }
    assert_eq!(ring.view("a").map(|view| view["cluster"].clone()), Some(before["cluster"].clone()));
    assert_eq!(watch.end().clusters.len(), 1);
}

#[test]
fn a_node_that_waits_to_be_let_in_says_whom_it_asks_and_every_now_and_then_why_it_waits() {
    let mut ring = Ring::new(&NAMES, "");
    ring.start_all();
    ring.kill("c");
    ring.wait_whole();
    let log = ring.node("a").log();
    assert!(
        !log.contains("ractor_cluster"),
        "a closed connection is no news that the ring does not tell itself:\n{log}"
    );
    ring.node("b").signal(Signal::STOP);
    ring.start("c");
    wait_for("whom c asks", || ring.node("c").log().contains("asking to be let in by a, b").then_some(()));
    wait_for("why c waits", || {
        let log = ring.node("c").log();
        log.lines()
            .any(|line| line.contains("still asking to be let in") && line.contains("awaited=\"b\""))
            .then_some(())
    });
    assert!(!ring.node("c").is_ready());
    ring.node("b").signal(Signal::CONT);
    ring.wait_whole();
    assert_eq!(ring.node("c").log().matches("asking to be let in by").count(), 1, "said once");
}
