//! Whatever comes to a running node's ports from outside, requests go on, and the log stays readable.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream, UdpSocket},
    time::{Duration, Instant},
};

use crate::{ring::Ring, stream::Stream};

/// Bytes that look like nothing, the same in every run.
fn garbage(length: usize, mut seed: u64) -> Vec<u8> {
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 56) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// What the other side said until it closed; it must close.
fn until_closed(stream: &mut TcpStream) -> Vec<u8> {
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    let mut told = Vec::new();
    let began = Instant::now();
    let ended = stream.read_to_end(&mut told);
    let reset = ended.as_ref().is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionReset);
    assert!(ended.is_ok() || reset, "not closed after {:?}: {ended:?}", began.elapsed());
    told
}

#[test]
fn a_node_of_another_protocol_version_is_told_both_versions_and_closed_with_one_line_in_the_log() {
    let mut ring = Ring::new(&["a", "b"], "");
    ring.start_all();
    let stream = Stream::begin(&ring, &["a"], "cart-1");
    let before = ring.node("a").log().len();
    let number = ring.view("a").expect("a view")["number"].clone();
    // Length, kind Hello, versions 7 to 9, and what those may mean by the rest.
    let hello = [&[0, 0, 0, 45, 1, 0, 7, 0, 9][..], &garbage(40, 1)].concat();
    let mut answers = Vec::new();
    for _ in 0..3 {
        let mut dialled = TcpStream::connect(ring.cluster_address("a")).expect("it listens");
        dialled.write_all(&hello).expect("loopback");
        answers.push(until_closed(&mut dialled));
    }
    // Kind Refused follows the length; the versions in it are the node's own.
    assert!(answers.iter().all(|answer| answer.get(4) == Some(&5)), "{answers:?}");
    let log = ring.node("a").log();
    let lines: Vec<&str> = log[before..].lines().filter(|line| line.contains("it speaks protocol")).collect();
    assert_eq!(lines.len(), 1, "three times is one line:\n{log}");
    assert!(lines[0].contains("it speaks protocol 7 to 9, this node 1 to 1"), "{}", lines[0]);
    stream.wait_more(20);
    assert_eq!(ring.view("a").expect("a view")["number"], number);
    stream.end_untroubled();
}

fn shout(address: SocketAddr, bytes: &[u8]) {
    // It may be refused or closed half-way; that is its right.
    if let Ok(mut stream) = TcpStream::connect(address) {
        let _ = stream.write_all(bytes);
    }
}

#[test]
fn garbage_on_every_port_of_every_node_fails_no_request_and_changes_no_view() {
    let mut ring = Ring::new(&["a", "b", "c"], "");
    ring.start_all();
    let number = ring.wait_whole()["number"].clone();
    let streams: Vec<Stream> =
        ["a", "b", "c"].iter().map(|name| Stream::begin(&ring, &[name], &format!("of-{name}"))).collect();
    let before: usize = streams.iter().map(Stream::acknowledged).sum();
    let datagrams = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let huge_request = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(200_000));
    let mut held = Vec::new();
    for round in 0..40 {
        for name in ["a", "b", "c"] {
            let (cluster, http) = (ring.cluster_address(name), ring.http(name));
            for length in [1, 4, 5, 60, 512, 1_400, 60_000] {
                let bytes = garbage(length, round * 64 + u64::from(cluster.port()));
                let _ = datagrams.send_to(&bytes, cluster);
                shout(cluster, &bytes);
                shout(http, &bytes);
            }
            shout(cluster, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
            shout(cluster, &[0xff; 64]);
            shout(http, huge_request.as_bytes());
            shout(http, b"PUT /v1/session/json/x HTTP/1.1\r\ncontent-length: 99999999999999\r\n\r\n{");
            // Connections that say nothing, held to the end.
            held.extend([cluster, http].into_iter().filter_map(|address| TcpStream::connect(address).ok()));
        }
    }
    for stream in &streams {
        stream.wait_more(20);
    }
    let after: usize = streams.into_iter().map(Stream::end_untroubled).sum();
    assert!(after >= before + 60);
    assert_eq!(ring.wait_whole()["number"], number, "no node was doubted");
    for name in ["a", "b", "c"] {
        let log = ring.node(name).log();
        assert!(log.lines().count() < 40, "strangers fill the log of {name}:\n{log}");
        assert!(!log.contains("panicked"), "{log}");
    }
    drop(held);
}
