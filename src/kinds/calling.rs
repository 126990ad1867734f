//! Running a command, or several of one name, on one session: user code, then what of the session is new as bytes.
//!
//! Several are run one after the other, each finding what those before it did; the first that fails fails them all, and what
//! they changed is one change. It catches no panic: that is for `TypedKind::run`.

use super::{
    Change, Failure, LiveSession, Occasion, Payload, Stored,
    command::{Does, Fault, REPLY_SLACK, touched},
    live::weight,
    typed::{Done, TypedKind, new_image},
};
use crate::{blob::Blob, replication::Events, session::Session, wire::codec};

impl<S: Session> TypedKind<S> {
    pub(super) fn call(
        &self,
        live: &mut LiveSession,
        stored: &Stored<'_>,
        (command, payload, may_create): (&str, Payload<'_>, bool),
        occasion: &Occasion<'_>,
    ) -> Result<Done, Fault> {
        let does = self.does.get(command).filter(|does| !matches!(does, Does::Answer(_)));
        let does = does.ok_or_else(|| Failure::NoSuchCommand { command: command.to_owned() })?;
        let value_max = occasion.value_max;
        let mut cx = Self::context(stored, occasion);
        let session = match stored.image {
            Some(_) => self.recall(live, stored, &mut Self::context(stored, occasion)).map_err(touched)?,
            None if may_create => Self::imagine(live, occasion)?,
            None => return Err(Failure::NoSuchSession.into()),
        };
        let (change, reply) = match does {
            Does::Handle(handle) => {
                let reply = payload.each(value_max, |body| {
                    cx.begin();
                    handle(session, body, &mut cx, value_max)
                })?;
                if cx.has_ended() {
                    return Ok((gone(stored), reply, None));
                }
                let image = new_image(session, stored, occasion).map_err(touched)?;
                let unchanged = stored.events.is_empty()
                    && stored.state_version == S::VERSION
                    && stored.image.is_some_and(|stored| *stored == image);
                if unchanged {
                    (Change::None, reply)
                } else {
                    live.is_image(&image, S::VERSION);
                    (Change::Image { bytes: image, state_version: S::VERSION }, reply)
                }
            }
            Does::Decide(decide) => {
                let mut events = Events::new();
                let mut left = value_max;
                let reply = payload.each(value_max, |body| {
                    cx.begin();
                    let decided = decide(session, body, &mut cx, value_max)?;
                    let bytes = decided.events.iter().map(|event| event.len()).sum();
                    left = left.checked_sub(bytes).ok_or_else(|| touched(Failure::TooLarge { limit: value_max }))?;
                    if events.is_empty() {
                        events = decided.events;
                    } else {
                        events.extend(decided.events);
                    }
                    Ok(decided.reply)
                })?;
                if cx.has_ended() {
                    return Ok((gone(stored), reply, None));
                }
                if events.is_empty() {
                    (Change::None, reply)
                } else {
                    (Self::keep(live, stored, events, occasion).map_err(touched)?, reply)
                }
            }
            Does::Answer(_) => unreachable!("filtered out above"),
        };
        live.plan(cx.take_tasks());
        Ok((change, reply, cx.set_lifespan()))
    }

    /// What to store of events that the object has in it already.
    fn keep(
        live: &mut LiveSession,
        stored: &Stored<'_>,
        events: Events,
        occasion: &Occasion<'_>,
    ) -> Result<Change, Failure> {
        let since_image: usize = events.iter().map(weight).sum();
        // A fresh image as soon as the events outweigh the last one: what is kept and what is replayed stays within twice the
        // state, and the image's cost is spread over events that weigh as much.
        let due = stored.state_version != S::VERSION
            || stored.image.is_none_or(|image| live.events_weight() + since_image > image.len());
        let image = if due {
            let session = live.object::<S>().expect("it was there a moment ago");
            let image = new_image(session, stored, occasion)?;
            live.is_image(&image, S::VERSION);
            Some(image)
        } else {
            live.gained(&events);
            None
        };
        Ok(Change::Events { bytes: events, image, state_version: S::VERSION })
    }
}

/// What a command that ends its session changes: nothing, where there was none.
const fn gone(stored: &Stored<'_>) -> Change {
    if stored.image.is_some() { Change::Deleted } else { Change::None }
}

impl Payload<'_> {
    /// Runs each body. What one of several changed before a later one failed makes that failure one that touched the object.
    pub(super) fn each(
        self,
        value_max: usize,
        mut run: impl FnMut(&Blob) -> Result<Blob, Fault>,
    ) -> Result<Blob, Fault> {
        let bodies = match self {
            Self::One(body) => return run(body),
            Self::Many(bodies) => bodies,
        };
        let reply_max = value_max.saturating_add(REPLY_SLACK);
        let mut replies = Vec::with_capacity(bodies.len());
        let mut bytes = 0_usize;
        for body in bodies {
            let reply = run(body).map_err(|fault| Fault { touched: fault.touched || !replies.is_empty(), ..fault })?;
            bytes += reply.len();
            if bytes > reply_max {
                return Err(touched(Failure::TooLarge { limit: value_max }));
            }
            replies.push(reply);
        }
        // Replies stay wrapped up: a list of values would nest each one level deeper than it may be.
        codec::encode_named(&replies, usize::MAX).map_err(|fault| touched(Failure::of_output("reply", fault)))
    }
}
