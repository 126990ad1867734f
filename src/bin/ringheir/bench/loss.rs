//! `Loss`: a process is killed under callers that go on, and what they and this process see of it.
//!
//! Every caller has one session and one call at a time; a call that fails is made again at once, and its wait counts from the
//! first attempt. The callers are told of the signal: each calls at that moment, unless a call of its is under way.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hdrhistogram::Histogram;
use ringheir::{CallOptions, EventKind, SessionRef, id::NodeId, moment::Moment};
use serde_bytes::ByteBuf;
use tokio::{sync::watch, task::JoinSet};

use super::{
    ring::{Ring, within},
    sessions::{Latest, Note},
    tally::Tally,
    usage::resident_of,
};
use crate::clock::Clock;

/// Before the signal, callers have called for so long.
const BEFORE: Duration = Duration::from_millis(300);
/// A session that nobody serves after this was lost.
const SERVED_WITHIN: Duration = Duration::from_secs(20);

/// Who goes on calling.
pub(super) struct Callers {
    /// Sessions that the lost node serves, each with a caller.
    pub(super) lost: Vec<SessionRef<Latest>>,
    /// Sessions of others, each with a caller.
    pub(super) others: Vec<SessionRef<Latest>>,
    /// From an answer to the next call.
    pub(super) pause: Duration,
    /// Bytes of each event.
    pub(super) bytes: usize,
}

/// What was seen. All durations count from the signal.
pub(super) struct Loss {
    /// Until this process noticed: a link closed, a silence, a proof.
    pub(super) noticed: Option<Duration>,
    /// Until the kernel had taken the process down, its memory included.
    pub(super) gone: Duration,
    /// Until this process had the view without the lost node.
    pub(super) decided: Duration,
    /// Until every arc had a backup again, if that was waited for.
    pub(super) protected: Option<Duration>,
    /// For each session of the lost node, until its first answer by another.
    pub(super) served: Vec<Duration>,
    /// For each of them, the longest wait of a call that ended after the signal.
    pub(super) longest: Vec<Duration>,
    /// The longest such wait of all other sessions.
    pub(super) longest_of_others: Duration,
    /// Calls acknowledged from the signal until every arc had a backup again, in microseconds of wait.
    pub(super) waits: Histogram<u64>,
    /// Calls that failed and were made again.
    pub(super) failed: u64,
    /// Memory of the lost process just before.
    pub(super) resident: u64,
}

#[derive(Clone, Copy)]
struct Signal {
    at: Moment,
    to: NodeId,
}

#[derive(Clone)]
struct Common {
    clock: Clock,
    signal: watch::Receiver<Option<Signal>>,
    protected: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    waits: Arc<Tally>,
    pause: Duration,
    bytes: usize,
}

#[derive(Default)]
struct Seen {
    served: Option<Duration>,
    longest: Duration,
    failed: u64,
}

impl Loss {
    /// Kills the process of a name. `patience` is for the copies; without it, nobody is there to get any.
    pub(super) async fn of(
        ring: &mut Ring,
        name: &str,
        callers: Callers,
        patience: Option<Duration>,
    ) -> Result<Self, String> {
        let clock = Clock::start();
        let lost = ring.id_of(name)?;
        let resident = resident_of(ring.pid(name)?).unwrap_or(0);
        let (signalled, signal) = watch::channel(None);
        let common = Common {
            clock,
            signal,
            protected: Arc::default(),
            stop: Arc::default(),
            waits: Arc::new(Tally::new()?),
            pause: callers.pause,
            bytes: callers.bytes,
        };
        let start = |sessions: Vec<SessionRef<Latest>>| {
            let mut calling = JoinSet::new();
            for (number, session) in sessions.into_iter().enumerate() {
                calling.spawn(go_on(common.clone(), number, session));
            }
            calling
        };
        let (of_lost, of_others) = (start(callers.lost), start(callers.others));
        tokio::time::sleep(BEFORE).await;

        let node = ring.node()?.clone();
        let (mut events, mut views) = (node.events(), node.views());
        let noticing = tokio::spawn(async move {
            loop {
                let event = events.recv().await?;
                let (EventKind::PeerDown { node } | EventKind::Suspected { node } | EventKind::ProvedDead { node }) =
                    event.what
                else {
                    continue;
                };
                if node == lost {
                    return Some(clock.now());
                }
            }
        });
        let at = clock.now();
        let going = ring.kill(name)?;
        let going = tokio::spawn(async move {
            going.await;
            clock.now()
        });
        signalled.send_replace(Some(Signal { at, to: lost }));
        let without = views.wait_for(|view| view.as_ref().is_some_and(|view| !view.is_member(lost)));
        within(SERVED_WITHIN, "a view without the lost node", without).await?.map_err(|why| why.to_string())?;
        let decided = clock.now().since(at);
        let mut protected = None;
        if let Some(patience) = patience {
            ring.protected(patience).await?;
            protected = Some(clock.now().since(at));
        }
        common.protected.store(true, Ordering::Relaxed);
        let gone = within(SERVED_WITHIN, "the end of the process", going).await?.map_err(|why| why.to_string())?;

        common.stop.store(true, Ordering::Relaxed);
        let of_lost = within(SERVED_WITHIN, "the callers", of_lost.join_all()).await?;
        let of_others = within(SERVED_WITHIN, "the callers", of_others.join_all()).await?;
        noticing.abort();
        let noticed = noticing.await.ok().flatten().map(|noticed| noticed.since(at));
        let served: Vec<Duration> = of_lost.iter().filter_map(|seen| seen.served).collect();
        if served.len() < of_lost.len() {
            return Err(format!("{} sessions are not served again", of_lost.len() - served.len()));
        }
        Ok(Self {
            noticed,
            gone: gone.since(at),
            decided,
            protected,
            served,
            longest: of_lost.iter().map(|seen| seen.longest).collect(),
            longest_of_others: of_others.iter().map(|seen| seen.longest).max().unwrap_or_default(),
            waits: common.waits.sum()?,
            failed: of_lost.iter().chain(&of_others).map(|seen| seen.failed).sum(),
            resident,
        })
    }
}

/// One caller, until it is told to stop and, if its session was lost, was answered by another node.
async fn go_on(mut common: Common, number: usize, session: SessionRef<Latest>) -> Seen {
    let mut seen = Seen::default();
    loop {
        let began = common.clock.now();
        let answered = loop {
            let note = Note(ByteBuf::from(vec![9; common.bytes]));
            match session.call_with(note, CallOptions::new()).await {
                Ok(answered) => break answered,
                Err(_) if common.clock.now().since(began) > SERVED_WITHIN => return seen,
                Err(_) => {
                    seen.failed += 1;
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        };
        let now = common.clock.now();
        let signal = *common.signal.borrow_and_update();
        if let Some(signal) = signal.filter(|signal| now > signal.at) {
            let waited = now.since(began);
            seen.longest = seen.longest.max(waited);
            if answered.node != signal.to {
                seen.served.get_or_insert(now.since(signal.at));
            }
            if !common.protected.load(Ordering::Relaxed) {
                common.waits.count(number, waited);
            }
            if seen.served.is_some() && common.stop.load(Ordering::Relaxed) {
                return seen;
            }
        }
        if signal.is_some() {
            tokio::time::sleep(common.pause).await;
        } else {
            // The signal ends the pause.
            let _ = tokio::time::timeout(common.pause, common.signal.changed()).await;
        }
    }
}
