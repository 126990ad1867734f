//! The ledger of one session: what its only client was told, and whether what it sees later can be true.
//!
//! Each write is one merge patch that adds a value of its own under its number and takes away the number `KEPT` before it;
//! so the document, merged on the server, keeps the last writes one by one. Versions rise with every write that is applied,
//! by no fixed step. Who holds the ledger is the only one who writes the session, one write at a time, so the documents can
//! be foretold, and a version may only change when it writes.
//!
//! - lost: an acknowledged write that a later acknowledgement or the final reading does not show, or a version that went back.
//! - duplicated: the version rose though nobody wrote; a write that was taken away is there again; a retry was refused by the
//!   very version that its first execution made.
//! - stale: a read that lags behind an acknowledgement given before it was asked.
//!
//! What it cannot see: a write without an expected version that is applied twice in a row before its acknowledgement; a merge
//! patch leaves no trace of that. Three of four writes expect a version for that reason.
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

/// What a document says of writes applied more than once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Some were, and are counted.
    Again,
    /// Nothing.
    Nothing,
}

/// When something was seen; it says what to call a session that lags.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    /// As the answer to a write, which has raised the version.
    Acknowledged,
    /// A read after a write was refused for its version: the history itself has it so.
    Contradicted,
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
    /// The version after the last write that is known to have happened; 0 before the first.
    version: u64,
    /// Writes without an answer that have not been seen (yet).
    open: BTreeSet<u64>,
    /// A write got no answer, and nothing was read since.
    unread: bool,
    /// Writes whose traces in the document say nothing any more: without an answer and seen since, or applied again.
    late: BTreeSet<u64>,
    /// Acknowledged writes known to be gone.
    gone: BTreeSet<u64>,
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
            version: 0,
            open: BTreeSet::new(),
            unread: false,
            late: BTreeSet::new(),
            gone: BTreeSet::new(),
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

    /// Whether a write had no answer: a read should tell what became of it before the next write.
    pub(crate) const fn wants_reading(&self) -> bool {
        self.unread
    }

    /// The next write to make. Three of four expect a version, where it is certain, so that both ways are tried.
    pub(crate) fn next_write(&mut self) -> Write {
        self.written += 1;
        let number = self.written;
        let forgotten = if number > KEPT { format!(r#", "{}": null"#, number - KEPT) } else { String::new() };
        let body = format!(r#"{{"n": {number}, "w": {{"{number}": "{}"{forgotten}}}}}"#, self.value(number));
        let certain = self.open.is_empty() && self.exists() && !number.is_multiple_of(4);
        Write { number, body, expected: certain.then_some(self.version) }
    }

    fn value(&self, number: u64) -> String {
        format!("{}.{number}", self.tag)
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
        self.unread = true;
    }

    /// Write `number` was refused for good: it did not happen and will not.
    pub(crate) fn refused(&mut self, number: u64, why: &str) {
        self.wrong.false_answers += 1;
        self.note(format!("write {number} was refused: {why}"));
        // Should it have happened after all, it is not to be taken for a duplicate.
        self.unanswered(number);
    }

    /// Write `number` expected a version and was told that the session has another, though nobody else writes it. What a
    /// read showed then tells which: if the write is there, a retry of it was executed a second time and only its condition
    /// stopped it.
    pub(crate) fn contradicted(&mut self, number: u64, seen: &Seen) {
        if seen.document().is_some_and(|document| document.w.contains_key(&number)) {
            self.wrong.duplicated += 1;
            self.note(format!("a retry of write {number} was executed again, and stopped by its own version"));
            self.acknowledged(number, seen);
        } else {
            let before = self.wrong;
            self.judge(seen, When::Contradicted);
            if self.wrong == before {
                self.wrong.false_answers += 1;
                self.note(format!("write {number} was told of a version that the session has not"));
            }
            self.unanswered(number);
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
        let (version, known) = (seen.version(), self.version);
        if when == When::Read {
            self.unread = false;
            if version < known {
                self.wrong.stale += 1;
                self.note(format!("a read showed version {version} after {known} was acknowledged"));
                return;
            }
        }
        let gone_before = self.gone.len();
        let settled = seen.document().is_some_and(|document| self.settle_open(document));
        let by_document = seen.document().map(|document| self.judge_document(document, when));
        self.version = version;
        if version == 0 {
            let lost = self.happened - self.gone.len().try_into().unwrap_or(self.happened).min(self.happened);
            self.wrong.lost += lost;
            if lost > 0 {
                self.note(format!("there is no session, after {lost} acknowledged write(s)"));
            }
            self.gone.extend(1..=self.written);
            return;
        }
        let went_back = if when == When::Acknowledged { version <= known } else { version < known };
        if went_back {
            // The document says which; if it shows all that it can show, it was an earlier one.
            if self.gone.len() == gone_before {
                self.wrong.lost += 1;
            }
            self.note(format!("the version went back from {known} to {version}"));
        } else if version > known && when != When::Acknowledged && !settled {
            // An open write that was taken away again by a later one happened unseen.
            let unseen = self.open.iter().any(|number| number + KEPT <= self.written);
            if !unseen && by_document != Some(Verdict::Again) {
                self.wrong.duplicated += 1;
                self.note(format!("the version rose from {known} to {version} though nobody wrote"));
            }
        }
    }

    /// Open writes that the document shows have happened; gives back whether there were any.
    fn settle_open(&mut self, document: &Document) -> bool {
        let seen: Vec<u64> =
            self.open.iter().copied().filter(|number| document.w.get(number) == Some(&self.value(*number))).collect();
        for number in &seen {
            self.open.remove(number);
            self.late.insert(*number);
            self.happened += 1;
        }
        !seen.is_empty()
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

    fn judge_document(&mut self, document: &Document, when: When) -> Verdict {
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
            self.late.insert(document.n);
            return Verdict::Again;
        }
        if unwritten {
            self.wrong.false_answers += 1;
            self.note("the document shows a write that nobody made".to_owned());
        } else if missing.is_empty() && document.n != self.last_acked && !self.late.contains(&document.n) {
            // Above an answer to a write lies nothing; under a read may lie what was applied again.
            self.note(format!("write {} is on top, though {} was acknowledged after it", document.n, self.last_acked));
            self.late.insert(document.n);
            if when == When::Acknowledged {
                self.wrong.false_answers += 1;
            } else {
                self.wrong.duplicated += 1;
                return Verdict::Again;
            }
        }
        Verdict::Nothing
    }

    fn note(&mut self, what: String) {
        self.first_wrong.get_or_insert(what);
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
