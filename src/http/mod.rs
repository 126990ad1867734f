//! The HTTP of a node: sessions as JSON documents for programs in any language, and a look at the ring.
//!
//! A guest: it uses the node as any caller would, and takes no decision about the ring.
//!
//! | path | |
//! |---|---|
//! | `/healthz` | 200: the process answers |
//! | `/readyz` | 200: new callers may be sent here; 503 while starting or draining |
//! | `/v1/session/{kind}/{id}` | `GET`, `HEAD`, `PUT`, `PATCH` (merge), `DELETE`; any node takes any session |
//! | `/v1/view` | the view that this node has installed |
//! | `/v1/arcs` | what this node holds, by arc |
//! | `/v1/events` | what happens, as server-sent events |
//!
//! Whatever is no success is `application/problem+json` with a stable `type`.

mod body;
mod condition;
mod door;
mod lifespan;
mod look;
mod node;
mod order;
mod patience;
mod problem;
mod recovery;
mod request_key;
mod server;
mod session;
mod settings;
mod state;
mod stream;
mod strict;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::{
    Router,
    routing::{get, post},
};

use self::{door::Door, problem::Problem, state::Shared};
pub use self::{node::HttpServer, server::HttpError};

fn routes<D: Door>(shared: Arc<Shared<D>>) -> Router {
    let session =
        get(session::read::<D>).put(session::write::<D>).patch(session::write::<D>).delete(session::write::<D>);
    Router::new()
        .route("/healthz", get(look::health))
        .route("/readyz", get(look::ready::<D>))
        .route("/v1/view", get(look::view::<D>))
        .route("/v1/arcs", get(look::arcs::<D>))
        .route("/v1/events", get(stream::events::<D>))
        .route("/v1/node/{name}/{order}", post(order::order::<D>))
        .route("/v1/recovery", get(recovery::plan::<D>).post(recovery::recover::<D>))
        .route("/v1/session/{kind}/{id}", session)
        .fallback(async || Problem::no_such_page())
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .with_state(shared)
}
