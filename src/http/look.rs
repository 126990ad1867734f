//! Looking at a node: `/healthz`, `/readyz`, `/v1/view`, `/v1/arcs`. Nothing here changes anything.

use std::{num::NonZeroU16, sync::Arc};

use axum::{
    Json,
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::{door::Door, problem::Problem, state::Shared};
use crate::{
    id::{NodeId, NodeName},
    membership::{ArcState, Outlook, Pin, Role, Standing, View},
};

/// A view as people and programs outside the cluster read it: names where the ring has ids.
#[derive(Debug, Serialize)]
pub(super) struct ShownView<'a> {
    me: NodeName,
    cluster: String,
    number: u64,
    fully_protected: bool,
    pin: Pin,
    quorum: bool,
    unheard: Vec<NodeName>,
    left_behind_by: Option<String>,
    succeeds: Option<String>,
    absent_voter: Option<NodeName>,
    members: Vec<ShownMember<'a>>,
    arcs: Vec<ShownArc>,
}

#[derive(Debug, Serialize)]
struct ShownMember<'a> {
    name: NodeName,
    incarnation: String,
    role: Role,
    zone: Option<&'a str>,
    http: Option<&'a str>,
    cluster: &'a str,
    voter: bool,
    standing: Standing,
    weight: NonZeroU16,
    claims: bool,
}

#[derive(Debug, Serialize)]
struct ShownArc {
    arc: u16,
    home: NodeName,
    primary: NodeName,
    in_sync: Vec<NodeName>,
    catching_up: Option<NodeName>,
    since: u64,
    state: ArcState,
    lost_at: Option<u64>,
    loss_cleared: bool,
}

impl<'a> ShownView<'a> {
    pub(super) fn of(view: &'a View, outlook: &Outlook, me: NodeName) -> Self {
        let name = |node: &NodeId| node.name;
        let members = view.members.iter().map(|member| ShownMember {
            name: member.node.name,
            incarnation: member.node.incarnation.to_string(),
            role: member.role,
            zone: member.zone.as_deref(),
            http: member.http_address.as_deref(),
            cluster: &member.cluster_address,
            voter: view.votes(member.node),
            standing: member.standing,
            weight: member.weight,
            claims: member.claims,
        });
        let arcs = view.entries().map(|(arc, entry)| ShownArc {
            arc: arc.0,
            home: entry.home,
            primary: entry.primary.name,
            in_sync: entry.in_sync.iter().map(name).collect(),
            catching_up: entry.catching_up.as_ref().map(name),
            since: entry.since.0,
            state: view.state_of(entry),
            lost_at: entry.lost_at.map(|number| number.0),
            loss_cleared: entry.loss_cleared,
        });
        Self {
            me,
            cluster: view.cluster.to_string(),
            number: view.number.0,
            fully_protected: outlook.fully_protected,
            pin: view.shape.pin,
            quorum: outlook.has_quorum(),
            unheard: outlook.unheard.clone(),
            left_behind_by: outlook.left_behind_by.map(|cluster| cluster.to_string()),
            succeeds: view.succeeds.first().map(|cluster| cluster.to_string()),
            absent_voter: view.absent_voter().as_ref().map(name),
            members: members.collect(),
            arcs: arcs.collect(),
        }
    }
}

/// The process answers; no more is said.
pub(super) async fn health() -> Response {
    fresh("ok\n")
}

/// New callers may be sent here.
pub(super) async fn ready<D: Door>(State(shared): State<Arc<Shared<D>>>) -> Result<Response, Problem> {
    shared.ready().map(|_| fresh("ready\n"))
}

/// The view that this node has installed.
pub(super) async fn view<D: Door>(State(shared): State<Arc<Shared<D>>>) -> Result<Response, Problem> {
    let door = shared.door()?;
    let view = door.view();
    Ok(fresh(Json(ShownView::of(&view, &door.outlook(), door.name()))))
}

/// What this node holds, by arc.
pub(super) async fn arcs<D: Door>(State(shared): State<Arc<Shared<D>>>) -> Result<Response, Problem> {
    let arcs = shared.door()?.arcs();
    let late = |_| Problem::not_ready("its workers did not answer in time");
    Ok(fresh(Json(tokio::time::timeout(shared.settings.deadline, arcs).await.map_err(late)?)))
}

fn fresh(shown: impl IntoResponse) -> Response {
    let mut response = shown.into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
