//! A handler that takes its time is named, while it runs and when it is through.

use super::*;

#[derive(Default, Serialize, Deserialize)]
struct Thinker;

impl Session for Thinker {
    const KIND: &'static str = "thinker";

    fn absent(_: &SessionId) -> Option<Self> {
        Some(Self)
    }
}

#[derive(Serialize, Deserialize)]
struct Think(u64);

impl Command for Think {
    const NAME: &'static str = "think";
    type Reply = ();
}

impl Handle<Think> for Thinker {
    fn handle(&mut self, Think(ms): Think, _: &mut Context<Self>) -> Result<(), Refused> {
        std::thread::sleep(Duration::from_millis(ms));
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_runs_long_is_named_while_it_runs_and_when_it_is_through_and_a_quick_one_is_not() {
    let network = MemoryNetwork::new();
    let mut types = Types::new();
    types.add::<Thinker>().handles::<Think>();
    let file = file(&["a"], "suspect_after = \"2s\"");
    let node = Node::builder().config(file).name("a").types(types).over(&network).start().await.expect("alone");
    let mut events = node.events();
    let session = node.session::<Thinker>("deep").expect("an id");
    session.call(Think(1)).await.expect("done");
    session.call(Think(800)).await.expect("done");
    let mut named = Vec::new();
    while named.last() != Some(&true) {
        let EventKind::SlowHandler { kind, session, command, ms, ended } =
            soon(events.recv()).await.expect("the node lives").what
        else {
            continue;
        };
        assert_eq!((kind.as_str(), session.as_str(), command.as_str()), ("thinker", "deep", "think"));
        assert!(if ended { ms >= 800 } else { ms >= 500 }, "{ms} ms, ended: {ended}");
        named.push(ended);
    }
    assert_eq!(named, [false, true]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_session_has_an_id_of_its_own_and_is_served_where_it_was_made() {
    let network = MemoryNetwork::new();
    let nodes = start(&["a", "b", "c"], &network).await;
    for node in &nodes {
        let [one, other] = [(); 2].map(|()| node.new_session::<Counter>().expect("a good kind"));
        assert_ne!(one.id(), other.id());
        assert_eq!((one.primary(), other.primary()), (Some(node.id()), Some(node.id())));
        assert_eq!(one.call(Add(2)).await.expect("done"), 2);
        let again = nodes[0].session::<Counter>(one.id()).expect("an id");
        assert_eq!(again.ask(Count).await.expect("asked"), 2);
    }
}
