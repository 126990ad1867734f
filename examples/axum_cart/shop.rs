//! The shop: a cart that survives its server, behind two ordinary axum handlers.

use std::{collections::BTreeMap, path::Path};

use axum::{
    Json, Router,
    extract::{Path as UrlPath, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use ringheir::{
    Answer, Answered, CallOptions, Command, Context, Error, Handle, Node, Refused, Session, SessionId, Types,
    config::ClusterFile,
};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt as _, stdin},
    net::TcpListener,
};

use crate::Failed;

type Lines = BTreeMap<String, u32>;

/// What is in it, and how many of each.
#[derive(Default, Serialize, Deserialize)]
struct Cart {
    lines: Lines,
}

impl Session for Cart {
    const KIND: &'static str = "cart";

    fn absent(_: &SessionId) -> Option<Self> {
        Some(Self::default())
    }
}

#[derive(Serialize, Deserialize)]
struct Add {
    article: String,
}

impl Command for Add {
    const NAME: &'static str = "add";
    type Reply = Lines;
}

impl Handle<Add> for Cart {
    fn handle(&mut self, add: Add, _: &mut Context<Self>) -> Result<Lines, Refused> {
        let count = self.lines.entry(add.article).or_default();
        *count = count.checked_add(1).ok_or("nobody needs that many")?;
        Ok(self.lines.clone())
    }
}

#[derive(Serialize, Deserialize)]
struct Look {}

impl Command for Look {
    const NAME: &'static str = "look";
    type Reply = Lines;
}

impl Answer<Look> for Cart {
    fn answer(&self, Look {}: Look) -> Lines {
        self.lines.clone()
    }
}

/// An error of the ring as a web answer: 503 where a retry under the same key is safe, 500 otherwise.
struct Unanswered(Error);

impl IntoResponse for Unanswered {
    fn into_response(self) -> Response {
        let retry = matches!(self.0.retry(), ringheir::error::Retry::Safe | ringheir::error::Retry::SameId);
        let status = if retry { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::INTERNAL_SERVER_ERROR };
        (status, [(header::RETRY_AFTER, "1")], self.0.to_string()).into_response()
    }
}

impl From<Error> for Unanswered {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

fn shown(cart: Answered<Lines>) -> Response {
    ([("x-held-by", cart.node.name.to_string())], Json(cart.reply)).into_response()
}

async fn look(State(node): State<Node>, UrlPath(id): UrlPath<String>) -> Result<Response, Unanswered> {
    Ok(shown(node.session::<Cart>(id)?.ask_with(Look {}, CallOptions::new()).await?))
}

async fn add(
    State(node): State<Node>,
    UrlPath((id, article)): UrlPath<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Unanswered> {
    let mut options = CallOptions::new();
    // With a key, a customer who got no answer may ask again, at any instance: it is put into the cart once.
    if let Some(key) = headers.get("idempotency-key") {
        options = options.idempotency_key(key.as_bytes());
    }
    Ok(shown(node.session::<Cart>(id)?.call_with(Add { article }, options).await?))
}

/// One instance: a node of the ring, and a web server in front of it.
pub(crate) async fn serve(name: &str, web: &str, place: &Path) -> Result<(), Failed> {
    let mut types = Types::new();
    types.add::<Cart>().handles::<Add>().answers::<Look>();
    let file = ClusterFile::read(place.join("cluster.toml"))?;
    let node = Node::builder().config(file).name(name).types(types).run_dir(place).start().await?;
    node.fully_protected().await;

    let routes = Router::new().route("/cart/{id}", get(look)).route("/cart/{id}/{article}", post(add));
    let listener = TcpListener::bind(web).await?;
    println!("shop {name} is open at http://{web}, one of {} in the ring", node.view().members.len());
    let until = async {
        let mut rest = [0; 16];
        while stdin().read(&mut rest).await.is_ok_and(|read| read > 0) {}
    };
    axum::serve(listener, routes.with_state(node.clone())).with_graceful_shutdown(until).await?;
    node.stop().await;
    Ok(())
}
