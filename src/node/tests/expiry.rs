//! Sessions that end by themselves: when, why, and what their program hears of it; and that no failover makes one end sooner,
//! twice, or come back.

use std::sync::Mutex;

use super::*;
use crate::{Drain, End, Ended, node::several::Share, replication::Lifespan, session::encode_command};

const MOMENT: Duration = Duration::from_millis(200);

/// A counter that lives as long as it is told to.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Candle {
    burnt: u64,
}

impl Session for Candle {
    const KIND: &'static str = "candle";

    fn absent(_: &SessionId) -> Option<Self> {
        Some(Self::default())
    }
}

/// Burns one more, and says how many milliseconds are left.
#[derive(Serialize, Deserialize)]
struct Burn {
    sets: Option<u64>,
}

impl Command for Burn {
    const NAME: &'static str = "burn";
    type Reply = (u64, Option<u64>);
}

impl Handle<Burn> for Candle {
    fn handle(&mut self, Burn { sets }: Burn, cx: &mut Context<Self>) -> Result<(u64, Option<u64>), Refused> {
        self.burnt += 1;
        match sets {
            Some(0) => cx.never_expire(),
            Some(millis) => cx.expire_in(Duration::from_millis(millis)),
            None => {}
        }
        let left = cx.expires_in().map(|left| u64::try_from(left.as_millis()).expect("short"));
        Ok((self.burnt, left))
    }
}

#[derive(Serialize, Deserialize)]
struct Burnt;

impl Command for Burnt {
    const NAME: &'static str = "burnt";
    type Reply = u64;
}

impl Answer<Burnt> for Candle {
    fn answer(&self, _: Burnt) -> u64 {
        self.burnt
    }
}

/// Blows it out, and says how long it burnt.
#[derive(Serialize, Deserialize)]
struct BlowOut {
    only_at: u64,
}

impl Command for BlowOut {
    const NAME: &'static str = "blow_out";
    type Reply = Option<u64>;
}

impl Handle<BlowOut> for Candle {
    fn handle(&mut self, BlowOut { only_at }: BlowOut, cx: &mut Context<Self>) -> Result<Option<u64>, Refused> {
        if self.burnt != only_at {
            return Ok(None);
        }
        self.burnt += 100;
        cx.end();
        Ok(Some(only_at))
    }
}

/// What programs were told of ended sessions.
#[derive(Clone, Debug, Default)]
struct Heard(Arc<Mutex<Vec<(String, u64, End)>>>);

impl Heard {
    fn all(&self) -> Vec<(String, u64, End)> {
        self.0.lock().expect("no panic").clone()
    }
}

async fn start_candles(names: &[&str], span: Lifespan, network: &MemoryNetwork) -> (Vec<Node>, Heard) {
    let nodes = start(names, network).await;
    let heard = Heard::default();
    for node in &nodes {
        let heard = heard.clone();
        let mut types = Types::new();
        let mut registration = types.add::<Candle>().handles::<Burn>().handles::<BlowOut>().answers::<Burnt>();
        if let Some(lasts) = span.ends_in {
            registration = registration.expires_after(lasts);
        }
        if let Some(idle) = span.idle {
            registration = registration.expires_when_idle_for(idle);
        }
        registration.when_ended(move |Ended { id, session, why, .. }: Ended<Candle>| {
            heard.0.lock().expect("no panic").push((id.to_string(), session.burnt, why));
            assert!(session.burnt != 90, "a program that panics over an ended session");
        });
        node.register(types).expect("nothing clashes");
    }
    (nodes, heard)
}

fn candle(node: &Node, id: &str) -> SessionRef<Candle> {
    node.session(id).expect("an id")
}

fn ends_in(lasts: Duration) -> Lifespan {
    Lifespan { ends_in: Some(lasts), idle: None }
}

fn idle_for(idle: Duration) -> Lifespan {
    Lifespan { ends_in: None, idle: Some(idle) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_when_its_time_comes_and_its_program_hears_why_once() {
    let network = MemoryNetwork::new();
    let (nodes, heard) = start_candles(&["a", "b", "c"], ends_in(MOMENT), &network).await;
    let (short, kept, cut) = (candle(&nodes[0], "short"), candle(&nodes[1], "kept"), candle(&nodes[2], "cut"));
    let (count, left) = short.call(Burn { sets: None }).await.expect("served");
    assert_eq!((count, left), (1, Some(200)), "what its type says");
    assert_eq!(kept.call(Burn { sets: Some(0) }).await.expect("served"), (1, None), "its own word comes first");
    cut.call_with(Burn { sets: None }, CallOptions::new().expire_in(MOMENT * 50)).await.expect("served");
    assert!(cut.delete().await.expect("served"));
    until("the program hears of it", async || !heard.all().is_empty()).await;
    assert_eq!(heard.all(), [("cut".to_owned(), 1, End::Deleted)]);
    time::sleep(MOMENT).await;
    assert_eq!(short.ask(Burnt).await.expect("served"), 0, "it is gone at its time, even if nobody had looked");
    assert_eq!(kept.ask(Burnt).await.expect("served"), 1);
    time::sleep(MOMENT).await;
    let ends = heard.all();
    assert_eq!(ends[1..], [("short".to_owned(), 1, End::Expired)], "once");
    for node in &nodes {
        assert_eq!(candle(node, "short").call(Burn { sets: Some(0) }).await.expect("served").1, None, "it begins anew");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_may_end_its_session_and_its_reply_outlives_it() {
    let network = MemoryNetwork::new();
    let (nodes, heard) = start_candles(&["a", "b", "c"], Lifespan::FOR_EVER, &network).await;
    let light = candle(&nodes[0], "light");
    light.call(Burn { sets: None }).await.expect("served");
    assert_eq!(light.call(BlowOut { only_at: 7 }).await.expect("served"), None);
    assert_eq!(light.ask(Burnt).await.expect("served"), 1, "nothing was ended");
    let id = RequestId { client: ClientId(5), sequence: 1, first_unanswered: 1 };
    let again = || CallOptions::new().request(id);
    for node in &nodes {
        let told = candle(node, "light").call_with(BlowOut { only_at: 1 }, again()).await.expect("served");
        assert_eq!(told.reply, Some(1), "what comes again is answered as before");
    }
    assert_eq!(light.ask(Burnt).await.expect("served"), 0, "it is gone");
    until("the program hears of it", async || !heard.all().is_empty()).await;
    assert_eq!(heard.all(), [("light".to_owned(), 1, End::Deleted)], "as the command found it");
    // Where there is none, there is nothing to end.
    assert_eq!(candle(&nodes[1], "none").call(BlowOut { only_at: 0 }).await.expect("served"), Some(0));
    assert_eq!(heard.all().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_loss_of_the_primary_makes_no_session_end_sooner_nor_live_on() {
    let network = MemoryNetwork::new();
    let lasts = Duration::from_millis(1_500);
    let (nodes, heard) = start_candles(&["a", "b", "c"], ends_in(lasts), &network).await;
    let began = clock::now();
    let ids: Vec<String> = (0..40).map(|n| format!("s-{n}")).collect();
    for id in &ids {
        candle(&nodes[0], id).call(Burn { sets: None }).await.expect("served");
    }
    let all_begun = clock::now();
    let primary = candle(&nodes[0], "s-0").primary().expect("somebody serves it");
    let (primary, others) = split(nodes, primary);
    kill(&network, &primary);
    prove_dead(&others, primary.id());
    for id in &ids {
        let burnt = candle(&others[0], id).ask(Burnt).await.expect("served");
        if clock::now().since(began) < lasts {
            assert_eq!(burnt, 1, "{id} ended before its time");
        }
    }
    time::sleep((lasts + Duration::from_millis(700)).saturating_sub(clock::now().since(all_begun))).await;
    for id in &ids {
        assert_eq!(candle(&others[1], id).ask(Burnt).await.expect("served"), 0, "{id} outlived its time");
    }
    let mut ended: Vec<String> = heard.all().into_iter().map(|(id, ..)| id).collect();
    ended.sort();
    ended.dedup();
    assert_eq!(ended.len(), heard.all().len(), "nobody hears of an end twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_keep_an_idle_session_alive_through_the_loss_of_its_primary() {
    let network = MemoryNetwork::new();
    let idle = Duration::from_millis(1_600);
    let (nodes, heard) = start_candles(&["a", "b", "c"], idle_for(idle), &network).await;
    candle(&nodes[0], "s").call(Burn { sets: None }).await.expect("served");
    let primary = candle(&nodes[0], "s").primary().expect("somebody serves it");
    let (primary, others) = split(nodes, primary);
    let asked_for = async |how_long: Duration| {
        let until = clock::now() + how_long;
        while clock::now() < until {
            assert_eq!(candle(&others[0], "s").ask(Burnt).await.expect("served"), 1, "somebody is there");
            time::sleep(Duration::from_millis(40)).await;
        }
    };
    // The last change is older than the idle time when its primary dies: only questions have kept the session.
    asked_for(idle + Duration::from_millis(300)).await;
    kill(&network, &primary);
    prove_dead(&others, primary.id());
    asked_for(idle / 2).await;
    assert_eq!(heard.all(), []);
    time::sleep(idle + idle / 8).await;
    until("it ends when nobody asks", async || !heard.all().is_empty()).await;
    assert_eq!(heard.all(), [("s".to_owned(), 1, End::Idle)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_after_the_end_gets_its_reply_again_and_brings_nothing_back() {
    let network = MemoryNetwork::new();
    let (nodes, heard) = start_candles(&["a", "b", "c"], ends_in(MOMENT), &network).await;
    let session = candle(&nodes[0], "s");
    let burn = async || session.call_with(Burn { sets: None }, CallOptions::new().idempotency_key(b"k")).await;
    let first = burn().await.expect("served");
    until("it ends", async || !heard.all().is_empty()).await;
    assert_eq!(burn().await.expect("remembered").reply, first.reply);
    assert_eq!(session.ask(Burnt).await.expect("served"), 0);
    let primary = session.primary().expect("somebody serves it");
    let (primary, others) = split(nodes, primary);
    kill(&network, &primary);
    prove_dead(&others, primary.id());
    let session = candle(&others[0], "s");
    let again = session.call_with(Burn { sets: None }, CallOptions::new().idempotency_key(b"k")).await;
    assert_eq!(again.expect("the copy remembers it too").reply, first.reply);
    assert_eq!(session.ask(Burnt).await.expect("served"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn time_goes_on_through_a_hand_over_and_a_return() {
    let network = MemoryNetwork::new();
    let lasts = Duration::from_secs(2);
    let (mut nodes, heard) = start_candles(&["a", "b", "c"], ends_in(lasts), &network).await;
    let id = id_served_by(&nodes[2], "a");
    candle(&nodes[2], &id).call(Burn { sets: None }).await.expect("served");
    let begun = clock::now();
    soon(nodes[0].drain(Drain::new())).await.expect("two stay");
    let a = nodes.remove(0);
    a.stop().await;
    assert_ne!(candle(&nodes[1], &id).primary(), Some(a.id()));
    assert_eq!(candle(&nodes[1], &id).ask(Burnt).await.expect("served"), 1);
    until("it ends", async || !heard.all().is_empty()).await;
    let lasted = clock::now().since(begun);
    assert!(lasted >= lasts - Duration::from_millis(5) && lasted < lasts + Duration::from_millis(500), "{lasted:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_panics_over_an_end_harms_nobody() {
    let network = MemoryNetwork::new();
    let (nodes, heard) = start_candles(&["a", "b", "c"], Lifespan::FOR_EVER, &network).await;
    let session = candle(&nodes[0], "s");
    for _ in 0..90 {
        session.call(Burn { sets: None }).await.expect("served");
    }
    assert!(session.delete().await.expect("the end is the end"));
    until("it is told", async || !heard.all().is_empty()).await;
    assert_eq!(session.call(Burn { sets: None }).await.expect("served").0, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_that_end_at_once_keep_nobody_waiting() {
    let network = MemoryNetwork::new();
    let (nodes, heard) = start_candles(&["a", "b", "c"], Lifespan::FOR_EVER, &network).await;
    let many = 6_000;
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..many {
        let session = candle(&nodes[n % 3], &format!("s-{n}"));
        calls.spawn(async move {
            let options = CallOptions::new().expire_in(Duration::from_secs(4)).deadline(Duration::from_secs(20));
            session.call_with(Burn { sets: None }, options).await.expect("served");
        });
        if n % 500 == 0 {
            time::sleep(Duration::from_millis(20)).await;
        }
    }
    soon(calls.join_all()).await;
    let other = candle(&nodes[0], "another");
    let mut worst = Duration::ZERO;
    until("all end", async || {
        let asked = clock::now();
        other.call(Burn { sets: Some(0) }).await.ok();
        worst = worst.max(clock::now().since(asked));
        heard.all().iter().filter(|(_, _, why)| *why == End::Expired).count() == many
    })
    .await;
    println!("the longest call beside them took {worst:?}");
    assert!(worst < Duration::from_millis(400), "{worst:?}");
}

/// A session type that knows how often it was made from its bytes.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Sleeper {
    burnt: u64,
    #[serde(skip)]
    woken: u64,
}

impl Session for Sleeper {
    const KIND: &'static str = "sleeper";

    fn absent(_: &SessionId) -> Option<Self> {
        Some(Self::default())
    }

    fn loaded(&mut self, _: &mut Context<Self>) {
        self.woken += 1;
    }
}

impl Handle<Burn> for Sleeper {
    fn handle(&mut self, _: Burn, _: &mut Context<Self>) -> Result<(u64, Option<u64>), Refused> {
        self.burnt += 1;
        Ok((self.burnt, Some(self.woken)))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_idle_is_kept_as_bytes_and_returns_as_it_was() {
    let network = MemoryNetwork::new();
    let nodes = start_all(&file(&["a", "b"], "[cluster.limits]\nidle_after = \"1s\""), &network).await;
    for node in &nodes {
        let mut types = Types::new();
        types.add::<Sleeper>().handles::<Burn>();
        node.register(types).expect("nothing clashes");
    }
    let sleeper = nodes[0].session::<Sleeper>("s").expect("an id");
    let burn = async || sleeper.call(Burn { sets: None }).await.expect("served");
    assert_eq!((burn().await, burn().await), ((1, Some(0)), (2, Some(0))), "in use, it is not decoded");
    until("it is passive, and wakes", async || {
        time::sleep(Duration::from_millis(1_200)).await;
        burn().await.1 == Some(1)
    })
    .await;
    let (burnt, woken) = burn().await;
    assert!(burnt > 3 && woken == Some(1), "nothing is lost by it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_among_several_that_changes_nothing_is_a_use_as_any_other() {
    let network = MemoryNetwork::new();
    let nodes = start(&["a", "b"], &network).await;
    let idle = Duration::from_millis(600);
    let quiet = counter(&nodes[0], "{tag}quiet");
    quiet.call_with(Add(5), CallOptions::new().expire_when_idle_for(idle)).await.expect("done");
    let share = |id: &str, add| {
        let key = SessionKey::new(Counter::KIND, id.as_bytes()).expect("within bounds");
        let body = encode_command(&Add(add), 1 << 10).expect("small");
        Share { key, command: Add::NAME, bodies: vec![body], expected: None }
    };
    // Three times as long as it may be idle.
    for _ in 0..18 {
        // The reply is remembered by the first of them, which counts as a use whatever it does.
        let shares = vec![share("{tag}busy", 1), share("{tag}quiet", 0)];
        nodes[0].call_together(shares, Duration::from_secs(5)).await.expect("done");
        time::sleep(idle / 6).await;
    }
    assert_eq!(quiet.ask(Count).await.expect("asked"), 5);
    time::sleep(idle * 2).await;
    assert_eq!(quiet.ask(Count).await.expect("asked"), 0, "nobody used it, and it has ended");
}
