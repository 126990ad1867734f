//! `Kill`: servers under load, the primary among them killed, and what its clients and the keys say of it afterwards.
//!
//! The load begins, the process gets SIGKILL and its link is cut in the same instant, the load goes on until every client has
//! written again and for a while longer; then every key is read and compared with what its client was told.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use serde::Serialize;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    client::{Board, Client, Manner},
    ledger::{Ledger, Wrong},
    talk::{Doors, Reply, Talk, command},
};
use crate::bench::ring::within;

/// The load goes on for so long after every client has written again: what goes wrong late shows.
const AFTER: Duration = Duration::from_secs(1);
/// Every client has connected and was acknowledged within this.
const BEGUN_WITHIN: Duration = Duration::from_secs(20);
/// A client that was told to stop has its last reply, or gave it up.
const STOPPED_WITHIN: Duration = Duration::from_secs(30);
/// All keys are read within this.
const READ_WITHIN: Duration = Duration::from_secs(60);
/// Keys that are asked for at once.
const ASKED: usize = 256;
/// How often is looked whether something is so.
const LOOK: Duration = Duration::from_millis(5);

/// How the link of a process ends with it. Either way nothing that was still on it arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// The others see their connections reset.
    Reset,
    /// The others see nothing, as when a machine loses its power.
    Silent,
}

/// What a server is to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// It serves it.
    Primary,
    /// It holds the copy that must acknowledge.
    Backup,
    Nothing,
}

/// What lies between servers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    /// What is said is on its way for so long, either way.
    pub(super) delay: Duration,
    pub(super) cut: Cut,
}

/// Servers of which one can be killed.
pub(super) trait Target {
    /// Where clients write.
    fn doors(&self) -> Doors;
    /// The port of the one that is to be killed.
    fn victim(&self) -> u16;
    /// What that one is to the keys with a tag.
    fn part(&self, tag: &str) -> Part;
    /// Whether clients that are connected to these ports are so as they should be.
    fn takes_all_of(&self, doors: &[u16]) -> bool;
    /// SIGKILL, and its link is gone.
    fn kill(&mut self) -> Result<(), String>;
    /// Clients that cannot write again after so long never will.
    fn patience(&self) -> Duration;
}

/// The load.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) connections: usize,
    pub(super) manner: Manner,
    /// Before the signal it lasts for so long.
    pub(super) before: Duration,
}

/// What one kill came to. A pause is a client's longest time without an acknowledgement, from the signal on.
#[derive(Debug, Default)]
pub(super) struct Kill {
    /// Writes acknowledged in a second, before the signal.
    pub(super) per_s: f64,
    /// Pauses of clients that were connected to the one that was killed.
    pub(super) of_node: Vec<Duration>,
    /// Pauses of clients that were connected to another, and whose keys it served.
    pub(super) of_keys: Vec<Duration>,
    /// Pauses of clients that were connected to another, and whose keys another served, with their copies on it.
    pub(super) of_copies: Vec<Duration>,
    /// Pauses of clients that had nothing to do with it.
    pub(super) of_others: Vec<Duration>,
    pub(super) told: Told,
    /// By the first word.
    pub(super) refusals: BTreeMap<String, u64>,
}

/// Counts of writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Told {
    pub(super) acknowledged: u64,
    pub(super) lost: u64,
    pub(super) applied_twice: u64,
    pub(super) refused: u64,
    pub(super) unknown: u64,
}

impl Told {
    /// What a client was told, and what is wrong with it.
    fn add(&mut self, ledger: &Ledger, wrong: Wrong) {
        self.acknowledged += ledger.acknowledged;
        self.lost += wrong.lost;
        self.applied_twice += wrong.twice;
        self.refused += ledger.refused;
        self.unknown += ledger.unknown;
    }

    /// Those of several kills.
    pub(super) fn sum(all: impl IntoIterator<Item = Self>) -> Self {
        all.into_iter().fold(Self::default(), |sum, more| Self {
            acknowledged: sum.acknowledged + more.acknowledged,
            lost: sum.lost + more.lost,
            applied_twice: sum.applied_twice + more.applied_twice,
            refused: sum.refused + more.refused,
            unknown: sum.unknown + more.unknown,
        })
    }
}

fn tag(client: usize) -> String {
    format!("c{client}")
}

impl Kill {
    /// Kills one of these under this load.
    pub(super) async fn of(target: &mut impl Target, plan: Plan) -> Result<Self, String> {
        let board = Arc::new(Board::new(plan.connections));
        let mut writing = JoinSet::new();
        for number in 0..plan.connections {
            let client = Client::new(number, tag(number), target.doors(), plan.manner, Arc::clone(&board));
            writing.spawn(client.run());
        }
        let connected = async {
            while board.doors.iter().any(|door| door.load(Ordering::Acquire) == 0) {
                sleep(LOOK).await;
            }
        };
        within(BEGUN_WITHIN, "a connection for every client", connected).await?;
        let (began, already) = (board.clock.now(), board.acknowledged.load(Ordering::Relaxed));
        sleep(plan.before).await;

        let doors: Vec<u16> = board.doors.iter().map(|door| door.load(Ordering::Acquire)).collect();
        let at = board.clock.now();
        let written = board.acknowledged.load(Ordering::Relaxed) - already;
        if !target.takes_all_of(&doors) {
            return Err("the primary was replaced before the signal: the machine is too busy".to_owned());
        }
        target.kill()?;
        board.signalled(at);

        let again = async {
            while board.again.load(Ordering::Relaxed) < plan.connections {
                sleep(LOOK).await;
            }
        };
        let waited = timeout(target.patience(), again).await;
        if waited.is_err() {
            let still = plan.connections - board.again.load(Ordering::Relaxed);
            return Err(format!("{still} clients cannot write again within {:?}", target.patience()));
        }
        sleep(AFTER).await;
        board.stop.store(true, Ordering::Relaxed);
        let clients = within(STOPPED_WITHIN, "the clients", writing.join_all()).await?;

        let mut kill = Self { per_s: written as f64 / at.since(began).as_secs_f64(), ..Self::default() };
        let read = async {
            for client in &clients {
                let shown = read(&target.doors(), &client.ledger.all_keys()).await?;
                kill.told.add(&client.ledger, client.ledger.judge(&shown));
            }
            Ok::<(), String>(())
        };
        within(READ_WITHIN, "every key", read).await??;
        for client in clients {
            let pauses = match target.part(&tag(client.number)) {
                _ if doors[client.number] == target.victim() => &mut kill.of_node,
                Part::Primary => &mut kill.of_keys,
                Part::Backup => &mut kill.of_copies,
                Part::Nothing => &mut kill.of_others,
            };
            pauses.push(client.pause);
            for (word, count) in client.refusals {
                *kill.refusals.entry(word).or_default() += count;
            }
        }
        Ok(kill)
    }

    /// Pauses of all whom the kill concerns.
    pub(super) fn of_hit(&self) -> impl Iterator<Item = Duration> + '_ {
        self.of_node.iter().chain(&self.of_keys).chain(&self.of_copies).copied()
    }
}

/// What keys show, in their order; 0 for one that is not there.
async fn read(doors: &Doors, keys: &[String]) -> Result<Vec<u64>, String> {
    let mut shown = Vec::with_capacity(keys.len());
    let (mut turn, mut open): (usize, Option<Talk>) = (0, None);
    // Whoever waits for this has a deadline.
    while shown.len() < keys.len() {
        let mut talk = match open.take() {
            Some(talk) => talk,
            None => match doors.open(turn).await {
                Ok((_, talk)) => talk,
                Err(_) => {
                    turn += 1;
                    sleep(LOOK).await;
                    continue;
                }
            },
        };
        let part = &keys[shown.len()..keys.len().min(shown.len() + ASKED)];
        let asked: Vec<u8> = part.iter().flat_map(|key| command(&["GET", key])).collect();
        if talk.say(&asked).await.is_err() {
            continue;
        }
        let before = shown.len();
        while shown.len() < before + part.len() {
            match talk.reply().await {
                Ok(Reply::Text(text)) => {
                    let number = text.map_or(Ok(0), |text| text.parse());
                    shown.push(number.map_err(|_| format!("{} holds no number", keys[shown.len()]))?);
                }
                // Asked again, of another where there is one.
                Ok(_) | Err(_) => break,
            }
        }
        if shown.len() == before + part.len() {
            open = Some(talk);
        } else {
            turn += 1;
            sleep(LOOK).await;
        }
    }
    Ok(shown)
}
