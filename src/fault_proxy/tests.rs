use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UdpSocket},
    time::{Instant, timeout},
};

use super::{FaultProxy, Front};
use crate::{
    id::{Incarnation, NodeId, NodeName},
    sim::network::{LinkChange, Weather},
    wire::{
        frame,
        handshake::{Hello, Introduction, Kind, LockName, encode},
    },
};

const CALM: Weather = Weather { delay_min: Duration::ZERO, delay_mean: Duration::ZERO, drop: 0.0, duplicate: 0.0 };
/// Long enough for anything on loopback.
const SOON: Duration = Duration::from_secs(5);
/// What is not there by then does not come by itself.
const A_WHILE: Duration = Duration::from_millis(150);

fn name(name: &str) -> NodeName {
    NodeName::new(name).expect("plain")
}

/// Two nodes that are no more than sockets, with the proxy between them.
struct Pair {
    proxy: FaultProxy,
    front_of_b: SocketAddr,
    b: TcpListener,
    a_datagrams: UdpSocket,
    b_datagrams: UdpSocket,
}

async fn free() -> SocketAddr {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let address = listener.local_addr().expect("bound");
        if UdpSocket::bind(address).await.is_ok() {
            return address;
        }
    }
}

async fn pair() -> Pair {
    let b = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let b_address = b.local_addr().expect("bound");
    let (a_datagrams, b_datagrams) =
        (UdpSocket::bind(free().await).await.expect("free"), UdpSocket::bind(b_address).await.expect("free"));
    let front_of_b = free().await;
    let a = Front { name: name("a"), listens: free().await, node: a_datagrams.local_addr().expect("bound") };
    let fronts = vec![a, Front { name: name("b"), listens: front_of_b, node: b_address }];
    let proxy = FaultProxy::open(1, CALM, fronts).await.expect("free ports");
    Pair { proxy, front_of_b, b, a_datagrams, b_datagrams }
}

fn hello(from: &str) -> Vec<u8> {
    let node = NodeId { name: name(from), incarnation: Incarnation(1) };
    let (cluster, address) = ("shop".to_owned(), "127.0.0.1:1".to_owned());
    let from = Introduction { cluster, node, address, lock: LockName::default(), nonce: [0; 32] };
    let body = encode(Kind::Hello, &Hello { from, to: name("b"), data: false, link: 1, replaces: None });
    [&frame::prefix(body.len())[..], &body].concat()
}

/// A connection from a to b: both its ends, after the first frame.
async fn connected(pair: &Pair) -> (TcpStream, TcpStream) {
    let mut near = TcpStream::connect(pair.front_of_b).await.expect("a front");
    let hello = hello("a");
    near.write_all(&hello).await.expect("open");
    let (mut far, _) = timeout(SOON, pair.b.accept()).await.expect("passed on").expect("a connection");
    let mut heard = vec![0; hello.len()];
    far.read_exact(&mut heard).await.expect("the first frame");
    assert_eq!(heard, hello, "byte for byte");
    (near, far)
}

async fn say(stream: &mut TcpStream, word: &[u8]) {
    stream.write_all(word).await.expect("open");
}

async fn hears(stream: &mut TcpStream, word: &[u8]) {
    let mut heard = vec![0; word.len()];
    timeout(SOON, stream.read_exact(&mut heard)).await.expect("in time").expect("open");
    assert_eq!(heard, word);
}

async fn hears_nothing(stream: &mut TcpStream) {
    let mut byte = [0];
    assert!(timeout(A_WHILE, stream.read(&mut byte)).await.is_err(), "something came: {byte:?}");
}

#[tokio::test]
async fn what_is_cut_off_one_way_waits_and_arrives_in_order_when_it_is_mended() {
    let pair = pair().await;
    let (mut near, mut far) = connected(&pair).await;
    assert!(pair.proxy.change(name("a"), name("b"), LinkChange::Cut));
    assert!(!pair.proxy.change(name("a"), name("b"), LinkChange::Cut), "it was cut already");
    say(&mut near, b"one").await;
    say(&mut near, b"two").await;
    hears_nothing(&mut far).await;
    say(&mut far, b"back").await;
    hears(&mut near, b"back").await;
    assert_eq!(pair.proxy.heal(), [(name("a"), name("b"))]);
    hears(&mut far, b"onetwo").await;
}

#[tokio::test]
async fn neither_a_new_connection_nor_the_end_of_one_passes_a_cut() {
    let pair = pair().await;
    let (near, mut far) = connected(&pair).await;
    pair.proxy.change(name("a"), name("b"), LinkChange::Cut);
    drop(near);
    hears_nothing(&mut far).await;
    let mut second = TcpStream::connect(pair.front_of_b).await.expect("the front itself is there");
    second.write_all(&hello("a")).await.expect("open");
    assert!(timeout(A_WHILE, pair.b.accept()).await.is_err(), "b was reached across a cut");
    pair.proxy.heal();
    assert_eq!(timeout(SOON, far.read(&mut [0])).await.expect("in time").expect("no fault"), 0, "now it ends");
    timeout(SOON, pair.b.accept()).await.expect("passed on").expect("a connection");
}

#[tokio::test]
async fn a_link_that_goes_down_is_seen_by_both_and_a_machine_without_power_by_nobody() {
    let pair = pair().await;
    let (mut near, mut far) = connected(&pair).await;
    pair.proxy.change(name("b"), name("a"), LinkChange::Close);
    for end in [&mut near, &mut far] {
        let seen = timeout(SOON, end.read(&mut [0])).await.expect("in time");
        assert!(!matches!(seen, Ok(1)), "{seen:?}");
    }
    let (mut near, mut far) = connected(&pair).await;
    pair.proxy.change(name("a"), name("b"), LinkChange::Slow { delay: A_WHILE, bandwidth: None });
    say(&mut near, b"the last words").await;
    tokio::time::sleep(A_WHILE / 3).await;
    pair.proxy.power_off(name("a"));
    drop(near);
    tokio::time::sleep(A_WHILE).await;
    hears_nothing(&mut far).await;
}

#[tokio::test]
async fn a_slow_link_is_late_by_what_it_says_and_a_narrow_one_by_what_it_carries() {
    let pair = pair().await;
    let (mut near, mut far) = connected(&pair).await;
    pair.proxy.change(name("a"), name("b"), LinkChange::Slow { delay: Duration::from_millis(80), bandwidth: None });
    let began = Instant::now();
    say(&mut near, b"slow").await;
    hears(&mut far, b"slow").await;
    assert!(began.elapsed() >= Duration::from_millis(80), "{:?}", began.elapsed());
    let narrow = LinkChange::Slow { delay: Duration::ZERO, bandwidth: Some(100_000) };
    pair.proxy.change(name("a"), name("b"), narrow);
    let (began, much) = (Instant::now(), vec![7; 20_000]);
    say(&mut near, &much).await;
    hears(&mut far, &much).await;
    assert!(began.elapsed() >= Duration::from_millis(190), "20,000 bytes at 100,000 a second: {:?}", began.elapsed());
}

#[tokio::test]
async fn datagrams_are_known_by_their_sender_and_cut_lost_and_repeated_as_the_link_says() {
    let pair = pair().await;
    let mut heard = [0; 16];
    let stranger = UdpSocket::bind("127.0.0.1:0").await.expect("loopback");
    stranger.send_to(b"stranger", pair.front_of_b).await.expect("sent");
    pair.a_datagrams.send_to(b"one", pair.front_of_b).await.expect("sent");
    let (length, _) =
        timeout(SOON, pair.b_datagrams.recv_from(&mut heard)).await.expect("in time").expect("a datagram");
    assert_eq!(&heard[..length], b"one", "and nothing of a stranger");
    for lost in [LinkChange::Cut, LinkChange::Drop(1.0)] {
        pair.proxy.change(name("a"), name("b"), lost);
        pair.a_datagrams.send_to(b"lost", pair.front_of_b).await.expect("sent");
        assert!(timeout(A_WHILE, pair.b_datagrams.recv_from(&mut heard)).await.is_err(), "{lost:?}");
        pair.proxy.heal();
    }
    pair.proxy.change(name("a"), name("b"), LinkChange::Duplicate(1.0));
    pair.a_datagrams.send_to(b"twice", pair.front_of_b).await.expect("sent");
    for _ in 0..2 {
        let received = timeout(SOON, pair.b_datagrams.recv_from(&mut heard)).await.expect("in time");
        assert_eq!(received.expect("a datagram").0, 5);
    }
}

#[tokio::test]
async fn whoever_does_not_say_who_it_is_is_let_go() {
    let pair = pair().await;
    for word in [&b"GET / HTTP/1.1\r\n\r\n"[..], &hello("z")] {
        let mut near = TcpStream::connect(pair.front_of_b).await.expect("a front");
        near.write_all(word).await.expect("open");
        let seen = timeout(SOON, near.read(&mut [0])).await.expect("in time");
        assert!(!matches!(seen, Ok(1)), "{seen:?}");
        assert!(timeout(A_WHILE, pair.b.accept()).await.is_err());
    }
}
