//! Reading a list that has one element as a rule, from whomever: what it claims to hold is not believed.
//!
//! Serde's own way to a list with room in place makes room for as many elements as the bytes claim, before it has seen the first:
//! four bytes can claim four thousand million. Here room grows with what has come.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};
use smallvec::{Array, SmallVec};

/// Room for so many is made at once.
const BELIEVED: usize = 64;

/// Reads it.
pub(super) fn short_list<'de, D, A>(deserializer: D) -> Result<SmallVec<A>, D::Error>
where
    D: Deserializer<'de>,
    A: Array,
    A::Item: Deserialize<'de>,
{
    deserializer.deserialize_seq(Reader(PhantomData))
}

struct Reader<A>(PhantomData<A>);

impl<'de, A> Visitor<'de> for Reader<A>
where
    A: Array,
    A::Item: Deserialize<'de>,
{
    type Value = SmallVec<A>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Self::Value, S::Error> {
        let mut read = SmallVec::with_capacity(seq.size_hint().unwrap_or(0).min(BELIEVED));
        while let Some(element) = seq.next_element()? {
            read.push(element);
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use serde::de::value::{Error, SeqDeserializer};

    use super::*;

    /// Says that there are a thousand million more.
    #[derive(Clone)]
    struct Boasts(std::ops::Range<u8>);

    impl Iterator for Boasts {
        type Item = u8;

        fn next(&mut self) -> Option<u8> {
            self.0.next()
        }

        fn size_hint(&self) -> (usize, Option<usize>) {
            if self.0.is_empty() { (0, Some(0)) } else { (1_000_000_000, Some(1_000_000_000)) }
        }
    }

    #[test]
    fn a_list_that_claims_to_be_long_gets_the_room_that_it_fills() {
        let read: SmallVec<[u8; 1]> = short_list(SeqDeserializer::<_, Error>::new(Boasts(0..200))).expect("numbers");
        assert_eq!(read.len(), 200);
        assert!(read.capacity() < 1_000, "{}", read.capacity());
        let read: SmallVec<[u8; 1]> = short_list(SeqDeserializer::<_, Error>::new(Boasts(0..0))).expect("none");
        assert!(read.is_empty() && !read.spilled());
    }
}
