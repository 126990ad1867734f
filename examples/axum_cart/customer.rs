//! The customer: puts articles into one cart at whichever shop it is told, and asks again where it got no answer.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::{Failed, NAMES};

/// Nobody waits longer for a shop.
const PATIENCE: Duration = Duration::from_secs(20);
const AGAIN: Duration = Duration::from_millis(20);

/// One customer with one cart.
pub(crate) struct Customer {
    web: Vec<u16>,
    requests: u32,
}

struct Seen {
    held_by: String,
    cart: String,
}

impl Customer {
    pub(crate) fn new(web: &[u16]) -> Self {
        Self { web: web.to_vec(), requests: 0 }
    }

    /// Puts an article into the cart, once, however often that takes asking; who holds the cart.
    pub(crate) async fn add(&mut self, shop: usize, article: &str) -> Result<String, Failed> {
        self.requests += 1;
        let key = self.requests;
        let request = format!("POST /cart/cart-7/{article} HTTP/1.1\r\nidempotency-key: customer-1-{key}\r\n");
        let (seen, waited) = self.until_answered(shop, &request).await?;
        let Seen { held_by, cart } = seen;
        println!("{article:>6} put in at {}, held by {held_by}, after {waited:>4} ms: {cart}", NAMES[shop]);
        Ok(held_by)
    }

    /// What is in the cart.
    pub(crate) async fn look(&self, shop: usize) -> Result<String, Failed> {
        Ok(self.until_answered(shop, "GET /cart/cart-7 HTTP/1.1\r\n").await?.0.cart)
    }

    #[expect(clippy::disallowed_methods, reason = "a customer's own watch, which decides nothing")]
    async fn until_answered(&self, shop: usize, request: &str) -> Result<(Seen, u128), Failed> {
        let started = Instant::now();
        let seen = timeout(PATIENCE, async {
            loop {
                // No connection, no answer, 503: all of them mean "ask again", and the key makes that harmless.
                if let Some(seen) = ask(self.web[shop], request).await {
                    return seen;
                }
                sleep(AGAIN).await;
            }
        });
        let seen = seen.await.map_err(|_| format!("shop {} did not answer", NAMES[shop]))?;
        Ok((seen, started.elapsed().as_millis()))
    }
}

async fn ask(port: u16, request: &str) -> Option<Seen> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    let whole = format!("{request}host: shop\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(whole.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let (head, cart) = answer.split_once("\r\n\r\n")?;
    let held_by = head.lines().find_map(|line| line.strip_prefix("x-held-by: "))?;
    head.starts_with("HTTP/1.1 200 ").then(|| Seen { held_by: held_by.to_owned(), cart: cart.to_owned() })
}
