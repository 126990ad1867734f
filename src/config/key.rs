//! Every key of the cluster file: its section, its default, what it allows, what it means.
//!
//! The one list from which the reader takes its rules, an error its "what would be right", and the test of
//! `docs/configuration.md` its rows. A key that is not here does not exist.

use crate::id::NodeName;

use super::{node::Address, quantity, secret::SECRET_MAX};

/// A part of the cluster file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Section {
    /// Outside every table.
    File,
    /// `[cluster]`.
    Cluster,
    /// `[cluster.limits]`.
    Limits,
    /// `[cluster.tls]`.
    Tls,
    /// `[[node]]`.
    Node,
}

impl Section {
    /// The header as written in the file.
    #[must_use]
    pub fn header(self) -> &'static str {
        match self {
            Self::File => "the file",
            Self::Cluster => "[cluster]",
            Self::Limits => "[cluster.limits]",
            Self::Tls => "[cluster.tls]",
            Self::Node => "[[node]]",
        }
    }
}

/// What values a key allows.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rule {
    /// A whole number.
    Count { min: u64, max: u64 },
    /// An odd whole number from 1.
    Odd { max: u64 },
    /// Bytes: a whole number, or text as `"1MiB"`.
    Size { min: u64, max: u64 },
    /// Milliseconds, written as text with a unit.
    Time { min: u64, max: u64 },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// `true` or `false`.
    Flag,
    /// Text that `fits`, described by `form`.
    Text { form: &'static str, fits: fn(&str) -> bool },
    /// A table of its own.
    Table,
}

impl Rule {
    /// Whether a number is in range; always so for what is no number.
    pub(super) fn allows(self, number: u64) -> bool {
        match self {
            Self::Count { min, max } | Self::Size { min, max } | Self::Time { min, max } => {
                (min..=max).contains(&number)
            }
            Self::Odd { max } => number % 2 == 1 && number <= max,
            Self::Choice(_) | Self::Flag | Self::Text { .. } | Self::Table => true,
        }
    }

    /// A number of this rule as one would write it in the file, quotes aside.
    pub(super) fn spell(self, number: u64) -> String {
        match self {
            Self::Size { .. } => quantity::spell_bytes(number),
            Self::Time { .. } => quantity::spell_millis(number),
            _ => number.to_string(),
        }
    }

    /// The range in a few words, for the table of keys.
    pub(super) fn range(self) -> String {
        match self {
            Self::Count { min, max } | Self::Size { min, max } | Self::Time { min, max } => {
                format!("{} to {}", self.spell(min), self.spell(max))
            }
            Self::Odd { max } => format!("odd, 1 to {max}"),
            Self::Choice(words) => words.join(", "),
            Self::Flag => "true, false".to_owned(),
            Self::Text { form, .. } => form.to_owned(),
            Self::Table => "a table".to_owned(),
        }
    }

    /// What would be right, for an error.
    pub(super) fn wanted(self) -> String {
        match self {
            Self::Count { .. } => format!("a whole number, {}", self.range()),
            Self::Odd { max } => format!("an odd number, 1 to {max}, so that there is a majority"),
            Self::Size { .. } => format!("a number of bytes or text such as \"1MiB\", {}", self.range()),
            Self::Time { .. } => {
                format!("a duration in quotes such as \"100ms\", \"30s\" or \"10m\", {}", self.range())
            }
            Self::Choice(words) => {
                let quoted: Vec<_> = words.iter().map(|word| format!("\"{word}\"")).collect();
                format!("one of {}", quoted.join(", "))
            }
            Self::Flag => "true or false, without quotes".to_owned(),
            Self::Text { form, .. } => format!("{form}, in quotes"),
            Self::Table => "a table".to_owned(),
        }
    }
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    pub(super) section: Section,
    pub(super) name: &'static str,
    /// As written in the file; empty where there is none.
    pub(super) default: &'static str,
    /// Whether the file must have it.
    pub(super) required: bool,
    pub(super) rule: Rule,
    pub(super) meaning: &'static str,
}

impl Key {
    /// The key of this name in this section.
    pub(super) fn find(section: Section, name: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.section == section && key.name == name)
    }

    /// The key that was probably meant by a name that is none.
    pub(super) fn nearest(section: Section, name: &str) -> Option<&'static str> {
        nearest(name, KEYS.iter().filter(|key| key.section == section).map(|key| key.name))
    }
}

/// The word that `name` was probably meant to be: at most a third of its letters differ.
pub(crate) fn nearest<'w>(name: &str, words: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    // Longer than every key with its third: nothing can be near, and the work stays bounded.
    if name.len() > 48 {
        return None;
    }
    let lowered = name.to_ascii_lowercase().replace('-', "_");
    words
        .map(|word| (distance(&lowered, &word.to_ascii_lowercase().replace('-', "_")), word))
        .filter(|(far, word)| *far <= word.len().max(name.len()).div_ceil(3))
        .min_by_key(|(far, _)| *far)
        .map(|(_, word)| word)
}

/// How many letters must be added, dropped, changed or swapped with their neighbour (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<_>, Vec<_>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let changed = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let swapped = if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    rows[i - 2][j - 2] + 1
                } else {
                    changed
                };
                changed.min(swapped).min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1)
            };
        }
    }
    rows[a.len()][b.len()]
}

/// The longest cluster name and zone, in bytes.
pub(super) const LABEL_MAX: usize = 64;
/// The longest path or URL, in bytes.
const PATH_MAX: usize = 4_096;
const MIB: u64 = 1 << 20;

fn is_label(text: &str) -> bool {
    !text.trim().is_empty() && text.len() <= LABEL_MAX && !text.contains(char::is_control)
}

fn is_path(text: &str) -> bool {
    !text.is_empty() && text.len() <= PATH_MAX && !text.contains('\0')
}

fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let host = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    host.is_some_and(|host| !host.is_empty()) && text.len() <= PATH_MAX && text.bytes().all(|b| b.is_ascii_graphic())
}

const LABEL: Rule = Rule::Text { form: "1 to 64 bytes of text", fits: is_label };
const PATH: Rule = Rule::Text { form: "a path", fits: is_path };
const ADDRESS: Rule =
    Rule::Text { form: "host:port, the port from 1 to 65535", fits: |text| Address::new(text).is_some() };

const fn key(section: Section, name: &'static str, default: &'static str, rule: Rule, meaning: &'static str) -> Key {
    Key { section, name, default, required: false, rule, meaning }
}

const fn required(section: Section, name: &'static str, rule: Rule, meaning: &'static str) -> Key {
    Key { section, name, default: "", required: true, rule, meaning }
}

/// Every key, in the order of the documentation.
pub(super) const KEYS: &[Key] = &{
    use Rule::{Choice, Count, Flag, Odd, Size, Table, Text, Time};
    use Section::{Cluster, File, Limits, Node, Tls};
    [
        required(File, "cluster", Table, "What holds for the whole cluster; the same on every node."),
        required(File, "node", Table, "One `[[node]]` for each node, in ring order; at most 256."),
        required(Cluster, "name", LABEL, "The cluster's name; nodes of another name are refused."),
        key(
            Cluster,
            "secret",
            "",
            Text {
                form: "1 to 4096 bytes of text, not blank",
                fits: |s| !s.trim().is_empty() && s.len() <= SECRET_MAX,
            },
            "What every node must know to be let in. Required, unless `secret_file` or `RINGHEIR_SECRET` gives it.",
        ),
        key(
            Cluster,
            "secret_file",
            "",
            PATH,
            "A file with the secret, relative to the cluster file; a line end after it is dropped.",
        ),
        key(
            Cluster,
            "redis_password",
            "",
            Text {
                form: "1 to 4096 bytes of text, not blank",
                fits: |s| !s.trim().is_empty() && s.len() <= SECRET_MAX,
            },
            "What Redis clients must say (`AUTH`), on every node's `redis` port. Without it they say nothing. Not the cluster's secret.",
        ),
        key(
            Cluster,
            "arcs",
            "1024",
            Count { min: 1, max: 16_384 },
            "Slices of the session-id space; fixed for the cluster's life. Some tens for each node that you will ever have.",
        ),
        key(
            Cluster,
            "backups",
            "1",
            Count { min: 0, max: 3 },
            "Copies of every session beside its primary; as many losses at once lose nothing. For the ring to go on, too, a quorum of the voters must live.",
        ),
        key(
            Cluster,
            "spread",
            "1",
            Count { min: 1, max: 64 },
            "How many successors share one node's arcs; 1 is the classic ring, more spreads the load of a lost node.",
        ),
        key(
            Cluster,
            "pin",
            "none",
            Choice(&["none", "on_overload", "on_drain", "never_move"]),
            "When a live node gives up, live, arcs whose home has come back: always; while it serves more than its share, or drains; when it drains; never. `ringheir handback` brings them home all the same.",
        ),
        key(
            Cluster,
            "agreement",
            "majority",
            Choice(&["majority", "majority_or_proof"]),
            "Who may decide a new view: a majority of the voters, or also half of them when every other is proved dead.",
        ),
        key(
            Cluster,
            "heartbeat",
            "100ms",
            Time { min: 10, max: 10_000 },
            "How often a node shows that it lives. At most a third of `suspect_after`, at most half of `lease`.",
        ),
        key(
            Cluster,
            "suspect_after",
            "600ms",
            Time { min: 50, max: 300_000 },
            "Silence after which a node is suspected. Shorter finds a hang sooner and takes more pauses for deaths.",
        ),
        key(
            Cluster,
            "lease",
            "200ms",
            Time { min: 20, max: 60_000 },
            "How long a primary may answer reads on its own. The same everywhere, at least two heartbeats, shorter than `suspect_after`.",
        ),
        key(
            Cluster,
            "reads",
            "leased",
            Choice(&["leased", "confirmed"]),
            "Reads under a lease. `confirmed`, each read confirmed by a backup, for guests that a hypervisor may freeze, is not yet: a node refuses to start with it.",
        ),
        key(
            Cluster,
            "when_solo",
            "serve",
            Choice(&["serve", "refuse"]),
            "A session without a backup in sync is served. `refuse` is not yet: a node refuses to start with it.",
        ),
        key(
            Cluster,
            "replicate_on_read",
            "false",
            Flag,
            "Each question is answered only once a commit made for it is held by every in-sync backup; it then costs as much as a command.",
        ),
        key(
            Cluster,
            "voters_max",
            "5",
            Odd { max: 7 },
            "How many nodes vote on views: witnesses first, then hosts in file order.",
        ),
        key(
            Cluster,
            "startup_timeout",
            "30s",
            Time { min: 1_000, max: 3_600_000 },
            "How long a starting node looks for the others; it never founds a smaller cluster for lack of patience.",
        ),
        key(
            Cluster,
            "on_startup_timeout",
            "exit",
            Choice(&["exit", "wait"]),
            "What a starting node does then: exit and say who is missing, or say so and go on waiting.",
        ),
        key(
            Cluster,
            "max_hops",
            "3",
            Count { min: 1, max: 16 },
            "How often a call is sent on at once by nodes whose view is old; then it waits for a newer view.",
        ),
        key(
            Cluster,
            "reply_keep",
            "10m",
            Time { min: 1_000, max: 7 * 86_400_000 },
            "How long the reply to an idempotency key, and the memory of a deleted session, is kept. Longer than `suspect_after`.",
        ),
        key(
            Cluster,
            "insecure",
            "false",
            Flag,
            "Allows addresses outside loopback without TLS. The secret still proves who is who, but anyone on the way can read.",
        ),
        key(Cluster, "limits", "", Table, "The bounds of one node, below."),
        key(Cluster, "tls", "", Table, "Not yet: TLS between nodes, below."),
        key(
            Limits,
            "value",
            "1MiB",
            Size { min: 1 << 10, max: 15 * MIB },
            "The largest state of one session, as it is stored; 64 KiB or more below `frame`.",
        ),
        key(
            Limits,
            "frame",
            "4MiB",
            Size { min: 68 << 10, max: 16 * MIB },
            "The largest message between nodes or from a caller.",
        ),
        key(
            Limits,
            "window_bytes",
            "8MiB",
            Size { min: 68 << 10, max: 1_024 * MIB },
            "Bytes sent to one backup and not yet acknowledged; beyond it its arcs are `Busy`. At least `frame`.",
        ),
        key(
            Limits,
            "queue",
            "4096",
            Count { min: 16, max: MIB },
            "Calls that wait for one session with an actor of its own while it computes; beyond it the answer is `Busy`.",
        ),
        key(
            Limits,
            "dedicated",
            "8",
            Count { min: 1, max: 512 },
            "Sessions with an actor of their own that compute at once on one node; the others wait for their turn.",
        ),
        key(
            Limits,
            "tasks",
            "4096",
            Count { min: 1, max: MIB },
            "Work that commands left behind and that is under way on one node; a command that would leave more is `Busy`.",
        ),
        key(
            Limits,
            "connections",
            "1024",
            Count { min: 16, max: 65_536 },
            "HTTP connections that a node accepts are this many, less three for each other node; at least 8.",
        ),
        key(
            Limits,
            "unauthenticated",
            "64",
            Count { min: 4, max: 4_096 },
            "Connections that have not yet proved that they know the secret. At most `connections`.",
        ),
        key(
            Limits,
            "handshake",
            "2s",
            Time { min: 100, max: 60_000 },
            "How long such a connection may take to prove it.",
        ),
        key(
            Limits,
            "replies_per_client",
            "64",
            Count { min: 1, max: 4_096 },
            "Stored replies for one client in one session; beyond it a new request is `Busy`.",
        ),
        key(
            Limits,
            "clients_per_session",
            "1024",
            Count { min: 1, max: 65_536 },
            "Clients whose replies one session remembers; an idempotency key is one. Beyond it a new one is `Busy`.",
        ),
        key(
            Limits,
            "calls",
            "65536",
            Count { min: 16, max: MIB },
            "Calls that one node has under way to others, and that wait for one of its workers; beyond it the answer is `Busy`.",
        ),
        key(
            Limits,
            "subscribers",
            "4096",
            Count { min: 1, max: MIB },
            "Listeners to a node's events over HTTP; at most a quarter of `connections`.",
        ),
        key(
            Limits,
            "catch_up_chunk",
            "256KiB",
            Size { min: 4 << 10, max: 16 * MIB },
            "How much of a catch-up goes into one message. At most `frame`.",
        ),
        key(
            Limits,
            "catch_up_chunks",
            "4",
            Count { min: 1, max: 256 },
            "Catch-up chunks on the way from one node to another.",
        ),
        key(
            Limits,
            "hand_backs",
            "32",
            Count { min: 1, max: 16_384 },
            "Arcs of one worker that are handed over to other nodes at a time; each answers nothing for some milliseconds.",
        ),
        key(
            Limits,
            "uncommitted",
            "65536",
            Count { min: 16, max: MIB },
            "Commits of one arc that not every backup has acknowledged; beyond it the arc is `Busy`.",
        ),
        key(
            Limits,
            "waiting",
            "65536",
            Count { min: 16, max: MIB },
            "Replies of one arc that wait for acknowledgements or leases; beyond it the arc is `Busy`.",
        ),
        key(
            Limits,
            "idle_after",
            "10m",
            Time { min: 1_000, max: 604_800_000 },
            "A session that nobody used for this long is kept as bytes alone; the next command decodes it again.",
        ),
        key(
            Limits,
            "live",
            "256MiB",
            Size { min: MIB, max: 1_048_576 * MIB },
            "Decoded sessions that one node keeps beside their bytes; beyond it those unused for longest are dropped.",
        ),
        key(
            Limits,
            "ack_after",
            "1s",
            Time { min: 100, max: 60_000 },
            "A live backup that acknowledges nothing for this long is dropped.",
        ),
        key(
            Limits,
            "shun",
            "5s",
            Time { min: 100, max: 600_000 },
            "A dropped backup is not caught up again before this. At least `ack_after`.",
        ),
        required(Tls, "cert", PATH, "Not yet: this node's certificate."),
        required(Tls, "key", PATH, "Not yet: its private key."),
        required(Tls, "ca", PATH, "Not yet: whose certificates are trusted."),
        required(
            Node,
            "name",
            Text { form: "1 to 31 letters, digits, `.`, `_`, `-`", fits: |text| NodeName::new(text).is_some() },
            "The node's name, used once.",
        ),
        required(Node, "cluster", ADDRESS, "Where it listens for the other nodes and they dial it."),
        key(
            Node,
            "bind",
            "",
            ADDRESS,
            "Where it listens for them instead, if they dial another address: in a container, behind a port mapping or a proxy.",
        ),
        key(
            Node,
            "http",
            "",
            ADDRESS,
            "Where it serves sessions and a look at the ring, [over HTTP](http.md): no TLS, no password. Without it, not at all.",
        ),
        key(
            Node,
            "redis",
            "",
            ADDRESS,
            "Where it serves [the Redis protocol](redis.md): no TLS, a password if `redis_password` says one (`check-config` advises it outside loopback). Without it, not at all.",
        ),
        key(
            Node,
            "zone",
            "",
            LABEL,
            "What fails together, such as a rack; copies go to different zones where there are several.",
        ),
        key(
            Node,
            "role",
            "host",
            Choice(&["host", "backup_only", "edge", "witness"]),
            "`host` holds primaries and backups, `backup_only` backups, `edge` nothing, `witness` nothing but votes.",
        ),
        key(
            Node,
            "weight",
            "1",
            Count { min: 1, max: 1_000 },
            "How much a host is to serve beside the others: with 2 it is home to twice as many arcs as with 1. It may come back with another.",
        ),
        key(
            Node,
            "public_url",
            "",
            Text { form: "an http:// or https:// URL", fits: is_url },
            "Kept, not yet used: where the router may redirect a browser to.",
        ),
    ]
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_that_was_meant_is_suggested_and_nothing_far_off() {
        assert_eq!(Key::nearest(Section::Cluster, "hartbeat"), Some("heartbeat"));
        assert_eq!(Key::nearest(Section::Cluster, "suspect-after"), Some("suspect_after"));
        assert_eq!(Key::nearest(Section::Cluster, "nmae"), Some("name"));
        assert_eq!(Key::nearest(Section::Node, "Redis"), Some("redis"));
        assert_eq!(Key::nearest(Section::Cluster, "colour"), None);
        assert_eq!(Key::nearest(Section::Cluster, &"x".repeat(10_000)), None);
    }

    #[test]
    fn no_key_is_listed_twice_and_every_default_is_allowed() {
        for (i, key) in KEYS.iter().enumerate() {
            assert!(KEYS[..i].iter().all(|other| (other.section, other.name) != (key.section, key.name)), "{key:?}");
            let number = match key.rule {
                Rule::Count { .. } | Rule::Odd { .. } => key.default.parse().ok(),
                Rule::Size { .. } => quantity::byte_count(key.default).or_else(|| key.default.parse().ok()),
                Rule::Time { .. } => quantity::millis(key.default),
                Rule::Choice(words) => words.contains(&key.default).then_some(0),
                Rule::Flag => matches!(key.default, "true" | "false").then_some(0),
                Rule::Text { .. } | Rule::Table => key.default.is_empty().then_some(0),
            };
            assert!(number.is_some_and(|n| key.rule.allows(n)), "{key:?}");
        }
    }
}
