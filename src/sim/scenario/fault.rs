//! What is wrong with a scenario file, where, and what would be right.
//!
//! A refused scenario has run nothing. All that one pass finds is told at once, at most `FAULTS_MAX`.

use std::{fmt, ops::Range};

use miette::{Diagnostic, LabeledSpan, MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};

/// The most faults that are told.
pub(super) const FAULTS_MAX: usize = 32;
/// The most bytes that are shown of a line, and how many of them stand before the fault.
const SHOWN_MAX: usize = 96;
const SHOWN_BEFORE: usize = 40;

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioFault {
    /// What is wrong.
    pub what: String,
    /// What would be right.
    pub help: Option<String>,
    /// Which bytes of the file it is about.
    pub span: Range<usize>,
    /// Their line, from 1.
    pub line: usize,
    /// Their column, from 1, in characters.
    pub column: usize,
}

impl fmt::Display for ScenarioFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.what)
    }
}

impl std::error::Error for ScenarioFault {}

/// A fault with the lines around it, of which no more is shown than a reader can take in: a list of nodes may stand in one line of
/// 10,000 letters, and a fault may be about a thousand lines.
#[derive(Debug)]
struct Shown {
    fault: ScenarioFault,
    file: String,
    /// At most three lines, each cut to its bounds.
    lines: String,
    /// The number of the first of them, from 0.
    first: usize,
    /// What of them is pointed at: it ends with its line.
    label: Range<usize>,
}

impl Shown {
    fn new(file: &str, text: &str, fault: ScenarioFault) -> Self {
        let (start, end) = (boundary(text, fault.span.start), boundary(text, fault.span.end));
        let begins = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line = text[begins..].lines().next().unwrap_or_default();
        let mut lines = String::new();
        if let Some(before) = text[..begins].lines().next_back() {
            lines.push_str(&cut(before, 0).0);
            lines.push('\n');
        }
        let (shown, dropped, mark) = cut(line, start - begins);
        let at = lines.len() + mark + (start - begins).saturating_sub(dropped);
        lines.push_str(&shown);
        let label = boundary(&lines, at)..boundary(&lines, at + (end - start));
        if let Some(after) = text[begins..].lines().nth(1) {
            lines.push('\n');
            lines.push_str(&cut(after, 0).0);
        }
        lines.push('\n');
        let first = fault.line - 1 - usize::from(begins > 0);
        Self { file: file.to_owned(), lines, first, label, fault }
    }
}

/// The part of a line that is shown where one of its bytes matters: with how many bytes are left out before it, and how many stand
/// there instead.
fn cut(line: &str, matters: usize) -> (String, usize, usize) {
    if line.len() <= SHOWN_MAX {
        return (line.to_owned(), 0, 0);
    }
    let from = if matters < SHOWN_MAX - SHOWN_BEFORE { 0 } else { boundary(line, matters - SHOWN_BEFORE) };
    let until = boundary(line, from + SHOWN_MAX);
    let before = if from > 0 { "…" } else { "" };
    let after = if until < line.len() { "…" } else { "" };
    (format!("{before}{}{after}", &line[from..until]), from, before.len())
}

/// The last place up to here at which a letter begins.
fn boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fault.fmt(f)
    }
}

impl std::error::Error for Shown {}

impl Diagnostic for Shown {
    fn help(&self) -> Option<Box<dyn fmt::Display + '_>> {
        self.fault.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(std::iter::once(LabeledSpan::new_with_span(Some("here".to_owned()), self.label.clone()))))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(self)
    }
}

impl SourceCode for Shown {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let read = self.lines.as_str().read_span(span, before, after)?;
        // Where no line before it is asked for, it is to say where the fault is: in the file, not in what is shown of it.
        let column = if before == 0 { self.fault.column - 1 } else { read.column() };
        Ok(Box::new(MietteSpanContents::new_named(
            self.file.clone(),
            read.data(),
            *read.span(),
            read.line() + self.first,
            column,
            read.line_count(),
        )))
    }
}

/// Why a scenario file is refused: at least one fault, in file order.
#[derive(Debug)]
pub struct ScenarioError {
    file: String,
    faults: Vec<ScenarioFault>,
    shown: Vec<Shown>,
}

impl ScenarioError {
    pub(super) fn new(file: &str, text: &str, mut faults: Vec<ScenarioFault>) -> Self {
        faults.sort_by_key(|fault| fault.span.start);
        faults.truncate(FAULTS_MAX);
        let shown = faults.iter().map(|fault| Shown::new(file, text, fault.clone())).collect();
        Self { file: file.to_owned(), faults, shown }
    }

    /// The faults, in file order.
    #[must_use]
    pub fn faults(&self) -> &[ScenarioFault] {
        &self.faults
    }
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot be run", self.file)
    }
}

impl std::error::Error for ScenarioError {}

impl Diagnostic for ScenarioError {
    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(self.shown.iter().map(|shown| shown as &dyn Diagnostic)))
    }
}

/// The line and column, from 1, at which a byte of a text stands.
pub(super) fn position(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..boundary(text, at)];
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, span: Range<usize>) -> Shown {
        let (line, column) = position(text, span.start);
        Shown::new("x.toml", text, ScenarioFault { what: "no".to_owned(), help: None, span, line, column })
    }

    #[test]
    fn of_a_long_line_only_what_is_around_the_fault_is_shown_with_its_place_in_the_file() {
        let text = format!("first = 1\n{}WRONG{}\nlast = 1\n", "ä".repeat(5_000), "b".repeat(5_000));
        let at = text.find("WRONG").expect("it is there");
        let shown = shown(&text, at..at + 5);
        assert_eq!(&shown.lines[shown.label.clone()], "WRONG");
        assert!(shown.lines.len() < 200 && shown.lines.starts_with("first = 1\n…ä"), "{}", shown.lines);
        assert!(shown.lines.ends_with("…\nlast = 1\n"), "{}", shown.lines);
        let place = shown.read_span(&shown.label.clone().into(), 0, 0).expect("it is inside");
        assert_eq!((place.line(), place.column()), (1, 5_000));
    }

    #[test]
    fn whatever_a_fault_is_about_some_of_it_can_be_shown() {
        for text in ["", "\n", "a", "a\r\nb\r\n", "ä\nb\nc", &"x".repeat(1_000)] {
            for start in 0..=text.len().min(200) {
                for end in [start, start + 1, text.len(), usize::MAX] {
                    let shown = shown(text, start..end.max(start));
                    let read = shown.read_span(&shown.label.clone().into(), 1, 1);
                    assert!(read.is_ok(), "{start}..{end} of {text:?}");
                }
            }
        }
    }
}
