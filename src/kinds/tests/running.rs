//! What an operation that succeeds changes and replies.

use super::{types::*, *};

fn counter() -> Bench {
    Bench::new::<Counter>(|types| {
        types.add::<Counter>().handles::<Add>().answers::<Total>().answers::<Loads>();
    })
}

fn cart() -> Bench {
    Bench::new::<Cart>(|types| {
        types
            .add::<Cart>()
            .decides::<PutIn>()
            .decides::<Empty>()
            .decides::<CheckOut>()
            .decides::<Curse>()
            .answers::<Lines>();
    })
}

#[test]
fn the_first_command_makes_a_session_that_has_an_absent_state() {
    let mut bench = counter();
    assert_eq!(bench.ask(&Total {}), Ok(0));
    assert_eq!(bench.image, None, "a question makes nothing");
    assert!(!bench.live.is_warm(), "what was imagined is forgotten");
    assert_eq!(bench.call(&Add(5)), Ok(5));
    assert_eq!(bench.call(&Add(2)), Ok(7));
    assert_eq!(bench.ask(&Total {}), Ok(7));
    assert_eq!(bench.ask_stored(&Total {}), Ok(7));
}

#[test]
fn a_command_that_must_not_create_finds_no_session() {
    let mut bench = counter();
    let payload = codec::encode_named(&Add(1), 64).expect("small");
    let run = bench.run(Op::Call { command: "add", payload: Payload::One(&payload), may_create: false });
    assert_eq!(run.outcome, Err(Failure::NoSuchSession));
}

#[test]
fn a_session_without_an_absent_state_is_made_only_by_create() {
    let mut bench = cart();
    assert_eq!(bench.call(&PutIn("tea".into(), 1)), Err(Failure::NoSuchSession));
    assert_eq!(bench.ask(&Lines {}), Err(Failure::NoSuchSession));
    assert_eq!(bench.run(Op::Create { initial: None }).outcome, Err(Failure::NoSuchSession));
    assert_eq!(bench.create(&Cart::default()), Ok(()));
    assert_eq!(bench.create(&Cart::default()), Err(Failure::AlreadyExists));
    assert_eq!(bench.call(&PutIn("tea".into(), 1)), Ok(1));
}

#[test]
fn get_or_create_says_which_and_leaves_an_existing_session_alone() {
    let mut bench = counter();
    let made = |run: Run| run.outcome.map(|reply| codec::decode::<bool>(&reply, 8).expect("a bool"));
    assert_eq!(made(bench.run(Op::GetOrCreate { initial: None })), Ok(true));
    assert_eq!(bench.call(&Add(3)), Ok(3));
    let before = bench.stored();
    assert_eq!(made(bench.run(Op::GetOrCreate { initial: None })), Ok(false));
    assert_eq!(bench.stored(), before);
}

#[test]
fn delete_says_whether_there_was_one_and_what_follows_begins_anew() {
    let mut bench = counter();
    bench.call(&Add(3)).expect("positive");
    let existed = |run: Run| run.outcome.map(|reply| codec::decode::<bool>(&reply, 8).expect("a bool"));
    assert_eq!(existed(bench.run(Op::Delete)), Ok(true));
    assert!(!bench.live.is_warm());
    assert_eq!(existed(bench.run(Op::Delete)), Ok(false));
    assert_eq!(bench.call(&Add(1)), Ok(1));
}

#[test]
fn a_command_that_ends_its_session_gives_its_reply_and_leaves_nothing() {
    let mut bench = cart();
    bench.create(&Cart::default()).expect("new");
    assert!(matches!(bench.call(&CheckOut {}), Err(Failure::Refused(_))));
    assert_eq!(bench.call(&PutIn("tea".into(), 1)), Ok(1), "who refuses ends nothing");
    assert_eq!(bench.call(&CheckOut {}), Ok(1));
    assert_eq!(bench.stored().0, None);
    assert!(!bench.live.is_warm());
    assert_eq!(bench.ask(&Lines {}), Err(Failure::NoSuchSession));
}

#[test]
fn a_command_that_changes_no_byte_changes_nothing() {
    let mut bench = counter();
    bench.call(&Add(3)).expect("positive");
    let payload = codec::encode_named(&Add(0), 64).expect("small");
    let run = bench.run(Op::Call { command: "add", payload: Payload::One(&payload), may_create: true });
    assert_eq!(run.change, Change::None);
    assert!(run.outcome.is_ok());
    let mut bench = cart();
    bench.create(&Cart::default()).expect("new");
    let payload = codec::encode_named(&Empty {}, 64).expect("small");
    assert_eq!(
        bench.run(Op::Call { command: "empty", payload: Payload::One(&payload), may_create: true }).change,
        Change::None,
        "no events"
    );
}

#[test]
fn an_expected_version_is_compared_before_anything_runs() {
    let mut bench = counter();
    bench.expected = Some(4);
    assert_eq!(bench.call(&Add(1)), Err(Failure::Conflict { current: 0 }));
    bench.expected = Some(0);
    assert_eq!(bench.call(&Add(1)), Ok(1), "0 expects that there is none");
    bench.version = 9;
    bench.expected = Some(0);
    assert_eq!(bench.call(&Add(1)), Err(Failure::Conflict { current: 9 }));
    bench.expected = Some(8);
    assert_eq!(bench.run(Op::Delete).outcome, Err(Failure::Conflict { current: 9 }));
    bench.expected = Some(9);
    assert!(bench.run(Op::Delete).outcome.is_ok());
}

#[test]
fn a_small_event_on_a_large_session_costs_its_own_size_until_events_outweigh_the_image() {
    let mut bench = cart();
    bench.create(&Cart { lines: Vec::new(), ballast: "x".repeat(1_000_000) }).expect("below the limit");
    let sku = "s".repeat(100);
    let (mut images, mut sent) = (0, 0);
    for n in 1..=8_000 {
        let payload = codec::encode_named(&PutIn(sku.clone(), n), 1024).expect("small");
        bench.value_max = 4 << 20;
        let run = bench.run(Op::Call { command: "put-in", payload: Payload::One(&payload), may_create: false });
        let Change::Events { bytes, image, .. } = run.change else { panic!("events travel, not {:?}", run.outcome) };
        let events: usize = bytes.iter().map(|b| b.len()).sum();
        assert!(events < 1024);
        images += usize::from(image.is_some());
        sent += events + image.map_or(0, |image| image.len());
    }
    assert_eq!(images, 1, "the fresh image comes, and rarely");
    assert!(sent < 4_000_000, "{sent} bytes for 8,000 events of {} bytes", sku.len());
    assert!(bench.events.len() < 4_000, "the image took the events before it with it");
    assert_eq!(bench.ask_stored(&Lines {}), Ok(8_000), "image and events together are the state");
}

#[test]
fn a_copy_made_of_the_stored_bytes_is_what_the_primary_has() {
    let mut bench = cart();
    bench.create(&Cart { lines: Vec::new(), ballast: "x".repeat(500) }).expect("new");
    for n in 1..40 {
        assert_eq!(bench.call(&PutIn(format!("sku-{n}"), n)), Ok(n as usize));
        assert_eq!(bench.ask_stored(&Lines {}), bench.ask(&Lines {}));
        if n % 7 == 0 {
            bench.live.forget();
        }
    }
}

#[test]
fn the_object_in_use_is_kept_while_the_stored_bytes_are_those_it_stands_for() {
    let mut bench = counter();
    bench.call(&Add(3)).expect("positive");
    assert_eq!(bench.ask(&Loads {}), Ok(0), "not decoded since it was made");
    bench.image = bench.image.map(|image| Blob::from(&*image));
    assert_eq!(bench.ask(&Loads {}), Ok(0), "the same bytes elsewhere");
    bench.live.forget();
    assert_eq!(bench.ask(&Loads {}), Ok(1));
    assert_eq!(bench.call(&Add(3)), Ok(6));
    assert_eq!(bench.ask(&Loads {}), Ok(1));
}

#[test]
fn a_change_that_was_never_appended_is_forgotten() {
    let mut bench = counter();
    bench.call(&Add(3)).expect("positive");
    let payload = codec::encode_named(&Add(100), 64).expect("small");
    assert!(
        bench.run_only(Op::Call { command: "add", payload: Payload::One(&payload), may_create: true }).outcome.is_ok()
    );
    assert_eq!(bench.call(&Add(1)), Ok(4));
    let mut bench = cart();
    bench.create(&Cart { lines: Vec::new(), ballast: "x".repeat(500) }).expect("new");
    bench.call(&PutIn("tea".into(), 1)).expect("one");
    let payload = codec::encode_named(&PutIn("ghost".into(), 1), 64).expect("small");
    let run = bench.run_only(Op::Call { command: "put-in", payload: Payload::One(&payload), may_create: true });
    assert!(matches!(run.change, Change::Events { image: None, .. }));
    assert_eq!(bench.ask(&Lines {}), Ok(1));
}

#[test]
fn an_old_state_and_its_old_events_are_read_by_the_new_type_and_written_anew_with_the_next_change() {
    let mut old = Bench::new::<LogV1>(|types| {
        types.add::<LogV1>().decides::<Write>();
    });
    old.create(&LogV1 { lines: vec!["x".repeat(200)] }).expect("new");
    old.call(&Write("as event".into())).expect("written");
    assert_eq!(old.events.len(), 1, "the test needs an old event");
    let mut new = Bench::new::<LogV2>(|types| {
        types.add::<LogV2>().decides::<Write>().answers::<Read>();
    });
    (new.image, new.events, new.state_version) = old.stored();
    let before = new.stored();
    assert_eq!(new.ask(&Read {}).expect("migrated")[1], "v1 as event");
    assert_eq!(new.stored(), before, "reading writes nothing");
    new.call(&Write("new".into())).expect("written");
    assert_eq!((new.state_version, new.events.len()), (2, 0));
    new.live.forget();
    assert_eq!(new.ask(&Read {}).expect("of its own version")[1..], ["v1 as event", "new"]);
    // The other way round: the old node meets what the new one wrote.
    (old.image, old.events, old.state_version) = new.stored();
    let before = old.stored();
    assert!(matches!(old.call(&Write("no".into())), Err(Failure::Undecodable { theirs: 2, ours: 1, .. })));
    assert_eq!(old.stored(), before);
}

#[test]
fn the_version_that_wrote_a_state_counts_even_where_the_bytes_look_the_same() {
    let mut old = counter();
    old.call(&Add(3)).expect("positive");
    let mut new = Bench::new::<HalfCounter>(|types| {
        types.add::<HalfCounter>().handles::<Add>();
    });
    (new.image, new.events, new.state_version) = old.stored();
    // 3 * 2 - 3: the very bytes that version 1 wrote, yet they must be stored again as version 2's.
    assert_eq!(new.call(&Add(-3)), Ok(3));
    assert_eq!((new.image.as_ref(), new.state_version), (old.image.as_ref(), 2));
    new.live.forget();
    assert_eq!(new.call(&Add(1)), Ok(4), "not doubled again");
    (old.image, old.events, old.state_version) = new.stored();
    assert!(matches!(old.call(&Add(1)), Err(Failure::Undecodable { theirs: 2, ours: 1, .. })));
    old.state_version = 0;
    assert!(matches!(old.call(&Add(1)), Err(Failure::Undecodable { theirs: 0, ours: 1, .. })), "it has no migration");
}
