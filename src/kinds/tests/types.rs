//! The session types under test: two good ones, and one for each way to go wrong.

use serde::{Deserialize, Serialize, Serializer, ser};

use crate::session::{
    Answer, Command, Context, Decide, EventSourced, Handle, Old, Refused, Session, SessionId, Undecodable,
};

/// Declares a command: its type, its name, its reply.
macro_rules! command {
    ($name:literal: $command:ident $fields:tt -> $reply:ty) => {
        #[derive(Debug, Serialize, Deserialize)]
        pub(super) struct $command $fields
        command!(@impl $name, $command, $reply);
    };
    ($name:literal: $command:ident ($($field:ty),+); -> $reply:ty) => {
        #[derive(Debug, Serialize, Deserialize)]
        pub(super) struct $command($(pub(super) $field),+);
        command!(@impl $name, $command, $reply);
    };
    (@impl $name:literal, $command:ident, $reply:ty) => {
        impl Command for $command {
            const NAME: &'static str = $name;
            type Reply = $reply;
        }
    };
}

command!("add": Add(i64); -> i64);
command!("total": Total {} -> i64);

/// Whole state, made by its first command.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Counter {
    pub(super) total: i64,
    /// Counts what `loaded` saw; not copied.
    #[serde(skip)]
    pub(super) loads: i64,
}

impl Session for Counter {
    const KIND: &'static str = "counter";

    fn absent(_: &SessionId) -> Option<Self> {
        Some(Self::default())
    }

    fn loaded(&mut self, cx: &mut Context<Self>) {
        assert_eq!(cx.id().as_str(), Some("s-1"));
        self.loads += 1;
    }
}

impl Handle<Add> for Counter {
    fn handle(&mut self, Add(n): Add, cx: &mut Context<Self>) -> Result<i64, Refused> {
        self.total += n;
        if self.total < 0 {
            let why = format!("{} would be negative at version {}", self.total, cx.version());
            return Err(Refused::new(why).with_code("negative"));
        }
        assert!(self.total < 1_000_000, "a million is unlucky");
        Ok(self.total)
    }
}

impl Answer<Total> for Counter {
    fn answer(&self, _: Total) -> i64 {
        self.total
    }
}

command!("loads": Loads {} -> i64);

impl Answer<Loads> for Counter {
    fn answer(&self, _: Loads) -> i64 {
        self.loads
    }
}

/// Event-sourced, only made by a create.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Cart {
    pub(super) lines: Vec<(String, u32)>,
    /// As large as a test wants the state to be.
    pub(super) ballast: String,
}

#[derive(Serialize, Deserialize)]
pub(super) enum CartEvent {
    Added { sku: String, n: u32 },
    Emptied,
    Cursed,
}

command!("put-in": PutIn(String, u32); -> usize);
command!("empty": Empty {} -> ());
command!("check-out": CheckOut {} -> usize);
command!("curse": Curse {} -> ());
command!("lines": Lines {} -> usize);

impl Session for Cart {
    const KIND: &'static str = "cart";
}

impl EventSourced for Cart {
    type Event = CartEvent;

    fn apply(&mut self, event: &CartEvent) {
        match event {
            CartEvent::Added { sku, n } => self.lines.push((sku.clone(), *n)),
            CartEvent::Emptied => self.lines.clear(),
            CartEvent::Cursed => {
                self.lines.clear();
                panic!("cursed");
            }
        }
    }
}

impl Decide<PutIn> for Cart {
    fn decide(&self, PutIn(sku, n): PutIn, _: &mut Context<Self>) -> Result<(Vec<CartEvent>, usize), Refused> {
        if n == 0 {
            return Err("nothing to put in".into());
        }
        Ok((vec![CartEvent::Added { sku, n }], self.lines.len() + 1))
    }
}

impl Decide<Empty> for Cart {
    fn decide(&self, _: Empty, _: &mut Context<Self>) -> Result<(Vec<CartEvent>, ()), Refused> {
        Ok((if self.lines.is_empty() { vec![] } else { vec![CartEvent::Emptied] }, ()))
    }
}

impl Decide<CheckOut> for Cart {
    /// Says how many lines there were, and ends the cart with them.
    fn decide(&self, _: CheckOut, cx: &mut Context<Self>) -> Result<(Vec<CartEvent>, usize), Refused> {
        if self.lines.is_empty() {
            return Err("there is nothing in it".into());
        }
        cx.end();
        Ok((vec![CartEvent::Emptied], self.lines.len()))
    }
}

impl Decide<Curse> for Cart {
    fn decide(&self, _: Curse, _: &mut Context<Self>) -> Result<(Vec<CartEvent>, ()), Refused> {
        Ok((vec![CartEvent::Added { sku: "before".into(), n: 1 }, CartEvent::Cursed], ()))
    }
}

impl Answer<Lines> for Cart {
    fn answer(&self, _: Lines) -> usize {
        self.lines.len()
    }
}

/// Its serde code goes wrong in the way its word says.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Moody {
    pub(super) word: String,
    #[serde(default)]
    deep: Vec<Nest>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Nest {
    End,
    In(Box<Nest>),
}

impl Serialize for Moody {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Plain<'a> {
            word: &'a str,
            deep: &'a [Nest],
        }
        match self.word.as_str() {
            "refuse" => Err(ser::Error::custom("not today")),
            "panic" => panic!("not today"),
            "one-way" => serializer.serialize_u8(7),
            word => Plain { word, deep: &self.deep }.serialize(serializer),
        }
    }
}

command!("say": Say(String); -> ());
command!("deepen": Deepen(usize); -> ());
command!("word": Word {} -> String);

impl Session for Moody {
    const KIND: &'static str = "moody";

    fn absent(_: &SessionId) -> Option<Self> {
        Some(Self::default())
    }
}

impl Handle<Say> for Moody {
    fn handle(&mut self, Say(word): Say, _: &mut Context<Self>) -> Result<(), Refused> {
        assert!(!word.starts_with("panic "), "{word}");
        self.word = word;
        Ok(())
    }
}

impl Handle<Deepen> for Moody {
    fn handle(&mut self, Deepen(levels): Deepen, _: &mut Context<Self>) -> Result<(), Refused> {
        self.deep = vec![(0..levels).fold(Nest::End, |nest, _| Nest::In(Box::new(nest)))];
        Ok(())
    }
}

impl Answer<Word> for Moody {
    fn answer(&self, _: Word) -> String {
        assert_ne!(self.word, "secret", "asked for the secret");
        self.word.clone()
    }
}

impl Drop for Moody {
    fn drop(&mut self) {
        assert!(self.word != "sticky" || std::thread::panicking(), "does not let go");
    }
}

/// An event-sourced type whose events change on the way: one field is skipped, another event cannot be read back.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Bent {
    pub(super) seen: u32,
}

#[derive(Serialize, Deserialize)]
pub(super) enum BentEvent {
    Half {
        kept: u32,
        #[serde(skip)]
        dropped: u32,
    },
    #[serde(skip_deserializing)]
    OneWay,
    #[serde(skip_serializing)]
    NoWay,
}

command!("bend": Bend {} -> ());
command!("break": Break(bool); -> ());
command!("seen": Seen {} -> u32);

impl Session for Bent {
    const KIND: &'static str = "bent";

    fn absent(_: &SessionId) -> Option<Self> {
        Some(Self::default())
    }
}

impl EventSourced for Bent {
    type Event = BentEvent;

    fn apply(&mut self, event: &BentEvent) {
        match event {
            BentEvent::Half { kept, dropped } => self.seen += kept + dropped,
            BentEvent::OneWay | BentEvent::NoWay => self.seen += 1000,
        }
    }
}

impl Decide<Bend> for Bent {
    fn decide(&self, _: Bend, _: &mut Context<Self>) -> Result<(Vec<BentEvent>, ()), Refused> {
        Ok((vec![BentEvent::Half { kept: 1, dropped: 100 }], ()))
    }
}

impl Decide<Break> for Bent {
    fn decide(&self, Break(read): Break, _: &mut Context<Self>) -> Result<(Vec<BentEvent>, ()), Refused> {
        Ok((vec![if read { BentEvent::OneWay } else { BentEvent::NoWay }], ()))
    }
}

impl Answer<Seen> for Bent {
    fn answer(&self, _: Seen) -> u32 {
        self.seen
    }
}

/// The first version of a log, and its second, which renamed everything.
#[derive(Serialize, Deserialize)]
pub(super) struct LogV1 {
    pub(super) lines: Vec<String>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct LogV2 {
    entries: Vec<Entry>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Entry {
    text: String,
    from_v1: bool,
}

command!("write": Write(String); -> ());
command!("read": Read {} -> Vec<String>);

impl Session for LogV1 {
    const KIND: &'static str = "log";

    fn absent(_: &SessionId) -> Option<Self> {
        Some(Self { lines: Vec::new() })
    }
}

impl EventSourced for LogV1 {
    type Event = String;

    fn apply(&mut self, line: &String) {
        self.lines.push(line.clone());
    }
}

impl Decide<Write> for LogV1 {
    fn decide(&self, Write(line): Write, _: &mut Context<Self>) -> Result<(Vec<String>, ()), Refused> {
        Ok((vec![line], ()))
    }
}

impl Session for LogV2 {
    const KIND: &'static str = "log";
    const VERSION: u32 = 2;

    fn migrate(old: Old<'_>) -> Result<Self, Undecodable> {
        let old: LogV1 = old.decode()?;
        let entries = old.lines.into_iter().map(|text| Entry { text, from_v1: true }).collect();
        Ok(Self { entries })
    }
}

impl EventSourced for LogV2 {
    type Event = Entry;

    fn apply(&mut self, entry: &Entry) {
        self.entries.push(entry.clone());
    }

    fn migrate_event(old: Old<'_>) -> Result<Entry, Undecodable> {
        Ok(Entry { text: old.decode()?, from_v1: true })
    }
}

impl Decide<Write> for LogV2 {
    fn decide(&self, Write(text): Write, _: &mut Context<Self>) -> Result<(Vec<Entry>, ()), Refused> {
        Ok((vec![Entry { text, from_v1: false }], ()))
    }
}

impl Answer<Read> for LogV2 {
    fn answer(&self, _: Read) -> Vec<String> {
        let mark = |entry: &Entry| format!("{}{}", if entry.from_v1 { "v1 " } else { "" }, entry.text);
        self.entries.iter().map(mark).collect()
    }
}

/// The next version of `Counter`: its bytes look the same, but count halves.
#[derive(Serialize, Deserialize)]
pub(super) struct HalfCounter {
    total: i64,
}

impl Session for HalfCounter {
    const KIND: &'static str = "counter";
    const VERSION: u32 = 2;

    fn migrate(old: Old<'_>) -> Result<Self, Undecodable> {
        Ok(Self { total: old.decode::<Counter>()?.total * 2 })
    }
}

impl Handle<Add> for HalfCounter {
    fn handle(&mut self, Add(n): Add, _: &mut Context<Self>) -> Result<i64, Refused> {
        self.total += n;
        Ok(self.total)
    }
}
