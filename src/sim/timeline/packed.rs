//! `Packed`: a trace as the page reads it. Of most entries there are few; of messages and operations there may be hundreds of
//! thousands, so these are rows of plain numbers, and every word that they say is listed once.
//!
//! Invariant: nothing is left out and nothing is added; `page/read.js` reads the rows in the same order of columns.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::sim::trace::{Entry, Trace, Violated, What};

/// The travel time of a message that never arrives.
const NEVER: i64 = -1;

/// A trace, packed.
#[derive(Debug, Serialize)]
pub(super) struct Packed<'a> {
    title: &'a str,
    about: &'a str,
    engine: &'a str,
    repeat: &'a str,
    nodes: &'a [String],
    arcs: u16,
    lasted_us: u64,
    missing: u64,
    violations: &'a [Violated],
    /// Every word of the rows below; they name it by its place.
    words: Vec<&'a str>,
    /// What is neither a message nor an operation, in order.
    events: Vec<&'a Entry>,
    /// When, from, to, words, how long it travels in microseconds.
    sent: Vec<i64>,
    /// When, operation, client, session, arc, words.
    asked: Vec<u64>,
    /// When, operation, words, whether it is known to be done.
    answered: Vec<u64>,
}

impl<'a> Packed<'a> {
    pub(super) fn of(trace: &'a Trace) -> Self {
        let mut packed = Self {
            title: &trace.title,
            about: &trace.about,
            engine: &trace.engine,
            repeat: &trace.repeat,
            nodes: &trace.nodes,
            arcs: trace.arcs,
            lasted_us: trace.lasted_us,
            missing: trace.missing,
            violations: &trace.violations,
            words: Vec::new(),
            events: Vec::new(),
            sent: Vec::new(),
            asked: Vec::new(),
            answered: Vec::new(),
        };
        let mut places = BTreeMap::new();
        for entry in &trace.entries {
            packed.take(entry, &mut places);
        }
        packed
    }

    fn take(&mut self, entry: &'a Entry, places: &mut BTreeMap<&'a str, usize>) {
        let mut place = |words: &'a str| {
            let next = self.words.len();
            *places.entry(words).or_insert_with(|| {
                self.words.push(words);
                next
            }) as u64
        };
        match &entry.what {
            What::Sent { from, to, words, arrives_us } => {
                let travel = arrives_us.map_or(NEVER, |at| at.saturating_sub(entry.at_us).cast_signed());
                let row = [entry.at_us, place(from), place(to), place(words)];
                self.sent.extend(row.map(u64::cast_signed));
                self.sent.push(travel);
            }
            What::Asked { operation, client, session, arc, words } => {
                let row = [entry.at_us, *operation, u64::from(*client), place(session), u64::from(*arc), place(words)];
                self.asked.extend(row);
            }
            What::Answered { operation, words, done } => {
                let row = [entry.at_us, *operation, place(words), u64::from(*done)];
                self.answered.extend(row);
            }
            _ => self.events.push(entry),
        }
    }
}
