//! `ringheir recover`: looks why a ring stands still and what could be done, and does it on the operator's word.
//!
//! Without `--yes` it changes nothing. It asks every node that it can find, for those that are cut off from each other each see
//! something else.

use std::{collections::BTreeSet, process::ExitCode, time::Duration};

use clap::Args;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    DOES_NOT_HOLD,
    ask::{AskError, ClusterView, Peer, Request, Response, Whom, json_of, print, tell},
};

/// A recovery is answered within ten seconds, one way or the other; bringing back sessions takes as long as there are many.
const PATIENCE: Duration = Duration::from_secs(300);

/// Goes on without a quorum, or says that a node is dead, on your word.
#[derive(Args)]
#[command(
    after_help = "Without --with and --dead it says what stands and what could be done. Without --yes nothing is changed.\n\
    Whoever is not named with --with must have ended for good: what only they know is lost, and if they still run and hear \
    each other, two clusters serve the sessions."
)]
pub(crate) struct Recover {
    #[command(flatten)]
    whom: Whom,
    /// Go on with these nodes alone, all of which run.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    with: Vec<String>,
    /// This node's process has ended and does not come back.
    #[arg(long, value_name = "NAME", conflicts_with = "with")]
    dead: Option<String>,
    /// Bring back what this node's older copies have of lost arcs; sessions that were made since stay as they are.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["with", "dead"])]
    copies: Option<String>,
    /// Do it.
    #[arg(long)]
    yes: bool,
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

/// What became of their sessions.
#[derive(Deserialize)]
struct Restored {
    restored: usize,
    existed: usize,
    failed: usize,
}

/// What a recovery comes to, as a node tells it.
#[derive(Deserialize)]
struct Told {
    cluster: String,
    members: Vec<String>,
    kept: usize,
    lost: Vec<u16>,
}

struct Answering {
    address: String,
    view: ClusterView,
}

impl Recover {
    pub(crate) fn run(&self) -> ExitCode {
        Whom::run(self.look())
    }

    async fn look(&self) -> Result<ExitCode, AskError> {
        let answering = self.answering().await?;
        match (&self.dead, &self.copies) {
            (Some(name), _) => self.declare(name, &answering).await,
            (None, Some(name)) => self.restore(name, &answering).await,
            (None, None) if !self.with.is_empty() => self.go_on(&answering).await,
            (None, None) => {
                show(&answering, &self.whom.spelled());
                for Answering { address, view } in &answering {
                    say_kept(address, view.me.as_deref().unwrap_or(address)).await?;
                }
                Ok(ExitCode::SUCCESS)
            }
        }
    }

    /// Who answers, and what each sees.
    async fn answering(&self) -> Result<Vec<Answering>, AskError> {
        let mut answering = Vec::new();
        let mut why_not = None;
        for (asked, answer) in self.whom.get_all("/v1/view").await? {
            match answer {
                Ok(response) if response.status == 200 => {
                    let view = json_of(&asked.address, &response)?;
                    answering.push(Answering { address: asked.address, view });
                }
                Ok(_) => tell(format_args!("{} is in no ring yet", asked.name.unwrap_or(asked.address))),
                Err(why) => why_not = Some((asked.address, why)),
            }
        }
        match why_not {
            Some(nobody) if answering.is_empty() => Err(AskError::Nobody(vec![nobody])),
            _ => Ok(answering),
        }
    }

    async fn go_on(&self, answering: &[Answering]) -> Result<ExitCode, AskError> {
        let is_named = |a: &&Answering| a.view.me.as_ref().is_some_and(|me| self.with.contains(me));
        let Some(asked) = answering.iter().find(is_named) else {
            tell(format_args!("none of {} answers over HTTP: one of them has to be asked", self.with.join(", ")));
            return Ok(ExitCode::from(DOES_NOT_HOLD));
        };
        let path = format!("/v1/recovery?with={}", self.with.join(","));
        let method = if self.yes { "POST" } else { "GET" };
        let response = ask(&asked.address, method, &path).await?;
        if response.status != 200 {
            return Ok(declined(&response));
        }
        let Told { cluster, members, kept, lost } = json_of(&asked.address, &response)?;
        let with = members.join(", ");
        let lost_words = if lost.is_empty() { "none is lost".to_owned() } else { format!("{} are lost", lost.len()) };
        print(if self.yes {
            format!(
                "{with} go on as cluster {cluster}: {kept} arcs are served from the copies they have, {lost_words}\n"
            )
        } else {
            format!(
                "{with} would go on as another cluster: {kept} arcs would be served from the copies they have, {lost_words}\n\
                 nothing was changed; if every other node has ended for good, say it again with --yes\n"
            )
        });
        Ok(ExitCode::SUCCESS)
    }

    async fn restore(&self, name: &str, answering: &[Answering]) -> Result<ExitCode, AskError> {
        let Some(Answering { address, .. }) = answering.iter().find(|a| a.view.me.as_deref() == Some(name)) else {
            tell(format_args!("{name} does not answer over HTTP: it has to be asked itself"));
            return Ok(ExitCode::from(DOES_NOT_HOLD));
        };
        if !self.yes {
            say_kept(address, name).await?;
            print("nothing was changed; what was acknowledged after those copies were dropped stays lost\n");
            return Ok(ExitCode::SUCCESS);
        }
        let response = ask(address, "POST", &format!("/v1/recovery?copies={name}")).await?;
        if response.status != 200 {
            return Ok(declined(&response));
        }
        let Restored { restored, existed, failed } = json_of(address, &response)?;
        print(format_args!(
            "{restored} sessions are back as {name} had them; {existed} had been made anew and stay; {failed} could not be made\n"
        ));
        Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(DOES_NOT_HOLD) })
    }

    async fn declare(&self, name: &str, answering: &[Answering]) -> Result<ExitCode, AskError> {
        let Some(asked) = answering.first() else { return Ok(ExitCode::from(DOES_NOT_HOLD)) };
        if !self.yes {
            print(format_args!(
                "nothing was changed; if the process of {name} has ended and does not come back, say it again with --yes\n"
            ));
            return Ok(ExitCode::SUCCESS);
        }
        let response = ask(&asked.address, "POST", &format!("/v1/recovery?dead={name}")).await?;
        if response.status != 200 {
            return Ok(declined(&response));
        }
        print(format_args!("{name} counts as dead: arcs whose last copy it had are lost, all others go on\n"));
        Ok(ExitCode::SUCCESS)
    }
}

/// Says which older copies of lost arcs a node has.
async fn say_kept(address: &str, name: &str) -> Result<(), AskError> {
    let response = ask(address, "GET", "/v1/recovery").await?;
    let Kept { stale } = json_of(address, &response)?;
    let wanted = || stale.iter().filter(|copy| copy.wanted);
    let sessions: usize = wanted().map(|copy| copy.sessions).sum();
    if sessions > 0 {
        print(format_args!(
            "{name} keeps older copies of {} lost arcs, with {sessions} sessions: ringheir recover --copies {name} brings them back\n",
            wanted().count()
        ));
    }
    Ok(())
}

async fn ask(address: &str, method: &'static str, path: &str) -> Result<Response, AskError> {
    let request = Request { method, path, headers: &[], body: None };
    let answer = Peer::new(address.to_owned()).ask(&request, PATIENCE).await;
    answer.map_err(|why| AskError::Nobody(vec![(address.to_owned(), why)]))
}

fn declined(response: &Response) -> ExitCode {
    let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    tell(body["detail"].as_str().or(body["title"].as_str()).unwrap_or("no reason given"));
    ExitCode::from(DOES_NOT_HOLD)
}

/// What stands, and what could be done about it.
fn show(answering: &[Answering], whom: &str) {
    for Answering { address, view } in answering {
        let me = view.me.as_deref().unwrap_or(address);
        let quorum = if view.quorum { "hears a quorum" } else { "hears NO QUORUM" };
        let unheard =
            if view.unheard.is_empty() { String::new() } else { format!("; not heard: {}", view.unheard.join(", ")) };
        let waiting = view.arcs.iter().filter(|arc| arc.state == "recovering").count();
        let lost = view.arcs.iter().filter(|arc| arc.lost_at.is_some()).count();
        let arcs = format!("{waiting} of {} arcs wait for a copy, {lost} are lost", view.arcs.len());
        print(format_args!("{me}: view {} {quorum}{unheard}; {arcs}\n", view.number));
    }
    let Some(most) = answering.iter().max_by_key(|a| a.view.number) else { return };
    if answering.iter().any(|a| a.view.quorum) {
        let waiting: BTreeSet<&str> = most
            .view
            .arcs
            .iter()
            .filter(|arc| arc.state == "recovering")
            .flat_map(|arc| arc.in_sync.iter().chain([&arc.primary]))
            .map(String::as_str)
            .collect();
        if waiting.is_empty() {
            print("the ring decides by itself: there is nothing to recover\n");
        }
        for name in waiting {
            print(format_args!(
                "start the process of {name} again if it only hangs; if it is gone for good: ringheir recover {whom} --dead {name}\n"
            ));
        }
        return;
    }
    let heard = |a: &Answering| {
        let members = a.view.members.iter().map(|m| m.name.clone());
        members.filter(|name| !a.view.unheard.contains(name)).collect::<Vec<_>>()
    };
    let names: BTreeSet<String> = answering.iter().flat_map(heard).collect();
    let names: Vec<String> = names.into_iter().collect();
    print(format_args!(
        "the ring decides nothing. Bring back the processes that are not heard; if they are gone for good, go on with those that\n\
         answer: ringheir recover {whom} --with {}\n",
        names.join(",")
    ));
}
