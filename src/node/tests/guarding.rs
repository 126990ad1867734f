//! What a backup is given and when: one backup, the whole state or only events, before the reply or after it.

use super::*;
use crate::replication::{Record, Replica};

/// What a node keeps of a session as a backup.
fn guarded(node: &Node, kind: &str, id: &str) -> Option<Record> {
    let key = SessionKey::new(kind, id.as_bytes()).expect("within bounds");
    let arc = key.arc(node.view().shape.arcs);
    let worker = usize::from(arc.0 % node.shared().settings.workers);
    let host = node.shared().hosts[worker].lock().expect("no panic inside a host");
    match host.as_ref()?.replica(arc)? {
        Replica::Backup(backup) => backup.store().get(&key).cloned(),
        Replica::Primary(_) | Replica::Learner(_) => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_backup_gets_the_whole_state_of_one_kind_and_only_the_events_of_another() {
    let network = MemoryNetwork::new();
    let nodes = start(&["a", "b", "c", "d"], &network).await;
    let whole = counter(&nodes[0], "x");
    whole.call(Add(1)).await.expect("done");
    let small = log(&nodes[0], "x");
    // A large state, so that a small event is not worth an image.
    small.call(Append("long".repeat(5_000))).await.expect("done");
    small.call(Append("short".to_owned())).await.expect("done");
    let image_of = |kind: &str| {
        let holders: Vec<Record> = nodes.iter().filter_map(|n| guarded(n, kind, "x")).collect();
        assert_eq!(holders.len(), 1, "one backup, beside the primary");
        holders.into_iter().next().expect("one")
    };
    until("the backup knows it committed", async || {
        nodes.iter().any(|n| guarded(n, "log", "x").is_some_and(|r| !r.events.is_empty()))
    })
    .await;
    let log_before = image_of("log");
    assert_eq!(log_before.events.last().map(|e| e.len() < 20), Some(true), "the event alone: {:?}", log_before.events);
    let image_before = image_of("counter").image;
    whole.call(Add(1)).await.expect("done");
    small.call(Append("again".to_owned())).await.expect("done");
    until("the backup has both", async || {
        image_of("counter").image != image_before && image_of("log").events.len() == log_before.events.len() + 1
    })
    .await;
    assert!(image_of("counter").events.is_empty(), "the whole state takes the place of the one before");
    assert_eq!(image_of("log").image, log_before.image, "the image was not sent again");
}

/// A counter whose type says that nobody waits for its backup.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Draft {
    count: u64,
}

impl Session for Draft {
    const KIND: &'static str = "draft";

    fn absent(_: &SessionId) -> Option<Self> {
        Some(Self::default())
    }
}

impl Handle<Add> for Draft {
    fn handle(&mut self, Add(n): Add, _: &mut Context<Self>) -> Result<u64, Refused> {
        self.count += n;
        Ok(self.count)
    }
}

/// How late the link from the primary to its backup is in these tests.
const LATE: Duration = Duration::from_millis(400);

/// A ring whose session "x" is guarded over a late link; its primary, all nodes, and the lateness.
async fn a_late_backup(more: &str) -> (MemoryNetwork, Vec<Node>, Node) {
    let network = MemoryNetwork::new();
    let nodes = start_all(&file(&["a", "b", "c"], more), &network).await;
    for node in &nodes {
        let mut drafts = Types::new();
        drafts.add::<Draft>().handles::<Add>().durability(Durability::Async);
        node.register(drafts).expect("a new kind");
    }
    let view = nodes[0].view();
    let entry = view.arc(arc_of(&nodes[0], "x")).expect("there is such an arc");
    network.delay(entry.primary.name, entry.in_sync[0].name, LATE);
    let primary = nodes.iter().find(|n| n.id() == entry.primary).expect("it is there").clone();
    (network, nodes, primary)
}

async fn took(call: impl Future<Output = Result<u64, Error>>) -> Duration {
    let begun = clock::now();
    soon(call).await.expect("done");
    clock::now().since(begun)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_or_a_call_says_whether_the_backup_is_waited_for() {
    let (_network, _nodes, primary) = a_late_backup("").await;
    let (strict, draft) = (counter(&primary, "x"), primary.session::<Draft>("x").expect("an id"));
    let with = |durability| CallOptions::new().durability(durability);
    let reply = async |answered: Result<crate::Answered<u64>, Error>| answered.map(|a| a.reply);
    assert!(took(strict.call(Add(1))).await >= LATE, "nothing is said before the backup has it");
    assert!(took(draft.call(Add(1))).await < LATE / 2, "its type is registered as Async");
    let other_way = async { reply(strict.call_with(Add(1), with(Durability::Async)).await).await };
    assert!(took(other_way).await < LATE / 2, "a call may ask for less");
    let other_way = async { reply(draft.call_with(Add(1), with(Durability::Sync)).await).await };
    assert!(took(other_way).await >= LATE, "a call may ask for more");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_asynchronous_copy_lags_is_seen_and_bounded() {
    let (_network, _nodes, primary) = a_late_backup("[cluster.limits]\nuncommitted = 16").await;
    let draft = primary.session::<Draft>("x").expect("an id");
    let arc = usize::from(arc_of(&primary, "x").0);
    let mut acknowledged = 0;
    let refused = loop {
        match draft.call(Add(1)).await {
            Ok(count) => acknowledged = count,
            Err(why) => break why,
        }
        let report = primary.arcs().await.swap_remove(arc);
        assert_eq!(
            (report.part, report.lag),
            (ArcPart::Active, acknowledged),
            "every commit that the backup lacks is told"
        );
    };
    assert!(matches!(refused.kind(), ErrorKind::Busy { .. }), "{refused}");
    assert_eq!(acknowledged, 16, "limits.uncommitted");
    until("the backup has caught up", async || primary.arcs().await[arc].lag == 0).await;
    assert_eq!(draft.call(Add(1)).await.expect("room again"), acknowledged + 1);
}
