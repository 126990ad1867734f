//! A run to look at: a [`Trace`] as one page of HTML, and how two traces differ, in words.
//!
//! The page is whole in itself: its style, its script and the run lie in the one file, and a policy in its head forbids it to ask
//! any network for anything. Its sources are real files in `page/`, one script for each thing that is drawn; they share one scope
//! and are joined in the order of `SCRIPT`. The page reads and draws, and judges nothing: what is violated, the trace says.
//!
//! Invariants: the same trace gives the same bytes; nothing that a trace says can become markup, for it enters as JSON without any
//! `<`, and the script puts it in place as text.

mod difference;
mod packed;
mod said;
#[cfg(test)]
mod tests;

pub use difference::{Difference, Parting, diff};

use super::trace::Trace;
use packed::Packed;

const PAGE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = concat!(
    "(() => {\n\"use strict\";\n",
    include_str!("page/words.js"),
    include_str!("page/read.js"),
    include_str!("page/state.js"),
    include_str!("page/scale.js"),
    include_str!("page/layout.js"),
    include_str!("page/draw.js"),
    include_str!("page/tracks.js"),
    include_str!("page/traffic.js"),
    include_str!("page/ring.js"),
    include_str!("page/list.js"),
    include_str!("page/about.js"),
    include_str!("page/page.js"),
    "})();\n",
);

/// The timeline of a run, as one file of HTML that needs no network.
#[must_use]
pub fn page(trace: &Trace) -> String {
    let json = serde_json::to_string(&Packed::of(trace)).expect("names, words and numbers are always JSON");
    let json = harmless(&json);
    let mut page = String::with_capacity(PAGE.len() + STYLE.len() + SCRIPT.len() + json.len());
    let mut rest = PAGE;
    // One place after the other, so that words of a run which look like a place are left alone.
    for (place, content) in [("{{style}}", STYLE), ("{{trace}}", json.as_str()), ("{{script}}", SCRIPT)] {
        let (before, behind) = rest.split_once(place).expect("page.html has each place once, in this order");
        page.push_str(before);
        page.push_str(content);
        rest = behind;
    }
    page.push_str(rest);
    page
}

/// The same JSON without a character that could end the element it stands in, or a line of script. Outside of strings JSON has none
/// of these, so each may be written as an escape.
fn harmless(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' => safe.push_str("\\u003c"),
            '>' => safe.push_str("\\u003e"),
            '&' => safe.push_str("\\u0026"),
            '\u{2028}' => safe.push_str("\\u2028"),
            '\u{2029}' => safe.push_str("\\u2029"),
            c => safe.push(c),
        }
    }
    safe
}
