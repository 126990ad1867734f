//! A message of every kind, with every variant that can travel in it. A variant that is new is no longer matched by `Variants`, and
//! once it is, it fails the test of them until there is a sample of it here.

use std::collections::BTreeSet;

use super::*;
use crate::{
    error::Bound,
    id::{ArcId, ClientId, ClusterId, CommitId, CommitNumber, Incarnation, NodeName},
    membership::{
        Ballot, ChainMessage, Declined, FoundingMessage, JoinRefusal, RecoveryMessage, View, Wish, WishedChange,
        test_views::{founded, member},
    },
    moment::Moment,
    replication::{
        ArcContent, ArcMessage, Body, CatchUp, Commit, Events, FrameHead, ReplyEntry, ReplyLimits, Rules,
        SessionChange, Store,
    },
    session::Refused,
    wire::handshake::{Introduction, LockName, Versions},
};

pub(super) fn node() -> NodeId {
    NodeId { name: NodeName::new("a").expect("plain"), incarnation: Incarnation(7) }
}

fn key() -> SessionKey {
    SessionKey::new("cart", b"{u}7").expect("short")
}

fn body() -> Blob {
    Blob::from("a body of some bytes, more than lie in place")
}

fn part() -> Part {
    Part { key: key(), command: "add".into(), bodies: vec![body(), Blob::default()], expected: Some(0) }
}

fn request(operation: Operation) -> DataMessage {
    let request = RequestId { client: ClientId(9), sequence: 3, first_unanswered: 2 };
    let life = Some(Lifespan { ends_in: Some(Duration::from_secs(5)), idle: None });
    let request = CallRequest {
        key: key(),
        operation,
        request: Some(request),
        durability: Some(Durability::Sync),
        expected: Some(4),
        life,
        attempts: 1,
        creating: true,
    };
    let request = Arc::new(request);
    DataMessage::Calls([11, 12].map(|call| ForwardedCall { call, request: Arc::clone(&request) }).to_vec())
}

fn frame_of(content: ArcContent) -> DataMessage {
    let head = FrameHead { view: ViewNumber(3), generation: 5, number: 1 };
    let message = ArcMessage { arc: ArcId(4), since: ViewNumber(2), committed: CommitNumber(9), content };
    DataMessage::Frame(Frame { stream: 1, head, messages: Arc::new(vec![message]) })
}

pub(super) fn commit(number: u64, body: Body) -> Arc<Commit> {
    let request = RequestId { client: ClientId(9), sequence: number, first_unanswered: number };
    let reply = Some(ReplyEntry { request, reply: Blob::from("ok") });
    let life = Some(Lifespan { ends_in: Some(Duration::from_secs(60)), idle: Some(Duration::from_secs(9)) });
    let change = SessionChange { key: key(), body, reply, life, copied: true };
    let id = CommitId { since: ViewNumber(2), number: CommitNumber(number) };
    Arc::new(Commit { id, changes: [change].into_iter().collect() })
}

fn bodies() -> [Body; 5] {
    let events: Events = [body(), body()].into_iter().collect();
    [
        Body::Image { bytes: body(), state_version: 1 },
        Body::Events { events: events.clone(), image: Some(body()), state_version: 1 },
        Body::Events { events, image: None, state_version: 1 },
        Body::Unchanged,
        Body::Deleted,
    ]
}

/// On the data lane.
pub(super) fn data() -> Vec<DataMessage> {
    let mut store = Store::default();
    for (number, body) in (1..).zip(bodies()).take(3) {
        store.apply(&commit(number, body), &ReplyLimits::default(), Rules::default(), Moment::START);
    }
    let mut catch_up = CatchUp::new(node(), 1, Moment::START);
    let chunk = catch_up.next_chunk(&store, CommitNumber(3), 1 << 10, Moment::START).expect("the first");
    let tail = (9..).zip(bodies()).map(|(number, body)| commit(number, body)).collect();
    let contents =
        [ArcContent::Start { base: CommitNumber(8), tail }, ArcContent::Committed, ArcContent::Chunk(Box::new(chunk))];
    let commits = bodies().map(|body| ArcContent::Commit(commit(10, body)));
    let ack = |refused| LinkAck { generation: 5, upto: 7, stamp: ViewNumber(3), refused };
    let frames = contents.into_iter().chain(commits).map(frame_of);
    let acks = [false, true].map(|refused| DataMessage::Ack(1, ack(refused)));
    let replies =
        outcomes().into_iter().map(|outcome| DataMessage::Replies(vec![ForwardedReply { call: 11, outcome }]));
    frames.chain(acks).chain(operations().map(request)).chain(replies).collect()
}

fn outcomes() -> Vec<CallOutcome> {
    let reason = || "why".to_owned();
    let failures = [
        Failure::Refused(Refused::new("no").with_code("code")),
        Failure::NoSuchCommand { command: "add".to_owned() },
        Failure::NoSuchSession,
        Failure::AlreadyExists,
        Failure::Conflict { current: 8 },
        Failure::TooLarge { limit: 9 },
        Failure::Malformed { reason: reason() },
        Failure::Undecodable { theirs: 1, ours: 2, reason: reason() },
        Failure::Unencodable { reason: reason() },
        Failure::Panicked { words: reason() },
    ];
    let bounds = [
        Bound::Calls { limit: 1 },
        Bound::Link,
        Bound::Arc,
        Bound::RepliesPerClient { limit: 1 },
        Bound::ClientsPerSession { limit: 1 },
        Bound::Session { limit: 1 },
        Bound::Dedicated { limit: 1 },
        Bound::Tasks { limit: 1 },
    ];
    let mut outcomes = vec![
        CallOutcome::Done(body(), 4),
        CallOutcome::Elsewhere(node(), ViewNumber(3)),
        CallOutcome::Starting,
        CallOutcome::HandingOver,
        CallOutcome::Recovering,
        CallOutcome::Lost,
        CallOutcome::Unknown,
        CallOutcome::TooOld,
        CallOutcome::Poisoned,
        CallOutcome::NoSuchKind,
    ];
    outcomes.extend(failures.map(CallOutcome::Failed));
    outcomes.extend(bounds.map(|bound| CallOutcome::Busy(bound, Duration::from_millis(20))));
    outcomes
}

fn operations() -> [Operation; 10] {
    [
        Operation::Call("add".into(), body()),
        Operation::Many("add".into(), vec![body(), Blob::default()]),
        Operation::Ask("count".into(), body()),
        Operation::Create(Some(body())),
        Operation::Create(None),
        Operation::GetOrCreate(Some(body())),
        Operation::Delete,
        Operation::Watch(3, 500),
        Operation::Together(vec![part(), part()]),
        Operation::List(Blob::from("0/"), 1 << 40, 10),
    ]
}

fn keepers() -> Vec<KeeperMessage> {
    let view: Arc<View> = Arc::new(founded(&["a", "b", "c"], 6, 1));
    let ballot = Ballot { round: 3, voter: node() };
    let (base, cluster) = (ViewNumber(3), ClusterId(7));
    let accepted = || Some((ballot, Arc::clone(&view)));
    let chain = [
        ChainMessage::Prepare { base: Arc::clone(&view), ballot },
        ChainMessage::Promise { base, ballot, voter: node(), accepted: accepted(), hears: [node()].into() },
        ChainMessage::Refuse { base, ballot, promised: Some(ballot), newest: Some(Arc::clone(&view)) },
        ChainMessage::Accept { base, ballot, value: Arc::clone(&view) },
        ChainMessage::Accepted { base, ballot, voter: node() },
        ChainMessage::Decided(Arc::clone(&view)),
        ChainMessage::Fetch { have: base },
    ];
    let founding = [
        FoundingMessage::Blank { digest: 5, shape: Box::new((*view.shape).clone()), member: member(node()) },
        FoundingMessage::Serving { cluster, view: base },
        FoundingMessage::Found(Arc::clone(&view)),
        FoundingMessage::FoundAccepted(cluster),
        FoundingMessage::FoundRefused(cluster),
        FoundingMessage::Founded(Arc::clone(&view)),
    ];
    let recovery = [
        RecoveryMessage::Pledge { successor: cluster, of: cluster },
        RecoveryMessage::Pledged {
            successor: cluster,
            member: Box::new(member(node())),
            view: Arc::clone(&view),
            accepted: accepted(),
        },
        RecoveryMessage::Released { successor: cluster },
        RecoveryMessage::Declined { successor: cluster, why: Declined::HasQuorum },
        RecoveryMessage::Declined { successor: cluster, why: Declined::OtherCluster },
        RecoveryMessage::Declined { successor: cluster, why: Declined::Pledged },
    ];
    let wish = |change| Wish { arc: ArcId(4), from: node(), since: base, base, expected: vec![node()], change };
    let wishes = [
        WishedChange::Add(node()),
        WishedChange::Drop { node: node(), instead: Some(node()) },
        WishedChange::Move(node()),
    ];
    let mut all = vec![
        KeeperMessage::Wishes(wishes.map(wish).to_vec()),
        KeeperMessage::Join(member(node())),
        KeeperMessage::Leave,
        KeeperMessage::Ended(vec![node()]),
        KeeperMessage::JoinRefused(JoinRefusal::NameLives(node().name)),
        KeeperMessage::Word(vec![node()]),
        KeeperMessage::ClearLost(vec![(ArcId(4), base)]),
    ];
    all.extend(chain.map(KeeperMessage::Chain));
    all.extend(founding.map(KeeperMessage::Founding));
    all.extend(recovery.map(KeeperMessage::Recovery));
    all
}

/// On the control lane.
pub(super) fn control() -> Vec<ControlMessage> {
    keepers().into_iter().map(ControlMessage::Keeper).collect()
}

/// On the heartbeat socket.
pub(super) fn heartbeats() -> [HeartbeatMessage; 2] {
    let installed = ViewNumber(3);
    [
        HeartbeatMessage::Ping(Ping { number: 1 << 40, installed, hears_you: true }),
        HeartbeatMessage::Pong(Pong { number: 1 << 40, installed, stamp: ViewNumber(4) }),
    ]
}

/// Words of a handshake, each as it travels.
pub(super) fn handshakes() -> Vec<Vec<u8>> {
    let from = Introduction {
        cluster: "shop".into(),
        node: node(),
        address: "127.0.0.1:7101".into(),
        lock: LockName { path: "/run/x.lock".into(), boot_id: "b".into(), dev: 1, inode: 2 },
        nonce: [9; 32],
    };
    let name = node().name;
    let hello = Hello { from: from.clone(), to: name, data: true, link: u128::MAX, replaces: Some(3) };
    let refusals = [
        Refusal::WrongSecret,
        Refusal::OtherCluster { theirs: "other".into() },
        Refusal::OtherProtocol { theirs: Versions { oldest: 2, newest: 3 } },
        Refusal::OtherName { theirs: name },
        Refusal::NameInUse { incarnation: Incarnation(7) },
        Refusal::AlreadyLinked { link: 1 },
        Refusal::Itself,
        Refusal::TooMany,
        Refusal::Deadline,
        Refusal::Garbage,
        Refusal::Closed,
        Refusal::Unreachable { errno: 111 },
        Refusal::NotAdmitted,
    ];
    let mut words = vec![
        handshake::encode(Kind::Hello, &hello),
        handshake::encode(Kind::Welcome, &Welcome { from }),
        handshake::encode(Kind::Proof, &Proof([7; 32])),
        handshake::encode(Kind::Accepted, &Proof([7; 32])),
    ];
    words.extend(refusals.map(|refusal| handshake::encode(Kind::Refused, &refusal)));
    words
}

/// All of them as bytes.
pub(super) fn all() -> Vec<Bytes> {
    let data = data().into_iter().map(|message| message.encode(MAX).expect("small"));
    let control = control().into_iter().map(|message| message.encode(MAX).expect("small"));
    let heartbeats = heartbeats().into_iter().map(|message| message.encode());
    data.chain(control).chain(heartbeats).chain(handshakes().into_iter().map(Bytes::from)).collect()
}

/// The variants that were met, by the name of their type and a number within it.
#[derive(Default)]
struct Variants(BTreeSet<(&'static str, u8)>);

impl Variants {
    fn content(&mut self, content: &ArcContent) {
        let number = match content {
            ArcContent::Commit(commit) => {
                commit.changes.iter().for_each(|change| self.body(&change.body));
                1
            }
            ArcContent::Start { .. } => 2,
            ArcContent::Committed => 3,
            ArcContent::Chunk(_) => 4,
            ArcContent::Answering(_, commit) => {
                commit.changes.iter().for_each(|change| self.body(&change.body));
                5
            }
        };
        self.0.insert(("content", number));
    }

    fn body(&mut self, body: &Body) {
        let number = match body {
            Body::Unchanged => 1,
            Body::Image { .. } => 2,
            Body::Events { .. } => 3,
            Body::Deleted => 4,
        };
        self.0.insert(("body", number));
    }

    fn operation(&mut self, operation: &Operation) {
        let number = match operation {
            Operation::Call(..) => 1,
            Operation::Many(..) => 2,
            Operation::Ask(..) => 3,
            Operation::Create(_) => 4,
            Operation::GetOrCreate(_) => 5,
            Operation::Delete => 6,
            Operation::Watch(..) => 7,
            Operation::Together(_) => 8,
            Operation::List(..) => 9,
        };
        self.0.insert(("operation", number));
    }

    fn outcome(&mut self, outcome: &CallOutcome) {
        let number = match outcome {
            CallOutcome::Done(..) => 1,
            CallOutcome::Failed(failure) => {
                self.failure(failure);
                2
            }
            CallOutcome::Elsewhere(..) => 3,
            CallOutcome::Starting => 4,
            CallOutcome::HandingOver => 5,
            CallOutcome::Recovering => 6,
            CallOutcome::Busy(bound, _) => {
                self.bound(*bound);
                7
            }
            CallOutcome::Lost => 8,
            CallOutcome::Unknown => 9,
            CallOutcome::TooOld => 10,
            CallOutcome::Poisoned => 11,
            CallOutcome::NoSuchKind => 12,
        };
        self.0.insert(("outcome", number));
    }

    fn failure(&mut self, failure: &Failure) {
        let number = match failure {
            Failure::Refused(_) => 1,
            Failure::NoSuchCommand { .. } => 2,
            Failure::NoSuchSession => 3,
            Failure::AlreadyExists => 4,
            Failure::Conflict { .. } => 5,
            Failure::TooLarge { .. } => 6,
            Failure::Malformed { .. } => 7,
            Failure::Undecodable { .. } => 8,
            Failure::Unencodable { .. } => 9,
            Failure::Panicked { .. } => 10,
        };
        self.0.insert(("failure", number));
    }

    fn bound(&mut self, bound: Bound) {
        let number = match bound {
            Bound::Calls { .. } => 1,
            Bound::Link => 2,
            Bound::Arc => 3,
            Bound::RepliesPerClient { .. } => 4,
            Bound::ClientsPerSession { .. } => 5,
            Bound::Session { .. } => 6,
            Bound::Dedicated { .. } => 7,
            Bound::Tasks { .. } => 8,
        };
        self.0.insert(("bound", number));
    }

    fn keeper(&mut self, message: &KeeperMessage) {
        let number = match message {
            KeeperMessage::Chain(message) => {
                self.chain(message);
                1
            }
            KeeperMessage::Founding(message) => {
                self.founding(message);
                2
            }
            KeeperMessage::Wishes(_) => 3,
            KeeperMessage::Join(_) => 4,
            KeeperMessage::Leave => 5,
            KeeperMessage::Ended(_) => 6,
            KeeperMessage::JoinRefused(JoinRefusal::NameLives(_)) => 7,
            KeeperMessage::Recovery(message) => {
                self.recovery(message);
                8
            }
            KeeperMessage::Word(_) => 9,
            KeeperMessage::ClearLost(_) => 10,
        };
        self.0.insert(("keeper", number));
    }

    fn chain(&mut self, message: &ChainMessage) {
        let number = match message {
            ChainMessage::Prepare { .. } => 1,
            ChainMessage::Promise { .. } => 2,
            ChainMessage::Refuse { .. } => 3,
            ChainMessage::Accept { .. } => 4,
            ChainMessage::Accepted { .. } => 5,
            ChainMessage::Decided(_) => 6,
            ChainMessage::Fetch { .. } => 7,
        };
        self.0.insert(("chain", number));
    }

    fn founding(&mut self, message: &FoundingMessage) {
        let number = match message {
            FoundingMessage::Blank { .. } => 1,
            FoundingMessage::Serving { .. } => 2,
            FoundingMessage::Found(_) => 3,
            FoundingMessage::FoundAccepted(_) => 4,
            FoundingMessage::FoundRefused(_) => 5,
            FoundingMessage::Founded(_) => 6,
        };
        self.0.insert(("founding", number));
    }

    fn recovery(&mut self, message: &RecoveryMessage) {
        let number = match message {
            RecoveryMessage::Pledge { .. } => 1,
            RecoveryMessage::Pledged { .. } => 2,
            RecoveryMessage::Released { .. } => 3,
            RecoveryMessage::Declined { .. } => 4,
        };
        self.0.insert(("recovery", number));
    }
}

#[test]
fn there_is_a_sample_of_every_variant() {
    let mut met = Variants::default();
    for message in data() {
        match message {
            DataMessage::Frame(frame) => frame.messages.iter().for_each(|message| met.content(&message.content)),
            DataMessage::Ack(..) => {
                met.0.insert(("ack", 1));
            }
            DataMessage::Calls(calls) => calls.iter().for_each(|call| met.operation(&call.request.operation)),
            DataMessage::Replies(replies) => replies.iter().for_each(|reply| met.outcome(&reply.outcome)),
        }
    }
    for ControlMessage::Keeper(message) in control() {
        met.keeper(&message);
    }
    let wanted = [
        ("ack", 1),
        ("body", 4),
        ("bound", 8),
        ("chain", 7),
        ("content", 4),
        ("failure", 10),
        ("founding", 6),
        ("keeper", 10),
        ("operation", 9),
        ("outcome", 12),
        ("recovery", 4),
    ];
    let wanted = wanted.into_iter().flat_map(|(of, count)| (1..=count).map(move |number| (of, number)));
    assert_eq!(met.0, wanted.collect());
}
