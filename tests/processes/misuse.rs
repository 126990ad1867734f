//! What an operator may do wrong: each is told in clear words, ends with status 2 within a bounded time, and does nothing to
//! the ring that runs.

use std::{
    fs,
    net::{TcpListener, UdpSocket},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    ring::{Process, Ring, number},
    stream::Stream,
};

/// `startup_timeout` of these rings.
const TIMEOUT: &str = "startup_timeout = \"3s\"";
/// A node that is told no at once ends in this; far below `startup_timeout`.
const AT_ONCE: Duration = Duration::from_millis(2_500);
/// A node that waits for the others first ends in this.
const BOUNDED: Duration = Duration::from_secs(20);

/// Three hosts that run, and a place `d` that nobody has taken yet; it has no vote, so nobody waits for it.
fn ring_with_a_free_place() -> Ring {
    let mut ring = Ring::with_roles(&[("a", "host"), ("b", "host"), ("c", "host"), ("d", "edge")], TIMEOUT);
    for name in ["a", "b", "c"] {
        ring.start(name);
    }
    ring.wait_whole();
    ring
}

#[track_caller]
fn ends(process: Process, within: Duration, words: &[&str]) {
    let (status, log, took) = process.ended();
    assert_eq!(status, Some(2), "{log}");
    assert!(took < within, "it took {took:?}:\n{log}");
    for word in words {
        assert!(log.contains(word), "{word:?} is not in\n{log}");
    }
    assert!(!log.contains("ready: ") && !log.contains("panicked"), "{log}");
}

/// What runs must not notice: the same view, the same session, no request that fails.
fn unmoved(ring: &Ring, misuse: impl FnOnce(&Ring)) {
    assert_eq!(ring.put("a", "kept", "1").status / 100, 2);
    let before = ring.wait_whole();
    let stream = Stream::begin(ring, &["b"], "stream");
    misuse(ring);
    stream.wait_more(10);
    stream.end_untroubled();
    let after = ring.wait_whole();
    assert_eq!((number(&before["number"]), &before["cluster"]), (number(&after["number"]), &after["cluster"]));
    assert_eq!(ring.get("c", "kept").body, "1");
}

fn changed(ring: &Ring, name: &str, from: &str, to: &str) -> PathBuf {
    let text = ring.text().replace(from, to);
    assert_ne!(text, ring.text(), "{from:?} is in the file");
    ring.file(name, &text)
}

#[test]
fn a_wrong_secret_or_cluster_or_another_file_keeps_a_newcomer_out_and_says_why() {
    let ring = ring_with_a_free_place();
    let secret = changed(&ring, "secret.toml", "secret = \"s\"", "secret = \"other\"");
    let cluster = changed(&ring, "cluster-name.toml", "name = \"tests\"", "name = \"shop\"");
    let arcs = changed(&ring, "arcs.toml", "arcs = 24", "arcs = 48");
    let backups = changed(&ring, "backups.toml", "arcs = 24", "arcs = 24\nbackups = 2");
    // The order of the nodes in the file is the order of the ring.
    let mut parts: Vec<&str> = ring.text().split("\n[[node]]\n").collect();
    parts.swap(1, 2);
    let order = ring.file("order.toml", &parts.join("\n[[node]]\n"));
    unmoved(&ring, |ring| {
        // One after the other, for they take the same ports.
        let run = |file: &Path| ring.run_from(file, "d", &ring.run_dir());
        ends(run(&secret), BOUNDED, &["startup_timeout passed", "the secrets differ"]);
        ends(run(&cluster), BOUNDED, &["startup_timeout passed", "it belongs to cluster `tests`"]);
        ends(run(&arcs), AT_ONCE, &["another cluster file", "`arcs` differs"]);
        ends(run(&backups), AT_ONCE, &["another cluster file", "`backups` differs"]);
        ends(run(&order), AT_ONCE, &["another cluster file", "`node` differs"]);
    });
    // The ring's own nodes said it, too, once for each kind of wrong.
    let log = ring.node("a").log();
    assert!(log.contains("the secrets differ") && log.contains("it belongs to cluster `shop`"), "{log}");
    // And the right file is let in.
    let mut ring = ring;
    ring.start("d");
    ring.wait_whole();
}

#[test]
fn nodes_that_start_with_different_files_found_nothing_and_name_each_other() {
    let ring = Ring::new(&["a", "b", "c"], TIMEOUT);
    let other = changed(&ring, "arcs.toml", "arcs = 24", "arcs = 48");
    let a = ring.run_from(&ring.config(), "a", &ring.run_dir());
    let b = ring.run_from(&ring.config(), "b", &ring.run_dir());
    let c = ring.run_from(&other, "c", &ring.run_dir());
    ends(a, BOUNDED, &["c has another cluster file", "`arcs` differs"]);
    ends(b, BOUNDED, &["c has another cluster file", "`arcs` differs"]);
    ends(c, BOUNDED, &["has another cluster file", "`arcs` differs"]);
}

#[test]
fn a_second_process_of_a_live_name_is_turned_away_wherever_it_is_started() {
    let ring = ring_with_a_free_place();
    let without_http = |text: &str| {
        let lines = text.lines().filter(|line| !line.starts_with("http = "));
        lines.collect::<Vec<_>>().join("\n")
    };
    let silent = ring.file("silent.toml", &without_http(ring.text()));
    let cluster = format!("\"{}\"", ring.cluster_address("a"));
    let elsewhere = format!("\"127.0.0.1:{}\"", ring.spare_port(0));
    let moved = ring.file("moved.toml", &without_http(ring.text()).replace(&cluster, &elsewhere));
    let other_run_dir = ring.run_dir().with_file_name("other-run");
    unmoved(&ring, |ring| {
        let taken = ring.http("a").to_string();
        let twice = ring.run_from(&ring.config(), "a", &ring.run_dir());
        ends(twice, AT_ONCE, &[&taken, "in use", "does this node run already?"]);
        let twice = ring.run_from(&silent, "a", &ring.run_dir());
        ends(twice, AT_ONCE, &["another process named a lives on this host", "stop it, or use another name"]);
        // With another run dir the lock does not meet it, but the ports do.
        let twice = ring.run_from(&ring.config(), "a", &other_run_dir);
        ends(twice, AT_ONCE, &[&taken, "in use", "does this node run already?"]);
        let twice = ring.run_from(&silent, "a", &other_run_dir);
        ends(twice, AT_ONCE, &[&ring.cluster_address("a").to_string(), "in use", "does this node run already?"]);
        // With other ports, too, the ring knows the name.
        let twice = ring.run_from(&moved, "a", &other_run_dir);
        ends(twice, BOUNDED, &["another node named a lives: stop it, or use another name"]);
    });
}

#[test]
fn what_cannot_be_read_or_listened_on_is_named() {
    let ring = ring_with_a_free_place();
    let bad = changed(&ring, "bad.toml", "arcs = 24", "arcs = 0\nhartbeat = \"1s\"");
    let broken = changed(&ring, "broken.toml", "arcs = 24", "arcs = = 24");
    let run_dir = ring.run_dir();
    let open_to_all = ring.run_dir().with_file_name("open");
    fs::create_dir(&open_to_all).expect("new");
    let anyone = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs::set_permissions(&open_to_all, anyone).expect("ours");
    unmoved(&ring, |ring| {
        let run = |file: &Path, name: &str| ring.run_from(file, name, &run_dir);
        let config = ring.config();
        ends(run(&config, "nobody"), AT_ONCE, &["there is no node named \"nobody\"", "a [[node]] in the file"]);
        ends(run(&bad, "d"), AT_ONCE, &["bad.toml:4:8: `arcs` cannot be 0", "bad.toml:5:1: unknown key"]);
        ends(run(&broken, "d"), AT_ONCE, &["broken.toml:4:8"]);
        ends(run(Path::new("no/such/file.toml"), "d"), AT_ONCE, &["no/such/file.toml: cannot be read"]);
        // A folder is no file, not even for a superuser.
        ends(run(&run_dir, "d"), AT_ONCE, &["cannot be read"]);
        let nameless = ring.run(&["--config", config.to_str().expect("UTF-8")], &[]);
        ends(nameless, AT_ONCE, &["--name", "RINGHEIR_NAME"]);
        let no_filter = ring.run(&["--config", "x", "--log", "ringheir=loudly"], &[]);
        ends(no_filter, AT_ONCE, &["--log", "no filter"]);
        ends(ring.run_from(&config, "d", &open_to_all), AT_ONCE, &["open to others"]);
        ends(ring.run_from(&config, "d", Path::new("/proc/none")), AT_ONCE, &["/proc/none"]);
        let http = TcpListener::bind(ring.http("d")).expect("free");
        ends(run(&config, "d"), AT_ONCE, &[&ring.http("d").to_string(), "in use"]);
        drop(http);
        let cluster = TcpListener::bind(ring.cluster_address("d")).expect("free");
        ends(run(&config, "d"), AT_ONCE, &[&ring.cluster_address("d").to_string(), "in use"]);
        drop(cluster);
        let heartbeats = UdpSocket::bind(ring.cluster_address("d")).expect("free");
        ends(run(&config, "d"), AT_ONCE, &[&ring.cluster_address("d").to_string(), "in use"]);
        drop(heartbeats);
    });
}
