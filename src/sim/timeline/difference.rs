//! `Difference`: where two traces part, and how much of each kind each has. Side by side in words; what is alike is not told again.
//!
//! Two engines never do the same thing in the same microsecond, so two partings are looked for: the first entry that differs in
//! anything, and the first where something else happened, whenever that was.

use std::fmt;

use super::said::{KINDS, Said, Time, kind};
use crate::sim::trace::{Entry, Trace, What};

/// So many entries before a parting are told, which are alike, and so many from it on.
const CONTEXT: usize = 5;
/// How wide each side is told.
const COLUMN: usize = 62;
/// How much of what is alike is told before the first difference within two long lines.
const LEAD: usize = 24;

/// How one trace differs from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What is said of the runs as a whole and is not the same: of what, in the one, in the other.
    pub settings: Vec<(&'static str, String, String)>,
    /// The first entry that differs in anything.
    pub first: Option<Parting>,
    /// The first at which something else happened, if the first differs in nothing but its time.
    pub first_other: Option<Parting>,
    /// How many entries there are of each kind, in the one and in the other; kinds that neither has are left out.
    pub counts: Vec<(&'static str, usize, usize)>,
}

/// Where two traces part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parting {
    /// How many entries come before.
    pub at: usize,
    /// The last few of the one before, and some from there on.
    pub one: Vec<Entry>,
    /// The same of the other.
    pub other: Vec<Entry>,
    /// How many of either come before the parting.
    pub before: usize,
}

/// Whether the same happened: which process of a name it was is each run's own.
fn is_same(one: &What, other: &What) -> bool {
    match (one, other) {
        (What::Started { node: one, .. }, What::Started { node: other, .. }) => one == other,
        _ => one == other,
    }
}

/// Compares two traces.
#[must_use]
pub fn diff(one: &Trace, other: &Trace) -> Difference {
    let first = parting(one, other, |a, b| a.at_us == b.at_us && is_same(&a.what, &b.what));
    let only_time = first.as_ref().is_some_and(|parting| {
        matches!((one.entries.get(parting.at), other.entries.get(parting.at)), (Some(a), Some(b)) if is_same(&a.what, &b.what))
    });
    let first_other = only_time.then(|| parting(one, other, |a, b| is_same(&a.what, &b.what))).flatten();
    Difference { settings: settings(one, other), first, first_other, counts: counts(one, other) }
}

impl Difference {
    /// Whether the two are the same in everything.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.settings.is_empty() && self.first.is_none()
    }
}

fn parting(one: &Trace, other: &Trace, alike: impl Fn(&Entry, &Entry) -> bool) -> Option<Parting> {
    let (one, other) = (&one.entries, &other.entries);
    let at = one.iter().zip(other).take_while(|(a, b)| alike(a, b)).count();
    if at == one.len() && at == other.len() {
        return None;
    }
    let from = at.saturating_sub(CONTEXT);
    let some = |entries: &[Entry]| entries[from..entries.len().min(at + CONTEXT)].to_vec();
    Some(Parting { at, one: some(one), other: some(other), before: at - from })
}

fn settings(one: &Trace, other: &Trace) -> Vec<(&'static str, String, String)> {
    let of = |trace: &Trace| {
        let violations = trace.violations.iter().map(|each| {
            let at = each.at_us.map_or_else(String::new, |at| format!(" at {}", Time(at)));
            let operation = each.operation.map_or_else(String::new, |number| format!(" (operation {number})"));
            format!("{}: {}{at}{operation}", each.check, each.words)
        });
        [
            ("title", trace.title.clone()),
            ("about", trace.about.clone()),
            ("engine", trace.engine.clone()),
            ("repeat", trace.repeat.clone()),
            ("nodes", trace.nodes.join(", ")),
            ("arcs", trace.arcs.to_string()),
            ("lasted", Time(trace.lasted_us).to_string()),
            ("not noted", trace.missing.to_string()),
            ("violated", violations.collect::<Vec<_>>().join("; ")),
        ]
    };
    let pairs = of(one).into_iter().zip(of(other));
    pairs.filter(|((_, a), (_, b))| a != b).map(|((name, a), (_, b))| (name, a, b)).collect()
}

fn counts(one: &Trace, other: &Trace) -> Vec<(&'static str, usize, usize)> {
    let mut found = KINDS.map(|name| (name, 0, 0));
    for entry in &one.entries {
        found[kind(&entry.what)].1 += 1;
    }
    for entry in &other.entries {
        found[kind(&entry.what)].2 += 1;
    }
    found.into_iter().filter(|&(_, a, b)| a + b > 0).collect()
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_none() {
            f.write_str("The two runs are the same in everything.\n")?;
        }
        for (name, a, b) in &self.settings {
            let nothing = |words: &str| if words.is_empty() { "nothing".to_owned() } else { words.to_owned() };
            writeln!(f, "{name}:")?;
            pair(f, ' ', &nothing(a), &nothing(b))?;
        }
        match &self.first {
            None if self.settings.is_empty() => {}
            None => f.write_str("What happened is the same in both.\n")?,
            Some(parting) => {
                let only_time = self.first_other.is_some() || parting.same_but_for_time();
                writeln!(
                    f,
                    "They part after {} entries{}.",
                    parting.at,
                    if only_time { ", in time alone" } else { "" }
                )?;
                parting.fmt(f)?;
                match &self.first_other {
                    Some(other) => {
                        writeln!(f, "Something else happens after {} entries.", other.at)?;
                        other.fmt(f)?;
                    }
                    None if only_time => {
                        f.write_str("Apart from times, the same happened in both, in the same order.\n")?;
                    }
                    None => {}
                }
            }
        }
        writeln!(f, "{:<24}{:>10}{:>10}", "entries", "one", "other")?;
        for (name, a, b) in &self.counts {
            writeln!(f, "{name:<24}{a:>10}{b:>10}{}", if a == b { "" } else { "  differs" })?;
        }
        Ok(())
    }
}

impl Parting {
    fn same_but_for_time(&self) -> bool {
        matches!((self.one.get(self.before), self.other.get(self.before)), (Some(a), Some(b)) if is_same(&a.what, &b.what))
    }
}

impl fmt::Display for Parting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for i in 0..self.one.len().max(self.other.len()) {
            let said = |entries: &[Entry]| match entries.get(i) {
                Some(entry) => format!("{} {}", Time(entry.at_us), Said(&entry.what)),
                None => "(no more)".to_owned(),
            };
            pair(f, if i == self.before { '>' } else { ' ' }, &said(&self.one), &said(&self.other))?;
        }
        Ok(())
    }
}

/// Two lines side by side; if they are too long to be told whole, from a little before where they differ.
fn pair(f: &mut fmt::Formatter<'_>, sign: char, one: &str, other: &str) -> fmt::Result {
    let alike = one.chars().zip(other.chars()).take_while(|(a, b)| a == b).count();
    let long = one.chars().count().max(other.chars().count()) > COLUMN;
    let skipped = if long && one != other { alike.saturating_sub(LEAD) } else { 0 };
    let (one, other) = (cut(one, skipped), cut(other, skipped));
    writeln!(f, "{sign} {one:<COLUMN$} {} {other}", if one == other { ' ' } else { '|' })
}

/// One line of at most `COLUMN` characters, from the one after `skipped` on.
fn cut(words: &str, skipped: usize) -> String {
    let mut said: String = if skipped > 0 { "…" } else { "" }.to_owned();
    let room = COLUMN - said.chars().count();
    let flat = words.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut rest = flat.skip(skipped).peekable();
    said.extend(rest.by_ref().take(room - 1));
    if let Some(last) = rest.next() {
        said.push(if rest.peek().is_some() { '…' } else { last });
    }
    said
}
