//! `Stream`: a client that puts one document after another into one session, each under an `Idempotency-Key`, and goes on at
//! the next node under the same key when one does not answer well.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::{
    http::{self, Answer},
    ring::{Ring, wait_for},
};

/// So many of the newest replies the session is asked to remember; below what it may (64).
pub(crate) const REMEMBERED: u64 = 50;
/// Between a bad answer and the next attempt.
const PAUSE: Duration = Duration::from_millis(5);

/// What the stream has come to.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// The version of each acknowledged put, in order.
    pub(crate) versions: Vec<u64>,
    /// Answers and errors after which it went on at another node.
    pub(crate) troubles: Vec<String>,
}

/// A thread that puts until it is ended.
pub(crate) struct Stream {
    id: String,
    client: u128,
    told: Arc<Mutex<Told>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

fn put(address: SocketAddr, id: &str, client: u128, sequence: u64) -> Result<Answer, std::io::Error> {
    let key = format!("{client:032x}/{sequence}/{}", sequence.saturating_sub(REMEMBERED));
    let document = format!("{{\"n\":{sequence}}}");
    http::ask(address, "PUT", &http::session(id), &[("idempotency-key", &key)], &document)
}

impl Stream {
    /// Begins at the first of these nodes.
    pub(crate) fn begin(ring: &Ring, names: &[&str], id: &str) -> Self {
        let nodes: Vec<SocketAddr> = names.iter().map(|name| ring.http(name)).collect();
        let told = Arc::new(Mutex::new(Told::default()));
        let stop = Arc::new(AtomicBool::new(false));
        static STREAMS: AtomicU64 = AtomicU64::new(0);
        let client = u128::from(STREAMS.fetch_add(1, Ordering::Relaxed)) << 64 | u128::from(std::process::id());
        let (noting, stopped, session) = (Arc::clone(&told), Arc::clone(&stop), id.to_owned());
        let thread = thread::spawn(move || {
            let mut at = 0;
            for sequence in 1.. {
                loop {
                    if stopped.load(Ordering::Relaxed) {
                        return;
                    }
                    let answer = put(nodes[at], &session, client, sequence);
                    let mut told = noting.lock().expect("unpoisoned");
                    match answer {
                        Ok(answer) if answer.status / 100 == 2 => {
                            told.versions.push(answer.version());
                            break;
                        }
                        other => told.troubles.push(format!("put {sequence} at {}: {other:?}", nodes[at])),
                    }
                    drop(told);
                    at = (at + 1) % nodes.len();
                    thread::sleep(PAUSE);
                }
            }
        });
        let stream = Self { id: id.to_owned(), client, told, stop, thread: Some(thread) };
        stream.wait_more(1);
        stream
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().expect("unpoisoned")
    }

    pub(crate) fn acknowledged(&self) -> usize {
        self.told().versions.len()
    }

    /// Waits until so many more puts were acknowledged.
    pub(crate) fn wait_more(&self, puts: usize) {
        let goal = self.acknowledged() + puts;
        wait_for(&format!("{puts} more acknowledged puts"), || (self.acknowledged() >= goal).then_some(()));
    }

    /// Sends an acknowledged put once more.
    pub(crate) fn put_again(&self, ring: &Ring, name: &str, sequence: u64) -> Answer {
        put(ring.http(name), &self.id, self.client, sequence).expect("an answer")
    }

    /// Ends it after the put that is under way, unless that put never succeeds.
    pub(crate) fn end(&mut self) -> Told {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the stream's own thread");
        }
        std::mem::take(&mut *self.told())
    }

    /// Ends it; panics if any put needed a second attempt.
    pub(crate) fn end_untroubled(mut self) -> usize {
        let told = self.end();
        assert!(told.troubles.is_empty(), "{:#?}", told.troubles);
        told.versions.len()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
