//! `SessionId`: how a user names one session of a kind.

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use crate::id::{SESSION_ID_MAX, SessionKey};

/// The name of one session within its kind: 1 to 512 bytes, not necessarily text.
///
/// An id that contains `{tag}` falls on the arc of `tag` alone, so that ids with one tag live on one node.
#[derive(Clone)]
pub struct SessionId {
    /// Either the id alone or a whole session key, so that naming a session to its own code allocates nothing.
    shared: Arc<[u8]>,
    start: usize,
}

/// The bytes given are no session id: there are none, or more than 512.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidSessionId {
    /// How many bytes there were.
    pub length: usize,
}

impl SessionId {
    /// Takes any 1 to 512 bytes.
    ///
    /// # Errors
    /// If there are none, or more.
    pub fn new(id: impl AsRef<[u8]>) -> Result<Self, InvalidSessionId> {
        let id = id.as_ref();
        if id.is_empty() || id.len() > SESSION_ID_MAX {
            return Err(InvalidSessionId { length: id.len() });
        }
        Ok(Self { shared: id.into(), start: 0 })
    }

    /// The id in a key, sharing its allocation.
    pub(crate) fn of(key: &SessionKey) -> Self {
        let (shared, start) = key.id_within();
        Self { shared: Arc::clone(shared), start }
    }

    /// The key of the session of that kind; without copying the id, if it was taken out of such a key.
    #[cfg(feature = "redis")]
    pub(crate) fn key(&self, kind: &str) -> Option<SessionKey> {
        let shared = (self.start > 0).then(|| SessionKey::of_whole(&self.shared, kind)).flatten();
        shared.or_else(|| SessionKey::new(kind, self.as_bytes()))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.shared[self.start..]
    }

    /// The id as text, if it is text.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(self.as_bytes()).ok()
    }
}

impl PartialEq for SessionId {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for SessionId {}

impl PartialOrd for SessionId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SessionId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for SessionId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

/// `TryFrom` for whatever shows its bytes, so that `node.session::<Cart>("cart-7")` reads well.
macro_rules! from_bytes_of {
    ($($given:ty),+) => {$(
        impl TryFrom<$given> for SessionId {
            type Error = InvalidSessionId;

            fn try_from(id: $given) -> Result<Self, Self::Error> {
                Self::new(id)
            }
        }
    )+};
}

from_bytes_of!(&str, &String, String, &[u8], Vec<u8>);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&String::from_utf8_lossy(self.as_bytes()))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.as_bytes().escape_ascii())
    }
}

impl fmt::Display for InvalidSessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a session id has 1 to {SESSION_ID_MAX} bytes, not {}", self.length)
    }
}

impl std::error::Error for InvalidSessionId {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_any_bytes_from_one_to_five_hundred_and_twelve() {
        assert_eq!(SessionId::try_from("cart-7").expect("short").as_str(), Some("cart-7"));
        assert_eq!(SessionId::new([0xff, 0x00]).expect("any bytes").as_str(), None);
        assert!(SessionId::new([0; SESSION_ID_MAX]).is_ok());
        assert_eq!(SessionId::new([0; SESSION_ID_MAX + 1]), Err(InvalidSessionId { length: 513 }));
        assert_eq!(SessionId::try_from(""), Err(InvalidSessionId { length: 0 }));
    }
}
