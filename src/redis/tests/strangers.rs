//! A whole connection before whoever connects: any bytes, cut anywhere, with a client that reads, leaves, breaks off or never reads.
//! Time is the runtime's own and passes when nothing else is to be done, so that waiting for a slow client takes no time.
//!
//! What must hold, whatever comes: it does not panic; it ends when its client is gone; it never answers more than it was asked; what
//! it says is whole; what it keeps is bounded while it is there, and given back when it is gone.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex, split},
    runtime::Builder,
    time::{sleep, timeout},
};

use super::{fuzz::ROUNDS, local::Local};
use crate::redis::{
    connection::Connection,
    frames::{Bounds, Requests},
    pace::Turns,
    secret::Password,
    settings::Settings,
    state::{Ending, Shared},
};

/// What a key may hold.
const VALUE: usize = 4 << 10;
/// The most that one connection keeps: each request under way may ask for as many values as it has strings.
const KEPT_MAX: usize = PIPELINE * STRINGS * VALUE;
const PIPELINE: usize = 32;
const STRINGS: usize = 128;
/// Longer than the connection waits for anything.
const LONG: Duration = Duration::from_secs(30);

fn settings() -> Settings {
    let patience = Duration::from_secs(3);
    Settings {
        connections: 1,
        request: Bounds { strings: STRINGS, string: 8 << 10, bytes: 32 << 10 },
        stranger: Bounds { strings: 16, string: 512, bytes: 2 << 10 },
        password: None,
        pipeline: PIPELINE,
        unread: 64 << 10,
        kept: 256 << 10,
        arrival: patience,
        stall: patience,
        last_stall: patience,
        introduction: patience,
        farewell: patience,
    }
}

/// How a client behaves: its first two bytes say so, the rest is what it writes.
#[derive(Clone, Copy, Debug)]
struct Manner {
    end: End,
    has_password: bool,
    /// Some of the calls that it leads to come to nothing.
    nodes_fail: bool,
    /// The server stops when half was written.
    is_stopped: bool,
    /// It takes a while between two pieces.
    is_slow: bool,
    /// Between the two are so few bytes of room.
    room: usize,
    /// What the sizes of its pieces are made from; 0: it writes all at once.
    pieces: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It waits for all that there is to hear.
    Patient,
    /// It says that it is through when it has written all, and hears the rest.
    Through,
    /// It breaks off when it has written half.
    BreaksOff,
    /// It never reads.
    NeverReads,
}

impl Manner {
    fn of(first: u8, second: u8) -> Self {
        let end = [End::Patient, End::Through, End::BreaksOff, End::NeverReads][usize::from(first % 4)];
        let is = |bit: u8| first >> bit & 1 == 1;
        Self {
            end,
            has_password: is(2),
            nodes_fail: is(3),
            is_stopped: is(4),
            is_slow: is(5),
            room: if is(6) { 64 } else { 64 << 10 },
            pieces: usize::from(second),
        }
    }

    /// What it writes, in pieces.
    fn cut(self, mut bytes: &[u8]) -> Vec<&[u8]> {
        let mut pieces = Vec::new();
        while !bytes.is_empty() {
            let size = if self.pieces == 0 { bytes.len() } else { 1 + self.pieces * (pieces.len() + 1) % 97 };
            let (piece, rest) = bytes.split_at(size.min(bytes.len()));
            pieces.push(piece);
            bytes = rest;
        }
        pieces
    }
}

#[test]
fn whole_connections_of_whoever_connects_do_no_harm() {
    let seen = AtomicUsize::new(0);
    bolero::check!().with_iterations(ROUNDS).for_each(|bytes| {
        seen.fetch_add(1, Ordering::Relaxed);
        if let [first, second, bytes @ ..] = bytes {
            visit(Manner::of(*first, *second), bytes);
        }
    });
    assert!(seen.into_inner() > ROUNDS, "the corpus was not found");
}

fn visit(manner: Manner, bytes: &[u8]) {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    let heard = runtime.block_on(served(manner, bytes));
    let (replies, rest) = replies(&heard);
    let asked = Asked::of(bytes);
    assert!(replies <= asked.replies_max + 1, "{replies} replies to {asked:?}");
    if matches!(manner.end, End::Patient | End::Through) {
        assert_eq!(rest, 0, "a reply that is not whole: {}", heard.escape_ascii());
    }
    let nothing_ends_it =
        !(manner.has_password || manner.nodes_fail || manner.is_stopped || manner.is_slow || asked.ends);
    if manner.end == End::Patient && nothing_ends_it {
        assert!(replies >= asked.requests, "{replies} replies to {asked:?}");
    }
}

/// One client and the connection that serves it, to the end of both; what the client heard.
async fn served(manner: Manner, bytes: &[u8]) -> Vec<u8> {
    let password = manner.has_password.then(|| Password::new(b"open sesame"));
    let shared = Arc::new(Shared::new(Settings { password, ..settings() }, 0));
    shared.open(Local::new(VALUE, if manner.nodes_fail { 3 } else { 0 }));
    let (theirs, ours) = duplex(manner.room);
    let ending = shared.ending.subscribe();
    let from = SocketAddr::from(([127, 0, 0, 1], 1));
    let serving = tokio::spawn(Connection::new(Arc::clone(&shared), from, 1, Turns::default()).serve(ours, ending));
    let heard = timeout(LONG * 1_000, client(manner, bytes, theirs, &shared)).await.expect("nobody waits for ever");
    timeout(LONG, serving).await.expect("it ends when its client is gone").expect("no panic");
    assert_eq!(shared.kept.load(Ordering::Relaxed), 0, "what it kept is given back");
    heard
}

async fn client(manner: Manner, bytes: &[u8], stream: DuplexStream, shared: &Shared<Local>) -> Vec<u8> {
    let mut heard = Vec::new();
    let (mut from, mut to) = split(stream);
    let writing = async {
        let pieces = manner.cut(bytes);
        let half = pieces.len() / 2;
        for (at, piece) in pieces.into_iter().enumerate() {
            if at == half && manner.is_stopped {
                shared.ending.send_replace(Ending::Now);
            }
            if at == half && manner.end == End::BreaksOff {
                return;
            }
            // Whoever is not read from any more has been given up.
            if !matches!(timeout(LONG, to.write_all(piece)).await, Ok(Ok(()))) {
                break;
            }
            if manner.is_slow {
                sleep(Duration::from_millis(400)).await;
            }
            let kept = shared.kept.load(Ordering::Relaxed);
            assert!(kept <= KEPT_MAX, "{kept} bytes are kept");
        }
        if manner.end != End::Through {
            sleep(LONG).await;
        }
        let kept = shared.kept.load(Ordering::Relaxed);
        assert!(kept <= KEPT_MAX, "{kept} bytes are kept");
        // It may be closed already.
        let _ = to.shutdown().await;
    };
    match manner.end {
        End::NeverReads => writing.await,
        End::BreaksOff => tokio::select! {
            () = writing => {}
            _ = from.read_to_end(&mut heard) => {}
        },
        End::Patient | End::Through => {
            let (_, read) = tokio::join!(writing, from.read_to_end(&mut heard));
            read.expect("memory does not fail");
        }
    }
    heard
}

/// What these bytes ask for, as far as they are requests.
#[derive(Debug, Default)]
struct Asked {
    requests: usize,
    /// Some are answered more than once: each channel is.
    replies_max: usize,
    /// Something in it ends the connection.
    ends: bool,
}

impl Asked {
    fn of(bytes: &[u8]) -> Self {
        let mut asked = Self::default();
        let mut channels = 0;
        let mut requests = Requests::default();
        requests.buffer().extend_from_slice(bytes);
        loop {
            let strings = match requests.next(&settings().request) {
                Ok(Some(strings)) => strings,
                Ok(None) => return asked,
                Err(_) => {
                    asked.ends = true;
                    return asked;
                }
            };
            asked.requests += 1;
            let word = strings[0].to_ascii_lowercase();
            asked.ends |= matches!(&word[..], b"quit" | b"post" | b"host:");
            asked.replies_max += match &word[..] {
                b"subscribe" | b"psubscribe" => {
                    channels += strings.len();
                    strings.len()
                }
                b"unsubscribe" | b"punsubscribe" => strings.len() + channels,
                _ => 1,
            };
        }
    }
}

/// How many replies these bytes are, and how many bytes are left of one that is not whole.
fn replies(mut bytes: &[u8]) -> (usize, usize) {
    let mut count = 0;
    while let Some(taken) = whole(bytes) {
        bytes = &bytes[taken..];
        count += 1;
    }
    (count, bytes.len())
}

/// How long the first reply is; `None`: it is not whole.
fn whole(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(2).position(|two| two == b"\r\n")? + 2;
    let line = std::str::from_utf8(&bytes[1..end - 2]);
    let count = || -> i64 { line.ok().and_then(|line| line.parse().ok()).expect("a count") };
    let several = |count: i64| (0..count).try_fold(end, |at, _| Some(at + whole(&bytes[at..])?));
    match bytes[0] {
        b'+' | b'-' | b':' | b'_' => Some(end),
        b'$' | b'=' => match usize::try_from(count()) {
            Ok(length) => bytes.get(end..end + length + 2).map(|_| end + length + 2),
            Err(_) => Some(end),
        },
        b'*' | b'>' => several(count()),
        b'%' => several(2 * count()),
        other => panic!("no reply begins with {}", other.escape_ascii()),
    }
}

#[test]
fn replies_are_counted_whatever_they_hold_and_one_that_is_cut_is_none() {
    let all = b"+OK\r\n$3\r\na\r\n\r\n*2\r\n:1\r\n$-1\r\n%1\r\n+k\r\n_\r\n*-1\r\n>1\r\n=5\r\ntxt:x\r\n";
    assert_eq!(replies(all), (6, 0));
    for cut in 1..11 {
        assert_eq!(replies(&all[..all.len() - cut]).0, 5, "{cut} bytes less");
    }
}
