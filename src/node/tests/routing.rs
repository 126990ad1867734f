//! Finding a session's primary: from an old view, at most so many times in a row, and what is said of a session that is gone.

use std::sync::{Mutex, Weak};

use bytes::Bytes;

use super::*;
use crate::{
    blob::Blob,
    membership::test_views::founded,
    moment::Moment,
    runtime::{
        message::{CallOutcome, CallRequest, DataMessage, ForwardedReply, Operation},
        router,
    },
    transport::{Class, Lane, NotSent, Peer, Transport},
};

/// What a transport that is played by a test does beside sending: nothing.
macro_rules! only_sends {
    () => {
        fn dial(&self, _: NodeName, _: &str) {}
        fn forget(&self, _: &str) {}
        fn drop_peer(&self, _: NodeId) {}
        fn peers(&self) -> Vec<Peer> {
            Vec::new()
        }
        fn stop(&self) {}
    };
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_from_a_node_with_an_old_view_is_sent_on_to_the_present_primary() {
    let network = MemoryNetwork::new();
    let names = ["a", "b", "c", "d"];
    let nodes = start(&names, &network).await;
    let id = id_served_by(&nodes[0], "a");
    counter(&nodes[3], &id).call(Add(1)).await.expect("done");
    let first = nodes[0].id();
    let (victim, others) = split(nodes, first);
    kill(&network, &victim);
    until("b serves a's arc", async || {
        counter(&others[2], &id).primary().is_some_and(|p| p.name.as_str() == "b") && others[2].view().fully_protected()
    })
    .await;
    let old = others[2].view();
    let back = start_one("a", &names, &network).await;
    until("the arc is at home again", async || {
        let served = |n: &Node| counter(n, &id).primary() == Some(back.id()) && n.view().fully_protected();
        others.iter().all(served)
    })
    .await;
    // Whatever this node hears later would tell it; so the router alone is given the old view, as if it had heard nothing.
    others[2].shared().view.store(Some(Arc::clone(&old)));
    let told = counter(&others[2], &id);
    assert_eq!(told.primary(), Some(others[0].id()), "the control: it thinks of b");
    let answered = soon(told.call_with(Add(1), CallOptions::new())).await.expect("sent on");
    assert_eq!((answered.reply, answered.node), (2, back.id()));
}

/// Two nodes that each say of the other that it is the primary, as of a view that nobody ever shows.
#[derive(Debug)]
struct Quarrel {
    router: Weak<Shared>,
    between: [NodeId; 2],
    asked: Mutex<Vec<Moment>>,
}

impl Transport for Quarrel {
    fn send(&self, to: NodeId, _: Lane, _: Class, message: Bytes) -> Result<(), NotSent> {
        let shared = self.router.upgrade().ok_or(NotSent::NoPeer)?;
        let Ok(Some(DataMessage::Calls(calls))) = DataMessage::decode(&message, usize::MAX) else { return Ok(()) };
        let [call] = &calls[..] else { panic!("one call is sent by itself") };
        self.asked.lock().expect("no panic").push(clock::now());
        let other = self.between[usize::from(to == self.between[0])];
        let outcome = CallOutcome::Elsewhere(other, ViewNumber(99));
        let reply = ForwardedReply { call: call.call, outcome };
        shared.calls.handle_replies([(to, reply)].into_iter());
        Ok(())
    }

    only_sends!();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_sent_on_at_most_max_hops_times_in_a_row() {
    let view = Arc::new(founded(&["a", "b", "c"], 4, 1));
    let [me, b, c] = [0, 1, 2].map(|place: usize| view.members[place].node);
    let shared = Shared::new(me, builder::node_settings(&file(&["a", "b", "c"], "max_hops = 3")), Arc::default());
    shared.view.store(Some(Arc::clone(&view)));
    let quarrel = Arc::new(Quarrel { router: Arc::downgrade(&shared), between: [b, c], asked: Mutex::default() });
    shared.transport.set(Arc::clone(&quarrel) as Arc<dyn Transport>).expect("not set yet");
    let served_by_b = |id: &usize| {
        let key = SessionKey::new("counter", id.to_string().as_bytes()).expect("within bounds");
        view.arc(key.arc(4)).is_some_and(|e| e.primary == b)
    };
    let id = (0_usize..).find(served_by_b).expect("b serves some arc");
    let request = CallRequest {
        key: SessionKey::new("counter", id.to_string().as_bytes()).expect("within bounds"),
        operation: Operation::Ask("count".into(), Blob::default()),
        request: None,
        durability: None,
        expected: None,
        life: None,
        attempts: 0,
        creating: false,
    };
    let outcome = soon(router::call(&shared, Arc::new(request), clock::now() + Duration::from_millis(300))).await;
    let Err(refused) = outcome else { panic!("nobody serves it") };
    assert!(matches!(refused.kind(), ErrorKind::NotDone { at: Some(_), .. }), "{refused}");
    let asked = quarrel.asked.lock().expect("no panic").clone();
    assert!(asked.len() > 4, "it tries again after a rest: {}", asked.len());
    for (fifth, first) in asked.iter().skip(4).zip(&asked) {
        let rested = fifth.since(*first);
        assert!(rested >= Duration::from_millis(15), "one call and three hops, then a rest: {rested:?}");
    }
}

/// A ring in which every node but the last is lost the moment it is asked: the view that comes next does without it.
#[derive(Debug)]
struct Losses {
    router: Weak<Shared>,
    me: NodeId,
    survivors: usize,
    /// So many messages find no room on the link, from the first loss on.
    full_for: Mutex<u8>,
    /// How many losses each request that arrived said of itself.
    told: Mutex<Vec<u8>>,
}

impl Transport for Losses {
    fn send(&self, to: NodeId, _: Lane, _: Class, message: Bytes) -> Result<(), NotSent> {
        let shared = self.router.upgrade().ok_or(NotSent::NoPeer)?;
        let Ok(Some(DataMessage::Calls(calls))) = DataMessage::decode(&message, usize::MAX) else { return Ok(()) };
        let [call] = &calls[..] else { panic!("one call is sent by itself") };
        {
            let (mut told, mut full_for) =
                (self.told.lock().expect("no panic"), self.full_for.lock().expect("no panic"));
            if !told.is_empty() && *full_for > 0 {
                *full_for -= 1;
                return Err(NotSent::Full);
            }
            told.push(call.request.attempts);
        }
        let mut view = View::clone(&shared.newest_view().expect("there is one"));
        if view.members.len() <= self.survivors {
            let outcome = CallOutcome::Done(Blob::default(), 1);
            let reply = ForwardedReply { call: call.call, outcome };
            shared.calls.handle_replies([(to, reply)].into_iter());
            return Ok(());
        }
        view.number = view.number.next();
        view.members.retain(|m| m.node != to);
        let next = view.members.iter().map(|m| m.node).find(|n| *n != self.me).expect("another");
        for entry in view.arcs.iter_mut().filter(|e| e.primary == to) {
            Arc::make_mut(entry).primary = next;
        }
        let view = Arc::new(view);
        shared.view.store(Some(Arc::clone(&view)));
        shared.views.send_replace(Some(Arc::clone(&view)));
        shared.calls.handle_view(&view);
        Ok(())
    }

    only_sends!();
}

/// What comes of a call that is made in a ring of `nodes` until only `survivors` are left, and what the requests said.
async fn while_nodes_are_lost(operation: Operation, nodes: &[&str], survivors: usize) -> (Result<u64, Error>, Vec<u8>) {
    while_nodes_are_lost_and_links_full(operation, nodes, survivors, 0).await
}

async fn while_nodes_are_lost_and_links_full(
    operation: Operation,
    nodes: &[&str],
    survivors: usize,
    full_for: u8,
) -> (Result<u64, Error>, Vec<u8>) {
    let view = Arc::new(founded(nodes, 4, 1));
    let [me, other] = [0, 1].map(|place: usize| view.members[place].node);
    let shared = Shared::new(me, builder::node_settings(&file(nodes, "")), Arc::default());
    shared.view.store(Some(Arc::clone(&view)));
    let losses = Arc::new(Losses {
        router: Arc::downgrade(&shared),
        me,
        survivors,
        full_for: Mutex::new(full_for),
        told: Mutex::default(),
    });
    shared.transport.set(Arc::clone(&losses) as Arc<dyn Transport>).expect("not set yet");
    let key = |id: usize| SessionKey::new("counter", id.to_string().as_bytes()).expect("within bounds");
    let served = |id: &usize| view.arc(key(*id).arc(4)).is_some_and(|e| e.primary == other);
    let request = CallRequest {
        key: key((0_usize..).find(served).expect("it serves some arc")),
        operation,
        request: None,
        durability: None,
        expected: None,
        life: None,
        attempts: 0,
        creating: false,
    };
    let outcome = soon(router::call(&shared, Arc::new(request), clock::now() + Duration::from_secs(5))).await;
    let told = losses.told.lock().expect("no panic").clone();
    (outcome.map(|routed| routed.version), told)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_nodes_lost_with_a_command_are_counted_against_it_and_those_lost_with_a_question_are_not() {
    let nodes = ["a", "b", "c", "d"];
    let command = Operation::Call("add".into(), Blob::default());
    let (_, told) = while_nodes_are_lost(command, &nodes, 2).await;
    assert_eq!(told, [0, 1, 2], "the third primary is to know that two were lost with it");
    let question = || Operation::Ask("count".into(), Blob::default());
    let (answered, told) = while_nodes_are_lost(question(), &nodes, 2).await;
    assert_eq!((answered.expect("two kills do not make a question a poison"), told), (1, vec![0, 0, 0]));
    // But one that kills whoever answers it must not walk round the whole ring.
    let (given_up, told) = while_nodes_are_lost(question(), &["a", "b", "c", "d", "e", "f"], 2).await;
    let given_up = given_up.expect_err("three were lost with it");
    assert!(matches!(given_up.kind(), ErrorKind::NotDone { at: None, .. }), "{given_up:?}");
    assert_eq!(told.len(), 3, "and no fourth was asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_may_have_been_executed_is_never_called_busy() {
    let command = Operation::Call("add".into(), Blob::default());
    let (done, told) = while_nodes_are_lost_and_links_full(command, &["a", "b", "c"], 2, 5).await;
    assert_eq!((done.expect("it is tried until it is known"), told), (1, vec![0, 1]));
}

#[tokio::test(flavor = "multi_thread")]
async fn never_existed_recovering_and_lost_are_told_apart() {
    let network = MemoryNetwork::new();
    let nodes = start_all(&file(&["a", "b", "c"], "backups = 0"), &network).await;
    let (lost_id, kept_id) = (id_served_by(&nodes[0], "a"), id_served_by(&nodes[0], "b"));
    for id in [&lost_id, &kept_id] {
        log(&nodes[0], id).call(Append("one".to_owned())).await.expect("done");
    }
    let first = nodes[0].id();
    let (victim, others) = split(nodes, first);
    kill(&network, &victim);
    until("it is removed", async || !others[0].view().is_member(first) && !others[1].view().is_member(first)).await;
    let short = || CallOptions::new().deadline(Duration::from_millis(300));
    let waiting = log(&others[0], &lost_id).ask_with(Lines, short()).await.expect_err("its only copy is out of reach");
    assert!(matches!(waiting.kind(), ErrorKind::Recovering { .. }), "{waiting}");
    prove_dead(&others, first);
    for node in &others {
        let gone = async {
            loop {
                let answered = log(node, &lost_id).ask_with(Lines, short()).await;
                match answered.expect_err("nothing of it is left").kind() {
                    ErrorKind::Lost => return,
                    ErrorKind::Recovering { .. } | ErrorKind::NotDone { .. } | ErrorKind::Deadline => {}
                    other => panic!("{other:?}"),
                }
            }
        };
        soon(gone).await;
        let written = log(node, &lost_id).call(Append("two".to_owned())).await.expect_err("lost, not empty");
        assert_eq!(*written.kind(), ErrorKind::Lost);
        let deleted =
            log(node, &lost_id).delete().await.expect_err("there is nothing to delete, and that it existed is lost");
        assert_eq!(*deleted.kind(), ErrorKind::Lost);
        assert_eq!(log(node, &kept_id).ask(Lines).await.expect("another arc"), ["one"]);
        let never = log(node, &format!("{{{kept_id}}}other")).ask(Lines).await.expect("never existed, so empty");
        assert!(never.is_empty());
    }
    log(&others[1], &lost_id).create().await.expect("made anew, explicitly");
    assert_eq!(log(&others[0], &lost_id).call(Append("new".to_owned())).await.expect("it exists"), 1);
}
