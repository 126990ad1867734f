//! What may arrive from whoever got past the handshake: messages of every kind, and what becomes of them when bytes change on the
//! way. `docs/redis.md` says how to run it for an hour.

use bytes::BytesMut;

use super::*;
use crate::{
    id::{ArcId, ClientId, CommitId, CommitNumber, Incarnation, NodeName},
    replication::{ArcContent, ArcMessage, Body, Commit, Events, FrameHead, ReplyEntry, SessionChange},
    wire::frame,
};

/// The largest message that is read here.
const MAX: usize = 64 << 10;

fn node() -> NodeId {
    NodeId { name: NodeName::new("a").expect("plain"), incarnation: Incarnation(7) }
}

fn key() -> SessionKey {
    SessionKey::new("cart", b"{u}7").expect("short")
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
    DataMessage::Calls(vec![ForwardedCall { call: 11, request: Arc::new(request) }])
}

fn frame_of(content: ArcContent) -> DataMessage {
    let head = FrameHead { view: ViewNumber(3), generation: 5, number: 1 };
    let message = ArcMessage { arc: ArcId(4), since: ViewNumber(2), committed: CommitNumber(9), content };
    DataMessage::Frame(Frame { stream: 1, head, messages: Arc::new(vec![message]) })
}

fn commit(body: Body) -> Arc<Commit> {
    let request = RequestId { client: ClientId(9), sequence: 3, first_unanswered: 2 };
    let reply = Some(ReplyEntry { request, reply: Blob::from("ok") });
    let change = SessionChange { key: key(), body, reply, life: Some(Lifespan::FOR_EVER), copied: true };
    let id = CommitId { since: ViewNumber(2), number: CommitNumber(10) };
    Arc::new(Commit { id, changes: [change].into_iter().collect() })
}

/// Messages of every kind, as they travel.
fn samples() -> Vec<Bytes> {
    let body = || Blob::from("a body of some bytes");
    let part = Part { key: key(), command: "add".into(), bodies: vec![body(), body()], expected: None };
    let calls = [
        request(Operation::Call("add".into(), body())),
        request(Operation::Many("add".into(), vec![body(), Blob::default()])),
        request(Operation::Ask("count".into(), body())),
        request(Operation::Create(Some(body()))),
        request(Operation::Delete),
        request(Operation::Watch(3, 500)),
        request(Operation::Together(vec![part])),
        request(Operation::List(Blob::from("0/"), 1 << 40, 10)),
        DataMessage::Replies(vec![
            ForwardedReply { call: 11, outcome: CallOutcome::Done(body(), 4) },
            ForwardedReply { call: 12, outcome: CallOutcome::Elsewhere(node(), ViewNumber(3)) },
            ForwardedReply { call: 13, outcome: CallOutcome::Failed(Failure::Conflict { current: 8 }) },
        ]),
    ];
    let events: Events = [body(), body()].into_iter().collect();
    let data = [
        frame_of(ArcContent::Commit(commit(Body::Image { bytes: body(), state_version: 1 }))),
        frame_of(ArcContent::Commit(commit(Body::Events { events, image: None, state_version: 1 }))),
        frame_of(ArcContent::Start {
            base: CommitNumber(8),
            tail: vec![commit(Body::Deleted), commit(Body::Unchanged)],
        }),
        frame_of(ArcContent::Committed),
    ];
    calls.iter().chain(&data).map(|message| message.encode(MAX)).map(|bytes| bytes.expect("small")).collect()
}

/// Reads it as every kind of message; what can be read is written as it was meant.
fn read(bytes: &[u8]) {
    let _ = HeartbeatMessage::decode(bytes);
    if let Ok(Some(message)) = DataMessage::decode(bytes, MAX) {
        let written = message.encode(MAX * 4).expect("what was read can be written");
        assert_eq!(DataMessage::decode(&written, MAX * 4).expect("readable"), Some(message));
    }
    if let Ok(Some(message)) = ControlMessage::decode(bytes, MAX) {
        let written = message.encode(MAX * 4).expect("what was read can be written");
        assert_eq!(ControlMessage::decode(&written, MAX * 4).expect("readable"), Some(message));
    }
    let mut stream = BytesMut::from(bytes);
    while let Ok(Some(message)) = frame::cut(&mut stream, MAX) {
        assert!(message.len() <= MAX);
    }
}

#[test]
fn every_kind_of_message_is_read_as_it_was_written() {
    for bytes in samples() {
        let is_read = DataMessage::decode(&bytes, MAX).is_ok_and(|message| message.is_some())
            || ControlMessage::decode(&bytes, MAX).is_ok_and(|message| message.is_some());
        assert!(is_read, "{}", bytes.escape_ascii());
        read(&bytes);
    }
}

#[test]
fn bytes_of_another_node_do_no_harm() {
    bolero::check!().for_each(read);
}

#[test]
fn messages_that_changed_on_the_way_do_no_harm() {
    let samples = samples();
    bolero::check!().with_type::<(u8, Vec<(u16, u8)>, u16)>().for_each(|(which, changes, cut)| {
        let mut bytes = samples[usize::from(*which) % samples.len()].to_vec();
        for (at, byte) in changes {
            let at = usize::from(*at) % bytes.len();
            bytes[at] = *byte;
        }
        if *cut % 4 == 0 {
            bytes.truncate(usize::from(*cut / 4) % bytes.len());
        }
        read(&bytes);
    });
}
