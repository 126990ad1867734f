//! The table of `docs/failure-model.md`: what each policy does where the ring is cut or loses nodes. Made from runs in both engines and
//! compared with what the page says; `UPDATE_TABLE=1` writes it there instead.
#![cfg(all(feature = "cli", feature = "sim"))]

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::PathBuf,
    process::Command,
};

use serde_json::Value;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/failure-model.md");
const POLICIES: [&str; 2] = ["majority", "majority_or_proof"];

/// What happens at two seconds, in words and as a step; it is mended at eight.
const CASES: [(&str, &str, &str); 13] = [
    ("two nodes; a is killed", "a b", "kill = \"a\""),
    ("two nodes; cut in two", "a b", "partition = [[\"a\"], [\"b\"]]"),
    ("two nodes and a witness w; a is killed", "a b w", "kill = \"a\""),
    ("two nodes and a witness; only the link from a to b is down", "a b w", "link_down = [\"a\", \"b\"]"),
    ("two nodes and a witness; a is cut off", "a b w", "partition = [[\"a\"], [\"b\", \"w\"]]"),
    ("four nodes; a and b are killed at once", "a b c d", "kill = [\"a\", \"b\"]"),
    ("four nodes; a and c are killed at once", "a b c d", "kill = [\"a\", \"c\"]"),
    ("four nodes; cut in halves", "a b c d", "partition = [[\"a\", \"b\"], [\"c\", \"d\"]]"),
    ("four nodes; a is cut off", "a b c d", "partition = [[\"a\"], [\"b\", \"c\", \"d\"]]"),
    ("four nodes; nobody hears a", "a b c d", "one_way = { from = \"a\" }"),
    ("four nodes; a hears nobody", "a b c d", "one_way = { to = \"a\" }"),
    ("four nodes; only the link between a and b is down", "a b c d", "link_down = [\"a\", \"b\"]"),
    ("five nodes; cut into a, b and c, d, e", "a b c d e", "partition = [[\"a\", \"b\"], [\"c\", \"d\", \"e\"]]"),
];

fn scenario(nodes: &str, step: &str, policy: &str) -> String {
    let names: Vec<String> = nodes.split(' ').map(|name| format!("\"{name}\"")).collect();
    let roles = if nodes.contains('w') { "roles = { w = \"witness\" }\n" } else { "" };
    format!(
        "about = \"A row of the table.\"\n[cluster]\nnodes = [{}]\n{roles}arcs = 20\nagreement = \"{policy}\"\n\
         [workload]\nsessions = 80\nclients = 40\n\
         [[step]]\nat = \"2s\"\n{step}\n[[step]]\nat = \"8s\"\nheal = true\n",
        names.join(", ")
    )
}

/// What became of one case: who is in the view at the end of it, whose arcs' writes are answered in its last seconds, and whose
/// arcs have lost every copy.
fn row(engine: &str, nodes: &str, step: &str, policy: &str) -> [String; 3] {
    let folder = std::env::temp_dir().join(format!("ringheir-table-{engine}-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder can be made");
    let (file, events) = (folder.join("case.toml"), folder.join("events.json"));
    fs::write(&file, scenario(nodes, step, policy)).expect("it can be written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringheir"));
    command.arg("sim").arg(&file).args(["--engine", engine, "--events"]).arg(&events);
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{nodes}, {step}, {policy}: {}", String::from_utf8_lossy(&output.stdout));
    let trace: Value = serde_json::from_str(&fs::read_to_string(&events).expect("it was written")).expect("JSON");
    let _ = fs::remove_dir_all(&folder);
    let entries = trace["entries"].as_array().expect("entries");
    let kind = |entry: &Value, kind: &str| entry["type"] == kind;
    let at = |entry: &Value| entry["at_us"].as_u64().expect("a time");
    let (from, until) = (4_500_000, 8_000_000);
    let views = || entries.iter().filter(|entry| kind(entry, "view"));
    // The last view before the cut is that of the founding: everybody serves what is at home with it.
    let founded = views().rfind(|view| at(view) < 2_000_000).expect("the ring stood");
    let names: Vec<&str> = nodes.split(' ').collect();
    assert_eq!(founded["members"].as_array().map(Vec::len), Some(names.len()), "all were in it");
    let home =
        |arc: &Value| founded["arcs"][arc.as_u64().expect("a number") as usize]["primary"].as_str().expect("a name");
    let meanwhile = views().rfind(|view| at(view) < until).expect("it is there");
    let members: Vec<&str> =
        meanwhile["members"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    let mut asked: BTreeMap<Option<u64>, &str> = BTreeMap::new();
    let mut answered: BTreeSet<&str> = BTreeSet::new();
    for entry in entries.iter().filter(|entry| (from..until).contains(&at(entry))) {
        if kind(entry, "asked") && entry["words"].as_str().is_some_and(|words| words.starts_with("write")) {
            asked.insert(entry["operation"].as_u64(), home(&entry["arc"]));
        }
        if kind(entry, "answered") && entry["done"] == true {
            answered.extend(asked.get(&entry["operation"].as_u64()).copied());
        }
    }
    let hosts = names.iter().filter(|name| **name != "w").count();
    let whose = |homes: BTreeSet<&str>| match homes.len() {
        0 => "nobody's".to_owned(),
        all if all == hosts => "everybody's".to_owned(),
        _ => homes.into_iter().collect::<Vec<_>>().join(", "),
    };
    let arcs = meanwhile["arcs"].as_array().expect("a list").iter().zip(0_u16..);
    let lost = arcs.filter(|(arc, _)| arc["lost"] == true).map(|(_, number)| home(&Value::from(number))).collect();
    [members.join(", "), whose(answered), whose(lost)]
}

/// The rows of one engine, as the page has them.
fn table(engine: &str) -> String {
    let mut table = String::from(
        "| what happens | policy | in the view meanwhile | whose writes are answered | whose arcs are lost |\n",
    );
    table += "|---|---|---|---|---|\n";
    for (words, nodes, step) in CASES {
        for policy in POLICIES {
            let [members, answered, lost] = row(engine, nodes, step, policy);
            writeln!(table, "| {words} | `{policy}` | {members} | {answered} | {lost} |").expect("memory");
        }
    }
    table
}

/// Compares the part of the page between two marks with what was found, or writes it there.
fn is_on_the_page(mark: &str, found: &str) {
    let page = fs::read_to_string(PathBuf::from(PAGE)).expect("the page is there");
    let (begin, end) = (format!("<!-- {mark}: begin -->\n"), format!("<!-- {mark}: end -->"));
    let (before, rest) = page.split_once(&begin).expect("the page has the mark");
    let (there, after) = rest.split_once(&end).expect("and its end");
    if std::env::var_os("UPDATE_TABLE").is_some() {
        fs::write(PAGE, format!("{before}{begin}{found}{end}{after}")).expect("it can be written");
        return;
    }
    assert!(there == found, "the page says\n{there}\nand it is\n{found}\nUPDATE_TABLE=1 writes it");
}

#[test]
fn the_table_of_what_each_policy_does_is_what_the_simulator_does() {
    is_on_the_page("policies", &table("sim"));
}

#[test]
#[ignore = "five minutes of real processes"]
fn the_table_of_what_each_policy_does_is_what_real_processes_do() {
    is_on_the_page("policies", &table("process"));
}
