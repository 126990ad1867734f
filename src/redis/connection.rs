//! `Connection`: one client's requests, begun in the order of their coming, and its replies, in the same order.
//!
//! What arrives together is begun together, so a pipeline is as many calls as it has keys, all under way at once, and what comes to
//! one key is one commit. On one key nothing overtakes; between keys no order is kept but that of the replies.
//!
//! It is one task: it reads, writes and waits for calls in one place, so that a client that writes much before it reads is no
//! deadlock. What it keeps is bounded by `Settings`.

mod beginning;

use std::{
    collections::{HashMap, VecDeque},
    fmt::Display,
    future::Future,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::{Buf as _, BytesMut};
use foldhash::quality::RandomState;
use futures_util::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::watch,
    time::{MissedTickBehavior, interval, timeout},
};

use super::{
    alone::Over,
    client::Client,
    commands::Request,
    door::{Calls, Came, Door},
    frames::{Reply, Requests},
    line::{Line, Settled},
    pace::{Turn, Turns},
    slow::{Cut, LOOK, Sight, Slow},
    state::{Ending, Shared},
    units::{Begun, Done},
};
use crate::{Readiness, session::SessionId};

/// What is read at once.
const READ: usize = 16 << 10;
/// Replies are written together up to about this; larger ones share their bytes until their turn comes.
const WRITTEN: usize = 256 << 10;
/// What a connection may keep beside all others' share, and what is read ahead while it waits for its own calls.
const SMALL: usize = 64 << 10;
/// What is still read of a client that is closed, so that it comes to read what it was told: closed at once while it writes, it would
/// find a reset instead.
const HEARD_OUT: (u64, Duration) = (64 << 20, Duration::from_secs(2));
/// Calls of one connection under way at once where there is little room.
const FEW: usize = 16;
/// The same before it is known how much is told.
const FIRST: usize = 64;

type Under<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// One connection.
pub(super) struct Connection<D: Door> {
    shared: Arc<Shared<D>>,
    /// Where the client is.
    from: SocketAddr,
    /// It came when the node was about to leave.
    is_late: bool,
    client: Client,
    requests: Requests,
    /// One that was read and cannot be begun yet.
    held: Option<Request>,
    line: Line,
    out: BytesMut,
    /// Calls to keys; there are none before the node serves.
    calls: Option<D::Calls>,
    /// What they are, by their numbers, from `first` on; nothing for those that have come.
    begun: VecDeque<Option<Begun>>,
    first: u64,
    /// What is done one thing after the other.
    in_turn: FuturesUnordered<Under<Done>>,
    /// Keys of what is under way.
    busy: HashMap<SessionId, Busy, RandomState>,
    /// How many things they were asked that may tell much.
    asked: usize,
    /// Requests are begun in rounds: what of one round comes to one key is one unit.
    round: u64,
    came: Vec<(u64, Came)>,
    /// The largest thing that a key has told lately, in bytes. Nobody knows beforehand; what is asked for at once grows while little is
    /// told.
    largest: usize,
    /// What needs the connection for itself, and its number in the line.
    alone: Option<(u64, Under<Over>)>,
    /// No more is read, and none of what was.
    closes: bool,
    /// The client says no more: what it has said is done, and then no more is read.
    has_ended: bool,
    /// The node stops.
    stops: bool,
    /// It had nothing to say when that began.
    is_quiet: bool,
    /// How much of what all connections keep together is counted as this one's.
    kept: usize,
    slow: Slow,
    turn: Turn,
}

/// A key of something that is under way.
#[derive(Clone, Copy, Debug)]
struct Busy {
    round: u64,
    /// Which of the round's units.
    unit: usize,
    /// How many things it was asked that may tell much.
    asked: usize,
}

impl<D: Door> Connection<D> {
    pub(super) fn new(shared: Arc<Shared<D>>, from: SocketAddr, id: i64, turns: Turns) -> Self {
        let client = Client::new(id, shared.settings.password.as_ref());
        let largest = shared.settings.unread / FIRST;
        let is_late = *shared.ending.borrow() != Ending::NotYet || shared.readiness() == Readiness::Draining;
        Self {
            shared,
            from,
            is_late,
            client,
            requests: Requests::default(),
            held: None,
            line: Line::default(),
            out: BytesMut::new(),
            calls: None,
            begun: VecDeque::new(),
            first: 0,
            in_turn: FuturesUnordered::new(),
            busy: HashMap::default(),
            asked: 0,
            round: 0,
            came: Vec::new(),
            largest,
            alone: None,
            closes: false,
            has_ended: false,
            stops: false,
            is_quiet: false,
            kept: 0,
            slow: Slow::default(),
            turn: Turn::new(turns),
        }
    }

    /// Serves it until one side has enough.
    pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
        mut self,
        stream: S,
        mut ending: watch::Receiver<Ending>,
    ) {
        let (mut read, mut write) = tokio::io::split(stream);
        let mut stopping = pin!(async move { ending.wait_for(|ending| *ending == Ending::Now).await.map(drop) });
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_cut_short = self.begin();
            if self.line.settle(&mut self.out, WRITTEN) == Settled::Closed {
                break;
            }
            // Mostly the client takes at once what there is.
            if !self.out.is_empty()
                && let Some(written) = write.write(&self.out).now_or_never()
                && !self.wrote(written)
            {
                return;
            }
            self.count();
            if self.closes && self.is_idle() {
                break;
            }
            // What was answered at once has made room for more of what has arrived; no news will come of that.
            if (self.out.is_empty() && self.line.is_ready()) || (is_cut_short && self.has_room()) {
                continue;
            }
            self.slow.is_whole(self.requests.len() == 0 || !self.is_idle());
            let may_read = self.may_read();
            tokio::select! {
                biased;
                () = next(&mut self.calls, &mut self.came), if !self.begun.is_empty() => self.take_came(),
                () = self.turn.comes(), if self.turn.waits() => {}
                Some(done) = self.in_turn.next(), if !self.in_turn.is_empty() => self.done(done),
                over = wait_for(&mut self.alone), if self.alone.is_some() => self.over(over),
                written = write.write(&self.out), if !self.out.is_empty() => if !self.wrote(written) {
                    return;
                },
                arrived = read.read_buf(self.requests.buffer()), if may_read => match arrived {
                    Ok(1..) => {}
                    Ok(0) => self.has_ended = true,
                    Err(_) => return,
                },
                _ = &mut stopping, if !self.stops => {
                    self.is_quiet = self.is_idle() && self.out.is_empty() && self.requests.len() == 0;
                    (self.stops, self.closes) = (true, true);
                }
                _ = look.tick() => if self.is_too_slow() {
                    return;
                },
            }
        }
        while !self.out.is_empty() {
            let Ok(written) = timeout(self.stall(), write.write(&self.out)).await else {
                return self.complain(Cut::Unread);
            };
            if !self.wrote(written) {
                return;
            }
        }
        if timeout(self.stall(), write.shutdown()).await.is_ok_and(|shut| shut.is_ok())
            && !(self.has_ended || self.is_quiet)
        {
            let (most, patience) = HEARD_OUT;
            let heard_out = timeout(patience, tokio::io::copy(&mut read.take(most), &mut tokio::io::sink())).await;
            if heard_out.is_err() && self.stops {
                self.complain(Cut::Unheard);
            }
        }
    }

    /// So much was written; whether the connection is still of use.
    fn wrote(&mut self, written: io::Result<usize>) -> bool {
        match written {
            Ok(written @ 1..) => {
                self.out.advance(written);
                self.slow.took();
                true
            }
            Ok(0) | Err(_) => false,
        }
    }

    /// Looks after what takes too long, once in each `LOOK`; whether the client is not even worth a word.
    fn is_too_slow(&mut self) -> bool {
        let seen = Sight {
            arrived: self.requests.len(),
            held_up: self.is_full(),
            unread: !self.out.is_empty(),
            known: self.client.is_known(),
            stall: self.stall(),
        };
        let Some(cut) = self.slow.look(seen, &self.shared.settings) else { return false };
        self.complain(cut);
        let Some(words) = cut.words() else { return true };
        self.line.last(self.client.protocol, Reply::error(words));
        false
    }

    fn complain(&self, why: impl Display) {
        self.shared.complaints.complain(self.from, why, self.shared.now());
    }

    /// What the node is doing, as far as it concerns this client: who came before the node drained stays to the end.
    fn readiness(&self) -> Readiness {
        match self.shared.readiness() {
            Readiness::Draining if !self.is_late => Readiness::Serving,
            // A node whose drain came to nothing serves on, unless its program ends.
            Readiness::Serving if self.is_late && *self.shared.ending.borrow() != Ending::NotYet => Readiness::Draining,
            other => other,
        }
    }

    /// How long its client may leave what is written to it.
    fn stall(&self) -> Duration {
        if self.stops { self.shared.settings.last_stall } else { self.shared.settings.stall }
    }

    /// Whether nothing of it is under way.
    fn is_idle(&self) -> bool {
        self.line.is_empty() && self.held.is_none()
    }

    /// Whether all connections keep as much as they may, this one more than a small share.
    fn is_full(&self) -> bool {
        self.shared.kept.load(Ordering::Relaxed) > self.shared.settings.kept && self.kept > 0
    }

    fn may_read(&mut self) -> bool {
        let waits = self.held.is_some() || !self.has_room();
        if self.closes
            || self.has_ended
            || self.is_full()
            || self.turn.waits()
            || (waits && self.requests.len() > SMALL)
            || self.out.len() > self.shared.settings.unread
        {
            return false;
        }
        let buffer = self.requests.buffer();
        // An empty one begins anew where it began before, which is nearer than what lies behind.
        let least = if buffer.is_empty() { READ } else { READ / 4 };
        if buffer.capacity() - buffer.len() < least {
            buffer.reserve(READ);
        }
        true
    }

    /// Counts what it keeps beyond a small share.
    fn count(&mut self) {
        let keeps = (self.requests.len() + self.out.len() + self.line.bytes()).saturating_sub(SMALL);
        if keeps > self.kept {
            self.shared.kept.fetch_add(keeps - self.kept, Ordering::Relaxed);
        } else if keeps < self.kept {
            self.shared.kept.fetch_sub(self.kept - keeps, Ordering::Relaxed);
        }
        self.kept = keeps;
    }

    /// Calls have come.
    fn take_came(&mut self) {
        let mut all = std::mem::take(&mut self.came);
        self.turn.came(all.len());
        for (number, came) in all.drain(..) {
            let at = number.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
            let Some(begun) = at.and_then(|at| self.begun.get_mut(at)?.take()) else { continue };
            match begun.came(came) {
                Ok(done) => self.done(done),
                Err(unit) => {
                    if let Some(door) = self.shared.door() {
                        self.in_turn.push(Box::pin(unit.in_turn(door)));
                    }
                }
            }
        }
        self.came = all;
        while let Some(None) = self.begun.front() {
            self.begun.pop_front();
            self.first += 1;
        }
    }

    fn done(&mut self, Done { id, told }: Done) {
        if let Some(Busy { asked: asked @ 1.., .. }) = self.busy.remove(&id) {
            self.asked -= asked;
            let sizes = told.iter().filter_map(|(_, came)| Some(came.as_ref().ok()?.as_ref().ok()?.size()));
            // Less by a part with each that tells less: after some hundred of these it is forgotten.
            self.largest = sizes.max().unwrap_or(0).max(self.largest - self.largest / 32);
        }
        for (place, came) in told {
            self.line.came(place, came);
        }
    }

    fn over(&mut self, (number, over): (u64, Over)) {
        self.alone = None;
        let Over { mut reply, beside, watched, written } = over;
        written.into_iter().for_each(|arc| self.client.wrote(arc));
        if let Ok(Reply::List(replies)) = &mut reply {
            self.answer_beside(beside, replies);
        }
        let reply = match reply {
            Ok(_) if !watched.is_empty() => Ok(self.client.watch(watched)),
            reply => reply,
        };
        self.line.answer(number, reply);
    }
}

impl<D: Door> Drop for Connection<D> {
    fn drop(&mut self) {
        self.shared.kept.fetch_sub(self.kept, Ordering::Relaxed);
    }
}

async fn next(calls: &mut Option<impl Calls>, came: &mut Vec<(u64, Came)>) {
    match calls {
        Some(calls) => calls.next(came).await,
        None => std::future::pending().await,
    }
}

async fn wait_for(alone: &mut Option<(u64, Under<Over>)>) -> (u64, Over) {
    match alone {
        Some((number, over)) => (*number, over.await),
        None => std::future::pending().await,
    }
}
