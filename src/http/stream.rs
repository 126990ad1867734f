//! `/v1/events`: what a node tells of itself, as server-sent events.
//!
//! Each event is one JSON object in one `data:` line. A listener that is too slow is told how many it missed
//! (`event: missed`), and one that reads nothing is cut off by the server; neither makes the node keep more. It ends with
//! the node, and starts from now: what happened before is not told again.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::State,
    http::{HeaderValue, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::stream;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::{
    door::{Door, Events, Heard},
    problem::Problem,
    state::Shared,
};

/// Silence is broken this often, so that both ends notice when the other is gone.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

struct Listener<E> {
    events: E,
    stopping: watch::Receiver<bool>,
    /// One of the bounded number of listeners.
    _place: OwnedSemaphorePermit,
}

/// Listens until the client or the node goes.
pub(super) async fn events<D: Door>(State(shared): State<Arc<Shared<D>>>) -> Result<Response, Problem> {
    let door = shared.door()?;
    let place = Arc::clone(&shared.listeners).try_acquire_owned();
    let _place = place.map_err(|_| Problem::full("too many listeners"))?;
    let listener = Listener { events: door.events(), stopping: shared.stopping.subscribe(), _place };
    let told = stream::unfold(listener, async |mut listener| {
        let heard = tokio::select! {
            biased;
            _ = listener.stopping.wait_for(|stopping| *stopping) => None,
            heard = listener.events.next() => heard,
        }?;
        Some((Ok::<_, Infallible>(told(&heard)), listener))
    });
    let mut response = Sse::new(told).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn told<E: serde::Serialize>(heard: &Heard<E>) -> Event {
    match heard {
        Heard::Event(event) => Event::default().json_data(event).unwrap_or_else(|fault| {
            tracing::error!(%fault, "an event that cannot be written as JSON");
            Event::default().comment("an event that cannot be told")
        }),
        Heard::Missed(events) => Event::default().event("missed").data(json!({ "events": events }).to_string()),
    }
}
