//! What a client is told of a call that came to nothing, in words that Redis clients know.
//!
//! An error means that nothing was done, of several keys that not all was. Where nobody can tell, there is no word for it: the
//! connection is closed, as that to a Redis which died would be.
//!
//! | word | when | what clients do |
//! |---|---|---|
//! | `LOADING` | the node is starting | wait, and ask again |
//! | `TRYAGAIN` | the key's node is being replaced, or cannot be for want of a quorum | ask again |
//! | `BUSY` | a bound is reached | ask again, later |
//! | `READONLY` | the node has stopped, its program has not; or it is about to, and a new client sends `PING` | connect anew, to another |

use std::borrow::Cow;

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
    words(error, "nothing was done").map(Reply::Error)
}

/// The word for an error of which some keys of a request were not set, while others were.
///
/// # Errors
/// There is none.
pub(super) fn of_some(error: &Error) -> Result<Reply, Unknown> {
    let words = words(error, "nothing was done to it")?;
    Ok(Reply::error(format!("{words}. Others of these keys were set")))
}

/// Why it came to nothing, and what was done.
fn words(error: &Error, done: &str) -> Result<Cow<'static, str>, Unknown> {
    Ok(match error.kind() {
        ErrorKind::OutcomeUnknown | ErrorKind::TooOld | ErrorKind::UnreadableReply => return Err(Unknown),
        ErrorKind::NotDone { .. } | ErrorKind::Recovering { .. } | ErrorKind::Deadline => {
            format!("TRYAGAIN the key's node is being replaced, or too few nodes are heard; {done}").into()
        }
        ErrorKind::Busy { bound, .. } => {
            format!("BUSY too much to do ({}); {done}, ask again later", bound.word()).into()
        }
        ErrorKind::Stopped => STOPPED.into(),
        ErrorKind::TooLarge { limit } => format!(
            "ERR string exceeds maximum allowed size: what a key holds, or one reply about it, has at most {limit} \
             bytes (limits.value); {done}"
        )
        .into(),
        ErrorKind::Lost => {
            "ERR every copy of this key was lost, and perhaps the key with it: SET it anew, or ask the operator".into()
        }
        ErrorKind::NoSuchKind { .. } => "ERR the key's node does not take the Redis protocol".into(),
        _ => format!("ERR {error}").into(),
    })
}

const STOPPED: &str = "READONLY this node has stopped: connect to another";
/// The node has stopped.
pub(super) const READONLY: Reply = Reply::Error(Cow::Borrowed(STOPPED));
/// The node is about to stop.
pub(super) const LEAVING: Reply =
    Reply::Error(Cow::Borrowed("READONLY this node is about to stop: connect to another"));
/// The node is not in the ring yet.
pub(super) const LOADING: Reply = Reply::Error(Cow::Borrowed("LOADING this node is not in the ring yet"));

impl From<Complaint> for Reply {
    fn from(complaint: Complaint) -> Self {
        Self::error(complaint.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_keys_it_is_said_why_some_were_not_set_and_that_others_were() {
        let said = |kind: ErrorKind| of_some(&kind.into());
        let lost = "ERR every copy of this key was lost, and perhaps the key with it: SET it anew, or ask the operator. \
                    Others of these keys were set";
        assert_eq!(said(ErrorKind::Lost), Ok(Reply::error(lost)));
        let again = "TRYAGAIN the key's node is being replaced, or too few nodes are heard; nothing was done to it. \
                     Others of these keys were set";
        assert_eq!(said(ErrorKind::Deadline), Ok(Reply::error(again)));
        assert_eq!(said(ErrorKind::OutcomeUnknown), Err(Unknown));
    }
}
