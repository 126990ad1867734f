//! Reading the body of a request within three bounds: its own size, the time it may take to arrive, and what all bodies
//! of this node may weigh together.
//!
//! Bytes are counted as they arrive, so a client that announces much and sends little holds little. Nothing waits for
//! room: where there is none the request is refused at once, and changes nothing.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, header},
};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::{
    problem::{Problem, Taken},
    settings::Settings,
};

/// What one permit stands for, in bytes, so that the largest sum of bodies can be counted in `u32`.
const GRAIN: usize = 1 << 10;

/// The room that all bodies of one node share.
#[derive(Clone, Debug)]
pub(super) struct Bodies {
    room: Arc<Semaphore>,
    body_max: usize,
    arrival: Duration,
}

/// A body, and the room it takes until it is dropped.
#[derive(Debug)]
pub(super) struct Arrived {
    pub bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

impl Bodies {
    pub(super) fn new(settings: &Settings) -> Self {
        let grains = settings.bodies.div_ceil(GRAIN).min(Semaphore::MAX_PERMITS);
        Self { room: Arc::new(Semaphore::new(grains)), body_max: settings.body, arrival: settings.arrival }
    }

    /// Waits for the whole body.
    pub(super) async fn read(&self, headers: &HeaderMap, body: Body) -> Result<Arrived, Problem> {
        if let Some(coding) =
            headers.get(header::CONTENT_ENCODING).filter(|c| !c.as_bytes().eq_ignore_ascii_case(b"identity"))
        {
            let what = format!("Content-Encoding {coding:?}");
            return Err(Problem::unsupported(&what, Taken::Uncoded));
        }
        let announced =
            headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| usize::try_from(length).is_ok_and(|l| l > self.body_max)) {
            return Err(Problem::too_large(self.body_max));
        }
        timeout(self.arrival, self.collect(body)).await.map_err(|_| Problem::slow_body(self.arrival))?
    }

    async fn collect(&self, mut body: Body) -> Result<Arrived, Problem> {
        let mut arrived = BytesMut::new();
        let mut room: Option<OwnedSemaphorePermit> = None;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|fault| Problem::bad_request(format!("the body broke off: {fault}")))?;
            let Ok(data) = frame.into_data() else { continue };
            if arrived.len() + data.len() > self.body_max {
                return Err(Problem::too_large(self.body_max));
            }
            let held = room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
            let more = (arrived.len() + data.len()).div_ceil(GRAIN).saturating_sub(held);
            let more = u32::try_from(more).map_err(|_| Problem::too_large(self.body_max))?;
            let more = Arc::clone(&self.room)
                .try_acquire_many_owned(more)
                .map_err(|_| Problem::full("too many bytes of requests are on their way"))?;
            match &mut room {
                Some(room) => room.merge(more),
                None => room = Some(more),
            }
            arrived.extend_from_slice(&data);
        }
        Ok(Arrived { bytes: arrived.freeze(), _room: room })
    }
}
