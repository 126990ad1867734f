//! The session types that the benches call: one that is as many bytes as asked, and one that costs something to decode.
//!
//! Both are event-sourced, so that a command sends as little as a user's would.

use ringheir::{Answer, Command, Context, Decide, EventSourced, Refused, Session, SessionId, Types};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// What every process of a bench registers.
pub(super) fn types() -> Types {
    let mut types = Types::new();
    types.add::<Latest>().decides::<Note>().answers::<Count>();
    types.add::<Basket>().decides::<Order>().answers::<Count>();
    types
}

/// The last bytes that were noted, and how many times.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Latest {
    count: u64,
    last: ByteBuf,
}

impl Latest {
    /// One of so many bytes.
    pub(super) fn of(bytes: usize) -> Self {
        Self { count: 0, last: ByteBuf::from(vec![7; bytes]) }
    }
}

impl Session for Latest {
    const KIND: &'static str = "latest";

    fn absent(_: &SessionId) -> Option<Self> {
        Some(Self::default())
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct Note(pub(super) ByteBuf);

impl Command for Note {
    const NAME: &'static str = "note";
    type Reply = u64;
}

impl EventSourced for Latest {
    type Event = ByteBuf;

    fn apply(&mut self, event: &ByteBuf) {
        self.count += 1;
        self.last.clone_from(event);
    }
}

impl Decide<Note> for Latest {
    fn decide(&self, Note(event): Note, _: &mut Context<Self>) -> Result<(Vec<Self::Event>, u64), Refused> {
        Ok((vec![event], self.count + 1))
    }
}

/// How many times it was changed.
#[derive(Serialize, Deserialize)]
pub(super) struct Count;

impl Command for Count {
    const NAME: &'static str = "count";
    type Reply = u64;
}

impl Answer<Count> for Latest {
    fn answer(&self, _: Count) -> u64 {
        self.count
    }
}

/// Many small things, as sessions of web shops are.
#[derive(Serialize, Deserialize)]
pub(super) struct Basket {
    items: Vec<Item>,
    orders: u64,
}

#[derive(Serialize, Deserialize)]
struct Item {
    name: String,
    amount: u32,
}

/// What an item is when it is stored: its two names, eleven letters, a number of four bytes.
const ITEM_BYTES: usize = 30;

impl Basket {
    /// One that is stored in about so many bytes.
    pub(super) fn of(bytes: usize) -> Self {
        let amount = 100_000;
        let items = (0..bytes / ITEM_BYTES).map(|number| Item { name: format!("item-{number:06}"), amount }).collect();
        Self { items, orders: 0 }
    }
}

impl Session for Basket {
    const KIND: &'static str = "basket";
}

/// Orders what is in the basket.
#[derive(Serialize, Deserialize)]
pub(super) struct Order;

impl Command for Order {
    const NAME: &'static str = "order";
    type Reply = u64;
}

impl EventSourced for Basket {
    type Event = u64;

    fn apply(&mut self, units: &u64) {
        self.orders += units;
    }
}

impl Decide<Order> for Basket {
    fn decide(&self, _: Order, _: &mut Context<Self>) -> Result<(Vec<u64>, u64), Refused> {
        Ok((vec![1], self.orders + 1))
    }
}

impl Answer<Count> for Basket {
    fn answer(&self, _: Count) -> u64 {
        self.items.iter().map(|item| u64::from(item.amount)).sum()
    }
}
