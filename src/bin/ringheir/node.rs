//! `ringheir node`: one node of the cluster, with the built-in JSON sessions.

use std::{io::Write, path::PathBuf, process::ExitCode};

use clap::Args;
use ringheir::{
    Node, Types,
    config::{Address, ClusterFile, Environment, NodeConfig},
    http::HttpServer,
    id::NodeName,
    json::Json,
};
use tokio::{
    io::{AsyncReadExt, stdin},
    signal::unix::{SignalKind, signal},
};
use tracing_subscriber::EnvFilter;

use crate::COULD_NOT_RUN;

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
    /// Beside `--cluster`: where it serves HTTP.
    #[arg(long, value_name = "ADDR", value_parser = address, requires = "cluster")]
    http: Option<Address>,
    /// Where life locks lie; the same for all nodes of one host.
    #[arg(long, value_name = "DIR")]
    run_dir: Option<PathBuf>,
    /// The operator's word: found a cluster of these nodes alone.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = node_name)]
    found: Option<Vec<NodeName>>,
    /// What to log, as RUST_LOG.
    #[arg(long, value_name = "FILTER", default_value = "warn,ringheir=info")]
    log: String,
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
    Some(NodeConfig { http: args.http.clone(), ..NodeConfig::new(name, cluster) })
}

/// Runs it.
pub(crate) fn run(args: &NodeArgs) -> ExitCode {
    let Ok(filter) = EnvFilter::try_new(&args.log) else {
        eprintln!("--log {:?} is no filter; write for example warn,ringheir=debug", args.log);
        return ExitCode::from(COULD_NOT_RUN);
    };
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(why) => {
            eprintln!("no runtime: {why}");
            return ExitCode::from(COULD_NOT_RUN);
        }
    };
    runtime.block_on(serve(args))
}

async fn serve(args: &NodeArgs) -> ExitCode {
    let environment = Environment::of_process();
    let file = match ClusterFile::read_in(&args.config, &environment) {
        Ok(file) => file,
        Err(why) => {
            eprintln!("{why}");
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
            eprintln!("{why}");
            return ExitCode::from(COULD_NOT_RUN);
        }
    };
    let name = entry.name;
    // Before the node, so that whoever asks hears "starting" and not a refused connection.
    let http = match HttpServer::start(&file, entry).await {
        Ok(http) => http,
        Err(why) => {
            eprintln!("{name}: {why}");
            return ExitCode::from(COULD_NOT_RUN);
        }
    };
    let mut types = Types::new();
    Json::register(&mut types);
    let mut builder = Node::builder().config(file.clone()).name(name.as_str()).types(types);
    if let Some(own) = &own {
        builder = builder.unlisted(own.clone());
    }
    if let Some(run_dir) = &args.run_dir {
        builder = builder.run_dir(run_dir);
    }
    if let Some(found) = &args.found {
        builder = builder.found(found.clone());
    }
    let started = tokio::select! {
        started = builder.start() => started,
        () = told_to_stop(args.exit_with_stdin) => return ExitCode::SUCCESS,
    };
    let node = match started {
        Ok(node) => node,
        Err(why) => {
            eprintln!("{name}: {why}");
            return ExitCode::from(COULD_NOT_RUN);
        }
    };
    let view = node.view();
    if let Some(http) = &http {
        http.open(node.clone());
    }
    let at = http.as_ref().map(|http| format!(" at http://{}", http.address())).unwrap_or_default();
    println!("ready: {name}{at}, view {}, {} members", view.number, view.members.len());
    let _ = std::io::stdout().flush();
    tokio::select! {
        () = told_to_stop(args.exit_with_stdin) => {
            if let Some(http) = http {
                http.drain();
                http.stop().await;
            }
            node.stop().await;
            ExitCode::SUCCESS
        }
        () = node.stopped() => {
            eprintln!("{name}: the node stopped; its log says why");
            ExitCode::FAILURE
        }
    }
}

async fn told_to_stop(exit_with_stdin: bool) {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    let closed = async {
        if !exit_with_stdin {
            return std::future::pending().await;
        }
        let mut input = stdin();
        let mut ignored = [0; 64];
        while input.read(&mut ignored).await.is_ok_and(|read| read > 0) {}
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = closed => {}
    }
}
