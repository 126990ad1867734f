use super::*;
use crate::membership::test_views::node;

const VIEW: ViewNumber = ViewNumber(3);

fn at(ms: u64) -> Moment {
    Moment::from_nanos(9_000_000_000) + Duration::from_millis(ms)
}

/// Another node's clock: its moments must never matter to the first.
fn elsewhere(ms: u64) -> Moment {
    Moment::from_nanos(1_000) + Duration::from_millis(ms)
}

fn me() -> NodeId {
    node("a", 1)
}

fn peer() -> NodeId {
    node("b", 1)
}

fn watching() -> Monitor {
    let mut monitor = Monitor::new(me(), MonitorSettings::default(), at(0));
    monitor.watch(&BTreeSet::from([me(), peer()]), at(0));
    monitor
}

/// Ticks every 20 ms; `answers` says whether the peer answers a ping sent at that time. The changes with their times.
fn run(monitor: &mut Monitor, from: u64, to: u64, answers: impl Fn(u64) -> bool) -> Vec<(u64, Change)> {
    let mut told = Vec::new();
    for ms in (from..=to).step_by(20) {
        let beat = monitor.tick(at(ms), VIEW, true);
        told.extend(beat.changes.into_iter().map(|c| (ms, c)));
        for (to, ping) in beat.pings {
            if answers(ms) {
                let pong = Pong { number: ping.number, installed: VIEW, stamp: VIEW };
                assert!(monitor.handle_pong(to, &pong, at(ms + 1)).is_some());
            }
        }
    }
    told
}

fn ping_times(monitor: &mut Monitor, from: u64, to: u64) -> Vec<u64> {
    (from..=to).step_by(20).filter(|ms| !monitor.tick(at(*ms), VIEW, true).pings.is_empty()).collect()
}

#[test]
fn each_peer_is_pinged_every_heartbeat_and_never_the_node_itself() {
    let mut monitor = watching();
    assert_eq!(ping_times(&mut monitor, 0, 400), [0, 100, 200, 300, 400]);
    assert_eq!(monitor.hears(), BTreeSet::from([peer()]));
}

#[test]
fn a_peer_that_answers_is_heard_and_one_that_falls_silent_is_suspected() {
    let mut monitor = watching();
    assert_eq!(run(&mut monitor, 0, 3000, |ms| ms <= 2000), [(2600, Change::Suspect(peer()))]);
    assert_eq!(monitor.suspects(), BTreeSet::from([peer()]));
    assert_eq!(run(&mut monitor, 3020, 3200, |_| true), [(3120, Change::Trust(peer()))]);
}

#[test]
fn a_peer_that_can_send_but_does_not_hear_becomes_suspected() {
    let mut monitor = watching();
    let mut told = Vec::new();
    for ms in (0..1000).step_by(20) {
        told.extend(monitor.tick(at(ms), VIEW, true).changes);
        // Its own pings arrive punctually and are answered; no pong of it ever comes.
        let ping = Ping { number: ms, installed: VIEW, hears_you: false };
        assert!(monitor.handle_ping(peer(), &ping, at(ms + 1), VIEW, VIEW).is_some());
    }
    assert_eq!(told, [Change::Suspect(peer())]);
    assert_eq!(monitor.unheard_by(), BTreeSet::from([peer()]));
}

#[test]
fn a_ping_says_whether_its_receiver_is_heard() {
    let mut monitor = watching();
    run(&mut monitor, 0, 580, |_| false);
    let beat = monitor.tick(at(600), VIEW, true);
    let said: Vec<_> = beat.pings.iter().map(|(to, ping)| (*to, ping.hears_you, ping.installed)).collect();
    assert_eq!(said, [(peer(), false, VIEW)]);
}

#[test]
fn a_hint_is_probed_at_once_and_often_until_answered() {
    let mut monitor = watching();
    assert_eq!(ping_times(&mut monitor, 0, 100), [0, 100]);
    monitor.hint(peer(), at(110));
    assert_eq!(ping_times(&mut monitor, 120, 180), [120, 140, 160, 180]);
    let number = monitor.peers[&peer()].outstanding.back().expect("unanswered").0;
    assert!(monitor.handle_pong(peer(), &Pong { number, installed: VIEW, stamp: VIEW }, at(190)).is_some());
    assert_eq!(ping_times(&mut monitor, 200, 400), [200, 300, 400], "back to the heartbeat");
    assert_eq!(monitor.suspects(), BTreeSet::new());
}

#[test]
fn a_killed_peer_is_suspected_within_probe_after_of_its_closed_connection() {
    let mut monitor = watching();
    run(&mut monitor, 0, 200, |_| true);
    monitor.hint(peer(), at(205));
    assert_eq!(run(&mut monitor, 220, 320, |_| false), []);
    assert_eq!(run(&mut monitor, 340, 340, |_| false), [(340, Change::Suspect(peer()))]);
    assert_eq!(ping_times(&mut monitor, 360, 560).len(), 2, "a suspected peer is not pinged at the probing rate");
}

#[test]
fn a_pong_counts_once_for_an_outstanding_ping_to_that_peer() {
    let other = node("c", 1);
    let mut monitor = watching();
    monitor.watch(&BTreeSet::from([peer(), other]), at(0));
    let first: BTreeMap<_, _> = monitor.tick(at(0), VIEW, true).pings.into_iter().collect();
    let second: BTreeMap<_, _> = monitor.tick(at(100), VIEW, true).pings.into_iter().collect();
    let pong = |ping: &Ping| Pong { number: ping.number, installed: ViewNumber(4), stamp: ViewNumber(4) };

    let before = monitor.clone();
    assert_eq!(monitor.handle_pong(peer(), &pong(&first[&other]), at(101)), None, "another's number");
    assert_eq!(monitor.handle_pong(node("b", 2), &pong(&first[&peer()]), at(101)), None, "another incarnation");
    assert_eq!(
        monitor.handle_pong(peer(), &Pong { number: 99, installed: VIEW, stamp: VIEW }, at(101)),
        None,
        "never sent"
    );
    assert_eq!(monitor, before, "none of these is evidence");

    let answered = Answered { sent: at(100), installed: ViewNumber(4), stamp: ViewNumber(4) };
    assert_eq!(monitor.handle_pong(peer(), &pong(&second[&peer()]), at(102)), Some(answered));
    let before = monitor.clone();
    assert_eq!(monitor.handle_pong(peer(), &pong(&second[&peer()]), at(103)), None, "replayed");
    assert_eq!(monitor.handle_pong(peer(), &pong(&first[&peer()]), at(103)), None, "older than one answered");
    assert_eq!(monitor, before);
}

#[test]
fn unanswered_pings_are_bounded() {
    let mut monitor = watching();
    let first = monitor.tick(at(0), VIEW, true).pings[0].1;
    for beat in 1..=200 {
        monitor.tick(at(beat * 100), VIEW, true);
    }
    assert_eq!(monitor.peers[&peer()].outstanding.len(), OUTSTANDING_MAX);
    let late = Pong { number: first.number, installed: VIEW, stamp: VIEW };
    assert_eq!(monitor.handle_pong(peer(), &late, at(20_001)), None);
}

#[test]
fn the_installed_view_of_a_peer_only_grows_and_remembers_when_it_was_first_seen() {
    let mut monitor = watching();
    let ping = |view| Ping { number: 1, installed: ViewNumber(view), hears_you: true };
    assert_eq!(monitor.installed_of(peer()), None);
    for (ms, view) in [(10, 4), (20, 4), (30, 3), (40, 6), (50, 5)] {
        let _ = monitor.handle_ping(peer(), &ping(view), at(ms), VIEW, VIEW);
    }
    assert_eq!(monitor.installed_of(peer()), Some((ViewNumber(6), at(40))));
}

#[test]
fn without_progress_nothing_is_sent_or_answered_and_nobody_is_accused_afterwards() {
    let mut monitor = watching();
    run(&mut monitor, 0, 200, |_| true);
    let ping = Ping { number: 1, installed: VIEW, hears_you: true };
    for ms in (220..3000).step_by(20) {
        assert_eq!(monitor.tick(at(ms), VIEW, false), Beat::default());
        assert_eq!(monitor.handle_ping(peer(), &ping, at(ms), VIEW, VIEW), None);
    }
    assert!(monitor.paused());
    let beat = monitor.tick(at(3000), VIEW, true);
    assert_eq!((beat.pings.len(), beat.changes), (1, Vec::new()), "back: asks at once, accuses nobody");
    assert!(monitor.handle_ping(peer(), &ping, at(3001), VIEW, VIEW).is_some());
    let told = run(&mut monitor, 3020, 4000, |_| false);
    assert_eq!(told.len(), 1, "and a peer that died meanwhile is found out: {told:?}");
}

#[test]
fn two_nodes_with_clocks_far_apart_hear_each_other() {
    let (mut a, mut b) = (watching(), Monitor::new(peer(), MonitorSettings::default(), elsewhere(0)));
    b.watch(&BTreeSet::from([me()]), elsewhere(0));
    let mut changes = Vec::new();
    for ms in (0..3000).step_by(20) {
        let (from_a, from_b) = (a.tick(at(ms), VIEW, true), b.tick(elsewhere(ms), VIEW, true));
        changes.extend(from_a.changes.into_iter().chain(from_b.changes));
        for (_, ping) in from_a.pings {
            let pong = b.handle_ping(me(), &ping, elsewhere(ms + 1), VIEW, VIEW).expect("b works");
            assert_eq!(a.handle_pong(peer(), &pong, at(ms + 2)).map(|answered| answered.sent), Some(at(ms)));
        }
        for (_, ping) in from_b.pings {
            let pong = a.handle_ping(peer(), &ping, at(ms + 1), VIEW, VIEW).expect("a works");
            assert_eq!(
                b.handle_pong(me(), &pong, elsewhere(ms + 2)).map(|answered| answered.sent),
                Some(elsewhere(ms))
            );
        }
    }
    assert_eq!(changes, []);
}

#[test]
fn watching_others_keeps_what_is_known_of_those_that_stay() {
    let mut monitor = watching();
    run(&mut monitor, 0, 700, |_| false);
    let newcomer = node("c", 1);
    monitor.watch(&BTreeSet::from([peer(), newcomer]), at(700));
    assert_eq!((monitor.suspects(), monitor.hears()), (BTreeSet::from([peer()]), BTreeSet::from([newcomer])));
    monitor.watch(&BTreeSet::from([newcomer]), at(720));
    assert_eq!(monitor.suspects(), BTreeSet::new());
    assert_eq!(monitor.tick(at(720), VIEW, true).pings.len(), 1);
}
