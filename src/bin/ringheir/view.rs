//! `ringheir view`: the agreed view, as one node has it: members, voters, who serves and who guards.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use crate::ask::{AskError, ClusterView, Table, Whom, json_of, print};

/// Shows the newest agreed view that the node asked has.
#[derive(Args)]
pub(crate) struct View {
    #[command(flatten)]
    whom: Whom,
    /// Print the node's JSON instead of text.
    #[arg(long)]
    json: bool,
}

impl View {
    pub(crate) fn run(&self) -> ExitCode {
        Whom::run(self.ask())
    }

    async fn ask(&self) -> Result<ExitCode, AskError> {
        let (address, response) = self.whom.get("/v1/view").await?;
        if self.json {
            print(format_args!("{}\n", json_of::<Value>(&address, &response)?));
        } else {
            print(as_text(&json_of(&address, &response)?));
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn as_text(view: &ClusterView) -> String {
    let mut members = Table::new(&["node", "incarnation", "role", "votes", "serves", "guards", "cluster", "http"]);
    for member in &view.members {
        members.row([
            member.name.clone(),
            member.incarnation.chars().take(8).collect(),
            member.role.clone(),
            if member.voter { "yes" } else { "no" }.to_owned(),
            view.serves(&member.name).to_string(),
            view.guards(&member.name).to_string(),
            member.cluster.clone(),
            member.http.clone().unwrap_or_default(),
        ]);
    }
    let mut links = Table::new(&["primary", "backup", "arcs"]);
    for ((primary, backup), arcs) in view.links() {
        links.row([primary.to_owned(), backup.to_owned(), arcs.to_string()]);
    }
    let of = view.me.as_ref().map_or(String::new(), |me| format!(", as {me} has it"));
    let protection = match view.unprotected() {
        0 => "every arc has a backup".to_owned(),
        unprotected => format!("{unprotected} of {} arcs have no backup", view.arcs.len()),
    };
    let absent = view.absent_voter.as_ref().map_or(String::new(), |name| {
        format!("{name} was voted out while it was silent and keeps its vote until it is back\n")
    });
    format!("view {} of cluster {}{of}\n\n{members}\n{links}\n{absent}{protection}\n", view.number, view.cluster)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::test_views::view;

    #[test]
    fn members_and_links_are_told() {
        let text = as_text(&view(7, &[("a", "12345678abc"), ("b", "2")], &[("a", "b"), ("a", "b"), ("b", "")]));
        assert!(text.contains("a     12345678     host  yes    2       0"), "{text}");
        assert!(text.contains("a        b       2"), "{text}");
        assert!(text.ends_with("1 of 3 arcs have no backup\n") && !text.contains("voted out"), "{text}");
        let away =
            ClusterView { absent_voter: Some("c".to_owned()), ..view(8, &[("a", "1"), ("b", "2")], &[("a", "b")]) };
        assert!(
            as_text(&away).contains("c was voted out while it was silent and keeps its vote"),
            "{}",
            as_text(&away)
        );
    }
}
