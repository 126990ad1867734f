//! `Sentinels`: a Redis with two replicas, and three sentinels over them, as Redis is run where its primary may be lost.
//!
//! What they say to each other passes a relay. Nothing is on disk but what sentinels write of themselves. Of what is set
//! otherwise than by default, all but the sentinels' patience only makes the start quicker.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{
    process::{Child, Command},
    time::sleep,
};
use uuid::Uuid;

use super::{
    relay::Relay,
    talk::{Doors, Reply, Talk, WATCHED},
    trial::{Cut, Link, Part, Target},
};
use crate::{bench::ring::within, ports::free_ports};

/// A primary and its replicas, each with a sentinel beside it.
const SERVERS: usize = 3;
/// So many sentinels must agree that the primary is gone.
const QUORUM: usize = 2;
const REPLICAS_WITHIN: Duration = Duration::from_secs(30);
/// They tell each other of themselves every two seconds.
const SENTINELS_WITHIN: Duration = Duration::from_secs(30);
/// A question that takes longer is asked again.
const ASKED_WITHIN: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(50);
/// Beyond what the sentinels wait before they begin: a failover that is tried twice is over.
const PATIENCE: Duration = Duration::from_secs(60);

/// See the module.
pub(super) struct Sentinels {
    folder: PathBuf,
    servers: Vec<Child>,
    sentinels: Vec<Child>,
    relay: Relay,
    doors: Doors,
    /// Where the primary listens.
    primary: u16,
    cut: Cut,
    down_after: Duration,
}

impl Sentinels {
    /// Starts all; the replicas follow, and the sentinels know of each other and of them.
    #[expect(clippy::disallowed_methods, reason = "it draws its folder and its ports")]
    pub(super) async fn start(program: &Path, down_after: Duration, link: Link) -> Result<Self, String> {
        let draw = Uuid::new_v4().as_u128();
        let ports = free_ports(SERVERS * 3, (draw % 65_536) as u16).ok_or("no free ports")?;
        let (own, others) = ports.split_at(SERVERS);
        let (fronts, watching) = others.split_at(SERVERS);
        let pairs: Vec<_> = fronts.iter().zip(own).map(|(front, own)| (loopback(*front), loopback(*own))).collect();
        let relay = Relay::open(&pairs, link.delay).await.map_err(|why| format!("no relay: {why}"))?;
        let folder = std::env::temp_dir().join(format!("ringheir-bench-{:016x}", draw >> 64));
        std::fs::create_dir(&folder)
            .map_err(|why| format!("cannot make a folder at {}: {why}; set TMPDIR", folder.display()))?;
        let doors = Doors::Told {
            sentinels: watching.iter().map(|port| loopback(*port)).collect(),
            servers: fronts.iter().zip(own).map(|(front, own)| (*front, loopback(*own))).collect(),
        };
        let (servers, sentinels) = (Vec::new(), Vec::new());
        let mut all = Self { folder, servers, sentinels, relay, doors, primary: own[0], cut: link.cut, down_after };
        for (port, front) in own.iter().zip(fronts) {
            let mut words = format!(
                "--port {port} --bind 127.0.0.1 --appendonly no --repl-diskless-sync-delay 0 \
                 --replica-announce-ip 127.0.0.1 --replica-announce-port {front}"
            );
            if *port != all.primary {
                words += &format!(" --replicaof 127.0.0.1 {}", fronts[0]);
            }
            let mut arguments: Vec<&str> = words.split(' ').collect();
            let folder = all.folder.to_string_lossy();
            arguments.extend(["--save", "", "--dir", &folder]);
            let child = all.spawn(program, &arguments)?;
            all.servers.push(child);
        }
        within(REPLICAS_WITHIN, "replicas that follow", followed(loopback(all.primary))).await?;
        for port in watching {
            // A sentinel keeps what it learns in its file.
            let file = all.folder.join(format!("sentinel-{port}.conf"));
            let text = format!(
                "port {port}\nbind 127.0.0.1\ndir {:?}\nsentinel monitor {WATCHED} 127.0.0.1 {} {QUORUM}\n\
                 sentinel down-after-milliseconds {WATCHED} {}\n",
                all.folder,
                fronts[0],
                down_after.as_millis()
            );
            std::fs::write(&file, text).map_err(|why| format!("{}: {why}", file.display()))?;
            let child = all.spawn(program, &[&file.to_string_lossy(), "--sentinel"])?;
            all.sentinels.push(child);
        }
        let known = async {
            for port in watching {
                while !knows_all(loopback(*port), fronts[0]).await {
                    sleep(LOOK).await;
                }
            }
        };
        within(SENTINELS_WITHIN, "sentinels that know all others", known).await?;
        Ok(all)
    }

    fn spawn(&self, program: &Path, arguments: &[&str]) -> Result<Child, String> {
        let mut command = Command::new(program);
        command.args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        command.spawn().map_err(|why| format!("{}: {why}", program.display()))
    }

    /// Ends all.
    pub(super) async fn stop(mut self) {
        // Sentinels first, so that they find nothing to do.
        for child in self.sentinels.iter_mut().chain(&mut self.servers) {
            // It fails only for one that has ended already.
            let _ = child.kill().await;
        }
    }
}

impl Target for Sentinels {
    fn doors(&self) -> Doors {
        self.doors.clone()
    }

    fn victim(&self) -> u16 {
        self.primary
    }

    fn part(&self, _tag: &str) -> Part {
        Part::Primary
    }

    fn takes_all_of(&self, doors: &[u16]) -> bool {
        doors.iter().all(|door| *door == self.primary)
    }

    fn kill(&mut self) -> Result<(), String> {
        self.servers[0].start_kill().map_err(|why| format!("cannot kill the primary: {why}"))?;
        self.relay.cut(0, self.cut);
        Ok(())
    }

    fn patience(&self) -> Duration {
        self.down_after + PATIENCE
    }
}

impl Drop for Sentinels {
    fn drop(&mut self) {
        // One that lives would write into the folder while it goes.
        for child in self.sentinels.iter_mut().chain(&mut self.servers) {
            let _ = child.start_kill();
        }
        // Nobody is left to be told; the folder is in the system's temporary place.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// One question, on a connection of its own.
async fn ask(address: SocketAddr, words: &[&str]) -> Option<Reply> {
    let asked = async { Talk::open(address).await?.ask(words).await };
    within(ASKED_WITHIN, "a reply", asked).await.ok()?.ok()
}

/// Every replica has what the primary was told: its own word, not only that they are connected.
async fn followed(primary: SocketAddr) {
    let followers = (SERVERS - 1).to_string();
    let has = async || -> Option<bool> {
        let mut talk = Talk::open(primary).await.ok()?;
        talk.ask(&["SET", "probe", "1"]).await.ok()?;
        let told = talk.ask(&["WAIT", &followers, "500"]).await.ok()?;
        Some(told == Reply::Number((SERVERS - 1) as u64))
    };
    while has().await != Some(true) {
        sleep(LOOK).await;
    }
}

/// Whether a sentinel has found all replicas and all other sentinels, and thinks well of this primary.
async fn knows_all(sentinel: SocketAddr, primary: u16) -> bool {
    let Some(Reply::List(told)) = ask(sentinel, &["SENTINEL", "MASTER", WATCHED]).await else { return false };
    let is = |field: &str, value: &str| told.chunks(2).any(|pair| pair == [field, value]);
    let others = (SERVERS - 1).to_string();
    is("port", &primary.to_string())
        && is("flags", "master")
        && is("num-slaves", &others)
        && is("num-other-sentinels", &others)
}
