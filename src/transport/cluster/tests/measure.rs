//! How fast it is; ignored unless asked for.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement; run it alone, optimised, with --nocapture"]
async fn measure_one_way_rate_and_round_trips() {
    for _ in 0..3 {
        let (a, b) = (side("a").await, side("b").await);
        let began = Instant::now();
        a.dials(&b);
        a.is_up(&b).await;
        b.is_up(&a).await;
        let one_sided = began.elapsed();
        let (c, d) = (side("c").await, side("d").await);
        let began = Instant::now();
        c.dials(&d);
        d.dials(&c);
        c.is_up(&d).await;
        d.is_up(&c).await;
        eprintln!("up on both sides after {one_sided:?}, after {:?} when dials cross", began.elapsed());
    }
    let (a, b) = linked().await;
    for lane in [Lane::Data, Lane::Control] {
        let before = b.heard.messages();
        let message = Bytes::from(vec![7; 100]);
        let (began, count) = (Instant::now(), 2_000_000);
        let mut sent = 0;
        while sent < count {
            match a.pipes.send(b.id, lane, Class::Replicate, message.clone()) {
                Ok(()) => sent += 1,
                Err(_) => tokio::task::yield_now().await,
            }
        }
        b.heard.wait_for(|heard| heard.messages() - before >= count).await;
        let rate = f64::from(u32::try_from(count).expect("small")) / began.elapsed().as_secs_f64();
        eprintln!("{lane:?}: {:.2} M messages/s of 100 B one way", rate / 1e6);
    }
    for lane in [Lane::Data, Lane::Control] {
        let echo = Arc::clone(&b.pipes);
        b.heard.on_message(move |from, lane, message| {
            let _ = echo.send(from, lane, Class::Reply, message.clone());
        });
        let mut times = Vec::new();
        for _ in 0..5_000 {
            let before = a.heard.messages();
            let began = Instant::now();
            a.send(&b, lane, Class::Forwarded, vec![7; 100]).expect("linked");
            while a.heard.messages() == before {
                tokio::task::yield_now().await;
            }
            times.push(began.elapsed());
        }
        times.sort();
        eprintln!("{lane:?}: round trip p50 {:?}, p99 {:?}", times[times.len() / 2], times[times.len() * 99 / 100]);
    }
}
