//! `Client`: one connection that writes, is answered, and writes again; when it breaks, the next one.
//!
//! It repeats nothing: a write whose outcome nobody told is left so, and the next one is another. A client is told of the kill
//! only so that it takes new keys.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU16, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use ringheir::moment::Moment;
use tokio::time::{sleep, timeout};

use super::{
    ledger::{Ledger, Write},
    talk::{Doors, Reply, Talk, command},
};
use crate::clock::Clock;

/// Longer than any server lets a client wait, `WAIT` included.
const ANSWERED_WITHIN: Duration = Duration::from_secs(20);
/// From an attempt that failed, or a refusal, to the next.
const AGAIN: Duration = Duration::from_millis(10);
/// So long a client waits for the replica, in milliseconds.
const CONFIRMED_WITHIN_MS: &str = "1000";

/// How clients write.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// Writes sent at once, before their replies are read.
    pub(super) pipeline: usize,
    /// Each group ends with `WAIT 1`, and is acknowledged by that alone.
    pub(super) waits: bool,
}

/// What clients and who kills under them tell each other.
pub(super) struct Board {
    pub(super) clock: Clock,
    /// When the signal was sent; 0 before.
    signal: AtomicU64,
    pub(super) stop: AtomicBool,
    /// To which port each client writes.
    pub(super) doors: Vec<AtomicU16>,
    pub(super) acknowledged: AtomicU64,
    /// Clients of which a write that was begun after the signal is acknowledged.
    pub(super) again: AtomicUsize,
}

impl Board {
    /// For so many clients.
    pub(super) fn new(clients: usize) -> Self {
        Self {
            clock: Clock::start(),
            signal: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            doors: (0..clients).map(|_| AtomicU16::new(0)).collect(),
            acknowledged: AtomicU64::new(0),
            again: AtomicUsize::new(0),
        }
    }

    /// The signal was sent then.
    pub(super) fn signalled(&self, at: Moment) {
        self.signal.store(at.as_nanos(), Ordering::Release);
    }

    fn signal(&self) -> Option<Moment> {
        let at = self.signal.load(Ordering::Acquire);
        (at > 0).then(|| Moment::from_nanos(at))
    }
}

/// See the module.
pub(super) struct Client {
    pub(super) number: usize,
    pub(super) ledger: Ledger,
    /// Its longest time without an acknowledgement that ended after the signal, and what of it was after the signal.
    pub(super) pause: Duration,
    /// By the first word of a refusal.
    pub(super) refusals: BTreeMap<String, u64>,
    doors: Doors,
    manner: Manner,
    board: Arc<Board>,
    saw_signal: bool,
    last_acknowledged: Moment,
    again: bool,
}

impl Client {
    /// One that has not connected yet.
    pub(super) fn new(number: usize, tag: String, doors: Doors, manner: Manner, board: Arc<Board>) -> Self {
        Self {
            number,
            ledger: Ledger::new(tag),
            pause: Duration::ZERO,
            refusals: BTreeMap::new(),
            doors,
            manner,
            last_acknowledged: board.clock.now(),
            board,
            saw_signal: false,
            again: false,
        }
    }

    /// Writes until it is told to stop.
    pub(super) async fn run(mut self) -> Self {
        let mut turn = self.number;
        while !self.stops() {
            let Ok((door, mut talk)) = self.doors.open(turn).await else {
                turn += 1;
                sleep(AGAIN).await;
                continue;
            };
            self.board.doors[self.number].store(door, Ordering::Release);
            while !self.stops() && self.write(&mut talk).await {}
            turn += 1;
        }
        self
    }

    fn stops(&self) -> bool {
        self.board.stop.load(Ordering::Relaxed)
    }

    /// Writes one group; whether this connection is good for another.
    async fn write(&mut self, talk: &mut Talk) -> bool {
        if !self.saw_signal && self.board.signal().is_some() {
            self.saw_signal = true;
            self.ledger.take_new_keys();
        }
        let began = self.board.clock.now();
        let writes: Vec<Write> = (0..self.manner.pipeline).map(|_| self.ledger.next()).collect();
        let mut group: Vec<u8> = writes.iter().flat_map(|write| command(&self.ledger.words(*write))).collect();
        if self.manner.waits {
            group.extend(command(&["WAIT", "1", CONFIRMED_WITHIN_MS]));
        }
        let mut replies = Vec::new();
        let wanted = writes.len() + usize::from(self.manner.waits);
        let answered = async {
            talk.say(&group).await?;
            while replies.len() < wanted {
                replies.push(talk.reply().await?);
            }
            Ok::<(), std::io::Error>(())
        };
        let lives = matches!(timeout(ANSWERED_WITHIN, answered).await, Ok(Ok(())));
        let before = self.ledger.acknowledged;
        let refused = self.note(&writes, &replies);
        let more = self.ledger.acknowledged - before;
        if more > 0 {
            self.board.acknowledged.fetch_add(more, Ordering::Relaxed);
            self.note_progress(began);
        }
        let Some(refused) = refused else { return lives };
        sleep(AGAIN).await;
        // These pass; who says anything else is not whom to ask.
        lives && matches!(refused.as_str(), "TRYAGAIN" | "BUSY")
    }

    /// Notes what each write was told; how one of them was refused, if any was.
    fn note(&mut self, writes: &[Write], replies: &[Reply]) -> Option<String> {
        let confirmed = !self.manner.waits || matches!(replies.get(writes.len()), Some(Reply::Number(1..)));
        let mut refused = None;
        for (at, write) in writes.iter().enumerate() {
            match replies.get(at) {
                Some(Reply::Error(word)) => {
                    self.ledger.note_refused(*write);
                    *self.refusals.entry(word.clone()).or_default() += 1;
                    refused = Some(word.clone());
                }
                Some(Reply::Number(told)) if confirmed => self.ledger.note_acknowledged(*write, Some(*told)),
                Some(Reply::Status) if confirmed => self.ledger.note_acknowledged(*write, None),
                _ => self.ledger.note_unknown(*write),
            }
        }
        refused
    }

    /// A write that was begun then is acknowledged now.
    fn note_progress(&mut self, began: Moment) {
        let now = self.board.clock.now();
        if let Some(signal) = self.board.signal().filter(|signal| now > *signal) {
            self.pause = self.pause.max(now.since(self.last_acknowledged.max(signal)));
            if began >= signal && !self.again {
                self.again = true;
                self.board.again.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.last_acknowledged = now;
    }
}
