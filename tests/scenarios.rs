//! `ringheir sim PATH` as somebody uses it who writes a scenario for the first time: right, wrong, and one that does not hold.
#![cfg(all(feature = "cli", feature = "sim"))]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use ringheir::sim::run::{MARKS, OTHER_MARKS};

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ringheir-scenarios-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder can be made");
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).expect("it can be written");
        path.display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn sim(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_ringheir")).arg("sim").args(arguments).output().expect("it starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// The scenario that the README of `simulations/` shows whole.
fn of_the_readme() -> String {
    let readme = include_str!("../simulations/README.md");
    let (_, from) = readme.split_once("```toml\n").expect("it shows one");
    from.split_once("```").expect("and ends").0.to_owned()
}

#[test]
fn the_scenario_of_the_readme_holds_and_is_drawn() {
    let folder = Folder::new("readme");
    let path = folder.write("mine.toml", &of_the_readme());
    let page = folder.0.join("run.html").display().to_string();
    let (status, told, why) = sim(&[&path, "--html", &page, "--json"]);
    assert_eq!(status, Some(0), "{told}{why}");
    assert!(told.contains("holds  mine"), "{told}");
    let json: serde_json::Value = serde_json::from_str(told.lines().last().expect("a line")).expect("JSON");
    assert_eq!((&json["ok"], &json["scenarios"][0]["failed"]), (&true.into(), &0.into()));
    let page = fs::read_to_string(Path::new(&page)).expect("it was written");
    assert!(page.contains("<html") && page.contains("kill a"), "the step is on it");
}

#[test]
fn the_readme_lists_every_branch_that_a_scenario_may_expect_to_be_reached() {
    let readme = include_str!("../simulations/README.md");
    let (_, from) = readme.split_once("### Branches").expect("it has the list");
    let listed = from.split_once("\n## ").expect("and goes on").0;
    for mark in MARKS.into_iter().chain(OTHER_MARKS) {
        assert!(listed.contains(&format!("`{mark}`")), "{mark}");
    }
}

#[test]
fn a_wrong_file_runs_nothing_and_is_told_with_the_line_and_what_would_be_right() {
    let folder = Folder::new("wrong");
    let right = folder.write("a-right.toml", &of_the_readme());
    let wrong = folder.write("b-wrong.toml", &of_the_readme().replace("kill = \"a\"", "kil = \"a\"\npause = \"x\""));
    let (status, told, why) = sim(&[&right, &wrong]);
    assert_eq!((status, told.as_str()), (Some(2), ""), "not even the right one has run");
    for words in ["b-wrong.toml:", "a step has no key `kil`", "did you mean `kill`?", "there is no node `x`"] {
        assert!(why.contains(words), "{words} is not in:\n{why}");
    }
    assert!(!why.contains('\u{1b}'), "no colours where nobody looks");
    fs::write(&wrong, [0xff, 0xfe, 0x00]).expect("it can be written");
    let (status, _, why) = sim(&[&wrong]);
    assert!(status == Some(2) && why.contains("b-wrong.toml is no text; a scenario is a TOML file"), "{why}");
    let long = format!("about = \"x\"\n[cluster]\nnodes = [{}]\n", "\"long-name-of-a-node\", ".repeat(500));
    let (status, _, why) = sim(&[&folder.write("long.toml", &long)]);
    assert!(status == Some(2) && why.contains("is there twice"), "{why}");
    assert!(why.lines().all(|line| line.chars().count() < 200), "no line of 10,000 letters:\n{why}");
    let empty = Folder::new("empty");
    let (status, _, why) = sim(&[&empty.0.display().to_string()]);
    assert!(status == Some(2) && why.contains("no scenario"), "{why}");
    let (status, _, why) = sim(&["/there/is/none.toml"]);
    assert!(status == Some(2) && why.contains("/there/is/none.toml"), "{why}");
}

#[test]
fn a_scenario_that_does_not_hold_says_what_is_instead_and_the_line_that_repeats_it_does_so() {
    let folder = Folder::new("fails");
    let path = folder.write("fails.toml", &of_the_readme().replace("\"300ms\"", "\"1ms\""));
    let (status, told, _) = sim(&[&path, "--seeds", "3"]);
    assert_eq!(status, Some(1), "{told}");
    assert!(told.contains("FAILS  fails  3 seeds, 3 failed") && told.contains("after the loss of a it took"), "{told}");
    let repeat = told.lines().find_map(|line| line.strip_prefix("repeat it: ringheir sim ")).expect("there is a line");
    let arguments: Vec<&str> = repeat.split(' ').collect();
    let (status, again, _) = sim(&arguments);
    assert_eq!(status, Some(1));
    let violation = |told: &str| told.lines().find(|line| line.starts_with("VIOLATION")).map(str::to_owned);
    assert_eq!(violation(&again), violation(&told), "the same run");
}

#[test]
fn the_faults_that_a_planted_bug_needs_are_found_and_fail_alone() {
    let searched = ["--planted", "without-fencing", "--mix", "voters", "--seeds", "100", "--failures", "1", "--shrink"];
    let (status, told, _) = sim(&searched);
    assert_eq!(status, Some(1), "{told}");
    let line = told.lines().find(|line| line.contains("are needed for")).expect("it says how many");
    let numbers: Vec<usize> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
    assert!(numbers[1] < numbers[0], "{line}");
    // Of two threads each may have found a seed; the faults of one are sought.
    let mut repeats = told.lines().filter_map(|line| line.strip_prefix("repeat it: ringheir sim "));
    let repeat = repeats.find(|arguments| arguments.contains("--only ")).expect("there is a line");
    let arguments: Vec<&str> = repeat.split(' ').collect();
    assert_eq!(sim(&arguments).0, Some(1), "with these faults alone it fails");
}

#[test]
fn two_processes_write_the_same_run_byte_for_byte_and_two_seeds_differ_in_words() {
    let folder = Folder::new("events");
    let path = |name: &str| folder.0.join(name).display().to_string();
    let simulation = |name: &str| format!("{}/simulations/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    let write = |arguments: &[&str], to: &str| {
        let (status, told, why) = sim(&[arguments, &["--messages", "--events", to]].concat());
        assert_eq!(status, Some(0), "{told}{why}");
        fs::read(to).expect("it was written")
    };
    for (seed, name) in ["kill-primary", "restart-storm", "one-way-3-2-back", "rolling-restart"].iter().enumerate() {
        let (seed, file) = (seed.to_string(), simulation(name));
        let [one, other] = ["one", "other"].map(|to| write(&[&file, "--seed", &seed], &path(to)));
        assert!(one == other && one.len() > 100_000, "{name}, seed {seed}");
    }
    let [one, other] = ["one", "other"].map(|to| write(&["--seed", "7"], &path(to)));
    assert!(one == other && one.len() > 100_000, "a seed without a file");
    assert_eq!(sim(&["--diff", &path("one"), &path("other")]).0, Some(0));
    write(&["--seed", "8"], &path("other"));
    let (status, told, _) = sim(&["--diff", &path("one"), &path("other")]);
    assert!(status == Some(1) && told.contains("seed 7") && told.contains("seed 8"), "{told}");
    fs::write(path("other"), "{}").expect("it can be written");
    let (status, _, why) = sim(&["--diff", &path("one"), &path("other")]);
    assert!(status == Some(2) && why.contains("no run that --events wrote"), "{why}");
    let (status, _, why) = sim(&["--seed", "7", "--messages"]);
    assert!(status == Some(2) && why.contains("--events FILE"), "{why}");
}
