//! What an answer waits for.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn with_replicate_on_read_an_answer_waits_for_the_copies_and_without_it_does_not() {
    for replicates in [false, true] {
        let network = MemoryNetwork::new();
        let more = format!("replicate_on_read = {replicates}\nlease = \"2s\"\nsuspect_after = \"4s\"");
        let nodes = start_all(&file(&["a", "b", "c"], &more), &network).await;
        let id = id_served_by(&nodes[0], "a");
        let counter = counter(&nodes[0], &id);
        counter.call(Add(4)).await.expect("done");
        let before = counter.ask_with(Count, CallOptions::new()).await.expect("asked");
        let view = nodes[0].view();
        let backup = view.arc(arc_of(&nodes[0], &id)).expect("one of its arcs").in_sync[0];
        let commits = async || nodes[0].arcs().await[usize::from(arc_of(&nodes[0], &id).0)].last;
        let last = commits().await;
        // What the primary says to its backup takes long; its lease still runs.
        let late = Duration::from_millis(300);
        network.delay(nodes[0].id().name, backup.name, late);
        let asked = clock::now();
        let told = counter.ask_with(Count, CallOptions::new()).await.expect("asked");
        let took = clock::now().since(asked);
        assert_eq!((told.reply, told.version), (4, before.version), "it changes nothing");
        assert_eq!(took >= late, replicates, "it took {took:?}");
        assert_eq!(commits().await, last + u64::from(replicates));
    }
}
