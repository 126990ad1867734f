//! The judgement of a run on real processes: the simulator's checkers on what callers were told and on what every node shows at
//! the end.

use std::{collections::BTreeMap, time::Duration};

use ringheir::sim::check::{Action, FinalState, Outcome, Reply, Violation, lost_changes, of_callers};
use tokio::time::sleep;

use super::{
    Healed,
    caller::{Answer, Common, arc_of, read_through},
    notes::Board,
};
use crate::ask::Peer;

/// One node may take so long for one of the last readings.
const PATIENCE: Duration = Duration::from_secs(1);
/// Then it is asked again, so often.
const READINGS: usize = 8;

/// Says what was violated. Where it did not heal there is no final state to judge.
pub(super) async fn judge(board: &Board, common: &Common, healed: Healed) -> Vec<Violation> {
    let mut violations = std::mem::take(&mut board.notes().wrong);
    let finals = match &healed {
        Healed::Whole => finals(board, common, &mut violations).await,
        Healed::Not(missing) => {
            violations.push(Violation::new("liveness", format_args!("not healed: {missing}")).at(board.now()));
            BTreeMap::new()
        }
        Healed::Never => BTreeMap::new(),
    };
    let notes = board.notes();
    let losses = notes.losses_of(common.work.sessions, common.arcs);
    violations.extend(of_callers(&notes.history, &losses, (healed == Healed::Whole).then_some(&finals)));
    violations
}

/// How many changes had been acknowledged when their session lost its last copy.
pub(super) fn lost_commands(board: &Board, common: &Common) -> u64 {
    let notes = board.notes();
    lost_changes(&notes.history, &notes.losses_of(common.work.sessions, common.arcs))
}

/// Every session, read through every node. Each reading is an operation of the history as well.
async fn finals(board: &Board, common: &Common, violations: &mut Vec<Violation>) -> BTreeMap<u32, FinalState> {
    let mut finals = BTreeMap::new();
    let reader = common.work.clients;
    for door in &common.doors {
        let is_there = board.notes().newest.as_ref().is_some_and(|view| view.incarnation(&door.name).is_some());
        if !is_there {
            continue; // It joins in no step that was played.
        }
        let mut peer = Peer::new(door.http.clone());
        for session in 0..common.work.sessions {
            let arc = arc_of(session, common.arcs);
            let Some(operation) = board.notes().asked(session, reader, Action::Read, arc) else { return finals };
            let (began, mut outcome) = (board.now(), Outcome::NotDone);
            for _ in 0..READINGS {
                match read_through(&mut peer, session, PATIENCE).await {
                    Some(Answer::Done(seen)) => {
                        let register = seen.register();
                        outcome = Outcome::Done(Reply { value: register.value, version: register.version });
                        finals.insert(session, seen.as_final());
                        break;
                    }
                    Some(Answer::Lost) => break,
                    _ => sleep(Duration::from_millis(20)).await,
                }
            }
            let is_lost = board.notes().arcs_lost.contains_key(&arc);
            if outcome == Outcome::NotDone && !is_lost {
                let words = format!("{} does not answer for session {session} in the end", door.name);
                violations.push(Violation::new("liveness", words).of(Some(operation)));
            }
            let mut notes = board.notes();
            let (waited, failed) = (notes.now().saturating_sub(began), notes.failed);
            notes.answered(operation, outcome, waited);
            // These are the judge's own, and a lost session is told so.
            notes.failed = failed;
        }
    }
    finals
}
