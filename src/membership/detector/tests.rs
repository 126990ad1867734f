use super::*;
use crate::membership::test_views::node;

const ORIGIN: u64 = 5_000_000_000;

/// `ms` milliseconds after the observer's beginning.
fn at(ms: u64) -> Moment {
    Moment::from_nanos(ORIGIN) + Duration::from_millis(ms)
}

fn peer() -> NodeId {
    node("b", 1)
}

/// A detector that watches `peer()` since 0 and has not ticked.
fn watching() -> Detector {
    let mut detector = Detector::new(DetectorSettings::default(), at(0));
    detector.watch(peer(), at(0));
    detector
}

/// Ticks every 20 ms from `from` up to and including `to`; the changes, each with its time.
fn run(detector: &mut Detector, from: u64, to: u64) -> Vec<(u64, Change)> {
    (from..=to).step_by(20).flat_map(|ms| detector.tick(at(ms)).into_iter().map(move |c| (ms, c))).collect()
}

#[test]
fn silence_is_suspected_after_suspect_after_and_told_once() {
    let mut detector = watching();
    assert_eq!(run(&mut detector, 20, 580), []);
    assert!(detector.hears(peer()));
    assert_eq!(run(&mut detector, 600, 2000), [(600, Change::Suspect(peer()))]);
    assert_eq!(detector.suspects(), BTreeSet::from([peer()]));
}

#[test]
fn evidence_is_dated_by_the_question_and_not_by_the_answer() {
    let mut detector = watching();
    run(&mut detector, 20, 500);
    detector.handle_evidence(peer(), at(100));
    assert_eq!(run(&mut detector, 520, 1000), [(700, Change::Suspect(peer()))]);
}

#[test]
fn old_evidence_neither_shortens_nor_lengthens_the_patience() {
    let mut detector = watching();
    run(&mut detector, 20, 400);
    detector.handle_evidence(peer(), at(390));
    let before = detector.clone();
    detector.handle_evidence(peer(), at(100));
    detector.handle_evidence(peer(), at(390));
    assert_eq!(detector, before);
}

#[test]
fn a_flapping_peer_is_told_of_at_each_turn_and_only_then() {
    let mut detector = watching();
    let mut told = Vec::new();
    for round in 1..=3 {
        told.extend(run(&mut detector, (round - 1) * 1000 + 20, round * 1000 - 20));
        detector.handle_evidence(peer(), at(round * 1000 - 10));
        assert!(detector.hears(peer()), "evidence is believed at once, though told at the tick");
        told.extend(run(&mut detector, round * 1000, round * 1000));
    }
    let (s, t) = (Change::Suspect(peer()), Change::Trust(peer()));
    assert_eq!(told, [(600, s), (1000, t), (1600, s), (2000, t), (2600, s), (3000, t)]);
}

#[test]
fn evidence_too_old_to_trust_does_not_withdraw_a_suspicion() {
    let mut detector = watching();
    run(&mut detector, 20, 900);
    detector.handle_evidence(peer(), at(200));
    assert!(!detector.hears(peer()));
    assert_eq!(run(&mut detector, 920, 1000), []);
}

#[test]
fn a_hint_without_evidence_is_suspected_after_probe_after_and_not_before() {
    let mut detector = watching();
    run(&mut detector, 20, 100);
    detector.handle_evidence(peer(), at(95));
    detector.hint(peer(), at(100));
    assert!(detector.probing(peer()));
    assert_eq!(run(&mut detector, 120, 200), []);
    assert_eq!(run(&mut detector, 220, 220), [(220, Change::Suspect(peer()))]);
    assert!(!detector.probing(peer()), "decided: the usual rate will do");
}

#[test]
fn evidence_newer_than_the_hint_closes_it_and_evidence_as_old_does_not() {
    let mut detector = watching();
    run(&mut detector, 20, 100);
    detector.hint(peer(), at(100));
    detector.handle_evidence(peer(), at(100));
    assert!(detector.probing(peer()), "asked before the connection broke: it may have died since");
    detector.handle_evidence(peer(), at(101));
    assert!(!detector.probing(peer()));
    assert_eq!(run(&mut detector, 120, 680), []);
    assert_eq!(run(&mut detector, 700, 720), [(720, Change::Suspect(peer()))], "600 ms after 101, at the next tick");
}

#[test]
fn more_hints_do_not_postpone_the_first() {
    let mut detector = watching();
    let mut told = Vec::new();
    for ms in (20..400).step_by(20) {
        told.extend(run(&mut detector, ms, ms));
        detector.hint(peer(), at(ms + 5));
    }
    assert_eq!(told, [(160, Change::Suspect(peer()))], "the first hint was at 25, and 120 ms later is 145");
}

#[test]
fn an_observer_that_stalled_suspects_nobody_for_it() {
    for length in [61, 100, 599, 600, 2000, 60_000] {
        let mut detector = watching();
        run(&mut detector, 20, 500);
        detector.handle_evidence(peer(), at(495));
        let woke = 500 + length;
        assert_eq!(detector.tick(at(woke)), [], "stalled for {length} ms");
        detector.handle_evidence(peer(), at(woke) + Duration::from_millis(1));
        assert_eq!(run(&mut detector, woke + 20, woke + 600), []);
    }
}

#[test]
fn a_stall_just_before_a_deadline_leaves_the_peer_time_to_be_heard() {
    let mut detector = watching();
    run(&mut detector, 20, 580);
    // 20 ms before its deadline the observer stops. Its answers may lie unread.
    assert_eq!(detector.tick(at(3000)), []);
    assert_eq!(run(&mut detector, 3020, 3100), []);
    assert_eq!(run(&mut detector, 3120, 3120), [(3120, Change::Suspect(peer()))], "but it is not spared for ever");
}

#[test]
fn what_was_asked_before_a_stall_and_read_after_it_is_evidence() {
    let mut detector = watching();
    run(&mut detector, 20, 580);
    detector.tick(at(3000));
    detector.handle_evidence(peer(), at(570));
    // 10 ms of silence before the stall, 20 of the gap count as attended, so 570 are left: until 3570.
    assert_eq!(run(&mut detector, 3020, 4000), [(3580, Change::Suspect(peer()))]);
}

#[test]
fn a_suspicion_raised_just_before_a_stall_is_withdrawn_and_an_old_one_is_not() {
    let old = node("c", 1);
    let mut detector = watching();
    detector.watch(old, at(0));
    run(&mut detector, 20, 300);
    detector.handle_evidence(peer(), at(300));
    let raised = [(600, Change::Suspect(old)), (900, Change::Suspect(peer()))];
    assert_eq!(run(&mut detector, 320, 900), raised);
    assert_eq!(detector.tick(at(2000)), [Change::Trust(peer())]);
    assert_eq!(detector.suspects(), BTreeSet::from([old]));
    assert_eq!(run(&mut detector, 2020, 2140), [(2120, Change::Suspect(peer()))]);
    assert_eq!(detector.tick(at(3000)), [], "one silence is excused once, however often the observer stalls");
}

#[test]
fn an_observer_that_is_always_late_suspects_later_but_does() {
    let mut detector = watching();
    let told: Vec<u64> = (1..=100).map(|i| i * 100).filter(|ms| !detector.tick(at(*ms)).is_empty()).collect();
    // Of each 100 ms it attends to 20: 600 ms of silence take 3 s, and the one reprieve is within them.
    assert_eq!(told.len(), 1);
    assert!((3000..=3300).contains(&told[0]), "suspected at {} ms", told[0]);
}

#[test]
fn a_clock_with_any_origin_gives_the_same_judgement() {
    let judge = |origin: u64| -> Vec<u64> {
        let at = |ms| Moment::from_nanos(origin) + Duration::from_millis(ms);
        let mut detector = Detector::new(DetectorSettings::default(), at(0));
        detector.watch(peer(), at(0));
        detector.handle_evidence(peer(), at(40));
        (20..=2000).step_by(20).filter(|ms| !detector.tick(at(*ms)).is_empty()).collect()
    };
    assert_eq!(judge(0), [640]);
    assert_eq!(judge(u64::MAX / 2), [640]);
}

#[test]
fn nothing_is_kept_or_told_of_a_peer_that_is_not_watched() {
    let mut detector = watching();
    let stranger = node("z", 1);
    let before = detector.clone();
    detector.handle_evidence(stranger, at(10));
    detector.hint(stranger, at(10));
    assert_eq!(detector, before);
    assert!(!detector.hears(stranger));
    detector.forget(peer());
    assert_eq!(run(&mut detector, 20, 1000), []);
    assert!(!detector.hears(peer()));
}
