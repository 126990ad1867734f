//! `Refused`: a session's own no to a command.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::wire::codec::cut;

/// The longest code of a refusal, in bytes; a longer one is cut.
const CODE_MAX: usize = 64;
/// The longest message of a refusal, in bytes; a longer one is cut.
const MESSAGE_MAX: usize = 1024;

/// A session type's own refusal of a command. The session stays as it was.
///
/// A no that is part of the business and changes the session belongs into the command's reply instead.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Refused {
    code: String,
    message: String,
}

impl Refused {
    /// Says why, for people.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self { code: String::new(), message: cut(message.into(), MESSAGE_MAX) }
    }

    /// Adds a word for programs, which does not change when the message is reworded.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.code = cut(code.into(), CODE_MAX);
        self
    }

    /// The word for programs; empty if none was given.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The sentence for people.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl From<&str> for Refused {
    fn from(message: &str) -> Self {
        Self::new(message)
    }
}

impl From<String> for Refused {
    fn from(message: String) -> Self {
        Self::new(message)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refused {}
