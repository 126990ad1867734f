//! What may arrive from whoever connects: any bytes at all. Each run takes the corpus beside this file and some drawn bytes;
//! `docs/fuzzing.md` says how to run it for an hour. What a whole connection makes of them is in `strangers`.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::BytesMut;

use crate::{
    Readiness,
    redis::{
        client::{Client, Seen},
        commands,
        frames::{Bounds, Protocol, Requests},
        scripts::Scripts,
    },
};

const BOUNDS: Bounds = Bounds { strings: 1 << 10, string: 64 << 10, bytes: 256 << 10 };

/// So many inputs are drawn in each run, beside the corpus.
pub(super) const ROUNDS: usize = 1_000;

#[test]
fn bytes_of_whoever_connects_do_no_harm() {
    let seen = AtomicUsize::new(0);
    bolero::check!().with_iterations(ROUNDS).for_each(|bytes| {
        seen.fetch_add(1, Ordering::Relaxed);
        said(bytes);
    });
    assert!(seen.into_inner() > ROUNDS, "the corpus was not found");
}

#[test]
fn requests_that_changed_on_the_way_do_no_harm() {
    let requests: Vec<Vec<u8>> = super::like_redis::DIALOGUE.lines().map(as_array).collect();
    bolero::check!().with_iterations(ROUNDS).with_type::<(Vec<u16>, Vec<(u16, u8)>)>().for_each(|(which, changes)| {
        let chosen = which.iter().map(|at| &requests[usize::from(*at) % requests.len()]);
        let mut bytes: Vec<u8> = chosen.flatten().copied().collect();
        for (at, byte) in changes {
            let at = usize::from(*at) % bytes.len().max(1);
            if let Some(place) = bytes.get_mut(at) {
                *place = *byte;
            }
        }
        said(&bytes);
    });
}

/// A line of words as clients send it.
fn as_array(line: &str) -> Vec<u8> {
    let words: Vec<&str> = line.split(' ').collect();
    let strings = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len()));
    std::iter::once(format!("*{}\r\n", words.len())).chain(strings).collect::<String>().into_bytes()
}

/// A connection that is told this, as far as no node is needed.
fn said(bytes: &[u8]) {
    let mut client = Client::new(1, None);
    let scripts = Scripts::default();
    let mut requests = Requests::default();
    let mut out = BytesMut::new();
    requests.buffer().extend_from_slice(bytes);
    while let Ok(Some(strings)) = requests.next(&BOUNDS) {
        assert!(!strings.is_empty());
        let read = commands::read(strings).and_then(|request| match request {
            commands::Request::Eval { script, keys, arguments } => scripts.called(script, keys, arguments),
            request => Ok(request),
        });
        let replies = match client.see(read, None, Readiness::Serving) {
            Seen::Answered(reply) => vec![reply],
            Seen::AnsweredAll(replies) => replies,
            Seen::Passed(_) | Seen::Commit(_) => Vec::new(),
            Seen::Last(reply) => {
                reply.write(client.protocol, &mut out);
                break;
            }
        };
        for reply in replies {
            reply.clone().write(Protocol::Two, &mut out);
            reply.write(Protocol::Three, &mut out);
        }
    }
    assert!(requests.len() <= bytes.len());
}
