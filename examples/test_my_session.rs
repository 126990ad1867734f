//! How to test a session type of your own: a ring in this process, faults by a seed, and a count that must come out right.
//!
//! `cargo run --example test_my_session -- 7` does what seed 7 says; without a number, three seeds.

use std::{error::Error, time::Duration};

use ringheir::{
    CallOptions, Command, Context, Handle, Refused, Session, SessionId, Types,
    test::{TestFault, TestRing},
};
use serde::{Deserialize, Serialize};

/// A till: it knows what was paid in.
#[derive(Default, Serialize, Deserialize)]
struct Till {
    cents: u64,
    payments: u64,
}

impl Session for Till {
    const KIND: &'static str = "till";

    fn absent(_: &SessionId) -> Option<Self> {
        Some(Self::default())
    }
}

#[derive(Serialize, Deserialize)]
struct PayIn(u64);

impl Command for PayIn {
    const NAME: &'static str = "pay_in";
    type Reply = (u64, u64);
}

impl Handle<PayIn> for Till {
    fn handle(&mut self, PayIn(cents): PayIn, _: &mut Context<Self>) -> Result<(u64, u64), Refused> {
        self.cents += cents;
        self.payments += 1;
        Ok((self.cents, self.payments))
    }
}

fn types() -> Types {
    let mut types = Types::new();
    types.add::<Till>().handles::<PayIn>();
    types
}

/// Pays into forty tills between faults. Whatever happens to the nodes, each payment is in its till, once.
async fn payments_are_counted_once(seed: u64) -> Result<u64, Box<dyn Error>> {
    let mut ring = TestRing::start(seed, &["a", "b", "c", "d"], types).await?;
    let mut paid = [0_u64; 40];
    for round in 0..6 {
        println!("  {}", ring.fault().await?);
        for (number, paid) in paid.iter_mut().enumerate() {
            // Callers come to any node; one call out of three is made a second time under its key, as by a client that lost
            // the answer.
            let node = ring.nodes().nth(number % ring.nodes().count()).ok_or("no node runs")?;
            let till = node.session::<Till>(format!("till-{number}"))?;
            let key = format!("{round}-{number}");
            let tries = if number % 3 == 0 { 2 } else { 1 };
            let mut counted = 0;
            for _ in 0..tries {
                let how = CallOptions::new().idempotency_key(key.as_bytes()).deadline(Duration::from_secs(20));
                counted = till.call_with(PayIn(5), how).await?.reply.1;
            }
            *paid += 1;
            assert_eq!(counted, *paid, "seed {seed}, till {number}: a payment was lost, or counted twice");
        }
    }
    ring.heal().await?;
    Ok(paid.iter().sum())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let seeds = match std::env::args().nth(1) {
        Some(seed) => vec![seed.parse()?],
        None => vec![4, 6, 7],
    };
    for seed in seeds {
        println!("seed {seed}");
        let payments = payments_are_counted_once(seed).await.inspect_err(|why| {
            if let Some(TestFault::NotWhole(seen)) = why.downcast_ref() {
                eprintln!("the ring did not heal: {seen}");
            }
        })?;
        println!("  {payments} payments, each counted once, and every till has a backup again");
    }
    Ok(())
}
