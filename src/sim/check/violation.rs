//! `Violation`: what was violated, by which check, and where in the run a person finds it.

use std::{fmt, time::Duration};

use super::history::OperationNumber;

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which check found it, by the name that `simulations/README.md` lists.
    pub check: &'static str,
    /// What it says.
    pub words: String,
    /// When, in the time of the run; `None`: of no one moment, or of its operation's.
    pub at: Option<Duration>,
    /// In which operation of the history it shows.
    pub operation: Option<OperationNumber>,
}

impl Violation {
    /// One of no moment and no operation.
    #[must_use]
    pub fn new(check: &'static str, words: impl fmt::Display) -> Self {
        Self { check, words: words.to_string(), at: None, operation: None }
    }

    /// The same, of this moment.
    #[must_use]
    pub fn at(self, at: Duration) -> Self {
        Self { at: Some(at), ..self }
    }

    /// The same, of this operation.
    #[must_use]
    pub fn of(self, operation: Option<OperationNumber>) -> Self {
        Self { operation, ..self }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.check, self.words)
    }
}
