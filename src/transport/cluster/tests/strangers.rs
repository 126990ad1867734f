//! Bad input from a port that is open to anyone, and who may not be linked: each is closed or refused with words that help,
//! and no working pair is touched.

use super::*;

async fn closed_within(stream: &mut TcpStream, limit: Duration) -> bool {
    let mut rest = Vec::new();
    // An error (a reset) is as good an end as an orderly one.
    timeout(limit, stream.read_to_end(&mut rest)).await.is_ok()
}

/// A place is given back just after its connection is closed.
async fn all_places_are_free(side: &Side) {
    let freed = timeout(Duration::from_secs(1), async {
        while side.pipes.strangers() > 0 {
            sleep(Duration::from_millis(1)).await;
        }
    });
    assert!(freed.await.is_ok(), "{} places are still taken", side.pipes.strangers());
}

/// A working pair besides must not be touched by what a test does to `b`.
async fn still_works(a: &Side, b: &Side) {
    for lane in [Lane::Control, Lane::Data] {
        let before = b.heard.messages();
        a.send(b, lane, Class::View, "still here").expect("linked");
        b.heard.wait_for(|heard| heard.messages() > before).await;
    }
    assert_eq!((a.heard.ups(), b.heard.ups()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_secret_cluster_or_name_is_refused_in_both_directions_with_words_that_help() {
    let b = side("b").await;
    let wrong = side_with("a", "other secret", "shop", limits()).await;
    let other = side_with("c", "secret", "bank", limits()).await;
    let cases = [
        (&wrong, &b, b.id.name, Refusal::WrongSecret, "`secret`"),
        (&b, &wrong, wrong.id.name, Refusal::WrongSecret, "`secret`"),
        (&other, &b, b.id.name, Refusal::OtherCluster { theirs: "shop".into() }, "`shop`"),
        (&b, &other, other.id.name, Refusal::OtherCluster { theirs: "bank".into() }, "`bank`"),
        (&b, &b, b.id.name, Refusal::Itself, "own"),
    ];
    for (from, to, name, expected, helps) in cases {
        from.pipes.dial(name, &to.address());
        from.heard.wait(|events| events.contains(&Event::Refused(to.address(), expected.clone()))).await;
        from.pipes.forget(&to.address());
        assert!(expected.to_string().contains(helps));
    }
    let right = side("d").await;
    right.pipes.dial(wrong.id.name, &b.address());
    let expected = Event::Refused(b.address(), Refusal::OtherName { theirs: b.id.name });
    right.heard.wait(|events| events.contains(&expected)).await;
    for node in [&b, &wrong, &other, &right] {
        assert_eq!(node.heard.ups(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_in_use_is_refused_with_the_incarnation_that_has_it_and_admitted_when_it_is_free() {
    let (a, b) = (side("a").await, side("b").await);
    let in_use = Refusal::NameInUse { incarnation: crate::id::Incarnation(7) };
    *b.heard.refuse.lock().expect("unpoisoned") = Some(in_use.clone());
    a.dials(&b);
    a.heard.wait(|events| events.contains(&Event::Refused(b.address(), in_use.clone()))).await;
    b.heard.wait(|events| events.contains(&Event::Refused(a.address(), in_use.clone()))).await;
    *b.heard.refuse.lock().expect("unpoisoned") = None;
    a.is_up(&b).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_huge_lengths_and_stalled_or_half_open_handshakes_are_closed_and_touch_nobody() {
    let a = side("a").await;
    let b = side_with("b", "secret", "shop", limits()).await;
    a.dials(&b);
    a.is_up(&b).await;
    b.is_up(&a).await;
    let hello = encode(Kind::Hello, &stranger_hello(b.id));
    let framed = |body: &[u8]| [&frame::prefix(body.len())[..], body].concat();
    let mut other_protocol = hello.clone();
    other_protocol[1..5].copy_from_slice(&[0, 7, 0, 9]);
    let at_once: [Vec<u8>; 6] = [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        vec![0xff; 8],
        frame::prefix(4097).to_vec(),
        frame::prefix(0).to_vec(),
        framed(&[9; 100]),
        framed(&other_protocol),
    ];
    for bytes in at_once {
        let mut stream = b.connect().await;
        stream.write_all(&bytes).await.expect("loopback");
        assert!(closed_within(&mut stream, Duration::from_millis(200)).await, "{bytes:?}");
    }
    let stalls: [Vec<u8>; 4] =
        [Vec::new(), frame::prefix(4096).to_vec(), framed(&hello)[..20].to_vec(), framed(&hello)];
    for bytes in stalls {
        let mut stream = b.connect().await;
        let began = Instant::now();
        stream.write_all(&bytes).await.expect("loopback");
        assert!(closed_within(&mut stream, Duration::from_secs(2)).await, "{bytes:?}");
        assert!(began.elapsed() >= Duration::from_millis(300), "not before its deadline: {bytes:?}");
    }
    // One byte now and then does not earn more time.
    let mut slow = b.connect().await;
    let began = Instant::now();
    for byte in framed(&hello) {
        if slow.write_all(&[byte]).await.is_err() {
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    assert!(began.elapsed() < Duration::from_secs(2));
    all_places_are_free(&b).await;
    still_works(&a, &b).await;
}

fn stranger_hello(to: NodeId) -> Hello {
    let from = Introduction {
        cluster: "shop".into(),
        node: node("stranger"),
        address: "127.0.0.1:1".into(),
        lock: LockName::default(),
        nonce: [7; 32],
    };
    Hello { from, to: to.name, data: false, link: 1, replaces: None }
}

async fn write_frame(stream: &mut TcpStream, body: &[u8]) {
    stream.write_all(&[&frame::prefix(body.len())[..], body].concat()).await.expect("loopback");
}

async fn read_frame(stream: &mut TcpStream) -> Vec<u8> {
    let mut prefix = [0; frame::PREFIX];
    stream.read_exact(&mut prefix).await.expect("an answer");
    let mut body = vec![0; frame::announced(prefix, 4096).expect("short")];
    stream.read_exact(&mut body).await.expect("an answer");
    body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_cannot_be_replayed_reflected_or_used_for_the_other_lane() {
    let b = side("b").await;
    let keys = Keys::new(b"secret", "shop");
    let hello = encode(Kind::Hello, &stranger_hello(b.id));
    // One that is right, by hand: its bytes are what an eavesdropper has.
    let mut good = b.connect().await;
    write_frame(&mut good, &hello).await;
    let welcome = read_frame(&mut good).await;
    decode::<Welcome>(Kind::Welcome, &welcome).expect("a welcome");
    let transcript = Transcript { hello: &hello, welcome: &welcome };
    let proof = encode(Kind::Proof, &keys.prove(proof::Role::Dialler, transcript));
    write_frame(&mut good, &proof).await;
    let accepted: Proof = decode(Kind::Accepted, &read_frame(&mut good).await).expect("accepted");
    assert!(keys.check(proof::Role::Acceptor, transcript, &accepted), "the acceptor proves itself too");

    let refused = |answer: Vec<u8>| decode::<Proof>(Kind::Accepted, &answer).expect_err("refused");
    // Replayed: the acceptor's nonce is another one now.
    let mut replay = b.connect().await;
    write_frame(&mut replay, &hello).await;
    read_frame(&mut replay).await;
    write_frame(&mut replay, &proof).await;
    assert_eq!(refused(read_frame(&mut replay).await), Refusal::WrongSecret);
    // Reflected: the acceptor's own proof over the same transcript.
    let mut reflect = b.connect().await;
    write_frame(&mut reflect, &hello).await;
    let welcome = read_frame(&mut reflect).await;
    let own = keys.prove(proof::Role::Acceptor, Transcript { hello: &hello, welcome: &welcome });
    write_frame(&mut reflect, &encode(Kind::Proof, &own)).await;
    assert_eq!(refused(read_frame(&mut reflect).await), Refusal::WrongSecret);
    // Its own introduction sent back to it.
    let mut mirror = b.connect().await;
    let mut as_itself = stranger_hello(b.id);
    as_itself.from.node = b.id;
    write_frame(&mut mirror, &encode(Kind::Hello, &as_itself)).await;
    assert_eq!(decode::<Welcome>(Kind::Welcome, &read_frame(&mut mirror).await), Err(Refusal::Itself));
    // Proved for one lane, shown for the other.
    let mut other_lane = b.connect().await;
    let data = encode(Kind::Hello, &Hello { data: true, ..stranger_hello(b.id) });
    write_frame(&mut other_lane, &data).await;
    let welcome = read_frame(&mut other_lane).await;
    let for_control = keys.prove(proof::Role::Dialler, Transcript { hello: &hello, welcome: &welcome });
    write_frame(&mut other_lane, &encode(Kind::Proof, &for_control)).await;
    assert_eq!(refused(read_frame(&mut other_lane).await), Refusal::WrongSecret);
    // A stranger's version is answered with ours.
    let mut older = b.connect().await;
    let mut old_hello = hello.clone();
    old_hello[1..5].copy_from_slice(&[0, 7, 0, 9]);
    write_frame(&mut older, &old_hello).await;
    let answer = decode::<Welcome>(Kind::Welcome, &read_frame(&mut older).await);
    assert_eq!(answer, Err(Refusal::OtherProtocol { theirs: VERSIONS }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_idle_connections_are_closed_cost_little_and_keep_no_peer_out() {
    let a = side("a").await;
    let b = side_with("b", "secret", "shop", limits()).await;
    a.dials(&b);
    a.is_up(&b).await;
    b.is_up(&a).await;
    let before = resident_bytes();
    let mut idle = Vec::new();
    for number in 0..1000 {
        let mut stream = b.connect().await;
        // Every other one claims the longest frame and sends nothing of it.
        if number % 2 == 0 {
            let _ = stream.write_all(&frame::prefix(4096)).await;
        }
        idle.push(stream);
        assert!(b.pipes.strangers() <= limits().unauthenticated);
        if number == 500 {
            // A newcomer gets through in the middle of it, and the old pair works.
            let late = side("late").await;
            late.dials(&b);
            late.is_up(&b).await;
            a.send(&b, Lane::Data, Class::Ack, "during").expect("linked");
            b.hears(&a, Lane::Data, "during").await;
            late.pipes.stop();
        }
    }
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes more"); // other tests run beside this one
    for mut stream in idle {
        assert!(closed_within(&mut stream, Duration::from_secs(2)).await);
    }
    all_places_are_free(&b).await;
    a.send(&b, Lane::Control, Class::View, "after").expect("linked");
    b.hears(&a, Lane::Control, "after").await;
    assert_eq!(a.heard.ups(), 1);
}

#[tokio::test]
async fn an_address_outside_loopback_needs_tls_or_the_users_word_and_a_taken_port_is_named() {
    let settings = |bind: &str, insecure| Settings {
        cluster: "shop".into(),
        secret: b"secret".to_vec(),
        me: node("a"),
        bind: bind.parse().expect("an address"),
        advertised: None,
        insecure,
        limits: limits(),
        lock: LockName::default(),
    };
    let refused = ClusterTransport::start(settings("0.0.0.0:0", false), Recorder::new()).await;
    assert!(matches!(refused, Err(StartError::NeedsTls { .. })));
    let (allowed, _) = ClusterTransport::start(settings("0.0.0.0:0", true), Recorder::new()).await.expect("allowed");
    allowed.stop();
    let first = side("first").await;
    let taken = ClusterTransport::start(settings(&first.address(), false), Recorder::new()).await;
    let error = taken.expect_err("taken").to_string();
    assert!(error.contains(&first.address()), "{error}");
}
