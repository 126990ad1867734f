//! What an operation that fails leaves behind: nothing.

use super::{types::*, *};

fn counter() -> Bench {
    let mut bench = Bench::new::<Counter>(|types| {
        types.add::<Counter>().handles::<Add>().answers::<Total>();
    });
    bench.call(&Add(3)).expect("positive");
    bench
}

fn moody() -> Bench {
    let mut bench = Bench::new::<Moody>(|types| {
        types.add::<Moody>().handles::<Say>().handles::<Deepen>().answers::<Word>();
    });
    bench.call(&Say("calm".into())).expect("can be written");
    bench
}

/// After the failure the session is as it was: in store, on the primary, and on a copy.
fn is_still<Q: Command>(bench: &mut Bench, before: &(Option<Blob>, Vec<Blob>, u32), question: &Q, reply: Q::Reply)
where
    Q::Reply: PartialEq + std::fmt::Debug,
{
    assert_eq!(&bench.stored(), before);
    assert_eq!(bench.ask_stored(question).as_ref(), Ok(&reply));
    assert_eq!(bench.ask(question), Ok(reply));
}

fn panicked<T: std::fmt::Debug>(told: Result<T, Failure>) {
    assert!(matches!(&told, Err(Failure::Panicked { words }) if !words.is_empty()), "{told:?}");
}

#[test]
fn the_words_of_a_panic_come_with_it_cut_at_a_character_within_512_bytes() {
    let mut bench = moody();
    let shout = "ä".repeat(600);
    let Err(Failure::Panicked { words }) = bench.call(&Say(format!("panic {shout}"))) else { panic!("it panics") };
    assert!(words.starts_with("panic ä") && (511..=512).contains(&words.len()), "{} bytes: {words}", words.len());
}

#[test]
fn a_refusal_after_a_mutation_restores_the_session_and_carries_its_message() {
    let mut bench = counter();
    let before = bench.stored();
    let Err(Failure::Refused(refused)) = bench.call(&Add(-10)) else { panic!("negative is refused") };
    assert_eq!((refused.code(), refused.message()), ("negative", "-7 would be negative at version 1"));
    is_still(&mut bench, &before, &Total {}, 3);
}

#[test]
fn a_panic_half_way_through_a_handler_restores_the_session() {
    let mut bench = counter();
    let before = bench.stored();
    panicked(bench.call(&Add(1_000_000)));
    assert!(!bench.live.is_warm());
    is_still(&mut bench, &before, &Total {}, 3);
    assert_eq!(bench.call(&Add(1)), Ok(4), "and it goes on");
}

#[test]
fn a_panic_in_the_first_command_makes_no_session() {
    let mut bench = counter();
    bench.run(Op::Delete);
    panicked(bench.call(&Add(1_000_000)));
    assert_eq!(bench.image, None);
    assert_eq!(bench.call(&Add(1)), Ok(1));
}

#[test]
fn a_panic_while_events_are_applied_restores_the_session() {
    let mut bench = Bench::new::<Cart>(|types| {
        types.add::<Cart>().decides::<PutIn>().decides::<Curse>().answers::<Lines>();
    });
    bench.create(&Cart { lines: Vec::new(), ballast: "x".repeat(500) }).expect("new");
    bench.call(&PutIn("tea".into(), 1)).expect("one");
    let before = bench.stored();
    panicked(bench.call(&Curse {}));
    is_still(&mut bench, &before, &Lines {}, 1);
    assert!(matches!(bench.call(&PutIn("tea".into(), 0)), Err(Failure::Refused(_))));
    assert!(bench.live.is_warm(), "a decision that was refused touched nothing");
    is_still(&mut bench, &before, &Lines {}, 1);
}

#[test]
fn a_state_that_cannot_be_encoded_is_an_error_and_changes_nothing() {
    let mut bench = moody();
    let before = bench.stored();
    let Err(Failure::Unencodable { reason }) = bench.call(&Say("refuse".into())) else { panic!("serde said no") };
    assert!(reason.contains("not today"), "{reason}");
    is_still(&mut bench, &before, &Word {}, "calm".into());
    panicked(bench.call(&Say("panic".into()))); // A panic in serde code is one like any other.
    is_still(&mut bench, &before, &Word {}, "calm".into());
}

#[test]
fn a_first_state_that_cannot_be_read_back_is_refused_when_it_is_made() {
    let mut bench = moody();
    bench.run(Op::Delete);
    assert!(matches!(bench.call(&Say("one-way".into())), Err(Failure::Unencodable { .. })));
    assert_eq!(bench.image, None);
}

#[test]
fn a_state_that_nests_too_deep_is_refused_before_the_stack_is_at_risk() {
    let mut bench = moody();
    let before = bench.stored();
    assert_eq!(bench.call(&Deepen(60)), Ok(()));
    bench.run(Op::Delete);
    (bench.image, bench.events, bench.state_version) = before.clone();
    assert!(matches!(bench.call(&Deepen(2_000)), Err(Failure::Unencodable { .. })));
    is_still(&mut bench, &before, &Word {}, "calm".into());
}

#[test]
fn a_question_that_panics_harms_nobody_on_primary_or_copy() {
    let mut bench = moody();
    bench.call(&Say("secret".into())).expect("can be written");
    let before = bench.stored();
    panicked(bench.ask(&Word {}));
    panicked(bench.ask_stored(&Word {}));
    assert_eq!(bench.stored(), before);
    bench.call(&Say("calm".into())).expect("it goes on");
}

#[test]
fn an_object_that_panics_when_dropped_is_dropped_without_harm() {
    let mut bench = moody();
    bench.call(&Say("sticky".into())).expect("can be written");
    bench.live.forget();
    assert!(!bench.live.is_warm());
    assert_eq!(bench.ask(&Word {}), Ok("sticky".into()));
    drop(bench);
}

#[test]
fn a_state_over_the_limit_is_too_large_and_the_session_unchanged() {
    let mut bench = moody();
    let before = bench.stored();
    bench.value_max = 100;
    let payload = codec::encode_named(&Say("w".repeat(90)), 100).expect("the command itself is small enough");
    let run = bench.run(Op::Call { command: "say", payload: Payload::One(&payload), may_create: true });
    assert_eq!(run.outcome, Err(Failure::TooLarge { limit: 100 }));
    is_still(&mut bench, &before, &Word {}, "calm".into());
    assert_eq!(bench.call(&Say("w".repeat(200))), Err(Failure::TooLarge { limit: 100 }), "the command itself");
    is_still(&mut bench, &before, &Word {}, "calm".into());
}

#[test]
fn a_stored_state_over_a_limit_that_was_lowered_is_still_read() {
    let mut bench = moody();
    bench.call(&Say("w".repeat(500))).expect("below the limit");
    bench.live.forget();
    bench.value_max = 100;
    assert_eq!(bench.ask(&Word {}).expect("readable").len(), 500);
    bench.call(&Say("short".into())).expect("and can be made smaller");
}

#[test]
fn events_over_the_limit_are_too_large_and_the_session_unchanged() {
    let mut bench = Bench::new::<Cart>(|types| {
        types.add::<Cart>().decides::<PutIn>().answers::<Lines>();
    });
    bench.create(&Cart::default()).expect("new");
    let before = bench.stored();
    bench.value_max = 100;
    assert_eq!(bench.call(&PutIn("s".repeat(92), 1)), Err(Failure::TooLarge { limit: 100 }));
    is_still(&mut bench, &before, &Lines {}, 0);
}

#[test]
fn an_event_is_applied_as_the_copies_will_read_it() {
    let mut bench = Bench::new::<Bent>(|types| {
        types.add::<Bent>().decides::<Bend>().decides::<Break>().answers::<Seen>();
    });
    bench.call(&Bend {}).expect("can be written");
    assert_eq!(bench.ask(&Seen {}), Ok(1), "a skipped field must not act on the primary alone");
    assert_eq!(bench.ask_stored(&Seen {}), Ok(1));
    let before = bench.stored();
    for read in [true, false] {
        assert!(matches!(bench.call(&Break(read)), Err(Failure::Unencodable { .. })), "{read}");
        is_still(&mut bench, &before, &Seen {}, 1);
    }
}

#[test]
fn a_stored_state_that_cannot_be_read_is_kept_and_can_only_be_deleted() {
    let mut bench = counter();
    for bad in [&b"\xc1"[..], &[0x91; 70], &[0x07]] {
        bench.image = Some(Blob::from(bad));
        let before = bench.stored();
        for _ in 0..2 {
            assert!(matches!(bench.call(&Add(1)), Err(Failure::Undecodable { theirs: 1, ours: 1, .. })), "{bad:x?}");
            assert!(matches!(bench.ask(&Total {}), Err(Failure::Undecodable { .. })));
            assert!(matches!(bench.ask_stored(&Total {}), Err(Failure::Undecodable { .. })));
            assert_eq!(bench.create(&Counter::default()), Err(Failure::AlreadyExists));
        }
        assert_eq!(bench.stored(), before);
    }
    assert!(bench.run(Op::Delete).outcome.is_ok());
    assert_eq!(bench.call(&Add(1)), Ok(1));
}

#[test]
fn a_stored_event_that_cannot_be_read_makes_the_session_undecodable_not_shorter() {
    let mut bench = Bench::new::<Cart>(|types| {
        types.add::<Cart>().decides::<PutIn>().answers::<Lines>();
    });
    bench.create(&Cart { lines: Vec::new(), ballast: "x".repeat(500) }).expect("new");
    bench.call(&PutIn("tea".into(), 1)).expect("one");
    bench.events.push(Blob::from(&b"\xa3???"[..]));
    let before = bench.stored();
    assert!(matches!(bench.ask(&Lines {}), Err(Failure::Undecodable { .. })));
    assert!(matches!(bench.call(&PutIn("tea".into(), 1)), Err(Failure::Undecodable { .. })));
    assert_eq!(bench.stored(), before);
    let mut reader = Bench::new::<Cart>(|types| {
        types.add::<Cart>().answers::<Lines>();
    });
    (reader.image, reader.events, reader.state_version) = before;
    assert!(matches!(reader.ask(&Lines {}), Err(Failure::Undecodable { .. })), "no `Decide` is registered there");
}

#[test]
fn bytes_that_are_no_such_command_are_malformed_however_deep() {
    let mut bench = counter();
    let before = bench.stored();
    let deep = vec![0x91; VALUE_MAX];
    for bad in [&b"\xa1x"[..], b"", &deep] {
        let run = bench.run(Op::Call { command: "add", payload: Payload::One(&bad.into()), may_create: true });
        assert!(matches!(run.outcome, Err(Failure::Malformed { .. })));
        let run = bench.run(Op::Create { initial: Some(bad) });
        assert_eq!(run.outcome, Err(Failure::AlreadyExists));
    }
    assert!(bench.live.is_warm(), "user code was not reached");
    is_still(&mut bench, &before, &Total {}, 3);
    bench.run(Op::Delete);
    let run = bench.run(Op::Create { initial: Some(b"\xa1x") });
    assert!(matches!(run.outcome, Err(Failure::Malformed { .. })));
}

#[test]
fn an_unknown_command_is_named_in_the_error_and_a_question_is_no_command() {
    let mut bench = counter();
    let unknown = |name: &str| Err(Failure::NoSuchCommand { command: name.to_owned() });
    assert_eq!(bench.call(&Say("hello".into())), unknown("say"));
    assert_eq!(bench.call(&Total {}), unknown("total").map(|()| 0));
    assert_eq!(bench.ask(&Add(1)), unknown("add").map(|()| 0));
}
