//! Histories that are right are not blamed; each planted wrong is found, by its name, and counted once.

use serde_json::Value;

use super::*;

/// Other sessions share the numbers that versions are taken from.
const STEP: u64 = 3;

/// A session store that does what it is told, honestly or not.
#[derive(Clone, Default)]
struct Store {
    version: u64,
    document: Value,
}

impl Store {
    fn apply(&mut self, write: &Write) {
        let patch: Value = serde_json::from_str(&write.body).expect("JSON");
        if self.document.is_null() {
            self.document = serde_json::json!({ "n": 0, "w": {} });
        }
        self.document["n"] = patch["n"].clone();
        let shown = self.document["w"].as_object_mut().expect("an object");
        for (number, value) in patch["w"].as_object().expect("an object") {
            if value.is_null() {
                shown.remove(number);
            } else {
                shown.insert(number.clone(), value.clone());
            }
        }
        self.version += STEP;
    }

    fn seen(&self) -> Seen {
        if self.version == 0 {
            return Seen::Absent;
        }
        let document = serde_json::from_value(self.document.clone()).expect("a document");
        Seen::There { version: self.version, document: Some(document) }
    }

    /// What an answer without a body tells.
    fn version_only(&self) -> Seen {
        Seen::There { version: self.version, document: None }
    }
}

fn write(ledger: &mut Ledger, store: &mut Store) -> Write {
    let write = ledger.next_write();
    if let Some(expected) = write.expected {
        assert_eq!(expected, store.version, "a certain version is the version");
    }
    store.apply(&write);
    ledger.acknowledged(write.number, &store.seen());
    write
}

fn after(writes: usize) -> (Ledger, Store, Vec<Write>) {
    let (mut ledger, mut store) = (Ledger::new("t.0".to_owned()), Store::default());
    let made = (0..writes).map(|_| write(&mut ledger, &mut store)).collect();
    assert_eq!(ledger.wrong(), Wrong::default(), "{:?}", ledger.first_wrong());
    (ledger, store, made)
}

fn wrong(lost: u64, duplicated: u64, stale: u64) -> Wrong {
    Wrong { lost, duplicated, stale, false_answers: 0 }
}

#[test]
fn an_honest_history_is_not_blamed() {
    for writes in [0, 1, 2, 15, 16, 17, 40] {
        let (mut ledger, store, _) = after(writes);
        ledger.read(&store.seen());
        ledger.finally(&[store.seen(), store.seen()]);
        assert_eq!(ledger.wrong(), Wrong::default(), "{writes}: {:?}", ledger.first_wrong());
    }
}

#[test]
fn a_write_without_an_answer_may_have_happened_or_not_or_happen_late() {
    for happens in ["at once", "never", "late"] {
        for before in [1, 3, 17, 30] {
            let (mut ledger, mut store, _) = after(before);
            let open = ledger.next_write();
            if happens == "at once" {
                store.apply(&open);
            }
            ledger.unanswered(open.number);
            assert!(ledger.wants_reading());
            ledger.read(&store.seen());
            assert!(!ledger.wants_reading());
            for _ in 0..20 {
                write(&mut ledger, &mut store);
                ledger.read(&store.seen());
            }
            if happens == "late" {
                store.apply(&open);
            }
            ledger.read(&store.seen());
            for _ in 0..20 {
                write(&mut ledger, &mut store);
            }
            ledger.finally(&[store.seen()]);
            assert_eq!(ledger.wrong(), Wrong::default(), "{happens}, {before}: {:?}", ledger.first_wrong());
        }
    }
}

#[test]
fn an_answer_that_shows_only_the_version_is_enough_for_an_honest_history() {
    let (mut ledger, mut store) = (Ledger::new("t.0".to_owned()), Store::default());
    for turn in 0..40 {
        let write = ledger.next_write();
        store.apply(&write);
        if turn == 20 {
            ledger.unanswered(write.number);
        } else {
            ledger.acknowledged(write.number, &store.version_only());
        }
    }
    ledger.finally(&[store.seen()]);
    assert_eq!(ledger.wrong(), Wrong::default(), "{:?}", ledger.first_wrong());
}

#[test]
fn an_acknowledged_write_that_the_end_does_not_show_is_lost() {
    let (mut ledger, store, _) = after(5);
    let before = store;
    let mut store = before.clone();
    write(&mut ledger, &mut store);
    ledger.finally(&[before.seen(), before.seen()]);
    assert_eq!(ledger.wrong(), wrong(1, 0, 0));
}

#[test]
fn a_write_lost_in_the_middle_is_found_by_the_next_acknowledgement_and_counted_once() {
    for (only_version, jump) in [(false, 0), (true, 0), (false, 100)] {
        let (mut ledger, store, _) = after(5);
        let mut without = store.clone();
        without.version += jump;
        write(&mut ledger, &mut store.clone());
        for _ in 0..30 {
            let next = ledger.next_write();
            without.apply(&next);
            ledger.acknowledged(next.number, &if only_version { without.version_only() } else { without.seen() });
        }
        ledger.read(&without.seen());
        ledger.finally(&[without.seen()]);
        assert_eq!(ledger.wrong(), wrong(1, 0, 0), "{:?}", ledger.first_wrong());
    }
}

#[test]
fn a_whole_session_lost_loses_each_of_its_writes() {
    let (mut ledger, _, _) = after(7);
    ledger.finally(&[Seen::Absent, Seen::Absent]);
    assert_eq!(ledger.wrong(), wrong(7, 0, 0));
}

#[test]
fn a_write_that_the_version_counts_and_the_document_has_not_is_lost() {
    let (mut ledger, mut store, _) = after(9);
    store.document["w"].as_object_mut().expect("an object").remove("7");
    ledger.read(&store.seen());
    ledger.finally(&[store.seen()]);
    assert_eq!(ledger.wrong(), wrong(1, 0, 0), "{:?}", ledger.first_wrong());
}

#[test]
fn a_write_whose_value_became_another_is_lost() {
    let (mut ledger, mut store, _) = after(9);
    store.document["w"]["7"] = "t.1.7".into();
    ledger.finally(&[store.seen()]);
    assert_eq!(ledger.wrong(), wrong(1, 0, 0), "{:?}", ledger.first_wrong());
}

#[test]
fn a_retry_applied_twice_at_once_is_duplicated() {
    let (mut ledger, mut store, made) = after(5);
    store.apply(&made[4]);
    ledger.read(&store.seen());
    ledger.read(&store.seen());
    write_unconditioned(&mut ledger, &mut store);
    ledger.finally(&[store.seen()]);
    assert_eq!(ledger.wrong(), wrong(0, 1, 0), "{:?}", ledger.first_wrong());
}

#[test]
fn an_old_write_applied_again_much_later_is_duplicated_even_if_the_version_hides_it() {
    let (mut ledger, mut store, made) = after(30);
    store.apply(&made[3]);
    store.version -= STEP;
    ledger.read(&store.seen());
    ledger.read(&store.seen());
    assert_eq!(ledger.wrong(), wrong(0, 1, 0), "{:?}", ledger.first_wrong());

    let (mut ledger, mut store, made) = after(8);
    store.apply(&made[6]);
    store.version -= STEP;
    ledger.read(&store.seen());
    ledger.read(&store.seen());
    assert_eq!(ledger.wrong(), wrong(0, 1, 0), "{:?}", ledger.first_wrong());
}

#[test]
fn an_old_write_applied_again_is_counted_once_though_version_and_document_both_show_it() {
    for old in [3, 20, 28] {
        let (mut ledger, mut store, made) = after(30);
        store.apply(&made[old]);
        ledger.read(&store.seen());
        ledger.read(&store.seen());
        for _ in 0..20 {
            write_unconditioned(&mut ledger, &mut store);
        }
        ledger.finally(&[store.seen()]);
        assert_eq!(ledger.wrong(), wrong(0, 1, 0), "{old}: {:?}", ledger.first_wrong());
    }
}

#[test]
fn a_write_that_never_happened_does_not_hide_a_duplicate() {
    let (mut ledger, mut store, made) = after(5);
    let never = ledger.next_write();
    ledger.unanswered(never.number);
    store.apply(&made[4]);
    ledger.read(&store.seen());
    assert_eq!(ledger.wrong(), wrong(0, 1, 0), "{:?}", ledger.first_wrong());
}

#[test]
fn a_retry_stopped_by_its_own_version_was_executed_twice() {
    let (mut ledger, mut store, _) = after(5);
    let conditioned = ledger.next_write();
    assert_eq!(conditioned.expected, Some(5 * STEP));
    store.apply(&conditioned);
    ledger.contradicted(conditioned.number, &store.seen());
    ledger.finally(&[store.seen()]);
    assert_eq!(ledger.wrong(), wrong(0, 1, 0), "{:?}", ledger.first_wrong());
}

#[test]
fn a_version_that_does_not_fit_is_lost_or_duplicated_or_a_false_answer() {
    let (mut ledger, mut store, made) = after(5);
    let conditioned = ledger.next_write();
    store.apply(&made[4]);
    ledger.contradicted(conditioned.number, &store.seen());
    assert_eq!(ledger.wrong(), wrong(0, 1, 0), "{:?}", ledger.first_wrong());

    let (mut ledger, store, _) = after(5);
    let conditioned = ledger.next_write();
    ledger.contradicted(conditioned.number, &store.seen());
    assert_eq!(ledger.wrong(), Wrong { false_answers: 1, ..Wrong::default() });

    let (before, (mut ledger, _, _)) = (after(4).1, after(5));
    let conditioned = ledger.next_write();
    ledger.contradicted(conditioned.number, &before.seen());
    assert_eq!(ledger.wrong(), wrong(1, 0, 0), "{:?}", ledger.first_wrong());
}

#[test]
fn a_read_behind_an_acknowledgement_is_stale_each_time_and_nothing_is_lost() {
    let (mut ledger, mut store, _) = after(5);
    let old = store.clone();
    write(&mut ledger, &mut store);
    ledger.read(&old.seen());
    ledger.read(&Seen::Absent);
    ledger.read(&store.seen());
    ledger.finally(&[store.seen()]);
    assert_eq!(ledger.wrong(), wrong(0, 0, 2));
}

#[test]
fn at_the_end_a_node_that_lags_behind_another_is_stale() {
    let (mut ledger, mut store, _) = after(5);
    let old = store.clone();
    write(&mut ledger, &mut store);
    ledger.finally(&[store.seen(), old.seen(), store.seen()]);
    assert_eq!(ledger.wrong(), wrong(0, 0, 1));
}

#[test]
fn a_write_that_nobody_made_is_a_false_answer() {
    let (mut ledger, mut store, _) = after(5);
    store.document["w"]["99"] = "x".into();
    ledger.read(&store.seen());
    assert_eq!(ledger.wrong(), Wrong { false_answers: 1, ..Wrong::default() });
}

fn write_unconditioned(ledger: &mut Ledger, store: &mut Store) {
    let write = ledger.next_write();
    store.apply(&write);
    ledger.acknowledged(write.number, &store.seen());
}
