//! Session types of a running node: none is known until it is registered, and none needs a restart.

use super::*;

/// A type that no node knows when it starts.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Late {
    count: u64,
}

impl Session for Late {
    const KIND: &'static str = "late";

    fn absent(_: &SessionId) -> Option<Self> {
        Some(Self::default())
    }
}

impl Handle<Add> for Late {
    fn handle(&mut self, Add(n): Add, _: &mut Context<Self>) -> Result<u64, Refused> {
        self.count += n;
        Ok(self.count)
    }
}

/// A sum that keeps how often it was added to beside what is copied.
#[derive(Default, Serialize, Deserialize)]
struct Sum {
    parts: Vec<u64>,
    #[serde(skip)]
    total: u64,
}

impl Session for Sum {
    const KIND: &'static str = "sum";
    const UNREPLICATED: &'static [&'static str] = &["total"];

    fn absent(_: &SessionId) -> Option<Self> {
        Some(Self::default())
    }

    fn loaded(&mut self, _: &mut Context<Self>) {
        self.total = self.parts.iter().sum();
    }
}

impl Handle<Add> for Sum {
    fn handle(&mut self, Add(n): Add, _: &mut Context<Self>) -> Result<u64, Refused> {
        self.parts.push(n);
        self.total += n;
        Ok(self.total)
    }
}

/// It says that its count is not replicated, and it is.
#[derive(Default, Serialize, Deserialize)]
struct Liar {
    count: u64,
}

impl Session for Liar {
    const KIND: &'static str = "liar";
    const UNREPLICATED: &'static [&'static str] = &["count"];

    fn absent(_: &SessionId) -> Option<Self> {
        Some(Self::default())
    }
}

impl Handle<Add> for Liar {
    fn handle(&mut self, Add(n): Add, _: &mut Context<Self>) -> Result<u64, Refused> {
        self.count += n;
        Ok(self.count)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_replicated_is_listed_rebuilt_where_a_session_is_taken_over_and_never_said_falsely() {
    let network = MemoryNetwork::new();
    let nodes = start(&["a", "b", "c"], &network).await;
    for node in &nodes {
        let mut types = Types::new();
        types.add::<Sum>().handles::<Add>();
        types.add::<Liar>().handles::<Add>();
        types.add::<Late>().handles::<Add>().not_copied();
        node.register(types).expect("new kinds");
    }
    let listed: Vec<_> = nodes[0].unreplicated().iter().map(|what| (what.kind, what.fields, what.whole)).collect();
    assert_eq!(listed, [("late", &[][..], true), ("liar", &["count"][..], false), ("sum", &["total"][..], false)]);

    let id = id_served_by(&nodes[0], "a");
    let sum = |node: &Node| node.session::<Sum>(id.as_str()).expect("an id");
    assert_eq!(sum(&nodes[0]).call(Add(2)).await.expect("done"), 2);
    assert_eq!(sum(&nodes[0]).call(Add(3)).await.expect("done"), 5);
    let liar = nodes[0].session::<Liar>(id.as_str()).expect("an id").call(Add(1)).await.expect_err("it lies");
    assert_eq!(*liar.kind(), ErrorKind::Unencodable);
    let first = nodes[0].id();
    let (victim, others) = split(nodes, first);
    kill(&network, &victim);
    assert_eq!(sum(&others[0]).call(Add(4)).await.expect("done"), 9, "the total was rebuilt");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_registered_on_running_nodes_is_served_and_guarded_without_a_restart() {
    let network = MemoryNetwork::new();
    let nodes = start(&["a", "b", "c"], &network).await;
    let ids: Vec<NodeId> = nodes.iter().map(Node::id).collect();
    let before = counter(&nodes[0], "x");
    before.call(Add(1)).await.expect("done");
    let late = |node: &Node| node.session::<Late>("x").expect("an id");
    let unknown = late(&nodes[0]).call(Add(1)).await.expect_err("nobody knows it yet");
    assert_eq!(*unknown.kind(), ErrorKind::NoSuchKind { kind: "late".to_owned() });
    for node in &nodes {
        let mut types = Types::new();
        types.add::<Late>().handles::<Add>();
        node.register(types).expect("a new kind, on a running node");
    }
    for (node, done) in nodes.iter().zip(1..) {
        assert_eq!(late(node).call(Add(1)).await.expect("served"), done);
    }
    until("the ring knows who can host it", async || {
        nodes[1].view().members.iter().all(|m| m.kinds.iter().any(|k| k.kind == "late"))
    })
    .await;
    assert_eq!(ids, nodes.iter().map(Node::id).collect::<Vec<_>>());
    assert_eq!(before.call(Add(1)).await.expect("the others go on"), 2);
    let primary = late(&nodes[0]).primary().expect("served");
    let (victim, others) = split(nodes, primary);
    kill(&network, &victim);
    assert_eq!(soon(late(&others[0]).call(Add(1))).await.expect("its backup knows the type too"), 4);
}

/// A type whose sessions are worth nothing without their process.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Fleeting {
    count: u64,
}

impl Session for Fleeting {
    const KIND: &'static str = "fleeting";

    fn absent(_: &SessionId) -> Option<Self> {
        Some(Self::default())
    }
}

impl Handle<Add> for Fleeting {
    fn handle(&mut self, Add(n): Add, _: &mut Context<Self>) -> Result<u64, Refused> {
        self.count += n;
        Ok(self.count)
    }
}

impl Answer<Count> for Fleeting {
    fn answer(&self, _: Count) -> u64 {
        self.count
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_that_is_not_copied_lives_on_its_primary_alone_beside_one_that_is() {
    let network = MemoryNetwork::new();
    let nodes = start(&["a", "b", "c"], &network).await;
    for node in &nodes {
        let mut types = Types::new();
        types.add::<Fleeting>().handles::<Add>().answers::<Count>().not_copied();
        node.register(types).expect("a new kind");
    }
    let fleeting = |node: &Node| node.session::<Fleeting>("x").expect("an id");
    let primary = fleeting(&nodes[0]).primary().expect("served");
    // Both kinds share the arc of "x", and take turns in its one history.
    for done in 1..=20 {
        assert_eq!(fleeting(&nodes[0]).call(Add(1)).await.expect("done"), done);
        assert_eq!(counter(&nodes[0], "x").call(Add(1)).await.expect("done"), done);
    }
    assert_eq!(fleeting(&nodes[1]).ask(Count).await.expect("every node reaches it"), 20);
    let (victim, others) = split(nodes, primary);
    kill(&network, &victim);
    assert_eq!(soon(counter(&others[0], "x").call(Add(1))).await.expect("copied"), 21);
    assert_eq!(soon(fleeting(&others[0]).call(Add(1))).await.expect("it begins anew"), 1);
    // A copy that was made later has nothing of it either.
    soon(others[0].fully_protected()).await;
    let primary = fleeting(&others[0]).primary().expect("served");
    let backup = others.iter().find(|n| n.id() != primary).expect("two are left");
    until("the copy knows the last command", async || {
        counter(backup, "x").read_stale(Count).await.is_ok_and(|stale| stale.reply == 21)
    })
    .await;
    let stale = fleeting(backup).read_stale(Count).await.expect("a copy of the arc");
    assert_eq!((stale.reply, stale.version), (0, 0));
}
