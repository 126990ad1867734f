//! Votes that outlive their processes (`--data-dir`): the ring comes back after most or all of it was stopped.

use std::{fs, thread, time::Duration};

use crate::ring::{Ring, array, number, wait_for};

fn data_ring(names: &[&str]) -> Ring {
    let mut ring = Ring::new(names, "");
    ring.keep_votes();
    ring
}

fn put_all(ring: &Ring, through: &str) -> u16 {
    (0..30).map(|n| ring.put(through, &format!("s-{n}"), "1").status).max().expect("some")
}

#[test]
fn two_of_three_killed_at_once_and_started_again_bring_the_ring_back() {
    let mut ring = data_ring(&["a", "b", "c"]);
    ring.start_all();
    assert_eq!(put_all(&ring, "a"), 201);
    let before = number(&ring.view("c").expect("it answers")["number"]);
    ring.kill_at_once(&["a", "b"]);
    thread::sleep(Duration::from_millis(800));
    ring.start("a");
    ring.start("b");
    let view = ring.wait_whole();
    assert!(number(&view["number"]) > before, "the chain goes on: {view}");
    // What c had a copy of is there; what a and b alone had is lost, and said so.
    let statuses: Vec<u16> = (0..30).map(|n| ring.get("b", &format!("s-{n}")).status).collect();
    assert!(statuses.iter().all(|s| [200, 410].contains(s)), "{statuses:?}");
    assert!(statuses.contains(&200) && statuses.contains(&410), "{statuses:?}");
}

#[test]
fn a_ring_that_was_stopped_whole_goes_on_and_says_that_its_sessions_are_lost() {
    let mut ring = data_ring(&["a", "b", "c"]);
    ring.start_all();
    assert_eq!(put_all(&ring, "a"), 201);
    let before = ring.view("c").expect("it answers");
    ring.kill_at_once(&["a", "b", "c"]);
    // A majority is enough; what only c could have held is sought until c is back.
    ring.start("a");
    ring.start("b");
    wait_for("a majority to go on", || {
        let view = ring.view("a").filter(|view| view["quorum"] == true)?;
        (array(&view["members"]).len() == 2).then_some(())
    });
    ring.start("c");
    let after = ring.wait_whole();
    assert_eq!(after["cluster"], before["cluster"]);
    assert!(number(&after["number"]) > number(&before["number"]));
    for n in 0..30 {
        let id = format!("s-{n}");
        assert_eq!(ring.get("b", &id).status, 410, "lost is not the same as never there");
        assert_eq!(ring.put("c", &id, "2").status, 201, "and it may be made anew");
    }
    // What was made since is protected as anything else.
    ring.wait_protected();
    ring.kill("b");
    ring.wait_protected();
    assert!((0..30).all(|n| ring.get("c", &format!("s-{n}")).status == 200));
    ring.start("b");
    ring.wait_whole();
    // The same once more, with what the second life stored.
    ring.kill_at_once(&["a", "b", "c"]);
    for name in ["c", "b", "a"] {
        ring.start(name);
    }
    ring.wait_whole();
    assert_eq!(ring.get("a", "s-0").status, 410);
}

#[test]
fn a_data_directory_of_another_node_or_a_damaged_one_is_refused_and_left_alone() {
    let mut ring = data_ring(&["a", "b"]);
    ring.start_all();
    let in_use = ring.run_with_data("b", "a");
    let (status, log, _) = in_use.ended();
    assert_eq!(status, Some(2), "{log}");
    ring.kill_at_once(&["a", "b"]);
    let (status, log, _) = ring.run_with_data("b", "a").ended();
    assert!(status == Some(2) && log.contains("node a of cluster tests"), "{log}");
    let vote = ring.data_dir("a").join("vote");
    let whole = fs::read(&vote).expect("stored");
    fs::write(&vote, &whole[..whole.len() / 2]).expect("writable");
    let (status, log, _) = ring.run_with_data("a", "a").ended();
    assert!(status == Some(2) && log.contains("cannot be read"), "{log}");
    assert_eq!(fs::read(&vote).expect("still there").len(), whole.len() / 2);
    fs::write(&vote, &whole).expect("writable");
    ring.start("a");
    ring.start("b");
    ring.wait_whole();
}
