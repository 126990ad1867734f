//! `Ring`: three nodes whose links run through a proxy, so that one can be lost with all that it had sent.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use ringheir::{
    fault_proxy::{FaultProxy, Front},
    id::{NodeName, SessionKey},
    sim::network::{LinkChange, Weather},
};
use tokio::time::sleep;
use uuid::Uuid;

use super::{
    talk::Doors,
    trial::{Cut, Link, Part, Target},
};
use crate::{
    ask::{ArcSeen, ClusterView, Peer, view_of},
    bench::ring::within,
    processes::{Place, Processes, names},
};

/// As many as Redis has servers.
const NODES: usize = 3;
/// The nodes guard each other within this.
const GUARDED_WITHIN: Duration = Duration::from_secs(30);
/// A node that lives says what it sees within this.
const ASKED_WITHIN: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(20);
/// A link that was cut is reset by then; what is dialled later is refused, as nobody listens.
const RESET_WITHIN: Duration = Duration::from_millis(50);
/// Long enough for all of suspicion, agreement and whatever a call waits.
const PATIENCE: Duration = Duration::from_secs(60);
/// The kind of the sessions behind the Redis protocol.
const KIND: &str = "redis";

/// See the module.
pub(super) struct Ring {
    processes: Processes,
    proxy: Arc<FaultProxy>,
    names: Vec<NodeName>,
    victim: Place,
    cut: Cut,
    /// What the victim is to each arc.
    parts: Vec<Part>,
}

impl Ring {
    /// Starts it; all guard each other. The victim is the n-th.
    #[expect(clippy::disallowed_methods, reason = "it draws its folder and its ports")]
    pub(super) async fn start(victim: usize, link: Link) -> Result<Self, String> {
        let Link { delay, cut } = link;
        let draw = Uuid::new_v4().as_u128();
        let texts = names(NODES);
        let mut processes =
            Processes::lay_out("bench", &texts, draw, false, cluster_file).map_err(|why| why.to_string())?;
        let places: Vec<Place> = processes.places().cloned().collect();
        let names: Option<Vec<NodeName>> = texts.iter().map(|name| NodeName::new(name)).collect();
        let names = names.ok_or("nodes without names")?;
        let front = |(name, place): (&NodeName, &Place)| Front {
            name: *name,
            listens: loopback(place.cluster),
            node: loopback(place.bind),
        };
        let fronts = names.iter().zip(&places).map(front).collect();
        let weather = Weather { delay_min: delay, delay_mean: Duration::ZERO, drop: 0.0, duplicate: 0.0 };
        let proxy = FaultProxy::open(0, weather, fronts).await.map_err(|why| format!("no proxy: {why}"))?;
        let mut starting = Vec::new();
        for name in &texts {
            if cut == Cut::Silent {
                let own = own_locks(&processes.run_dir(), name);
                std::fs::create_dir(&own).map_err(|why| format!("{}: {why}", own.display()))?;
                processes.start_with(name, vec!["--run-dir".to_owned(), own.to_string_lossy().into_owned()]);
            }
            starting.push(processes.start(name).map_err(|why| why.to_string())?);
        }
        for started in starting {
            started.await.map_err(|why| why.to_string())?;
        }
        if cut == Cut::Silent {
            // As on machines of their own: each keeps its lock, and nobody finds it who would take it for a proof.
            for name in &texts {
                let own = own_locks(&processes.run_dir(), name);
                std::fs::rename(&own, own.with_extension("away")).map_err(|why| why.to_string())?;
            }
        }
        let view = within(GUARDED_WITHIN, "nodes that guard each other", guarded(&places)).await?;
        let victim = places[victim % NODES].clone();
        let part = |arc: &ArcSeen| match arc {
            arc if arc.primary == victim.name => Part::Primary,
            arc if arc.in_sync.contains(&victim.name) => Part::Backup,
            _ => Part::Nothing,
        };
        let parts = view.arcs.iter().map(part).collect();
        Ok(Self { processes, proxy: Arc::new(proxy), names, victim, cut, parts })
    }

    /// Ends it.
    pub(super) async fn stop(mut self) {
        self.processes.stop().await;
    }
}

impl Target for Ring {
    fn doors(&self) -> Doors {
        Doors::Any(self.processes.places().map(|place| loopback(place.redis)).collect())
    }

    fn victim(&self) -> u16 {
        self.victim.redis
    }

    fn part(&self, tag: &str) -> Part {
        let key = SessionKey::new(KIND, format!("{{{tag}}}").as_bytes());
        let arcs = u16::try_from(self.parts.len()).unwrap_or(u16::MAX);
        let part = key.and_then(|key| self.parts.get(usize::from(key.arc(arcs).0)));
        part.copied().unwrap_or(Part::Nothing)
    }

    fn takes_all_of(&self, doors: &[u16]) -> bool {
        doors.contains(&self.victim.redis)
    }

    fn kill(&mut self) -> Result<(), String> {
        self.processes.kill(&self.victim.name).map_err(|why| why.to_string())?;
        let is_victim = |name: &&NodeName| name.as_str() == self.victim.name;
        let Some(victim) = self.names.iter().find(is_victim).copied() else { return Ok(()) };
        let others: Vec<NodeName> = self.names.iter().filter(|name| !is_victim(name)).copied().collect();
        // From here on nothing passes; the connections end a little later.
        for other in &others {
            self.proxy.change(victim, *other, LinkChange::Cut);
            self.proxy.change(*other, victim, LinkChange::Cut);
        }
        if self.cut == Cut::Silent {
            self.proxy.power_off(victim);
            return Ok(());
        }
        for other in others {
            self.proxy.change(victim, other, LinkChange::Close);
        }
        let proxy = Arc::clone(&self.proxy);
        tokio::spawn(async move {
            sleep(RESET_WITHIN).await;
            proxy.heal();
        });
        Ok(())
    }

    fn patience(&self) -> Duration {
        PATIENCE
    }
}

/// The view of all, once it has all and each says that every arc has its backup.
async fn guarded(places: &[Place]) -> ClusterView {
    loop {
        let mut guarded = None;
        for place in places {
            let view = view_of(&mut Peer::new(loopback(place.http).to_string()), ASKED_WITHIN).await;
            guarded = view.filter(|view| view.fully_protected && view.members.len() == places.len());
            if guarded.is_none() {
                break;
            }
        }
        if let Some(view) = guarded {
            return view;
        }
        sleep(LOOK).await;
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn own_locks(run_dir: &Path, name: &str) -> PathBuf {
    run_dir.join(format!("of-{name}"))
}

fn cluster_file(places: &[Place]) -> String {
    let mut file = "[cluster]\nname = \"bench-redis-kill\"\nsecret = \"bench\"\n".to_owned();
    for Place { name, cluster, bind, http, redis } in places {
        file += &format!(
            "[[node]]\nname = {name:?}\ncluster = \"127.0.0.1:{cluster}\"\nbind = \"127.0.0.1:{bind}\"\n\
             http = \"127.0.0.1:{http}\"\nredis = \"127.0.0.1:{redis}\"\n"
        );
    }
    file
}
