//! How to look for bugs in a session type of your own, by simulation: hundreds of small catastrophes, each by its seed.
//!
//! The shop below gives each customer a discount once. It remembers who had it in a field that is not copied, which works until a
//! node is lost. `cargo run --example simulate_my_session` finds that, says which faults it takes, and draws the run as a page.

use std::{collections::BTreeSet, error::Error, fs, time::Duration};

use ringheir::{
    Answer, Command, Context, Handle, Refused, Session, SessionId, Types,
    id::NodeName,
    sim::{
        hosting::{Call, Simulation},
        random::Stream,
        scenario::{Deed, Scenario},
        timeline,
    },
};
use serde::{Deserialize, Serialize};

/// A cart.
#[derive(Default, Serialize, Deserialize)]
struct Cart {
    cents: i64,
    /// Which coupons were taken. Left out of what is copied, by mistake.
    #[serde(skip)]
    coupons: BTreeSet<u8>,
}

impl Session for Cart {
    const KIND: &'static str = "cart";

    fn absent(_: &SessionId) -> Option<Self> {
        Some(Self::default())
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Add {
    cents: i64,
}

impl Command for Add {
    const NAME: &'static str = "add";
    type Reply = i64;
}

impl Handle<Add> for Cart {
    fn handle(&mut self, Add { cents }: Add, _: &mut Context<Self>) -> Result<i64, Refused> {
        self.cents += cents;
        Ok(self.cents)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Redeem {
    coupon: u8,
}

impl Command for Redeem {
    const NAME: &'static str = "redeem";
    type Reply = i64;
}

impl Handle<Redeem> for Cart {
    fn handle(&mut self, Redeem { coupon }: Redeem, _: &mut Context<Self>) -> Result<i64, Refused> {
        if !self.coupons.insert(coupon) {
            return Err("this coupon was taken already".into());
        }
        self.cents -= 5;
        Ok(self.cents)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Total {}

impl Command for Total {
    const NAME: &'static str = "total";
    type Reply = i64;
}

impl Answer<Total> for Cart {
    fn answer(&self, _: Total) -> i64 {
        self.cents
    }
}

/// What callers do: eight carts, mostly things put into them. All chance comes from the seed.
fn calls(chance: &mut Stream) -> Call<Cart> {
    let cart = chance.range(0, 8) as u32;
    match chance.range(0, 10) {
        0..=5 => Call::command(cart, Add { cents: chance.range(1, 100) as i64 }),
        6 => Call::command(cart, Redeem { coupon: chance.range(0, 4) as u8 }),
        _ => Call::question(cart, Total {}),
    }
}

fn simulation() -> Result<Simulation<Cart>, Box<dyn Error>> {
    let mut types = Types::new();
    types.add::<Cart>().handles::<Add>().handles::<Redeem>().answers::<Total>();
    Ok(Simulation::new(types, calls)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("nothing happens to the ring:");
    let calm = Scenario::with_nodes("calm", ["a", "b", "c", "d"]).lasts(Duration::from_secs(5)).build()?;
    let ran = simulation()?.scenario(calm).seeds(0..20);
    println!("  {} seeds, {} operations, {} failed", ran.seeds, ran.operations, ran.failed.len());

    println!("one node dies, and comes back:");
    let a = vec![NodeName::new("a").ok_or("a name")?];
    let kill = Scenario::with_nodes("a dies", ["a", "b", "c", "d"])
        .about("Nobody is cut off; a dies and comes back. Nobody who shops may notice.")
        .at(Duration::from_secs(2), Deed::Kill(a.clone()))
        .at(Duration::from_secs(4), Deed::Restart(a))
        .build()?;
    let simulation = simulation()?.scenario(kill);
    let ran = simulation.seeds(0..20);
    println!("  {} seeds, {} operations, {} failed", ran.seeds, ran.operations, ran.failed.len());
    let Some(found) = ran.failed.first() else { return Err("the bug was not found".into()) };
    println!("  seed {}: {}", found.seed, found.violations[0]);
    let needed = simulation.fewest_faults(found.seed).unwrap_or_default();
    for number in &needed {
        println!("  it takes: {}", simulation.faults(found.seed)[*number]);
    }
    let page = std::env::temp_dir().join("simulate_my_session.html");
    let report = simulation.play_only(found.seed, &needed);
    fs::write(&page, report.trace.map(|trace| timeline::page(&trace)).unwrap_or_default())?;
    println!("  drawn in {}", page.display());
    Ok(())
}
