//! A web shop's cart: an ordinary axum server with a ringheir node inside it, three instances of it, one of which is
//! killed while there is something in the cart.
//!
//! `cargo run --example axum_cart` starts the three (as processes of their own, on free ports of this machine), shops at
//! all of them, kills the one that holds the cart, goes on shopping at the others, and ends.
//!
//! `shop.rs` is what you would write: the cart, and a web server that any instance can answer. This file only plays the
//! customer.

mod customer;
mod shop;

use std::{error::Error, fs, net::TcpListener, path::Path, process::Stdio};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use crate::customer::Customer;

type Failed = Box<dyn Error + Send + Sync>;

const NAMES: [&str; 3] = ["a", "b", "c"];

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => {
            let place = std::env::temp_dir().join(format!("ringheir-axum-cart-{}", std::process::id()));
            fs::create_dir(&place)?;
            let shown = show(&place).await;
            fs::remove_dir_all(&place)?;
            shown
        }
        ["serve", name, web, place] => shop::serve(name, web, Path::new(place)).await,
        _ => Err("usage: axum_cart".into()),
    }
}

async fn show(place: &Path) -> Result<(), Failed> {
    let ports = free_ports(2 * NAMES.len())?;
    let (cluster, web) = ports.split_at(NAMES.len());
    fs::write(place.join("cluster.toml"), cluster_file(cluster))?;
    let mut shops = Vec::new();
    for (name, port) in NAMES.iter().zip(web) {
        shops.push(start(name, &format!("127.0.0.1:{port}"), place)?);
    }
    for (shop, name) in shops.iter_mut().zip(NAMES) {
        let out = shop.stdout.take().ok_or("its output is piped")?;
        let line = BufReader::new(out).lines().next_line().await?;
        println!("{}", line.ok_or_else(|| format!("shop {name} did not start"))?);
    }

    let mut customer = Customer::new(web);
    println!();
    customer.add(0, "tea").await?;
    customer.add(1, "milk").await?;
    let holder = customer.add(2, "tea").await?;

    let victim = NAMES.iter().position(|name| *name == holder).ok_or("an unknown shop")?;
    println!("\nkilling shop {holder}, which holds the cart (SIGKILL, process {})", shops[victim].id().unwrap_or(0));
    shops[victim].start_kill()?;

    let others = [(victim + 1) % 3, (victim + 2) % 3];
    customer.add(others[0], "sugar").await?;
    customer.add(others[1], "tea").await?;
    let cart = customer.look(others[0]).await?;
    if cart != r#"{"milk":1,"sugar":1,"tea":3}"# {
        return Err(format!("something is missing, or there twice: {cart}").into());
    }
    println!("\nnothing is missing, and nothing is there twice: {cart}");
    Ok(())
}

/// Another process of this very program.
fn start(name: &str, web: &str, place: &Path) -> Result<Child, Failed> {
    let mut shop = Command::new(std::env::current_exe()?);
    shop.args(["serve", name, web]).arg(place);
    // It ends when its input does, so none is left behind however this process ends.
    Ok(shop.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?)
}

fn cluster_file(ports: &[u16]) -> String {
    let nodes = NAMES
        .iter()
        .zip(ports)
        .map(|(name, port)| format!("[[node]]\nname = \"{name}\"\ncluster = \"127.0.0.1:{port}\"\n"));
    let nodes: String = nodes.collect();
    // Two of three must agree on a new view, and the two left do.
    format!("[cluster]\nname = \"shop\"\nsecret = \"only for this example\"\narcs = 64\n\n{nodes}")
}

fn free_ports(count: usize) -> Result<Vec<u16>, Failed> {
    let held: Vec<_> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    Ok(held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect::<std::io::Result<_>>()?)
}
