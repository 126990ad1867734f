//! The JSON kind.

use serde_json::json;

use super::{
    super::json::{Document, Get, Json, Patch, Put, PutReply},
    *,
};

fn bench() -> Bench {
    Bench::new::<Json>(Json::register)
}

fn put(value: serde_json::Value) -> Put {
    Put { document: Document(value) }
}

#[test]
fn put_makes_and_replaces_and_get_shows() {
    let mut bench = bench();
    assert_eq!(bench.ask(&Get {}), Ok(None));
    assert_eq!(bench.call(&put(json!({"a": 1}))), Ok(PutReply { created: true }));
    assert_eq!(bench.call(&put(json!(null))), Ok(PutReply { created: false }));
    bench.live.forget();
    assert_eq!(bench.ask(&Get {}), Ok(Some(Document(json!(null)))), "null is a document");
    assert_eq!(bench.ask_stored(&Get {}), Ok(Some(Document(json!(null)))));
    assert!(bench.run(Op::Delete).outcome.is_ok());
    assert_eq!(bench.ask(&Get {}), Ok(None));
}

#[test]
fn put_under_if_match_conflicts_with_another_version() {
    let mut bench = bench();
    bench.call(&put(json!(1))).expect("new");
    bench.expected = Some(7);
    assert_eq!(bench.call(&put(json!(2))), Err(Failure::Conflict { current: 1 }));
    bench.expected = Some(1);
    assert_eq!(bench.call(&put(json!(2))), Ok(PutReply { created: false }));
}

#[test]
fn patch_merges_as_the_examples_of_rfc_7396_say() {
    for (target, patch, result) in [
        (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
        (json!({"a": "b"}), json!({"a": null}), json!({})),
        (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
        (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
        (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
        (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
        (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
        (json!({"a": "b"}), json!(["c"]), json!(["c"])),
        (json!({"a": "foo"}), json!(null), json!(null)),
        (json!({"a": "foo"}), json!("bar"), json!("bar")),
        (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
        (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
        (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
    ] {
        let mut bench = bench();
        bench.call(&put(target)).expect("new");
        assert_eq!(bench.call(&Patch { patch: Document(patch) }), Ok(Document(result.clone())));
        assert_eq!(bench.ask_stored(&Get {}), Ok(Some(Document(result))));
    }
}

#[test]
fn text_that_is_no_json_or_nests_too_deep_is_malformed() {
    #[derive(serde::Serialize)]
    struct Raw {
        document: String,
    }
    let mut bench = bench();
    for text in ["{".to_owned(), "1 2".to_owned(), String::new(), "[".repeat(200) + &"]".repeat(200)] {
        let payload = codec::encode_named(&Raw { document: text }, 1024).expect("small");
        let run = bench.run(Op::Call { command: "put", payload: Payload::One(&payload), may_create: true });
        assert!(matches!(run.outcome, Err(Failure::Malformed { .. })), "{run:?}");
    }
    let deepest = "[".repeat(127) + &"]".repeat(127);
    let payload = codec::encode_named(&Raw { document: deepest }, 1024).expect("small");
    assert!(bench.run(Op::Call { command: "put", payload: Payload::One(&payload), may_create: true }).outcome.is_ok());
}
