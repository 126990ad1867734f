//! The timeline of a run, opened in a real browser: what must be seen of it is there, what may be done with it works, and it
//! complains of nothing and asks no network for anything.
#![cfg(feature = "sim")]

mod browser;
mod sample;

use std::time::Duration;

use ringheir::sim::{
    timeline::page,
    trace::{ArcRoles, Trace, What},
};
use serde_json::json;

use browser::Browser;

/// From where to where the timeline is seen, in microseconds, as the page says it.
fn window(browser: &mut Browser) -> (f64, f64) {
    let said = browser.words("#window").replace(" s", "");
    let (from, to) = said.split_once(" to ").expect("from where to where");
    (from.parse::<f64>().expect("a number") * 1e6, to.parse::<f64>().expect("a number") * 1e6)
}

/// The moment that the ring is drawn of, in microseconds.
fn moment(browser: &mut Browser) -> f64 {
    let said = browser.words("#now");
    let (seconds, _) = said.split_once(" s").expect("seconds");
    seconds.parse::<f64>().expect("a number") * 1e6
}

/// The links of the ring as it is drawn: from whom to whom, and which arcs.
fn links(browser: &mut Browser) -> Vec<String> {
    let links = browser.ask(
        "[...document.querySelectorAll('#ring .link')].map((e) => e.dataset.from + ' > ' + e.dataset.to + (e.dataset.catchingUp === 'true' ? ' catching up' : '') + ': ' + e.querySelector('text').textContent).sort()",
    );
    serde_json::from_value(links).expect("a list of words")
}

/// Goes to the line of the list that holds these words.
fn go_to(browser: &mut Browser, words: &str) {
    browser.click(&format!(
        "[...document.querySelectorAll('#list .event')].find((e) => e.textContent.includes({words:?}))"
    ));
    // The mouse away from the timeline, so that the ring is that of the moment gone to.
    browser.point(2.0, 2.0);
}

fn middle_of_the_timeline(browser: &mut Browser) -> (f64, f64) {
    let place = browser.ask("(() => { const b = document.getElementById('plane').getBoundingClientRect(); return [b.left + b.width / 2, Math.min(b.top + b.height / 2, innerHeight - 40)]; })()");
    (place[0].as_f64().expect("a place"), place[1].as_f64().expect("a place"))
}

/// How many of the timeline's pixels bear anything.
fn painted(browser: &mut Browser) -> u64 {
    let painted = browser.ask(
        "(() => { const c = document.getElementById('drawing'); const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; let n = 0; for (let i = 3; i < d.length; i += 4) if (d[i]) n++; return n; })()",
    );
    painted.as_u64().expect("a number")
}

#[test]
fn the_story_of_a_run_can_be_read_off_its_page() {
    let mut browser = Browser::start();
    let trace = sample::story();
    browser.open(&page(&trace));

    assert_eq!(browser.words("h1"), trace.title);
    assert_eq!(browser.words("#repeat"), trace.repeat);
    let facts = browser.words("#facts");
    for fact in ["simulator", "10.00 s", "4 nodes", "4 arcs", "200 operations", "5,000 messages"] {
        assert!(facts.contains(fact), "{fact} is not among {facts}");
    }
    let verdict = browser.words("#verdict");
    assert!(verdict.contains("All is well") && verdict.contains("all 3 expectations held"), "{verdict}");
    assert_eq!(browser.ask("document.querySelectorAll('.judged.broken').length"), json!(0));

    // Tracks in ring order, and beneath them the callers.
    assert_eq!(browser.all_words(".name.track b"), ["a", "b", "c", "d"]);
    assert_eq!(browser.all_words(".name.client"), ["client 0", "client 1", "client 2", "client 3"]);
    assert!(painted(&mut browser) > 100_000, "the timeline is empty");

    // At first the whole ring.
    assert_eq!(links(&mut browser), ["a > b: 0", "b > c: 1", "c > d: 2", "d > a: 3"]);
    assert_eq!(browser.all_words(".name.track .now"), ["alive, view 1"; 4]);

    // The kill, before anybody has noticed.
    go_to(&mut browser, "kill a");
    assert!((moment(&mut browser) - sample::KILLED_US as f64).abs() < 1_000.0);
    assert_eq!(browser.all_words(".name.track .now")[0], "killed");
    let words = browser.words("#ring-words");
    assert!(words.contains("1 arc without a live primary") && words.contains("1 arc without a backup"), "{words}");

    // What the list says of a view, and the ring without a.
    go_to(&mut browser, "view 2: a out; b promoted for arc 0");
    assert_eq!(links(&mut browser), ["b > c catching up: 0", "b > c: 1", "c > d: 2", "d > b catching up: 3"]);
    go_to(&mut browser, "view 3: c in sync for arc 0; b in sync for arc 3");
    assert_eq!(links(&mut browser), ["b > c: 0, 1", "c > d: 2", "d > b: 3"]);
    assert!(browser.words("#ring-words").contains("every arc has a live primary and backup"));

    // And with it again, under another incarnation.
    go_to(&mut browser, "a starts as a@2");
    assert_eq!(browser.all_words(".name.track .now")[0], "alive, no view");
    go_to(&mut browser, "view 6: b hands arc 0 to a");
    assert_eq!(links(&mut browser), ["a > b: 0", "b > c: 1", "c > d: 2", "d > a: 3"]);

    // Who is cut off does not know of the view that goes on without it.
    go_to(&mut browser, "view 8:");
    assert_eq!(browser.all_words(".name.track .now")[3], "alive, still view 6");
    assert_eq!(browser.complaints(), [] as [String; 0]);
}

#[test]
fn a_violation_stands_above_everything_and_leads_to_its_moment_and_operation() {
    let mut browser = Browser::start();
    let trace = sample::violated();
    browser.open(&page(&trace));
    let said = browser.all_words(".judged.broken .said");
    assert_eq!(said.len(), 2);
    assert_eq!(said[0], format!("Violated, linearizability: {}", trace.violations[0].words));
    assert!(!browser.words("#verdict").contains("All is well"));
    let whole = window(&mut browser);
    assert_eq!(whole, (0.0, sample::LASTED_US as f64), "at first the whole run is seen");

    let asked = trace.entries.iter().find_map(|entry| match entry.what {
        What::Asked { operation: sample::VIOLATING, .. } => Some(entry.at_us as f64),
        _ => None,
    });
    let asked = asked.expect("the operation is in the trace");
    browser.click("document.querySelector('.judged.broken')");
    let (from, to) = window(&mut browser);
    assert!(to - from < (whole.1 - whole.0) / 4.0, "it is shown from near: {from} to {to}");
    assert!(from < asked && asked < to, "{asked} is not between {from} and {to}");
    assert!((moment(&mut browser) - asked).abs() < 1_000.0, "the ring is that of its moment");
    let chosen = browser.words("#chosen");
    for words in [&trace.violations[0].words, "operation 77", "session counter-"] {
        assert!(chosen.contains(words), "{words} is not told: {chosen}");
    }

    // The other, which is of a moment and no operation, from the list; its expectation did not hold.
    browser.press("0");
    browser.ask("document.getElementById('list').scrollTop = 1e6");
    browser.frames();
    go_to(&mut browser, "expect: no acknowledged command is lost");
    assert!((moment(&mut browser) - 9_900_000.0).abs() < 1_000.0);
    assert!(browser.words("#chosen").contains("no acknowledged command is lost: 1 is"));
    let broken = browser.all_words("#list .event.broken .said");
    assert!(broken.iter().any(|words| words == "no acknowledged command is lost"), "{broken:?}");
    assert_eq!(browser.complaints(), [] as [String; 0]);
}

#[test]
fn words_of_a_run_are_text_in_the_page() {
    let hostile = "</script><img src=x onerror=\"window.struck = 1\"><script>window.struck = 2</script>";
    let mut trace = sample::story();
    trace.title = hostile.to_owned();
    trace.about = hostile.to_owned();
    trace.repeat = hostile.to_owned();
    trace.nodes.push(hostile.to_owned());
    trace.entries.insert(
        0,
        ringheir::sim::trace::Entry {
            at_us: 0,
            what: What::Step { words: hostile.to_owned(), nodes: vec![hostile.to_owned()] },
        },
    );
    let mut browser = Browser::start();
    browser.open(&page(&trace));
    assert_eq!(browser.words("h1"), hostile);
    assert_eq!(browser.all_words(".name.track b")[4], hostile);
    go_to(&mut browser, "onerror");
    assert_eq!(browser.ask("[document.images.length, window.struck === undefined]"), json!([0, true]));
    assert_eq!(browser.complaints(), [] as [String; 0]);
}

#[test]
fn a_page_that_fails_says_so_and_one_that_asked_a_network_would_be_heard_here() {
    let whole = page(&sample::story());
    let mut browser = Browser::start();
    browser.go(&whole.replace(r#""events":[{"#, r#""events":7,"else":[{"#));
    browser.hear("not iterable");
    assert!(browser.words("#wrong").contains("This page failed"));

    let mut browser = Browser::start();
    browser.open(&whole);
    browser.ask("fetch('http://127.0.0.1:9/').catch(() => 0)");
    browser.hear("Content Security Policy");
}

#[test]
fn wheel_hand_and_keys_move_the_window() {
    let mut browser = Browser::start();
    browser.open(&page(&sample::story()));
    let (whole_from, whole_to) = window(&mut browser);
    let (x, y) = middle_of_the_timeline(&mut browser);
    browser.wheel(x, y, -400.0);
    let near = window(&mut browser);
    assert!(near.1 - near.0 < 0.8 * (whole_to - whole_from), "the wheel goes nearer: {near:?}");
    let middle = f64::midpoint(near.0, near.1);
    assert!((middle - 5e6).abs() < 1.5e5, "around the pointer: {near:?}");
    browser.drag((x, y), (x - 100.0, y));
    let later = window(&mut browser);
    assert!(later.0 > near.0 && later.1 > near.1, "the hand draws what comes later into sight: {later:?}");
    assert!((later.1 - later.0 - (near.1 - near.0)).abs() < 2e3, "and changes nothing else: {later:?}");
    browser.press("ArrowLeft");
    assert!(window(&mut browser).0 < later.0);
    browser.press("+");
    let nearer = window(&mut browser);
    assert!(nearer.1 - nearer.0 < later.1 - later.0);
    browser.press("0");
    assert_eq!(window(&mut browser), (whole_from, whole_to));

    // A click sets the moment; full stop and comma step through what happened.
    browser.point(2.0, 2.0);
    let before = moment(&mut browser);
    browser.press(".");
    let next = moment(&mut browser);
    assert!(next > before);
    browser.press(",");
    browser.press(",");
    assert!(moment(&mut browser) < next);

    // What is pointed at is told.
    assert_eq!(browser.ask("document.getElementById('tip').hidden"), json!(true));
    let flag = browser.ask("(() => { const b = document.getElementById('plane').getBoundingClientRect(); return [b.left + b.width * (0.15 + 2.0) / 10.3 + 12, b.top + 28]; })()");
    browser.point(flag[0].as_f64().expect("a place"), flag[1].as_f64().expect("a place"));
    assert!(browser.words("#tip").contains("kill a"), "the flag of the step is told");
    assert_eq!(browser.complaints(), [] as [String; 0]);
}

#[test]
fn messages_are_drawn_when_asked_for_and_can_be_sifted() {
    let mut browser = Browser::start();
    browser.open(&page(&sample::story()));
    let without = painted(&mut browser);
    assert_eq!(browser.words("#drawn"), "");
    browser.press("m");
    assert_eq!(browser.words("#drawn"), "1,500 of 5,000 messages drawn: zoom in");
    assert!(painted(&mut browser) > without, "messages leave a trace");
    browser.ask("(() => { const e = document.getElementById('message-words'); e.value = 'promise'; e.dispatchEvent(new Event('input')); })()");
    browser.frames();
    let sifted = browser.words("#drawn");
    let count: u32 = sifted.trim_end_matches(" messages").parse().expect("all that are left are drawn");
    assert!((400..900).contains(&count), "one kind of eight: {sifted}");
    browser.ask("(() => { const e = document.getElementById('message-node'); e.value = '3'; e.dispatchEvent(new Event('change')); })()");
    browser.frames();
    let of_d: u32 = browser.words("#drawn").trim_end_matches(" messages").parse().expect("a number");
    assert!(of_d > 0 && of_d < count, "{of_d} of {count}");
    assert_eq!(browser.complaints(), [] as [String; 0]);
}

#[test]
fn a_page_of_as_much_as_a_trace_holds_is_usable() {
    let trace = sample::huge();
    let page = page(&trace);
    let mut browser = Browser::start();
    let took = browser.open(&page);
    println!("{} entries, {:.1} MB, ready after {took:?}", trace.entries.len(), page.len() as f64 / 1e6);
    assert!(took < Duration::from_secs(15), "ready only after {took:?}");
    assert!(browser.words("#verdict").contains("too long to be noted down whole"));
    browser.press("m");
    assert_eq!(browser.words("#drawn"), "1,500 of 340,000 messages drawn: zoom in");
    let elements = browser.ask("document.querySelectorAll('*').length").as_u64().expect("a number");
    assert!(elements < 1_000, "what is not in sight costs no elements, yet there are {elements}");
    let (x, y) = middle_of_the_timeline(&mut browser);
    let frame = browser.ask(&format!(
        "(async () => {{ const p = document.getElementById('plane'); const frames = []; for (let i = 0; i < 12; i++) {{ const t = performance.now(); p.dispatchEvent(new WheelEvent('wheel', {{ deltaY: i < 6 ? -100 : 100, clientX: {x}, clientY: {y}, cancelable: true }})); await new Promise((go) => requestAnimationFrame(() => setTimeout(go))); frames.push(performance.now() - t); }} return frames.sort((a, b) => a - b)[6]; }})()"
    ));
    let frame = frame.as_f64().expect("a number");
    println!("half of the turns of the wheel were drawn within {frame:.0} ms");
    assert!(frame < 1_500.0, "a turn of the wheel takes {frame} ms");
    assert_eq!(browser.complaints(), [] as [String; 0]);
}

#[test]
fn it_fits_small_and_large_screens_by_day_and_by_night() {
    let mut browser = Browser::start();
    for dark in [false, true] {
        browser.dark(dark);
        for (width, height) in [(1400, 900), (900, 700), (480, 800)] {
            browser.size(width, height);
            browser.open(&page(&sample::violated()));
            let wide = browser.ask("document.documentElement.scrollWidth").as_u64().expect("a number");
            assert!(wide <= u64::from(width), "at {width} it is {wide} wide");
            assert!(painted(&mut browser) > 10_000);
        }
        let paper = browser.ask("getComputedStyle(document.body).backgroundColor");
        assert_eq!(paper == json!("rgb(21, 24, 27)"), dark, "{paper}");
    }
    assert_eq!(browser.complaints(), [] as [String; 0]);
}

#[test]
fn a_ring_of_a_thousand_arcs_says_how_many_a_node_has_and_which_are_in_trouble() {
    let mut trace = Trace { title: "many arcs".to_owned(), arcs: 1_000, lasted_us: 1_000_000, ..Trace::default() };
    trace.nodes = ["a", "b", "c"].map(str::to_owned).to_vec();
    for node in &trace.nodes.clone() {
        trace.note(0, What::Started { node: node.clone(), process: node.clone() });
    }
    let arc = |arc: usize| ArcRoles {
        primary: ["a", "b", "c"][arc % 3].to_owned(),
        served: arc != 7,
        in_sync: if arc == 8 { vec![] } else { vec![["b", "c", "a"][arc % 3].to_owned()] },
        catching_up: None,
        lost: arc == 9,
    };
    let names = trace.nodes.clone();
    let view =
        What::View { number: 1, members: names.clone(), voters: names.clone(), arcs: (0..1_000).map(arc).collect() };
    trace.note(100, view);
    for node in names {
        trace.note(100, What::Installed { node, number: 1 });
    }
    let mut browser = Browser::start();
    browser.open(&page(&trace));
    browser.press(".");
    assert_eq!(browser.words("#ring-words"), "✗ 1 arc lost, 1 arc recovering, 1 arc without a backup");
    assert_eq!(browser.all_words("#holders tbody td:first-child"), ["7", "8", "9"]);
    assert_eq!(browser.all_words("#holders tbody td:last-child"), ["✗ recovering", "! no backup", "✗ lost"]);
    assert_eq!(links(&mut browser), ["a > b: 333", "b > c: 332", "c > a: 332"]);
    assert_eq!(browser.complaints(), [] as [String; 0]);
}
