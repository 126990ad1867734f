//! Frames: a length of four bytes, big end first, then so many bytes.
//!
//! Cutting frames out of a stream copies nothing: a frame is a slice of the block that was read. Whoever keeps a small frame
//! for long should copy it, because it keeps its whole block alive. A length above the limit is an error before anything is
//! allocated for it, and the stream is of no further use: there is no way to find the next frame.

use bytes::{Buf, Bytes, BytesMut};

/// Bytes before each frame's body.
pub(crate) const PREFIX: usize = 4;

/// A frame announced itself longer than the limit. Nothing of it was kept; close the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLong {
    /// What the prefix said.
    pub(crate) length: usize,
}

/// The prefix of a body of `length` bytes.
///
/// # Panics
/// If `length` does not fit in 32 bits; callers compare it with a limit far below first.
pub(crate) fn prefix(length: usize) -> [u8; PREFIX] {
    u32::try_from(length).expect("a body is compared with its limit before it is framed").to_be_bytes()
}

/// Reads a prefix; an error if it announces more than `limit`.
pub(crate) fn announced(prefix: [u8; PREFIX], limit: usize) -> Result<usize, TooLong> {
    let length = usize::try_from(u32::from_be_bytes(prefix)).unwrap_or(usize::MAX);
    if length > limit { Err(TooLong { length }) } else { Ok(length) }
}

/// Cuts the next whole frame off the front of what was read. `Ok(None)`: more must be read first; room for the rest of the
/// frame has then been reserved.
pub(crate) fn cut(read: &mut BytesMut, limit: usize) -> Result<Option<Bytes>, TooLong> {
    let Some(head) = read.first_chunk::<PREFIX>() else {
        return Ok(None);
    };
    let length = announced(*head, limit)?;
    if read.len() < PREFIX + length {
        read.reserve(PREFIX + length - read.len());
        return Ok(None);
    }
    read.advance(PREFIX);
    Ok(Some(read.split_to(length).freeze()))
}

/// Cuts the next frame off a batch that is known to be whole. `None` at its end, or where it is not well formed.
pub(crate) fn next(batch: &mut Bytes) -> Option<Bytes> {
    let length = announced(*batch.first_chunk::<PREFIX>()?, batch.len() - PREFIX).ok()?;
    batch.advance(PREFIX);
    Some(batch.split_to(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(bodies: &[&[u8]]) -> BytesMut {
        let mut out = BytesMut::new();
        for body in bodies {
            out.extend_from_slice(&prefix(body.len()));
            out.extend_from_slice(body);
        }
        out
    }

    #[test]
    fn frames_come_out_whole_and_in_order_however_they_were_read() {
        let stream = framed(&[b"one", b"", b"three"]);
        for step in 1..=stream.len() {
            let (mut read, mut got) = (BytesMut::new(), Vec::new());
            for part in stream.chunks(step) {
                read.extend_from_slice(part);
                while let Some(frame) = cut(&mut read, 5).expect("within the limit") {
                    got.push(frame);
                }
            }
            assert_eq!(got, [&b"one"[..], b"", b"three"], "in steps of {step}");
            assert!(read.is_empty());
        }
    }

    #[test]
    fn a_batch_is_read_to_its_end_and_not_beyond_a_broken_frame() {
        let mut batch = framed(&[b"one", b"", b"three"]).freeze();
        batch.truncate(batch.len() - 1);
        assert_eq!(next(&mut batch).as_deref(), Some(&b"one"[..]));
        assert_eq!(next(&mut batch).as_deref(), Some(&b""[..]));
        assert_eq!(next(&mut batch), None, "its last byte is missing");
        assert_eq!(batch.len(), 8, "and nothing of it was taken");
    }

    #[test]
    fn a_frame_of_the_limit_passes_and_one_byte_more_is_refused_before_its_body_is_there() {
        assert_eq!(cut(&mut framed(&[b"12345"]), 5), Ok(Some(Bytes::from_static(b"12345"))));
        let mut only_prefix = BytesMut::from(&prefix(6)[..]);
        assert_eq!(cut(&mut only_prefix, 5), Err(TooLong { length: 6 }));
        let mut huge = BytesMut::from(&[0xff; 4][..]);
        assert_eq!(cut(&mut huge, 5), Err(TooLong { length: 0xffff_ffff }));
        assert!(huge.capacity() < 4096, "nothing is reserved for a refused frame");
    }
}
