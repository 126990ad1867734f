//! `ringheir recover`: looks why a ring stands still and what could be done, and does it on the operator's word.
//!
//! Without `--yes` it changes nothing. It asks every node that it can find, for those that are cut off from each other each see
//! something else.

mod looking;

use std::{process::ExitCode, time::Duration};

use clap::{ArgGroup, Args};
use serde::Deserialize;

use self::looking::{Answering, Told, answering, say_kept, show};
use crate::{
    DOES_NOT_HOLD, INTERRUPTED,
    ask::{AskError, Peer, Request, Response, Whom, json_of, print, said, tell},
};

/// What only looks is answered sooner than this.
const SHORT: Duration = Duration::from_secs(5);
/// A recovery is answered within ten seconds, one way or the other; bringing back sessions takes as long as there are many.
const LONG: Duration = Duration::from_secs(300);

/// Goes on without a quorum, says that a node is dead, brings back older copies, clears what is lost: on your word.
#[derive(Args)]
#[command(
    group = ArgGroup::new("deed"),
    after_help = "Alone it says what stands and what could be done; the exit status is 1 if the ring does not go on by itself. Without\n\
    --yes nothing is changed. Whoever is not named with --with must have ended for good: what only they know is lost, and if\n\
    they still run and hear each other, two clusters serve the sessions."
)]
pub(crate) struct Recover {
    #[command(flatten)]
    whom: Whom,
    /// Go on with these nodes alone, all of which run.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = name, group = "deed")]
    with: Vec<String>,
    /// This node's process has ended and does not come back.
    #[arg(long, value_name = "NAME", value_parser = name, group = "deed")]
    dead: Option<String>,
    /// Bring back what this node's older copies have of lost arcs; sessions that were made since stay as they are.
    #[arg(long, value_name = "NAME", value_parser = name, group = "deed")]
    copies: Option<String>,
    /// What was lost is known: ids that are not there are answered as if they had never existed.
    #[arg(long, group = "deed")]
    clear_lost: bool,
    /// Do it.
    #[arg(long, requires = "deed")]
    yes: bool,
}

fn name(word: &str) -> Result<String, String> {
    match ringheir::id::NodeName::new(word) {
        Some(_) => Ok(word.to_owned()),
        None => Err("a node's name is letters, digits, '-', '_' and '.'".to_owned()),
    }
}

/// What became of the sessions of older copies.
#[derive(Deserialize)]
struct Restored {
    restored: usize,
    existed: usize,
    failed: usize,
}

/// What the word that a node has ended comes to.
#[derive(Deserialize)]
struct Death {
    lost: Vec<u16>,
    quorum: bool,
}

#[derive(Deserialize)]
struct Cleared {
    cleared: Vec<u16>,
}

impl Recover {
    pub(crate) fn run(&self) -> ExitCode {
        Whom::run(async {
            tokio::select! {
                ended = self.look() => ended,
                _ = tokio::signal::ctrl_c() => {
                    let goes_on = "interrupted: what was asked for may go on. To see what came of it";
                    tell(if self.yes { format!("{goes_on}: ringheir recover {}", self.whom.spelled()) } else { "interrupted".to_owned() });
                    Ok(ExitCode::from(INTERRUPTED))
                }
            }
        })
    }

    async fn look(&self) -> Result<ExitCode, AskError> {
        let answering = answering(&self.whom).await?;
        if let Some(name) = &self.dead {
            self.declare(name, &answering).await
        } else if let Some(name) = &self.copies {
            self.restore(name, &answering).await
        } else if self.clear_lost {
            self.clear(&answering).await
        } else if !self.with.is_empty() {
            self.go_on(&answering).await
        } else {
            let goes_on = show(&answering, &self.whom.spelled()).await?;
            Ok(if goes_on { ExitCode::SUCCESS } else { ExitCode::from(DOES_NOT_HOLD) })
        }
    }

    async fn go_on(&self, answering: &[Answering]) -> Result<ExitCode, AskError> {
        let Some(asked) = answering.iter().find(|node| self.with.iter().any(|name| name == node.name())) else {
            return Ok(refused(&format!(
                "none of {} answers over HTTP: one of them has to be asked",
                self.with.join(", ")
            )));
        };
        let path = format!("/v1/recovery?with={}", self.with.join(","));
        let method = if self.yes { "POST" } else { "GET" };
        let response = ask(&asked.address, method, &path).await?;
        if response.status != 200 {
            return Ok(refused(&said(&response)));
        }
        let told: Told = json_of(&asked.address, &response)?;
        let (with, kept, lost, cluster) = (told.members.join(", "), told.kept, told.lost_words(), &told.cluster);
        print(if self.yes {
            format!("{with} go on as cluster {cluster}: {kept} arcs are served from the copies they have, {lost}\n")
        } else {
            format!(
                "{with} would go on as another cluster: {kept} arcs would be served from the copies they have, {lost}\n\
                 nothing was changed; if every other node has ended for good, say it again with --yes\n"
            )
        });
        Ok(ExitCode::SUCCESS)
    }

    async fn restore(&self, name: &str, answering: &[Answering]) -> Result<ExitCode, AskError> {
        let Some(node) = answering.iter().find(|node| node.name() == name) else {
            return Ok(refused(&format!(
                "{name} has to be asked itself, and is not found: say --config, or --node with its own HTTP address"
            )));
        };
        if !self.yes {
            if node.view.left_behind_by.is_some() {
                print(format_args!(
                    "{name} would come into the ring that went on without it, and the sessions that it holds of arcs that are lost there \
                     would be made anew\n"
                ));
            } else if !say_kept(node, &self.whom.spelled()).await? {
                print(format_args!("{name} keeps no older copies of lost arcs\n"));
            }
            print("nothing was changed; what was acknowledged after those copies were dropped stays lost\n");
            return Ok(ExitCode::SUCCESS);
        }
        let response = ask(&node.address, "POST", &format!("/v1/recovery?copies={name}")).await?;
        if response.status != 200 {
            return Ok(refused(&said(&response)));
        }
        let Restored { restored, existed, failed } = json_of(&node.address, &response)?;
        print(format_args!(
            "{restored} sessions are back as {name} had them; {existed} had been made anew and stay; {failed} could not be made\n"
        ));
        Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(DOES_NOT_HOLD) })
    }

    async fn declare(&self, name: &str, answering: &[Answering]) -> Result<ExitCode, AskError> {
        let Some(asked) = in_ring(answering) else { return Ok(refused("no node answers that is in the ring")) };
        let path = format!("/v1/recovery?dead={name}");
        let response = ask(&asked.address, "GET", &path).await?;
        if response.status != 200 {
            return Ok(refused(&said(&response)));
        }
        let Death { lost, quorum } = json_of(&asked.address, &response)?;
        let unheard = if quorum {
            ""
        } else {
            "no quorum is heard: nothing comes of it until one is, unless `majority_or_proof` makes this one the proof that lacked;\n\
             to go on without those who are gone: recover --with\n"
        };
        let lost = lost.len();
        if !self.yes {
            print(format_args!(
                "{lost} arcs have no copy but {name}'s: they wait, and would be lost. All others go on.\n{unheard}nothing was changed; \
                 if the process of {name} has ended and does not come back, say it again with --yes\n"
            ));
            return Ok(ExitCode::SUCCESS);
        }
        let response = ask(&asked.address, "POST", &path).await?;
        if response.status != 200 {
            return Ok(refused(&said(&response)));
        }
        print(format_args!(
            "{name} counts as dead: the {lost} arcs that only it had are lost, all others go on\n{unheard}"
        ));
        Ok(ExitCode::SUCCESS)
    }

    async fn clear(&self, answering: &[Answering]) -> Result<ExitCode, AskError> {
        let Some(asked) = in_ring(answering) else { return Ok(refused("no node answers that is in the ring")) };
        if !self.yes {
            print(format_args!(
                "{} arcs are lost. Cleared, they answer for ids that they do not know as if those had never existed, and older copies\n\
                 that are kept for them are let go. What is lost stays lost.\nnothing was changed; say it again with --yes\n",
                asked.view.lost()
            ));
            return Ok(ExitCode::SUCCESS);
        }
        let response = ask(&asked.address, "POST", "/v1/recovery?clear=lost").await?;
        if response.status != 200 {
            return Ok(refused(&said(&response)));
        }
        let Cleared { cleared } = json_of(&asked.address, &response)?;
        print(format_args!("{} arcs count as lost no longer\n", cleared.len()));
        Ok(ExitCode::SUCCESS)
    }
}

/// One to be told what is for the whole ring: whoever hears a quorum before whoever does not.
fn in_ring(answering: &[Answering]) -> Option<&Answering> {
    let in_ring = answering.iter().filter(|node| node.view.left_behind_by.is_none());
    in_ring.max_by_key(|node| (node.view.quorum, node.view.number))
}

async fn ask(address: &str, method: &'static str, path: &str) -> Result<Response, AskError> {
    let request = Request { method, path, headers: &[], body: None };
    let patience = if method == "GET" { SHORT } else { LONG };
    let answer = Peer::new(address.to_owned()).ask(&request, patience).await;
    answer.map_err(|why| AskError::Nobody(vec![(address.to_owned(), why)]))
}

fn refused(why: &str) -> ExitCode {
    tell(why);
    ExitCode::from(DOES_NOT_HOLD)
}
