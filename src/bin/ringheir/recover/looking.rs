//! Looking at a ring that may stand still: what each node that can be found sees, and what an operator could say.
//!
//! Nothing here changes anything.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::ask;
use crate::ask::{AskError, ClusterView, Whom, json_of, print, said, tell};

/// A node that answers, and what it sees.
pub(super) struct Answering {
    pub(super) address: String,
    pub(super) view: ClusterView,
}

impl Answering {
    pub(super) fn name(&self) -> &str {
        self.view.me.as_deref().unwrap_or(&self.address)
    }
}

/// The older copies that a node keeps.
#[derive(Deserialize)]
struct Kept {
    stale: Vec<StaleArc>,
}

#[derive(Deserialize)]
struct StaleArc {
    sessions: usize,
    wanted: bool,
}

/// What a recovery comes to, as a node tells it.
#[derive(Deserialize)]
pub(super) struct Told {
    pub(super) cluster: String,
    pub(super) members: Vec<String>,
    pub(super) kept: usize,
    pub(super) lost: Vec<u16>,
}

impl Told {
    pub(super) fn lost_words(&self) -> String {
        if self.lost.is_empty() { "none is lost".to_owned() } else { format!("{} are lost", self.lost.len()) }
    }
}

/// Who answers, of those to be asked and of those that these know, and what each sees.
pub(super) async fn answering(whom: &Whom) -> Result<Vec<Answering>, AskError> {
    let mut answering: Vec<Answering> = Vec::new();
    let mut tried = BTreeSet::new();
    let mut why_not = None;
    for (asked, answer) in whom.get_all("/v1/view").await? {
        tried.insert(asked.address.clone());
        match answer {
            Ok(response) if response.status == 200 => {
                let view = json_of(&asked.address, &response)?;
                answering.push(Answering { address: asked.address, view });
            }
            Ok(response) => tell(format_args!("{}: {}", asked.name.unwrap_or(asked.address), said(&response))),
            Err(why) => why_not = Some((asked.address, why)),
        }
    }
    let members = answering.iter().flat_map(|a| &a.view.members).filter_map(|member| member.http.clone());
    let others: BTreeSet<String> = members.filter(|http| !tried.contains(http)).collect();
    for address in others {
        let Ok(response) = ask(&address, "GET", "/v1/view").await else { continue };
        if let Ok(view) = json_of(&address, &response) {
            answering.push(Answering { address, view });
        }
    }
    match why_not {
        Some(nobody) if answering.is_empty() => Err(AskError::Nobody(vec![nobody])),
        _ => Ok(answering),
    }
}

/// Says what stands, and what could be done about it; says whether all of it goes on by itself.
pub(super) async fn show(answering: &[Answering], whom: &str) -> Result<bool, AskError> {
    for node in answering {
        let (me, view) = (node.name(), &node.view);
        if let Some(by) = &view.left_behind_by {
            print(format_args!(
                "{me}: view {}, LEFT BEHIND: the ring went on without it, as cluster {by}\n",
                view.number
            ));
            continue;
        }
        let quorum = if view.quorum { "hears a quorum" } else { "hears NO QUORUM" };
        let unheard =
            if view.unheard.is_empty() { String::new() } else { format!("; not heard: {}", view.unheard.join(", ")) };
        let waiting = view.arcs.iter().filter(|arc| arc.state == "recovering").count();
        print(format_args!(
            "{me}: view {}, {quorum}{unheard}; of {} arcs {} have no primary that is heard, {waiting} wait for a copy, {} are lost\n",
            view.number,
            view.arcs.len(),
            view.unserved(),
            view.lost()
        ));
    }
    for node in answering.iter().filter(|node| node.view.left_behind_by.is_some()) {
        let me = node.name();
        print(format_args!(
            "{me} was left out of a recovery and kept what it holds. It follows with that, and brings back what was lost there:\n  \
             ringheir recover {whom} --copies {me}\nStarted anew it follows with nothing.\n"
        ));
    }
    let ring: Vec<&Answering> = answering.iter().filter(|node| node.view.left_behind_by.is_none()).collect();
    let mut goes_on = ring.len() == answering.len();
    if ring.iter().any(|node| node.view.quorum) {
        goes_on &= show_waiting(&ring, whom);
    } else if !ring.is_empty() {
        goes_on = false;
        show_cut_off(&ring, whom).await?;
    }
    for node in &ring {
        say_kept(node, whom).await?;
    }
    if ring.iter().any(|node| node.view.quorum && node.view.lost() > 0) {
        print(format_args!(
            "ids that a lost arc does not know are answered as lost. Once that is known to those who have to:\n  \
             ringheir recover {whom} --clear-lost\n"
        ));
    }
    Ok(goes_on)
}

/// A ring with a quorum waits only for processes that may live; says whether there are none.
fn show_waiting(ring: &[&Answering], whom: &str) -> bool {
    let Some(most) = ring.iter().max_by_key(|node| (node.view.quorum, node.view.number)) else { return true };
    let recovering = most.view.arcs.iter().filter(|arc| arc.state == "recovering");
    let waiting: BTreeSet<&str> =
        recovering.flat_map(|arc| arc.in_sync.iter().chain([&arc.primary])).map(String::as_str).collect();
    if waiting.is_empty() {
        print("the ring decides by itself: there is nothing to recover\n");
    }
    for name in &waiting {
        print(format_args!(
            "arcs wait for a process of {name}. Let it go on if it only hangs; if it is gone for good:\n  \
             ringheir recover {whom} --dead {name}\n"
        ));
    }
    waiting.is_empty()
}

async fn show_cut_off(ring: &[&Answering], whom: &str) -> Result<(), AskError> {
    let heard = |node: &&Answering| {
        let members = node.view.members.iter().map(|m| m.name.clone());
        members.filter(|name| !node.view.unheard.contains(name)).collect::<Vec<_>>()
    };
    let names: BTreeSet<String> = ring.iter().flat_map(heard).collect();
    let names = names.into_iter().collect::<Vec<_>>().join(",");
    print(format_args!(
        "the ring decides nothing. Bring back the processes that are not heard; if they are gone for good, go on with those that\n\
         answer:\n  ringheir recover {whom} --with {names}\n"
    ));
    let response = ask(&ring[0].address, "GET", &format!("/v1/recovery?with={names}")).await?;
    if response.status == 200 {
        let told: Told = json_of(&ring[0].address, &response)?;
        print(format_args!("  {} arcs would be served from the copies they have, {}\n", told.kept, told.lost_words()));
    } else {
        print(format_args!("  which would not do yet: {}\n", said(&response)));
    }
    Ok(())
}

/// Says which older copies of lost arcs a node has; says whether there are any.
pub(super) async fn say_kept(node: &Answering, whom: &str) -> Result<bool, AskError> {
    let response = ask(&node.address, "GET", "/v1/recovery").await?;
    let Kept { stale } = json_of(&node.address, &response)?;
    let wanted = || stale.iter().filter(|copy| copy.wanted);
    let sessions: usize = wanted().map(|copy| copy.sessions).sum();
    if sessions > 0 {
        let name = node.name();
        print(format_args!(
            "{name} keeps older copies of {} lost arcs, with {sessions} sessions. To bring them back:\n  \
             ringheir recover {whom} --copies {name} --yes\n",
            wanted().count()
        ));
    }
    Ok(sessions > 0)
}
