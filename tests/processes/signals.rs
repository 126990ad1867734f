//! Ctrl-C and SIGTERM end a node promptly and well, whatever it is doing, and the others go on.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{ring::Ring, stream::Stream};

/// Far more than it takes, far less than any of the node's own deadlines (10 s for requests, 30 s for starting).
const PROMPTLY: Duration = Duration::from_secs(8);

#[test]
fn sigint_and_sigterm_end_a_serving_node_with_status_0_and_the_others_serve_on() {
    let mut ring = Ring::new(&["a", "b", "c"], "");
    ring.start_all();
    for (name, signal) in [("b", Signal::INT), ("c", Signal::TERM)] {
        let mut stream = Stream::begin(&ring, &["a", name], "cart-1");
        stream.wait_more(20);
        let mut node = ring.take(name);
        let (before, asked) = (node.log(), std::time::Instant::now());
        node.signal(signal);
        let (status, _) = node.wait();
        assert!(asked.elapsed() < PROMPTLY, "it took {:?}", asked.elapsed());
        assert_eq!(status.code(), Some(0), "{}", node.log());
        let log = node.log();
        let said = log.strip_prefix(&before).expect("it only grows");
        let is_a_fault = ["WARN", "ERROR"].iter().any(|word| said.contains(word));
        assert!(said.contains("told to stop") && !is_a_fault, "a wish is not a fault: {said}");
        let left = ring.view("a").is_some_and(|view| view["fully_protected"] == true);
        assert!(left || signal == Signal::INT, "told by SIGTERM it hands over first");
        stream.wait_more(20);
        drop(stream.end());
        drop(node);
        ring.start(name);
        ring.wait_whole();
    }
}

#[test]
fn a_node_whose_log_and_output_nobody_reads_any_more_serves_on() {
    let mut ring = Ring::new(&["a", "b", "c"], "");
    ring.start("b");
    ring.start("c");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringheir"));
    command.args(["node", "--name", "a", "--log", "ringheir=debug", "--exit-with-stdin", "--config"]);
    command.arg(ring.config()).arg("--run-dir").arg(ring.run_dir());
    let mut a = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("built");
    // Both pipes have no reader from here on, as when `| head -1` has seen enough.
    drop((a.stdout.take(), a.stderr.take()));
    ring.wait_ready("a");
    let stream = Stream::begin(&ring, &["a"], "cart-1");
    ring.kill("b");
    ring.start("b");
    stream.wait_more(20);
    let asked = std::time::Instant::now();
    kill_process(Pid::from_child(&a), Signal::TERM).expect("it runs");
    assert_eq!(a.wait().expect("our child").code(), Some(0));
    assert!(asked.elapsed() < PROMPTLY, "it took {:?}", asked.elapsed());
}

#[test]
fn sigint_and_sigterm_end_a_node_that_still_waits_for_the_others() {
    let mut ring = Ring::new(&["a", "b", "c"], "");
    for (name, signal) in [("a", Signal::INT), ("b", Signal::TERM)] {
        ring.start(name);
        let mut node = ring.take(name);
        crate::ring::wait_for("waiting", || node.log().contains("waiting for the other voters").then_some(()));
        let asked = std::time::Instant::now();
        node.signal(signal);
        let (status, _) = node.wait();
        assert!(asked.elapsed() < PROMPTLY, "it took {:?}", asked.elapsed());
        assert_eq!(status.code(), Some(0), "{}", node.log());
    }
}
