//! `ringheir arcs`: every arc, who serves it, who guards it, and what the node asked holds of it.

use std::{collections::BTreeMap, process::ExitCode};

use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::ask::{ArcSeen, AskError, ClusterView, Peer, Request, Table, Whom, json_of, print, troubles};

/// Shows every arc of the view that the node asked has, with what that node holds.
#[derive(Args)]
pub(crate) struct Arcs {
    #[command(flatten)]
    whom: Whom,
    /// Only arcs without a backup, or without a living primary.
    #[arg(long)]
    unprotected: bool,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// What a table shows of an `ArcReport`; the rest passes through to JSON.
#[derive(Deserialize)]
struct Held {
    arc: u16,
    part: String,
    #[serde(default)]
    sessions: u64,
    #[serde(default)]
    committed: u64,
    #[serde(default)]
    lag: u64,
}

impl Arcs {
    pub(crate) fn run(&self) -> ExitCode {
        Whom::run(self.ask())
    }

    async fn ask(&self) -> Result<ExitCode, AskError> {
        let (address, response) = self.whom.get("/v1/view").await?;
        let view: ClusterView = json_of(&address, &response)?;
        let raw: Value = json_of(&address, &response)?;
        // The same node: what it holds, beside what it believes.
        let held = Peer::new(address.clone()).ask(&Request::get("/v1/arcs"), std::time::Duration::from_secs(2)).await;
        let held = held.map_err(|error| AskError::Nobody(vec![(address.clone(), error)]))?;
        let shown = |arc: &ArcSeen| !self.unprotected || !arc.is_protected();
        if self.json {
            let held: Value = json_of(&address, &held)?;
            let numbers: Vec<u16> = view.arcs.iter().filter(|arc| shown(arc)).map(|arc| arc.arc).collect();
            let of = |list: &Value| -> Vec<Value> {
                let all = list.as_array().cloned().unwrap_or_default();
                all.into_iter().filter(|arc| numbers.iter().any(|number| arc["arc"] == *number)).collect()
            };
            print(format_args!(
                "{}\n",
                json!({ "view": view.number, "me": view.me, "arcs": of(&raw["arcs"]), "held": of(&held) })
            ));
        } else {
            let held: Vec<Held> = json_of(&address, &held)?;
            print(as_text(&view, &held, shown));
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn as_text(view: &ClusterView, held: &[Held], shown: impl Fn(&ArcSeen) -> bool) -> String {
    let held: BTreeMap<u16, &Held> = held.iter().map(|held| (held.arc, held)).collect();
    let me = view.me.as_deref().unwrap_or("here");
    let mut table = Table::new(&[
        "arc",
        "state",
        "home",
        "primary",
        "backups",
        "joins",
        "since",
        me,
        "sessions",
        "committed",
        "lag",
    ]);
    for arc in view.arcs.iter().filter(|arc| shown(arc)) {
        let here = held.get(&arc.arc).filter(|held| !held.part.eq_ignore_ascii_case("away"));
        let number = |of: fn(&Held) -> u64| here.map_or(String::new(), |held| of(held).to_string());
        let state = if arc.is_lost() { format!("{}, lost", arc.state) } else { arc.state.clone() };
        table.row([
            arc.arc.to_string(),
            state,
            arc.home.clone(),
            arc.primary.clone(),
            arc.in_sync.join(","),
            arc.catching_up.clone().unwrap_or_default(),
            arc.since.to_string(),
            here.map_or(String::new(), |held| held.part.to_ascii_lowercase()),
            number(|held| held.sessions),
            number(|held| held.committed),
            number(|held| held.lag),
        ]);
    }
    let serves = |held: &Held| ["active", "lost", "promoting"].iter().any(|part| held.part.eq_ignore_ascii_case(part));
    let unprotected = view.arcs.iter().filter(|arc| !arc.is_protected());
    let sessions: u64 =
        unprotected.filter_map(|arc| held.get(&arc.arc)).filter(|h| serves(h)).map(|h| h.sessions).sum();
    let troubles = troubles(view);
    format!(
        "view {}, {} arcs, {} without a backup ({me} serves {sessions} sessions of them){troubles}\n{table}",
        view.number,
        view.arcs.len(),
        view.unprotected(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::test_views::view;

    #[test]
    fn each_arc_has_a_line_with_what_the_node_holds() {
        let mut seen = view(3, &[("a", "1"), ("b", "2")], &[("a", "b"), ("b", "")]);
        seen.arcs[1].lost_at = Some(3);
        let held = vec![
            Held { arc: 0, part: "Active".to_owned(), sessions: 12, committed: 99, lag: 1 },
            Held { arc: 1, part: "Away".to_owned(), sessions: 0, committed: 0, lag: 0 },
        ];
        let text = as_text(&seen, &held, |_| true);
        let rows: Vec<Vec<&str>> = text.lines().skip(2).map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows[0], ["0", "protected", "a", "a", "b", "-", "3", "active", "12", "99", "1"]);
        assert_eq!(rows[1], ["1", "solo,", "lost", "b", "b", "-", "-", "3", "-", "-", "-", "-"]);
        assert_eq!(as_text(&seen, &held, |arc| !arc.is_protected()).lines().count(), 3);
    }
}
