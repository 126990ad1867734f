//! Nothing acknowledged is lost and nothing is applied twice, whichever node or worker is lost.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_commands_survive_the_kill_of_the_primary() {
    let network = MemoryNetwork::new();
    let nodes = start(&["a", "b", "c"], &network).await;
    let counter = nodes[0].session::<Counter>("x").expect("an id");
    for n in 1..=20 {
        assert_eq!(counter.call(Add(1)).await.expect("done"), n);
    }
    let log = nodes[1].session::<Log>("x").expect("an id");
    assert_eq!(log.call(Append("one".to_owned())).await.expect("done"), 1);
    let primary = counter.primary().expect("served");
    let (victim, others) = split(nodes, primary);
    network.kill(primary);
    victim.kill();
    let counter = others[0].session::<Counter>("x").expect("an id");
    assert_eq!(soon(counter.call(Add(1))).await.expect("done"), 21);
    let log = others[1].session::<Log>("x").expect("an id");
    assert_eq!(soon(log.call(Append("two".to_owned()))).await.expect("done"), 2);
    soon(others[0].fully_protected()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retried_request_is_applied_once_across_a_failover() {
    let network = MemoryNetwork::new();
    let nodes = start(&["a", "b", "c"], &network).await;
    let request = RequestId { client: ClientId(7), sequence: 1, first_unanswered: 1 };
    let options = || CallOptions::new().request(request);
    let counter = nodes[0].session::<Counter>("x").expect("an id");
    let first = counter.call_with(Add(5), options()).await.expect("done");
    let primary = counter.primary().expect("served");
    let (victim, others) = split(nodes, primary);
    network.kill(primary);
    victim.kill();
    for node in &others {
        let counter = node.session::<Counter>("x").expect("an id");
        let again = soon(counter.call_with(Add(5), options())).await.expect("done");
        assert_eq!((again.reply, again.version), (first.reply, first.version));
        assert_eq!(soon(counter.ask(Count)).await.expect("answered"), 5);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_crashes_is_started_again_and_loses_nothing() {
    let network = MemoryNetwork::new();
    let nodes = start(&["a", "b", "c"], &network).await;
    let mut events = nodes[0].events();
    let counters: Vec<_> = (0..32).map(|n| nodes[0].session::<Counter>(format!("s{n}")).expect("id")).collect();
    for counter in &counters {
        counter.call(Add(1)).await.expect("done");
    }
    nodes[0].shared().tell_workers(|| WorkerInput::Crash);
    let restarted = async {
        while let Some(event) = events.recv().await {
            if matches!(event.what, EventKind::WorkerRestarted { .. }) {
                return;
            }
        }
    };
    soon(restarted).await;
    for counter in &counters {
        assert_eq!(soon(counter.call(Add(1))).await.expect("done"), 2);
    }
    assert_eq!(nodes[0].view().number, nodes[1].view().number);
    assert!(nodes[0].is_ready());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_that_panics_in_the_hands_of_who_passed_by_ends_its_worker_alone() {
    let network = MemoryNetwork::new();
    let nodes = start(&["a", "b", "c"], &network).await;
    let mut events = nodes[0].events();
    let counter = counter(&nodes[0], "x");
    counter.call(Add(1)).await.expect("done");
    nodes[0].shared().leave_for(ArcId(0), WorkerInput::Crash);
    // Of the actor's ticks one may come sooner; either way whoever runs the round goes on.
    nodes[0].shared().see_to_calls();
    let restarted = async {
        while let Some(event) = events.recv().await {
            if matches!(event.what, EventKind::WorkerRestarted { .. }) {
                return;
            }
        }
    };
    soon(restarted).await;
    assert_eq!(soon(counter.call(Add(1))).await.expect("done"), 2);
    assert!(nodes[0].is_ready());
}

/// Appends numbered lines, each under one request id until it is answered: what a careful client does.
async fn write_until_told(nodes: Vec<Node>, client: u128, written: Arc<std::sync::atomic::AtomicBool>) -> Vec<String> {
    let mut lines = Vec::new();
    let mut sequence = 0;
    while !written.load(std::sync::atomic::Ordering::Acquire) {
        sequence += 1;
        let line = format!("{client}-{sequence}");
        let request = RequestId { client: ClientId(client), sequence, first_unanswered: sequence };
        let mut attempt = usize::try_from(client).expect("small");
        loop {
            let node = &nodes[attempt % nodes.len()];
            let options = CallOptions::new().request(request).deadline(Duration::from_millis(700));
            match log(node, &format!("log {}", client % 3)).call_with(Append(line.clone()), options).await {
                Ok(_) => break,
                Err(_) => attempt += 1,
            }
        }
        lines.push(line);
    }
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_lost_meanwhile_every_acknowledged_command_is_there_exactly_once() {
    let network = MemoryNetwork::new();
    let names = ["a", "b", "c", "d"];
    let mut nodes = start(&names, &network).await;
    // d stays, so that every client always has one node to ask; the others go and come back in turn.
    let stays = vec![nodes[3].clone()];
    let enough = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let clients: Vec<_> =
        (0..6).map(|client| tokio::spawn(write_until_told(stays.clone(), client, Arc::clone(&enough)))).collect();
    for victim in ["a", "b", "c", "b"] {
        time::sleep(Duration::from_millis(150)).await;
        let place = nodes.iter().position(|n| n.id().name.as_str() == victim).expect("it is there");
        kill(&network, &nodes[place]);
        nodes[place] = start_one(victim, &names, &network).await;
        soon(nodes[3].fully_protected()).await;
    }
    enough.store(true, std::sync::atomic::Ordering::Release);
    let mut acknowledged = Vec::new();
    for client in clients {
        acknowledged.extend(soon(client).await.expect("no panic"));
    }
    let mut there = Vec::new();
    for session in 0..3 {
        there.extend(soon(log(&nodes[0], &format!("log {session}")).ask(Lines)).await.expect("answered"));
    }
    acknowledged.sort();
    there.sort();
    assert!(acknowledged.len() > 100, "the control: {} commands", acknowledged.len());
    assert_eq!(there, acknowledged);
}
