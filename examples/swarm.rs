//! Runs simulated seeds of the pure rooms: `cargo run --release --example swarm -- 1000` (how many; from which seed).
use std::time::Instant;

use ringheir::sim::{
    campaign::campaign,
    run::{Planted, run},
};

#[expect(clippy::disallowed_methods, reason = "a figure for people: seeds per second")]
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|a| a == "one") {
        let report = run(arguments[1].parse().expect("a seed"), None);
        println!("{report:#?}");
        return;
    }
    let count: u64 = arguments.first().map_or(1_000, |a| a.parse().expect("how many seeds"));
    let from: u64 = arguments.get(1).map_or(0, |a| a.parse().expect("the first seed"));
    let planted = arguments.get(2).map(|p| Planted::all()[p.parse::<usize>().expect("which")]);
    if planted.is_some() {
        std::panic::set_hook(Box::new(|_| {}));
    }
    let began = Instant::now();
    let result = campaign(from..from + count, planted, 5, 2, &|_| {});
    let took = began.elapsed().as_secs_f64();
    for report in &result.failed {
        println!("seed {}: {}", report.seed, report.violations.join("\n  "));
    }
    println!(
        "{:?} {} seeds, {} failed, {} operations, {} events, {:.1} s, {:.0} seeds/s",
        planted.map(|p| p.to_string()),
        result.seeds,
        result.failed.len(),
        result.operations,
        result.events,
        took,
        result.seeds as f64 / took
    );
    println!("{:#?}", result.marks);
}
