//! Documents and keys that end by themselves, asked for over HTTP and the Redis port, while nodes are killed and stopped.

use std::{
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::{
    http::ask,
    redis::Redis,
    ring::{Ring, wait_for},
};

/// What a busy machine may add to the time at which a key is seen to be gone.
const BUSY: Duration = Duration::from_millis(1_500);

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

/// Keys with one end, and when that comes: not before the one moment, and but for what fails meanwhile not after the other.
struct Keys {
    names: Vec<String>,
    not_before: Vec<Instant>,
    by: Instant,
}

impl Keys {
    /// Sets so many of them, with this time to live.
    fn set(node: &mut Redis, prefix: &str, lasts: Duration) -> Self {
        let names: Vec<String> = (0..48).map(|n| format!("{prefix}-{n}")).collect();
        let ms = lasts.as_millis().to_string();
        let mut not_before = Vec::new();
        for name in &names {
            not_before.push(Instant::now() + lasts);
            assert_eq!(node.ask(&["SET", name, "v", "PX", &ms]), "OK");
        }
        Self { names, not_before, by: Instant::now() + lasts }
    }

    /// Looks at all of them, again and again until the last is gone: none may go too soon, and none be there later than `late` after
    /// its end, nor again.
    fn end_in_time(&self, node: &mut Redis, late: Duration) {
        let mut gone = vec![false; self.names.len()];
        while gone.contains(&false) {
            for (at, name) in self.names.iter().enumerate() {
                let asked = Instant::now();
                match node.ask(&["GET", name]).as_str() {
                    "nil" => {
                        assert!(Instant::now() >= self.not_before[at], "{name} ended before its time");
                        gone[at] = true;
                    }
                    "v" => {
                        assert!(!gone[at], "{name} came back");
                        assert!(asked <= self.by + late, "{name} is there {:?} after its end", asked - self.by);
                    }
                    other => panic!("{name}: {other}"),
                }
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn are_gone(&self, node: &mut Redis) {
        for name in &self.names {
            assert_eq!(node.ask(&["EXISTS", name]), "0", "{name} came back");
        }
    }
}

#[test]
fn a_key_with_px_ends_at_its_time_though_its_primary_is_killed_returns_and_is_stopped_and_never_comes_back() {
    let mut ring = Ring::new(&["a", "b", "c"], "");
    ring.open_redis_ports();
    ring.start_all();
    let mut a = Redis::connect(ring.redis("a"));

    // The death of the primary: a call to a node that is being replaced waits, so how long that lasted is known.
    let first = Keys::set(&mut a, "killed", Duration::from_secs(4));
    assert_eq!(a.ask(&["SET", "kept", "v", "PX", "4000"]), "OK");
    assert_eq!(a.ask(&["PERSIST", "kept"]), "1");
    let struck = Instant::now();
    ring.kill("b");
    first.names.iter().for_each(|name| assert_eq!(a.ask(&["GET", name]), "v", "{name}, just after the kill"));
    let replaced_within = struck.elapsed();
    assert!(Instant::now() < first.not_before[0], "on this machine the test is too slow to say anything");
    first.end_in_time(&mut a, replaced_within + BUSY);

    // The return of its node: it has received these as what was left of them.
    let lasts = Duration::from_secs(12);
    let second = Keys::set(&mut a, "handed-back", lasts);
    ring.start("b");
    let view = ring.wait_whole();
    assert!(view["arcs"].as_array().is_some_and(|arcs| arcs.iter().any(|arc| arc["primary"] == "b")), "b serves again");
    let mut b = Redis::connect(ring.redis("b"));
    for (name, not_before) in second.names.iter().zip(&second.not_before) {
        let most = (second.by + BUSY).saturating_duration_since(Instant::now());
        let left = b.number(&["PTTL", name]);
        let least = not_before.saturating_duration_since(Instant::now());
        assert!(least > Duration::ZERO, "on this machine the test is too slow to say anything");
        let left = Duration::from_millis(u64::try_from(left).expect("it has an end"));
        // What is told is cut to whole milliseconds.
        assert!(left + Duration::from_millis(1) >= least && left <= most, "{name}: {left:?} of {least:?} to {most:?}");
    }
    second.end_in_time(&mut b, BUSY);
    first.are_gone(&mut b);

    // A sleep of the primary over the end: it wakes with all it held.
    let third = Keys::set(&mut a, "slept", Duration::from_secs(3));
    ring.node("b").signal(Signal::STOP);
    third.end_in_time(&mut a, Duration::from_secs(3) + BUSY);
    wait_for("a view without b", || {
        let view = ring.view("a")?;
        view["members"].as_array()?.iter().all(|member| member["name"] != "b").then_some(())
    });
    ring.node("b").signal(Signal::CONT);
    ring.wait_whole();
    let mut b = Redis::connect(ring.redis("b"));
    [&first, &second, &third].into_iter().for_each(|keys| keys.are_gone(&mut b));
    assert_eq!(b.ask(&["GET", "kept"]), "v", "its end was taken back before its primary died");
    assert_eq!(b.ask(&["PTTL", "kept"]), "-1");
}
