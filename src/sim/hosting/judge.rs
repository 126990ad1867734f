//! The judgement of user sessions: every command again, in the order in which it took effect, on one object that never moves and
//! never fails. What callers were told, and what is there in the end, must be what that object says.
//!
//! So a field that is not copied, a clock or chance of a handler's own, or a handler that is not the same twice, is seen where it
//! made a difference to somebody.

use std::collections::BTreeMap;

use super::{
    hosted::{CallNumber, Drawn, Hosted, ReplyNumber, Said},
    kept::Kept,
};
use crate::{
    id::RequestId,
    kinds::LiveSession,
    moment::Moment,
    sim::check::{History, Operation, Violation},
};

/// What a caller was told by an operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answered {
    pub(crate) operation: Operation,
    pub(crate) call: CallNumber,
    pub(crate) reply: ReplyNumber,
}

/// Judges one session, and tells the first that is wrong; what follows it mostly follows from it. `last` is what its primary holds in the
/// end; `calls` says which call wrote a value.
pub(crate) fn judge(
    hosted: &Hosted,
    session: u32,
    last: &Kept,
    calls: &BTreeMap<u64, (CallNumber, RequestId)>,
    answered: &[Answered],
    history: &History,
) -> Option<Violation> {
    let found = first_wrong(hosted, session, last, calls, answered, history)?;
    // The object that never moved is no witness if another of its kind says something else.
    let again = first_wrong(hosted, session, last, calls, answered, history);
    if again.as_ref() == Some(&found) {
        return Some(found);
    }
    let again = again.map_or_else(|| "was right".to_owned(), |again| format!("said: {}", again.words));
    let words = format!(
        "session {session}: its handlers do not do the same twice. Do they look at a clock, at chance, or at the order of a HashMap? The \
         same commands were run on two objects that never moved: by the first, {}; the second {again}",
        found.words
    );
    Some(Violation { words, ..found })
}

fn first_wrong(
    hosted: &Hosted,
    session: u32,
    last: &Kept,
    calls: &BTreeMap<u64, (CallNumber, RequestId)>,
    answered: &[Answered],
    history: &History,
) -> Option<Violation> {
    let told = |words, told: &Answered| Violation::new("sessions", words).of(history.number_of(&told.operation));
    let changes: BTreeMap<u64, &Answered> =
        answered.iter().filter_map(|a| Some((a.operation.action.writes()?, a))).collect();
    let mut questions: BTreeMap<u64, Vec<&Answered>> = BTreeMap::new();
    for asked in answered.iter().filter(|a| a.operation.action.writes().is_none()) {
        questions.entry(asked.operation.reply().map_or(0, |reply| reply.version)).or_default().push(asked);
    }
    let (mut kept, mut live) = (Kept::default(), LiveSession::new());
    // A clock like no node's: what it shows is nothing that a session may go by.
    let mut now = Moment::START;
    let mut step = |kept: &mut Kept, call: &Drawn, written: (u64, u64), request| {
        now = now + std::time::Duration::from_millis(1);
        hosted.run(&mut live, kept, call, written, (request, now))
    };
    for position in 0..=last.log.len() {
        for asked in questions.get(&(position as u64)).into_iter().flatten() {
            let call = hosted.call(asked.call);
            let expected = step(&mut kept, &call, (0, position as u64), None);
            if let Some(words) = differs(hosted, session, position, &call, asked, &expected) {
                return Some(told(words, asked));
            }
        }
        let Some(effected) = last.log.get(position) else { break };
        let Some((number, request)) = calls.get(&effected.value) else {
            let words = format!("session {session} has a change that nobody asked for, {}", effected.value);
            return Some(Violation::new("sessions", words));
        };
        let call = hosted.call(*number);
        let expected = step(&mut kept, &call, (effected.value, effected.version), Some(*request));
        if let Some(answered) = changes.get(&effected.value)
            && let Some(words) = differs(hosted, session, position + 1, &call, answered, &expected)
        {
            return Some(told(words, answered));
        }
        if let Some(words) = hosted.inspect(session, &kept) {
            let number = changes.get(&effected.value).and_then(|answered| history.number_of(&answered.operation));
            let words = format!("session {session}, after change {} ({}): {words}", position + 1, call.spoken.words);
            return Some(Violation::new("invariant", words).of(number));
        }
    }
    (hosted.state(session, last) != hosted.state(session, &kept)).then(|| {
        let words = format!(
            "session {session} is not in the state that its {} changes lead to on an object that never moved",
            last.log.len()
        );
        Violation::new("sessions", words)
    })
}

/// What a caller was told otherwise than the object that never moved says.
fn differs(
    hosted: &Hosted,
    session: u32,
    position: usize,
    call: &Drawn,
    answered: &Answered,
    expected: &Said,
) -> Option<String> {
    let said = hosted.reply(answered.reply);
    (said != *expected).then(|| {
        let words = |said: &Said| match said {
            Ok(reply) => call.spoken.reply_in_words(reply),
            Err(failure) => format!("{failure:?}"),
        };
        let (client, asked) = (answered.operation.client, &call.spoken.words);
        format!(
            "session {session}, change {position}: client {client} asked {asked} and was told {}; an object that never moved says {}",
            words(&said),
            words(expected)
        )
    })
}
