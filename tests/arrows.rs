//! The rooms of `src/` and the arrows between them: a room uses only what lies below it, and pure rooms know no clock, no
//! chance, no runtime and no format. Comments, strings and tests inside a file do not count.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Words that a pure room never says.
const IMPURE: [&str; 11] = [
    "tokio",
    "ractor",
    "ractor_cluster",
    "rand",
    "uuid",
    "rmp_serde",
    "Instant",
    "SystemTime",
    "HashMap",
    "HashSet",
    "RandomState",
];
const PURE: [&str; 2] = ["membership", "replication"];
const GUESTS: [&str; 5] = ["http", "redis", "admin", "store", "sim"];

/// One file of `src/`, by its path from there, with `/`.
struct Source {
    path: String,
    text: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// The first folder, or the name of a file that stands in none.
    fn room(&self) -> &str {
        self.path.split_once('/').map_or(self.path.trim_end_matches(".rs"), |(room, _)| room)
    }

    fn is_test(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or_default().trim_end_matches(".rs");
        name == "tests" || name.starts_with("test_") || self.path.contains("/tests/")
    }
}

/// Whether `room` may say `crate::other`.
fn may_use(room: &str, other: &str) -> bool {
    let below_the_door = |rooms: &[&str]| rooms.contains(&other) || other == room;
    match room {
        "id" | "moment" | "blob" => other == room,
        "membership" => below_the_door(&["id", "moment"]),
        "replication" => below_the_door(&["id", "moment", "blob", "membership"]),
        "wire" => below_the_door(&["id", "moment", "blob", "membership", "replication", "config", "error"]),
        "transport" => {
            below_the_door(&["id", "moment", "blob", "membership", "replication", "wire", "config", "error"])
        }
        "sim" => !["runtime", "transport", "wire"].contains(&other),
        // Between processes stands what the simulator has between its nodes.
        "fault_proxy" => below_the_door(&["id", "wire", "sim"]),
        guest if GUESTS.contains(&guest) => !["runtime", "transport", "wire", "replication"].contains(&other),
        // The runtime and the door: whatever is not a guest.
        _ => !GUESTS.contains(&other) || other == room,
    }
}

/// Where a word of the outside world may be said; `None` for a word that is free.
fn may_say(source: &Source, word: &str) -> bool {
    let within = |folder: &str| source.path.starts_with(&format!("{folder}/")) || source.path == format!("{folder}.rs");
    match word {
        _ if PURE.contains(&source.room()) && IMPURE.contains(&word) => false,
        "rmp_serde" => within("wire"),
        "ractor_cluster" => within("transport/cluster"),
        "ractor" => within("runtime") || within("transport"),
        _ => true,
    }
}

fn violations(sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources.iter().filter(|source| !source.is_test()) {
        let code = without_tests(&without_comments_and_strings(&source.text));
        for word in words(&code) {
            if !may_say(source, word) {
                found.push(format!("{} names {word}", source.path));
            }
        }
        for other in rooms_used(&code) {
            if !may_use(source.room(), other) {
                found.push(format!("{} uses crate::{other}", source.path));
            }
        }
    }
    found
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// The first name after every `crate::`, the grouped ones of `crate::{...}` included.
fn rooms_used(code: &str) -> Vec<&str> {
    let mut rooms = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '$')) {
            continue;
        }
        let rest = code[at + "crate::".len()..].trim_start();
        let Some(group) = rest.strip_prefix('{') else {
            rooms.extend(words(rest).next());
            continue;
        };
        let mut depth = 0;
        let mut start = 0;
        for (i, c) in group.char_indices() {
            match c {
                ',' | '}' if depth == 0 => {
                    rooms.extend(words(&group[start..i]).next());
                    start = i + 1;
                    if c == '}' {
                        break;
                    }
                }
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
        }
    }
    rooms
}

/// The code alone: each comment, string and character literal becomes one space.
fn without_comments_and_strings(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skipped = literal_or_comment(rest, code.chars().next_back());
        if skipped > 0 {
            code.push(' ');
            rest = &rest[skipped..];
        } else {
            code.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    code
}

/// How long the comment or literal is that `rest` begins with; 0 if it begins with neither.
fn literal_or_comment(rest: &str, before: Option<char>) -> usize {
    let until = |from: usize, end: &str| rest[from..].find(end).map_or(rest.len(), |at| from + at + end.len());
    let escaped = |quote: char| {
        let mut escaped = false;
        let ends = |(_, c): &(usize, char)| {
            let end = *c == quote && !escaped;
            escaped = *c == '\\' && !escaped;
            end
        };
        let mut inside = rest.char_indices().skip(1);
        inside.find(ends).map_or(rest.len(), |(at, _)| at + 1)
    };
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return until(2, "*/");
    }
    if rest.starts_with('"') {
        return escaped('"');
    }
    let raw = rest.strip_prefix('r').filter(|_| !before.is_some_and(|c| c.is_alphanumeric() && c != 'b' || c == '_'));
    if let Some(raw) = raw {
        let hashes = raw.bytes().take_while(|b| *b == b'#').count();
        if raw[hashes..].starts_with('"') {
            return until(hashes + 2, &format!("\"{}", "#".repeat(hashes)));
        }
    }
    // A lifetime has no closing quote two characters on; a character literal has, or begins with a backslash.
    let mut quoted = rest.strip_prefix('\'').unwrap_or_default().chars();
    match (quoted.next(), quoted.next()) {
        (Some('\\'), _) | (Some(_), Some('\'')) => escaped('\''),
        _ => 0,
    }
}

/// Leaves out every `#[cfg(test)] mod name { ... }`.
fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut kept = String::new();
    let mut rest = code;
    while let Some(at) = rest.find(MARK) {
        let (before, marked) = rest.split_at(at);
        kept.push_str(before);
        let after = &marked[MARK.len()..];
        let inline = after.trim_start().starts_with("mod ") && after.find('{') < after.find(';').or(Some(usize::MAX));
        rest = if inline { after_braces(after) } else { after };
    }
    kept + rest
}

/// What follows the first balanced `{ ... }`.
fn after_braces(code: &str) -> &str {
    let mut depth = 0;
    for (i, c) in code.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return &code[i + 1..],
            '}' => depth -= 1,
            _ => {}
        }
    }
    ""
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("src is readable") {
        let path = entry.expect("src is readable").path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn arrows_between_rooms_run_one_way_and_pure_rooms_stay_pure() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    let sources: Vec<_> = files
        .iter()
        .map(|file| {
            let path = file.strip_prefix(&src).expect("found below src").to_string_lossy().replace('\\', "/");
            Source { path, text: fs::read_to_string(file).expect("src is readable") }
        })
        .filter(|source| !source.path.starts_with("bin/"))
        .collect();
    assert!(sources.iter().any(|source| source.path == "membership/view.rs"), "the pure rooms were found");
    let found = violations(&sources);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_kind_of_planted_violation_is_found() {
    let planted = [
        ("membership/ring.rs", "use crate::replication::Primary;", "uses crate::replication"),
        ("membership/ring.rs", "use crate::{id::NodeName, runtime::{Link, Worker}};", "uses crate::runtime"),
        ("membership/ring.rs", "fn f() { crate::config::ClusterFile::read(\"x\"); }", "uses crate::config"),
        ("membership/ring.rs", "use std::time::{Duration, Instant};", "names Instant"),
        ("membership/ring.rs", "use std::collections::HashMap;", "names HashMap"),
        ("replication/primary.rs", "async fn f() { tokio::task::yield_now().await }", "names tokio"),
        ("replication/primary.rs", "let id = uuid::Uuid::new_v4();", "names uuid"),
        ("replication/primary.rs", "const Q: char = '\"'; use rand::Rng; const R: char = '\"';", "names rand"),
        ("replication/primary.rs", "#[cfg(test)]\nmod tests { fn a() {} }\nuse ractor::Actor;", "names ractor"),
        (
            "replication/primary.rs",
            "#[cfg(test)]\nmod tests;\nfn f() { std::time::SystemTime::now(); }",
            "names SystemTime",
        ),
        ("wire/codec.rs", "use crate::transport::Pipe;", "uses crate::transport"),
        ("transport/memory.rs", "use crate::runtime::Supervisor;", "uses crate::runtime"),
        ("transport/memory.rs", "use ractor_cluster::NodeServer;", "names ractor_cluster"),
        ("transport/memory.rs", "rmp_serde::to_vec(&x)", "names rmp_serde"),
        ("runtime/link.rs", "use crate::http::Page;", "uses crate::http"),
        ("http/page.rs", "use crate::wire::Frame;", "uses crate::wire"),
        ("sim/world.rs", "use crate::runtime::Worker;", "uses crate::runtime"),
        ("node.rs", "pub use ractor::ActorRef;", "names ractor"),
        ("id.rs", "use crate::membership::View;", "uses crate::membership"),
    ];
    for (path, text, expected) in planted {
        assert_eq!(violations(&[Source::new(path, text)]), [format!("{path} {expected}")], "{text}");
    }
}

#[test]
fn what_is_allowed_is_not_taken_for_a_violation() {
    let allowed = [
        ("replication/primary.rs", "use crate::{id::{ArcId, NodeId}, membership::View, moment::Moment};"),
        (
            "membership/ring.rs",
            "// no tokio here\n/* HashMap */ const A: &str = \"ractor\"; const B: &str = r#\"uuid \"quoted\"\"#;",
        ),
        (
            "membership/ring.rs",
            "fn f<'a>(x: &'a str) -> &'a str { x }\n#[cfg(test)]\nmod tests { use std::collections::HashMap; }",
        ),
        ("membership/ring/tests.rs", "use std::time::Instant;"),
        ("wire/codec.rs", "rmp_serde::to_vec(&x)"),
        ("transport/cluster/session.rs", "use ractor_cluster::NodeServer;"),
        ("transport/cluster.rs", "use ractor_cluster::NodeServer; use ractor::Actor;"),
        ("runtime/worker.rs", "use ractor::Actor; use crate::transport::Pipe;"),
        ("sim/world.rs", "use crate::{membership::View, replication::Primary};"),
        ("node.rs", "use crate::runtime::Supervisor; use std::collections::HashMap;"),
    ];
    for (path, text) in allowed {
        assert_eq!(violations(&[Source::new(path, text)]), Vec::<String>::new(), "{text}");
    }
}
