//! An agent: a conversation whose answers take their time, and which goes on when the node that was thinking is killed.
//!
//! `cargo run --example agent` asks three questions of one conversation, kills its node while the second is being answered, and
//! follows it all from another node. The session has an actor of its own (`dedicated`), asks a model outside the ring
//! (`Context::spawn`), takes up again what was under way when it is loaded elsewhere (`Session::loaded`), and is watched as it
//! changes (`SessionRef::changes`).

use std::{error::Error, time::Duration};

use ringheir::{Answer, Command, Context, Handle, Refused, Session, SessionId, Types, test::TestRing};
use serde::{Deserialize, Serialize};

/// What was asked, and what was answered so far.
#[derive(Default, Serialize, Deserialize)]
struct Conversation {
    turns: Vec<(String, Option<String>)>,
}

/// The person asks.
#[derive(Serialize, Deserialize)]
struct Ask(String);

impl Command for Ask {
    const NAME: &'static str = "ask";
    type Reply = usize;
}

/// The model has answered.
#[derive(Serialize, Deserialize)]
struct Heard {
    turn: usize,
    words: String,
}

impl Command for Heard {
    const NAME: &'static str = "heard";
    type Reply = ();
}

/// Where a call to a model's service would be. Slow, and not always asked once.
async fn model(question: String) -> String {
    tokio::time::sleep(Duration::from_millis(300)).await;
    format!("I have thought about \"{question}\"")
}

fn ask_the_model(turn: usize, question: &str, cx: &mut Context<Conversation>) {
    let question = question.to_owned();
    cx.spawn(async move { Heard { turn, words: model(question).await } });
}

impl Session for Conversation {
    const KIND: &'static str = "conversation";

    fn absent(_: &SessionId) -> Option<Self> {
        Some(Self::default())
    }

    /// On a new primary nothing is under way: whatever was asked and not answered is asked again.
    fn loaded(&mut self, cx: &mut Context<Self>) {
        for (turn, (question, _)) in self.turns.iter().enumerate().filter(|(_, (_, answer))| answer.is_none()) {
            ask_the_model(turn, question, cx);
        }
    }
}

impl Handle<Ask> for Conversation {
    fn handle(&mut self, Ask(question): Ask, cx: &mut Context<Self>) -> Result<usize, Refused> {
        ask_the_model(self.turns.len(), &question, cx);
        self.turns.push((question, None));
        Ok(self.turns.len())
    }
}

impl Handle<Heard> for Conversation {
    fn handle(&mut self, Heard { turn, words }: Heard, _: &mut Context<Self>) -> Result<(), Refused> {
        let (_, answer) = self.turns.get_mut(turn).ok_or("nobody asked that")?;
        // Asked twice, answered once.
        answer.get_or_insert(words);
        Ok(())
    }
}

#[derive(Serialize, Deserialize)]
struct Unanswered;

impl Command for Unanswered {
    const NAME: &'static str = "unanswered";
    type Reply = usize;
}

impl Answer<Unanswered> for Conversation {
    fn answer(&self, _: Unanswered) -> usize {
        self.turns.iter().filter(|(_, answer)| answer.is_none()).count()
    }
}

fn types() -> Types {
    let mut types = Types::new();
    types.add::<Conversation>().handles::<Ask>().handles::<Heard>().answers::<Unanswered>().dedicated();
    types
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut ring = TestRing::start(1, &["a", "b", "c"], types).await?;
    // A conversation that lives on a, followed and led from c.
    let id = ring.node("a")?.new_session::<Conversation>()?.id();
    let conversation = ring.node("c")?.session::<Conversation>(id)?;
    let mut changes = conversation.changes();
    let following = tokio::spawn(async move {
        let mut shown = 0;
        loop {
            let change = changes.next().await?;
            let turns = change.state.unwrap_or_default().turns;
            let answers: Vec<&String> = turns.iter().filter_map(|(_, answer)| answer.as_ref()).collect();
            for answer in answers.iter().skip(shown) {
                println!("  version {:>2}: {answer}", change.version);
            }
            shown = answers.len();
            if shown == 3 {
                return Ok::<usize, ringheir::Error>(turns.len());
            }
        }
    });

    for (number, question) in ["what is a ring?", "who is the heir?", "what was lost?"].into_iter().enumerate() {
        println!("asked: {question}");
        conversation.call(Ask(question.to_owned())).await?;
        if number == 1 {
            println!("  {}, where the model is being asked", ring.kill("a")?);
        } else {
            tokio::time::sleep(Duration::from_millis(400)).await;
        }
        // Whoever touches it first wakes it on its next primary.
        conversation.ask(Unanswered).await?;
    }
    let turns = tokio::time::timeout(Duration::from_secs(10), following).await???;
    println!("{turns} asked, {turns} answered, none lost");
    Ok(())
}
