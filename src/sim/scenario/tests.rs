//! What a scenario file means, and what a wrong one is told.

use super::*;
use crate::{
    membership::Role,
    sim::run::{MARKS, OTHER_MARKS},
};

fn read(text: &str) -> Result<Scenario, ScenarioError> {
    Scenario::from_text("test", "test.toml", text)
}

fn name(word: &str) -> NodeName {
    NodeName::new(word).expect("a name")
}

const HEAD: &str = "about = \"nothing. nothing.\"\n[cluster]\nnodes = [\"a\", \"b\", \"c\"]\n";

fn with(rest: &str) -> Result<Scenario, ScenarioError> {
    read(&format!("{HEAD}{rest}"))
}

/// What is said of a wrong file: its lines and columns, what is wrong, what would be right.
fn told(rest: &str) -> String {
    let error = with(rest).expect_err("it is wrong");
    let faults = error.faults().iter().map(|fault| format!("{fault} ({})", fault.help.as_deref().unwrap_or("")));
    faults.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_file_says_what_happens_when_and_what_is_expected() {
    let scenario = with(
        "roles = { c = \"witness\" }\nagreement = \"majority_or_proof\"\ndelay = \"250us\"\nproof = \"never\"\n\
         [workload]\nsessions = 3\nmix = { write = 1, read = 1 }\n\
         lifetimes = \"2s\"\npersist = 0.25\nkeep_end = 0.5\ntogether = 0.125\n\
         [[step]]\nat = \"5s\"\none_way = { from = \"a\" }\n\
         [[step]]\nat = \"2s\"\nkill = [\"a\", \"b\"]\n\
         [[step]]\nat = \"6s\"\njoin = \"d\"\n\
         [[expect]]\nat = \"7s\"\nlinks = [\"a -> b\"]\nprimary = { a = \"b\" }\n\
         [[expect]]\nfinally = true\nlost = 0\npromoted_within = \"300ms\"\nended_within = \"1s\"\n",
    )
    .expect("it is right");
    assert_eq!(scenario.names(), ["a", "b", "c", "d"].map(name));
    assert_eq!(scenario.cluster.nodes[2].role, Role::Witness);
    assert_eq!((scenario.cluster.delay, scenario.cluster.proof), (Duration::from_micros(250), None));
    assert_eq!(scenario.work.mix, [1, 1, 0, 0]);
    let work = (scenario.work.lifetimes, scenario.work.persist, scenario.work.keep_end, scenario.work.together);
    assert_eq!(work, (Some(Duration::from_secs(2)), 0.25, 0.5, 0.125));
    let steps: Vec<_> = scenario.steps.iter().map(|step| (step.at.as_secs(), step.deed.to_string())).collect();
    assert_eq!(
        steps,
        [
            (2, "kill a, b".to_owned()),
            (5, "one_way: nothing arrives from a to anybody".to_owned()),
            (6, "join d".to_owned())
        ]
    );
    assert_eq!(scenario.expects.len(), 5);
    assert_eq!(scenario.lasts, Duration::from_secs(10), "three seconds after its last word");
}

#[test]
fn everything_that_is_wrong_is_told_with_its_place_and_what_would_be_right() {
    for (rest, place, words) in [
        ("[[step]]\nat = \"5s\"\nkil = \"a\"\n", "line 6, column 1", "did you mean `kill`?"),
        ("[[step]]\nat = \"5s\"\nkill = \"x\"\n", "line 6, column 8", "there is no node `x`"),
        ("[[step]]\nat = 5\nkill = \"a\"\n", "line 5, column 6", "\"250ms\""),
        ("[[step]]\nkill = \"a\"\n", "line 5, column 1", "does not say when"),
        ("[[step]]\nat = \"1s\"\nkill = \"a\"\npause = \"b\"\n", "line 7, column 1", "several things"),
        ("[[step]]\nat = \"1s\"\n", "line 5, column 1", "does nothing"),
        ("[[step]]\nat = \"1s\"\ndrop = 1.5\n", "line 6, column 8", "a number from 0 to 1"),
        ("[[step]]\nat = \"1s\"\npartition = [[\"a\"], [\"a\", \"b\"]]\n", "line 6, column 22", "in two groups"),
        ("[[expect]]\nat = \"1s\"\nlost = 0\n", "line 6, column 1", "about the whole run"),
        ("[[expect]]\nlost = 0\n", "line 5, column 1", "when is this expected?"),
        ("[[expect]]\nfinally = true\nlinks = [\"a>b\"]\n", "line 6, column 10", "a -> b"),
        ("backups = 9\n", "line 4, column 11", "from 0 to 3"),
        ("arks = 9\n", "line 4, column 1", "did you mean `arcs`?"),
        ("[[step]]\nat = \"1s\"\npartition = [[\"a\"], [\"b\", \"a\"]]\n", "line 6, column 27", "in two groups"),
        ("[[step]]\nat = \"1s\"\npower_off = { a = 1 }\n", "line 6, column 13", "no name"),
        ("[[expect]]\nat = \"1s\"\nprimary = { a = [\"a\"] }\n", "line 6, column 17", "one name is meant"),
        ("[[expect]]\nat = \"1s\"\nbackups = { d = \"a\" }\n", "line 6, column 13", "no node `d`"),
        ("[[expect]]\nat = \"1s\"\nprimary = {}\n", "line 6, column 11", "holds whatever happens"),
        ("[[expect]]\nat = \"1s\"\nprimary = { \"a b\" = \"a\" }\n", "line 6, column 13", "no name of a node"),
        ("proof = \"sometimes\"\n", "line 4, column 9", "or \"never\""),
        ("zones = { q = \"x\" }\n", "line 4, column 11", "there is no node `q`"),
        ("[workload]\npersist = 0.2\n", "line 5, column 11", "lifetimes = \"1s\""),
        ("[workload]\nlifetimes = \"1s\"\npersist = 0.7\nkeep_end = 0.6\n", "line 7, column 12", "at most 1"),
        ("[workload]\ntogether = 2\n", "line 5, column 12", "a number from 0 to 1"),
        ("[[expect]]\nfinally = true\nended_within = \"1s\"\n", "line 6, column 1", "lifetimes = \"1s\""),
        ("[swarm]\nmix = \"stom\"\n", "line 5, column 7", "\"storm\""),
        ("lasts\n", "line 4", "no TOML"),
    ] {
        let told = told(rest);
        assert!(told.contains(place) && told.contains(words), "of {rest:?} it is said:\n{told}");
    }
    let nothing = read("").expect_err("nothing is there");
    assert!(nothing.faults().iter().any(|fault| fault.what.contains("no [cluster]")), "{:?}", nothing.faults());
}

#[test]
fn several_faults_are_told_at_once_in_file_order() {
    let told = told("arks = 1\n[[step]]\nat = \"1s\"\nkill = \"x\"\n[[step]]\nat = \"x\"\nheal = true\n");
    assert_eq!(told.lines().count(), 3, "{told}");
    assert!(told.find("arks") < told.find("`x`"));
}

#[test]
fn a_step_that_could_never_do_anything_is_refused_where_it_says_so() {
    for (deed, column, words) in [
        ("kill = []", 8, "nobody is named"),
        ("join = []", 8, "nobody is named"),
        ("recover = []", 11, "nobody is named"),
        ("one_way = { from = [], to = \"a\" }", 20, "leave `from` out"),
        ("partition = []", 13, "parts nobody"),
        ("partition = [[\"a\", \"b\", \"c\"]]", 13, "parts nobody"),
        ("partition = [[\"a\"], []]", 21, "nobody is in this group"),
        ("one_way = { from = \"a\", to = \"a\" }", 30, "`a` is on both sides"),
        ("drop = { from = [\"b\", \"b\"], to = \"b\", rate = 0.1 }", 34, "`b` is on both sides"),
        ("reorder = { from = \"a\", to = \"a\", rate = 0.1 }", 30, "`a` is on both sides"),
        ("slow = { from = \"a\" }", 8, "makes nothing slower"),
        ("slow = {}", 8, "makes nothing slower"),
    ] {
        let told = told(&format!("[[step]]\nat = \"1s\"\n{deed}\n"));
        let place = format!("line 6, column {column}:");
        assert!(told.contains(&place) && told.contains(words), "of {deed} it is said:\n{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
    }
    for deed in
        ["one_way = {}", "partition = [[\"a\", \"b\"]]", "drop = 0", "one_way = { from = [\"a\", \"b\"], to = \"b\" }"]
    {
        assert!(with(&format!("[[step]]\nat = \"1s\"\n{deed}\n")).is_ok(), "{deed}");
    }
}

#[test]
fn a_time_beyond_the_longest_run_is_told_where_it_stands_with_the_limit() {
    for (rest, place) in [
        ("[[step]]\nat = \"700s\"\nheal = true\n", "line 5, column 6:"),
        ("[[step]]\nat = \"1s\"\nheal = true\n[[step]]\nat = \"598s\"\nheal = true\n", "line 8, column 6:"),
        ("[[expect]]\nat = \"11m\"\nlost_arcs = 0\n", "line 5, column 6:"),
        ("[[step]]\nat = \"1s\"\nkill = \"a\"\n[[expect]]\nfinally = true\npromoted_within = \"1h\"\n", "line 9,"),
        ("[swarm]\nfrom = \"596s\"\n", "line 5, column 8:"),
    ] {
        let told = told(rest);
        assert!(told.starts_with(place) && told.contains("at most 600s"), "of {rest:?} it is said:\n{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
    }
    let whole = format!("lasts = \"601s\"\n{HEAD}");
    let fault = read(&whole).expect_err("too long").faults()[0].to_string();
    assert!(fault.starts_with("line 1, column 9:"), "{fault}");
    let over = read(&format!("lasts = \"4s\"\n{HEAD}[[step]]\nat = \"5s\"\nheal = true\n")).expect_err("over before");
    assert!(
        over.faults()[0].to_string().contains("line 1, column 9: it is over before its last word, at 5s in line 6")
    );
    assert!(read(&format!("lasts = \"600s\"\n{HEAD}[[step]]\nat = \"599s\"\nheal = true\n")).is_ok());
}

#[test]
fn a_node_too_many_and_one_that_is_there_twice_are_told_where_they_stand() {
    let fault = |text: &str| read(text).expect_err("it is wrong").faults()[0].to_string();
    let head = "about = \"x\"\n[cluster]\nnodes = ";
    assert!(fault(&format!("{head}[\"a\", \"b\", \"a\"]\n")).starts_with("line 3, column 20: `a` is there twice"));
    let listed = |count: usize| format!("{head}{:?}\n", (0..count).map(|n| format!("n{n:02}")).collect::<Vec<_>>());
    let told = fault(&listed(17));
    assert!(told.starts_with("line 3, column 122: there are 17 nodes"), "{told}");
    let joining = "[[step]]\nat = \"1s\"\njoin = \"x\"\n[[step]]\nat = \"1s\"\njoin = [\"x\", \"y\"]\n";
    let told = fault(&format!("{}{joining}", listed(15)));
    assert!(told.starts_with("line 9, column 14: there are 17 nodes"), "{told}");
}

#[test]
fn one_mistyped_word_is_told_once() {
    for rest in [
        "[[step]]\nat = \"1s\"\nkil = \"a\"\n",
        "[[step]]\natt = \"1s\"\nkill = \"a\"\n",
        "[[expect]]\nat = \"1s\"\nmembrs = \"a\"\n",
        "[[expect]]\nfinaly = true\nlost = 0\n",
        "[[step]]\nat = \"1s\"\nkil = \"a\"\n[[expect]]\nfinally = true\npromoted_within = \"1s\"\n",
    ] {
        let told = told(rest);
        assert!(told.lines().count() == 1 && told.contains("did you mean"), "of {rest:?} it is said:\n{told}");
    }
}

#[test]
fn how_soon_a_loss_is_made_good_can_only_be_expected_where_something_loses_a_node() {
    let expected = |rest: &str| format!("{rest}[[expect]]\nfinally = true\npromoted_within = \"1s\"\n");
    let none = told(&expected("[[step]]\nat = \"1s\"\ncordon = \"a\"\n"));
    assert!(none.starts_with("line 9, column 1: no node is lost") && none.contains("power_off"), "{none}");
    let steps =
        ["kill", "power_off", "restart", "pause"].map(|deed| format!("[[step]]\nat = \"1s\"\n{deed} = \"a\"\n"));
    for rest in steps.iter().map(String::as_str).chain(["[swarm]\n"]) {
        assert!(with(&expected(rest)).is_ok(), "{rest}");
    }
}

#[test]
fn a_scenario_of_any_size_is_read_or_refused_within_its_bounds() {
    let long = "x".repeat(FILE_MAX + 1);
    assert!(read(&long).expect_err("too long").faults()[0].what.contains("too long"));
    let many = "[[step]]\nat = \"1s\"\nheal = true\n".repeat(STEPS_MAX + 1);
    assert!(told(&many).contains("too many"));
    assert!(told("[[step]]\nat = \"700s\"\nheal = true\n").contains("at most"));
    let nested = format!("[[step]]\nat = \"1s\"\nkill = {}\"a\"{}\n", "[".repeat(5_000), "]".repeat(5_000));
    assert!(with(&nested).is_err(), "however deep it is");
}

#[test]
fn a_branch_that_no_run_reaches_is_refused_with_the_one_that_was_probably_meant() {
    let reached = |mark: &str| format!("[[expect]]\nfinally = true\nreached = \"{mark}\"\n");
    let near = told(&reached("a promotion during a catchup"));
    assert!(near.contains("line 6, column 11") && near.contains("\"a promotion during a catch-up\"?"), "{near}");
    let far = told(&reached("x"));
    assert!(far.contains("simulations/README.md") && !far.contains("did you mean"), "{far}");
    for mark in MARKS.into_iter().chain(OTHER_MARKS) {
        assert!(with(&reached(mark)).is_ok(), "{mark}");
    }
    let built = Scenario::with_nodes("x", ["a"]).expect(Holds::Reached("a promotoin".to_owned())).build();
    assert!(built.is_err_and(|wrong| wrong.to_string().contains("a promotoin")), "in Rust too");
}
