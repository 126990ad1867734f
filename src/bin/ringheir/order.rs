//! `ringheir cordon | uncordon | drain | handback NODE`: an operator's word to one node.
//!
//! The node is looked up in the view of any node asked, and told over its own HTTP.

use std::{fmt, process::ExitCode, time::Duration};

use clap::Args;
use serde_json::Value;

use crate::{
    DOES_NOT_HOLD,
    ask::{AskError, ClusterView, Peer, Request, Whom, json_of, print, tell},
};

/// Beside what the node itself may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Tells one node.
#[derive(Args)]
pub(crate) struct Order {
    /// The node's name.
    name: String,
    #[command(flatten)]
    whom: Whom,
}

/// Tells one node to drain.
#[derive(Args)]
pub(crate) struct DrainOrder {
    #[command(flatten)]
    order: Order,
    /// Give up after this many seconds; the node goes on, and can be told again.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=600))]
    within: u64,
    /// Also where too few nodes stay for every session to have its backups.
    #[arg(long)]
    even_unprotected: bool,
}

/// Tells one node to get back what is at home with it.
#[derive(Args)]
pub(crate) struct HandBackOrder {
    #[command(flatten)]
    order: Order,
    /// Give up after this many seconds; what has not come by then stays where it is.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=600))]
    within: u64,
}

/// What is told.
#[derive(Clone, Copy)]
pub(crate) enum Told {
    Cordon,
    Uncordon,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cordon => "cordon",
            Self::Uncordon => "uncordon",
        })
    }
}

impl Order {
    pub(crate) fn run(&self, told: Told) -> ExitCode {
        let done = match told {
            Told::Cordon => "keeps what it has and is given no more",
            Told::Uncordon => "takes part again",
        };
        Whom::run(self.tell(told.to_string(), Duration::ZERO, done))
    }

    async fn tell(&self, order: String, takes: Duration, done: &str) -> Result<ExitCode, AskError> {
        let (asked, response) = self.whom.get("/v1/view").await?;
        let view: ClusterView = json_of(&asked, &response)?;
        let Some(member) = view.members.iter().find(|m| m.name == self.name) else {
            let names: Vec<&str> = view.members.iter().map(|m| m.name.as_str()).collect();
            tell(format_args!("no node {} is in the ring; there are {}", self.name, names.join(", ")));
            return Ok(ExitCode::from(DOES_NOT_HOLD));
        };
        let Some(address) = &member.http else {
            let name = &self.name;
            tell(format_args!("{name} has no HTTP address to tell it over (to drain it, send its process SIGTERM)"));
            return Ok(ExitCode::from(DOES_NOT_HOLD));
        };
        let path = format!("/v1/node/{}/{order}", self.name);
        let request = Request { method: "POST", path: &path, headers: &[], body: None };
        let told = Peer::new(address.clone()).ask(&request, takes + PATIENCE).await;
        let response = match told {
            Ok(response) => response,
            Err(why) => {
                tell(format_args!("{} at {address}: {why}", self.name));
                return Ok(ExitCode::from(DOES_NOT_HOLD));
            }
        };
        if response.status == 200 {
            print(format_args!("{} {done}\n", self.name));
            return Ok(ExitCode::SUCCESS);
        }
        let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        let why = body["detail"].as_str().or(body["title"].as_str()).unwrap_or("no reason given");
        tell(format_args!("{} answered {}: {why}", self.name, response.status));
        Ok(ExitCode::from(DOES_NOT_HOLD))
    }
}

impl DrainOrder {
    pub(crate) fn run(&self) -> ExitCode {
        let within = Duration::from_secs(self.within);
        let order = format!("drain?within_ms={}&unprotected={}", within.as_millis(), self.even_unprotected);
        Whom::run(self.order.tell(order, within, "has handed over all it had and left the ring"))
    }
}

impl HandBackOrder {
    pub(crate) fn run(&self) -> ExitCode {
        let within = Duration::from_secs(self.within);
        let order = format!("handback?within_ms={}", within.as_millis());
        Whom::run(self.order.tell(order, within, "serves all that is at home with it"))
    }
}
