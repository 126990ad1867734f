//! The ledger of one session: what its only client was told, and whether what it sees later can be true.
//!
//! Each write is one merge patch that adds a value of its own under its number and takes away the number `KEPT` before it;
//! so the document, merged on the server, keeps the last writes one by one, and the version counts all of them. Who holds the
//! ledger is the only one who writes the session, one write at a time, so every version and every document can be foretold.
//!
//! - lost: an acknowledged write that a later acknowledgement or the final reading does not count or show.
//! - duplicated: the version counts more writes than were made, or a write that was taken away is there again.
//! - stale: a read that lags behind an acknowledgement given before it was asked.
//!
//! A write without an answer may have happened, and may yet: both are right until it is seen.
//! Invariant: each wrong thing is counted once; after it the ledger goes on from what it saw.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

/// How many writes a document shows.
const KEPT: u64 = 16;

/// What is in the document of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Document {
    /// The number of the write made last.
    pub(crate) n: u64,
    /// The values of the last writes, by number.
    pub(crate) w: BTreeMap<u64, String>,
}

/// What a node said of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// There is none under that id.
    Absent,
    /// It is at this version; the document, where the answer has one.
    There { version: u64, document: Option<Document> },
}

impl Seen {
    const fn version(&self) -> u64 {
        match self {
            Self::Absent => 0,
            Self::There { version, .. } => *version,
        }
    }

    const fn document(&self) -> Option<&Document> {
        match self {
            Self::There { document: Some(document), .. } => Some(document),
            _ => None,
        }
    }
}

/// One write to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Write {
    /// Its number within the session, from 1.
    pub(crate) number: u64,
    /// JSON: the whole document for the first write, a merge patch for the others.
    pub(crate) body: String,
    /// The version that the session has before it, where that is certain.
    pub(crate) expected: Option<u64>,
}

/// What was wrong, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// Acknowledged writes that are gone.
    pub(crate) lost: u64,
    /// Writes applied more than once.
    pub(crate) duplicated: u64,
    /// Reads that lagged behind an acknowledgement.
    pub(crate) stale: u64,
    /// Answers that fit nothing that was ever asked.
    pub(crate) false_answers: u64,
}

impl Wrong {
    /// Whether nothing was.
    pub(crate) fn is_nothing(self) -> bool {
        self == Self::default()
    }
}

impl std::ops::AddAssign for Wrong {
    fn add_assign(&mut self, other: Self) {
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.stale += other.stale;
        self.false_answers += other.false_answers;
    }
}

/// When something was seen; it says what to call a session that lags.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    /// As the answer to a write: the history itself has it so.
    Acknowledged,
    /// A read while the clients run: an older copy may have answered.
    Read,
    /// The newest that any node shows at the end.
    Finally,
}

/// One session's past.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// Tells the values of this session and this run from all others.
    tag: String,
    /// Writes begun.
    written: u64,
    /// Number of the write acknowledged last.
    last_acked: u64,
    /// Writes that happened for certain: acknowledged, or without an answer and seen since.
    happened: u64,
    /// Writes without an answer that have not been seen (yet).
    open: BTreeSet<u64>,
    /// Writes that had no answer and were seen since.
    late: BTreeSet<u64>,
    /// Acknowledged writes known to be gone.
    gone: BTreeSet<u64>,
    /// What the version is off by, after duplicates and losses that were counted.
    offset: i128,
    wrong: Wrong,
    first_wrong: Option<String>,
}

impl Ledger {
    /// A session that nobody wrote yet.
    pub(crate) fn new(tag: String) -> Self {
        Self {
            tag,
            written: 0,
            last_acked: 0,
            happened: 0,
            open: BTreeSet::new(),
            late: BTreeSet::new(),
            gone: BTreeSet::new(),
            offset: 0,
            wrong: Wrong::default(),
            first_wrong: None,
        }
    }

    /// What was wrong so far.
    pub(crate) const fn wrong(&self) -> Wrong {
        self.wrong
    }

    /// The first wrong thing, in words.
    pub(crate) fn first_wrong(&self) -> Option<&str> {
        self.first_wrong.as_deref()
    }

    /// Whether the session was acknowledged to exist.
    pub(crate) const fn exists(&self) -> bool {
        self.happened > 0
    }

    /// Whether a write had no answer and was not seen since: a read should tell before the next write.
    pub(crate) fn is_uncertain(&self) -> bool {
        !self.open.is_empty()
    }

    /// The next write to make. Every other one expects a version, where that is certain, so that both ways are tried.
    pub(crate) fn next_write(&mut self) -> Write {
        self.written += 1;
        let number = self.written;
        let forgotten = if number > KEPT { format!(r#", "{}": null"#, number - KEPT) } else { String::new() };
        let body = format!(r#"{{"n": {number}, "w": {{"{number}": "{}"{forgotten}}}}}"#, self.value(number));
        let certain = !self.is_uncertain() && self.exists() && number.is_multiple_of(2);
        let expected = if certain { u64::try_from(self.least_version()).ok() } else { None };
        Write { number, body, expected }
    }

    fn value(&self, number: u64) -> String {
        format!("{}.{number}", self.tag)
    }

    /// The version if no open write has happened.
    fn least_version(&self) -> i128 {
        i128::from(self.happened) + self.offset
    }

    /// Write `number` was acknowledged, with what the answer showed.
    pub(crate) fn acknowledged(&mut self, number: u64, seen: &Seen) {
        self.happened += 1;
        self.last_acked = number;
        self.judge(seen, When::Acknowledged);
    }

    /// Write `number` got no answer until its deadline.
    pub(crate) fn unanswered(&mut self, number: u64) {
        self.open.insert(number);
    }

    /// Write `number` was refused for good: it did not happen and will not.
    pub(crate) fn refused(&mut self, number: u64, why: &str) {
        self.wrong.false_answers += 1;
        self.note(format!("write {number} was refused: {why}"));
        // Should it have happened after all, it is not to be taken for a duplicate.
        self.open.insert(number);
    }

    /// Write `number` expected a version and was told that the session has another, though nobody else writes it. What a
    /// read showed then tells which: if the write is there, a retry of it was executed a second time and only its condition
    /// stopped it.
    pub(crate) fn contradicted(&mut self, number: u64, seen: &Seen) {
        if seen.document().is_some_and(|document| document.w.contains_key(&number)) {
            self.happened += 1;
            self.last_acked = number;
            self.wrong.duplicated += 1;
            self.note(format!("a retry of write {number} was executed again, and stopped by its own version"));
            self.judge(seen, When::Acknowledged);
        } else {
            let before = self.wrong;
            self.judge(seen, When::Acknowledged);
            if self.wrong == before {
                self.wrong.false_answers += 1;
                self.note(format!("write {number} was told of a version that the session has not"));
            }
            self.open.insert(number);
        }
    }

    /// A read was answered.
    pub(crate) fn read(&mut self, seen: &Seen) {
        self.judge(seen, When::Read);
    }

    /// The final reading: what every living node shows when the faults are over. One that lags behind another is stale;
    /// what the newest does not show is lost.
    pub(crate) fn finally(&mut self, shown: &[Seen]) {
        let Some(newest) = shown.iter().max_by_key(|seen| seen.version()) else { return };
        for seen in shown.iter().filter(|seen| seen.version() < newest.version()) {
            self.wrong.stale += 1;
            self.note(format!("at the end one node shows version {}, another {}", newest.version(), seen.version()));
        }
        self.judge(newest, When::Finally);
    }

    fn judge(&mut self, seen: &Seen, when: When) {
        let version = i128::from(seen.version());
        let least = self.least_version();
        if version < least {
            let missing = u64::try_from(least - version).unwrap_or(u64::MAX);
            if when == When::Read {
                self.wrong.stale += 1;
                self.note(format!("a read showed version {version} after {least} was acknowledged"));
                return;
            }
            self.wrong.lost += missing;
            self.note(format!("version {version} where {least} was acknowledged: {missing} write(s) gone"));
            self.offset -= least - version;
            // Which ones went the window may show; they are counted already.
            self.gone.extend(self.shown_numbers().collect::<Vec<_>>());
            return;
        }
        if let Some(document) = seen.document() {
            self.settle_open(document);
        }
        // An open write that happened unseen is counted by the version alone. A document shows each, until taken away.
        let has_document = seen.document().is_some();
        let unseen = self.open.iter().filter(|number| !has_document || *number + KEPT <= self.written).count();
        let most = self.least_version() + i128::try_from(unseen).unwrap_or(i128::MAX);
        if version > most {
            let surplus = u64::try_from(version - most).unwrap_or(u64::MAX);
            self.wrong.duplicated += surplus;
            self.note(format!("version {version} where at most {most} writes were made"));
            self.offset += version - most;
            // What the document shows of it is counted by that.
            if let Some(document) = seen.document() {
                let again = self.applied_again(document);
                self.late.extend(again);
                if document.n < self.last_acked {
                    self.late.insert(document.n);
                }
            }
            return;
        }
        if let Some(document) = seen.document() {
            self.judge_document(document);
        }
    }

    /// Open writes that the document shows have happened.
    fn settle_open(&mut self, document: &Document) {
        let seen: Vec<u64> =
            self.open.iter().copied().filter(|number| document.w.get(number) == Some(&self.value(*number))).collect();
        for number in seen {
            self.open.remove(&number);
            self.late.insert(number);
            self.happened += 1;
        }
    }

    /// Acknowledged writes that a document of now must show: the last ones, unless a write that has no answer may have
    /// taken them away.
    fn shown_numbers(&self) -> impl Iterator<Item = u64> + '_ {
        let oldest = (self.written + 1).saturating_sub(KEPT).max(1);
        (oldest..=self.last_acked)
            .filter(|number| !self.open.contains(number) && !self.late.contains(number) && !self.gone.contains(number))
    }

    /// What was taken away by an acknowledged write and is there again: it was applied again, after that write.
    fn applied_again(&self, document: &Document) -> Vec<u64> {
        let taken = |number: u64| {
            let by = number + KEPT;
            by <= self.last_acked && !self.open.contains(&by) && !self.late.contains(&by)
        };
        document.w.keys().copied().filter(|number| taken(*number) && !self.late.contains(number)).collect()
    }

    fn judge_document(&mut self, document: &Document) {
        let missing: Vec<u64> =
            self.shown_numbers().filter(|number| document.w.get(number) != Some(&self.value(*number))).collect();
        if !missing.is_empty() {
            self.wrong.lost += missing.len() as u64;
            self.note(format!("acknowledged, and not in the document: writes {missing:?}"));
            self.gone.extend(&missing);
        }
        let again = self.applied_again(document);
        let unwritten = document.w.keys().any(|number| *number == 0 || *number > self.written);
        if !again.is_empty() {
            self.wrong.duplicated += again.len() as u64;
            self.note(format!("applied again after they were taken away: writes {again:?}"));
            self.late.extend(again);
        } else if unwritten {
            self.wrong.false_answers += 1;
            self.note("the document shows a write that nobody made".to_owned());
        } else if missing.is_empty() && document.n != self.last_acked && !self.late.contains(&document.n) {
            self.wrong.duplicated += 1;
            self.note(format!("write {} is on top, though {} was acknowledged after it", document.n, self.last_acked));
            // Not counted again for as long as it stays.
            self.late.insert(document.n);
        }
    }

    fn note(&mut self, what: String) {
        self.first_wrong.get_or_insert(what);
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
