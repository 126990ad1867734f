use super::{diff, page};
use crate::sim::trace::{ArcRoles, Entry, Trace, Violated, What};

fn started(node: &str) -> What {
    What::Started { node: node.to_owned(), process: format!("{node}@1") }
}

fn sent(words: &str, arrives_us: Option<u64>) -> What {
    What::Sent { from: "a".to_owned(), to: "b".to_owned(), words: words.to_owned(), arrives_us }
}

fn answered(operation: u64) -> What {
    What::Answered { operation, words: "done: version 1".to_owned(), done: true }
}

fn asked(operation: u64, words: &str) -> What {
    What::Asked { operation, client: 3, session: "cart".to_owned(), arc: 1, words: words.to_owned() }
}

fn roles(primary: &str, backup: &str) -> ArcRoles {
    ArcRoles {
        primary: primary.to_owned(),
        served: true,
        in_sync: vec![backup.to_owned()],
        catching_up: None,
        lost: false,
    }
}

fn view(number: u64, first: &str) -> What {
    let names = || vec!["a".to_owned(), "b".to_owned()];
    What::View { number, members: names(), voters: names(), arcs: vec![roles(first, "b"), roles("b", "a")] }
}

fn trace(entries: Vec<(u64, What)>) -> Trace {
    let mut trace = Trace {
        title: "two nodes".to_owned(),
        engine: "simulator".to_owned(),
        repeat: "ringheir sim --seed 7".to_owned(),
        nodes: vec!["a".to_owned(), "b".to_owned()],
        arcs: 2,
        lasted_us: 1_000_000,
        ..Trace::default()
    };
    for (at_us, what) in entries {
        trace.note(at_us, what);
    }
    trace
}

fn small() -> Trace {
    trace(vec![
        (0, started("a")),
        (0, started("b")),
        (90, view(1, "a")),
        (100, asked(0, "write 1")),
        (110, sent("replicate", Some(140))),
        (150, sent("ack", None)),
        (190, answered(0)),
    ])
}

/// The run as it lies in a page.
fn json_of(page: &str) -> serde_json::Value {
    let (_, behind) =
        page.split_once(r#"<script type="application/json" id="trace">"#).expect("the run is in the page");
    let (json, _) = behind.split_once("</script>").expect("the element ends");
    serde_json::from_str(json).expect("it is JSON")
}

#[test]
fn words_of_a_run_never_become_markup() {
    let hostile = "</script><img src=x onerror=alert(1)><!-- <script> ]]> \u{2028}\u{2029} {{script}} {{style}} &amp;";
    let mut trace = small();
    trace.title = hostile.to_owned();
    trace.nodes.push(hostile.to_owned());
    trace.note(200, What::Step { words: hostile.to_owned(), nodes: vec![hostile.to_owned()] });
    trace.note(210, asked(1, hostile));
    trace.violations.push(Violated {
        check: hostile.to_owned(),
        words: hostile.to_owned(),
        at_us: None,
        operation: Some(1),
    });
    let (plain, with_hostile) = (page(&small()), page(&trace));
    for sign in ["<img", "</script>", "<!--", "\u{2028}", "\u{2029}"] {
        assert_eq!(
            with_hostile.matches(sign).count(),
            plain.matches(sign).count(),
            "{sign:?} of the run is in the page as such"
        );
    }
    // And yet it is all there.
    let json = json_of(&with_hostile);
    assert_eq!(json["title"], hostile);
    assert_eq!(json["violations"][0]["words"], hostile);
    assert!(json["words"].as_array().expect("a list").iter().any(|word| word == hostile), "words of operations");
}

#[test]
fn a_page_names_no_other_address_and_forbids_itself_to_ask_any() {
    let page = page(&small());
    // The name of SVG is an address that nobody asks: the one that a page cannot do without.
    let without = page.replace("\"http://www.w3.org/2000/svg\"", "");
    for word in
        ["http:", "https:", "//cdn", "src=", "href=", "@import", "url(", "fetch(", "XMLHttpRequest", "innerHTML"]
    {
        assert!(!without.contains(word), "{word} is in the page");
    }
    assert!(page.contains("default-src 'none'"), "the policy is missing");
}

#[test]
fn the_same_trace_is_the_same_page() {
    assert_eq!(page(&small()), page(&small()));
}

#[test]
fn every_entry_is_in_the_page() {
    let json = json_of(&page(&small()));
    let words = |at: usize| json["words"][at].as_str().expect("a word");
    let rows = |name: &str| -> Vec<i64> {
        json[name].as_array().expect("rows").iter().map(|n| n.as_i64().expect("a number")).collect()
    };
    assert_eq!(json["events"].as_array().expect("events").len(), 3);
    assert_eq!(json["events"][2]["arcs"][1]["primary"], "b");
    let sent = rows("sent");
    assert_eq!(
        (sent.len(), sent[0], sent[4], sent[5], sent[9]),
        (10, 110, 30, 150, -1),
        "when, and how long it travels"
    );
    assert_eq!((words(sent[1] as usize), words(sent[2] as usize), words(sent[8] as usize)), ("a", "b", "ack"));
    let asked = rows("asked");
    assert_eq!(asked[..3], [100, 0, 3]);
    assert_eq!((words(asked[3] as usize), asked[4], words(asked[5] as usize)), ("cart", 1, "write 1"));
    let answered = rows("answered");
    assert_eq!((answered[0], answered[1], words(answered[2] as usize), answered[3]), (190, 0, "done: version 1", 1));
}

#[test]
fn two_equal_traces_do_not_differ() {
    let difference = diff(&small(), &small());
    assert!(difference.is_none());
    assert!(difference.to_string().starts_with("The two runs are the same in everything."), "{difference}");
}

#[test]
fn traces_part_at_the_first_entry_that_differs() {
    let mut other = small();
    other.entries[4].what = sent("replicate", None);
    other.entries[5].what = sent("ack", Some(170));
    let difference = diff(&small(), &other);
    let parting = difference.first.as_ref().expect("they differ");
    assert_eq!((parting.at, parting.before), (4, 4));
    assert_eq!(parting.one[..4], small().entries[..4], "what comes before is told");
    assert_eq!(difference.first_other, None, "the first is something else at once");
    let said = difference.to_string();
    let line = said.lines().find(|line| line.starts_with('>')).expect("the parting is marked");
    assert!(line.contains("arrives at 0.000140 s") && line.contains("never arrives"), "{said}");
}

#[test]
fn a_trace_that_ends_sooner_parts_where_it_ends() {
    let mut shorter = small();
    shorter.entries.truncate(6);
    let difference = diff(&small(), &shorter);
    assert_eq!(difference.first.as_ref().map(|parting| parting.at), Some(6));
    assert!(difference.to_string().contains("(no more)"));
    assert!(difference.counts.contains(&("answered", 1, 0)), "{:?}", difference.counts);
    assert!(difference.counts.contains(&("messages", 2, 2)));
}

#[test]
fn another_time_is_told_apart_from_another_thing() {
    let mut other = small();
    other.entries[1].at_us = 5;
    let difference = diff(&small(), &other);
    assert_eq!(difference.first.as_ref().map(|parting| parting.at), Some(1));
    assert_eq!(difference.first_other, None);
    assert!(difference.to_string().contains("Apart from times, the same happened in both"), "{difference}");

    other.entries[6].what = answered(9);
    let difference = diff(&small(), &other);
    assert_eq!(difference.first.as_ref().map(|parting| parting.at), Some(1));
    assert_eq!(difference.first_other.as_ref().map(|parting| parting.at), Some(6));
    assert!(difference.to_string().contains("Something else happens after 6 entries."), "{difference}");
}

#[test]
fn what_differs_late_in_a_long_entry_is_seen() {
    let long = |last: &str| {
        let mut arcs = vec![roles("a", "b"); 60];
        arcs.push(roles(last, "b"));
        trace(vec![(7, What::View { number: 2, members: vec![], voters: vec![], arcs })])
    };
    let said = diff(&long("a"), &long("c")).to_string();
    let line = said.lines().find(|line| line.starts_with('>')).expect("the parting is marked");
    assert!(line.contains("arc 60 a -> b") && line.contains("arc 60 c -> b"), "{said}");
    assert!(said.lines().all(|line| line.chars().count() < 140), "{said}");
}

#[test]
fn a_difference_of_the_runs_as_a_whole_is_told() {
    let mut other = small();
    other.engine = "processes".to_owned();
    other.violations.push(Violated {
        check: "expect".to_owned(),
        words: "nothing lost".to_owned(),
        at_us: Some(9),
        operation: None,
    });
    let difference = diff(&small(), &other);
    assert!(!difference.is_none());
    let names: Vec<_> = difference.settings.iter().map(|(name, ..)| *name).collect();
    assert_eq!(names, ["engine", "violated"]);
    let said = difference.to_string();
    assert!(said.contains("processes") && said.contains("expect: nothing lost at 0.000009 s"), "{said}");
    assert!(said.contains("What happened is the same in both."), "{said}");
}

#[test]
fn every_kind_of_entry_is_counted_and_said() {
    let name = || "a".to_owned();
    let entries = vec![
        started("a"),
        What::Ended { node: name(), how: "killed".to_owned() },
        What::Paused { node: name() },
        What::Resumed { node: name() },
        What::Cut { from: name(), to: name() },
        What::Mended { from: name(), to: name() },
        What::Step { words: "kill a".to_owned(), nodes: vec![name()] },
        view(1, "a"),
        What::Installed { node: name(), number: 1 },
        asked(0, "read"),
        answered(0),
        sent("ack", None),
        What::Mark { words: "promotion".to_owned() },
    ];
    let all = trace(entries.into_iter().map(|what| (0, what)).collect());
    let counts = diff(&all, &all).counts;
    assert_eq!(counts.len(), all.entries.len(), "{counts:?}");
    assert!(counts.iter().all(|&(_, one, other)| (one, other) == (1, 1)), "{counts:?}");
    let mut said: Vec<_> = all.entries.iter().map(|Entry { what, .. }| super::said::Said(what).to_string()).collect();
    said.sort();
    said.dedup();
    assert_eq!(said.len(), all.entries.len(), "two kinds are said alike: {said:?}");
}
