//! Whom to ask: one node by its address, or any node of a cluster file that answers.

use std::{fmt, path::PathBuf, process::ExitCode, time::Duration};

use clap::Args;
use ringheir::config::{ClusterFile, ConfigError};
use serde::de::DeserializeOwned;

use super::{HttpError, Peer, Request, Response};
use crate::COULD_NOT_RUN;

/// How long one node may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// The flags of every subcommand that looks at a cluster.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Whom {
    /// HTTP address of the node to ask, as 127.0.0.1:7201.
    #[arg(long, value_name = "ADDR")]
    node: Option<String>,
    /// Cluster file; its nodes are asked in order until one answers.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Why nobody could be asked. Each says what to do.
#[derive(Debug)]
pub(crate) enum AskError {
    /// The cluster file is wrong.
    File(ConfigError),
    /// It names no HTTP address.
    NoHttp(PathBuf),
    /// No node answered.
    Nobody(Vec<(String, HttpError)>),
    /// One answered with an error.
    Status { address: String, status: u16, body: String },
    /// One answered with something else than was asked for.
    Unreadable { address: String, error: serde_json::Error },
    /// The system gave no runtime to ask with.
    Runtime(std::io::Error),
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::NoHttp(file) => {
                write!(f, "{}: no [[node]] has an `http` address, so there is nobody to ask", file.display())
            }
            Self::Nobody(tried) => {
                f.write_str("no node answers; is the cluster running, and is this its HTTP address?")?;
                for (address, error) in tried {
                    write!(f, "\n  {address}: {error}")?;
                }
                Ok(())
            }
            Self::Status { address, status, body } => write!(f, "{address} answered {status}: {body}"),
            Self::Unreadable { address, error } => write!(
                f,
                "{address} answered, but not as a node of this version does ({error}); is that its `http` address?"
            ),
            Self::Runtime(error) => write!(f, "cannot start: {error}"),
        }
    }
}

impl std::error::Error for AskError {}

/// A node to ask: its name, where it is known, and its HTTP address.
pub(crate) struct Asked {
    pub(crate) name: Option<String>,
    pub(crate) address: String,
}

impl Whom {
    fn asked(&self) -> Result<Vec<Asked>, AskError> {
        let Some(path) = &self.config else {
            let plain = |address: &String| address.trim_start_matches("http://").trim_end_matches('/').to_owned();
            return Ok(self.node.iter().map(|address| Asked { name: None, address: plain(address) }).collect());
        };
        let file = ClusterFile::read(path).map_err(AskError::File)?;
        let with_http = file.nodes().iter().filter_map(|node| Some((node.name.to_string(), node.http.as_ref()?)));
        let asked: Vec<Asked> =
            with_http.map(|(name, http)| Asked { name: Some(name), address: http.as_str().to_owned() }).collect();
        if asked.is_empty() { Err(AskError::NoHttp(path.clone())) } else { Ok(asked) }
    }

    /// The same flags, as one would type them again.
    pub(crate) fn spelled(&self) -> String {
        match (&self.config, &self.node) {
            (Some(path), _) => format!("--config {}", path.display()),
            (None, Some(node)) => format!("--node {node}"),
            (None, None) => String::new(),
        }
    }

    /// The answer of the first node that gives one, and its address.
    pub(crate) async fn get(&self, path: &str) -> Result<(String, Response), AskError> {
        let mut tried = Vec::new();
        for Asked { address, .. } in self.asked()? {
            match Peer::new(address.clone()).ask(&Request::get(path), PATIENCE).await {
                Ok(response) => return Ok((address, response)),
                Err(error) => tried.push((address, error)),
            }
        }
        Err(AskError::Nobody(tried))
    }

    /// The answers of all of them, in order.
    pub(crate) async fn get_all(&self, path: &str) -> Result<Vec<(Asked, Result<Response, HttpError>)>, AskError> {
        let mut running = Vec::new();
        for asked in self.asked()? {
            let (address, path) = (asked.address.clone(), path.to_owned());
            let task = tokio::spawn(async move { Peer::new(address).ask(&Request::get(&path), PATIENCE).await });
            running.push((asked, task));
        }
        let mut answers = Vec::new();
        for (asked, task) in running {
            answers.push((asked, task.await.expect("asking does not panic")));
        }
        Ok(answers)
    }

    /// Runs what asks; says on stderr why there is no answer, with exit status 2.
    pub(crate) fn run<F: Future<Output = Result<ExitCode, AskError>>>(asking: F) -> ExitCode {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        match runtime.map_err(AskError::Runtime).and_then(|runtime| runtime.block_on(asking)) {
            Ok(code) => code,
            Err(error) => {
                super::tell(error);
                ExitCode::from(COULD_NOT_RUN)
            }
        }
    }
}

/// What an answer other than the one hoped for says, in words.
pub(crate) fn said(response: &Response) -> String {
    let problem: serde_json::Value = serde_json::from_slice(&response.body).unwrap_or_default();
    let words = problem["detail"].as_str().or(problem["title"].as_str()).map(str::to_owned);
    words.unwrap_or_else(|| String::from_utf8_lossy(&response.body).chars().take(300).collect())
}

/// What a node answered, read as JSON; an error status is an error.
pub(crate) fn json_of<T: DeserializeOwned>(address: &str, response: &Response) -> Result<T, AskError> {
    if !(200..300).contains(&response.status) {
        return Err(AskError::Status { address: address.to_owned(), status: response.status, body: said(response) });
    }
    serde_json::from_slice(&response.body).map_err(|error| AskError::Unreadable { address: address.to_owned(), error })
}
