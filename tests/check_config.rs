//! `ringheir check-config` as its callers see it: what it prints, and how it exits.
#![cfg(feature = "cli")]

use std::process::{Command, Output};

fn check_config(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringheir"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env_remove("RINGHEIR_SECRET");
    command.arg("check-config").args(arguments).output().expect("the binary was built")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

#[test]
fn a_good_file_shows_who_backs_whom_and_who_votes() {
    let output = check_config(&["examples/cluster.toml"]);
    let told = text(&output.stdout);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
    for link in ["a -> b ", "b -> c ", "c -> d ", "d -> a "] {
        assert!(told.contains(link), "{link} in\n{told}");
    }
    assert!(told.contains("voters  a, b, c, d (majority; a majority is 3)"), "{told}");
    assert!(told.contains("(host, 127.0.0.1:7104, http 127.0.0.1:7204)"), "{told}");
    assert!(!told.contains("change-me"), "{told}");
}

#[test]
fn json_is_one_object_on_the_last_line() {
    let output = check_config(&["--json", "examples/cluster.toml"]);
    let last = text(&output.stdout).lines().last().expect("a line");
    let told: serde_json::Value = serde_json::from_str(last).expect("JSON");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!((&told["ok"], &told["nodes"][3]["name"]), (&true.into(), &"d".into()));
    assert_eq!(told["nodes"][3]["backed_by"], serde_json::json!(["a"]));
}

#[test]
fn a_redis_port_open_to_others_is_advised_against_and_allowed() {
    let folder = std::env::temp_dir().join(format!("ringheir-check-config-redis-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    let file = folder.join("open.toml");
    let name = file.to_str().expect("UTF-8");
    let good = std::fs::read_to_string("examples/cluster.toml").expect("the example");
    let open = good
        .replace("change-me", "hush")
        .replace("name = \"shop\"", "name = \"shop\"\ninsecure = true")
        .replace("name = \"a\"", "name = \"a\"\nredis = \"10.0.0.1:6379\"");
    std::fs::write(&file, &open).expect("writable");
    let (plain, json) = (check_config(&[name]), check_config(&[name, "--json"]));
    std::fs::write(&file, open.replace("insecure", "redis_password = \"say this\"\ninsecure")).expect("writable");
    let closed = check_config(&[name]);
    std::fs::remove_dir_all(&folder).expect("our own folder");

    let advice = "the `redis` address of a is outside loopback, and there is no `redis_password`";
    assert_eq!((plain.status.code(), text(&plain.stderr)), (Some(0), ""), "advice, no error");
    assert!(text(&plain.stdout).lines().any(|line| line.starts_with("note: line ") && line.contains(advice)));
    assert!(text(&plain.stdout).contains(", redis 10.0.0.1:6379)"), "{}", text(&plain.stdout));
    assert!(text(&json.stdout).contains("\"redis\":\"10.0.0.1:6379\""), "{}", text(&json.stdout));
    assert!(text(&json.stdout).contains(advice), "{}", text(&json.stdout));
    assert_eq!(closed.status.code(), Some(0));
    assert!(!text(&closed.stdout).contains("note:") && !text(&closed.stdout).contains("say this"));
}

#[test]
fn a_bad_file_exits_2_with_every_fault_on_stderr() {
    let folder = std::env::temp_dir().join(format!("ringheir-check-config-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    let file = folder.join("bad.toml");
    let name = file.to_str().expect("UTF-8");
    let good = std::fs::read_to_string("examples/cluster.toml").expect("the example");
    let bad = good.replace("name = \"shop\"", "name = \"shop\"\narcs = 0\nhartbeat = \"1s\"");
    std::fs::write(&file, bad).expect("writable");
    let (plain, json) = (check_config(&[name]), check_config(&[name, "--json"]));
    std::fs::remove_dir_all(&folder).expect("our own folder");

    assert_eq!((plain.status.code(), text(&plain.stdout)), (Some(2), ""));
    let told = text(&plain.stderr);
    assert!(told.contains("bad.toml:8:8: `arcs` cannot be 0") && told.contains("bad.toml:9:1: unknown key"), "{told}");
    assert_eq!(json.status.code(), Some(2));
    let told: serde_json::Value = serde_json::from_str(text(&json.stdout).trim_end()).expect("JSON");
    assert_eq!((&told["faults"][0]["line"], &told["faults"][1]["key"]), (&8.into(), &"cluster".into()));
}

#[test]
fn no_file_and_no_arguments_could_not_run() {
    let missing = check_config(&["no/such/file.toml"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(text(&missing.stderr).contains("no/such/file.toml: cannot be read"));
    assert_eq!(check_config(&[]).status.code(), Some(2));
}
