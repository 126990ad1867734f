//! `Requests`: the requests of one connection, out of the bytes that have arrived and were not read yet.

use bytes::{Bytes, BytesMut};
use redis_protocol::resp2::{decode::decode_bytes, types::BytesFrame};

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

fn strings(request: &Bytes) -> Result<Vec<Bytes>, ProtocolFault> {
    let Ok(Some((BytesFrame::Array(frames), _))) = decode_bytes(request) else {
        return Err(ProtocolFault::Undecodable);
    };
    let string = |frame| match frame {
        BytesFrame::BulkString(string) => Ok(string),
        _ => Err(ProtocolFault::Undecodable),
    };
    frames.into_iter().map(string).collect()
}
