//! `ClusterFile`: a configuration that has been checked, from a file or from plain structs.
//!
//! Whoever holds one need not check again: names and addresses are unique, every number is in its range, and the durations
//! fit each other. It never changes after that.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read},
    ops::Range,
    path::{Path, PathBuf},
};

use xxhash_rust::xxh3::Xxh3;

use crate::{
    id::{Incarnation, NodeName},
    membership::{Agreement, KindVersion, Member, Pin, Role, Shape},
};

use super::{
    check::{self, Found},
    cluster::ClusterConfig,
    error::{ConfigError, ConfigFault, FAULTS_MAX, Wrong},
    node::NodeConfig,
    note::{Advice, Note},
    place::{self, Spot},
    reader::{self, Draft},
    secret::{Environment, SECRET_MAX, Secret},
};

/// The longest cluster file, in bytes.
pub const FILE_MAX: usize = 1 << 20;
/// The most nodes that a cluster may have.
pub const NODES_MAX: usize = 256;

/// A checked configuration: the cluster, and its nodes in ring order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterFile {
    cluster: ClusterConfig,
    nodes: Vec<NodeConfig>,
    notes: Vec<Note>,
}

impl ClusterFile {
    /// Checks a configuration that was built rather than read.
    ///
    /// # Errors
    /// All that is wrong with it, by key.
    pub fn new(cluster: ClusterConfig, nodes: Vec<NodeConfig>) -> Result<Self, ConfigError> {
        let mut faults: Vec<_> = check::faults(&cluster, &nodes)
            .into_iter()
            .map(|found| fault(None, found.spots.first().copied().unwrap_or(Spot::FILE), found.what))
            .collect();
        if nodes.is_empty() {
            faults.push(fault(None, Spot { key: "node", ..Spot::FILE }, Wrong::Missing));
        }
        refuse(faults)?;
        let notes = check::notes(&cluster, &nodes).into_iter();
        let notes = notes.map(|found| Note { position: None, advice: found.what }).collect();
        Ok(Self { cluster, nodes, notes })
    }

    /// Reads the file at `path`, with the environment of this process.
    ///
    /// # Errors
    /// That it cannot be read, or all that is wrong with it, by line and column.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        Self::read_in(path, &Environment::of_process())
    }

    /// As `read`, with this environment.
    ///
    /// # Errors
    /// That it cannot be read, or all that is wrong with it, by line and column.
    pub fn read_in(path: impl AsRef<Path>, environment: &Environment) -> Result<Self, ConfigError> {
        let file_name = path.as_ref().display().to_string();
        match read_at_most(path.as_ref(), FILE_MAX) {
            Ok(text) => Self::from_str_in(&text, &file_name, environment),
            Err(error) => Err(alone(fault(Some(&file_name), Spot::FILE, Wrong::Unreadable(error.kind())))),
        }
    }

    /// Takes the text of a cluster file, without any environment. A relative `secret_file` starts at the folder of
    /// `file_name`, which errors name.
    ///
    /// # Errors
    /// All that is wrong with it, by line and column.
    pub fn from_str(text: &str, file_name: &str) -> Result<Self, ConfigError> {
        Self::from_str_in(text, file_name, &Environment::default())
    }

    /// As `from_str`, with this environment.
    ///
    /// # Errors
    /// All that is wrong with it, by line and column.
    pub fn from_str_in(text: &str, file_name: &str, environment: &Environment) -> Result<Self, ConfigError> {
        if text.len() > FILE_MAX {
            return Err(alone(fault(Some(file_name), Spot::FILE, Wrong::TooLong)));
        }
        // A byte order mark is nobody's intention and would shift the columns of line 1.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let source = Source { text, file_name };
        let mut draft = reader::read(text);
        let unparsed = draft.faults.iter().any(|(_, _, wrong)| matches!(wrong, Wrong::NotToml(_)));
        if !unparsed {
            match source.secret(&draft, environment) {
                Ok(Some(secret)) => draft.cluster.secret = secret,
                Ok(None) => {}
                Err((spot, wrong)) => draft.faults.push((spot, draft.span(&[spot]), wrong)),
            }
            for found in check::faults(&draft.cluster, &draft.nodes) {
                if !found.spots.iter().any(|spot| draft.doubtful.contains(spot)) {
                    let blamed = found.spots.first().copied().unwrap_or(Spot::FILE);
                    draft.faults.push((blamed, draft.span(&found.spots), found.what));
                }
            }
        }
        // Finding lines costs a pass over the text each, so only those that are shown are looked for.
        let mut unlocated = std::mem::take(&mut draft.faults);
        unlocated.sort_by_key(|(_, span, _)| span.start);
        let more = unlocated.len().saturating_sub(FAULTS_MAX);
        let shown = unlocated.into_iter().take(FAULTS_MAX);
        let faults: Vec<_> = shown.map(|(spot, span, wrong)| source.fault(&draft, spot, &span, wrong)).collect();
        if !faults.is_empty() {
            return Err(ConfigError { faults, more });
        }
        let notes = check::notes(&draft.cluster, &draft.nodes).into_iter();
        let notes = notes.map(|found| source.note(&draft, found)).collect();
        Ok(Self { cluster: draft.cluster, nodes: draft.nodes, notes })
    }

    /// What holds for the whole cluster.
    #[must_use]
    pub fn cluster(&self) -> &ClusterConfig {
        &self.cluster
    }

    /// The nodes, in ring order; at least one.
    #[must_use]
    pub fn nodes(&self) -> &[NodeConfig] {
        &self.nodes
    }

    /// What is allowed, but worth saying.
    #[must_use]
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// The node of this name.
    #[must_use]
    pub fn node(&self, name: NodeName) -> Option<&NodeConfig> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// Which node this process is: the name given on the command line, else `RINGHEIR_NAME`.
    ///
    /// # Errors
    /// That neither is given, or that the file has no such node.
    pub fn this_node(&self, flag: Option<&str>, environment: &Environment) -> Result<&NodeConfig, ConfigError> {
        let refused = |wrong| alone(fault(None, Spot::FILE, wrong));
        let name = match (flag, &environment.name) {
            (Some(name), _) => name,
            (None, Some(name)) => match name.to_str().filter(|name| !name.is_empty()) {
                Some(name) => name,
                None => return Err(refused(Wrong::EnvironmentUnfit(Environment::NAME))),
            },
            (None, None) => return Err(refused(Wrong::NodeNotNamed)),
        };
        let known = NodeName::new(name).and_then(|name| self.node(name));
        known.ok_or_else(|| {
            let listed = self.nodes.iter().map(|node| node.name).collect();
            refused(Wrong::NoSuchNode { name: check::clipped(name), listed })
        })
    }

    /// Whether a node that this file does not list could have been listed so: for one that joins with an entry of its own.
    ///
    /// # Errors
    /// All that is wrong with the file and this node last in it, by key.
    pub fn check_unlisted(&self, entry: &NodeConfig) -> Result<(), ConfigError> {
        let nodes = self.nodes.iter().chain([entry]).cloned().collect();
        Self::new(self.cluster.clone(), nodes).map(drop)
    }

    /// The names of the configured voters: witnesses first, then hosts in file order, at most `voters_max`.
    #[must_use]
    pub fn voters(&self) -> Vec<NodeName> {
        voters(&self.cluster, &self.nodes)
    }

    /// What a founder writes into view 1.
    #[must_use]
    pub fn shape(&self) -> Shape {
        Shape {
            arcs: self.cluster.arcs,
            backups: self.cluster.backups,
            spread: self.cluster.spread,
            pin: self.cluster.pin,
            voters_max: self.cluster.voters_max,
            agreement: self.cluster.agreement,
            lease: self.cluster.lease,
            reply_keep: self.cluster.reply_keep,
            ring: self.nodes.iter().map(|node| node.name).collect(),
            weights: BTreeMap::new(),
        }
    }

    /// The node of this name as a view lists it, with what the process knows of itself; `None` if the file has no such node.
    #[must_use]
    pub fn member(
        &self,
        name: NodeName,
        incarnation: Incarnation,
        workers: u16,
        kinds: Vec<KindVersion>,
    ) -> Option<Member> {
        Some(self.node(name)?.member(incarnation, workers, kinds))
    }

    /// What founders must agree on, as one number: the cluster's name, `arcs`, `backups`, `spread`, `pin`, `agreement`,
    /// `voters_max`, the two durations that a guarantee rests on (`lease`, `reply_keep`), and every node's name, role, zone,
    /// weight and cluster address, in order. Not the secret, and no duration that only decides how soon something happens.
    ///
    /// Frozen: nodes of different versions compare it.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let mut hash = Xxh3::new();
        // Each part goes in with its length, so that no two lists of parts run together to the same bytes.
        let mut part = |bytes: &[u8]| {
            hash.update(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
            hash.update(bytes);
        };
        let c = &self.cluster;
        part(c.name.as_bytes());
        part(&c.arcs.to_le_bytes());
        part(&[c.backups, c.spread, c.voters_max]);
        part(match c.agreement {
            Agreement::Majority => b"majority",
            Agreement::MajorityOrProof => b"majority_or_proof",
        });
        for agreed in [c.lease, c.reply_keep] {
            part(&u64::try_from(agreed.as_nanos()).unwrap_or(u64::MAX).to_le_bytes());
        }
        for node in &self.nodes {
            part(node.name.as_str().as_bytes());
            part(match node.role {
                Role::Host => b"host",
                Role::BackupOnly => b"backup_only",
                Role::Edge => b"edge",
                Role::Witness => b"witness",
            });
            // A zone is never empty, so an empty part means none.
            part(node.zone.as_deref().unwrap_or_default().as_bytes());
            part(node.cluster.as_str().as_bytes());
        }
        // Keys that came later count only where they say something: a file without them keeps its digest. No node's name
        // has a space in it, so these parts are not another node's.
        if c.pin != Pin::None {
            part(b"the pin");
            part(c.pin.name().as_bytes());
        }
        for node in self.nodes.iter().filter(|node| node.weight != 1) {
            part(b"the weight of");
            part(node.name.as_str().as_bytes());
            part(&node.weight.to_le_bytes());
        }
        hash.digest()
    }
}

/// Witnesses first, then hosts in file order, at most `voters_max`.
pub(super) fn voters(cluster: &ClusterConfig, nodes: &[NodeConfig]) -> Vec<NodeName> {
    let of = |role| nodes.iter().filter(move |node| node.role == role).map(|node| node.name);
    of(Role::Witness).chain(of(Role::Host)).take(usize::from(cluster.voters_max)).collect()
}

/// A text and its name, to show faults in.
#[derive(Clone, Copy)]
struct Source<'t> {
    text: &'t str,
    file_name: &'t str,
}

impl Source<'_> {
    fn fault(self, draft: &Draft, spot: Spot, span: &Range<usize>, mut wrong: Wrong) -> ConfigFault {
        if let Wrong::EnvironmentUnfit(_) = wrong {
            return fault(None, spot, wrong);
        }
        if let Wrong::Duplicate { first, first_line, .. } = &mut wrong {
            *first_line = draft.places.get(first).map(|span| place::position(self.text, span.start).line);
        }
        ConfigFault {
            position: Some(place::position(self.text, span.start)),
            // What the file has nowhere is in no line.
            excerpt: if span.is_empty() && !spot.key.is_empty() { None } else { place::excerpt(self.text, span) },
            ..fault(Some(self.file_name), spot, wrong)
        }
    }

    fn note(self, draft: &Draft, found: Found<Advice>) -> Note {
        let written = found.spots.iter().find_map(|spot| draft.places.get(spot));
        Note { position: written.map(|span| place::position(self.text, span.start)), advice: found.what }
    }

    /// The environment's secret, else the file's; nothing where a fault about it has been noted.
    fn secret(self, draft: &Draft, environment: &Environment) -> Result<Option<Secret>, (Spot, Wrong)> {
        let at = |key: &'static str, wrong| Err((Spot::cluster(key), wrong));
        if draft.secret.is_some() && draft.secret_file.is_some() {
            return at("secret_file", Wrong::SecretTwice);
        }
        if let Some(given) = &environment.secret {
            let unfit = || (Spot::FILE, Wrong::EnvironmentUnfit(Environment::SECRET));
            return given.to_str().and_then(Secret::new).map(Some).ok_or_else(unfit);
        }
        if let Some(secret) = &draft.secret {
            return Ok(Secret::new(secret));
        }
        if let Some(file) = &draft.secret_file {
            let path =
                Path::new(self.file_name).parent().map_or_else(|| PathBuf::from(file), |folder| folder.join(file));
            let shown = path.display().to_string();
            return match read_at_most(&path, SECRET_MAX + 2) {
                Ok(text) => match Secret::new(text.trim_end_matches(['\r', '\n'])) {
                    Some(secret) => Ok(Some(secret)),
                    None => at("secret_file", Wrong::SecretFileUnfit { path: shown }),
                },
                Err(error) if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::FileTooLarge) => {
                    at("secret_file", Wrong::SecretFileUnfit { path: shown })
                }
                Err(error) => at("secret_file", Wrong::SecretFileUnreadable { path: shown, kind: error.kind() }),
            };
        }
        let noted = ["secret", "secret_file"].iter().any(|key| draft.doubtful.contains(&Spot::cluster(key)));
        // Without [cluster] there is a fault that says so.
        if noted || !draft.places.contains_key(&Spot::cluster("")) {
            return Ok(None);
        }
        at("secret", Wrong::SecretMissing)
    }
}

fn fault(file_name: Option<&str>, spot: Spot, wrong: Wrong) -> ConfigFault {
    ConfigFault { file: file_name.map(str::to_owned), position: None, spot, wrong, excerpt: None }
}

fn alone(fault: ConfigFault) -> ConfigError {
    ConfigError { faults: vec![fault], more: 0 }
}

fn refuse(mut faults: Vec<ConfigFault>) -> Result<(), ConfigError> {
    let more = faults.len().saturating_sub(FAULTS_MAX);
    faults.truncate(FAULTS_MAX);
    if faults.is_empty() { Ok(()) } else { Err(ConfigError { faults, more }) }
}

/// Reads a text file that is not longer than `bytes_max`: a path may as well name a device without end.
fn read_at_most(path: &Path, bytes_max: usize) -> io::Result<String> {
    let mut text = String::new();
    let room = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    fs::File::open(path)?.take(room).read_to_string(&mut text)?;
    if text.len() > bytes_max { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(text) }
}
