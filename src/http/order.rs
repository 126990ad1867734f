//! Operators' words to a node: `POST /v1/node/{name}/{cordon|uncordon|drain|handback}`.
//!
//! Any node takes them; what is meant for another is sent on there (307). A page of another origin cannot give them: browsers
//! say where a request comes from, and those that come from elsewhere are refused.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::json;

use super::{door::Door, problem::Problem, state::Shared};
use crate::{Drain, Node, id::NodeName};

/// No drain and no hand-back over HTTP takes longer than this: a client that asks for more asks again.
const WITHIN_MAX: Duration = Duration::from_secs(600);

/// What may stand behind the path.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Terms {
    /// How long a drain or a hand-back may take, in milliseconds.
    within_ms: Option<u64>,
    /// Drain although sessions will lack backups then.
    #[serde(default)]
    unprotected: bool,
}

/// Carries one out.
pub(super) async fn order<D: Door>(
    State(shared): State<Arc<Shared<D>>>,
    Path((name, order)): Path<(String, String)>,
    terms: Result<Query<Terms>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    refuse_other_origins(&headers)?;
    if !matches!(order.as_str(), "cordon" | "uncordon" | "drain" | "handback") {
        return Err(Problem::no_such_page());
    }
    let Query(terms) = terms.map_err(|why| Problem::bad_request(format!("the query: {why}")))?;
    let door = shared.door()?;
    if door.name().as_str() != name {
        return elsewhere(door, &name, &order, &terms);
    }
    let within = |unsaid| terms.within_ms.map_or(unsaid, Duration::from_millis).min(WITHIN_MAX);
    let standing = match order.as_str() {
        "cordon" if door.cordon() => "cordoned",
        "uncordon" if door.uncordon() => "open",
        "cordon" | "uncordon" => {
            return Err(Problem::not_ready(
                "it was drained and has left the ring, and its process ends: start it again",
            ));
        }
        "handback" => {
            door.hand_back(within(Node::HAND_BACK_WITHIN)).await.map_err(|why| Problem::not_handed_back(&why))?;
            "open"
        }
        _ => {
            let how = Drain::new().within(within(Drain::DEFAULT_WITHIN));
            let how = if terms.unprotected { how.even_unprotected() } else { how };
            door.drain(how).await.map_err(|why| Problem::not_drained(&why))?;
            "drained"
        }
    };
    Ok(Json(json!({ "node": name, "standing": standing })).into_response())
}

/// Refuses what a browser sends for a page of another origin.
pub(super) fn refuse_other_origins(headers: &HeaderMap) -> Result<(), Problem> {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    if matches!(site, None | Some(b"none" | b"same-origin")) {
        Ok(())
    } else {
        Err(Problem::bad_request("orders are not taken from pages of another origin"))
    }
}

/// Where the order has to go.
fn elsewhere<D: Door>(door: &D, name: &str, order: &str, terms: &Terms) -> Result<Response, Problem> {
    let view = door.view();
    let member = NodeName::new(name).and_then(|name| view.named(name));
    let Some(address) = member.and_then(|m| m.http_address.clone()) else {
        let known = view.members.iter().map(|m| m.node.name.as_str()).collect::<Vec<_>>().join(", ");
        return Err(Problem::no_such_node(&format!(
            "no node {name} with an HTTP address is in the ring; there are {known}"
        )));
    };
    let within = terms.within_ms.map_or(String::new(), |ms| format!("&within_ms={ms}"));
    let location = format!("http://{address}/v1/node/{name}/{order}?unprotected={}{within}", terms.unprotected);
    let location = HeaderValue::from_str(&location).map_err(|_| Problem::no_such_node("its HTTP address is none"))?;
    Ok((StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, location)]).into_response())
}
