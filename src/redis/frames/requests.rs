//! `Requests`: the requests of one connection, out of the bytes that have arrived and were not read yet.

use bytes::{Bytes, BytesMut};
use redis_protocol::resp2::{decode::decode_range, types::RangeFrame};

use super::{
    inline,
    scan::{Bounds, Extent, ProtocolFault, Scan},
};

/// What has arrived. How much that is, is for its owner to bound.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    arrived: BytesMut,
    scan: Scan,
}

impl Requests {
    /// Where to put what arrives.
    pub(crate) const fn buffer(&mut self) -> &mut BytesMut {
        &mut self.arrived
    }

    /// Bytes that were not read yet.
    pub(crate) fn len(&self) -> usize {
        self.arrived.len()
    }

    /// The strings of the next request, at least one; `None`: more must arrive.
    ///
    /// # Errors
    /// No request follows, and none ever will.
    pub(crate) fn next(&mut self, bounds: &Bounds) -> Result<Option<Vec<Bytes>>, ProtocolFault> {
        while let Some(extent) = self.scan.next(&self.arrived, bounds)? {
            let strings = match extent {
                Extent::Empty(taken) => {
                    let _ = self.arrived.split_to(taken);
                    continue;
                }
                Extent::Line(taken) => inline::words(&self.arrived.split_to(taken))?,
                Extent::Array(taken) => strings(&self.arrived.split_to(taken).freeze())?,
            };
            if !strings.is_empty() {
                return Ok(Some(strings));
            }
        }
        Ok(None)
    }
}

/// The codec says where each string lies; they share the request's bytes.
fn strings(request: &Bytes) -> Result<Vec<Bytes>, ProtocolFault> {
    let Ok(Some((RangeFrame::Array(frames), _))) = decode_range(request) else {
        return Err(ProtocolFault::Undecodable);
    };
    let string = |frame| match frame {
        RangeFrame::BulkString((begin, end)) => Ok(request.slice(begin..end)),
        _ => Err(ProtocolFault::Undecodable),
    };
    frames.into_iter().map(string).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: Bounds = Bounds { strings: 64, string: 1 << 10, bytes: 8 << 10 };

    fn all(requests: &mut Requests) -> Result<Vec<Vec<Bytes>>, ProtocolFault> {
        let mut all = Vec::new();
        while let Some(request) = requests.next(&BOUNDS)? {
            all.push(request);
        }
        Ok(all)
    }

    proptest! {
        #[test]
        fn requests_come_out_as_they_were_written_however_they_are_cut(
            written in prop::collection::vec(prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..6), 1..8),
            cuts in prop::collection::vec(1_usize..50, 1..40),
        ) {
            let mut bytes = Vec::new();
            for request in &written {
                bytes.extend(format!("*{}\r\n", request.len()).into_bytes());
                for string in request {
                    bytes.extend(format!("${}\r\n", string.len()).into_bytes());
                    bytes.extend_from_slice(string);
                    bytes.extend_from_slice(b"\r\n");
                }
            }
            let mut requests = Requests::default();
            let mut read = Vec::new();
            let mut left = &bytes[..];
            for cut in cuts.iter().cycle() {
                let (now, later) = left.split_at(left.len().min(*cut));
                requests.buffer().extend_from_slice(now);
                read.extend(all(&mut requests).expect("whole requests"));
                left = later;
                if left.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(read, written);
            prop_assert_eq!(requests.len(), 0);
        }

        #[test]
        fn no_bytes_are_read_otherwise_for_being_cut_and_none_do_harm(
            bytes in prop::collection::vec(prop_oneof![Just(b'*'), Just(b'$'), Just(b'\r'), Just(b'\n'), Just(b'1'), Just(b'-'), Just(b'"'), any::<u8>()], 0..200),
            cut in 0_usize..200,
        ) {
            let mut whole = Requests::default();
            whole.buffer().extend_from_slice(&bytes);
            let told = all(&mut whole);
            let mut pieces = Requests::default();
            let (first, second) = bytes.split_at(cut.min(bytes.len()));
            pieces.buffer().extend_from_slice(first);
            let again = all(&mut pieces).and_then(|mut told| {
                pieces.buffer().extend_from_slice(second);
                told.extend(all(&mut pieces)?);
                Ok(told)
            });
            prop_assert_eq!(told, again);
        }
    }
}
