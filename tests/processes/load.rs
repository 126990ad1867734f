//! The primary's node is killed in the middle of a stream of puts: what was acknowledged is there, and each put was applied
//! once, retried or not.

use serde_json::Value;

use crate::{
    http,
    ring::{Ring, array, number},
    stream::{REMEMBERED, Stream},
};

/// The only arc of which this node serves a session.
fn only_arc(ring: &Ring, name: &str) -> usize {
    let arcs = http::get(ring.http(name), "/v1/arcs").expect("an answer").json();
    let served = |arc: &&Value| arc["part"] == "active" && number(&arc["sessions"]) > 0;
    let arcs: Vec<u64> = array(&arcs).iter().filter(served).map(|arc| number(&arc["arc"])).collect();
    assert_eq!(arcs.len(), 1, "{arcs:?}");
    usize::try_from(arcs[0]).expect("small")
}

/// The view that made this node the primary of the arc.
fn since(ring: &Ring, asked: &str, arc: usize, primary: &str) -> u64 {
    let view = ring.view(asked).expect("a view");
    let arc = &array(&view["arcs"])[arc];
    assert_eq!(arc["primary"], primary);
    number(&arc["since"])
}

#[test]
fn killing_the_primary_in_a_stream_of_puts_loses_none_and_applies_each_once() {
    let mut ring = Ring::new(&["a", "b", "c"], "");
    ring.start_all();
    // An id that lives on b; its copy is on c.
    let id = (0..).map(|n| format!("cart-{n}")).find(|id| ring.put("a", id, "0").header("ringheir-node") == "b");
    let id = id.expect("one of endlessly many");
    let first = ring.get("a", &id).version();
    let arc = only_arc(&ring, "b");
    let mut stream = Stream::begin(&ring, &["b", "a", "c"], &id);
    stream.wait_more(100);
    let mut reigns = vec![since(&ring, "a", arc, "b")];

    ring.kill("b");
    stream.wait_more(20);
    ring.wait_whole();
    reigns.push(since(&ring, "a", arc, "c"));

    ring.start("b");
    ring.wait_whole();
    stream.wait_more(5);
    reigns.push(since(&ring, "a", arc, "b"));

    ring.kill("b");
    stream.wait_more(20);
    ring.wait_whole();
    reigns.push(since(&ring, "a", arc, "c"));
    reigns.dedup();
    assert_eq!(reigns.len(), 4, "{reigns:?}");

    let told = stream.end();
    assert!(!told.troubles.is_empty(), "no put met a kill: the test shows nothing");
    // Nothing lost: the last acknowledged put, or the one that was under way when the stream ended, is what is there.
    let puts = told.versions.len() as u64;
    let last = ring.get("c", &id);
    let acknowledged = *told.versions.last().expect("many");
    assert_eq!((last.version(), last.body.as_str()), (acknowledged, format!("{{\"n\":{puts}}}").as_str()));
    // Nothing twice: every put took one commit, and each new reign one more (its start).
    assert!(told.versions.is_sorted_by(|a, b| a < b), "{:?}", told.versions);
    assert_eq!(acknowledged - first, puts + 3, "steps {:?}", told.versions);
    // Every put that is still remembered gets its own old reply, at either node, and changes nothing.
    for sequence in puts - (REMEMBERED - 1)..=puts {
        let version = told.versions[usize::try_from(sequence).expect("few") - 1];
        for name in ["a", "c"] {
            assert_eq!(stream.put_again(&ring, name, sequence).version(), version, "put {sequence} again at {name}");
        }
    }
    assert_eq!(ring.get("a", &id).version(), acknowledged);
    println!("{puts} puts acknowledged, {} retried: {:#?}", told.troubles.len(), told.troubles);
}
