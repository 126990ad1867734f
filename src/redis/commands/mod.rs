//! The commands that are offered: what clients write, read into [`Request`]s.
//!
//! A request that is understood can still be refused by what its key holds. Here is only what can be said without looking at
//! any key, in the words that Redis has for it.

mod arguments;
mod gathered;
mod hashes;
mod keys;
mod request;
mod server;
mod strings;
mod table;

use bytes::Bytes;

use self::{
    arguments::{Arguments, shown, wrong_number},
    table::find,
};
pub(super) use self::{
    arguments::{Unit, Wrong, number},
    gathered::{BYTES_MAX, Full, Gathered, REQUESTS_MAX},
    request::{Do, Hello, Keyed, Request, Scanned, Script, Tell},
};

/// So much of what a client wrote stands in the words about it, in bytes.
const SHOWN: usize = 128;

/// Reads a request from its strings, of which there is at least one.
///
/// # Errors
/// No such command, or not with these strings.
pub(super) fn read(strings: Vec<Bytes>) -> Result<Request, Wrong> {
    let count = strings.len();
    if is_http(&strings[0]) {
        return Ok(Request::Http);
    }
    let Some(spec) = strings.first().and_then(|name| find(name)) else { return Err(unknown(&strings)) };
    if !spec.takes(count) {
        return Err(wrong_number(spec.name));
    }
    let mut rest = strings.into_iter();
    rest.next();
    let mut arguments = Arguments::new(spec.name, rest);
    spec.read(&mut arguments)
}

/// A page in somebody's browser may have any server be sent lines of HTTP, and a request in its body. Redis knows them by the same words.
fn is_http(first: &Bytes) -> bool {
    first.eq_ignore_ascii_case(b"post") || first.eq_ignore_ascii_case(b"host:")
}

fn unknown(strings: &[Bytes]) -> Wrong {
    let mut begins = String::new();
    for string in &strings[1..] {
        if begins.len() >= SHOWN {
            break;
        }
        begins += &format!("'{}' ", shown(string));
    }
    format!("ERR unknown command '{}', with args beginning with: {begins}", shown(&strings[0])).into()
}
