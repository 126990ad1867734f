//! `RequestKey`: what an `Idempotency-Key` names (guarantee G3).
//!
//! `<client, 32 hex digits>/<sequence>/<first unanswered>` numbers a request, which lets the ring forget replies as soon as
//! the client says that it needs them no more. Anything else is an opaque key, whose reply is kept for `reply_keep`; the
//! quotes of the structured form (`"key"`) do not count. What a key was first used for is not compared with its later use:
//! a client that uses one key for two requests gets the first one's reply twice, and cannot read it where the second has
//! another method.

use axum::http::HeaderMap;

use super::problem::Problem;
use crate::id::{ClientId, RequestId};

const NAME: &str = "idempotency-key";
/// The longest opaque key, in bytes.
const KEY_MAX: usize = 255;

/// How a request may be known again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RequestKey {
    /// Bytes of the client's choice.
    Opaque(Vec<u8>),
    /// A numbered request.
    Numbered(RequestId),
}

impl RequestKey {
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let mut lines = headers.get_all(NAME).iter();
        let Some(line) = lines.next() else { return Ok(None) };
        if lines.next().is_some() {
            return Err(Problem::bad_request("more than one Idempotency-Key"));
        }
        let key = line.as_bytes();
        let key = key.strip_prefix(b"\"").and_then(|k| k.strip_suffix(b"\"")).unwrap_or(key);
        if key.is_empty() || key.len() > KEY_MAX {
            return Err(Problem::bad_request(format!("an Idempotency-Key has 1 to {KEY_MAX} bytes")));
        }
        match numbered(key) {
            None => Ok(Some(Self::Opaque(key.to_vec()))),
            Some(request) if request.first_unanswered <= request.sequence => Ok(Some(Self::Numbered(request))),
            Some(_) => Err(Problem::bad_request("the first unanswered request comes after the request itself")),
        }
    }
}

fn numbered(key: &[u8]) -> Option<RequestId> {
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?;
    let mut parts = std::str::from_utf8(key).ok()?.split('/');
    let (client, sequence, first) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || client.len() != 32 || !client.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let client = ClientId(u128::from_str_radix(client, 16).ok()?);
    Some(RequestId { client, sequence: number(sequence)?, first_unanswered: number(first)? })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn key(text: &str) -> Result<Option<RequestKey>, Problem> {
        RequestKey::of(&HeaderMap::from_iter([(
            NAME.parse().expect("a header"),
            HeaderValue::from_bytes(text.as_bytes()).expect("plain"),
        )]))
    }

    #[test]
    fn a_key_is_numbered_or_else_opaque() {
        let client = "000102030405060708090a0b0c0d0e0F";
        let request = RequestId {
            client: ClientId(0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f),
            sequence: 12,
            first_unanswered: 9,
        };
        assert_eq!(key(&format!("{client}/12/9")).expect("right"), Some(RequestKey::Numbered(request)));
        for opaque in ["k", "a/1/1", &format!("{client}/+1/1"), &format!("{client}/1"), &format!("{client}/1/1/1")] {
            assert_eq!(key(opaque).expect("right"), Some(RequestKey::Opaque(opaque.as_bytes().to_vec())));
        }
        assert_eq!(key("\"k\"").expect("right"), key("k").expect("right"));
        assert_eq!(RequestKey::of(&HeaderMap::new()).expect("none"), None);
    }

    #[test]
    fn a_key_out_of_bounds_is_a_bad_request() {
        for wrong in [String::new(), "\"\"".to_owned(), "k".repeat(KEY_MAX + 1), format!("{}/1/2", "0".repeat(32))] {
            assert!(key(&wrong).is_err(), "{wrong}");
        }
    }
}
