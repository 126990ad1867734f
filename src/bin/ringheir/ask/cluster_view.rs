//! A view as a node shows it over HTTP (`/v1/view`): names instead of ids, for people and for programs outside.
//!
//! Unknown fields are left aside, so that an older binary can look at a newer node.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;

use super::http::{Peer, Request};

/// What `/v1/view` answers.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ClusterView {
    /// The cluster's uuid.
    #[serde(default)]
    pub(crate) cluster: String,
    /// The view's number.
    pub(crate) number: u64,
    /// Every arc has as many in-sync backups as it should.
    pub(crate) fully_protected: bool,
    /// Whether the node that answered hears enough voters for a next view.
    #[serde(default = "yes")]
    pub(crate) quorum: bool,
    /// Members that it does not hear.
    #[serde(default)]
    pub(crate) unheard: Vec<String>,
    /// The cluster that went on without the node that answered.
    #[serde(default)]
    pub(crate) left_behind_by: Option<String>,
    /// The cluster that this one goes on for, on an operator's word.
    #[serde(default)]
    pub(crate) succeeds: Option<String>,
    /// A process that was voted out while it was silent and keeps its vote until it is back.
    #[serde(default)]
    pub(crate) absent_voter: Option<String>,
    /// The node that answered.
    #[serde(default)]
    pub(crate) me: Option<String>,
    /// In ring order.
    pub(crate) members: Vec<MemberSeen>,
    /// By number.
    pub(crate) arcs: Vec<ArcSeen>,
}

const fn yes() -> bool {
    true
}

/// One node of a view.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct MemberSeen {
    /// Its name in the cluster file.
    pub(crate) name: String,
    /// Which start of that name.
    pub(crate) incarnation: String,
    /// host, backup_only, edge or witness.
    #[serde(default)]
    pub(crate) role: String,
    /// open, cordoned or draining.
    #[serde(default)]
    pub(crate) standing: String,
    /// Its HTTP address.
    #[serde(default)]
    pub(crate) http: Option<String>,
    /// Where other nodes dial it.
    #[serde(default)]
    pub(crate) cluster: String,
    /// Whether it votes on the next view.
    #[serde(default)]
    pub(crate) voter: bool,
}

/// One arc of a view.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ArcSeen {
    /// Its number.
    pub(crate) arc: u16,
    /// Whose it is when that node is up.
    #[serde(default)]
    pub(crate) home: String,
    /// Who serves it.
    pub(crate) primary: String,
    /// Who holds every acknowledged commit of it besides.
    pub(crate) in_sync: Vec<String>,
    /// Who is receiving everything.
    #[serde(default)]
    pub(crate) catching_up: Option<String>,
    /// The view that installed the primary.
    #[serde(default)]
    pub(crate) since: u64,
    /// protected, solo or recovering.
    pub(crate) state: String,
    /// The view in which every copy was proved gone.
    #[serde(default)]
    pub(crate) lost_at: Option<u64>,
    /// An operator is done with that loss.
    #[serde(default)]
    pub(crate) loss_cleared: bool,
}

impl ArcSeen {
    /// Whether ids that it does not know are answered `lost`.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost_at.is_some() && !self.loss_cleared
    }

    /// Whether an in-sync backup guards it.
    pub(crate) fn is_protected(&self) -> bool {
        self.state == "protected"
    }
}

impl ClusterView {
    /// Which start of `name` is in the view.
    pub(crate) fn incarnation(&self, name: &str) -> Option<&str> {
        self.members.iter().find(|member| member.name == name).map(|member| member.incarnation.as_str())
    }

    /// How many arcs `name` serves.
    pub(crate) fn serves(&self, name: &str) -> usize {
        self.arcs.iter().filter(|arc| arc.primary == name).count()
    }

    /// How many arcs `name` is an in-sync backup of.
    pub(crate) fn guards(&self, name: &str) -> usize {
        self.arcs.iter().filter(|arc| arc.in_sync.iter().any(|backup| backup == name)).count()
    }

    /// How many arcs have no in-sync backup, or no living primary.
    pub(crate) fn unprotected(&self) -> usize {
        self.arcs.iter().filter(|arc| !arc.is_protected()).count()
    }

    /// How many arcs are lost, and no operator has cleared that.
    pub(crate) fn lost(&self) -> usize {
        self.arcs.iter().filter(|arc| arc.is_lost()).count()
    }

    /// How many arcs nobody serves as far as the node that answered knows: their primary is not heard, or gone.
    pub(crate) fn unserved(&self) -> usize {
        let is_heard = |name: &String| !self.unheard.contains(name);
        self.arcs.iter().filter(|arc| arc.state == "recovering" || !is_heard(&arc.primary)).count()
    }

    /// From which primary to which in-sync backup how many arcs are copied.
    pub(crate) fn links(&self) -> BTreeMap<(&str, &str), usize> {
        let mut links = BTreeMap::new();
        for arc in &self.arcs {
            for backup in &arc.in_sync {
                *links.entry((arc.primary.as_str(), backup.as_str())).or_insert(0) += 1;
            }
        }
        links
    }
}

/// Asks one node for its view, at most so long.
pub(crate) async fn view_of(peer: &mut Peer, within: Duration) -> Option<ClusterView> {
    let response = peer.ask(&Request::get("/v1/view"), within).await.ok()?;
    if response.status == 200 { serde_json::from_slice(&response.body).ok() } else { None }
}

/// What of a view's arcs callers notice, as words to be put behind others; empty where nothing is wrong.
pub(crate) fn troubles(view: &ClusterView) -> String {
    let mut words = String::new();
    let (unserved, lost) = (view.unserved(), view.lost());
    if unserved > 0 {
        words += &format!("; {unserved} have no primary that is heard");
    }
    if lost > 0 {
        words += &format!("; {lost} were lost: what they do not know is answered so until `recover --clear-lost`");
    }
    words
}

#[cfg(test)]
pub(crate) mod test_views {
    use super::*;

    /// A view whose members are `members` (name and incarnation) and whose arcs are given as (primary, in-sync backup or "").
    pub(crate) fn view(number: u64, members: &[(&str, &str)], arcs: &[(&str, &str)]) -> ClusterView {
        let arcs: Vec<ArcSeen> = (0u16..)
            .zip(arcs)
            .map(|(arc, (primary, backup))| ArcSeen {
                arc,
                home: (*primary).to_owned(),
                primary: (*primary).to_owned(),
                in_sync: if backup.is_empty() { Vec::new() } else { vec![(*backup).to_owned()] },
                catching_up: None,
                since: number,
                state: if backup.is_empty() { "solo" } else { "protected" }.to_owned(),
                lost_at: None,
                loss_cleared: false,
            })
            .collect();
        ClusterView {
            cluster: String::new(),
            number,
            fully_protected: arcs.iter().all(ArcSeen::is_protected),
            quorum: true,
            unheard: Vec::new(),
            left_behind_by: None,
            succeeds: None,
            absent_voter: None,
            me: None,
            members: members
                .iter()
                .map(|(name, incarnation)| MemberSeen {
                    standing: "open".to_owned(),
                    name: (*name).to_owned(),
                    incarnation: (*incarnation).to_owned(),
                    role: "host".to_owned(),
                    http: None,
                    cluster: String::new(),
                    voter: true,
                })
                .collect(),
            arcs,
        }
    }

    #[test]
    fn links_and_shares_are_counted() {
        let seen = view(3, &[("a", "1"), ("b", "2")], &[("a", "b"), ("a", "b"), ("b", "a"), ("b", "")]);
        assert_eq!(seen.links(), BTreeMap::from([(("a", "b"), 2), (("b", "a"), 1)]));
        assert_eq!((seen.serves("a"), seen.guards("b"), seen.unprotected()), (2, 2, 1));
        assert_eq!((seen.incarnation("b"), seen.incarnation("c")), (Some("2"), None));
    }

    #[test]
    fn a_view_of_a_newer_node_can_still_be_read() {
        let text = r#"{"number": 1, "fully_protected": false, "members": [{"name": "a", "incarnation": "x", "new": 1}],
            "arcs": [{"arc": 0, "primary": "a", "in_sync": [], "state": "solo", "lost_at": null}], "newer": {}}"#;
        let seen: ClusterView = serde_json::from_str(text).expect("readable");
        assert_eq!((seen.arcs.len(), seen.unprotected()), (1, 1));
    }
}
