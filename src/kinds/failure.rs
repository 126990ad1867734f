//! `Failure`: how running one operation on one session can fail, on the node that runs it.
//!
//! It is the part of the public error kinds that needs no network to happen, so that a worker can match on it without
//! having to think of the others. In every one of them the session is as it was.

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, ErrorKind},
    session::Refused,
    wire::codec::CodecFault,
};

/// Why an operation did nothing. The public meaning of each is at its `ErrorKind`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Failure {
    Refused(Refused),
    NoSuchCommand {
        command: String,
    },
    NoSuchSession,
    AlreadyExists,
    Conflict {
        current: u64,
    },
    TooLarge {
        limit: usize,
    },
    Malformed {
        reason: String,
    },
    Undecodable {
        theirs: u32,
        ours: u32,
        reason: String,
    },
    Unencodable {
        reason: String,
    },
    /// With the words of the panic, cut to a bound.
    Panicked {
        words: String,
    },
}

impl Failure {
    /// Bytes of its words, about; those of a refusal and of a panic are few.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::NoSuchCommand { command: words }
            | Self::Malformed { reason: words }
            | Self::Undecodable { reason: words, .. }
            | Self::Unencodable { reason: words }
            | Self::Panicked { words } => words.len(),
            Self::Refused(_) => 1_024,
            Self::NoSuchSession | Self::AlreadyExists | Self::Conflict { .. } | Self::TooLarge { .. } => 0,
        }
    }

    /// What arrived could not be decoded.
    pub(super) fn of_input(fault: CodecFault) -> Self {
        match fault {
            CodecFault::TooLarge { limit } => Self::TooLarge { limit },
            fault => Self::Malformed { reason: fault.to_string() },
        }
    }

    /// What was made could not be encoded.
    pub(super) fn of_output(what: &str, fault: CodecFault) -> Self {
        match fault {
            CodecFault::TooLarge { limit } => Self::TooLarge { limit },
            fault => Self::Unencodable { reason: format!("{what}: {fault}") },
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(refused) => ErrorKind::Refused(refused).into(),
            Failure::NoSuchCommand { command } => ErrorKind::NoSuchCommand { command }.into(),
            Failure::NoSuchSession => ErrorKind::NoSuchSession.into(),
            Failure::AlreadyExists => ErrorKind::AlreadyExists.into(),
            Failure::Conflict { current } => ErrorKind::Conflict { current }.into(),
            Failure::TooLarge { limit } => ErrorKind::TooLarge { limit }.into(),
            Failure::Malformed { reason } => Self::new(ErrorKind::Malformed).because(reason),
            Failure::Undecodable { theirs, ours, reason } => {
                Self::new(ErrorKind::Undecodable { theirs, ours }).because(reason)
            }
            Failure::Unencodable { reason } => Self::new(ErrorKind::Unencodable).because(reason),
            Failure::Panicked { words } => Self::new(ErrorKind::Panicked).because(words),
        }
    }
}
