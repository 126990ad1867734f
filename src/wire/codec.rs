//! Values to bytes and back, within a size and a depth. Beside it only `handshake` names rmp-serde, for four small frames.
//!
//! Stored states, events, commands and replies are encoded as named maps in MessagePack, so that they outlive added and removed
//! fields; messages between nodes as arrays, and those of the data lane in postcard, which has no names or marks at all. Decoding never trusts what it reads: size and nesting of a user's value are checked,
//! without recursion, before rmp-serde sees a byte (why, see `nesting`); a message's type bounds its nesting by itself.
//! It knows nothing of sessions.
//!
//! Invariant: whatever `encode_named` returned, `nesting` lets back in.

use std::{cell::Cell, fmt, io};

use bytes::Bytes;
use rmp_serde::{Serializer, decode, encode};
use serde::{Serialize, de::DeserializeOwned};

use super::nesting::{DEPTH_MAX, Flaw, Nesting};
use crate::blob::Blob;

/// An explanation for people is cut here: it may quote what a stranger sent.
const REASON_MAX: usize = 256;

/// Why a value could not be encoded or bytes not decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CodecFault {
    /// More bytes than `limit`.
    TooLarge {
        /// The most that is taken.
        limit: usize,
    },
    /// Nested deeper than `DEPTH_MAX`.
    TooDeep,
    /// Not exactly one MessagePack value.
    Malformed,
    /// The type and the bytes do not fit, or the type's own serde code said no.
    Mismatch {
        /// For people.
        reason: String,
    },
}

impl fmt::Display for CodecFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { limit } => write!(f, "more than {limit} bytes"),
            Self::TooDeep => write!(f, "nested deeper than {DEPTH_MAX} levels"),
            Self::Malformed => f.write_str("not one MessagePack value"),
            Self::Mismatch { reason } => f.write_str(reason),
        }
    }
}

impl From<Flaw> for CodecFault {
    fn from(flaw: Flaw) -> Self {
        match flaw {
            Flaw::TooDeep => Self::TooDeep,
            Flaw::Malformed => Self::Malformed,
        }
    }
}

/// Cuts a text for people to `max` bytes, at a character.
pub(crate) fn cut(mut text: String, max: usize) -> String {
    if text.len() > max {
        let end = (0..=max).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

fn mismatch(fault: &dyn fmt::Display) -> CodecFault {
    CodecFault::Mismatch { reason: cut(fault.to_string(), REASON_MAX) }
}

thread_local! {
    /// What the next encoder on this thread writes into. Encoded values are small and many: growing a buffer anew for each
    /// costs more than encoding it.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A scratch buffer that grew beyond this is given back.
const SCRATCH_MAX: usize = 256 * 1024;
/// A message from here on is not copied out of it but goes with it, unless it is mostly empty; another takes its place.
const HANDED_ON: usize = 8 * 1024;

/// Where an encoder writes: it stops the encoder as soon as the value is too large or too deep, not afterwards.
struct Sink {
    bytes: Vec<u8>,
    max: usize,
    /// Absent where the type itself says how deep it nests.
    nesting: Option<Nesting>,
    fault: Option<CodecFault>,
}

impl Sink {
    /// Borrows the thread's scratch buffer. A type whose serde code encodes another value meets an empty one.
    fn new(max: usize, nesting: Option<Nesting>) -> Self {
        Self { bytes: SCRATCH.take(), max, nesting, fault: None }
    }

    /// What was written. It may be kept for long, on two nodes: the caller copies it, without spare capacity.
    fn finish(&mut self, encoded: Result<(), encode::Error>) -> Result<&[u8], CodecFault> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        encoded.map_err(|fault| mismatch(&fault))?;
        if let Some(nesting) = &self.nesting {
            nesting.finish()?;
        }
        Ok(&self.bytes)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if self.bytes.capacity() <= SCRATCH_MAX {
            self.bytes.clear();
            SCRATCH.set(std::mem::take(&mut self.bytes));
        }
    }
}

impl Sink {
    /// Takes what is written, or keeps why not.
    fn take(&mut self, bytes: &[u8]) -> Result<(), ()> {
        let fault = if self.bytes.len() + bytes.len() > self.max {
            Some(CodecFault::TooLarge { limit: self.max })
        } else {
            self.nesting.as_mut().and_then(|nesting| nesting.push(bytes).err()).map(CodecFault::from)
        };
        if let Some(fault) = fault {
            self.fault.get_or_insert(fault);
            return Err(());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }
}

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.take(bytes).map_err(|()| io::ErrorKind::InvalidData)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Encodes with field names: for states, events, commands and replies.
pub(crate) fn encode_named<T: Serialize + ?Sized>(value: &T, max: usize) -> Result<Blob, CodecFault> {
    let mut sink = Sink::new(max, Some(Nesting::new()));
    let encoded = value.serialize(&mut Serializer::new(&mut sink).with_struct_map());
    Ok(sink.finish(encoded)?.into())
}

/// Encodes structs as arrays, behind one byte that says what they are: for the messages between nodes, which both ends
/// version together. `T` must not contain itself, so that its nesting is bounded by the type.
pub(crate) fn encode_message<T: Serialize + ?Sized>(kind: u8, body: &T, max: usize) -> Result<Bytes, CodecFault> {
    let mut sink = Sink::new(max.saturating_add(1), None);
    sink.bytes.push(kind);
    let encoded = body.serialize(&mut Serializer::new(&mut sink));
    Ok(Bytes::copy_from_slice(sink.finish(encoded)?))
}

/// Decodes the body of a message; `T` as for [`encode_message`]. Bytes behind the value are passed over.
pub(crate) fn decode_message<T: DeserializeOwned>(body: &[u8], max: usize) -> Result<T, CodecFault> {
    if body.len() > max {
        return Err(CodecFault::TooLarge { limit: max });
    }
    rmp_serde::from_slice(body).map_err(|fault: decode::Error| mismatch(&fault))
}

/// Encodes without any names or marks, behind one byte that says what it is: for the many small messages of the data lane, where
/// a field more is another kind of message. `T` as for [`encode_message`].
pub(crate) fn encode_dense<T: Serialize + ?Sized>(kind: u8, body: &T, max: usize) -> Result<Bytes, CodecFault> {
    let mut sink = Sink::new(max.saturating_add(1), None);
    sink.bytes.push(kind);
    let encoded = postcard::serialize_with_flavor(body, Dense(&mut sink));
    if let Some(fault) = sink.fault.take() {
        return Err(fault);
    }
    encoded.map_err(|fault| mismatch(&fault))?;
    let (len, capacity) = (sink.bytes.len(), sink.bytes.capacity());
    if len < HANDED_ON || len < capacity / 4 {
        return Ok(Bytes::copy_from_slice(&sink.bytes));
    }
    let next = Vec::with_capacity(if capacity <= SCRATCH_MAX { capacity } else { 0 });
    Ok(std::mem::replace(&mut sink.bytes, next).into())
}

/// The same without a byte before it: for kinds of sessions that see to their bytes themselves.
#[cfg(feature = "redis")]
pub(crate) fn encode_plain<T: Serialize + ?Sized>(value: &T, max: usize) -> Result<Blob, CodecFault> {
    let mut sink = Sink::new(max, None);
    let encoded = postcard::serialize_with_flavor(value, Dense(&mut sink));
    if let Some(fault) = sink.fault.take() {
        return Err(fault);
    }
    encoded.map_err(|fault| mismatch(&fault))?;
    Ok(Blob::from(&sink.bytes))
}

/// Decodes the body of what [`encode_dense`] gave. Bytes behind the value are passed over.
pub(crate) fn decode_dense<T: DeserializeOwned>(body: &[u8], max: usize) -> Result<T, CodecFault> {
    if body.len() > max {
        return Err(CodecFault::TooLarge { limit: max });
    }
    postcard::from_bytes(body).map_err(|fault| mismatch(&fault))
}

/// Writes into a sink as postcard wants it.
struct Dense<'s>(&'s mut Sink);

impl postcard::ser_flavors::Flavor for Dense<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.try_extend(&[byte])
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.take(bytes).map_err(|()| postcard::Error::SerializeBufferFull)
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// Decodes what [`encode_named`] gave, or bytes of whoever.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8], max: usize) -> Result<T, CodecFault> {
    if bytes.len() > max {
        return Err(CodecFault::TooLarge { limit: max });
    }
    Nesting::check(bytes)?;
    rmp_serde::from_slice(bytes).map_err(|fault: decode::Error| mismatch(&fault))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Chain {
        End,
        Link(Box<Chain>),
    }

    /// Built and taken apart by loops: its own drop glue would overflow the stack, which is not what is tested.
    fn chain(length: usize) -> Chain {
        (0..length).fold(Chain::End, |rest, _| Chain::Link(Box::new(rest)))
    }

    fn take_apart(mut chain: Chain) {
        while let Chain::Link(rest) = chain {
            chain = *rest;
        }
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Two {
        a: u8,
        b: String,
    }

    #[test]
    fn named_values_and_messages_both_come_back() {
        let two = Two { a: 7, b: "b".into() };
        let named = encode_named(&two, 64).expect("small");
        let message = encode_message(9, &two, 64).expect("small");
        assert!(message.len() < named.len() && message[0] == 9);
        assert_eq!(decode::<Two>(&named, 64).as_ref(), Ok(&two));
        assert_eq!(decode_message::<Two>(&message[1..], 64).as_ref(), Ok(&two));
    }

    #[test]
    fn dense_messages_of_any_size_come_back_and_none_has_bytes_of_another() {
        for len in [1, HANDED_ON - 8, HANDED_ON, 3, SCRATCH_MAX / 4, SCRATCH_MAX + 1, 0, HANDED_ON * 2] {
            let body = Blob::from(&vec![u8::try_from(len % 251).expect("small"); len]);
            let message = encode_dense(9, &body, SCRATCH_MAX * 2).expect("within the limit");
            assert_eq!(message[0], 9);
            assert_eq!(decode_dense::<Blob>(&message[1..], SCRATCH_MAX * 2).as_ref(), Ok(&body), "{len}");
        }
    }

    #[test]
    fn named_bytes_outlive_added_and_removed_fields() {
        #[derive(Serialize)]
        struct Older {
            b: &'static str,
            gone: u8,
            a: u8,
        }
        let bytes = encode_named(&Older { b: "b", gone: 1, a: 7 }, 64).expect("small");
        assert_eq!(decode::<Two>(&bytes, 64), Ok(Two { a: 7, b: "b".into() }));
    }

    #[test]
    fn a_recursive_enum_that_would_overflow_the_stack_is_refused_before_it_is_decoded() {
        // {"Link": {"Link": ...}}, a hundred thousand times: rmp-serde alone aborts the process on this.
        let mut bytes = [0x81, 0xa4, b'L', b'i', b'n', b'k'].repeat(100_000);
        bytes.extend([0xa3, b'E', b'n', b'd']);
        assert_eq!(decode::<Chain>(&bytes, usize::MAX), Err(CodecFault::TooDeep));
    }

    #[test]
    fn a_recursive_enum_that_would_overflow_the_stack_is_refused_while_it_is_encoded() {
        let deep = chain(100_000);
        assert_eq!(encode_named(&deep, usize::MAX), Err(CodecFault::TooDeep));
        take_apart(deep);
        let deepest = chain(DEPTH_MAX);
        let bytes = encode_named(&deepest, 1024).expect("as deep as is allowed");
        assert_eq!(decode::<Chain>(&bytes, 1024), Ok(deepest));
    }

    #[test]
    fn size_is_limited_in_both_directions_to_the_byte() {
        let bytes = encode_named("12345678", 9).expect("one marker and eight bytes");
        assert_eq!(encode_named("12345678", 8), Err(CodecFault::TooLarge { limit: 8 }));
        assert_eq!(decode::<String>(&bytes, 8), Err(CodecFault::TooLarge { limit: 8 }));
    }

    #[test]
    fn lengths_that_lie_and_trailing_bytes_are_malformed() {
        assert_eq!(decode::<Vec<u64>>(&[0xdd, 0xff, 0xff, 0xff, 0xff], 64), Err(CodecFault::Malformed));
        assert_eq!(decode::<u8>(&[1, 2], 64), Err(CodecFault::Malformed));
        assert!(matches!(decode::<u8>(&[0xa1, b'x'], 64), Err(CodecFault::Mismatch { .. })));
    }

    #[test]
    fn maps_with_keys_that_are_no_text_come_back() {
        let map = BTreeMap::from([((1u8, 2u8), "x".to_owned())]);
        let bytes = encode_named(&map, 64).expect("small");
        assert_eq!(decode(&bytes, 64), Ok(map));
    }
}
