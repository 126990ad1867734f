//! What a scenario file means, and what a wrong one is told.

use super::*;
use crate::membership::Role;

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
         [[step]]\nat = \"5s\"\none_way = { from = \"a\" }\n\
         [[step]]\nat = \"2s\"\nkill = [\"a\", \"b\"]\n\
         [[step]]\nat = \"6s\"\njoin = \"d\"\n\
         [[expect]]\nat = \"7s\"\nlinks = [\"a -> b\"]\nprimary = { a = \"b\" }\n\
         [[expect]]\nfinally = true\nlost = 0\npromoted_within = \"300ms\"\n",
    )
    .expect("it is right");
    assert_eq!(scenario.names(), ["a", "b", "c", "d"].map(name));
    assert_eq!(scenario.cluster.nodes[2].role, Role::Witness);
    assert_eq!((scenario.cluster.delay, scenario.cluster.proof), (Duration::from_micros(250), None));
    assert_eq!(scenario.work.mix, [1, 1, 0, 0]);
    let steps: Vec<_> = scenario.steps.iter().map(|step| (step.at.as_secs(), step.deed.to_string())).collect();
    assert_eq!(
        steps,
        [
            (2, "kill a, b".to_owned()),
            (5, "one_way: nothing arrives from a to anybody".to_owned()),
            (6, "join d".to_owned())
        ]
    );
    assert_eq!(scenario.expects.len(), 4);
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
        ("[[step]]\nat = \"1s\"\npartition = [[\"a\"], [\"a\", \"b\"]]\n", "line 6, column 13", "in two groups"),
        ("[[expect]]\nat = \"1s\"\nlost = 0\n", "line 6, column 1", "about the whole run"),
        ("[[expect]]\nlost = 0\n", "line 5, column 1", "when is this expected?"),
        ("[[expect]]\nfinally = true\nlinks = [\"a>b\"]\n", "line 6, column 10", "a -> b"),
        ("backups = 9\n", "line 4, column 11", "from 0 to 3"),
        ("arks = 9\n", "line 4, column 1", "did you mean `arcs`?"),
        ("zones = { q = \"x\" }\n", "line 4, column 11", "there is no node `q`"),
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
fn a_scenario_of_any_size_is_read_or_refused_within_its_bounds() {
    let long = "x".repeat(FILE_MAX + 1);
    assert!(read(&long).expect_err("too long").faults()[0].what.contains("too long"));
    let many = "[[step]]\nat = \"1s\"\nheal = true\n".repeat(STEPS_MAX + 1);
    assert!(told(&many).contains("too many"));
    assert!(told("[[step]]\nat = \"700s\"\nheal = true\n").contains("at most"));
    let nested = format!("[[step]]\nat = \"1s\"\nkill = {}\"a\"{}\n", "[".repeat(5_000), "]".repeat(5_000));
    assert!(with(&nested).is_err(), "however deep it is");
}
