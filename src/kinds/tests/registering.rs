//! What may be registered together, and how an error reaches the caller.

use super::{super::Clash, types::*, *};
use crate::{
    error::{Changed, Error, ErrorKind, Retry},
    membership::KindVersion,
    session::{Runs, decode_reply, encode_command},
};

#[test]
fn two_kinds_of_one_name_clash_within_a_registration_and_with_earlier_ones() {
    let mut types = Types::new();
    types.add::<LogV1>().decides::<Write>();
    types.add::<LogV2>().decides::<Write>();
    assert_eq!(types.clashes(), [Clash::Kind { kind: "log" }]);
    let registry = Registry::default();
    assert_eq!(registry.register(types), Err(Clash::Kind { kind: "log" }));
    assert!(registry.kind("log").is_err(), "nothing of it was registered");

    let mut first = Types::new();
    first.add::<LogV1>();
    registry.register(first).expect("no clash");
    let mut second = Types::new();
    second.add::<Counter>();
    second.add::<LogV2>();
    assert_eq!(registry.register(second), Err(Clash::Kind { kind: "log" }));
    assert!(registry.kind("counter").is_err(), "all or nothing");
    assert_eq!(registry.kind("log").expect("the first").version(), 1);
}

#[test]
fn two_commands_of_one_name_clash_even_as_command_and_question() {
    let mut types = Types::new();
    types.add::<Counter>().handles::<Add>().answers::<Total>().handles::<Add>();
    assert_eq!(types.clashes(), [Clash::Command { kind: "counter", command: "add" }]);
}

#[test]
fn kinds_registered_later_are_found_and_told() {
    let registry = Registry::default();
    let mut types = Types::new();
    types.add::<Counter>().handles::<Add>().dedicated();
    registry.register(types).expect("no clash");
    let kept = registry.kind("counter").expect("registered");
    assert!(kept.is_dedicated());
    let mut types = Types::new();
    types.add::<LogV2>();
    registry.register(types).expect("no clash");
    let told = [("counter", 1), ("log", 2)].map(|(kind, version)| KindVersion { kind: kind.into(), version });
    assert_eq!(registry.kind_versions(), told);
    assert_eq!(kept.name(), "counter");
}

#[test]
fn an_unknown_kind_is_named_in_the_error() {
    let Err(error) = Registry::default().kind("cart") else { panic!("nothing is registered") };
    assert_eq!(error.kind(), &ErrorKind::NoSuchKind { kind: "cart".into() });
}

#[test]
fn one_bound_finds_both_handled_and_decided_commands() {
    fn call<S: Runs<C, Way>, C: Command, Way>(_: &C) -> (&'static str, &'static str) {
        (S::KIND, C::NAME)
    }
    assert_eq!(call::<Counter, _, _>(&Add(1)), ("counter", "add"));
    assert_eq!(call::<Cart, _, _>(&Empty {}), ("cart", "empty"));
}

#[test]
fn commands_and_replies_cross_the_door_and_their_faults_are_told_apart() {
    let bytes = encode_command(&Add(7), 64).expect("small");
    assert_eq!(codec::decode::<Add>(&bytes, 64).map(|add| add.0), Ok(7));
    let fault = encode_command(&Say("w".repeat(100)), 64).expect_err("over the limit");
    assert_eq!(fault.kind(), &ErrorKind::TooLarge { limit: 64 });
    assert_eq!(decode_reply::<Add>(&[7]), Ok(7));
    let fault = decode_reply::<Add>(b"\xa1x").expect_err("a text is no number");
    assert_eq!((fault.kind(), fault.changed()), (&ErrorKind::UnreadableReply, Changed::Unknown));
}

#[test]
fn a_failure_reaches_the_caller_as_an_error_that_changed_nothing_and_survives_the_wire() {
    let failure = Failure::Undecodable { theirs: 2, ours: 1, reason: "why".into() };
    let error = Error::from(failure);
    assert_eq!((error.changed(), error.retry()), (Changed::No, Retry::Useless));
    assert_eq!(error.to_string(), "the stored state (version 2) cannot be read (version 1 here); it is kept (why)");
    let bytes = codec::encode_named(&error, 1024).expect("small");
    assert_eq!(codec::decode(&bytes, 1024), Ok(error));
    assert_eq!(Error::new(ErrorKind::OutcomeUnknown).retry(), Retry::SameId);
}
