//! What a client is told of a call that came to nothing, in words that Redis clients know.
//!
//! An error means that nothing was done. Where nobody can tell, there is no word for it: the connection is closed, as that to a
//! Redis which died would be.
//!
//! | word | when | what clients do |
//! |---|---|---|
//! | `LOADING` | the node is starting | wait, and ask again |
//! | `TRYAGAIN` | the key's node is being replaced, or cannot be for want of a quorum | ask again |
//! | `BUSY` | a bound is reached | ask again, later |
//! | `READONLY` | the node has stopped, its program has not | connect anew, to another |

use super::{frames::Reply, keys::Complaint};
use crate::error::{Error, ErrorKind};

/// Nobody can tell whether it was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unknown;

/// The word for an error.
///
/// # Errors
/// There is none.
pub(super) fn of(error: &Error) -> Result<Reply, Unknown> {
    Ok(match error.kind() {
        ErrorKind::OutcomeUnknown | ErrorKind::TooOld | ErrorKind::UnreadableReply => return Err(Unknown),
        ErrorKind::NotDone { .. } | ErrorKind::Recovering { .. } | ErrorKind::Deadline => {
            Reply::error("TRYAGAIN the key's node is being replaced, or too few nodes are heard; nothing was done")
        }
        ErrorKind::Busy { bound, .. } => {
            Reply::error(format!("BUSY too much to do ({}); nothing was done, ask again later", bound.word()))
        }
        ErrorKind::Stopped => READONLY,
        ErrorKind::TooLarge { limit } => Reply::error(format!(
            "ERR string exceeds maximum allowed size: a key, and what is told of it, has at most {limit} bytes (limits.value); nothing \
             was done"
        )),
        ErrorKind::Lost => Reply::error(
            "ERR every copy of this key was lost, and perhaps the key with it: SET it anew, or ask the operator",
        ),
        ErrorKind::NoSuchKind { .. } => Reply::error("ERR the key's node does not take the Redis protocol"),
        _ => Reply::error(format!("ERR {error}")),
    })
}

/// The node has stopped.
pub(super) const READONLY: Reply =
    Reply::Error(std::borrow::Cow::Borrowed("READONLY this node has stopped: connect to another"));
/// The node is not in the ring yet.
pub(super) const LOADING: Reply = Reply::Error(std::borrow::Cow::Borrowed("LOADING this node is not in the ring yet"));

impl From<Complaint> for Reply {
    fn from(complaint: Complaint) -> Self {
        Self::error(complaint.as_str())
    }
}
