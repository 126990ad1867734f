//! The least that two processes can do: a request to the first, the same to the second, an acknowledgement, a reply.
//!
//! Nothing is understood, kept or bounded, and there is one caller: it is what the way costs by itself on this machine, to lay beside
//! what servers do on it.

use std::{process::ExitCode, process::Stdio, time::Duration};

use clap::Args;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    time::{sleep, timeout},
};

use super::servers::{Pair, UP_WITHIN, free_two};
use crate::{COULD_NOT_RUN, bench::usage::cpu_of};

/// The largest request.
const REQUEST: usize = 64 << 10;

/// One of the two processes.
#[derive(Debug, Args)]
pub(crate) struct Bare {
    /// Where it listens.
    port: u16,
    /// Whom it tells before it answers.
    then: Option<u16>,
}

impl Bare {
    pub(in crate::bench) fn run(self) -> ExitCode {
        // One thread: there is one thing to do at a time.
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
            return ExitCode::from(COULD_NOT_RUN);
        };
        match runtime.block_on(self.serve()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => {
                eprintln!("bare: {why}");
                ExitCode::from(COULD_NOT_RUN)
            }
        }
    }

    async fn serve(&self) -> std::io::Result<()> {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await?;
        loop {
            let (mut caller, _) = listener.accept().await?;
            caller.set_nodelay(true)?;
            let then = match self.then {
                Some(port) => {
                    let then = TcpStream::connect(("127.0.0.1", port)).await?;
                    then.set_nodelay(true)?;
                    Some(then)
                }
                None => None,
            };
            // Whoever leaves is followed by the next.
            let _ = answer(&mut caller, then).await;
        }
    }
}

/// Takes whatever comes at once for one request, tells it on and answers.
async fn answer(caller: &mut TcpStream, mut then: Option<TcpStream>) -> std::io::Result<()> {
    let mut request = vec![0; REQUEST];
    loop {
        let length = caller.read(&mut request).await?;
        if length == 0 {
            return Ok(());
        }
        if let Some(then) = &mut then {
            then.write_all(&request[..length]).await?;
            then.read_exact(&mut [0; 5]).await?;
        }
        caller.write_all(b"+OK\r\n").await?;
    }
}

/// The two of them.
pub(super) struct BarePair {
    port: u16,
    children: Vec<Child>,
}

impl BarePair {
    pub(super) async fn start() -> Result<Self, String> {
        let [port, then] = free_two()?;
        let program = std::env::current_exe().map_err(|why| why.to_string())?;
        let mut pair = Self { port, children: Vec::new() };
        for arguments in [vec![then.to_string()], vec![port.to_string(), then.to_string()]] {
            let mut command = Command::new(&program);
            command.args(["bench", "bare"]).args(arguments).stdin(Stdio::null()).kill_on_drop(true);
            pair.children.push(command.spawn().map_err(|why| why.to_string())?);
        }
        let up = async {
            for port in [then, port] {
                while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                    sleep(Duration::from_millis(10)).await;
                }
            }
        };
        timeout(UP_WITHIN, up).await.map_err(|_| "the bare processes do not listen".to_owned())?;
        Ok(pair)
    }
}

impl Pair for BarePair {
    fn addresses(&self) -> Vec<String> {
        vec![format!("127.0.0.1:{}", self.port)]
    }

    fn cpu(&self) -> Duration {
        self.children.iter().filter_map(Child::id).filter_map(cpu_of).sum()
    }
}
