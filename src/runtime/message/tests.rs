//! What may arrive from whoever got past the handshake, and the words of the handshake itself: messages of every kind, and what
//! becomes of them when bytes change on the way. `docs/fuzzing.md` says how to run it for an hour; what a node's arcs make of what
//! was read is in `heard`.

mod heard;
mod samples;

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::BytesMut;

use super::*;
use crate::wire::{
    frame,
    handshake::{self, Hello, Kind, Proof, Refusal, Welcome},
};

/// The largest message that is read here.
const MAX: usize = 64 << 10;
/// So many inputs are drawn in each run, beside the corpus.
const ROUNDS: usize = 1_000;

/// Reads it as every kind of message; what can be read is written as it was meant.
fn read(bytes: &[u8]) {
    if let Some(message) = HeartbeatMessage::decode(bytes) {
        assert_eq!(HeartbeatMessage::decode(&message.encode()), Some(message));
    }
    if let Ok(Some(message)) = DataMessage::decode(bytes, MAX) {
        let written = message.encode(MAX * 4).expect("what was read can be written");
        assert_eq!(DataMessage::decode(&written, MAX * 4).expect("readable"), Some(message));
    }
    if let Ok(Some(message)) = ControlMessage::decode(bytes, MAX) {
        let written = message.encode(MAX * 4).expect("what was read can be written");
        assert_eq!(ControlMessage::decode(&written, MAX * 4).expect("readable"), Some(message));
    }
    if let Ok(hello) = handshake::decode::<Hello>(Kind::Hello, bytes) {
        assert_eq!(handshake::decode(Kind::Hello, &handshake::encode(Kind::Hello, &hello)), Ok(hello));
    }
    let words = [
        handshake::decode::<Welcome>(Kind::Welcome, bytes).err(),
        handshake::decode::<Proof>(Kind::Proof, bytes).err(),
        handshake::decode::<Proof>(Kind::Accepted, bytes).err(),
    ];
    // Whatever was refused is told to people.
    words.into_iter().flatten().for_each(|refusal: Refusal| assert!(!refusal.to_string().is_empty()));
    let mut stream = BytesMut::from(bytes);
    while let Ok(Some(message)) = frame::cut(&mut stream, MAX) {
        assert!(message.len() <= MAX);
    }
    let mut batch = Bytes::copy_from_slice(bytes);
    while let Some(message) = frame::next(&mut batch) {
        assert!(message.len() <= bytes.len());
    }
}

#[test]
fn every_kind_of_message_is_read_as_it_was_written() {
    // Compared as bytes: what a record is besides what travels is its holder's own.
    for message in samples::data() {
        let bytes = message.encode(MAX).expect("small");
        let read = DataMessage::decode(&bytes, MAX).expect("readable").expect("of a known kind");
        assert_eq!(read.encode(MAX), Ok(bytes), "{read:?}");
    }
    for message in samples::control() {
        let bytes = message.encode(MAX).expect("small");
        assert_eq!(ControlMessage::decode(&bytes, MAX), Ok(Some(message)));
    }
    for message in samples::heartbeats() {
        assert_eq!(HeartbeatMessage::decode(&message.encode()), Some(message));
    }
    samples::all().iter().for_each(|bytes| read(bytes));
}

#[test]
fn bytes_of_another_node_do_no_harm() {
    let seen = AtomicUsize::new(0);
    bolero::check!().with_iterations(ROUNDS).for_each(|bytes| {
        seen.fetch_add(1, Ordering::Relaxed);
        read(bytes);
    });
    assert!(seen.into_inner() > ROUNDS, "the corpus was not found");
}

#[test]
fn messages_that_changed_on_the_way_do_no_harm() {
    let samples = samples::all();
    bolero::check!().with_iterations(ROUNDS).with_type::<(u8, Vec<(u16, u8)>, u16)>().for_each(
        |(which, changes, cut)| {
            let mut bytes = samples[usize::from(*which) % samples.len()].to_vec();
            for (at, byte) in changes {
                let at = usize::from(*at) % bytes.len();
                bytes[at] = *byte;
            }
            if *cut % 4 == 0 {
                bytes.truncate(usize::from(*cut / 4) % bytes.len());
            }
            read(&bytes);
        },
    );
}

/// The corpora of the targets here and in `heard` begin with a sample of every message. To be run when what travels has changed:
/// `cargo test --lib samples_are_laid -- --ignored`.
#[test]
#[ignore = "it writes into the tree"]
fn samples_are_laid_into_the_corpora() {
    let lay = |folder: &str, name: String, bytes: &[u8]| {
        let folder = format!("{}/src/runtime/message/{folder}/corpus", env!("CARGO_MANIFEST_DIR"));
        std::fs::create_dir_all(&folder).expect("a folder of the tree");
        std::fs::write(format!("{folder}/{name}"), bytes).expect("a file of the tree");
    };
    let (alone, heard) = (
        "__fuzz__/runtime__message__tests__bytes_of_another_node_do_no_harm",
        "tests/__fuzz__/runtime__message__tests__heard__words_of_other_nodes_do_no_harm_to_what_is_held",
    );
    let mut all = Vec::new();
    for (n, message) in samples::all().iter().enumerate() {
        lay(alone, format!("sample-{n:02}"), message);
        // Who says it, then what: from each of the peers, and all of them one after the other.
        let said = |from: u8| [&frame::prefix(message.len() + 1)[..], &[from], message].concat();
        (0..3).for_each(|from| lay(heard, format!("sample-{n:02}-{from}"), &said(from)));
        all.extend(said(u8::try_from(n % 3).expect("small")));
    }
    lay(heard, "all".to_owned(), &all);
}
