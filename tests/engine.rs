//! `ringheir sim --engine process`: the same files on real processes, real kills, and a network between them that does what it is told.
//!
//! Each run takes as long as its scenario says. These tests run alone: what they expect in time, other tests would take.
#![cfg(all(feature = "cli", feature = "sim"))]
#![expect(clippy::disallowed_methods, reason = "deadlines of a test over real processes are real time")]

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ringheir-engine-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder can be made");
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).expect("it can be written");
        path.display().to_string()
    }

    /// What was left in the folder that a run was given for its own.
    fn leftovers(&self) -> Vec<PathBuf> {
        fs::read_dir(&self.0).expect("a folder").map(|entry| entry.expect("an entry").path()).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Plays files on processes, with a temporary folder of its own.
fn engine(temporary: &Folder, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringheir"));
    command.args(["sim", "--engine", "process"]).args(arguments).env("TMPDIR", &temporary.0).stdin(Stdio::null());
    command
}

fn play(name: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let temporary = Folder::new(name);
    let output = engine(&temporary, arguments).output().expect("it starts");
    assert_eq!(temporary.leftovers(), Vec::<PathBuf>::new(), "nothing is left behind");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn simulation(name: &str) -> String {
    format!("{}/simulations/{name}.toml", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_backup_ring_closes_step_by_step_on_real_processes_and_is_drawn() {
    let folder = Folder::new("page");
    let page = folder.0.join("run.html").display().to_string();
    let (status, told, why) = play("ring", &[&simulation("backup-ring"), "--html", &page, "--json"]);
    assert_eq!(status, Some(0), "{told}{why}");
    let json: serde_json::Value = serde_json::from_str(told.lines().last().expect("a line")).expect("JSON");
    let first = &json["scenarios"][0];
    assert_eq!((&json["ok"], &first["engine"], &first["failed"]), (&true.into(), &"process".into(), &0.into()));
    assert!(first["operations"].as_u64().is_some_and(|operations| operations > 500), "callers were at work: {first}");
    for mark in ["a kill", "a promotion", "a backup caught up", "an arc was handed over"] {
        assert_eq!(first["marks"][mark], 1, "{mark}: {first}");
    }
    let page = fs::read_to_string(page).expect("it was written");
    assert!(page.contains("processes") && page.contains("kill a"), "the engine and the step are on it");
}

#[test]
fn a_cut_between_processes_is_one_way_or_both_ways_as_the_file_says_and_nothing_is_lost() {
    let files = [simulation("one-way-1-3-in"), simulation("partition-1-3")];
    let (status, told, why) = play("cuts", &[&files[0], &files[1]]);
    assert_eq!(status, Some(0), "{told}{why}");
}

#[test]
fn who_slept_and_is_deposed_answers_nothing_false_when_it_wakes() {
    let (status, told, why) = play("sleep", &[&simulation("pause-primary")]);
    assert_eq!(status, Some(0), "{told}{why}");
}

#[test]
fn commands_that_are_really_gone_are_seen_to_be_gone_and_the_violation_says_so() {
    let text = fs::read_to_string(simulation("neighbours-with-one-backup")).expect("it is there");
    let folder = Folder::new("gone-files");
    // As it stands it says how much must be lost; here it claims that nothing is.
    let claims: Vec<&str> =
        text.lines().map(|line| if line.starts_with("lost_arcs") { "lost_arcs = 0" } else { line }).collect();
    assert_ne!(claims.join("\n"), text.trim_end(), "it says of lost arcs");
    let path = folder.write("claims.toml", &format!("{}\n[[expect]]\nfinally = true\nlost = 0\n", claims.join("\n")));
    let (status, told, _) = play("gone", &[&path]);
    assert_eq!(status, Some(1), "{told}");
    assert!(told.contains("arcs are lost; but") && told.contains("acknowledged commands are lost; but"), "{told}");
    assert!(told.contains("repeat it: ringheir sim") && told.contains("--engine process --seed 0"), "{told}");
}

#[test]
fn what_processes_cannot_do_is_refused_before_anything_runs() {
    let folder = Folder::new("cannot-files");
    let drifting = fs::read_to_string(simulation("clocks-apart-and-drifting")).expect("it is there");
    let unmarked = drifting.replace("engine = \"sim\"", "#");
    let (status, told, why) = play("cannot", &[&simulation("kill-primary"), &folder.write("drifts.toml", &unmarked)]);
    assert_eq!((status, told.as_str()), (Some(2), ""), "not even the one that could be");
    assert!(why.contains("drifts.toml") && why.contains("clock_drift") && why.contains("`clock_rate` of b"), "{why}");
    let (status, _, why) = play("alone", &[&folder.write("marked.toml", &drifting)]);
    assert!(status == Some(2) && why.contains("only the simulator can play it"), "{why}");
    let (status, _, why) = play("planted", &[&simulation("kill-primary"), "--planted", "without-union", "--shrink"]);
    assert!(status == Some(2) && why.contains("--planted needs") && why.contains("--shrink needs"), "{why}");
}

#[test]
fn an_interrupted_run_leaves_no_process_and_no_folder_behind() {
    let temporary = Folder::new("interrupted");
    let mut run = engine(&temporary, &[&simulation("kill-primary")])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let began = Instant::now();
    let folder = loop {
        let logs = temporary.leftovers().into_iter().find(|folder| folder.join("d.log").exists());
        match logs {
            Some(folder) => break folder,
            None => assert!(began.elapsed() < Duration::from_secs(20), "its nodes never started"),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let file = fs::read_to_string(folder.join("cluster.toml")).expect("the cluster file");
    let addresses: Vec<String> =
        file.lines().filter_map(|l| l.strip_prefix("http = \"")?.strip_suffix('"').map(str::to_owned)).collect();
    assert_eq!(addresses.len(), 4);
    let killed = Command::new("kill").args(["-INT", &run.id().to_string()]).status().expect("it is there");
    assert!(killed.success());
    let status = run.wait().expect("it ends");
    assert_eq!(status.code(), Some(130));
    assert_eq!(temporary.leftovers(), Vec::<PathBuf>::new());
    for address in addresses {
        assert!(std::net::TcpStream::connect(&address).is_err(), "somebody still listens at {address}");
    }
}
