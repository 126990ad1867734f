//! Frames of the limit, peers that do not read, order under load.

use super::*;

/// A place where a receiver hangs until the test lets it go on, as a thread that the system does not run would.
#[derive(Default)]
struct Gate(AtomicBool);

impl Gate {
    fn shut() -> Arc<Self> {
        Arc::default()
    }

    fn open(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn pass(&self) {
        // In place: what was woken on this thread must go on elsewhere, or it would wait for the gate too.
        tokio::task::block_in_place(|| {
            while !self.0.load(Ordering::Acquire) {
                std::thread::sleep(Duration::from_millis(1));
            }
        });
    }
}

/// A test that fails with the gate shut would otherwise never end.
struct OpensAtEnd(Arc<Gate>);

impl Drop for OpensAtEnd {
    fn drop(&mut self) {
        self.0.open();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_of_the_limit_arrives_on_both_lanes_and_one_byte_more_is_refused_here() {
    let (a, b) = linked().await;
    let limit = Limits::default().frame;
    for (lane, so_far) in [(Lane::Data, 0), (Lane::Control, limit)] {
        assert_eq!(a.send(&b, lane, Class::Forwarded, vec![1; limit + 1]), Err(NotSent::TooLong));
        a.send(&b, lane, Class::Forwarded, vec![1; limit]).expect("linked");
        b.heard.wait_for(|heard| heard.bytes() == so_far + limit).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_sends_a_frame_above_the_limit_loses_its_link() {
    let b = side_with("b", "secret", "shop", Limits { frame: 1000, ..Limits::default() }).await;
    let a = side("a").await;
    a.dials(&b);
    a.is_up(&b).await;
    a.send(&b, Lane::Data, Class::Replicate, vec![0; 1000]).expect("linked");
    b.heard.wait_for(|heard| heard.messages() == 1).await;
    a.send(&b, Lane::Data, Class::Replicate, vec![0; 1001]).expect("within the sender's own limit");
    b.heard.wait(|events| events.contains(&Event::Down(a.id))).await;
    assert_eq!(b.heard.messages(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_peer_that_does_not_read_is_answered_full_and_nothing_grows() {
    let bound = QueueBound { messages: 100_000, bytes: 1 << 20 };
    let small = Limits { replicate: bound, forwarded: bound, ..Limits::default() };
    let a = side_with("a", "secret", "shop", small).await;
    let b = side_with("b", "secret", "shop", small).await;
    a.dials(&b);
    a.is_up(&b).await;
    b.is_up(&a).await;
    // The receiver hangs inside the first message of each lane until it is let go.
    let gate = Gate::shut();
    let _opens = OpensAtEnd(Arc::clone(&gate));
    let waits = Arc::clone(&gate);
    b.heard.on_message(move |_, lane, _| {
        if lane == Lane::Data {
            waits.pass();
        }
    });
    let before = resident_bytes();
    let mut taken = 0;
    let full = timeout(Duration::from_secs(20), async {
        loop {
            match a.send(&b, Lane::Data, Class::Replicate, vec![0; 1000]) {
                Ok(()) => taken += 1,
                Err(NotSent::Full) => {
                    sleep(Duration::from_millis(50)).await;
                    if a.send(&b, Lane::Data, Class::Replicate, vec![0; 1000]) == Err(NotSent::Full) {
                        break;
                    }
                    taken += 1;
                }
                Err(NotSent::NoPeer | NotSent::TooLong) => panic!("the link was lost"),
            }
        }
    });
    assert!(full.await.is_ok(), "it never got full; {taken} taken");
    // The kernel's buffers on both sides, one batch, and the queue.
    assert!(taken < 40_000, "{taken} kilobytes were taken");
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes more"); // other tests run beside this one
    gate.open();
    b.heard.wait_for(|heard| heard.messages() >= taken).await;
    a.send(&b, Lane::Data, Class::Replicate, "room again").expect("drained");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_control_lane_gives_its_carrier_no_more_than_a_window_that_was_not_confirmed() {
    let bound = QueueBound { messages: 100_000, bytes: 1 << 20 };
    let small = Limits { forwarded: bound, control_window: 256 * 1024, ..Limits::default() };
    let a = side_with("a", "secret", "shop", small).await;
    // The peer's gateway hangs, so it confirms nothing, while its connection goes on reading.
    let b = side_with("b", "secret", "shop", small).await;
    a.dials(&b);
    a.is_up(&b).await;
    b.is_up(&a).await;
    let gate = Gate::shut();
    let _opens = OpensAtEnd(Arc::clone(&gate));
    let waits = Arc::clone(&gate);
    b.heard.on_message(move |_, _, _| waits.pass());
    let mut taken = 0;
    let full = timeout(Duration::from_secs(20), async {
        let mut refused_for = 0;
        while refused_for < 5 {
            match a.send(&b, Lane::Control, Class::Forwarded, vec![0; 1000]) {
                Ok(()) => (taken, refused_for) = (taken + 1, 0),
                Err(NotSent::Full) => {
                    refused_for += 1;
                    sleep(Duration::from_millis(20)).await;
                }
                Err(other) => panic!("{other:?}"),
            }
        }
    });
    let full = full.await;
    gate.open();
    assert!(full.is_ok(), "it never got full; {taken} taken");
    assert!(taken < 2_000, "queue, window and one batch, not {taken} kilobytes");
    b.heard.wait_for(|heard| heard.messages() == taken).await;
    a.send(&b, Lane::Control, Class::Forwarded, "room again").expect("drained");
    b.heard.wait_for(|heard| heard.messages() == taken + 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_arrives_on_a_lane_is_what_was_sent_in_its_order() {
    let (a, b) = linked().await;
    for lane in [Lane::Control, Lane::Data] {
        let next = Arc::new(AtomicU64::new(0));
        let expected = Arc::clone(&next);
        b.heard.on_message(move |_, _, message| {
            let number = u64::from_be_bytes(message[..8].try_into().expect("eight bytes"));
            assert_eq!(number, expected.fetch_add(1, Ordering::AcqRel));
        });
        let mut number = 0_u64;
        while number < 20_000 {
            let mut message = number.to_be_bytes().to_vec();
            message.resize(8 + usize::try_from(number % 500).expect("small"), 0);
            match a.send(&b, lane, Class::Replicate, message) {
                Ok(()) => number += 1,
                Err(NotSent::Full) => tokio::task::yield_now().await,
                Err(other) => panic!("{other:?}"),
            }
        }
        b.heard.wait_for(|_| next.load(Ordering::Acquire) == number).await;
    }
}

/// A number, and more behind it, of some much more.
fn body(number: u64) -> Vec<u8> {
    let more = if number.is_multiple_of(97) { 40_000 } else { number % 500 };
    let mut body = number.to_be_bytes().to_vec();
    body.resize(8 + usize::try_from(more).expect("small"), number.to_be_bytes()[7]);
    body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_several_write_at_once_arrives_in_its_order_also_where_the_peer_is_slow_to_read() {
    let (a, b) = linked().await;
    let next = Arc::new(AtomicU64::new(0));
    let expected = Arc::clone(&next);
    b.heard.on_message(move |_, _, message| {
        let number = u64::from_be_bytes(message[..8].try_into().expect("eight bytes"));
        assert_eq!(number, expected.fetch_add(1, Ordering::AcqRel));
        assert_eq!(*message, body(number), "{number}");
        if number.is_multiple_of(1_000) {
            // So the socket is full now and then, and whoever writes leaves a part.
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let stop = Arc::new(AtomicBool::new(false));
    let (pipes, to, until) = (Arc::clone(&a.pipes), b.id, Arc::clone(&stop));
    let another = std::thread::spawn(move || {
        while !until.load(Ordering::Acquire) {
            pipes.push(to);
            std::thread::yield_now();
        }
    });
    let mut number = 0_u64;
    while number < 5_000 {
        let message = body(number);
        let sent = match number % 3 {
            0 => a.send(&b, Lane::Data, Class::Replicate, message),
            _ => a.pipes.queue(b.id, Class::Replicate, message.into()),
        };
        match sent {
            Ok(()) => number += 1,
            Err(NotSent::Full) => tokio::task::yield_now().await,
            Err(other) => panic!("{other:?}"),
        }
        if number.is_multiple_of(7) {
            a.pipes.push(b.id);
        }
    }
    a.pipes.push(b.id);
    stop.store(true, Ordering::Release);
    another.join().expect("it only writes");
    b.heard.wait_for(|_| next.load(Ordering::Acquire) == number).await;
}
