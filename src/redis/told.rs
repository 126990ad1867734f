//! What a key says, as the client is told it.

use super::{
    commands::Tell,
    frames::Reply,
    glob,
    keys::{Said, TypeName},
    wall_clock,
};

/// As its command tells it.
pub(super) fn told(said: Said, tell: &Tell) -> Reply {
    match (tell, said) {
        (Tell::Seconds, Said::Number(left @ 1..)) => Reply::Number(left.saturating_add(500) / 1_000),
        (Tell::UnixSeconds, Said::Number(left @ 1..)) => Reply::Number(date(left).saturating_add(500) / 1_000),
        (Tell::UnixMillis, Said::Number(left @ 1..)) => Reply::Number(date(left)),
        (Tell::Page { matching, names_only }, Said::Pairs(pairs)) => {
            let fits = |field: &[u8]| matching.as_ref().is_none_or(|pattern| glob::matches(pattern, field));
            let mut page = Vec::new();
            for (field, value) in pairs.into_iter().filter(|(field, _)| fits(field)) {
                page.push(Reply::Bytes(field));
                if !names_only {
                    page.push(Reply::Bytes(value));
                }
            }
            Reply::List(vec![Reply::bytes("0"), Reply::List(page)])
        }
        (_, said) => plain(said),
    }
}

fn date(left: i64) -> i64 {
    wall_clock::unix_millis().saturating_add(left)
}

/// As it is.
pub(super) fn plain(said: Said) -> Reply {
    match said {
        Said::Done => Reply::OK,
        Said::Nothing | Said::Whole(..) => Reply::Nothing,
        Said::Number(number) => Reply::Number(number),
        Said::Bytes(bytes) => Reply::Bytes(bytes),
        Said::List(list) => Reply::List(list.into_iter().map(|one| one.map_or(Reply::Nothing, Reply::Bytes)).collect()),
        Said::Pairs(pairs) => {
            Reply::Map(pairs.into_iter().map(|(field, value)| (Reply::Bytes(field), Reply::Bytes(value))).collect())
        }
        Said::Type(of) => Reply::Status(of.map_or("none", TypeName::as_str)),
        Said::No(complaint) => complaint.into(),
    }
}
