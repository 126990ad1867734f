//! What is wrong with a scenario file, where, and what would be right.
//!
//! A refused scenario has run nothing. All that one pass finds is told at once, at most `FAULTS_MAX`.

use std::{fmt, ops::Range};

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};

/// The most faults that are told.
pub(super) const FAULTS_MAX: usize = 32;

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

impl Diagnostic for ScenarioFault {
    fn help(&self) -> Option<Box<dyn fmt::Display + '_>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(std::iter::once(LabeledSpan::new_with_span(Some("here".to_owned()), self.span.clone()))))
    }
}

/// Why a scenario file is refused: at least one fault, in file order.
#[derive(Debug)]
pub struct ScenarioError {
    source: NamedSource<String>,
    faults: Vec<ScenarioFault>,
}

impl ScenarioError {
    pub(super) fn new(file: &str, text: &str, mut faults: Vec<ScenarioFault>) -> Self {
        faults.sort_by_key(|fault| fault.span.start);
        faults.truncate(FAULTS_MAX);
        Self { source: NamedSource::new(file, text.to_owned()), faults }
    }

    /// The faults, in file order.
    #[must_use]
    pub fn faults(&self) -> &[ScenarioFault] {
        &self.faults
    }
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot be run", self.source.name())
    }
}

impl std::error::Error for ScenarioError {}

impl Diagnostic for ScenarioError {
    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source)
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(self.faults.iter().map(|fault| fault as &dyn Diagnostic)))
    }
}

/// The line and column, from 1, at which a byte of a text stands.
pub(super) fn position(text: &str, at: usize) -> (usize, usize) {
    let inside = (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let before = &text[..inside];
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    (line, column)
}
