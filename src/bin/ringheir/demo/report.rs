//! The result of a demo: the object for programs, the summary for people, and the verdict behind the exit status.

use std::{fmt::Write as _, time::Duration};

use serde_json::{Value, json};

use super::{board::Notes, ledger::Wrong, measure::Fault, plan::Deed};
use crate::{
    ask::ClusterView,
    spread::{Spread, ms},
};

/// What the run was, and what came of it.
pub(crate) struct Report<'a> {
    /// Nodes of the cluster.
    pub(crate) nodes: usize,
    /// Sessions.
    pub(crate) sessions: u32,
    /// Arcs.
    pub(crate) arcs: u16,
    /// How long the clients really ran.
    pub(crate) ran: Duration,
    /// Everything written down.
    pub(crate) notes: &'a Notes,
    /// Final readings without an answer.
    pub(crate) unread: u64,
    /// Nodes that ended though nobody killed them.
    pub(crate) ended: &'a [String],
    /// At the end there were enough nodes that every arc should have its backup.
    pub(crate) should_be_protected: bool,
    /// And every arc has.
    pub(crate) is_protected: bool,
    /// Living nodes through which everything was read at the end.
    pub(crate) read_through: usize,
}

fn fault(fault: &Fault, began: ringheir::moment::Moment) -> Value {
    let promoted = Spread::of(fault.promoted.values().filter_map(|first| *first));
    json!({
        "time": ms(fault.at.since(began)), "what": fault.deed.word(), "node": fault.node,
        "arcs": fault.promoted.len(), "arcs_served_again": promoted.map_or(0, |spread| spread.count),
        "sessions_touched": fault.unavailable.len(),
        "unavailable_ms": Spread::json(Spread::of(fault.unavailable.values().copied()), true),
        "promoted_ms": Spread::json(promoted, false),
        "back_in_the_ring_ms": fault.back.map(ms),
        "protected_again_ms": fault.protected.map(ms),
    })
}

impl Report<'_> {
    /// What does not hold; empty if all does.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let Wrong { lost, duplicated, stale, false_answers } = self.notes.wrong;
        let mut complaints = Vec::new();
        let mut complain = |count: u64, what: &str| {
            if count > 0 {
                complaints.push(format!("{count} {what}"));
            }
        };
        complain(lost, "acknowledged command(s) lost");
        complain(duplicated, "command(s) applied more than once");
        complain(stale, "stale read(s)");
        complain(false_answers, "answer(s) that fit nothing that was asked");
        complain(self.unread, "final reading(s) without an answer");
        for name in self.ended {
            complaints.push(format!("node {name} ended though nobody killed it"));
        }
        if self.should_be_protected && !self.is_protected {
            complaints.push("not every arc has its backup again".to_owned());
        }
        complaints
    }

    /// One object, with the events.
    pub(crate) fn json(&self) -> Value {
        let (notes, measure) = (self.notes, &self.notes.measure);
        let events: Vec<Value> = notes
            .events()
            .map(|event| json!({ "time": ms(event.at), "what": event.what, "node": event.node }))
            .collect();
        let complaints = self.complaints();
        json!({
            "ok": complaints.is_empty(), "complaints": complaints, "wrong": notes.told,
            "nodes": self.nodes, "sessions": self.sessions, "arcs": self.arcs,
            "seconds": (self.ran.as_secs_f64() * 1000.0).round() / 1000.0,
            "acked": measure.acked, "acked_writes": measure.acked_writes,
            "lost": notes.wrong.lost, "duplicated": notes.wrong.duplicated, "stale_reads": notes.wrong.stale,
            "false_answers": notes.wrong.false_answers, "unread": self.unread,
            "failed": measure.failed, "retried": measure.retried,
            "unavailable_ms": Spread::json(measure.unavailable_spread(), true),
            "promoted_ms": Spread::json(measure.promoted_spread(), false),
            "protected_again_ms": Spread::json(measure.protected_spread(), false),
            "protected_at_the_end": self.is_protected, "arcs_lost": self.arcs_lost(),
            "ops_per_s": self.ops_per_s(),
            "faults": measure.faults.iter().map(|one| fault(one, notes.began)).collect::<Vec<_>>(),
            "events": events,
        })
    }

    /// Arcs whose copies are all gone, as the cluster itself says.
    fn arcs_lost(&self) -> usize {
        let lost = |view: &ClusterView| view.arcs.iter().filter(|arc| arc.lost_at.is_some()).count();
        self.notes.view.as_deref().map_or(0, lost)
    }

    fn ops_per_s(&self) -> u64 {
        let seconds = self.ran.as_secs_f64();
        if seconds > 0.0 { (self.notes.measure.acked as f64 / seconds) as u64 } else { 0 }
    }

    /// What a person wants to know.
    pub(crate) fn text(&self) -> String {
        let (notes, measure) = (self.notes, &self.notes.measure);
        let mut text = String::new();
        let mut say = |line: std::fmt::Arguments<'_>| {
            writeln!(text, "{line}").expect("a String takes all that is written");
        };
        say(format_args!(
            "{} nodes, {} sessions in {} arcs, {:.1} s, {} commands a second",
            self.nodes,
            self.sessions,
            self.arcs,
            self.ran.as_secs_f64(),
            self.ops_per_s()
        ));
        for fault in &measure.faults {
            let at = fault.at.since(notes.began).as_secs_f64();
            say(format_args!("\n{} {} at {at:.3} s", did(fault.deed), fault.node));
            if fault.deed.takes_away() {
                let promoted = Spread::of(fault.promoted.values().filter_map(|first| *first));
                match promoted {
                    Some(spread) => say(format_args!(
                        "  its arcs served again             {:>8.1} ms (half of {} arcs within {:.1} ms)",
                        ms(spread.max),
                        fault.promoted.len(),
                        ms(spread.p50)
                    )),
                    None if fault.promoted.is_empty() => say(format_args!("  it served no arc that has sessions")),
                    None => {}
                }
                let never = fault.promoted.values().filter(|first| first.is_none()).count();
                if never > 0 {
                    say(format_args!("  {never} of its {} arcs never served again", fault.promoted.len()));
                }
                match fault.protected {
                    Some(protected) => {
                        say(format_args!("  every arc has a backup again      {:>8.1} ms", ms(protected)));
                    }
                    None => say(format_args!("  not every arc had a backup again")),
                }
            } else {
                match fault.back {
                    Some(back) => say(format_args!("  it is in the ring again            {:>8.1} ms", ms(back))),
                    None => say(format_args!("  it was not in the ring again")),
                }
                match fault.protected {
                    Some(protected) => {
                        say(format_args!("  every arc has its backup with it   {:>8.1} ms", ms(protected)));
                    }
                    None => say(format_args!("  not every arc had its backup with it")),
                }
            }
            if let Some(spread) = Spread::of(fault.unavailable.values().copied()) {
                say(format_args!(
                    "  sessions that had to wait         {:>8}    (half {:.1} ms, 99 % {:.1} ms, longest {:.1} ms)",
                    spread.count,
                    ms(spread.p50),
                    ms(spread.p99),
                    ms(spread.max)
                ));
            }
        }
        say(format_args!(
            "\n{} commands acknowledged ({} writes), {} failed; then all sessions read through {} node(s)",
            measure.acked, measure.acked_writes, measure.failed, self.read_through
        ));
        say(format_args!(
            "{} commands were sent more than once: an attempt was refused, or not answered in time",
            measure.retried
        ));
        let wrong = notes.wrong;
        say(format_args!("lost {}   duplicated {}   stale reads {}", wrong.lost, wrong.duplicated, wrong.stale));
        if self.arcs_lost() > 0 {
            say(format_args!(
                "every copy of {} arc(s) was taken away before another could be made; their sessions answer Lost",
                self.arcs_lost()
            ));
        }
        let complaints = self.complaints();
        for told in &notes.told {
            say(format_args!("  {told}"));
        }
        if complaints.is_empty() {
            say(format_args!("Well: every acknowledged command is there, once."));
        } else {
            say(format_args!("NOT WELL: {}", complaints.join("; ")));
        }
        text
    }
}

const fn did(deed: Deed) -> &'static str {
    match deed {
        Deed::Kill => "killed",
        Deed::Hang => "hung",
        Deed::Resume => "resumed",
        Deed::Restart => "restarted",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::test_views::view;

    fn report(notes: &Notes) -> Report<'_> {
        Report {
            nodes: 4,
            sessions: 1000,
            arcs: 64,
            ran: Duration::from_secs(20),
            notes,
            unread: 0,
            ended: &[],
            should_be_protected: true,
            is_protected: true,
            read_through: 4,
        }
    }

    #[test]
    fn the_object_has_the_fields_that_programs_rely_on() {
        let notes = Notes::default();
        let json = report(&notes).json();
        for field in [
            "nodes",
            "sessions",
            "seconds",
            "acked",
            "lost",
            "duplicated",
            "stale_reads",
            "failed",
            "retried",
            "ops_per_s",
            "events",
        ] {
            assert!(!json[field].is_null(), "{field} in {json}");
        }
        for (field, parts) in [
            ("unavailable_ms", &["p50", "p99", "max"][..]),
            ("promoted_ms", &["p50", "max"]),
            ("protected_again_ms", &["p50", "max"]),
        ] {
            let object = json[field].as_object().expect(field);
            assert!(parts.iter().all(|part| object.contains_key(*part)), "{field} in {json}");
        }
    }

    #[test]
    fn a_node_that_came_back_is_told_with_when_it_was_in_the_ring_and_protected_again() {
        let (whole, full) = ([("a", "1"), ("b", "2")], [("a", "b"), ("b", "a")]);
        let mut notes = Notes::default();
        let at = |ms: u64| ringheir::moment::Moment::from_nanos(ms * 1_000_000);
        let inhabited = std::collections::BTreeSet::from([0, 1]);
        notes.measure.fault(
            at(1_000),
            Deed::Restart,
            "a",
            &view(1, &[("b", "2")], &[("b", ""), ("b", "")]),
            &inhabited,
        );
        let told = report(&notes).text();
        assert!(told.contains("restarted a at 1.000 s\n  it was not in the ring again\n"), "{told}");
        notes.measure.saw(at(1_250), &view(2, &whole, &full));
        let told = report(&notes).text();
        let line =
            |what: &str| told.lines().find(|line| line.contains(what)).unwrap_or_else(|| panic!("{told}")).to_owned();
        assert!(line("it is in the ring again").ends_with("250.0 ms"), "{told}");
        assert!(line("every arc has its backup with it").ends_with("250.0 ms"), "{told}");
        assert!(line("were sent more than once").starts_with("0 commands"), "{told}");
        assert_eq!(report(&notes).json()["faults"][0]["back_in_the_ring_ms"], 250.0);
    }

    #[test]
    fn each_thing_that_does_not_hold_is_a_complaint() {
        let fine = Notes::default();
        assert_eq!(report(&fine).complaints(), [""; 0]);
        assert!(report(&fine).text().contains("Well: "));
        let mut planted = vec![];
        for wrong in [
            Wrong { lost: 1, ..Wrong::default() },
            Wrong { duplicated: 1, ..Wrong::default() },
            Wrong { stale: 1, ..Wrong::default() },
            Wrong { false_answers: 1, ..Wrong::default() },
        ] {
            let mut notes = Notes::default();
            notes.wrong = wrong;
            planted.push(report(&notes).complaints().len());
            assert!(report(&notes).text().contains("NOT WELL: 1 "));
            assert_eq!(report(&notes).json()["ok"], false);
        }
        planted.push(Report { unread: 1, ..report(&fine) }.complaints().len());
        planted.push(Report { ended: &["b".to_owned()], ..report(&fine) }.complaints().len());
        planted.push(Report { is_protected: false, ..report(&fine) }.complaints().len());
        assert_eq!(planted, [1; 7]);
        let alone = Report { is_protected: false, should_be_protected: false, ..report(&fine) };
        assert_eq!(alone.complaints().len(), 0, "a single node cannot be protected");
    }
}
