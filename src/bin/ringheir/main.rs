//! `ringheir`: one binary for running a node, looking at a cluster, and checking what is to be run.
//!
//! Each subcommand is a file. Exit status: 0 well, 1 the thing checked does not hold, 2 could not run (bad arguments, bad
//! file). Results go to stdout, progress and errors to stderr.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod arcs;
mod ask;
mod bench;
mod check_config;
mod clock;
mod demo;
mod node;
mod order;
mod plan;
mod ports;
mod processes;
mod recover;
#[cfg(feature = "sim")]
mod sim;
mod spread;
mod status;
mod view;

/// What one thread allocates another frees, command by command: the caller's request ends on a worker, a frame's bytes in a
/// store. The system's allocator makes those threads wait for each other.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The thing checked does not hold.
const DOES_NOT_HOLD: u8 = 1;
/// What a shell makes of SIGINT: whoever ran it did not want it any more.
const INTERRUPTED: u8 = 130;
/// Could not run: bad arguments, a bad file.
const COULD_NOT_RUN: u8 = 2;

/// Stateful servers whose sessions survive the loss of their server.
#[derive(Parser)]
#[command(name = "ringheir", version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Starts a ring of real processes, kills some of them, and checks every acknowledged command.
    Demo(demo::Demo),
    /// Measures this machine.
    Bench(bench::Bench),
    /// Checks a cluster file and shows what it says: the ring, who backs whom, who votes.
    CheckConfig(check_config::CheckConfig),
    /// Shows what the cluster of a file will be like: who backs whom, what each loss costs, what it takes.
    Plan(plan::Plan),
    /// Runs one node of the cluster.
    Node(node::NodeArgs),
    /// Runs seeds of the simulator: nodes, clients, faults and judgement over virtual time.
    #[cfg(feature = "sim")]
    Sim(sim::Sim),
    /// Shows every node of a cluster, and whether every arc has its backup.
    Status(status::Status),
    /// Shows the agreed view: members, voters, links.
    View(view::View),
    /// Shows every arc: who serves it, who guards it.
    Arcs(arcs::Arcs),
    /// Tells a node to keep what it has and take no more.
    Cordon(order::Order),
    /// Tells a node to take part again.
    Uncordon(order::Order),
    /// Tells a node to hand over all it has and leave the ring.
    Drain(order::DrainOrder),
    /// Looks why a ring stands still, and has it go on without its majority, on your word.
    Recover(recover::Recover),
    /// Tells a node to get back, whatever the pin says, the arcs whose home it is.
    Handback(order::HandBackOrder),
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Demo(arguments) => arguments.run(),
        Command::Status(arguments) => arguments.run(),
        Command::View(arguments) => arguments.run(),
        Command::Arcs(arguments) => arguments.run(),
        Command::Cordon(arguments) => arguments.run(order::Told::Cordon),
        Command::Uncordon(arguments) => arguments.run(order::Told::Uncordon),
        Command::Drain(arguments) => arguments.run(),
        Command::Recover(arguments) => arguments.run(),
        Command::Handback(arguments) => arguments.run(),
        Command::Bench(arguments) => arguments.run(),
        Command::CheckConfig(arguments) => arguments.run(),
        Command::Plan(arguments) => arguments.run(),
        Command::Node(arguments) => node::run(&arguments),
        #[cfg(feature = "sim")]
        Command::Sim(arguments) => arguments.run(),
    }
}
