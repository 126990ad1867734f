//! `ringheir demo` with real processes: it is well when it should be, and says so when it is not. No time is judged here.
#![cfg(feature = "cli")]

use std::{
    io::{BufRead as _, BufReader, Read as _},
    os::unix::process::CommandExt as _,
    process::{Child, ChildStderr, Command, Output, Stdio},
};

use rustix::process::{Pid, Signal, kill_process_group};
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
    let restarted = &told["faults"][1];
    assert!(restarted["back_in_the_ring_ms"].is_number() && restarted["protected_again_ms"].is_number(), "{restarted}");
}

#[test]
fn both_copies_killed_at_once_are_noticed_as_lost() {
    let (status, told) = demo(&["--kill", "a@1s", "--kill", "b@1s"]);
    assert_eq!((status, &told["ok"]), (Some(1), &false.into()));
    assert!(told["lost"].as_u64() > Some(0) && told["arcs_lost"].as_u64() > Some(0), "{told}");
}

/// A demo that has printed its first line on stderr, in a process group of its own as a shell would start it.
fn begun(seconds: &str, environment: &[(&str, &std::path::Path)]) -> (Child, BufReader<ChildStderr>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringheir"));
    command.args(["demo", "--seconds", seconds, "--sessions", "48", "--rate", "200", "--clients", "8"]);
    command.envs(environment.iter().copied()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().expect("the binary was built");
    let mut progress = BufReader::new(child.stderr.take().expect("it was piped"));
    let mut line = String::new();
    progress.read_line(&mut line).expect("UTF-8");
    assert_eq!(line, "starting 4 node processes\n");
    (child, progress)
}

/// The command lines of all processes that name this folder.
fn processes_of(folder: &std::path::Path) -> Vec<String> {
    let named = folder.to_str().expect("UTF-8");
    let all = std::fs::read_dir("/proc").expect("Linux").flatten();
    let lines = all.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.map(|line| String::from_utf8_lossy(&line).into_owned()).filter(|line| line.contains(named)).collect()
}

#[test]
fn ctrl_c_leaves_neither_process_nor_folder_whenever_it_comes() {
    let folder = std::env::temp_dir().join(format!("ringheir-ctrl-c-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    for (after_lines, signal) in [(0, Signal::INT), (1, Signal::TERM), (3, Signal::INT), (6, Signal::HUP)] {
        let (mut child, mut progress) = begun("30", &[("TMPDIR", &folder)]);
        for _ in 0..after_lines {
            progress.read_line(&mut String::new()).expect("UTF-8");
        }
        if after_lines > 1 {
            assert_eq!(processes_of(&folder).len(), 4, "its nodes run");
        }
        kill_process_group(Pid::from_child(&child), signal).expect("it runs");
        let status = child.wait().expect("our child");
        let mut rest = String::new();
        progress.read_to_string(&mut rest).expect("UTF-8");
        assert_eq!(status.code(), Some(130), "{rest}");
        assert!(rest.ends_with("interrupted; all nodes are stopped\n"), "{rest}");
        assert_eq!(processes_of(&folder), [""; 0]);
        assert_eq!(std::fs::read_dir(&folder).expect("ours").count(), 0, "its folder is gone");
    }
    std::fs::remove_dir(&folder).expect("empty");
}

#[test]
fn who_stops_listening_does_not_end_the_demo() {
    let (mut child, progress) = begun("3", &[]);
    drop(progress);
    assert_eq!(child.wait().expect("our child").code(), Some(0));
}

#[test]
fn without_room_for_its_files_it_says_where_and_exits_2() {
    let nowhere = std::path::Path::new("/proc/nowhere");
    let output = Command::new(env!("CARGO_BIN_EXE_ringheir")).arg("demo").env("TMPDIR", nowhere).output();
    let output = output.expect("the binary was built");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{told}");
    assert!(told.contains("/proc/nowhere") && told.contains("set TMPDIR"), "{told}");
}

#[test]
fn two_demos_at_once_do_not_meet() {
    let arguments = ["--no-faults"];
    let other = std::thread::spawn(move || demo(&arguments));
    let one = demo(&arguments);
    for (status, told) in [one, other.join().expect("the other thread")] {
        assert_eq!((status, &told["ok"]), (Some(0), &true.into()), "{told}");
    }
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
