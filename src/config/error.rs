//! What is wrong with a configuration, where, and what would be right.
//!
//! A refused configuration has changed nothing and started nothing: mend it and start again. All that one pass finds is
//! reported at once. Nothing here shows the secret.

use std::{fmt, io, time::Duration};

use crate::id::NodeName;

use super::{
    key::Key,
    place::{Excerpt, Position, Spot},
    quantity::spell_time,
};

/// The most faults that are reported at once; `ConfigError::more` counts the rest.
pub const FAULTS_MAX: usize = 64;

/// How many names of nodes an error lists.
const NAMES_SHOWN: usize = 16;

/// Why a configuration is refused: one or more faults, in file order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    pub(super) faults: Vec<ConfigFault>,
    pub(super) more: usize,
}

impl ConfigError {
    /// The faults, at least one, in file order.
    #[must_use]
    pub fn faults(&self) -> &[ConfigFault] {
        &self.faults
    }

    /// How many faults there are beyond those listed.
    #[must_use]
    pub fn more(&self) -> usize {
        self.more
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.faults.iter().enumerate() {
            if i > 0 {
                f.write_str("\n\n")?;
            }
            write!(f, "{fault}")?;
        }
        match self.more {
            0 => Ok(()),
            more => write!(f, "\n\nand {more} more"),
        }
    }
}

impl std::error::Error for ConfigError {}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFault {
    pub(super) file: Option<String>,
    pub(super) position: Option<Position>,
    pub(super) spot: Spot,
    pub(super) wrong: Wrong,
    pub(super) excerpt: Option<Excerpt>,
}

impl ConfigFault {
    /// The file as named by the caller; `None` for a configuration that was built.
    #[must_use]
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    /// Line and column; `None` for what stands in no line: a built configuration, an unreadable file, the environment.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        self.position
    }

    /// The key concerned.
    #[must_use]
    pub fn spot(&self) -> Spot {
        self.spot
    }

    /// What is wrong.
    #[must_use]
    pub fn wrong(&self) -> &Wrong {
        &self.wrong
    }

    /// What is wrong, in one sentence.
    #[must_use]
    pub fn message(&self) -> String {
        self.wrong.message(self.spot)
    }

    /// What would be right, in one sentence.
    #[must_use]
    pub fn right(&self) -> String {
        self.wrong.right(self.spot)
    }
}

impl fmt::Display for ConfigFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.position) {
            (Some(file), Some(position)) => write!(f, "{file}:{position}: ")?,
            (Some(file), None) => write!(f, "{file}: ")?,
            (None, _) if self.spot == Spot::FILE => {}
            (None, _) => write!(f, "{}: ", self.spot)?,
        }
        writeln!(f, "{}", self.message())?;
        if let Some(excerpt) = &self.excerpt {
            writeln!(f, "{excerpt}")?;
        }
        write!(f, "  right: {}", self.right())
    }
}

/// What can be wrong. The message and what would be right are in `ConfigFault`, which knows the key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wrong {
    /// The cluster file cannot be read.
    Unreadable(io::ErrorKind),
    /// The cluster file is longer than 1 MiB.
    TooLong,
    /// Not TOML: what the parser says.
    NotToml(String),
    /// A key that does not exist, and the one that was probably meant.
    UnknownKey {
        /// As written.
        key: String,
        /// What was probably meant.
        nearest: Option<&'static str>,
    },
    /// A key that must be there is not.
    Missing,
    /// A number where text belongs, and the like.
    WrongType {
        /// What is there.
        found: &'static str,
    },
    /// Of the right type, but not allowed: out of range, of the wrong form, none of the words.
    NotAllowed {
        /// As written, shortened.
        value: String,
    },
    /// A name or an address that an earlier key has.
    Duplicate {
        /// As written.
        value: String,
        /// Who has it.
        first: Spot,
        /// In which line.
        first_line: Option<usize>,
    },
    /// Neither `secret`, nor `secret_file`, nor `RINGHEIR_SECRET`.
    SecretMissing,
    /// Both `secret` and `secret_file`.
    SecretTwice,
    /// Nothing but white space, or more than 4,096 bytes, or no text: in the file that `secret_file` names.
    SecretFileUnfit {
        /// The path that was tried.
        path: String,
    },
    /// `secret_file` cannot be read.
    SecretFileUnreadable {
        /// The path that was tried.
        path: String,
        /// Why not.
        kind: io::ErrorKind,
    },
    /// An environment variable is set to something that cannot be used.
    EnvironmentUnfit(&'static str),
    /// Asked for something that does not exist yet.
    NotYet {
        /// What to use instead.
        instead: &'static str,
    },
    /// An address outside loopback, without TLS.
    NeedsTls {
        /// As written.
        address: String,
    },
    /// `cluster = "0.0.0.0:..."`: nobody can dial it.
    NotDialable {
        /// As written.
        address: String,
    },
    /// `lease` is not shorter than `suspect_after`.
    LeaseTooLong {
        /// The lease.
        lease: Duration,
        /// The silence after which a node is suspected.
        suspect_after: Duration,
    },
    /// `lease` is shorter than two heartbeats.
    LeaseTooShort {
        /// The lease.
        lease: Duration,
        /// The heartbeat.
        heartbeat: Duration,
    },
    /// `suspect_after` is shorter than three heartbeats.
    HeartbeatTooSlow {
        /// The heartbeat.
        heartbeat: Duration,
        /// The silence after which a node is suspected.
        suspect_after: Duration,
    },
    /// `reply_keep` does not outlast the time it takes to notice a hang.
    ReplyKeepTooShort {
        /// How long replies are kept.
        reply_keep: Duration,
        /// The silence after which a node is suspected.
        suspect_after: Duration,
    },
    /// A bound that must be at least another is below it.
    LimitTooSmall {
        /// What it must be at least.
        at_least: u64,
        /// Where that comes from.
        because: &'static str,
    },
    /// No node of role `host`: nobody could be primary.
    NoHost,
    /// More nodes than a cluster may have.
    TooManyNodes {
        /// How many there are.
        nodes: usize,
    },
    /// Asked to be a node that the file does not have.
    NoSuchNode {
        /// The name asked for.
        name: String,
        /// The nodes that it has.
        listed: Vec<NodeName>,
    },
    /// Not told which node to be.
    NodeNotNamed,
}

/// In words that say what to look for.
fn said(kind: io::ErrorKind) -> String {
    match kind {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        kind => kind.to_string(),
    }
}

impl Wrong {
    fn message(&self, spot: Spot) -> String {
        let key = spot.key;
        match self {
            Self::Unreadable(kind) => format!("cannot be read: {}", said(*kind)),
            Self::TooLong => "longer than 1 MiB".to_owned(),
            Self::NotToml(why) => format!("not TOML: {why}"),
            Self::UnknownKey { key, .. } => format!("unknown key `{key}` in {}", spot.section.header()),
            Self::Missing => format!("`{key}` is missing in {}", spot.section.header()),
            Self::WrongType { found } => format!("`{key}` is {found}"),
            Self::NotAllowed { value } => format!("`{key}` cannot be {value}"),
            Self::Duplicate { value, first, first_line } => {
                let line = first_line.map_or(String::new(), |line| format!(" in line {line}"));
                format!("`{key}` is {value}, which is also {first}{line}")
            }
            Self::SecretMissing => "there is no secret".to_owned(),
            Self::SecretTwice => "both `secret` and `secret_file` are given".to_owned(),
            Self::SecretFileUnfit { path } => format!("there is no usable secret in {path}"),
            Self::SecretFileUnreadable { path, kind } => {
                format!("the secret in {path} cannot be read: {}", said(*kind))
            }
            Self::EnvironmentUnfit(variable) => format!("{variable} is set, but not to something usable"),
            Self::NotYet { .. } => format!("not yet: this version has no such `{key}`"),
            Self::NeedsTls { address } => format!("{address} is not loopback, and there is no TLS"),
            Self::NotDialable { address } => format!("{address} is every interface: the other nodes cannot dial it"),
            Self::LeaseTooLong { lease, suspect_after } => format!(
                "`lease` ({}) is not shorter than `suspect_after` ({})",
                spell_time(*lease),
                spell_time(*suspect_after)
            ),
            Self::LeaseTooShort { lease, heartbeat } => format!(
                "`lease` ({}) is shorter than two heartbeats ({} each): an idle primary would lose it",
                spell_time(*lease),
                spell_time(*heartbeat)
            ),
            Self::HeartbeatTooSlow { heartbeat, suspect_after } => format!(
                "three times `heartbeat` ({}) is longer than `suspect_after` ({}): one late beat would be taken for a death",
                spell_time(*heartbeat),
                spell_time(*suspect_after)
            ),
            Self::ReplyKeepTooShort { reply_keep, suspect_after } => format!(
                "`reply_keep` ({}) is not longer than `suspect_after` ({}): a retry after a failover would not be known",
                spell_time(*reply_keep),
                spell_time(*suspect_after)
            ),
            Self::LimitTooSmall { because, .. } => format!("`{key}` is too small: {because}"),
            Self::NoHost => "no node has the role `host`: nobody could be primary".to_owned(),
            Self::TooManyNodes { nodes } => format!("{nodes} nodes are more than a cluster may have"),
            Self::NoSuchNode { name, .. } => format!("there is no node named {name}"),
            Self::NodeNotNamed => "it is not said which node this is".to_owned(),
        }
    }

    fn right(&self, spot: Spot) -> String {
        let key = Key::find(spot.section, spot.key);
        let wanted = key.map_or(String::new(), |key| match key.default {
            "" => key.rule.wanted(),
            default => format!("{}; without the key it is {default}", key.rule.wanted()),
        });
        match self {
            Self::Unreadable(_) => "the path of a cluster file that this user may read".to_owned(),
            Self::TooLong => "at most 1 MiB".to_owned(),
            Self::NotToml(_) => {
                "TOML, as in examples/cluster.toml: `[[node]]` before each node, text in quotes, one `key = value` a line".to_owned()
            }
            Self::UnknownKey { nearest: Some(nearest), .. } => format!("`{nearest}`, if that is what was meant"),
            Self::UnknownKey { nearest: None, .. } => "no such key; docs/configuration.md lists them all".to_owned(),
            Self::Missing => format!("{wanted}: {}", key.map_or("", |key| key.meaning)),
            Self::WrongType { .. } | Self::NotAllowed { .. } => wanted,
            Self::Duplicate { .. } => format!("a `{}` that no other has", spot.key),
            Self::SecretMissing => "`secret`, `secret_file` or RINGHEIR_SECRET".to_owned(),
            Self::SecretTwice => "one of the two".to_owned(),
            Self::SecretFileUnfit { .. } => "a file of 1 to 4096 bytes of text, not blank".to_owned(),
            Self::SecretFileUnreadable { .. } => {
                "a file that this user may read; a relative path starts at the cluster file's folder".to_owned()
            }
            Self::EnvironmentUnfit(variable) => format!("text that is not blank, or no {variable} at all"),
            Self::NotYet { instead } => (*instead).to_owned(),
            Self::NeedsTls { .. } => {
                "a loopback address, or `insecure = true` in [cluster] on a network that nobody else can reach"
                    .to_owned()
            }
            Self::NotDialable { .. } => "the address by which the other nodes reach it".to_owned(),
            Self::LeaseTooLong { suspect_after, .. } => {
                format!("a `lease` below {}, or a longer `suspect_after`", spell_time(*suspect_after))
            }
            Self::LeaseTooShort { heartbeat, .. } => {
                format!("a `lease` of {} or more, or a shorter `heartbeat`", spell_time(heartbeat.saturating_mul(2)))
            }
            Self::HeartbeatTooSlow { suspect_after, .. } => {
                format!("a `heartbeat` of {} or less, or a longer `suspect_after`", spell_time(third(*suspect_after)))
            }
            Self::ReplyKeepTooShort { suspect_after, .. } => {
                format!("more than {}; minutes are usual", spell_time(*suspect_after))
            }
            Self::LimitTooSmall { at_least, .. } => {
                let spelled = key.map_or(at_least.to_string(), |key| key.rule.spell(*at_least));
                format!("at least {spelled}")
            }
            Self::NoHost => "at least one node with `role = \"host\"`, which is the default".to_owned(),
            Self::TooManyNodes { .. } => format!("at most {}", super::NODES_MAX),
            Self::NoSuchNode { listed, .. } => {
                let shown: Vec<_> = listed.iter().take(NAMES_SHOWN).map(NodeName::as_str).collect();
                let more = if listed.len() > NAMES_SHOWN { ", ..." } else { "" };
                format!("the name of a [[node]] in the file: {}{more}", shown.join(", "))
            }
            Self::NodeNotNamed => "`--name NAME`, or RINGHEIR_NAME".to_owned(),
        }
    }
}

/// A third, rounded down to whole milliseconds so that it reads well.
fn third(time: Duration) -> Duration {
    Duration::from_millis(u64::try_from(time.as_millis() / 3).unwrap_or(u64::MAX))
}
