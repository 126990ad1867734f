//! The two servers that are measured: a ring of two nodes, and a Redis with its replica.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    process::{Child, Command},
    time::{sleep, timeout},
};

use uuid::Uuid;

use crate::{
    bench::usage::cpu_of,
    ports::free_ports,
    processes::{Place, Processes, names},
};

/// Whatever starts is up within this.
pub(super) const UP_WITHIN: Duration = Duration::from_secs(30);

/// A server and what copies it.
pub(super) trait Pair {
    /// Where callers connect.
    fn addresses(&self) -> Vec<String>;
    /// Processor time of both so far.
    fn cpu(&self) -> Duration;
}

/// Two nodes. Callers connect to both, as any takes any key: half of what each is asked it sends on.
pub(super) struct RingPair {
    processes: Processes,
}

impl RingPair {
    #[expect(clippy::disallowed_methods, reason = "it draws its folder and its ports")]
    pub(super) async fn start() -> Result<Self, String> {
        let names = names(2);
        let file = |places: &[Place]| {
            let mut file =
                "[cluster]\nname = \"bench-redis\"\nsecret = \"bench\"\nagreement = \"majority_or_proof\"\n".to_owned();
            for Place { name, cluster, redis, .. } in places {
                file += &format!(
                    "[[node]]\nname = {name:?}\ncluster = \"127.0.0.1:{cluster}\"\nredis = \"127.0.0.1:{redis}\"\n"
                );
            }
            file
        };
        let draw = Uuid::new_v4().as_u128();
        let mut processes = Processes::lay_out("bench", &names, draw, false, file).map_err(|why| why.to_string())?;
        processes.share_threads();
        let mut starting = Vec::new();
        for name in &names {
            starting.push(processes.start(name).map_err(|why| why.to_string())?);
        }
        for started in starting {
            started.await.map_err(|why| why.to_string())?;
        }
        let pair = Self { processes };
        let guarded = async {
            while !pair.is_guarded().await {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(UP_WITHIN, guarded).await.map_err(|_| "the nodes do not guard each other".to_owned())?;
        Ok(pair)
    }

    async fn is_guarded(&self) -> bool {
        let Some(address) = self.addresses().into_iter().next() else { return false };
        say(&address, "WAIT 1 1000\r\n").await.is_ok_and(|said| said.starts_with(":1"))
    }
}

impl Pair for RingPair {
    fn addresses(&self) -> Vec<String> {
        self.processes.places().map(|place| format!("127.0.0.1:{}", place.redis)).collect()
    }

    fn cpu(&self) -> Duration {
        self.processes.pids().into_iter().filter_map(cpu_of).sum()
    }
}

/// A Redis and its replica, nothing on disk.
pub(super) struct RedisPair {
    port: u16,
    children: Vec<Child>,
    folder: PathBuf,
}

impl RedisPair {
    #[expect(clippy::disallowed_methods, reason = "it draws its folder and its ports")]
    pub(super) async fn start(program: &Path) -> Result<Self, String> {
        let draw = Uuid::new_v4().as_u128();
        let ports = free_two()?;
        let folder = std::env::temp_dir().join(format!("ringheir-bench-{:016x}", draw >> 64));
        std::fs::create_dir(&folder).map_err(|why| why.to_string())?;
        let mut pair = Self { port: ports[0], children: Vec::new(), folder };
        for port in &ports {
            let mut command = Command::new(program);
            command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
            command.arg("--dir").arg(&pair.folder);
            if *port != pair.port {
                command.args(["--replicaof", "127.0.0.1", &pair.port.to_string()]);
            }
            let child = command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true).spawn();
            pair.children.push(child.map_err(|why| format!("{}: {why}", program.display()))?);
        }
        let address = format!("127.0.0.1:{}", pair.port);
        let linked = async {
            // Its own word that the replica has what was written, not only that it is connected.
            while !say(&address, "SET probe 1\r\nWAIT 1 200\r\n").await.is_ok_and(|said| said.contains(":1")) {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(UP_WITHIN, linked).await.map_err(|_| "the replica does not follow".to_owned())?;
        Ok(pair)
    }
}

impl Pair for RedisPair {
    fn addresses(&self) -> Vec<String> {
        vec![format!("127.0.0.1:{}", self.port)]
    }

    fn cpu(&self) -> Duration {
        self.children.iter().filter_map(Child::id).filter_map(cpu_of).sum()
    }
}

impl Drop for RedisPair {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Two ports that are free now.
#[expect(clippy::disallowed_methods, reason = "it draws where to look")]
pub(super) fn free_two() -> Result<[u16; 2], String> {
    let draw = Uuid::new_v4().as_u128();
    let ports = free_ports(2, (draw % 65_536) as u16).ok_or("no free ports")?;
    Ok([ports[0], ports[1]])
}

/// Says something, and what comes back within a while.
async fn say(address: &str, words: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(format!("{words}QUIT\r\n").as_bytes()).await?;
    let mut said = String::new();
    timeout(Duration::from_secs(2), stream.read_to_string(&mut said)).await.map_err(std::io::Error::other)??;
    Ok(said)
}
