//! `ringheir node`: one node of the cluster, with the built-in sessions: JSON over HTTP, and keys over the Redis protocol.

use std::{
    io::{IsTerminal, stderr},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use clap::Args;
use ringheir::{
    Drain, DrainError, Node, Readiness, StartError, Types,
    config::{Address, ClusterFile, Environment, NodeConfig},
    http::HttpServer,
    id::NodeName,
    json::Json,
    membership::View,
    redis::RedisServer,
};
use tokio::{
    io::{AsyncReadExt, stdin},
    signal::unix::{SignalKind, signal},
    time::sleep,
};
use tracing_subscriber::EnvFilter;

use crate::{
    COULD_NOT_RUN,
    ask::{print, tell},
};

/// Whoever balances callers looks at `/readyz` some times a second. Until it has, a node that drained passes calls on.
const SEEN_WITHIN: Duration = Duration::from_secs(1);
/// Unless somebody says otherwise. ractor_cluster warns, several lines long, of every connection that closes: whom the ring
/// lost, and what it does about it, is told by the ring itself.
const LOG: &str = "warn,ringheir=info,ractor_cluster=error";

/// Runs one node until SIGTERM, SIGINT, or a fault that stops it.
#[derive(Debug, Args)]
pub(crate) struct NodeArgs {
    /// The cluster file; the same on every node.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// This node's name in the file; also RINGHEIR_NAME.
    #[arg(long)]
    name: Option<String>,
    /// For a name that the file does not list: where this node listens for the others. It joins the ring that serves.
    #[arg(long, value_name = "ADDR", value_parser = address, requires = "name")]
    cluster: Option<Address>,
    /// Beside `--cluster`: where it listens for them instead, if they dial another address.
    #[arg(long, value_name = "ADDR", value_parser = address, requires = "cluster")]
    bind: Option<Address>,
    /// Beside `--cluster`: where it serves HTTP.
    #[arg(long, value_name = "ADDR", value_parser = address, requires = "cluster")]
    http: Option<Address>,
    /// Beside `--cluster`: where it serves the Redis protocol.
    #[arg(long, value_name = "ADDR", value_parser = address, requires = "cluster")]
    redis: Option<Address>,
    /// Beside `--cluster`: how much it is to serve beside the others, as `weight` in the file.
    #[arg(long, value_name = "WEIGHT", default_value_t = 1, requires = "cluster", value_parser = clap::value_parser!(u16).range(1..=1_000))]
    weight: u16,
    /// Where life locks lie; the same for all nodes of one host.
    #[arg(long, value_name = "DIR")]
    run_dir: Option<PathBuf>,
    /// Keep this node's vote in this directory, of its own and on a local disk: it then outlives the process, and a ring whose
    /// nodes were all stopped goes on once more than half of its voters are back. Sessions are not kept.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The operator's word: found a cluster of these nodes alone, unless one is heard to serve. Never while nodes of the old
    /// cluster run that cannot be reached from here.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = node_name)]
    found: Option<Vec<NodeName>>,
    /// What to log, as RUST_LOG.
    #[arg(long, value_name = "FILTER", default_value = LOG)]
    log: String,
    /// On SIGTERM, hand over what is here for at most this many seconds, then stop.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(0..=600))]
    drain_within: u64,
    /// Threads that do the node's work; as many as the machine has cores, unless told. Where several nodes share a machine, each is
    /// better off with its share.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=1_024))]
    threads: Option<u16>,
    /// Stop when standard input is closed: for whoever starts nodes and must not leave any behind.
    #[arg(long, hide = true)]
    exit_with_stdin: bool,
}

fn node_name(text: &str) -> Result<NodeName, String> {
    NodeName::new(text).ok_or_else(|| format!("{text:?} is no node name"))
}

fn address(text: &str) -> Result<Address, String> {
    Address::new(text).ok_or_else(|| format!("{text:?} is no host:port"))
}

/// Its own entry, if the command line brings one.
fn unlisted(args: &NodeArgs) -> Option<NodeConfig> {
    let (cluster, name) = (args.cluster.clone()?, NodeName::new(args.name.as_deref()?)?);
    Some(NodeConfig {
        bind: args.bind.clone(),
        http: args.http.clone(),
        redis: args.redis.clone(),
        weight: args.weight,
        ..NodeConfig::new(name, cluster)
    })
}

/// Runs it.
pub(crate) fn run(args: &NodeArgs) -> ExitCode {
    let Ok(filter) = EnvFilter::try_new(&args.log) else {
        tell(format_args!("--log {:?} is no filter; write for example warn,ringheir=debug", args.log));
        return ExitCode::from(COULD_NOT_RUN);
    };
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    // Colours are for people: in a file or a pipe they stand in the way of whoever searches it.
    // A log that cannot be written is dropped: to complain about that on stderr, which is gone, would be a panic.
    log.with_ansi(stderr().is_terminal()).log_internal_errors(false).init();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = args.threads {
        runtime.worker_threads(usize::from(threads));
    }
    let runtime = match runtime.enable_all().build() {
        Ok(runtime) => runtime,
        Err(why) => {
            tell(format_args!("no runtime: {why}"));
            return ExitCode::from(COULD_NOT_RUN);
        }
    };
    let ended = runtime.block_on(serve(args));
    // Not dropped, which would wait for a thread that reads standard input until that is closed.
    runtime.shutdown_background();
    ended
}

async fn serve(args: &NodeArgs) -> ExitCode {
    // One for the whole life: a signal that comes between two waits is heard, too.
    let told = told_to_stop(args.exit_with_stdin);
    tokio::pin!(told);
    let environment = Environment::of_process();
    let file = match ClusterFile::read_in(&args.config, &environment) {
        Ok(file) => file,
        Err(why) => {
            tell(why);
            return ExitCode::from(COULD_NOT_RUN);
        }
    };
    let own = unlisted(args);
    if let Some(why) = own.as_ref().and_then(|own| file.check_unlisted(own).err()) {
        eprintln!("{why}");
        return ExitCode::from(COULD_NOT_RUN);
    }
    let entry = match own.as_ref().map_or_else(|| file.this_node(args.name.as_deref(), &environment), Ok) {
        Ok(node) => node,
        Err(why) => {
            tell(why);
            return ExitCode::from(COULD_NOT_RUN);
        }
    };
    let name = entry.name;
    // Before the node, so that whoever asks hears "starting" and not a refused connection.
    let http = match HttpServer::start(&file, entry).await {
        Ok(http) => http,
        Err(why) => {
            tell(format_args!("{name}: {why}"));
            return ExitCode::from(COULD_NOT_RUN);
        }
    };
    let redis = match RedisServer::start(&file, entry).await {
        Ok(redis) => redis,
        Err(why) => {
            tell(format_args!("{name}: {why}"));
            return ExitCode::from(COULD_NOT_RUN);
        }
    };
    let mut types = Types::new();
    Json::register(&mut types);
    RedisServer::register(&mut types);
    let mut builder = Node::builder().config(file.clone()).name(name.as_str()).types(types);
    if let Some(own) = &own {
        builder = builder.unlisted(own.clone());
    }
    if let Some(data_dir) = &args.data_dir {
        builder = builder.data_dir(data_dir);
    }
    if let Some(run_dir) = &args.run_dir {
        builder = builder.run_dir(run_dir);
    }
    if let Some(found) = &args.found {
        builder = builder.found(found.clone());
    }
    let started = tokio::select! {
        started = builder.start() => started,
        _ = &mut told => {
            tracing::info!("told to stop before this node was in the ring: it has served nothing");
            return ExitCode::SUCCESS;
        }
    };
    let node = match started {
        Ok(node) => node,
        Err(why) => {
            tell(format_args!("{name}: {}", in_flags(&why, own.is_some())));
            return ExitCode::from(COULD_NOT_RUN);
        }
    };
    let view = node.view();
    if let Some(http) = &http {
        http.open(node.clone());
    }
    if let Some(redis) = &redis {
        redis.open(node.clone());
    }
    let mut at = http.as_ref().map(|http| format!(" at http://{}", http.address())).unwrap_or_default();
    at += &redis.as_ref().map(|redis| format!(" at redis://{}", redis.address())).unwrap_or_default();
    print(format_args!("ready: {name}{at}, view {}, {} members\n", view.number, view.members.len()));
    let no_new_callers = || {
        if let Some(http) = &http {
            http.drain();
        }
        if let Some(redis) = &redis {
            redis.drain();
        }
    };
    let ended = tokio::select! {
        how = &mut told => {
            no_new_callers();
            match how {
                Told::Stop => {
                    tracing::info!("told to stop at once: nothing is handed over, and the backups of what is here take over");
                    ExitCode::SUCCESS
                }
                Told::Drain => {
                    tracing::info!("told to stop: handing over what is here");
                    let drained = drain(&node, Duration::from_secs(args.drain_within));
                    tokio::select! {
                        (ended, ()) = async { tokio::join!(drained, sleep(SEEN_WITHIN)) } => ended,
                        // Whoever asks twice does not want to wait.
                        _ = told_to_stop(false) => ExitCode::SUCCESS,
                    }
                }
            }
        }
        () = left(&node) => {
            no_new_callers();
            tracing::info!("everything was handed over: this node has left the ring, and its process ends");
            sleep(SEEN_WITHIN).await;
            ExitCode::SUCCESS
        }
        () = node.stopped() => {
            tell(format_args!("{name}: the node stopped; its log says why"));
            return ExitCode::FAILURE;
        }
    };
    if let Some(redis) = redis {
        redis.stop().await;
    }
    if let Some(http) = http {
        http.stop().await;
    }
    node.stop().await;
    ended
}

/// Hands over what is here. Whatever comes of it, the process ends: its backups take over the rest.
async fn drain(node: &Node, within: Duration) -> ExitCode {
    match node.drain(Drain::new().within(within).even_unprotected()).await {
        Ok(()) => {
            tracing::info!("everything was handed over: this node has left the ring");
            ExitCode::SUCCESS
        }
        Err(why @ (DrainError::NobodyElse | DrainError::NoQuorum { .. } | DrainError::Pinned { .. })) => {
            tracing::warn!(%why, "stopping without a drain");
            ExitCode::SUCCESS
        }
        Err(why) => {
            tell(format_args!("{}: stopping before everything was handed over: {why}", node.id().name));
            ExitCode::FAILURE
        }
    }
}

/// The node has left the ring, as an order over HTTP has it do.
async fn left(node: &Node) {
    let mut views = node.views();
    let me = node.id();
    let is_out = |view: &Option<Arc<View>>| view.as_ref().is_some_and(|v| v.has_let_go(me));
    loop {
        // One that was voted out while it hung is let in again, and stays.
        if views.wait_for(is_out).await.is_err() || node.readiness() == Readiness::Draining {
            return;
        }
        if views.changed().await.is_err() {
            return;
        }
    }
}

/// The library speaks of its own methods; who starts a node from here knows flags.
fn in_flags(why: &StartError, is_unlisted: bool) -> String {
    let why = why.to_string();
    if is_unlisted {
        // It never founds: it waits for a ring that runs.
        return why.replace(
            ": start them, or found a smaller cluster (NodeBuilder::found)",
            ": none of them let it in; do they run, under this cluster name and with this secret?",
        );
    }
    why.replace("NodeBuilder::found", "--found")
}

/// How a process is told to end.
#[derive(Clone, Copy)]
enum Told {
    /// At once; its backups take over.
    Stop,
    /// Having handed over what it has.
    Drain,
}

/// Signals are caught from this call on; what it gives back waits for one. SIGTERM drains; Ctrl-C, or the end of standard
/// input, does not.
fn told_to_stop(exit_with_stdin: bool) -> impl Future<Output = Told> {
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    let closed = async move {
        if !exit_with_stdin {
            return std::future::pending().await;
        }
        let mut input = stdin();
        let mut ignored = [0; 64];
        while input.read(&mut ignored).await.is_ok_and(|read| read > 0) {}
    };
    async move {
        let (Ok(mut terminate), Ok(mut interrupt)) = signals else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = terminate.recv() => Told::Drain,
            _ = interrupt.recv() => Told::Stop,
            () = closed => Told::Stop,
        }
    }
}
