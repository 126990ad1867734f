//! The HTTP of a node over a real socket, in front of one local map that runs the real JSON session type.

mod client;
mod local;
mod orders;
mod over_nodes;
mod patience;
mod preconditions;
mod sessions;
mod watching;

use std::time::Duration;

use tokio::net::TcpListener;

use self::{client::Client, local::Local};
use super::{server::Server, settings::Settings};
use crate::config::Limits;

/// The largest document in these tests.
const VALUE_MAX: usize = 4 << 10;

fn settings() -> Settings {
    Settings::of(&Limits { value: VALUE_MAX, ..Limits::default() }, 1)
}

/// A server that is not open yet.
async fn closed(settings: Settings) -> Server<Local> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    Server::on(listener, settings).expect("it has an address")
}

/// A server with a node, and a client of it.
async fn serving() -> (Server<Local>, Client) {
    let server = closed(settings()).await;
    server.open(Local::new(VALUE_MAX));
    let client = Client::connect(server.address()).await;
    (server, client)
}

/// Longer than anything that should happen, shorter than anyone waits for a test.
const SURELY: Duration = Duration::from_secs(20);
