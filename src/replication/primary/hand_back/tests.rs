use smallvec::smallvec;

use super::*;
use crate::{
    blob::Blob,
    id::{ArcId, CommitNumber, ViewNumber},
    membership::{
        ArcEntry, Target, View,
        test_views::{founded, node},
    },
    replication::{Body, Durability, Received, ReplicationSettings, SessionChange, Surroundings, Token},
};

/// A primary a with the backup b, which should serve instead.
struct Scene {
    settings: ReplicationSettings,
    surroundings: Surroundings,
    now: Moment,
    primary: Primary,
    out: Vec<Effect>,
}

impl Scene {
    fn new() -> Self {
        let [a, b] = ["a", "b"].map(|name| node(name, 1));
        let settings = ReplicationSettings::default();
        let view = founded(&["a", "b"], 1, 1);
        let surroundings = Surroundings::new(a, Arc::new(view.clone()));
        let now = Moment::START + Duration::from_secs(1);
        let around = Around { settings: &settings, surroundings: &surroundings, now };
        let goal = Target { primary: Some(b), backups: vec![a] };
        let (arc, zero) = (ArcId(0), CommitNumber(0));
        let entry: &ArcEntry = &view.arcs[0];
        let mut out = Vec::new();
        let store = Store::default();
        let mut primary =
            Primary::promote(arc, entry, goal, store, zero, vec![], None, Moment::START, &around, &mut out);
        primary.handle_receipt(b, view.number, Received::Upto(primary.last()), &around, &mut out);
        assert!(primary.is_serving());
        out.clear();
        Self { settings, surroundings, now, primary, out }
    }

    fn with<T>(&mut self, run: impl FnOnce(&mut Primary, &Around<'_>, &mut Vec<Effect>) -> T) -> T {
        let around = Around { settings: &self.settings, surroundings: &self.surroundings, now: self.now };
        run(&mut self.primary, &around, &mut self.out)
    }

    fn tick(&mut self, after: u64) {
        self.now = self.now + Duration::from_millis(after);
        self.with(|primary, around, out| primary.tick(&mut 9, &mut 9, around, out));
    }

    fn write(&mut self, key: &str, text: &'static str) {
        let body = Body::Image { bytes: Blob::from(text), state_version: 1 };
        let change = SessionChange { key: key_of(key), body, reply: None, life: None, copied: true };
        self.with(|primary, around, out| {
            primary.append(smallvec![change], (Token(1), None), Durability::Sync, around, out)
        });
    }

    fn acknowledge(&mut self) {
        let (b, since) = (node("b", 1), ViewNumber(1));
        self.with(|primary, around, out| {
            primary.handle_receipt(b, since, Received::Upto(primary.last()), around, out);
        });
    }

    fn wishes(&mut self) -> Vec<WishedChange> {
        let wish = |effect: &Effect| match effect {
            Effect::Wish(wish) => Some(wish.change),
            _ => None,
        };
        let wishes = self.out.iter().filter_map(wish).collect();
        self.out.clear();
        wishes
    }

    fn image(&self, key: &str) -> Option<&[u8]> {
        self.primary.store().get(&key_of(key)).and_then(|r| r.image.as_deref())
    }
}

fn key_of(text: &str) -> SessionKey {
    SessionKey::new("test", text.as_bytes()).expect("short")
}

fn image<'a>(backup: &'a Backup, key: &str) -> Option<&'a [u8]> {
    backup.store().get(&key_of(key)).and_then(|r| r.image.as_deref())
}

#[test]
fn an_arc_is_wished_away_only_when_every_reply_has_left_and_calls_wait_meanwhile() {
    let mut scene = Scene::new();
    scene.write("x", "1");
    scene.tick(1);
    assert!(scene.primary.is_paused(scene.now));
    assert_eq!(scene.wishes(), [], "a reply is still under way");
    scene.acknowledge();
    scene.tick(1);
    assert_eq!(scene.wishes(), [WishedChange::Move(node("b", 1))]);
    let backup = scene.primary.step_aside(&scene.settings, scene.now, &mut scene.out).expect("it wished so");
    assert_eq!(
        (backup.folded(), backup.last(), image(&backup, "x")),
        (CommitNumber(2), CommitNumber(2), Some(&b"1"[..]))
    );
}

#[test]
fn replies_that_do_not_leave_in_time_put_the_hand_over_off() {
    let mut scene = Scene::new();
    scene.write("x", "1");
    scene.tick(1);
    scene.tick(70);
    assert!(!scene.primary.is_paused(scene.now), "the arc is served on");
    scene.acknowledge();
    scene.tick(1);
    assert_eq!(scene.wishes(), [], "not again at once");
    scene.tick(500);
    scene.tick(1);
    assert_eq!(scene.wishes(), [WishedChange::Move(node("b", 1))]);
}

#[test]
fn without_a_view_the_arc_is_served_again_and_what_was_not_committed_can_be_taken_back() {
    let mut scene = Scene::new();
    scene.write("x", "1");
    scene.write("gone", "soon");
    scene.acknowledge();
    scene.tick(1);
    assert_eq!(scene.wishes().len(), 1);
    assert!(scene.primary.is_paused(scene.now));
    scene.tick(250);
    assert!(!scene.primary.is_paused(scene.now), "no quorum is no reason to stand still");
    scene.write("x", "2");
    scene.acknowledge();
    scene.write("x", "3");
    scene.write("new", "1");
    let deletion = SessionChange { key: key_of("gone"), body: Body::Deleted, reply: None, life: None, copied: true };
    scene.with(|primary, around, out| {
        primary.append(smallvec![deletion], (Token(2), None), Durability::Sync, around, out)
    });
    assert_eq!((scene.image("x"), scene.image("new"), scene.image("gone")), (Some(&b"3"[..]), Some(&b"1"[..]), None));

    let held = scene.primary.store().len();
    let backup = scene.primary.step_aside(&scene.settings, scene.now, &mut scene.out).expect("it wished so");
    assert_eq!(held, 2);
    assert_eq!((backup.folded(), backup.last()), (CommitNumber(4), CommitNumber(7)), "the rest is its tail");
    assert_eq!(image(&backup, "x"), Some(&b"2"[..]), "what was committed stays");
    assert_eq!((image(&backup, "new"), image(&backup, "gone")), (None, Some(&b"soon"[..])));
    assert_eq!(backup.store().len(), 2);
}

#[test]
fn a_view_that_does_not_grant_it_ends_it_and_who_never_wished_keeps_nothing() {
    let mut scene = Scene::new();
    scene.tick(1);
    assert_eq!(scene.wishes().len(), 1);
    let mut next = View::clone(&scene.surroundings.view);
    next.number = next.number.next();
    scene.surroundings.view = Arc::new(next);
    scene.tick(1);
    assert!(!scene.primary.is_paused(scene.now) && !scene.primary.is_handing_over());
    scene.write("x", "1");
    assert!(scene.primary.step_aside(&scene.settings, scene.now, &mut scene.out).is_none());
    assert!(
        scene.out.iter().any(|e| matches!(e, Effect::Fail(Token(1), _))),
        "its caller learns that nothing is known"
    );
}
