//! `ringheir status`: is the cluster well? Asks every node there is, so that one that hangs or disagrees is seen.
//!
//! Exit status 1 if some node does not answer or some arc is unprotected: made for scripts that wait for a cluster.

use std::{collections::BTreeMap, process::ExitCode, time::Duration};

use clap::Args;
use serde_json::{Value, json};

use crate::{
    DOES_NOT_HOLD,
    ask::{AskError, ClusterView, HttpError, Peer, Request, Response, Table, Whom, json_of, print, said, troubles},
};

/// How long a node may take to say whether it is ready.
const PATIENCE: Duration = Duration::from_secs(2);

/// Shows every node, whether it is ready, and whether every arc has its backup.
#[derive(Args)]
#[command(
    after_help = "Exit status: 0 if every node is in the ring and ready, and every arc has its backup; 1 if not; 2 if nobody could be asked."
)]
pub(crate) struct Status {
    #[command(flatten)]
    whom: Whom,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// What one node says of itself.
struct NodeStatus {
    name: String,
    http: String,
    state: String,
    view: Option<u64>,
    serves: usize,
    guards: usize,
    member: bool,
    standing: String,
}

impl NodeStatus {
    /// A node that answers and is in the ring. One that was voted out answers, too, until it is let in again.
    fn is_well(&self) -> bool {
        self.state == "ready" && self.member
    }

    fn state(&self) -> String {
        match self.standing.as_str() {
            _ if !self.member => format!("{}, not in the ring", self.state),
            "" | "open" => self.state.clone(),
            standing => format!("{}, {standing}", self.state),
        }
    }
}

impl Status {
    pub(crate) fn run(&self) -> ExitCode {
        Whom::run(self.ask())
    }

    async fn ask(&self) -> Result<ExitCode, AskError> {
        let view = newest_view(&self.whom).await?;
        let addresses = view.members.iter().filter_map(|member| Some((member.name.clone(), member.http.clone()?)));
        let mut addresses: BTreeMap<String, String> = addresses.map(|(name, http)| (http, name)).collect();
        // Nodes of the file that are not in the view.
        for (asked, answer) in self.whom.get_all("/v1/view").await? {
            let me = answer.ok().and_then(|response| json_of::<ClusterView>(&asked.address, &response).ok()?.me);
            let name = asked.name.or(me).unwrap_or_else(|| "?".to_owned());
            addresses.entry(asked.address).or_insert(name);
        }
        let mut asked = tokio::task::JoinSet::new();
        for (http, name) in addresses {
            asked.spawn(async move {
                let mut peer = Peer::new(http.clone());
                let ready = peer.ask(&Request::get("/readyz"), PATIENCE).await;
                let theirs = peer.ask(&Request::get("/v1/view"), PATIENCE).await;
                let view = theirs.ok().and_then(|theirs| json_of::<ClusterView>(&http, &theirs).ok());
                (name, http, readiness(ready), view.map(|view| view.number))
            });
        }
        let mut nodes = Vec::new();
        for (name, http, state, number) in asked.join_all().await {
            let (serves, guards) = (view.serves(&name), view.guards(&name));
            let seen = view.members.iter().find(|member| member.name == name);
            let standing = seen.map(|member| member.standing.clone()).unwrap_or_default();
            let member = seen.is_some();
            nodes.push(NodeStatus { name, http, state, view: number, serves, guards, member, standing });
        }
        let place = |name: &str| view.members.iter().position(|member| member.name == name).unwrap_or(usize::MAX);
        nodes.sort_by(|a, b| (place(&a.name), &a.http).cmp(&(place(&b.name), &b.http)));
        let well = view.unprotected() == 0 && view.fully_protected && nodes.iter().all(NodeStatus::is_well);
        if self.json {
            print(format_args!("{}\n", as_json(&view, &nodes, well)));
        } else {
            print(as_text(&view, &nodes));
        }
        Ok(if well { ExitCode::SUCCESS } else { ExitCode::from(DOES_NOT_HOLD) })
    }
}

/// The newest view that any of the nodes asked has.
async fn newest_view(whom: &Whom) -> Result<ClusterView, AskError> {
    let mut newest: Option<ClusterView> = None;
    for (asked, answer) in whom.get_all("/v1/view").await? {
        let Some(view) = answer.ok().and_then(|response| json_of::<ClusterView>(&asked.address, &response).ok()) else {
            continue;
        };
        // Of those that have it, one that hears enough voters knows more.
        if newest.as_ref().is_none_or(|known| (known.number, known.quorum) < (view.number, view.quorum)) {
            newest = Some(view);
        }
    }
    match newest {
        Some(view) => Ok(view),
        // Asked once more so that the reason can be told.
        None => whom.get("/v1/view").await.and_then(|(address, response)| json_of(&address, &response)),
    }
}

fn readiness(answer: Result<Response, HttpError>) -> String {
    match answer {
        Ok(response) if response.status == 200 => "ready".to_owned(),
        Ok(response) => format!("not ready: {}", said(&response)),
        Err(error) => error.to_string(),
    }
}

fn as_text(view: &ClusterView, nodes: &[NodeStatus]) -> String {
    let unprotected = view.unprotected();
    let protection = match unprotected {
        _ if !view.quorum => format!(
            "NO QUORUM: {} not heard; no loss is made good until enough voters are heard again",
            view.unheard.join(", ")
        ),
        _ if !view.unheard.is_empty() => format!("{} not heard; a view without is on its way", view.unheard.join(", ")),
        0 if view.fully_protected => "every arc has its backup".to_owned(),
        0 => "every arc has a backup; not all that is wanted yet: more backups, or votes of new nodes".to_owned(),
        _ => format!("{unprotected} of {} arcs have no backup", view.arcs.len()),
    };
    let mut table = Table::new(&["node", "state", "view", "serves", "guards", "http"]);
    for node in nodes {
        let number = node.view.map_or(String::new(), |view| view.to_string());
        let counts = [node.serves.to_string(), node.guards.to_string()];
        let [serves, guards] = counts;
        table.row([node.name.clone(), node.state(), number, serves, guards, node.http.clone()]);
    }
    let members = view.members.len();
    let heard = members - members.min(view.unheard.len());
    let out: Vec<&str> = nodes.iter().filter(|node| !node.member).map(|node| node.name.as_str()).collect();
    let out = if out.is_empty() { String::new() } else { format!("; not in the ring: {}", out.join(", ")) };
    let troubles = troubles(view);
    let origin = view.succeeds.as_ref().map(|before| {
        format!(
            "on an operator's word this cluster, {}, goes on for {before}; its views are numbered from 2^32 beyond that one's\n",
            view.cluster
        )
    });
    format!(
        "view {}: {heard} of {members} members heard, {} arcs, {protection}{troubles}{out}\n{}{table}",
        view.number,
        view.arcs.len(),
        origin.unwrap_or_default()
    )
}

fn as_json(view: &ClusterView, nodes: &[NodeStatus], well: bool) -> Value {
    let nodes: Vec<Value> = nodes
        .iter()
        .map(|node| {
            json!({
                "name": node.name, "http": node.http, "state": node.state, "view": node.view,
                "serves": node.serves, "guards": node.guards, "member": node.member, "standing": node.standing,
            })
        })
        .collect();
    json!({
        "ok": well, "cluster": view.cluster, "view": view.number, "arcs": view.arcs.len(),
        "members": view.members.len(), "quorum": view.quorum, "unheard": view.unheard,
        "fully_protected": view.fully_protected, "unprotected": view.unprotected(), "unserved": view.unserved(),
        "lost": view.lost(), "succeeds": view.succeeds, "nodes": nodes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::test_views::view;

    #[test]
    fn a_cluster_is_told_with_what_is_wrong_in_it() {
        let seen = view(7, &[("a", "1"), ("b", "2")], &[("a", "b"), ("b", "")]);
        let node = |name: &str, state: &str, view| NodeStatus {
            standing: "open".to_owned(),
            name: name.to_owned(),
            http: "127.0.0.1:1".to_owned(),
            state: state.to_owned(),
            view,
            serves: 1,
            guards: 0,
            member: name != "c",
        };
        let text = as_text(&seen, &[node("a", "ready", Some(7)), node("b", "no answer", None)]);
        assert!(text.starts_with("view 7: 2 of 2 members heard, 2 arcs, 1 of 2 arcs have no backup\n"), "{text}");
        assert!(text.contains("b     no answer  -     1       0       127.0.0.1:1"), "{text}");
        let out = node("c", "ready", Some(7));
        assert!(!out.is_well());
        let text = as_text(&seen, &[out]);
        assert!(
            text.contains("ready, not in the ring") && text.contains("have no backup; not in the ring: c\n"),
            "{text}"
        );
        let cordoned = NodeStatus { standing: "cordoned".to_owned(), ..node("a", "ready", Some(7)) };
        assert!(cordoned.is_well() && as_text(&seen, &[cordoned]).contains("ready, cordoned"));
        let alone = ClusterView { quorum: false, unheard: vec!["b".to_owned()], ..seen };
        let text = as_text(&alone, &[]);
        assert!(text.contains("1 of 2 members heard"), "{text}");
        assert!(text.contains("NO QUORUM: b not heard"), "whatever the view says of backups: {text}");
    }
}
