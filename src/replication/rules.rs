//! The rules of replication by name, so that a campaign can switch one off and show that the checkers notice.
//!
//! In a node every rule is in force and there is no way to change that: `without` exists only for tests and the simulator.

/// One rule of design section 4; each was seen to lose data or to read stale when left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum Rule {
    /// While a wish is out, an acknowledgement needs the union of the installed and the wished in-sync set.
    Union = 1,
    /// A commit is known by (since, number), not by its number.
    CommitIdentity = 1 << 1,
    /// A reply waits until every commit that its value depends on is committed.
    CommittedReads = 1 << 2,
    /// A read needs a running lease.
    ReadLease = 1 << 3,
    /// The lease is needed from every member of the union, newcomers too.
    LeaseFromAll = 1 << 4,
    /// A promoted node answers only when its own grants to the old primary have run out.
    PromotedWaits = 1 << 5,
    /// A backup refuses the messages of an older `since`.
    Fencing = 1 << 6,
    /// The reply table is part of the commit.
    RepliesReplicated = 1 << 7,
    /// An acknowledgement waits for the backups at all.
    BackupFirst = 1 << 8,
    /// Catch-up is complete only when everything folded is committed and the cursor is at the end.
    CatchUpWhole = 1 << 9,
    /// A node is part of the union from before the wish to add it, and has acknowledged everything committed by then.
    Enlist = 1 << 10,
    /// An arc is handed over only when everything of it is committed, and what comes after that can be taken back.
    Quiesce = 1 << 11,
    /// A session whose time is over is ended by a commit of its primary, never by a copy.
    PrimaryExpires = 1 << 12,
    /// A backup is counted on until a view has dropped it, however silent it is.
    DropByView = 1 << 13,
    /// A backup takes all that a commit changes, in however many sessions.
    CommitWhole = 1 << 14,
    /// What a commit changes in one session goes to the node that catches up as the cursor has passed that session, whatever else is
    /// in the commit.
    CatchUpParts = 1 << 15,
    /// What is said of a session's time goes with it to every copy.
    EndsCopied = 1 << 16,
    /// A later word on a session's time replaces the earlier one on every copy, also one that it lives for ever.
    EndsReplaced = 1 << 17,
    /// A backup tells that a commit is done only where nobody else has to have it.
    ToldAlone = 1 << 18,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Self; 19] = [
        Self::Union,
        Self::CommitIdentity,
        Self::CommittedReads,
        Self::ReadLease,
        Self::LeaseFromAll,
        Self::PromotedWaits,
        Self::Fencing,
        Self::RepliesReplicated,
        Self::BackupFirst,
        Self::CatchUpWhole,
        Self::Enlist,
        Self::Quiesce,
        Self::PrimaryExpires,
        Self::DropByView,
        Self::CommitWhole,
        Self::CatchUpParts,
        Self::EndsCopied,
        Self::EndsReplaced,
        Self::ToldAlone,
    ];
}

/// Which rules are in force; by default all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rules {
    off: u32,
}

impl Rules {
    /// Whether a rule is in force.
    #[must_use]
    pub const fn hold(self, rule: Rule) -> bool {
        self.off & rule as u32 == 0
    }

    /// All rules but one.
    #[cfg(any(test, feature = "sim"))]
    #[must_use]
    pub const fn without(self, rule: Rule) -> Self {
        Self { off: self.off | rule as u32 }
    }
}
