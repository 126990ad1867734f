//! `ringheir bench`, each measurement for a moment: it ends well, and its last line is the object that it promises. No figure
//! is judged here but those that must be nothing.
#![cfg(feature = "cli")]

use std::process::Command;

use serde_json::Value;

fn bench(name: &str, arguments: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_ringheir"))
        .args(["bench", name, "--json"])
        .args(arguments)
        .output()
        .expect("the binary was built");
    let (told, progress) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{progress}");
    let last = told.lines().last().unwrap_or_default();
    let object: Value = serde_json::from_str(last).unwrap_or_else(|fault| panic!("{fault} in {last:?}: {progress}"));
    assert_eq!(object["name"], name, "{object}");
    assert!(object["params"].is_object(), "{object}");
    object
}

fn has_numbers(object: &Value, keys: &[&str]) {
    for key in keys {
        assert!(object[key].is_number(), "{key} in {object}");
    }
}

const CALLS: [&str; 6] = ["ops_per_s", "p50_us", "p99_us", "p999_us", "cpu_us_per_op", "rss_bytes"];

#[test]
fn calls_are_measured_where_they_are_made() {
    let replicate = bench("replicate", &["--sessions", "8", "--seconds", "1", "--runs", "1"]);
    has_numbers(&replicate, &CALLS);
    assert_eq!(replicate["runs"].as_array().map(Vec::len), Some(1));
    let forward = bench("forward", &["--callers", "4", "--seconds", "1", "--runs", "1"]);
    has_numbers(&forward, &CALLS);
    for case in ["here", "forwarded", "one_here", "one_forwarded"] {
        has_numbers(&forward[case], &CALLS);
    }
    let read = bench("read", &["--callers", "4", "--seconds", "1", "--runs", "1"]);
    has_numbers(&read, &CALLS);
    has_numbers(&read["leased"], &CALLS);
    has_numbers(&read["stale"], &CALLS);
}

#[test]
fn a_killed_process_is_measured_from_the_signal() {
    let promote = bench("promote", &["--sessions", "10", "--sessions", "200", "--runs", "1"]);
    let table = promote["table"].as_array().expect("a table");
    assert_eq!(table.len(), 2);
    for (row, sessions) in table.iter().zip([10, 200]) {
        assert_eq!(row["sessions"], sessions);
        has_numbers(&row["promoted_ms"], &["p50", "p99", "max"]);
        has_numbers(&row["after_view_ms"], &["p50", "max"]);
        has_numbers(row, &["decided_ms", "gone_ms", "protected_again_ms", "rss_bytes", "failed"]);
    }
    has_numbers(&promote["promoted_ms"], &["p50", "max"]);
    let reprotect = bench("reprotect", &["--sessions", "500", "--callers", "8", "--runs", "1"]);
    let told = ["protected_again_ms", "mb_per_s", "acknowledged_meanwhile", "failed_meanwhile"];
    has_numbers(&reprotect, &[&told[..], &["ops_per_s", "p50_us", "p99_us", "p999_us", "rss_bytes"]].concat());
    let failover = bench("failover", &["--kills", "1", "--sessions", "4"]);
    has_numbers(&failover["unavailable_ms"], &["p50", "p99", "max"]);
    has_numbers(&failover["promoted_ms"], &["p50", "max"]);
    assert_eq!(failover["unavailable_ms"]["count"], 4, "each session of the killed process");
}

/// The rows of `bench redis-kill`, each with all its fields.
#[cfg(feature = "sim")]
fn killed_under_writes(arguments: &[&str]) -> Vec<Value> {
    let told = bench("redis-kill", arguments);
    let rows = told["rows"].as_array().expect("rows").clone();
    for row in &rows {
        assert!(row["server"].is_string() && row["refusals"].is_object(), "{row}");
        for kill in row["kills"].as_array().expect("kills").iter().chain([row]) {
            has_numbers(kill, &["acknowledged", "lost", "applied_twice", "refused", "unknown"]);
            has_numbers(&kill["pause_ms"], &["p50", "max"]);
            has_numbers(&kill["of_node_ms"], &["p50", "max"]);
            for others in ["of_keys_ms", "of_copies_ms", "of_others_ms"] {
                assert!(kill[others].is_object(), "{others} in {kill}");
            }
            assert!(kill["acknowledged"].as_u64() > Some(100), "there was no load: {kill}");
        }
        has_numbers(&row["kills"][0], &["writes_per_s"]);
    }
    rows
}

#[cfg(feature = "sim")]
#[test]
fn a_ring_whose_node_is_killed_with_its_link_under_redis_writes_loses_nothing_and_applies_nothing_twice() {
    for arguments in [&["--pipeline", "16"][..], &["--silent"]] {
        let few = ["--kills", "1", "--connections", "24", "--seconds", "1"];
        let rows = killed_under_writes(&[&few[..], arguments].concat());
        assert_eq!(rows.len(), 1, "{rows:?}");
        assert_eq!((&rows[0]["server"], rows[0]["lost"].as_u64()), (&Value::from("ringheir"), Some(0)), "{rows:?}");
        assert_eq!(rows[0]["applied_twice"], 0, "{rows:?}");
        assert!(rows[0]["of_keys_ms"]["max"].is_number(), "others had keys there: {rows:?}");
        assert!(rows[0]["unknown"].as_u64() > Some(0), "writes were under way at the kill: {rows:?}");
    }
}

#[cfg(feature = "sim")]
#[test]
fn redis_with_sentinels_is_killed_beside_the_ring_in_the_same_way() {
    let few = ["--kills", "1", "--connections", "8", "--seconds", "1", "--redis-server", "redis-server"];
    let rows = killed_under_writes(&few);
    let servers: Vec<_> = rows.iter().map(|row| (row["server"].as_str(), row["down_after_ms"].as_u64())).collect();
    let redis = |name| (Some(name), Some(1_000));
    assert_eq!(servers, [(Some("ringheir"), None), redis("redis plain"), redis("redis + wait")]);
    // Sentinels that hear nothing for a second have not chosen another before it is over.
    for row in &rows[1..] {
        assert!(row["pause_ms"]["p50"].as_f64() > Some(1_000.0), "{row}");
        assert_eq!(row["applied_twice"], 0, "{row}");
    }
}

#[test]
fn sessions_that_are_not_in_use_are_measured() {
    let memory = bench("memory", &["--sessions", "500", "--runs", "1"]);
    has_numbers(&memory, &["bytes_per_session_overhead", "rss_bytes"]);
    for held in ["primary", "backup"] {
        has_numbers(&memory[held], &["rss_before", "rss_after", "overhead"]);
    }
    let activate = bench("activate", &["--bytes", "300", "--bytes", "3000", "--sessions", "20", "--runs", "1"]);
    has_numbers(&activate, &["p50_us", "p99_us", "p999_us", "rss_bytes"]);
    let table = activate["table"].as_array().expect("a table");
    assert_eq!(table.len(), 2);
    for what in ["first_command", "next_command", "first_question", "next_question"] {
        has_numbers(&table[0][what], &["p50_us", "p99_us"]);
    }
}

#[test]
fn what_cannot_be_measured_is_said_with_status_2() {
    let nowhere = std::path::Path::new("/proc/nowhere");
    let output = Command::new(env!("CARGO_BIN_EXE_ringheir")).args(["bench", "memory"]).env("TMPDIR", nowhere).output();
    let output = output.expect("the binary was built");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{told}");
    assert!(told.contains("/proc/nowhere") && told.contains("TMPDIR"), "{told}");
    let none = Command::new(env!("CARGO_BIN_EXE_ringheir")).args(["bench", "promote", "--runs", "0"]).output();
    assert_eq!(none.expect("the binary was built").status.code(), Some(2));
}
