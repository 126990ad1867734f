//! Operators' words where the ring cannot go on by itself: `/v1/recovery?with=a,b`, `?dead=a`, `?copies=a`, `?clear=lost`.
//!
//! GET says what going on with those nodes alone, or a node's death, would come to, or which older copies the node asked has.
//! POST does it, brings back what older copies have, or clears what is lost. The node that is asked does it: it is not sent on.

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::json;

use super::{door::Door, order::refuse_other_origins, problem::Problem, state::Shared};
use crate::{
    Death, Recovery,
    id::{ArcId, NodeName},
};

/// What may stand in the query.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Words {
    /// With whom to go on.
    with: Option<String>,
    /// Whose process has ended.
    dead: Option<String>,
    /// Whose older copies of lost arcs are accepted.
    copies: Option<String>,
    /// Of what is done with: `clear=lost`.
    clear: Option<String>,
}

fn name(word: &str) -> Result<NodeName, Problem> {
    NodeName::new(word).ok_or_else(|| Problem::bad_request(format!("{word:?} is no name of a node")))
}

fn names(words: &str) -> Result<BTreeSet<NodeName>, Problem> {
    words.split(',').map(name).collect()
}

fn numbers(arcs: &[ArcId]) -> Vec<u16> {
    arcs.iter().map(|arc| arc.0).collect()
}

fn shown(recovery: &Recovery) -> Response {
    let Recovery { cluster, view, members, kept, lost } = recovery;
    let lost = numbers(lost);
    let members: Vec<&str> = members.iter().map(NodeName::as_str).collect();
    Json(json!({ "cluster": cluster, "view": view.0, "members": members, "kept": kept, "lost": lost })).into_response()
}

/// What it would come to.
pub(super) async fn plan<D: Door>(
    State(shared): State<Arc<Shared<D>>>,
    words: Result<Query<Words>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(words) = words.map_err(|why| Problem::bad_request(format!("the query: {why}")))?;
    let door = shared.door()?;
    match words {
        Words { with: Some(with), dead: None, copies: None, clear: None } => {
            let planned = door.plan_recovery(&names(&with)?).map_err(|why| Problem::not_recovered(&why))?;
            Ok(shown(&planned))
        }
        Words { with: None, dead: Some(dead), copies: None, clear: None } => {
            let death = door.plan_death(name(&dead)?).map_err(|why| Problem::not_recovered(&why))?;
            let Death { processes, lost, quorum } = death;
            Ok(Json(json!({ "dead": processes, "lost": numbers(&lost), "quorum": quorum })).into_response())
        }
        Words { with: None, dead: None, copies: None, clear: None } => {
            let left_behind_by = door.outlook().left_behind_by;
            let stale = door.stale_copies().await;
            Ok(Json(json!({ "node": door.name(), "left_behind_by": left_behind_by, "stale": stale })).into_response())
        }
        _ => Err(Problem::bad_request(
            "say with whom to go on, ?with=a,b, or whose process has ended, ?dead=a, or nothing",
        )),
    }
}

/// Does it.
pub(super) async fn recover<D: Door>(
    State(shared): State<Arc<Shared<D>>>,
    words: Result<Query<Words>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    refuse_other_origins(&headers)?;
    let Query(words) = words.map_err(|why| Problem::bad_request(format!("the query: {why}")))?;
    let door = shared.door()?;
    match words {
        Words { with: Some(with), dead: None, copies: None, clear: None } => {
            let done = door.recover(&names(&with)?).await.map_err(|why| Problem::not_recovered(&why))?;
            Ok(shown(&done))
        }
        Words { with: None, dead: None, copies: Some(copies), clear: None } => {
            if name(&copies)? != door.name() {
                return Err(Problem::bad_request(format!(
                    "this is {}: ask the node whose copies are meant",
                    door.name()
                )));
            }
            let restored = door.restore_stale().await.map_err(|why| Problem::not_recovered(&why))?;
            Ok(Json(restored).into_response())
        }
        Words { with: None, dead: Some(dead), copies: None, clear: None } => {
            let ended = door.declare_dead(name(&dead)?).await.map_err(|why| Problem::not_recovered(&why))?;
            Ok(Json(json!({ "dead": ended })).into_response())
        }
        Words { with: None, dead: None, copies: None, clear: Some(what) } if what == "lost" => {
            let cleared = door.clear_lost().await.map_err(|why| Problem::not_recovered(&why))?;
            Ok(Json(json!({ "cleared": numbers(&cleared) })).into_response())
        }
        _ => Err(Problem::bad_request(
            "say with whom to go on, ?with=a,b, or whose process has ended, ?dead=a, or whose older copies count, ?copies=a, or \
             that what is lost is known, ?clear=lost",
        )),
    }
}
