//! `Trace`: what happened in one run, in order of time. A timeline draws it, and two runs are compared by it.
//!
//! It is the same for both engines: the simulator notes it down as it goes, the process engine from what its nodes tell. It says
//! everything in names and words, judges nothing, and is bounded: beyond `ENTRIES_MAX` only the number of what is missing grows.

use serde::{Deserialize, Serialize};

/// So much is noted down of one run.
pub const ENTRIES_MAX: usize = 400_000;

/// One run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// What was run: a scenario's name, or a mix of faults.
    pub title: String,
    /// What cannot talk to what, and what must follow, if it is a scenario that says so.
    pub about: String,
    /// `simulator` or `processes`.
    pub engine: String,
    /// The line that repeats it.
    pub repeat: String,
    /// Names of the nodes, in ring order.
    pub nodes: Vec<String>,
    /// How many arcs there are.
    pub arcs: u16,
    /// How long it lasted, in microseconds.
    pub lasted_us: u64,
    /// What happened, in order.
    pub entries: Vec<Entry>,
    /// How much happened beyond what is noted down.
    pub missing: u64,
    /// What was violated; empty when all is well.
    pub violations: Vec<Violated>,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When, in microseconds from the beginning.
    pub at_us: u64,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum What {
    /// A process began.
    Started {
        /// Its name.
        node: String,
        /// Which start of that name.
        process: String,
    },
    /// It ended.
    Ended {
        /// Its name.
        node: String,
        /// By what: killed, left, gave up.
        how: String,
    },
    /// It stopped, its clock went on.
    Paused {
        /// Its name.
        node: String,
    },
    /// It went on.
    Resumed {
        /// Its name.
        node: String,
    },
    /// From now on nothing that one says reaches the other.
    Cut {
        /// Who speaks.
        from: String,
        /// Who does not hear.
        to: String,
    },
    /// It reaches it again.
    Mended {
        /// Who speaks.
        from: String,
        /// Who hears.
        to: String,
    },
    /// A step of the script, in its words.
    Step {
        /// As `kill a`.
        words: String,
        /// Whom it concerns.
        nodes: Vec<String>,
    },
    /// A view, when the first node installs it.
    View {
        /// Its number.
        number: u64,
        /// Who is in it, in ring order.
        members: Vec<String>,
        /// Who votes on the next.
        voters: Vec<String>,
        /// By number of the arc.
        arcs: Vec<ArcRoles>,
    },
    /// A node installed a view.
    Installed {
        /// Which node.
        node: String,
        /// The view's number.
        number: u64,
    },
    /// A caller asked something.
    Asked {
        /// Its number in the run.
        operation: u64,
        /// Which caller.
        client: u32,
        /// Which session.
        session: String,
        /// The session's arc.
        arc: u16,
        /// What it asked: `write 7`, `read`.
        words: String,
    },
    /// A caller was answered, or gave up.
    Answered {
        /// Which of its operations.
        operation: u64,
        /// What it was told: `done: version 3`, `unknown`.
        words: String,
        /// Whether it is known to be done.
        done: bool,
    },
    /// A message between nodes.
    Sent {
        /// Who says it.
        from: String,
        /// To whom.
        to: String,
        /// What kind of message it is.
        words: String,
        /// When it arrives, if it does.
        arrives_us: Option<u64>,
    },
    /// An interesting branch was reached.
    Mark {
        /// Which.
        words: String,
    },
    /// An expectation of the script was looked at.
    Expected {
        /// In its words.
        words: String,
        /// Whether it held.
        holds: bool,
    },
}

/// Who holds what of one arc.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArcRoles {
    /// Who serves it.
    pub primary: String,
    /// Whether that process is a member; if not, it holds the last copy and is out of reach.
    pub served: bool,
    /// Who holds every acknowledged commit besides.
    pub in_sync: Vec<String>,
    /// Who is receiving everything.
    pub catching_up: Option<String>,
    /// Whether every copy was lost, and nobody cleared that.
    pub lost: bool,
}

/// A check that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violated {
    /// Which check: `linearizability`, `liveness`, `expect`.
    pub check: String,
    /// What it says.
    pub words: String,
    /// When, in microseconds, if it is about a moment.
    pub at_us: Option<u64>,
    /// Which operation, if it is about one.
    pub operation: Option<u64>,
}

impl Trace {
    /// Notes down what happened; times never go back.
    pub fn note(&mut self, at_us: u64, what: What) {
        if self.entries.len() < ENTRIES_MAX {
            self.entries.push(Entry { at_us, what });
        } else {
            self.missing += 1;
        }
    }
}
