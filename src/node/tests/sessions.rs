//! One session through its life, and what cannot be done with it.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_made_read_and_removed_as_asked() {
    let network = MemoryNetwork::new();
    let nodes = start(&["a", "b", "c"], &network).await;
    let counter = nodes[2].session::<Counter>("made").expect("an id");
    counter.create_with(&Counter { count: 40 }).await.expect("made");
    assert_eq!(*counter.create().await.expect_err("exists").kind(), ErrorKind::AlreadyExists);
    assert!(!counter.get_or_create().await.expect("there"));
    let done = counter.call_with(Add(2), CallOptions::new().durability(Durability::Async)).await.expect("done");
    assert_eq!(done.reply, 42);
    let stale = counter.call_with(Add(1), CallOptions::new().expected_version(done.version + 9)).await;
    assert_eq!(*stale.expect_err("another version").kind(), ErrorKind::Conflict { current: done.version });
    let mut read = 0;
    for node in &nodes {
        let local = node.session::<Counter>("made").expect("an id");
        match local.read_stale(Count).await {
            Ok(stale) => {
                read += 1;
                assert!(stale.reply == 42 || stale.reply == 40, "a committed state: {stale:?}");
                assert!(stale.age < Duration::from_secs(5));
            }
            Err(why) => assert!(matches!(why.kind(), ErrorKind::NotDone { .. })),
        }
    }
    assert_eq!(read, 2, "the primary and one backup hold it");
    assert!(counter.delete().await.expect("done"));
    assert!(!counter.delete().await.expect("nothing there"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_a_handler_undoes_that_command_and_leaves_every_other_session_alone() {
    let network = MemoryNetwork::new();
    let nodes = start(&["a", "b", "c"], &network).await;
    let (one, other) =
        (nodes[0].session::<Counter>("one").expect("id"), nodes[0].session::<Counter>("two").expect("id"));
    one.call(Add(3)).await.expect("done");
    other.call(Add(4)).await.expect("done");
    let panicked = one.call(AddThenPanic(100)).await.expect_err("it panics");
    assert_eq!(*panicked.kind(), ErrorKind::Panicked);
    assert_eq!(panicked.detail(), "halfway", "its own words come to the caller");
    let refused = one.call(AddThenRefuse(100)).await.expect_err("it refuses");
    assert!(matches!(refused.kind(), ErrorKind::Refused(_)));
    assert_eq!(one.ask(Count).await.expect("answered"), 3);
    assert_eq!(other.ask(Count).await.expect("answered"), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_said_clearly_and_changes_nothing() {
    #[derive(Default, Serialize, Deserialize)]
    struct Unknown;
    impl Session for Unknown {
        const KIND: &'static str = "unknown";
    }
    impl Handle<Add> for Unknown {
        fn handle(&mut self, Add(n): Add, _: &mut Context<Self>) -> Result<u64, Refused> {
            Ok(n)
        }
    }
    let network = MemoryNetwork::new();
    let nodes = start(&["a", "b", "c"], &network).await;
    let unknown = nodes[0].session::<Unknown>("x").expect("an id").call(Add(1)).await.expect_err("not registered");
    assert_eq!(*unknown.kind(), ErrorKind::NoSuchKind { kind: "unknown".to_owned() });
    let log = nodes[0].session::<Log>("big").expect("an id");
    let too_large = log.call(Append("x".repeat(2 << 20))).await.expect_err("over the limit");
    assert!(matches!(too_large.kind(), ErrorKind::TooLarge { .. }), "{too_large}");
    assert_eq!(log.call(Append("small".to_owned())).await.expect("done"), 1);
    assert!(nodes[0].session::<Log>("").is_err() && nodes[0].session::<Log>("x".repeat(600)).is_err());
    let mut more = Types::new();
    more.add::<Unknown>().handles::<Add>();
    for node in &nodes {
        let mut more = Types::new();
        more.add::<Unknown>().handles::<Add>();
        node.register(more).expect("a new kind, on a running node");
    }
    assert!(nodes[0].register(more).is_err(), "twice is a clash");
    let absent = nodes[0].session::<Unknown>("x").expect("an id").call(Add(1)).await.expect_err("not made yet");
    assert_eq!(*absent.kind(), ErrorKind::NoSuchSession);
    assert!(absent.to_string().contains("unknown/x") && absent.to_string().contains("create it first"), "{absent}");
    let first = nodes[0].session::<Unknown>("x").expect("an id").create().await.expect_err("made of what?");
    assert_eq!(*first.kind(), ErrorKind::NoSuchSession);
    assert!(first.to_string().contains("create_with") && first.to_string().contains("unknown/x"), "{first}");
    let announced = async {
        while !nodes[1].view().members.iter().all(|m| m.kinds.iter().any(|k| k.kind == "unknown")) {
            time::sleep(Duration::from_millis(10)).await;
        }
    };
    soon(announced).await;
}
