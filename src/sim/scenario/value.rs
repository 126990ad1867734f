//! Single values of a scenario file: names, times, probabilities, each with its place, each refused with what would be right.

use std::{ops::Range, time::Duration};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    amount::{self, Times, WrongAmount},
    fault::{ScenarioFault, position},
};
use crate::{config::nearest, id::NodeName};

/// A value with its place.
pub(super) type Value<'t> = &'t Spanned<DeValue<'t>>;

/// The faults found so far, in one text.
pub(super) struct Findings<'t> {
    pub(super) text: &'t str,
    pub(super) faults: Vec<ScenarioFault>,
    /// The latest moment that was read, and where: the run must last until then.
    pub(super) last: Option<(Duration, Range<usize>)>,
}

impl<'t> Findings<'t> {
    pub(super) const fn new(text: &'t str) -> Self {
        Self { text, faults: Vec::new(), last: None }
    }

    pub(super) fn fault(&mut self, span: Range<usize>, what: impl Into<String>, help: impl Into<String>) {
        let (line, column) = position(self.text, span.start);
        let help = Some(help.into()).filter(|help| !help.is_empty());
        self.faults.push(ScenarioFault { what: what.into(), help, span, line, column });
    }

    /// Every key of a table is one of these. Gives the others, with what each was probably meant to be, so that what is missing
    /// because of one mistyped word is not told besides.
    pub(super) fn known_keys<'k>(&mut self, table: &DeTable<'_>, keys: &[&'k str], of: &str) -> Vec<Option<&'k str>> {
        let mut strange = Vec::new();
        for key in table.keys() {
            let word = key.get_ref().as_ref();
            if !keys.contains(&word) {
                let near = nearest(word, keys.iter().copied());
                let help = match near {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("there are: {}", keys.join(", ")),
                };
                self.fault(key.span(), format!("{of} has no key `{word}`"), help);
                strange.push(near);
            }
        }
        strange
    }

    pub(super) fn text(&mut self, value: Value<'_>) -> Option<String> {
        let text = value.get_ref().as_str().map(str::to_owned);
        if text.is_none() {
            self.fault(value.span(), "this is no text", "write it in quotes, as \"this\"");
        }
        text
    }

    pub(super) fn boolean(&mut self, value: Value<'_>) -> Option<bool> {
        let told = value.get_ref().as_bool();
        if told.is_none() {
            self.fault(value.span(), "this is neither true nor false", "write `true` or `false`, without quotes");
        }
        told
    }

    pub(super) fn table(&mut self, value: Value<'t>) -> Option<&'t DeTable<'t>> {
        let table = value.get_ref().as_table();
        if table.is_none() {
            self.fault(value.span(), "this is no table", "write it as { key = value }");
        }
        table
    }

    /// A moment at which the run must not be over yet.
    pub(super) fn moment(&mut self, value: Value<'_>) -> Option<Duration> {
        let at = self.time(value, Times::OfTheRun)?;
        self.last_word(at, value.span());
        Some(at)
    }

    /// The run goes on at least until then, because of what stands here.
    pub(super) fn last_word(&mut self, at: Duration, span: Range<usize>) {
        if self.last.as_ref().is_none_or(|(last, _)| *last < at) {
            self.last = Some((at, span));
        }
    }

    pub(super) fn time(&mut self, value: Value<'_>, times: Times) -> Option<Duration> {
        let Some(text) = value.get_ref().as_str() else {
            let help = "write a whole number and a unit, in quotes: \"250ms\", \"3s\", \"1m\"";
            self.fault(value.span(), "this is no time", help);
            return None;
        };
        self.amount(value, amount::time(text, times))
    }

    /// So many bytes, more than none.
    pub(super) fn bytes(&mut self, value: Value<'_>) -> Option<u64> {
        let Some(text) = value.get_ref().as_str() else {
            self.fault(value.span(), "this is no number of bytes", "write \"64KiB\" or \"1MiB\": so many a second");
            return None;
        };
        self.amount(value, amount::bytes(text))
    }

    fn amount<T>(&mut self, value: Value<'_>, told: Result<T, WrongAmount>) -> Option<T> {
        told.map_err(|wrong| self.fault(value.span(), wrong.what, wrong.help)).ok()
    }

    pub(super) fn number(&mut self, value: Value<'_>, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
        let told = value.get_ref().as_integer().and_then(|n| i64::from_str_radix(n.as_str(), n.radix()).ok());
        let told = told.filter(|n| range.contains(n));
        if told.is_none() {
            let help = format!("write a whole number from {} to {}", range.start(), range.end());
            self.fault(value.span(), "this is no number that is possible here", help);
        }
        told
    }

    pub(super) fn real(&mut self, value: Value<'_>, most: f64) -> Option<f64> {
        let real = value.get_ref().as_float().and_then(|n| n.as_str().parse::<f64>().ok());
        let whole = || value.get_ref().as_integer().and_then(|n| n.as_str().parse::<f64>().ok());
        let told = real.or_else(whole).filter(|n| (0.0..=most).contains(n));
        if told.is_none() {
            self.fault(value.span(), "this is not possible here", format!("write a number from 0 to {most}"));
        }
        told
    }

    /// One of these words.
    pub(super) fn choice<T: Copy>(&mut self, value: Value<'_>, words: &[(&str, T)]) -> Option<T> {
        let told = value.get_ref().as_str();
        let found = told.and_then(|told| words.iter().find(|(word, _)| *word == told));
        if found.is_none() {
            let all: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
            self.fault(
                value.span(),
                "this is none of the words that are possible here",
                format!("write {}", all.join(" or ")),
            );
        }
        found.map(|(_, meant)| *meant)
    }

    /// A node's name, as written.
    pub(super) fn new_name(&mut self, value: Value<'_>) -> Option<NodeName> {
        let told = value.get_ref().as_str().and_then(NodeName::new);
        if told.is_none() {
            let help = "a name is letters, digits, '-', '_' and '.', in quotes";
            self.fault(value.span(), "this is no name of a node", help);
        }
        told
    }

    /// The name of one of these nodes.
    pub(super) fn name(&mut self, value: Value<'_>, known: &[NodeName]) -> Option<NodeName> {
        if value.get_ref().as_array().is_some() {
            self.fault(value.span(), "one name is meant here, not a list", "write \"a\", without brackets");
            return None;
        }
        let name = self.new_name(value)?;
        self.known(name, value.span(), known)
    }

    pub(super) fn known(&mut self, name: NodeName, span: Range<usize>, known: &[NodeName]) -> Option<NodeName> {
        if known.contains(&name) {
            return Some(name);
        }
        let all = known.iter().map(NodeName::as_str).collect::<Vec<_>>().join(", ");
        self.fault(
            span,
            format!("there is no node `{name}`"),
            format!("the nodes are {all}; a step `join` makes others"),
        );
        None
    }

    /// One name, or a list of them.
    pub(super) fn names(&mut self, value: Value<'t>, known: &[NodeName]) -> Option<Vec<NodeName>> {
        self.each(value, |findings, one| findings.name(one, known))
    }

    /// One value, or a list of them, each read in the same way; all of them, or nothing.
    pub(super) fn each<T>(
        &mut self,
        value: Value<'t>,
        mut one: impl FnMut(&mut Self, Value<'t>) -> Option<T>,
    ) -> Option<Vec<T>> {
        match value.get_ref().as_array() {
            Some(list) => {
                let told: Vec<Option<T>> = list.iter().map(|item| one(self, item)).collect();
                told.into_iter().collect()
            }
            None => one(self, value).map(|told| vec![told]),
        }
    }
}
