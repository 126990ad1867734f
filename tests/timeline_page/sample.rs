//! Traces to draw: the story of the ring of four that loses `a` and gets it back, with as much traffic around it as is wanted.
//! The story is told by hand, so that a test can say what must be seen of it; the traffic is drawn from one seed.

use ringheir::sim::{
    random::{Stream, Streams},
    trace::{ArcRoles, ENTRIES_MAX, Entry, Trace, Violated, What},
};

const NODES: [&str; 4] = ["a", "b", "c", "d"];
/// Ten seconds.
pub(crate) const LASTED_US: u64 = 10_000_000;
/// When `a` is killed, and when what it served is served elsewhere.
pub(crate) const KILLED_US: u64 = 2_000_000;
const PROMOTED_US: u64 = 2_210_000;
/// `d` is alone from here to there, and others have a newer view from the middle on.
const ALONE_US: u64 = 6_000_000;
const WITHOUT_US: u64 = 6_900_000;
const TOGETHER_US: u64 = 8_000_000;
/// The operation that the violated variant is about.
pub(crate) const VIOLATING: u64 = 77;

/// What sessions are asked, and how that ended.
const OPERATIONS: u64 = 200;
const MESSAGES: u64 = 5_000;
const CLIENTS: u32 = 4;

/// The story, all well.
pub(crate) fn story() -> Trace {
    made(OPERATIONS, MESSAGES)
}

/// The story, with a read that was too old and an expectation that did not hold.
pub(crate) fn violated() -> Trace {
    let mut trace = story();
    let words = "session counter-1 answered version 11 after version 12 had been acknowledged".to_owned();
    trace.violations.push(Violated {
        check: "linearizability".to_owned(),
        words,
        at_us: None,
        operation: Some(VIOLATING),
    });
    let words = "no acknowledged command is lost: 1 is".to_owned();
    trace.violations.push(Violated { check: "expect".to_owned(), words, at_us: Some(9_900_000), operation: None });
    for entry in &mut trace.entries {
        if let What::Expected { words, holds } = &mut entry.what
            && words == "no acknowledged command is lost"
        {
            *holds = false;
        }
    }
    trace
}

/// As much as a trace may hold, and something beyond.
pub(crate) fn huge() -> Trace {
    let mut trace = made(20_000, 340_000);
    let end = trace.lasted_us;
    while trace.missing < 1_000 {
        trace.note(end, What::Mark { words: "a branch that is reached very often".to_owned() });
    }
    assert_eq!(trace.entries.len(), ENTRIES_MAX);
    trace
}

fn made(operations: u64, messages: u64) -> Trace {
    let mut trace = Trace {
        title: "A ring of four loses a and gets it back".to_owned(),
        about: "a is killed: d takes b as its backup, b promotes its copy of what a served, and the ring is b, c, d. a returns, \
                rejoins at b, and gets back what is at home with it. Then d is cut off for two seconds."
            .to_owned(),
        engine: "simulator".to_owned(),
        repeat: "ringheir sim backup-ring.toml --seed 7".to_owned(),
        nodes: NODES.map(str::to_owned).to_vec(),
        arcs: 4,
        lasted_us: LASTED_US,
        ..Trace::default()
    };
    let streams = Streams::new(7);
    let mut entries = Vec::new();
    story_itself(&mut entries);
    for client in 0..CLIENTS {
        asks(&mut entries, &mut streams.stream(&format!("client {client}")), client, operations / u64::from(CLIENTS));
    }
    talks(&mut entries, &mut streams.stream("messages"), messages);
    entries.sort_by_key(|entry: &Entry| entry.at_us);
    for Entry { at_us, what } in entries {
        trace.note(at_us, what);
    }
    trace
}

/// `"a>b+d"`: `a` serves, `b` is in sync, `d` catches up.
fn roles(words: &str) -> ArcRoles {
    let (primary, rest) = words.split_once('>').expect("a primary");
    let (in_sync, learner) = rest.split_once('+').map_or((rest, None), |(in_sync, learner)| (in_sync, Some(learner)));
    ArcRoles {
        primary: primary.to_owned(),
        served: true,
        in_sync: in_sync.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        catching_up: learner.map(str::to_owned),
        lost: false,
    }
}

fn story_itself(entries: &mut Vec<Entry>) {
    let mut tell = |at_us: u64, what: What| entries.push(Entry { at_us, what });
    for (i, node) in NODES.iter().enumerate() {
        tell(i as u64 * 1_000, What::Started { node: (*node).to_owned(), process: format!("{node}@1") });
    }
    let views: [(u64, &str, &str); 10] = [
        (120_000, "a b c d", "a>b b>c c>d d>a"),
        (PROMOTED_US, "b c d", "b>+c b>c c>d d>+b"),
        (2_620_000, "b c d", "b>c b>c c>d d>b"),
        (4_400_000, "a b c d", "b>c+a b>c c>d d>b+a"),
        (4_900_000, "a b c d", "b>c,a b>c c>d d>b,a"),
        (5_100_000, "a b c d", "a>b b>c c>d d>a"),
        (WITHOUT_US, "a b c", "a>b b>c c>+a a>+b"),
        (7_300_000, "a b c", "a>b b>c c>a a>b"),
        (8_200_000, "a b c d", "a>b b>c c>a+d a>b+d"),
        (8_700_000, "a b c d", "a>b b>c c>d d>a"),
    ];
    for (number, (at, members, arcs)) in (1..).zip(views) {
        let members: Vec<String> = members.split(' ').map(str::to_owned).collect();
        let arcs = arcs.split(' ').map(roles).collect();
        tell(at, What::View { number, voters: members.clone(), members: members.clone(), arcs });
        for (i, node) in members.into_iter().enumerate() {
            tell(at + i as u64 * 1_200, What::Installed { node, number });
        }
    }
    let mut step = |at: u64, words: &str, nodes: &[&str]| {
        let nodes = nodes.iter().map(|&node| node.to_owned()).collect();
        tell(at, What::Step { words: words.to_owned(), nodes });
    };
    step(KILLED_US, "kill a", &["a"]);
    step(3_400_000, "pause c", &["c"]);
    step(3_700_000, "resume c", &["c"]);
    step(4_000_000, "restart a", &["a"]);
    step(ALONE_US, "partition d from a, b, c", &["d"]);
    step(TOGETHER_US, "heal", &[]);
    step(9_000_000, "one way: what b says does not reach c", &["b", "c"]);
    step(9_300_000, "heal", &[]);
    let a = || "a".to_owned();
    tell(KILLED_US, What::Ended { node: a(), how: "killed".to_owned() });
    tell(4_000_000, What::Started { node: a(), process: "a@2".to_owned() });
    tell(3_400_000, What::Paused { node: "c".to_owned() });
    tell(3_700_000, What::Resumed { node: "c".to_owned() });
    for other in ["a", "b", "c"] {
        for (from, to) in [("d", other), (other, "d")] {
            tell(ALONE_US, What::Cut { from: from.to_owned(), to: to.to_owned() });
            tell(TOGETHER_US, What::Mended { from: from.to_owned(), to: to.to_owned() });
        }
    }
    tell(9_000_000, What::Cut { from: "b".to_owned(), to: "c".to_owned() });
    tell(9_300_000, What::Mended { from: "b".to_owned(), to: "c".to_owned() });
    tell(PROMOTED_US + 900, What::Mark { words: "a promotion".to_owned() });
    tell(5_100_900, What::Mark { words: "an arc handed over".to_owned() });
    for (at, words) in [
        (3_000_000, "links are b -> c, c -> d, d -> b"),
        (5_900_000, "links are a -> b, b -> c, c -> d, d -> a"),
        (9_900_000, "no acknowledged command is lost"),
    ] {
        tell(at, What::Expected { words: words.to_owned(), holds: true });
    }
}

/// One client: it asks, waits, and asks again; what falls into a fault takes long, or ends badly.
fn asks(entries: &mut Vec<Entry>, chance: &mut Stream, client: u32, count: u64) {
    let every = (LASTED_US - 600_000) / count;
    for k in 0..count {
        let operation = k * u64::from(CLIENTS) + u64::from(client);
        let at_us = 300_000 + k * every + chance.range(0, every / 2);
        let arc = chance.range(0, 4) as u16;
        let words = if chance.chance(0.6) { format!("write {operation}") } else { "read".to_owned() };
        let session = format!("counter-{arc}");
        entries.push(Entry { at_us, what: What::Asked { operation, client, session, arc, words } });
        let (answered, words, done) = if arc == 0 && (KILLED_US..PROMOTED_US).contains(&at_us) {
            let answered = PROMOTED_US + chance.range(20_000, 90_000);
            (answered, if chance.chance(0.5) { "outcome unknown" } else { "done: after a retry" }, None)
        } else if arc == 3 && (ALONE_US..WITHOUT_US).contains(&at_us) {
            let words =
                if chance.chance(0.5) { "outcome unknown: its primary was deposed" } else { "not done: try again" };
            (WITHOUT_US + chance.range(10_000, 200_000), words, Some(false))
        } else {
            (at_us + chance.range(900, every.min(24_000)), "done: version", Some(true))
        };
        // The last of one client never hears anything.
        if client == 2 && k + 1 == count {
            continue;
        }
        let done = done.unwrap_or(!words.contains("unknown"));
        let words = if words == "done: version" { format!("{words} {k}") } else { words.to_owned() };
        entries.push(Entry { at_us: answered.min(LASTED_US), what: What::Answered { operation, words, done } });
    }
}

fn talks(entries: &mut Vec<Entry>, chance: &mut Stream, count: u64) {
    let kinds = ["ping", "pong", "frame", "ack", "prepare", "promise", "forwarded call", "reply"];
    for _ in 0..count {
        let at_us = chance.range(20_000, LASTED_US - 10_000);
        let from = chance.range(0, 4) as usize;
        let to = (from + chance.range(1, 4) as usize) % NODES.len();
        let alone = (ALONE_US..TOGETHER_US).contains(&at_us) && (from == 3 || to == 3);
        let lost = alone || chance.chance(0.004);
        let arrives_us = (!lost).then(|| at_us + chance.range(300, 3_000));
        let words = (*chance.choose(&kinds).expect("there are some")).to_owned();
        let (from, to) = (NODES[from].to_owned(), NODES[to].to_owned());
        entries.push(Entry { at_us, what: What::Sent { from, to, words, arrives_us } });
    }
}
