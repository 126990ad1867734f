//! `Blob`: bytes that are kept and shared, and never change: a state, an event, a reply.
//!
//! What is stored is small and there is much of it, so a blob has no spare capacity and no allocation beyond its bytes: up to
//! [`INLINE_MAX`] bytes lie in the handle itself, more of them in one allocation that all clones share. Bytes on their way
//! through sockets are `bytes::Bytes`, which can be cut in pieces; of these a few can be left out at the end.

use std::{
    fmt,
    hash::{Hash, Hasher},
    ops::Deref,
    sync::Arc,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// So many bytes need no allocation: the handle is three words, of which one byte says how many there are.
const INLINE_MAX: usize = 22;

/// So many bytes may lie unused behind those of a blob that is the beginning of another.
#[cfg(feature = "redis")]
const UNUSED_MAX: usize = 16;

/// Shared bytes.
#[derive(Clone)]
pub struct Blob(Inner);

#[derive(Clone)]
enum Inner {
    Inline { len: u8, bytes: [u8; INLINE_MAX] },
    Shared { bytes: Arc<[u8]>, unused: u8 },
}

impl Blob {
    /// Whether both are the same allocation, or the same few bytes; cheaper than comparing, and sometimes wrong the safe way.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Inner::Shared { bytes: a, unused: of_a }, Inner::Shared { bytes: b, unused: of_b }) => {
                Arc::ptr_eq(a, b) && of_a == of_b
            }
            _ => **self == **other,
        }
    }

    /// The first `len` bytes, or all if there are no more: in the same allocation, unless much of it would lie unused then.
    #[cfg(feature = "redis")]
    pub(crate) fn beginning(&self, len: usize) -> Self {
        let len = len.min(self.len());
        match &self.0 {
            Inner::Shared { bytes, .. } if len > INLINE_MAX && bytes.len() - len <= UNUSED_MAX => {
                let unused = u8::try_from(bytes.len() - len).expect("at most UNUSED_MAX");
                Self(Inner::Shared { bytes: Arc::clone(bytes), unused })
            }
            _ => Self::from(&self[..len]),
        }
    }
}

impl Default for Blob {
    fn default() -> Self {
        Self(Inner::Inline { len: 0, bytes: [0; INLINE_MAX] })
    }
}

impl<T: AsRef<[u8]> + ?Sized> From<&T> for Blob {
    fn from(from: &T) -> Self {
        let from = from.as_ref();
        match u8::try_from(from.len()) {
            Ok(len) if from.len() <= INLINE_MAX => {
                let mut bytes = [0; INLINE_MAX];
                bytes[..from.len()].copy_from_slice(from);
                Self(Inner::Inline { len, bytes })
            }
            _ => Self(Inner::Shared { bytes: from.into(), unused: 0 }),
        }
    }
}

impl FromIterator<u8> for Blob {
    fn from_iter<I: IntoIterator<Item = u8>>(bytes: I) -> Self {
        Self::from(&bytes.into_iter().collect::<Vec<u8>>())
    }
}

impl Deref for Blob {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Inner::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Inner::Shared { bytes, unused } => &bytes[..bytes.len() - usize::from(*unused)],
        }
    }
}

impl AsRef<[u8]> for Blob {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl PartialEq for Blob {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Blob {}

impl Hash for Blob {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.escape_ascii())
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self)
    }
}

struct Reader;

impl de::Visitor<'_> for Reader {
    type Value = Blob;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Blob, E> {
        Ok(bytes.into())
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::codec;

    #[test]
    fn few_bytes_and_many_come_back_and_are_compared_by_what_they_are() {
        for len in [0, 1, INLINE_MAX, INLINE_MAX + 1, 300] {
            let bytes: Vec<u8> = (0..len).map(|n| u8::try_from(n % 251).expect("small")).collect();
            let blob = Blob::from(bytes.as_slice());
            assert_eq!((&*blob, blob.len()), (&*bytes, len));
            assert_eq!(blob, blob.clone());
            assert!(blob.is_same(&blob.clone()));
            let sent = codec::encode_message(1, &blob, 512).expect("it fits");
            assert_eq!(codec::decode_message::<Blob>(&sent[1..], 512).expect("it reads what it wrote"), blob);
        }
        assert_ne!(Blob::from(&b"a"[..]), Blob::default());
    }

    #[test]
    #[cfg(feature = "redis")]
    fn the_beginning_of_one_is_what_it_begins_with_and_shares_its_bytes_where_few_are_left_out() {
        let bytes: Vec<u8> = (0..100).collect();
        let blob = Blob::from(&bytes);
        for len in 0..=101 {
            let beginning = blob.beginning(len);
            assert_eq!(*beginning, bytes[..len.min(100)]);
            assert_eq!(beginning, Blob::from(&bytes[..len.min(100)]));
            let lies_there = beginning.as_ptr() == blob.as_ptr();
            assert_eq!(lies_there, len >= 100 - UNUSED_MAX, "{len}");
            assert_eq!(beginning.is_same(&blob), len >= 100);
            assert_eq!(
                *beginning.beginning(len - len.min(7)),
                bytes[..(len - len.min(7)).min(100)],
                "of a beginning as well"
            );
        }
    }

    #[test]
    fn its_handle_is_three_words_also_where_it_may_be_absent() {
        assert_eq!(size_of::<Option<Blob>>(), 3 * size_of::<usize>());
    }
}
