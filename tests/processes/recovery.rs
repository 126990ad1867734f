//! `ringheir recover` on real processes: a majority is killed for good, and the ring goes on on its operator's word.

use std::{
    process::{Command, Output},
    thread,
    time::Duration,
};

use crate::ring::{Ring, array, text, wait_for};

fn recover(ring: &Ring, arguments: &[&str]) -> (Option<i32>, String) {
    let config = ring.config();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringheir"));
    command.arg("recover").arg("--config").arg(config).args(arguments);
    let Output { status, stdout, stderr } = command.output().expect("it runs");
    let said = String::from_utf8(stdout).expect("text") + &String::from_utf8(stderr).expect("text");
    (status.code(), said)
}

#[test]
fn a_ring_whose_majority_was_killed_says_what_can_be_done_and_does_it_on_its_operators_word_alone() {
    let mut ring = Ring::new(&["a", "b", "c", "d", "e"], "");
    ring.start_all();
    let (well, said) = recover(&ring, &[]);
    assert_eq!(well, Some(0));
    assert!(said.contains("there is nothing to recover"), "{said}");
    let ids: Vec<String> = (0..40).map(|n| format!("s-{n}")).collect();
    for id in &ids {
        assert_eq!(ring.put("a", id, &format!("\"{id}\"")).status, 201);
    }
    let before = ring.wait_whole();
    ring.kill_at_once(&["a", "b", "c"]);
    wait_for("d and e to see no quorum", || {
        ["d", "e"].iter().all(|n| ring.view(n).is_some_and(|v| v["quorum"] == false)).then_some(())
    });
    thread::sleep(Duration::from_millis(500));
    let (looked, said) = recover(&ring, &[]);
    assert_eq!(looked, Some(1), "it does not go on by itself");
    assert!(said.contains("arcs would be served from the copies they have"), "{said}");
    assert!(said.contains("NO QUORUM") && said.contains("--with d,e"), "{said}");
    let (planned, said) = recover(&ring, &["--with", "d,e"]);
    assert_eq!(planned, Some(0));
    assert!(said.contains("d, e would go on") && said.contains("nothing was changed"), "{said}");
    assert_eq!(ring.view("d").expect("it answers")["cluster"], before["cluster"]);
    for (named, why) in [("a,d,e", "no answer from a"), ("d", "e is heard and not named")] {
        for yes in [&[][..], &["--yes"]] {
            let (wrong, said) = recover(&ring, &[&["--with", named], yes].concat());
            assert_eq!(wrong, Some(1));
            assert!(said.contains(why), "{said}");
        }
    }
    let (done, said) = recover(&ring, &["--with", "d,e", "--yes"]);
    assert_eq!(done, Some(0), "{said}");
    assert!(said.contains("d, e go on as cluster"), "{said}");
    let after = ring.wait_protected();
    assert_ne!(after["cluster"], before["cluster"]);
    // Whoever had a copy on d or e is there as it was; whoever had not is lost, and says so.
    let arcs = array(&before["arcs"]);
    let had = |arc: &serde_json::Value| {
        ["d", "e"].iter().any(|n| arc["primary"] == *n || array(&arc["in_sync"]).iter().any(|b| text(b) == *n))
    };
    let kept = arcs.iter().filter(|arc| had(arc)).count();
    assert!(said.contains(&format!("{kept} arcs are served")), "{said}");
    let statuses: Vec<u16> = ids.iter().map(|id| ring.get("e", id).status).collect();
    assert!(statuses.iter().all(|status| [200, 410].contains(status)), "{statuses:?}");
    assert!(statuses.contains(&200) && statuses.contains(&410), "{statuses:?}");
    for (id, _) in ids.iter().zip(&statuses).filter(|(_, status)| **status == 200) {
        assert_eq!(ring.get("d", id).json(), serde_json::json!(id));
    }
    // Once it is known what is lost, it is lost no longer.
    let (wrong, said) = recover(&ring, &["--yes"]);
    assert_eq!(wrong, Some(2), "{said}");
    let (looked, said) = recover(&ring, &["--clear-lost"]);
    assert!(looked == Some(0) && said.contains("nothing was changed"), "{said}");
    assert!(ids.iter().any(|id| ring.get("d", id).status == 410), "and nothing was");
    let (cleared, said) = recover(&ring, &["--clear-lost", "--yes"]);
    assert!(cleared == Some(0) && said.contains("count as lost no longer"), "{said}");
    wait_for("both to have that view", || {
        ids.iter().all(|id| ["d", "e"].iter().all(|n| [200, 404].contains(&ring.get(n, id).status))).then_some(())
    });
    // And those that come back, come into the ring that goes on.
    for name in ["a", "b", "c"] {
        ring.start(name);
    }
    let whole = ring.wait_whole();
    assert_eq!(whole["cluster"], after["cluster"]);
    ring.kill("d");
    ring.wait_protected();
}
