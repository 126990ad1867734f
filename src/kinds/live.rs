//! `LiveSession`: the decoded object of a session that is in use, kept so that the next command need not decode it again.
//!
//! It is a cache of what the replica stores and nothing else; dropping it at any time costs one decoding. It remembers
//! which stored bytes it stands for, and is believed only while the replica still holds those: an operation whose change
//! was computed but never appended is so forgotten by itself.
//!
//! What it cannot notice is a stored tail of events replaced by another as long with an equal last one. That happens only
//! where an arc changes hands, so a worker drops its live sessions when it ceases to be the arc's primary.

use std::{
    any::Any,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
};

use super::Stored;
use crate::{blob::Blob, session::Task};

/// What an event weighs besides its bytes, roughly: the handle that a replica keeps for it.
const EVENT_OVERHEAD: usize = 32;

/// One event's weight against the image.
pub(super) fn weight(event: &Blob) -> usize {
    event.len() + EVENT_OVERHEAD
}

/// The object, and the stored bytes it stands for.
#[derive(Default)]
pub(crate) struct LiveSession {
    object: Option<Box<dyn Any + Send>>,
    stands_for: Option<Blob>,
    state_version: u32,
    events: usize,
    last_event: Option<Blob>,
    events_weight: usize,
    /// What its code wants started and no operation has taken with it yet.
    plans: Vec<Task>,
}

impl LiveSession {
    /// One that holds nothing yet.
    pub(crate) const fn new() -> Self {
        Self {
            object: None,
            stands_for: None,
            state_version: 0,
            events: 0,
            last_event: None,
            events_weight: 0,
            plans: Vec::new(),
        }
    }

    /// Whether there is a decoded object in it.
    pub(crate) const fn is_warm(&self) -> bool {
        self.object.is_some()
    }

    /// Roughly what the object weighs: as much as its encoded state. What it really takes on the heap nobody knows.
    pub(crate) fn bytes_estimate(&self) -> usize {
        self.stands_for.as_ref().map_or(0, |image| image.len() + self.events_weight)
    }

    /// Drops the object. A panic in its `drop` stays here.
    pub(crate) fn forget(&mut self) {
        let object = self.object.take();
        if catch_unwind(AssertUnwindSafe(|| drop(object))).is_err() {
            tracing::error!("a session object panicked while it was dropped");
        }
        self.stands_for = None;
        self.last_event = None;
        let plans = std::mem::take(&mut self.plans);
        if !plans.is_empty() && catch_unwind(AssertUnwindSafe(|| drop(plans))).is_err() {
            tracing::error!("a task of a session panicked while it was dropped, before it was started");
        }
    }

    /// Keeps what is to be started, until an operation succeeds.
    pub(super) fn plan(&mut self, tasks: Vec<Task>) {
        self.plans.extend(tasks);
    }

    /// What is to be started now.
    pub(super) fn take_plans(&mut self) -> Vec<Task> {
        std::mem::take(&mut self.plans)
    }

    /// The object, if it is one of type `S`.
    pub(super) fn object<S: 'static>(&mut self) -> Option<&mut S> {
        self.object.as_mut()?.downcast_mut()
    }

    /// The object, given away.
    pub(super) fn take<S: 'static>(&mut self) -> Option<S> {
        self.stands_for = None;
        self.object.take()?.downcast().ok().map(|object| *object)
    }

    /// Whether the object is the one that these bytes would give.
    pub(super) fn reflects(&self, stored: &Stored<'_>) -> bool {
        let same = |a: Option<&Blob>, b: Option<&Blob>| match (a, b) {
            (Some(a), Some(b)) => a.is_same(b) || a == b,
            (None, None) => true,
            _ => false,
        };
        self.is_warm()
            && self.stands_for.is_some()
            && self.state_version == stored.state_version
            && self.events == stored.events.len()
            && same(self.last_event.as_ref(), stored.events.last())
            && same(self.stands_for.as_ref(), stored.image)
    }

    /// Takes an object that stands for nothing stored (yet): it is believed by nobody until `is_image` or `gained` says so.
    pub(super) fn hold(&mut self, object: Box<dyn Any + Send>) {
        self.forget();
        self.object = Some(object);
    }

    /// The object was decoded from these bytes.
    pub(super) fn is_decoded_from(&mut self, stored: &Stored<'_>) {
        self.stands_for = stored.image.cloned();
        self.state_version = stored.state_version;
        self.events = stored.events.len();
        self.last_event = stored.events.last().cloned();
        self.events_weight = stored.events.iter().map(weight).sum();
    }

    /// The object was encoded into this image.
    pub(super) fn is_image(&mut self, image: &Blob, state_version: u32) {
        self.stands_for = Some(image.clone());
        self.state_version = state_version;
        self.events = 0;
        self.last_event = None;
        self.events_weight = 0;
    }

    /// The object has these events in it, besides what it stood for.
    pub(super) fn gained(&mut self, events: &[Blob]) {
        self.events += events.len();
        self.last_event = events.last().cloned().or(self.last_event.take());
        self.events_weight += events.iter().map(weight).sum::<usize>();
    }

    /// The weight of the events it stands for.
    pub(super) const fn events_weight(&self) -> usize {
        self.events_weight
    }
}

impl Drop for LiveSession {
    fn drop(&mut self) {
        self.forget();
    }
}

impl fmt::Debug for LiveSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveSession")
            .field("warm", &self.is_warm())
            .field("bytes_estimate", &self.bytes_estimate())
            .field("events", &self.events)
            .finish_non_exhaustive()
    }
}
