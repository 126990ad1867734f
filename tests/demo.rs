//! `ringheir demo` with real processes: it is well when it should be, and says so when it is not. No time is judged here.
#![cfg(feature = "cli")]

use std::process::{Command, Output};

use serde_json::Value;

fn ringheir(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ringheir")).args(arguments).output().expect("the binary was built")
}

fn demo(arguments: &[&str]) -> (Option<i32>, Value) {
    let small = ["demo", "--json", "--seconds", "4", "--sessions", "48", "--rate", "200", "--clients", "8"];
    let output = ringheir(&[&small, arguments].concat());
    let told = String::from_utf8(output.stdout).expect("UTF-8");
    let last = told.lines().last().unwrap_or_default();
    let progress = String::from_utf8_lossy(&output.stderr);
    let object =
        serde_json::from_str(last).unwrap_or_else(|fault| panic!("{fault} in {last:?}; progress:\n{progress}"));
    println!("{progress}\n{last}");
    (output.status.code(), object)
}

#[test]
fn a_node_killed_and_restarted_loses_nothing() {
    let (status, told) = demo(&["--kill", "a@1s", "--restart", "a@2s"]);
    assert_eq!((status, &told["ok"]), (Some(0), &true.into()));
    for nothing in ["lost", "duplicated", "stale_reads", "failed"] {
        assert_eq!(told[nothing], 0, "{nothing}");
    }
    assert!(told["acked"].as_u64() > Some(100), "{}", told["acked"]);
    let arcs = told["faults"][0]["arcs"].as_u64().expect("a number");
    assert!(arcs > 0 && told["promoted_ms"]["count"] == arcs, "every arc of the lost node is served by another");
    assert!(told["protected_again_ms"]["max"].is_number());
}

#[test]
fn both_copies_killed_at_once_are_noticed_as_lost() {
    let (status, told) = demo(&["--kill", "a@1s", "--kill", "b@1s"]);
    assert_eq!((status, &told["ok"]), (Some(1), &false.into()));
    assert!(told["lost"].as_u64() > Some(0) && told["arcs_lost"].as_u64() > Some(0), "{told}");
}

#[test]
fn a_plan_that_cannot_be_done_starts_nothing_and_exits_2() {
    let output = ringheir(&["demo", "--kill", "x@1s"]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "kill x@1s: there is no node x; there are a, b, c, d\n");
}

#[test]
fn where_nobody_answers_the_looking_commands_say_so_and_exit_2() {
    for command in ["status", "view", "arcs"] {
        let output = ringheir(&[command, "--node", "127.0.0.1:1"]);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{command}");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains("no node answers") && told.contains("127.0.0.1:1: cannot connect"), "{told}");
        assert_eq!(ringheir(&[command]).status.code(), Some(2), "{command} needs --node or --config");
    }
}
