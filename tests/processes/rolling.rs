//! Rolling restarts under load: every node is told to end, hands over what it has, and comes back; no request fails.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::{
    http,
    ring::{Ring, array, wait_for},
    stream::Stream,
};

pub(crate) const NAMES: [&str; 4] = ["a", "b", "c", "d"];
/// How often the balancer looks who is ready.
const PROBE: Duration = Duration::from_millis(25);

/// What stands before a cluster: it sends callers to nodes whose `/readyz` says 200, as any load balancer does.
pub(crate) struct Balancer {
    pub(crate) ready: Arc<Mutex<Vec<std::net::SocketAddr>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Balancer {
    pub(crate) fn begin(ring: &Ring) -> Self {
        let all: Vec<_> = NAMES.iter().map(|name| ring.http(name)).collect();
        let (ready, stop) = (Arc::new(Mutex::new(all.clone())), Arc::new(AtomicBool::new(false)));
        let (noting, stopped) = (Arc::clone(&ready), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let up = |a: &std::net::SocketAddr| http::get(*a, "/readyz").is_ok_and(|answer| answer.status == 200);
                let now = all.iter().copied().filter(up).collect();
                *noting.lock().expect("unpoisoned") = now;
                thread::sleep(PROBE);
            }
        });
        Self { ready, stop, thread: Some(thread) }
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What one client came to: acknowledged puts, answers that told it to come again, and what it must never have met.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) puts: u64,
    asked_to_wait: u64,
    pub(crate) failed: Vec<String>,
    longest: Duration,
}

/// Puts and reads one document of its own, each time through the next ready node, until it is told to stop.
pub(crate) fn client(number: usize, ready: &Mutex<Vec<std::net::SocketAddr>>, stop: &AtomicBool) -> Told {
    let (mut told, id) = (Told::default(), format!("cart-{number}"));
    let mut turn = number;
    let mut next = || {
        turn += 1;
        let ready = ready.lock().expect("unpoisoned");
        ready[turn % ready.len()]
    };
    while !stop.load(Ordering::Relaxed) {
        let (sequence, asked) = (told.puts + 1, Instant::now());
        let key = format!("{:032x}/{sequence}/{sequence}", number + 1);
        let document = format!("{{\"n\":{sequence}}}");
        loop {
            let node = next();
            match http::ask(node, "PUT", &http::session(&id), &[("idempotency-key", &key)], &document) {
                Ok(answer) if answer.status / 100 == 2 => break,
                // It said when to come again, and that is what a client does.
                Ok(answer) if !answer.header("retry-after").is_empty() => {
                    told.asked_to_wait += 1;
                    thread::sleep(Duration::from_millis(20));
                }
                other => {
                    told.failed.push(format!("put {sequence} of {id} at {node}: {other:?}"));
                    return told;
                }
            }
        }
        told.puts = sequence;
        told.longest = told.longest.max(asked.elapsed());
        let node = next();
        match http::get(node, &http::session(&id)) {
            Ok(answer) if answer.status == 200 && answer.body == document => {}
            Ok(answer) if answer.status == 503 => told.asked_to_wait += 1,
            other => told.failed.push(format!("read after put {sequence} of {id} at {node}: {other:?}")),
        }
    }
    told
}

#[test]
fn a_rolling_restart_by_sigterm_fails_no_request_and_loses_nothing() {
    let mut ring = Ring::new(&NAMES, "");
    ring.start_all();
    let balancer = Balancer::begin(&ring);
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..8)
        .map(|number| {
            let (ready, stop) = (Arc::clone(&balancer.ready), Arc::clone(&stop));
            thread::spawn(move || client(number, &ready, &stop))
        })
        .collect();
    for name in NAMES {
        thread::sleep(Duration::from_millis(300));
        let mut node = ring.take(name);
        node.signal(Signal::TERM);
        let (status, _) = node.wait();
        assert_eq!(status.code(), Some(0), "{}", node.log());
        // It left with everything handed over, so the others miss nothing: no loss was made good.
        let view = wait_for("a view without it", || {
            let other = if name == "a" { "b" } else { "a" };
            ring.view(other).filter(|view| array(&view["members"]).len() == 3)
        });
        assert_eq!(view["fully_protected"], true, "{view}");
        assert!(view["absent_voter"].is_null(), "{view}");
        drop(node);
        ring.start(name);
        ring.wait_whole();
    }
    stop.store(true, Ordering::Relaxed);
    let told: Vec<Told> = clients.into_iter().map(|c| c.join().expect("a client")).collect();
    let failed: Vec<&String> = told.iter().flat_map(|t| &t.failed).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    for (number, told) in told.iter().enumerate() {
        assert!(told.puts > 50, "{told:?}");
        let answer = ring.get("b", &format!("cart-{number}"));
        assert_eq!(answer.body, format!("{{\"n\":{}}}", told.puts));
    }
    let puts: u64 = told.iter().map(|t| t.puts).sum();
    let waits: u64 = told.iter().map(|t| t.asked_to_wait).sum();
    let longest = told.iter().map(|t| t.longest).max().expect("eight");
    println!("{puts} puts, {waits} answers to come again, the longest put took {longest:?}");
    drop(balancer);
}

#[test]
fn a_drained_node_ends_by_itself_and_orders_reach_it_through_any_other() {
    let mut ring = Ring::new(&["a", "b", "c"], "");
    ring.start_all();
    let order = |to: &str, name: &str, what: &str| {
        let path = format!("/v1/node/{name}/{what}");
        http::ask(ring.http(to), "POST", &path, &[], "").expect("an answer")
    };
    let sent_on = order("a", "b", "cordon");
    assert_eq!(sent_on.status, 307, "{sent_on:?}");
    assert!(
        sent_on.header("location").starts_with(&format!("http://{}/v1/node/b/cordon", ring.http("b"))),
        "{sent_on:?}"
    );
    assert_eq!(order("b", "b", "cordon").status, 200);
    let stands = |standing: &str| {
        wait_for("b to stand so in every view", || {
            let seen = ["a", "b", "c"].map(|name| {
                let view = ring.view(name)?;
                array(&view["members"]).iter().find(|m| m["name"] == "b").map(|b| b["standing"] == standing)
            });
            (seen == [Some(true); 3]).then_some(())
        });
    };
    stands("cordoned");
    assert_eq!(order("b", "b", "uncordon").status, 200);
    stands("open");
    assert_eq!(order("a", "x", "drain").status, 404);
    let foreign = http::ask(ring.http("a"), "POST", "/v1/node/a/drain", &[("sec-fetch-site", "cross-site")], "");
    assert_eq!(foreign.expect("an answer").status, 400, "a page of another origin gives no orders");
    let drained = order("c", "c", "drain");
    assert_eq!(drained.status, 200, "{drained:?}");
    let (code, log, _) = ring.take("c").ended();
    assert_eq!(code, Some(0), "{log}");
    // Two are left, and one of them is no place for every session and its backup.
    let refused = http::ask(ring.http("a"), "POST", "/v1/node/a/drain", &[], "").expect("an answer");
    assert_eq!(
        (refused.status, refused.json()["type"].as_str()),
        (409, Some("urn:ringheir:not-drained")),
        "{refused:?}"
    );
    ring.wait_protected();
}

/// Drains a under load, again and again, and kills a or its heir b some milliseconds into it.
fn interrupt_hand_overs(rounds: u64) {
    let mut ring = Ring::new(&NAMES, "");
    ring.start_all();
    let mut names = NAMES;
    let mut streams: Vec<(String, Stream)> = Vec::new();
    for number in 0..NAMES.len() {
        let id = format!("cart-{number}");
        streams.push((id.clone(), Stream::begin(&ring, &names, &id)));
        names.rotate_left(1);
    }
    for round in 0..rounds {
        let victim = if round % 2 == 0 { "a" } else { "b" };
        ring.node("a").signal(Signal::TERM);
        thread::sleep(Duration::from_millis(round * 13 % 110));
        ring.kill(victim);
        if victim == "b" {
            let (code, log, _) = ring.take("a").ended();
            assert_eq!(code, Some(0), "round {round}: c and d are there to take what b cannot: {log}");
        }
        for (_, stream) in &streams {
            stream.wait_more(5);
        }
        ring.start("a");
        if victim == "b" {
            ring.start("b");
        }
        ring.wait_whole();
    }
    for (id, stream) in &mut streams {
        let told = stream.end();
        let puts = told.versions.len();
        assert!(told.versions.is_sorted_by(|one, next| one < next), "{id}: {:?}", told.versions);
        let last = ring.get("d", id);
        let acknowledged = *told.versions.last().expect("many");
        assert_eq!((last.version(), last.body.as_str()), (acknowledged, format!("{{\"n\":{puts}}}").as_str()), "{id}");
    }
}

#[test]
fn a_hand_over_interrupted_by_a_kill_of_either_side_loses_nothing() {
    interrupt_hand_overs(10);
}

#[test]
#[ignore = "takes minutes; the same as the test before it, for longer"]
fn fifty_hand_overs_interrupted_by_a_kill_of_either_side_lose_nothing() {
    interrupt_hand_overs(50);
}
