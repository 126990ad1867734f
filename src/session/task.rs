//! `Task`: work that a command leaves behind, and whose result comes back to its session as another command.
//!
//! Here it is only wrapped up; a node starts it once the command that planned it is committed.

use std::{fmt, pin::Pin};

use super::{Command, encode_command};
use crate::{blob::Blob, error::Error};

/// A command as it travels, or why it cannot.
type Result = std::result::Result<(&'static str, Blob), Error>;

/// One piece of work.
pub(crate) struct Task(Pin<Box<dyn Future<Output = Result> + Send>>);

impl Task {
    pub(crate) fn new<C: Command>(work: impl Future<Output = C> + Send + 'static) -> Self {
        // The size is judged where the command arrives, as of every other.
        Self(Box::pin(async move { Ok((C::NAME, encode_command(&work.await, usize::MAX)?)) }))
    }

    /// Does the work; the name and the body of the command that it came to.
    pub(crate) async fn run(self) -> Result {
        self.0.await
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Task")
    }
}
